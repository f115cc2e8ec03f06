"""What must settle first: nothing is sent before it has, and if it ends otherwise nothing is sent at all."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from django.db import DatabaseError
from django.db import connection as database
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from connectors.core.errors import Refused
from connectors.core.protocol import Receipt
from connectors.simulators.core import Simulator
from treasury import tasks, venues
from treasury.audit.record import Machine
from treasury.balances.refresh import refresh
from treasury.models import (
    Account,
    AuditEntry,
    Balance,
    Connection,
    Contradiction,
    Notice,
    Predecessor,
    State,
    Transfer,
    User,
)
from treasury.transfers import (
    access,
    approve,
    attempts,
    bell,
    cancel,
    contradictions,
    dispatch,
    draft,
    guards,
    order,
    submit,
)

pytestmark = pytest.mark.django_db

Make = Callable[..., Transfer]
TESTS = Machine("tests")


@pytest.fixture
def first(drafted: Make, unified: Account, fund: Account) -> Transfer:
    """From FUND to UNIFIED, which needs it."""
    return drafted(amount="100", source=fund, destination=unified)


@pytest.fixture
def then(drafted: Make, first: Transfer) -> Transfer:
    """From UNIFIED onwards, once the first has settled."""
    made = drafted(amount="1050")
    Predecessor.objects.create(transfer=made, first=first)
    return made


@pytest.fixture
def approve_it(checker: User) -> Callable[[Transfer], Transfer]:
    def make(transfer: Transfer) -> Transfer:
        asked = submit.submit(reference=transfer.reference, maker=transfer.maker, at=timezone.now())
        return approve.approve(
            reference=asked.reference,
            checker=checker,
            digest=asked.digest or "",
            round=asked.round,
            factor="password",
            at=timezone.now(),
        )

    return make


def settled(transfer: Transfer, answer: attempts.Answer | None = None) -> Transfer:
    attempt = dispatch.claim(reference=transfer.reference, at=timezone.now())
    assert attempt is not None
    attempts.conclude(attempt_id=attempt.pk, answer=answer or Receipt(settled=True, record="V1"), now=timezone.now)
    transfer.refresh_from_db()
    return transfer


def objection(transfer: Transfer, at: datetime | None = None) -> guards.Objection | None:
    transfer.refresh_from_db()
    return guards.objection(transfer, at=at or timezone.now())


def held(transfer: Transfer, at: datetime | None = None) -> str:
    """Why it is held, and that it is nothing worse."""
    found = objection(transfer, at)
    assert isinstance(found, guards.Hold), found
    return found.words


# -- nothing is sent before ----------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [State.DRAFT, State.SUBMITTED, State.APPROVED, State.DISPATCHING, State.DISPATCHED])
def test_it_waits_until_what_comes_first_has_settled(
    first: Transfer, then: Transfer, approve_it: Callable[[Transfer], Transfer], state: State
) -> None:
    approve_it(then)
    if state == State.SUBMITTED:
        submit.submit(reference=first.reference, maker=first.maker, at=timezone.now())
    elif state != State.DRAFT:
        approve_it(first)
    if state == State.DISPATCHING:
        assert dispatch.claim(reference=first.reference, at=timezone.now())
    if state == State.DISPATCHED:
        settled(first, Receipt(settled=False, record="V1"))
    first.refresh_from_db()
    assert first.state == state
    assert dispatch.claim(reference=then.reference, at=timezone.now()) is None
    then.refresh_from_db()
    assert (then.state, then.held) == (State.APPROVED, f"waits for {first.reference} to settle")


@pytest.mark.django_db(transaction=True)
def test_the_database_refuses_to_send_before(
    first: Transfer, then: Transfer, approve_it: Callable[[Transfer], Transfer], monkeypatch: pytest.MonkeyPatch
) -> None:
    approve_it(then)
    monkeypatch.setattr(guards, "GUARDS", ())
    with pytest.raises(DatabaseError, match="what comes before it has not settled"):
        dispatch.claim(reference=then.reference, at=timezone.now())
    then.refresh_from_db()
    assert then.state == State.APPROVED


def test_once_it_has_settled_the_next_is_asked_about_at_once(
    first: Transfer, then: Transfer, approve_it: Callable[[Transfer], Transfer]
) -> None:
    approve_it(then)
    later = timezone.now() + timedelta(minutes=3)
    Transfer.objects.filter(pk=then.pk).update(due_at=later)
    settled(approve_it(first))
    order.go_on(transfer_id=first.pk, at=timezone.now())
    then.refresh_from_db()
    assert then.due_at is not None
    assert then.due_at < later


def test_a_balance_from_before_it_settled_is_read_again_and_never_used(
    first: Transfer,
    then: Transfer,
    approve_it: Callable[[Transfer], Transfer],
    venue: Simulator,
    connection: Connection,
) -> None:
    approve_it(then)
    settled(approve_it(first))
    assert "was read before" in held(then)
    venue.set_balance("UNIFIED", "USDT", "1100")
    dispatch.read_source_if_old(reference=then.reference, now=timezone.now)
    assert Balance.objects.get(account=then.source, asset="USDT").total == 1100
    assert objection(then) is None


def test_what_the_venue_shows_late_is_waited_for_and_not_sent_back(
    first: Transfer, then: Transfer, approve_it: Callable[[Transfer], Transfer], connection: Connection
) -> None:
    approve_it(then)
    settled(approve_it(first))
    refresh(connection=connection, at=timezone.now())  # 1000 still: the venue has not noticed
    assert held(then).endswith(f"{first.reference} has settled, and may not show yet")
    over = timezone.now() + venues.declared(connection.venue).settle_limit + timedelta(seconds=1)
    Balance.objects.update(observed_at=over)
    assert isinstance(objection(then, over), guards.SendBack), "then it is a shortage like any other"


def test_evidence_against_what_comes_first_holds_it(
    first: Transfer, then: Transfer, approve_it: Callable[[Transfer], Transfer]
) -> None:
    approve_it(then)
    settled(approve_it(first))
    contradictions.raise_(first, words="the venue says that it failed", by=TESTS, at=timezone.now())
    assert held(then) == f"evidence contradicts how {first.reference} stands, which must settle first"


def test_a_transfer_without_predecessors_is_sent_as_ever(approved: Make) -> None:
    assert objection(approved()) is None


# -- it ends otherwise ---------------------------------------------------------------------------------------


def ended(first: Transfer, how: State, approve_it: Callable[[Transfer], Transfer], checker: User) -> None:
    if how == State.CANCELLED:
        cancel.cancel(reference=first.reference, by=first.maker, at=timezone.now())
        return
    asked = submit.submit(reference=first.reference, maker=first.maker, at=timezone.now())
    words = {"reference": asked.reference, "checker": checker, "digest": asked.digest or "", "round": asked.round}
    if how == State.REJECTED:
        approve.reject(**words, factor="password", reason="No.", at=timezone.now())  # type: ignore[arg-type]
    if how == State.EXPIRED:
        assert asked.expires_at is not None
        cancel.expire(reference=first.reference, at=asked.expires_at)
    if how == State.FAILED:
        approve.approve(**words, factor="password", at=timezone.now())  # type: ignore[arg-type]
        settled(first, Refused("No."))


@pytest.mark.parametrize("how", [State.CANCELLED, State.REJECTED, State.EXPIRED, State.FAILED])
@pytest.mark.parametrize("state", [State.DRAFT, State.SUBMITTED, State.APPROVED])
def test_what_comes_after_is_cancelled_with_that_reason(
    first: Transfer,
    then: Transfer,
    approve_it: Callable[[Transfer], Transfer],
    checker: User,
    how: State,
    state: State,
) -> None:
    if state == State.SUBMITTED:
        submit.submit(reference=then.reference, maker=then.maker, at=timezone.now())
    if state == State.APPROVED:
        approve_it(then)
    ended(first, how, approve_it, checker)
    order.cancel_orphans(timezone.now())
    then.refresh_from_db()
    words = {
        State.CANCELLED: "was cancelled",
        State.REJECTED: "was rejected",
        State.EXPIRED: "expired",
        State.FAILED: "failed",
    }
    assert then.state == State.CANCELLED
    assert then.outcome == f"Nothing moved. {first.reference}, which had to settle first, {words[how]}."
    entry = AuditEntry.objects.filter(action="transfer.cancel", subject=then.subject).get()
    assert entry.actor == "order"
    assert Notice.objects.filter(kind="transfer.cancel", subject=then.subject).exists(), "its maker is told"


def test_a_chain_ends_to_its_last_link(
    first: Transfer, then: Transfer, drafted: Make, unified: Account, fund: Account
) -> None:
    last = drafted(amount="3", source=fund, destination=unified)
    Predecessor.objects.create(transfer=last, first=then)
    cancel.cancel(reference=first.reference, by=first.maker, at=timezone.now())
    done = order.cancel_after(reference=first.reference, at=timezone.now())
    assert [one.reference for one in done] == [then.reference, last.reference]
    last.refresh_from_db()
    assert last.outcome == f"Nothing moved. {then.reference}, which had to settle first, was cancelled."


def test_one_that_ends_otherwise_is_enough(
    first: Transfer,
    then: Transfer,
    drafted: Make,
    approve_it: Callable[[Transfer], Transfer],
    unified: Account,
    fund: Account,
) -> None:
    other = drafted(amount="4", source=fund, destination=unified)
    Predecessor.objects.create(transfer=then, first=other)
    approve_it(then)
    settled(approve_it(first))
    cancel.cancel(reference=other.reference, by=other.maker, at=timezone.now())
    order.cancel_orphans(timezone.now())
    then.refresh_from_db()
    assert then.state == State.CANCELLED


def test_the_message_is_sent_only_where_something_comes_after_and_the_tick_needs_none(
    first: Transfer,
    then: Transfer,
    drafted: Make,
    rung: list[tuple[str, object]],
    django_capture_on_commit_callbacks: Callable[..., object],
) -> None:
    alone = drafted(amount="1")
    with django_capture_on_commit_callbacks(execute=True):  # type: ignore[attr-defined]
        cancel.cancel(reference=alone.reference, by=alone.maker, at=timezone.now())
    assert (bell.GO_ON, [alone.pk]) not in rung
    with django_capture_on_commit_callbacks(execute=True):  # type: ignore[attr-defined]
        cancel.cancel(reference=first.reference, by=first.maker, at=timezone.now())
    assert (bell.GO_ON, [first.pk]) in rung
    tasks.tick_expire()
    then.refresh_from_db()
    assert then.state == State.CANCELLED


def test_an_approved_transfer_behind_a_rejected_one_is_not_sent_even_before_it_is_cancelled(
    first: Transfer, then: Transfer, approve_it: Callable[[Transfer], Transfer], checker: User
) -> None:
    approve_it(then)
    ended(first, State.REJECTED, approve_it, checker)
    assert held(then) == f"{first.reference} had to settle first, and was rejected"
    assert dispatch.claim(reference=then.reference, at=timezone.now()) is None


def test_what_was_sent_already_is_never_cancelled(approved: Make) -> None:
    transfer = approved()
    assert dispatch.claim(reference=transfer.reference, at=timezone.now())
    failed = Transfer(reference="TR-999999", state=State.FAILED)
    assert order.cancel_behind(reference=transfer.reference, first=failed, at=timezone.now()) is None
    transfer.refresh_from_db()
    assert transfer.state == State.DISPATCHING


def test_settling_cancels_nothing(first: Transfer, then: Transfer, approve_it: Callable[[Transfer], Transfer]) -> None:
    settled(approve_it(first))
    order.go_on(transfer_id=first.pk, at=timezone.now())
    order.cancel_orphans(timezone.now())
    then.refresh_from_db()
    assert then.state == State.DRAFT


def test_looking_for_what_was_left_behind_is_one_question(first: Transfer, then: Transfer) -> None:
    with CaptureQueriesContext(database) as captured:
        order.cancel_orphans(timezone.now())
    assert len(captured) == 1


# -- what may have moved after all ---------------------------------------------------------------------------


def against(transfer: Transfer) -> Contradiction:
    return contradictions.raise_(transfer, words="the venue has it by its key", by=TESTS, at=timezone.now())


def ruled(found: Contradiction, *, moved: bool, by: User, other: User) -> None:
    at, typed = timezone.now(), found.transfer.reference
    said = {"contradiction_id": found.pk, "moved": moved, "reason": "Its own list.", "typed": typed, "files": []}
    change = contradictions.propose_close(**said, by=by, at=at)  # type: ignore[arg-type]
    contradictions.confirm_close(change_id=change.pk, by=other, digest=change.digest, typed=typed, at=at)


@pytest.mark.parametrize("moved", [None, True, False])
def test_what_may_have_moved_or_did_is_not_cancelled_behind_another(
    first: Transfer,
    then: Transfer,
    approve_it: Callable[[Transfer], Transfer],
    operator: User,
    checker: User,
    moved: bool | None,
) -> None:
    found = against(approve_it(then))
    if moved is not None:
        ruled(found, moved=moved, by=operator, other=checker)
    cancel.cancel(reference=first.reference, by=first.maker, at=timezone.now())
    order.cancel_orphans(timezone.now())
    then.refresh_from_db()
    if moved is False:
        assert then.outcome.startswith("Nothing moved. ")
    else:
        assert (then.state, then.outcome) == (State.APPROVED, "")
        assert "may have it already" in held(then) if moved is None else "it moved already" in held(then)


@pytest.mark.parametrize("state", [State.SUBMITTED, State.APPROVED])
def test_what_evidence_speaks_against_is_ended_by_nobody_before_two_people_have_said_what_is_true(
    drafted: Make, approve_it: Callable[[Transfer], Transfer], checker: User, state: State
) -> None:
    transfer = drafted()
    asked = submit.submit(reference=transfer.reference, maker=transfer.maker, at=timezone.now())
    words = {"checker": checker, "digest": asked.digest or "", "round": 1, "factor": "password"}
    if state == State.APPROVED:
        approve.approve(reference=transfer.reference, at=timezone.now(), **words)  # type: ignore[arg-type]
    transfer.refresh_from_db()
    against(transfer)
    assert transfer.expires_at is not None
    over = transfer.expires_at + timedelta(seconds=1)
    may_have_moved = f"Evidence says that {transfer.reference} may have moved; two people must say what is true first."
    with pytest.raises(access.NotNow, match=may_have_moved):
        cancel.cancel(reference=transfer.reference, by=transfer.maker, at=timezone.now())
    with pytest.raises(access.NotNow, match=may_have_moved):
        cancel.expire(reference=transfer.reference, at=over)
    if state == State.SUBMITTED:
        with pytest.raises(access.NotNow, match=may_have_moved):
            approve.reject(
                reference=transfer.reference,
                at=timezone.now(),
                reason="No.",
                **words,  # type: ignore[arg-type]
            )
    else:
        assert "may have it already" in held(transfer, over)
        assert dispatch.claim(reference=transfer.reference, at=over) is None
    transfer.refresh_from_db()
    assert (transfer.state, transfer.outcome) == (state, "")


@pytest.mark.parametrize("how", ["cancelled", "expired", "by the dispatcher"])
def test_what_two_people_found_to_have_moved_never_ends_with_nothing_moved(
    approved: Make, operator: User, checker2: User, how: str
) -> None:
    transfer = approved()
    ruled(against(transfer), moved=True, by=operator, other=checker2)
    assert transfer.expires_at is not None
    over = transfer.expires_at + timedelta(seconds=1)
    if how == "cancelled":
        cancel.cancel(reference=transfer.reference, by=operator, at=timezone.now())
    elif how == "expired":
        cancel.expire(reference=transfer.reference, at=over)
    else:
        assert dispatch.claim(reference=transfer.reference, at=over) is None
    transfer.refresh_from_db()
    assert transfer.state == (State.CANCELLED if how == "cancelled" else State.EXPIRED)
    assert transfer.outcome.startswith("It moved already, as two people found. ")
    told = Notice.objects.filter(subject=transfer.subject, to=transfer.maker.email).latest("pk")
    assert "It moved already" in told.text
    assert "Nothing moved" not in told.text


def test_the_clock_leaves_what_evidence_speaks_against(approved: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    transfer, other = approved(amount="1"), approved(amount="2")
    against(transfer)
    assert other.expires_at is not None
    later = other.expires_at + timedelta(seconds=1)
    monkeypatch.setattr("django.utils.timezone.now", lambda: later)
    monkeypatch.setattr(tasks, "clock_agrees", lambda: True)
    tasks.tick_expire()
    assert {one.pk: one.state for one in Transfer.objects.all()} == {
        transfer.pk: State.APPROVED,
        other.pk: State.EXPIRED,
    }


# -- drafted again -------------------------------------------------------------------------------------------


def cancelled(transfer: Transfer) -> Transfer:
    return cancel.cancel(reference=transfer.reference, by=transfer.maker, at=timezone.now())


def again(transfer: Transfer) -> Transfer:
    return draft.draft_again(reference=transfer.reference, maker=transfer.maker, at=timezone.now())


def test_drafted_again_it_waits_for_the_same(first: Transfer, then: Transfer) -> None:
    cancelled(then)
    fresh = again(then)
    assert list(order.waits_for(fresh)) == [first]
    assert again(then) == fresh
    assert Predecessor.objects.filter(transfer=fresh).count() == 1


def test_behind_what_ended_without_settling_it_is_not_drafted_again(first: Transfer, then: Transfer) -> None:
    cancelled(first)
    order.cancel_orphans(timezone.now())
    with pytest.raises(access.NotNow) as refused:
        again(then)
    assert str(refused.value) == (
        f"{first.reference} had to settle before {then.reference}, and did not: compute the plan again."
    )
    assert Transfer.objects.count() == 2


def test_drafted_again_it_waits_no_more_for_what_has_settled(
    first: Transfer, then: Transfer, approve_it: Callable[[Transfer], Transfer]
) -> None:
    settled(approve_it(first))
    cancelled(then)
    assert not order.waits_for(again(then)).exists()


@pytest.mark.parametrize("moved", [None, False])
def test_evidence_against_what_settled_first_holds_what_is_drafted_again_too(
    first: Transfer,
    then: Transfer,
    approve_it: Callable[[Transfer], Transfer],
    operator: User,
    checker: User,
    moved: bool | None,
) -> None:
    found = against(settled(approve_it(first)))
    cancelled(then)
    if moved is None:
        assert list(order.waits_for(again(then))) == [first]
        return
    ruled(found, moved=moved, by=operator, other=checker)
    with pytest.raises(access.NotNow, match="compute the plan again"):
        again(then)
