"""Seal every secret in the database anew under the newest key, so that older keys can be dropped."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from treasury.controls import rotation
from treasury.controls.rotation import Rotation

KINDS = (rotation.CREDENTIALS, rotation.PROPOSED, rotation.FACTORS)


class Command(BaseCommand):
    help = (
        "Seal everything that is encrypted anew under the first key of TREASURY_CREDENTIALS_KEYS. Interrupted, it has "
        "changed nothing; run again, it changes nothing more. With --check it only says what is under older keys, and "
        "exits with 1 when something is."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true", help="only say what is still under older keys")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["check"]:
            self._check()
            return
        done = rotation.rotate(at=timezone.now())
        for kind in KINDS:
            moved, stayed = done.moved.get(kind, 0), done.stayed.get(kind, 0)
            self.stdout.write(f"{kind}: {moved} sealed anew, {stayed} stood under the newest key already")
        if done.named:
            self.stdout.write(f"fingerprints: {done.named} written down")
        self._end(done)
        self.stdout.write(f"Everything is under key {rotation.key_fingerprints()[0]}. Older keys can be dropped.")

    def _check(self) -> None:
        found = rotation.behind()
        for kind in KINDS:
            self.stdout.write(f"{kind}: {found.moved.get(kind, 0)} under older keys, {found.stayed.get(kind, 0)} not")
        self._end(found)
        if found.moved:
            self.stdout.write("Keep the older keys, and run rotate_secrets.")
            sys.exit(1)
        self.stdout.write(f"Everything is under key {rotation.key_fingerprints()[0]}. Older keys can be dropped.")

    def _end(self, found: Rotation) -> None:
        for name in found.lost:
            self.stderr.write(
                f"No key opens the secrets of {name}: keep every older key, and put back the one missing."
            )
        if found.lost:
            sys.exit(1)
