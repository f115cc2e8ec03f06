"""The first page: what is where and how old each number is, what waits, what is in flight, what is stopped."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.http import HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from treasury import venues
from treasury.balances.holdings import all_balances, is_stale
from treasury.balances.refresh import is_awaited
from treasury.controls.roles import MAKERS, OPERATORS, groups_of
from treasury.models import Account, Balance, Connection, StopOrder, User
from treasury.templatetags.treasury import places
from treasury.transfers import queries
from treasury.web.htmx import STOP_POLLING, Request, answer, wants_part

NAMED_AS_NOTHING = 12  # an account may hold nothing of hundreds of assets


@dataclass(frozen=True)
class Holding:
    balance: Balance
    stale: bool


@dataclass(frozen=True)
class Nothing:
    """The zeros of an account, in one line: what it holds nothing of, and how old the oldest of them is."""

    names: list[str]
    more: int
    observed_at: datetime
    stale: bool


@dataclass(frozen=True)
class Holdings:
    """An account and what it holds."""

    account: Account
    rows: list[Holding]
    nothing: Nothing | None

    @property
    def lines(self) -> int:
        return len(self.rows) + (self.nothing is not None)


@dataclass(frozen=True)
class Login:
    """One connection: its accounts, how its last reading went, whether one is awaited, what stops it."""

    connection: Connection
    title: str
    accounts: list[Holdings]
    problem: str
    limited_until: datetime | None
    asked: bool
    stops: list[StopOrder]
    decimals: int


@require_safe
def show(request: Request) -> HttpResponse:
    context = context_of(request.user, timezone.now())
    response = answer(request, "overview/show.html", "overview/_overview.html", context)
    if wants_part(request) and not context["live"]:
        response.status_code = STOP_POLLING
    return response


def context_of(person: User, at: datetime) -> dict[str, Any]:
    groups = groups_of(person)
    flying = list(queries.with_standing(queries.in_flight(person), at)[:20])
    logins = logins_at(at) if groups else []
    waiting = list(queries.with_standing(queries.waiting_for(person, at), at)[:10])
    drafts = list(queries.with_standing(queries.own_drafts(person), at)[:10])
    return {
        "at": at,
        "has_role": bool(groups),
        "may_stop": OPERATORS in groups,
        "may_draft": MAKERS in groups,
        "logins": logins,
        "waiting": waiting,
        "drafts": drafts,
        "flying": flying,
        "flying_count": queries.in_flight(person).count(),
        "draft_count": queries.own_drafts(person).count(),
        "others_count": queries.waiting_for_others(person, at).count(),
        "at_risk": queries.at_risk(person, at),
        "live": bool(flying) or any(login.asked for login in logins),
        "refused": "",
    }


def logins_at(at: datetime) -> list[Login]:
    held: dict[int, list[Balance]] = {}
    for balance in all_balances():
        held.setdefault(balance.account_id, []).append(balance)
    stops: dict[int, list[StopOrder]] = {}
    for order in StopOrder.objects.filter(released_at=None).prefetch_related("releases__by").order_by("since"):
        stops.setdefault(order.connection_id, []).append(order)
    connections = Connection.objects.select_related("health").prefetch_related("accounts")
    return [login_at(one, held, stops.get(one.pk, []), at) for one in connections]


def login_at(connection: Connection, held: dict[int, list[Balance]], stops: list[StopOrder], at: datetime) -> Login:
    health = getattr(connection, "health", None)
    accounts = [holdings_of(account, held.get(account.pk, []), at) for account in connection.accounts.all()]
    limited = health.limited_until if health and health.limited_until and health.limited_until > at else None
    return Login(
        connection=connection,
        title=venues.declared(connection.venue).title,
        accounts=accounts,
        problem=health.problem.rstrip(".") if health else "",
        limited_until=limited,
        asked=is_awaited(health, at),
        stops=stops,
        decimals=max((decimals(one) for each in accounts for one in each.rows), default=0),
    )


def holdings_of(account: Account, held: list[Balance], at: datetime) -> Holdings:
    zeros = [one for one in held if is_nothing(one)]
    rows = [Holding(one, is_stale(one, at)) for one in held if not is_nothing(one)]
    nothing = (
        Nothing(
            names=[one.asset for one in zeros[:NAMED_AS_NOTHING]],
            more=len(zeros[NAMED_AS_NOTHING:]),
            observed_at=min(one.observed_at for one in zeros),
            stale=any(is_stale(one, at) for one in zeros),
        )
        if zeros
        else None
    )
    return Holdings(account, rows, nothing)


def is_nothing(balance: Balance) -> bool:
    """A zero that the venue said. What it did not say is unknown, and is never folded away."""
    return bool(balance.total == 0 and balance.movable == 0)


def decimals(holding: Holding) -> int:
    """How many decimals the longest of a row's numbers has, so that a column can line its points up."""
    numbers = (holding.balance.total, holding.balance.movable)
    return max((places(one) for one in numbers if one is not None), default=0)
