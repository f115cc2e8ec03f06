"""What a transfer's page shows of a move by hand: what is to be done until when, and what people say was done."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from treasury import venues
from treasury.controls import changes
from treasury.models import Account, Change, State, Transfer, User
from treasury.transfers import by_hand
from treasury.transfers.evidence import both_balances
from treasury.web import proposals, sides
from treasury.web.proposals import Proposal
from treasury.web.sides import Side


@dataclass(frozen=True)
class Told:
    """What was typed into a form that was refused: shown again, so that nobody types it twice."""

    done: str = ""
    reason: str = ""
    record: str = ""


@dataclass(frozen=True)
class Task:
    """``late``: its time is over. ``proposal`` waits for a checker, or was confirmed; ``why_not_you``: why this person
    may not say what was done. ``sides``: both accounts before it was asked for, and as they are known now; a proposal
    shows its own. ``venues``: where each side is, by the venue's title."""

    until: datetime | None
    late: bool
    proposal: Proposal | None
    why_not_you: str
    venues: tuple[str, str]
    sides: list[Side] = field(default_factory=list)
    told: Told = field(default_factory=Told)

    @property
    def is_to_do(self) -> bool:
        return self.proposal is None


def of(transfer: Transfer, person: User, at: datetime) -> Task | None:
    """None of what is not moved by hand, and before anybody was asked to."""
    asked = transfer.attempts.asked_of_people().order_by("number").first() if transfer.connection.by_hand else None
    if asked is None:
        return None
    waits = transfer.state == State.CONFIRMING
    change = by_hand.proposed(transfer) or by_hand.latest(transfer)
    if change is None and not waits:  # ended in another way
        return None
    return Task(
        until=by_hand.done_by(transfer),
        late=by_hand.late_since(transfer, at) is not None,
        proposal=None if change is None else proposal_of(change, transfer, person, at),
        why_not_you=changes.why_not_propose(by_hand.DONE, person) or "",
        venues=(title_at(transfer.source), title_at(transfer.destination)),
        sides=sides.between(transfer, asked, both_balances(transfer)) if waits and change is None else [],
    )


def title_at(account: Account) -> str:
    return venues.declared(account.connection.venue).title


def proposal_of(change: Change, transfer: Transfer, person: User, at: datetime) -> Proposal:
    """As on the page of proposals; its steps answer with the transfer's card."""
    steps = f"/transfers/{transfer.reference}/changes/"
    return proposals.of(change, person, at, steps=steps, target=f"transfer-{transfer.reference}")
