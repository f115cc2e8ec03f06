"""Dispatch in three acts: claim (a transaction), call (none), conclude (a transaction).

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

from django.conf import settings
from django.db import InterfaceError, OperationalError, close_old_connections, transaction

from connectors.core.errors import Barred, Refused, TryLater, Uncertain, VenueError
from connectors.core.protocol import Challenge, Receipt
from treasury import venues
from treasury.audit.record import Machine
from treasury.balances.holdings import balance_of
from treasury.balances.refresh import NotRead, refresh
from treasury.controls import stops
from treasury.models import Account, Attempt, Outcome, State, Transfer
from treasury.models.attempt import NOTHING_MOVED
from treasury.transfers import guards, instruction, lifecycle, submit
from treasury.transfers.evidence import clean, storable

log = logging.getLogger(__name__)

DISPATCHER = Machine("dispatcher")
SEND_WITHIN = timedelta(seconds=5)  # of the claim; later, nothing is written to the venue any more
HELD_AGAIN = timedelta(seconds=15)  # a held transfer is asked about again
LATER_FIRST, LATER_MOST = timedelta(seconds=2), timedelta(minutes=5)
LOOK_UP_AFTER = timedelta(seconds=2)

Answer = Receipt | Challenge | VenueError


def dispatch(*, reference: str, now: Callable[[], datetime]) -> None:
    """Take one approved transfer through the three acts, or leave it held with the reason.

    ``now`` is the clock; each act reads it anew, since the acts may be seconds apart.
    """
    read_source_if_old(reference=reference, now=now)
    attempt = claim(reference=reference, at=now())
    if attempt is not None:
        conclude(attempt_id=attempt.pk, answer=call(attempt), now=now)


def read_source_if_old(*, reference: str, now: Callable[[], datetime]) -> None:
    """Before the claim: read the source's balance again where the stored one is older than a claim allows."""
    transfer = Transfer.objects.select_related("source", "connection").get(reference=reference)
    held = balance_of(transfer.source, transfer.asset)
    # A little less than the age leaves time for the claim; what settled since the reading makes it old as well.
    at = now()
    young = settings.BALANCE_MAX_AGE - SEND_WITHIN
    if held is not None and held.movable is not None and at - held.observed_at < young:
        ended_since = Transfer.objects.filter(
            source=transfer.source,
            asset=transfer.asset,
            state=State.SETTLED,
            changed_at__gte=held.observed_at,
        )
        if not ended_since.exists():
            return
    try:
        refresh(connection=transfer.connection, at=at)
    except NotRead as problem:
        log.warning("%s: balance not read before the claim: %s", reference, problem)  # the guard holds it


def claim(*, reference: str, at: datetime) -> Attempt | None:
    """Act one. An attempt that may now be made, exactly once; None when there is nothing to send."""
    with transaction.atomic(durable=True):
        stops.claim_lock()
        transfer = lifecycle.locked(reference)
        if transfer.state != State.APPROVED or (transfer.due_at is not None and transfer.due_at > at):
            return None
        Account.objects.select_for_update().get(pk=transfer.source_id)
        found = guards.objection(transfer, at=at)
        if found is None:
            return enter(transfer, kind="send", at=at, action="transfer.dispatch")
        _object(transfer, found, at)
    if isinstance(found, guards.Alarm):  # a claim cannot stop: it holds the claims' side of that lock
        stops.trip(
            connection=transfer.connection,
            reason=f"{transfer.reference}: {found.words}",
            by=DISPATCHER,
            at=at,
        )
    return None


def enter(transfer: Transfer, *, kind: str, at: datetime, action: str) -> Attempt:
    """Write the next attempt, and step to DISPATCHING unless the transfer is there already (a re-send)."""
    number = transfer.attempts.count() + 1
    limit = venues.declared(transfer.connection.venue).call_limit
    facts = {"attempt": number, "kind": kind, "digest": transfer.digest, "send_before": at + SEND_WITHIN}
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
        call_ends_at=at + SEND_WITHIN + limit,
        worker=f"{socket.gethostname()}:{os.getpid()}",
    )


def call(attempt: Attempt, answer: str | None = None) -> Answer:
    """Act two: the one call, outside any transaction. Never raises: every ending is an answer."""
    transfer = attempt.transfer
    assert transfer.instruction is not None
    try:
        connector = venues.open_connection(transfer.connection)
        words = instruction.as_sent(transfer.instruction)
    except venues.CannotOpen as problem:
        return TryLater(f"Not sent. Nothing moved. {problem}")
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
    """Act three: write the outcome, repeating until the database takes it; step on if the table allows."""
    pause = 0.1
    while True:
        try:
            with transaction.atomic(durable=True):
                return _conclude(attempt_id, answer, now())
        except (OperationalError, InterfaceError):
            log.exception("the outcome of attempt %s is not stored yet; trying again", attempt_id)
            close_old_connections()
            time.sleep(pause)
            pause = min(pause * 2, 5.0)


