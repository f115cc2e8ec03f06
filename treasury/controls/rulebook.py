"""What a policy may say, and the reading of it: checked here once, place by place, so that it can be relied on later.

A policy is canonical JSON::

    {"rules": [{"name": "USDT up to 10000",
                "when": {"assets": ["USDT"], "up_to": "10000", "in": "asset"},
                "demands": {"checkers": 1}, "expires_hours": 24}, …],
     "limits": [{"of": "maker", "hours": 24, "most": "50000", "in": "value"}, …],
     "floors": {"USDT": "100", "*": "0"}, "currency": "EUR"}

The first rule that matches decides. What none covers is denied, and so is everything while any rule cannot be
evaluated. ``when`` may name venues, connections, sources, destinations (``Main desk · FUND``), assets and not_assets,
origins (hand, plan, import), makers, all in capitals or not, ``over`` (more than) and ``up_to`` (at most), and
``volume``: the sum within so many hours, this transfer included, of the maker's, the connection's, the venue's or the
asset's transfers. A transfer is of the venues and connections that carry it and that its two accounts belong to, so
that a rule sees money that people move by hand; sums and limits of a venue or connection count what it carries and
what leaves its accounts. A maker is a person: whichever of their sign-ins is named. ``in`` says whether an amount is
one of the asset or a value in ``currency``; a value that is not known is more than any amount. ``forbids`` takes the
place of ``demands``.

A limit in the asset counts each asset by itself; one that names no assets is for those that no other limit of the same
hours of the same thing names. A limit in value counts all that it names together, or everything.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any

from treasury.audit.record import canonical
from treasury.models.amount import NotPlain, parsed

ASSET, VALUE = "asset", "value"
ORIGINS = ("hand", "plan", "import")
SCOPES = ("maker", "connection", "venue", "asset")
LIMITED = ("transfer", "maker", "connection", "venue", "house")
EXPIRES_HOURS, HOURS_MOST, PEOPLE_MOST = 24, 24 * 31, 20
RULES_MOST = 200  # and so long any other list
GROUPS_MOST = 3  # in one demand: people may count for several at once, and every way of that is tried
LETTERS_MOST = 150  # of one name: what a group's column holds
TEXT_MOST = 200_000  # letters of a whole policy: every rule of it is asked at each submit
LISTS = ("venues", "connections", "sources", "destinations", "assets", "not_assets", "origins", "makers")


class NotRules(ValueError):
    """The words make no policy. ``problems`` is {place: sentence}, as in {"rules.0.when.over": "…"}."""

    def __init__(self, problems: dict[str, str]) -> None:
        super().__init__(" ".join(problems.values()))
        self.problems = problems


@dataclass(frozen=True)
class Volume:
    """More than ``over`` within ``hours``, summed over the transfers of the same ``of``; in the asset, of that one."""

    of: str
    hours: int
    over: Decimal
    unit: str

    @property
    def key(self) -> str:
        """Its place among the sums of the circumstances."""
        return f"{self.of}/{self.hours}/{self.unit}"


@dataclass(frozen=True)
class Rule:
    name: str
    lists: Mapping[str, tuple[str, ...]]  # those of LISTS that it names
    over: Decimal | None
    up_to: Decimal | None
    unit: str
    volume: Volume | None
    demands: Mapping[str, int]
    forbids: bool
    expires_hours: int


@dataclass(frozen=True)
class Limit:
    """At most ``most`` in one transfer, or within ``hours`` of one maker, connection or venue, or of the house."""

    of: str
    hours: int  # 0 for a single transfer
    assets: tuple[str, ...]
    most: Decimal
    unit: str


@dataclass(frozen=True)
class Rulebook:
    rules: tuple[Rule, ...]
    limits: tuple[Limit, ...]
    floors: Mapping[str, Decimal]  # by asset in capitals; "*": any other
    currency: str

    @property
    def volumes(self) -> list[Volume]:
        """Every sum that some rule asks for, each once."""
        return list({rule.volume.key: rule.volume for rule in self.rules if rule.volume}.values())


# -- what it says -------------------------------------------------------------------------------------------------


@lru_cache(maxsize=32)  # each claim and each page reads the version in force, which never changes
def read(text: str) -> Rulebook:
    """The policy of a stored text. Raises NotRules for what ``written`` never wrote."""
    return parse(json.loads(text))


def written(words: Mapping[str, Any]) -> str:
    """The canonical text of a policy, checked. Raises NotRules."""
    parse(words)
    text = canonical(words)
    if len(text) > TEXT_MOST:
        raise NotRules({"rules": f"A policy has at most {TEXT_MOST} letters in all, and this has {len(text)}."})
    return text


class Reader:
    """Reads JSON and collects what is wrong with it, place by place."""

    def __init__(self) -> None:
        self.problems: dict[str, str] = {}

    def wrong(self, place: str, sentence: str) -> None:
        self.problems.setdefault(place, sentence)

    def mapping(self, value: Any, place: str, known: Sequence[str] | None) -> Mapping[str, Any]:
        if not isinstance(value, Mapping):
            self.wrong(place, "It must be a mapping.")
            return {}
        for name in value:
            if not isinstance(name, str) or (known is not None and name not in known):
                self.wrong(f"{place}.{name}" if place else str(name), "A policy has no such word.")
        return {name: one for name, one in value.items() if isinstance(name, str)}

    def name(self, value: Any, place: str, most: int = LETTERS_MOST) -> str:
        """A name as it is compared later: with nothing around it or in it that nobody can see."""
        if isinstance(value, str) and 0 < len(value) <= most and value.isprintable() and value == value.strip():
            return value
        self.wrong(place, f"Give a name of at most {most} letters, without spaces around it or signs that nobody sees.")
        return ""

    def items(self, value: Any, place: str) -> Sequence[Any]:
        if isinstance(value, list) and len(value) <= RULES_MOST:
            return value
        self.wrong(place, f"It must be a list of at most {RULES_MOST}.")
        return []

    def amount(self, value: Any, place: str) -> Decimal | None:
        try:
            if isinstance(value, str):
                return parsed(value)
            self.wrong(place, "Write the amount as a text of digits.")
        except NotPlain as wrong:
            self.wrong(place, str(wrong))
        return None

    def count(self, value: Any, place: str, most: int) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most:
            return value
        self.wrong(place, f"It must be a whole number from 1 to {most}.")
        return 1

    def word(self, value: Any, place: str, among: Sequence[str]) -> str:
        if value in among:
            return str(value)
        self.wrong(place, f"It must be one of {', '.join(among)}.")
        return among[0]

    def texts(self, value: Any, place: str) -> tuple[str, ...]:
        found = tuple(self.name(one, place) for one in self.items(value, place))
        if not found:
            self.wrong(place, "Name at least one, or leave it out.")
        return found


def parse(words: Any) -> Rulebook:
    """Raises NotRules with everything that is wrong."""
    reader = Reader()
    said = reader.mapping(words, "", ("rules", "limits", "floors", "currency"))
    rules = tuple(rule_of(reader, one, f"rules.{n}") for n, one in enumerate(reader.items(said.get("rules"), "rules")))
    limits = tuple(
        limit_of(reader, one, f"limits.{n}") for n, one in enumerate(reader.items(said.get("limits", []), "limits"))
    )
    names = [rule.name.upper() for rule in rules]
    for n, name in enumerate(names):
        if name in names[:n]:
            reader.wrong(f"rules.{n}.name", "Another rule has this name already.")
    found = Rulebook(rules, limits, floors_of(reader, said.get("floors", {})), currency_of(reader, said))
    units = {*(one.unit for one in rules), *(one.unit for one in limits), *(one.unit for one in found.volumes)}
    if not found.currency and VALUE in units:
        reader.wrong("currency", "Say the currency that values are in.")
    if reader.problems:
        raise NotRules(reader.problems)
    return found


def floors_of(reader: Reader, words: Any) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for asset, text in reader.mapping(words, "floors", None).items():
        place = f"floors.{asset}"
        code = reader.name(asset, place).upper()
        if code in found:
            reader.wrong(place, "This asset has a floor already, in another spelling.")
        found[code] = reader.amount(text, place) or Decimal(0)
    return found


def currency_of(reader: Reader, said: Mapping[str, Any]) -> str:
    currency = said.get("currency", "")
    if isinstance(currency, str) and re.fullmatch(r"[A-Z0-9]{0,10}", currency):
        return currency
    reader.wrong("currency", "It must be the code of a currency, in capitals.")
    return ""


def rule_of(reader: Reader, words: Any, place: str) -> Rule:
    said = reader.mapping(words, place, ("name", "when", "demands", "forbids", "expires_hours"))
    when = reader.mapping(said.get("when", {}), f"{place}.when", (*LISTS, "over", "up_to", "in", "volume"))
    lists = {one: reader.texts(when[one], f"{place}.when.{one}") for one in LISTS if one in when}
    for origin in lists.get("origins", ()):
        reader.word(origin, f"{place}.when.origins", ORIGINS)
    over, up_to = (
        reader.amount(when[one], f"{place}.when.{one}") if one in when else None for one in ("over", "up_to")
    )
    if over is not None and up_to is not None and over >= up_to:
        reader.wrong(f"{place}.when.up_to", "It must be more than what the amount must be over.")
    return Rule(
        name=reader.name(said.get("name"), f"{place}.name", 80),
        lists=lists,
        over=over,
        up_to=up_to,
        unit=reader.word(when.get("in", ASSET), f"{place}.when.in", (ASSET, VALUE)),
        volume=volume_of(reader, when["volume"], f"{place}.when.volume") if "volume" in when else None,
        demands=demands_of(reader, said, place),
        forbids=said.get("forbids") is True,
        expires_hours=reader.count(said.get("expires_hours", EXPIRES_HOURS), f"{place}.expires_hours", HOURS_MOST),
    )


def demands_of(reader: Reader, said: Mapping[str, Any], place: str) -> dict[str, int]:
    where = f"{place}.demands"
    found = {
        reader.name(group, f"{where}.{group}"): reader.count(count, f"{where}.{group}", PEOPLE_MOST)
        for group, count in reader.mapping(said.get("demands", {}), where, None).items()
    }
    forbids = said.get("forbids", False)
    if not isinstance(forbids, bool) or forbids == bool(found):  # 1 is no yes: what does not forbid must demand
        reader.wrong(where, "Say how many of which group must approve, or that the rule forbids it.")
    if len(found) > GROUPS_MOST or sum(found.values()) > PEOPLE_MOST:
        reader.wrong(where, f"Ask for at most {GROUPS_MOST} groups, and {PEOPLE_MOST} people of all of them together.")
    return found


def volume_of(reader: Reader, words: Any, place: str) -> Volume:
    said = reader.mapping(words, place, ("of", "hours", "over", "in"))
    if "over" not in said:
        reader.wrong(f"{place}.over", "Say from which sum on.")
    over = reader.amount(said.get("over"), f"{place}.over")
    return Volume(
        of=reader.word(said.get("of"), f"{place}.of", SCOPES),
        hours=reader.count(said.get("hours", 24), f"{place}.hours", HOURS_MOST),
        over=over or Decimal(0),
        unit=reader.word(said.get("in", ASSET), f"{place}.in", (ASSET, VALUE)),
    )


def limit_of(reader: Reader, words: Any, place: str) -> Limit:
    said = reader.mapping(words, place, ("of", "hours", "assets", "most", "in"))
    of = reader.word(said.get("of"), f"{place}.of", LIMITED)
    if "most" not in said:
        reader.wrong(f"{place}.most", "Say how much at most.")
    if of == "transfer" and "hours" in said:
        reader.wrong(f"{place}.hours", "A limit of one transfer has no hours.")
    most = reader.amount(said.get("most"), f"{place}.most")
    return Limit(
        of=of,
        hours=0 if of == "transfer" else reader.count(said.get("hours", 24), f"{place}.hours", HOURS_MOST),
        assets=reader.texts(said["assets"], f"{place}.assets") if "assets" in said else (),
        most=most or Decimal(0),
        unit=reader.word(said.get("in", ASSET), f"{place}.in", (ASSET, VALUE)),
    )
