"""Settle: pursue what is in flight until evidence ends it. Look-ups only read; a re-send is a claim of its own."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet

from connectors.core.errors import VenueError
from connectors.core.protocol import Receipt, Standing
from connectors.core.protocol import State as Found
from treasury import venues
from treasury.audit.record import Machine
from treasury.models import NOTHING_MOVED, Attempt, Connection, Kind, LookUp, Resolution, State, Transfer
from treasury.models.text import clean
from treasury.pace import paced
from treasury.transfers import attempts, contradictions, doubt, instruction, lifecycle, resolve
from treasury.transfers.alarms import alarm
from treasury.transfers.evidence import both_balances, storable, storable_record

log = logging.getLogger(__name__)

SETTLER = Machine("settle")
PURSUED = (State.DISPATCHING, State.DISPATCHED)
ATTEMPTS_MOST = 3
EMPTY_LOOK_UPS = 3  # how many empty searches in a row before a re-send: records may show late
RESOLVED_AGAIN_MOST = paced(timedelta(hours=1))  # between look-ups of what two people resolved

Error = VenueError | venues.CannotOpen


def settle(*, reference: str, now: Callable[[], datetime]) -> None:
    """Ask the venue what became of a transfer in flight, and follow the answer as far as it goes."""
    transfer = Transfer.objects.select_related("connection").get(reference=reference)
    asked_at = now()
    if not is_due(transfer, asked_at):
        return
    if transfer.state == State.DISPATCHING:
        doubt.trip(transfer.connection, asked_at)
    if wait := venues.why_wait(transfer.connection, "look_up", asked_at):
        Transfer.objects.filter(pk=transfer.pk, due_at__isnull=False).update(due_at=wait.retry_at)
        return
    claimed = claimed_by_others(transfer)
    answer = ask(transfer, claimed)
    may_resend = note(reference=reference, answer=answer, asked_at=asked_at, at=now(), claimed=claimed)
    if may_resend:
        attempt = claim_resend(reference=reference, at=now())
        if attempt is not None:
            attempts.conclude(attempt_id=attempt.pk, answer=attempts.call(attempt), now=now)


def look_back(*, reference: str, now: Callable[[], datetime]) -> None:
    """After a restore: ask the venue about a transfer by its key, whatever this database believes of it.

    A send that this database has forgotten shows as a contradiction, and what is contradicted is not sent.
    """
    transfer = Transfer.objects.select_related("connection").get(reference=reference)
    asked_at = now()
    if transfer.key is None or transfer.attempts.under_way(asked_at).exists():
        return
    if venues.why_wait(transfer.connection, "look_up", asked_at) is not None:
        return
    if not transfer.attempts.exists() and not venues.declared(transfer.connection.venue).records_carry_key:
        # Which of its rows it would be, nobody could say: we do not know when it may have been sent.
        answer = Standing(
            state=Found.UNCLEAR, searched=False, found=False, evidence={"not asked": "its records carry no key"}
        )
        note(reference=reference, answer=answer, asked_at=asked_at, at=now())
        return
    claimed = claimed_by_others(transfer)
    note(reference=reference, answer=ask(transfer, claimed), asked_at=asked_at, at=now(), claimed=claimed)


def is_due(transfer: Transfer, at: datetime) -> bool:
    """Nothing is asked while a call may still be under way: its answer would come to nothing or to a false one."""
    if transfer.state not in PURSUED and not transfer.has_ended:
        return False
    if transfer.due_at is None or transfer.due_at > at:
        return False
    return not transfer.attempts.under_way(at).exists()


def claimed_by_others(transfer: Transfer) -> frozenset[str]:
    """The venue's records that other transfers of the connection rest on: one record proves one transfer."""
    others = LookUp.objects.filter(
        transfer__connection=transfer.connection_id,
        record__isnull=False,
        state__in=[Found.DONE.value, Found.PENDING.value, Found.FAILED.value],
    )
    day_before = transfer.created_at - timedelta(days=1)
    recent = others.exclude(transfer=transfer).filter(at__gt=day_before)
    named = Resolution.objects.filter(transfer__connection=transfer.connection_id, moved=True, at__gt=day_before)
    found = {
        *recent.values_list("record", flat=True).distinct(),
        *named.exclude(transfer=transfer).values_list("record", flat=True),
    }
    return frozenset(record for record in found if record)


