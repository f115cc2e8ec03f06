"""Which assets move between two accounts: asked once by a worker, kept for a day, and never guessed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from connectors.core.errors import Refused
from connectors.simulators.core import Simulator
from treasury import tasks, venues
from treasury.balances import routes
from treasury.models import Account, ConnectionHealth, Route

pytestmark = pytest.mark.django_db


def asked(source: Account, destination: Account, at: datetime | None = None) -> Route:
    assert routes.ask(source, destination, at or timezone.now())
    return Route.objects.get(source=source, destination=destination)


class Says:
    """A connector that answers, or fails, as the test says."""

    def __init__(self, answer: list[str] | Exception) -> None:
        self.answer = answer

    def assets(self, source: str, destination: str) -> list[str]:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    return lambda answer: monkeypatch.setattr(venues, "open_connection", lambda *_: Says(answer))


def test_the_venue_names_the_assets_over_http(unified: Account, fund: Account) -> None:
    assert routes.known(unified, fund, timezone.now()) is None
    routes.read(asked(unified, fund).pk, timezone.now())
    known = routes.known(unified, fund, timezone.now())
    assert known is not None
    assert {"USDT", "BTC"} <= set(known)
    assert routes.known(fund, unified, timezone.now()) is None, "the way back is another route"


def test_it_is_asked_once_while_awaited_and_not_while_it_is_known(
    unified: Account,
    fund: Account,
    rung: list[tuple[str, Any]],
    django_capture_on_commit_callbacks: Callable[..., Any],
    at: datetime,
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        route = asked(unified, fund, at)
        assert not routes.ask(unified, fund, at)
    assert rung == [("treasury.read_route", [route.pk])]
    assert routes.is_awaited(route, at)
    later = at + routes.AWAITED + timedelta(seconds=1)
    assert not routes.is_awaited(route, later)
    assert routes.ask(unified, fund, later), "a message that is lost is sent again"
    routes.read(route.pk, later)
    assert not routes.ask(unified, fund, later)


def test_it_is_known_for_a_day(unified: Account, fund: Account, at: datetime) -> None:
    routes.read(asked(unified, fund, at).pk, at)
    assert routes.known(unified, fund, at + routes.FRESH) is not None
    late = at + routes.FRESH + timedelta(seconds=1)
    assert routes.known(unified, fund, late) is None
    assert routes.ask(unified, fund, late)


def test_no_route_is_an_answer(unified: Account, fund: Account, says: Callable[[Any], None], at: datetime) -> None:
    says(Refused("Nothing moved: there is no such route."))
    route = asked(unified, fund, at)
    routes.read(route.pk, at)
    assert routes.known(unified, fund, at) == []
    route.refresh_from_db()
    assert route.problem == "Nothing moved: there is no such route."


def test_a_question_that_fails_leaves_it_unknown_and_waits_a_while(
    unified: Account, fund: Account, venue: Simulator, at: datetime
) -> None:
    venue.fault("banned", match="read", times=None)
    route = asked(unified, fund, at)
    routes.read(route.pk, at)
    route.refresh_from_db()
    assert route.problem
    assert routes.known(unified, fund, at) is None
    assert not routes.is_awaited(route, at)
    assert not routes.ask(unified, fund, at + routes.AFTER_PROBLEM)
    venue.clear()
    ConnectionHealth.objects.update(limited_until=None)  # the ban's own time is over
    later = at + routes.AFTER_PROBLEM + timedelta(seconds=1)
    assert routes.ask(unified, fund, later)
    routes.read(route.pk, later)
    assert routes.known(unified, fund, later)


def test_a_failed_question_keeps_what_was_known(
    unified: Account, fund: Account, says: Callable[[Any], None], at: datetime
) -> None:
    says(["USDT"])
    route = asked(unified, fund, at)
    routes.read(route.pk, at)
    Route.objects.update(asked_at=at + timedelta(seconds=1))
    says(AttributeError("a defect"))
    routes.read(route.pk, at + timedelta(seconds=2))
    route.refresh_from_db()
    assert (route.assets, route.read_at) == (["USDT"], at)
    assert "AttributeError" in route.problem


def test_a_venue_that_asks_to_wait_is_left_alone(unified: Account, fund: Account, venue: Simulator) -> None:
    venue.fault("rate_limited", match="query-transfer-coin-list")
    route = asked(unified, fund)
    routes.read(route.pk, timezone.now())
    route.refresh_from_db()
    assert route.problem
    limited_until = ConnectionHealth.objects.get().limited_until
    assert limited_until is None or limited_until > timezone.now()


def test_a_doubled_message_asks_once(unified: Account, fund: Account, venue: Simulator) -> None:
    route = asked(unified, fund)
    for _ in range(2):
        routes.read(route.pk, timezone.now())
    assert len(venue.requests("query-transfer-coin-list")) == 1


def test_a_code_that_cannot_be_stored_is_left_out(
    unified: Account, fund: Account, says: Callable[[Any], None], at: datetime
) -> None:
    says(["USDT", "BTC", "USDT", "X" * 41, "N\0", ""])
    routes.read(asked(unified, fund, at).pk, at)
    assert routes.known(unified, fund, at) == ["BTC", "USDT"]


def test_a_workers_clock_that_is_behind_asks_no_twice(unified: Account, fund: Account, at: datetime) -> None:
    route = asked(unified, fund, at)
    routes.read(route.pk, at - timedelta(seconds=1))
    route.refresh_from_db()
    assert not routes.is_awaited(route, at)
    assert not routes.awaited_over(unified.connection, at).exists()


@pytest.mark.django_db(transaction=True)
def test_the_task_reads_every_route_that_somebody_waits_for(unified: Account, fund: Account) -> None:
    there, back = asked(unified, fund), asked(fund, unified)
    tasks.read_route(there.pk)
    assert Route.objects.filter(assets=None).count() == 0
    assert back.pk != there.pk
