"""Feasible: can all bands of a group be met at once? Plain numbers first; the database is asked only at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal, localcontext
from typing import Protocol

from treasury.balances.holdings import is_none_of_others
from treasury.controls import bands, policy
from treasury.models import Account, Balance, Band, Connection, Direction, Unit
from treasury.models.amount import DECIMALS, grouped

Key = tuple[int, str]  # an account's number, and an asset
Held = Callable[[Account, str], Decimal | None]

WHOLE = Decimal(100)  # percent
LAST_DIGIT = Decimal(1).scaleb(-DECIMALS)
PRECISION = 120  # digits: a product of two columns, and a sum of thousands, are exact


class Limits(Protocol):
    """What a band says, proposed or in force; see ``treasury.models.Band``."""

    @property
    def unit(self) -> str: ...
    @property
    def minimum(self) -> Decimal: ...
    @property
    def target(self) -> Decimal: ...
    @property
    def maximum(self) -> Decimal | None: ...
    @property
    def floor(self) -> Decimal: ...
    @property
    def smallest(self) -> Decimal | None: ...
    @property
    def largest(self) -> Decimal | None: ...
    @property
    def direction(self) -> str: ...


@dataclass(frozen=True)
class Place:
    """One account of a group. ``balance`` is what it holds, None where that is not known; ``floor`` what it must keep,
    the band's or the house's, whichever is more. All in the asset, but for what the band says in shares."""

    title: str
    band: Limits
    balance: Decimal | None
    floor: Decimal


@contextmanager
def exact() -> Iterator[None]:
    """Arithmetic that rounds nothing of ours: the house's own context rounds at 64 digits."""
    with localcontext(prec=PRECISION):
        yield


def in_amounts(band: Limits, total: Decimal) -> tuple[Decimal, Decimal, Decimal | None]:
    """The minimum, target and maximum in the asset, where the group holds ``total``.

    Of a share the minimum is rounded up, the maximum down and the target to the nearest, at 18 decimals; where that
    would turn them around, all three are the target.
    """
    if band.unit == Unit.AMOUNT:
        return band.minimum, band.target, band.maximum
    minimum = _share(band.minimum, total, ROUND_CEILING)
    target = _share(band.target, total, ROUND_HALF_EVEN)
    maximum = None if band.maximum is None else _share(band.maximum, total, ROUND_FLOOR)
    if maximum is not None and maximum < minimum:
        return target, target, target
    return minimum, max(minimum, target if maximum is None else min(target, maximum)), maximum


def _share(percent: Decimal, total: Decimal, rounding: str) -> Decimal:
    with exact():
        return (percent * total / WHOLE).quantize(LAST_DIGIT, rounding=rounding)


def sum_of(numbers: Iterable[Decimal]) -> Decimal:
    """The exact sum."""
    with exact():
        return sum(numbers, Decimal(0))


def why_unmet(places: Sequence[Place], total: Decimal | None, *, asset: str, where: str) -> str:
    """Why the bands of these accounts cannot all be met at once, in sentences; empty when they can, as far as numbers
    tell. Where ``total``, what they hold together, is not known, only what the bands say by themselves is looked at.

    ``where`` is the connection's name. Routes, stops and what is on its way are none of this function's affair.
    """
    with exact():
        if wrong := _shares(places, asset, where):
            return wrong
        found = [_floor(place, total, asset) for place in places]
        if total is not None:
            reckoned = [Reckoned.of(place, total) for place in places]
            found += [_sums(reckoned, total, asset, where), *(_stuck(one, asset) for one in reckoned)]
        return " ".join(sentence for sentence in found if sentence)


@dataclass(frozen=True)
class Reckoned:
    """A place in amounts. ``least`` and ``most`` are what it can be brought to at all: within its band, and as far as
    its floor and its direction let money leave and arrive. ``most`` None: any amount."""

    title: str
    minimum: Decimal
    maximum: Decimal | None
    balance: Decimal | None
    least: Decimal
    most: Decimal | None
    band: Limits

    @classmethod
    def of(cls, place: Place, total: Decimal) -> Reckoned:
        minimum, _, maximum = in_amounts(place.band, total)
        least, most, held = minimum, maximum, place.balance
        if held is not None:
            least = max(least, min(place.floor, held))
            if place.band.direction == Direction.TAKES:
                least = max(least, held)
            if place.band.direction == Direction.GIVES:
                most = held if most is None else min(most, held)
        return cls(place.title, minimum, maximum, held, least, most, place.band)


