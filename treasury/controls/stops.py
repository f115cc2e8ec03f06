"""Stop orders: one person, or the product itself, stops; two people release. The only emergency act."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection as database
from django.db import transaction
from django.db.models import Case, Count, Exists, F, OuterRef, Q, QuerySet, Subquery, Value, When
from django.db.models.functions import Coalesce, Concat, Trim

from treasury import venues
from treasury.audit.record import Machine, record
from treasury.controls import changes, telling
from treasury.controls.roles import OPERATORS, holds
from treasury.models import ENDED, Account, Change, Connection, LookUp, Ruling, Scope, State, StopOrder, Transfer, User
from treasury.pace import paced

# Claims hold it shared, a stop exclusively: after "Stopped" is on the screen, no claim that began before commits.
CLAIMS_LOCK = 0x570B
RELEASE = "stop.release"
LOOK_BACK_AGAIN = paced(timedelta(seconds=30))
FAILED_MOST = 3  # questions that a venue did not answer, until two people must know without it
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
    anew: bool = False,
) -> StopOrder:
    """Stop sending over a connection, from and to an account, at a venue, of an asset, or everywhere: one of these.

    Once, for the same reason by the same hand, unless ``anew``.
    Raises MayNotStop unless ``by`` is an operator or a part of the
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
            automatic=isinstance(by, Machine),
            since=at,
        )
        alike: dict[str, Any] = {
            name: getattr(order, name)
            for name in ("scope", "connection", "account", "venue", "asset", "by", "automatic", "reason")
        }
        said = StopOrder.objects.filter(released_at=None, **alike).exclude(pk__in=releases_proposed())
        if not anew and (again := said.first()):  # a double click, or a cause that strikes again
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
    return named(orders).order_by("since", "pk")


def named(orders: QuerySet[StopOrder]) -> QuerySet[StopOrder]:
    """With the full name of the person who stopped it, as ``StopOrder.who`` says it; in the same query."""
    full = Trim(Concat("first_name", Value(" "), "last_name"))
    name = User.objects.filter(username=OuterRef("by")).annotate(full=full).values("full")[:1]
    return orders.annotate(person=Case(When(automatic=False, then=Subquery(name))))


def over(connection: Connection) -> Q:
    """The stop orders that stop everything over a connection."""
    return Q(scope=Scope.EVERYTHING) | at_one_of({connection})


def at_one_of(connections: Collection[Connection]) -> Q:
    """The stop orders of one of these connections, or of the venue of one."""
    at_venue = Q(scope=Scope.VENUE, venue__in={one.venue for one in connections})
    return at_venue | Q(scope=Scope.CONNECTION, connection__in=connections)


def standing_over(connection: Connection) -> QuerySet[StopOrder]:
    """The stop orders that stop everything over this connection."""
    return standing().filter(over(connection))


def standing_for(transfer: Transfer) -> StopOrder | None:
    """The oldest stop order that stands in the way of a transfer; by hand, it may be of either account's venue."""
    accounts = [transfer.source_id, transfer.destination_id]
    touched = {transfer.connection}
    if transfer.connection.by_hand:
        touched |= {transfer.source.connection, transfer.destination.connection}
    of_it = Q(scope=Scope.ASSET, asset=transfer.asset.upper()) | Q(scope=Scope.ACCOUNT, account__in=accounts)
    return standing().filter(Q(scope=Scope.EVERYTHING) | at_one_of(touched) | of_it).first()


def covered_by(order: StopOrder) -> Q:
    """The transfers that a stop order stands in the way of: ``standing_for`` seen from the other side."""
    narrow = {
        Scope.EVERYTHING: Q(pk__isnull=False),
        Scope.VENUE: touching("connection__venue", order.venue),
        Scope.CONNECTION: touching("connection", order.connection_id),
        Scope.ASSET: Q(asset__iexact=order.asset),
        Scope.ACCOUNT: Q(source=order.account_id) | Q(destination=order.account_id),
    }
    return narrow[Scope(order.scope)]


def touching(what: str, value: object) -> Q:
    """The transfers over such a connection, or from or to an account of one: by hand, these differ."""
    return Q((what, value)) | Q((f"source__{what}", value)) | Q((f"destination__{what}", value))


