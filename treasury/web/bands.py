"""Bands: where each account should stand and where it stands, the form that proposes others, and the export."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from django import forms
from django.db.models import prefetch_related_objects
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from treasury.controls import bands, bands_csv, changes
from treasury.controls.bands import SET, NotBands
from treasury.controls.wanted import COLUMNS, NUMBERS, Wanted, as_typed, read, terms_of
from treasury.models import Account, Balance, Band, Change, Connection, Direction, Unit
from treasury.rebalancing import drift, feasible
from treasury.templatetags.treasury import places
from treasury.web import differences, proposals, refusals
from treasury.web.factor import decides
from treasury.web.htmx import Request, answer, go, typed, whole
from treasury.web.sheets import taken
from treasury.web.spoken import foretold_of
from treasury.web.transfers import refused_without_role

HERE, EDIT = "/bands/", "/bands/edit/"
EXPORT = "bands.export"
CELL_LONGEST = 60


@require_safe
def show(request: Request) -> HttpResponse:
    """Every group with its accounts, and on top what is proposed."""
    if without_role := refused_without_role(request, "bands"):
        return without_role
    at = timezone.now()
    groups = [shown_of(group) for group in drift.read(at)]
    prefetch_related_objects(
        [stand.band for group in groups for stand in group.group.stands], "change__proposed_by", "change__decided_by"
    )
    rows, more = proposals.first(bands.proposals())
    context = {
        "at": at,
        "groups": groups,
        "waiting": proposals.all_of(rows, request.user, at, steps="", target=""),
        "more": more,
        "may_propose": changes.why_not_propose(SET, request.user) is None,
        "connections": connections_with_assets(),
        "chosen": 0,
        "asset": "",
    }
    return answer(request, "bands/show.html", "bands/_list.html", context)


@dataclass(frozen=True)
class Shown:
    """A group on the page; ``decimals`` is how many its longest number has."""

    group: drift.Group
    decimals: int


def shown_of(group: drift.Group) -> Shown:
    numbers = [
        number
        for one in group.stands
        for number in (one.minimum, one.target, one.maximum, one.total, one.band.floor)
        if number is not None
    ]
    return Shown(group, max(map(places, numbers), default=0))


def connections_with_assets() -> list[tuple[Connection, list[str]]]:
    """The connections with the assets that they report, for the two boxes that choose a group."""
    found = list(Connection.objects.all())
    known = bands.assets_known([one.pk for one in found])
    return [(one, sorted(known[one.pk])) for one in found]


@require_safe
def proposed(request: Request, change_id: int) -> HttpResponse:
    """One proposal or decision about bands, with every row of it."""
    if without_role := refused_without_role(request, "bands"):
        return without_role
    change = get_object_or_404(Change.objects.select_related("proposed_by", "decided_by"), pk=change_id, kind=SET)
    at = timezone.now()
    one = proposals.of(change, request.user, at, steps="", target="")
    every = [differences.sentence(row) for row in change.words["bands"]]
    foretold = foretold_of([change])[change.pk] if change.is_open else []
    context = {"at": at, "one": replace(one, sentences=[*every, *foretold])}
    return answer(request, "bands/change.html", "bands/_change.html", context)


@require_safe
def export(request: Request) -> HttpResponse:
    """The bands in force as CSV, of one connection or of all; who took it is in the log."""
    if without_role := refused_without_role(request, "bands"):
        return without_role
    found, connection = bands.current(), None
    if number := request.GET.get("connection", ""):
        connection = get_object_or_404(Connection, pk=whole(number))
        found = found.filter(account__connection=connection)
    return taken(
        request,
        bands_csv.written(found).encode(),
        name="bands.csv",
        action=EXPORT,
        subject=bands.subject(connection),
        at=timezone.now(),
        facts={"bands": found.count()},
    )


# -- The form of one group ---------------------------------------------------------------------------------------


def number_field(label: str) -> forms.CharField:
    attributes = {"inputmode": "decimal", "autocomplete": "off", "spellcheck": "false", "class": "cell"}
    return forms.CharField(
        label=label, required=False, max_length=CELL_LONGEST, widget=forms.TextInput(attrs=attributes)
    )


class BandForm(forms.Form):
    """The band of one account. What a number must be is for the verb to say."""

    unit = forms.ChoiceField(label="Measured in", choices=Unit.choices)
    minimum = number_field("Minimum")
    target = number_field("Target")
    maximum = number_field("Maximum")
    floor = number_field("Floor")
    smallest = number_field("Smallest transfer")
    largest = number_field("Largest transfer")
    direction = forms.ChoiceField(label="Direction", choices=Direction.choices)
    removed = forms.BooleanField(label="Remove this band", required=False)


@dataclass(frozen=True)
class Row:
    """An account in the form, with its band in force, and what was last read of it."""

    account: Account
    band: Band | None
    balance: Balance | None
    form: BandForm

    @property
    def is_near(self) -> bool:
        """Whether it is shown at once: it has a band, holds the asset or may hold it, or somebody typed in it."""
        holds = self.balance is not None and self.balance.total != 0
        return self.band is not None or holds or self.form.has_changed() or bool(self.form.errors)

    @property
    def is_wanted(self) -> bool:
        """Whether it says anything: it has a band, or somebody typed a number."""
        said = self.form.cleaned_data
        return self.band is not None or any(said[name].strip() for name in NUMBERS)

    def wanted(self, asset: str) -> Wanted:
        said = self.form.cleaned_data
        cells = {name: said[name] for name in COLUMNS}
        return Wanted(account=self.account, asset=asset, removed=said["removed"], **cells)


@require_http_methods(["GET", "HEAD", "POST"])
@decides
def edit(request: Request) -> HttpResponse:
    """One form for the bands of a whole group. "Check" says whether they can be met, and proposes nothing."""
    try:
        bands.insist_on_right(request.user)
    except refusals.REFUSALS as refusal:
        return refusals.refuse(request, refusal, action=SET, subject=f"page:{EDIT}")
    connection = Connection.objects.filter(pk=whole(request.GET.get("connection", ""))).first()
    asset = request.GET.get("asset", "").strip()
    if connection is None or (wrong := why_no_group(connection, asset)):
        asked = "connection" in request.GET or "asset" in request.GET
        return chooser(request, (wrong if connection else "Choose a connection.") if asked else "")
    rows = rows_of(connection, asset, request.POST if request.method == "POST" else None)
    if request.method != "POST":
        return form_shown(request, Form(connection, asset, rows))
    return answered(request, Form(connection, asset, rows, typed(request, "reason")))


@dataclass(frozen=True)
class Form:
    """The form of a group as it is shown, with what there is to say of it."""

    connection: Connection
    asset: str
    rows: Sequence[Row]
    reason: str = ""
    problems: Sequence[str] = ()
    said: Sequence[str] | None = None  # what a check found: what would change
    foretold: Sequence[str] = ()  # and why that cannot be met


def why_no_group(connection: Connection, asset: str) -> str:
    account = connection.accounts.select_related("connection").first()
    if account is None:
        return f"{connection} has no accounts yet."
    return bands.why_not_asset(account, asset, bands.assets_known([connection.pk])) or ""


def chooser(request: Request, wrong: str) -> HttpResponse:
    context = {
        "connections": connections_with_assets(),
        "wrong": wrong,
        "asset": request.GET.get("asset", ""),
        "chosen": whole(request.GET.get("connection", "")),
    }
    return answer(request, "bands/choose.html", "bands/_choose.html", context, status=422 if wrong else 200)


def rows_of(connection: Connection, asset: str, posted: Any) -> list[Row]:
    """Every account of the connection: first those with a band."""
    accounts = list(connection.accounts.select_related("connection"))
    now = bands.in_force([one.pk for one in accounts])
    held = {one.account_id: one for one in Balance.objects.filter(account__in=accounts, asset=asset)}
    rows = []
    for account in accounts:
        band = now.get((account.pk, asset))
        initial = as_typed(terms_of(band)) if band else {"unit": Unit.AMOUNT, "direction": Direction.BOTH}
        form = BandForm(posted, prefix=f"account-{account.pk}", initial=initial)
        rows.append(Row(account, band, held.get(account.pk), form))
    return sorted(rows, key=lambda row: (row.band is None, row.account.address))


def answered(request: Request, form: Form) -> HttpResponse:
    """To a check or a proposal: what would come of it, or what is wrong in which cell."""
    if not all(row.form.is_valid() for row in form.rows):
        return form_shown(request, form, status=422)
    wanted = [row for row in form.rows if row.is_wanted]
    said = [row.wanted(form.asset) for row in wanted]
    try:
        if request.POST.get("step") != "propose":
            return form_shown(request, checked(form, said))
        change = bands.propose(bands=said, reason=form.reason, by=request.user, at=timezone.now())
    except NotBands as wrong:
        return form_shown(request, with_problems(form, wanted, wrong), status=422)
    except changes.NotSaid as unsaid:
        return form_shown(request, replace(form, problems=[str(unsaid)]), status=422)
    except refusals.REFUSALS as refusal:
        return refusals.refuse(request, refusal, action=SET, subject=bands.subject(form.connection))
    return go(request, f"{HERE}#change-{change.pk}")


def checked(form: Form, said: Sequence[Wanted]) -> Form:
    """The form with what would change, and whether all of it can be met. Raises NotBands."""
    rows = bands.rows_of(said)
    limits = {one.key: None if one.removed else read(one)[0] for one in said}
    told = [differences.sentence(row) for row in rows]
    return replace(form, said=told, foretold=differences.foretold(feasible.outlooks(limits)))


def with_problems(form: Form, wanted: Sequence[Row], wrong: NotBands) -> Form:
    """Each sentence beside its cell; what is about no cell stands above."""
    above = []
    for (number, column), sentence in wrong.problems.items():
        if number >= 0 and column in BandForm.base_fields:
            wanted[number].form.add_error(column, sentence)
        else:
            above.append(sentence)
    return replace(form, problems=above)


def form_shown(request: Request, form: Form, status: int = 200) -> HttpResponse:
    near = [row for row in form.rows if row.is_near]
    wrong = [
        f"{row.account.title}, {row.form[name].label.lower()}: {' '.join(map(str, sentences))}"
        for row in form.rows
        for name, sentences in row.form.errors.items()
    ]
    context = {
        "at": timezone.now(),
        "form": form,
        "near": near,
        "others": [row for row in form.rows if row not in near],
        "wrong": [*form.problems, *wrong] if status != 200 else [],
        "whole": total_of(form.rows, form.asset),
    }
    return answer(request, "bands/edit.html", "bands/_edit.html", context, status=status)


def total_of(rows: Sequence[Row], asset: str) -> Decimal | None:
    """What the accounts that have a band hold together, of which shares are taken; None where that is not known."""
    banded = [row.account for row in rows if row.band]
    held = feasible.held_by(banded)
    totals = [held(account, asset) for account in banded]
    known = [total for total in totals if total is not None]
    return feasible.sum_of(known) if known and len(known) == len(totals) else None
