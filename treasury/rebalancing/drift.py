"""Drift: how far each account is from its band, by what is known of it. Asks the database, changes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum
from itertools import groupby
from typing import Any

from treasury.balances import holdings
from treasury.controls import bands as setting
from treasury.controls import policy, stops
from treasury.models import Account, Balance, Band, Connection, Direction, Scope, StopOrder, Transfer, Unit
from treasury.models.amount import grouped
from treasury.models.clock import to_the_minute
from treasury.rebalancing import feasible, on_its_way, suppose
from treasury.rebalancing.on_its_way import Way

NOTHING = Decimal(0)
NONE_STATED = "nobody has stated yet what it holds: state it"
NONE_READ = f"no balance of it was ever read: {on_its_way.READ_AGAIN}"
UNSAID = "the venue does not say how much can be moved"
ONLY: Mapping[str, str] = {Direction.GIVES: "it only gives", Direction.TAKES: "it only takes"}


class Position(Enum):
    """Where an account stands. UNKNOWN: its balance is not readable, or too old to say."""

    BELOW = "below"
    INSIDE = "inside"
    ABOVE = "above"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Stand:
    """One account of a group, with its band in amounts.

    ``total`` is what was read; ``expected`` what it will be when all that is on its way (submitted, approved, waiting
    for a confirmation) has moved. ``minimum``, ``target``, ``maximum`` are in units of the asset, shares turned into
    amounts; None where the group's total is not known. ``frozen`` says why the planner may not touch it now, and
    ``no_giving`` and ``no_taking`` why nothing may leave or arrive; empty where it may. ``off`` is how far ``expected``
    is outside the band, 0 inside, None where unknown.
    """

    account: Account
    band: Band
    balance: Balance | None
    total: Decimal | None
    expected: Decimal | None
    minimum: Decimal | None
    target: Decimal | None
    maximum: Decimal | None
    free: Decimal
    position: Position
    off: Decimal | None
    stale: bool
    frozen: str
    no_giving: str
    no_taking: str
    waiting: list[Transfer] = field(default_factory=list)  # what ``expected`` counts beside ``total``
    reserved: Decimal = NOTHING  # of these, what leaves it
    floor: Decimal = NOTHING  # what it must keep: its band's floor or the house's, whichever is more

    @property
    def is_outside(self) -> bool:
        return self.position in (Position.BELOW, Position.ABOVE)

    @property
    def now(self) -> Position:
        """Where it stands by what was read, with nothing that waits."""
        known = None if self.position == Position.UNKNOWN else self.total
        return _position(known, self.minimum, self.maximum)[0]

    @property
    def is_outside_now(self) -> bool:
        return self.now in (Position.BELOW, Position.ABOVE)

    @property
    def is_readable(self) -> bool:
        """Whether there is a number at all, and a fresh one."""
        return self.total is not None and not self.stale

    @property
    def why_unknown(self) -> str:
        """Why nobody can say how it stands; empty where that is known."""
        if self.is_readable and self.minimum is not None:
            return ""
        return self.frozen or "its band is in shares, and what the group holds together is not known now"


@dataclass(frozen=True)
class Group:
    """The accounts of one connection that have a band for one asset.

    ``total``: what they hold together once all that is on its way has moved; shares are taken of it. None where one of
    them is not readable, or its number too old, or, for shares, where nobody can say whether money has left the group.
    """

    connection: Connection
    asset: str
    stands: list[Stand]
    total: Decimal | None
    unmet: str  # the sentence that says why not all bands can be met at once; empty when they can

    @property
    def outside(self) -> list[Stand]:
        return [one for one in self.stands if one.is_outside]


def read(
    at: datetime,
    *,
    connection: Connection | None = None,
    asset: str = "",
    overrides: Mapping[str, Any] | None = None,
) -> list[Group]:
    """Every group, or those of the connection and asset, with its accounts; ``overrides`` as ``Plan.overrides``:
    {"bands": [{"account": 12, "asset": "USDT", "minimum": "…", "target": "…", "maximum": "…" or null}],
    "balances": [{"account": 12, "asset": "USDT", "total": "…"}]}, supposed in place of what is stored.

    The same few queries, however many groups. Raises suppose.NotSupposed.
    """
    supposed = suppose.read(overrides)
    bands = _bands(connection, asset, supposed)
    held = _held(bands, supposed, at)  # before what is on its way
    observed = {key: one.observed_at for key, one in held.items() if not holdings.is_stale(one, at)}
    ways = on_its_way.read(observed, at)
    orders = list(stops.standing()) if bands else []
    floors = policy.floors() if bands else {}
    return [
        _group(list(group), held, ways, orders, floors, at)
        for _, group in groupby(bands, key=lambda band: (band.account.connection_id, band.asset))
    ]


def _bands(connection: Connection | None, asset: str, supposed: suppose.Supposed) -> list[Band]:
    found, wanted = setting.current(), Account.objects.select_related("connection")
    if connection is not None:
        found, wanted = found.filter(account__connection=connection), wanted.filter(connection=connection)
    if asset:
        found = found.filter(asset=asset)
    if not supposed.bands:
        return list(found)
    keys = [key for key in supposed.bands if not asset or key[1] == asset]
    accounts = wanted.in_bulk([account for account, _ in keys])
    return suppose.with_supposed(list(found), supposed, accounts)


def _held(bands: Iterable[Band], supposed: suppose.Supposed, at: datetime) -> dict[on_its_way.Key, Balance]:
    """What each band's account holds of its asset, as stored or as supposed; one that was never read is not named."""
    accounts = {band.account_id: band.account for band in bands}
    rows: dict[int, dict[str, Balance]] = {pk: {} for pk in accounts}
    for one in Balance.objects.filter(account__in=accounts):
        one.account = accounts[one.account_id]
        rows[one.account_id][one.asset] = one
    found = {}
    for band in bands:
        key = (band.account_id, band.asset)
        held = rows[band.account_id].get(band.asset) or _never_held(band, list(rows[band.account_id].values()))
        if key in supposed.totals:
            held = _supposed(band, held, supposed.totals[key], at)
        if held is not None:
            found[key] = held
    return found


