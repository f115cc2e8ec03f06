"""Stop orders: one person, or the product itself, stops; two people release. The only emergency act."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import connection as database
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from treasury.audit.record import Machine, record
from treasury.controls import changes, telling
from treasury.controls.roles import OPERATORS, holds
from treasury.models import ENDED, Account, Change, Connection, LookUp, Scope, State, StopOrder, Transfer, User

# Claims hold it shared, a stop exclusively: after "Stopped" is on the screen, no claim that began before commits.
CLAIMS_LOCK = 0x570B
RELEASE = "stop.release"
RESTORE = Machine("restore")  # whose stop is released only when every unended transfer has been looked up


class MayNotStop(Exception):
    """The person may not stop; the text says why."""


class NotStanding(Exception):
    """The stop order has been released already, or may not be released yet."""


def claim_lock() -> None:
    """Taken by a claim, until its transaction ends; waits for a stop that is being written."""
    with database.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock_shared(%s)", [CLAIMS_LOCK])


def stop(
    *,
    reason: str,
    by: User | Machine,
    at: datetime,
    connection: Connection | None = None,
    account: Account | None = None,
    venue: str = "",
    asset: str = "",
    everything: bool = False,
) -> StopOrder:
    """Stop sending over a connection, from and to an account, at a venue, of an asset, or everywhere: one of these.

    Once, for the same reason by the same hand. Raises MayNotStop unless ``by`` is an operator or a part of the
    product.
    """
    assert sum([connection is not None, account is not None, venue != "", asset != "", everything]) == 1
    with transaction.atomic():
        if isinstance(by, User) and not holds(by, OPERATORS):
            raise MayNotStop("Only an operator may stop sending.")
        stop_lock()
        order = StopOrder(
            scope=_scope(connection, account, venue, asset),
            connection=connection,
            account=account,
            venue=venue,
            asset=asset.upper(),
            reason=reason,
            by=by.get_username() if isinstance(by, User) else by.name,
            since=at,
        )
        alike: dict[str, Any] = {
            name: getattr(order, name) for name in ("scope", "connection", "account", "venue", "asset", "by", "reason")
        }
        proposed = [change.words["stop"] for change in changes.waiting().filter(kind=RELEASE)]
        said = StopOrder.objects.filter(released_at=None, **alike).exclude(pk__in=proposed)
        if again := said.first():  # a double click, or a cause that strikes again
            return again
        order.save()
        facts = {"stop": order.pk, "scope": str(order.scope), "reason": reason}
        record(at=at, by=by, action="stop.order", subject=order.subject, facts=facts)
        telling.stopped(order, at=at)
        return order


def _scope(connection: Connection | None, account: Account | None, venue: str, asset: str) -> Scope:
    if connection is not None:
        return Scope.CONNECTION
    if account is not None:
        return Scope.ACCOUNT
    if venue:
        return Scope.VENUE
    return Scope.ASSET if asset else Scope.EVERYTHING


def stop_lock() -> None:
    """Taken by a stop, until its transaction ends: waits for claims under way, and holds off new ones.

    Take it before any row lock: a claim takes its own lock first and rows after.
    """
    with database.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [CLAIMS_LOCK])


def standing() -> QuerySet[StopOrder]:
    """Every stop order that stands, the oldest first."""
    orders = StopOrder.objects.filter(released_at=None).select_related("connection", "account__connection")
    return orders.order_by("since", "pk")


def standing_over(connection: Connection) -> QuerySet[StopOrder]:
    """The stop orders that stop everything over this connection."""
    return standing().filter(
        Q(scope=Scope.EVERYTHING)
        | Q(scope=Scope.VENUE, venue=connection.venue)
        | Q(scope=Scope.CONNECTION, connection=connection)
    )


def standing_for(transfer: Transfer) -> StopOrder | None:
    """The oldest stop order that stands in the way of a transfer."""
    return (
        standing()
        .filter(
            Q(scope=Scope.EVERYTHING)
            | Q(scope=Scope.VENUE, venue=transfer.connection.venue)
            | Q(scope=Scope.CONNECTION, connection=transfer.connection_id)
            | Q(scope=Scope.ASSET, asset=transfer.asset.upper())
            | Q(scope=Scope.ACCOUNT, account__in=[transfer.source_id, transfer.destination_id])
        )
        .first()
    )


def covered(order: StopOrder) -> str:
    """What it stops, as a person reads it: a connection, "everything at a venue", "everything"."""
    if order.connection is not None:
        return order.connection.name
    if order.account is not None:
        return str(order.account)
    if order.venue:
        return f"everything at {order.venue}"
    return f"every transfer of {order.asset}" if order.asset else "everything"


def propose_release(*, stop_order_id: int, by: User, reason: str, at: datetime) -> Change:
    """Say that the stop may end. Raises changes.MayNotChange, changes.NotSaid, NotStanding."""
    with transaction.atomic():
        order = _standing_still(stop_order_id)
        if changes.why_not_propose(RELEASE, by) is None and release_proposed(order) is not None:
            raise NotStanding("Its release is proposed already; another operator confirms or declines it.")
        words = {"stop": order.pk, "stopped_by": order.by, "because": order.reason}
        return changes.propose(kind=RELEASE, subject=order.subject, words=words, reason=reason, by=by, at=at)


def release_proposed(order: StopOrder) -> Change | None:
    """The proposal to release it that waits for a second operator."""
    return changes.waiting().filter(kind=RELEASE, words__stop=order.pk).first()


def confirm_release(*, change_id: int, by: User, digest: str, at: datetime) -> StopOrder:
    """The second operator's word; the stop ends with it.

    Raises changes.MayNotChange, changes.NotWaiting, changes.OtherChange, NotStanding.
    """
    with transaction.atomic():
        change = changes.confirm(change_id=change_id, kind=RELEASE, by=by, digest=digest, at=at)
        order = _standing_still(change.words["stop"])
        if reason := why_not_release(order):
            raise NotStanding(reason)
        order.released_at, order.release = at, change
        order.save(update_fields=["released_at", "release"])
        # What was held for it is asked about at once, and says anew why where it must still wait.
        Transfer.objects.filter(state=State.APPROVED).update(due_at=at)
        changes.entry(change, by=by, at=at, action=RELEASE, facts={"stop": order.pk, "reason": change.reason})
        return order


def why_not_release(order: StopOrder) -> str | None:
    """After a restore the venue may know of sends that this database has forgotten: each unended transfer is looked
    up by its key first."""
    if order.by != RESTORE.name:
        return None
    left = not_looked_up_since(order).count()
    if not left:
        return None
    return (
        f"Not released. This database was restored, and {left} unended transfer{'' if left == 1 else 's'} must be "
        "looked up at the venues first; that goes on by itself."
    )


def not_looked_up_since(order: StopOrder) -> QuerySet[Transfer]:
    """The transfers past DRAFT, unended when it was stopped, that no look-up has asked the venue about since."""
    asked = LookUp.objects.filter(transfer=OuterRef("pk"), at__gte=order.since).exclude(state="ERROR")
    unended = Transfer.objects.exclude(state__in=ENDED, changed_at__lt=order.since)
    return unended.filter(~Exists(asked), key__isnull=False)


def to_look_back() -> QuerySet[Transfer]:
    """What must be looked up before a stop after a restore may be released; nothing where none stands."""
    order = standing().filter(by=RESTORE.name).last()
    return Transfer.objects.none() if order is None else not_looked_up_since(order)


def _standing_still(stop_order_id: int) -> StopOrder:
    order = StopOrder.objects.select_for_update(of=("self",)).filter(pk=stop_order_id).first()
    if order is None or order.released_at is not None:
        raise NotStanding("This stop order has been released already.")
    return order
