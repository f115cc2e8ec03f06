"""Connecting a venue and setting accounts up: two forms that propose, and a venue that is asked again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django import forms
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from treasury import venues
from treasury.controls import changes, first_looks
from treasury.controls import connections as verbs
from treasury.controls.connections import CONNECT, SET_UP, SetUp
from treasury.controls.first_looks import NotProposed
from treasury.models import Account, Change, Connection, ConnectionHealth
from treasury.web import connections, refusals
from treasury.web.factor import decides
from treasury.web.htmx import STOP_POLLING, Request, answer, go, wants_part
from treasury.web.transfers import refused_without_role

LONGEST_CREDENTIAL = 4000  # characters; bearer tokens are long
QUIET, ACTIVE = "quiet", "active"


def reason() -> forms.CharField:
    return forms.CharField(
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 2}),
        error_messages={"required": "Say why; whoever confirms it reads the reason."},
    )


class CredentialsForm(forms.Form):
    """Its fields are those that the venue's module declares. What was typed as a secret is never written into a page
    again."""

    def __init__(self, venue: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.venue = venue
        self.asked = venues.credential_fields(venue)
        for one in self.asked:
            attributes = {"autocomplete": "off", "spellcheck": "false", "autocapitalize": "none"}
            widget = forms.PasswordInput(attrs=attributes) if one.secret else forms.TextInput(attrs=attributes)
            self.fields[f"credential-{one.name}"] = forms.CharField(
                label=one.title,
                required=one.required,
                max_length=LONGEST_CREDENTIAL,
                widget=widget,
                error_messages={"required": f"{one.title} is missing."},
            )
        self.fields["reason"] = reason()

    @property
    def credential_fields(self) -> list[forms.BoundField]:
        return [self[f"credential-{one.name}"] for one in self.asked]

    def credentials(self) -> dict[str, str]:
        """Those that were filled in; one with a default may be left out."""
        given = {one.name: self.cleaned_data[f"credential-{one.name}"] for one in self.asked}
        return {name: value for name, value in given.items() if value}


class ConnectForm(CredentialsForm):
    """A name for a new login, where at its venue it is, and its credentials."""

    name = forms.CharField(max_length=verbs.NAME_LENGTH, widget=forms.TextInput(attrs={"autocomplete": "off"}))

    def __init__(self, venue: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(venue, *args, **kwargs)
        environments = list(venues.declared(venue).hosts)
        self.fields["environment"] = forms.ChoiceField(choices=[(one, one) for one in environments])


class AccountForm(forms.Form):
    """One account of a connection, named by its address."""

    title = forms.CharField(max_length=venues.TITLE_LENGTH, error_messages={"required": "Give it a title."})
    treated = forms.ChoiceField(
        label="Who moves it", choices=[(ACTIVE, "Active: others may move it"), (QUIET, "Only we move it")]
    )
    wanted = forms.BooleanField(label="Set it up", required=False)

    def set_up(self) -> SetUp:
        said = self.cleaned_data
        return SetUp(str(self.prefix), said["title"], said["treated"] == QUIET)


class TypedForm(AccountForm):
    """An account that no venue reports."""

    prefix = "typed"
    address = forms.CharField(
        max_length=venues.ADDRESS_LENGTH,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false", "class": "mono"}),
        error_messages={"required": "Give its address."},
    )
    kind = forms.ChoiceField()

    def __init__(self, venue: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        kind = self.fields["kind"]
        assert isinstance(kind, forms.ChoiceField)
        kind.choices = list(venues.declared(venue).account_kinds.items())

    @property
    def is_typed(self) -> bool:
        """Whether anybody wrote anything into it."""
        return any(str(self[name].data or "").strip() for name in ("address", "title"))

    def set_up(self) -> SetUp:
        said = self.cleaned_data
        return SetUp(said["address"], said["title"], said["treated"] == QUIET, said["kind"])


class WhyForm(forms.Form):
    reason = reason()


@dataclass(frozen=True)
class Row:
    """An account in the form: one that is set up, or one that the venue reports and that could be."""

    address: str
    kind: str
    account: Account | None
    form: AccountForm


@sensitive_post_parameters()
@sensitive_variables()
@require_http_methods(["GET", "HEAD", "POST"])
@decides
def new(request: Request) -> HttpResponse:
    """First the venue, then what it asks for. A post makes a proposal; a worker asks the venue."""
    venue = request.GET.get("venue", "")
    try:
        changes.insist_on_right(CONNECT, request.user)
    except refusals.REFUSALS as refusal:
        return refusals.refuse(request, refusal, action=CONNECT, subject="page:/connections/new/")
    if venue not in venues.titles():
        return form_shown(request, None)
    if request.method != "POST":
        return form_shown(request, ConnectForm(venue))
    form = ConnectForm(venue, request.POST)
    if not form.is_valid():
        return form_shown(request, form, status=422)
    said = form.cleaned_data
    words = {"name": said["name"], "environment": said["environment"], "reason": said["reason"]}
    try:
        change = verbs.propose_connect(
            venue=venue, credentials=form.credentials(), by=request.user, at=timezone.now(), **words
        )
    except NotProposed as wrong:
        for name, sentence in wrong.problems.items():
            form.add_error(name or None, sentence)
        return form_shown(request, form, status=422)
    except refusals.REFUSALS as refusal:
        return refusals.refuse(request, refusal, action=CONNECT, subject="page:/connections/new/")
    return go(request, address_of(change))


def form_shown(request: Request, form: ConnectForm | None, status: int = 200) -> HttpResponse:
    context = {
        "venues": venues.titles(),
        "venue": form.venue if form else "",
        "title": venues.titles()[form.venue] if form else "",
        "form": form,
    }
    return answer(request, "connections/new.html", "connections/_new.html", context, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
@decides
def accounts(request: Request, connection_id: int) -> HttpResponse:
    """Propose which reported accounts are set up, and how those that are there are called and treated."""
    connection = get_object_or_404(Connection, pk=connection_id)
    try:
        changes.insist_on_right(SET_UP, request.user)
    except refusals.REFUSALS as refusal:
        return refusals.refuse(request, refusal, action=SET_UP, subject=connection.subject)
    new = TypedForm(connection.venue, request.POST or None) if connection.by_hand else None
    if request.method != "POST":
        return accounts_shown(request, connection, rows_of(connection, None), WhyForm(), new)
    rows, why = rows_of(connection, request.POST), WhyForm(request.POST)
    posted = [row for row in rows if row.form.is_bound]
    counted = [row for row in posted if row.account or f"{row.address}-wanted" in request.POST]
    forms_ = [row.form for row in counted] + ([new] if new is not None and new.is_typed else [])
    if not all([why.is_valid(), *(one.is_valid() for one in forms_)]):
        return accounts_shown(request, connection, rows, why, new, status=422)
    try:
        change = verbs.propose_set_up(
            connection=connection,
            accounts=[one.set_up() for one in forms_],
            reason=why.cleaned_data["reason"],
            by=request.user,
            at=timezone.now(),
        )
    except NotProposed as wrong:
        for row in counted:
            if sentence := wrong.problems.get(row.address):
                row.form.add_error("title", sentence)
        if new is not None and new.is_typed and (sentence := wrong.problems.get(new.cleaned_data["address"])):
            new.add_error("address", sentence)
        if "" in wrong.problems:
            why.add_error(None, wrong.problems[""])
        return accounts_shown(request, connection, rows, why, new, status=422)
    except refusals.REFUSALS as refusal:
        return refusals.refuse(request, refusal, action=SET_UP, subject=connection.subject)
    return go(request, address_of(change))


def rows_of(connection: Connection, posted: Any) -> list[Row]:
    """Every account that is set up, then those that the venue reports besides. What is posted is looked up by its
    address, so a list that has changed meanwhile mixes nothing up."""
    there, kinds = verbs.there_and_reported(connection)
    health = ConnectionHealth.objects.filter(connection=connection).first()
    titles = {one["address"]: one["title"] for one in (health.reported if health else [])}
    rows = []
    for address in sorted(kinds, key=lambda one: (one not in there, one)):
        account = there.get(address)
        initial = {
            "title": account.title if account else titles[address],
            "treated": QUIET if account and account.quiet else ACTIVE,
        }
        is_posted = posted is not None and f"{address}-title" in posted
        form = AccountForm(posted if is_posted else None, prefix=address, initial=initial)
        rows.append(Row(address, kinds[address], account, form))
    return rows


def accounts_shown(
    request: Request, connection: Connection, rows: list[Row], why: WhyForm, new: TypedForm | None, status: int = 200
) -> HttpResponse:
    health = ConnectionHealth.objects.filter(connection=connection).first()
    kinds = venues.declared(connection.venue).account_kinds
    context = {
        "at": timezone.now(),
        "connection": connection,
        "title": venues.declared(connection.venue).title,
        "there": [(row, kinds.get(row.kind, row.kind)) for row in rows if row.account],
        "others": [(row, kinds.get(row.kind, row.kind)) for row in rows if not row.account],
        "reported_at": health.reported_at if health else None,
        "why": why,
        "new": new if new is None or new.is_typed else TypedForm(connection.venue),
        "wrong": status == 422,
    }
    return answer(request, "connections/accounts.html", "connections/_accounts.html", context, status=status)


# -- What waits for a second operator ----------------------------------------------------------------------------


@require_safe
def live(request: Request) -> HttpResponse:
    """The proposals once more, while a venue is asked; 286 tells htmx to stop asking."""
    if without_role := refused_without_role(request, "connections"):
        return without_role
    if not wants_part(request):
        return redirect("connections")
    context = connections.waiting_for_two(request.user, timezone.now())
    response = answer(request, "connections/show.html", "connections/_proposals.html", context)
    if not context["asking"]:
        response.status_code = STOP_POLLING
    return response


@require_POST
def look_again(request: Request, change_id: int) -> HttpResponse:
    """Have the venue asked once more; then, or with the sentence of a refusal on top, the connections as they are."""
    if without_role := refused_without_role(request, "connections"):
        return without_role
    change = get_object_or_404(Change, pk=change_id, kind__in=first_looks.KINDS)
    try:
        first_looks.look_again(change_id=change_id, by=request.user, at=timezone.now())
    except refusals.REFUSALS as refusal:
        refusals.note(request, refusal, action="connection.ask", subject=change.subject)
        return connections.listed_all(request, str(refusal), refusals.status_of(refusal))
    return connections.listed_all(request) if wants_part(request) else go(request, "connections")


def address_of(change: Change) -> str:
    return f"/connections/#change-{change.pk}"
