"""Between approval and dispatch: each guard stops what it must, with its own outcome and sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection as database
from django.utils import timezone

from connectors.simulators.core import Simulator
from tests.conftest import release
from tests.house import deactivate, give, set_policy, take, treat
from tests.transfers import hands
from treasury import venues
from treasury.audit.record import Machine
from treasury.balances import typed
from treasury.controls import bands, stops
from treasury.controls.roles import CHECKERS
from treasury.controls.wanted import Wanted
from treasury.models import (
    Account,
    Assessment,
    Attempt,
    AuditEntry,
    Balance,
    Connection,
    Contradiction,
    Decision,
    Policy,
    State,
    StopOrder,
    Transfer,
    User,
)
from treasury.transfers import approve, attempts, dispatch, draft, guards

pytestmark = pytest.mark.django_db


@contextmanager
def past_the_guards() -> Iterator[None]:
    with database.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET LOCAL session_replication_role = replica")
    yield
    with database.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = origin")


def claim(transfer: Transfer, at: datetime | None = None) -> Transfer:
    assert dispatch.claim(reference=transfer.reference, at=at or timezone.now()) is None
    transfer.refresh_from_db()
    assert not Attempt.objects.filter(transfer=transfer).exists()
    return transfer


def test_what_nothing_objects_to_is_claimed_once(approved: Callable[..., Transfer]) -> None:
    transfer = approved()
    attempt = dispatch.claim(reference=transfer.reference, at=timezone.now())
    assert attempt is not None
    assert attempt.send_before == attempt.claimed_at + timedelta(seconds=5)
    assert dispatch.claim(reference=transfer.reference, at=timezone.now()) is None


def test_an_expired_approval_expires(approved: Callable[..., Transfer]) -> None:
    transfer = approved()
    assert claim(transfer, at=transfer.expires_at).state == State.EXPIRED
    assert transfer.outcome.startswith("Nothing moved.")


def test_a_stop_order_holds_it_and_its_release_by_two_lets_it_go(
    approved: Callable[..., Transfer], connection: Connection, operator: User, operator2: User, at: datetime
) -> None:
    order = stops.stop(connection=connection, reason="Key rotation", by=operator, at=at)
    transfer = claim(approved())
    assert transfer.state == State.APPROVED
    assert "stopped since" in transfer.held
    assert "Key rotation" in transfer.held
    release(order, operator, operator2)
    later = timezone.now() + timedelta(seconds=16)
    assert dispatch.claim(reference=transfer.reference, at=later) is not None


def test_an_unreadable_balance_holds_it(approved: Callable[..., Transfer], unified: Account) -> None:
    transfer = approved()
    Balance.objects.filter(account=unified).update(total=None, movable=None, problem="the venue said nothing")
    assert "not readable: the venue said nothing" in claim(transfer).held
    assert transfer.state == State.APPROVED


def test_an_old_balance_holds_it(approved: Callable[..., Transfer], unified: Account) -> None:
    transfer = approved()
    Balance.objects.filter(account=unified).update(observed_at=timezone.now() - timedelta(seconds=61))
    assert "is not of now" in claim(transfer).held
    Balance.objects.filter(account=unified).update(observed_at=timezone.now() + timedelta(minutes=1))
    Transfer.objects.update(due_at=timezone.now())
    assert "is not of now" in claim(transfer).held


def test_the_source_is_read_again_before_the_claim_when_it_is_old(
    approved: Callable[..., Transfer], unified: Account, venue: Simulator
) -> None:
    transfer = approved()
    Balance.objects.filter(account=unified).update(observed_at=timezone.now() - timedelta(seconds=61))
    venue.set_balance("UNIFIED", "USDT", "7")
    dispatch.dispatch(reference=transfer.reference, now=timezone.now)
    transfer.refresh_from_db()
    assert transfer.state == State.SUBMITTED
    assert "7 of" in transfer.outcome


def test_too_little_money_sends_it_back_for_a_new_round(
    approved: Callable[..., Transfer], unified: Account, checker: User
) -> None:
    transfer = approved(amount="900")
    Balance.objects.filter(account=unified, asset="USDT").update(movable="899.99")
    claim(transfer)
    assert (transfer.state, transfer.round) == (State.SUBMITTED, 2)
    assert "900 USDT were approved and 899.99" in transfer.outcome
    again = approve.approve(  # the same checker's word of the first round counts no longer, and may be given anew
        reference=transfer.reference,
        checker=checker,
        digest=transfer.digest or "",
        round=transfer.round,
        factor="password",
        at=timezone.now(),
    )
    assert again.state == State.APPROVED
    assert Decision.objects.count() == 2


def test_what_is_on_its_way_lowers_what_may_be_sent(approved: Callable[..., Transfer]) -> None:
    first, second = approved(amount="600"), approved(amount="600")
    assert dispatch.claim(reference=first.reference, at=timezone.now()) is not None
    claim(second)
    assert second.state == State.SUBMITTED
    assert "400 of" in second.outcome


def test_a_transfer_that_settled_after_the_reading_lowers_it_too(
    approved: Callable[..., Transfer], venue: Simulator
) -> None:
    first, second = approved(amount="600"), approved(amount="600")
    dispatch.dispatch(reference=first.reference, now=timezone.now)
    claim(second)
    assert second.state == State.SUBMITTED


def test_an_approver_who_lost_the_role_does_not_count(approved: Callable[..., Transfer], checker: User) -> None:
    transfer = approved()
    take(checker)
    assert claim(transfer).state == State.SUBMITTED
    assert "1 of checkers must approve, and 0 of those who did may still do so" in transfer.outcome


def test_a_deactivated_approver_does_not_count(approved: Callable[..., Transfer], checker: User) -> None:
    transfer = approved()
    deactivate(checker)
    assert claim(transfer).state == State.SUBMITTED


def test_another_login_behind_the_connection_raises_the_alarm_and_stops_it(
    approved: Callable[..., Transfer], connection: Connection
) -> None:
    """Somebody with the database's own rights changed what a connection keeps."""
    transfer = approved()
    with past_the_guards():
        Connection.objects.filter(pk=connection.pk).update(login="someone-else")
    claim(transfer)
    assert transfer.state == State.APPROVED
    assert "not the one that was approved" in transfer.held
    assert StopOrder.objects.get().reason == f"{transfer.reference}: the instruction is not the one that was approved"
    assert AuditEntry.objects.filter(action="alarm.raise", subject=transfer.subject).exists()


