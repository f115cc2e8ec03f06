"""What explains a change: our own transfers exactly, and the rest by name. Better a reading passed over than a false
alarm."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from connectors.core.errors import Refused, Uncertain
from connectors.core.protocol import Receipt
from connectors.simulators.core import Simulator
from tests.house import treat
from treasury.balances import movements
from treasury.balances.refresh import refresh
from treasury.models import (
    Account,
    AuditEntry,
    Balance,
    Connection,
    Mark,
    Movement,
    Scope,
    State,
    StopOrder,
    Transfer,
    User,
)
from treasury.transfers import attempts, contradictions, dispatch, settle

pytestmark = pytest.mark.django_db

Make = Callable[..., Transfer]
LATER = timedelta(seconds=10)


def read(connection: Connection, after: timedelta = LATER) -> None:
    """A reading that is calm: of so long after now."""
    refresh(connection=connection, at=timezone.now() + after)


def parts(account: Account, asset: str = "USDT") -> list[tuple[str, str]]:
    """(ours, rest) of every movement."""
    rows = Movement.objects.filter(account=account, asset=asset).order_by("pk")
    return [(f"{row.ours.normalize():f}", f"{row.rest.normalize():f}") for row in rows]


def mark(account: Account, asset: str = "USDT") -> str:
    return f"{Mark.objects.get(account=account, asset=asset).total.normalize():f}"


def declare_quiet(account: Account) -> None:
    treat(account, quiet=True)


def notices() -> list[str]:
    return list(AuditEntry.objects.filter(action="movement.notice").values_list("subject", flat=True))


def claimed(transfer: Transfer) -> int:
    attempt = dispatch.claim(reference=transfer.reference, at=timezone.now())
    assert attempt is not None
    return attempt.pk


def concluded(transfer: Transfer, attempt: int, answer: attempts.Answer) -> Transfer:
    attempts.conclude(attempt_id=attempt, answer=answer, now=timezone.now)
    transfer.refresh_from_db()
    return transfer


# -- whose change it is --------------------------------------------------------------------------------------


def test_the_first_reading_is_where_reckoning_begins(unified: Account, fund: Account) -> None:
    assert (mark(unified), mark(fund)) == ("1000", "1000")
    assert not Movement.objects.exists()


def test_what_others_do_to_an_active_account_is_listed_and_stops_nothing(unified: Account, venue: Simulator) -> None:
    venue.set_balance("UNIFIED", "USDT", "940.5")
    read(unified.connection)
    movement = Movement.objects.get()
    assert (movement.before, movement.after, movement.ours, movement.rest) == (
        1000,
        Decimal("940.5"),
        0,
        Decimal("-59.5"),
    )
    assert not movement.tripped
    assert mark(unified) == "940.5"
    assert not StopOrder.objects.exists()
    assert notices() == []
    read(unified.connection, 2 * LATER)
    assert Movement.objects.count() == 1


def test_what_others_do_to_a_quiet_account_stops_it_and_says_why(unified: Account, venue: Simulator) -> None:
    declare_quiet(unified)
    venue.set_balance("UNIFIED", "USDT", "950")
    read(unified.connection)
    order = StopOrder.objects.get()
    assert (order.scope, order.account, order.by) == (Scope.ACCOUNT, unified, "drift")
    for words in ("1\u202f000", "950", "no transfer of ours did that, and nothing explains \u221250 USDT"):
        assert words in order.reason
    assert parts(unified) == [("0", "-50")]
    assert Movement.objects.get().tripped
    entry = AuditEntry.objects.get(action="movement.notice")
    assert (entry.actor, entry.subject, entry.facts["rest"]) == ("drift", f"account:{unified}", "-50")
    read(unified.connection, 2 * LATER)
    assert StopOrder.objects.count() == len(notices()) == 1
    assert mark(unified) == "950"


def test_while_it_stands_stopped_further_changes_are_listed_and_are_no_further_stops(
    unified: Account, venue: Simulator
) -> None:
    declare_quiet(unified)
    for number, left in enumerate(("950", "951", "952"), start=1):
        venue.set_balance("UNIFIED", "USDT", left)
        read(unified.connection, number * LATER)
    assert [row.tripped for row in Movement.objects.all()] == [True, True, True]
    assert StopOrder.objects.count() == 1


def test_within_tolerance_a_quiet_account_is_only_listed(
    unified: Account, venue: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "MOVEMENT_TOLERANCE", Decimal("0.05"))
    declare_quiet(unified)
    venue.set_balance("UNIFIED", "USDT", "950")
    read(unified.connection)
    assert not StopOrder.objects.exists()
    venue.set_balance("UNIFIED", "USDT", "902.49")
    read(unified.connection, 2 * LATER)
    assert [one.tripped for one in Movement.objects.order_by("pk")] == [False, True]


def test_our_transfer_explains_its_change_on_both_sides(
    unified: Account, fund: Account, approved: Make, venue: Simulator
) -> None:
    declare_quiet(unified)
    declare_quiet(fund)
    transfer = approved(amount="12.5")
    dispatch.dispatch(reference=transfer.reference, now=timezone.now)
    read(unified.connection)
    assert venue.balance("UNIFIED", "USDT") == "987.5"
    assert (mark(unified), mark(fund)) == ("987.5", "1012.5")
    assert not Movement.objects.exists()
    assert not StopOrder.objects.exists()


def test_ours_and_the_rest_are_told_apart_when_both_happen_at_once(
    unified: Account, fund: Account, approved: Make, venue: Simulator
) -> None:
    dispatch.dispatch(reference=approved(amount="12.5").reference, now=timezone.now)
    venue.set_balance("UNIFIED", "USDT", "980")
    venue.set_balance("FUND", "USDT", "1000")
    read(unified.connection)
    assert parts(unified) == [("-12.5", "-7.5")]
    assert parts(fund) == [("12.5", "-12.5")]


@pytest.mark.parametrize(("left", "told"), [("987.5", []), ("987.4", []), ("987.3", [("-12.5", "-0.1")])])
def test_the_fee_that_the_venue_named_counts_apart_whether_it_comes_on_top_or_not(
    unified: Account, approved: Make, venue: Simulator, left: str, told: list[tuple[str, str]]
) -> None:
    declare_quiet(unified)
    transfer = approved(amount="12.5")
    concluded(transfer, claimed(transfer), Receipt(settled=True, record="V1", fee=Decimal("0.1")))
    venue.set_balance("UNIFIED", "USDT", left)
    read(unified.connection)
    assert parts(unified) == told
    assert [str(row.fees.normalize()) for row in Movement.objects.filter(account=unified)] == ["-0.1"] * len(told)
    assert mark(unified) == left


def test_a_coin_that_vanished_from_a_complete_answer_has_moved(unified: Account, venue: Simulator) -> None:
    Balance.objects.create(account=unified, asset="OLD", total=3, movable=3, observed_at=timezone.now())
    Mark.objects.create(account=unified, asset="OLD", total=3, at=timezone.now())
    read(unified.connection)
    assert parts(unified, "OLD") == [("0", "-3")]


def test_what_was_not_readable_is_no_change_and_is_reckoned_over(unified: Account, venue: Simulator) -> None:
    declare_quiet(unified)
    Balance.objects.filter(account=unified).update(
        total=None, movable=None, problem="no answer", observed_at=timezone.now() + LATER
    )
    assert movements.note(unified.connection) == []
    assert mark(unified) == "1000"
    venue.set_balance("UNIFIED", "USDT", "1001")
    read(unified.connection, 2 * LATER)
    assert parts(unified) == [("0", "1")]


# -- waiting for a calmer reading ----------------------------------------------------------------------------


def test_nothing_is_reckoned_while_a_transfer_is_in_flight_and_then_it_adds_up(
    unified: Account, fund: Account, approved: Make, venue: Simulator
) -> None:
    declare_quiet(unified)
    transfer = approved(amount="12.5")
    attempt = claimed(transfer)
    venue.set_balance("UNIFIED", "USDT", "987.5")  # it has moved, and nobody knows yet
    read(unified.connection)
    concluded(transfer, attempt, Uncertain("Perhaps."))
    read(unified.connection, 2 * LATER)
    assert mark(unified) == "1000"
    assert not Movement.objects.exists()
    settle.note(
        reference=transfer.reference,
        answer=settle.Standing(state=settle.Found.DONE, searched=True, found=True),
        asked_at=timezone.now(),
        at=timezone.now(),
    )
    read(unified.connection, 3 * LATER)
    assert mark(unified) == "987.5"
    assert not Movement.objects.filter(account=unified).exists()
    assert not StopOrder.objects.exists()


def test_a_reading_around_the_moment_of_settling_is_passed_over(
    unified: Account, approved: Make, venue: Simulator
) -> None:
    """The number may be of before or of after; which, nobody knows."""
    declare_quiet(unified)
    dispatch.dispatch(reference=approved(amount="12.5").reference, now=timezone.now)
    venue.set_balance("UNIFIED", "USDT", "1000")  # an answer that lags
    read(unified.connection, timedelta(0))
    assert mark(unified) == "1000"
    venue.set_balance("UNIFIED", "USDT", "987.5")
    read(unified.connection)
    assert mark(unified) == "987.5"
    assert not StopOrder.objects.exists()


def test_no_mark_is_made_while_something_is_in_flight(unified: Account, approved: Make, venue: Simulator) -> None:
    attempt = claimed(transfer := approved(amount="12.5"))
    Mark.objects.all().delete()
    read(unified.connection)
    assert not Mark.objects.filter(asset="USDT").exists()
    concluded(transfer, attempt, Receipt(settled=True, record=None))
    venue.set_balance("UNIFIED", "USDT", "987.5")
    read(unified.connection, 2 * LATER)
    assert mark(unified) == "987.5"


def test_other_assets_and_other_accounts_are_reckoned_meanwhile(
    unified: Account, approved: Make, venue: Simulator
) -> None:
    claimed(approved(amount="12.5"))
    venue.set_balance("UNIFIED", "BTC", "77")
    read(unified.connection)
    assert len(parts(unified, "BTC")) == 1


def test_a_refused_send_explains_nothing(unified: Account, approved: Make, venue: Simulator) -> None:
    transfer = approved(amount="12.5")
    concluded(transfer, claimed(transfer), Refused("Nothing moved."))
    venue.set_balance("UNIFIED", "USDT", "987.5")
    read(unified.connection)
    assert parts(unified) == [("0", "-12.5")]


def test_an_older_reading_that_comes_late_changes_nothing(unified: Account, venue: Simulator) -> None:
    read(unified.connection, 2 * LATER)
    venue.set_balance("UNIFIED", "USDT", "5")
    read(unified.connection, LATER)
    assert mark(unified) == "1000"


# -- corrections ---------------------------------------------------------------------------------------------


@pytest.fixture
def contradicted(approved: Make) -> Transfer:
    """It stands as failed, and later evidence says that the venue has it."""
    transfer = approved(amount="12.5")
    concluded(transfer, claimed(transfer), Refused("Nothing moved."))
    return dispute(transfer)


def dispute(transfer: Transfer) -> Transfer:
    words = "the venue's records show otherwise"
    contradictions.raise_(transfer, words=words, by=settle.SETTLER, at=timezone.now())
    return transfer


def close(transfer: Transfer, moved: bool, first: User, second: User) -> None:
    at = timezone.now()
    (one,) = transfer.contradictions.filter(closed_at=None)
    said = {"reason": "seen on the venue's screen", "typed": transfer.reference, "files": []}
    change = contradictions.propose_close(contradiction_id=one.pk, moved=moved, by=first, at=at, **said)  # type: ignore[arg-type]
    contradictions.confirm_close(
        change_id=change.pk, by=second, digest=change.digest, typed=transfer.reference, at=timezone.now()
    )


def test_a_correction_overrules_the_state_and_until_then_nothing_is_reckoned(
    contradicted: Transfer, unified: Account, fund: Account, venue: Simulator, checker: User, checker2: User
) -> None:
    declare_quiet(unified)
    venue.set_balance("UNIFIED", "USDT", "987.5")
    venue.set_balance("FUND", "USDT", "1012.5")
    read(unified.connection)
    assert mark(unified) == "1000"
    close(contradicted, True, checker, checker2)
    read(unified.connection, 2 * LATER)
    assert (mark(unified), mark(fund)) == ("987.5", "1012.5")
    assert not Movement.objects.exists()
    assert not StopOrder.objects.exists()


def test_a_correction_that_it_did_not_move_takes_it_out_of_ours(
    approved: Make, unified: Account, venue: Simulator, checker: User, checker2: User
) -> None:
    transfer = approved(amount="12.5")
    concluded(transfer, claimed(transfer), Receipt(settled=True, record=None))
    dispute(transfer)
    assert transfer.state == State.SETTLED
    close(transfer, False, checker, checker2)
    read(unified.connection)
    assert not Movement.objects.exists()


def test_what_was_listed_as_anothers_is_not_alarmed_about_a_second_time_when_it_turns_out_to_be_ours(
    approved: Make, unified: Account, venue: Simulator, checker: User, checker2: User
) -> None:
    """Its money left before the correction was known: that reading listed it, and the correction adds nothing."""
    transfer = approved(amount="12.5")
    concluded(transfer, claimed(transfer), Uncertain("Perhaps."))
    Transfer.objects.filter(pk=transfer.pk).update(due_at=timezone.now())
    for _ in range(1):
        settle.note(
            reference=transfer.reference,
            answer=settle.Standing(state=settle.Found.FAILED, searched=True, found=True),
            asked_at=timezone.now(),
            at=timezone.now(),
        )
    transfer.refresh_from_db()
    assert transfer.state == State.FAILED
    venue.set_balance("UNIFIED", "USDT", "987.5")
    read(unified.connection)
    assert parts(unified) == [("0", "-12.5")]
    words = "a record after all"
    contradictions.raise_(transfer, words=words, by=settle.SETTLER, at=timezone.now() + 2 * LATER)
    close(transfer, True, checker, checker2)
    declare_quiet(unified)
    read(unified.connection, 4 * LATER)
    assert parts(unified) == [("0", "-12.5")]
    assert not StopOrder.objects.exists()


# -- the stop itself -----------------------------------------------------------------------------------------


def test_a_process_that_dies_before_the_stop_leaves_it_to_the_next_reading(
    unified: Account, venue: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare_quiet(unified)
    venue.set_balance("UNIFIED", "USDT", "950")
    with monkeypatch.context() as patch:
        patch.setattr(movements, "trip", lambda *_, **__: None)
        read(unified.connection)
    assert not Movement.objects.exists()
    assert mark(unified) == "1000"
    read(unified.connection, 2 * LATER)
    assert StopOrder.objects.count() == len(parts(unified)) == 1


def test_two_readings_of_one_change_stop_it_once(unified: Account, venue: Simulator) -> None:
    declare_quiet(unified)
    Balance.objects.filter(account=unified, asset="USDT").update(total=950, observed_at=timezone.now() + LATER)
    both = [movements.note(unified.connection) for _ in range(2)]
    for found in both:
        movements.trip(found, at=timezone.now())
    assert StopOrder.objects.count() == len(notices()) == len(parts(unified)) == 1


# -- exactness -----------------------------------------------------------------------------------------------

UNIT = Decimal(1).scaleb(-18)
amounts = st.integers(min_value=-(10**42), max_value=10**42).map(lambda units: units * UNIT)
positive = st.integers(min_value=1, max_value=10**42).map(lambda units: units * UNIT)


@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    before=amounts,
    after=amounts,
    moves=st.lists(st.tuples(positive, st.booleans(), st.booleans(), st.sampled_from([None, True, False])), max_size=6),
)
def test_the_parts_sum_to_the_change_to_the_last_unit(
    unified: Account,
    fund: Account,
    maker: User,
    before: Decimal,
    after: Decimal,
    moves: list[tuple[Decimal, bool, bool, bool | None]],
) -> None:
    """18 decimals beside 10^24 and more; the database itself checks the sum of each row once again."""
    since = timezone.now()
    near = [made(unified, fund, maker, since, *move) for move in moves]
    explained = movements.ours(unified.pk, near, change=after - before, since=since)
    found = movements.Reckoned(unified, "USDT", since, since + LATER, before, after, explained)
    sure = [
        amount if comes else -amount
        for amount, comes, straddles, ruled in moves
        if ruled is not False and not straddles
    ]
    doubtful = [abs(amount) for amount, _, straddles, ruled in moves if ruled is not False and straddles]
    assert abs(explained - sum(sure)) <= sum(doubtful)
    assert abs(found.rest) <= abs(after - before - sum(sure))
    if found.rest:
        (row,) = movements._keep([found], tripped=False)
        row.refresh_from_db()
        assert units(row.after) - units(row.before) == units(row.ours) + units(row.rest)
        assert (units(row.before), units(row.after)) == (units(before), units(after))


def units(amount: Decimal) -> int:
    """In whole units of 10^-18: integers cannot round."""
    return int(amount.scaleb(18))


def made(
    unified: Account,
    fund: Account,
    maker: User,
    since: datetime,
    amount: Decimal,
    comes: bool,
    straddles: bool,
    ruled: bool | None,
) -> Any:
    """A settled transfer as ``near_transfers`` finds it."""
    source, destination = (fund, unified) if comes else (unified, fund)
    one: Any = Transfer(source=source, destination=destination, asset="USDT", amount=amount, state=State.SETTLED)
    moment = timedelta(seconds=1)
    one.began = since - moment if straddles else since + moment
    one.moved_by, one.ruled, one.maker, one.fee = since + 2 * moment, ruled, maker, None
    return one
