"""The log, searchable by everyone with a role. A draft that is not theirs to see stays out of what they find."""

from __future__ import annotations

from datetime import UTC, datetime, time
from typing import Any

from django import forms
from django.db.models import Exists, OuterRef, QuerySet, Value
from django.db.models.functions import Concat
from django.http import HttpResponse
from django.views.decorators.http import require_safe

from treasury.audit import chain
from treasury.controls.roles import AUDITORS, holds
from treasury.models import AuditEntry, Transfer, User
from treasury.web import timeline
from treasury.web.htmx import Request, answer
from treasury.web.pages import page_of
from treasury.web.transfers import refused_without_role

ON_A_PAGE = 50


class Search(forms.Form):
    """Days are UTC and both count whole."""

    subject = forms.CharField(required=False, max_length=200)
    who = forms.CharField(required=False, max_length=150)
    action = forms.CharField(required=False, max_length=60)
    result = forms.ChoiceField(required=False, choices=[("", "Any"), ("done", "Done"), ("refused", "Refused")])
    since = forms.DateField(required=False, widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"))
    until = forms.DateField(required=False, widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"))
    text = forms.CharField(label="Any word", required=False, max_length=200)
    before = forms.IntegerField(required=False, min_value=1, max_value=2**63 - 1)

    def narrowed(self, entries: QuerySet[AuditEntry]) -> QuerySet[AuditEntry]:
        if not self.is_valid():
            return entries.none()
        chosen: dict[str, Any] = self.cleaned_data
        if chosen["subject"]:
            entries = entries.filter(subject__icontains=chosen["subject"])
        if chosen["who"]:
            entries = entries.filter(actor__iexact=chosen["who"])
        if chosen["action"]:
            entries = entries.filter(action__istartswith=chosen["action"])
        if chosen["result"]:
            entries = entries.filter(result=chosen["result"])
        if chosen["since"]:
            entries = entries.filter(at__gte=datetime.combine(chosen["since"], time.min, UTC))
        if chosen["until"]:
            entries = entries.filter(at__lte=datetime.combine(chosen["until"], time.max, UTC))
        if chosen["text"]:
            entries = entries.filter(canonical__icontains=chosen["text"])
        return entries

    @property
    def start(self) -> int | None:
        return self.cleaned_data.get("before") if self.is_valid() else None


@require_safe
def show(request: Request) -> HttpResponse:
    if without_role := refused_without_role(request, "audit"):
        return without_role
    search = Search(request.GET)
    page = page_of(search.narrowed(readable_by(request.user)), before=search.start, size=ON_A_PAGE, address=request.GET)
    context = {
        "search": search,
        "page": page,
        "steps": [timeline.step_of(entry) for entry in page.rows],
        "head": chain.head(),
        "filtered": any(value for name, value in request.GET.items() if name != "before"),
    }
    return answer(request, "audit/show.html", "audit/_entries.html", context)


def readable_by(person: User) -> QuerySet[AuditEntry]:
    entries = AuditEntry.objects.order_by("-id")
    if holds(person, AUDITORS):
        return entries
    hidden = (
        Transfer.objects.filter(submitted_at=None)
        .exclude(maker=person)
        .annotate(named=Concat(Value("transfer:"), "reference"))
        .filter(named=OuterRef("subject"))
    )
    return entries.filter(~Exists(hidden))
