"""Writing a draft: the one form in which money words are typed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from django import forms
from django.http import HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from treasury import venues
from treasury.balances import routes
from treasury.balances.holdings import all_balances, balance_of, is_stale
from treasury.controls import bands
from treasury.models import Account, Balance, Transfer
from treasury.models.amount import plain
from treasury.templatetags.treasury import amount as in_groups
from treasury.templatetags.treasury import span
from treasury.transfers import access, by_hand, guards
from treasury.transfers.draft import Invalid, Words, draft, parse_amount, redraft, spelled, why_not_asset, why_not_held
from treasury.web import refusals, why
from treasury.web.htmx import Request, answer, go
from treasury.web.transfers import seen

NAMED_IN_A_HINT = 6  # movable amounts in a sentence; an account may hold hundreds of assets
LISTED_IN_A_HINT = 12  # names of assets in a sentence
EXAMPLE = "USDT"
BY_HAND = (
    "No venue moves this: people do, over {}. Once it is approved it waits until somebody has moved it at the venues' "
    "own screens and says so, and another confirms that."
)


class DraftForm(forms.Form):
    source = forms.ModelChoiceField(
        Account.objects.none(),
        label="From",
        empty_label="Choose an account",
        error_messages={"required": "Choose the account to take it from.", "invalid_choice": "No such account."},
    )
    destination = forms.ModelChoiceField(
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
        for name in ("source", "destination"):
            field = self.fields[name]
            assert isinstance(field, forms.ModelChoiceField)
            field.queryset = Account.objects.select_related("connection")

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
        return shown(request, DraftForm(initial={**as_typed(transfer), **asked_for(request)}), transfer)
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
    """The form, with what the account that money is taken from allows; every account counts as To until it is known.

    When From or the asset changes, htmx asks for this page anew and takes only the parts that depend on them.
    """
    at = timezone.now()
    accounts = list(Account.objects.select_related("connection"))
    source = chosen(form, "source", accounts)
    refused = [] if source is None else why_not(source, accounts)
    barred = {one for group in refused for one in group.accounts} | {source}
    destination = chosen(form, "destination", accounts)
    kept = destination if form.is_bound else None  # a mistake stays to be seen
    offered = [one for one in accounts if source is None or one == kept or one not in barred]
    offer(form, "source", accounts, follow(request.path, "#draft-choice") | {"hx-disabled-elt": "#id_destination"})
    offer(form, "destination", offered, follow(request.path, "#draft-route") | {"hx-disabled-elt": "unset"})
    form.fields["asset"].widget.attrs |= follow(request.path, "#draft-route") | {"hx-disabled-elt": "unset"}
    asset = str(form["asset"].value() or "").strip()
    held = all_balances() if source is None else all_balances().filter(account=source)
    assets = list(held.order_by("asset").values_list("asset", flat=True).distinct())
    moves = Moves("", assets)
    if source is not None and destination is not None and destination not in barred:
        moves = moves_of(source, destination, asset, at)
    context = {
        "at": at,
        "form": form,
        "transfer": transfer,
        "source": source,
        "from_hint": f"{source.connection.name}, {source.address}" if source else "",
        "why_not": refused,
        "why_not_count": len(barred) - 1,
        "asset_hint": f"As the venue writes it: {example(moves)}",
        "limits": limits_in_words(source, asset, at),
        "moves": moves,
        "approvers": approvers_in_words(request, source, destination, asset, form, at),
    }
    return answer(request, "drafts/show.html", "drafts/_form.html", context, status=status)


def follow(address: str, part: str) -> dict[str, str]:
    """On a change, ask for the form again and swap this part of it; a reason stays out of addresses."""
    return {
        "hx-get": address,
        "hx-trigger": "change",
        "hx-include": "closest form",
        "hx-params": "source,destination,asset",
        "hx-target": part,
        "hx-select": part,
        "hx-sync": "this:replace",
    }


def chosen(form: DraftForm, name: str, accounts: list[Account]) -> Account | None:
    said = str(form[name].value())
    return next((one for one in accounts if str(one.pk) == said), None)


def offer(form: DraftForm, name: str, accounts: list[Account], attributes: dict[str, str]) -> None:
    """Show these accounts as the field's choices, by connection. What is valid is for the verb to say."""
    field = form.fields[name]
    assert isinstance(field, forms.ModelChoiceField)
    titles = Counter((one.connection_id, one.title) for one in accounts)
    groups: dict[str, list[tuple[int, str]]] = {}
    for one in accounts:
        label = one.title if titles[one.connection_id, one.title] == 1 else f"{one.title} {one.address}"
        groups.setdefault(one.connection.name, []).append((one.pk, label))
    field.widget.choices = [("", field.empty_label), *groups.items()]
    field.widget.attrs |= attributes


@dataclass(frozen=True)
class WhyNot:
    """Accounts that are not offered as To, and why; ``sentence`` ends where their names follow."""

    accounts: list[Account]
    sentence: str


def why_not(source: Account, accounts: list[Account]) -> list[WhyNot]:
    """Every other account that no route leads to, those with the same reason together."""
    title = venues.declared(source.connection.venue).title
    elsewhere = [one for one in accounts if one.connection_id != source.connection_id]
    by_people = elsewhere and by_hand.connection_for(source, elsewhere[0]) is not None
    apart = [] if by_people else elsewhere
    here = [one for one in accounts if one not in elsewhere and one != source]
    unreached = [one for one in here if not venues.has_route(source, one)]
    groups = [
        WhyNot(unreached, f"{title} has no route from {source.title} to"),
        WhyNot(apart, "Money moves only within one connection, and another one has"),
    ]
    return [group for group in groups if group.accounts]


