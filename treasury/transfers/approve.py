"""Approve and reject: one person's word on the exact instruction they saw. ``withdraw`` takes an approval back."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.db.models import Exists, OuterRef

from treasury.controls.roles import groups_of
from treasury.models import Decision, State, Transfer, User, Verdict
from treasury.transfers import access, bell, lifecycle, restored
from treasury.transfers.approvals import still_missing
from treasury.transfers.cancel import CLOCK

ACTION = "transfer.approve"


class OtherWords(Exception):
    """The page that was decided on shows other words than the transfer has. Nothing was decided."""


class NoReason(Exception):
    """A rejection came without its reason. Nothing was decided."""


def approve(*, reference: str, checker: User, digest: str, round: int, factor: str, at: datetime) -> Transfer:  # noqa: A002  (the model's own word)
    """Approve the instruction of this digest, in this round; with the last approval it goes out.

    Raises access.NotAllowed, access.NotNow, OtherWords.
    """
    with transaction.atomic():
        transfer = _decide(reference, Verdict.APPROVE, checker, (digest, round), factor, "", at)
        missing = still_missing(transfer)
        told = {"digest": digest, "factor": factor, "round": transfer.round}
        if missing:
            lifecycle.entry(transfer, by=checker, at=at, action=ACTION, facts={**told, "missing": missing})
            return transfer
        lifecycle.advance(transfer, State.APPROVED, by=checker, at=at, action=ACTION, facts=told, due_at=at)
        bell.ring_on_commit(transfer)
        return transfer


def complete(*, reference: str, at: datetime) -> Transfer:
    """By the clock: approved, once what lapsed counts again and was all that a round lacked. Nobody can decide on such
    a round but those who were asked and have not, who may be none.

    Raises access.NotNow where it does not wait, is over, or lacks approvals still.
    """
    with transaction.atomic():
        transfer = lifecycle.locked(reference)
        if transfer.state != State.SUBMITTED:
            raise access.NotNow(f"{reference} is {access.label(transfer)}; it does not wait for a decision.")
        if transfer.expires_at is None or at >= transfer.expires_at:
            raise access.NotNow(f"{reference} expired; nothing moved.")
        if not transfer.demands.filter(round=transfer.round).exists() or still_missing(transfer):
            raise access.NotNow(f"{reference} still lacks approvals.")
        told = {"digest": transfer.digest, "round": transfer.round, "why": "an approval counts again"}
        lifecycle.advance(transfer, State.APPROVED, by=CLOCK, at=at, action=ACTION, facts=told, due_at=at)
        bell.ring_on_commit(transfer)
        return transfer


def full(at: datetime) -> list[Transfer]:
    """What still waits though its round has every approval that it demands, the oldest first."""
    asked = Transfer.objects.filter(state=State.SUBMITTED, expires_at__gt=at)
    decided = Decision.objects.filter(transfer=OuterRef("pk"), round=OuterRef("round"), verdict=Verdict.APPROVE)
    some = asked.filter(Exists(decided.filter(withdrawal=None))).select_related("maker").order_by("pk")
    return [one for one in some if not still_missing(one)]


def reject(
    *,
    reference: str,
    checker: User,
    digest: str,
    round: int,  # noqa: A002  (the model's own word)
    factor: str,
    reason: str,
    at: datetime,
) -> Transfer:
    """Reject it for good. Raises access.NotAllowed, access.NotNow, OtherWords, NoReason."""
    with transaction.atomic():
        transfer = _decide(reference, Verdict.REJECT, checker, (digest, round), factor, reason.strip(), at)
        access.insist(access.why_not_end(transfer))
        return restored.end(
            transfer,
            State.REJECTED,
            why=f"{checker} rejected it: {reason.strip()}",
            by=checker,
            at=at,
            action="transfer.reject",
            facts={"digest": digest, "factor": factor, "round": transfer.round, "reason": reason.strip()},
        )


def _decide(
    reference: str, verdict: Verdict, checker: User, saw: tuple[str, int], factor: str, reason: str, at: datetime
) -> Transfer:
    transfer = lifecycle.locked(reference)
    access.insist(access.why_not_decide(transfer, checker, at))
    if verdict == Verdict.REJECT and not reason:
        raise NoReason("Say why you reject it; its maker reads the reason.")
    digest = transfer.digest
    if saw != (digest, transfer.round):
        raise OtherWords(
            f"Nothing was decided. {transfer.reference} is not what your page showed; read it again below."
        )
    assert digest is not None
    assert transfer.instruction is not None
    groups = groups_of(checker)
    Decision.objects.create(
        transfer=transfer,
        round=transfer.round,
        verdict=verdict,
        by=checker,
        at=at,
        digest=digest,
        instruction=transfer.instruction,
        counts_for=sorted(
            demand.group for demand in transfer.demands.filter(round=transfer.round) if demand.group in groups
        ),
        factor=factor,
        reason=reason,
    )
    return transfer
