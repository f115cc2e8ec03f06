"""Snapshots: what every complete reading said is kept, and the older it is the less often.

All of them for some days, then one of each quarter of an hour, then of each hour, then of each day for ever: the first
in which the least is not known, so that a moment's failure does not stand for a whole day. The ages are counted in
whole days of UTC, so that no slot ever lies on two sides of a border: the same one stays, whenever it is thinned. What
people state by hand is never thinned: each statement holds until the next one.
See docs/decisions/0017-what-we-held.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Count, DateTimeField, F, Func, IntegerField, Value, Window
from django.db.models.functions import RowNumber

from treasury.audit.record import Machine, record
from treasury.controls import house
from treasury.controls.house import Ages
from treasury.models import Account, Balance, Connection, Snapshot
from treasury.models.amount import plain

THINNER = Machine("thinner")
EVERY_ASSET = ""  # in place of an asset: whatever the account's other entries do not name
INCOMPLETE = "missing from an incomplete answer"
NOT_STATED = "nobody has stated what it holds"
BATCH = 1000  # rows that one transaction removes
BATCHES_MOST = 100  # in one run; the next one goes on
DAY = timedelta(days=1)
MARGIN = timedelta(minutes=1)  # the database counts a snapshot's first day by its own clock
MIDNIGHT = datetime(2000, 1, 1, tzinfo=UTC)  # slots are counted from here
# How many entries of a snapshot say that something is not known.
NOT_KNOWN = Func(
    F("holdings"),
    template="jsonb_array_length(jsonb_path_query_array(%(expressions)s, '$.*.*.total ? (@ == null)'))",
    output_field=IntegerField(),
)


@dataclass(frozen=True)
class Period:
    """Snapshots from ``since`` (None: the first) to before ``until``, of which each slot keeps one."""

    slot: timedelta
    since: datetime | None
    until: datetime


def keep(connection: Connection, *, at: datetime, incomplete: Mapping[str, str] | None = None) -> Snapshot:
    """Write down what is stored of the connection after a complete reading, in the reading's transaction.

    ``incomplete``: addresses of which the answer was not whole, and why; what it does not name there is not 0. What
    people state by hand is named though it is 0: of the rest nobody has said anything.
    """
    holdings: dict[str, dict[str, dict[str, str | None]]] = {}
    accounts = Account.objects.filter(connection=connection).prefetch_related("balances")
    for account in accounts:
        stored = list(account.balances.all())
        why = (incomplete or {}).get(account.address, NOT_STATED if connection.by_hand and not stored else "")
        named = [one for one in stored if connection.by_hand or not _goes_without_saying(one, why)]
        rest = {EVERY_ASSET: {"total": None, "movable": None, "problem": why}} if why else {}
        holdings[account.address] = {one.asset: told(one, at) for one in named} | rest
    return Snapshot.objects.create(connection=connection, at=at, holdings=holdings)


def told(balance: Balance, at: datetime) -> dict[str, str | None]:
    """One number of a snapshot, as plain decimal strings; of when it is, where it is older than the snapshot; why it is
    not known, where it is not."""
    found = {
        "total": None if balance.total is None else plain(balance.total),
        "movable": None if balance.movable is None else plain(balance.movable),
    }
    if balance.observed_at < at:
        found["as_of"] = balance.observed_at.isoformat()
    if balance.problem:
        found["problem"] = balance.problem
    return found


def _goes_without_saying(balance: Balance, why: str) -> bool:
    """A zero, or as little known as everything else of its account."""
    if balance.total is None:
        return bool(balance.problem == why)
    return bool(balance.total == 0 and balance.movable == 0 and not balance.problem)


# -- thinning ------------------------------------------------------------------------------------------------


def periods(at: datetime, ages: Ages | None = None) -> list[Period]:
    """What is thinned at this moment, the youngest period first, by the ages agreed on or by others. Younger ones are
    kept whole."""
    ages = ages or house.retention()
    days = (max(ages.all_days, 1), ages.quarter_hours_days, ages.hours_days)
    first, second, third = (midnight(at - MARGIN - one * DAY) for one in days)
    second = min(first, second)
    third = min(second, third)
    return [
        Period(timedelta(minutes=15), second, first),
        Period(timedelta(hours=1), third, second),
        Period(DAY, None, third),
    ]


def midnight(at: datetime) -> datetime:
    """When the day of that moment began, in UTC."""
    return at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def slot_at(moment: datetime, at: datetime) -> timedelta:
    """How far apart the snapshots of that moment are at ``at``, at most; 0 while all of them are kept."""
    return next((one.slot for one in reversed(periods(at)) if moment < one.until), timedelta())


def thin(at: datetime) -> int:
    """Remove what is no longer needed, in bounded batches, each a transaction with its entry in the log. Returns how
    many were removed."""
    removed = 0
    for batch, (period, ids) in enumerate(_batches(at)):
        if batch == BATCHES_MOST:
            break
        removed += _remove(period, ids, at)
    return removed


def thinned(at: datetime, ages: Ages) -> int:
    """How many would be removed by these ages, of those that there are now."""
    return sum(beyond_the_best(period).count() for period in periods(at, ages))


def _batches(at: datetime) -> Iterator[tuple[Period, list[int]]]:
    for period in periods(at):
        while ids := list(beyond_the_best(period)[:BATCH]):
            yield period, ids


def beyond_the_best(period: Period) -> Any:
    """The numbers of those that do not stay for their connection and slot, the oldest first. The first one stays in
    which the least is not known."""
    found = Snapshot.objects.order_by("at", "pk").filter(at__lt=period.until, connection__by_hand=False)
    if period.since is not None:
        found = found.filter(at__gte=period.since)
    slot = Func(Value(period.slot), F("at"), Value(MIDNIGHT), function="date_bin", output_field=DateTimeField())
    whose = (F("connection_id"), slot)
    # Only documents that have company in their slot are opened: nearly all of them are alone there by now.
    crowded = found.annotate(slot_of=Window(Count("*"), partition_by=whose)).filter(slot_of__gt=1).order_by()
    place = Window(RowNumber(), partition_by=whose, order_by=[NOT_KNOWN, F("at"), F("pk")])
    among = Snapshot.objects.order_by("at", "pk").filter(pk__in=crowded.values("pk"))
    return among.annotate(place=place).filter(place__gt=1).values_list("pk", flat=True)


def _remove(period: Period, ids: list[int], at: datetime) -> int:
    with transaction.atomic(durable=True):
        removed, _ = Snapshot.objects.filter(pk__in=ids).delete()
        if removed:  # another process may have been faster
            facts = {
                "removed": removed,
                "left": f"the first whole one of each {in_words(period.slot)}",
                "since": period.since,
                "until": period.until,
            }
            record(at=at, by=THINNER, action="snapshot.thin", subject="snapshots:all", facts=facts)
    return removed


def in_words(slot: timedelta) -> str:
    """A slot's length, as the log says it."""
    return {timedelta(minutes=15): "quarter of an hour", timedelta(hours=1): "hour"}.get(slot, "day")
