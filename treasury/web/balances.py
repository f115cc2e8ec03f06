"""What we hold, now or at a moment of the past, each number with its own time; and what explains a change of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django import forms
from django.http import HttpResponse, QueryDict
from django.utils import timezone
from django.views.decorators.http import require_safe

from treasury import venues
from treasury.balances import explained, history, valuation
from treasury.balances.explained import Change
from treasury.balances.history import AccountHeld, Held, Number, Sum
from treasury.balances.snapshots import EVERY_ASSET
from treasury.balances.valuation import Worth
from treasury.models import Connection, Price, Snapshot
from treasury.models.clock import to_the_minute
from treasury.templatetags.treasury import places
from treasury.templatetags.treasury import span as lasted
from treasury.web.charts import over_time
from treasury.web.htmx import Request, answer
from treasury.web.transfers import refused_without_role

FIRST_YEAR = 2000  # nothing was kept so long ago, and clocks and intervals end somewhere
POINTS = 120
USUAL_DAYS = 7
SEEN_FROM = 0.05  # of the asked time: where less is known, that part is drawn alone
SHORTEST = timedelta(minutes=2)
TYPED = "%Y-%m-%dT%H:%M:%S"  # what a field for a date and time writes


class Instant(forms.DateTimeField):
    """A moment of the past, in UTC, as a browser's own field or a person types it."""

    def __init__(self, *, now: datetime, label: str) -> None:
        widget = forms.DateTimeInput(format=TYPED, attrs={"type": "datetime-local", "step": "1"})
        super().__init__(required=False, label=label, widget=widget)
        self.now = now
        self.error_messages["invalid"] = "Enter a date and a time, such as 2026-11-03T12:00."

    def clean(self, value: Any) -> datetime | None:
        at: datetime | None = super().clean(value)
        if at is not None and at.year < FIRST_YEAR:
            raise forms.ValidationError("Nothing was kept so long ago.")
        if at is not None and at > self.now:
            raise forms.ValidationError("That moment has not come yet.")
        return at


class Question(forms.Form):
    """Kept in the address: of which moment, and which asset is drawn over which time; a time that is none is the usual
    one."""

    asset = forms.CharField(required=False)
    days = forms.CharField(required=False)

    def __init__(self, data: QueryDict, *, now: datetime) -> None:
        super().__init__(data)
        self.fields["at"] = Instant(now=now, label="At (UTC)")

    def clean_asset(self) -> str:
        return str(self.cleaned_data["asset"]).upper()[:40]

    def clean_days(self) -> int:
        return next((days for days in over_time.OVER if str(days) == self.cleaned_data["days"]), USUAL_DAYS)


class Span(forms.Form):
    """Kept in the address: from when to when, over which connection."""

    connection = forms.ModelChoiceField(Connection.objects.all(), empty_label=None)

    def __init__(self, data: QueryDict, *, now: datetime) -> None:
        super().__init__(data)
        self.fields["since"] = Instant(now=now, label="Since (UTC)")
        self.fields["until"] = Instant(now=now, label="Until (UTC); empty: now")


@dataclass(frozen=True)
class Line:
    """One number on the page, with what it was worth."""

    number: Number
    worth: Worth | None

    @property
    def all_others(self) -> bool:
        return self.number.asset == EVERY_ASSET


@dataclass(frozen=True)
class Box:
    """One account: its lines, or that it had not been set up."""

    held: AccountHeld
    lines: list[Line]


@dataclass(frozen=True)
class Login:
    """One connection at the asked moment. ``steps``: what changed since when, as (words, address)."""

    held: Held
    title: str
    age: str
    boxes: list[Box]
    decimals: int
    steps: list[tuple[str, str]]


@dataclass(frozen=True)
class Total:
    """One asset over all venues, with what the known part of it was worth; of what nobody knows there is none."""

    sum: Sum
    worth: Worth | None


