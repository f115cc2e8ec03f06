"""Confirm: the venue does nothing until a person confirms there and we repeat the call with its token."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from django.db import transaction

from connectors.core.errors import VenueError
from connectors.core.protocol import Challenge, ChallengeState
from treasury import venues
from treasury.audit.record import Machine
from treasury.models import Attempt, Kind, Outcome, State, Transfer
from treasury.pace import paced
from treasury.transfers import attempts, lifecycle

log = logging.getLogger(__name__)

CONFIRMER = Machine("confirm")
ASK_AGAIN = paced(timedelta(seconds=5))
# True whoever or whatever was late: the person there, a stop order, a limit, or we.
OUT_OF_TIME = "Nothing moved. Its time to be confirmed at the venue ran out before the call was repeated."


def confirm(*, reference: str, now: Callable[[], datetime]) -> None:
    """Ask whether the person has confirmed; if so repeat the call, if denied or too late end it."""
    transfer = Transfer.objects.select_related("connection").get(reference=reference)
    at = now()
    if transfer.state != State.CONFIRMING or transfer.due_at is None or transfer.due_at > at:
        return None
    challenge = challenge_of(transfer)
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


def challenge_of(transfer: Transfer) -> Challenge:
    """The challenge that the transfer waits for, as the venue gave it."""
    attempt = transfer.attempts.filter(outcome=Outcome.CHALLENGE).order_by("number").last()
    assert attempt is not None and attempt.challenge is not None, "CONFIRMING follows a challenge"
    return Challenge(token=attempt.challenge["token"], deadline=datetime.fromisoformat(attempt.challenge["deadline"]))


def claim_repeat(*, reference: str, at: datetime) -> Attempt | None:
    """The repeat is a claim: own attempt, same key, same words, the token."""
    return attempts.enter_again(
        reference=reference,
        state=State.CONFIRMING,
        kind=Kind.REPEAT,
        action="transfer.repeat",
        at=at,
        allowed=lambda transfer: at < challenge_of(transfer).deadline,
    )


def end(reference: str, to: State, action: str, outcome: str, at: datetime) -> None:
    with transaction.atomic():
        transfer = lifecycle.locked(reference)
        if transfer.state == State.CONFIRMING:
            lifecycle.advance(transfer, to, by=CONFIRMER, at=at, action=action, outcome=outcome)
