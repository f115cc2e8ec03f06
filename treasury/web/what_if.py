"""What if: other bands, other balances, and the plan that they would make. Nothing is created but the answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.http import Http404, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from treasury.models import Connection, Origin, Plan, Unit
from treasury.models.amount import WHOLE_DIGITS, NotPlain, parsed, plain
from treasury.rebalancing import drift
from treasury.rebalancing import plan as planning
from treasury.rebalancing.drift import Group, Stand
from treasury.rebalancing.plan import NotPlanned
from treasury.web import refusals
from treasury.web.htmx import Request, answer, go
from treasury.web.rebalancing import chosen_group, insist_on_doer

TITLES = {"total": "Holds", "minimum": "Minimum", "target": "Target", "maximum": "Maximum"}
BAND = ("minimum", "target", "maximum")
LONGEST = 60  # characters of a number


@dataclass(frozen=True)
class Box:
    """One number that may be supposed: as it is, as it was typed, and what is wrong with that."""

    name: str
    label: str
    title: str
    typed: str
    problem: str


@dataclass(frozen=True)
class Row:
    stand: Stand
    unit: str
    boxes: list[Box]


@require_http_methods(["GET", "HEAD", "POST"])
def show(request: Request) -> HttpResponse:
    """The group's numbers to be changed; posted, the plan that they make."""
    at = timezone.now()
    connection, asset = chosen_group(request)
    try:
        insist_on_doer(request, "Nothing was reckoned.")
    except refusals.REFUSALS as refusal:
        return refusals.refuse(request, refusal, action="plan.ask", subject="page:/rebalancing/what-if/")
    group = the_group(connection, asset, at)
    if request.method != "POST":
        return shown(request, group, as_it_is(group) | supposed_by(request.GET.get("plan", ""), group))
    typed = {name: request.POST.get(name, "").strip()[:LONGEST] for name in as_it_is(group)}
    if problems := mistakes(group, typed):
        return shown(request, group, typed, problems, status=422)
    if not (supposed := overrides(group, typed)):
        return shown(
            request, group, typed, refused="Nothing was reckoned. Change a number: all are as they are.", status=422
        )
    try:
        plan = planning.ask(
            by=request.user,
            at=at,
            origin=Origin.WHAT_IF,
            connection=group.connection,
            asset=group.asset,
            overrides=supposed,
        )
    except NotPlanned as refusal:
        return shown(request, group, typed, refused=str(refusal), status=422)
    return go(request, f"/plans/{plan.reference}/")


def the_group(connection: Connection | None, asset: str, at: datetime) -> Group:
    """The one group that the address names. Raises Http404 where there is none."""
    found = drift.read(at, connection=connection, asset=asset) if connection and asset else []
    if len(found) != 1:
        raise Http404
    return found[0]


def box_name(stand: Stand, word: str) -> str:
    return f"{word}-{stand.account.pk}"


def as_it_is(group: Group) -> dict[str, str]:
    """The numbers as they are now, by the box's name; a band in the unit in which it is set."""
    now: dict[str, str] = {}
    for stand in group.stands:
        now[box_name(stand, "total")] = "" if stand.total is None else plain(stand.total)
        for word in BAND:
            value = getattr(stand.band, word)
            now[box_name(stand, word)] = "" if value is None else plain(value)
    return now


def supposed_by(reference: str, group: Group) -> dict[str, str]:
    """What an earlier what-if of this group supposed, to go on from there."""
    earlier = Plan.objects.filter(
        reference=reference, origin=Origin.WHAT_IF, connection=group.connection, asset=group.asset
    ).first()
    if earlier is None:
        return {}
    rows = [*earlier.overrides.get("bands", []), *earlier.overrides.get("balances", [])]
    known = as_it_is(group)
    told = {
        f"{word}-{row['account']}": "" if row[word] is None else str(row[word])
        for row in rows
        for word in TITLES
        if word in row
    }
    return {name: text for name, text in told.items() if name in known}


