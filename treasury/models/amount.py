"""Money columns: exact, signed, wide enough for 10^24 whole units with 18 decimals."""

from __future__ import annotations

import re
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
TYPED_DIGITS = 24  # before the point, of what people type: sums of many of them still fit


def fits(amount: Decimal) -> bool:
    """Whether the columns hold it exactly."""
    exponent = amount.as_tuple().exponent
    return isinstance(exponent, int) and amount.adjusted() < WHOLE_DIGITS and (exponent >= -DECIMALS or not amount)


class NotPlain(ValueError):
    """The text is no plain decimal. The text of this says what is wrong with it."""


def parsed(text: str, *, what: str = "it", whole_digits: int = TYPED_DIGITS, signed: bool = False) -> Decimal:
    """A plain decimal as people type it, exactly; of at least 0 unless ``signed``. Raises NotPlain, which calls the
    number ``what``."""
    typed = text.strip()
    if "," in typed:
        raise NotPlain(f"Write {what} without commas, with a point before the decimals: 1234.5.")
    digits = typed.removeprefix("-")
    if digits != typed and not signed:
        raise NotPlain("It cannot be less than 0.")
    if re.fullmatch(r"[0-9.]+[eE][-+]?[0-9]+", digits):
        raise NotPlain(f"Write {what} out in digits, without an exponent.")
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", digits):
        raise NotPlain(f"Write {what} in digits, with a point before the decimals: 1234.5.")
    whole, _, decimals = digits.partition(".")
    if len(whole.lstrip("0")) > whole_digits or len(decimals.rstrip("0")) > DECIMALS:
        raise NotPlain(f"At most {whole_digits} digits before the point and {DECIMALS} after it.")
    return Decimal(typed.rstrip("0") if decimals else typed)


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


def counted(count: int, noun: str) -> str:
    """ "1 account", "3 accounts"."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def plain(amount: Decimal) -> str:
    """The amount as a plain decimal string: no exponent, no trailing zeros, no grouping ("12.5", "0", "1000")."""
    text = format(amount, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text