def _conclude(attempt_id: int, answer: Answer, at: datetime) -> None:
    attempt = Attempt.objects.select_related("transfer").get(pk=attempt_id)
    if isinstance(answer, Barred):
        stops.stop_lock()
    transfer = lifecycle.locked(attempt.transfer.reference)
    attempt.refresh_from_db()
    if attempt.outcome is not None:  # our own commit went through, its confirmation was lost
        return
    outcome = outcome_of(answer)
    attempt.outcome, attempt.concluded_at = outcome, at
    attempt.evidence = storable(answer.evidence)
    attempt.words = clean(answer.words) if isinstance(answer, VenueError) else ""
    attempt.record = clean(answer.record) if isinstance(answer, Receipt) and answer.record else None
    if isinstance(answer, Challenge):
        attempt.challenge = {"token": answer.token, "deadline": answer.deadline.isoformat()}
    attempt.save()
    facts = {
        "attempt": attempt.number,
        "outcome": str(outcome),
        "words": attempt.words,
        "record": attempt.record,
        "evidence": attempt.evidence,
    }
    if isinstance(answer, Barred):
        stops.trip(connection=transfer.connection, reason=attempt.words, by=DISPATCHER, at=at)
    if transfer.state == State.DISPATCHING:
        _step(transfer, attempt, answer, at, facts)
    else:
        lifecycle.entry(transfer, by=DISPATCHER, at=at, action="attempt.conclude", facts=facts)
        contradicts = (outcome == Outcome.SETTLED and transfer.state != State.SETTLED) or (
            outcome == Outcome.ACCEPTED and transfer.state not in (State.SETTLED, State.DISPATCHED)
        )
        if contradicts:
            alarm(
                transfer,
                f"attempt {attempt.number} ended “{outcome.label}” after it was {transfer.state}",
                at,
            )


def _step(transfer: Transfer, attempt: Attempt, answer: Answer, at: datetime, facts: dict[str, object]) -> None:
    """The map's table, answer by answer. It holds only while every earlier attempt is proven unsent."""
    doubt_before = transfer.attempts.exclude(pk=attempt.pk).exclude(outcome__in=NOTHING_MOVED).exists()
    title = venues.declared(transfer.connection.venue).title

    def advance(to: State, **columns: object) -> None:
        lifecycle.advance(transfer, to, by=DISPATCHER, at=at, action="attempt.conclude", facts=facts, **columns)

    if isinstance(answer, Receipt):
        if answer.settled:
            return advance(State.SETTLED, outcome=f"It moved. {title} confirmed it at once.")
        return advance(
            State.DISPATCHED,
            due_at=at + LOOK_UP_AFTER,
            outcome=f"On its way. {title} took it and works on it.",
        )
    if attempt.outcome == Outcome.UNCERTAIN or doubt_before:
        Transfer.objects.filter(pk=transfer.pk).update(due_at=at + LOOK_UP_AFTER)
        lifecycle.entry(transfer, by=DISPATCHER, at=at, action="attempt.conclude", facts=facts)
        return None
    if isinstance(answer, Challenge):
        return advance(
            State.CONFIRMING, due_at=at + LOOK_UP_AFTER, outcome=f"Nothing moved yet. {title} asks a person."
        )
    if isinstance(answer, Refused):
        return advance(State.FAILED, outcome=f"Nothing moved. {title} refused it. {attempt.words}")
    if isinstance(answer, Barred):
        return advance(State.APPROVED, held=attempt.words, due_at=at + HELD_AGAIN)
    assert isinstance(answer, TryLater), "every answer has its row in the table"
    return advance(State.APPROVED, held=attempt.words, due_at=answer.retry_at or at + _later(transfer))


def _later(transfer: Transfer) -> timedelta:
    """2 s doubling to 5 min with each attempt in a row that the venue put off."""
    tries = transfer.attempts.filter(outcome=Outcome.TRY_LATER).count()
    return min(LATER_FIRST * (1 << max(0, min(tries - 1, 20))), LATER_MOST)


def outcome_of(answer: Answer) -> Outcome:
    """The word for an answer that is stored with its attempt."""
    if isinstance(answer, Receipt):
        return Outcome.SETTLED if answer.settled else Outcome.ACCEPTED
    if isinstance(answer, Challenge):
        return Outcome.CHALLENGE
    for kind, outcome in (
        (Refused, Outcome.REFUSED),
        (TryLater, Outcome.TRY_LATER),
        (Barred, Outcome.BARRED),
    ):
        if isinstance(answer, kind):
            return outcome
    return Outcome.UNCERTAIN


def alarm(transfer: Transfer, words: str, at: datetime) -> None:
    """Call people: an entry that the pages show, and a line in the service's log."""
    log.critical("ALARM %s: %s", transfer.reference, words)
    lifecycle.entry(transfer, by=DISPATCHER, at=at, action="alarm.raise", facts={"words": words})


def _object(transfer: Transfer, found: guards.Objection, at: datetime) -> None:
    """Give a guard's objection its outcome."""
    words = found.words
    if isinstance(found, guards.Expire):
        lifecycle.advance(transfer, State.EXPIRED, by=DISPATCHER, at=at, action="transfer.expire", outcome=words)
    elif isinstance(found, guards.SendBack):
        demands = submit.write_demands(transfer)
        lifecycle.advance(
            transfer,
            State.SUBMITTED,
            by=DISPATCHER,
            at=at,
            action="transfer.send_back",
            facts={"why": words, "demands": demands, "round": transfer.round + 1},
            round=transfer.round + 1,
            seen_total=getattr(balance_of(transfer.source, transfer.asset), "total", None),
            outcome=f"Not sent. Nothing moved. It needs approval again: {words}.",
        )
    else:
        if isinstance(found, guards.Alarm):
            alarm(transfer, words, at)
        retry_at = found.retry_at if isinstance(found, guards.Hold) else None
        if transfer.held != words:  # say it once, not at each tick
            lifecycle.entry(transfer, by=DISPATCHER, at=at, action="transfer.hold", facts={"why": words})
        Transfer.objects.filter(pk=transfer.pk).update(held=words, due_at=retry_at or at + HELD_AGAIN)
