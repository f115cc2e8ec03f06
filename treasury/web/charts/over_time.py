"""Balances over time, stacked by venue: sums to coordinates, and the words and the table beside them. Pure reckoning.

Sums are exact; only places are rounded. The drawing is HEIGHT pixels high and as wide as the screen: its grid of ACROSS
units is stretched, so that letters keep their size. A column stands for the time up to its moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal

from treasury.models.amount import grouped, plain
from treasury.models.clock import to_the_minute

ACROSS, HEIGHT = 1000, 220  # the plot's own grid
LAYERS_MOST = 6  # as many patterns as there are; what is beyond them is one layer
OTHERS = "Other venues"
NOTHING = Decimal(0)
TENTH = Decimal("0.1")
STEPS = tuple(Decimal(one) for one in ("1", "2", "2.5", "5", "10"))
LINES_MOST = 5
THOUSANDS = {0: "", 3: "thousand ", 6: "million ", 9: "billion ", 12: "trillion "}
APART = {1: timedelta(hours=4), 7: timedelta(days=1), 30: timedelta(days=5), 90: timedelta(days=15)}
OVER = {1: "24 hours", 7: "7 days", 30: "30 days", 90: "90 days"}


@dataclass(frozen=True)
class Venue:
    """What lies at one venue at each moment; None where it is not known, 0 before it was connected. ``in_part``: of
    some account it is never known, and the totals are of the others."""

    title: str
    totals: list[Decimal | None]
    in_part: bool = False

    @property
    def is_nothing(self) -> bool:
        return not any(self.totals)

    @property
    def last(self) -> Decimal | None:
        return self.totals[-1]


@dataclass(frozen=True)
class Layer:
    """One venue, drawn: ``number`` names its colour and pattern."""

    number: int
    venue: Venue
    path: str


@dataclass(frozen=True)
class Tick:
    """A mark of an axis: across in per cent of the width, or down in units of the grid."""

    place: str
    text: str


@dataclass(frozen=True)
class Row:
    """The numbers of one moment, a venue each, as the table shows them; ``total`` None where not all is known, and
    then ``known`` is the sum of the rest."""

    at: datetime
    numbers: list[Decimal | None]
    total: Decimal | None
    known: Decimal


@dataclass(frozen=True)
class Drawing:
    """``unit`` is that of the axis, ``gaps`` are places (from, width) where some venue is not known; ``in_part`` names
    the venues of which some account is never known."""

    asset: str
    title: str
    unit: str
    layers: list[Layer]
    total: str
    gaps: list[tuple[str, str]]
    lines: list[Tick]
    days: list[Tick]
    zero: str
    words: str
    columns: list[str]
    rows: list[Row]
    in_part: list[str]

    @property
    def across(self) -> int:
        return ACROSS

    @property
    def height(self) -> int:
        return HEIGHT

    @property
    def numbers(self) -> list[Decimal]:
        """Every number of the table, so that its points line up."""
        return [one for row in self.rows for one in (*row.numbers, row.known) if one is not None]


def drawing(venues: Iterable[Venue], *, asset: str, moments: Sequence[datetime], days: int) -> Drawing | None:
    """None where nothing was held and nothing is unknown."""
    told = largest([one for one in venues if not one.is_nothing or one.in_part or None in one.totals])
    if not told:
        return None
    rows = [row_of(told, place, at) for place, at in enumerate(moments)]
    stacks = stacked(told)
    low, high, lines = scale(stacks)
    power = thousands(max(abs(low), abs(high)))
    drawn = [one for one in told if not one.is_nothing]
    return Drawing(
        asset=asset,
        title=f"{asset} over {OVER[days]}, by venue",
        unit=unit_of(asset, power),
        layers=[Layer(n, one, area(stacks[told.index(one)], low, high)) for n, one in enumerate(drawn, start=1)],
        total=outline([row.total for row in rows], low, high),
        gaps=gaps([row.total is None for row in rows]),
        lines=[Tick(down(value, low, high), grouped(value.scaleb(-power))) for value in lines],
        days=calendar(moments, days),
        zero=down(Decimal(0), low, high),
        words=words(asset, rows, told, days),
        columns=[one.title for one in told],
        rows=rows,
        in_part=[one.title for one in told if one.in_part],
    )


def largest(venues: list[Venue]) -> list[Venue]:
    """By name; where there are more than patterns, the smallest as one."""
    ranked = sorted(venues, key=lambda one: -max((abs(total) for total in one.totals if total is not None), default=0))
    kept = sorted(ranked[:LAYERS_MOST], key=lambda one: one.title)
    if len(ranked) > LAYERS_MOST:
        kept = sorted(ranked[: LAYERS_MOST - 1], key=lambda one: one.title)
        kept.append(together(OTHERS, ranked[LAYERS_MOST - 1 :]))
    return kept


def together(title: str, venues: Sequence[Venue]) -> Venue:
    """The sum of several; not known where one of them is not."""
    columns = zip(*(one.totals for one in venues), strict=True)
    totals = [None if None in column else sum(map(of, column), Decimal(0)) for column in columns]
    return Venue(title, totals, any(one.in_part for one in venues))


def of(total: Decimal | None) -> Decimal:
    return total or Decimal(0)


def row_of(venues: Sequence[Venue], place: int, at: datetime) -> Row:
    numbers = [one.totals[place] for one in venues]
    known = sum(map(of, numbers), Decimal(0))
    return Row(at, numbers, None if None in numbers else known, known)


# -- places --------------------------------------------------------------------------------------------------

Span = tuple[Decimal, Decimal]  # from, to: an amount's share of the stack


def stacked(venues: Sequence[Venue]) -> list[list[Span | None]]:
    """For each venue and moment what it covers: what is owned stands on 0 upwards, what is owed hangs from it."""
    found: list[list[Span | None]] = [[] for _ in venues]
    for place in range(len(venues[0].totals)):
        above = below = Decimal(0)
        for spans, one in zip(found, venues, strict=True):
            total = one.totals[place]
            if total is None:
                spans.append(None)
            elif total >= 0:
                spans.append((above, above + total))
                above += total
            else:
                spans.append((below, below + total))
                below += total
    return found


def scale(stacks: Sequence[Sequence[Span | None]]) -> tuple[Decimal, Decimal, list[Decimal]]:
    """The ends of the axis, round numbers and 0 among them, and the values of its lines."""
    ends = [end for spans in stacks for span in spans if span for end in span]
    least, most = min([*ends, Decimal(0)]), max([*ends, Decimal(0)])
    step = round_step((most - least) / (LINES_MOST - 1) or Decimal(1))
    low, high = floor(least, step), -floor(-most, step)
    high = high if high > low else step
    return low, high, [low + step * count for count in range(int((high - low) / step) + 1)]


def floor(value: Decimal, step: Decimal) -> Decimal:
    whole = value // step * step
    return whole - step if whole > value else whole


def round_step(value: Decimal) -> Decimal:
    """The next round number: 0.0031 -> 0.005."""
    power = Decimal(1).scaleb(value.adjusted())
    return next(one * power for one in STEPS if one * power >= value)


def thousands(largest: Decimal) -> int:
    """The power of ten, in steps of three, in which the axis counts, so that its labels stay short."""
    if not largest or Decimal("0.001") <= largest < 100_000:
        return 0
    return largest.adjusted() // 3 * 3


def unit_of(asset: str, power: int) -> str:
    """ "USDT", "million USDT", "10^24 USDT"."""
    return f"{THOUSANDS[power]}{asset}" if power in THOUSANDS else f"10^{power} {asset}"


def down(value: Decimal, low: Decimal, high: Decimal) -> str:
    return tenths((high - value) * HEIGHT / (high - low))


def across(place: int, count: int) -> str:
    return tenths(Decimal(place) * ACROSS / count)


def tenths(value: Decimal) -> str:
    return plain(value.quantize(TENTH, ROUND_HALF_UP))


def runs(known: Sequence[bool]) -> Iterator[range]:
    """The places that lie together."""
    start = 0
    for place in range(len(known) + 1):
        if place == len(known) or not known[place]:
            if place > start:
                yield range(start, place)
            start = place + 1


def area(spans: Sequence[Span | None], low: Decimal, high: Decimal) -> str:
    """The outline of a layer, a step for each moment; where it is not known there is none of it."""
    count, found = len(spans), []
    for run in runs([one is not None for one in spans]):
        ends = [(place, spans[place] or (Decimal(0), Decimal(0))) for place in run]
        there = [f"V{down(to, low, high)}H{across(place + 1, count)}" for place, (_, to) in ends]
        back = [f"V{down(base, low, high)}H{across(place, count)}" for place, (base, _) in reversed(ends)]
        found.append(f"M{across(run[0], count)} {down(ends[0][1][0], low, high)}{''.join([*there, *back])}Z")
    return "".join(found)


def outline(totals: Sequence[Decimal | None], low: Decimal, high: Decimal) -> str:
    """The line of the sum, wherever all of it is known."""
    count, found = len(totals), []
    for run in runs([one is not None for one in totals]):
        steps = [f"V{down(of(totals[place]), low, high)}H{across(place + 1, count)}" for place in run]
        found.append(f"M{across(run[0], count)} {down(of(totals[run[0]]), low, high)}{''.join(steps)}")
    return "".join(found)


def gaps(unknown: Sequence[bool]) -> list[tuple[str, str]]:
    count = len(unknown)
    return [(across(run[0], count), across(len(run), count)) for run in runs(unknown)]


def calendar(moments: Sequence[datetime], days: int) -> list[Tick]:
    """Round moments of UTC, in per cent of the width; none so near to an end that its words would stand out."""
    apart = APART[days]
    began = moments[0] - (moments[-1] - moments[0]) / max(len(moments) - 1, 1)
    length = moments[-1] - began
    at = began.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    found = []
    while at <= moments[-1]:
        share = Decimal((at - began) // timedelta(seconds=1)) * 100 / Decimal(length // timedelta(seconds=1))
        if 4 <= share <= 96:
            text = f"{at:%H:%M}" if days == 1 else f"{at.day} {at:%b}"
            found.append(Tick(f"{tenths(share)}%", text))
        at += apart
    return found


# -- words ---------------------------------------------------------------------------------------------------


def words(asset: str, rows: Sequence[Row], venues: Sequence[Venue], days: int) -> str:
    """The drawing in a sentence or two."""
    known = [row for row in rows if row.total is not None]
    if not known:
        return f"At no moment of these {OVER[days]} is it known of every venue how much {asset} it held."
    first, last = known[0], known[-1]
    partly = [one.title for one in venues if one.in_part]
    said = [course(f"What is known of {asset}" if partly else asset, first, last, rows, days)]
    if most := where(last, rows, venues):
        said.append(most)
    more = f" Not all that lies at {', '.join(partly)} is known." if partly else ""
    return f"{'; '.join(said)}.{more}"


def course(asset: str, first: Row, last: Row, rows: Sequence[Row], days: int) -> str:
    begun, ended = of(first.total), of(last.total)
    moved = "rose" if ended > begun else "fell"
    over = f"over {OVER[days]}"
    if first is not rows[0] or last is not rows[-1]:
        over = (
            f"between {to_the_minute(first.at)} and {to_the_minute(last.at)}, outside of which some venue is not known"
        )
    if begun == ended:
        return f"{asset} is at {grouped(ended)}, as it was at the beginning, {over}"
    return f"{asset} {moved} from {grouped(begun)} to {grouped(ended)} {over}"


def where(last: Row, rows: Sequence[Row], venues: Sequence[Venue]) -> str:
    """ "most is at Spot (60 %)"; empty where there is nothing, or debts that make shares meaningless."""
    place, total = rows.index(last), of(last.total)
    held = [(of(one.totals[place]), one.title) for one in venues]
    if total <= 0 or any(amount < 0 for amount, _ in held):
        return ""
    amount, title = max(held)
    share = amount * 100 / total
    if share == 100:
        return f"all of it is at {title}"
    per_cent = min(max(share.to_integral_value(ROUND_HALF_UP), Decimal(1)), Decimal(99))
    return f"{'most' if share > 50 else 'the largest part'} is at {title} ({plain(per_cent)} %)"
