"""Sign in and out, and what the log says of it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from tests.house import deactivate
from tests.web.proving import SECOND, code, give_app, password
from treasury.models import AuditEntry, User
from treasury.web import sign_in_limits


def entries() -> list[tuple[str, str, str, str]]:
    rows = AuditEntry.objects.filter(action__startswith="session.").order_by("id")
    return [(row.actor, row.action, row.subject, row.result) for row in rows]


def test_signing_in_and_out_leaves_entries(maker: User) -> None:
    client = Client()
    assert client.post("/sign-in/", {"username": "maker", "password": "practice"}).url == "/"
    assert client.get("/").status_code == 200
    assert client.post("/sign-out/").url == "/sign-in/"
    assert client.get("/").status_code == 302
    assert entries() == [
        ("maker", "session.sign_in", "user:maker", "done"),
        ("maker", "session.sign_out", "user:maker", "done"),
    ]


def test_an_entry_says_where_the_request_came_from(maker: User) -> None:
    Client(REMOTE_ADDR="192.0.2.7").post("/sign-in/", {"username": "maker", "password": "practice"})
    assert '"origin":{"client":null,"peer":"192.0.2.7"}' in AuditEntry.objects.get(action="session.sign_in").canonical


@pytest.mark.parametrize(
    ("name", "password", "subject"),
    [
        ("maker", "wrong", "user:maker"),
        # Not the name that was typed: it may be a password.
        ("hunter2", "practice", "user:unknown"),
    ],
)
def test_a_failed_sign_in_is_refused_in_the_same_words_and_logged(
    maker: User, name: str, password: str, subject: str
) -> None:
    response = Client().post("/sign-in/", {"username": name, "password": password})
    assert response.status_code == 422
    assert "This user name and password do not belong together." in response.content.decode()
    assert entries() == [("nobody", "session.refuse", subject, "refused")]
    assert "hunter2" not in AuditEntry.objects.get(action="session.refuse").canonical


def test_a_deactivated_person_cannot_sign_in(maker: User) -> None:
    deactivate(maker)
    assert Client().post("/sign-in/", {"username": "maker", "password": "practice"}).status_code == 422


def test_signing_in_goes_on_to_the_page_that_was_wanted(maker: User) -> None:
    client = Client()
    wanted = client.get("/transfers/?state=draft").url
    assert wanted == "/sign-in/?next=%2Ftransfers%2F%3Fstate%3Ddraft"
    data = {"username": "maker", "password": "practice", "next": "/transfers/?state=draft"}
    assert client.post(wanted, data).url == "/transfers/?state=draft"


@pytest.mark.parametrize("elsewhere", ["https://evil.example/", "//evil.example", "javascript:alert(1)"])
def test_signing_in_never_leads_to_another_site(maker: User, elsewhere: str) -> None:
    data = {"username": "maker", "password": "practice", "next": elsewhere}
    assert Client().post("/sign-in/", data).url == "/"


def test_a_step_without_a_session_is_not_done_and_says_so(maker: User) -> None:
    response = Client().post("/transfers/TR-000001/approve/", headers={"Referer": "http://testserver/approvals/"})
    assert response.url == "/sign-in/?next=%2Fapprovals%2F&undone=1"
    assert "so nothing was done" in Client().get(response.url).content.decode()


def test_empty_fields_are_named(db: None) -> None:
    text = Client().post("/sign-in/", {}).content.decode()
    assert "Enter your user name." in text
    assert "Enter your password." in text


def test_who_is_signed_in_is_not_asked_again(sign_in: Callable[..., Client], maker: User) -> None:
    assert sign_in(maker).get("/sign-in/").url == "/"


# -- between the password and the second factor -------------------------------------------------------------------


def change_password(user: User) -> None:
    user.set_password("another password, a longer one")
    user.save(update_fields=["password"])


@pytest.mark.parametrize(
    ("overtaken", "why"), [(change_password, "the password was changed meanwhile"), (deactivate, "deactivated")]
)
def test_a_sign_in_that_was_overtaken_signs_nobody_in(
    settings: Any, maker: User, overtaken: Callable[[User], Any], why: str
) -> None:
    settings.STRONG_SIGN_IN = True
    give_app(maker)
    client = Client()
    assert password(client, maker).headers["Location"] == SECOND
    overtaken(maker)
    answer = client.post(SECOND, {"code": code()})
    assert answer.status_code == 403 and "You are not signed in." in answer.content.decode()
    assert "_auth_user_id" not in client.session and client.get("/account/").status_code == 302
    assert sign_in_limits.COOKIE not in client.cookies  # and the browser is not known as theirs
    assert entries() == [("nobody", "session.refuse", "user:maker", "refused")]
    assert why in AuditEntry.objects.get(action="session.refuse").canonical


@pytest.mark.parametrize(("seconds", "signed_in"), [(590, True), (610, False)])
def test_the_second_factor_follows_the_password_within_ten_minutes(
    settings: Any, maker: User, monkeypatch: pytest.MonkeyPatch, seconds: int, signed_in: bool
) -> None:
    settings.STRONG_SIGN_IN = True
    give_app(maker)
    client, then = Client(), time.time()
    password(client, maker)
    monkeypatch.setattr("time.time", lambda: then + seconds)
    client.post(SECOND, {"code": code()})
    assert ("_auth_user_id" in client.session) is signed_in


# -- how often ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("addresses", "refused"),
    [("2001:db8:0:7::{:x}", True), ("2001:db8:0:{:x}::1", False), ("::ffff:192.0.2.{}", False)],
)
def test_an_ipv6_network_counts_as_one_address(
    settings: Any, maker: User, monkeypatch: pytest.MonkeyPatch, addresses: str, refused: bool
) -> None:
    monkeypatch.setattr(sign_in_limits, "ADDRESS_MOST", 5)

    def tried(number: int) -> int:
        client = Client(REMOTE_ADDR=addresses.format(number))
        return int(client.post("/sign-in/", {"username": f"nobody{number}", "password": "x"}).status_code)

    assert [tried(number) for number in range(1, 8)] == [422] * 5 + [429 if refused else 422] * 2


def test_a_password_form_states_one_length_and_asks_for_it(sign_in: Callable[..., Client], maker: User) -> None:
    page, client = "/account/password/change/", sign_in(maker)
    typed = {"oldpassword": "practice", "password1": "fourteen chars", "password2": "fourteen chars"}
    for answer in (client.get(page), client.post(page, typed), client.post(page, {**typed, "password1": "few"})):
        assert set(re.findall(r"(?i)at least (\d+) char|length=.(\d+)", answer.content.decode())) == {("15", "")}
    maker.refresh_from_db()
    assert maker.check_password("practice")
    typed |= {"password1": "fifteen letters", "password2": "fifteen letters"}
    assert client.post(page, typed).status_code in (302, 303)
    maker.refresh_from_db()
    assert maker.check_password("fifteen letters")
