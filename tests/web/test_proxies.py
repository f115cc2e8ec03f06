"""Forwarded headers count only from proxies that the settings name; those of strangers reach nothing further in."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from treasury.web.proxies import Forwarded, asker_of, client_of, peer_of

PROXY, STRANGER = "10.0.0.7", "203.0.113.9"


@pytest.fixture(autouse=True)
def _trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    trusted = [ip_network("10.0.0.0/29"), ip_network("fd00::7")]
    monkeypatch.setattr(settings, "TRUSTED_PROXIES", trusted, raising=False)


def behind(peer: str | None, secure: bool = False, **headers: str) -> HttpRequest:
    """The request as everything behind the first door sees it."""
    sent: dict[str, Any] = {f"HTTP_{name.upper()}": value for name, value in headers.items()}
    request = RequestFactory(REMOTE_ADDR=peer or "").get("/", secure=secure, **sent)
    seen: list[HttpRequest] = []

    def get_response(arrived: HttpRequest) -> HttpResponse:
        seen.append(arrived)
        return HttpResponse()

    Forwarded(get_response)(request)
    return seen[0]


@pytest.mark.parametrize(
    ("said", "client"),
    [
        ("198.51.100.4", "198.51.100.4"),
        ("6.6.6.6, 198.51.100.4", "198.51.100.4"),  # what the client itself sent stands before
        ("198.51.100.4, 10.0.0.3", "198.51.100.4"),  # two proxies of ours
        ("6.6.6.6, 198.51.100.4,10.0.0.3 , fd00::7", "198.51.100.4"),
        ("2001:db8::5", "2001:db8::5"),
        ("2001:DB8:0::5", "2001:db8::5"),
        ("::ffff:198.51.100.4", "198.51.100.4"),
        ("6.6.6.6, unknown", None),  # the nearest hop says nothing, and no farther one is believed
        ("6.6.6.6, 198.51.100.4:8080", None),
        ("<script>", None),
        ("fe80::1%<script>", None),
        ("10.0.0.3", None),
        ("", None),
        (", ".join(["6.6.6.6"] * 500 + ["10.0.0.3"] * 20), None),
    ],
)
def test_a_trusted_proxy_names_the_nearest_client_that_is_no_proxy_of_ours(said: str, client: str | None) -> None:
    request = behind(PROXY, x_forwarded_for=said)
    assert (client_of(request), peer_of(request), asker_of(request)) == (client, PROXY, client or PROXY)


@pytest.mark.parametrize("peer", [STRANGER, "10.0.0.8", "127.0.0.1", "::1", None, "not an address"])
def test_nobody_else_names_anybody(peer: str | None) -> None:
    said = {"x_forwarded_for": "6.6.6.6", "x_forwarded_proto": "https", "x_forwarded_host": "evil.example"}
    request = behind(peer, **said, x_forwarded_port="1", forwarded="for=6.6.6.6", x_real_ip="6.6.6.6")
    assert (client_of(request), asker_of(request)) == (None, peer)
    assert not request.is_secure()
    assert not [name for name in request.headers if "forwarded" in name.lower() or "real" in name.lower()]


@pytest.mark.parametrize(
    ("said", "before", "secure"),
    [
        ("https", False, True),
        ("HTTPS", False, True),
        ("http", True, False),
        ("https, http", False, False),  # a list: somebody's word among ours
        ("http, https", False, False),
        ("ftp", False, False),
        ("", True, True),  # it says nothing: what the web server itself sees
    ],
)
def test_the_scheme_is_one_word_of_a_trusted_proxy(said: str, before: bool, secure: bool) -> None:
    assert behind(PROXY, before, x_forwarded_proto=said).is_secure() is secure


def test_tls_of_the_web_server_itself_is_believed_and_a_strangers_word_does_not_undo_it() -> None:
    assert behind(STRANGER, secure=True, x_forwarded_proto="http").is_secure()


def test_no_host_is_taken_from_a_proxy_either() -> None:
    request = behind(PROXY, x_forwarded_host="evil.example", x_forwarded_port="81")
    assert request.get_host() == "testserver"
    assert not [name for name in request.META if name.startswith("HTTP_X_FORWARDED")]
