"""Order: what must settle before a transfer is sent, and what becomes of it when that ends otherwise.

Written with the draft and never changed (``Predecessor``). The dispatcher's guard holds a transfer back until all of
them have settled, and the database refuses the claim as well. If one of them ends otherwise, whatever comes after it
and was not sent is cancelled, by a worker at once and by the clock in any case.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime

from django.db import transaction
from django.db.models import Q, QuerySet

from treasury.audit.record import Machine
from treasury.balances.moved import CONTRADICTED, has_moved, with_ruling
from treasury.models import ENDED, Predecessor, State, Transfer
from treasury.transfers import lifecycle, restored

log = logging.getLogger(__name__)

ORDER = Machine("order")
NOT_SENT = (State.DRAFT, State.SUBMITTED, State.APPROVED)
ENDINGS: Mapping[State, str] = {
    State.FAILED: "failed",
    State.REJECTED: "was rejected",
    State.CANCELLED: "was cancelled",
    State.EXPIRED: "expired",
}


def waits_for(transfer: Transfer) -> QuerySet[Transfer]:
    """What must settle before it."""
    return Transfer.objects.filter(successors__transfer=transfer).order_by("pk")


def come_after(transfer: Transfer) -> QuerySet[Transfer]:
    """What is sent only after it has settled."""
    return Transfer.objects.filter(predecessors__first=transfer).order_by("pk")


def put_behind(fresh: Transfer, old: Transfer) -> None:
    """The fresh draft waits for all that the old one waited for and that has not ended, or of which evidence says that
    it may have ended otherwise. What settled has brought its money already."""
    waits = with_ruling(waits_for(old)).filter(CONTRADICTED | ~Q(state__in=ENDED))
    Predecessor.objects.bulk_create(Predecessor(transfer=fresh, first=first) for first in waits)


def orphans() -> QuerySet[Predecessor]:
    """What was not sent, behind something that ended without settling."""
    found = Predecessor.objects.filter(transfer__state__in=NOT_SENT, first__state__in=list(ENDINGS))
    return found.select_related("transfer", "first").order_by("transfer_id", "first_id")


def go_on(*, transfer_id: int, at: datetime) -> None:
    """A transfer has ended: if it settled, what waited for it is asked about now and not at its next turn; else that is
    cancelled."""
    ended = Transfer.objects.get(pk=transfer_id)
    if ended.state == State.SETTLED:
        come_after(ended).filter(state=State.APPROVED).update(due_at=at)
    else:
        cancel_after(reference=ended.reference, at=at)


def cancel_orphans(at: datetime) -> None:
    """Whatever a lost message left behind."""
    for one in orphans():
        try:
            if cancel_behind(reference=one.transfer.reference, first=one.first, at=at):
                cancel_after(reference=one.transfer.reference, at=at)
        except Exception:  # it concerns this transfer alone; those behind it have their turn
            log.exception("%s could not be cancelled after %s", one.transfer, one.first)


def cancel_after(*, reference: str, at: datetime) -> list[Transfer]:
    """Cancel what comes after a transfer that ended without settling, and what comes after that in turn; each in a
    transaction of its own. Nothing happens where it has not ended so."""
    cancelled = []
    ended = Transfer.objects.get(reference=reference)
    for later in come_after(ended).filter(state__in=NOT_SENT):
        if done := cancel_behind(reference=later.reference, first=ended, at=at):
            cancelled += [done, *cancel_after(reference=later.reference, at=at)]
    return cancelled


def cancel_behind(*, reference: str, first: Transfer, at: datetime) -> Transfer | None:
    """Cancel one transfer because ``first`` ended without settling; None where it has moved on meanwhile, and where
    it may have moved or did: that is for people to say, and the dispatcher's guard holds it."""
    with transaction.atomic():
        transfer = lifecycle.locked(reference)
        how = ENDINGS.get(State(first.state))
        if how is None or transfer.state not in NOT_SENT:
            return None
        if has_moved(transfer) or transfer.contradictions.filter(closed_at=None).exists():
            return None
        return restored.end(
            transfer,
            State.CANCELLED,
            why=f"{first.reference}, which had to settle first, {how}.",
            by=ORDER,
            at=at,
            action="transfer.cancel",
            facts={"first": first.reference, "which": how},
        )
