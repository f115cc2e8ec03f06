"""What a proposal would change of a band, in words: what was, and what it becomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from treasury.controls.wanted import COLUMNS, Terms, terms_from
from treasury.models import Direction, Unit
from treasury.models.amount import grouped
from treasury.rebalancing.feasible import Limits, Outlook

LABELS: Mapping[str, str] = {
    "unit": "measured in",
    "minimum": "minimum",
    "target": "target",
    "maximum": "maximum",
    "floor": "floor",
    "smallest": "smallest transfer",
    "largest": "largest transfer",
    "direction": "direction",
}
NONE = "none"
OF_THE_GROUP = ("minimum", "target", "maximum")  # in percent where the band is of shares


def sentence(row: Mapping[str, Any]) -> str:
    """One row of a proposal: "First desk · Funding (FUND), USDT: minimum 100 becomes 200."."""
    whose = f"{row['connection']} · {row['title']} ({row['address']}), {row['asset']}"
    is_now, was = terms_from(row), terms_from(row["was"]) if row["was"] else None
    if row["removed"]:
        return f"{whose}: the band is removed; it was {whole(is_now)}."
    if was is None:
        return f"{whose}: a new band, {whole(is_now)}."
    changed = [name for name in COLUMNS if getattr(was, name) != getattr(is_now, name)]
    if "unit" in changed:  # the same figure means something else then
        changed += [name for name in OF_THE_GROUP if name not in changed]
    told = [f"{LABELS[name]} {shown(was, name)} becomes {shown(is_now, name)}" for name in COLUMNS if name in changed]
    return f"{whose}: {'; '.join(told)}."


def whole(terms: Terms) -> str:
    """All that a band says."""
    said = [f"{LABELS[name]} {shown(terms, name)}" for name in OF_THE_GROUP]
    if terms.floor:
        said.append(f"floor {shown(terms, 'floor')}")
    said += [f"{LABELS[name]} {shown(terms, name)}" for name in ("smallest", "largest") if getattr(terms, name)]
    return ", ".join([*said, shown(terms, "direction")])


def shown(terms: Limits, name: str) -> str:
    value = getattr(terms, name)
    if name == "unit":
        return str(Unit(value).label)
    if name == "direction":
        return str(Direction(value).label).lower()
    if value is None:
        return "no limit" if name == "maximum" else NONE
    return f"{grouped(value)} %" if name in OF_THE_GROUP and terms.unit == Unit.SHARE else grouped(value)


def limits_of(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[int, str], Limits | None]:
    """The rows of a proposal, as ``feasible.outlooks`` takes them."""
    return {(row["account"], row["asset"]): None if row["removed"] else terms_from(row) for row in rows}


def foretold(outlooks: Sequence[Outlook]) -> list[str]:
    """What is to be said of groups that cannot be met, or of which that is not known."""
    return [one.unmet or unread(one) for one in outlooks if one.unmet or one.unread]


def unread(outlook: Outlook) -> str:
    named = ", ".join(outlook.unread)
    return (
        f"What {named} of {outlook.connection} holds of {outlook.asset} is not known now, so whether all of its bands "
        "can be met is not known either."
    )
