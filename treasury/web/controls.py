"""Stop sending, release a stop, ask for a reading: what can be done about a connection."""

from __future__ import annotations

import logging
from datetime import timedelta

import psycopg
from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.views.decorators.http import require_POST
from kombu.exceptions import OperationalError

from treasury.audit.record import record
from treasury.celery import app
from treasury.controls import stops
from treasury.models import Connection, StopOrder
from treasury.web import overview, refusals
from treasury.web.htmx import Request, answer, go, wants_part
from treasury.web.transfers import insist_on_role

logger = logging.getLogger(__name__)

REFRESH = "treasury.refresh_connection"
TWICE = timedelta(seconds=10)  # the same stop by the same person within this time is a double click


@require_POST
def stop(request: Request, connection_id: int) -> HttpResponse:
    at = timezone.now()
    connection = get_object_or_404(Connection, pk=connection_id)
    reason = request.POST.get("reason", "").strip()[:500]
    if not reason:
        return shown(request, "Nothing was stopped. Say why sending must stop; others read it.", 422)
    name = request.user.get_username()
    if StopOrder.objects.filter(connection=connection, by=name, reason=reason, since__gt=at - TWICE).exists():
        return shown(request)
    try:
        stops.stop(connection=connection, reason=reason, by=request.user, at=at)
    except refusals.REFUSALS as refusal:
        return refused(request, refusal, "stop.order", connection)
    return shown(request)


@require_POST
def release(request: Request, stop_id: int) -> HttpResponse:
    order = get_object_or_404(StopOrder.objects.select_related("connection"), pk=stop_id)
    reason = request.POST.get("reason", "").strip()[:500]
    if not reason:
        return shown(request, "Nothing was released. Say why sending may go on; others read it.", 422)
    try:
        stops.release(stop_order_id=stop_id, by=request.user, reason=reason, at=timezone.now())
    except refusals.REFUSALS as refusal:
        return refused(request, refusal, "stop.release", order.connection)
    return shown(request)


@require_POST
def refresh(request: Request, connection_id: int) -> HttpResponse:
    """Ask for the balances to be read. A worker reads them; the web never calls a venue."""
    at = timezone.now()
    connection = get_object_or_404(Connection, pk=connection_id)
    subject = f"connection:{connection.name}"
    try:
        insist_on_role(request)
    except refusals.REFUSALS as refusal:
        return refused(request, refusal, "balance.ask", connection)
    health = getattr(connection, "health", None)
    if overview.was_asked(connection, health.read_at if health else None, at):
        return shown(request)
    try:
        app.send_task(REFRESH, [connection.pk], queue="reads", retry=False)
    except (OperationalError, OSError, psycopg.Error):  # the default broker is the database itself
        logger.exception("the queue cannot be reached")
        return shown(request, "The balances were not read: the queue cannot be reached.", 503)
    with transaction.atomic():
        record(at=at, by=request.user, action="balance.ask", subject=subject)
    return shown(request)


def refused(request: Request, refusal: Exception, action: str, connection: Connection) -> HttpResponse:
    refusals.note(request, refusal, action=action, subject=f"connection:{connection.name}")
    return shown(request, str(refusal), refusals.status_of(refusal))


def shown(request: Request, sentence: str = "", status: int = 200) -> HttpResponse:
    """The overview as it then is, with the sentence of a refusal on top."""
    if not sentence and not wants_part(request):
        return go(request, "overview")
    context = overview.context_of(request.user, timezone.now()) | {"refused": sentence}
    return answer(request, "overview/show.html", "overview/_overview.html", context, status=status)
