"""A group as the page shows it: each account on one scale, how far off it is, and each asset over all venues."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import Q

from treasury.balances.refresh import is_awaited
from treasury.models import IN_FLIGHT, Connection, State, Transfer, User
from treasury.models.amount import grouped
from treasury.rebalancing.drift import Group, Position, Stand
from treasury.templatetags.treasury import places as decimals_of
from treasury.transfers import queries
from treasury.web.charts import bands
from treasury.web.charts.bands import Bar, Chart, Place

UNENDED = (State.SUBMITTED, State.APPROVED, *IN_FLIGHT)
ON_ITS_WAY = "once what is on its way has moved"


@dataclass(frozen=True)
class Coming:
    """A transfer on its way, as one account sees it: arriving or leaving."""

    transfer: Transfer
    arrives: bool


@dataclass(frozen=True)
class Row:
    """One account of a group: what is drawn, and all that is said beside it."""

    stand: Stand
    bar: Bar
    off: str
    notes: list[str]
    coming: list[Coming]

    @property
    def outside(self) -> bool:
        return self.stand.position in (Position.BELOW, Position.ABOVE)


@dataclass(frozen=True)
class Panel:
    """One group: its accounts on one scale; ``reading`` while its balances are awaited, ``problem`` of the last."""

    group: Group
    name: str
    chart: Chart
    rows: list[Row]
    decimals: int
    unknown: str
    reading: bool
    problem: str

    @property
    def outside(self) -> int:
        return len(self.group.outside)


@dataclass(frozen=True)
class OverVenues:
    """One asset over all venues: own funds of the accounts with a band, against the sum of their bands."""

    asset: str
    accounts: int
    connections: int
    chart: Chart
    off: str
    decimals: int

    @property
    def then(self) -> str:
        """The heading of the column for what is on its way; empty where nothing is."""
        return "Then" if self.chart.has_after else ""


def reading_states(groups: Sequence[Group]) -> dict[int, Connection]:
    """The groups' connections with their health, in one query."""
    wanted = {one.connection.pk for one in groups}
    return {one.pk: one for one in Connection.objects.filter(pk__in=wanted).select_related("health")} if wanted else {}


def panels(groups: Sequence[Group], person: User, connections: dict[int, Connection], at: datetime) -> list[Panel]:
    """Those first in which something is off, or nobody can say."""
    coming = on_its_way(groups, person)
    first = sorted(groups, key=lambda one: not (one.outside or cannot_be_judged(one)))
    return [panel(one, number, coming, connections[one.connection.pk], at) for number, one in enumerate(first)]


def panel(group: Group, number: int, coming: Sequence[Transfer], connection: Connection, at: datetime) -> Panel:
    name = f"group-{number}"
    chart = bands.chart([place(one, name) for one in group.stands], asset=group.asset, then=ON_ITS_WAY)
    rows = [row(stand, bar, coming) for stand, bar in zip(group.stands, chart.bars, strict=True)]
    health = getattr(connection, "health", None)
    return Panel(
        group=group,
        name=name,
        chart=chart,
        rows=rows,
        decimals=decimals_in(chart),
        unknown=cannot_be_judged(group),
        reading=is_awaited(health, at),
        problem=health.problem if health else "",
    )


def place(stand: Stand, name: str) -> Place:
    """What is drawn of an account; the hollow dot only where something is on its way."""
    after = stand.expected if stand.expected != stand.total else None
    return Place(
        name=f"{name}-account-{stand.account.pk}",
        title=stand.account.title,
        minimum=stand.minimum,
        target=stand.target,
        maximum=stand.maximum,
        now=stand.total,
        after=after,
    )


def row(stand: Stand, bar: Bar, coming: Sequence[Transfer]) -> Row:
    touching = [one for one in coming if one.asset == stand.band.asset and touches(one, stand)]
    return Row(
        stand=stand,
        bar=bar,
        off=standing_in_words(stand),
        notes=notes_of(stand),
        coming=[Coming(one, arrives=one.destination_id == stand.account.pk) for one in touching],
    )


def notes_of(stand: Stand) -> list[str]:
    """Why the planner may not touch it, or only one way; what is not known is said beside it already."""
    if stand.position == Position.UNKNOWN and not stand.is_readable:
        return []
    if stand.frozen:
        return [f"not planned with: {stand.frozen}"]
    ways = (("gives nothing", stand.no_giving), ("takes nothing", stand.no_taking))
    return [f"{what}: {why}" for what, why in ways if why]


def touches(transfer: Transfer, stand: Stand) -> bool:
    return stand.account.pk in (transfer.source_id, transfer.destination_id)


def standing_in_words(stand: Stand) -> str:
    """How far off it is, by what it will hold: "120.5 below its minimum"."""
    if stand.position == Position.UNKNOWN:
        return why_unknown(stand)
    said = bands.off_in_words(bands.distance(stand.expected, stand.minimum, stand.maximum))
    return f"{said}, {ON_ITS_WAY}" if stand.expected != stand.total else said