@require_safe
def show(request: Request) -> HttpResponse:
    if without_role := refused_without_role(request, "balances"):
        return without_role
    now = timezone.now()
    question = Question(request.GET, now=now)
    valid = question.is_valid()
    chosen: dict[str, Any] = question.cleaned_data
    context = {"form": question, "at": None, **(context_of(chosen, now) if valid else {})}
    status = 200 if valid else 422
    return answer(request, "balances/show.html", "balances/_balances.html", context, status=status)


def context_of(chosen: dict[str, Any], now: datetime) -> dict[str, Any]:
    asked: datetime | None = chosen["at"]
    at = asked or now
    held = history.held_at(at)
    prices = valuation.prices_at(at)
    sums = history.sums(held)
    known = [one for one in sums if one.numbers]
    totals = [Total(one, valuation.worth(one.asset, one.total, at, prices) if one.numbers else None) for one in sums]
    asset = chosen["asset"] or usual_asset(held)
    chart = chart_of(asset, at=at, now=now, days=chosen["days"]) if asset else None
    return {
        "at": at,
        "asked": asked,
        "typed": at.astimezone(UTC).strftime(TYPED),
        "logins": [login_of(one, prices, now) for one in held],
        "totals": totals,
        "worth": valuation.total(
            [*((one.asset, one.total) for one in known), *((one.asset, None) for one in sums if one.missing)],
            at,
            prices,
        ),
        "decimals": max((places(one.total) for one in sums), default=0),
        "assets": [one.asset for one in sums],
        "asset": asset,
        "days": chosen["days"],
        "spans": over_time.OVER,
        "chart": chart,
        "chart_decimals": max(map(places, chart.numbers), default=0) if chart else 0,
    }


def login_of(held: Held, prices: dict[str, Price], now: datetime) -> Login:
    boxes = [
        Box(account, [Line(one, worth_of(one, held.asked, prices)) for one in account.numbers or ()])
        for account in held.accounts
    ]
    numbers = [line.number for box in boxes for line in box.lines]
    amounts = [amount for one in numbers for amount in (one.total, one.movable) if amount is not None]
    return Login(
        held=held,
        title=venues.declared(held.connection.venue).title,
        age="" if held.age is None else lasted(held.age),
        boxes=boxes,
        decimals=max(map(places, amounts), default=0),
        steps=steps_of(held, now),
    )


def worth_of(number: Number, at: datetime, prices: dict[str, Price]) -> Worth | None:
    return None if number.total is None else valuation.worth(number.asset, number.total, at, prices)


def steps_of(held: Held, now: datetime) -> list[tuple[str, str]]:
    """Where the page leads from a connection: what changed in the time before the asked moment."""
    found = []
    for words, length in (("the last hour", timedelta(hours=1)), ("the last day", timedelta(days=1))):
        span = QueryDict(mutable=True)
        span["connection"] = str(held.connection.pk)
        span["since"] = (held.asked - length).strftime(TYPED)
        if held.asked != now:
            span["until"] = held.asked.strftime(TYPED)
        found.append((words, f"?{span.urlencode()}"))
    return found


def usual_asset(held: Iterable[Held]) -> str:
    """The asset that most connections hold, by its code in capitals; empty where nothing is held."""
    held_by: dict[str, set[int]] = {}
    for each in held:
        for account in each.accounts:
            for one in account.numbers or ():
                if one.asset != EVERY_ASSET:
                    held_by.setdefault(one.asset.upper(), set()).add(each.connection.pk)
    return max(sorted(held_by), key=lambda asset: len(held_by[asset]), default="")


