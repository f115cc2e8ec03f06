"""What we held at a moment of the past: by the last snapshot at or before it, each with its own time.

Nothing is reckoned forward or back. What no snapshot says is not known, which is never 0.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection as database
from django.db.models import Exists, OuterRef, Subquery

from treasury.balances.holdings import stale_after
from treasury.balances.snapshots import EVERY_ASSET, slot_at
from treasury.models import Account, Connection, Snapshot

NOT_SET_UP = "it was not set up here yet"
NOT_READ = "it had not been read by then"

Told = Mapping[str, Mapping[str, str | None]]  # an account in a snapshot, by asset


@dataclass(frozen=True)
class Number:
    """What an account held of one asset. ``total`` is None where it is not known, and ``problem`` says why; ``asset``
    is empty where that is said of all that the account's other numbers do not name. ``as_of``: of when it is, where
    that is not the snapshot's own time; ``stale``: older, at the asked moment, than a number of its venue is good for.
    """

    asset: str
    total: Decimal | None
    movable: Decimal | None
    problem: str
    as_of: datetime | None = None
    stale: bool = False

    @property
    def known(self) -> bool:
        return self.total is not None


@dataclass(frozen=True)
class AccountHeld:
    """One account. ``numbers`` is None where no reading names it, and ``why`` says whether it had not been set up or
    not been read; ``account`` is None where its row is gone."""

    address: str
    title: str
    account: Account | None
    numbers: list[Number] | None
    why: str = ""

    @property
    def is_unread(self) -> bool:
        """Whether nothing is known of it though it was, or may have been, set up."""
        if self.numbers is None:
            return self.why == NOT_READ
        return any(one.asset == EVERY_ASSET for one in self.numbers) and not any(one.known for one in self.numbers)


@dataclass(frozen=True)
class Held:
    """What a connection held by its last ``snapshot`` at or before ``asked``; None: nothing is known."""

    connection: Connection
    asked: datetime
    snapshot: Snapshot | None
    accounts: list[AccountHeld]

    @property
    def has_accounts(self) -> bool:
        """Whether there is anything to be known of it; a login without accounts holds nothing of ours."""
        return bool(self.connection.accounts.all())

    @property
    def age(self) -> timedelta | None:
        return None if self.snapshot is None else self.asked - self.snapshot.at

    @property
    def stale(self) -> bool:
        """Whether it was older at that moment than a number of this venue is good for."""
        return self.age is not None and self.age > stale_after(self.connection.venue)


@dataclass
class Sum:
    """One asset over all venues: ``total`` is of the ``numbers`` that are known, and ``missing`` names what is not,
    with why. A total of no number at all is no 0."""

    asset: str
    total: Decimal = Decimal(0)
    numbers: int = 0
    missing: list[str] = field(default_factory=list)
    stale: bool = False


def held_at(at: datetime) -> list[Held]:
    """What each connection that there was by then held at that moment."""
    connections = Connection.objects.filter(created_at__lte=at).prefetch_related("accounts")
    last = Snapshot.objects.filter(connection=OuterRef("pk"), at__lte=at).order_by("-at", "-id")
    after = Snapshot.objects.filter(connection=OuterRef("pk"), at__gt=at).order_by("at", "id")
    found = list(connections.annotate(last=Subquery(last.values("pk")[:1]), next=Subquery(after.values("pk")[:1])))
    snapshots = Snapshot.objects.in_bulk([key for one in found for key in (one.last, one.next) if key is not None])
    return [held_by(one, snapshots.get(one.last), at, following=snapshots.get(one.next)) for one in found]


def last_of(connections: Collection[int]) -> dict[int, Snapshot]:
    """The last snapshot of each of these connections that has any."""
    last = Snapshot.objects.filter(connection=OuterRef("pk")).order_by("-at", "-id")
    keys = Connection.objects.filter(pk__in=connections).order_by().annotate(last=Subquery(last.values("pk")[:1]))
    return {one.connection_id: one for one in Snapshot.objects.filter(pk__in=keys.values("last"))}


def last_before(connection: Connection, at: datetime) -> Snapshot | None:
    """The last snapshot at or before that moment."""
    return connection.snapshots.filter(at__lte=at).order_by("-at", "-id").first()


def first_after(connection: Connection, at: datetime) -> Snapshot | None:
    """The first snapshot after that moment."""
    return connection.snapshots.filter(at__gt=at).order_by("at", "id").first()


def held_by(
    connection: Connection, snapshot: Snapshot | None, asked: datetime, *, following: Snapshot | None = None
) -> Held:
    """``following``: the next reading. An account that not even that one names had not been set up; of any other that
    ``snapshot`` does not name nobody can say when it was, so it is missing."""
    known = {account.address: account for account in connection.accounts.all()}
    holdings = snapshot.holdings if snapshot else {}
    stale_from = asked - stale_after(connection.venue)
    accounts = [
        AccountHeld(
            address=address,
            title=known[address].title if address in known else address,
            account=known.get(address),
            numbers=numbers_of(holdings[address], snapshot.at, stale_from) if address in holdings else None,
            why=NOT_SET_UP if following is not None and address not in following.holdings else NOT_READ,
        )
        for address in sorted(known.keys() | holdings.keys())
        if snapshot
    ]
    return Held(connection, asked, snapshot, accounts)


def numbers_of(told: Told, at: datetime, stale_from: datetime) -> list[Number]:
    """An account's numbers as a snapshot of ``at`` tells them: by asset, and last what it says of all others."""
    found = [number(asset, one) for asset, one in told.items()]
    found = [replace(one, stale=(one.as_of or at) < stale_from) for one in found]
    return sorted(found, key=lambda one: (one.asset == EVERY_ASSET, one.asset))


