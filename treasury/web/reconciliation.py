"""What moved beside what the venues say of it, and what else moved there."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import HttpResponse
from django.views.decorators.http import require_safe

from treasury.models import Movement
from treasury.templatetags.treasury import decimals
from treasury.transfers import match
from treasury.web.htmx import Request, answer
from treasury.web.pages import page_of
from treasury.web.transfers import refused_without_role

ON_A_PAGE = 50
DIFFERING_SHOWN = 100  # what does not match is looked into one by one; more of it has one cause


class Filters(forms.Form):
    """Kept in the address. A value that nothing has narrows to nothing; it is no error."""

    tripped = forms.BooleanField(label="Only what stopped an account", required=False)
    before = forms.IntegerField(required=False, min_value=1, max_value=2**63 - 1)


@require_safe
def show(request: Request) -> HttpResponse:
    if without_role := refused_without_role(request, "reconciliation"):
        return without_role
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
        "counts": match.counts(),
        "differing": differing,
        "decimals": decimals(one.transfer for one in differing),
        "filters": filters,
        "page": page,
        "filtered": any(value for name, value in request.GET.items() if name != "before"),
    }
    return answer(request, "reconciliation/show.html", "reconciliation/_list.html", context)
