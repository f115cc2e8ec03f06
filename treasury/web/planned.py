"""Everything that a plan's page shows, gathered for one person at one moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from treasury.controls import policy, rules
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
from treasury.rebalancing.on_its_way import READ_AGAIN
from treasury.templatetags.treasury import places as decimals_of
from treasury.transfers import assess, queries
from treasury.transfers.draft import Invalid, parse_amount
from treasury.transfers.order import ENDINGS
from treasury.transfers.queries import STANDINGS, Standing
from treasury.web.charts import flows
from treasury.web.charts.bands import Chart
from treasury.web.charts.flows import Drawing, Flow
from treasury.web.drifting import decimals_in, moved
from treasury.web.proof import facts_of, words_of
from treasury.web.rebalancing import INVOLVED
from treasury.web.reckoned import Reckoned, drift_of, ends_outside, off_then, reckoned_from
from treasury.web.supposed import supposed_in_words
from treasury.web.verdicts import next_step, verdict

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

    ``asked``: the form was sent. ``checked``: they asked what these amounts would do, and nothing was written;
    ``warnings``: what would keep some from being sent.
    """

    amounts: Mapping[int, str] = field(default_factory=dict)
    problems: Mapping[int | str, str] = field(default_factory=dict)
    reason: str = ""
    asked: bool = False
    checked: bool = False
    warnings: Sequence[str] = ()


@dataclass(frozen=True)
class Drafted:
    """What became of a line: how its transfer stands, and whether this person may open it."""

    transfer: Transfer
    standing: Standing
    visible: bool

    @property
    def ended(self) -> bool:
        """Whether it ended and certainly moved nothing."""
        return self.transfer.state in ENDINGS and self.standing.key != "contradicted"


@dataclass(frozen=True)
class Line:
    """One proposed transfer, as it is planned and as somebody typed it. ``moves``: what the page reckons with, between
    the accounts of what was drafted; ``since``: what others have submitted at its accounts since the plan."""

    line: PlanLine
    after: str
    demand: str
    drafted: Drafted | None
    chosen: bool
    typed: str
    problem: str
    moves: Decimal
    since: str

    @property
    def edited(self) -> bool:
        return bool(self.otherwise) and not self.ended

    @property
    def otherwise(self) -> str:
        """In which words the draft differs from the line."""
        return propose.otherwise(self.drafted.transfer, self.line) if self.drafted else ""

    @property
    def ended(self) -> bool:
        return self.drafted is not None and self.drafted.ended

    @property
    def offered(self) -> bool:
        """Whether it may be drafted, as far as the line itself goes."""
        return self.drafted is None and not self.since

    @property
    def moved_by(self) -> PlanLine | Transfer:
        return self.drafted.transfer if self.drafted else self.line


@dataclass(frozen=True)
class Part:
    """One group of the plan: its sentence, its transfers, what they do, and what nothing mends.

    ``outside``: how many accounts are outside their bands before the plan; ``brought`` of them are inside after what
    its lines now move, and ``stays`` are outside then. ``before`` heads the column of what it was reckoned from, and
    ``before_then`` says what that is, and names what
    waited then.
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
    brought: int
    stays: int
    before: str
    before_then: str
    overdrawn: list[str]
    warnings: list[str]
    non_moves: list[tuple[str, str]]
    oldest: datetime | None
    decimals: int
    line_decimals: int

    @property
    def calm(self) -> bool:
        return self.group.status == Status.NOTHING

    @property
    def status(self) -> str:
        return "Not planned" if self.group.status == Status.REFUSED else self.group.get_status_display()

    @property
    def wants_reading(self) -> bool:
        """Whether reading the balances again would help."""
        return any(READ_AGAIN in why.lower() for _, why in self.non_moves)


def context_of(plan: Plan, person: User, at: datetime, said: Said | None = None) -> dict[str, Any]:
    said = said or Said()
    groups = groups_of(person)
    parts = parts_of(plan, person, at, said)
    lines = [line for part in parts for line in part.lines]
    open_lines = [one for one in lines if one.offered]
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
        "spoilt_lines": sum(bool(one.since) for one in lines),
        "next": next_step(plan, drafted_in(parts), person),
        "to_read": sorted({one.group.connection for one in parts if one.wants_reading}, key=str),
        "supposed": supposed_in_words(plan),
        "said": said,
        "ends_outside": sum(len(one.warnings) for one in parts),
        "left_out": sorted(one.line.number for one in lines if one.problem and one.chosen),
        "verdict": verdict(parts, asked=said.asked),
        "calm": not any(one.lines or one.outside or one.group.status == Status.REFUSED for one in parts),
        "oldest": min((one.oldest for one in parts if one.oldest), default=None),
        "refused": "",
    }


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
    since = since_of(plan, [line for group in groups for line in group.lines.all()], drafts, at)
    asking = Asking(person, at)
    parts = [
        part_of(
            group,
            reckoned_from(group),
            [line_of(one, group, drafts.get(one.pk), said, since, asking) for one in group.lines.all()],
        )
        for group in groups
    ]
    return sorted(parts, key=lambda one: (one.calm, not one.lines))


def drafted_of(plan: Plan, person: User, at: datetime) -> dict[int, Drafted]:
    """What was drafted from the plan, by the line; a draft is its maker's own, so others see only that there is one."""
    made = queries.with_standing(Transfer.objects.filter(planned__group__plan=plan), at).select_related(
        "maker", "connection", "source__connection", "destination__connection"
    )
    theirs = set(queries.visible_to(person).filter(planned__group__plan=plan).values_list("pk", flat=True))
    return {
        one.planned_id: Drafted(one, STANDINGS[one.standing_key], one.pk in theirs)
        for one in made
        if one.planned_id is not None
    }


