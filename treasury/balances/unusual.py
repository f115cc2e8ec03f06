"""What is unusual about a price that is to be entered: whoever enters it says first that it is right all the same."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import TYPE_CHECKING

from treasury.models import Price
from treasury.models.amount import NARROW_SPACE, grouped, signed

if TYPE_CHECKING:
    from treasury.balances.prices import Said

CHANGE_MOST = Decimal(20)  # percent, either way; more of it is more often a slip than a market
DIGITS = 100  # enough for any price that a column holds beside any other


class NotSure(Exception):
    """Something about it is unusual, and nobody has said that it is right. Nothing was entered."""

    def __init__(self, warnings: Sequence[str]) -> None:
        super().__init__(" ".join(("Nothing was entered.", *warnings)))
        self.warnings = list(warnings)


def change_of(said: Said, before: Price | None) -> Decimal | None:
    """By how many percent it differs from the newest price, to a tenth; None where there is none."""
    if before is None:
        return None
    with localcontext(prec=DIGITS):
        change: Decimal = (said.price - before.price) * 100 / before.price
        return change.quantize(Decimal("0.1"), ROUND_HALF_EVEN)


def warnings_of(said: Said, before: Price | None, held: Collection[str]) -> list[str]:
    """What a person should look at once more; ``held``: the assets that we hold, in capitals."""
    found = []
    change = change_of(said, before)
    if before is not None and change is not None and abs(change) > CHANGE_MOST:
        percent = f"{signed(change)}{NARROW_SPACE}%"
        found.append(f"That is {percent} against the newest price of {said.asset}, {grouped(before.price)}.")
    if said.asset not in held:
        found.append(f"No account holds {said.asset}.")
    return found


def insist(warnings: Sequence[str], *, sure: bool) -> None:
    """Raises NotSure."""
    if warnings and not sure:
        raise NotSure(warnings)