def number(asset: str, told: Mapping[str, str | None]) -> Number:
    total, movable, as_of = (told.get(name) for name in ("total", "movable", "as_of"))
    return Number(
        asset,
        None if total is None else Decimal(total),
        None if movable is None else Decimal(movable),
        told.get("problem") or "",
        None if as_of is None else datetime.fromisoformat(as_of),
    )


def of_asset(told: Told, asset: str) -> Number:
    """What an account held of the asset: as it is named; or else not known where the answer was not whole, and 0 where
    it was. By hand too: people state what there is, and what they have never stated is not feared."""
    if asset in told:
        return number(asset, told[asset])
    if EVERY_ASSET in told:
        return Number(asset, None, None, told[EVERY_ASSET].get("problem") or "not readable")
    return Number(asset, Decimal(0), Decimal(0), "")


def sums(held: Iterable[Held]) -> list[Sum]:
    """Each asset that anybody held, over all venues, by its code in capitals; exact, of what is known."""
    everything = list(held)
    assets = {
        one.asset.upper()
        for each in everything
        for account in each.accounts
        for one in account.numbers or ()
        if one.asset != EVERY_ASSET
    }
    found = {asset: Sum(asset) for asset in sorted(assets)}
    for each in everything:
        if each.snapshot is None and each.has_accounts:
            for one in found.values():
                one.missing.append(f"{each.connection}: {NOT_READ}")
        known = {one.asset.upper() for account in each.accounts for one in account.numbers or ()}
        for account in each.accounts:
            _add_account(found, each, account, known - {EVERY_ASSET})
    return list(found.values())


def _add_account(found: Mapping[str, Sum], each: Held, account: AccountHeld, known: set[str]) -> None:
    """``known``: what any account of its connection names. Where its own answer names something and was not whole, it
    may hold some of these too; what nobody there has shown is not feared. Where it names nothing, everything is."""
    named = set()
    rest = account.why if account.numbers is None and account.is_unread else ""
    for one in account.numbers or ():
        if one.asset == EVERY_ASSET:
            rest = one.problem
            continue
        asset = one.asset.upper()
        named.add(asset)
        if one.total is None:
            found[asset].missing.append(f"{each.connection} · {account.title}: {one.problem}")
        else:
            found[asset].total += one.total
            found[asset].numbers += 1
            found[asset].stale = found[asset].stale or one.stale
    if rest:
        for asset in sorted((known if named else set(found)) - named):
            found[asset].missing.append(f"{each.connection} · {account.title}: {rest}")


# -- over time -----------------------------------------------------------------------------------------------