@pytest.mark.parametrize("column", ["amount", "asset", "source", "destination"])
def test_words_changed_past_the_database_guard_are_not_sent(
    approved: Callable[..., Transfer], fund: Account, unified: Account, column: str
) -> None:
    """Somebody with the database's own rights changed a frozen word: the digest tells."""
    transfer = approved()
    changed: dict[str, Any] = {
        "amount": {"amount": Decimal("12.51")},
        "asset": {"asset": "USDC"},
        "source": {"source": fund, "destination": unified},
        "destination": {"source": fund, "destination": unified},
    }[column]
    with past_the_guards():
        Transfer.objects.filter(pk=transfer.pk).update(**changed)
    claim(transfer)
    assert transfer.state == State.APPROVED
    assert "not the one that was approved" in transfer.held


def test_the_days_limit_holds_it(approved: Callable[..., Transfer]) -> None:
    first, second, third = approved(amount="60"), approved(amount="60"), approved(amount="40")
    set_policy(limits=[{"of": "connection", "assets": ["USDT"], "most": "100"}])
    assert dispatch.claim(reference=first.reference, at=timezone.now()) is not None
    claim(second)
    assert second.state == State.APPROVED
    assert "pass the limit of 100" in second.held
    assert dispatch.claim(reference=third.reference, at=timezone.now()) is not None


def test_a_quiet_account_that_somebody_else_moved_sends_it_back(
    approved: Callable[..., Transfer], unified: Account
) -> None:
    treat(unified, quiet=True)
    transfer = approved()
    Balance.objects.filter(account=unified, asset="USDT").update(total="990", movable="990")
    claim(transfer)
    assert transfer.state == State.SUBMITTED
    assert "to hold 1\u202f000 USDT and holds 990" in transfer.outcome


def test_our_own_movement_of_a_quiet_account_is_no_surprise(
    approved: Callable[..., Transfer], unified: Account, venue: Simulator
) -> None:
    treat(unified, quiet=True)
    first, second = approved(amount="100"), approved(amount="50")
    dispatch.dispatch(reference=first.reference, now=timezone.now)
    dispatch.dispatch(reference=second.reference, now=timezone.now)
    second.refresh_from_db()
    assert second.state == State.SETTLED, second.held or second.outcome


