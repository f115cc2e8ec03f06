"""Django's migrate, which says so when it is started as a role that does not own the tables."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError
from django.core.management.commands import migrate
from django.db import ProgrammingError

from treasury.controls import database_role

OTHER_TABLES = (
    "Not started: the tables are not those of this release, or not given to this role. Run migrate and then grants, "
    "as the owner."
)


class Command(migrate.Command):
    def handle(self, *args: Any, **options: Any) -> None:
        if options["check_unapplied"]:
            self.check_tables(*args, **options)
            return
        if not options["plan"]:
            try:
                database_role.insist_on_the_owner()
            except database_role.WrongRole as refusal:
                raise CommandError(str(refusal)) from None
        super().handle(*args, **options)

    def check_tables(self, *args: Any, **options: Any) -> None:
        """Raises CommandError where a migration waits, or where this role may not even see which have been made."""
        try:
            super().handle(*args, **options)
        except ProgrammingError:
            raise CommandError(OTHER_TABLES) from None
        except SystemExit as refusal:
            raise CommandError(OTHER_TABLES) if refusal.code else refusal from None
