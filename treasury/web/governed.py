"""How changes of the policy and of the house's settings read, proposed and decided, and what nobody proposed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from treasury.controls import house, policy, rulebook, rules_compared, rules_in_words
from treasury.models import Change, Policy
from treasury.models.amount import counted
from treasury.models.change import ADOPT, BOOTSTRAP
from treasury.web.spoken import Spoken

SHOWN = 8  # sentences of a difference in a list; the proposal's own page shows every one

NOBODY: Mapping[str, str] = {
    BOOTSTRAP: "The first set-up made it, when there was nobody yet to propose anything",
    ADOPT: "The upgrade that began to govern these things made it, of what it found",
}


def difference_of(change: Change, texts: Mapping[int, str]) -> rules_compared.Difference | None:
    """Between the version that it takes the place of and what it says; None where that version is not known."""
    before = texts.get(change.words.get("before", 0))
    return (
        None if before is None else rules_compared.between(rulebook.read(before), rulebook.read(change.words["policy"]))
    )


def policy_words(change: Change, spoken: Spoken) -> list[str]:
    """The direct difference, as much of it as a list has room for."""
    book = rulebook.read(change.words["policy"])
    difference = difference_of(change, spoken.texts)
    if difference is None:
        return [f"A version with {rules_in_words.size(book)}."]
    said = [*difference.sentences, *difference.warnings]
    more = len(said) - SHOWN
    rest = [f"And {more} more: its own page shows every one."] if more > 0 else []
    number = change.words["before"]
    return [f"In place of version {number}, with {rules_in_words.size(book)}:", *said[:SHOWN], *rest]


def overtaken_policy(change: Change, spoken: Spoken, at: datetime) -> str:
    number = Policy.objects.order_by("-number").values_list("number", flat=True).first()
    if number != change.words.get("before"):
        return f"Version {number} came into force since; decline it, and propose it anew."
    return ""


def setting_words(change: Change, spoken: Spoken) -> list[str]:
    words = change.words
    return [f"{house.TITLES[words['name']]}: {told(words['was'])} becomes {told(words['value'])}."]


def overtaken_setting(change: Change, spoken: Spoken, at: datetime) -> str:
    return house.why_overtaken(change)


def told(value: Mapping[str, Any]) -> str:
    """A setting's value in words."""
    if "address" in value:
        return value["address"] or "nowhere"
    return (
        f"all for {counted(value['all_days'], 'day')}, one of each quarter of an hour until "
        f"{counted(value['quarter_hours_days'], 'day')}, one of each hour until "
        f"{counted(value['hours_days'], 'day')}, then one of each day"
    )


def bootstrap_words(change: Change, spoken: Spoken) -> list[str]:
    who = [f"{one['first_name']} {one['last_name']}" for one in change.words.get("people", [])]
    book = rulebook.read(change.words["policy"]) if change.words.get("policy") else None
    said = [f"The first user administrators: {' and '.join(who)}."] if who else []
    return [*said, *([f"Version 1 of the policy, with {rules_in_words.size(book)}."] if book else [])]


def adopt_words(change: Change, spoken: Spoken) -> list[str]:
    book = rulebook.read(change.words["policy"])
    return [
        "People with their roles, connections and accounts stay as they were found.",
        f"Version 1 of the policy says what settings said before, with {rules_in_words.size(book)}.",
    ]


def about(change: Change) -> str:
    """What it is about, as a person names it; empty where it is about something else than the house's own things."""
    if change.kind == policy.SET:
        return f"after version {change.words['before']}" if "before" in change.words else "a version"
    if change.kind == house.SET:
        return house.TITLES[change.words["name"]].lower()
    return "the house" if change.kind in NOBODY else ""
