"""A number that is old says so, and what could not be read is not readable, with the reason: never 0."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone

from connectors import bitget, xt
from connectors.core import discovery
from connectors.simulators import core as simulators
from connectors.simulators.core import Reply, Request, Simulator, serve
from tests.house import connect
from treasury import venues
from treasury.balances.holdings import assets_held, is_stale, stale_after
from treasury.balances.refresh import NOT_NAMED, NotRead, ask, is_awaited, refresh
from treasury.environment import spans
from treasury.models import Balance, CallWindow, Connection, ConnectionHealth, User

Lie = Callable[[Any], Any]
HOUSE = timedelta(minutes=5)


# -- how long a number is good for ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("named", "declared", "limit"),
    [
        ({}, None, HOUSE),
        ({}, timedelta(hours=9), timedelta(hours=9)),
        ({"*": timedelta(1)}, None, timedelta(1)),
        ({"*": timedelta(1)}, timedelta(hours=9), timedelta(hours=9)),
        ({"bybit": timedelta(2), "*": timedelta(1)}, timedelta(hours=9), timedelta(2)),
        ({"xt": timedelta(2)}, None, HOUSE),
    ],
)
def test_the_environment_by_name_then_the_module_then_all_others_then_the_house(
    named: dict[str, timedelta],
    declared: timedelta | None,
    limit: timedelta,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.STALE_AFTER = named
    of_module = replace(discovery.venue("bybit"), stale_after=declared)
    monkeypatch.setattr(venues, "declared", lambda _: of_module)
    assert stale_after("bybit") == limit


def test_each_venue_has_its_own_limit(connection: Connection, settings: Any, at: datetime) -> None:
    balance = Balance.objects.filter(asset="USDT").select_related("account__connection")[0]
    for seconds in (120, 7200):
        settings.STALE_AFTER = {"bybit": timedelta(seconds=seconds)}
        assert not is_stale(balance, balance.observed_at + timedelta(seconds=seconds))
        assert is_stale(balance, balance.observed_at + timedelta(seconds=seconds + 1))


def test_a_hurried_house_finds_a_number_stale_sooner(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    patient = replace(discovery.venue("bybit"), stale_after=timedelta(hours=1))
    monkeypatch.setattr(discovery, "venue", lambda _: patient)
    settings.TIME_SCALE = 60
    venues.declared.cache_clear()
    try:
        assert stale_after("bybit") == timedelta(minutes=1)
    finally:
        venues.declared.cache_clear()


def test_the_limits_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMITS", " bybit=120, *=300 ,")
    assert spans("LIMITS") == {"bybit": timedelta(seconds=120), "*": timedelta(seconds=300)}
    monkeypatch.delenv("LIMITS")
    assert spans("LIMITS") == {}


@pytest.mark.parametrize("text", ["bybit", "bybit=", "=5", "bybit=0", "bybit=-1", "bybit=1.5", "bybit=²", "a=1;b=2"])
def test_what_is_no_limit_stops_the_start(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMITS", text)
    with pytest.raises(ImproperlyConfigured, match="LIMITS must read"):
        spans("LIMITS")


# -- a venue that does not tell all --------------------------------------------------------------------------


@pytest.fixture(params=simulators.names())
def named(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


def read_login(named: str, simulator: Simulator, settings: Any) -> Connection:
    settings.SIMULATORS = {named: simulator.url}
    credentials, environment = simulator.credentials, next(iter(venues.declared(named).hosts))
    made = connect(name="Ours", venue=named, environment=environment, credentials=credentials, at=timezone.now())
    refresh(connection=made, at=timezone.now())
    return made


def lying(simulator: Simulator, lie: Lie, monkeypatch: pytest.MonkeyPatch, match: str = "") -> None:
    """From now on the venue's answers in JSON to what ``match`` names are disfigured before they are sent."""
    honest = simulator.answer

    def answer(request: Request, faults: Any) -> Reply:
        reply = honest(request, faults)
        if match not in request.target or not reply.body.startswith((b"{", b"[")):
            return reply
        return Reply.of_json(lie(json.loads(reply.body)), status=reply.status)

    monkeypatch.setattr(simulator, "answer", answer)


def read_again(connection: Connection) -> None:
    CallWindow.objects.all().delete()  # the venue's own limit is no part of these
    with suppress(NotRead):
        refresh(connection=connection, at=timezone.now())


def without_numbers(said: Any) -> Any:
    """Every amount in it is null."""
    if isinstance(said, dict):
        return {name: None if is_amount(value) else without_numbers(value) for name, value in said.items()}
    return [without_numbers(one) for one in said] if isinstance(said, list) else said


def is_amount(value: Any) -> bool:
    return (
        isinstance(value, (str, int, float))
        and not isinstance(value, bool)
        and str(value).replace(".", "", 1).isdigit()
    )


def without_the_first(said: Any) -> Any:
    """Every list in it lacks its first entry."""
    if isinstance(said, dict):
        return {name: without_the_first(value) for name, value in said.items()}
    return [without_the_first(one) for one in said[1:]] if isinstance(said, list) else said


def without_any(said: Any) -> Any:
    """Every list in it is empty."""
    if isinstance(said, dict):
        return {name: without_any(value) for name, value in said.items()}
    return [] if isinstance(said, list) else said


