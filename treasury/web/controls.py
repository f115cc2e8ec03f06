"""Stop sending over a connection, ask for a reading: what can be done on the overview. Releasing: web/stops."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.views.decorators.http import require_POST

from treasury.balances.refresh import ask
from treasury.controls import stops
from treasury.controls.roles import OPERATORS, holds
from treasury.models import Connection
from treasury.web import overview, refusals
from treasury.web.factor import decides
from treasury.web.htmx import Request, answer, go, typed, wants_part
from treasury.web.transfers import insist_on_role


@require_POST
@decides
def stop(request: Request, connection_id: int) -> HttpResponse:
    at = timezone.now()
    connection = get_object_or_404(Connection, pk=connection_id)
    reason = typed(request, "reason")
    if not reason and holds(request.user, OPERATORS):
        return shown(request, "Nothing was stopped. Say why sending must stop; others read it.", 422)
    try:
        stops.stop(connection=connection, reason=reason, by=request.user, at=at)
    except refusals.REFUSALS as refusal:
        return refused(request, refusal, "stop.order", connection.subject)
    return shown(request)


@require_POST
def refresh(request: Request, connection_id: int) -> HttpResponse:
    """Ask for the balances to be read. A worker reads them; the web never calls a venue."""
    at = timezone.now()
    connection = get_object_or_404(Connection, pk=connection_id)
    try:
        insist_on_role(request)
    except refusals.REFUSALS as refusal:
        return refused(request, refusal, "balance.ask", connection.subject)
    ask(connection=connection, by=request.user, at=at)
    return shown(request)


def refused(request: Request, refusal: Exception, action: str, subject: str) -> HttpResponse:
    refusals.note(request, refusal, action=action, subject=subject)
    return shown(request, str(refusal), refusals.status_of(refusal))


def shown(request: Request, sentence: str = "", status: int = 200) -> HttpResponse:
    """The overview as it then is, with the sentence of a refusal on top."""
    if not sentence and not wants_part(request):
        return go(request, "overview")
    context = overview.context_of(request.user, timezone.now()) | {"refused": sentence}
    return answer(request, "overview/show.html", "overview/_overview.html", context, status=status)
