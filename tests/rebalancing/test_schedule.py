"""The clock notes who is outside, asks once each time, tells makers, and moves nothing."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django.conf import settings
from django.utils import timezone

from tests.rebalancing.conftest import Holds, SetBand
from treasury import tasks
from treasury.controls import bands
from treasury.controls.wanted import Wanted
from treasury.models import Account, Drift, Notice, Origin, Plan, PlanState, Transfer, User
from treasury.rebalancing import plan as planning
from treasury.rebalancing import schedule

pytestmark = pytest.mark.django_db(transaction=True)

LONG = settings.DRIFT_PLAN_AFTER
A_MINUTE = timedelta(minutes=1)


@pytest.fixture
def outside(unified: Account, fund: Account, set_band: SetBand, holds: Holds) -> datetime:
    """UNIFIED is above and FUND below, noted at this moment."""
    at = timezone.now()
    set_band(unified, "100", "300", "500")
    set_band(fund, "1500", "1600")
    read(holds, unified, fund, at=at)
    schedule.watch(at=at)
    return at


def read(holds: Holds, *accounts: Account, at: datetime, total: str = "1000") -> None:
    for account in accounts:
        holds(account, total, at=at)


def test_since_when_an_account_has_been_outside_is_kept(outside: datetime, unified: Account, fund: Account) -> None:
    schedule.watch(at=outside + A_MINUTE)
    assert set(Drift.objects.values_list("account", "asset", "since")) == {
        (unified.pk, "USDT", outside),
        (fund.pk, "USDT", outside),
    }


def test_inside_again_it_is_forgotten(outside: datetime, unified: Account, fund: Account, holds: Holds) -> None:
    holds(unified, "400", at=outside)
    schedule.watch(at=outside + A_MINUTE)
    assert [row.account for row in Drift.objects.all()] == [fund]


def test_what_nobody_knows_changes_nothing(outside: datetime, unified: Account, holds: Holds) -> None:
    holds(unified, None, at=outside)
    schedule.watch(at=outside + A_MINUTE)
    assert Drift.objects.get(account=unified).since == outside


def test_without_its_band_it_is_forgotten(outside: datetime, unified: Account, operator: User, operator2: User) -> None:
    gone = Wanted(account=unified, asset="USDT", removed=True)
    change = bands.propose(bands=[gone], reason="Over", by=operator, at=outside)
    bands.confirm(change_id=change.pk, by=operator2, digest=change.digest, at=outside)
    schedule.watch(at=outside + A_MINUTE)
    assert not Drift.objects.filter(account=unified).exists()


def test_outside_for_long_one_plan_is_asked_for_once(
    outside: datetime, unified: Account, fund: Account, holds: Holds
) -> None:
    read(holds, unified, fund, at=outside + LONG)
    schedule.watch(at=outside + LONG - A_MINUTE)
    assert not Plan.objects.exists()
    for minute in range(3):
        schedule.watch(at=outside + LONG + minute * A_MINUTE)
    plan = Plan.objects.get()
    assert (plan.origin, plan.asked_by, plan.connection, plan.asset) == (
        Origin.SCHEDULE,
        None,
        unified.connection,
        "USDT",
    )


def test_a_new_episode_is_asked_about_anew(outside: datetime, unified: Account, fund: Account, holds: Holds) -> None:
    at = outside + LONG
    read(holds, unified, fund, at=at)
    schedule.watch(at=at)
    planning.compute(plan_id=Plan.objects.get().pk, at=at)
    read(holds, unified, at=at, total="400")
    read(holds, fund, at=at, total="1500")
    schedule.watch(at=at + A_MINUTE)
    again = at + 2 * A_MINUTE
    read(holds, unified, fund, at=again)
    schedule.watch(at=again)
    read(holds, unified, fund, at=again + LONG)
    schedule.watch(at=again + LONG)
    assert Plan.objects.count() == 2


def test_while_a_number_is_unknown_it_waits(outside: datetime, unified: Account, fund: Account, holds: Holds) -> None:
    at = outside + LONG
    read(holds, unified, at=at)
    holds(fund, None, at=at)
    schedule.watch(at=at)
    assert not Plan.objects.exists()
    read(holds, fund, at=at)
    schedule.watch(at=at + A_MINUTE)
    assert Plan.objects.count() == 1


def test_switched_off_it_only_notes(
    outside: datetime, unified: Account, fund: Account, holds: Holds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "DRIFT_PLAN_AFTER", timedelta(0))
    at = outside + LONG
    read(holds, unified, fund, at=at)
    schedule.watch(at=at)
    assert not Plan.objects.exists()
    assert Drift.objects.count() == 2


def test_makers_are_told_of_a_plan_that_proposes_something_and_nothing_moves(
    outside: datetime, unified: Account, fund: Account, holds: Holds, maker: User, checker: User
) -> None:
    at = outside + LONG
    read(holds, unified, fund, at=at)
    schedule.watch(at=at)
    plan = Plan.objects.get()
    planning.compute(plan_id=plan.pk, at=at)
    notice = Notice.objects.get(kind="plan.ready")
    assert notice.to == maker.email
    assert f"/plans/{plan}/" in notice.text
    for word in ("USDT", unified.connection.name, unified.title, "1000", "500", maker.get_full_name()):
        assert word not in f"{notice.title} {notice.text}"
    assert not Transfer.objects.exists()


def test_nobody_is_told_of_a_plan_without_a_line_or_of_ones_own(
    outside: datetime, unified: Account, fund: Account, holds: Holds, maker: User, set_band: SetBand
) -> None:
    own = planning.ask(by=maker, at=outside)
    planning.compute(plan_id=own.pk, at=outside)
    set_band(unified, "1000", "1000", "1000")
    at = outside + LONG
    read(holds, unified, fund, at=at)
    schedule.watch(at=at)
    plan = Plan.objects.get(origin=Origin.SCHEDULE)
    planning.compute(plan_id=plan.pk, at=at)
    plan.refresh_from_db()
    assert plan.state == PlanState.READY
    assert not Notice.objects.filter(kind="plan.ready").exists()


def test_the_tick_watches(outside: datetime) -> None:
    Drift.objects.all().delete()
    tasks.tick_drift()
    assert Drift.objects.count() == 2
