"""Between connections people move money by hand: planned last, apart, and never around what they may have done."""

from __future__ import annotations

import pytest
from django.utils import timezone

from tests.conftest import say_yes
from tests.rebalancing.conftest import Holds, SetBand
from tests.rebalancing.test_plan import computed
from tests.transfers import hands
from treasury.models import Account, Connection, PlanGroup, State, Status, Unit, User
from treasury.models.amount import plain
from treasury.rebalancing import drift, propose
from treasury.rebalancing import plan as planning
from treasury.transfers import dispatch

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def cold(connection: Connection, operator: User, operator2: User, set_band: SetBand) -> Account:
    """An account that no API reads: it holds 100 and should hold 500 to 600."""
    account = hands.account_of(hands.desk(), operator, operator2)
    hands.stated(account, "100", operator, operator2)
    set_band(account, "500", "550", "600")
    return account


@pytest.fixture
def banded(cold: Account, unified: Account, fund: Account, set_band: SetBand) -> None:
    """UNIFIED holds 1000 and should hold 100 to 500; FUND holds 1000 and has no room for more."""
    set_band(unified, "100", "300", "500")
    set_band(fund, "0", "1000", "1000")


def second(by: User) -> PlanGroup:
    return computed(by).groups.get(second_step=True)


def test_what_no_transfer_within_a_connection_mends_is_a_step_of_its_own(
    banded: None, maker: User, cold: Account, unified: Account
) -> None:
    group = second(maker)
    line = group.lines.get()
    assert (group.connection, group.status) == (cold.connection, Status.PROVEN)
    assert (line.source, line.destination) == (unified, cold)
    assert line.amount == 500
    assert planning.recheck(group, search_again=True) == []


def test_a_plan_of_one_connection_or_without_a_desk_has_no_second_step(
    banded: None, maker: User, connection: Connection
) -> None:
    assert not computed(maker, connection=connection).groups.filter(second_step=True).exists()


def test_it_takes_only_what_is_there_without_the_first_step(
    banded: None, maker: User, unified: Account, set_band: SetBand, holds: Holds
) -> None:
    holds(unified, "1000", movable="450")
    plan = computed(maker)
    first = plan.groups.get(connection=unified.connection, second_step=False)
    taken = sum(line.amount for group in plan.groups.all() for line in group.lines.filter(source=unified))
    assert taken <= 450, [(line.amount) for line in first.lines.all()]


def test_shares_of_a_group_are_left_alone(
    banded: None, maker: User, unified: Account, fund: Account, set_band: SetBand
) -> None:
    set_band(unified, "10", "20", "30", unit=Unit.SHARE.value)
    assert not computed(maker).groups.filter(second_step=True).exists()


def test_its_draft_goes_by_hand_and_freezes_both_ends_while_somebody_may_be_doing_it(
    banded: None, maker: User, checker: User, cold: Account, unified: Account, checker2: User
) -> None:
    group = second(maker)
    line = group.lines.get()
    (made,) = propose.draft_lines(
        plan=group.plan, amounts={line.pk: plain(line.amount)}, reason="", maker=maker, at=timezone.now()
    )
    assert made.connection == cold.connection
    say_yes(made, checker, checker2)
    by_account = stands()
    assert by_account[cold.pk].expected == 100 + line.amount, "approved, it has certainly not moved"
    dispatch.dispatch(reference=made.reference, now=timezone.now)
    made.refresh_from_db()
    assert made.state == State.CONFIRMING
    words = f"{made.reference} is being moved by hand"
    assert {stands()[account.pk].frozen for account in (cold, unified)} == {words}


def stands() -> dict[int, drift.Stand]:
    return {stand.account.pk: stand for group in drift.read(timezone.now()) for stand in group.stands}
