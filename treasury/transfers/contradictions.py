"""Evidence that does not fit how a transfer stands: opened by the product, closed by two people.

The state itself stays as it is. What the two people find to be true (``Contradiction.moved``) is what reservations,
movements and matches follow from then on.
"""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from connectors.core.protocol import State as Found
from treasury.audit.record import Machine
from treasury.balances.moved import has_moved
from treasury.controls import changes
from treasury.controls.roles import same_person
from treasury.models import TAKEN, Attempt, Change, Contradiction, LookUp, Outcome, State, Transfer, User
from treasury.transfers import lifecycle, telling
from treasury.transfers.alarms import alarm

CLOSE = "contradiction.close"


def raise_(
    transfer: Transfer,
    *,
    words: str,
    by: Machine,
    at: datetime,
    look_up: LookUp | None = None,
    attempt: Attempt | None = None,
) -> Contradiction:
    """Open one, with the transfer locked; while one is open, what comes later is in the log only."""
    if standing := transfer.contradictions.filter(closed_at=None).first():
        return standing
    made = Contradiction.objects.create(transfer=transfer, at=at, words=words, look_up=look_up, attempt=attempt)
    alarm(transfer, words, by=by, at=at, facts={"contradiction": made.pk})
    telling.contradiction(made, at=at)
    return made


def spoken_by(transfer: Transfer, look_up: LookUp, *, never_taken: bool) -> str | None:
    """What a look-up says against how the transfer stands, corrected or not, or None.

    ``never_taken``: its ABSENT is to be believed.
    """
    name = transfer.connection.name
    if has_moved(transfer):
        if look_up.state == Found.FAILED.value:
            return f"it stands as moved, and {name}'s records show that it failed"
        if look_up.state == Found.ABSENT.value and never_taken:
            return f"it stands as moved, and {name} says that it never took it"
        return None
    if look_up.state == Found.DONE.value:
        return f"it stands as not moved, and {name}'s records show that it moved"
    if look_up.found and look_up.state != Found.FAILED.value:
        return f"it stands as not moved, and {name} has a record under its key"
    return None


def is_ruled_on(transfer: Transfer, look_up: LookUp) -> bool:
    """Whether two people knew of this very answer when they closed the last contradiction."""
    last = transfer.contradictions.exclude(closed_at=None).select_related("look_up").order_by("closed_at", "id").last()
    if last is None or last.look_up is None:
        return False
    return (last.look_up.state, last.look_up.record) == (look_up.state, look_up.record)


def spoken_by_call(transfer: Transfer, attempt: Attempt) -> str | None:
    """What the late answer to a call says against how the transfer stands, corrected or not, or None."""
    answer = f"the answer to call {attempt.number} came late and says “{Outcome(str(attempt.outcome)).label}”"
    if has_moved(transfer):
        moved_nothing = not transfer.attempts.may_have_moved().exists()
        unseen = not transfer.look_ups.filter(found=True).exists()
        return f"it stands as moved, and {answer}, as every other did" if moved_nothing and unseen else None
    if attempt.outcome in TAKEN and transfer.state != State.DISPATCHED:
        return f"it stands as not moved, and {answer}"
    return None


def propose_close(
    *, contradiction_id: int, moved: bool, reason: str, typed: str, by: User, at: datetime, files: list[changes.File]
) -> Change:
    """Say what is true. ``typed`` is the transfer's reference, typed by hand.

    Raises changes.MayNotChange, changes.NotSaid, changes.NotWaiting.
    """
    with transaction.atomic():
        found = _open(contradiction_id)
        if changes.why_not_propose(CLOSE, by) is None:
            insist_on_typed(typed, found.transfer)
            if close_proposed(found) is not None:
                raise changes.NotWaiting("Nothing was proposed. Somebody has proposed how to close it already.")
        words = {"contradiction": found.pk, "moved": moved, "against": found.words}
        subject = found.transfer.subject
        return changes.propose(kind=CLOSE, subject=subject, words=words, reason=reason, by=by, at=at, files=files)


def close_proposed(contradiction: Contradiction) -> Change | None:
    """The proposal to close it that waits for a checker."""
    return changes.waiting().filter(kind=CLOSE, words__contradiction=contradiction.pk).first()


def confirm_close(*, change_id: int, by: User, digest: str, typed: str, at: datetime) -> Contradiction:
    """A checker's word, who is neither the proposer nor the maker: the correction entry is written.

    Raises changes.MayNotChange, changes.NotWaiting, changes.OtherChange, changes.NotSaid.
    """
    with transaction.atomic():
        change = changes.confirm(change_id=change_id, kind=CLOSE, by=by, digest=digest, at=at)
        found = _open(change.words["contradiction"])
        insist_not_maker(found.transfer, by)
        insist_on_typed(typed, found.transfer)
        found.closed_at, found.moved, found.change = at, change.words["moved"], change
        found.save(update_fields=["closed_at", "moved", "change"])
        facts = {"contradiction": found.pk, "moved": found.moved, "reason": change.reason}
        changes.entry(change, by=by, at=at, action=CLOSE, facts=facts)
        return found


def insist_on_typed(typed: str, transfer: Transfer) -> None:
    """Raise changes.NotSaid unless the reference was typed: nobody says such a thing with one careless click."""
    if typed.strip().upper() != transfer.reference:
        raise changes.NotSaid(f"Nothing was changed. Type {transfer.reference} to confirm that you mean this transfer.")


def insist_not_maker(transfer: Transfer, by: User) -> None:
    if same_person(transfer.maker, by):
        raise changes.MayNotChange("You drafted this transfer; someone else must confirm what became of it.")


def _open(contradiction_id: int) -> Contradiction:
    row = Contradiction.objects.filter(pk=contradiction_id).select_related("transfer").first()
    if row is None:
        raise changes.NotWaiting("There is no such contradiction.")
    row.transfer = lifecycle.locked(row.transfer.reference)
    row.refresh_from_db(fields=["closed_at"])
    if row.closed_at is not None:
        raise changes.NotWaiting("Nothing was changed. This contradiction is closed already.")
    return row
