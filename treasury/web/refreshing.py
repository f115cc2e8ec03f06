"""Ask for the balances of every connection at once."""

from __future__ import annotations

from django.http import HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_POST

from treasury.balances.refresh import ask_each
from treasury.models import Connection
from treasury.web import refusals
from treasury.web.controls import refused, shown
from treasury.web.htmx import Request
from treasury.web.transfers import insist_on_role


@require_POST
def refresh_all(request: Request) -> HttpResponse:
    """A worker reads each; the web never calls a venue. Those whose venue asked us to wait are not asked."""
    at = timezone.now()
    try:
        insist_on_role(request)
    except refusals.REFUSALS as refusal:
        return refused(request, refusal, "balance.ask", "page:/refresh/")
    ask_each(Connection.objects.select_related("health"), by=request.user, at=at)
    return shown(request)
