"""How numbers, moments and states look: one format for everyone, wherever they are."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django import template
from django.conf import settings
from django.template import Context
from django.utils.html import format_html
from django.utils.safestring import SafeString

from treasury.balances.holdings import is_stale
from treasury.controls.stops import covered
from treasury.models import Balance, StopOrder
from treasury.models import amount as amounts
from treasury.models.amount import grouped, plain
from treasury.models.clock import on_the_clock as on_the_clock
from treasury.templatetags.icons import icon
from treasury.transfers.instruction import fingerprint as digest_fingerprint
from treasury.transfers.queries import STANDINGS, Standing
from treasury.web.reading import READ, shown_now

register = template.Library()
register.simple_tag(icon)


@register.filter
def amount(value: Decimal | None) -> str:
    """ "12 345.678" in groups of three, U+202F between them; never rounded, never an exponent. Unknown: "—"."""
    return "—" if value is None else grouped(value)


@register.filter
def signed(value: Decimal | None) -> str:
    """A change: "+12.5", "−12.5", "0"; unknown: "—"."""
    return "—" if value is None else amounts.signed(value)


@register.filter
def figures(value: Decimal | None) -> SafeString:
    """The same amount for a column: its decimals stand in a box as wide as the column's longest."""
    if value is None:
        return format_html('<span class="unknown">{}</span>', "—")
    whole, point, decimals = amount(value).partition(".")
    return format_html('<span class="figure">{}<span class="decimals">{}{}</span></span>', whole, point, decimals)


@register.filter
def decimals(rows: Iterable[Any]) -> int:
    """How many decimals the longest amount of a column has, so that its points line up."""
    return max((places(row.amount) for row in rows), default=0)


def places(value: Decimal) -> int:
    return len(plain(value).partition(".")[2])


@register.filter
def moment(at: datetime | None) -> SafeString:
    """ "20 Nov 2026, 11:43:02 UTC"."""
    if at is None:
        return format_html("{}", "—")
    machine = at.astimezone(UTC).isoformat(timespec="seconds")
    return format_html('<time datetime="{}">{}</time>', machine, on_the_clock(at))


@register.filter
def age(then: datetime, now: datetime) -> SafeString:
    """ "42 s ago"; the page's own script keeps it true while the page stays open."""
    return format_html(
        '<time class="age" datetime="{}">{} ago</time>',
        then.astimezone(UTC).isoformat(timespec="seconds"),
        span(max(now - then, timedelta())),
    )


@register.filter
def read(balance: Balance, now: datetime) -> SafeString:
    """When a balance was read, "6 min ago stale" where that is too long ago for its venue."""
    old = format_html(' <span class="tag">{}</span>', "stale") if is_stale(balance, now) else ""
    return format_html("{}{}", age(balance.observed_at, now), old)


@register.filter
def until(then: datetime, now: datetime) -> str:
    """ "in 23 h", or "over"."""
    return f"in {span(then - now)}" if then > now else "over"


def span(length: timedelta) -> str:
    seconds = int(length.total_seconds())
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size * (2 if unit == "d" else 1):
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


@register.filter
def fingerprint(digest: str | None) -> str:
    """The first 16 hex digits in fours, for eyes."""
    return digest_fingerprint(digest or "")


PROVED = {  # the first word of Decision.factor; see treasury.web.factor.told
    "password": "by password",
    "passkey": "by passkey",
    "totp": "by a code of an app",
    "recovery": "by a recovery code",
    "provider": "by the identity provider",
}


@register.filter
def proved(factor: str) -> str:
    """What proved that it was them: "by password", "by passkey “Blue key”". Which one exactly, the records say."""
    kind, _, rest = factor.partition(" ")
    name = rest.partition(" ")[2] if kind == "passkey" else ""
    return f"{PROVED.get(kind, f'by {kind}')} “{name}”" if name else PROVED.get(kind, f"by {factor}")


@register.filter
def evidence(facts: Any) -> str:
    """What a venue said, one word to a line."""
    return json.dumps(facts, indent=2, ensure_ascii=False, sort_keys=True)


@register.filter
def hexadecimal(value: bytes) -> str:
    return value.hex()


@register.filter
def standing(key: str) -> Standing:
    """The standing that a list's ``standing_key`` names."""
    return STANDINGS[key]


@register.filter
def covers(order: StopOrder) -> str:
    """What a stop order covers: "everything at a venue"."""
    return covered(order)


@register.filter
def stopped(order: StopOrder) -> str:
    """What a stop order stops, as a sentence's beginning: "Everything at a venue is stopped"."""
    what = covered(order)
    return f"{what if order.connection or order.account else what[0].upper() + what[1:]} is stopped"


@register.simple_tag(takes_context=True)
def read_at(context: Context, words: str, form: str) -> SafeString:
    """For a form that decides on ``words`` (a digest): the moment when it was shown, signed. A poll that shows the same
    words again keeps the first moment. ``form`` tells two forms about the same words apart. Nothing where the house
    asks for no reading time."""
    person = context.get("person")
    if not settings.READ_SECONDS or person is None:
        return SafeString()
    known = f"read-{form}-{words[:24]}"
    shown = shown_now(person, words)
    return format_html('<input type="hidden" name="{}" id="{}" value="{}" hx-preserve>', READ, known, shown)


@register.inclusion_tag("house/_chip.html")
def chip(standing: Standing) -> dict[str, Any]:
    """A state as icon, text and colour: three cues, so that none is needed."""
    return {"standing": standing}


@register.inclusion_tag("house/_field.html")
def field(bound: Any, hint: str = "", beside: str = "") -> dict[str, Any]:
    """A form's field with its label, its hint and its error, each tied to it for a screen reader.

    ``beside`` is the id of a sentence elsewhere on the page that describes it too.
    """
    described = [f"{bound.auto_id}-hint"] if hint else []
    if beside:
        described.append(beside)
    if bound.errors:
        described.append(f"{bound.auto_id}-error")
    attributes: dict[str, str] = {}
    if described:
        attributes["aria-describedby"] = " ".join(described)
    if bound.errors:
        attributes["aria-invalid"] = "true"
    # Django would add a describedby of its own for errors, naming an element that this markup does not have.
    return {"bound": bound, "widget": bound.as_widget(attrs=attributes), "hint": hint}