@pytest.fixture
def waits(
    desk: Connection, operator: User, operator2: User, maker: User, checker: User, checker2: User
) -> Callable[..., Transfer]:
    """One out of a quiet account that people state, drafted and approved; it holds 100."""

    def make(source: Account, asset: str = "USDT") -> Transfer:
        there = hands.account_of(desk, operator, operator2, "elsewhere")
        words = draft.Words(source, there, asset, "30", "x")
        return hands.approved(draft.draft(words=words, maker=maker, at=timezone.now()), checker, checker2)

    return make


@pytest.fixture
def desk(db: None) -> Connection:
    return hands.desk()


@pytest.fixture
def wallet(desk: Connection, operator: User, operator2: User, maker: User, checker: User) -> Callable[..., Account]:
    def make(address: str, asset: str = "USDT", *, quiet: bool = False) -> Account:
        made = hands.account_of(desk, operator, operator2, address, quiet=quiet)
        hands.stated(made, "100", maker, checker, asset=asset, seen_at=timezone.now() - timedelta(minutes=1))
        return made

    return make


def stated_at(account: Account, total: str, first: User, second: User, asset: str, at: datetime) -> None:
    words = typed.Stated(account, asset, total, at)
    change = typed.propose(stated=words, reason="r", files=[hands.PAPER], by=first, at=at)
    typed.confirm(change_id=change.pk, by=second, digest=change.digest, at=at)


@pytest.mark.parametrize(("total", "fits"), [("110", True), ("100", False), ("109", False)])
def test_what_came_by_hand_to_a_quiet_account_counts_in_any_spelling(
    wallet: Callable[..., Account],
    waits: Callable[..., Transfer],
    maker: User,
    operator: User,
    checker: User,
    checker2: User,
    total: str,
    fits: bool,
) -> None:
    source, quiet = wallet("a"), wallet("b", "usdt", quiet=True)
    transfer = waits(quiet, "usdt")
    words = draft.Words(source, quiet, "USDT", "10", "x")
    came = draft.draft(words=words, maker=maker, at=timezone.now())
    came = hands.asked(hands.approved(came, checker, checker2))
    assert isinstance(guards.unmoved(transfer, timezone.now()), guards.Hold), "it is on its way"
    hands.agree(hands.say(came, operator), came, checker)
    assert hands.ticked(came).state == State.SETTLED
    at = timezone.now() + timedelta(seconds=20)
    stated_at(quiet, total, maker, checker, "usdt", at)
    found = guards.unmoved(Transfer.objects.get(pk=transfer.pk), at)
    assert (found is None) == fits, found


@pytest.mark.parametrize(("total", "fits"), [("110", True), ("109", False), ("121", False), ("100", False)])
def test_what_had_come_before_it_was_approved_is_not_added_again_when_it_is_recorded(
    wallet: Callable[..., Account],
    waits: Callable[..., Transfer],
    maker: User,
    operator: User,
    checker: User,
    checker2: User,
    total: str,
    fits: bool,
) -> None:
    source, quiet = wallet("a"), wallet("b", quiet=True)
    words = draft.Words(source, quiet, "USDT", "10", "x")
    came = draft.draft(words=words, maker=maker, at=timezone.now())
    came = hands.asked(hands.approved(came, checker, checker2))
    hands.stated(quiet, "110", maker, checker)  # it has arrived, and nobody has said so yet
    transfer = waits(quiet)
    hands.agree(hands.say(came, operator), came, checker)
    assert hands.ticked(came).state == State.SETTLED
    at = timezone.now() + timedelta(seconds=20)
    stated_at(quiet, total, maker, checker, "USDT", at)
    found = guards.unmoved(Transfer.objects.get(pk=transfer.pk), at)
    assert (found is None) == fits, found


def test_an_active_account_may_move_by_others(approved: Callable[..., Transfer], unified: Account) -> None:
    transfer = approved()
    Balance.objects.filter(account=unified, asset="USDT").update(total="990", movable="990")
    assert dispatch.claim(reference=transfer.reference, at=timezone.now()) is not None


def test_where_records_carry_no_key_two_alike_are_not_on_their_way_together(
    approved: Callable[..., Transfer], monkeypatch: pytest.MonkeyPatch
) -> None:
    declared = venues.declared
    keyless = replace(declared("bybit"), records_carry_key=False)
    monkeypatch.setattr(venues, "declared", lambda venue: keyless)
    first, twin, other = approved(amount="5"), approved(amount="5"), approved(amount="6")
    assert dispatch.claim(reference=first.reference, at=timezone.now()) is not None
    assert "could not tell them apart" in claim(twin).held
    assert dispatch.claim(reference=other.reference, at=timezone.now()) is not None


