"""Verify the audit chain from its first entry to its last."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from treasury.audit import chain


class Command(BaseCommand):
    help = "Verify the audit chain; names the first broken entry and exits with 1 when there is one."

    def handle(self, *args: Any, **options: Any) -> None:
        verified = chain.verify()
        if verified.first_break is None and verified.unsealed:  # a broken chain is left as it was found
            self.stdout.write(f"{verified.unsealed} entries were not sealed yet; sealing them now")
            chain.seal(at=timezone.now())
            verified = chain.verify()
        self.stdout.write(
            f"{verified.entries} entries in {verified.batches} batches, {verified.unsealed} not sealed yet"
        )
        self.stdout.write(f"head {verified.head}")
        if verified.first_break is None:
            self.stdout.write("The chain is whole.")
            return
        found = verified.first_break
        self.stdout.write(f"BROKEN at link {found.seq}: {found.what}.")
        sys.exit(1)