def ask(transfer: Transfer, claimed: frozenset[str] = frozenset()) -> Standing | Error:
    """The look-up itself, outside any transaction. Never raises: a look-up that failed is an answer of its own."""
    assert transfer.instruction is not None
    first = transfer.attempts.order_by("number").first()
    sent_at = first.claimed_at if first else transfer.submitted_at
    assert sent_at is not None, "what has a key was submitted"
    taken = transfer.attempts.taken().last()
    receipt = Receipt(settled=False, record=taken.record) if taken else None
    try:
        connector = venues.open_connection(transfer.connection, "look_up")
        words = instruction.as_sent(transfer.instruction)
        return connector.look_up(words, sent_at=sent_at, receipt=receipt, claimed=claimed)
    except (VenueError, venues.CannotOpen) as problem:
        return problem
    except Exception as unforeseen:  # a connector's own defect; the money's standing is as unknown as before
        log.exception("%s: the connector failed in a look-up", transfer.reference)
        return VenueError(f"The look-up failed ({type(unforeseen).__name__}).")


def note(
    *,
    reference: str,
    answer: Standing | Error,
    asked_at: datetime,
    at: datetime,
    claimed: frozenset[str] = frozenset(),
) -> bool:
    """Store the answer with its evidence and step on if it proves something; True when a re-send may be tried.

    ``claimed`` is what the question said of other transfers' records. Where that is true no longer, the answer may
    rest on a record that another transfer took meanwhile: it proves nothing, and is asked again.
    """
    with transaction.atomic(durable=True):
        transfer = lifecycle.locked(reference)
        record = storable_record(answer.record) if isinstance(answer, Standing) else None
        if record is not None:
            Connection.objects.select_for_update().get(pk=transfer.connection_id)
            if claimed_by_others(transfer) != claimed:
                Transfer.objects.filter(pk=transfer.pk, due_at__isnull=False).update(due_at=at)
                return False
        found = isinstance(answer, Standing) and answer.found
        alarmed_before = transfer.look_ups.filter(found=True, state=Found.UNCLEAR.value).exists()
        look_up = LookUp.objects.create(
            transfer=transfer,
            at=asked_at,
            state=answer.state.value if isinstance(answer, Standing) else "ERROR",
            searched=isinstance(answer, Standing) and answer.searched,
            found=found,
            words="" if isinstance(answer, Standing) else clean(str(answer)),
            record=record,
            evidence=storable(getattr(answer, "evidence", {})),
            balances=both_balances(transfer),
        )
        facts: dict[str, object] = {
            "answer": look_up.state,
            "searched": look_up.searched,
            "found": look_up.found,
            "words": look_up.words,
            "evidence": look_up.evidence,
        }
        if transfer.state not in PURSUED:
            lifecycle.entry(transfer, by=SETTLER, at=at, action="transfer.look_up", facts=facts)
            _look_on(transfer, look_up, at)
            return False
        if _step(transfer, look_up, facts, at):
            return False
        if found and look_up.state == Found.UNCLEAR.value and not alarmed_before:
            words = "the venue's record under this key does not fit what was approved"
            alarm(transfer, words, by=SETTLER, at=at)
        named = getattr(answer, "retry_at", None)
        if named is not None and not isinstance(answer, venues.PutOff):
            venues.limited(transfer.connection, named)
        wait = named or at + pause(transfer)
        Transfer.objects.filter(pk=transfer.pk).update(due_at=wait)
        return named is None and why_not_resend(transfer, at) is None


def _look_on(transfer: Transfer, look_up: LookUp, at: datetime) -> None:
    """It is not in flight: two people ended it, or it is looked back at. Does the answer speak against that?"""
    never_taken = not is_known(transfer) and long_empty(transfer)
    words = contradictions.spoken_by(transfer, look_up, never_taken=never_taken)
    if words and not contradictions.is_ruled_on(transfer, look_up):
        contradictions.raise_(transfer, words=words, by=SETTLER, at=at, look_up=look_up)
    if transfer.has_ended:
        Transfer.objects.filter(pk=transfer.pk).update(due_at=_next_look(transfer, at))


