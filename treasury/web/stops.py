"""Stop orders: what stands, what was released, and stopping: one person, after a page that says what it does."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django import forms
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from treasury import venues
from treasury.controls import changes, stops
from treasury.controls.roles import OPERATORS, holds
from treasury.models import Account, Balance, Change, Connection, Scope, StopOrder, User
from treasury.web import proposals, refusals
from treasury.web.changes import NOTED, action_of, take
from treasury.web.factor import decides
from treasury.web.htmx import Request, answer, go, noted, typed, wants_part, whole
from treasury.web.pages import page_of
from treasury.web.proposals import Proposal
from treasury.web.reading import read_first
from treasury.web.transfers import refused_without_role

ON_A_PAGE = 20


@dataclass(frozen=True)
class Standing:
    """A stop order that stands: how many approved transfers it holds, how far its release has come, and by when a
    second person is to have looked at it."""

    order: StopOrder
    held: int
    release: Proposal | None
    why_not_release: str
    review_due: datetime
    is_late: bool


class StopForm(forms.Form):
    """``what`` is a scope and what it names: "everything:", "venue:<name>", "connection:3", "asset:USDT"."""

    what = forms.ChoiceField(label="What must stop")
    reason = forms.CharField(
        label="Why it must stop", max_length=500, strip=True, widget=forms.TextInput(attrs={"autocomplete": "off"})
    )

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        chosen = self.fields["what"]
        assert isinstance(chosen, forms.ChoiceField)
        chosen.choices = choices()

    def order(self) -> StopOrder:
        """The order as it would be, not yet written."""
        return StopOrder(**kept(named(self.cleaned_data["what"])))


def choices() -> list[Any]:
    connections = list(Connection.objects.all())
    accounts = Account.objects.select_related("connection")
    at_venues = sorted({one.venue for one in connections})
    assets = sorted({asset.upper() for asset in Balance.objects.values_list("asset", flat=True).distinct()})
    return [
        ("", "Choose"),
        ("everything:", "Everything"),
        ("A venue", [(f"venue:{venue}", f"Everything at {venues.declared(venue).title}") for venue in at_venues]),
        ("A connection", [(f"connection:{one.pk}", one.name) for one in connections]),
        ("An account", [(f"account:{one.pk}", str(one)) for one in accounts]),
        ("An asset", [(f"asset:{asset}", f"Every transfer of {asset}") for asset in assets]),
    ]


def named(what: str) -> dict[str, Any]:
    """What stops.stop takes for a choice that the form has checked."""
    scope, _, name = what.partition(":")
    if scope == Scope.CONNECTION:
        return {"connection": get_object_or_404(Connection, pk=name)}
    if scope == Scope.ACCOUNT:
        return {"account": get_object_or_404(Account.objects.select_related("connection"), pk=name)}
    return {scope: True} if scope == Scope.EVERYTHING else {scope: name}


def kept(given: dict[str, Any]) -> dict[str, Any]:
    (scope,) = given
    return {"scope": scope} if scope == Scope.EVERYTHING else {"scope": scope, **given}


@require_safe
def show(request: Request) -> HttpResponse:
    if without_role := refused_without_role(request, "stops"):
        return without_role
    return shown(request)


@require_POST
@decides
def order(request: Request) -> HttpResponse:
    """Stop what was chosen: first a page that says what it will do, then, with ``sure``, the stop itself."""
    if not holds(request.user, OPERATORS):
        return refused(request, stops.MayNotStop("Only an operator may stop sending."), "stop.order", "page:/stops/")
    form = StopForm(request.POST)
    if not form.is_valid():
        return shown(request, form=form, status=422)
    if request.POST.get("sure") != "yes":
        return shown(request, form=form, asked=asked(form.order()))
    try:
        words = named(form.cleaned_data["what"])
        stops.stop(**words, reason=form.cleaned_data["reason"], by=request.user, at=timezone.now())
    except refusals.REFUSALS as refusal:
        return refused(request, refusal, "stop.order", form.order().subject)
    return done(request)


@require_POST
@decides
def release(request: Request, stop_id: int) -> HttpResponse:
    """Propose that the stop may end."""
    order = get_object_or_404(StopOrder.objects.select_related("connection", "account__connection"), pk=stop_id)
    reason = typed(request, "reason")
    try:
        stops.propose_release(stop_order_id=stop_id, by=request.user, reason=reason, at=timezone.now())
    except refusals.REFUSALS as refusal:
        return refused(request, refusal, stops.RELEASE, order.subject)
    return done(request)


@require_POST
@decides
@read_first
def step(request: Request, change_id: int, step: str) -> HttpResponse:
    """Confirm, decline or withdraw the proposal to release a stop."""
    change = get_object_or_404(Change, pk=change_id, kind=stops.RELEASE)
    if without_role := refused_without_role(request, "stops"):
        return without_role
    try:
        take(request, change, step, timezone.now())
    except refusals.REFUSALS as refusal:
        return refused(request, refusal, action_of(change, step), change.subject)
    return noted(done(request), NOTED.get(step))


def refused(request: Request, refusal: Exception, action: str, subject: str) -> HttpResponse:
    refusals.note(request, refusal, action=action, subject=subject)
    if without_role := refused_without_role(request, "stops"):
        return without_role
    return shown(request, refused=str(refusal), status=refusals.status_of(refusal))


def done(request: Request) -> HttpResponse:
    return shown(request) if wants_part(request) else go(request, "stops")


def shown(request: Request, *, status: int = 200, **words: Any) -> HttpResponse:
    context = context_of(request, timezone.now()) | words
    return answer(request, "stops/show.html", "stops/_stops.html", context, status=status)


def context_of(request: Request, at: datetime) -> dict[str, Any]:
    may_stop = holds(request.user, OPERATORS)
    over = stops.named(StopOrder.objects.exclude(released_at=None))
    over = over.select_related("connection", "account__connection", "release__proposed_by", "release__decided_by")
    before = whole(request.GET.get("before", "")) or None
    orders = stops.standing()
    shown = list(orders[: proposals.SHOWN])
    return {
        "at": at,
        "may_stop": may_stop,
        "may_propose": changes.why_not_propose(stops.RELEASE, request.user) is None,
        "standing": standing(shown, request.user, at),
        "more": orders.count() - len(shown),
        "page": page_of(over.order_by("-pk"), before=before, size=ON_A_PAGE, address=request.GET),
        "form": StopForm() if may_stop else None,
        "asked": None,
        "refused": "",
    }


def standing(orders: list[StopOrder], person: User, at: datetime) -> list[Standing]:
    releases = stops.releases_proposed()
    proposed = [releases[order.pk] for order in orders if order.pk in releases]
    shown = proposals.all_of(proposed, person, at, steps="/stops/changes/", target="stops")
    by_order = {one.change.words["stop"]: one for one in shown}
    reviews = stops.reviews(orders)
    due = {order.pk: stops.review_due(order, reviews.get(order.pk)) for order in orders}
    return [
        Standing(
            order, held, by_order.get(order.pk), stops.why_not_release(order) or "", due[order.pk], at > due[order.pk]
        )
        for order, held in zip(orders, stops.held_by(orders), strict=True)
    ]


def asked(order: StopOrder) -> dict[str, Any]:
    """What a stop would do, for the page before it."""
    return {"order": order, "held": stops.held_by([order])[0]}
