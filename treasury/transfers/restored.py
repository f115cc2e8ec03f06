"""After a restore: what this database cannot know of a transfer, and how one ends of which that is so.

What was submitted before the backup may have been approved and sent in the time that is lost. Where the venue's records
were searched since, they say what is true. Where they cannot be, nobody here says that nothing moved.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from treasury import venues
from treasury.audit.record import Actor
from treasury.balances.moved import has_moved
from treasury.controls import stops
from treasury.models import LookUp, State, StopOrder, Transfer
from treasury.transfers import contradictions, lifecycle, telling


def warning(transfer: Transfer) -> str | None:
    """For whoever decides on what was submitted before this database was restored: it may have been sent."""
    order = before(transfer)
    if order is None:
        return None
    return f"This database was restored after it was submitted. {in_words(transfer, order)}."


def unknown(transfer: Transfer) -> str | None:
    """Why nobody here knows whether it moved in the time that is lost; None where they do: the venue's records were
    searched since, or people have approved it anew, with the warning before them."""
    order = before(transfer)
    if order is None or (transfer.state == State.APPROVED and transfer.changed_at >= order.since):
        return None
    last = looked_back(transfer, order)
    if last is not None and last.searched:
        return None
    return f"this database was restored after it was submitted. {in_words(transfer, order)}"


def before(transfer: Transfer) -> StopOrder | None:
    """The last restore, where this was submitted before it and has not been sent since, as far as we know."""
    if transfer.state not in (State.SUBMITTED, State.APPROVED) or transfer.submitted_at is None:
        return None
    order = stops.last_restore()
    return order if order is not None and transfer.submitted_at < order.since else None


def looked_back(transfer: Transfer, order: StopOrder) -> LookUp | None:
    """The last answer of its venue since the restore."""
    return transfer.look_ups.filter(at__gte=order.since).exclude(state="ERROR").order_by("at").last()


def in_words(transfer: Transfer, order: StopOrder) -> str:
    """What the venue said when it was looked back at."""
    last = looked_back(transfer, order)
    title = venues.declared(transfer.connection.venue).title
    if last is None:
        return f"{title} could not be asked about it: look at the venue's own screen first"
    if not last.searched:
        return f"{title} has no records of it that can be searched: look at the venue's own screen first"
    return f"{title}'s records were searched for it, and {'show it' if last.found else 'show nothing'}"


def is_awaited(transfer: Transfer) -> bool:
    """Whether its venue is still to be asked about it, so that nobody ends it by the clock meanwhile."""
    order = before(transfer)
    return order is not None and stops.not_looked_up_since(order).filter(pk=transfer.pk).exists()


def end(
    transfer: Transfer,
    to: State,
    *,
    why: str,
    by: Actor,
    at: datetime,
    action: str,
    facts: Mapping[str, Any] | None = None,
) -> Transfer:
    """End what was not sent. Of what may have been sent in the time that is lost, two people must then say what is
    true: until they have, it is money at risk, and nobody drafts it again."""
    moved = has_moved(transfer)
    doubt = None if moved else unknown(transfer)
    money = telling.MOVED_ALREADY if moved else telling.CANNOT_KNOW if doubt else "Nothing moved"
    lifecycle.advance(transfer, to, by=by, at=at, action=action, facts=facts, outcome=f"{money}. {why}")
    if doubt:
        contradictions.raise_(transfer, words=doubt, by=stops.RESTORE, at=at)
    return transfer