def _never_held(band: Band, others: Sequence[Balance]) -> Balance | None:
    """An asset that an account never held has no row; None where that does not make it 0."""
    if not holdings.is_none_of_others(band.account, others):
        return None
    # Each complete answer is about every asset that was ever held; its oldest number is as old as any of it.
    oldest = min(one.observed_at for one in others)
    return Balance(account=band.account, asset=band.asset, total=NOTHING, movable=NOTHING, observed_at=oldest)


def _supposed(band: Band, held: Balance | None, total: Decimal, at: datetime) -> Balance:
    """As much more or less can be moved as there is supposed to be."""
    movable: Decimal | None = max(total, NOTHING)
    if held is not None and held.total is not None:
        movable = None if held.movable is None else max(held.movable + total - held.total, NOTHING)
    return Balance(account=band.account, asset=band.asset, total=total, movable=movable, observed_at=at)


@dataclass(frozen=True)
class _Known:
    """What is known of one account before its group's total is."""

    band: Band
    held: Balance | None
    way: Way
    unreadable: str
    floor: Decimal  # what it must keep

    @property
    def expected(self) -> Decimal | None:
        if self.held is None or self.held.total is None:
            return None
        expected: Decimal = self.held.total - self.way.going + self.way.coming
        return expected


def _group(
    bands: Sequence[Band],
    held: Mapping[on_its_way.Key, Balance],
    ways: Mapping[on_its_way.Key, Way],
    orders: Sequence[StopOrder],
    floors: Mapping[str, Decimal],
    at: datetime,
) -> Group:
    known = []
    for band in bands:
        key = (band.account_id, band.asset)
        balance = held.get(key)
        floor = max(band.floor, policy.floor_of(band.asset, floors))
        known.append(_Known(band, balance, ways.get(key) or Way(), _why_unreadable(band, balance, at), floor))
    whole = _whole(known)
    stands = [_stand(one, whole, orders, at) for one in known]
    connection, asset = bands[0].account.connection, bands[0].asset
    places = [feasible.Place(one.account.title, one.band, one.expected, one.floor) for one in stands]
    unmet = feasible.why_unmet(places, whole, asset=asset, where=connection.name)
    return Group(connection, asset, stands, whole, unmet)


def _whole(known: Sequence[_Known]) -> Decimal | None:
    """What the group holds together; None where nobody can say.

    A transfer of which nobody can say whether the readings show it changes nothing here if both its ends are in the
    group. If one is not, the sum may be off by all of it, and every share of it wrong.
    """
    expected = [one.expected for one in known if not one.unreadable and one.expected is not None]
    if len(expected) < len(known):
        return None
    ends = Counter(transfer for one in known for transfer in one.way.unclear)
    of_shares = any(one.band.unit == Unit.SHARE for one in known)
    return None if of_shares and 1 in ends.values() else sum(expected, NOTHING)


