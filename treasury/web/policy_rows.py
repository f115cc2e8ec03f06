"""A row of the policy's form, and the JSON that it makes; and the other way round."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from treasury.controls import rulebook

Row = dict[str, list[str]]  # what was typed in a row's fields, each a list as a browser sends it

TICKED = ("venues", "connections", "origins")  # lists that are ticked; the others are typed
LINES = ("sources", "destinations")  # one to a line: a name may hold a comma
WORDS = ("assets", "not_assets", "makers")
DEMAND = re.compile(r"([0-9]{1,4}) +of +(.+)")


def one(row: Row, name: str) -> str:
    said = row.get(name) or [""]
    return said[0].strip()


def whole(text: str) -> int | str:
    """A whole number, or the text as it is: the policy's own reading says what is wrong with it."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else text


def when(row: Row) -> dict[str, Any]:
    said: dict[str, Any] = {name: picked for name in TICKED if (picked := row.get(name))}
    said |= {name: found for name in LINES if (found := split(one(row, name), "\n"))}
    said |= {name: found for name in WORDS if (found := split(one(row, name), ","))}
    for name in ("over", "up_to"):
        if amount := one(row, name):
            said |= {name: plain(amount), "in": one(row, "unit") or rulebook.ASSET}
    if of := one(row, "volume_of"):
        hours, over = one(row, "volume_hours"), plain(one(row, "volume_over"))
        said["volume"] = {"of": of, "in": one(row, "volume_unit") or rulebook.ASSET}
        said["volume"] |= ({"over": over} if over else {}) | ({"hours": whole(hours)} if hours else {})
    return said


def limit(row: Row) -> dict[str, Any]:
    said: dict[str, Any] = {"of": one(row, "of"), "in": one(row, "unit") or rulebook.ASSET}
    if most := plain(one(row, "most")):
        said["most"] = most
    if one(row, "of") != "transfer" and (hours := one(row, "hours")):
        said["hours"] = whole(hours)
    assets = split(one(row, "assets"), ",")
    return said | ({"assets": assets} if assets else {})


def plain(amount: str) -> str:
    """Without the narrow spaces that this product itself groups digits with, should they be copied back."""
    return re.sub(r"[\u202f\u00a0 ]", "", amount)


def split(said: str, by: str) -> list[str]:
    return [piece.strip() for piece in said.split(by) if piece.strip()]


def demands(said: str) -> dict[str, int]:
    """ "2 of checkers, 1 of finance-leads". Raises ValueError for anything else."""
    found: dict[str, int] = {}
    for piece in re.split(r",|\band\b(?= *[0-9])", said):
        asked = DEMAND.fullmatch(piece.strip())
        if asked is None or asked[2].strip() in found:
            raise ValueError(said)
        found[asked[2].strip()] = int(asked[1])
    return found


def rule_row(rule: Mapping[str, Any]) -> Row:
    said, volume = rule.get("when", {}), rule.get("when", {}).get("volume") or {}
    asked = ", ".join(f"{count} of {group}" for group, count in sorted(rule.get("demands", {}).items()))
    single: dict[str, Any] = {
        "name": rule["name"],
        "over": said.get("over", ""),
        "up_to": said.get("up_to", ""),
        "unit": said.get("in", rulebook.ASSET),
        "volume_of": volume.get("of", ""),
        "volume_hours": volume.get("hours", ""),
        "volume_over": volume.get("over", ""),
        "volume_unit": volume.get("in", rulebook.ASSET),
        "answer": "forbids" if rule.get("forbids") else "demands",
        "demands": asked,
        "expires_hours": rule.get("expires_hours", rulebook.EXPIRES_HOURS),
    }
    joined: dict[str, Callable[[list[str]], list[str]]] = {
        **dict.fromkeys(TICKED, list),
        **dict.fromkeys(LINES, lambda names: ["\n".join(names)]),
        **dict.fromkeys(WORDS, lambda names: [", ".join(names)]),
    }
    lists = {name: joined[name](said[name]) for name in rulebook.LISTS if name in said}
    return {name: [str(value)] for name, value in single.items()} | lists


def limit_row(said: Mapping[str, Any]) -> Row:
    found = {
        "of": said["of"],
        "most": said["most"],
        "unit": said.get("in", rulebook.ASSET),
        "hours": said.get("hours", 24),
    }
    return {name: [str(value)] for name, value in found.items()} | {"assets": [", ".join(said.get("assets", []))]}
