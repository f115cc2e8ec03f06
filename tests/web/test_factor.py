"""Factors: who may change them, what is told of it, and what a decision keeps. The statements' tests hold the rest."""

from __future__ import annotations

import time
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session
from django.http import HttpRequest
from django.test import Client
from fido2.webauthn import AuthenticatorData

from tests.web import proving
from tests.web.proving import (
    ADD,
    PROVE,
    SECOND,
    Key,
    add_passkey,
    code,
    give_app,
    options_of,
    password,
    prove,
    with_app,
    with_passkey,
)
from tests.web.test_prices import WORDS
from treasury.controls import sessions
from treasury.models import AuditEntry, Notice, Price, User
from treasury.web import gates

pytestmark = pytest.mark.django_db


@pytest.fixture
def strong(settings: Any) -> None:
    settings.STRONG_SIGN_IN = True


def entries(*actions: str) -> list[tuple[str, str, str]]:
    rows = AuditEntry.objects.filter(action__in=actions).order_by("id")
    return [(row.actor, row.action, row.subject) for row in rows]


def test_what_one_signs_in_with_is_in_the_log_and_told_by_mail(strong: None, checker: User) -> None:
    client, _key = with_passkey(checker)
    row = Authenticator.objects.get(type="webauthn")
    assert client.post(f"/account/factors/passkeys/{row.pk}/remove/").status_code == 302
    added, removed = ("checker", "factor.add", "user:checker"), ("checker", "factor.remove", "user:checker")
    assert entries("factor.add", "factor.remove") == [added, added, removed, removed]  # with the recovery codes
    letters = Notice.objects.filter(to=checker.email)
    assert {letter.kind for letter in letters} == {"session.sign_in", "factor.add", "factor.remove"}
    assert not any("checker" in letter.text or "Blue" in letter.text for letter in letters)


def test_a_factor_that_was_taken_away_proves_nothing_any_more(strong: None, checker: User) -> None:
    client, _key = with_passkey(checker)
    Authenticator.objects.all().delete()
    assert client.get("/transfers/").url == "/account/"


def test_a_code_or_a_password_leads_to_no_new_passkey_of_whoever_has_one(strong: None, checker: User) -> None:
    with_passkey(checker)
    give_app(checker)
    thief = Client()
    password(thief, checker)
    assert thief.post(SECOND, {"code": code()}).status_code == 302
    assert thief.get(ADD).url.startswith("/account/factors/passkeys/prove/")
    thief.post("/account/prove/", {"password": "practice", "next": ADD})
    thief.post("/account/factors/prove/", {"code": code(), "next": ADD})
    assert thief.get(ADD).status_code == 302
    assert Authenticator.objects.filter(type="webauthn").count() == 1


def test_another_persons_passkey_and_another_sites_prove_nothing(strong: None, checker: User, checker2: User) -> None:
    _, theirs = with_passkey(checker2)
    _client, key = with_passkey(checker)
    before = AuditEntry.objects.filter(action="session.sign_in").count()
    again = Client()
    password(again, checker)
    assert again.get("/transfers/").status_code == 302
    options = options_of(again.get(SECOND))
    assert again.post(SECOND, {"credential": theirs.get(options)}).status_code == 200
    elsewhere = Key(host="phish.example")
    elsewhere.private, elsewhere.id = key.private, key.id
    options = options_of(again.get(SECOND))
    assert again.post(SECOND, {"credential": elsewhere.get(options)}).status_code == 200
    options = options_of(again.get(SECOND))
    assert again.post(SECOND, {"credential": key.get(options)}).status_code == 302
    assert AuditEntry.objects.filter(action="session.sign_in").count() == before + 1


def test_relaxed_practice_asks_for_nothing_and_keeps_what_was_used(checker: User) -> None:
    client = Client()
    password(client, checker)
    assert client.get("/transfers/").status_code == 200
    key = add_passkey(client)
    assert prove(client, key).status_code == 302
    assert client.get("/account/").status_code == 200


def test_recovery_codes_are_sealed_shown_and_work_once(strong: None, maker: User) -> None:
    client, _ = with_passkey(maker)
    row = Authenticator.objects.get(type="recovery_codes")
    codes = client.get("/account/factors/codes/download/").content.decode().split()
    assert len(codes) == 10 and not any(one in str(row.data) for one in codes) and len(row.data["seed"]) > 100

    def second(said: str) -> int:
        other = Client()
        password(other, maker)
        return int(other.post(SECOND, {"code": said}).status_code)

    assert [second(codes[0]), second(codes[0]), second(codes[1])] == [302, 200, 302]


