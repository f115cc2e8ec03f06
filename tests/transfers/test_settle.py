"""Look-ups and re-sends: what each answer proves, and what it never proves."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from connectors.core.errors import Refused, TryLater, Uncertain
from connectors.core.protocol import Receipt, Standing
from connectors.core.protocol import State as Found
from connectors.simulators.core import Simulator
from tests.house import set_policy
from treasury.audit.record import Machine
from treasury.controls import stops
from treasury.controls.roles import CHECKERS
from treasury.models import AuditEntry, Kind, State, Transfer, User
from treasury.transfers import attempts, dispatch, draft, settle

pytestmark = pytest.mark.django_db

EMPTY = Standing(state=Found.UNCLEAR, searched=True, found=False)


@pytest.fixture
def doubtful(approved: Callable[..., Transfer]) -> Transfer:
    """One attempt, ended Uncertain."""
    return concluded(approved(), Uncertain("Perhaps."))


@pytest.fixture
def taken(approved: Callable[..., Transfer]) -> Transfer:
    """One attempt, accepted by the venue."""
    return concluded(approved(), Receipt(settled=False, record="V1"))


def concluded(transfer: Transfer, answer: attempts.Answer) -> Transfer:
    attempt = dispatch.claim(reference=transfer.reference, at=timezone.now())
    assert attempt is not None
    attempts.conclude(attempt_id=attempt.pk, answer=answer, now=timezone.now)
    transfer.refresh_from_db()
    return transfer


def note(transfer: Transfer, answer: settle.Standing | settle.Error, at: datetime | None = None) -> bool:
    when = at or timezone.now()
    may_resend = settle.note(reference=transfer.reference, answer=answer, asked_at=when, at=when)
    transfer.refresh_from_db()
    return may_resend


@pytest.mark.parametrize(
    ("found", "state"),
    [
        (Found.DONE, State.SETTLED),
        (Found.PENDING, State.DISPATCHED),
        (Found.FAILED, State.FAILED),
        (Found.ABSENT, State.DISPATCHING),  # one empty search proves little
        (Found.UNCLEAR, State.DISPATCHING),
    ],
)
def test_what_a_look_up_says_of_a_doubt(doubtful: Transfer, found: Found, state: State) -> None:
    note(doubtful, Standing(state=found, searched=True, found=found in (Found.DONE, Found.PENDING, Found.FAILED)))
    assert doubtful.state == state
    assert doubtful.look_ups.get().state == found.value


ABSENT = Standing(state=Found.ABSENT, searched=True, found=False)


def absent(transfer: Transfer, count: int, after: timedelta = timedelta(hours=1, minutes=1)) -> Transfer:
    """So many answers of ABSENT in a row, the first this long after the last attempt."""
    last = transfer.attempts.latest("number")
    for number in range(count):
        note(transfer, ABSENT, at=last.send_before + after + timedelta(seconds=number))
    return transfer


def test_absent_three_times_says_that_nothing_moved_and_what_to_do(doubtful: Transfer) -> None:
    assert absent(doubtful, 2).state == State.DISPATCHING
    assert absent(doubtful, 1, timedelta(hours=1, minutes=2)).state == State.FAILED
    assert doubtful.outcome.startswith("Nothing moved.")
    assert "Draft it again" in doubtful.outcome


def test_absent_counts_from_the_last_attempt_and_not_from_the_first(doubtful: Transfer) -> None:
    """A re-send an hour later may have been taken, its record not shown yet."""
    first = doubtful.attempts.get()
    later = first.claimed_at + timedelta(minutes=59, seconds=57)
    second = attempts.enter(doubtful, kind=Kind.RESEND, at=later, action="transfer.resend")
    attempts.conclude(attempt_id=second.pk, answer=Uncertain("Perhaps."), now=timezone.now)
    for minutes in (61, 62, 63, 64):
        note(doubtful, ABSENT, at=first.claimed_at + timedelta(minutes=minutes))
    assert doubtful.state == State.DISPATCHING


@pytest.mark.parametrize("seen", [Found.PENDING, Found.UNCLEAR])
def test_a_record_once_found_is_never_absent_later(doubtful: Transfer, seen: Found) -> None:
    note(doubtful, Standing(state=seen, searched=True, found=True))
    before = doubtful.state
    assert absent(doubtful, 5).state == before


def test_a_record_once_found_outweighs_a_late_refusal_and_forbids_a_resend(approved: Callable[..., Transfer]) -> None:
    transfer = approved()
    attempt = dispatch.claim(reference=transfer.reference, at=timezone.now())
    assert attempt is not None
    note(transfer, Standing(state=Found.UNCLEAR, searched=True, found=True))
    attempts.conclude(attempt_id=attempt.pk, answer=Refused("No such page."), now=timezone.now)
    transfer.refresh_from_db()
    assert transfer.state == State.DISPATCHING
    assert not empty_searches(transfer, 5)


def test_a_look_up_that_is_faster_than_the_answer_leaves_no_alarm(approved: Callable[..., Transfer]) -> None:
    transfer = approved()
    attempt = dispatch.claim(reference=transfer.reference, at=timezone.now())
    assert attempt is not None
    note(transfer, Standing(state=Found.PENDING, searched=True, found=True))
    attempts.conclude(attempt_id=attempt.pk, answer=Receipt(settled=True, record="V1"), now=timezone.now)
    transfer.refresh_from_db()
    assert transfer.state == State.SETTLED
    assert not AuditEntry.objects.filter(action="alarm.raise").exists()


def test_absent_after_a_receipt_is_unclear(taken: Transfer) -> None:
    assert absent(taken, 5).state == State.DISPATCHED


def test_a_record_with_other_words_is_an_alarm_once(doubtful: Transfer) -> None:
    for _ in range(2):
        note(doubtful, Standing(state=Found.UNCLEAR, searched=True, found=True))
    assert doubtful.state == State.DISPATCHING
    assert AuditEntry.objects.filter(action="alarm.raise", subject=doubtful.subject).count() == 1


def test_a_look_up_that_failed_is_stored_and_asked_again_at_the_venues_time(doubtful: Transfer) -> None:
    named = timezone.now() + timedelta(minutes=3)
    assert not note(doubtful, TryLater("Limited.", retry_at=named))
    assert doubtful.state == State.DISPATCHING
    assert doubtful.due_at == named
    assert doubtful.look_ups.get().state == "ERROR"


def test_nothing_is_asked_while_a_call_may_be_under_way(approved: Callable[..., Transfer], venue: Simulator) -> None:
    transfer = approved()
    attempt = dispatch.claim(reference=transfer.reference, at=timezone.now())
    assert attempt is not None
    transfer.refresh_from_db()
    assert not settle.is_due(transfer, attempt.call_ends_at - timedelta(milliseconds=1))
    assert settle.is_due(transfer, attempt.call_ends_at)


def empty_searches(transfer: Transfer, count: int, *, after: timedelta = timedelta(minutes=2)) -> bool:
    last = transfer.attempts.order_by("number").last()
    assert last is not None
    may = False
    for number in range(count):
        may = note(transfer, EMPTY, at=last.claimed_at + after + timedelta(seconds=number))
    return may


def test_a_resend_takes_three_empty_searches_after_the_signed_window(doubtful: Transfer) -> None:
    assert not empty_searches(doubtful, 5, after=timedelta(0))  # too early: a delayed request may still arrive
    assert not empty_searches(doubtful, 2)
    assert empty_searches(doubtful, 1, after=timedelta(minutes=3))


def test_a_search_that_failed_breaks_the_row_of_empty_ones(doubtful: Transfer) -> None:
    empty_searches(doubtful, 2)
    assert not note(doubtful, TryLater("Limited."), at=timezone.now() + timedelta(minutes=4))
    assert not empty_searches(doubtful, 1, after=timedelta(minutes=5))


def test_a_resend_has_the_same_words_and_is_a_claim_of_its_own(doubtful: Transfer) -> None:
    assert empty_searches(doubtful, 3)
    attempt = settle.claim_resend(reference=doubtful.reference, at=timezone.now() + timedelta(minutes=4))
    assert attempt is not None
    assert (attempt.number, attempt.kind) == (2, "resend")
    assert settle.claim_resend(reference=doubtful.reference, at=timezone.now() + timedelta(minutes=4)) is None


def test_attempts_that_never_left_do_not_use_up_the_resends(doubtful: Transfer) -> None:
    for _ in range(4):
        assert empty_searches(doubtful, 3)
        last = doubtful.attempts.latest("number")
        attempt = settle.claim_resend(reference=doubtful.reference, at=last.claimed_at + timedelta(minutes=4))
        assert attempt is not None
        attempts.conclude(attempt_id=attempt.pk, answer=TryLater("Not connected."), now=timezone.now)
    assert empty_searches(doubtful, 3)


def test_no_resend_right_after_the_venue_asked_us_to_wait(doubtful: Transfer) -> None:
    empty_searches(doubtful, 3)
    assert not note(doubtful, TryLater("Limited.", retry_at=timezone.now() + timedelta(minutes=9)))


def test_at_most_three_attempts(doubtful: Transfer) -> None:
    for _ in range(2):
        assert empty_searches(doubtful, 3)
        last = doubtful.attempts.order_by("number").last()
        assert last is not None
        attempt = settle.claim_resend(reference=doubtful.reference, at=last.claimed_at + timedelta(minutes=4))
        assert attempt is not None
        attempts.conclude(attempt_id=attempt.pk, answer=Uncertain("Perhaps."), now=timezone.now)
    assert not empty_searches(doubtful, 5)
    assert doubtful.attempts.count() == 3


def test_no_resend_past_the_venues_memory_of_keys(doubtful: Transfer) -> None:
    first = doubtful.attempts.get()
    assert not empty_searches(doubtful, 3, after=timedelta(hours=24))
    assert settle.claim_resend(reference=doubtful.reference, at=first.claimed_at + timedelta(hours=24)) is None


def test_no_resend_past_its_expiry(approved: Callable[..., Transfer]) -> None:
    set_policy(rules=[{"name": "All", "demands": {CHECKERS: 1}, "expires_hours": 1}])
    transfer = concluded(approved(), Uncertain("Perhaps."))
    assert transfer.expires_at is not None
    assert empty_searches(transfer, 3)
    assert settle.claim_resend(reference=transfer.reference, at=transfer.expires_at) is None
    just_before = transfer.expires_at - timedelta(seconds=1)
    assert settle.claim_resend(reference=transfer.reference, at=just_before) is not None


def test_no_resend_under_a_stop_order(doubtful: Transfer) -> None:
    stops.stop(connection=doubtful.connection, reason="Drill", by=Machine("tests"), at=timezone.now())
    empty_searches(doubtful, 3)
    assert settle.claim_resend(reference=doubtful.reference, at=timezone.now() + timedelta(minutes=4)) is None


def test_no_resend_of_what_the_venue_took(taken: Transfer) -> None:
    assert not empty_searches(taken, 5)


def test_a_record_that_another_transfer_took_meanwhile_proves_nothing(approved: Callable[..., Transfer]) -> None:
    """Two look-ups at once saw the same row of a ledger that knows no keys."""
    first, second = (concluded(approved(amount="5"), Uncertain("Perhaps.")) for _ in range(2))
    done = Standing(state=Found.DONE, searched=True, found=True, record="LEDGER:7")
    assert settle.claimed_by_others(second) == frozenset()
    note(first, done)
    note(second, done)
    assert (first.state, second.state) == (State.SETTLED, State.DISPATCHING)
    assert not second.look_ups.exists()
    assert settle.claimed_by_others(second) == {"LEDGER:7"}


def test_look_ups_back_off_to_five_minutes(doubtful: Transfer) -> None:
    waits = []
    for _ in range(9):
        at = timezone.now()
        note(doubtful, TryLater("Busy."), at=at)
        assert doubtful.due_at is not None
        waits.append(round((doubtful.due_at - at).total_seconds()))
    assert waits == [4, 8, 16, 32, 64, 128, 256, 300, 300]


@pytest.mark.parametrize("record", ["x" * 5000, "nul\0", "\ud800", ""])
def test_a_record_that_no_column_holds_loses_no_outcome(doubtful: Transfer, record: str) -> None:
    note(doubtful, Standing(state=Found.DONE, searched=True, found=True, record=record))
    assert doubtful.state == State.SETTLED


def test_what_the_venue_took_and_then_declined_is_an_ordinary_failure(taken: Transfer, maker: User) -> None:
    note(taken, Standing(state=Found.FAILED, searched=True, found=True))
    assert taken.state == State.FAILED
    assert not taken.contradictions.exists()
    assert draft.draft_again(reference=taken.reference, maker=maker, at=timezone.now()).copied_from == taken


def test_what_both_accounts_held_stands_with_the_attempt_and_with_each_look_up(doubtful: Transfer) -> None:
    note(doubtful, EMPTY)
    before, after = doubtful.attempts.get().before, doubtful.look_ups.get().balances
    for held in (before, after):
        assert {side: told["total"] for side, told in held.items()} == {"source": "1000", "destination": "1000"}