@pytest.mark.parametrize("number", ["null", "gone"])
def test_a_number_that_a_venue_does_not_say_is_never_a_zero(
    number: str, named: str, db: None, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(said: Any) -> Any:
        if isinstance(said, dict):
            return {name: gone(value) for name, value in said.items() if not is_amount(value)}
        return [gone(one) for one in said] if isinstance(said, list) else said

    with serve(named) as simulator:
        made = read_login(named, simulator, settings)
        before = totals()
        lying(simulator, without_numbers if number == "null" else gone, monkeypatch)
        read_again(made)
    assert before
    assert [key for key, total in totals().items() if total == 0 and before[key]] == []
    assert Balance.objects.filter(total=None).exclude(problem="").exists() or ConnectionHealth.objects.get().problem


def totals() -> dict[tuple[str, str], Decimal | None]:
    return {(one.account.address, one.asset): one.total for one in Balance.objects.select_related("account")}


ACCOUNTS_LISTED = {"youhodler": "-accounts?", "qonto": "/organization"}  # where the accounts themselves are a list


@pytest.mark.parametrize("lie", [without_the_first, without_any], ids=["a list lacks one", "lists are empty"])
@pytest.mark.parametrize("venue_name", ACCOUNTS_LISTED)
def test_an_account_that_a_venue_no_longer_lists_is_not_readable(
    venue_name: str, lie: Lie, db: None, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(venue_name) as simulator:
        made = read_login(venue_name, simulator, settings)
        before = totals()
        lying(simulator, lie, monkeypatch, match=ACCOUNTS_LISTED[venue_name])
        read_again(made)
    lost = [key for key, total in totals().items() if total != before[key]]
    assert all(totals()[key] is None for key in lost)
    assert {one.problem for one in Balance.objects.filter(total=None)} <= {NOT_NAMED}
    health = ConnectionHealth.objects.get()
    assert NOT_NAMED in health.problem if lost else health.read_again_at, "the lie was heard"


@pytest.mark.parametrize(
    ("venue_name", "match", "kind"),
    [
        ("youhodler", "/client-accounts?", "client-accounts"),
        ("bitget", "/isolated/account/assets", "isolated_margin"),
        ("xt", "/symbol", "LEVER"),
    ],
)
def test_a_kind_of_accounts_that_cannot_be_listed_is_not_readable(
    venue_name: str, match: str, kind: str, db: None, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(venue_name) as simulator:
        made = read_login(venue_name, simulator, settings)
        of_kind = Balance.objects.filter(account__kind=kind)
        assert of_kind.exclude(total=0).exists()
        monkeypatch.setattr(bitget, "_pairs_seen", {})  # as in a process that has seen none yet
        monkeypatch.setattr(xt, "_lists", {})
        simulator.fault("refuse" if venue_name == "youhodler" else "error_before", match=match, code=403, times=None)
        read_again(made)
    assert not of_kind.exclude(total=None).exists()
    assert not of_kind.filter(problem=NOT_NAMED).exists(), "the venue's own reason is told"
    assert not Balance.objects.exclude(account__kind=kind).filter(total=None, problem=NOT_NAMED).exists()
    assert "not set up here" not in ConnectionHealth.objects.get().problem


def test_a_venue_that_answers_with_nothing_at_all_leaves_no_zero(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a connector may make of it: an answer without a row says nothing of any account."""

    class Silent:
        def __init__(self, real: Any) -> None:
            self.check, self.accounts = real.check, real.accounts

        def balances(self) -> list[Any]:
            return []

    real = venues.open_connection
    monkeypatch.setattr(venues, "open_connection", lambda *asked: Silent(real(*asked)))
    before = totals()
    read_again(connection)
    assert any(before.values())
    assert set(totals().values()) == {None}


def test_two_readings_at_once_are_no_failure_of_the_venue(connection: Connection, maker: User, at: datetime) -> None:
    """The clock reads, and in that second somebody asks: the later reading is put off, and is still waited for."""
    before = ConnectionHealth.objects.get()
    ask(connection=connection, by=maker, at=timezone.now())
    limits = venues.declared(connection.venue).limits["balances"]
    taken = [timezone.now()] * limits.calls
    CallWindow.objects.filter(connection=connection, errand="balances").update(taken=taken)
    with pytest.raises(NotRead, match="are made already"):
        refresh(connection=connection, at=timezone.now())
    health = ConnectionHealth.objects.get()
    assert (health.problem, health.read_at) == ("", before.read_at)
    assert health.read_again_at == taken[0] + limits.per
    assert is_awaited(health, timezone.now())


def test_an_emptied_login_holds_nothing_and_is_readable(connection: Connection, venue: Simulator) -> None:
    for address, asset in totals():
        venue.set_balance(address, asset, "0")
    refresh(connection=connection, at=timezone.now())
    assert set(totals().values()) == {Decimal(0)}
    assert ConnectionHealth.objects.get().problem == ""
    assert assets_held() == []


@pytest.mark.parametrize("kind", ["error_before", "garbage", "rate_limited", "banned", "answer_lost"])
def test_a_venue_that_does_not_answer_leaves_the_old_numbers_with_their_age(
    kind: str, named: str, db: None, settings: Any
) -> None:
    with serve(named) as simulator:
        made = read_login(named, simulator, settings)
        before = {one.pk: (one.total, one.observed_at) for one in Balance.objects.all()}
        simulator.fault(kind, match="read", times=None)
        read_again(made)
    assert before
    for one in Balance.objects.all():
        assert one.total is None or (one.total, one.observed_at) == before[one.pk]
        assert one.total is not None or one.problem
    assert ConnectionHealth.objects.get().problem
