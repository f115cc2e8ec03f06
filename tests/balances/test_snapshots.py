"""What every complete reading said is kept, exactly, and the older it is the less often."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.conf import settings
from django.db import connection as database
from django.utils import timezone

from connectors.core.protocol import EVERY_ASSET, VenueBalance
from connectors.simulators.core import Simulator
from tests.house import bare_connection, set_up
from treasury import celery, tasks
from treasury.balances import snapshots
from treasury.balances.refresh import NotRead, incomplete, refresh
from treasury.models import Account, AuditEntry, Balance, Connection, Snapshot

pytestmark = pytest.mark.django_db(transaction=True)

# Of today: the database guards a snapshot's first day by its own clock.
NOW = timezone.now().replace(hour=15, minute=30, second=0, microsecond=0)


def latest(connection: Connection) -> dict[str, Any]:
    found: dict[str, Any] = connection.snapshots.latest("at").holdings
    return found


def read_at(account: Account) -> datetime:
    return Balance.objects.get(account=account, asset="USDT").observed_at


# -- what a reading leaves -----------------------------------------------------------------------------------


def test_each_complete_reading_leaves_one_with_its_own_time(connection: Connection, venue: Simulator) -> None:
    assert connection.snapshots.count() == 1
    at = timezone.now()
    venue.set_balance("UNIFIED", "USDT", "987.5")
    refresh(connection=connection, at=at)
    assert connection.snapshots.count() == 2
    newest = connection.snapshots.first()
    assert newest is not None and newest.at == at
    assert newest.holdings["UNIFIED"]["USDT"]["total"] == "987.5"
    assert "problem" not in newest.holdings["UNIFIED"]["USDT"]


def test_a_reading_that_failed_leaves_none(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "SIMULATORS", {"bybit": "http://127.0.0.1:9"})
    with pytest.raises(NotRead):
        refresh(connection=connection, at=timezone.now())
    assert connection.snapshots.count() == 1


def test_a_snapshot_and_its_reading_are_stored_together_or_not_at_all(
    connection: Connection, venue: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    venue.set_balance("UNIFIED", "USDT", "5")
    monkeypatch.setattr("treasury.balances.refresh.record", lambda **_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        refresh(connection=connection, at=timezone.now())
    assert connection.snapshots.count() == 1
    assert Balance.objects.get(account__address="UNIFIED", asset="USDT").total == 1000


def test_zeros_are_left_out_and_an_account_with_nothing_in_it_is_named(
    connection: Connection, venue: Simulator
) -> None:
    for asset in [*latest(connection)["FUND"]]:
        venue.set_balance("FUND", asset, "0")
    refresh(connection=connection, at=timezone.now())
    assert latest(connection)["FUND"] == {}
    assert Balance.objects.filter(account__address="FUND", total=0).exists()


def test_forty_three_digits_are_kept_to_the_last_and_no_number_is_a_float(
    connection: Connection, unified: Account
) -> None:
    large = "1000000000000000000000000.000000000000000001"
    at = timezone.now()
    Balance.objects.update_or_create(
        account=unified,
        asset="USDT",
        defaults={"total": Decimal(large), "movable": -Decimal(large), "observed_at": at, "problem": ""},
    )
    kept = snapshots.keep(connection, at=at)
    kept.refresh_from_db()
    assert kept.holdings["UNIFIED"]["USDT"] == {"total": large, "movable": f"-{large}"}
    with database.cursor() as cursor:
        cursor.execute("SELECT holdings::text FROM treasury_snapshot WHERE id = %s", [kept.pk])
        (text,) = cursor.fetchone()
    seen: list[str] = []
    json.loads(text, parse_float=seen.append, parse_int=seen.append)
    assert seen == []


def test_what_was_not_readable_is_kept_with_its_reason_and_is_no_zero(connection: Connection, unified: Account) -> None:
    Balance.objects.filter(account=unified, asset="USDT").update(total=None, movable=None, problem="no such coin today")
    kept = snapshots.keep(connection, at=read_at(unified))
    assert kept.holdings["UNIFIED"]["USDT"] == {"total": None, "movable": None, "problem": "no such coin today"}


def test_a_total_without_a_movable_number_is_kept_though_it_is_zero(connection: Connection, unified: Account) -> None:
    Balance.objects.filter(account=unified, asset="USDT").update(total=0, movable=None)
    kept = snapshots.keep(connection, at=read_at(unified))
    assert kept.holdings["UNIFIED"]["USDT"] == {"total": "0", "movable": None}


def row(address: str, asset: str, problem: str | None = None) -> VenueBalance:
    total = None if problem else Decimal(1)
    return VenueBalance(
        address=address, asset=asset, total=total, movable=total, observed_at=timezone.now(), problem=problem
    )


def test_an_account_that_was_not_readable_as_a_whole_says_so_of_every_asset(connection: Connection) -> None:
    Balance.objects.filter(account__address="FUND").update(total=None, movable=None, problem="barred")
    told = incomplete([row("FUND", EVERY_ASSET, "barred"), row("UNIFIED", "USDT")])
    kept = snapshots.keep(connection, at=timezone.now(), incomplete=told)
    assert kept.holdings["FUND"] == {"": {"total": None, "movable": None, "problem": "barred"}}
    assert "" not in kept.holdings["UNIFIED"]


def test_what_an_incomplete_answer_does_not_name_is_no_zero() -> None:
    rows = [row("FUND", "USDT"), row("FUND", "BTC", "broken"), row("UNIFIED", "BTC")]
    assert incomplete(rows) == {"FUND": snapshots.INCOMPLETE}


@pytest.fixture
def by_hand(db: None) -> Connection:
    made = bare_connection(
        name="Bank", venue="manual", environment="by hand", login="1", credentials="-", created_at=NOW, by_hand=True
    )
    set_up(connection=made, address="DE02", kind="BANK", title="Giro")
    return made


def test_what_people_state_is_of_its_own_moment_and_what_nobody_stated_is_not_known(by_hand: Connection) -> None:
    kept = snapshots.keep(by_hand, at=NOW)
    assert kept.holdings["DE02"] == {"": {"total": None, "movable": None, "problem": snapshots.NOT_STATED}}
    seen = NOW - timedelta(days=1)
    Balance.objects.create(account=by_hand.accounts.get(), asset="EUR", total=0, movable=0, observed_at=seen)
    kept = snapshots.keep(by_hand, at=NOW)
    assert kept.holdings["DE02"] == {"EUR": {"total": "0", "movable": "0", "as_of": seen.isoformat()}}


def test_what_people_state_is_never_thinned(by_hand: Connection) -> None:
    fill(by_hand, NOW - timedelta(days=400), NOW - timedelta(days=399), timedelta(hours=1))
    assert snapshots.thin(NOW) == 0


# -- thinning ------------------------------------------------------------------------------------------------


@pytest.fixture
def bare(db: None) -> Connection:
    """A connection without a venue behind it."""
    return bare_connection(
        name="Bare", venue="bybit", environment="mainnet", login="1", credentials="-", created_at=NOW
    )


def fill(connection: Connection, first: datetime, last: datetime, step: timedelta) -> None:
    count = (last - first) // step
    Snapshot.objects.bulk_create(
        Snapshot(connection=connection, at=first + number * step, holdings={}) for number in range(count)
    )


def times(connection: Connection, first: datetime, last: datetime) -> list[datetime]:
    rows = connection.snapshots.filter(at__gte=first, at__lt=last).order_by("at")
    return list(rows.values_list("at", flat=True))


@pytest.mark.parametrize(
    ("days", "apart", "left"),
    [
        (1, timedelta(minutes=5), 288),
        (2, timedelta(minutes=5), 288),
        (3, timedelta(minutes=5), 96),
        (14, timedelta(minutes=5), 96),
        (15, timedelta(minutes=5), 24),
        (90, timedelta(minutes=5), 24),
        (91, timedelta(minutes=5), 1),
        (2000, timedelta(hours=1), 1),
    ],
)
def test_each_age_keeps_the_first_of_its_slots(bare: Connection, days: int, apart: timedelta, left: int) -> None:
    day = snapshots.midnight(NOW - timedelta(days=days))
    fill(bare, day + timedelta(minutes=2), day + timedelta(days=1, minutes=2), apart)
    # The day's last five minutes belong to the next one; they are left out of the count.
    Snapshot.objects.filter(at__gte=day + timedelta(days=1), at__lt=NOW - timedelta(days=1)).delete()
    snapshots.thin(NOW)
    kept = times(bare, day, day + timedelta(days=1))
    assert len(kept) == left
    slot = timedelta(days=1) / left
    if apart < slot:
        assert kept == [day + number * slot + timedelta(minutes=2) for number in range(left)]
    assert snapshots.thin(NOW) == 0


def test_thinned_day_by_day_or_all_at_once_the_same_ones_stay(bare: Connection) -> None:
    twin = bare_connection(
        name="Twin", venue="bybit", environment="mainnet", login="2", credentials="-", created_at=NOW
    )
    began = NOW - timedelta(days=20)
    for one in (bare, twin):
        fill(one, began, began + timedelta(days=6), timedelta(minutes=7))
    for period in range(20):
        at = NOW - timedelta(days=20 - period)
        if at - timedelta(days=2) > began:
            snapshots.thin(at)
    snapshots.thin(NOW)
    step_by_step = times(bare, began, NOW)
    assert step_by_step == times(twin, began, NOW)
    Snapshot.objects.filter(connection=twin).delete()
    fill(twin, began, began + timedelta(days=6), timedelta(minutes=7))
    snapshots.thin(NOW)
    assert times(twin, began, NOW) == step_by_step


NO_ANSWER = {"total": None, "movable": None, "problem": "maintenance"}
GOOD = {"DE": {"USDT": {"total": "5", "movable": "5"}}, "FR": {}}
IN_PART = {"DE": {"USDT": {"total": "5", "movable": "5"}, "": NO_ANSWER}, "FR": {}}
BAD = {"DE": {"": NO_ANSWER}, "FR": {"": NO_ANSWER}}


@pytest.mark.parametrize(
    ("told", "stays"),
    [((BAD, GOOD, GOOD), 1), ((BAD, IN_PART, BAD), 1), ((IN_PART, BAD, IN_PART), 0), ((BAD, BAD, BAD), 0)],
    ids=["the first whole one", "the one that knows most", "the first of several alike", "the first of none"],
)
@pytest.mark.parametrize("days", [5, 200])
def test_a_moments_failure_does_not_stand_for_its_whole_slot(
    bare: Connection, told: tuple[dict[str, Any], ...], stays: int, days: int
) -> None:
    first = snapshots.midnight(NOW) - timedelta(days=days)
    rows = [
        Snapshot.objects.create(connection=bare, at=first + timedelta(minutes=number), holdings=one)
        for number, one in enumerate(told)
    ]
    snapshots.thin(NOW)
    assert list(Snapshot.objects.all()) == [rows[stays]]


def test_each_connection_keeps_its_own_first(bare: Connection) -> None:
    twin = bare_connection(
        name="Twin", venue="bybit", environment="mainnet", login="2", credentials="-", created_at=NOW
    )
    day = snapshots.midnight(NOW - timedelta(days=100))
    fill(bare, day, day + timedelta(hours=3), timedelta(hours=1))
    fill(twin, day + timedelta(hours=1), day + timedelta(hours=3), timedelta(hours=1))
    assert snapshots.thin(NOW) == 3
    assert times(bare, day, NOW) == [day]
    assert times(twin, day, NOW) == [day + timedelta(hours=1)]


def test_what_is_removed_is_in_the_log_batch_by_batch_and_a_run_has_an_end(
    bare: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "BATCH", 10)
    monkeypatch.setattr(snapshots, "BATCHES_MOST", 3)
    day = snapshots.midnight(NOW - timedelta(days=100))
    fill(bare, day, day + timedelta(hours=6), timedelta(minutes=10))
    assert snapshots.thin(NOW) == 30
    entries = AuditEntry.objects.filter(action="snapshot.thin")
    assert [(one.actor, one.facts["removed"], one.facts["left"]) for one in entries] == [
        ("thinner", 10, "the first whole one of each day")
    ] * 3
    assert snapshots.thin(NOW) == 5
    assert times(bare, day, NOW) == [day]


def test_the_settings_say_how_long(bare: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "SNAPSHOTS_ALL_DAYS", 1)
    monkeypatch.setattr(settings, "SNAPSHOTS_QUARTER_HOURS_DAYS", 1)
    monkeypatch.setattr(settings, "SNAPSHOTS_HOURS_DAYS", 3)
    for days, left in ((3, 24), (4, 1)):
        day = snapshots.midnight(NOW - timedelta(days=days))
        fill(bare, day, day + timedelta(days=1), timedelta(minutes=5))
        snapshots.thin(NOW)
        assert len(times(bare, day, day + timedelta(days=1))) == left


def test_the_last_day_stays_whole_whatever_the_settings_say(bare: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SNAPSHOTS_ALL_DAYS", "SNAPSHOTS_QUARTER_HOURS_DAYS", "SNAPSHOTS_HOURS_DAYS"):
        monkeypatch.setattr(settings, name, 0)
    fill(bare, NOW - timedelta(days=1), NOW, timedelta(minutes=5))
    assert snapshots.thin(NOW) == 0


def test_how_far_apart_they_are_is_known_by_age() -> None:
    for days, apart in ((0, 0), (1, 0), (3, 15), (15, 60), (91, 1440), (4000, 1440)):
        assert snapshots.slot_at(NOW - timedelta(days=days), NOW) == timedelta(minutes=apart)


def test_the_clock_thins_once_an_hour(bare: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[Callable[..., Any] | datetime] = []
    monkeypatch.setattr(snapshots, "thin", lambda at: ran.append(at))
    tasks.tick_thin()
    assert len(ran) == 1
    tick = celery.app.conf.beat_schedule["thin"]
    assert (tick["task"], tick["schedule"]) == (tasks.tick_thin.name, timedelta(hours=1))
