"""Plan: asked for by somebody or by the clock, computed by a worker, stored with its inputs and its proof."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection as database
from django.db import transaction
from django.db.models import QuerySet

from treasury.audit.record import Machine, record
from treasury.celery import send_on_commit
from treasury.controls import bands
from treasury.controls.roles import MAKERS, groups_of, people
from treasury.models import Connection, Origin, Plan, PlanGroup, PlanLine, PlanState, Status, User
from treasury.notices.outbox import beside, tell
from treasury.pace import paced
from treasury.rebalancing import certificate, drift, explain, inputs, second_step, suppose
from treasury.rebalancing.certificate import Certificate, Kind
from treasury.rebalancing.problem import Move
from treasury.rebalancing.recheck import moved
from treasury.rebalancing.solve import solve

log = logging.getLogger(__name__)

COMPUTE = "treasury.compute_plan"
QUEUE = "plans"
PLANNER = Machine("planner")
SCHEDULE = Machine("schedule")
ASKED_AGAIN = paced(timedelta(seconds=15))  # a plan that waits for longer is sent for again: its message was lost
GONE_AFTER = paced(timedelta(minutes=1))  # whoever computes holds the plan's lock; without it for so long, it died
DIED = "Nothing was changed. The planner stopped in the middle of it; compute it again."


class NotPlanned(Exception):
    """No plan was asked for, and nothing was changed. The text says why."""


class Abandoned(Exception):
    """The plan is no longer being computed: it was given up meanwhile."""


def ask(
    *,
    by: User | None,
    at: datetime,
    origin: Origin = Origin.HAND,
    connection: Connection | None = None,
    asset: str = "",
    overrides: Mapping[str, Any] | None = None,
) -> Plan:
    """Ask for a plan; a worker computes it. The same question by the same person that still waits is one plan.

    ``by`` None: the clock. Raises NotPlanned: no role, no band at all, overrides that are no numbers.
    """
    words = _insist(by, origin, connection, asset, overrides)
    question = {"asked_by": by, "origin": origin, "connection": connection, "asset": asset, "overrides": words}
    with transaction.atomic():
        with database.cursor() as cursor:  # two clicks at once: the second waits here, then finds the first's plan
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext('plan'), %s)", [by.pk if by else 0])
        if again := Plan.objects.filter(state=PlanState.WAITING, **question).first():
            return again
        with database.cursor() as cursor:
            cursor.execute("SELECT nextval('treasury_plan_number')")
            (number,) = cursor.fetchone()
        plan = Plan.objects.create(reference=f"PL-{number:06d}", asked_at=at, **question)
        facts = {
            "origin": str(origin),
            "connection": connection.name if connection else None,
            "asset": asset,
            "overrides": words,
        }
        record(at=at, by=by or SCHEDULE, action="plan.ask", subject=plan.subject, facts=facts)
        send_on_commit(COMPUTE, plan.pk, queue=QUEUE)
        return plan


def _insist(
    by: User | None, origin: Origin, connection: Connection | None, asset: str, overrides: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The overrides as they are stored. Raises NotPlanned."""
    if by is not None and not groups_of(by):
        raise NotPlanned("No plan was asked for. You hold no role here; an administrator can give you one.")
    try:
        words = suppose.plainly(overrides)
    except suppose.NotSupposed as wrong:
        raise NotPlanned(f"No plan was asked for. {wrong}") from None
    if bool(words) != (origin == Origin.WHAT_IF):
        raise NotPlanned("No plan was asked for. A plan supposes something exactly if it is a what-if.")
    found = bands.current()
    if connection is not None:
        found = found.filter(account__connection=connection)
    if asset:
        found = found.filter(asset=asset)
    if not (found.exists() or words.get(suppose.BANDS)):
        raise NotPlanned("No plan was asked for. There is no band yet, so that nothing can be outside one.")
    return words


