"""How every login is, in words, and a test of it that a worker makes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from connectors.core import discovery
from connectors.simulators.core import Simulator
from tests.house import person
from tests.web.swap import by_id, htmx, page_of, swapped, text_of
from treasury.balances.refresh import NotRead, refresh
from treasury.controls import stops
from treasury.models import Connection, ConnectionHealth, User
from treasury.web import connections

SignIn = Callable[..., Client]


def words(client: Client, connection: Connection) -> str:
    part = by_id(page_of(client.get("/connections/")), f"connection-{connection.pk}")
    return " ".join(part.text_content().split())


def test_a_connection_says_who_it_is_and_what_its_venue_does(
    sign_in: SignIn, connection: Connection, auditor: User
) -> None:
    text = words(sign_in(auditor), connection)
    for said in (
        f"{discovery.venue(connection.venue).title} · simulated",
        "Healthy",
        connection.login,
        "May transferYes, as far as the venue tells.",
        "The key may read and write.",
        "At most 8 decimals.",
        "Under the same key, until 24 h after the first send, and only once complete searches have found nothing.",
        "there is none, when complete searches",
        "60 sends in 1 min",
        "Unified TradingUNIFIED",
        "0 s ago",
    ):
        assert said in text, said


def test_a_reading_keeps_what_the_venue_said_of_the_login(connection: Connection) -> None:
    said = ConnectionHealth.objects.get().checked
    assert said["login"] == connection.login
    assert said["may_transfer"] is True
    assert "It may transfer between accounts." in said["words"]
    assert isinstance(said["clock_offset_ms"], int)


def test_a_failed_reading_keeps_what_was_said_before(
    sign_in: SignIn, connection: Connection, venue: Simulator, maker: User
) -> None:
    before = ConnectionHealth.objects.get().checked
    venue.fault("banned", times=None)
    with pytest.raises(NotRead):
        refresh(connection=connection, at=timezone.now())
    assert ConnectionHealth.objects.get().checked == before
    assert "Could not be read because " in words(sign_in(maker), connection)


@pytest.mark.parametrize(
    ("health", "said"),
    [
        ({}, "Healthy"),
        ({"read_at": None, "checked": {}}, "Not read yet"),
        ({"problem": "the key has expired.", "read_again_at": True}, "Could not be read because the key has expired."),
        ({"problem": "Earn is not readable: x"}, "Read in part because Earn is not readable: x."),
        ({"limited_until": True}, "Limited until 20 Nov 2100, 11:43:02 UTC"),
    ],
)
def test_how_the_last_reading_went(
    sign_in: SignIn, connection: Connection, maker: User, health: dict[str, Any], said: str
) -> None:
    late = datetime.fromisoformat("2100-11-20T11:43:02Z")
    ConnectionHealth.objects.update(**{key: late if value is True else value for key, value in health.items()})
    assert said in words(sign_in(maker), connection)


def test_a_stop_and_a_key_that_may_not_transfer_are_said(
    sign_in: SignIn, connection: Connection, operator: User, maker: User
) -> None:
    stops.stop(connection=connection, reason="Key rotation", by=operator, at=timezone.now())
    health = ConnectionHealth.objects.get()
    health.checked |= {"may_transfer": False, "words": ["The key may only read."], "clock_offset_ms": -1500}
    health.save()
    text = words(sign_in(maker), connection)
    assert "Stopped because Key rotation, says Admin Person." in text
    assert "Readable" in text
    assert "No. Nothing can be sent over it." in text
    assert "1.5 s behind ours." in text


def test_another_logins_credentials_are_an_alarm(sign_in: SignIn, connection: Connection, maker: User) -> None:
    health = ConnectionHealth.objects.get()
    health.checked |= {"login": "4711"}
    health.save()
    assert "Its credentials belong to another login, 4711." in words(sign_in(maker), connection)


def test_a_test_is_asked_of_a_worker_and_polled_until_it_answers(
    sign_in: SignIn,
    connection: Connection,
    checker: User,
    rung: list[tuple[str, Any]],
    django_capture_on_commit_callbacks: Callable[..., Any],
) -> None:
    client = sign_in(checker)
    part, here = f"connection-{connection.pk}", "/connections/"
    page = page_of(client.get(here))
    assert by_id(page, part).get("hx-trigger") is None
    with django_capture_on_commit_callbacks(execute=True):
        answer = htmx(client, "post", f"{here}{connection.pk}/test/", page=here)
    assert rung == [("treasury.refresh_connection", [connection.pk])]
    asked = by_id(swapped(page, answer, part), part)
    assert "Testing…" in asked.text_content()
    assert asked.get("hx-trigger") == "every 2s"
    assert htmx(client, "get", asked.get("hx-get"), page=here).status_code == 200

    refresh(connection=connection, at=timezone.now())
    done = htmx(client, "get", asked.get("hx-get"), page=here)
    assert done.status_code == 286
    assert by_id(swapped(page, done, part), part).get("hx-trigger") is None


def test_every_swap_equals_a_reload(
    sign_in: SignIn, connection: Connection, maker: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = timezone.now() + timedelta(seconds=1)
    monkeypatch.setattr("django.utils.timezone.now", lambda: moment)
    client, part, here = sign_in(maker), f"connection-{connection.pk}", "/connections/"
    for method, step in (("post", "test"), ("get", "live")):
        page = page_of(client.get(here))
        answer = htmx(client, method, f"{here}{connection.pk}/{step}/", page=here)
        assert text_of(swapped(page, answer, part)) == text_of(page_of(client.get(here)))
    whole = htmx(client, "get", here, page=here)
    assert text_of(swapped(page_of(client.get(here)), whole, "connections")) == text_of(page_of(client.get(here)))


def test_without_javascript_it_goes_back_to_the_connection(
    sign_in: SignIn, connection: Connection, maker: User
) -> None:
    client = sign_in(maker)
    response = client.post(f"/connections/{connection.pk}/test/")
    assert (response.status_code, response.url) == (303, f"/connections/#connection-{connection.pk}")
    assert client.get(f"/connections/{connection.pk}/live/").url == response.url


def test_without_a_role_nothing_is_shown_or_asked(
    sign_in: SignIn, connection: Connection, refused: Callable[[], list[tuple[str, str, str]]]
) -> None:
    client = sign_in(person("nobody"))
    here = "/connections/"
    assert client.get(here).status_code == client.get(f"{here}{connection.pk}/live/").status_code == 403
    assert client.post(f"{here}{connection.pk}/test/").status_code == 403
    assert ConnectionHealth.objects.get().asked_at is None
    assert ("nobody", "balance.ask", connection.subject) in refused()
    assert here not in client.get("/").content.decode()


@pytest.mark.parametrize("venue_name", discovery.names())
def test_every_venue_is_told_in_words(venue_name: str) -> None:
    facts = [*(sentence for _, sentence in connections.facts_of(venue_name)), *connections.limits_of(venue_name)]
    assert all(facts)
    assert not [fact for fact in facts if "None" in fact or "_" in fact]


def test_an_empty_house_has_no_connection(sign_in: SignIn, maker: User) -> None:
    assert "No connection to a venue yet." in sign_in(maker).get("/connections/").content.decode()