def test_a_session_is_ended_from_the_list(strong: None, maker: User) -> None:
    one, key = with_passkey(maker)
    other = Client()
    password(other, maker)
    other.post(SECOND, {"credential": key.get(options_of(other.get(SECOND)))})
    assert other.get("/transfers/").status_code == 200
    assert one.get("/account/sessions/").content.decode().count("End it") == 1 + 1  # a heading that is not seen
    assert one.post("/account/sessions/").status_code == 302
    assert other.get("/transfers/").status_code == 302 and one.get("/transfers/").status_code == 200
    assert entries("session.end") == [("maker", "session.end", "user:maker")]


def test_nobody_ends_somebody_elses_session(maker: User, checker: User) -> None:
    mine, theirs = Client(), Client()
    password(mine, maker)
    password(theirs, checker)
    session = UserSession.objects.get(user=checker)
    assert mine.post(f"/account/sessions/{session.pk}/end/").status_code == 404
    assert theirs.get("/transfers/").status_code == 200


CODES = "/account/factors/codes/"


@pytest.mark.parametrize("factor", ["app", "passkey"])
def test_a_recovery_code_signs_in_and_leads_to_no_new_factor_and_no_codes(
    strong: None, maker: User, factor: str
) -> None:
    if factor == "app":
        give_app(maker)
        codes = RecoveryCodes.activate(maker).get_unused_codes()
    else:
        owner, _key = with_passkey(maker)
        codes = owner.get(f"{CODES}download/").content.decode().split()
    thief = Client()
    password(thief, maker)
    assert thief.post(SECOND, {"code": codes[0]}).status_code == 302
    assert thief.get("/transfers/").status_code == 200  # it reads
    way = "/account/factors/prove/" if factor == "app" else PROVE
    for page in (ADD, "/account/factors/app/add/", CODES, f"{CODES}new/", f"{CODES}download/"):
        answer = thief.get(page)
        assert (page, answer.status_code) == (page, 302) and answer.url.startswith(way)
    thief.post("/account/factors/prove/", {"code": codes[1], "next": ADD})
    assert thief.get(ADD).status_code == 302
    before = Authenticator.objects.count()
    thief.post(ADD, {"name": "evil", "credential": "{}"})
    assert Authenticator.objects.count() == before
    if factor == "app":  # what it was not taken for is not used up, and the app leads on
        assert codes[1] in RecoveryCodes(Authenticator.objects.get(type="recovery_codes")).get_unused_codes()
        assert thief.post("/account/factors/prove/", {"code": code(), "next": ADD}).url == ADD
        assert thief.get(ADD).status_code == 200


def test_an_ended_session_is_not_revived_by_proving_at_that_moment(
    strong: None, maker: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = with_app(maker)
    real, later = gates.note_use, time.time() + 30  # when the app shows its next code

    def ended_meanwhile(request: HttpRequest) -> None:
        """By another request, after this one's session was read and before its view's transaction begins."""
        real(request)
        sessions.end_sessions(maker)

    monkeypatch.setattr("time.time", lambda: later)
    monkeypatch.setattr(gates, "note_use", ended_meanwhile)
    answer = client.post("/account/factors/prove/", {"code": code(), "next": "/"})
    assert answer.status_code == 403 and "Nothing was proved." in answer.content.decode()
    assert not Session.objects.exists()
    assert client.get("/account/sessions/").url.startswith("/sign-in/")


def test_a_passkey_that_does_not_ask_who_holds_it_proves_nothing(strong: None, checker: User) -> None:
    client, key = with_passkey(checker)
    assert options_of(client.get(PROVE))["publicKey"]["userVerification"] == "required"
    held = proving.PRESENT_AND_VERIFIED
    proving.PRESENT_AND_VERIFIED = AuthenticatorData.FLAG.UP
    try:
        refused = prove(client, key, "/transfers/")
    finally:
        proving.PRESENT_AND_VERIFIED = held
    assert refused.headers["Location"] != "/transfers/"
    assert prove(client, key, "/transfers/").headers["Location"] == "/transfers/"


def test_a_price_takes_a_fresh_factor(strong: None, operator: User) -> None:
    client, _key = with_passkey(operator)
    made_stale(client)
    sheet = {"text": "asset,price,currency,as_of,source\n"}
    for answer in (client.post("/prices/enter/", WORDS), client.post("/prices/import/", sheet)):
        assert answer.status_code == 403 and "Nothing was done. This takes your passkey" in answer.content.decode()
    assert not Price.objects.exists()


def made_stale(client: Client) -> None:
    """What was proved in this session, was 20 minutes ago."""
    kept = client.session
    kept["account_authentication_methods"] = [
        {**one, "at": one["at"] - 1200} for one in kept["account_authentication_methods"]
    ]
    kept.save()
