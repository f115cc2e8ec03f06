"""Sign-in through an identity provider: a small one of our own, on this computer, over HTTP."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
from allauth.socialaccount.models import SocialAccount, SocialApp
from django.test import Client

from tests.house import person
from tests.web.proving import give_app
from treasury.controls.roles import CHECKERS, MAKERS
from treasury.models import AuditEntry, User

pytestmark = pytest.mark.django_db

LOGIN, SUBJECT = "/account/oidc/login/", "a1b2-sub"


class Provider:
    """Says of whoever comes what the test has it say; ``claims`` are put into the signed name."""

    def __init__(self) -> None:
        self.claims: dict[str, Any] = {"sub": SUBJECT, "auth_time": int(time.time())}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def configuration(self) -> dict[str, Any]:
        endpoints = ("authorization", "token", "userinfo")
        return {
            "issuer": self.url,
            "jwks_uri": f"{self.url}/jwks",
            "token_endpoint_auth_methods_supported": ["client_secret_post"],
            **{f"{one}_endpoint": f"{self.url}/{one}" for one in endpoints},
        }

    def token(self) -> dict[str, Any]:
        now = int(time.time())
        said = {"iss": self.url, "aud": "treasury", "iat": now, "exp": now + 60, **self.claims}
        return {"access_token": "x", "id_token": jwt.encode(said, "k" * 32), "token_type": "Bearer"}

    def handler(self) -> type[BaseHTTPRequestHandler]:
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.answer(provider.configuration())

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                provider.asked.append((self.path, {name: values[0] for name, values in parse_qs(body).items()}))
                self.answer(provider.token())

            def answer(self, said: dict[str, Any]) -> None:
                body = json.dumps(said).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        return Handler


@pytest.fixture
def provider(settings: Any) -> Iterator[Provider]:
    made = Provider()
    settings.OIDC_ISSUER = made.url
    app = {
        "provider_id": "oidc",
        "name": "Our company",
        "client_id": "treasury",
        "secret": "of-no-value",
        "settings": {"server_url": made.url, "fetch_userinfo": False},
    }
    settings.SOCIALACCOUNT_PROVIDERS = {"openid_connect": {"OAUTH_PKCE_ENABLED": True, "APPS": [app]}}
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def known(db: None) -> User:
    return person("known", MAKERS, provider_subject=SUBJECT)


def through(client: Client, onward: str = "/transfers/") -> Any:
    """To the provider, and back with its code."""
    away = client.post(f"{LOGIN}?next={onward}")
    words = parse_qs(urlsplit(away.url).query)
    assert words["code_challenge_method"] == ["S256"]
    return client.get("/account/oidc/login/callback/", {"code": "one", "state": words["state"][0]})


def is_signed_in(client: Client) -> bool:
    return "_auth_user_id" in client.session


def test_whoever_the_provider_names_is_signed_in_and_goes_on(provider: Provider, known: User) -> None:
    client = Client()
    assert "Sign in with" in client.get("/sign-in/").content.decode()
    assert through(client).url == "/transfers/"
    assert client.session["_auth_user_id"] == str(known.pk)
    ((path, said),) = provider.asked
    assert path == "/token" and said["client_secret"] == "of-no-value" and said["code_verifier"]
    assert AuditEntry.objects.get(action="session.sign_in").subject == "user:known"
    assert not SocialAccount.objects.exists()  # who is whom is said by two people, and by nothing else


@pytest.mark.parametrize(
    "claims",
    [
        {"sub": "somebody-else", "email": "known@treasury.invalid", "email_verified": True},  # never by the address
        {"sub": "", "email": "known@treasury.invalid"},
        {"sub": SUBJECT, "aud": "another house"},
        {"sub": SUBJECT, "iss": "https://another.example"},
        {"sub": SUBJECT, "exp": 1},
    ],
)
def test_nobody_else_is_signed_in_and_nobody_is_made(provider: Provider, known: User, claims: dict[str, Any]) -> None:
    before, client = User.objects.count(), Client()
    provider.claims = claims
    try:
        answer = through(client)
    except ValueError:  # allauth's own word for a name that is empty
        answer = None
    assert answer is None or answer.status_code in (401, 403)
    assert not is_signed_in(client) and User.objects.count() == before
    if answer is not None:
        assert "You are not signed in." in answer.content.decode()
        assert AuditEntry.objects.get(action="session.refuse").result == "refused"


def test_an_answer_that_nobody_asked_for_is_refused(provider: Provider, known: User) -> None:
    client = Client()
    assert client.get("/account/oidc/login/callback/", {"code": "one", "state": "made-up"}).status_code in (401, 403)
    assert not is_signed_in(client) and provider.asked == []


def test_a_provider_that_the_environment_does_not_name_does_not_exist(known: User) -> None:
    SocialApp.objects.create(provider="openid_connect", provider_id="oidc", name="x", client_id="x")
    assert Client().post(LOGIN).status_code == 404


@pytest.mark.parametrize(("trusted", "opened"), [(False, False), (True, True)])
def test_the_providers_word_about_factors_counts_only_where_it_is_trusted(
    provider: Provider, known: User, settings: Any, trusted: bool, opened: bool
) -> None:
    settings.STRONG_SIGN_IN, settings.OIDC_TRUST_AMR = True, trusted
    provider.claims |= {"amr": ["pwd", "mfa"]}
    client = Client()
    through(client)
    assert (client.get("/transfers/").status_code == 200) is opened


@pytest.mark.parametrize(("amr", "opened"), [(["mfa"], False), (["pwd"], False), (["hwk", "mfa"], True)])
def test_a_checker_needs_a_key_that_cannot_be_phished_there_too(
    provider: Provider, settings: Any, amr: list[str], opened: bool
) -> None:
    settings.STRONG_SIGN_IN = settings.OIDC_TRUST_AMR = True
    person("judge", CHECKERS, provider_subject=SUBJECT)
    provider.claims |= {"amr": amr}
    client = Client()
    through(client)
    assert (client.get("/transfers/").status_code == 200) is opened


def test_whoever_has_a_factor_here_is_asked_for_it_after_the_provider_too(provider: Provider, known: User) -> None:
    give_app(known)
    client = Client()
    assert through(client).url == "/account/factors/sign-in/"
    assert not is_signed_in(client)


# -- when it was proved there -------------------------------------------------------------------------------------


@pytest.fixture
def judge(provider: Provider, settings: Any) -> User:
    """A checker who holds a passkey at the provider, and nothing here."""
    settings.STRONG_SIGN_IN = settings.OIDC_TRUST_AMR = True
    made = person("judge", CHECKERS, provider_subject=SUBJECT)
    made.set_unusable_password()
    made.save(update_fields=["password"])
    provider.claims |= {"amr": ["hwk"]}
    return made


def decide(client: Client) -> Any:
    """A step that takes a fresh factor, on a transfer that does not exist."""
    return client.post("/transfers/TR-999999/approve/", {}, headers={"Referer": "http://testserver/transfers/"})


def test_a_silent_single_sign_on_is_as_old_as_it_says_and_decides_nothing(provider: Provider, judge: User) -> None:
    provider.claims["auth_time"] = int(time.time()) - 10 * 3600
    client = Client()
    through(client)
    assert client.get("/transfers/").status_code == 200  # enough to read
    refused = decide(client)
    assert refused.status_code == 403 and "Nothing was done. This takes your passkey" in refused.content.decode()


@pytest.mark.parametrize("auth_time", [None, "now", True, 0, 10**12])
def test_without_a_believable_time_nothing_was_proved(provider: Provider, judge: User, auth_time: Any) -> None:
    provider.claims["auth_time"] = auth_time
    client = Client()
    through(client)
    assert is_signed_in(client) and client.get("/transfers/").url == "/account/"


def test_whoever_holds_only_the_providers_passkey_proves_it_there_again_and_decides(
    provider: Provider, judge: User
) -> None:
    then = int(time.time())
    provider.claims["auth_time"] = then - 600
    client = Client()
    through(client)
    session = client.session.session_key
    assert decide(client).status_code == 403
    away = client.get("/account/prove/?next=/transfers/")
    assert away.url == f"{LOGIN}?next=%2Ftransfers%2F"
    assert "Prove that it is you" in client.get(away.url).content.decode()
    asked = parse_qs(urlsplit(client.post(away.url).url).query)
    assert (asked["prompt"], asked["max_age"]) == (["login"], ["0"])
    assert client.get("/account/factors/passkeys/add/").url.startswith(LOGIN)  # nothing is added on an old proof
    provider.claims["auth_time"] = then
    assert through(client).url == "/transfers/"
    assert client.session.session_key != session and decide(client).status_code == 404  # asked for; no such transfer
    assert client.get("/account/factors/passkeys/add/").status_code == 200
    assert AuditEntry.objects.filter(action="session.sign_in").count() == 1


def test_the_proof_of_somebody_else_is_refused(provider: Provider, judge: User) -> None:
    client = Client()
    through(client)
    person("other", CHECKERS, provider_subject="other-sub")
    provider.claims["sub"] = "other-sub"
    answer = through(client)
    assert answer.status_code == 403 and "Nothing was proved." in answer.content.decode()
    assert client.session["_auth_user_id"] == str(judge.pk)
    assert AuditEntry.objects.filter(action="session.refuse", subject="user:other").count() == 1


def test_an_apps_code_is_not_offered_to_whom_it_cannot_serve(provider: Provider, judge: User) -> None:
    client = Client()
    through(client)
    give_app(judge)
    assert client.get("/account/prove/?next=/").url.startswith(LOGIN)
    assert client.get("/account/factors/prove/?next=/").url.startswith(LOGIN)


def test_a_sign_in_asks_the_provider_when_it_was_proved_where_that_counts(
    provider: Provider, known: User, settings: Any
) -> None:
    assert "max_age" not in parse_qs(urlsplit(Client().post(LOGIN).url).query)
    settings.OIDC_TRUST_AMR = True
    assert parse_qs(urlsplit(Client().post(LOGIN).url).query)["max_age"] == [str(settings.SESSION_HOURS * 3600)]