def chart_of(asset: str, *, at: datetime, now: datetime, days: int) -> over_time.Drawing | None:
    """The asset over so many days up to that moment, by venue. A venue holds nothing of ours before it is connected;
    before the first one is, nothing is known."""
    told = history.series(asset, since=at - timedelta(days=days), until=at, points=POINTS, now=now)
    if (short := known_since(told, at)) is not None:
        told = history.series(asset, since=short, until=at, points=POINTS, now=now)
    began = [any(there) for there in zip(*(line.there for line in told.lines), strict=True)]
    by_venue: dict[str, list[over_time.Venue]] = {}
    for line in told.lines:
        title = venues.declared(line.connection.venue).title
        totals = [
            total if there or not anything else over_time.NOTHING
            for total, there, anything in zip(line.totals, line.there, began, strict=True)
        ]
        by_venue.setdefault(title, []).append(over_time.Venue(title, totals, line.in_part))
    layers = [over_time.together(title, ones) for title, ones in by_venue.items()]
    return over_time.drawing(layers, asset=told.asset, moments=told.moments, days=days, since=short, now=now)


def known_since(told: history.Series, at: datetime) -> datetime | None:
    """Where what is known begins, if that is so short a part of the asked time that nobody would see it; else None."""
    known = [place for line in told.lines for place, total in enumerate(line.totals) if total is not None]
    if not known or min(known) < POINTS * (1 - SEEN_FROM):
        return None
    near = told.moments[min(known)] - 2 * told.step
    first = Snapshot.objects.filter(at__gte=near, at__lte=at).order_by("at").values_list("at", flat=True).first()
    return min(first, at - SHORTEST) if first is not None else None


# -- what explains a change ----------------------------------------------------------------------------------


@require_safe
def changes(request: Request) -> HttpResponse:
    if without_role := refused_without_role(request, "balances"):
        return without_role
    now = timezone.now()
    asked = bool(request.GET)
    form = Span(request.GET, now=now) if asked else Span(first_question(now), now=now)
    valid = form.is_valid()
    chosen: dict[str, Any] = form.cleaned_data
    context = changes_of(chosen, now) if valid and asked else {"compared": None}
    status = 422 if asked and not valid else 200
    return answer(
        request,
        "balances/changes.html",
        "balances/_changes.html",
        {"form": form, "asked": asked, "refused": "", **context},
        status=status,
    )


def first_question(now: datetime) -> QueryDict:
    """What the form shows before anything was asked: the last day of the first connection."""
    data = QueryDict(mutable=True)
    first = Connection.objects.first()
    if first is not None:
        data["connection"] = str(first.pk)
    data["since"] = (now - timedelta(days=1)).strftime(TYPED)
    return data


@dataclass(frozen=True)
class Compared:
    """Two readings of a connection and what became of each account in between. ``late``: there was none at the asked
    beginning, so the first one after it was taken. ``unchanged`` counts what is left out."""

    connection: Connection
    title: str
    since: Snapshot
    until: Snapshot
    late: bool
    accounts: list[tuple[str, list[Change]]]
    unchanged: int


def changes_of(chosen: dict[str, Any], now: datetime) -> dict[str, Any]:
    connection: Connection = chosen["connection"]
    since, until = chosen["since"] or now - timedelta(days=1), chosen["until"] or now
    if since >= until:
        return {"compared": None, "refused": "Nothing can be compared: the beginning lies after the end."}
    first = history.last_before(connection, since) or history.first_after(connection, since)
    last = history.last_before(connection, until)
    if first is None or last is None or first.at >= last.at:
        words = f"between {to_the_minute(since)} and {to_the_minute(until)}"
        return {"compared": None, "refused": f"Nothing can be compared: {connection} was not read twice {words}."}
    return {"compared": compared(connection, first, last, late=first.at > since)}


def compared(connection: Connection, first: Snapshot, last: Snapshot, *, late: bool) -> Compared:
    found = explained.between(since=first, until=last)
    accounts: dict[str, list[Change]] = {}
    for one in found:
        if one.is_news:
            accounts.setdefault(one.account.title, []).append(one)
    return Compared(
        connection=connection,
        title=venues.declared(connection.venue).title,
        since=first,
        until=last,
        late=late,
        accounts=list(accounts.items()),
        unchanged=sum(not one.is_news for one in found),
    )
