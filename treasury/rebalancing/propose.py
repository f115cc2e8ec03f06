"""Propose: lines of a plan become drafts, linked back to it. Nothing moves before people have approved them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from uuid import NAMESPACE_URL, uuid5

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from treasury.audit.record import record
from treasury.balances.holdings import balance_of
from treasury.balances.movements import CALM
from treasury.controls import policy
from treasury.models import Account, Origin, Plan, PlanLine, PlanState, Predecessor, State, Transfer, User
from treasury.models.amount import grouped
from treasury.rebalancing import drift
from treasury.rebalancing.explain import listed
from treasury.transfers import access, draft, guards, order, submit

NAMED = 3  # transfers in a sentence; more are counted


class NotDrafted(Exception):
    """No draft was saved. ``problems`` is {line id, or "": sentence}."""

    def __init__(self, problems: Mapping[int | str, str]) -> None:
        super().__init__(" ".join(problems.values()))
        self.problems = dict(problems)


def draft_lines(*, plan: Plan, amounts: Mapping[int, str], reason: str, maker: User, at: datetime) -> list[Transfer]:
    """Draft these lines of the plan, all or none; ``amounts`` is {line id: amount as typed}, the planned one or an
    edited one. What a line must wait for is drafted with it, or must have been drafted before, and nothing that is not
    of this plan may have been submitted at its accounts since the plan was reckoned: its numbers no longer hold.

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


def check_lines(
    *, plan: Plan, amounts: Mapping[int, str], reason: str, maker: User, at: datetime
) -> dict[int | str, str]:
    """What would keep ``draft_lines`` from drafting these lines, as NotDrafted has it; nothing is written.

    Raises access.NotAllowed.
    """
    access.insist(access.why_not_draft(maker))
    lines, made = lines_of(plan), drafted_of(plan)
    problems = _why_not_draft(plan, lines, made, amounts, maker, at) if amounts else {}
    for pk in amounts:
        if pk in lines and pk not in made and pk not in problems:
            try:
                draft.checked(_words(plan, lines[pk], amounts[pk], reason), at)
            except draft.Invalid as wrong:
                problems[pk] = str(wrong)
    return problems


def too_much(plan: Plan, amounts: Mapping[int, Decimal]) -> list[str]:
    """A sentence for each account that can give less now than these lines take of it: a warning, for money may arrive
    before they are sent. A line that waits for another one's money is not counted."""
    taken: dict[tuple[int, str], tuple[Account, Decimal]] = {}
    for pk, line in lines_of(plan).items():
        if pk in amounts and not line.after:
            account, before = taken.get((line.source_id, line.asset), (line.source, Decimal(0)))
            taken[line.source_id, line.asset] = account, before + amounts[pk]
    found, floors = [], policy.floors()
    for (_, asset), (account, amount) in taken.items():
        held = balance_of(account, asset)
        left = guards.usable(held, floors=floors) if held is not None else None
        if left is not None and amount > left:
            found.append(
                f"{grouped(amount)} {asset} of {account.title} are to be sent, and {grouped(left)} can be moved now; "
                "the rest will not be sent unless more arrives."
            )
    return found


def submit_all(*, plan: Plan, maker: User, at: datetime) -> list[tuple[Transfer, str]]:
    """Submit this maker's drafts of the plan one by one, in their order; each with why it was not, empty where it was.
    Each is decided by itself. One is kept back where the plan is too old by now, or where others have been submitted at
    its accounts since the plan was reckoned; its own page still submits it."""
    drafts = Transfer.objects.filter(planned__group__plan=plan, maker=maker, state=State.DRAFT)
    found = []
    for transfer in drafts.select_related("source", "destination").order_by(*IN_ORDER):
        problem = ""
        try:
            with transaction.atomic():
                # Two plans at once: the second waits here, then sees what the first has submitted.
                ends = Account.objects.filter(pk__in=[transfer.source_id, transfer.destination_id])
                list(ends.order_by("pk").select_for_update(no_key=True))
                if too_old := why_too_old(plan, at):
                    raise access.NotNow(too_old)
                if others := submitted_since(plan, [transfer])[transfer.pk]:
                    raise access.NotNow(f"{since_in_words(others)}: compute again.")
                transfer = submit.submit(reference=transfer.reference, maker=maker, at=at)
        except (access.NotAllowed, access.NotNow, draft.Invalid, policy.Denied, policy.NoPolicy) as refusal:
            problem = str(refusal)
        found.append((transfer, problem))
    return found


