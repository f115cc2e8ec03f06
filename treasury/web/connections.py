"""Every login at a venue: how it is, what its key may do, and what its venue declares about itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from treasury import venues
from treasury.balances.holdings import stale_after
from treasury.balances.refresh import ask, is_awaited
from treasury.balances.typed import STATE
from treasury.controls import changes, credentials, stops
from treasury.controls.connections import CONNECT
from treasury.controls.connections import proposals as proposed
from treasury.models import Account, Connection, ConnectionHealth, User
from treasury.templatetags.treasury import on_the_clock
from treasury.web import proposals, refusals, targets
from treasury.web.htmx import STOP_POLLING, Request, answer, go, wants_part
from treasury.web.transfers import insist_on_role, refused_without_role

# What a kind of call is called when a person reads it, once and many times. One that is not here keeps its own name.
ERRANDS = {
    "send": ("send", "sends"),
    "look_up": ("look-up", "look-ups"),
    "assets": ("question for assets", "questions for assets"),
    "balances": ("reading of balances", "readings of balances"),
    "accounts": ("list of accounts", "lists of accounts"),
    "check": ("question who the login is", "questions who the login is"),
    "challenge": ("question whether somebody confirmed", "questions whether somebody confirmed"),
}


@dataclass(frozen=True)
class Condition:
    """How a connection is: a chip's word, and the rest of its sentence."""

    key: str
    label: str
    sentence: str = ""


@dataclass(frozen=True)
class Checked:
    """What the venue said of the login when it was last read to the end."""

    login: str
    may_transfer: bool
    words: list[str]
    clock: str


@dataclass(frozen=True)
class Login:
    """One connection as the page shows it. ``strangers_login``: whose the credentials are, if not this login's."""

    connection: Connection
    title: str
    conditions: list[Condition]
    awaited: bool
    read_at: datetime | None
    checked: Checked | None
    strangers_login: str
    accounts: list[Account]
    not_set_up: int
    in_use: str
    are_old: bool
    declared: list[tuple[str, str]]
    limits: list[str]


@require_safe
def show(request: Request) -> HttpResponse:
    if without_role := refused_without_role(request, "connections"):
        return without_role
    return listed_all(request)


def listed_all(request: Request, sentence: str = "", status: int = 200) -> HttpResponse:
    """Every connection, and what is proposed; with the sentence of a refusal on top."""
    at = timezone.now()
    every = list(connections())
    context = {
        "logins": [login_of(one, at) for one in every],
        "targets": targets.every(every),
        "refused": sentence,
        **waiting_for_two(request.user, at),
    }
    return answer(request, "connections/show.html", "connections/_list.html", context, status=status)


def waiting_for_two(person: User, at: datetime) -> dict[str, Any]:
    """What is proposed of connections and accounts: only shown, as it is decided on with all other changes."""
    rows, more = proposals.first(proposed())
    waiting = proposals.all_of(rows, person, at, steps="", target="")
    may_propose = changes.why_not_propose(CONNECT, person) is None
    return {
        "at": at,
        "may_propose": may_propose,
        "may_state": may_state(person),
        "waiting": [(one, may_propose and one.change.kind == CONNECT and not one.awaits_look) for one in waiting],
        "more": more,
        "asking": any(one.awaits_look for one in waiting),
    }


@require_safe
def live(request: Request, connection_id: int) -> HttpResponse:
    """One connection once more, while a reading is awaited; 286 tells htmx to stop asking."""
    if without_role := refused_without_role(request, "connections"):
        return without_role
    connection = get_object_or_404(connections(), pk=connection_id)
    return shown(request, connection)


@require_POST
def test(request: Request, connection_id: int) -> HttpResponse:
    """Ask for a reading, which says how the connection is. A worker reads; the web never calls a venue."""
    connection = get_object_or_404(Connection, pk=connection_id)
    try:
        insist_on_role(request)
    except refusals.REFUSALS as refusal:
        return refusals.refuse(request, refusal, action="balance.ask", subject=connection.subject)
    ask(connection=connection, by=request.user, at=timezone.now())
    if not wants_part(request):
        return go(request, f"{reverse('connections')}#connection-{connection_id}")
    return shown(request, connections().get(pk=connection_id))


def shown(request: Request, connection: Connection) -> HttpResponse:
    if not wants_part(request):
        return redirect(f"{reverse('connections')}#connection-{connection.pk}")
    at = timezone.now()
    login = login_of(connection, at)
    may_propose = changes.why_not_propose(CONNECT, request.user) is None
    context = {"at": at, "login": login, "may_propose": may_propose, "may_state": may_state(request.user)}
    response = answer(request, "connections/show.html", "connections/_connection.html", context)
    if request.method == "GET" and not login.awaited:
        response.status_code = STOP_POLLING
    return response


def may_state(person: User) -> bool:
    """Whether this person may state what an account holds that no API reads."""
    return changes.why_not_propose(STATE, person) is None


def connections() -> QuerySet[Connection]:
    return Connection.objects.select_related("health").prefetch_related("accounts")


def login_of(connection: Connection, at: datetime) -> Login:
    health = getattr(connection, "health", None)
    checked = checked_of(health)
    accounts = list(connection.accounts.all())
    there = {account.address for account in accounts}
    strange = checked is not None and checked.login != connection.login
    return Login(
        connection=connection,
        title=venues.declared(connection.venue).title,
        conditions=conditions_of(connection, health, at),
        awaited=is_awaited(health, at),
        read_at=health.read_at if health else None,
        checked=checked,
        strangers_login=checked.login if checked is not None and strange else "",
        accounts=accounts,
        not_set_up=len({one["address"] for one in (health.reported if health else [])} - there),
        in_use=in_use(connection, at),
        are_old=credentials.are_old(connection, at),
        declared=facts_of(connection.venue),
        limits=limits_of(connection.venue),
    )


