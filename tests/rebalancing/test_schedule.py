"""The clock notes who is outside, asks once each time, tells makers, and moves nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from connectors.core.protocol import Receipt
from tests.rebalancing.conftest import Holds, SetBand
from treasury import tasks
from treasury.audit.record import Machine
from treasury.controls import bands
from treasury.controls.wanted import Wanted
from treasury.models import (
    Account,
    Drift,
    Notice,
    Origin,
    Plan,
    PlanGroup,
    PlanLine,
    PlanState,
    State,
    Status,
    Transfer,
    User,
)
from treasury.rebalancing import plan as planning
from treasury.rebalancing import schedule
from treasury.transfers import attempts, dispatch, lifecycle

pytestmark = pytest.mark.django_db(transaction=True)

LONG = settings.DRIFT_PLAN_AFTER
A_MINUTE = timedelta(minutes=1)
TESTS = Machine("tests")


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


def settle(transfer: Transfer, at: datetime) -> None:
    with transaction.atomic():
        words = {"by": TESTS, "at": at, "action": "transfer.settle", "outcome": "Moved."}
        lifecycle.advance(lifecycle.locked(transfer.reference), State.SETTLED, **words)


@pytest.fixture
def on_the_way(
    approved: Callable[..., Transfer], unified: Account, fund: Account, holds: Holds
) -> Callable[[], Transfer]:
    """A transfer that the venue took and has not settled: nobody can say what its accounts hold."""

    def make() -> Transfer:
        transfer = approved(amount="1")
        read(holds, unified, fund, at=timezone.now())  # a reading from later than now lets nothing be sent
        attempt = dispatch.claim(reference=transfer.reference, at=timezone.now())
        assert attempt is not None
        answer = Receipt(settled=False, record="V1")
        attempts.conclude(attempt_id=attempt.pk, answer=answer, now=timezone.now)
        return transfer

    return make


def watched(holds: Holds, unified: Account, fund: Account, at: datetime) -> int:
    """How many plans the clock has asked for after a tick at this moment."""
    read(holds, unified, fund, at=at)
    schedule.watch(at=at)
    return Plan.objects.count()


def test_while_an_account_is_frozen_it_waits(
    outside: datetime, unified: Account, fund: Account, holds: Holds, on_the_way: Callable[[], Transfer]
) -> None:
    flying = on_the_way()
    at = outside + LONG
    assert watched(holds, unified, fund, at) == 0
    settle(flying, at)
    assert watched(holds, unified, fund, at + A_MINUTE) == 1


def test_a_plan_that_failed_is_asked_for_again_after_as_long(
    outside: datetime, unified: Account, fund: Account, holds: Holds
) -> None:
    at = outside + LONG
    assert watched(holds, unified, fund, at) == 1
    Plan.objects.update(state=PlanState.COMPUTING, began_at=at)
    assert watched(holds, unified, fund, at + 2 * LONG) == 1, "it is being computed"
    planning.fail(plan_id=Plan.objects.get().pk, problem=planning.DIED, at=at)
    assert watched(holds, unified, fund, at + LONG - A_MINUTE) == 1
    assert watched(holds, unified, fund, at + LONG) == 2
    Plan.objects.filter(state=PlanState.WAITING).update(state=PlanState.FAILED, began_at=at, ended_at=at)
    assert watched(holds, unified, fund, at + LONG + A_MINUTE) == 2, "no more often than that"
    assert watched(holds, unified, fund, at + 2 * LONG) == 3


def test_a_plan_of_numbers_that_were_not_known_is_asked_for_again(
    outside: datetime, unified: Account, fund: Account, holds: Holds
) -> None:
    at = outside + LONG
    assert watched(holds, unified, fund, at) == 1
    holds(fund, None, at=at)
    planning.compute(plan_id=Plan.objects.get().pk, at=at)
    assert PlanGroup.objects.get().status == Status.REFUSED
    assert watched(holds, unified, fund, at + LONG) == 2


def test_a_plan_without_a_line_while_accounts_were_frozen_is_asked_for_again(
    outside: datetime, unified: Account, fund: Account, holds: Holds, on_the_way: Callable[[], Transfer]
) -> None:
    at = outside + LONG
    assert watched(holds, unified, fund, at) == 1
    flying = on_the_way()
    read(holds, unified, fund, at=at)
    planning.compute(plan_id=Plan.objects.get().pk, at=at)
    assert (Plan.objects.get().state, PlanLine.objects.count()) == (PlanState.READY, 0)
    assert watched(holds, unified, fund, at + LONG) == 1
    settle(flying, at + LONG)
    assert watched(holds, unified, fund, at + LONG + A_MINUTE) == 2


@pytest.mark.parametrize("helps", [True, False])
def test_a_plan_that_said_what_helps_or_that_nothing_does_is_not_asked_for_again(
    outside: datetime, unified: Account, fund: Account, holds: Holds, set_band: SetBand, helps: bool
) -> None:
    if not helps:
        set_band(unified, "1000", "1000", "1000")
    at = outside + LONG
    assert watched(holds, unified, fund, at) == 1
    planning.compute(plan_id=Plan.objects.get().pk, at=at)
    assert (Plan.objects.get().state, PlanLine.objects.exists()) == (PlanState.READY, helps)
    assert watched(holds, unified, fund, at + 5 * LONG) == 1


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
