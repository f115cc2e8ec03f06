"""What a transfer's page shows of its doubt: the proposal or the form to resolve it, and what speaks for what."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from treasury.controls import changes
from treasury.models import Change, Contradiction, Resolution, State, Transfer, User
from treasury.transfers import contradictions, queries, resolve
from treasury.web import proposals, sides
from treasury.web.proposals import Proposal
from treasury.web.sides import Side


@dataclass(frozen=True)
class Said:
    """What was typed into a form that was refused: shown again, so that nobody types it twice."""

    moved: str = ""
    reason: str = ""
    record: str = ""
    contradiction: int = 0  # which form it was; 0 for the one that resolves


@dataclass(frozen=True)
class Question:
    """Whether it moved, asked of people: a proposal that waits, or a form, or why there is none of them."""

    proposal: Proposal | None
    why_not_now: str
    why_not_you: str


@dataclass(frozen=True)
class Against:
    """A contradiction with the question of what is true; when it is closed, with the balances that were known then."""

    contradiction: Contradiction
    question: Question | None
    sides: list[Side] = field(default_factory=list)


@dataclass(frozen=True)
class Doubt:
    question: Question | None
    resolved: Proposal | None
    against: list[Against]
    sides: list[Side] = field(default_factory=list)

    @property
    def is_shown(self) -> bool:
        return bool(self.question or self.resolved or self.against)


def of(transfer: Transfer, person: User, at: datetime) -> Doubt:
    question = question_of(transfer, person, at)
    against = [against_of(one, transfer, person, at) for one in transfer.contradictions.select_related("change")]
    is_open = question is not None or any(one.question for one in against)
    return Doubt(
        question=question,
        resolved=resolved(transfer, person, at),
        against=against,
        sides=sides.of(transfer) if is_open else [],
    )


def question_of(transfer: Transfer, person: User, at: datetime) -> Question | None:
    """Of a transfer in doubt, or one that the venue took and has not settled in its time. None of any other."""
    doubtful = transfer.state == State.DISPATCHING and transfer.attempts.in_doubt(at).exists()
    if transfer.state == State.CONFIRMING or not (doubtful or queries.is_overdue(transfer, at)):
        return None  # what people do by hand, they say in another way
    why_not_now = resolve.why_not_yet(transfer, at) or ""
    return asked(resolve.RESOLVE, resolve.proposed(transfer), transfer, person, at, why_not_now)


def against_of(one: Contradiction, transfer: Transfer, person: User, at: datetime) -> Against:
    one.transfer = transfer
    if one.closed_at is not None:
        return Against(one, None, sides.of(transfer, one.closed_at))
    return Against(one, asked(contradictions.CLOSE, contradictions.close_proposed(one), transfer, person, at, ""))


def asked(
    kind: str, change: Change | None, transfer: Transfer, person: User, at: datetime, why_not_now: str
) -> Question:
    return Question(
        proposal=None if change is None else proposal_of(change, transfer, person, at),
        why_not_now=why_not_now,
        why_not_you=changes.why_not_propose(kind, person) or "",
    )


def resolved(transfer: Transfer, person: User, at: datetime) -> Proposal | None:
    """What two people said of it, once they have."""
    people = Resolution.objects.select_related("change__proposed_by", "change__decided_by")
    row = people.filter(transfer=transfer).first()
    return None if row is None else proposal_of(row.change, transfer, person, at)


def proposal_of(change: Change, transfer: Transfer, person: User, at: datetime) -> Proposal:
    """As on the page of proposals; its steps answer with the transfer's card."""
    return proposals.of(
        change,
        person,
        at,
        steps=f"/transfers/{transfer.reference}/changes/",
        target=f"transfer-{transfer.reference}",
    )
