"""Sign in and out, and what the log says of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from treasury.models import AuditEntry, User


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
    User.objects.update(is_active=False)
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