def held_by(orders: Sequence[StopOrder]) -> list[int]:
    """How many approved transfers each of these orders, written or not, stands in the way of; in one query."""
    counts = {f"order_{number}": Count("pk", filter=covered_by(order)) for number, order in enumerate(orders)}
    found = Transfer.objects.filter(state=State.APPROVED).aggregate(**counts)
    return [found[name] for name in counts]


def covered(order: StopOrder) -> str:
    """What it stops, as a person reads it: a connection, "everything at a venue", "everything"."""
    if order.connection is not None:
        return order.connection.name
    if order.account is not None:
        return str(order.account)
    if order.venue:
        return f"everything at {venues.titles().get(order.venue, order.venue)}"
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
    return releases_proposed().get(order.pk)


def releases_proposed() -> Mapping[int, Change]:
    """The proposals to release a stop that wait for a second operator, by the order's number."""
    return {change.words["stop"]: change for change in changes.waiting().filter(kind=RELEASE)}


def reviews(orders: Sequence[StopOrder]) -> Mapping[int, datetime]:
    """When a second person last said of each order that it must stay, by its number: by declining its release.

    One who stops does it alone, at once; another looks at it within settings.STOP_REVIEW_WITHIN, and again as long as
    it stands. An order that nobody has looked at is left out.
    """
    declined = Change.objects.filter(
        kind=RELEASE, ruling=Ruling.DECLINED, words__stop__in=[order.pk for order in orders]
    )
    return {change.words["stop"]: change.decided_at for change in declined.order_by("decided_at") if change.decided_at}


def review_due(order: StopOrder, reviewed_at: datetime | None) -> datetime:
    """By when a second person should have looked at it."""
    within: timedelta = settings.STOP_REVIEW_WITHIN
    return (reviewed_at or order.since) + within


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
        Transfer.objects.filter(covered_by(order), state=State.APPROVED).update(due_at=at)
        changes.entry(change, by=by, at=at, action=RELEASE, facts={"stop": order.pk, "reason": change.reason})
        telling.released(order, at=at)
        return order


def why_not_release(order: StopOrder) -> str | None:
    """After a restore the venue may know of sends that this database has forgotten: each unended transfer is looked
    up by its key first."""
    if not (order.automatic and order.by == RESTORE.name):
        return None
    left = not_looked_up_since(order).count()
    if not left:
        return None
    return (
        f"Not released. This database was restored, and {left} unended transfer{'' if left == 1 else 's'} must be "
        "looked up at the venues first; that goes on by itself."
    )


def last_restore() -> StopOrder | None:
    """The newest stop after a restore, released or not."""
    return StopOrder.objects.filter(automatic=True, by=RESTORE.name).order_by("since", "pk").last()


def not_looked_up_since(order: StopOrder) -> QuerySet[Transfer]:
    """What was submitted before the stop and had not ended by then, and that the venue was not asked about since.

    Where the venue cannot be asked at all, several questions that failed are enough: two people must then know.
    """
    since = LookUp.objects.filter(transfer=OuterRef("pk"), at__gte=order.since)
    failed = since.filter(state="ERROR").order_by().values("transfer").annotate(count=Count("pk")).values("count")
    unended = Q(state__in=set(State) - ENDED) | Q(state__in=ENDED, changed_at__gte=order.since)  # each by its index
    left = Transfer.objects.filter(unended, ~Exists(since.exclude(state="ERROR")), submitted_at__lt=order.since)
    return left.alias(failed=Coalesce(Subquery(failed), 0)).filter(failed__lt=FAILED_MOST)


def to_look_back(at: datetime) -> QuerySet[Transfer]:
    """What is to be looked up now before a stop after a restore may be released, the longest unasked first."""
    order = standing().filter(automatic=True, by=RESTORE.name).last()
    if order is None:
        return Transfer.objects.none()
    asked = LookUp.objects.filter(transfer=OuterRef("pk"), at__gte=order.since).order_by("-at").values("at")[:1]
    left = not_looked_up_since(order).annotate(asked_at=Subquery(asked))
    now = left.filter(Q(asked_at=None) | Q(asked_at__lt=at - LOOK_BACK_AGAIN))
    return now.order_by(F("asked_at").asc(nulls_first=True), "pk")


def _standing_still(stop_order_id: int) -> StopOrder:
    order = StopOrder.objects.select_for_update(of=("self",)).filter(pk=stop_order_id).first()
    if order is None or order.released_at is not None:
        raise NotStanding("This stop order has been released already.")
    return order
