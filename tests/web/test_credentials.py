"""Credentials on the pages: a fingerprint and its age, a form that proposes others, and no secret anywhere."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import connection as database
from django.test import Client
from django.utils import timezone

from connectors.simulators.core import Simulator
from tests.controls.test_credentials import SECOND, another_key
from tests.web.swap import by_id, page_of
from treasury.controls import first_looks
from treasury.models import AuditEntry, Change, Connection, User

pytestmark = pytest.mark.django_db

SignIn = Callable[..., Client]
HERE = "/connections/"


def form_of(connection: Connection) -> str:
    return f"{HERE}{connection.pk}/credentials/"


def filled(**changed: str) -> dict[str, str]:
    return {**{f"credential-{name}": value for name, value in SECOND.items()}, "reason": "A new key", **changed}


def words_of(part: Any) -> str:
    return " ".join(part.text_content().split())


def shown(client: Client, connection: Connection) -> str:
    return words_of(by_id(page_of(client.get(HERE)), f"connection-{connection.pk}"))


def proposed(client: Client, connection: Connection, venue: Simulator) -> Change:
    another_key(venue)
    response = client.post(form_of(connection), filled())
    change = Change.objects.get(kind="credentials.replace")
    assert (response.status_code, response.url) == (303, f"{HERE}#change-{change.pk}")
    return change


def test_a_connection_shows_its_fingerprint_and_its_age_and_says_when_it_is_old(
    sign_in: SignIn, auditor: User, connection: Connection
) -> None:
    client = sign_in(auditor)
    assert f"{connection.fingerprint} in use since today" in shown(client, connection)
    assert "old:" not in shown(client, connection)
    for days, words in ((1, "in use for 1 day"), (settings.CREDENTIALS_OLD_AFTER.days + 1, "in use for 91 days")):
        with database.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = replica")
            since = timezone.now() - timedelta(days=days)
            cursor.execute("UPDATE treasury_connection SET credentials_at = %s", [since])
            cursor.execute("SET LOCAL session_replication_role = DEFAULT")
        assert words in shown(client, connection)
    assert "old: have the venue make new ones" in shown(client, connection)


def test_two_operators_replace_them_by_the_pages(
    sign_in: SignIn, operator: User, operator2: User, connection: Connection, venue: Simulator
) -> None:
    change = proposed(sign_in(operator), connection, venue)
    waiting = words_of(by_id(page_of(sign_in(operator2).get(HERE)), "proposals"))
    assert (
        f"Credentials {change.words['fingerprint']} come into use. {connection.fingerprint} go out of use." in waiting
    )
    assert "No transfer waits to be sent over it. Stops stay as they are." in waiting
    assert "the venue is being asked whose login it is" in waiting
    first_looks.look(change_id=change.pk, at=timezone.now())
    newest = first_looks.newest_look(change)
    assert newest is not None
    page = sign_in(operator2).get("/changes/").content.decode()
    assert "Confirm: use these credentials" in page
    said = {"digest": change.digest, "login": newest.login}
    response = sign_in(operator2).post(f"/changes/{change.pk}/confirm/", said, follow=True)
    assert response.status_code == 200
    assert Connection.objects.get().fingerprint == change.words["fingerprint"]
    assert f"{change.words['fingerprint']} in use since today" in shown(sign_in(operator), connection)


def test_a_page_says_why_another_logins_credentials_cannot_be_confirmed(
    sign_in: SignIn, operator: User, operator2: User, connection: Connection, venue: Simulator
) -> None:
    spare = {f"credential-{name}": value for name, value in venue.spare()[0][1].items()}
    sign_in(operator).post(form_of(connection), {**spare, "reason": "x"})
    change = Change.objects.get(kind="credentials.replace")
    first_looks.look(change_id=change.pk, at=timezone.now())
    page = words_of(by_id(page_of(sign_in(operator2).get("/changes/")), f"change-{change.pk}"))
    assert "It cannot be confirmed now. The new credentials belong to another login" in page
    assert "Confirm: use these credentials" not in page
    newest = first_looks.newest_look(change)
    assert newest is not None
    said = {"digest": change.digest, "login": newest.login}
    assert sign_in(operator2).post(f"/changes/{change.pk}/confirm/", said).status_code == 409
    assert Connection.objects.get().fingerprint == connection.fingerprint


def test_what_was_typed_is_never_shown_again(
    sign_in: SignIn, operator: User, connection: Connection, venue: Simulator
) -> None:
    client = sign_in(operator)
    for changed in ({"reason": ""}, {"credential-api_key": "two words"}):
        response = client.post(form_of(connection), filled(**changed))
        assert response.status_code == 422
        text = response.content.decode()
        assert "Not proposed." in text
        assert "Type the secrets again" in text
        assert SECOND["api_secret"] not in text
        assert not Change.objects.filter(kind="credentials.replace").exists()
    same = {f"credential-{name}": value for name, value in venue.credentials.items()}
    response = client.post(form_of(connection), {**same, "reason": "x"})
    assert response.status_code == 422
    assert "these are the credentials in use" in response.content.decode()


@pytest.mark.parametrize("who", ["maker", "checker", "auditor"])
def test_nobody_else_proposes_and_the_attempt_is_logged(
    sign_in: SignIn, connection: Connection, request: pytest.FixtureRequest, who: str
) -> None:
    client = sign_in(request.getfixturevalue(who))
    assert client.get(form_of(connection)).status_code == 403
    assert client.post(form_of(connection), filled()).status_code == 403
    assert "credentials/" not in client.get(HERE).content.decode()
    refusals = AuditEntry.objects.filter(result="refused", action="credentials.replace")
    assert {one.subject for one in refusals} == {connection.subject}


def test_the_page_lists_every_host_that_is_called_and_no_more_of_its_address(
    sign_in: SignIn, auditor: User, connection: Connection, venue: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "WEBHOOK_URL", "http://localhost:4711/told?token=webhook-canary")
    monkeypatch.setattr(settings, "EMAIL_BACKEND", "treasury.outbound.EmailBackend")
    monkeypatch.setattr(settings, "EMAIL_HOST", "localhost")
    monkeypatch.setattr(settings, "EMAIL_PORT", 2525)
    text = sign_in(auditor).get(HERE).content.decode()
    for host in (venue.url.removeprefix("http://"), "localhost:4711", "localhost:2525"):
        assert host in text
    assert "the gate opens to this computer alone" in text
    assert "webhook-canary" not in text
    monkeypatch.setattr(settings, "PRACTICE", False)
    assert "api.bybit.com:443" in sign_in(auditor).get(HERE, secure=True).content.decode()