@pytest.mark.parametrize("guard", [guard.__name__ for guard in guards.GUARDS])
def test_an_error_in_any_guard_is_a_no(
    approved: Callable[..., Transfer], monkeypatch: pytest.MonkeyPatch, guard: str
) -> None:
    transfer = approved()

    def broken(transfer: Transfer, at: datetime) -> None:
        raise ZeroDivisionError

    broken.__name__ = guard
    monkeypatch.setattr(guards, "GUARDS", tuple(broken if one.__name__ == guard else one for one in guards.GUARDS))
    assert "failed" in claim(transfer).held
    assert transfer.state == State.APPROVED


def test_a_hold_is_said_once_in_the_log(
    approved: Callable[..., Transfer], connection: Connection, at: datetime
) -> None:
    stops.stop(connection=connection, reason="Drill", by=Machine("tests"), at=at)
    transfer = approved()
    for later in (0, 20, 40):
        claim(transfer, at=timezone.now() + timedelta(seconds=later))
    assert AuditEntry.objects.filter(action="transfer.hold", subject=transfer.subject).count() == 1


def test_credentials_that_cannot_be_read_leave_it_unsent(
    approved: Callable[..., Transfer], connection: Connection
) -> None:
    transfer = approved()
    Connection.objects.filter(pk=connection.pk).update(credentials="not a token")
    attempt = dispatch.claim(reference=transfer.reference, at=timezone.now())
    assert attempt is not None
    attempts.conclude(attempt_id=attempt.pk, answer=attempts.call(attempt), now=timezone.now)
    transfer.refresh_from_db()
    assert transfer.state == State.APPROVED
    assert transfer.held.startswith("Not sent. Nothing moved.")


@pytest.mark.django_db(transaction=True)
def test_a_venue_is_never_called_inside_a_transaction(connection: Connection) -> None:
    from django.db import transaction

    with transaction.atomic(), pytest.raises(venues.InsideTransaction):
        venues.open_connection(connection)


def test_the_role_that_must_decide_is_checkers(approved: Callable[..., Transfer]) -> None:
    assert [demand.group for demand in approved().demands.all()] == [CHECKERS]


# -- what must stay, and what came first ---------------------------------------------------------------------


def test_a_floor_is_never_crossed(approved: Callable[..., Transfer]) -> None:
    set_policy(floors={"USDT": "990"})
    exactly, too_much = approved(amount="10"), approved(amount="10.00000001")
    assert "must keep 990 USDT, and 10 are above that" in claim(too_much).outcome
    assert too_much.state == State.SUBMITTED
    assert dispatch.claim(reference=exactly.reference, at=timezone.now()) is not None


def banded(account: Account, floor: str, first: User, second: User) -> None:
    """A band with this floor, as two people set it."""
    said, at = Wanted(account=account, asset="USDT", minimum="0", target="0", floor=floor), timezone.now()
    change = bands.propose(bands=[said], reason="Keep some", by=first, at=at)
    bands.confirm(change_id=change.pk, by=second, digest=change.digest, at=at)


def test_the_floor_of_a_band_is_never_crossed_either(
    approved: Callable[..., Transfer], unified: Account, fund: Account, maker: User, checker: User
) -> None:
    exactly, too_much = approved(amount="10"), approved(amount="10.00000001")
    banded(unified, "990", maker, checker)
    banded(fund, "5000", maker, checker)
    assert "Unified Trading must keep 990 USDT, and 10 are above that" in claim(too_much).outcome
    assert too_much.state == State.SUBMITTED
    assert dispatch.claim(reference=exactly.reference, at=timezone.now()) is not None


def test_the_larger_of_both_floors_counts(unified: Account, fund: Account, maker: User, checker: User) -> None:
    held = unified.balances.get(asset="USDT")
    set_policy(floors={"usdt": "100"})
    for floor, left in (("40", 900), ("250.5", Decimal("749.5")), ("5000", 0)):
        banded(unified, floor, maker, checker)
        assert guards.usable(held) == left
    assert guards.usable(fund.balances.get(asset="USDT")) == 900
    assert guards.floor_of(unified, "BTC") == 0


def test_what_was_approved_earlier_is_kept_for_it(
    approved: Callable[..., Transfer], connection: Connection, maker: User
) -> None:
    first, second = approved(amount="600"), approved(amount="600")
    assert "600 USDT of " in claim(second).held
    assert "kept for what was approved before it" in second.held
    assert dispatch.claim(reference=first.reference, at=timezone.now()) is not None


