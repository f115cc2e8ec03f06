"""Settings that two people agree on while the house runs: what they are, since when, by whom; and proposing others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django import forms
from django.http import Http404, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from treasury.controls import changes, house
from treasury.models import HouseSetting
from treasury.transfers import dependents
from treasury.web import governed, proposals, refusals
from treasury.web.factor import decides
from treasury.web.htmx import Request, answer, go, typed
from treasury.web.transfers import refused_without_role

HERE = "/settings/"


def days(label: str) -> forms.CharField:
    attributes = {"inputmode": "numeric", "autocomplete": "off", "class": "cell"}
    return forms.CharField(label=label, required=False, max_length=12, widget=forms.TextInput(attrs=attributes))


class RetentionForm(forms.Form):
    """Days; what a number must be is for the verb to say."""

    all_days = days(house.LABELS["all_days"])
    quarter_hours_days = days(house.LABELS["quarter_hours_days"])
    hours_days = days(house.LABELS["hours_days"])


class WebhookForm(forms.Form):
    address = forms.CharField(
        label="Address",
        required=False,
        max_length=house.LONGEST_ADDRESS,
        widget=forms.TextInput(attrs={"inputmode": "url", "autocomplete": "off", "spellcheck": "false"}),
    )


FORMS: Mapping[str, type[forms.Form]] = {house.RETENTION: RetentionForm, house.WEBHOOK: WebhookForm}
MEANS: Mapping[str, str] = {
    house.RETENTION: "What each reading found is kept as a snapshot, and thinned as it grows older. One of each day, "
    "and whatever people stated by hand, stays for ever.",
    house.WEBHOOK: "Every message that is sent by e-mail goes there as well, signed with the key in the environment, "
    "without amounts or names. The address is shown here and stays in the log: it may hold no secret.",
}


@dataclass(frozen=True)
class Said:
    """What somebody typed for one setting, what it would do, and what is wrong with it."""

    name: str
    form: forms.Form
    reason: str = ""
    problem: str = ""
    checked: str = ""
    touches: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Setting:
    """One setting as the page shows it. ``row`` is None where nobody has agreed on it yet."""

    name: str
    title: str
    means: str
    told: str
    row: HouseSetting | None
    earlier: list[tuple[HouseSetting, str]]
    form: forms.Form
    said: Said


@require_safe
def show(request: Request) -> HttpResponse:
    if without_role := refused_without_role(request, "settings"):
        return without_role
    return shown(request)


@require_POST
@decides
def propose(request: Request, name: str) -> HttpResponse:
    """Check what another value would do, or propose it."""
    if name not in FORMS:
        raise Http404
    if without_role := refused_without_role(request, "settings"):
        return without_role
    form = FORMS[name](request.POST, prefix=name)
    form.is_valid()
    said = Said(name, form, typed(request, "reason"))
    try:
        changes.insist_on_right(house.SET, request.user)
        value = READ[name](form)
        if request.POST.get("step") != "propose":
            return shown(request, looked_at(said, house.checked(name, value)))
        house.propose(name=name, value=value, reason=said.reason, by=request.user, at=timezone.now())
    except house.NotSet as wrong:
        return shown(request, with_problems(said, wrong.problems), status=422)
    except changes.NotSaid as unsaid:
        return shown(request, Said(name, form, said.reason, str(unsaid)), status=422)
    except refusals.REFUSALS as refusal:
        return refusals.refuse(request, refusal, action=house.SET, subject=house.subject_of(name))
    return go(request, f"{HERE}#settings-waiting")


def ages(form: forms.Form) -> dict[str, Any]:
    """Whole numbers, and what is none as it was typed."""
    typed_in = {name: form.cleaned_data.get(name, "").strip() for name in house.LABELS}
    return {name: int(text) if text.isascii() and text.isdecimal() else text for name, text in typed_in.items()}


def address(form: forms.Form) -> dict[str, Any]:
    return {"address": form.cleaned_data.get("address", "")}


READ: Mapping[str, Callable[[forms.Form], dict[str, Any]]] = {house.RETENTION: ages, house.WEBHOOK: address}


def looked_at(said: Said, value: Mapping[str, Any]) -> Said:
    """What the checked value would do. Nothing is written."""
    if value == house.value_of(said.name):
        return Said(said.name, said.form, said.reason, checked="Nothing would change: it is set so already.")
    becomes = f"{governed.told(house.shown(said.name))} becomes {governed.told(value)}."
    touches = dependents.of_ages(house.ages_of(value), timezone.now()) if said.name == house.RETENTION else []
    return Said(said.name, said.form, said.reason, checked=becomes[0].upper() + becomes[1:], touches=touches)


def with_problems(said: Said, problems: Mapping[str, str]) -> Said:
    for name, sentence in problems.items():
        if name:
            said.form.add_error(name, sentence)
    return Said(said.name, said.form, said.reason, problem=problems.get("", ""))


def shown(request: Request, said: Said | None = None, status: int = 200) -> HttpResponse:
    at = timezone.now()
    rows, more = proposals.first(changes.waiting().filter(kind=house.SET).order_by("pk"))
    context = {
        "at": at,
        "settings": [setting(name, said) for name in FORMS],
        "waiting": proposals.all_of(rows, request.user, at, steps="", target=""),
        "more": more,
        "may_propose": changes.why_not_propose(house.SET, request.user) is None,
    }
    return answer(request, "house_settings/show.html", "house_settings/_settings.html", context, status=status)


def setting(name: str, said: Said | None) -> Setting:
    every = HouseSetting.objects.filter(name=name).select_related("change__proposed_by", "change__decided_by")
    rows = list(every.order_by("-pk")[:20])
    mine = said if said is not None and said.name == name else None
    value = house.shown(name)
    fresh = FORMS[name](initial=value if rows or name != house.WEBHOOK else {}, prefix=name)
    return Setting(
        name=name,
        title=house.TITLES[name],
        means=MEANS[name],
        told=governed.told(value),
        row=rows[0] if rows else None,
        earlier=[(row, governed.told(row.value)) for row in rows[1:]],
        form=mine.form if mine else fresh,
        said=mine or Said(name, fresh),
    )
