"""Attempts: calls that may move money. Claimed (a transaction), made (none), concluded (a transaction).

A claim is on disk before the call is made, so a process that dies leaves doubt behind and never a second send.
There is no retry here: what is not provably unsent stays DISPATCHING until evidence moves it on.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from django.db import DatabaseError, DataError, IntegrityError, InterfaceError, close_old_connections, transaction

from connectors.core.errors import Barred, Refused, TryLater, Uncertain, VenueError
from connectors.core.protocol import Challenge, Receipt
from treasury import venues
from treasury.audit.record import Machine
from treasury.controls import stops
from treasury.models import NOTHING_MOVED, Attempt, Kind, Outcome, State, Transfer
from treasury.models.text import clean
from treasury.pace import paced
from treasury.transfers import by_hand, contradictions, doubt, guards, instruction, lifecycle
from treasury.transfers.alarms import alarm
from treasury.transfers.evidence import both_balances, storable, storable_amount, storable_record

log = logging.getLogger(__name__)

DISPATCHER = Machine("dispatcher")
SEND_WITHIN = paced(timedelta(seconds=5))  # of the claim; later, nothing is written to the venue any more
HELD_AGAIN = paced(timedelta(seconds=15))  # a held transfer is asked about again
WAIT_FIRST, WAIT_MOST = paced(timedelta(seconds=2)), paced(timedelta(minutes=5))
LOOK_UP_AFTER = paced(timedelta(seconds=2))

Answer = Receipt | Challenge | VenueError


class NotOurTurn(TryLater):
    """We did not ask: our own count of calls, or credentials that do not open. The venue said nothing."""


def enter(transfer: Transfer, *, kind: Kind, at: datetime, action: str) -> Attempt:
    """Write the next attempt, and step to DISPATCHING unless the transfer is there already (a re-send)."""
    number = transfer.attempts.count() + 1
    limit = venues.declared(transfer.connection.venue).call_limit
    facts = {"attempt": number, "kind": str(kind), "digest": transfer.digest, "send_before": at + SEND_WITHIN}
    due_at = at + SEND_WITHIN + limit  # if this process dies now, settle begins then
    if transfer.state == State.DISPATCHING:
        Transfer.objects.filter(pk=transfer.pk).update(due_at=due_at)
        lifecycle.entry(transfer, by=DISPATCHER, at=at, action=action, facts=facts)
    else:
        lifecycle.advance(transfer, State.DISPATCHING, by=DISPATCHER, at=at, action=action, facts=facts, due_at=due_at)
    return Attempt.objects.create(
        transfer=transfer,
        number=number,
        kind=kind,
        claimed_at=at,
        send_before=at + SEND_WITHIN,
        call_ends_at=due_at,
        worker=f"{socket.gethostname()}:{os.getpid()}",
        before=both_balances(transfer),
    )


def enter_again(
    *,
    reference: str,
    state: State,
    kind: Kind,
    action: str,
    at: datetime,
    allowed: Callable[[Transfer], bool],
    among: tuple[guards.Guard, ...] = guards.SAME_AGAIN,
) -> Attempt | None:
    """Claim a further attempt with the same key and the same words: a re-send, or the repeat after a challenge.

    A claim like any other: stops and expiry apply unless ``among`` says otherwise, and other words than the approved
    ones raise the alarm. None when the transfer has moved on, when it is not ``allowed``, or when a guard objects.
    """
    with transaction.atomic(durable=True):
        stops.claim_lock()
        transfer = lifecycle.locked(reference)
        if transfer.state != state or not allowed(transfer):
            return None
        found = guards.objection(transfer, at=at, among=among)
        if found is None:
            return enter(transfer, kind=kind, at=at, action=action)
        log.warning("%s: no %s now: %s", reference, kind.label.lower(), found.words)
        if isinstance(found, guards.Alarm):
            alarm(transfer, found.words, by=DISPATCHER, at=at)
    if isinstance(found, guards.Alarm):
        stop_for(transfer, found, at)
    return None


def stop_for(transfer: Transfer, found: guards.Alarm, at: datetime) -> None:
    """Stop the connection. Outside the claim, which holds the claims' side of that lock."""
    reason = f"{transfer.reference}: {found.words}"
    stops.stop(connection=transfer.connection, reason=reason, by=DISPATCHER, at=at)


def call(attempt: Attempt, answer: str | None = None) -> Answer:
    """The one call, outside any transaction. Never raises: every ending is an answer."""
    transfer = attempt.transfer
    assert transfer.instruction is not None
    try:
        connector = venues.open_connection(transfer.connection, "send")
        words = instruction.as_sent(transfer.instruction)
    except venues.CannotOpen as problem:
        return NotOurTurn(f"Not sent. Nothing moved. {problem}", retry_at=getattr(problem, "retry_at", None))
    except Exception as unforeseen:  # before anything was written: whatever it was, nothing left us
        log.exception("%s: the send could not be prepared", transfer.reference)
        return TryLater(f"Not sent. Nothing moved. The send could not be prepared ({type(unforeseen).__name__}).")
    try:
        return connector.send(words, signed_at=attempt.claimed_at, send_before=attempt.send_before, answer=answer)
    except VenueError as ending:
        return ending
    except Exception as unforeseen:  # a connector's own defect may strike after the request was written
        log.exception("%s: the connector failed in the middle of a send", transfer.reference)
        return Uncertain(f"It may have moved: the connector failed ({type(unforeseen).__name__}).")


