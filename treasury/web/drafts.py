"""Writing a draft: the one form in which money words are typed."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from django import forms
from django.http import HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from treasury.balances.holdings import all_balances
from treasury.models import Account, Balance, Transfer
from treasury.models.amount import plain
from treasury.templatetags.treasury import amount as in_groups
from treasury.transfers import access
from treasury.transfers.draft import Invalid, Words, draft, redraft
from treasury.web import refusals
from treasury.web.htmx import Request, answer, go
from treasury.web.transfers import seen

NAMED_IN_A_CHOICE = 3  # movable amounts beside an account's name; an account may hold hundreds of assets


class AccountField(forms.ModelChoiceField):  # type: ignore[type-arg]  # generic in its stubs only
    def label_from_instance(self, obj: Any) -> str:
        held = self.holdings.get(obj.pk, [])
        shown = ", ".join(f"{in_groups(one.movable)} {one.asset}" for one in held[:NAMED_IN_A_CHOICE])
        more = f" and {len(held) - NAMED_IN_A_CHOICE} more" if len(held) > NAMED_IN_A_CHOICE else ""
        return f"{obj} — {shown}{more}" if shown else str(obj)

    holdings: dict[int, list[Balance]] = {}


class DraftForm(forms.Form):
    source = AccountField(
        Account.objects.none(),
        label="From",
        empty_label="Choose an account",
        error_messages={"required": "Choose the account to take it from.", "invalid_choice": "No such account."},
    )
    destination = AccountField(
        Account.objects.none(),
        label="To",
        empty_label="Choose an account",
        error_messages={"required": "Choose the account to bring it to.", "invalid_choice": "No such account."},
    )
    asset = forms.CharField(
        max_length=40,
        widget=forms.TextInput(
            attrs={"list": "known-assets", "autocomplete": "off", "autocapitalize": "characters", "spellcheck": "false"}
        ),
        error_messages={"required": "Enter the asset, as the venue writes it."},
    )
    amount = forms.CharField(
        max_length=80,
        widget=forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off", "class": "figures"}),
        error_messages={"required": "Enter an amount."},
    )
    reason = forms.CharField(
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 3}),
        error_messages={"required": "Say why the money should move; the checker reads it."},
    )
    draft_key = forms.UUIDField(widget=forms.HiddenInput, required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        accounts = Account.objects.select_related("connection")
        holdings: dict[int, list[Balance]] = {}
        for balance in all_balances().filter(movable__gt=0):
            holdings.setdefault(balance.account_id, []).append(balance)
        for name in ("source", "destination"):
            field = self.fields[name]
            assert isinstance(field, AccountField)
            field.holdings = holdings
            field.queryset = accounts

    def words(self) -> Words:
        said = self.cleaned_data
        return Words(said["source"], said["destination"], said["asset"], said["amount"], said["reason"])


@require_http_methods(["GET", "HEAD", "POST"])
def new(request: Request) -> HttpResponse:
    try:
        access.insist(access.why_not_draft(request.user))
    except refusals.REFUSALS as refusal:
        return refusals.refuse(request, refusal, action="transfer.draft", subject="page:/transfers/new/")
    if request.method != "POST":
        return shown(request, DraftForm(initial={"draft_key": uuid4(), **asked_for(request)}))
    form = DraftForm(request.POST)
    if not form.is_valid():
        return shown(request, form, status=422)
    key = form.cleaned_data["draft_key"]
    try:
        saved = draft(words=form.words(), maker=request.user, at=timezone.now(), draft_key=key)
    except refusals.REFUSALS as refusal:
        return refused(request, form, refusal, "transfer.draft", None)
    return go(request, f"/transfers/{saved.reference}/")


@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: Request, reference: str) -> HttpResponse:
    try:
        transfer = seen(request, reference)
        access.insist(access.why_not_edit(transfer, request.user))
    except refusals.REFUSALS as refusal:
        return refusals.refuse(request, refusal, action="transfer.redraft", subject=f"transfer:{reference}")
    if request.method != "POST":
        return shown(request, DraftForm(initial=as_typed(transfer)), transfer)
    form = DraftForm(request.POST)
    if not form.is_valid():
        return shown(request, form, transfer, status=422)
    try:
        redraft(reference=reference, words=form.words(), maker=request.user, at=timezone.now())
    except refusals.REFUSALS as refusal:
        return refused(request, form, refusal, "transfer.redraft", transfer)
    return go(request, f"/transfers/{reference}/")


def refused(
    request: Request, form: DraftForm, refusal: Exception, action: str, transfer: Transfer | None
) -> HttpResponse:
    if not isinstance(refusal, Invalid):
        subject = transfer.subject if transfer else "page:/transfers/new/"
        return refusals.refuse(request, refusal, action=action, subject=subject)
    for name, sentence in refusal.problems.items():
        form.add_error(name, sentence)
    return shown(request, form, transfer, status=422)


def shown(request: Request, form: DraftForm, transfer: Transfer | None = None, status: int = 200) -> HttpResponse:
    context = {
        "form": form,
        "transfer": transfer,
        "assets": list(all_balances().order_by("asset").values_list("asset", flat=True).distinct()),
    }
    return answer(request, "drafts/show.html", "drafts/_form.html", context, status=status)


def asked_for(request: Request) -> dict[str, str]:
    """What a link filled in: an account on the overview links here with itself as From."""
    return {name: request.GET[name] for name in ("source", "destination", "asset") if name in request.GET}


def as_typed(transfer: Transfer) -> dict[str, Any]:
    return {
        "source": transfer.source_id,
        "destination": transfer.destination_id,
        "asset": transfer.asset,
        "amount": plain(transfer.amount),
        "reason": transfer.reason,
    }
