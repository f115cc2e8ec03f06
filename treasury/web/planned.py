"""Everything that a plan's page shows, gathered for one person at one moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from treasury.controls import policy
from treasury.controls.roles import MAKERS, groups_of
from treasury.models import (
    Origin,
    Plan,
    PlanGroup,
    PlanLine,
    PlanState,
    State,
    Status,
    Transfer,
    User,
)
from treasury.models.amount import plain
from treasury.rebalancing import propose
from treasury.templatetags.treasury import places as decimals_of
from treasury.transfers import queries
from treasury.transfers.draft import Invalid, parse_amount
from treasury.transfers.queries import STANDINGS, Standing
from treasury.web.charts import flows
from treasury.web.charts.bands import Chart
from treasury.web.charts.flows import Drawing, Flow
from treasury.web.drifting import decimals_in
from treasury.web.proof import facts_of, words_of
from treasury.web.rebalancing import INVOLVED
from treasury.web.reckoned import Reckoned, drift_of, ends_outside, reckoned_from

LOOKS: Mapping[str, tuple[str, str]] = {  # a part's status as a chip: its colour, as of a transfer's, and its icon
    Status.NOTHING: ("approved", "settled"),
    Status.PROVEN: ("approved", "approved"),
    Status.BEST: ("submitted", "partly"),
    Status.NO_HELP: ("held", "alert"),
    Status.REFUSED: ("unknown", "unknown"),
}


@dataclass(frozen=True)
class Said:
    """What somebody chose and typed in the form: {line id: amount as typed}, the reason, and what is wrong with it.

    ``asked``: the form was sent. ``checked``: they asked what these amounts would do, and nothing was written.
    """

    amounts: Mapping[int, str] = field(default_factory=dict)
    problems: Mapping[int | str, str] = field(default_factory=dict)
    reason: str = ""
    asked: bool = False
    checked: bool = False


@dataclass(frozen=True)
class Drafted:
    """What became of a line: how its transfer stands, and whether this person may open it."""

    transfer: Transfer
    standing: Standing
    visible: bool


@dataclass(frozen=True)
class Line:
    """One proposed transfer, as it is planned and as somebody typed it. ``moves``: what the page reckons with."""

    line: PlanLine
    after: str
    demand: str
    drafted: Drafted | None
    chosen: bool
    typed: str
    problem: str
    moves: Decimal

    @property
    def edited(self) -> bool:
        return self.drafted is not None and self.drafted.transfer.amount != self.line.amount


@dataclass(frozen=True)
class Part:
    """One group of the plan: its sentence, its transfers, what they do, and what nothing mends.

    ``outside``, ``stays``: how many accounts are outside their bands before the plan, and after it, as it is planned.
    """

    group: PlanGroup
    name: str
    look: tuple[str, str]
    sentence: str
    facts: list[tuple[str, str]]
    lines: list[Line]
    drawing: Drawing | None
    chart: Chart
    outside: int
    stays: int
    warnings: list[str]
    non_moves: list[tuple[str, str]]
    oldest: datetime | None
    decimals: int
    line_decimals: int

    @property
    def calm(self) -> bool:
        return self.group.status == Status.NOTHING


def context_of(plan: Plan, person: User, at: datetime, said: Said | None = None) -> dict[str, Any]:
    said = said or Said()
    groups = groups_of(person)
    parts = parts_of(plan, person, at, said)
    lines = [line for part in parts for line in part.lines]
    open_lines = [one for one in lines if one.drafted is None]
    own = own_drafts(parts, person)
    too_late = propose.why_not_draft(plan, at)
    return {
        "at": at,
        "plan": plan,
        "parts": [one for one in parts if not one.group.second_step],
        "by_hand": [one for one in parts if one.group.second_step],
        "what_if": plan.origin == Origin.WHAT_IF,
        "working": is_working(plan),
        "live": is_live(plan, parts),
        "may_ask": not INVOLVED.isdisjoint(groups),
        "open_lines": len(open_lines),
        "too_late": too_late,
        "offers_drafts": MAKERS in groups and bool(open_lines) and not too_late,
        "may_submit": MAKERS in groups and bool(own),
        "own_drafts": len(own),
        "said": said,
        "ends_outside": sum(len(one.warnings) for one in parts),
        "verdict": verdict(parts),
        "moves": len(lines),
        "oldest": min((one.oldest for one in parts if one.oldest), default=None),
        "refused": "",
    }


def verdict(parts: Sequence[Part]) -> str:
    """The plan in a few sentences: how many transfers mend how much, and what they do not."""
    first = [one for one in parts if not one.group.second_step]
    moves, by_hand = (
        sum(len(one.lines) for one in some) for some in (first, [one for one in parts if one not in first])
    )
    outside, stays = sum(one.outside for one in first), sum(one.stays for one in first)
    unread = sum(one.group.status == Status.REFUSED for one in first)
    said = [mended(moves, outside, stays)] if moves or outside or not unread else []
    if by_hand:
        said.append(f"A further step, by hand, has {counted(by_hand, 'transfer')}.")
    if unread:
        said.append(f"{counted(unread, 'group')} could not be planned: read the balances first.")
    return " ".join(said)


def mended(moves: int, outside: int, stays: int) -> str:
    if not outside:
        return "Nothing to do: every account is inside its band."
    if not moves:
        return (
            f"No transfer helps: {counted(outside, 'account')} {'is' if outside == 1 else 'are'} outside; below is why."
        )
    inside = f"inside {'its band' if outside - stays == 1 else 'their bands'}"
    said = (
        f"{counted(moves, 'transfer')} bring{'s' if moves == 1 else ''} {counted(outside - stays, 'account')} {inside}."
    )
    return (
        f"{said} {counted(stays, 'account')} stay{'s' if stays == 1 else ''} outside; below is why." if stays else said
    )


def counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def own_drafts(parts: Sequence[Part], person: User) -> list[Transfer]:
    drafted = [one.transfer for one in drafted_in(parts)]
    return [one for one in drafted if one.state == State.DRAFT and one.maker_id == person.pk]


def drafted_in(parts: Sequence[Part]) -> list[Drafted]:
    return [line.drafted for part in parts for line in part.lines if line.drafted is not None]


def is_working(plan: Plan) -> bool:
    return plan.state in (PlanState.WAITING, PlanState.COMPUTING)


def is_live(plan: Plan, parts: Sequence[Part]) -> bool:
    """Whether the page may change by itself: it is being computed, or what was drafted from it is under way."""
    moving = [one for one in drafted_in(parts) if not (one.transfer.has_ended or one.transfer.state == State.DRAFT)]
    return is_working(plan) or bool(moving)


def parts_of(plan: Plan, person: User, at: datetime, said: Said) -> list[Part]:
    groups = list(
        plan.groups.select_related("connection").prefetch_related(
            "lines__source__connection", "lines__destination__connection"
        )
    )
    if not groups:
        return []
    drafts = drafted_of(plan, person, at)
    parts = [part_of(group, reckoned_from(group), drafts, said) for group in groups]
    return sorted(parts, key=lambda one: (one.calm, not one.lines))


def drafted_of(plan: Plan, person: User, at: datetime) -> dict[int, Drafted]:
    """What was drafted from the plan, by the line; a draft is its maker's own, so others see only that there is one."""
    made = queries.with_standing(Transfer.objects.filter(planned__group__plan=plan), at).select_related("maker")
    theirs = set(queries.visible_to(person).filter(planned__group__plan=plan).values_list("pk", flat=True))
    return {
        one.planned_id: Drafted(one, STANDINGS[one.standing_key], one.pk in theirs)
        for one in made
        if one.planned_id is not None
    }


