"""The people of a campaign and what they check: everything through the verbs. Imported after django.setup()."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import logging
import random
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any, TypeVar

import httpx
import psycopg
from django.core.management import call_command
from django.db import InterfaceError, OperationalError, connections
from django.utils import timezone

from connectors.core import discovery
from connectors.core.errors import VenueError
from connectors.simulators.faults import KINDS
from tests import campaign_check, campaign_venues
from tests.campaign_check import A_MOMENT_AGO, UNSENT, Found, bare, why_unknown
from tests.house import connect, person
from treasury import venues
from treasury.audit.record import Machine
from treasury.balances.refresh import NotRead, refresh
from treasury.controls import changes, rulebook, stops
from treasury.controls.roles import CHECKERS, MAKERS, OPERATORS
from treasury.models import (
    ENDED,
    Account,
    Attempt,
    Balance,
    Connection,
    ConnectionHealth,
    State,
    Transfer,
    User,
)
from treasury.pace import paced
from treasury.transfers import access, approve, cancel, draft, resolve, submit

log = logging.getLogger("campaign")

CAMPAIGN = Machine("campaign")
PEOPLE = {
    "maker": [MAKERS],
    "maker2": [MAKERS],
    "checker": [CHECKERS],
    "checker2": [CHECKERS],
    "checker3": [CHECKERS],
    "admin": [OPERATORS],
    "admin2": [OPERATORS],
}
TRANSIENT = (OperationalError, InterfaceError, psycopg.OperationalError, OSError)
SLOT_FOR = 10.0  # seconds that a run holds its place in flight; what takes longer is pursued beside the others
PEOPLE_AFTER = 40.0  # seconds until people look at the venue's own screen and resolve what is unknown
CONFIRMED_AFTER = 12.0  # seconds until the maker cancels what nobody confirms at the venue
RELEASED_AFTER = 1.5  # seconds that a stop order stands
LONGEST_FAULT = 1.4  # times a call's limit: some calls are over before the venue answers
NAMED_WAIT = timedelta(seconds=3)  # what a venue names by its own clock is shortened to this
PURSUIT_MOST = timedelta(seconds=20)
# Code and text of refusals, by venue; some bar the key, some ask to wait.
REFUSALS: Mapping[str, tuple[tuple[int, str], ...]] = {
    "bybit": ((131212, ""), (131206, ""), (10005, ""), (10006, ""), (10016, "")),
    "bitget": ((43117, ""), (40014, ""), (43129, ""), (429, "")),
    "xt": ((0, "FUND_002"), (0, "TRANSFER_012"), (0, "AUTH_106"), (0, "FAILURE")),
    "qonto": ((422, "insufficient_funds"), (403, ""), (429, ""), (409, ""), (500, "")),
    "youhodler": ((422, ""), (403, ""), (429, ""), (409, ""), (500, "")),
}
# XT's word for a transfer on a route without a ledger is believed (UNVERIFIED in connectors/xt.py): that it fails
# afterwards could be seen by nobody.
NOT_AT: Mapping[str, set[str]] = {"xt": {"fails_later"}}
WITH_SECONDS = ("slow", "slow_after", "drip", "pending", "fails_later", "challenge", "record_late")
T = TypeVar("T")


@dataclass(frozen=True)
class Plan:
    """What one run asks for. The same seed and number give the same plan; the timing is the machine's."""

    number: int
    source: int
    destination: int
    venue: str
    asset: str
    amount: str
    fault: str | None
    match: str
    seconds: float
    code: int
    text: str
    act: str  # settle, cancel, expire, reject, stop


@dataclass
class Flight:
    plan: Plan
    reference: str
    began: float


