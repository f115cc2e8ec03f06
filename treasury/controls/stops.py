"""Stop orders: one person, or the product itself, stops; two people release. The only emergency act."""

from __future__ import annotations

from datetime import datetime

from django.db import connection as database
from django.db import transaction

from treasury.audit.record import Machine, record
from treasury.controls.roles import OPERATORS, holds
from treasury.models import Connection, State, StopOrder, StopRelease, Transfer, User

# Claims hold it shared, a stop exclusively: after "Stopped" is on the screen, no claim that began before commits.
CLAIMS_LOCK = 0x570B
RELEASES_NEEDED = 2


class MayNotStop(Exception):
    """The person may not stop or release; the text says why."""


class NotStanding(Exception):
    """The stop order has been released already, or by this person."""


def claim_lock() -> None:
    """Taken by a claim, until its transaction ends; waits for a stop that is being written."""
    with database.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock_shared(%s)", [CLAIMS_LOCK])


def stop(*, connection: Connection, reason: str, by: User | Machine, at: datetime) -> StopOrder:
    """Stop sending over a connection; once, for the same reason by the same hand.

    Raises MayNotStop unless ``by`` is an operator or a part of the product.
    """
    with transaction.atomic():
        if isinstance(by, User) and not holds(by, OPERATORS):
            raise MayNotStop("Only an operator may stop a connection.")
        stop_lock()
        name = by.get_username() if isinstance(by, User) else by.name
        said = StopOrder.objects.filter(connection=connection, by=name, reason=reason, released_at=None, releases=None)
        if again := said.first():  # a double click, or a cause that strikes again
            return again
        order = StopOrder.objects.create(connection=connection, reason=reason, by=name, since=at)
        record(
            at=at,
            by=by,
            action="stop.order",
            subject=connection.subject,
            facts={"stop": order.pk, "reason": reason},
        )
        return order


def stop_lock() -> None:
    """Taken by a stop, until its transaction ends: waits for claims under way, and holds off new ones.

    Take it before any row lock: a claim takes its own lock first and rows after.
    """
    with database.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [CLAIMS_LOCK])


def standing(connection_id: int) -> StopOrder | None:
    """The oldest stop order that stands on the connection."""
    return StopOrder.objects.filter(connection=connection_id, released_at=None).order_by("since", "pk").first()


def release(*, stop_order_id: int, by: User, reason: str, at: datetime) -> bool:
    """Say that the stop may end; True when it has ended, which takes a second operator.

    Raises MayNotStop for anyone but an operator, NotStanding when there is nothing left to say.
    """
    with transaction.atomic():
        if not holds(by, OPERATORS):
            raise MayNotStop("Only an operator may release a stop order.")
        order = StopOrder.objects.select_for_update().get(pk=stop_order_id)
        if order.released_at is not None:
            raise NotStanding("This stop order has been released already.")
        if order.releases.filter(by=by).exists():
            raise NotStanding("You have released this stop order; another operator must do so too.")
        StopRelease.objects.create(stop_order=order, by=by, at=at, reason=reason)
        ended = order.releases.count() >= RELEASES_NEEDED
        if ended:
            order.released_at = at
            order.save(update_fields=["released_at"])
            # What was held for it is asked about at once, and says anew why where it must still wait.
            Transfer.objects.filter(connection=order.connection_id, state=State.APPROVED).update(due_at=at)
        record(
            at=at,
            by=by,
            action="stop.release" if ended else "stop.propose_release",
            subject=order.connection.subject,
            facts={"stop": order.pk, "reason": reason},
        )
        return ended