def in_use(connection: Connection, at: datetime) -> str:
    """How long its credentials have been in use; empty where nobody knows."""
    if connection.credentials_at is None:
        return ""
    days = max((at - connection.credentials_at).days, 0)
    return "since today" if not days else "for 1 day" if days == 1 else f"for {days} days"


def conditions_of(connection: Connection, health: ConnectionHealth | None, at: datetime) -> list[Condition]:
    """Whether sending is stopped, and how the last reading went: two things, so at times two chips."""
    standing = stops.standing_over(connection)
    stopped = [
        Condition("stopped", "Stopped", f"because {order.reason.rstrip('.')}, says {order.who}.") for order in standing
    ]
    return [*stopped, reading_of(health, at, stopped=bool(stopped), by_hand=connection.by_hand)]


def reading_of(health: ConnectionHealth | None, at: datetime, *, stopped: bool, by_hand: bool = False) -> Condition:
    because = f"because {health.problem.rstrip('.')}." if health and health.problem else ""
    if by_hand:
        return Condition("confirming", "By hand", "People move its money, and state what it holds.")
    if health and health.limited_until and health.limited_until > at:
        return Condition("limited", f"Limited until {on_the_clock(health.limited_until)}", because)
    if health and because and (health.read_again_at or health.read_at is None):
        return Condition("unread", "Could not be read", because)
    if because:
        return Condition("partly", "Read in part", because)
    if health is None or health.read_at is None:
        return Condition("waiting", "Not read yet")
    return Condition("healthy", "Readable" if stopped else "Healthy")


def checked_of(health: ConnectionHealth | None) -> Checked | None:
    said = health.checked if health else {}
    if not said:
        return None
    return Checked(
        login=said["login"],
        may_transfer=said["may_transfer"],
        words=said["words"],
        clock=clock_in_words(said["clock_offset_ms"]),
    )


def clock_in_words(offset_ms: int | None) -> str:
    if offset_ms is None:
        return "The venue does not tell its time."
    if offset_ms == 0:
        return "It agrees with ours."
    ahead = "ahead of" if offset_ms > 0 else "behind"
    off = abs(offset_ms)
    return f"{f'{off / 1000:.1f} s' if off >= 1000 else f'{off} ms'} {ahead} ours."


def facts_of(venue: str) -> list[tuple[str, str]]:
    """What the venue's module declares, in sentences."""
    declared = venues.declared(venue)
    if declared.by_hand:
        return [
            ("Moving", "One of you does it at the venues' own screens, once it is approved."),
            ("Recording", "That person says with evidence what was done; a checker who did not draft it confirms it."),
            ("In time", f"Not said within {length(declared.settle_limit)}, it is money at risk. It never expires."),
            (
                "Balances",
                f"Stated with evidence by one, confirmed by another; stale after {length(stale_after(venue))}.",
            ),
        ]
    facts = [
        ("Amounts", decimals_in_words(venue)),
        ("Sending again", resend_in_words(venue)),
        ("A look-up", look_up_in_words(venue)),
        ("Settling", f"Taken and not settled after {length(declared.settle_limit)}, it is money at risk."),
    ]
    if declared.challenges:
        facts.append(("Confirming", "It may ask for a person to confirm a transfer there."))
    return facts


def decimals_in_words(venue: str) -> str:
    declared = venues.declared(venue)
    if declared.amount_decimals is None:
        return f"How many decimals {declared.title} takes is not known."
    if declared.amount_decimals == 0:
        return "No decimals."
    return f"At most {declared.amount_decimals} decimal{'' if declared.amount_decimals == 1 else 's'}."


def resend_in_words(venue: str) -> str:
    declared = venues.declared(venue)
    rule = declared.resend
    if rule is None:
        return "Never under the same key; a transfer in doubt is only looked up."
    until = f"Under the same key, until {length(rule.until)} after the first send"
    if not rule.after_empty_look_up:
        return f"{until}: the venue knows the key and moves nothing twice."
    kinds = declared.account_kinds
    blind = [f"from {kinds[source]} to {kinds[destination]}" for source, destination in sorted(rule.unsearchable)]
    without = f" There is nothing to search {listed(blind)}; there it may be sent again without." if blind else ""
    return f"{until}, and only once complete searches have found nothing.{without}"


def look_up_in_words(venue: str) -> str:
    absent_after = venues.declared(venue).absent_after
    if absent_after is None:
        return "It proves that a transfer is there, and never that there is none: two people end such a doubt."
    return (
        "It proves that a transfer is there; and that there is none, when complete searches later than "
        f"{length(absent_after)} after the last send find nothing."
    )


def limits_of(venue: str) -> list[str]:
    sentences = []
    for errand, limit in venues.declared(venue).limits.items():
        once, often = ERRANDS.get(errand, (errand, errand))
        sentences.append(f"{limit.calls} {once if limit.calls == 1 else often} in {length(limit.per)}")
    return sentences


def length(of: timedelta) -> str:
    """Exactly so long: a rule is not rounded."""
    seconds = of.total_seconds()
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds and not seconds % size:
            return f"{seconds / size:g}\u00a0{unit}"
    return f"{seconds:g}\u00a0s"


def listed(words: list[str]) -> str:
    """ "a, b or c"."""
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last
