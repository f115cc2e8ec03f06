"""Proposed changes: what waits for whom, what was decided, and the three things one can do about a proposal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.http import content_disposition_header
from django.views.decorators.http import require_POST, require_safe

from treasury.balances import typed as balances
from treasury.controls import bands, changes, connections, stops
from treasury.controls.roles import groups_of
from treasury.models import Change
from treasury.transfers import by_hand, contradictions, resolve
from treasury.web import proposals, refusals
from treasury.web.htmx import Request, answer, go, noted, typed, wants_part, whole
from treasury.web.pages import page_of
from treasury.web.transfers import refused_without_role

ON_A_PAGE = 20


def confirm_release(request: Request, change: int, digest: str, at: datetime) -> object:
    return stops.confirm_release(change_id=change, by=request.user, digest=digest, at=at)


def confirm_resolve(request: Request, change: int, digest: str, at: datetime) -> object:
    return resolve.confirm(change_id=change, by=request.user, digest=digest, typed=typed(request, "typed"), at=at)


def confirm_close(request: Request, change: int, digest: str, at: datetime) -> object:
    said = typed(request, "typed")
    return contradictions.confirm_close(change_id=change, by=request.user, digest=digest, typed=said, at=at)


def confirm_connect(request: Request, change: int, digest: str, at: datetime) -> object:
    login = request.POST.get("login", "")
    return connections.confirm_connect(change_id=change, by=request.user, digest=digest, login=login, at=at)


def confirm_set_up(request: Request, change: int, digest: str, at: datetime) -> object:
    return connections.confirm_set_up(change_id=change, by=request.user, digest=digest, at=at)


def confirm_bands(request: Request, change: int, digest: str, at: datetime) -> object:
    return bands.confirm(change_id=change, by=request.user, digest=digest, at=at)


def confirm_done(request: Request, change: int, digest: str, at: datetime) -> object:
    said = typed(request, "typed")
    return by_hand.confirm_done(change_id=change, by=request.user, digest=digest, typed=said, at=at)


def confirm_balance(request: Request, change: int, digest: str, at: datetime) -> object:
    return balances.confirm(change_id=change, by=request.user, digest=digest, at=at)


CONFIRM: Mapping[str, Callable[[Request, int, str, datetime], object]] = {
    stops.RELEASE: confirm_release,
    resolve.RESOLVE: confirm_resolve,
    contradictions.CLOSE: confirm_close,
    connections.CONNECT: confirm_connect,
    connections.SET_UP: confirm_set_up,
    bands.SET: confirm_bands,
    by_hand.DONE: confirm_done,
    balances.STATE: confirm_balance,
}


def take(request: Request, change: Change, step: str, at: datetime) -> None:
    """Confirm, decline or withdraw it: one call inward. Raises what the verbs raise."""
    if step == "confirm":
        CONFIRM[change.kind](request, change.pk, request.POST.get("digest", ""), at)
    elif step == "decline":
        changes.decline(change_id=change.pk, by=request.user, reason=typed(request, "reason"), at=at)
    else:
        changes.withdraw(change_id=change.pk, by=request.user, at=at)


NOTED: Mapping[str, str] = {  # what no page shows by itself
    "decline": "Declined. Nothing was changed; its proposer may propose anew.",
    "withdraw": "Withdrawn. Nothing was changed; you may propose anew.",
}


def action_of(change: Change, step: str) -> str:
    """What the log calls an attempt at it that was refused."""
    return change.kind if step == "confirm" else f"change.{step}"


@require_safe
def show(request: Request) -> HttpResponse:
    if without_role := refused_without_role(request, "changes"):
        return without_role
    return shown(request)


@require_POST
def step(request: Request, change_id: int, step: str) -> HttpResponse:
    """One of the three steps, taken on the page of proposals."""
    change = get_object_or_404(Change, pk=change_id)
    if without_role := refused_without_role(request, "changes"):
        return without_role
    try:
        take(request, change, step, timezone.now())
    except refusals.REFUSALS as refusal:
        refusals.note(request, refusal, action=action_of(change, step), subject=change.subject)
        return shown(request, str(refusal), refusals.status_of(refusal))
    return noted(shown(request), NOTED.get(step)) if wants_part(request) else go(request, "changes")


def shown(request: Request, refused: str = "", status: int = 200) -> HttpResponse:
    context = context_of(request, timezone.now()) | {"refused": refused}
    return answer(request, "changes/show.html", "changes/_changes.html", context, status=status)


def context_of(request: Request, at: datetime) -> dict[str, Any]:
    person = request.user
    mine = changes.waiting_for(person, groups_of(person))
    for_you, more = proposals.first(mine)
    for_others, others_more = proposals.first(changes.waiting().exclude(pk__in=mine.values("pk")).order_by("pk"))
    decided = Change.objects.exclude(ruling=None).select_related("proposed_by", "decided_by").order_by("-pk")
    page = page_of(decided, before=whole(request.GET.get("before", "")) or None, size=ON_A_PAGE, address=request.GET)
    shown = proposals.all_of([*for_you, *for_others, *page.rows], person, at)
    waiting, others = shown[: len(for_you)], shown[len(for_you) : len(for_you) + len(for_others)]
    return {
        "at": at,
        "waiting": waiting,
        "more": more,
        "others": others,
        "others_more": others_more,
        "decided": shown[len(for_you) + len(for_others) :],
        "page": page,
        "live": any(one.awaits_look for one in (*waiting, *others)),
    }


@require_safe
def evidence(request: Request, change_id: int, file_id: int) -> HttpResponse:
    """A file as it was handed in, byte for byte; a browser saves it and opens nothing in it."""
    change = get_object_or_404(Change, pk=change_id)
    try:
        file = changes.read_file(change_id=change.pk, file_id=file_id, by=request.user, at=timezone.now())
    except changes.NoSuchFile:
        raise Http404 from None
    except refusals.REFUSALS as refusal:
        return refusals.refuse(request, refusal, action=changes.READ, subject=change.subject)
    response = HttpResponse(bytes(file.content), content_type=file.media_type)
    response["Content-Disposition"] = content_disposition_header(True, file.name) or "attachment"
    response["Content-Security-Policy"] = "sandbox; default-src 'none'"
    response["X-Content-Type-Options"] = "nosniff"
    return response