def since_of(
    plan: Plan, lines: Sequence[PlanLine], drafts: Mapping[int, Drafted], at: datetime
) -> Mapping[int, list[Transfer]]:
    """What others have submitted at the accounts of the lines that may still be drafted."""
    if propose.why_not_draft(plan, at):
        return {}
    return propose.submitted_since(plan, [one for one in lines if one.pk not in drafts])


def part_of(group: PlanGroup, inputs: Sequence[Reckoned], lines: list[Line]) -> Part:
    chart = drift_of(group, inputs, [(one.moved_by, one.moves) for one in lines if one.moves])
    unread = group.status == Status.REFUSED
    titles = {one.account: one.title for one in inputs}
    waited = sorted({name for one in inputs for name, _ in one.waiting})
    return Part(
        group=group,
        name=f"part-{group.pk}",
        look=LOOKS[group.status],
        sentence=words_of(group, titles),
        facts=facts_of(group),
        lines=lines,
        drawing=flows.drawing([flow(one, group) for one in lines if one.moves], asset=group.asset),
        chart=chart,
        outside=0 if unread else sum(one.outside for one in chart.bars),
        brought=0 if unread else sum(one.outside and not off_then(one) for one in chart.bars),
        stays=0 if unread else sum(bool(off_then(one)) for one in chart.bars),
        before="Expected" if waited else "Before" if lines else "Holds",
        before_then=f"expected, once {moved(waited)}" if waited else "before" if lines else "what it holds",
        overdrawn=[one.overdrawn for one in inputs if one.overdrawn],
        warnings=ends_outside(chart) if lines else [],
        non_moves=[(titles.get(one["account"], f"account {one['account']}"), one["why"]) for one in group.non_moves],
        oldest=min((one.observed_at for one in inputs if one.observed_at), default=None),
        decimals=decimals_in(chart),
        line_decimals=max((decimals_of(one.line.amount) for one in lines), default=0),
    )


def line_of(
    line: PlanLine,
    group: PlanGroup,
    drafted: Drafted | None,
    said: Said,
    since: Mapping[int, Sequence[Transfer]],
    asking: Asking,
) -> Line:
    typed = said.amounts.get(line.pk, plain(line.amount))
    others = since.get(line.pk, ())
    chosen = line.pk in said.amounts if said.asked else not line.group.second_step
    if drafted:
        same = drafted.transfer.asset == line.asset and not drafted.ended
        moves = drafted.transfer.amount if same else Decimal(0)
    else:
        moves = as_typed(typed, chosen or not said.asked)
    return Line(
        line=line,
        after=f"after {' and '.join(map(str, line.after))}" if line.after else "",
        demand=asking.demand(line, group, moves or line.amount, drafted),
        drafted=drafted,
        chosen=chosen,
        typed=typed,
        problem=str(said.problems.get(line.pk, "")),
        moves=moves,
        since=f"{propose.since_in_words(others)}: compute again" if others else "",
    )


class Asking:
    """The policy in force, asked about every line of a page: version, prices and sums are read once."""

    def __init__(self, person: User, at: datetime) -> None:
        self.person = person
        self.none = ""
        try:
            self.ask = assess.asking(at)
        except policy.NoPolicy as none:
            self.none = str(none)

    def demand(self, line: PlanLine, group: PlanGroup, amount: Decimal, drafted: Drafted | None) -> str:
        """Who would have to approve it, or what was drafted of it; or why it could not be submitted."""
        if self.none:
            return self.none
        answer = self.ask(drafted.transfer if drafted else self.supposed(line, group, amount))
        return rules.in_words(answer.demands) if answer.allowed else answer.sentence

    def supposed(self, line: PlanLine, group: PlanGroup, amount: Decimal) -> Transfer:
        """The line as this person's draft. Never saved: the policy reads its words."""
        return Transfer(
            maker=self.person,
            connection=group.connection,
            source=line.source,
            destination=line.destination,
            asset=line.asset,
            amount=amount,
            planned=line,
        )


def as_typed(text: str, counts: bool) -> Decimal:
    """What a line moves as it stands in the form: nothing where what was typed is no amount."""
    try:
        return parse_amount(text) if counts else Decimal(0)
    except Invalid:
        return Decimal(0)


def flow(one: Line, group: PlanGroup) -> Flow:
    """As it now is. Of a step between connections the names say which one."""
    source, destination = (
        str(end) if group.second_step else end.title for end in (one.moved_by.source, one.moved_by.destination)
    )
    return Flow(one.line.number, source, destination, one.moves)
