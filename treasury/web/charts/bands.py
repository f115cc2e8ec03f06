"""Band bars: where accounts stand in their bands, all bars of one chart on one scale. Pure reckoning.

Places are percentages of the chart's width, as texts, so that a bar fits any screen and its dots stay round. They
are for the eye alone; the exact amounts stand in the words and in the table.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal

from treasury.models.amount import grouped

TOPS = tuple(Decimal(one) for one in ("1", "1.2", "1.5", "2", "2.5", "3", "4", "5", "6", "8", "10"))
HUNDREDTH = Decimal("0.01")
CUT_FROM = Decimal("0.8")  # where all that is shown lies above this part of the largest, the scale does not begin at 0


@dataclass(frozen=True)
class Place:
    """One account, or one asset, as it is to be drawn; amounts in units of the asset, None where not known.

    ``maximum`` None is no maximum where the minimum is known. ``after`` is None where nothing is to change.
    """

    name: str
    title: str
    minimum: Decimal | None
    target: Decimal | None
    maximum: Decimal | None
    now: Decimal | None
    after: Decimal | None = None

    @property
    def then(self) -> Decimal | None:
        """What it holds in the end, changed or not."""
        return self.now if self.after is None else self.after


@dataclass(frozen=True)
class Bar:
    """What is drawn for one place. ``band``: where it begins and how wide it is; each mark None where not known."""

    place: Place
    band: tuple[str, str] | None
    endless: bool
    target: str | None
    now: str | None
    after: str | None
    outside: bool
    words: str


@dataclass(frozen=True)
class Chart:
    """Bars of one asset on one scale, from ``low`` to ``high`` in units of the asset."""

    asset: str
    low: Decimal
    high: Decimal
    bars: list[Bar]

    @property
    def has_after(self) -> bool:
        return any(one.after is not None for one in self.bars)

    @property
    def has_endless(self) -> bool:
        return any(one.endless for one in self.bars)


def chart(places: Sequence[Place], *, asset: str, then: str) -> Chart:
    """The bars of these places. ``then`` says when ``after`` is: "after the plan"."""
    low, high = scale(one for place in places for one in numbers(place))
    return Chart(asset, low, high, [bar(place, low, high, asset, then) for place in places])


def numbers(place: Place) -> list[Decimal]:
    told = (place.minimum, place.target, place.maximum, place.now, place.after)
    return [one for one in told if one is not None]


def scale(shown: Iterable[Decimal]) -> tuple[Decimal, Decimal]:
    """Round ends that hold all that is shown. From 0, unless all of it lies far above, or some of it below."""
    values = list(shown)
    least, most = min(values, default=Decimal(0)), max(values, default=Decimal(0))
    if least < 0:
        return -rounded_up(-least), rounded_up(max(most, Decimal(0)))
    if least == most or least < most * CUT_FROM:
        return Decimal(0), rounded_up(most)
    step = rounded_up((most - least) / 4)  # a narrow band far from 0 would be a line
    return (least // step) * step, (most // step + 1) * step


def rounded_up(value: Decimal) -> Decimal:
    """The next round number: 0 -> 1, 487 -> 500, 0.0031 -> 0.004."""
    if value <= 0:
        return Decimal(1)
    power = Decimal(1).scaleb(value.adjusted())
    return next(top * power for top in TOPS if top * power >= value)


def bar(place: Place, low: Decimal, high: Decimal, asset: str, then: str) -> Bar:
    def at(value: Decimal | None) -> str | None:
        return None if value is None else percent(value, low, high)

    band = None
    if place.minimum is not None:
        most = high if place.maximum is None else place.maximum
        band = percent(place.minimum, low, high), percent(most - place.minimum, Decimal(0), high - low)
    return Bar(
        place=place,
        band=band,
        endless=band is not None and place.maximum is None,
        target=at(place.target),
        now=at(place.now),
        after=at(place.after),
        outside=bool(distance(place.now, place.minimum, place.maximum)),
        words=words(place, asset, then),
    )


def percent(value: Decimal, low: Decimal, high: Decimal) -> str:
    share = (value - low) * 100 / (high - low)
    return f"{share.quantize(HUNDREDTH, ROUND_DOWN)}%"


def distance(held: Decimal | None, minimum: Decimal | None, maximum: Decimal | None) -> Decimal | None:
    """How far outside the band: below it negative, above it positive, 0 inside; None where that is not known."""
    if held is None or minimum is None:
        return None
    if held < minimum:
        return held - minimum
    return held - maximum if maximum is not None and held > maximum else Decimal(0)


def off_in_words(off: Decimal | None) -> str:
    """ "120.5 below its minimum", "3 above its maximum", "inside its band", "not known"."""
    if off is None:
        return "not known"
    if off == 0:
        return "inside its band"
    return f"{grouped(-off)} below its minimum" if off < 0 else f"{grouped(off)} above its maximum"


def words(place: Place, asset: str, then: str) -> str:
    """The bar in words, for whoever does not see it."""
    if place.minimum is None or place.target is None:
        band = "Its band is not known in amounts."
    else:
        upto = "with no maximum" if place.maximum is None else f"to {grouped(place.maximum)}"
        band = f"Band {grouped(place.minimum)} {upto}, target {grouped(place.target)}."
    if place.now is None:
        return f"What it holds is not known. {band}"
    said = f"It holds {grouped(place.now)} {asset}"
    now = distance(place.now, place.minimum, place.maximum)
    if now is not None:
        said += f", {off_in_words(now)}"
    if place.after is None:
        return f"{said}. {band}"
    after = distance(place.after, place.minimum, place.maximum)
    stands = f", {off_in_words(after)}" if after is not None else ""
    return f"{said}. {band} {then[0].upper()}{then[1:]}: {grouped(place.after)}{stands}."
