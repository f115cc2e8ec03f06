"""What something is worth in the reporting currency, by the reference prices that people entered.

What has no price is not valued, which is never 0. Products and sums are exact; only what a page shows is rounded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal

from django.conf import settings

from treasury.balances import prices
from treasury.models import Price

# An amount has 48 digits at most, and so has a price: their product has 96, and a sum of many of them a few more.
EXACT = Context(prec=128, rounding=ROUND_HALF_EVEN)
CENT = Decimal("0.01")
BY_DEFINITION = "the reporting currency itself"


@dataclass(frozen=True)
class Worth:
    """``value`` of an amount, exact, in the reporting currency; by which ``price`` of one unit, of when, told by whom.
    ``stale``: the price is older than the house's limit."""

    value: Decimal
    price: Decimal
    as_of: datetime
    source: str
    stale: bool

    @property
    def by_definition(self) -> bool:
        return self.source == BY_DEFINITION


@dataclass
class Total:
    """A sum in the reporting currency, of what could be valued: ``counted`` amounts, and without any it is a 0 only if
    it is whole. ``not_valued``: assets without a price; ``not_known``: assets of which some amount is not known.
    ``oldest``: as of when the oldest price in it is, None where no price was needed; ``stale``: one of them is."""

    value: Decimal = Decimal(0)
    counted: int = 0
    not_valued: list[str] = field(default_factory=list)
    not_known: list[str] = field(default_factory=list)
    oldest: datetime | None = None
    stale: bool = False

    @property
    def whole(self) -> bool:
        """Whether nothing is missing in it."""
        return not self.not_valued and not self.not_known

    @property
    def is_valued(self) -> bool:
        """Whether ``value`` says anything: a sum of nothing but gaps is no 0."""
        return self.counted > 0 or self.whole


def worth(asset: str, amount: Decimal, at: datetime, prices: Mapping[str, Price] | None = None) -> Worth | None:
    """What the amount was worth at that moment; None: not valued. ``prices`` as ``prices_at`` gives them, read once
    for many amounts; a price of after ``at`` is not used."""
    code = asset.upper()
    if code == settings.REPORTING_CURRENCY:
        return Worth(amount, Decimal(1), at, BY_DEFINITION, stale=False)
    price = (prices_at(at) if prices is None else prices).get(code)
    if price is None or price.as_of > at:
        return None
    value = EXACT.multiply(amount, price.price)
    return Worth(value, price.price, price.as_of, price.source, is_stale(price, at))


def prices_at(at: datetime) -> dict[str, Price]:
    """The price of each asset in the reporting currency that counts at that moment, by the asset in capitals."""
    return {one.asset: one for one in prices.newest(at)}


def is_stale(price: Price, at: datetime) -> bool:
    return bool(at - price.as_of > settings.PRICE_STALE_AFTER)


def total(
    holdings: Iterable[tuple[str, Decimal | None]], at: datetime, prices: Mapping[str, Price] | None = None
) -> Total:
    """The sum of (asset, amount) pairs, an amount being None where it is not known. Amounts may be negative, and so
    may the sum. Nothing of an asset is worth nothing, whether it has a price or not."""
    known = prices_at(at) if prices is None else prices
    found = Total()
    for asset, amount in holdings:
        add(found, asset.upper(), amount, at, known)
    return found


def add(found: Total, asset: str, amount: Decimal | None, at: datetime, prices: Mapping[str, Price]) -> None:
    if amount is None:
        found.not_known = sorted({*found.not_known, asset})
    elif amount:
        value = worth(asset, amount, at, prices)
        if value is None:
            found.not_valued = sorted({*found.not_valued, asset})
            return
        found.value = EXACT.add(found.value, value.value)
        found.counted += 1
        found.stale = found.stale or value.stale
        if not value.by_definition:
            found.oldest = min(found.oldest or value.as_of, value.as_of)


def rounded(value: Decimal) -> Decimal:
    """As pages show it, to two decimals: half to even, so that many roundings do not add up."""
    return value.quantize(CENT, context=EXACT)
