"""What people do where no API does it: say what they moved, and state what an account holds."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from django import forms
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from treasury import venues
from treasury.balances import typed as balances
from treasury.balances.holdings import all_balances, is_stale
from treasury.balances.typed import NotStated, Stated
from treasury.controls import changes, uploads
from treasury.models import Account, Connection
from treasury.transfers import by_hand
from treasury.web import card, done, refusals, steps
from treasury.web.connecting import address_of, reason
from treasury.web.factor import decides
from treasury.web.htmx import Request, answer, go, typed
from treasury.web.transfers import seen

MOMENT = "%Y-%m-%dT%H:%M"


@require_POST
@decides
def propose(request: Request, reference: str) -> HttpResponse:
    """The card with what is said on it. What was typed into a form with a mistake stays in it."""
    try:
        seen(request, reference)
        by_hand.propose_done(
            reference=reference,
            done=said_done(request),
            reason=typed(request, "reason"),
            record=typed(request, "record"),
            typed=typed(request, "typed"),
            files=files(request, by_hand.DONE),
            by=request.user,
            at=timezone.now(),
        )
    except changes.NotSaid as mistake:
        context = card.context_of(seen(request, reference), request.user, timezone.now())
        told = done.Told(request.POST.get("done", ""), typed(request, "reason"), typed(request, "record"))
        task = context["by_hand"]
        context |= {"refused": str(mistake), "by_hand": None if task is None else replace(task, told=told)}
        return answer(request, "transfers/show.html", "transfers/_card.html", context, status=422)
    except refusals.REFUSALS as refusal:
        return steps.refused(request, reference, by_hand.DONE, refusal)
    return steps.done(request, reference)


def said_done(request: Request) -> bool:
    """Which of the two was chosen. None is chosen beforehand, so nobody says by omission that nothing was done."""
    said = request.POST.get("done", "")
    if said not in ("yes", "no") and changes.why_not_propose(by_hand.DONE, request.user) is None:
        raise changes.NotSaid("Nothing was proposed. Say whether it was done or was not.")
    return said == "yes"  # of somebody who may not propose, the verb refuses either


def files(request: Request, kind: str) -> list[changes.File]:
    """Read only for those who may propose."""
    if changes.why_not_propose(kind, request.user) is not None:
        return []
    return uploads.all_accepted(request.FILES.getlist("files"))


# -- what an account holds that no API reads ---------------------------------------------------------------------


class AccountField(forms.ModelChoiceField):  # type: ignore[type-arg]  # no generic while the product runs
    def label_from_instance(self, obj: Any) -> str:
        return f"{obj.title} {obj.address}"


class StateForm(forms.Form):
    """One balance, as the evidence shows it."""

    account = AccountField(
        Account.objects.none(), empty_label="Choose an account", error_messages={"required": "Choose the account."}
    )
    asset = forms.CharField(
        max_length=40,
        widget=forms.TextInput(attrs={"list": "stated-assets", "autocomplete": "off", "spellcheck": "false"}),
        error_messages={"required": "Enter the asset."},
    )
    total = forms.CharField(
        label="It holds",
        max_length=80,
        widget=forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off", "class": "figures"}),
        error_messages={"required": "Enter what it holds; 0 is a number too."},
    )
    movable = forms.CharField(
        label="Of that, can be moved",
        required=False,
        max_length=80,
        widget=forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off", "class": "figures"}),
    )
    seen_at = forms.DateTimeField(
        label="When it held that, UTC",
        input_formats=[MOMENT, "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M"],
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format=MOMENT),
        error_messages={"required": "Say when it held that.", "invalid": "Write the moment like 2026-11-20T14:30."},
    )
    reason = reason()

    def __init__(self, connection: Connection, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["account"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = Account.objects.filter(connection=connection).select_related("connection")

    def clean_seen_at(self) -> datetime:
        """In UTC. Without an offset it was typed in UTC, as the field has read it already."""
        seen_at: datetime = self.cleaned_data["seen_at"]
        try:
            return seen_at.astimezone(UTC)
        except OverflowError:  # at either end of the calendar
            raise forms.ValidationError("Write the moment like 2026-11-20T14:30.") from None

    def stated(self) -> Stated:
        said = self.cleaned_data
        return Stated(said["account"], said["asset"], said["total"], said["seen_at"], said["movable"])


@require_http_methods(["GET", "HEAD", "POST"])
@decides
def state(request: Request, connection_id: int) -> HttpResponse:
    """Propose what an account by hand holds; another person confirms it."""
    connection = get_object_or_404(Connection, pk=connection_id, by_hand=True)
    if refusal := changes.why_not_propose(balances.STATE, request.user):
        refused = changes.MayNotChange(refusal)
        return refusals.refuse(request, refused, action=balances.STATE, subject=connection.subject)
    if request.method != "POST":
        initial = {name: request.GET[name] for name in ("account", "asset") if name in request.GET}
        return shown(request, connection, StateForm(connection, initial=initial))
    form = StateForm(connection, request.POST)
    if not form.is_valid():
        return shown(request, connection, form, status=422)
    try:
        change = balances.propose(
            stated=form.stated(),
            reason=form.cleaned_data["reason"],
            files=files(request, balances.STATE),
            by=request.user,
            at=timezone.now(),
        )
    except NotStated as wrong:
        for name, sentence in wrong.problems.items():
            form.add_error(name or None, sentence)
        return shown(request, connection, form, status=422)
    except changes.NotSaid as mistake:
        form.add_error(None, str(mistake))
        return shown(request, connection, form, status=422)
    except refusals.REFUSALS as refused:
        return refusals.refuse(request, refused, action=balances.STATE, subject=connection.subject)
    return go(request, address_of(change))


def shown(request: Request, connection: Connection, form: StateForm, status: int = 200) -> HttpResponse:
    at = timezone.now()
    held = list(all_balances().filter(account__connection=connection))
    context = {
        "at": at,
        "connection": connection,
        "title": venues.declared(connection.venue).title,
        "form": form,
        "held": [(one, is_stale(one, at)) for one in held],
        "assets": sorted({one.asset for one in held}),
        "accounts": form.fields["account"].queryset.exists(),  # type: ignore[attr-defined]  # a model's field
    }
    return answer(request, "connections/balances.html", "connections/_balances.html", context, status=status)
