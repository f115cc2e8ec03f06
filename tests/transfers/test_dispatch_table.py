"""The map's table, answer by answer: what each word of a connector does to the transfer."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError
from django.utils import timezone

from connectors.core.errors import Barred, Refused, TryLater, Uncertain, VenueError
from connectors.core.protocol import Challenge, Receipt
from treasury.models import Attempt, AuditEntry, Kind, Outcome, State, StopOrder, Transfer
from treasury.transfers import attempts, dispatch

pytestmark = pytest.mark.django_db

SOON = timezone.now() + timedelta(minutes=15)
ANSWERS: dict[str, tuple[attempts.Answer, State, Outcome]] = {
    "settled": (Receipt(settled=True, record="V1"), State.SETTLED, Outcome.SETTLED),
    "accepted": (Receipt(settled=False, record="V1"), State.DISPATCHED, Outcome.ACCEPTED),
    "challenge": (Challenge(token="T", deadline=SOON), State.CONFIRMING, Outcome.CHALLENGE),
    "refused": (Refused("No."), State.FAILED, Outcome.REFUSED),
    "try later": (TryLater("Later."), State.APPROVED, Outcome.TRY_LATER),
    "barred": (Barred("Key expired."), State.APPROVED, Outcome.BARRED),
    "uncertain": (Uncertain("Perhaps."), State.DISPATCHING, Outcome.UNCERTAIN),
    "unheard of": (VenueError("?"), State.DISPATCHING, Outcome.UNCERTAIN),
}


def concluded(transfer: Transfer, answer: attempts.Answer) -> Transfer:
    attempt = dispatch.claim(reference=transfer.reference, at=timezone.now())
    assert attempt is not None
    attempts.conclude(attempt_id=attempt.pk, answer=answer, now=timezone.now)
    transfer.refresh_from_db()
    return transfer


@pytest.mark.parametrize("name", ANSWERS)
def test_the_first_and_only_attempt(approved: Callable[..., Transfer], name: str) -> None:
    answer, state, outcome = ANSWERS[name]
    transfer = concluded(approved(), answer)
    assert (transfer.state, transfer.attempts.get().outcome) == (state, outcome)
    assert StopOrder.objects.exists() == (name == "barred")


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("earlier", [Outcome.UNCERTAIN, None])
def test_after_an_attempt_in_doubt_only_a_receipt_ends_it(
    approved: Callable[..., Transfer], name: str, earlier: Outcome | None
) -> None:
    """A rejection of a re-send never proves that the first attempt failed."""
    answer, state, _ = ANSWERS[name]
    transfer = approved()
    first = dispatch.claim(reference=transfer.reference, at=timezone.now())
    assert first is not None
    if earlier:
        attempts.conclude(attempt_id=first.pk, answer=Uncertain("Perhaps."), now=timezone.now)
    transfer.refresh_from_db()
    second = attempts.enter(transfer, kind=Kind.RESEND, at=first.call_ends_at, action="transfer.resend")
    attempts.conclude(attempt_id=second.pk, answer=answer, now=timezone.now)
    transfer.refresh_from_db()
    ends = state if isinstance(answer, Receipt) else State.DISPATCHING
    assert transfer.state == ends


def test_after_attempts_proven_unsent_the_table_holds(approved: Callable[..., Transfer]) -> None:
    transfer = concluded(approved(), TryLater("Later."))
    Transfer.objects.update(due_at=timezone.now())
    assert concluded(transfer, Refused("No.")).state == State.FAILED


def test_try_later_waits_for_the_venues_own_time(approved: Callable[..., Transfer]) -> None:
    named = timezone.now() + timedelta(minutes=10)
    assert concluded(approved(), TryLater("Limited.", retry_at=named)).due_at == named


def test_try_later_doubles_from_two_seconds_to_five_minutes(approved: Callable[..., Transfer]) -> None:
    transfer, waits = approved(), []
    for _ in range(10):
        Transfer.objects.update(due_at=timezone.now())
        before = timezone.now()
        concluded(transfer, TryLater("Later."))
        assert transfer.due_at is not None
        waits.append(round((transfer.due_at - before).total_seconds()))
    assert waits == [2, 4, 8, 16, 32, 64, 128, 256, 300, 300]


def test_the_outcome_is_written_once_and_a_second_conclude_changes_nothing(
    approved: Callable[..., Transfer],
) -> None:
    transfer = approved()
    attempt = dispatch.claim(reference=transfer.reference, at=timezone.now())
    assert attempt is not None
    attempts.conclude(attempt_id=attempt.pk, answer=Receipt(settled=True, record="V1"), now=timezone.now)
    attempts.conclude(attempt_id=attempt.pk, answer=Refused("No."), now=timezone.now)
    transfer.refresh_from_db()
    assert transfer.state == State.SETTLED
    assert AuditEntry.objects.filter(action="attempt.conclude").count() == 1


def test_an_answer_that_contradicts_the_state_raises_an_alarm(approved: Callable[..., Transfer]) -> None:
    """Settle said FAILED meanwhile; then the slow call comes back with a receipt."""
    transfer = approved()
    attempt = dispatch.claim(reference=transfer.reference, at=timezone.now())
    assert attempt is not None
    from treasury.audit.record import Machine
    from treasury.transfers import lifecycle

    lifecycle.advance(
        lifecycle.locked(transfer.reference),
        State.FAILED,
        by=Machine("tests"),
        at=timezone.now(),
        action="transfer.fail",
        outcome="Nothing moved. The venue never took it.",
    )
    attempts.conclude(attempt_id=attempt.pk, answer=Receipt(settled=True, record="V1"), now=timezone.now)
    transfer.refresh_from_db()
    assert transfer.state == State.FAILED
    assert Attempt.objects.get().outcome == Outcome.SETTLED
    assert AuditEntry.objects.filter(action="alarm.raise", subject=transfer.subject).exists()


def test_conclude_repeats_until_the_database_takes_it(
    approved: Callable[..., Transfer], monkeypatch: pytest.MonkeyPatch
) -> None:
    transfer = approved()
    attempt = dispatch.claim(reference=transfer.reference, at=timezone.now())
    assert attempt is not None
    really, failures = attempts._conclude, iter([1, 2])

    def unlucky(*args: Any, **options: Any) -> Transfer:
        if next(failures, None):
            raise OperationalError("the connection was lost")
        return really(*args, **options)

    monkeypatch.setattr(attempts, "_conclude", unlucky)
    monkeypatch.setattr(attempts, "close_old_connections", lambda: None)
    attempts.conclude(attempt_id=attempt.pk, answer=Receipt(settled=True, record="V1"), now=timezone.now)
    transfer.refresh_from_db()
    assert transfer.state == State.SETTLED


def test_words_that_the_database_cannot_hold_do_not_lose_the_outcome(approved: Callable[..., Transfer]) -> None:
    answer = Refused("No\0 \ud800.", evidence={"nul\0": "\0", "float": 1.10, "not a number": float("nan")})
    transfer = concluded(approved(), answer)
    assert transfer.state == State.FAILED
    assert transfer.attempts.get().evidence == {"nul\ufffd": "\ufffd", "float": "1.1", "not a number": "NaN"}


def test_a_connector_that_breaks_in_the_middle_of_a_send_is_doubt(
    approved: Callable[..., Transfer], monkeypatch: pytest.MonkeyPatch
) -> None:
    transfer = approved()
    attempt = dispatch.claim(reference=transfer.reference, at=timezone.now())
    assert attempt is not None

    class Broken:
        def send(self, *args: object, **options: object) -> None:
            raise KeyError("result")

    monkeypatch.setattr(attempts.venues, "open_connection", lambda *_: Broken())
    assert isinstance(attempts.call(attempt), Uncertain)
