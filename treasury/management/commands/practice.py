"""Fill an empty database with practice people and the simulated venues' practice logins."""

from __future__ import annotations

from itertools import cycle
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db.models import Q
from django.utils import timezone

from connectors.core import discovery
from connectors.simulators import core as simulators
from treasury import venues
from treasury.balances import holdings, prices, typed
from treasury.balances.refresh import refresh
from treasury.controls import changes, uploads
from treasury.controls.connections import SET_UP, SetUp, confirm_set_up, connect, propose_set_up
from treasury.controls.people import PRACTICE, enrol
from treasury.controls.roles import AUDITORS, CHECKERS, MAKERS, OPERATORS, holds
from treasury.management import practice_bands
from treasury.models import Change, Connection, Ending, Price, User
from treasury.notices import post

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
NAME, DESK, WHY = "Treasury desk", "Practice desk", "So that there is something to try by hand"
PRICED_IN, PRICES = "EUR", {"USDT": "0.86", "USDC": "0.86", "BTC": "79000", "ETH": "2600", "GBP": "1.14"}
TYPED = (  # (address, title, what it holds)
    ("cold-wallet-1", "Cold wallet", {"USDT": "250000", "BTC": "3.5"}),
    ("savings-1", "Savings account", {"EUR": "400000"}),
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
        made = []
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
                    made.append(connection)
        first, second = (User.objects.get(username=username) for username in ("admin", "admin2"))
        practice_bands.set_up(made, first=first, second=second, at=timezone.now())
        for venue in venues.by_hand():
            may = all(changes.why_not_propose(SET_UP, person) is None for person in (first, second))
            if may and not Connection.objects.filter(Q(venue=venue) | Q(name=NAME)).exists():
                by_hand(venue, first, second)
        priced(first)
        decided = [f"change:{pk}" for pk in Change.objects.exclude(ruling=None).values_list("pk", flat=True)]
        asking = post.waiting().filter(kind="change.propose", subject__in=decided)
        asking.update(ending=Ending.DROPPED, ended_at=timezone.now(), problem="Not sent. It was decided at once.")


def priced(by: User) -> None:
    """Something to value the practice logins by, where nobody has entered a price yet."""
    if settings.REPORTING_CURRENCY != PRICED_IN or Price.objects.exists() or not holds(by, OPERATORS):
        return
    at, said = timezone.now(), {"currency": PRICED_IN, "source": "made up for practice"}
    for asset in holdings.assets_held():
        if asset in PRICES:
            prices.enter(asset=asset, price=PRICES[asset], as_of=at, by=by, at=at, **said)


def by_hand(venue: str, first: User, second: User) -> None:
    """A desk with two accounts; what they hold is stated by one person and confirmed by another, as it always is."""
    declared, at = discovery.venue(venue), timezone.now()
    connection = connect(
        name=NAME,
        venue=venue,
        environment=next(iter(declared.hosts)),
        credentials=dict.fromkeys(declared.required_credential_names(), DESK),
        by=PRACTICE,
        at=at,
    )
    kinds = cycle(declared.account_kinds)
    wanted = [SetUp(address, name, quiet=False, kind=next(kinds)) for address, name, _ in TYPED]
    asked = propose_set_up(connection=connection, accounts=wanted, reason=WHY, by=first, at=at)
    confirm_set_up(change_id=asked.pk, by=second, digest=asked.digest, at=at)
    for address, name, held in TYPED:
        account = connection.accounts.select_related("connection").get(address=address)
        for asset, total in held.items():
            paper = uploads.accepted("statement.txt", f"Practice statement: {name} holds {total} {asset}.".encode())
            stated = typed.Stated(account, asset, total, timezone.now())
            said = typed.propose(stated=stated, reason=WHY, files=[paper], by=first, at=timezone.now())
            typed.confirm(change_id=said.pk, by=second, digest=said.digest, at=timezone.now())
