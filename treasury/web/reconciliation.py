"""What moved beside what the venues say of it, who has signed that off, and what else moved there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django import forms
from django.http import HttpResponse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.views.decorators.http import require_POST, require_safe

from treasury.models import AuditEntry, Movement
from treasury.templatetags.treasury import decimals
from treasury.transfers import match, sign_off
from treasury.web import refusals
from treasury.web.factor import decides
from treasury.web.htmx import Request, answer, go, typed, wants_part
from treasury.web.pages import page_of
from treasury.web.transfers import refused_without_role

ON_A_PAGE = 50
SIGNED_SHOWN = 10
DIFFERING_SHOWN = 100  # what does not match is looked into one by one; more of it has one cause


class Filters(forms.Form):
    """Kept in the address. A value that nothing has narrows to nothing; it is no error."""

    tripped = forms.BooleanField(label="Only what stopped an account", required=False)
    before = forms.IntegerField(required=False, min_value=1, max_value=2**63 - 1)


@dataclass(frozen=True)
class Signed:
    """A sign-off as the log holds it, and until when it says that all was looked at."""

    entry: AuditEntry
    until: datetime

    @classmethod
    def of(cls, entry: AuditEntry) -> Signed:
        return cls(entry, datetime.fromisoformat(entry.facts["until"]))


@require_safe
def show(request: Request) -> HttpResponse:
    if without_role := refused_without_role(request, "reconciliation"):
        return without_role
    return shown(request)


@require_POST
@decides
def sign(request: Request) -> HttpResponse:
    """Sign off what the page showed."""
    if without_role := refused_without_role(request, "reconciliation"):
        return without_role
    try:
        sign_off.sign_off(
            until=moment_of(request.POST.get("until", "")),
            digest=request.POST.get("digest", ""),
            said=typed(request, "said"),
            by=request.user,
            at=timezone.now(),
        )
    except refusals.REFUSALS as refusal:
        refusals.note(request, refusal, action=sign_off.SIGN_OFF, subject=sign_off.SUBJECT)
        return shown(request, refused=str(refusal), status=refusals.status_of(refusal))
    return shown(request) if wants_part(request) else go(request, "reconciliation")


def moment_of(text: str) -> datetime:
    """The moment that the form's hidden field says; the beginning, which is signed off already, for anything else."""
    try:
        found = parse_datetime(text)
    except ValueError:
        found = None
    return found if found is not None and found.tzinfo is not None else sign_off.BEGINNING


def shown(request: Request, *, status: int = 200, refused: str = "") -> HttpResponse:
    at = timezone.now()
    since = sign_off.signed_until()
    why_not = sign_off.why_not(request.user, since, at)
    filters = Filters(request.GET)
    chosen: dict[str, Any] = filters.cleaned_data if filters.is_valid() else {}
    movements = Movement.objects.select_related("account__connection").order_by("-id")
    if chosen.get("tripped"):
        movements = movements.filter(tripped=True)
    if not filters.is_valid():
        movements = movements.none()
    page = page_of(movements, before=chosen.get("before"), size=ON_A_PAGE, address=request.GET)
    found = match.not_matching().select_related(
        "transfer__connection", "transfer__source__connection", "transfer__destination__connection"
    )
    differing = list(found[:DIFFERING_SHOWN])
    context = {
        "at": at,
        "refused": refused,
        "signed": [Signed.of(entry) for entry in sign_off.signed_off(SIGNED_SHOWN)],
        "found": None if why_not else sign_off.found(since, at),
        "since": None if since == sign_off.BEGINNING else since,
        "why_not": why_not,
        "counts": match.counts(),
        "differing": differing,
        "decimals": decimals(one.transfer for one in differing),
        "filters": filters,
        "page": page,
        "filtered": any(value for name, value in request.GET.items() if name != "before"),
    }
    return answer(request, "reconciliation/show.html", "reconciliation/_list.html", context, status=status)