def compute(*, plan_id: int, at: datetime, between: Callable[[], object] = bool) -> None:
    """Compute a plan that waits, group by group, and store it. Outside any transaction; a doubled message computes
    once. ``between`` is called after each group, so that a long computation can give a sign of life."""
    began = time.monotonic()
    if not Plan.objects.filter(pk=plan_id, state=PlanState.WAITING).update(state=PlanState.COMPUTING, began_at=at):
        return
    plan = Plan.objects.select_related("connection").get(pk=plan_id)
    try:
        groups = drift.read(at, connection=plan.connection, asset=plan.asset, overrides=plan.overrides)
        Plan.objects.filter(pk=plan_id, state=PlanState.COMPUTING).update(groups_all=len(groups))
        for group in groups:
            _compute_group(plan, group, at)
            between()
        if plan.connection is None:
            _compute_second_step(plan, groups, at)
        _finish(plan, at + timedelta(seconds=time.monotonic() - began))
    except Abandoned:
        log.warning("%s was given up while it was computed", plan)
    except Exception as unforeseen:  # a defect of ours; people read that there is no plan, and the log has the rest
        log.exception("%s could not be computed", plan)
        words = f"Nothing was changed. The planner failed ({type(unforeseen).__name__}); see the service's log."
        fail(plan_id=plan_id, problem=words, at=at + timedelta(seconds=time.monotonic() - began))


def fail(*, plan_id: int, problem: str, at: datetime) -> None:
    """End a plan that is being computed without a result; nothing happens where it is not."""
    with transaction.atomic():
        computing = {"pk": plan_id, "state": PlanState.COMPUTING}
        if Plan.objects.filter(**computing).update(state=PlanState.FAILED, ended_at=at, problem=problem):
            plan = Plan.objects.get(pk=plan_id)
            record(at=at, by=PLANNER, action="plan.fail", subject=plan.subject, facts={"problem": problem})


def waiting(at: datetime) -> QuerySet[Plan]:
    """Plans whose message was lost, it seems: they wait for longer than a planner takes to begin."""
    return Plan.objects.filter(state=PlanState.WAITING, asked_at__lte=at - ASKED_AGAIN).order_by("pk")


def may_be_gone(at: datetime) -> QuerySet[Plan]:
    """Plans that have been computed for so long that their planner may have died. Its lock tells."""
    return Plan.objects.filter(state=PlanState.COMPUTING, began_at__lte=at - GONE_AFTER).order_by("pk")


def _compute_group(plan: Plan, group: drift.Group, at: datetime) -> None:
    refused = [stand for stand in group.stands if stand.why_unknown]
    if refused:
        why = [{"account": stand.account.pk, "why": explain.unread(stand)} for stand in refused]
        text = inputs.text_of(group, None, at=at, overrides=plan.overrides)
        return _store(plan, group, Status.REFUSED, text, certificate={}, non_moves=why)
    stated = inputs.problem_of(group, at)
    text = inputs.text_of(group, stated, at=at, overrides=plan.overrides)
    solution = solve(stated, limit=settings.PLAN_LIMIT)
    return _store(
        plan,
        group,
        status_of(solution.certificate),
        text,
        certificate=solution.certificate.as_json(),
        non_moves=explain.non_moves(group, stated, solution.moves),
        moves=solution.moves,
    )


def _compute_second_step(plan: Plan, groups: Sequence[drift.Group], at: datetime) -> None:
    """What the first step leaves outside, mended between connections: by hand, and apart from all else."""
    if (desk := second_step.desk()) is None:
        return
    first: dict[tuple[int, str], list[Move]] = {
        (one.connection_id, one.asset): moves_of(one) for one in plan.groups.exclude(status=Status.REFUSED)
    }
    for joined, stated in second_step.groups(groups, first, desk):
        solution = solve(stated, limit=settings.PLAN_LIMIT)
        if solution.moves:
            text = inputs.text_of(joined, stated, at=at, overrides=plan.overrides)
            _store(
                plan,
                joined,
                status_of(solution.certificate),
                text,
                certificate=solution.certificate.as_json(),
                non_moves=[],
                moves=solution.moves,
                second=True,
            )


def status_of(proof: Certificate) -> Status:
    """Proven: that no plan helps more accounts, and that none that helps as many has fewer transfers."""
    if proof.kind in (Kind.COUNTING, Kind.SEARCH):
        return Status.PROVEN if proof.left_proven else Status.BEST
    if proof.kind is Kind.NO_HELP:  # unproven, it is only that none was found
        return Status.NO_HELP if proof.left_proven else Status.BEST
    return {Kind.NOTHING: Status.NOTHING, Kind.BEST: Status.BEST}[proof.kind]


