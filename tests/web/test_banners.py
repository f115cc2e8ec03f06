"""What nobody may overlook stands on every page: a stop order, a sender that is dead, a clock that stands still."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import connection as database
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tests.house import person, take
from tests.web.swap import by_id, htmx, page_of, swapped, text_of
from treasury.audit.record import Machine
from treasury.controls import heartbeats, stops
from treasury.controls.roles import AUDITORS, CHECKERS, MAKERS, OPERATORS
from treasury.models import Account, Connection, Heartbeat, StopOrder, User

SignIn = Callable[..., Client]
PAGES = ("/", "/transfers/", "/approvals/", "/connections/", "/audit/", "/nowhere/")


def header(client: Client, path: str = "/") -> str:
    return " ".join(by_id(page_of(client.get(path)), "house").text_content().split())


def last_beat(name: str, at: datetime) -> None:
    Heartbeat.objects.filter(name=name).update(at=at)


def test_a_stop_names_the_person_and_a_part_of_the_product_by_its_own_word(
    sign_in: SignIn, maker: User, operator: User, connection: Connection
) -> None:
    stops.stop(connection=connection, reason="Drill", by=operator, at=timezone.now())
    stops.stop(everything=True, reason="Odd", by=Machine(maker.username), at=timezone.now())
    StopOrder.objects.create(scope="venue", venue="xt", reason="Old", by="long.gone", since=timezone.now())
    told = header(sign_in(maker))
    assert f"Nothing is sent over it. {operator}, " in told
    assert str(operator) != operator.username
    assert f"Nothing is sent. {maker.username}, " in told
    assert "long.gone, " in told


def test_operators_read_the_remedy_and_others_whom_to_tell(sign_in: SignIn, maker: User, operator: User) -> None:
    last_beat(heartbeats.SENDS, timezone.now() - settings.SENDER_SILENT_AFTER - timedelta(seconds=5))
    told = header(sign_in(maker))
    assert "Approved transfers wait, and none is lost. Tell your operator." in told
    assert "queue" not in told
    assert "none is lost. Start the worker of the queue “sends” again." in header(sign_in(operator))


@pytest.mark.parametrize("path", PAGES)
def test_a_dead_sender_is_seen_on_every_page(sign_in: SignIn, maker: User, path: str) -> None:
    since = timezone.now() - settings.SENDER_SILENT_AFTER - timedelta(seconds=5)
    last_beat(heartbeats.SENDS, since)
    told = header(sign_in(maker), path)
    assert f"Nothing is being sent: the sender stopped at {since:%H:%M:%S} UTC" in told
    assert "none is lost. Tell your operator." in told


@pytest.mark.parametrize("path", PAGES)
def test_while_everything_runs_no_page_says_a_word(sign_in: SignIn, maker: User, path: str) -> None:
    client = sign_in(maker)
    assert not by_id(page_of(client.get(path)), "house").find_class("stopped")


def test_where_nothing_has_ever_run_it_is_said(sign_in: SignIn, maker: User) -> None:
    Heartbeat.objects.all().delete()
    assert "Nothing is being sent: no sender has run yet." in header(sign_in(maker))


@pytest.mark.parametrize("role", [MAKERS, CHECKERS, OPERATORS, AUDITORS])
def test_every_role_sees_it_and_nobody_without_one(sign_in: SignIn, role: str) -> None:
    somebody = person("somebody", role)
    last_beat(heartbeats.SENDS, timezone.now() - timedelta(hours=1))
    client = sign_in(somebody)
    assert "Nothing is being sent" in header(client)
    take(somebody)  # and with the role, the session ends
    assert "Nothing is being sent" not in header(sign_in(somebody))


def test_a_restored_sender_takes_its_banner_away(sign_in: SignIn, maker: User) -> None:
    last_beat(heartbeats.SENDS, timezone.now() - timedelta(hours=1))
    client = sign_in(maker)
    assert "Nothing is being sent" in header(client)
    heartbeats.beat(heartbeats.SENDS, timezone.now())
    assert "Nothing is being sent" not in header(client)


def test_the_signs_of_life_cost_a_page_one_query(sign_in: SignIn, maker: User) -> None:
    client = sign_in(maker)
    with CaptureQueriesContext(database) as captured:
        client.get("/")
    assert sum("treasury_heartbeat" in query["sql"] for query in captured.captured_queries) == 1


# -- what is stopped -----------------------------------------------------------------------------------------


def test_each_scope_says_what_is_stopped_by_whom_since_when_and_why(
    sign_in: SignIn, maker: User, connection: Connection, unified: Account, at: datetime
) -> None:
    def stop(**scope: Any) -> None:
        stops.stop(reason="Drill", by=Machine("tests"), at=at, **scope)

    stop(everything=True)
    stop(venue="bybit")
    stop(connection=connection)
    stop(asset="usdt")
    stop(account=unified)
    told = header(sign_in(maker))
    for words in (
        "Everything is stopped. Nothing is sent. tests, ",
        "Everything at Bybit is stopped. Nothing of it is sent.",
        "Bybit main is stopped. Nothing is sent over it.",
        "Every transfer of USDT is stopped. Nothing of it is sent.",
        "is stopped. Nothing is sent from it or to it.",
        f"{at:%H:%M:%S} UTC: Drill",
    ):
        assert words in told
    assert StopOrder.objects.count() == told.count("UTC: Drill") == 5


# -- the header by itself ------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PAGES)
def test_the_header_polls_and_its_answer_is_what_a_reload_would_show(
    sign_in: SignIn, maker: User, path: str, still: datetime
) -> None:
    client = sign_in(maker)
    page = page_of(client.get(path))
    assert by_id(page, "house").get("hx-get") == "/house/"
    assert str(by_id(page, "house").get("hx-trigger")).startswith("every 15s")
    last_beat(heartbeats.SENDS, timezone.now() - timedelta(hours=1))
    after = swapped(page, htmx(client, "get", "/house/", page=path), "house")
    assert by_id(after, "house").find_class("stopped")
    assert text_of(after) == text_of(page_of(client.get(path)))


def test_without_javascript_its_address_is_the_overview(sign_in: SignIn, maker: User) -> None:
    assert sign_in(maker).get("/house/")["Location"] == "/"


def test_the_header_answers_with_little_work(sign_in: SignIn, maker: User) -> None:
    client = sign_in(maker)
    with CaptureQueriesContext(database) as captured:
        htmx(client, "get", "/house/")
    assert len(captured) <= 16, [query["sql"] for query in captured.captured_queries]


def test_who_is_not_signed_in_has_no_header_that_polls(client: Client, db: None) -> None:
    assert by_id(page_of(client.get("/sign-in/")), "house").get("hx-get") is None
    assert "/sign-in/" in htmx(client, "get", "/house/")["HX-Redirect"]
