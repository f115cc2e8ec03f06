"""Settle: pursue what is in flight until evidence ends it. Look-ups only read; a re-send is a claim of its own."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from django.db import transaction

from connectors.core.errors import VenueError
from connectors.core.protocol import Receipt, Standing
from connectors.core.protocol import State as Found
from treasury import venues
from treasury.audit.record import Machine
from treasury.controls import stops
from treasury.models import Attempt, LookUp, Outcome, State, Transfer
from treasury.models.attempt import NOTHING_MOVED
from treasury.transfers import dispatch, guards, instruction, lifecycle
from treasury.transfers.evidence import clean, storable

log = logging.getLogger(__name__)

SETTLER = Machine("settle")
FIRST, MOST = timedelta(seconds=2), timedelta(minutes=5)
ATTEMPTS_MOST = 3
EMPTY_LOOK_UPS = 3  # how many empty searches in a row before a re-send: records may show late

Error = VenueError | venues.CannotOpen


def settle(*, reference: str, now: Callable[[], datetime]) -> None:
    """Ask the venue what became of a transfer in flight, and follow the answer as far as it goes."""
    transfer = Transfer.objects.select_related("connection").get(reference=reference)
    asked_at = now()
    if not is_due(transfer, asked_at):
        return
    answer = ask(transfer)
    may_resend = note(reference=reference, answer=answer, asked_at=asked_at, at=now())
    if may_resend:
        attempt = claim_resend(reference=reference, at=now())
        if attempt is not None:
            dispatch.conclude(attempt_id=attempt.pk, answer=dispatch.call(attempt), now=now)


def is_due(transfer: Transfer, at: datetime) -> bool:
    """Nothing is asked while a call may still be under way: its answer would come to nothing or to a false one."""
    if transfer.state not in (State.DISPATCHING, State.DISPATCHED):
        return False
    if transfer.due_at is not None and transfer.due_at > at:
        return False
    return not transfer.attempts.filter(outcome=None, call_ends_at__gt=at).exists()


def ask(transfer: Transfer) -> Standing | Error:
    """The look-up itself, outside any transaction. Never raises: a look-up that failed is an answer of its own."""
    assert transfer.instruction is not None
    first = transfer.attempts.order_by("number").first()
    assert first is not None, "in flight means attempted"
    taken = transfer.attempts.filter(outcome__in=[Outcome.ACCEPTED, Outcome.SETTLED]).last()
    receipt = Receipt(settled=False, record=taken.record) if taken else None
    try:
        connector = venues.open_connection(transfer.connection)
        return connector.look_up(instruction.as_sent(transfer.instruction), sent_at=first.claimed_at, receipt=receipt)
    except (VenueError, venues.CannotOpen) as problem:
        return problem
    except Exception as unforeseen:  # a connector's own defect; the money's standing is as unknown as before
        log.exception("%s: the connector failed in a look-up", transfer.reference)
        return VenueError(f"The look-up failed ({type(unforeseen).__name__}).")


def note(*, reference: str, answer: Standing | Error, asked_at: datetime, at: datetime) -> bool:
    """Store the answer with its evidence and step on if it proves something; True when a re-send may be tried."""
    with transaction.atomic(durable=True):
        transfer = lifecycle.locked(reference)
        found = isinstance(answer, Standing) and answer.found
        alarmed_before = transfer.look_ups.filter(found=True, state=Found.UNCLEAR.value).exists()
        look_up = LookUp.objects.create(
            transfer=transfer,
            at=asked_at,
            state=answer.state.value if isinstance(answer, Standing) else "ERROR",
            searched=isinstance(answer, Standing) and answer.searched,
            found=found,
            words="" if isinstance(answer, Standing) else clean(str(answer)),
            evidence=storable(getattr(answer, "evidence", {})),
        )
        facts: dict[str, object] = {
            "answer": look_up.state,
            "searched": look_up.searched,
            "found": look_up.found,
            "words": look_up.words,
            "evidence": look_up.evidence,
        }
        if transfer.state not in (State.DISPATCHING, State.DISPATCHED):  # something else ended it meanwhile
            lifecycle.entry(transfer, by=SETTLER, at=at, action="transfer.look_up", facts=facts)
            return False
        if _step(transfer, look_up, facts, at):
            return False
        if found and look_up.state == Found.UNCLEAR.value and not alarmed_before:
            dispatch.alarm(transfer, "the venue's record under this key does not fit what was approved", at)
        wait = getattr(answer, "retry_at", None) or at + pause(transfer)
        Transfer.objects.filter(pk=transfer.pk).update(due_at=wait)
        return why_not_resend(transfer, at) is None


def _step(transfer: Transfer, look_up: LookUp, facts: dict[str, object], at: datetime) -> bool:
    """Advance if the answer proves something; True when it did."""
    title = venues.declared(transfer.connection.venue).title
    taken = transfer.attempts.filter(outcome__in=[Outcome.ACCEPTED, Outcome.SETTLED]).exists()
    open_call = transfer.attempts.filter(outcome=None, call_ends_at__gt=at).exists()
    steps = {
        Found.DONE.value: (State.SETTLED, f"It moved. {title}'s own records show it."),
        Found.PENDING.value: (State.DISPATCHED, f"On its way. {title}'s own records show it as pending."),
        Found.FAILED.value: (State.FAILED, f"Nothing moved. {title}'s own records show that it failed."),
        Found.ABSENT.value: (
            State.FAILED,
            f"Nothing moved. {title} never took it and no longer can. Draft it again if it is still wanted.",
        ),
    }
    to, outcome = steps.get(look_up.state, (None, ""))
    proves_nothing = (
        to is None
        or to == transfer.state
        or (to == State.FAILED and open_call)
        # A venue that took it once cannot never have had it: such an answer is unclear.
        or (look_up.state == Found.ABSENT.value and taken)
    )
    if proves_nothing:
        lifecycle.entry(transfer, by=SETTLER, at=at, action="transfer.look_up", facts=facts)
        return False
    assert to is not None
    lifecycle.advance(
        transfer,
        to,
        by=SETTLER,
        at=at,
        action="transfer.settle" if to != State.FAILED else "transfer.fail",
        facts=facts,
        outcome=outcome,
        due_at=at + FIRST if to == State.DISPATCHED else None,
    )
    return True


def pause(transfer: Transfer) -> timedelta:
    """2 s doubling to 5 min with each look-up since the last attempt."""
    last = transfer.attempts.order_by("number").last()
    assert last is not None
    asked = transfer.look_ups.filter(at__gte=last.claimed_at).count()
    return min(FIRST * (1 << min(asked, 20)), MOST)


def why_not_resend(transfer: Transfer, at: datetime) -> str | None:
    """Why the same words may not be sent again under the same key now; None when they may."""
    declared = venues.declared(transfer.connection.venue)
    attempts = list(transfer.attempts.order_by("number"))
    first, last = attempts[0], attempts[-1]
    if transfer.state != State.DISPATCHING or declared.resend is None:
        return "the venue takes no re-send, or the transfer is not in doubt"
    if all(attempt.outcome in NOTHING_MOVED for attempt in attempts):
        return "nothing is in doubt"
    if any(attempt.outcome is None and attempt.call_ends_at > at for attempt in attempts):
        return "a call is still under way"
    if transfer.attempts.filter(outcome__in=[Outcome.ACCEPTED, Outcome.SETTLED]).exists():
        return "the venue took it"
    if len(attempts) >= ATTEMPTS_MOST:
        return f"it was tried {ATTEMPTS_MOST} times"
    if at - first.claimed_at >= declared.resend.until:
        return "the key may have been forgotten by the venue"
    window_over = last.send_before + (declared.signed_window or timedelta(0))
    since = list(transfer.look_ups.filter(at__gt=window_over).order_by("-at", "-id")[:EMPTY_LOOK_UPS])
    if declared.resend.after_empty_look_up:
        if len(since) < EMPTY_LOOK_UPS or not all(one.searched and not one.found for one in since):
            return f"{EMPTY_LOOK_UPS} complete searches in a row must have found nothing"
    elif at <= window_over or any(one.found for one in since):
        return "an earlier request may still arrive, or a record was found"
    return None


def claim_resend(*, reference: str, at: datetime) -> Attempt | None:
    """A re-send is a claim like any other: own attempt, same key, same words; stops and expiry apply."""
    with transaction.atomic(durable=True):
        stops.claim_lock()
        transfer = lifecycle.locked(reference)
        if transfer.state != State.DISPATCHING or why_not_resend(transfer, at) is not None:
            return None
        for guard in (guards.expired, guards.same_words, guards.not_stopped):
            if guard(transfer, at) is not None:
                return None
        return dispatch.enter(transfer, kind="resend", at=at, action="transfer.resend")
