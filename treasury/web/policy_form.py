"""The form of a whole policy: what somebody typed, row by row, and the words that it makes.

Nothing is stored between two answers: adding, removing and moving a row only gives the form back with other rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django import forms
from django.http import QueryDict
from django.utils.datastructures import MultiValueDict

from treasury import venues
from treasury.controls import rulebook, rules_in_words
from treasury.controls.roles import CHECKERS, ROLES
from treasury.controls.rules_in_words import ORIGINS
from treasury.models import Account, Connection
from treasury.transfers import assess
from treasury.web.policy_rows import TICKED, Row, demands, limit, limit_row, one, rule_row, when, whole

Problems = Mapping[str, str]  # {place: sentence}, as rulebook.NotRules has them

UNITS = ((rulebook.ASSET, "units of the asset"), (rulebook.VALUE, "value"))
# Roles that approve nothing: a rule may ask for them, and it helps nobody to be offered them.
NEVER_ASKED = frozenset(ROLES) - {CHECKERS}
HOW = "Write it as in: 2 of checkers, 1 of finance-leads."
SECTIONS = {"rule": "rules", "limit": "limits", "floor": "floors"}
STEP = re.compile(r"(add|insert|remove|up|down)-(rule|limit|floor)(?:-([0-9]{1,3}))?")


def text(label: str, **attributes: str) -> forms.CharField:
    told = {"autocomplete": "off", "spellcheck": "false", **attributes}
    return forms.CharField(label=label, required=False, widget=forms.TextInput(attrs=told))


def lines(label: str) -> forms.CharField:
    return forms.CharField(label=label, required=False, widget=forms.Textarea(attrs={"rows": 2, "spellcheck": "false"}))


def number(label: str) -> forms.CharField:
    return text(label, inputmode="decimal", **{"class": "cell"})


class Ticks(forms.MultipleChoiceField):
    """Boxes to tick. What is named and not known is for the difference to say, and no error here."""

    widget = forms.CheckboxSelectMultiple

    def valid_value(self, value: Any) -> bool:
        return True


class RuleForm(forms.Form):
    name = text("Name", maxlength="80")
    venues = Ticks(label="Venues that carry it, or that either account is at", required=False)
    connections = Ticks(label="Connections that carry it, or that either account is of", required=False)
    origins = Ticks(label="How it was drafted", required=False)
    assets = text("Assets", list="policy-assets")
    not_assets = text("All assets but", list="policy-assets")
    makers = text("Makers", list="policy-makers")
    sources = lines("From accounts")
    destinations = lines("To accounts")
    over = number("More than")
    up_to = number("At most")
    unit = forms.ChoiceField(label="Measured in", choices=UNITS, required=False)
    volume_of = forms.ChoiceField(
        label="The sum of",
        required=False,
        choices=(
            ("", "nothing: sums do not matter"),
            ("maker", "its maker's transfers"),
            ("connection", "the transfers over its connection or out of its accounts"),
            ("venue", "the transfers at its venue or out of its accounts"),
            ("asset", "the transfers of its asset"),
        ),
    )
    volume_hours = number("Within hours")
    volume_over = number("Is more than")
    volume_unit = forms.ChoiceField(label="Measured in", choices=UNITS, required=False)
    answer = forms.ChoiceField(
        label="Then", choices=(("demands", "people must approve"), ("forbids", "it is forbidden")), required=False
    )
    demands = text("Who must approve", list="policy-demands")
    expires_hours = number("Expires after hours")

    brief = ""  # the whole rule as a sentence, where it is one

    @property
    def ticks(self) -> list[forms.BoundField]:
        return [self[name] for name in TICKED]

    @property
    def open(self) -> bool:
        """Whether all of it is shown at once: nobody can tell in a sentence what it says, or something is wrong."""
        return not self.brief or bool(self.errors)


class LimitForm(forms.Form):
    of = forms.ChoiceField(
        label="Limit",
        required=False,
        choices=(
            ("connection", "what is sent over one connection or leaves its accounts"),
            ("venue", "what is sent at one venue or leaves its accounts"),
            ("maker", "one maker's transfers"),
            ("house", "everything that is sent"),
            ("transfer", "one transfer"),
        ),
    )
    most = number("At most")
    unit = forms.ChoiceField(label="Measured in", choices=UNITS, required=False)
    hours = number("Within hours")
    assets = text("Assets", list="policy-assets")


class FloorForm(forms.Form):
    asset = text("Asset", list="policy-assets", maxlength="40")
    amount = number("Every account keeps")


CLASSES: Mapping[str, type[forms.Form]] = {"rules": RuleForm, "limits": LimitForm, "floors": FloorForm}
NEW: Mapping[str, Row] = {
    "rules": {
        "unit": [rulebook.ASSET],
        "answer": ["demands"],
        "demands": [f"2 of {CHECKERS}"],
        "expires_hours": ["24"],
    },
    "limits": {"of": ["connection"], "unit": [rulebook.ASSET], "hours": ["24"]},
    "floors": {},
}


@dataclass
class Typed:
    """Everything that the form holds. ``problems``: what is wrong before the words are even read."""

    rows: dict[str, list[Row]]
    currency: str
    problems: dict[str, str] = field(default_factory=dict)

    def step(self, step: str) -> bool:
        """Add, remove or move a row; whether that was asked."""
        asked = STEP.fullmatch(step)
        if asked is None:
            return False
        verb, section, place = asked[1], SECTIONS[asked[2]], int(asked[3] or 0)
        rows = self.rows[section]
        if verb == "add":
            rows.append(dict(NEW[section]))
        elif verb == "insert":
            rows.insert(place, dict(NEW[section]))
        elif place < len(rows):
            row = rows.pop(place)
            if verb != "remove":
                rows.insert(max(place - 1, 0) if verb == "up" else place + 1, row)
        return True

    def words(self) -> dict[str, Any]:
        """The policy as JSON; what cannot be read at all is left out, and noted in ``problems``."""
        self.problems = {}
        return {
            "rules": [self.rule(row, f"rules.{n}") for n, row in enumerate(self.rows["rules"])],
            "limits": [limit(row) for row in self.rows["limits"]],
            "floors": self.floors(),
            "currency": self.currency,
        }

    def rule(self, row: Row, place: str) -> dict[str, Any]:
        said: dict[str, Any] = {"name": one(row, "name"), "when": when(row)}
        if one(row, "answer") == "forbids":
            return said | {"forbids": True}
        try:
            said["demands"] = demands(one(row, "demands"))
        except ValueError:
            self.problems[f"{place}.demands"] = HOW
        if hours := one(row, "expires_hours"):
            said["expires_hours"] = whole(hours)
        return said

    def brief(self, row: Row) -> str:
        """The rule in a sentence; empty where it is none yet."""
        alone = Typed({"rules": [row], "limits": [], "floors": []}, self.currency)
        try:
            book = rulebook.parse(alone.words())
        except rulebook.NotRules:
            return ""
        return "" if alone.problems else rules_in_words.whole(book.rules[0], book.currency)

    def floors(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for n, row in enumerate(self.rows["floors"]):
            asset, amount = one(row, "asset").upper(), one(row, "amount")
            if asset in found:
                self.problems[f"floors.{n}.asset"] = "Another floor names it already."
            elif not asset and amount:
                self.problems[f"floors.{n}.asset"] = "Name the asset, or * for any that no other floor names."
            elif asset:
                found[asset] = amount
        return found

    def forms(self, section: str, problems: Problems, known: Known) -> list[forms.Form]:
        """The section's rows as forms, with each sentence beside the field that it is about."""
        made = []
        for n, row in enumerate(self.rows[section]):
            prefix = f"{section}-{n}"
            form = CLASSES[section](
                MultiValueDict({f"{prefix}-{name}": said for name, said in row.items()}), prefix=prefix
            )
            if isinstance(form, RuleForm):
                known.offer(form, row)
                form.brief = self.brief(row)
            form.is_valid()
            for name, sentence in beside(section, n, row, problems):
                form.add_error(name, sentence)
            made.append(form)
        return made


