"""Fill an empty database with practice people and the simulated venues' practice logins."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from connectors.core import discovery
from connectors.simulators import core as simulators
from treasury.balances.refresh import refresh
from treasury.controls.connections import connect
from treasury.controls.people import PRACTICE, enrol
from treasury.controls.roles import AUDITORS, CHECKERS, MAKERS, OPERATORS
from treasury.models import Connection, User

PASSWORD = "practice"  # noqa: S105  (opens simulated venues only; real mode refuses to start with practice people)
PEOPLE = (
    ("maker", "Mira Maker", [MAKERS]),
    ("maker2", "Milan Maker", [MAKERS]),
    ("checker", "Clara Checker", [CHECKERS]),
    ("checker2", "Cem Checker", [CHECKERS]),
    ("auditor", "Ada Auditor", [AUDITORS]),
    ("admin", "Ana Admin", [OPERATORS]),
    ("admin2", "Aron Admin", [OPERATORS]),
)


class Command(BaseCommand):
    help = "Fill an empty database with practice people and connections; leaves a filled one as it is."

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.PRACTICE:
            raise CommandError("Practice data belongs in practice mode; TREASURY_MODE is 'real'. Nothing was changed.")
        for username, name, roles in PEOPLE:
            if not User.objects.filter(username=username).exists():
                enrol(
                    username=username,
                    name=name,
                    password=PASSWORD,
                    roles=roles,
                    by=PRACTICE,
                    at=timezone.now(),
                    sees_admin=roles in ([AUDITORS], [OPERATORS]),
                    is_superuser=roles == [OPERATORS],
                )
        for venue in settings.SIMULATORS:
            for login in simulators.practice(venue):
                if not login.spare and not Connection.objects.filter(name=login.title).exists():
                    connection = connect(
                        name=login.title,
                        venue=venue,
                        environment=next(iter(discovery.venue(venue).hosts)),
                        credentials=login.credentials,
                        by=PRACTICE,
                        at=timezone.now(),
                    )
                    refresh(connection=connection, by=PRACTICE, at=timezone.now())
