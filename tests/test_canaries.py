"""Canaries: whatever goes wrong at any venue, no secret of a login is written down or shown to anybody.

Venues are found, not listed. Every kind of failure strikes a send, and every kind strikes the questions; where a venue
has words of its own to refuse with, they are the secrets themselves, as if it echoed them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import subprocess
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib import admin
from django.db import connection as database
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.views.debug import ExceptionReporter

from connectors.core import discovery
from connectors.core.redact import Redactor
from connectors.simulators.core import Simulator
from connectors.simulators.faults import KINDS
from tests.conftest import release, say_yes
from tests.house import connect, person
from tests.journeys.conftest import url_of_this_database
from tests.journeys.test_every_venue import movable
from tests.notices.hook import Hook
from tests.notices.mail_server import MailServer
from treasury import sealing, venues
from treasury.balances.refresh import NotRead, refresh
from treasury.controls import first_looks, stops
from treasury.controls.roles import POLICY_EDITORS
from treasury.launch import postgres
from treasury.models import (
    Attempt,
    AuditEntry,
    CallWindow,
    Change,
    Connection,
    ConnectionHealth,
    Notice,
    State,
    StopOrder,
    Transfer,
    User,
)
from treasury.notices import post
from treasury.transfers import attempts, confirm, dispatch, draft, settle
from treasury.web import urls

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
            first_looks.look(change_id=change.pk, at=timezone.now())
        simulated.faults.clear()
        getattr(simulated, "revoke_tokens", lambda: None)()
        assert change.first_looks.exists(), kind
        net.insist_on_none(kind)
    change = proposed(simulated, net, operator, "the one that is confirmed")
    first_looks.look(change_id=change.pk, at=timezone.now())
    look_at_every_page(net, auditor)
    client = signed_in(operator2)
    newest = first_looks.newest_look(change)
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
    client.force_login(person, backend="django.contrib.auth.backends.ModelBackend")
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
    client = signed_in(auditor)
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


# -- the house's own secrets -------------------------------------------------------------------------------------

HOOK_SECRET = "canary-of-the-webhook-0123456789-abcdef"
HOOK_TOKEN = "canary-in-the-webhooks-address"
MAIL_PASSWORD = "canary-of-the-mail-server"
TOTP = "JBSWY3DPEHPK3PXPCANARY234567"
CODE = "canary-recovery-code"
# Whoever may hold which role, and nobody at all.
PEOPLE = ("maker", "checker", "operator", "auditor", "useradmin", "policy", "without", None)


@pytest.fixture
def house(monkeypatch: pytest.MonkeyPatch, maker: User) -> Iterator[set[str]]:
    """Every secret that this house has of its own, in use: a mail server that breaks, and a webhook that refuses."""
    with MailServer() as server, Hook() as hook:
        monkeypatch.setattr(settings, "EMAIL_BACKEND", "treasury.outbound.EmailBackend")
        monkeypatch.setattr(settings, "EMAIL_HOST", "127.0.0.1")
        monkeypatch.setattr(settings, "EMAIL_PORT", server.port)
        monkeypatch.setattr(settings, "EMAIL_HOST_USER", "treasury")
        monkeypatch.setattr(settings, "EMAIL_HOST_PASSWORD", MAIL_PASSWORD)
        monkeypatch.setattr(settings, "WEBHOOK_URL", f"{hook.url.partition('?')[0]}?token={HOOK_TOKEN}")
        monkeypatch.setattr(settings, "WEBHOOK_SECRET", HOOK_SECRET)
        server.answers["AUTH"] = f"535 {MAIL_PASSWORD} is wrong"
        hook.answers = [(400, {}), (302, {"Location": f"https://elsewhere.example/?{HOOK_TOKEN}"})]
        factors = Authenticator.objects
        factors.create(user=maker, type="totp", data={"secret": sealing.seal(TOTP)})
        factors.create(user=maker, type="recovery_codes", data={"migrated_codes": [sealing.seal(CODE)]})
        yield {HOOK_SECRET, HOOK_TOKEN, MAIL_PASSWORD, TOTP, CODE, settings.SECRET_KEY, *settings.CREDENTIALS_KEYS}


def addresses_of_lists() -> list[str]:
    """Every address of a page that takes no argument, the administration's lists among them."""
    found = [f"/{one.pattern}" for one in urls.urlpatterns if not one.pattern.converters]  # type: ignore[union-attr]
    lists = [f"admin:{one._meta.app_label}_{one._meta.model_name}_changelist" for one in admin.site._registry]
    return [*found, reverse("admin:index"), *(reverse(name) for name in lists)]


