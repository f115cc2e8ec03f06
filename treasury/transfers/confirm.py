"""Confirm: the venue does nothing until a person confirms there and we repeat the call with its token."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from django.db import transaction

from connectors.core.errors import Uncertain, VenueError
from connectors.core.protocol import Challenge, ChallengeState, Receipt
from treasury import venues
from treasury.audit.record import Machine
from treasury.models import Attempt, Kind, Outcome, State, Transfer
from treasury.pace import paced
from treasury.transfers import access, attempts, by_hand, guards, lifecycle

log = logging.getLogger(__name__)

CONFIRMER = Machine("confirm")
ASK_AGAIN = paced(timedelta(seconds=5))
LOOK_AGAIN = paced(timedelta(minutes=1))  # for what two people said: their saying so makes it due at once
# True whoever or whatever was late: the person there, a stop order, a limit, or we.
OUT_OF_TIME = "Nothing moved. Its time to be confirmed at the venue ran out before the call was repeated."


def confirm(*, reference: str, now: Callable[[], datetime]) -> None:
    """Ask whether the person has confirmed; if so repeat the call, if denied or too late end it."""
    transfer = Transfer.objects.select_related("connection").get(reference=reference)
    at = now()
    if transfer.state != State.CONFIRMING or transfer.due_at is None or transfer.due_at > at:
        return None
    challenge = challenge_of(transfer)
    if transfer.connection.by_hand:
        return record(transfer, challenge, now)
    if at >= challenge.deadline:
        return end(reference, State.EXPIRED, "transfer.expire", OUT_OF_TIME, at)
    try:
        said = venues.open_connection(transfer.connection, "challenge").challenge(challenge)
    except venues.PutOff as wait:  # its turn comes when it is the longest waiting
        Transfer.objects.filter(pk=transfer.pk, state=State.CONFIRMING).update(due_at=wait.retry_at)
        return None
    except (VenueError, venues.CannotOpen, NotImplementedError) as problem:
        log.warning("%s: not known whether it was confirmed: %s", reference, problem)
        said = ChallengeState.WAITING
    if said is ChallengeState.DENIED:
        return end(reference, State.FAILED, "transfer.fail", "Nothing moved. It was denied at the venue.", now())
    attempt = claim_repeat(reference=reference, at=now()) if said is ChallengeState.ALLOWED else None
    if attempt is not None:
        answer = attempts.call(attempt, answer=challenge.token)
        return attempts.conclude(attempt_id=attempt.pk, answer=answer, now=now)
    Transfer.objects.filter(pk=transfer.pk, state=State.CONFIRMING).update(due_at=now() + ASK_AGAIN)
    return None


def record(transfer: Transfer, challenge: Challenge, now: Callable[[], datetime]) -> None:
    """By hand, two people's word takes the place of the venue's, and no deadline ends it: it may have been done."""
    attempt = None
    if by_hand.said_done(transfer) is not None:
        attempt = claim_repeat(reference=transfer.reference, at=now(), among=guards.DONE_BY_HAND)
    if attempt is None:
        Transfer.objects.filter(pk=transfer.pk, state=State.CONFIRMING).update(due_at=now() + LOOK_AGAIN)
        return
    answer = attempts.call(attempt, answer=challenge.token)
    if not isinstance(answer, Receipt):
        # Whatever stood in its way: by two people's word it moved, and it may never go back to be sent once more.
        answer = Uncertain(f"It may have moved: two people say so. It could not be recorded: {answer}")
    attempts.conclude(attempt_id=attempt.pk, answer=answer, now=now)


def challenge_of(transfer: Transfer) -> Challenge:
    """The challenge that the transfer waits for, as the venue gave it."""
    attempt = transfer.attempts.filter(outcome=Outcome.CHALLENGE).order_by("number").last()
    assert attempt is not None and attempt.challenge is not None, "CONFIRMING follows a challenge"
    return Challenge(token=attempt.challenge["token"], deadline=datetime.fromisoformat(attempt.challenge["deadline"]))


def claim_repeat(
    *, reference: str, at: datetime, among: tuple[guards.Guard, ...] = guards.SAME_AGAIN
) -> Attempt | None:
    """The repeat is a claim: own attempt, same key, same words, the token."""
    return attempts.enter_again(
        reference=reference,
        state=State.CONFIRMING,
        kind=Kind.REPEAT,
        action="transfer.repeat",
        at=at,
        allowed=lambda transfer: may_repeat(transfer, at),
        among=among,
    )


def may_repeat(transfer: Transfer, at: datetime) -> bool:
    """A venue takes the token until its deadline; what people have done by hand is recorded however late."""
    if transfer.connection.by_hand:
        return by_hand.said_done(transfer) is not None
    return at < challenge_of(transfer).deadline


def end(reference: str, to: State, action: str, outcome: str, at: datetime) -> None:
    with transaction.atomic():
        transfer = lifecycle.locked(reference)
        if transfer.state != State.CONFIRMING:
            return
        if access.why_not_end(transfer):  # two people say first what is true
            Transfer.objects.filter(pk=transfer.pk).update(due_at=at + LOOK_AGAIN)
            return
        lifecycle.advance(transfer, to, by=CONFIRMER, at=at, action=action, outcome=outcome)
