"""Money columns: exact, signed, wide enough for 10^24 whole units with 18 decimals."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django.db import models

if TYPE_CHECKING:  # generic for the type checker alone
    DecimalField = models.DecimalField[Any, Any]
else:
    DecimalField = models.DecimalField


class AmountField(DecimalField):
    """numeric(48,18)."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("max_digits", 48)
        options.setdefault("decimal_places", 18)
        super().__init__(**options)


WHOLE_DIGITS, DECIMALS = 30, 18


def fits(amount: Decimal) -> bool:
    """Whether the columns hold it exactly."""
    exponent = amount.as_tuple().exponent
    return isinstance(exponent, int) and amount.adjusted() < WHOLE_DIGITS and (exponent >= -DECIMALS or not amount)


NARROW_SPACE = "\u202f"
MINUS = "\u2212"


def grouped(amount: Decimal) -> str:
    """The amount as people read it: "12 345.678", U+202F (no line breaks there) between groups
    of three, all its decimals, no exponent."""
    whole, point, decimals = plain(amount.copy_abs()).partition(".")
    groups = f"{int(whole):,}".replace(",", NARROW_SPACE)
    return f"{MINUS if amount < 0 else ''}{groups}{point}{decimals}"


def signed(amount: Decimal) -> str:
    """A change as people read it: "+12.5", "−12.5", "0"."""
    return f"+{grouped(amount)}" if amount > 0 else grouped(amount)


def plain(amount: Decimal) -> str:
    """The amount as a plain decimal string: no exponent, no trailing zeros, no grouping ("12.5", "0", "1000")."""
    text = format(amount, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text
