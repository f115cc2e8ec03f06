"""Canaries: whatever goes wrong at any venue, no secret of a login is written down or shown to anybody.

Venues are found, not listed. Every kind of failure strikes a send, and every kind strikes the questions; where a venue
has words of its own to refuse with, they are the secrets themselves, as if it echoed them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib import admin
from django.db import connection as database
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from connectors.core import discovery
from connectors.core.redact import Redactor
from connectors.simulators.core import Simulator
from connectors.simulators.faults import KINDS
from tests.conftest import SETUP, release, say_yes
from tests.journeys.test_every_venue import movable
from treasury import venues
from treasury.balances.refresh import NotRead, refresh
from treasury.controls import connections
from treasury.controls.connections import connect
from treasury.models import (
    Attempt,
    AuditEntry,
    CallWindow,
    Change,
    Connection,
    ConnectionHealth,
    State,
    StopOrder,
    Transfer,
    User,
)
from treasury.transfers import attempts, confirm, dispatch, draft, settle

pytestmark = pytest.mark.django_db(transaction=True)

CALL_LIMIT = timedelta(seconds=0.25)  # of the calls that a slow venue is to outlast
SLOW = {"slow": 0.4, "slow_after": 0.4, "drip": 0.4}
SECONDS = {**SLOW, "pending": 0.05, "fails_later": 0.05, "challenge": 0.01, "record_late": 60, "clock": 600}
# What strikes a movement of money, and no question.
OF_SENDS = {"pending", "fails_later", "challenge", "record_late"}
# 0 is the venue's own choice of a code, or its word for success.
CODES = {"refuse": (0, 400)}
ROWS_SHOWN = 3  # of each admin list, the newest are opened one by one


@pytest.fixture
def login(db: None, simulated: Simulator) -> Connection:
    made = connected(simulated, "Any venue")
    refresh(connection=made, at=timezone.now())
    return made


def connected(simulated: Simulator, name: str) -> Connection:
    return connect(
        name=name,
        venue=simulated.name,
        environment=next(iter(venues.declared(simulated.name).hosts)),
        credentials=simulated.credentials,
        by=SETUP,
        at=timezone.now(),
    )


@pytest.fixture
def approved_anew(
    login: Connection, maker: User, checker: User, checker2: User, operator: User, operator2: User
) -> Callable[[], Transfer]:
    """A new approved transfer, with no stop and no waiting time left over from an earlier one in its way."""
    way = movable(login)
    amounts = (f"0.{cents}" for cents in range(10, 100))  # two of the same amount may have to wait for each other

    def make() -> Transfer:
        for order in StopOrder.objects.filter(released_at=None):
            release(order, operator, operator2)
        no_waiting(login)
        words = draft.Words(*way, next(amounts), "To see what shows")
        transfer = draft.draft(words=words, maker=maker, at=timezone.now())
        return say_yes(transfer, checker, checker2)

    return make


def no_waiting(login: Connection) -> None:
    CallWindow.objects.update(taken=[])
    ConnectionHealth.objects.update(limited_until=None)
    Transfer.objects.filter(connection=login, due_at__gt=timezone.now()).update(due_at=timezone.now())


class Net:
    """Everything that was said so far, and the search for secrets in it."""

    def __init__(self, simulated: Simulator, caplog: pytest.LogCaptureFixture) -> None:
        self.simulated = simulated
        self.said: list[tuple[str, str]] = []
        self._caplog = caplog

    def answer(self, where: str, answer: object) -> None:
        self.said.append((f"the answer of {where}", repr(answer)))
        if isinstance(answer, BaseException):
            self.exception(where, answer)

    def exception(self, where: str, raised: BaseException) -> None:
        """All that tells of it, and of what it came from."""
        known: list[BaseException] = []
        waiting: list[BaseException | None] = [raised]
        while waiting:
            one = waiting.pop()
            if one is not None and one not in known:
                known.append(one)
                waiting += [one.__cause__, one.__context__]
                self.said.append((f"an exception of {where}", f"{one} {one!r} {one.args!r} {vars(one)!r}"))

    @contextlib.contextmanager
    def around(self, where: str) -> Iterator[None]:
        try:
            yield
        except Exception as raised:  # whatever it is, it is heard
            self.exception(where, raised)

    def secrets(self) -> set[str]:
        """What opens the login, the tokens it was lent among them: the simulator saw them come."""
        bearers = {one.headers.get("authorization", "").partition(" ")[2] for one in self.simulated.requests()}
        return {*self.simulated.credentials.values(), *bearers} - {""}

    def leaks(self) -> set[tuple[str, str]]:
        """Where which secret is, and where a challenge's token is that only its own column may hold."""
        places = [*self.said, *self.logged(), *in_tables()]
        challenges = [one for one in Attempt.objects.values_list("challenge", flat=True) if one]
        found = {(secret, place) for secret in self.secrets() for place, text in places if secret in text}
        places = [*self.said, *self.logged(), *in_tables(besides="challenge")]
        tokens = {one["token"] for one in challenges}
        return found | {(token, place) for token in tokens for place, text in places if token in text}

    def insist_on_none(self, after: str) -> None:
        """No leak by what was said since the last time, nor in the tables."""
        assert self.leaks() == set(), after
        self.said.clear()
        self._caplog.clear()

    def logged(self) -> list[tuple[str, str]]:
        """The records of the product and its libraries; a simulator's belong to the venue."""
        ours = [one for one in self._caplog.records if not one.name.startswith("connectors.simulators")]
        line = logging.Formatter()
        return [(f"the log of {one.name}", f"{line.format(one)} {vars(one)!r}") for one in ours]


