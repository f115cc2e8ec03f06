"""People and things, made through the verbs; a real venue simulator over HTTP; nothing reaches another machine."""

from __future__ import annotations

import os
import socket
import tempfile
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db.backends.postgresql.operations import DatabaseOperations
from django.utils import timezone

from connectors.core import discovery
from connectors.simulators.core import Simulator, names, serve
from tests.house import SETUP, connect, person
from treasury.balances.refresh import refresh
from treasury.celery import app
from treasury.controls import stops
from treasury.controls.roles import AUDITORS, CHECKERS, MAKERS, OPERATORS
from treasury.models import Account, Connection, State, StopOrder, Transfer, User
from treasury.transfers import approve as approving
from treasury.transfers import draft as drafting
from treasury.transfers import submit as submitting


def pytest_configure(config: pytest.Config) -> None:
    """Practice people are made for nearly every test; a slow password hash would be most of the suite's time."""
    settings.STATIC_ROOT.mkdir(parents=True, exist_ok=True)  # whitenoise warns of a folder that is not there
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(autouse=True, scope="session")
def _only_loopback() -> Iterator[None]:
    """No test may reach another machine."""
    connect_to = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in (
            "127.0.0.1",
            "::1",
            "localhost",
        ):
            raise AssertionError(f"a test tried to reach {address}")
        connect_to(self, address)

    socket.socket.connect = guarded  # type: ignore[method-assign,assignment]
    yield
    socket.socket.connect = connect_to  # type: ignore[method-assign]


@pytest.fixture(autouse=True, scope="session")
def _flush_past_the_guards() -> Iterator[None]:
    """Transactional tests empty tables with TRUNCATE, which append-only tables refuse. In tests alone, the guards
    sleep for that one transaction."""
    flush = DatabaseOperations.execute_sql_flush

    def past(self: DatabaseOperations, sql_list: list[str]) -> Any:
        return flush(self, ["SET LOCAL session_replication_role = replica", *sql_list]) if sql_list else None

    DatabaseOperations.execute_sql_flush = past  # type: ignore[method-assign,assignment]
    yield
    DatabaseOperations.execute_sql_flush = flush  # type: ignore[method-assign]