def test_first_come_first_served_never_locks_two_against_each_other(approved: Callable[..., Transfer]) -> None:
    made = [approved(amount="400") for _ in range(3)]
    Transfer.objects.update(changed_at=made[0].changed_at)
    claimed = [dispatch.claim(reference=one.reference, at=timezone.now()) is not None for one in made]
    assert claimed == [True, True, False]


def test_what_the_venue_may_have_already_is_not_sent(approved: Callable[..., Transfer], at: datetime) -> None:
    transfer = approved()
    Contradiction.objects.create(transfer=transfer, at=at, words="the venue has a record under its key")
    assert "the venue may have it already: the venue has a record under its key" in claim(transfer).held


def test_a_draft_is_told_what_is_spoken_for(
    drafted: Callable[..., Transfer], approved: Callable[..., Transfer]
) -> None:
    """Reservations lower what a new draft may use: what is on its way, what is approved, and what must stay."""
    set_policy(floors={"*": "100"})
    assert dispatch.claim(reference=approved(amount="200").reference, at=timezone.now()) is not None
    approved(amount="300")
    assert draft.more_than_movable(drafted(amount="400")) is None
    warning = draft.more_than_movable(drafted(amount="400.01"))
    assert warning is not None
    assert warning.startswith("Only 400 USDT of ")
    assert "the rest is spoken for, or must stay" in warning


def test_a_contradicted_approval_is_reserved_once(approved: Callable[..., Transfer], at: datetime) -> None:
    transfer = approved(amount="300")
    Contradiction.objects.create(transfer=transfer, at=at, words="the venue has a record under its key")
    held = transfer.source.balances.get(asset="USDT")
    assert guards.usable(held) == 700


@pytest.mark.parametrize(
    ("tampered", "words"),
    [
        (lambda asked: {"answer": asked.answer.replace('"checkers":1', '"checkers":0')}, "reckoned again"),
        (lambda asked: {"answer": asked.answer.replace('"decided_by":"USDT"', '"decided_by":"X"')}, "reckoned again"),
        (lambda asked: {"circumstances": asked.circumstances.replace('"USDT"', '"BTC"')}, "reckoned again"),
        (lambda asked: {"circumstances": "{"}, "reckoned again"),
        (lambda asked: {"round": 7}, "nothing says what the policy answered"),
    ],
)
def test_an_answer_that_does_not_hold_raises_the_alarm_and_sends_nothing(
    approved: Callable[..., Transfer], tampered: Callable[[Assessment], dict[str, Any]], words: str
) -> None:
    """As if somebody had got past every guard of the database."""
    set_policy(rules=[{"name": "USDT", "when": {"assets": ["USDT"]}, "demands": {CHECKERS: 1}}])
    transfer = approved()
    asked = transfer.assessments.get()
    with past_the_guards():
        Assessment.objects.filter(pk=asked.pk).update(**tampered(asked))
    transfer = claim(transfer)
    assert transfer.state == State.APPROVED
    assert words in transfer.held
    assert StopOrder.objects.filter(connection=transfer.connection).exists()


def test_a_version_whose_text_was_changed_raises_the_alarm_and_sends_nothing(approved: Callable[..., Transfer]) -> None:
    transfer = approved()
    asked = transfer.assessments.select_related("policy").get()
    with past_the_guards():
        Policy.objects.filter(pk=asked.policy_id).update(text=asked.policy.text + " ")
    transfer = claim(transfer)
    assert transfer.held == f"the text of {asked.policy} is not the one that was agreed on"


def test_demands_that_are_not_the_answers_raise_the_alarm(approved: Callable[..., Transfer]) -> None:
    set_policy(rules=[{"name": "All", "demands": {CHECKERS: 1, "leads": 1}}])
    lead = User.objects.get(username="checker")
    give(lead, "leads")
    transfer = approved()
    with past_the_guards():
        transfer.demands.filter(group="leads").delete()
    assert "reckoned again" in claim(transfer).held


def test_what_was_submitted_before_there_were_policies_needs_no_answer(approved: Callable[..., Transfer]) -> None:
    transfer = approved()
    with past_the_guards():
        transfer.assessments.all().delete()
        Policy.objects.update(at=timezone.now())
    assert guards.same_answer(transfer, timezone.now()) is None
