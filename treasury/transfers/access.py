"""Who may do what, and when: one sentence per refusal, or None. The verb insists on it, the button shows it.

A ``Forbidden`` sentence is about the person (403), a ``TooLate`` one about the state of things (409).
"""

from __future__ import annotations

from datetime import datetime

from treasury.balances.moved import has_moved
from treasury.controls.roles import CHECKERS, MAKERS, OPERATORS, groups_of, same_person
from treasury.models import ENDED, Decision, State, Transfer, User, Verdict


class Forbidden(str):
    """This person may not, whatever the state."""


class TooLate(str):
    """Not in this state of things: it has moved on, or this person has done their part."""


class NotAllowed(Exception):
    """Refused: this person may not. Nothing was done."""


class NotNow(Exception):
    """Refused: not in this state. Nothing was done."""


def insist(reason: str | None) -> None:
    """Raise what the sentence says: NotAllowed or NotNow. None passes."""
    if isinstance(reason, Forbidden):
        raise NotAllowed(str(reason))
    if reason is not None:
        raise NotNow(str(reason))


def why_not_draft(user: User) -> str | None:
    if MAKERS not in groups_of(user):
        return Forbidden("Only a maker may draft transfers.")
    return None


def why_not_edit(transfer: Transfer, user: User) -> str | None:
    """Editing and submitting are the same right: the maker's, while it is a draft."""
    if transfer.maker_id != user.pk:
        return Forbidden("Only the maker of a draft may change or submit it.")
    if reason := why_not_draft(user):
        return reason
    if transfer.state != State.DRAFT:
        return TooLate(f"{transfer.reference} is no longer a draft; its words are frozen.")
    return None


def why_not_check(user: User) -> str | None:
    if CHECKERS not in groups_of(user):
        return Forbidden("Only a checker may decide on transfers.")
    return None


def why_not_decide(transfer: Transfer, user: User, at: datetime) -> str | None:
    """Approving and rejecting are the same right: of a checker who is in a demanded group and has not decided, and
    never of the person who drafted it, under whatever sign-in."""
    if same_person(transfer.maker, user):
        return Forbidden("You drafted this; someone else must approve.")
    if reason := why_not_check(user):
        return reason
    groups = groups_of(user)
    if transfer.state != State.SUBMITTED:
        return TooLate(f"{transfer.reference} is {label(transfer)}; it does not wait for a decision.")
    if not transfer.demands.filter(round=transfer.round, group__in=groups).exists():
        return Forbidden("None of the groups that must decide on this transfer is yours.")
    if transfer.decisions.filter(round=transfer.round, by__person=user.person, withdrawal=None).exists():
        return TooLate("You have decided on this transfer already.")
    if transfer.expires_at is None or at >= transfer.expires_at:
        return TooLate(f"{transfer.reference} expired; nothing moved. Its maker may draft it again.")
    return None


def own_approval(transfer: Transfer, user: User) -> Decision | None:
    """What this person approved in this round, under whatever sign-in, and has not taken back."""
    given = transfer.decisions.filter(round=transfer.round, verdict=Verdict.APPROVE, withdrawal=None)
    return given.filter(by__person=user.person).first()


def why_not_withdraw(transfer: Transfer, user: User) -> str | None:
    """Taking one's approval back is the right of whoever gave it, a checker still or not, until dispatch begins."""
    if not groups_of(user):
        return Forbidden("You no longer hold a role.")
    if own_approval(transfer, user) is None:
        return Forbidden("You have no approval of this that counts; only who gave one can withdraw it.")
    if transfer.state not in (State.SUBMITTED, State.APPROVED):
        return TooLate(f"{transfer.reference} is {label(transfer)}: too late to withdraw an approval.")
    return None


def why_not_cancel(transfer: Transfer, user: User) -> str | None:
    if transfer.maker_id != user.pk and (transfer.state == State.DRAFT or OPERATORS not in groups_of(user)):
        return Forbidden("Only the maker or an operator may cancel a transfer.")
    if not groups_of(user):
        return Forbidden("You no longer hold a role.")
    if transfer.state not in (State.DRAFT, State.SUBMITTED, State.APPROVED, State.CONFIRMING):
        return TooLate(f"{transfer.reference} is {label(transfer)}; it can no longer be cancelled.")
    if transfer.state == State.CONFIRMING and transfer.connection.by_hand:
        return TooLate(
            f"Somebody may be moving {transfer.reference} by hand already. It is not cancelled: record that it was not "
            "done instead."
        )
    return why_not_end(transfer)


def why_not_end(transfer: Transfer) -> str | None:
    """Nobody ends by a click, saying that nothing moved, what evidence says may have moved."""
    if transfer.contradictions.filter(closed_at=None).exists():
        return TooLate(
            f"Evidence says that {transfer.reference} may have moved; two people must say what is true first."
        )
    return None


def why_not_draft_again(transfer: Transfer, user: User) -> str | None:
    if reason := why_not_draft(user):
        return reason
    if transfer.state not in (State.FAILED, State.REJECTED, State.CANCELLED, State.EXPIRED):
        return TooLate(f"{transfer.reference} is {label(transfer)}; only what ended without moving is drafted again.")
    if has_moved(transfer) or transfer.contradictions.filter(closed_at=None).exists():
        return TooLate(f"{transfer.reference} may have moved after all; people must look at the venue first.")
    for first in Transfer.objects.filter(successors__transfer=transfer, state__in=ENDED).order_by("pk"):
        if not has_moved(first):
            return TooLate(
                f"{first.reference} had to settle before {transfer.reference}, and did not: compute the plan again."
            )
    return None


def label(transfer: Transfer) -> str:
    return State(transfer.state).label.lower()