def steadily(call: Callable[[], T], seconds: float = 90) -> T:
    """Call until the database takes it: it is stopped and started under us. Only for what may be called twice."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return call()
        except TRANSIENT as gone:
            if time.monotonic() > deadline:
                raise
            log.info("the database is away: %s", gone)
            with contextlib.suppress(*TRANSIENT):
                connections.close_all()
            time.sleep(0.3)


class House:
    """Makers, checkers and operators at work, and the auditor who compares with the venues."""

    def __init__(self, *, seed: int, addresses: Mapping[str, str], logins: int) -> None:
        self.seed = seed
        self.addresses = addresses
        self.logins = logins
        self.people: dict[str, User] = {}
        self.routes: dict[str, list[tuple[int, int, str]]] = {}
        self.flights: dict[str, Flight] = {}
        self.left: dict[str, float] = {}  # reference: since when it is unended and beside the others
        self.unknown: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self.problems: list[str] = []
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._control = httpx.Client(trust_env=False, timeout=30)
        self._looked_at = 0.0

    # -- before the first run

    def prepare(self) -> None:
        call_command("migrate", verbosity=0)
        for username, roles in PEOPLE.items():
            if not User.objects.filter(username=username).exists():
                person(username, *roles)
        self.people = {user.username: user for user in User.objects.filter(username__in=PEOPLE)}
        for venue in self.addresses:
            for login in campaign_venues.logins(venue, self.logins):
                if not Connection.objects.filter(name=login.title).exists():
                    connect(
                        name=login.title,
                        venue=venue,
                        environment=next(iter(discovery.venue(venue).hosts)),
                        credentials=login.credentials,
                        at=timezone.now(),
                    )
            for connection in Connection.objects.filter(venue=venue).order_by("pk"):
                self._read(connection)
            self.routes[venue] = self._routes(venue)
        for reference in Transfer.objects.exclude(state__in=ENDED).values_list("reference", flat=True):
            self.left[reference] = time.monotonic()

    def _read(self, connection: Connection) -> None:
        for _ in range(40):
            try:
                return refresh(connection=connection, by=CAMPAIGN, at=timezone.now())
            except NotRead as wait:
                log.info("%s", wait)
                time.sleep(0.3)
        raise RuntimeError(f"the balances of {connection} cannot be read")

    def _routes(self, venue: str) -> list[tuple[int, int, str]]:
        """Every (source, destination, asset) of the venue's connections that it says it moves."""
        first, *others = list(Connection.objects.filter(venue=venue).order_by("pk"))
        accounts = list(first.accounts.order_by("address"))
        found = []
        for source, destination in itertools.permutations(accounts, 2):
            if not venues.has_route(source, destination):
                continue
            movable = set(self._assets(first, source, destination))
            held = Balance.objects.filter(account=source, movable__gt=10_000).values_list("asset", flat=True)
            found += [(source.address, destination.address, asset) for asset in sorted(movable & set(held))]
        if not found:
            raise RuntimeError(f"{venue} has no route that money lies on")
        routes = []
        for connection in (first, *others):
            ids = dict(connection.accounts.values_list("address", "pk"))
            routes += [(ids[source], ids[destination], asset) for source, destination, asset in found]
        return routes

    def _assets(self, connection: Connection, source: Account, destination: Account) -> list[str]:
        for _ in range(100):
            try:
                connector = venues.open_connection(connection, "assets")
                return connector.assets(source.address, destination.address)
            except venues.PutOff:
                time.sleep(0.05)
            except VenueError as refused:
                log.info("%s to %s: %s", source, destination, refused)
                return []
        raise RuntimeError(f"{connection} never says what it moves")

    # -- one run

    def plan(self, number: int) -> Plan:
        dice = random.Random(f"{self.seed}:{number}")
        venue = dice.choice(sorted(self.routes))
        source, destination, asset = dice.choice(self.routes[venue])
        whole = asset.upper() in ("USDT", "USDC", "EUR", "GBP")
        amount = Decimal(dice.randint(1, 9_999)) / (100 if whole else 10_000)
        if whole and dice.random() < 0.04:  # two must approve
            amount += 10_001
        fault = dice.choice(sorted(KINDS.keys() - NOT_AT.get(venue, set()))) if dice.random() < 0.6 else None
        code, text = dice.choice(REFUSALS[venue]) if fault == "refuse" else (0, "")
        if fault == "challenge" and dice.random() < 0.25:
            text = "deny"
        limit = venues.declared(venue).call_limit.total_seconds()
        seconds = round(dice.uniform(0.02, LONGEST_FAULT) * limit, 2) if fault in WITH_SECONDS else 0.0
        if fault == "challenge" and dice.random() < 0.2:
            seconds = 0.0  # nobody ever confirms
        if fault == "clock":
            seconds = dice.choice((-20.0, -4.0, -1.5, 1.5, 4.0, 20.0))
        acts = dice.choices(("settle", "cancel", "expire", "reject", "stop"), weights=(86, 5, 4, 3, 2))
        return Plan(
            number=number,
            source=source,
            destination=destination,
            venue=venue,
            asset=asset,
            amount=format(amount, "f"),
            fault=fault,
            match="read" if fault not in (None, "challenge", "pending") and dice.random() < 0.2 else "send",
            seconds=seconds,
            code=code,
            text=text,
            act=acts[0],
        )

    def begin(self, number: int) -> None:
        """Draft, submit and approve one transfer, and let what the plan says go wrong."""
        plan = self.plan(number)
        dice = random.Random(f"{self.seed}:{number}:act")
        transfer = self._submitted(plan, dice)
        self.flights[transfer.reference] = Flight(plan, transfer.reference, time.monotonic())
        self.counts["runs"] += 1
        if plan.fault is not None:
            self._fault(plan)
        if plan.act == "stop":
            self._stop(plan, dice)
        if plan.act == "reject":
            return self._reject(transfer.reference)
        if plan.act == "expire" and dice.random() < 0.5:
            return None  # nobody decides in time
        if plan.act == "cancel":
            self.after(dice.uniform(0.0, 0.6), lambda: self._cancel(transfer.reference))
        self._approve(transfer.reference)
        return None

    def _submitted(self, plan: Plan, dice: random.Random) -> Transfer:
        key = uuid.uuid5(uuid.NAMESPACE_URL, f"campaign:{self.seed}:{plan.number}")
        early = paced(timedelta(hours=rulebook.EXPIRES_HOURS)) - timedelta(seconds=dice.uniform(0.5, 2.0))
        lag = early if plan.act == "expire" else timedelta(0)
        maker = self.people[dice.choice(("maker", "maker2"))]

        def made() -> Transfer:
            twice = Transfer.objects.filter(draft_key=key).first()
            source, destination = Account.objects.get(pk=plan.source), Account.objects.get(pk=plan.destination)
            words = draft.Words(source, destination, plan.asset, plan.amount, f"Run {plan.number}")
            at = timezone.now() - lag
            transfer = twice or draft.draft(words=words, maker=maker, at=at, draft_key=key)
            if transfer.state == State.DRAFT:
                transfer = submit.submit(reference=transfer.reference, maker=transfer.maker, at=at)
            return transfer

        return steadily(made)

    def _approve(self, reference: str) -> None:
        for name in ("checker", "checker2", "checker3"):
            checker = self.people[name]

            def said(checker: User = checker) -> bool:
                transfer = Transfer.objects.get(reference=reference)
                if transfer.state != State.SUBMITTED:
                    return True
                approve.approve(
                    reference=reference,
                    checker=checker,
                    digest=transfer.digest or "",
                    round=transfer.round,
                    factor="password",
                    at=timezone.now(),
                )
                return False

            try:
                if steadily(said):
                    return
            except (access.NotNow, approve.OtherWords) as moved_on:
                log.info("%s", moved_on)

    def _reject(self, reference: str) -> None:
        def said() -> None:
            transfer = Transfer.objects.get(reference=reference)
            with contextlib.suppress(access.NotNow):
                approve.reject(
                    reference=reference,
                    checker=self.people["checker"],
                    digest=transfer.digest or "",
                    round=transfer.round,
                    factor="password",
                    reason="The campaign rejects some",
                    at=timezone.now(),
                )

        steadily(said)

    def _cancel(self, reference: str) -> None:
        def taken_back() -> None:
            try:
                cancel.cancel(reference=reference, by=self.people["admin"], at=timezone.now())
                self.counts["cancelled"] += 1
            except access.NotNow as too_late:
                log.info("%s", too_late)

        steadily(taken_back)

    def _fault(self, plan: Plan) -> None:
        self.counts[f"fault {plan.fault}"] += 1
        fault = {
            "kind": plan.fault,
            "match": plan.match,
            "seconds": plan.seconds,
            "code": plan.code,
            "text": plan.text,
        }
        self._tell(plan.venue, "faults", fault)
        if plan.fault == "clock":
            self.after(1.0, lambda: self._tell(plan.venue, "clear", {}))

    def _tell(self, venue: str, what: str, words: Mapping[str, Any]) -> None:
        self._control.post(f"{self.addresses[venue]}/_simulator/{what}", json=words).raise_for_status()

    def _stop(self, plan: Plan, dice: random.Random) -> None:
        account = Account.objects.select_related("connection").get(pk=plan.source)
        scope: dict[str, Any] = dice.choice(
            (
                {"connection": account.connection},
                {"account": account},
                {"venue": plan.venue},
                {"asset": plan.asset},
                {"everything": True},
            )
        )
        self.counts["stop orders"] += 1
        words = f"The campaign stops this before run {plan.number}"
        steadily(lambda: stops.stop(reason=words, by=self.people["admin"], at=timezone.now(), **scope))

    # -- while runs are under way

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._later, (time.monotonic() + seconds, next(self._order), act))

    def tick(self) -> None:
        """What people do as time goes by."""
        while self._later and self._later[0][0] <= time.monotonic():
            heapq.heappop(self._later)[2]()
        steadily(self._follow)
        if time.monotonic() - self._looked_at > 1.0:
            self._looked_at = time.monotonic()
            steadily(self._shorten)
            steadily(self._release)
            steadily(self._pursue)

    def _follow(self) -> None:
        states = dict(Transfer.objects.filter(reference__in=self.flights).values_list("reference", "state"))
        for reference, flight in list(self.flights.items()):
            state = states.get(reference)
            if state in ENDED:
                del self.flights[reference]
            elif state == State.SUBMITTED and flight.plan.act in ("settle", "stop", "cancel"):
                self._approve(reference)  # a guard sent it back
            elif time.monotonic() - flight.began > SLOT_FOR:
                self.left[reference] = flight.began
                del self.flights[reference]

    def _shorten(self) -> None:
        """A venue names waits by its own clock, which nobody paces: they are cut short from outside."""
        now = timezone.now()
        soon = now + timedelta(seconds=1)
        for name in ("limited_until", "read_again_at"):
            ConnectionHealth.objects.filter(**{f"{name}__gt": now + NAMED_WAIT}).update(**{name: soon})
        Transfer.objects.exclude(state__in=ENDED).filter(due_at__gt=now + PURSUIT_MOST).update(due_at=soon)

    def _release(self) -> None:
        """Two operators release what stands long enough."""
        old = timezone.now() - timedelta(seconds=RELEASED_AFTER)
        for order in stops.standing().filter(since__lt=old):
            admin, admin2 = self.people["admin"], self.people["admin2"]
            with contextlib.suppress(stops.NotStanding, changes.NotWaiting):
                change = stops.release_proposed(order) or stops.propose_release(
                    stop_order_id=order.pk, by=admin, reason="Looked at", at=timezone.now()
                )
                second = admin2 if change.proposed_by_id == admin.pk else admin
                stops.confirm_release(change_id=change.pk, by=second, digest=change.digest, at=timezone.now())
                self.counts["stops released"] += 1

    def _pursue(self) -> None:
        """Beside the others: confirm nothing for ever, approve anew, and let people resolve what no look-up settles."""
        rows = Transfer.objects.filter(reference__in=self.left).select_related("connection", "source", "destination")
        for transfer in rows:
            age = time.monotonic() - self.left[transfer.reference]
            if transfer.has_ended:
                del self.left[transfer.reference]
            elif transfer.state in (State.SUBMITTED, State.DRAFT) and age > PEOPLE_AFTER:
                self._cancel(transfer.reference)
            elif transfer.state == State.SUBMITTED:
                self._approve(transfer.reference)
            elif transfer.state == State.CONFIRMING and age > CONFIRMED_AFTER:
                self._cancel(transfer.reference)
            elif age > PEOPLE_AFTER and transfer.state in (State.DISPATCHING, State.DISPATCHED):
                self._resolve(transfer)

    def _resolve(self, transfer: Transfer) -> None:
        """Two people look at the venue's own screen, which is the simulator's ledger, and say what they see."""
        if resolve.why_not_yet(transfer, timezone.now()) is not None:
            return
        why = why_unknown(transfer)
        if why.startswith(("UNEXPLAINED", UNSENT)) or why.endswith(
            A_MOMENT_AGO
        ):  # the product still has something to do itself
            return
        moved = bool(self._at_venue(transfer))
        with contextlib.suppress(access.NotNow, changes.NotWaiting):
            change = resolve.proposed(transfer) or resolve.propose(
                reference=transfer.reference,
                moved=moved,
                reason="Seen on the venue's own screen",
                typed=transfer.reference,
                by=self.people["checker2"],
                at=timezone.now(),
            )
            resolve.confirm(
                change_id=change.pk,
                by=self.people["checker3"],
                digest=change.digest,
                typed=transfer.reference,
                at=timezone.now(),
            )
            self.unknown[f"{why}; {'it had moved' if moved else 'it had not moved'}"] += 1

    def _at_venue(self, transfer: Transfer) -> list[dict[str, Any]]:
        state = self._state_of(transfer.connection.venue)
        key = bare(str(transfer.key))
        return [one for one in state["transfers"] if bare(one["key"]) == key and one["status"] != "FAILED"]

    def _state_of(self, venue: str) -> dict[str, Any]:
        answer = self._control.get(f"{self.addresses[venue]}/_simulator/state")
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    # -- the end

    def calm(self) -> None:
        """Nothing goes wrong any more."""
        for venue in self.addresses:
            self._tell(venue, "clear", {})

    def hopes(self) -> bool:
        """Whether the product should still settle something by itself."""
        rows = Transfer.objects.exclude(state__in=[*ENDED, State.DRAFT])
        every = steadily(lambda: list(rows.select_related("connection", "source", "destination")))
        whys = [why_unknown(transfer) for transfer in every]
        return any(why.startswith(("UNEXPLAINED", UNSENT)) or why.endswith(A_MOMENT_AGO) for why in whys)

    def callers(self) -> set[int]:
        """The numbers of the processes that made calls."""
        names = Attempt.objects.values_list("worker", flat=True).distinct()
        return {int(name.rpartition(":")[2]) for name in names}

    def check(self, *, final: bool) -> Found:
        """Compare what the product says with the venues' own ledgers."""
        return steadily(lambda: campaign_check.check(list(self.addresses), self._state_of, self.unknown, final=final))
