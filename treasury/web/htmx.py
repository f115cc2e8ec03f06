"""One answer, two shapes: a whole page, or for htmx the part that it swaps in, so that both show the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django_htmx.http import HttpResponseClientRedirect, trigger_client_event
from django_htmx.middleware import HtmxDetails

from treasury.models import User

STOP_POLLING = 286


class Request(HttpRequest):
    """A request of somebody who is signed in; ``SignedInOnly`` lets no other through to a view that takes it."""

    htmx: HtmxDetails
    user: User


def wants_part(request: HttpRequest) -> bool:
    """Whether htmx asks. A history restore replaces the whole page, so it gets one."""
    details: HtmxDetails | None = getattr(request, "htmx", None)  # none where a middleware before its own refuses
    if not details:
        return False
    return not details.history_restore_request and not details.boosted


def answer(
    request: HttpRequest, page: str, part: str, context: Mapping[str, Any], *, status: int = 200
) -> HttpResponse:
    """The page, or its part together with the header, whose counts the same step may have changed."""
    if not wants_part(request):
        return render(request, page, context, status=status)
    html = render_to_string(part, context, request)
    header = render_to_string("house/_header.html", {"beside": True}, request)
    return HttpResponse(html + header, status=status)


def noted(response: HttpResponse, sentence: str | None) -> HttpResponse:
    """The same answer, and a sentence that the page's own script says beside it: of what no page shows by itself."""
    return trigger_client_event(response, "noted", {"sentence": sentence}) if sentence else response


def typed(request: HttpRequest, name: str) -> str:
    """A sentence that somebody typed: without what the database cannot hold, at most 500 characters."""
    text = request.POST.get(name, "").encode("utf-8", "replace").decode("utf-8")
    return text.strip()[:500]


def whole(text: str) -> int:
    """The number that a form's hidden field says; 0, which no row has, for anything else."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else 0


def go(request: HttpRequest, to: Any) -> HttpResponse:
    """On to another page, by a redirect or, for htmx, by telling it to go there."""
    response = redirect(to)
    response.status_code = 303
    return HttpResponseClientRedirect(response.url) if wants_part(request) else response
