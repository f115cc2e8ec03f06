"""The checker's inbox."""

from __future__ import annotations

from django.http import HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from treasury.controls.roles import CHECKERS, holds
from treasury.transfers import queries
from treasury.web.htmx import Request, answer
from treasury.web.transfers import refused_without_role


@require_safe
def show(request: Request) -> HttpResponse:
    at = timezone.now()
    if without_role := refused_without_role(request, "approvals"):
        return without_role
    waiting = list(queries.with_standing(queries.waiting_for(request.user, at), at))
    others = list(queries.with_standing(queries.waiting_for_others(request.user, at), at))
    context = {
        "at": at,
        "is_checker": holds(request.user, CHECKERS),
        "waiting": waiting,
        "others": others,
    }
    return answer(request, "approvals/show.html", "approvals/_inbox.html", context)