def part_of(group: PlanGroup, inputs: Sequence[Reckoned], drafts: Mapping[int, Drafted], said: Said) -> Part:
    lines = [line_of(one, drafts.get(one.pk), said) for one in group.lines.all()]
    chart = drift_of(group, inputs, [(one.line, one.moves) for one in lines])
    as_planned = drift_of(group, inputs, [(one.line, one.line.amount) for one in lines])
    unread = group.status == Status.REFUSED
    titles = {one.account: one.title for one in inputs}
    return Part(
        group=group,
        name=f"part-{group.pk}",
        look=LOOKS[group.status],
        sentence=words_of(group, titles),
        facts=facts_of(group),
        lines=lines,
        drawing=flows.drawing([flow(one.line, group) for one in lines], asset=group.asset),
        chart=chart,
        outside=0 if unread else sum(one.outside for one in as_planned.bars),
        stays=0 if unread else len(ends_outside(as_planned)),
        warnings=ends_outside(chart) if lines else [],
        non_moves=[(titles.get(one["account"], f"account {one['account']}"), one["why"]) for one in group.non_moves],
        oldest=min((one.observed_at for one in inputs if one.observed_at), default=None),
        decimals=decimals_in(chart),
        line_decimals=max((decimals_of(one.line.amount) for one in lines), default=0),
    )


def line_of(line: PlanLine, drafted: Drafted | None, said: Said) -> Line:
    typed = said.amounts.get(line.pk, plain(line.amount))
    chosen = line.pk in said.amounts if said.asked else not line.group.second_step
    moves = drafted.transfer.amount if drafted else as_typed(typed, line.amount, chosen or not said.asked)
    asked = Transfer(asset=line.asset, amount=moves or line.amount)  # never saved: the policy reads these two words
    return Line(
        line=line,
        after=f"after {' and '.join(map(str, line.after))}" if line.after else "",
        demand=" and ".join(f"{count} of {group}" for group, count in policy.demands_for(asked).items()),
        drafted=drafted,
        chosen=chosen,
        typed=typed,
        problem=str(said.problems.get(line.pk, "")),
        moves=moves,
    )


def as_typed(text: str, planned: Decimal, counts: bool) -> Decimal:
    """What a line moves as it stands in the form: the planned amount where what was typed is none."""
    try:
        return parse_amount(text) if counts else Decimal(0)
    except Invalid:
        return planned


def flow(line: PlanLine, group: PlanGroup) -> Flow:
    """Of a step between connections the names say which one."""
    names = (
        (str(line.source), str(line.destination)) if group.second_step else (line.source.title, line.destination.title)
    )
    return Flow(line.number, *names, line.amount)