def _next_look(transfer: Transfer, at: datetime) -> datetime | None:
    """When the venue is asked again about what two people resolved; None when that is over."""
    resolution = Resolution.objects.filter(transfer=transfer).first()
    if resolution is None or at - resolution.at > settings.RESOLVED_LOOKED_UP_FOR:
        return None
    wait: timedelta = max(attempts.LOOK_UP_AFTER, min((at - resolution.at) / 4, RESOLVED_AGAIN_MOST))
    return at + wait


def is_known(transfer: Transfer) -> bool:
    """Whether the venue ever showed that it has it."""
    return transfer.attempts.taken().exists() or transfer.look_ups.filter(found=True).exists()


def _step(transfer: Transfer, look_up: LookUp, facts: dict[str, object], at: datetime) -> bool:
    """Advance if the answer proves something; True when it did."""
    title = venues.declared(transfer.connection.venue).title
    open_call = transfer.attempts.under_way(at).exists()
    steps = {
        Found.DONE.value: (State.SETTLED, f"It moved. {title}'s own records show it."),
        Found.PENDING.value: (State.DISPATCHED, ""),
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
        # A venue that had it once cannot never have had it, and one empty search proves little: unclear.
        or (look_up.state == Found.ABSENT.value and (is_known(transfer) or not long_empty(transfer)))
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
        due_at=at + attempts.LOOK_UP_AFTER if to == State.DISPATCHED else None,
    )
    return True


def long_empty(transfer: Transfer) -> bool:
    """Whether the last searches were all complete and empty, and all made long enough after the *last* attempt."""
    after = venues.declared(transfer.connection.venue).absent_after
    last = transfer.attempts.order_by("number").last()
    if after is None or last is None:
        return False
    made_since = transfer.look_ups.filter(at__gt=last.send_before + after)
    return all_empty(made_since)


def all_empty(look_ups: QuerySet[LookUp]) -> bool:
    """Whether the newest EMPTY_LOOK_UPS of these are complete searches that found nothing."""
    newest = list(look_ups.order_by("-at", "-id")[:EMPTY_LOOK_UPS])
    return len(newest) == EMPTY_LOOK_UPS and all(one.searched and not one.found for one in newest)


def pause(transfer: Transfer) -> timedelta:
    """How long until the next look-up: it grows with each since the last attempt."""
    last = transfer.attempts.latest("number")
    return attempts.backoff(transfer.look_ups.filter(at__gte=last.claimed_at).count() + 1)


def why_not_resend(transfer: Transfer, at: datetime) -> str | None:
    """Why the same words may not be sent again under the same key now; None when they may."""
    declared = venues.declared(transfer.connection.venue)
    made = list(transfer.attempts.order_by("number"))
    first, last = made[0], made[-1]
    if transfer.state != State.DISPATCHING or declared.resend is None:
        return "the venue takes no re-send, or the transfer is not in doubt"
    if transfer.attempts.under_way(at).exists():
        return "a call is still under way"
    if not transfer.attempts.in_doubt(at).exists():
        return "nothing is in doubt"
    if transfer.attempts.taken().exists():
        return "the venue took it"
    if sum(attempt.outcome not in NOTHING_MOVED for attempt in made) >= ATTEMPTS_MOST:
        return f"it was tried {ATTEMPTS_MOST} times"
    if at - first.claimed_at >= declared.resend.until:
        return "the key may have been forgotten by the venue"
    if transfer.look_ups.filter(found=True).exists():
        return "a record was found once"
    if resolve.proposed(transfer) is not None:
        return "somebody has proposed how to resolve it"
    window_over = last.send_before + (declared.signed_window or timedelta(0))
    look_first = declared.resend.after_empty_look_up and venues.is_searchable(transfer)
    if look_first and not all_empty(transfer.look_ups.filter(at__gt=window_over)):
        return f"{EMPTY_LOOK_UPS} complete searches in a row must have found nothing"
    if at <= window_over:
        return "an earlier request may still arrive"
    return None


def claim_resend(*, reference: str, at: datetime) -> Attempt | None:
    """A re-send is a claim like any other; None when it may not be made, or no longer."""
    return attempts.enter_again(
        reference=reference,
        state=State.DISPATCHING,
        kind=Kind.RESEND,
        action="transfer.resend",
        at=at,
        allowed=lambda transfer: why_not_resend(transfer, at) is None,
    )