def beside(section: str, n: int, row: Row, problems: Problems) -> Iterable[tuple[str, str]]:
    """The fields of this row that something is wrong with."""
    if section == "floors":  # the policy's reading knows a floor by its asset, which may look like a place: "0.X"
        where = {f"floors.{n}.asset": "asset", f"floors.{one(row, 'asset').upper()}": "amount"}
        yield from ((where[place], sentence) for place, sentence in problems.items() if place in where)
        return
    for place, sentence in problems.items():
        if place.startswith(f"{section}.{n}."):
            yield field_of(section, place.split(".")[2:]), sentence


def field_of(section: str, place: list[str]) -> str:
    """The field that a place of the policy is typed in."""
    named = {"in": "unit", "of": "of"}
    if section != "rules":
        return named.get(place[0], place[0])
    if place[0] != "when":
        return place[0] if place[0] in RuleForm.base_fields else "name"
    if place[1:2] == ["volume"]:
        inner = place[2] if len(place) > 2 else "of"
        return f"volume_{'unit' if inner == 'in' else inner}"
    name = place[1] if len(place) > 1 else "name"
    return named.get(name, name if name in RuleForm.base_fields else "name")


def of_words(words: Mapping[str, Any]) -> Typed:
    """A stored version, as somebody would have typed it."""
    return Typed(
        rows={
            "rules": [rule_row(one) for one in words["rules"]],
            "limits": [limit_row(one) for one in words.get("limits", [])],
            "floors": [
                {"asset": [asset], "amount": [amount]} for asset, amount in sorted(words.get("floors", {}).items())
            ],
        },
        currency=words.get("currency", ""),
    )


