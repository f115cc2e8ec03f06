"""How far off we are: every group with its bands, the drift of each asset over all venues, and the latest plans."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import Count, QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from treasury.balances.refresh import ask_each, is_awaited
from treasury.controls import changes
from treasury.controls.bands import SET as BANDS
from treasury.controls.roles import CHECKERS, MAKERS, OPERATORS, groups_of
from treasury.models import Connection, Plan, PlanState, User
from treasury.rebalancing import drift
from treasury.rebalancing import plan as planning
from treasury.transfers.access import NotAllowed
from treasury.web import drifting, refusals
from treasury.web.htmx import STOP_POLLING, Request, answer, go, noted, wants_part, whole
from treasury.web.transfers import insist_on_role, refused_without_role

INVOLVED = frozenset({MAKERS, CHECKERS, OPERATORS})
WORKING = (PlanState.WAITING, PlanState.COMPUTING)
LATEST = 5
NOTHING_TO_READ = "Nothing can be read now: what is by hand is stated by people, and a limited venue asked us to wait."


@require_safe
def show(request: Request) -> HttpResponse:
    if without_role := refused_without_role(request, "rebalancing"):
        return without_role
    response = shown(request)
    if wants_part(request) and not is_live(timezone.now()):
        response.status_code = STOP_POLLING
    return response


@require_POST
def compute(request: Request) -> HttpResponse:
    """Ask for a plan, of everything or of one group; the person goes on to its page and may leave it."""
    connection, asset = chosen_group(request)
    try:
        insist_on_doer(request, "No plan was asked for.")
        plan = planning.ask(by=request.user, at=timezone.now(), connection=connection, asset=asset)
    except refusals.REFUSALS as refusal:
        return refused(request, refusal, "plan.ask")
    return go(request, f"/plans/{plan.reference}/")


@require_POST
def read(request: Request) -> HttpResponse:
    """Ask for the balances of one connection, or of all that have a band, to be read; a worker reads them."""
    at = timezone.now()
    connection, _ = chosen_group(request)
    try:
        insist_on_doer(request, "No balance was asked for.")
    except refusals.REFUSALS as refusal:
        return refused(request, refusal, "balance.ask")
    wanted = {connection.pk} if connection else {one.connection.pk for one in drift.read(at)}
    there = Connection.objects.filter(pk__in=wanted).select_related("health")
    asked = ask_each(there, by=request.user, at=at)
    words = f"Asked to read the balances of {', '.join(map(str, asked))}." if asked else NOTHING_TO_READ
    return noted(shown(request), words) if wants_part(request) else go(request, "rebalancing")


def chosen_group(request: Request) -> tuple[Connection | None, str]:
    """The connection and the asset that a form or an address names; None and "" for all of them."""
    given = request.POST if request.method == "POST" else request.GET
    said = given.get("connection", "")
    connection = get_object_or_404(Connection, pk=whole(said)) if said else None
    return connection, given.get("asset", "")[:40]


def insist_on_doer(request: Request, nothing: str) -> None:
    """Raises NotAllowed for whoever only looks: an auditor, or a person without a role."""
    insist_on_role(request)
    if INVOLVED.isdisjoint(groups_of(request.user)):
        raise NotAllowed(f"{nothing} Makers, checkers and operators ask; you may read all of it.")


def refused(request: Request, refusal: Exception, action: str) -> HttpResponse:
    refusals.note(request, refusal, action=action, subject="page:/rebalancing/")
    if without_role := refused_without_role(request, "rebalancing"):
        return without_role
    return shown(request, refused=str(refusal), status=refusals.status_of(refusal))


def shown(request: Request, *, status: int = 200, **words: Any) -> HttpResponse:
    context = context_of(request.user, timezone.now()) | words
    return answer(request, "rebalancing/show.html", "rebalancing/_rebalancing.html", context, status=status)


def context_of(person: User, at: datetime) -> dict[str, Any]:
    groups = drift.read(at)
    mine = groups_of(person)
    connections = drifting.reading_states(groups)
    return {
        "at": at,
        "groups": drifting.panels(groups, person, connections, at),
        "summary": drifting.summary(groups),
        "calm": bool(groups)
        and not any(drifting.off_of([one]).now or one.outside or drifting.cannot_be_judged(one) for one in groups),
        "assets": drifting.over_venues(groups),
        "plans": list(latest_plans()[:LATEST]),
        "may_do": not INVOLVED.isdisjoint(mine),
        "may_set_bands": changes.why_not_propose(BANDS, person) is None,
        "reading": any(is_awaited(getattr(one, "health", None), at) for one in connections.values()),
        "live": is_live(at),
        "refused": "",
    }


def is_live(at: datetime) -> bool:
    """Whether the page may change by itself soon: a plan is computed, or a reading is awaited."""
    if Plan.objects.filter(state__in=WORKING).exists():
        return True
    asked = Connection.objects.filter(health__asked_at__isnull=False).select_related("health")
    return any(is_awaited(one.health, at) for one in asked)


def latest_plans() -> QuerySet[Plan]:
    """Plans, the newest first; ``moves``: how many transfers each proposes, ``drafted``: how many were drafted."""
    return (
        Plan.objects.select_related("asked_by", "connection")
        .annotate(
            moves=Count("groups__lines", distinct=True),
            drafted=Count("groups__lines__transfer", distinct=True),
        )
        .order_by("-id")
    )
