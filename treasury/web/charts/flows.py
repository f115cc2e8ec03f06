"""A plan as flows: what gives on the left, what takes on the right, bands as wide as the amounts. Pure reckoning.

The drawing is as high as its content needs, in pixels, and as wide as the screen: heights are true, the curves between
them are stretched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from treasury.models.amount import counted, grouped

TALLEST = Decimal(150)  # pixels, of all bands of one side together
EACH = Decimal(40)  # pixels for each of them where there are few
THINNEST = Decimal(2)  # a band that is thinner is not seen
SLOT = Decimal(18)  # pixels that a band takes at least, so that its number has room beside it
LABEL = 36  # pixels above a block: the account's name and its sum
GAP = 14  # pixels below a block
NAME_LENGTH = 22
ACROSS = 100  # the width of the curves' own grid


@dataclass(frozen=True)
class Flow:
    """One transfer to draw: its number in the order of sending, from, to, and the amount in units of the asset."""

    number: int
    source: str
    destination: str
    amount: Decimal


@dataclass(frozen=True)
class Block:
    """An account on one side: where its label and its block stand, and what it gives or takes."""

    title: str
    short: str
    total: Decimal
    label_y: int
    sum_y: int
    y: int
    height: int


@dataclass(frozen=True)
class Band:
    """A transfer between two blocks. ``path`` on a grid ACROSS units wide; its number is written at ``mark_y``."""

    flow: Flow
    path: str
    mark_y: int
    dot_y: int


@dataclass(frozen=True)
class Drawing:
    asset: str
    height: int
    givers: list[Block]
    takers: list[Block]
    bands: list[Band]
    words: str


def drawing(flows: Sequence[Flow], *, asset: str) -> Drawing | None:
    """None where nothing flows."""
    if not flows:
        return None
    most = max(one.amount for one in flows)
    total = sum((one.amount for one in flows), Decimal(0))
    tall = min(TALLEST, EACH * len(flows))
    thick = {one.number: max(THINNEST, one.amount * tall / total) for one in flows}
    givers, left = side(flows, thick, giving=True)
    takers, right = side(flows, thick, giving=False)
    bands = [band(one, left[one.number], right[one.number], thick[one.number]) for one in flows]
    height = max(end_of(givers), end_of(takers))
    return Drawing(asset, height, givers, takers, bands, words(flows, asset, total, most))


def side(flows: Sequence[Flow], thick: dict[int, Decimal], *, giving: bool) -> tuple[list[Block], dict[int, Decimal]]:
    """The blocks of one side, those with the most on top, and the middle of each band at its block."""
    sums: dict[str, Decimal] = {}
    for one in flows:
        name = one.source if giving else one.destination
        sums[name] = sums.get(name, Decimal(0)) + one.amount
    blocks, middles, y = [], {}, 0
    for name in sorted(sums, key=lambda one: (-sums[one], one)):
        top = at = Decimal(y + LABEL)
        for one in flows:
            if name == (one.source if giving else one.destination):
                slot = max(thick[one.number], SLOT)
                middles[one.number] = at + slot / 2
                at += slot
        height = pixels(at - top)
        blocks.append(Block(name, shortened(name), sums[name], y + 13, y + 29, y + LABEL, height))
        y += LABEL + height + GAP
    return blocks, middles


def end_of(blocks: Sequence[Block]) -> int:
    return blocks[-1].y + blocks[-1].height + 2


def band(flow: Flow, left: Decimal, right: Decimal, thick: Decimal) -> Band:
    half, middle = thick / 2, ACROSS // 2
    tops = [tenths(one - half) for one in (left, right)]
    ends = [tenths(one + half) for one in (left, right)]
    path = (
        f"M0 {tops[0]}C{middle} {tops[0]} {middle} {tops[1]} {ACROSS} {tops[1]}V{ends[1]}"
        f"C{middle} {ends[1]} {middle} {ends[0]} 0 {ends[0]}Z"
    )
    return Band(flow, path, pixels(left) + 4, pixels(left))


def shortened(name: str) -> str:
    return name if len(name) <= NAME_LENGTH else f"{name[: NAME_LENGTH - 1].rstrip()}…"


def pixels(value: Decimal) -> int:
    return int(value.to_integral_value(ROUND_HALF_UP))


def tenths(value: Decimal) -> str:
    return str(value.quantize(Decimal("0.1"), ROUND_HALF_UP))


def words(flows: Sequence[Flow], asset: str, total: Decimal, most: Decimal) -> str:
    """The drawing in words; the table beneath names each."""
    (givers, takers) = ({one.source for one in flows}, {one.destination for one in flows})
    if len(flows) == 1:
        (one,) = flows
        return f"One transfer: {grouped(one.amount)} {asset} from {one.source} to {one.destination}."
    return (
        f"{len(flows)} transfers of {grouped(total)} {asset} together, from {counted(len(givers), 'account')} "
        f"to {counted(len(takers), 'account')}; the largest is {grouped(most)} {asset}."
    )
