"""Two versions of a policy, side by side: pure reckoning. Rules are told apart by their names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from treasury.controls import rules_in_words
from treasury.controls.rulebook import Rule, Rulebook
from treasury.models.amount import grouped


@dataclass(frozen=True)
class Side:
    """A rule as one version has it; ``place`` is its number there, from 1."""

    place: int
    name: str
    when: str
    demands: str
    expires: str


@dataclass(frozen=True)
class RuleChange:
    """``what``: added, removed, changed, renamed or moved. ``was`` is None of one added, ``becomes`` of one removed."""

    what: str
    was: Side | None
    becomes: Side | None

    @property
    def name(self) -> str:
        side = self.becomes or self.was
        assert side is not None
        return side.name

    @property
    def sentence(self) -> str:
        if self.becomes is None or self.was is None:
            side = self.becomes or self.was
            assert side is not None
            how = "is new, at" if self.was is None else "is gone; it was at"
            return f"“{side.name}” {how} place {side.place}: {side.when}: {side.demands}."
        told = []
        if self.was.name != self.becomes.name:
            told.append(f"was called “{self.was.name}”")
        for label, before, after in (
            ("it covers", self.was.when, self.becomes.when),
            ("it asks for", self.was.demands, self.becomes.demands),
            ("it expires after", self.was.expires or "—", self.becomes.expires or "—"),
        ):
            if before != after:
                told.append(f"{label} “{after}” instead of “{before}”")
        if self.what == "moved":
            told.append(f"it moves from place {self.was.place} to place {self.becomes.place}")
        return f"“{self.becomes.name}”: {'; '.join(told)}."


@dataclass(frozen=True)
class Difference:
    """What a version changes, and which of its rules can never decide, each with the rule that always does before it.
    ``others``: limits, floors and the currency, in sentences."""

    rules: list[RuleChange]
    others: list[str]
    shadowed: list[tuple[str, str]]

    @property
    def is_nothing(self) -> bool:
        return not self.rules and not self.others

    @property
    def warnings(self) -> list[str]:
        return [never(name, by) for name, by in self.shadowed]

    @property
    def sentences(self) -> list[str]:
        return [*(one.sentence for one in self.rules), *self.others]


def between(before: Rulebook, after: Rulebook) -> Difference:
    return Difference(
        rules=[*changed(before, after)],
        others=[*of_limits(before, after), *of_floors(before, after), *of_currency(before, after)],
        shadowed=shadowed(after),
    )


def changed(before: Rulebook, after: Rulebook) -> list[RuleChange]:
    """Those added, changed and moved in the order of the later version, and then those that are gone."""
    pairs = paired(before, after)
    moved = out_of_order([pairs[n] for n in range(len(after.rules)) if pairs[n] is not None])
    found = []
    for n, rule in enumerate(after.rules):
        place, becomes = pairs[n], side_of(after, n)
        if place is None:
            found.append(RuleChange("added", None, becomes))
        elif before.rules[place] != rule or unlike(before, place, becomes):
            what = "moved" if place in moved else "renamed" if before.rules[place].name != rule.name else "changed"
            found.append(RuleChange(what, side_of(before, place), becomes))
        elif place in moved:
            found.append(RuleChange("moved", side_of(before, place), becomes))
    kept = set(pairs.values())
    gone = [RuleChange("removed", side_of(before, n), None) for n in range(len(before.rules)) if n not in kept]
    return [*found, *gone]


def unlike(before: Rulebook, place: int, becomes: Side) -> bool:
    """Whether the same words mean something else now: values are in another currency."""
    was = side_of(before, place)
    return (was.when, was.demands, was.expires) != (becomes.when, becomes.demands, becomes.expires)


def paired(before: Rulebook, after: Rulebook) -> dict[int, int | None]:
    """Which rule of the version before each one was: that of its name, else an equal one that is named otherwise."""
    places = {rule.name: n for n, rule in enumerate(before.rules)}
    pairs = {n: places.get(rule.name) for n, rule in enumerate(after.rules)}
    free = [n for n in range(len(before.rules)) if n not in set(pairs.values())]
    for n, rule in enumerate(after.rules):
        if pairs[n] is None:
            same = next((place for place in free if nameless(before.rules[place]) == nameless(rule)), None)
            if same is not None:
                pairs[n] = same
                free.remove(same)
    return pairs


def nameless(rule: Rule) -> tuple[object, ...]:
    return (
        dict(rule.lists),
        rule.over,
        rule.up_to,
        rule.unit,
        rule.volume,
        dict(rule.demands),
        rule.forbids,
        rule.expires_hours,
    )


def out_of_order(places: Sequence[int | None]) -> set[int]:
    """The fewest of them that were moved: all but a longest run that still goes upwards."""
    numbers = [one for one in places if one is not None]
    runs: list[list[int]] = []
    for n, number in enumerate(numbers):
        before = max((runs[m] for m in range(n) if numbers[m] < number), key=len, default=[])
        runs.append([*before, number])
    longest = max(runs, key=len, default=[])
    return set(numbers) - set(longest)


def side_of(book: Rulebook, n: int) -> Side:
    rule = book.rules[n]
    return Side(
        place=n + 1,
        name=rule.name,
        when=rules_in_words.when(rule, book.currency),
        demands=rules_in_words.demands(rule),
        expires=rules_in_words.expires(rule),
    )


def of_limits(before: Rulebook, after: Rulebook) -> list[str]:
    was = [rules_in_words.limit(one, before.currency) for one in before.limits]
    now = [rules_in_words.limit(one, after.currency) for one in after.limits]
    return [
        *(f"A new limit. {one}." for one in now if one not in was),
        *(f"A limit is gone. It was: {one}." for one in was if one not in now),
    ]


def of_floors(before: Rulebook, after: Rulebook) -> list[str]:
    said = []
    for asset in sorted({*before.floors, *after.floors}):
        was, now = (book.floors.get(asset) for book in (before, after))
        if was != now:
            name = "anything else" if asset == "*" else asset
            said.append(f"The floor of {name}: {figure(was)} becomes {figure(now)}.")
    return said


def figure(amount: Decimal | None) -> str:
    return "none" if amount is None else grouped(amount)


def of_currency(before: Rulebook, after: Rulebook) -> list[str]:
    if before.currency == after.currency:
        return []
    return [f"Values are in {after.currency or 'no currency'} instead of {before.currency or 'no currency'}."]


# -- rules that never decide --------------------------------------------------------------------------------------


def shadowed(book: Rulebook) -> list[tuple[str, str]]:
    """Rules that no transfer ever reaches, each with the first one above it that covers all of it."""
    found = []
    for n, rule in enumerate(book.rules):
        above = next((one for one in book.rules[:n] if covers(one, rule)), None)
        if above is not None:
            found.append((rule.name, above.name))
    return found


def warnings(book: Rulebook) -> list[str]:
    return [never(name, by) for name, by in shadowed(book)]


def never(name: str, by: str) -> str:
    return f"“{name}” never decides: “{by}” stands above it and covers all of it."


def covers(one: Rule, other: Rule) -> bool:
    """Whether whatever matches the other matches this one too. No where that cannot be told."""
    return covers_lists(one, other) and covers_amounts(one, other) and covers_volume(one, other)


def covers_lists(one: Rule, other: Rule) -> bool:
    for name, names in one.lists.items():
        theirs = {each.upper() for each in other.lists.get(name, ())}
        ours = {each.upper() for each in names}
        if name == "not_assets":
            assets = {each.upper() for each in other.lists.get("assets", ())}
            if not ours <= theirs and (not assets or ours & assets):
                return False
        elif not theirs or not theirs <= ours:
            return False
    return True


def covers_amounts(one: Rule, other: Rule) -> bool:
    same = one.unit == other.unit
    above = one.over is None or (same and other.over is not None and other.over >= one.over)
    below = one.up_to is None or (same and other.up_to is not None and other.up_to <= one.up_to)
    return above and below


def covers_volume(one: Rule, other: Rule) -> bool:
    if one.volume is None:
        return True
    return other.volume is not None and other.volume.key == one.volume.key and other.volume.over >= one.volume.over