def why_unknown(stand: Stand) -> str:
    return "not known: the group's total is not known" if stand.is_readable else stand.frozen


def cannot_be_judged(group: Group) -> str:
    """Why a group as a whole says nothing about what to do; empty where it does."""
    unknown = [one for one in group.stands if one.position == Position.UNKNOWN]
    if not unknown:
        return ""
    if any(one.balance is None or one.balance.total is None for one in unknown):
        return "balances are not readable"
    return "balances are stale" if any(one.stale for one in unknown) else "balances are not known"


def summary(groups: Sequence[Group]) -> str:
    """The first sentence: how many accounts are outside, over how many venues, and what nobody can say."""
    if not groups:
        return ""
    stands = [one for group in groups for one in group.stands]
    accounts = {one.account.pk for one in stands}  # one may have bands for several assets
    unknown = {one.account.pk for one in stands if one.position == Position.UNKNOWN}
    outside = {one.account.pk for group in groups for one in group.outside}
    over = f"over {counted({group.connection.venue for group in groups}, 'venue')}"
    every = counted(accounts, "account")
    if outside:
        said = f"{len(outside)} of {every} {'is outside its band' if len(outside) == 1 else 'are outside their bands'}"
    elif unknown == accounts:
        said = f"None of {every} with a band can be judged"
    elif unknown:
        said = f"{len(accounts - unknown)} of {every} are inside their bands"
    else:
        said = f"All {every} are inside their bands" if len(accounts) > 1 else "The account is inside its band"
    return f"{said}, {over}{doubts(groups)}."


def counted(things: Collection[object], noun: str) -> str:
    return f"{len(things)} {noun}{'' if len(things) == 1 else 's'}"


def doubts(groups: Sequence[Group]) -> str:
    reasons: dict[str, int] = {}
    for group in groups:
        if reason := cannot_be_judged(group):
            reasons[reason] = reasons.get(reason, 0) + 1
    told = [f"{count} group{'s' if count != 1 else ''} cannot be judged: {why}" for why, count in reasons.items()]
    return "".join(f"; {one}" for one in told)


def on_its_way(groups: Sequence[Group], person: User) -> list[Transfer]:
    """What was submitted and has not ended, to or from the groups' accounts; one query."""
    accounts = {stand.account.pk for group in groups for stand in group.stands}
    if not accounts:
        return []
    ours = Q(source__in=accounts) | Q(destination__in=accounts)
    return list(queries.visible_to(person).filter(ours, state__in=UNENDED).order_by("id"))


def over_venues(groups: Sequence[Group]) -> list[OverVenues]:
    """Each asset over all connections: one venue writes usdt and another USDT, and it is the same."""
    assets: dict[str, list[Group]] = {}
    for one in groups:
        assets.setdefault(one.asset.upper(), []).append(one)
    return [asset_over(asset, assets[asset], number) for number, asset in enumerate(sorted(assets))]


def asset_over(asset: str, groups: Sequence[Group], number: int) -> OverVenues:
    stands = [stand for group in groups for stand in group.stands]
    minimum = summed(one.minimum for one in stands)
    now = summed(one.total if one.is_readable else None for one in stands)
    then = None if now is None else summed(one.expected for one in stands)
    drawn = Place(
        name=f"asset-{number}",
        title=f"{asset} over all venues",
        minimum=minimum,
        target=summed(one.target for one in stands),
        maximum=None if minimum is None else summed(one.maximum for one in stands),
        now=now,
        after=then if then != now else None,
    )
    chart = bands.chart([drawn], asset=asset, then=ON_ITS_WAY)
    places = len({one.connection.pk for one in groups})
    return OverVenues(asset, len(stands), places, chart, off_over_all(drawn, stands), decimals_in(chart))


def off_over_all(drawn: Place, stands: Sequence[Stand]) -> str:
    unread = sum(not one.is_readable for one in stands)
    if unread:
        return (
            f"not known: {unread} of {counted(stands, 'balance')} {'is' if unread == 1 else 'are'} not readable, or old"
        )
    off = bands.distance(drawn.now, drawn.minimum, drawn.maximum)
    if not off:
        return "not known" if off is None else "within the sum of the bands"
    side = "below the sum of the minimums" if off < 0 else "above the sum of the maximums"
    return f"{grouped(abs(off))} {side}"


def summed(amounts: Iterable[Decimal | None]) -> Decimal | None:
    """The sum; None as soon as one of them is not known, or has no limit."""
    total = Decimal(0)
    for one in amounts:
        if one is None:
            return None
        total += one
    return total


def decimals_in(chart: Chart) -> int:
    """How many decimals the longest number of a chart's table has."""
    return max((decimals_of(one) for bar in chart.bars for one in bands.numbers(bar.place)), default=0)
