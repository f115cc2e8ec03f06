"""Propose: lines of a plan become drafts, linked back to it. Nothing moves before people have approved them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from uuid import NAMESPACE_URL, uuid5

from django.conf import settings
from django.db import transaction

from treasury.audit.record import record
from treasury.models import Origin, Plan, PlanLine, PlanState, Predecessor, State, Transfer, User
from treasury.transfers import access, draft, order, submit


class NotDrafted(Exception):
    """No draft was saved. ``problems`` is {line id, or "": sentence}."""

    def __init__(self, problems: Mapping[int | str, str]) -> None:
        super().__init__(" ".join(problems.values()))
        self.problems = dict(problems)


def draft_lines(*, plan: Plan, amounts: Mapping[int, str], reason: str, maker: User, at: datetime) -> list[Transfer]:
    """Draft these lines of the plan, all or none; ``amounts`` is {line id: amount as typed}, the planned one or an
    edited one. What a line must wait for is drafted with it, or must have been drafted before.

    A line that was drafted already gives back its draft. Raises NotDrafted, access.NotAllowed.
    """
    access.insist(access.why_not_draft(maker))
    with transaction.atomic():
        plan = Plan.objects.select_for_update().get(pk=plan.pk)  # one at a time: a line becomes one draft
        lines = lines_of(plan)
        made = drafted_of(plan)
        if problems := _why_not_draft(plan, lines, made, amounts, maker, at):
            raise NotDrafted(problems)
        fresh = [line for line in lines.values() if line.pk in amounts and line.pk not in made]
        for line in fresh:
            made[line.pk] = _draft(plan, line, amounts[line.pk], reason, maker, at, problems)
        if problems:
            raise NotDrafted(problems)
        for line in fresh:
            _write_order(line, lines, made)
        if fresh:
            references = [made[line.pk].reference for line in fresh]
            record(at=at, by=maker, action="plan.draft", subject=plan.subject, facts={"transfers": references})
        return [made[pk] for pk in lines if pk in amounts]


def submit_all(*, plan: Plan, maker: User, at: datetime) -> list[tuple[Transfer, str]]:
    """Submit this maker's drafts of the plan one by one, in their order; each with why it was not, empty where it was.
    Each is decided by itself."""
    drafts = Transfer.objects.filter(planned__group__plan=plan, maker=maker, state=State.DRAFT)
    found = []
    for transfer in drafts.order_by(*IN_ORDER):
        problem = ""
        try:
            transfer = submit.submit(reference=transfer.reference, maker=maker, at=at)
        except (access.NotAllowed, access.NotNow, draft.Invalid) as refusal:
            problem = str(refusal)
        found.append((transfer, problem))
    return found


def why_not_draft(plan: Plan, at: datetime) -> str:
    """Why nothing can be drafted from this plan any more; empty when it can."""
    if plan.origin == Origin.WHAT_IF:
        return f"{plan} only supposes: nothing can be drafted from a what-if."
    if plan.state != PlanState.READY:
        return f"{plan} is not ready; nothing can be drafted from it."
    assert plan.ended_at is not None, "what is ready has ended"
    if at - plan.ended_at > settings.PLAN_DRAFTABLE:
        minutes = int(settings.PLAN_DRAFTABLE.total_seconds()) // 60
        return f"{plan} is older than {minutes} minutes, and the balances have moved on: compute again."
    return ""


def lines_of(plan: Plan) -> dict[int, PlanLine]:
    """Its lines by their ids, in their order."""
    lines = PlanLine.objects.filter(group__plan=plan).select_related(
        "group", "source__connection", "destination__connection"
    )
    return {line.pk: line for line in lines.order_by("group__second_step", "group", "number")}


def drafted_of(plan: Plan) -> dict[int, Transfer]:
    """What became of its lines: the transfer of each that was drafted, by the line's id."""
    found = Transfer.objects.filter(planned__group__plan=plan).select_related("maker")
    return {transfer.planned_id: transfer for transfer in found if transfer.planned_id is not None}


IN_ORDER = ("planned__group__second_step", "planned__group", "planned__number")


def _why_not_draft(
    plan: Plan,
    lines: Mapping[int, PlanLine],
    made: Mapping[int, Transfer],
    amounts: Mapping[int, str],
    maker: User,
    at: datetime,
) -> dict[int | str, str]:
    problems: dict[int | str, str] = {}
    if not amounts:
        return {"": "Nothing was drafted. Choose at least one line."}
    if any(pk not in lines for pk in amounts):
        return {"": f"Nothing was drafted. {plan} has no such line."}
    if any(pk not in made for pk in amounts) and (refusal := why_not_draft(plan, at)):
        return {"": f"Nothing was drafted. {refusal}"}
    for pk in amounts:
        if why := _why_not_line(lines[pk], lines, made, amounts, maker):
            problems[pk] = f"Nothing was drafted. {why}"
    return problems


def _why_not_line(
    line: PlanLine,
    lines: Mapping[int, PlanLine],
    made: Mapping[int, Transfer],
    amounts: Mapping[int, str],
    maker: User,
) -> str:
    """Why this line cannot be drafted beside the others that are chosen; empty when it can."""
    name = f"Line {line.number}"
    if before := made.get(line.pk):
        if before.maker_id != maker.pk:
            return f"{name} was drafted by {before.maker} already."
        return f"{name} was drafted as {before.reference}, {_ended(before)}: compute again." if _ended(before) else ""
    for first in _first_of(line, lines):
        drafted = made.get(first.pk)
        if drafted is None and first.pk not in amounts:
            return f"{name} needs line {first.number} to settle first: choose that one too."
        if drafted is not None and _ended(drafted):
            return f"{name} needs line {first.number} to settle first, and {drafted.reference} {_ended(drafted)}."
    return ""


def _ended(transfer: Transfer) -> str:
    """How it ended without moving; empty while it has not."""
    return order.ENDINGS.get(State(transfer.state), "")


def _first_of(line: PlanLine, lines: Mapping[int, PlanLine]) -> list[PlanLine]:
    """What must settle before it."""
    return [one for one in lines.values() if one.group_id == line.group_id and one.number in line.after]


def _draft(
    plan: Plan,
    line: PlanLine,
    amount: str,
    reason: str,
    maker: User,
    at: datetime,
    problems: dict[int | str, str],
) -> Transfer:
    """A new draft of the line, or an empty one and its sentence in ``problems``."""
    said = reason.strip() or f"Line {line.number} of {plan}, to bring {line.asset} inside its bands"
    words = draft.Words(line.source, line.destination, line.asset, amount, said)
    key = uuid5(NAMESPACE_URL, f"plan:{plan.pk}:line:{line.pk}")
    try:
        return draft.draft(words=words, maker=maker, at=at, draft_key=key, planned=line)
    except draft.Invalid as wrong:
        problems[line.pk] = str(wrong)
        return Transfer()


def _write_order(line: PlanLine, lines: Mapping[int, PlanLine], made: Mapping[int, Transfer]) -> None:
    Predecessor.objects.bulk_create(
        Predecessor(transfer=made[line.pk], first=made[first.pk]) for first in _first_of(line, lines)
    )