@pytest.fixture(autouse=True)
def _anchors_of_its_own(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test empties the database, so no other test's anchors fit it, nor those of a run at home. A process that
    a test starts inherits the file."""
    file = Path(tempfile.gettempdir()) / f"treasury-anchors-{os.getpid()}-{uuid.uuid4()}.jsonl"
    monkeypatch.setattr(settings, "ANCHOR_FILE", file)
    monkeypatch.setenv("TREASURY_ANCHOR_FILE", str(file))
    yield
    file.unlink(missing_ok=True)


@pytest.fixture(autouse=True)
def _no_bell(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """Messages go nowhere in ordinary tests: a lost ring must change nothing."""
    rung: list[tuple[str, Any]] = []
    monkeypatch.setattr(app, "send_task", lambda name, args=(), **options: rung.append((name, args)))
    return rung


@pytest.fixture
def rung(_no_bell: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """The messages that would have been sent."""
    return _no_bell


@pytest.fixture
def at() -> datetime:
    return timezone.now()


def release(order: StopOrder, first: User, second: User) -> StopOrder:
    """Release a stop as two operators do."""
    at = timezone.now()
    asked = stops.propose_release(stop_order_id=order.pk, by=first, reason="over", at=at)
    return stops.confirm_release(change_id=asked.pk, by=second, digest=asked.digest, at=at)


@pytest.fixture(params=names())
def simulated(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    """Each venue in turn, served as practice mode serves it."""
    with serve(request.param) as simulator:
        monkeypatch.setattr(settings, "SIMULATORS", {request.param: simulator.url})
        yield simulator


def login_at(simulator: Simulator, name: str) -> Connection:
    """The simulated venue's practice login, connected and read."""
    made = connect(
        name=name,
        venue=simulator.name,
        environment=next(iter(discovery.venue(simulator.name).hosts)),
        credentials=simulator.credentials,
        at=timezone.now(),
    )
    refresh(connection=made, at=timezone.now())
    return made


@pytest.fixture
def login(db: None, simulated: Simulator) -> Connection:
    return login_at(simulated, "Any venue")


def say_yes(transfer: Transfer, *checkers: User) -> Transfer:
    """Submit it, and let each of them approve it as long as somebody must."""
    if transfer.state == State.DRAFT:
        transfer = submitting.submit(reference=transfer.reference, maker=transfer.maker, at=timezone.now())
    for checker in checkers:
        if transfer.state == State.SUBMITTED:
            transfer = approving.approve(
                reference=transfer.reference,
                checker=checker,
                digest=transfer.digest or "",
                round=transfer.round,
                factor="password",
                at=timezone.now(),
            )
    return transfer


@pytest.fixture
def maker(db: None) -> User:
    return person("maker", MAKERS)


@pytest.fixture
def maker2(db: None) -> User:
    return person("maker2", MAKERS)


@pytest.fixture
def checker(db: None) -> User:
    return person("checker", CHECKERS)


@pytest.fixture
def checker2(db: None) -> User:
    return person("checker2", CHECKERS)


@pytest.fixture
def auditor(db: None) -> User:
    return person("auditor", AUDITORS)


@pytest.fixture
def operator(db: None) -> User:
    return person("admin", OPERATORS, is_superuser=True)


@pytest.fixture
def operator2(db: None) -> User:
    return person("admin2", OPERATORS, is_superuser=True)


@pytest.fixture
def venue(monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    """A simulated venue over real HTTP, with its practice treasury in memory."""
    with serve("bybit") as simulator:
        monkeypatch.setattr(settings, "SIMULATORS", {"bybit": simulator.url})
        yield simulator


@pytest.fixture
def connection(db: None, venue: Simulator) -> Connection:
    """A login with two accounts whose balances have been read: 1000 USDT each, among others."""
    venue.set_balance("UNIFIED", "USDT", "1000")
    venue.set_balance("FUND", "USDT", "1000")
    made = connect(
        name="Bybit main",
        venue="bybit",
        environment="mainnet",
        credentials=venue.credentials,
        at=timezone.now(),
    )
    refresh(connection=made, by=SETUP, at=timezone.now())
    return made


@pytest.fixture
def unified(connection: Connection) -> Account:
    return connection.accounts.get(address="UNIFIED")


@pytest.fixture
def fund(connection: Connection) -> Account:
    return connection.accounts.get(address="FUND")


@pytest.fixture
def drafted(maker: User, unified: Account, fund: Account) -> Callable[..., Transfer]:
    """drafted(amount="12.5", asset="USDT") -> a draft of maker's from UNIFIED to FUND."""

    def make(*, amount: str = "12.5", asset: str = "USDT", by: User = maker, **words: Any) -> Transfer:
        said = {"source": unified, "destination": fund, "reason": "Top up the funding account", **words}
        return drafting.draft(words=drafting.Words(asset=asset, amount=amount, **said), maker=by, at=timezone.now())

    return make


@pytest.fixture
def submitted(drafted: Callable[..., Transfer]) -> Callable[..., Transfer]:
    def make(**words: Any) -> Transfer:
        draft = drafted(**words)
        return submitting.submit(reference=draft.reference, maker=draft.maker, at=timezone.now())

    return make


@pytest.fixture
def approved(submitted: Callable[..., Transfer], checker: User) -> Callable[..., Transfer]:
    """An approved transfer; one checker's word is enough for its amount."""

    def make(**words: Any) -> Transfer:
        transfer = submitted(**words)
        assert transfer.digest is not None
        return approving.approve(
            reference=transfer.reference,
            checker=checker,
            digest=transfer.digest,
            round=transfer.round,
            factor="password",
            at=timezone.now(),
        )

    return make
