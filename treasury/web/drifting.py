"""A group as the page shows it: each account on one scale, how far off it is, and each asset over all venues."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import Q

from treasury.balances.refresh import is_awaited
from treasury.models import IN_FLIGHT, Connection, State, Transfer, User
from treasury.models.amount import counted, grouped
from treasury.rebalancing.drift import Group, Position, Stand
from treasury.rebalancing.explain import listed
from treasury.rebalancing.on_its_way import READ_AGAIN
from treasury.templatetags.treasury import places as decimals_of
from treasury.transfers import queries
from treasury.web.charts import bands
from treasury.web.charts.bands import Bar, Chart, Place

UNENDED = (State.SUBMITTED, State.APPROVED, *IN_FLIGHT)
ONCE_MOVED = "once what waits has moved"
NAMED = 2  # transfers in a sentence; more are counted


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
    def look(self) -> str:
        """Which colour and icon: where it stands now, and outside too where it only would be once all has moved."""
        seen = self.stand.now if self.stand.is_outside_now else self.stand.position
        return seen.value

    @property
    def outside(self) -> bool:
        return self.stand.is_outside_now or self.stand.is_outside


@dataclass(frozen=True)
class Off:
    """How many of ``accounts`` with a band are outside one of theirs, ``now`` and ``then``, once the transfers that
    ``wait`` have moved; ``unknown``: of how many nobody can say."""

    accounts: set[int]
    now: set[int]
    then: set[int]
    unknown: set[int]
    wait: list[str]

    @property
    def outside(self) -> int:
        return len(self.now)

    @property
    def cannot_be_judged(self) -> int:
        return len(self.unknown - self.now)


@dataclass(frozen=True)
class Panel:
    """One group: its accounts on one scale; ``reading`` while its balances are awaited, ``problem`` of the last;
    ``overdrawn`` says which transfers ask for more than there is."""

    group: Group
    name: str
    chart: Chart
    rows: list[Row]
    decimals: int
    unknown: str
    reading: bool
    problem: str
    off: Off
    overdrawn: list[str]

    @property
    def chip(self) -> str:
        """How many are outside now, and then: "3 outside now, none once TR-000007 has moved"; empty: none, ever."""
        if not (self.off.now or self.off.then):
            return ""
        if not self.off.wait:
            return f"{len(self.off.now)} outside"
        return f"{len(self.off.now) or 'none'} outside now, {len(self.off.then) or 'none'} once {moved(self.off.wait)}"

    @property
    def wants_reading(self) -> bool:
        return bool(self.unknown) or any(READ_AGAIN in one.frozen for one in self.group.stands)


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
    first = sorted(groups, key=lambda one: not (off_of([one]).now or one.outside or cannot_be_judged(one)))
    return [panel(one, number, coming, connections[one.connection.pk], at) for number, one in enumerate(first)]


def panel(group: Group, number: int, coming: Sequence[Transfer], connection: Connection, at: datetime) -> Panel:
    name = f"group-{number}"
    chart = bands.chart([place(one, name) for one in group.stands], asset=group.asset, then=ONCE_MOVED)
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
        off=off_of([group]),
        overdrawn=[said for stand in group.stands if (said := overdrawn(stand))],
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
    """How far off it is, now and once what waits has moved: "120.5 below its minimum"."""
    if stand.position == Position.UNKNOWN:
        return stand.why_unknown or "not known"
    said = bands.off_in_words(bands.distance(stand.total, stand.minimum, stand.maximum))
    if stand.expected == stand.total:
        return said
    then = bands.off_in_words(bands.distance(stand.expected, stand.minimum, stand.maximum))
    once = moved([one.reference for one in stand.waiting])
    return f"{said}, now and once {once}" if then == said else f"{said} now, {then} once {once}"


def overdrawn(stand: Stand) -> str:
    """Which transfers ask for more than the account holds; empty where none do."""
    leaving = [one for one in stand.waiting if one.source_id == stand.account.pk]
    if stand.total is None or stand.expected is None or not leaving or stand.expected >= 0:
        return ""
    return asks_for_more([one.reference for one in leaving], stand.reserved, stand.account.title, stand.total)


def asks_for_more(names: Sequence[str], amount: Decimal, title: str, held: Decimal) -> str:
    told = f"{names_of(names)} for {grouped(amount)}"
    asks = "asks" if len(names) == 1 else "ask together"
    return f"{told[:1].upper()}{told[1:]} {asks} for more than {title} holds, {grouped(held)}."


def names_of(references: Sequence[str]) -> str:
    """ "TR-000007", "TR-000007 and TR-000008", "the 9 transfers that wait"."""
    return listed(references) if len(references) <= NAMED else f"the {len(references)} transfers that wait"


def moved(references: Sequence[str]) -> str:
    return f"{names_of(references)} {'has' if len(references) == 1 else 'have'} moved"


def off_of(groups: Iterable[Group]) -> Off:
    """How many accounts are outside; one may have bands for several assets, and counts once."""
    stands = [one for group in groups for one in group.stands]
    return Off(
        accounts={one.account.pk for one in stands},
        now={one.account.pk for one in stands if one.is_outside_now},
        then={one.account.pk for one in stands if one.is_outside},
        unknown={one.account.pk for one in stands if one.position == Position.UNKNOWN},
        wait=sorted({transfer.reference for one in stands for transfer in one.waiting}),
    )


def cannot_be_judged(group: Group) -> str:
    """Why a group as a whole says nothing about what to do; empty where it does."""
    unknown = [one for one in group.stands if one.position == Position.UNKNOWN]
    if not unknown:
        return ""
    if any(one.balance is None or one.balance.total is None for one in unknown):
        return "balances are not readable"
    return "balances are stale" if any(one.stale for one in unknown) else "balances are not known"


def summary(groups: Sequence[Group]) -> str:
    """The first sentence: how many accounts are outside now and then, over how many venues, and what nobody can say."""
    if not groups:
        return ""
    off = off_of(groups)
    over = f"over {counted(len({group.connection.venue for group in groups}), 'venue')}"
    then = ""
    if off.wait and (off.now or off.then):
        waits = (
            "the 1 transfer that waits has" if len(off.wait) == 1 else f"the {len(off.wait)} transfers that wait have"
        )
        then = f"; {len(off.then) or 'none'} once {waits} moved"
    return f"{standing_now(off)}{' now' if then else ''}, {over}{then}{doubts(groups)}."


def standing_now(off: Off) -> str:
    every = counted(len(off.accounts), "account")
    if off.now:
        return f"{len(off.now)} of {every} {'is outside its band' if len(off.now) == 1 else 'are outside their bands'}"
    if off.unknown == off.accounts:
        return f"None of {every} with a band can be judged"
    if off.unknown:
        return f"{len(off.accounts - off.unknown)} of {every} are inside their bands"
    return f"All {every} are inside their bands" if len(off.accounts) > 1 else "The account is inside its band"


def doubts(groups: Sequence[Group]) -> str:
    reasons: dict[str, int] = {}
    for group in groups:
        if reason := cannot_be_judged(group):
            reasons[reason] = reasons.get(reason, 0) + 1
    told = [f"{counted(count, 'group')} cannot be judged: {why}" for why, count in reasons.items()]
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
    chart = bands.chart([drawn], asset=asset, then=ONCE_MOVED)
    places = len({one.connection.pk for one in groups})
    return OverVenues(asset, len(stands), places, chart, off_over_all(drawn, stands), decimals_in(chart))


def off_over_all(drawn: Place, stands: Sequence[Stand]) -> str:
    unread = sum(not one.is_readable for one in stands)
    if unread:
        of_all = f"{unread} of {counted(len(stands), 'balance')}"
        return f"not known: {of_all} {'is' if unread == 1 else 'are'} not readable, or old"
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