def of_post(post: QueryDict) -> Typed:
    """What a browser sent: as many rows of each kind as it says, at most so many as a policy has."""
    rows = {}
    for section, form in CLASSES.items():
        said = post.get(f"{section}-count", "0")
        count = min(int(said) if said.isascii() and said.isdecimal() and len(said) < 5 else 0, rulebook.RULES_MOST)
        rows[section] = [
            {name: cleaned(post.getlist(f"{section}-{n}-{name}")) for name in form.base_fields} for n in range(count)
        ]
    return Typed(rows, cleaned([post.get("currency", "")])[0].strip())


def cleaned(said: Iterable[str]) -> list[str]:
    return [one.replace("\r\n", "\n") for one in said]


@dataclass(frozen=True)
class Known:
    """What can be named: read once for the whole form."""

    venues: list[str]
    connections: list[str]
    accounts: list[str]
    assets: list[str]
    makers: list[str]
    groups: list[str]

    def offer(self, form: forms.Form, row: Row) -> None:
        """The boxes of a rule: all that there is, and what it names though there is no such thing."""
        offered = {"venues": self.venues, "connections": self.connections, "origins": list(ORIGINS)}
        for name, names in offered.items():
            ticks = form.fields[name]
            assert isinstance(ticks, Ticks)
            strange = [one for one in row.get(name, []) if one not in names]
            titles = venues.titles() if name == "venues" else ORIGINS
            ticks.choices = [(one, titles.get(one.lower(), one)) for one in (*names, *strange)]


def known(assets: Iterable[str], makers: Iterable[str], groups: Iterable[str]) -> Known:
    connections = list(Connection.objects.order_by("name"))
    accounts = [assess.name_of(one) for one in Account.objects.select_related("connection")]
    return Known(
        venues=sorted({one.venue for one in connections}),
        connections=[one.name for one in connections],
        accounts=accounts,
        assets=sorted(assets),
        makers=sorted(makers),
        groups=sorted(groups),
    )
