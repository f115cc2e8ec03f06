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
from treasury.controls import changes, first_two, people, policy, uploads
from treasury.controls.connections import SET_UP, SetUp, confirm_set_up, connect, propose_set_up
from treasury.controls.people import PRACTICE, Who
from treasury.controls.roles import (
    AUDITORS,
    CHECKERS,
    MAKERS,
    OPERATORS,
    POLICY_EDITORS,
    USER_ADMINISTRATORS,
    holds,
)
from treasury.management import practice_bands
from treasury.models import Change, Connection, Ending, Membership, Price, User
from treasury.notices import links, post

PASSWORD = "practice"  # noqa: S105  (opens simulated venues only; real mode refuses to start with practice people)
PEOPLE = (
    ("maker", "Mira Maker", [MAKERS]),
    ("maker2", "Milan Maker", [MAKERS]),
    ("checker", "Clara Checker", [CHECKERS]),
    ("checker2", "Cem Checker", [CHECKERS]),
    ("auditor", "Ada Auditor", [AUDITORS]),
    ("admin", "Ana Admin", [OPERATORS]),
    ("admin2", "Aron Admin", [OPERATORS]),
    ("policy", "Pia Policy", [POLICY_EDITORS]),
    ("policy2", "Piet Policy", [POLICY_EDITORS]),
)
ADMINISTRATORS = (("useradmin", "Uma Useradmin"), ("useradmin2", "Urs Useradmin"))
NAME, DESK, WHY = "Treasury desk", "Practice desk", "So that there is something to try"
WHY_PEOPLE = "So that every role can be tried"
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
        first, second = people_of_practice()
        made = []
        for venue in settings.SIMULATORS:
            for login in simulators.practice(venue):
                if not login.spare and not Connection.objects.filter(name=login.title).exists():
                    connection = connect(
                        name=login.title,
                        venue=venue,
                        environment=next(iter(discovery.venue(venue).hosts)),
                        credentials=login.credentials,
                        reason=WHY,
                        by=(first, second),
                        at=timezone.now(),
                    )
                    refresh(connection=connection, by=PRACTICE, at=timezone.now())
                    made.append(connection)
        practice_bands.set_up(made, first=first, second=second, at=timezone.now())
        for venue in venues.by_hand():
            may = all(changes.why_not_propose(SET_UP, person) is None for person in (first, second))
            if may and not Connection.objects.filter(Q(venue=venue) | Q(name=NAME)).exists():
                by_hand(venue, first, second)
        priced(first)
        decided = [f"change:{pk}" for pk in Change.objects.exclude(ruling=None).values_list("pk", flat=True)]
        asking = post.waiting().filter(kind="change.propose", subject__in=decided)
        asking.update(ending=Ending.DROPPED, ended_at=timezone.now(), problem="Not sent. It was decided at once.")
        known = "Not sent. Practice people have a password that everybody knows."
        post.waiting().filter(kind=links.KIND).update(ending=Ending.DROPPED, ended_at=timezone.now(), problem=known)


def people_of_practice() -> tuple[User, User]:
    """Everybody, made as a real house makes them; returns the two operators. All have the same password."""
    first, second = (known(username, name) for username, name in ADMINISTRATORS)
    if not Membership.objects.filter(group=USER_ADMINISTRATORS).exists():
        first_two.bootstrap(first=first, second=second, policy=policy.first(), by=PRACTICE, at=timezone.now())
    one, other = (User.objects.get(username=who.username) for who in (first, second))
    for username, name, roles in PEOPLE:
        if not User.objects.filter(username=username).exists():
            who, at = known(username, name), timezone.now()
            asked = people.propose_enrol(who=who, groups=roles, reason=WHY_PEOPLE, by=one, at=at)
            people.confirm_enrol(change_id=asked.pk, by=other, digest=asked.digest, at=at)
    for user in User.objects.filter(username__in=[username for username, *_ in (*ADMINISTRATORS, *PEOPLE)]):
        if not user.has_usable_password():
            user.set_password(PASSWORD)
            user.save(update_fields=["password"])
    return User.objects.get(username="admin"), User.objects.get(username="admin2")


def known(username: str, name: str) -> Who:
    first_name, last_name = name.split()
    return Who(username, first_name, last_name, f"{username}@treasury.invalid")


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
        reason=WHY,
        by=(first, second),
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
