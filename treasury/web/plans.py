"""Plans: the list, one plan with its proof, and its lines made into drafts and submitted."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.http import content_disposition_header
from django.views.decorators.http import require_POST, require_safe

from treasury.models import Plan, PlanGroup
from treasury.rebalancing.propose import NotDrafted, check_lines, draft_lines, submit_all, too_much
from treasury.transfers import access
from treasury.transfers.draft import parse_amount
from treasury.web import planned, refusals
from treasury.web.factor import decides
from treasury.web.htmx import STOP_POLLING, Request, answer, go, typed, wants_part, whole
from treasury.web.pages import page_of
from treasury.web.planned import Said
from treasury.web.rebalancing import latest_plans
from treasury.web.transfers import refused_without_role

ON_A_PAGE = 30


@require_safe
def list_(request: Request) -> HttpResponse:
    if without_role := refused_without_role(request, "plans"):
        return without_role
    before = whole(request.GET.get("before", "")) or None
    page = page_of(latest_plans(), before=before, size=ON_A_PAGE, address=request.GET)
    return answer(request, "plans/list.html", "plans/_list.html", {"page": page, "plans": page.rows})


@require_safe
def show(request: Request, reference: str) -> HttpResponse:
    if without_role := refused_without_role(request, "plans"):
        return without_role
    plan = found(reference)
    context = planned.context_of(plan, request.user, timezone.now())
    response = answer(request, "plans/show.html", "plans/_plan.html", context)
    if wants_part(request) and not context["live"]:
        response.status_code = STOP_POLLING
    return response


@require_safe
def inputs(request: Request, reference: str, group_id: int) -> HttpResponse:
    """The numbers that a group was reckoned from, byte by byte as its digest says."""
    if without_role := refused_without_role(request, "plans"):
        return without_role
    group = get_object_or_404(PlanGroup.objects.select_related("plan"), pk=group_id, plan__reference=reference)
    response = HttpResponse(group.inputs, content_type="text/plain; charset=utf-8")
    name = f"{reference}-{group.pk}.json"
    response["Content-Disposition"] = content_disposition_header(True, name) or "attachment"
    return response


@require_POST
def draft(request: Request, reference: str) -> HttpResponse:
    """Check what the chosen lines would do, or draft them: all or none."""
    at = timezone.now()
    if without_role := refused_without_role(request, "plans"):
        return without_role
    plan = found(reference)
    said = said_in(request, plan)
    try:
        access.insist(access.why_not_draft(request.user))
        if request.POST.get("step") == "check":
            return check(request, plan, said, at)
        draft_lines(plan=plan, amounts=said.amounts, reason=said.reason, maker=request.user, at=at)
    except NotDrafted as refusal:
        said = Said(said.amounts, refusal.problems, said.reason, asked=True)
        sentence = str(refusal.problems.get("", "Nothing was drafted. See the lines below."))
        return shown(request, plan, said=said, refused=sentence, status=422)
    except refusals.REFUSALS as refusal:
        return refused(request, plan, refusal, "plan.draft")
    return done(request, plan)


def check(request: Request, plan: Plan, said: Said, at: datetime) -> HttpResponse:
    """What these lines would do, by all that drafting them would ask. Nothing is written."""
    problems = check_lines(plan=plan, amounts=said.amounts, reason=said.reason, maker=request.user, at=at)
    if whole_plan := problems.get("", ""):
        return shown(request, plan, said=replace(said, problems=problems), refused=whole_plan, status=422)
    fine = {pk: parse_amount(text) for pk, text in said.amounts.items() if pk not in problems}
    said = replace(said, problems=problems, checked=True, warnings=too_much(plan, fine))
    return shown(request, plan, said=said, status=422 if problems else 200)


@require_POST
@decides
def submit(request: Request, reference: str) -> HttpResponse:
    """Submit this person's drafts of the plan, one after another; each is decided by itself."""
    if without_role := refused_without_role(request, "plans"):
        return without_role
    plan = found(reference)
    if reason := access.why_not_draft(request.user):
        return refused(request, plan, access.NotAllowed(reason), "plan.submit")
    tried = submit_all(plan=plan, maker=request.user, at=timezone.now())
    if not tried:
        none = access.NotNow("Nothing was submitted: no draft of this plan is yours.")
        return refused(request, plan, none, "plan.submit")
    stayed = [f"{one.reference}: {why}" for one, why in tried if why]
    if not stayed:
        return done(request, plan)
    went = len(tried) - len(stayed)
    sentence = f"{went} of {len(tried)} submitted; nothing moved. Not submitted: {' '.join(stayed)}"
    return shown(request, plan, refused=sentence, status=409)


def found(reference: str) -> Plan:
    return get_object_or_404(Plan.objects.select_related("asked_by", "connection"), reference=reference)


def said_in(request: Request, plan: Plan) -> Said:
    """The lines that were ticked, with their amounts as typed; what is no line of this plan is not looked at."""
    chosen = {whole(one) for one in request.POST.getlist("line")}
    lines = [line.pk for group in plan.groups.prefetch_related("lines") for line in group.lines.all()]
    amounts = {one: request.POST.get(f"amount-{one}", "").strip()[:80] for one in lines if one in chosen}
    return Said(amounts=amounts, reason=typed(request, "reason"), asked=True)


def refused(request: Request, plan: Plan, refusal: Exception, action: str) -> HttpResponse:
    refusals.note(request, refusal, action=action, subject=plan.subject)
    return shown(request, plan, refused=str(refusal), status=refusals.status_of(refusal))


def done(request: Request, plan: Plan) -> HttpResponse:
    return shown(request, plan) if wants_part(request) else go(request, f"/plans/{plan.reference}/")


def shown(
    request: Request, plan: Plan, *, said: Said | None = None, refused: str = "", status: int = 200
) -> HttpResponse:
    context: dict[str, Any] = planned.context_of(plan, request.user, timezone.now(), said) | {"refused": refused}
    return answer(request, "plans/show.html", "plans/_plan.html", context, status=status)
