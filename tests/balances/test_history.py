"""What did we hold at noon on the 3rd: by the last reading before it, with that reading's own time, and never a zero
for what is not known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.conf import settings
from django.db import connection as database
from django.utils import timezone

from tests.house import bare_connection, set_up
from tests.transfers import hands
from treasury.balances import history, snapshots
from treasury.models import Account, Connection, Snapshot, User

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 11, 3, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
LARGE = "1000000000000000000000000.000000000000000001"  # 43 digits


def login(name: str, *addresses: str, venue: str = "bybit", since: datetime = NOON - timedelta(days=9)) -> Connection:
    made = bare_connection(name=name, venue=venue, environment="mainnet", login=name, credentials="-", created_at=since)
    for address in addresses:
        set_up(connection=made, address=address, kind=address, title=address.capitalize())
    return made


@pytest.fixture
def first(db: None) -> Connection:
    return login("First", "FUND", "UNIFIED")


@pytest.fixture
def second(db: None) -> Connection:
    return login("Second", "SPOT", venue="qonto")


def keep(connection: Connection, at: datetime, **told: Any) -> Snapshot:
    """keep(first, NOON, FUND={"USDT": "5"}): None in place of an amount is not readable."""
    holdings = {
        address: {
            asset: {"total": total, "movable": total} if total is not None else unread("no answer")
            for asset, total in numbers.items()
        }
        for address, numbers in told.items()
    }
    return Snapshot.objects.create(connection=connection, at=at, holdings=holdings)


def unread(why: str) -> dict[str, str | None]:
    return {"total": None, "movable": None, "problem": why}


def totals(at: datetime) -> dict[str, str]:
    return {one.asset: f"{one.total:f}" for one in history.sums(history.held_at(at))}


def missing(at: datetime) -> dict[str, list[str]]:
    return {one.asset: one.missing for one in history.sums(history.held_at(at))}


# -- at an instant -------------------------------------------------------------------------------------------


def test_the_last_reading_at_or_before_the_moment_speaks_and_says_when_it_was(first: Connection) -> None:
    keep(first, NOON - 2 * MINUTE, FUND={"USDT": "1"})
    asked = keep(first, NOON - MINUTE, FUND={"USDT": "2"})
    keep(first, NOON + MINUTE, FUND={"USDT": "3"})
    (held,) = history.held_at(NOON)
    assert (held.snapshot, held.age, held.stale) == (asked, MINUTE, False)
    assert [one.total for one in held.accounts[0].numbers or ()] == [2]
    assert history.held_at(NOON + MINUTE)[0].accounts[0].numbers[0].total == 3  # type: ignore[index]


def test_a_number_older_than_the_venues_limit_at_that_moment_is_stale(first: Connection) -> None:
    limit = settings.BALANCE_STALE_AFTER
    keep(first, NOON - limit, FUND={"USDT": "1"})
    assert not history.held_at(NOON)[0].stale
    assert history.held_at(NOON + timedelta(seconds=1))[0].stale
    (total,) = history.sums(history.held_at(NOON + timedelta(seconds=1)))
    assert total.stale


def test_before_the_first_reading_nothing_is_known_and_no_sum_is_whole(first: Connection, second: Connection) -> None:
    keep(first, NOON + MINUTE, FUND={"USDT": "1"})
    keep(second, NOON - MINUTE, SPOT={"USDT": "7"})
    held = {one.connection.name: one for one in history.held_at(NOON)}
    assert (held["First"].snapshot, held["First"].age, held["First"].accounts) == (None, None, [])
    assert totals(NOON) == {"USDT": "7"}
    assert missing(NOON) == {"USDT": [f"First: {history.NOT_READ}"]}


def test_a_connection_that_was_not_there_yet_is_not_missing(first: Connection) -> None:
    login("Later", "SPOT", since=NOON + MINUTE)
    keep(first, NOON - MINUTE, FUND={"USDT": "1"}, UNIFIED={})
    assert [one.connection for one in history.held_at(NOON)] == [first]
    assert missing(NOON) == {"USDT": []}


def test_a_login_without_accounts_has_nothing_that_could_be_missing(first: Connection) -> None:
    login("Bookkeeping")
    keep(first, NOON - MINUTE, FUND={"USDT": "1"}, UNIFIED={})
    assert missing(NOON) == {"USDT": []}
    assert [*lines()] == ["First"]


def test_an_account_that_was_not_set_up_yet_is_not_an_empty_one(first: Connection) -> None:
    keep(first, NOON, FUND={})
    (held,) = history.held_at(NOON)
    assert [(one.address, one.numbers) for one in held.accounts] == [("FUND", []), ("UNIFIED", None)]


def test_an_account_that_no_reading_names_yet_is_missing_in_every_sum(first: Connection, second: Connection) -> None:
    keep(first, NOON - MINUTE, FUND={"USDT": "1"})
    keep(second, NOON - MINUTE, SPOT={"BTC": "2"})
    said = f"First · Unified: {history.NOT_READ}"
    assert missing(NOON) == {"BTC": [said], "USDT": [said]}
    keep(first, NOON + MINUTE, FUND={"USDT": "1"}, UNIFIED={})
    assert missing(NOON)["USDT"] == [said], "nobody knows whether it had been set up by then"
    assert missing(NOON + MINUTE) == {"BTC": [], "USDT": []}


def test_before_an_account_was_set_up_it_is_missing_in_nothing(first: Connection) -> None:
    """Not even the next reading names it, so it was not there."""
    keep(first, NOON - MINUTE, FUND={"USDT": "1"})
    keep(first, NOON + MINUTE, FUND={"USDT": "1"})
    assert missing(NOON) == {"USDT": []}
    (held,) = history.held_at(NOON)
    assert [(one.address, one.why) for one in held.accounts if one.numbers is None] == [("UNIFIED", history.NOT_SET_UP)]


def test_what_was_not_readable_keeps_its_reason_and_makes_the_sum_a_lower_bound(
    first: Connection, second: Connection
) -> None:
    keep(first, NOON, FUND={"USDT": None, "BTC": "1"}, UNIFIED={"USDT": "2"})
    keep(second, NOON, SPOT={"usdt": "3"})
    assert totals(NOON) == {"BTC": "1", "USDT": "5"}
    assert missing(NOON) == {"BTC": [], "USDT": ["First · Fund: no answer"]}


def test_an_account_that_was_not_readable_as_a_whole_is_missing_in_every_sum(
    first: Connection, second: Connection
) -> None:
    keep(first, NOON, FUND={"": None}, UNIFIED={})
    keep(second, NOON, SPOT={"USDT": "3"})
    assert missing(NOON)["USDT"] == ["First · Fund: no answer"]


def test_an_account_that_was_readable_in_part_is_missing_in_what_its_connection_names(
    first: Connection, second: Connection
) -> None:
    keep(first, NOON, FUND={"": None, "BTC": "1"}, UNIFIED={"ETH": "2"})
    keep(second, NOON, SPOT={"USDT": "3"})
    assert missing(NOON) == {"BTC": [], "ETH": ["First · Fund: no answer"], "USDT": []}
    numbers = history.held_at(NOON)[0].accounts[0].numbers or []
    assert [(one.asset, one.total, one.problem) for one in numbers] == [("BTC", 1, ""), ("", None, "no answer")]


def test_a_sum_says_how_many_numbers_are_in_it(first: Connection, second: Connection) -> None:
    keep(first, NOON, FUND={"USDT": None, "BTC": "0"}, UNIFIED={"BTC": "1"})
    assert {one.asset: one.numbers for one in history.sums(history.held_at(NOON))} == {"BTC": 2, "USDT": 0}


# -- what people state ---------------------------------------------------------------------------------------


@pytest.fixture
def desk(db: None) -> Connection:
    return hands.desk()


@pytest.fixture
def cold(desk: Connection, operator: User, operator2: User) -> Account:
    return hands.account_of(desk, operator, operator2)


def test_an_account_set_up_after_the_last_statement_is_missing_in_the_sum(
    desk: Connection, cold: Account, operator: User, operator2: User, maker: User, checker: User
) -> None:
    hands.stated(cold, "100", maker, checker)
    hands.account_of(desk, operator, operator2, "cold-2")
    (total,) = history.sums(history.held_at(timezone.now()))
    assert total.missing == [f"By hand · Wallet cold-2: {history.NOT_READ}"]


def test_what_nobody_has_stated_of_an_account_that_states_something_is_not_feared(
    desk: Connection, cold: Account, operator: User, operator2: User, maker: User, checker: User
) -> None:
    """People state what there is. An account of which nobody has stated anything is another thing."""
    other = hands.account_of(desk, operator, operator2, "cold-2")
    hands.stated(cold, "100", maker, checker)
    assert [one.missing for one in history.sums(history.held_at(timezone.now()))] == [
        [f"By hand · Wallet cold-2: {snapshots.NOT_STATED}"]
    ]
    hands.stated(other, "5", maker, checker, asset="BTC")
    now = timezone.now()
    assert [(one.asset, one.total, one.missing) for one in history.sums(history.held_at(now))] == [
        ("BTC", 5, []),
        ("USDT", 100, []),
    ]
    assert history.of_asset(desk.snapshots.latest("at").holdings["cold-2"], "USDT").total == 0


def test_a_chart_draws_no_number_that_was_stated_too_long_ago(
    desk: Connection, cold: Account, operator: User, operator2: User, maker: User, checker: User
) -> None:
    """One account was stated 60 days ago and never since; each new statement of the other stores it again."""
    other = hands.account_of(desk, operator, operator2, "cold-2")
    hands.stated(other, "500", maker, checker, seen_at=timezone.now() - timedelta(days=60))
    hands.stated(cold, "100", maker, checker)
    with database.cursor() as past:  # a connection keeps the time it was made, so the guards sleep for this one line
        past.execute("SET LOCAL session_replication_role = replica")
        past.execute("UPDATE treasury_connection SET created_at = created_at - interval '90 days'")
        past.execute("SET LOCAL session_replication_role = DEFAULT")

    def drawn() -> Decimal | None:
        now = timezone.now()
        return history.series("USDT", since=now - timedelta(days=7), until=now, points=120, now=now).lines[0].totals[-1]

    assert drawn() is None
    hands.stated(other, "400", maker, checker, seen_at=timezone.now())
    assert drawn() == 500


def test_sums_are_exact_to_forty_three_digits(first: Connection, second: Connection) -> None:
    keep(first, NOON, FUND={"USDT": LARGE}, UNIFIED={"USDT": "-0.000000000000000002"})
    keep(second, NOON, SPOT={"USDT": LARGE})
    assert totals(NOON) == {"USDT": "2000000000000000000000000.000000000000000000"}


def test_it_costs_the_same_however_many_readings_and_connections_there_are(
    first: Connection, second: Connection, django_assert_num_queries: Any
) -> None:
    for number in range(30):
        keep(first, NOON - number * MINUTE, FUND={"USDT": "1"})
        login(f"More {number}", "SPOT")
    with django_assert_num_queries(3):
        history.sums(history.held_at(NOON))


# -- over time -----------------------------------------------------------------------------------------------

HOUR = timedelta(hours=1)


def lines(asset: str = "USDT", *, hours: int = 4, until: datetime = NOON) -> dict[str, list[str | None]]:
    found = history.series(asset, since=until - hours * HOUR, until=until, points=hours, now=until)
    return {
        one.connection.name: [None if total is None else f"{total:f}" for total in one.totals] for one in found.lines
    }


def test_each_moment_tells_the_last_reading_before_it(first: Connection, second: Connection) -> None:
    for hours, total in ((4, "1"), (3, "2"), (2, "3"), (1, "4")):
        keep(first, NOON - hours * HOUR + 10 * MINUTE, FUND={"USDT": "9"})
        keep(first, NOON - hours * HOUR + 50 * MINUTE, FUND={"USDT": total}, UNIFIED={"usdt": "0.5", "BTC": "7"})
        keep(second, NOON - hours * HOUR + 50 * MINUTE, SPOT={"USDT": LARGE})
    assert lines() == {"First": ["1.5", "2.5", "3.5", "4.5"], "Second": [LARGE] * 4}
    assert lines("btc")["First"] == ["7"] * 4
    assert lines("BTC")["Second"] == ["0"] * 4


def test_where_nothing_was_read_is_a_gap_and_an_asset_that_is_not_named_is_zero(first: Connection) -> None:
    keep(first, NOON - 4 * HOUR + 59 * MINUTE, FUND={"USDT": "1"})
    keep(first, NOON - HOUR + 59 * MINUTE, FUND={})
    assert lines() == {"First": ["1", None, None, "0"]}


UNREAD: list[dict[str, Any]] = [{"USDT": None}, {"": None}, {"": None, "BTC": "1"}]


@pytest.mark.parametrize("told", UNREAD)
def test_an_account_that_could_not_be_read_for_a_while_is_a_gap_and_no_fall(
    first: Connection, told: dict[str, Any]
) -> None:
    for hours, fund in ((2, {"USDT": "2"}), (1, told), (0, {"USDT": "2"})):
        keep(first, NOON - hours * HOUR - MINUTE, FUND=fund, UNIFIED={"USDT": "3"})
    assert lines(hours=3) == {"First": ["5", None, "5"]}
    (line,) = history.series("USDT", since=NOON - 3 * HOUR, until=NOON, points=3, now=NOON).lines
    assert not line.in_part


@pytest.mark.parametrize("told", UNREAD)
def test_what_can_never_be_read_leaves_the_rest_and_says_that_it_is_a_part(
    first: Connection, told: dict[str, Any]
) -> None:
    keep(first, NOON - MINUTE, FUND=told, UNIFIED={"USDT": "3"})
    (line,) = history.series("USDT", since=NOON - HOUR, until=NOON, points=1, now=NOON).lines
    assert (line.totals, line.in_part) == ([3], True)


def test_an_account_that_names_the_asset_is_known_though_the_rest_of_it_is_not(first: Connection) -> None:
    keep(first, NOON - MINUTE, FUND={"": None, "USDT": "2"}, UNIFIED={"USDT": "3"})
    assert lines(hours=1) == {"First": ["5"]}


def test_a_reading_from_before_the_first_moment_still_speaks_for_it(first: Connection) -> None:
    keep(first, NOON - 4 * HOUR - 10 * MINUTE, FUND={"USDT": "1"})
    assert lines(hours=4) == {"First": [None, None, None, None]}
    assert lines(hours=4, until=NOON - 4 * HOUR + 40 * MINUTE)["First"] == [None, None, None, "1"]
    keep(first, NOON - 4 * HOUR + 5 * MINUTE, FUND={"USDT": "2"})
    assert lines(hours=4) == {"First": ["2", None, None, None]}


def test_what_is_kept_once_a_day_is_no_gap_in_a_finer_chart(first: Connection) -> None:
    """A year ago one reading a day is left: it speaks until the next one."""
    for days in range(6):
        keep(first, NOON - timedelta(days=days, hours=12), FUND={"USDT": str(days)})
    found = history.series(
        "USDT", since=NOON - timedelta(days=4), until=NOON, points=16, now=NOON + timedelta(days=365)
    )
    (line,) = found.lines
    assert None not in line.totals
    assert line.totals[-1] == 0


def test_before_it_was_connected_a_connection_is_not_there_at_all(first: Connection) -> None:
    login("Later", "SPOT", since=NOON - 90 * MINUTE)
    found = history.series("USDT", since=NOON - 4 * HOUR, until=NOON, points=4, now=NOON)
    there = {one.connection.name: one.there for one in found.lines}
    assert there == {"First": [True] * 4, "Later": [False, False, True, True]}


def test_amounts_leave_the_database_as_exact_as_they_are_written(first: Connection) -> None:
    keep(first, NOON - MINUTE, FUND={"USDT": LARGE}, UNIFIED={"USDT": LARGE})
    found = history.series("USDT", since=NOON - HOUR, until=NOON, points=1, now=NOON)
    assert found.lines[0].totals == [2 * Decimal(LARGE)]