def _store(
    plan: Plan,
    group: drift.Group,
    status: Status,
    text: str,
    *,
    certificate: Mapping[str, Any],
    non_moves: Sequence[Mapping[str, Any]],
    moves: Sequence[Move] = (),
    second: bool = False,
) -> None:
    """One group with its lines, in a short transaction of its own. Raises Abandoned."""
    with transaction.atomic(durable=True):
        done = plan.groups_done = plan.groups_done + (not second)
        if not Plan.objects.filter(pk=plan.pk, state=PlanState.COMPUTING).update(groups_done=done):
            raise Abandoned
        stored = PlanGroup.objects.create(
            plan=plan,
            connection=group.connection,
            asset=group.asset,
            status=status,
            inputs=text,
            digest=hashlib.sha256(text.encode()).hexdigest(),
            certificate=dict(certificate),
            non_moves=list(non_moves),
            second_step=second,
        )
        PlanLine.objects.bulk_create(
            PlanLine(
                group=stored,
                number=number,
                source_id=int(move.source),
                destination_id=int(move.destination),
                asset=group.asset,
                amount=move.amount,
                after=[index + 1 for index in move.after],
            )
            for number, move in enumerate(moves, start=1)
        )


def _finish(plan: Plan, at: datetime) -> None:
    """Say that it is ready, in the log with the digest of each part, and to makers where the clock had asked."""
    with transaction.atomic(durable=True):
        computing = {"pk": plan.pk, "state": PlanState.COMPUTING}
        if not Plan.objects.filter(**computing).update(state=PlanState.READY, ended_at=at):
            raise Abandoned
        groups = list(plan.groups.select_related("connection"))
        lines = PlanLine.objects.filter(group__plan=plan).count()
        told = [
            {"connection": one.connection.name, "asset": one.asset, "status": one.status, "digest": one.digest}
            for one in groups
        ]
        facts = {"groups": told, "lines": lines}
        record(at=at, by=PLANNER, action="plan.compute", subject=plan.subject, facts=facts)
        if lines and plan.origin == Origin.SCHEDULE:
            _tell(plan, at)


def _tell(plan: Plan, at: datetime) -> None:
    with beside(plan.reference):
        tell(
            kind="plan.ready",
            subject=plan.subject,
            title=f"{plan} proposes transfers",
            text=f"Nothing moved. Accounts have been outside their bands for a while, and {plan} says what would mend "
            "it; nothing of it is drafted before a maker does so.",
            path=f"/plans/{plan}/",
            to=people(MAKERS),
            at=at,
            once=f"plan.ready:{plan}",
        )


def recheck(group: PlanGroup, *, search_again: bool = False) -> list[str]:
    """What is wrong with a stored part of a plan, reckoned again from its inputs and its lines alone; empty when
    nothing is. ``search_again``: the search too, whose answer must be as few transfers and as little moved."""
    wrong = []
    if hashlib.sha256(group.inputs.encode()).hexdigest() != group.digest:
        wrong.append("its inputs are not those of its digest")
    moves = moves_of(group)
    try:
        stated = inputs.problem_in(group.inputs)
        proof = certificate.from_json(group.certificate) if stated is not None else None
    except (ValueError, ArithmeticError, LookupError, TypeError):
        return [*wrong, "its inputs or its certificate cannot be read"]
    if stated is None or proof is None:
        return [*wrong, *(["it was refused, and has lines"] if moves else [])]
    wrong += certificate.check(stated, moves, proof)
    if group.status != status_of(proof):
        wrong.append(f"it is called “{group.get_status_display()}”, which its certificate does not say")
    if search_again:
        again = solve(stated, limit=settings.PLAN_LIMIT).moves
        if (len(again), moved(again)) != (len(moves), moved(moves)):
            wrong.append("the search finds another plan today")
    return wrong


def moves_of(group: PlanGroup) -> list[Move]:
    """The stored lines as moves of its problem."""
    return [
        Move(
            source=str(line.source_id),
            destination=str(line.destination_id),
            amount=line.amount,
            after=tuple(number - 1 for number in line.after),
        )
        for line in group.lines.order_by("number")
    ]
