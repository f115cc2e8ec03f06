"""A policy as people read it: when each rule decides, what it asks for, and what limits and floors say."""

from __future__ import annotations

from collections.abc import Mapping

from treasury import venues
from treasury.controls import rulebook, rules
from treasury.controls.rulebook import Limit, Rule, Rulebook
from treasury.models.amount import counted, grouped

ANY = "Any transfer"
ORIGINS: Mapping[str, str] = {"hand": "drafted by hand", "plan": "drafted from a plan", "import": "imported"}
WHOSE: Mapping[str, str] = {
    "transfer": "one transfer",
    "maker": "one maker's transfers",
    "connection": "what is sent over one connection or leaves its accounts",
    "venue": "what is sent at one venue or leaves its accounts",
    "house": "everything that is sent",
}
OF_WHAT: Mapping[str, str] = {
    "maker": "its maker's transfers",
    "connection": "the transfers over its connection or out of its accounts",
    "venue": "the transfers at its venue or out of its accounts",
    "asset": "the transfers of its asset",
}


def when(rule: Rule, currency: str) -> str:
    """ "A transfer of USDT, touching Main desk, of more than 10 000"; "Any transfer"."""
    said = [*of_lists(rule), *of_amount(rule, currency), *of_volume(rule, currency)]
    return f"A transfer {', '.join(said)}" if said else ANY


def of_lists(rule: Rule) -> list[str]:
    named = rule.lists
    origins = [ORIGINS.get(one, one) for one in named.get("origins", ())]
    titles = venues.titles() if "venues" in named else {}
    told = (
        ("of ", named.get("assets")),
        ("of anything but ", named.get("not_assets")),
        ("touching ", [titles.get(one.lower(), one) for one in named.get("venues", ())]),
        ("touching ", named.get("connections")),
        ("from ", named.get("sources")),
        ("to ", named.get("destinations")),
        ("", origins),
        ("drafted by ", named.get("makers")),
    )
    return [f"{before}{either(names)}" for before, names in told if names]


def of_amount(rule: Rule, currency: str) -> list[str]:
    what = f"worth {{}} {currency}" if rule.unit == rulebook.VALUE else "of {}"
    told = []
    if rule.over is not None:
        told.append(what.format(f"more than {grouped(rule.over)}"))
    if rule.up_to is not None:
        told.append(what.format(f"at most {grouped(rule.up_to)}"))
    return told


def of_volume(rule: Rule, currency: str) -> list[str]:
    if rule.volume is None:
        return []
    asked = rule.volume
    unit = f" {currency}" if asked.unit == rulebook.VALUE else ""
    of_asset = " of its asset" if asked.unit == rulebook.ASSET and asked.of != "asset" else ""
    sum_of = f"{OF_WHAT[asked.of]}{of_asset} within {asked.hours} h"
    return [f"with which {sum_of} come to more than {grouped(asked.over)}{unit}"]


def demands(rule: Rule) -> str:
    """ "2 of checkers and 1 of finance-leads"; "It is forbidden"."""
    return "It is forbidden" if rule.forbids else rules.in_words(rule.demands)


def expires(rule: Rule) -> str:
    """How long approval may take; nothing of what is forbidden."""
    return "" if rule.forbids else f"{rule.expires_hours} h"


def whole(rule: Rule, currency: str) -> str:
    """All that a rule says, as one sentence."""
    asks = "is forbidden" if rule.forbids else f"asks for {demands(rule)}, within {rule.expires_hours} h"
    return f"{when(rule, currency)} {asks}."


def limit(one: Limit, currency: str) -> str:
    """ "At most 50 000 USDT within 24 h: one maker's transfers"."""
    unit = currency if one.unit == rulebook.VALUE else either(one.assets) if one.assets else "of any one asset"
    of = f" of {either(one.assets)}" if one.unit == rulebook.VALUE and one.assets else ""
    within = "" if one.of == "transfer" else f" within {one.hours} h"
    return f"At most {grouped(one.most)} {unit}{of}{within}: {WHOSE[one.of]}"


def floors(book: Rulebook) -> list[str]:
    """What every account keeps, the sentence about anything else last."""
    named = [f"{grouped(amount)} {asset}" for asset, amount in sorted(book.floors.items()) if asset != "*"]
    rest = book.floors.get("*")
    return [*named, *([f"{grouped(rest)} of anything else"] if rest is not None else [])]


def either(names: object) -> str:
    """ "a", "a or b", "a, b or c"."""
    listed = list(names) if isinstance(names, (list, tuple)) else []
    return listed[0] if len(listed) == 1 else f"{', '.join(listed[:-1])} or {listed[-1]}"


def size(book: Rulebook) -> str:
    """ "4 rules, 1 limit, 2 floors"."""
    return (
        f"{counted(len(book.rules), 'rule')}, {counted(len(book.limits), 'limit')}, "
        f"{counted(len(book.floors), 'floor')}"
    )