def _shares(places: Sequence[Place], asset: str, where: str) -> str:
    shared = [place.band for place in places if place.band.unit == Unit.SHARE]
    least = sum_of(band.minimum for band in shared)
    if least > WHOLE:
        return (
            f"The minimum shares of {asset} at {where} add up to {grouped(least)} %: they cannot all be met. "
            f"Lower them by {grouped(least - WHOLE)} % together."
        )
    maximums = [band.maximum for band in shared if band.maximum is not None]
    most = sum_of(maximums)
    if len(maximums) == len(places) and places and most < WHOLE:
        return (
            f"The maximum shares of {asset} at {where} add up to {grouped(most)} %: the rest would have no place. "
            f"Raise them by {grouped(WHOLE - most)} % together."
        )
    return ""


def _sums(reckoned: Sequence[Reckoned], total: Decimal, asset: str, where: str) -> str:
    """The first sum that does not fit: of the minimums and maximums, then with floors and directions as well."""
    held = f"its accounts hold {grouped(total)}"
    least = sum_of(one.minimum for one in reckoned)
    if least > total:
        short = grouped(least - total)
        return (
            f"The minimums of {asset} at {where} add up to {grouped(least)}, and {held}: they cannot all be met. "
            f"Lower a minimum by {short}, or bring {short} in."
        )
    most = _sum_or_none(one.maximum for one in reckoned)
    if most is not None and most < total:
        over = grouped(total - most)
        return (
            f"The maximums of {asset} at {where} add up to {grouped(most)}, and {held}: {over} would have no place. "
            f"Raise a maximum by {over}, or take {over} out."
        )
    return _bounds(reckoned, total, asset, where)


def _bounds(reckoned: Sequence[Reckoned], total: Decimal, asset: str, where: str) -> str:
    held = f"its accounts hold {grouped(total)}"
    least = sum_of(one.least for one in reckoned)
    if least > total:
        return (
            f"With what must stay on accounts with a floor, and on those that only take, the accounts of {where} need "
            f"{grouped(least)} {asset} for their minimums, and {held}: they cannot all be met. Lower a minimum or a "
            f"floor by {grouped(least - total)}."
        )
    most = _sum_or_none(one.most for one in reckoned)
    if most is not None and most < total:
        return (
            f"As some accounts of {where} only give, all of them can take up {grouped(most)} {asset}, and {held}: "
            f"{grouped(total - most)} would have no place. Raise a maximum by as much, or let one of them take too."
        )
    return ""


def _sum_or_none(numbers: Iterable[Decimal | None]) -> Decimal | None:
    """The sum; None, which is no limit, where one of them is."""
    listed = list(numbers)
    return None if None in listed else sum_of(one for one in listed if one is not None)


def _floor(place: Place, total: Decimal | None, asset: str) -> str:
    if total is None and place.band.unit == Unit.SHARE:
        return ""
    _, _, maximum = in_amounts(place.band, total or Decimal(0))
    if maximum is None or place.floor <= maximum:
        return ""
    return (
        f"{place.title} must keep {grouped(place.floor)} {asset}, its floor, which is more than its maximum of "
        f"{grouped(maximum)}: above that, nothing may bring it down. Lower the floor or raise the maximum."
    )


def _stuck(one: Reckoned, asset: str) -> str:
    """An account outside its band that no transfer can help."""
    held, only = one.balance, one.band.direction
    if held is None:
        return ""
    if held < one.minimum and only == Direction.GIVES:
        return (
            f"{one.title} holds {grouped(held)} {asset}, less than its minimum of {grouped(one.minimum)}, and only "
            "gives: nothing can bring it up. Let it take too, or lower its minimum."
        )
    if one.maximum is not None and held > one.maximum and only == Direction.TAKES:
        return (
            f"{one.title} holds {grouped(held)} {asset}, more than its maximum of {grouped(one.maximum)}, and only "
            "takes: nothing can bring it down. Let it give too, or raise its maximum."
        )
    return _too_coarse(one, held, asset)