def mistakes(group: Group, typed: Mapping[str, str]) -> dict[str, str]:
    """What is wrong, by the box's name."""
    problems: dict[str, str] = {}
    for stand in group.stands:
        for word in TITLES:
            name = box_name(stand, word)
            if sentence := why_no_number(typed[name], empty=may_be_empty(stand, word), signed=word == "total"):
                problems[name] = sentence
            elif word == "total" and typed[name] and Decimal(typed[name]) < 0 and not may_be_owed(stand):
                problems[name] = "An account cannot hold less than nothing."
        if not any(box_name(stand, word) in problems for word in BAND):
            problems |= out_of_order(stand, typed)
    return problems


def may_be_owed(stand: Stand) -> bool:
    """What is held less what was borrowed may be below 0 where it truly is."""
    return stand.total is not None and stand.total < 0


def may_be_empty(stand: Stand, word: str) -> bool:
    """No maximum is no limit; a balance that is not known may stay so."""
    return word == "maximum" or (word == "total" and stand.total is None)


def why_no_number(text: str, *, empty: bool, signed: bool) -> str:
    if not text:
        return "" if empty else "Enter an amount."
    try:
        parsed(text, whole_digits=WHOLE_DIGITS, signed=signed)
    except NotPlain as wrong:
        return str(wrong)
    return ""


def out_of_order(stand: Stand, typed: Mapping[str, str]) -> dict[str, str]:
    minimum, target = (Decimal(typed[box_name(stand, word)]) for word in ("minimum", "target"))
    maximum = Decimal(typed[name]) if typed[name := box_name(stand, "maximum")] else None
    if minimum > target:
        return {box_name(stand, "target"): "The target is at least the minimum."}
    if maximum is not None and target > maximum:
        return {name: "The maximum is at least the target."}
    if stand.band.unit == Unit.SHARE and max(target, maximum or target) > 100:
        return {box_name(stand, "target"): "A share is at most 100 %."}
    return {}


def overrides(group: Group, typed: Mapping[str, str]) -> dict[str, Any]:
    """What differs from how it is, as a plan takes it."""
    now = as_it_is(group)
    bands, balances = [], []
    for stand in group.stands:
        told = {"account": stand.account.pk, "asset": stand.band.asset}
        if differs(stand, ("total",), typed, now):
            balances.append({**told, "total": typed[box_name(stand, "total")]})
        if differs(stand, BAND, typed, now):
            words = {word: typed[box_name(stand, word)] or None for word in BAND}
            bands.append({**told, "unit": str(stand.band.unit), **words})
    return {name: rows for name, rows in (("bands", bands), ("balances", balances)) if rows}


def differs(stand: Stand, words: tuple[str, ...], typed: Mapping[str, str], now: Mapping[str, str]) -> bool:
    return any(typed[name] != now[name] for name in (box_name(stand, word) for word in words))


def shown(
    request: Request,
    group: Group,
    typed: Mapping[str, str],
    problems: Mapping[str, str] | None = None,
    *,
    refused: str = "",
    status: int = 200,
) -> HttpResponse:
    problems = problems or {}
    context = {
        "group": group,
        "rows": [row(stand, typed, problems) for stand in group.stands],
        "mistakes": len(problems),
        "refused": refused,
    }
    return answer(request, "rebalancing/what_if.html", "rebalancing/_what_if.html", context, status=status)


def row(stand: Stand, typed: Mapping[str, str], problems: Mapping[str, str]) -> Row:
    unit = "%" if stand.band.unit == Unit.SHARE else ""
    names = ((box_name(stand, word), title) for word, title in TITLES.items())
    boxes = [
        Box(name, f"{title} of {stand.account.title}", title, typed.get(name, ""), problems.get(name, ""))
        for name, title in names
    ]
    return Row(stand, unit, boxes)
