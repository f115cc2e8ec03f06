"""What a policy answers: pure reckoning, without a database. ``rulebook`` says what it may hold."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from treasury.controls.rulebook import ASSET, Rule, Rulebook
from treasury.models.amount import grouped

PLAIN = re.compile(r"[0-9]+(\.[0-9]+)?")


@dataclass(frozen=True)
class Circumstances:
    """Everything that the rules are asked about. Amounts as plain decimal strings; ``value`` and a sum may be None,
    which is not known. ``maker`` is whose sign-in drafted it, ``also`` that person's other ones.

    ``venue`` and ``connection`` are those that carry it. ``venues`` and ``connections`` are all that it touches: those,
    the source's and the destination's, which are others where people move it by hand. Empty in what was asked before
    they were kept.
    """

    venue: str
    connection: str
    source: str
    destination: str
    asset: str
    amount: str
    value: str | None
    currency: str
    origin: str
    maker: str
    volumes: Mapping[str, str | None] = field(default_factory=dict)
    also: Sequence[str] = ()
    venues: Sequence[str] = ()
    connections: Sequence[str] = ()

    def amount_in(self, unit: str) -> Decimal | None:
        text = self.amount if unit == ASSET else self.value
        return None if text is None else sum_of(text)


def sum_of(text: str) -> Decimal:
    """Raises ValueError for what is no amount or sum: NaN and infinity compare, and must not."""
    if not PLAIN.fullmatch(text):
        raise ValueError("not a plain decimal")
    return Decimal(text)


@dataclass(frozen=True)
class Verdict:
    """What came of one rule, with the sentence why."""

    rule: str
    matched: bool
    why: str


@dataclass(frozen=True)
class Answer:
    """``demands`` is empty exactly when it is denied; ``decided_by`` is the rule, None when none decided."""

    allowed: bool
    decided_by: str | None
    demands: Mapping[str, int]
    expires_hours: int
    sentence: str
    verdicts: tuple[Verdict, ...]

    def told(self) -> dict[str, Any]:
        return {
            "allowed": self.allowed,
            "decided_by": self.decided_by,
            "demands": dict(self.demands),
            "expires_hours": self.expires_hours,
            "sentence": self.sentence,
            "verdicts": [{"rule": one.rule, "matched": one.matched, "why": one.why} for one in self.verdicts],
        }


# -- what it answers ----------------------------------------------------------------------------------------------


def evaluate(book: Rulebook, of: Circumstances) -> Answer:
    """Who must approve it. Never raises: an error in any rule, below the deciding one too, is a denial."""
    verdicts: list[Verdict] = []
    decider, broken = None, None
    for rule in book.rules:
        try:
            why_not = why_not_matching(rule, of)
        except Exception as error:  # whatever it is: what cannot be evaluated is not allowed
            broken = broken or rule.name
            why = f"It could not be evaluated ({type(error).__name__})."
            verdicts.append(Verdict(rule.name, matched=False, why=why))
            continue
        if why_not is None and decider is None:
            decider = rule
            verdicts.append(Verdict(rule.name, matched=True, why="It matched, and decides."))
        else:
            why = why_not or "It matches too; an earlier one decides."
            verdicts.append(Verdict(rule.name, matched=why_not is None, why=why))
    if broken is not None:
        return denied(f"The rule “{broken}” could not be evaluated, and what cannot be evaluated is denied.", verdicts)
    return decided(decider, verdicts)


def decided(decider: Rule | None, verdicts: Sequence[Verdict]) -> Answer:
    """The answer of the rule that decides, if one does."""
    if decider is None:
        return denied("No rule of the policy covers it, and what no rule covers is denied.", verdicts)
    if decider.forbids:
        return denied(f"The rule “{decider.name}” forbids it.", verdicts, decider.name)
    if not decider.demands or min(decider.demands.values()) < 1:  # no policy that was read here says so
        return denied(f"The rule “{decider.name}” asks for nobody's approval, which is no answer.", verdicts)
    sentence = f"The rule “{decider.name}” asks for {in_words(decider.demands)}."
    return Answer(True, decider.name, decider.demands, decider.expires_hours, sentence, tuple(verdicts))


def denied(sentence: str, verdicts: Sequence[Verdict], by: str | None = None) -> Answer:
    return Answer(False, by, {}, 0, sentence, tuple(verdicts))


def in_words(demands: Mapping[str, int]) -> str:
    """ "2 of checkers and 1 of finance-leads"."""
    return " and ".join(f"{count} of {group}" for group, count in sorted(demands.items()))


def why_not_matching(rule: Rule, of: Circumstances) -> str | None:
    """The first condition that does not hold, as a sentence; None when all of them hold."""
    for check in (of_its_lists, of_its_amount, of_its_volume):
        if sentence := check(rule, of):
            return sentence
    return None


def of_its_lists(rule: Rule, of: Circumstances) -> str | None:
    asked: dict[str, tuple[str, Sequence[str]]] = {
        "venues": ("venue", of.venues or [of.venue]),
        "connections": ("connection", of.connections or [of.connection]),
        "sources": ("source", [of.source]),
        "destinations": ("destination", [of.destination]),
        "assets": ("asset", [of.asset]),
        "origins": ("origin", [of.origin]),
    }
    for name, (noun, said) in asked.items():
        if name in rule.lists and not any(named(one, among=rule.lists[name]) for one in said):
            which = f"{noun} is {said[0]}" if len(said) == 1 else f"{noun}s are {' and '.join(said)}"
            return f"Its {which}, which the rule does not name."
    if "makers" in rule.lists and not any(named(one, among=rule.lists["makers"]) for one in (of.maker, *of.also)):
        return f"Its maker is {of.maker}, whom the rule does not name."
    if named(of.asset, among=rule.lists.get("not_assets", ())):
        return f"The rule leaves {of.asset} out."
    return None


def named(said: str, *, among: Iterable[str]) -> bool:
    """Whether it is one of these, in capitals or not."""
    return said.upper() in {one.upper() for one in among}


def of_its_amount(rule: Rule, of: Circumstances) -> str | None:
    amount = of.amount_in(rule.unit)
    what = of.asset if rule.unit == ASSET else of.currency
    if rule.over is not None and amount is not None and amount <= rule.over:
        return f"{grouped(amount)} {what} is not more than {grouped(rule.over)}."
    if rule.up_to is not None and amount is None:
        return f"Its value in {what} is not known, which counts as more than any amount."
    if rule.up_to is not None and amount is not None and amount > rule.up_to:
        return f"{grouped(amount)} {what} is more than {grouped(rule.up_to)}."
    return None


def of_its_volume(rule: Rule, of: Circumstances) -> str | None:
    if rule.volume is None:
        return None
    text = of.volumes[rule.volume.key]
    total = None if text is None else sum_of(text)
    if total is None or total > rule.volume.over:
        return None
    what = of.asset if rule.volume.unit == ASSET else of.currency
    return (
        f"The {rule.volume.of}'s transfers within {rule.volume.hours} h come to {grouped(total)} {what}, not more than "
        f"{grouped(rule.volume.over)}."
    )