def _too_coarse(one: Reckoned, held: Decimal, asset: str) -> str:
    """Outside the band, and even its smallest transfer carries it out at the other side."""
    smallest = one.band.smallest
    if smallest is None or one.maximum is None or one.minimum <= held <= one.maximum:
        return ""
    after = held + smallest if held < one.minimum else held - smallest
    if (held < one.minimum and after <= one.maximum) or (held > one.maximum and after >= one.minimum):
        return ""
    return (
        f"{one.title} holds {grouped(held)} {asset}, its band is {grouped(one.minimum)} to {grouped(one.maximum)}, and "
        f"its smallest transfer of {grouped(smallest)} would carry it past the other side. Make that smaller, or the "
        "band wider."
    )


# -- The same, asked of the database -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Outlook:
    """A group as it would be. ``total`` is what its accounts hold together; None where some of that is not known, which
    ``unread`` names. ``unmet`` says why its bands cannot all be met; empty when they can."""

    connection: Connection
    asset: str
    total: Decimal | None
    unread: list[str]
    unmet: str


def outlooks(wanted: Mapping[Key, Limits | None]) -> list[Outlook]:
    """Every group that these bands touch, with them in place of what is in force; None takes a band away."""
    return outlooks_of_each([wanted])[0]


def outlooks_of_each(proposals: Sequence[Mapping[Key, Limits | None]]) -> list[list[Outlook]]:
    """The same of several proposals, each by itself. As many queries for many as for one."""
    wanted = {number for proposal in proposals for number, _ in proposal}
    if not wanted:
        return [[] for _ in proposals]
    accounts = Account.objects.select_related("connection").in_bulk(list(wanted))
    connections = {account.connection_id for account in accounts.values()}
    now = list(bands.current().filter(account__connection__in=connections))
    held = held_by([*accounts.values(), *(band.account for band in now)])
    floors = policy.floors()
    return [_outlooks(proposal, accounts, now, held, floors) for proposal in proposals]


def _outlooks(
    wanted: Mapping[Key, Limits | None],
    accounts: Mapping[int, Account],
    now: Sequence[Band],
    held: Held,
    floors: Mapping[str, Decimal],
) -> list[Outlook]:
    groups: dict[tuple[int, str], dict[int, tuple[Account, Limits]]] = {
        (accounts[number].connection_id, asset): {} for number, asset in wanted
    }
    for band in now:
        if (key := (band.account.connection_id, band.asset)) in groups and (band.account_id, band.asset) not in wanted:
            groups[key][band.account_id] = (band.account, band)
    for (number, asset), limits in wanted.items():
        if limits is not None:
            groups[accounts[number].connection_id, asset][number] = (accounts[number], limits)
    found = [outlook(asset, list(group.values()), held, floors) for (_, asset), group in groups.items() if group]
    return sorted(found, key=lambda one: (one.connection.name, one.asset))


def outlook(asset: str, group: Sequence[tuple[Account, Limits]], held: Held, floors: Mapping[str, Decimal]) -> Outlook:
    """One group, with what its accounts hold, and what by the policy's ``floors`` each of them must keep."""
    connection = group[0][0].connection
    places = [
        Place(account.title, limits, held(account, asset), max(limits.floor, policy.floor_of(asset, floors)))
        for account, limits in group
    ]
    unread = [place.title for place in places if place.balance is None]
    total = None if unread else sum_of(place.balance for place in places if place.balance is not None)
    return Outlook(connection, asset, total, unread, why_unmet(places, total, asset=asset, where=connection.name))


def held_by(accounts: Sequence[Account]) -> Held:
    """What these accounts hold, as last read; None where it is not known."""
    rows: dict[int, dict[str, Balance]] = {account.pk: {} for account in accounts}
    for row in Balance.objects.filter(account__in=accounts).order_by():
        rows[row.account_id][row.asset] = row

    def held(account: Account, asset: str) -> Decimal | None:
        own = rows[account.pk]
        if asset in own:
            total: Decimal | None = own[asset].total
            return total
        return Decimal(0) if is_none_of_others(account, own.values()) else None

    return held
