"""The first page: what is where and how old each number is, what waits, what is in flight, what is stopped."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.http import HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from treasury import venues
from treasury.balances.holdings import all_balances, is_stale
from treasury.balances.refresh import is_awaited
from treasury.controls import stops
from treasury.controls.roles import MAKERS, OPERATORS, groups_of
from treasury.models import Account, Balance, Change, Connection, StopOrder, User
from treasury.notices import post
from treasury.rebalancing import drift
from treasury.templatetags.treasury import places
from treasury.transfers import exposure, match, queries
from treasury.transfers.exposure import Exposure, Exposures, Total
from treasury.web import drifting
from treasury.web.drifting import Off
from treasury.web.htmx import STOP_POLLING, Request, answer, wants_part
from treasury.web.progress import progress_of
from treasury.web.totals import what_we_hold

NAMED_AS_NOTHING = 12  # an account may hold nothing of hundreds of assets
NAMED_AT_RISK = 3  # assets in the tile; the list below names each transfer


@dataclass(frozen=True)
class Holding:
    balance: Balance
    stale: bool
    exposure: Exposure


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
class Stopped:
    """A stop order, and the proposal to release it if somebody made one."""

    order: StopOrder
    release: Change | None


@dataclass(frozen=True)
class Login:
    """One connection: its accounts, how its last reading went, whether one is awaited, what stops it."""

    connection: Connection
    title: str
    accounts: list[Holdings]
    problem: str
    limited_until: datetime | None
    asked: bool
    stops: list[Stopped]
    decimals: int

    @property
    def has_reserved(self) -> bool:
        return any(row.exposure.reserved for each in self.accounts for row in each.rows)

    @property
    def has_at_risk(self) -> bool:
        return any(row.exposure.at_risk for each in self.accounts for row in each.rows)

    @property
    def words_across(self) -> int:
        """Columns between the account and the age, for a line of words."""
        return 3 + self.has_reserved + self.has_at_risk


@dataclass(frozen=True)
class AtRisk:
    """The tile: what is at risk of each asset, how many transfers, since when; ``loud`` once people are told."""

    totals: list[Total]
    more: int
    count: int
    oldest: datetime
    loud: bool


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
    balances = list(all_balances()) if groups else []
    exposures = exposure.read(at) if groups else Exposures({})
    connections = list(Connection.objects.select_related("health").prefetch_related("accounts")) if groups else []
    logins = logins_at(at, connections, balances, exposures)
    for_you = list(queries.with_standing(queries.waiting_for(person, at), at)[:10])
    drafts = list(queries.with_standing(queries.own_drafts(person), at)[:10])
    return {
        "at": at,
        "has_role": bool(groups),
        "may_stop": OPERATORS in groups,
        "letters": post.troubled(at) if OPERATORS in groups else None,
        "may_draft": MAKERS in groups,
        "logins": logins,
        "held": what_we_hold(balances, connections, at) if groups else None,
        "reporting": settings.REPORTING_CURRENCY,
        "progress": progress_of(connections, at),
        "waiting": for_you,
        "drafts": drafts,
        "flying": flying,
        "flying_count": queries.in_flight(person).count(),
        "draft_count": queries.own_drafts(person).count(),
        "others_count": queries.waiting_for_others(person, at).count(),
        "risks": exposure.in_words(exposures.risks),
        "at_risk": at_risk_of(exposures, at),
        "off": off_at(at) if groups else None,
        "not_matching": match.not_matching().count() if groups else 0,
        "live": bool(flying) or any(login.asked for login in logins),
        "refused": "",
    }


def off_at(at: datetime) -> Off | None:
    """None while there is no band."""
    found = drift.read(at)
    return drifting.off_of(found) if found else None


def at_risk_of(exposures: Exposures, at: datetime) -> AtRisk | None:
    """None while nothing is at risk."""
    if not exposures.risks:
        return None
    totals = exposures.totals
    oldest = exposures.risks[0].since
    return AtRisk(
        totals=totals[:NAMED_AT_RISK],
        more=len(totals[NAMED_AT_RISK:]),
        count=len(exposures.risks),
        oldest=oldest,
        loud=at - oldest >= settings.DOUBT_TOLD_AFTER,
    )


def logins_at(
    at: datetime, connections: list[Connection], balances: list[Balance], exposures: Exposures
) -> list[Login]:
    held: dict[int, list[Holding]] = {}
    for one in balances:
        spoken_for = exposures.held.get((one.account_id, one.asset), Exposure())
        holding = Holding(one, is_stale(one, at), spoken_for)
        held.setdefault(one.account_id, []).append(holding)
    released = stops.releases_proposed()
    orders = [Stopped(order, released.get(order.pk)) for order in stops.standing()]
    return [login_at(one, held, [each for each in orders if is_over(each.order, one)], at) for one in connections]


def is_over(order: StopOrder, connection: Connection) -> bool:
    """Whether it stops this connection or one of its accounts; what stops more stands on top of every page."""
    account = order.account
    return connection.pk in (order.connection_id, account.connection_id if account else None)


def login_at(connection: Connection, held: dict[int, list[Holding]], orders: list[Stopped], at: datetime) -> Login:
    health = getattr(connection, "health", None)
    accounts = [holdings_of(account, held.get(account.pk, [])) for account in connection.accounts.all()]
    limited = health.limited_until if health and health.limited_until and health.limited_until > at else None
    return Login(
        connection=connection,
        title=venues.declared(connection.venue).title,
        accounts=accounts,
        problem=health.problem.rstrip(".") if health else "",
        limited_until=limited,
        asked=is_awaited(health, at),
        stops=orders,
        decimals=max((decimals(one) for each in accounts for one in each.rows), default=0),
    )


def holdings_of(account: Account, held: list[Holding]) -> Holdings:
    zeros = [one for one in held if is_nothing(one)]
    rows = [one for one in held if not is_nothing(one)]
    nothing = (
        Nothing(
            names=[one.balance.asset for one in zeros[:NAMED_AS_NOTHING]],
            more=len(zeros[NAMED_AS_NOTHING:]),
            observed_at=min(one.balance.observed_at for one in zeros),
            stale=any(one.stale for one in zeros),
        )
        if zeros
        else None
    )
    return Holdings(account, rows, nothing)


def is_nothing(one: Holding) -> bool:
    """A zero that the venue said, and of which nothing is on its way. What it did not say is unknown, and is never
    folded away."""
    spoken_for = one.exposure.reserved or one.exposure.at_risk
    return bool(one.balance.total == 0 and one.balance.movable == 0 and not spoken_for)


def decimals(holding: Holding) -> int:
    """How many decimals the longest of a row's numbers has, so that a column can line its points up."""
    told, spoken_for = holding.balance, holding.exposure
    numbers = (told.total, told.movable, spoken_for.reserved, spoken_for.at_risk)
    return max((places(one) for one in numbers if one is not None), default=0)