def submitted_since(plan: Plan, touched: Sequence[PlanLine | Transfer]) -> dict[int, list[Transfer]]:
    """Of each of these lines, or drafts of it, by its id: what is not of this plan, touches one of its accounts in its
    asset, and was submitted after the plan was reckoned; what has ended without moving is none of it. One query."""
    found: dict[int, list[Transfer]] = {one.pk: [] for one in touched}
    accounts = {account for one in touched for account in (one.source_id, one.destination_id)}
    if plan.began_at is None or not accounts:
        return found
    known = set(_reckoned_with(plan))
    ours = Q(source__in=accounts) | Q(destination__in=accounts)
    # Two clocks may differ: what was submitted just before is left out if the plan's own inputs name it.
    later = Transfer.objects.filter(ours, submitted_at__gt=plan.began_at - CALM).exclude(state__in=list(order.ENDINGS))
    for other in later.exclude(planned__group__plan=plan).order_by("pk"):
        if other.reference in known:
            continue
        for one in touched:
            at_both = {one.source_id, one.destination_id} & {other.source_id, other.destination_id}
            if at_both and other.asset.upper() == one.asset.upper():
                found[one.pk].append(other)
    return found


def since_in_words(others: Sequence[Transfer]) -> str:
    """ "TR-000011 (5 000 000 USDT) was submitted since this plan was computed"."""
    names = [f"{one.reference} ({grouped(one.amount)} {one.asset})" for one in others[:NAMED]]
    if more := others[NAMED:]:
        names.append(f"{len(more)} more")
    return f"{listed(names)} {'was' if len(others) == 1 else 'were'} submitted since this plan was computed"


def _reckoned_with(plan: Plan) -> Iterator[str]:
    """The transfers that the plan counted as still to move, by their references."""
    for text in plan.groups.values_list("inputs", flat=True):
        for account in json.loads(text).get("accounts", ()):
            for one in account["on its way"]:
                yield one["reference"]


def why_not_draft(plan: Plan, at: datetime) -> str:
    """Why nothing can be drafted from this plan any more; empty when it can."""
    if plan.origin == Origin.WHAT_IF:
        return f"{plan} only supposes: nothing can be drafted from a what-if."
    if plan.state != PlanState.READY:
        return f"{plan} is not ready; nothing can be drafted from it."
    return why_too_old(plan, at)


def why_too_old(plan: Plan, at: datetime) -> str:
    """Why its numbers say nothing about now, by their age; empty while they do. They are of the moment at which its
    computing began, however long that took."""
    assert plan.began_at is not None, "what is ready has begun"
    age = at - plan.began_at
    if age <= settings.PLAN_DRAFTABLE:
        return ""
    return f"{plan} is {drift.age_in_words(age)} old, and the balances have moved on: compute again."


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
    fresh = [lines[pk] for pk in amounts if pk not in made]
    since = submitted_since(plan, fresh)
    for pk in amounts:
        why = _why_not_line(lines[pk], lines, made, amounts, maker)
        if not why and since.get(pk):
            why = f"Line {lines[pk].number}: {since_in_words(since[pk])}, at one of its accounts: compute again."
        if why:
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
        if ended := _ended(before):
            return f"{name} was drafted as {before.reference}, which {ended}; a line is drafted once: compute again."
        return ""
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
    words = _words(plan, line, amount, reason)
    key = uuid5(NAMESPACE_URL, f"plan:{plan.pk}:line:{line.pk}")
    try:
        return draft.draft(words=words, maker=maker, at=at, draft_key=key, planned=line)
    except draft.Invalid as wrong:
        problems[line.pk] = str(wrong)
        return Transfer()


def _words(plan: Plan, line: PlanLine, amount: str, reason: str) -> draft.Words:
    """The words of a draft of the line. An empty reason names the plan, and says so where the amount is another."""
    said = reason.strip() or f"Line {line.number} of {plan}, to bring {line.asset} inside its bands"
    if not reason.strip() and _is_edited(line, amount):
        said = f"Line {line.number} of {plan}, edited: the plan had {grouped(line.amount)}"
    return draft.Words(line.source, line.destination, line.asset, amount, said)


def _is_edited(line: PlanLine, amount: str) -> bool:
    try:
        return bool(draft.parse_amount(amount) != line.amount)
    except draft.Invalid:
        return True


def otherwise(transfer: Transfer, line: PlanLine) -> str:
    """In which words a transfer differs from the line that it was drafted from; empty where it does not."""
    if (transfer.source_id, transfer.destination_id, transfer.asset) != (
        line.source_id,
        line.destination_id,
        line.asset,
    ):
        return "other words than the plan's"
    return f"the plan had {grouped(line.amount)}" if transfer.amount != line.amount else ""


def _write_order(line: PlanLine, lines: Mapping[int, PlanLine], made: Mapping[int, Transfer]) -> None:
    Predecessor.objects.bulk_create(
        Predecessor(transfer=made[line.pk], first=made[first.pk]) for first in _first_of(line, lines)
    )