def _why_unreadable(band: Band, held: Balance | None, at: datetime) -> str:
    """Why its number says nothing about now, and what helps; empty where it does."""
    by_hand = band.account.connection.by_hand
    if held is None:
        return NONE_STATED if by_hand else NONE_READ
    if held.total is None:
        return f"not readable: {held.problem}"
    if holdings.is_stale(held, at):
        again = "state it anew" if by_hand else on_its_way.READ_AGAIN
        return f"its balance is {age_in_words(at - held.observed_at)} old: {again}"
    return ""


def age_in_words(age: timedelta) -> str:
    minutes = int(age.total_seconds()) // 60
    if minutes >= 48 * 60:
        return f"{minutes // (24 * 60)} days"
    if minutes >= 120:
        return f"{minutes // 60} hours"
    return f"{minutes} minutes" if minutes > 1 else f"{int(age.total_seconds())} seconds"


def _stand(known: _Known, whole: Decimal | None, orders: Sequence[StopOrder], at: datetime) -> Stand:
    band, held, way = known.band, known.held, known.way
    minimum, target, maximum = _in_amounts(band, whole)
    expected = known.expected
    position, off = _position(None if known.unreadable else expected, minimum, maximum)
    return Stand(
        account=band.account,
        band=band,
        balance=held,
        total=None if held is None else held.total,
        expected=expected,
        minimum=minimum,
        target=target,
        maximum=maximum,
        free=_free(known),
        position=position,
        off=off,
        stale=held is not None and holdings.is_stale(held, at),
        frozen=known.unreadable or way.frozen,
        no_giving=_why_not(band, Direction.TAKES, orders) or _unsaid(held) or _why_keep(known),
        no_taking=_why_not(band, Direction.GIVES, orders),
        waiting=way.transfers,
        reserved=way.going,
        floor=known.floor,
    )


def _position(
    expected: Decimal | None, minimum: Decimal | None, maximum: Decimal | None
) -> tuple[Position, Decimal | None]:
    """Where it stands, and how far outside. A band without a minimum in amounts is of shares of an unknown total."""
    if expected is None or minimum is None:
        return Position.UNKNOWN, None
    if expected < minimum:
        return Position.BELOW, minimum - expected
    if maximum is not None and expected > maximum:
        return Position.ABOVE, expected - maximum
    return Position.INSIDE, NOTHING


def _free(known: _Known) -> Decimal:
    """The most that may leave it without anything arriving; never more than the dispatcher would let go."""
    held = known.held
    if held is None or held.total is None or held.movable is None:
        return NOTHING
    left: Decimal = min(held.movable, held.total) - known.way.going - known.floor
    return max(left, NOTHING)


def _why_keep(known: _Known) -> str:
    """Why it may not even pass on what arrives: that would fill a gap first. Reckoned as the dispatcher does."""
    held, going = known.held, known.way.going
    if held is None or held.total is None or held.movable is None:
        return ""
    gap = -min(held.movable - going, held.total - going - known.floor)
    return f"it is short of what it owes, reserves or must keep by {grouped(gap)}" if gap > 0 else ""


def _in_amounts(band: Band, whole: Decimal | None) -> tuple[Decimal | None, Decimal | None, Decimal | None]:
    """All None where they are shares of an unknown total."""
    if whole is None and band.unit == Unit.SHARE:
        return None, None, None
    return feasible.in_amounts(band, max(whole or NOTHING, NOTHING))


def _unsaid(held: Balance | None) -> str:
    return UNSAID if held is not None and held.total is not None and held.movable is None else ""


def _why_not(band: Band, only: Direction, orders: Sequence[StopOrder]) -> str:
    """Why nothing may leave it, or arrive: a stop order, or its own direction ``only``."""
    for order in orders:
        if _covers(order, band):
            return (
                f"{stops.covered(order)} is stopped since {to_the_minute(order.since)} by {order.who}: {order.reason}"
            )
    return ONLY[only] if band.direction == only else ""


def _covers(order: StopOrder, band: Band) -> bool:
    """Whether the stop order stands in the way of moving this asset from or to this account."""
    connection = band.account.connection
    return {
        Scope.EVERYTHING: True,
        Scope.VENUE: order.venue == connection.venue,
        Scope.CONNECTION: order.connection_id == connection.pk,
        Scope.ASSET: order.asset == band.asset.upper(),
        Scope.ACCOUNT: order.account_id == band.account_id,
    }[Scope(order.scope)]