# The last snapshot of each connection in each step, and in it one asset: of when the oldest number is (people state
# what was long before), the sum of what is known, and of how many accounts it is not known. Numbers leave the database
# as exact as they are written.
IN_STEPS = """
WITH picked AS (
    SELECT DISTINCT ON (s.connection_id, date_bin(%(step)s, s.at, %(since)s)) s.id
    FROM treasury_snapshot s WHERE s.at >= %(first)s AND s.at <= %(until)s
    ORDER BY s.connection_id, date_bin(%(step)s, s.at, %(since)s), s.at DESC, s.id DESC
)
SELECT s.connection_id, s.at, least(s.at, min((n.told ->> 'as_of')::timestamptz)),
    coalesce(sum((n.told ->> 'total')::numeric), 0), count(n.told) FILTER (WHERE n.told ->> 'total' IS NULL)
FROM picked JOIN treasury_snapshot s ON s.id = picked.id LEFT JOIN LATERAL (
    SELECT named.value AS told FROM jsonb_each(s.holdings) account, jsonb_each(account.value) named
    WHERE upper(named.key) = %(asset)s OR named.key = '' AND NOT EXISTS (
        SELECT FROM jsonb_object_keys(account.value) spelt WHERE upper(spelt) = %(asset)s)
) n ON true
GROUP BY s.id ORDER BY s.connection_id, s.at, s.id
"""


@dataclass(frozen=True)
class Line:
    """One connection over time: for each moment of the series what it held, None where that is not known, and False
    in ``there`` before it was connected. ``in_part``: of some account it is not known at any moment, so that each total
    is of the others; a total of fewer accounts than the best is None, for it would show a fall that was none."""

    connection: Connection
    totals: list[Decimal | None]
    there: list[bool]
    in_part: bool


@dataclass(frozen=True)
class Series:
    """One asset, by connection, at ``moments`` that are ``step`` apart."""

    asset: str
    step: timedelta
    moments: list[datetime]
    lines: list[Line]


def series(asset: str, *, since: datetime, until: datetime, points: int, now: datetime) -> Series:
    """What every connection held of the asset (its code in any letters), at so many moments up to ``until``.

    A moment's number is of the last snapshot before it, if no part of it is older than one step, or the distance of the
    snapshots that are kept of that age by ``now``, or the venue's limit, whichever is longest.
    """
    step = (until - since) / points
    moments = [since + step * count for count in range(1, points + 1)]
    reach = max(step, slot_at(since, now))
    first = since - (reach // step + 2) * step
    told = _in_steps(asset.upper(), step=step, since=since, first=first, until=until)
    lines = []
    with_accounts = Exists(Account.objects.filter(connection=OuterRef("pk")))
    for one in Connection.objects.filter(with_accounts, created_at__lte=until):
        longest = max(reach, stale_after(one.venue))
        rows = told.get(one.pk, [])
        fewest = min((row.unknown for row in rows), default=0)
        rows = [row if row.unknown == fewest else replace(row, total=None) for row in rows]
        there = [one.created_at <= at for at in moments]
        lines.append(Line(one, _followed(rows, moments, longest), there, in_part=fewest > 0))
    return Series(asset.upper(), step, moments, lines)


@dataclass(frozen=True)
class Row:
    """A connection's total in one step, by the snapshot of ``at``: of what is known, in numbers of ``of`` and later;
    ``unknown`` accounts are not in it."""

    at: datetime
    of: datetime
    total: Decimal | None
    unknown: int


def _in_steps(
    asset: str, *, step: timedelta, since: datetime, first: datetime, until: datetime
) -> dict[int, list[Row]]:
    words: dict[str, Any] = {"asset": asset, "step": step, "since": since, "first": first, "until": until}
    found: dict[int, list[Row]] = {}
    with database.cursor() as cursor:
        cursor.execute(IN_STEPS, words)
        for connection_id, *row in cursor.fetchall():
            found.setdefault(connection_id, []).append(Row(*row))
    return found


def _followed(rows: Iterable[Row], moments: Iterable[datetime], longest: timedelta) -> list[Decimal | None]:
    """For each moment the last number before it, unless that is too old to say."""
    waiting = list(reversed(list(rows)))
    last: Row | None = None
    found: list[Decimal | None] = []
    for moment in moments:
        while waiting and waiting[-1].at <= moment:
            last = waiting.pop()
        found.append(last.total if last is not None and moment - last.of <= longest else None)
    return found
