"""What every page of the house shows: whether this is practice, who is signed in, what waits, what is stopped."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone

from treasury.controls import changes, heartbeats, stops
from treasury.controls.roles import MAKERS, ROLES, SEE_RECORDS, groups_of
from treasury.models import Scope, StopOrder, User
from treasury.transfers import exposure, queries
from treasury.web.htmx import wants_part

SECTIONS = (
    "balances",
    "transfers",
    "approvals",
    "changes",
    "connections",
    "stops",
    "reconciliation",
    "rebalancing",
    "people",
    "policy",
    "audit",
    "account",  # one's own sign-in: no link of the navigation, the name beside it
)
PARTS_OF = {"settings": "policy", "plans": "rebalancing", "bands": "rebalancing"}  # addresses of their own
ON_THE_OVERVIEW = ("stop", "refresh")  # steps whose answer is the overview, wherever their address lies

WHAT_STOPS: Mapping[str, str] = {
    Scope.EVERYTHING: "Nothing is sent.",
    Scope.CONNECTION: "Nothing is sent over it.",
    Scope.ACCOUNT: "Nothing is sent from it or to it.",
}


@dataclass(frozen=True)
class Banner:
    """A stop order as every page shows it: what is stopped, and what that means."""

    covered: str
    means: str
    order: StopOrder


def banner_of(order: StopOrder) -> Banner:
    covered = stops.covered(order)
    return Banner(covered[0].upper() + covered[1:], WHAT_STOPS.get(order.scope, "Nothing of it is sent."), order)


def house(request: HttpRequest) -> dict[str, Any]:
    """Gathered once for a request, though a page and its header are rendered apart."""
    if not hasattr(request, "house"):
        request.house = gathered(request)  # type: ignore[attr-defined]  # Django's request takes what one gives it
    found: dict[str, Any] = request.house  # type: ignore[attr-defined]
    return found


def gathered(request: HttpRequest) -> dict[str, Any]:
    at = timezone.now()
    context: dict[str, Any] = {"practice": settings.PRACTICE, "at": at, "beside": False, "person": None}
    context["csp_nonce"] = getattr(request, "csp_nonce", None)  # read by no part: only whole pages name scripts
    context["unproven"] = getattr(request, "unproven", False)  # by treasury.web.gates: nothing of the house is shown
    user = getattr(request, "user", None)
    if not isinstance(user, User) or not user.is_authenticated or context["unproven"]:
        return context
    groups = groups_of(user)
    return context | {
        "person": user,
        "roles": [role for role in ROLES if role in groups],
        "may_draft": MAKERS in groups,
        "sees_records": not groups.isdisjoint(SEE_RECORDS),
        "section": section_of(request),
        "waiting_count": queries.waiting_for(user, at).count(),
        "changes_count": changes.waiting_for(user, groups).count(),
        "risk_count": len(exposure.risks(at)) if groups else 0,
        "stops_standing": [banner_of(order) for order in stops.standing()] if groups else [],
        "silent": heartbeats.silent_since(at) if groups else [],
    }


def section_of(request: HttpRequest) -> str:
    step = request.resolver_match.url_name if request.resolver_match else None
    path = request.path_info
    if step == "house" and wants_part(request):  # the header alone: it belongs to the page that asks for it
        with suppress(ValueError):  # whatever was sent in its place
            path = urlsplit(request.headers.get("HX-Current-URL", "")).path
    first = path.strip("/").partition("/")[0]
    first = PARTS_OF.get(first, first)
    return first if first in SECTIONS and step not in ON_THE_OVERVIEW else "overview"
