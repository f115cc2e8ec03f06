"""Approve and reject: one person's word on the exact instruction they saw."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.db import transaction

from treasury.controls.roles import groups_of
from treasury.models import Decision, Demand, State, Transfer, User, Verdict
from treasury.transfers import access, bell, lifecycle, restored


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
            lifecycle.entry(transfer, by=checker, at=at, action="transfer.approve", facts={**told, "missing": missing})
            return transfer
        lifecycle.advance(transfer, State.APPROVED, by=checker, at=at, action="transfer.approve", facts=told, due_at=at)
        bell.ring_on_commit(transfer)
        return transfer


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


def still_missing(transfer: Transfer) -> dict[str, int]:
    """How many approvals of which group this round still lacks; empty when it has them all."""
    approvals = transfer.decisions.filter(round=transfer.round, verdict=Verdict.APPROVE, digest=transfer.digest)
    return lacking(transfer.demands.filter(round=transfer.round), approvals)


def lacking(demands: Iterable[Demand], approvals: Iterable[Decision]) -> dict[str, int]:
    """What these approvals lack of these demands, all of one round."""
    counts = [decision.counts_for for decision in approvals]
    missing = {demand.group: demand.count - sum(demand.group in counted for counted in counts) for demand in demands}
    return {group: count for group, count in missing.items() if count > 0}


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
