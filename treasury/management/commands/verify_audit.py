"""Verify the audit chain from its first entry to its last."""

from __future__ import annotations

import logging
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError, ProgrammingError
from django.utils import timezone

from treasury.audit import chain

UNREADABLE = (
    "Nothing was verified: the database could not be read. Start it (make run), or name the one that is meant with "
    "TREASURY_HOME or DATABASE_URL."
)


class Command(BaseCommand):
    help = (
        "Verify the audit chain; names the first broken entry and exits with 1 when there is one, with 2 when the "
        "database could not be read."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)  # it retries aloud; one sentence says it
        try:
            self._verify()
        except (OperationalError, ProgrammingError):  # not there, or without our tables: nothing was verified
            raise CommandError(UNREADABLE, returncode=2) from None

    def _verify(self) -> None:
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
