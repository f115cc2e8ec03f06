"""Reference prices: what counts for each asset, one asset's history, entering, importing, the sheet to take away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django import forms
from django.conf import settings
from django.http import HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from treasury.balances import holdings, price_sheets, prices, unusual, valuation
from treasury.balances.prices import NotEntered
from treasury.controls import uploads
from treasury.controls.roles import OPERATORS, holds
from treasury.models import Price, User
from treasury.models.amount import grouped
from treasury.models.clock import on_the_clock
from treasury.web import refusals
from treasury.web.factor import decides
from treasury.web.htmx import Request, answer, go, noted, wants_part
from treasury.web.sheets import taken
from treasury.web.transfers import refused_without_role

HISTORY_SHOWN = 200
WRONG_SHOWN = 50
ENTER = "price.enter"
NOT_SURE = "Nothing was entered. Look at the prices that are marked, and say that they are right."


class PriceForm(forms.Form):
    """The words of one price. What they must say is for the verb to know."""

    asset = forms.CharField(required=False, widget=forms.TextInput(attrs={"maxlength": 40, "autocomplete": "off"}))
    price = forms.CharField(
        required=False,
        widget=forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off", "maxlength": 80}),
    )
    currency = forms.CharField(required=False, widget=forms.TextInput(attrs={"maxlength": 10, "autocomplete": "off"}))
    as_of = forms.CharField(
        label="As of, UTC", required=False, widget=forms.TextInput(attrs={"maxlength": 40, "autocomplete": "off"})
    )
    source = forms.CharField(required=False, widget=forms.TextInput(attrs={"maxlength": 120}))


@dataclass(frozen=True)
class Priced:
    """A price that counts; ``used``: it is told in the reporting currency."""

    price: Price
    stale: bool
    used: bool


@require_safe
def show(request: Request) -> HttpResponse:
    if without_role := refused_without_role(request, "prices"):
        return without_role
    return listed(request, blank(timezone.now()))


def blank(at: datetime) -> PriceForm:
    return PriceForm(initial={"currency": settings.REPORTING_CURRENCY, "as_of": f"{at:%Y-%m-%d %H:%M:%S}"})


def listed(request: Request, form: PriceForm, status: int = 200, warnings: Sequence[str] = ()) -> HttpResponse:
    context = {"form": form, "warnings": warnings, **context_of(request.user, timezone.now())}
    return answer(request, "prices/show.html", "prices/_prices.html", context, status=status)


def context_of(person: User, at: datetime) -> dict[str, Any]:
    counting = prices.newest_of_all(at).select_related("entered_by")
    rows = [Priced(one, valuation.is_stale(one, at), one.currency == settings.REPORTING_CURRENCY) for one in counting]
    rows.sort(key=lambda row: (not row.used, row.price.asset, row.price.currency))
    return {
        "at": at,
        "rows": rows,
        "not_valued": not_valued(rows),
        "may_enter": holds(person, OPERATORS),
        "reporting": settings.REPORTING_CURRENCY,
        "stale_after": settings.PRICE_STALE_AFTER,
    }


def not_valued(rows: list[Priced]) -> list[str]:
    """Assets that we hold, or may hold, and that have no price."""
    priced = {row.price.asset for row in rows if row.used} | {settings.REPORTING_CURRENCY}
    return [asset for asset in holdings.assets_held() if asset not in priced]


@require_POST
@decides
def enter(request: Request) -> HttpResponse:
    at = timezone.now()
    form = PriceForm(request.POST)
    form.is_valid()  # its fields take nearly any text, and the verb says what is wrong with it
    said = {name: form.cleaned_data.get(name, "") for name in prices.COLUMNS}
    try:
        made = prices.enter(**said, by=request.user, at=at, seen=request.POST.getlist("sure"))
    except unusual.NotSure as doubtful:
        return listed(request, form, status=422, warnings=doubtful.warnings)
    except NotEntered as mistake:
        for name, sentence in mistake.problems.items():
            form.add_error(name, sentence)
        return listed(request, form, status=422)
    except refusals.REFUSALS as refusal:
        return refusals.refuse(request, refusal, action=ENTER, subject="page:/prices/")
    if not wants_part(request):
        return go(request, reverse("prices"))
    words = (
        f"Entered: one {made.asset} is worth {grouped(made.price)} {made.currency}, as of {on_the_clock(made.as_of)}."
    )
    return noted(listed(request, blank(at)), words)


@require_safe
def history(request: Request) -> HttpResponse:
    """Every price of one asset in one currency, the newest first."""
    if without_role := refused_without_role(request, "prices"):
        return without_role
    told = of_one(request)
    found = list(told[: HISTORY_SHOWN + 1])
    context = {
        "at": timezone.now(),
        "asset": request.GET.get("asset", "").upper(),
        "currency": request.GET.get("currency", "").upper(),
        "rows": found[:HISTORY_SHOWN],
        "more": len(found) > HISTORY_SHOWN,
    }
    return answer(request, "prices/history.html", "prices/_history.html", context)


def of_one(request: Request) -> Any:
    """The prices of the asset and currency that the address names."""
    asset, currency = (request.GET.get(name, "").upper() for name in ("asset", "currency"))
    told = Price.objects.filter(asset=asset, currency=currency).select_related("entered_by")
    return told.order_by("-as_of", "-id")


@require_safe
def export(request: Request) -> HttpResponse:
    """The prices that count, or with an asset in the address all of its prices, as a sheet."""
    if without_role := refused_without_role(request, "prices"):
        return without_role
    if "asset" in request.GET:
        told = of_one(request)
    else:
        told = prices.newest_of_all(timezone.now()).select_related("entered_by")
    at = timezone.now()
    return taken(
        request,
        price_sheets.sheet(told).encode(),
        name=f"prices-{at:%Y-%m-%d}.csv",
        action="price.export",
        subject="prices:all" if "asset" not in request.GET else f"prices:{request.GET['asset'].upper()}"[:100],
        at=at,
        facts={"prices": told.count()},
    )


@require_http_methods(["GET", "HEAD", "POST"])
@decides
def import_(request: Request) -> HttpResponse:
    """Show what a sheet would do; posted again with that preview's digest, it is entered."""
    if without_role := refused_without_role(request, "prices"):
        return without_role
    try:
        prices.insist(request.user)
    except refusals.REFUSALS as refusal:
        return refusals.refuse(request, refusal, action=ENTER, subject="page:/prices/import/")
    if request.method != "POST":
        return importing(request)
    text = request.POST.get("text", "")
    try:
        text = text_of(request, text)
        if "digest" not in request.POST:
            return importing(request, text, price_sheets.preview(text=text, at=timezone.now()))
        looked, sure = request.POST["digest"], "sure" in request.POST
        price_sheets.import_csv(text=text, digest=looked, sure=sure, by=request.user, at=timezone.now())
    except unusual.NotSure:
        again = price_sheets.preview(text=text, at=timezone.now())
        return importing(request, text, again, refused=NOT_SURE, status=422)
    except price_sheets.BadSheet as bad:
        return importing(request, text, refused=str(bad), wrong=bad.wrong, status=422)
    except price_sheets.OtherSheet as other:
        again = price_sheets.preview(text=text, at=timezone.now())
        refusals.note(request, other, action=ENTER, subject="page:/prices/import/")
        return importing(request, text, again, refused=str(other), status=409)
    return go(request, reverse("prices"))


def text_of(request: Request, typed: str) -> str:
    """The sheet that was chosen as a file, else what was typed. Raises BadSheet."""
    file = request.FILES.get("file")
    if file is None:
        return typed
    if (file.size or 0) > price_sheets.LETTERS_MOST:
        raise price_sheets.BadSheet([price_sheets.Wrong(1, "", "The file is too large for a sheet of prices.")])
    if not uploads.is_text(content := file.read()):
        raise price_sheets.BadSheet([price_sheets.Wrong(1, "", "The file is no text in UTF-8.")])
    return str(content, "utf-8-sig")


def importing(
    request: Request,
    text: str = "",
    preview: price_sheets.Preview | None = None,
    refused: str = "",
    wrong: Sequence[price_sheets.Wrong] = (),
    status: int = 200,
) -> HttpResponse:
    context = {
        "text": text,
        "preview": preview,
        "refused": refused,
        "wrong": wrong[:WRONG_SHOWN],
        "more": len(wrong[WRONG_SHOWN:]),
        "columns": ",".join(prices.COLUMNS),
        "reporting": settings.REPORTING_CURRENCY,
        "at": timezone.now(),
    }
    return answer(request, "prices/import.html", "prices/_import.html", context, status=status)