def test_no_secret_of_the_house_is_in_a_dump_a_page_a_message_or_the_log(
    house: set[str],
    approved: Callable[..., Transfer],
    connection: Connection,
    operator: User,
    auditor: User,
    checker: User,
    rung: list[tuple[str, Any]],
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    caplog.set_level(logging.DEBUG)
    approved()
    stops.stop(connection=connection, reason="To be told of", by=operator, at=timezone.now())
    later = timezone.now()
    for minutes in (0, 5, 10):
        post.post(now=lambda: later + timedelta(minutes=minutes))  # noqa: B023
    assert Notice.objects.exclude(problem="").count() >= 2, "both ways failed, with words of the other side"
    people = {name: person(name, *ROLES_OF[name]) for name in ("policy", "without")}
    people |= {one.username: one for one in User.objects.all()} | {"operator": operator}
    pages = []
    for name in PEOPLE:
        client = signed_in(people[name]) if name else Client()
        for address in addresses_of_lists():
            answer = client.get(address)
            assert answer.status_code in (200, 302, 403, 404, 405), address
            pages.append((f"{address} as {name}", answer.content.decode("utf-8", "replace")))
    line = logging.Formatter()
    places = [
        *pages,
        ("the dump", dumped(tmp_path / "dump.sql")),
        ("messages to workers", repr(rung)),
        *((f"the log of {one.name}", f"{line.format(one)} {vars(one)!r}") for one in caplog.records),
        *(("a notice", str(row)) for row in Notice.objects.values()),
        *(("an entry", text) for text in AuditEntry.objects.values_list("canonical", flat=True)),
    ]
    assert {(place, secret) for place, text in places for secret in house if secret in text} == set()
    assert rung, "messages were sent, so they were searched"


ROLES_OF = {"policy": (POLICY_EDITORS,), "without": ()}


def dumped(file: Path) -> str:
    done = subprocess.run(
        [postgres.programs() / "pg_dump", "--dbname", url_of_this_database(), "--file", file], capture_output=True
    )
    assert done.returncode == 0, done.stderr
    return file.read_text()


def test_the_report_of_an_error_holds_no_secret_that_was_posted(
    simulated: Simulator, operator: User, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A defect while credentials are handled: neither the page, nor the log, nor the report that Django would mail."""
    monkeypatch.setattr(venues, "seal_proposed", lambda **_: {}["a defect"])
    words = {f"credential-{field}": value for field, value in simulated.credentials.items()}
    words |= {"name": "A defect", "reason": "x", "environment": next(iter(venues.declared(simulated.name).hosts))}
    client = signed_in(operator)
    client.raise_request_exception = False
    answer = client.post(f"/connections/new/?venue={simulated.name}", words)
    assert answer.status_code == 500
    (logged,) = [one for one in caplog.records if one.exc_info and hasattr(one, "request")]
    report = ExceptionReporter(logged.request, *logged.exc_info)  # type: ignore[attr-defined, misc]
    places = {
        "the page": answer.content.decode(),
        "the log": f"{logging.Formatter().format(logged)}",
        "the report": report.get_traceback_text(),
        "the report as a page": report.get_traceback_html(),
    }
    assert "a defect" in places["the report"]
    secrets = set(simulated.credentials.values()) | {settings.SECRET_KEY, *settings.CREDENTIALS_KEYS}
    assert {(place, secret) for place, text in places.items() for secret in secrets if secret in text} == set()
