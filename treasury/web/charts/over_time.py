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
CLOSE = tuple(timedelta(minutes=one) for one in (1, 2, 5, 10, 15, 30, 60, 120, 240, 480, 1440))
TICKS_MOST = 8
A_DAY = timedelta(days=1)
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

    @property
    def nothing_known(self) -> bool:
        """Whether there is nothing to say "at least" of."""
        return self.total is None and not self.known


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


def drawing(
    venues: Iterable[Venue],
    *,
    asset: str,
    moments: Sequence[datetime],
    days: int,
    since: datetime | None = None,
    now: datetime | None = None,
) -> Drawing | None:
    """None where nothing was held and nothing is unknown. ``since``: so short a part of the asked days is known that
    the moments begin there; ``now`` tells today from other days."""
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
        title=f"{asset} {f'since {clock(since, now)}' if since else f'over {OVER[days]}'}, by venue",
        unit=unit_of(asset, power),
        layers=[Layer(n, one, area(stacks[told.index(one)], low, high)) for n, one in enumerate(drawn, start=1)],
        total=outline([row.total for row in rows], low, high),
        gaps=gaps([row.total is None for row in rows]),
        lines=[Tick(down(value, low, high), grouped(value.scaleb(-power))) for value in lines],
        days=calendar(moments, days, short=since is not None),
        zero=down(Decimal(0), low, high),
        words=words(asset, rows, told, days, since, now),
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


def calendar(moments: Sequence[datetime], days: int, *, short: bool = False) -> list[Tick]:
    """Round moments of UTC, in per cent of the width; none so near to an end that its words would stand out."""
    apart = APART[days]
    began = moments[0] - (moments[-1] - moments[0]) / max(len(moments) - 1, 1)
    length = moments[-1] - began
    if short:
        apart = next((one for one in CLOSE if length / one <= TICKS_MOST), apart)
    at = began.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    found = []
    while at <= moments[-1]:
        share = Decimal((at - began) // timedelta(seconds=1)) * 100 / Decimal(length // timedelta(seconds=1))
        if 4 <= share <= 96:
            text = f"{at:%H:%M}" if apart < A_DAY else f"{at.day} {at:%b}"
            found.append(Tick(f"{tenths(share)}%", text))
        at += apart
    return found


# -- words ---------------------------------------------------------------------------------------------------


def words(
    asset: str,
    rows: Sequence[Row],
    venues: Sequence[Venue],
    days: int,
    since: datetime | None,
    now: datetime | None,
) -> str:
    """The drawing in a sentence or two."""
    known = [row for row in rows if row.total is not None]
    if not known:
        return f"At no moment of these {OVER[days]} is it known of every venue how much {asset} it held."
    first, last = known[0], known[-1]
    begins = clock(since if since and first is rows[0] else first.at, now) if since or first is not rows[0] else ""
    ends = clock(last.at, now) if last is not rows[-1] else ""
    partly = [one.title for one in venues if one.in_part]
    name = f"What is known of {asset}" if partly else asset
    said = [course(name, of(first.total), of(last.total), begins, ends, OVER[days])]
    if most := where(last, rows, venues):
        said.append(most)
    more = [f"Not all that lies at {', '.join(partly)} is known."] if partly else []
    more += [beyond(begins, ends)] if (begins or ends) and not since else []
    more += [f"Of these {OVER[days]} no more is known, and no more is drawn."] if since else []
    return " ".join([f"{'; '.join(said)}.", *more])


def course(name: str, begun: Decimal, ended: Decimal, begins: str, ends: str, whole: str) -> str:
    """ "USDT rose from 2 to 3 over 24 hours", "USDT is at 3 (known since 18:50 UTC today)"; ``begins`` and ``ends`` say
    from when to when it is known, empty where that is the whole time."""
    between = " ".join([*([f"since {begins}"] if begins else []), *([f"until {ends}"] if ends else [])])
    if begun != ended:
        moved = "rose" if ended > begun else "fell"
        return f"{name} {moved} from {grouped(begun)} to {grouped(ended)} {between or f'over {whole}'}"
    if between:
        return f"{name} {'was' if ends else 'is'} at {grouped(ended)} (known {between})"
    return f"{name} is at {grouped(ended)}, as it was at the beginning, over {whole}"


def beyond(begins: str, ends: str) -> str:
    when = "Before and after that" if begins and ends else "Before that" if begins else "After that"
    return f"{when}, some venue is not known."


def clock(at: datetime, now: datetime | None) -> str:
    """ "18:50 UTC today", "20 Nov 2026, 18:50 UTC"."""
    today = now is not None and at.astimezone(UTC).date() == now.astimezone(UTC).date()
    return f"{at.astimezone(UTC):%H:%M} UTC today" if today else to_the_minute(at)


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
