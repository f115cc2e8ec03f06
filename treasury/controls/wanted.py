"""A band as somebody wants it: texts as typed, read cell by cell into exact numbers, or into sentences of why not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from treasury.models import Account, Band, Direction, Unit
from treasury.models.amount import NotPlain, parsed, plain

WHOLE = Decimal(100)  # percent: what all accounts of a group hold together
NUMBERS = ("minimum", "target", "maximum", "floor", "smallest", "largest")
COLUMNS = ("unit", *NUMBERS, "direction")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What somebody typed. An empty ``maximum`` is no limit, an empty ``floor`` is 0, and an empty ``smallest`` or
    ``largest`` is no size. With ``removed`` there is to be no band, and the rest says nothing."""

    account: Account
    asset: str
    removed: bool = False
    unit: str = Unit.AMOUNT.value
    minimum: str = ""
    target: str = ""
    maximum: str = ""
    floor: str = ""
    smallest: str = ""
    largest: str = ""
    direction: str = Direction.BOTH.value

    @property
    def key(self) -> tuple[int, str]:
        return self.account.pk, self.asset


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What a band says. ``minimum``, ``target`` and ``maximum`` in the asset or in percent of the group, as ``unit``
    says; ``floor``, ``smallest`` and ``largest`` always in the asset. None: no limit."""

    unit: str
    minimum: Decimal
    target: Decimal
    maximum: Decimal | None
    floor: Decimal
    smallest: Decimal | None
    largest: Decimal | None
    direction: str

    def words(self) -> dict[str, str | None]:
        """As a proposal, the log and the database compare it: plain decimal strings, null for no limit."""
        numbers = {name: getattr(self, name) for name in NUMBERS}
        told = {name: None if number is None else plain(number) for name, number in numbers.items()}
        return {"unit": str(self.unit), **told, "direction": str(self.direction)}


def terms_of(band: Band) -> Terms:
    return Terms(**{name: getattr(band, name) for name in COLUMNS})


def terms_from(words: Mapping[str, Any]) -> Terms:
    """The terms that ``Terms.words`` told."""
    numbers = {name: None if words[name] is None else Decimal(words[name]) for name in NUMBERS}
    return Terms(unit=words["unit"], direction=words["direction"], **numbers)  # type: ignore[arg-type]  # as told


def as_typed(terms: Terms) -> dict[str, str]:
    """The terms as a form or a file shows them: empty for no limit."""
    return {name: value or "" for name, value in terms.words().items()}


def read(wanted: Wanted) -> tuple[Terms | None, dict[str, str]]:
    """The terms, or None with {column: sentence}."""
    problems: dict[str, str] = {}
    if wanted.unit not in Unit.values:
        problems["unit"] = f"Write {listed(Unit.values)}."
    if wanted.direction not in Direction.values:
        problems["direction"] = f"Write {listed(Direction.values)}."
    numbers: dict[str, Decimal | None] = {}
    for name in NUMBERS:
        try:
            typed = getattr(wanted, name).strip()
            numbers[name] = parsed(typed) if typed else None
        except NotPlain as wrong:
            problems[name] = str(wrong)
    for name in ("minimum", "target"):
        if name not in problems and numbers[name] is None:
            problems[name] = f"Enter a {name}; 0 is a number too."
    if problems:
        return None, problems
    numbers["floor"] = numbers["floor"] or Decimal(0)
    terms = Terms(unit=wanted.unit, direction=wanted.direction, **numbers)  # type: ignore[arg-type]  # checked above
    problems = {column: sentence for column, wrong, sentence in ORDER if wrong(terms)}
    return (None, problems) if problems else (terms, {})


def shares_pass(name: str) -> Callable[[Terms], bool]:
    def passes(terms: Terms) -> bool:
        share = getattr(terms, name)
        return terms.unit == Unit.SHARE and share is not None and bool(share > WHOLE)

    return passes


# What must hold between the cells, as the database insists too: (column that says so, when it is wrong, sentence).
ORDER: tuple[tuple[str, Callable[[Terms], bool], str], ...] = (
    ("target", lambda one: one.target < one.minimum, "The target must not be less than the minimum."),
    (
        "maximum",
        lambda one: one.maximum is not None and one.maximum < one.target,
        "The maximum must not be less than the target.",
    ),
    *((name, shares_pass(name), "A share is at most 100 % of the group.") for name in NUMBERS[:3]),
    ("smallest", lambda one: one.smallest == 0, "The smallest transfer must be more than 0; leave it empty for none."),
    ("largest", lambda one: one.largest == 0, "The largest transfer must be more than 0; leave it empty for none."),
    (
        "largest",
        lambda one: one.smallest is not None and one.largest is not None and 0 < one.largest < one.smallest,
        "The largest transfer must not be less than the smallest.",
    ),
)


def listed(values: list[str]) -> str:
    return f"{', '.join(values[:-1])} or {values[-1]}"