@dataclass(frozen=True)
class Moves:
    """Which assets the venue moves on the chosen route, in words, and those to offer. ``awaited``: it is asked now."""

    sentence: str
    offered: list[str]
    awaited: bool = False


def moves_of(source: Account, destination: Account, asset: str, at: datetime) -> Moves:
    """What moves on the route, of what the source holds; a worker is asked when that is not known."""
    title = venues.declared(source.connection.venue).title
    held = source.balances.exclude(total=0).order_by("asset").values_list("asset", flat=True)
    carrier = by_hand.connection_for(source, destination)
    if carrier is not None and carrier.by_hand:
        refusal = why_not_asset(source, destination, asset, at) if asset else None
        return Moves(refusal or BY_HAND.format(carrier), list(held))
    known = routes.known(source, destination, at)
    if known is not None:
        moving = [one for one in held if one in known]
        if asset and spelled(source, asset):  # the hint above says how it is written, and that is all
            return Moves("", moving)
        refusal = why_not_asset(source, destination, asset, at) if asset else None
        return Moves(refusal or moves_in_words(title, source, moving), moving)
    routes.ask(source, destination, at)
    route = routes.of(source, destination)
    if routes.is_awaited(route, at):
        return Moves(f"{title} is being asked which assets it moves between them.", list(held), awaited=True)
    why = f" ({route.problem.rstrip('.')})" if route and route.problem else ""
    return Moves(
        f"Which assets {title} moves between them could not be read{why}. One that it does not move it would refuse; "
        "nothing would move.",
        list(held),
    )


def example(moves: Moves) -> str:
    """An asset as this venue writes it, of those that move there or are held; a stablecoin where there is one."""
    return next((one for one in moves.offered if one.upper() == EXAMPLE), (*moves.offered, EXAMPLE)[0])


def moves_in_words(title: str, source: Account, moving: list[str]) -> str:
    if not moving:
        return f"{title} moves nothing between them that {source.title} holds."
    named = ", ".join(moving[:LISTED_IN_A_HINT])
    more = f" and {len(moving) - LISTED_IN_A_HINT} more" if len(moving) > LISTED_IN_A_HINT else ""
    these = "this asset" if len(moving) == 1 else f"these {len(moving)} assets"
    return f"Of what {source.title} holds, {title} moves {these} between them: {named}{more}."


def limits_in_words(source: Account | None, asset: str, at: datetime) -> str:
    """What is movable, and how the venue wants it written."""
    if source is None:
        return "Choose From, and this says what can be moved."
    declared = venues.declared(source.connection.venue)
    movable = all_movable(source, at) if not asset else movable_of(source, asset, at)
    if declared.amount_decimals is None:
        return (
            f"{movable} {declared.title} does not say how many decimals it takes: it decides when it is sent, and a "
            "refusal moves nothing."
        )
    return f"{movable} {declared.title} takes at most {declared.amount_decimals} decimals."


def approvers_in_words(
    request: Request, source: Account | None, destination: Account | None, asset: str, form: DraftForm, at: datetime
) -> str:
    """Who would have to approve what is typed, once there is enough of it to ask; empty before that."""
    try:
        amount = parse_amount(str(form["amount"].value() or ""))
    except Invalid:
        return ""
    if source is None or destination is None or not asset or not amount:
        return ""
    connection = by_hand.connection_for(source, destination)
    if connection is None:
        return ""
    words = {"source": source, "destination": destination, "asset": asset, "amount": amount}
    return why.foretold(Transfer(maker=request.user, connection=connection, **words), at)  # never saved


def all_movable(source: Account, at: datetime) -> str:
    held = list(source.balances.filter(movable__gt=0).order_by("asset"))
    banded = set(bands.current().filter(account=source).values_list("asset", flat=True))
    held.sort(key=lambda one: one.asset not in banded)  # what has a band is what people come for
    if not held:
        return f"Nothing of {source.title} can be moved now."
    named = [f"{in_groups(one.movable)} {one.asset}" for one in held[:NAMED_IN_A_HINT]]
    more = f" and {len(held) - NAMED_IN_A_HINT} more" if len(held) > NAMED_IN_A_HINT else ""
    oldest = min(held, key=lambda one: one.observed_at)
    return f"Movable of {source.title}: {', '.join(named)}{more}. {read_in_words(oldest, at)}"


def movable_of(source: Account, asset: str, at: datetime) -> str:
    held = balance_of(source, asset)
    if held is None:
        return why_not_held(source, asset)
    if held.total is None:
        return f"What {source.title} holds of {asset} could not be read."
    if held.movable is None:
        return f"The venue does not say how much {asset} of {source.title} can be moved."
    left = guards.usable(held)
    spoken_for = "" if left == held.movable else f" of {in_groups(held.movable)}: the rest is spoken for, or must stay"
    return f"{in_groups(left)} {asset} of {source.title} can be moved{spoken_for}. {read_in_words(held, at)}"


def read_in_words(held: Balance, at: datetime) -> str:
    """How old a number is; a stale one says so, for what is typed by it may no longer be there."""
    age = f"{span(max(at - held.observed_at, timedelta()))} ago"
    return f"Read {age}: stale, so it may be otherwise by now." if is_stale(held, at) else f"Read {age}."


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