def conclude(*, attempt_id: int, answer: Answer, now: Callable[[], datetime]) -> None:
    """Write the outcome, repeating until the database takes it; step on if the table allows."""
    pause, whole = 0.1, True
    while True:
        try:
            with transaction.atomic(durable=True):
                transfer = _conclude(attempt_id, answer, now(), whole=whole)
            break
        except (DatabaseError, InterfaceError) as problem:
            log.exception("the outcome of attempt %s is not stored yet; trying again", attempt_id)
            # What the database will never take is left out; that the money's outcome is known must not be lost.
            whole = whole and not isinstance(problem, (DataError, IntegrityError))
            close_old_connections()
            time.sleep(pause)
            pause = min(pause * 2, 5.0)
    doubt.trip(transfer.connection, now())


def _conclude(attempt_id: int, answer: Answer, at: datetime, *, whole: bool = True) -> Transfer:
    attempt = Attempt.objects.select_related("transfer").get(pk=attempt_id)
    if isinstance(answer, Barred):
        stops.stop_lock()
    transfer = lifecycle.locked(attempt.transfer.reference)
    attempt.refresh_from_db()
    if attempt.outcome is not None:  # our own commit went through, its confirmation was lost
        return transfer
    outcome = outcome_of(answer)
    attempt.outcome, attempt.concluded_at = outcome, at
    attempt.evidence = storable(answer.evidence) if whole else {"unstorable": "see the service's log"}
    attempt.words = clean(answer.words) if isinstance(answer, VenueError) and whole else ""
    attempt.record = storable_record(answer.record) if isinstance(answer, Receipt) and whole else None
    attempt.fee = storable_amount(answer.fee) if isinstance(answer, Receipt) else None
    if isinstance(answer, Challenge):
        attempt.challenge = {"token": answer.token, "deadline": answer.deadline.isoformat()}
    attempt.save()
    facts = {
        "attempt": attempt.number,
        "outcome": str(outcome),
        "words": attempt.words,
        "record": attempt.record,
        "fee": attempt.fee,
        "evidence": attempt.evidence,
    }
    if isinstance(answer, TryLater) and not isinstance(answer, NotOurTurn) and answer.retry_at is not None:
        venues.limited(transfer.connection, answer.retry_at)
    if isinstance(answer, Barred):
        stops.stop(connection=transfer.connection, reason=attempt.words, by=DISPATCHER, at=at)
    if transfer.state == State.DISPATCHING:
        _step(transfer, attempt, answer, at, facts)
        return transfer
    if transfer.state == State.DISPATCHED and outcome == Outcome.SETTLED:  # a look-up was faster than the answer
        title = venues.declared(transfer.connection.venue).title
        moved = f"It moved. {title} confirmed it."
        lifecycle.advance(
            transfer, State.SETTLED, by=DISPATCHER, at=at, action="attempt.conclude", facts=facts, outcome=moved
        )
        return transfer
    lifecycle.entry(transfer, by=DISPATCHER, at=at, action="attempt.conclude", facts=facts)
    if words := contradictions.spoken_by_call(transfer, attempt):
        contradictions.raise_(transfer, words=words, by=DISPATCHER, at=at, attempt=attempt)
    return transfer


def _step(transfer: Transfer, attempt: Attempt, answer: Answer, at: datetime, facts: dict[str, object]) -> None:
    """The map's table, answer by answer. It holds only while every earlier attempt is proven to have moved nothing."""
    earlier = transfer.attempts.exclude(pk=attempt.pk)
    doubt_before = earlier.exclude(outcome__in=NOTHING_MOVED).exists() or transfer.look_ups.filter(found=True).exists()
    title = venues.declared(transfer.connection.venue).title

    def advance(to: State, **columns: object) -> None:
        lifecycle.advance(transfer, to, by=DISPATCHER, at=at, action="attempt.conclude", facts=facts, **columns)

    if isinstance(answer, Receipt):
        if answer.settled:
            moved = by_hand.in_words(transfer) or f"It moved. {title} confirmed it at once."
            return advance(State.SETTLED, outcome=moved)
        return advance(State.DISPATCHED, due_at=at + LOOK_UP_AFTER)
    if attempt.outcome == Outcome.UNCERTAIN or doubt_before:
        Transfer.objects.filter(pk=transfer.pk).update(due_at=at + LOOK_UP_AFTER)
        lifecycle.entry(transfer, by=DISPATCHER, at=at, action="attempt.conclude", facts=facts)
        return None
    if isinstance(answer, Challenge):
        return advance(State.CONFIRMING, due_at=at + LOOK_UP_AFTER)
    if isinstance(answer, Refused):
        return advance(State.FAILED, outcome=attempt.words or f"Nothing moved. {title} refused it.")
    if isinstance(answer, Barred):
        return advance(State.APPROVED, held=attempt.words, due_at=at + HELD_AGAIN)
    assert isinstance(answer, TryLater), "every answer has its row in the table"
    tries = transfer.attempts.filter(outcome=Outcome.TRY_LATER).count()
    return advance(State.APPROVED, held=attempt.words, due_at=answer.retry_at or at + backoff(tries))


def backoff(tries: int) -> timedelta:
    """How long to wait after so many tries: 2 s, doubling, at most 5 min."""
    return min(WAIT_FIRST * (1 << min(max(tries - 1, 0), 20)), WAIT_MOST)


def outcome_of(answer: Answer) -> Outcome:
    """The word for an answer that is stored with its attempt."""
    if isinstance(answer, Receipt):
        return Outcome.SETTLED if answer.settled else Outcome.ACCEPTED
    if isinstance(answer, Challenge):
        return Outcome.CHALLENGE
    for kind, outcome in ((Refused, Outcome.REFUSED), (TryLater, Outcome.TRY_LATER), (Barred, Outcome.BARRED)):
        if isinstance(answer, kind):
            return outcome
    return Outcome.UNCERTAIN
