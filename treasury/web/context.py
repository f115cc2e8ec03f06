"""What every page of the house shows: whether this is practice, who is signed in, what waits, what is stopped."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone

from treasury.controls.roles import AUDITORS, MAKERS, OPERATORS, ROLES, groups_of
from treasury.models import StopOrder, User
from treasury.transfers import queries

SECTIONS = ("transfers", "approvals", "connections", "audit")
ON_THE_OVERVIEW = ("stop", "refresh")  # steps whose answer is the overview, wherever their address lies


def house(request: HttpRequest) -> dict[str, Any]:
    """Gathered once for a request, though a page and its header are rendered apart."""
    if not hasattr(request, "house"):
        request.house = gathered(request)  # type: ignore[attr-defined]  # Django's request takes what one gives it
    found: dict[str, Any] = request.house  # type: ignore[attr-defined]
    return found


def gathered(request: HttpRequest) -> dict[str, Any]:
    at = timezone.now()
    context: dict[str, Any] = {"practice": settings.PRACTICE, "at": at, "beside": False, "person": None}
    user = getattr(request, "user", None)
    if not isinstance(user, User) or not user.is_authenticated:
        return context
    groups = groups_of(user)
    return context | {
        "person": user,
        "roles": [role for role in ROLES if role in groups],
        "may_draft": MAKERS in groups,
        "sees_records": user.is_staff and bool(groups & {AUDITORS, OPERATORS}),
        "section": section_of(request),
        "waiting_count": queries.waiting_for(user, at).count(),
        "risk_count": len(queries.at_risk(user, at)),
        "stops_standing": (
            StopOrder.objects.filter(released_at=None).select_related("connection").order_by("since", "pk")
            if groups
            else []
        ),
    }


def section_of(request: HttpRequest) -> str:
    first = request.path_info.strip("/").partition("/")[0]
    step = request.resolver_match.url_name if request.resolver_match else None
    return first if first in SECTIONS and step not in ON_THE_OVERVIEW else "overview"
