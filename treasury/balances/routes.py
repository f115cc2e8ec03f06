"""Which assets a venue moves between two of its accounts: asked by a worker, kept for a day."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, Q, QuerySet

from connectors.core.errors import Refused, TryLater, VenueError
from treasury import venues
from treasury.balances.refresh import a_code
from treasury.celery import send_on_commit
from treasury.models import Account, Balance, Connection, Route
from treasury.models.text import clean

log = logging.getLogger(__name__)

READ_ROUTE = "treasury.read_route"
FRESH = timedelta(hours=24)
FRESH_NONE = timedelta(minutes=10)  # a venue that names no asset may do so in a bad hour
AWAITED = timedelta(seconds=15)  # a question that was put longer ago and is not answered is put again
AFTER_PROBLEM = timedelta(minutes=1)  # how long after a question that failed it is not put again


def known(source: Account, destination: Account, at: datetime) -> list[str] | None:
    """The assets that the venue moves from here to there; none at all where it has no route. None: not known."""
    route = of(source, destination)
    return None if route is None else named(route, at)


def named(route: Route, at: datetime) -> list[str] | None:
    """The assets that the venue named for it, while that is not too long ago. None: not known."""
    if route.assets is None or route.read_at is None:
        return None
    if at - route.read_at > (FRESH if route.assets else FRESH_NONE):
        return None
    return list(route.assets)


def listed(connection: Connection, at: datetime) -> set[str]:
    """Every asset that the venue names on any route of this login, and what its accounts hold; empty: it named none."""
    own = Route.objects.filter(source__connection=connection, read_at__gt=at - FRESH).exclude(assets=None)
    named = {asset for route in own for asset in route.assets or ()}
    if not named:
        return named
    return named | set(Balance.objects.filter(account__connection=connection).values_list("asset", flat=True))


def ask(source: Account, destination: Account, at: datetime) -> bool:
    """Ask for them, which a worker does; False while an answer is awaited, is known, or failed a moment ago."""
    with transaction.atomic():
        Route.objects.get_or_create(source=source, destination=destination)
        route = Route.objects.select_for_update().get(source=source, destination=destination)
        if is_awaited(route, at) or known(source, destination, at) is not None or has_just_failed(route, at):
            return False
        route.asked_at, route.problem = at, ""
        route.save(update_fields=["asked_at", "problem"])
        send_on_commit(READ_ROUTE, route.pk, queue="reads", expires=30)
    return True


def read(route_id: int, at: datetime) -> None:
    """Ask the venue, then store what it says, or why it did not. A doubled message asks once."""
    route = Route.objects.select_related("source__connection", "destination").get(pk=route_id)
    if not is_awaited(route, at):
        return
    connection = route.source.connection
    try:
        connector = venues.open_connection(connection, "assets")
        assets = connector.assets(route.source.address, route.destination.address)
    except Refused as no_route:
        store(route, [], no_route.words, at)
    except (VenueError, venues.CannotOpen) as problem:
        store(route, None, str(problem), at)
        if isinstance(problem, TryLater) and problem.retry_at is not None:
            venues.limited(connection, problem.retry_at)
    except Exception as unforeseen:  # a connector's own defect; nothing is known, and nothing is forbidden by it
        log.exception("%s: the connector failed when asked for the assets of a route", connection)
        store(route, None, f"The question failed ({type(unforeseen).__name__}); see the service's log.", at)
    else:
        store(route, assets, "", at)


def store(route: Route, assets: Sequence[str] | None, problem: str, at: datetime) -> None:
    """None: not answered; what was known before keeps its age."""
    found = Route.objects.filter(pk=route.pk)
    if assets is None:
        found.update(problem=clean(problem))
    else:
        codes = sorted({asset for asset in assets if a_code(asset)})
        # Never before it was asked: a worker's clock may be a little behind.
        found.update(assets=codes, read_at=max(at, route.asked_at or at), problem=clean(problem))


def of(source: Account, destination: Account) -> Route | None:
    return Route.objects.filter(source=source, destination=destination).first()


def is_awaited(route: Route | None, at: datetime) -> bool:
    """Whether somebody asked a moment ago and the answer has not come."""
    if route is None or route.asked_at is None or route.problem or at - route.asked_at > AWAITED:
        return False
    return route.read_at is None or route.read_at < route.asked_at


def has_just_failed(route: Route, at: datetime) -> bool:
    return route.problem != "" and route.asked_at is not None and at - route.asked_at <= AFTER_PROBLEM


def awaited_over(connection: Connection, at: datetime) -> QuerySet[Route]:
    """The questions that wait for an answer over this connection, the oldest first."""
    unanswered = Q(read_at=None) | Q(read_at__lt=F("asked_at"))
    waiting = Route.objects.filter(unanswered, source__connection=connection, problem="", asked_at__gt=at - AWAITED)
    return waiting.order_by("asked_at", "pk")
