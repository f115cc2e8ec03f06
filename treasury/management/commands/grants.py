"""Give the application's role of the database what it needs, and nothing else. Run as the owner, after migrate."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from treasury.celery import QUEUES
from treasury.controls import database_role


class Command(BaseCommand):
    help = "Give the application's role of the database what it needs, and take away what it does not."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--role", required=True, help="The role that DATABASE_URL names.")

    def handle(self, *args: Any, **options: Any) -> None:
        role = options["role"]
        try:
            given = database_role.grant(role, queues=QUEUES)
        except database_role.WrongRole as refusal:
            raise CommandError(str(refusal)) from None
        if not options["verbosity"]:
            return
        for one in given:
            self.stdout.write(f"{role} may {one.rights}: {', '.join(one.tables)}")
        self.stdout.write(f"{role} may send and receive: {', '.join(QUEUES)}")
        self.stdout.write(f"{role} owns nothing, and may neither alter, drop nor truncate anything.")
