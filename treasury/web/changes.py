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
from treasury.controls import (
    bands,
    changes,
    connections,
    credentials,
    details,
    house,
    memberships,
    people,
    policy,
    resets,
    stops,
)
from treasury.controls.roles import groups_of
from treasury.models import Change
from treasury.transfers import by_hand, contradictions, resolve
from treasury.web import proposals, refusals
from treasury.web.factor import decides
from treasury.web.htmx import Request, answer, go, noted, typed, wants_part, whole
from treasury.web.pages import page_of
from treasury.web.reading import read_first
from treasury.web.transfers import refused_without_role

ON_A_PAGE = 20


# The verb of each kind, and what of the page it wants beside the digest. Nobody confirms any other kind.
CONFIRM: Mapping[str, tuple[Callable[..., object], str | None]] = {
    stops.RELEASE: (stops.confirm_release, None),
    resolve.RESOLVE: (resolve.confirm, "typed"),
    contradictions.CLOSE: (contradictions.confirm_close, "typed"),
    connections.CONNECT: (connections.confirm_connect, "login"),
    credentials.REPLACE: (credentials.confirm, "login"),
    connections.SET_UP: (connections.confirm_set_up, None),
    bands.SET: (bands.confirm, None),
    by_hand.DONE: (by_hand.confirm_done, "typed"),
    balances.STATE: (balances.confirm, None),
    policy.SET: (policy.confirm, None),
    house.SET: (house.confirm, None),
    people.ENROL: (people.confirm_enrol, None),
    people.CHANGE: (details.confirm_change, None),
    people.RESET: (resets.confirm_reset, None),
    people.MEMBERSHIPS: (memberships.confirm_memberships, None),
}


def confirm(request: Request, change: Change, at: datetime) -> None:
    """Raises changes.MayNotChange for what nobody proposed, and what the kind's verb raises."""
    if change.kind not in CONFIRM:
        raise changes.MayNotChange("Nothing was changed. Nobody proposed this, so nobody confirms it.")
    verb, name = CONFIRM[change.kind]
    said = {name: typed(request, name)} if name else {}
    verb(change_id=change.pk, by=request.user, digest=request.POST.get("digest", ""), at=at, **said)


def take(request: Request, change: Change, step: str, at: datetime) -> None:
    """Confirm, decline or withdraw it: one call inward. Raises what the verbs raise."""
    if step == "confirm":
        confirm(request, change, at)
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
@decides
@read_first
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
