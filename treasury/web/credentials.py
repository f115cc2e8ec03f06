"""Other credentials for a connection: a form that proposes them. Nothing of what was typed is ever shown again."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_http_methods

from treasury import venues
from treasury.controls import changes
from treasury.controls import credentials as verbs
from treasury.controls.credentials import REPLACE
from treasury.controls.first_looks import NotProposed
from treasury.models import Connection
from treasury.web import refusals
from treasury.web.connecting import CredentialsForm, address_of
from treasury.web.factor import decides
from treasury.web.htmx import Request, answer, go


@sensitive_post_parameters()
@sensitive_variables()
@require_http_methods(["GET", "HEAD", "POST"])
@decides
def replace(request: Request, connection_id: int) -> HttpResponse:
    """Propose another set for the same login; a worker asks the venue whose it is."""
    connection = get_object_or_404(Connection, pk=connection_id)
    try:
        changes.insist_on_right(REPLACE, request.user)
    except refusals.REFUSALS as refusal:
        return refusals.refuse(request, refusal, action=REPLACE, subject=connection.subject)
    if request.method != "POST" or verbs.why_none(connection):
        return form_shown(request, connection, CredentialsForm(connection.venue))
    form = CredentialsForm(connection.venue, request.POST)
    if not form.is_valid():
        return form_shown(request, connection, form, status=422)
    given, reason = form.credentials(), form.cleaned_data["reason"]
    try:
        change = verbs.propose(
            connection=connection, credentials=given, reason=reason, by=request.user, at=timezone.now()
        )
    except NotProposed as wrong:
        for sentence in wrong.problems.values():
            form.add_error(None, sentence)
        return form_shown(request, connection, form, status=422)
    except refusals.REFUSALS as refusal:
        return refusals.refuse(request, refusal, action=REPLACE, subject=connection.subject)
    return go(request, address_of(change))


def form_shown(request: Request, connection: Connection, form: CredentialsForm, status: int = 200) -> HttpResponse:
    context = {
        "connection": connection,
        "title": venues.declared(connection.venue).title,
        "form": form,
        "why_none": verbs.why_none(connection) or "",
    }
    return answer(request, "connections/credentials.html", "connections/_credentials.html", context, status=status)