def in_tables(besides: str = "") -> list[tuple[str, str]]:
    """Every row of every table in the database, as text."""
    rows = []
    with database.cursor() as cursor:
        cursor.execute(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables "
            "WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        )
        for (table,) in cursor.fetchall():
            cursor.execute(f"SELECT t::text, (to_jsonb(t) - %s)::text FROM {table} t", [besides])
            rows += [(f"table {table}", part if besides else whole) for whole, part in cursor.fetchall()]
    return rows


@pytest.fixture
def net(simulated: Simulator, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Net:
    """Listens to the log at its loudest, and to every answer that the verbs are given."""
    caplog.set_level(logging.DEBUG)
    made = Net(simulated, caplog)
    for module, verb in ((attempts, "conclude"), (settle, "note")):
        listening(made, module, verb, monkeypatch)
    return made


def listening(net: Net, module: Any, verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    act = getattr(module, verb)

    def listen(**words: Any) -> Any:
        net.answer(verb, words["answer"])
        return act(**words)

    monkeypatch.setattr(module, verb, listen)


@contextlib.contextmanager
def short_calls(kind: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A call to a slow venue is given up early."""
    with monkeypatch.context() as for_now:
        if kind in SLOW:
            venue = discovery.venue
            short = lambda name: dataclasses.replace(venue(name), call_limit=CALL_LIMIT)  # noqa: E731
            for_now.setattr(discovery, "venue", short)
        venues.declared.cache_clear()  # it remembers what the module declares
        yield
    venues.declared.cache_clear()


def strike(simulated: Simulator, net: Net, kind: str, code: int, **more: Any) -> None:
    echo = " ".join(sorted(net.secrets()))
    simulated.fault(kind, seconds=SECONDS.get(kind, 0), code=code, text=echo if kind in CODES else "", **more)


def pursued(transfer: Transfer, login: Connection, net: Net) -> None:
    """Twice what the clock would have done by and by."""
    for _ in range(2):
        no_waiting(login)
        transfer.refresh_from_db()
        verb = confirm.confirm if transfer.state == State.CONFIRMING else settle.settle
        with net.around(verb.__name__):
            verb(reference=transfer.reference, now=timezone.now)


def failures() -> list[tuple[str, int]]:
    return [(kind, code) for kind in KINDS for code in CODES.get(kind, (0,))]


def test_a_send_that_fails_in_any_way_leaves_no_secret_anywhere(
    simulated: Simulator,
    login: Connection,
    net: Net,
    approved_anew: Callable[[], Transfer],
    auditor: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for kind, code in failures():
        transfer = approved_anew()
        strike(simulated, net, kind, code, match="send")
        with short_calls(kind, monkeypatch):
            dispatch.dispatch(reference=transfer.reference, now=timezone.now)
        pursued(transfer, login, net)
        simulated.faults.clear()
        assert transfer.attempts.exists(), (kind, transfer.state, transfer.held)
        net.insist_on_none(kind)
    look_at_every_page(net, auditor)
    net.insist_on_none("the pages")


def test_questions_that_fail_in_any_way_leave_no_secret_anywhere(
    simulated: Simulator,
    login: Connection,
    net: Net,
    approved_anew: Callable[[], Transfer],
    auditor: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lose_tokens = getattr(simulated, "revoke_tokens", lambda: None)
    for kind, code in failures():
        if kind in OF_SENDS:
            continue
        transfer = approved_anew()
        simulated.fault("answer_lost", match="send")
        dispatch.dispatch(reference=transfer.reference, now=timezone.now)
        for ask in (first_connection, questions, pursued_once, reading):
            no_waiting(login)
            lose_tokens()
            strike(simulated, net, kind, code, match="read", times=1 if kind in SLOW else None)
            with short_calls(kind, monkeypatch):
                ask(transfer, net)
            simulated.faults.clear()
        net.insist_on_none(kind)
    look_at_every_page(net, auditor)
    net.insist_on_none("the pages")


def test_connecting_that_fails_in_any_way_leaves_no_secret_anywhere(
    simulated: Simulator,
    net: Net,
    operator: User,
    operator2: User,
    auditor: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for kind, code in failures():
        if kind in OF_SENDS:
            continue
        change = proposed(simulated, net, operator, f"{kind} {code}")
        strike(simulated, net, kind, code, match="read", times=1 if kind in SLOW else None)
        with short_calls(kind, monkeypatch), net.around("a first look"):
            connections.look(change_id=change.pk, at=timezone.now())
        simulated.faults.clear()
        getattr(simulated, "revoke_tokens", lambda: None)()
        assert change.first_looks.exists(), kind
        net.insist_on_none(kind)
    change = proposed(simulated, net, operator, "the one that is confirmed")
    connections.look(change_id=change.pk, at=timezone.now())
    look_at_every_page(net, auditor)
    client = signed_in(operator2)
    newest = connections.newest_look(change)
    assert newest is not None
    said = {"digest": change.digest, "login": newest.login}
    response = client.post(f"/changes/{change.pk}/confirm/", said, follow=True)
    net.said.append(("the answer to a confirmation", response.content.decode()))
    assert Connection.objects.get().name == "the one that is confirmed"
    look_at_every_page(net, auditor)
    net.insist_on_none("the pages")


def proposed(simulated: Simulator, net: Net, operator: User, name: str) -> Change:
    """By the form, as a person does it."""
    words = {f"credential-{field}": value for field, value in simulated.credentials.items()}
    words |= {"name": name, "reason": "x", "environment": next(iter(venues.declared(simulated.name).hosts))}
    address = f"/connections/new/?venue={simulated.name}"
    response = signed_in(operator).post(address, words, follow=True)
    net.said.append(("the answer to a form", response.content.decode()))
    change = Change.objects.latest("pk")
    net.said.append(("a proposal", f"{change!r} {change} {change.__dict__}"))
    assert change.words["name"] == name
    return change


def signed_in(person: User) -> Client:
    client = Client()
    client.force_login(person)
    return client


def reading(transfer: Transfer, net: Net) -> None:
    with net.around("a reading"), contextlib.suppress(NotRead):
        try:
            refresh(connection=transfer.connection, at=timezone.now())
        except NotRead as raised:
            net.exception("a reading", raised)
            raise


def questions(transfer: Transfer, net: Net) -> None:
    connector = venues.open_connection(transfer.connection)
    net.said.append(("a connector", repr(connector)))
    way = (transfer.source.address, transfer.destination.address)
    for ask in (connector.check, connector.accounts, connector.balances, lambda: connector.assets(*way)):
        with net.around("a question"):
            net.answer("a question", ask())


def first_connection(transfer: Transfer, net: Net) -> None:
    with net.around("a first connection"):
        connected(net.simulated, f"Another {Connection.objects.count()}")


def pursued_once(transfer: Transfer, net: Net) -> None:
    with net.around("a look-up"):
        settle.settle(reference=transfer.reference, now=timezone.now)


def test_where_redaction_sleeps_the_net_is_not_empty(
    simulated: Simulator,
    login: Connection,
    net: Net,
    approved_anew: Callable[[], Transfer],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The search above can fail: an echo that nobody redacts is found in the log, in attempts and in tables."""
    monkeypatch.setattr(Redactor, "text", lambda self, value: value)
    transfer = approved_anew()
    strike(simulated, net, "refuse", 400, match="send")
    dispatch.dispatch(reference=transfer.reference, now=timezone.now)
    places = {place for _, place in net.leaks()}
    assert {"an exception of conclude", "table public.treasury_attempt", "table public.treasury_auditentry"} <= places
    assert {secret for secret, _ in net.leaks()} == net.secrets()


def look_at_every_page(net: Net, auditor: User) -> None:
    """What an auditor may open, who may open the most."""
    client = Client()
    client.force_login(auditor)
    addresses = ["/", "/transfers/", "/approvals/", "/connections/", "/changes/"]
    addresses += [f"/transfers/{one}/" for one in Transfer.objects.values_list("reference", flat=True)]
    numbers = list(AuditEntry.objects.order_by("-id").values_list("id", flat=True))
    addresses += ["/audit/", *(f"/audit/?before={number}" for number in numbers[49::50])]
    addresses += [reverse("admin:index"), reverse("admin:app_list", args=["treasury"])]
    for model in admin.site._registry:
        named = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        addresses.append(reverse(f"{named}_changelist"))
        newest = model._default_manager.order_by("-pk")[:ROWS_SHOWN]
        addresses += [reverse(f"{named}_change", args=[row.pk]) for row in newest]
    # The template engine explains itself at DEBUG, at length, and knows no connector.
    logging.getLogger("django.template").setLevel(logging.INFO)
    for address in addresses:
        response = client.get(address)
        assert response.status_code == 200, address
        net.said.append((f"the page {address}", response.content.decode()))
