"""The list of transfers, and one transfer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_safe

from treasury.controls.roles import groups_of
from treasury.models import Connection, Transfer, User
from treasury.transfers import queries
from treasury.transfers.access import NotAllowed
from treasury.transfers.lifecycle import NoSuchTransfer
from treasury.web import card, refusals
from treasury.web.htmx import STOP_POLLING, Request, answer, wants_part
from treasury.web.pages import page_of

if TYPE_CHECKING:
    from treasury.transfers.queries import Stood

ON_A_PAGE = 50


class Filters(forms.Form):
    """Kept in the address. A value that nothing has narrows to nothing; it is no error."""

    state = forms.ChoiceField(
        required=False, choices=[("", "Any"), *((one.key, one.label) for one in queries.STANDINGS.values())]
    )
    connection = forms.ModelChoiceField(Connection.objects.all(), required=False, empty_label="Any")
    asset = forms.CharField(required=False, max_length=40)
    maker = forms.ModelChoiceField(
        User.objects.filter(Exists(Transfer.objects.filter(maker=OuterRef("pk")))).order_by("username"),
        required=False,
        to_field_name="username",
        empty_label="Any",
    )
    text = forms.CharField(label="Search", required=False, max_length=200)
    before = forms.IntegerField(required=False, min_value=1, max_value=2**63 - 1)

    def narrowed(self, transfers: QuerySet[Stood]) -> QuerySet[Stood]:
        if not self.is_valid():
            return transfers.none()
        chosen: dict[str, Any] = self.cleaned_data
        return queries.matching(
            transfers,
            standing_key=chosen["state"],
            connection=chosen["connection"],
            asset=chosen["asset"],
            maker=chosen["maker"],
            text=chosen["text"],
        )

    @property
    def start(self) -> int | None:
        return self.cleaned_data.get("before") if self.is_valid() else None


@require_safe
def list_(request: Request) -> HttpResponse:
    at = timezone.now()
    if without_role := refused_without_role(request, "transfers"):
        return without_role
    filters = Filters(request.GET)
    matching = filters.narrowed(queries.with_standing(queries.visible_to(request.user), at))
    page = page_of(matching, before=filters.start, size=ON_A_PAGE, address=request.GET)
    context = {
        "at": at,
        "filters": filters,
        "page": page,
        "count": matching.count(),
        "filtered": any(value for name, value in request.GET.items() if name != "before"),
    }
    return answer(request, "transfers/list.html", "transfers/_results.html", context)


@require_safe
def show(request: Request, reference: str) -> HttpResponse:
    at = timezone.now()
    try:
        transfer = seen(request, reference)
    except refusals.REFUSALS as refusal:
        return refusals.refuse(request, refusal, action="transfer.see", subject=f"transfer:{reference}")
    context = card.context_of(transfer, request.user, at)
    return answer(request, "transfers/show.html", "transfers/_card.html", context)


@require_safe
def live(request: Request, reference: str) -> HttpResponse:
    """The card once more, while the transfer is under way; 286 tells htmx to stop asking."""
    if not wants_part(request):
        return redirect("transfer", reference)
    response = show(request, reference)
    if response.status_code == 200 and not card.is_live(seen(request, reference)):
        response.status_code = STOP_POLLING
    return response


def seen(request: Request, reference: str) -> Transfer:
    """The transfer, if this person may see it. Raises NotAllowed for those without a role, NoSuchTransfer."""
    try:
        return queries.found(reference, request.user)
    except NoSuchTransfer:
        insist_on_role(request)
        raise


def insist_on_role(request: Request) -> None:
    """Raises NotAllowed for those who hold no role, whatever they ask for."""
    if not groups_of(request.user):
        raise NotAllowed("You hold no role here; an administrator can give you one.")


def refused_without_role(request: Request, page: str) -> HttpResponse | None:
    try:
        insist_on_role(request)
    except NotAllowed as refusal:
        return refusals.refuse(request, refusal, action=f"{page}.see", subject=f"page:{request.path_info}")
    return None
