"""What is no venue's passes the same gate: mail, the webhook, the identity provider."""

from __future__ import annotations

import smtplib
import socket
import time
from datetime import timedelta
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from django.conf import settings
from django.core.mail import EmailMessage, get_connection

from connectors.core import gate as gates
from tests.connectors.listener import Listener
from tests.notices.hook import Hook
from tests.notices.mail_server import MailServer
from treasury import outbound
from treasury.outbound import Purpose

LIMIT = timedelta(seconds=5)
PUBLIC, PRIVATE = "93.184.216.34", "10.1.2.3"
pytestmark = pytest.mark.django_db


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Where somebody tried to connect to: a connection to another machine is not made."""
    found: list[Any] = []
    connect = socket.socket.connect

    def noted(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            found.append(address[:2])
            if not address[0].startswith("127."):
                raise ConnectionRefusedError
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", noted)
    return found


def leads_to(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, port, *_, **__: [(socket.AF_INET, 1, 6, "", (address, int(port or 0)))]
    )


@pytest.fixture
def real(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "PRACTICE", False)


def called(url: str) -> int:
    return outbound.post(url, purpose=Purpose.WEBHOOK, content=b"{}", headers={}, limit=LIMIT)


# -- the webhook ---------------------------------------------------------------------------------------------


def test_only_the_webhook_that_is_declared_is_called(tried: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    with Hook() as hook, Hook() as other:
        monkeypatch.setattr(settings, "WEBHOOK_URL", hook.url)
        assert called(hook.url) == 204
        tried.clear()
        with pytest.raises(outbound.Closed, match="is declared nowhere"):
            called(other.url)
    assert tried == []


def test_practice_calls_no_webhook_outside_whatever_is_configured(
    tried: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "WEBHOOK_URL", "https://hook.example/told?token=canary")
    leads_to(monkeypatch, PUBLIC)
    with pytest.raises(outbound.Closed, match="outside this computer") as closed:
        called("https://hook.example/told?token=canary")
    assert "canary" not in str(closed.value)
    assert tried == []


@pytest.mark.parametrize("address", [PRIVATE, "127.0.0.1", "169.254.169.254"])
def test_what_two_people_type_opens_no_door_behind_the_firewall(
    real: None, tried: list[Any], monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setattr(settings, "WEBHOOK_URL", "https://hook.example/told")
    leads_to(monkeypatch, address)
    with pytest.raises(outbound.Closed, match="leads to an address"):
        called("https://hook.example/told")
    assert tried == []


# -- mail ----------------------------------------------------------------------------------------------------


def mailed(host: str, port: int, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(settings, "EMAIL_BACKEND", "treasury.outbound.EmailBackend")
    monkeypatch.setattr(settings, "EMAIL_HOST", host)
    monkeypatch.setattr(settings, "EMAIL_PORT", port)
    return int(get_connection().send_messages([EmailMessage("x", "y", "a@treasury.invalid", ["b@treasury.invalid"])]))


def test_mail_goes_to_the_server_that_is_declared_and_to_no_other(
    tried: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with MailServer() as server:
        assert mailed("127.0.0.1", server.port, monkeypatch) == 1
        tried.clear()
        with pytest.raises(outbound.Closed):
            outbound._GatedSMTP("127.0.0.1", server.port + 1)
    assert tried == []


def test_practice_mails_nobody_outside(tried: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    leads_to(monkeypatch, PUBLIC)
    for tls in (False, True):
        monkeypatch.setattr(settings, "EMAIL_USE_SSL", tls)
        with pytest.raises(outbound.Closed, match="outside this computer"):
            mailed("mail.example", 465, monkeypatch)
    assert tried == []


def test_a_mail_server_may_stand_in_the_own_network(
    real: None, tried: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    leads_to(monkeypatch, PRIVATE)
    with pytest.raises(OSError):
        mailed("mail.example", 25, monkeypatch)
    assert tried == [(PRIVATE, 25)], "the gate opened, and no server was there"


def test_mail_is_sent_by_the_products_own_backend_alone() -> None:
    for tls, kind in ((False, smtplib.SMTP), (True, smtplib.SMTP_SSL)):
        backend = outbound.EmailBackend(use_ssl=tls)
        assert issubclass(backend.connection_class, kind)
        assert backend.connection_class.connect is not kind.connect


def then_to(monkeypatch: pytest.MonkeyPatch, *, port: int) -> None:
    """The gate's own look-up is answered with the own network, and that of the connection with a listener on this
    computer, which stands for a cloud's metadata service here."""
    answers = iter([PRIVATE])
    monkeypatch.setattr(gates, "METADATA", {ip_address("127.0.0.1")})
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda *_, **__: [(socket.AF_INET, 1, 6, "", (next(answers, "127.0.0.1"), port))]
    )


def came(listener: Listener) -> None:
    """The connection that was made is one that the listener has noticed by now."""
    ends = time.monotonic() + 5
    while not listener.connections and time.monotonic() < ends:
        time.sleep(0.01)


@pytest.mark.parametrize("tls", [False, True])
def test_a_mail_server_whose_name_leads_elsewhere_a_moment_later_hears_nothing(
    real: None, monkeypatch: pytest.MonkeyPatch, tls: bool
) -> None:
    monkeypatch.setattr(settings, "EMAIL_USE_SSL", tls)
    with Listener() as listener:
        then_to(monkeypatch, port=listener.port)
        with pytest.raises(outbound.Closed, match="tells a machine its secrets"):
            mailed("mail.example", listener.port, monkeypatch)
        monkeypatch.undo()
        came(listener)
    assert (listener.connections, bytes(listener.received)) == (1, b""), "not even a greeting of TLS"


# -- the identity provider -----------------------------------------------------------------------------------


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> None:
    declared = {"openid_connect": {"APPS": [{"settings": {"server_url": "https://login.example/realms/house"}}]}}
    monkeypatch.setattr(settings, "SOCIALACCOUNT_PROVIDERS", declared, raising=False)
    monkeypatch.setattr(settings, "OIDC_HOSTS", ["keys.example"], raising=False)


@pytest.mark.parametrize("host", ["evil.example", "login.example.evil.example", "login.example:8443"])
def test_the_identity_providers_own_document_leads_nowhere_else(
    real: None, provider: None, tried: list[Any], monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    leads_to(monkeypatch, PUBLIC)
    with outbound.Session() as session, pytest.raises(requests.ConnectionError, match="is declared nowhere"):
        session.post(f"https://{host}/token", data={"code": "canary"})
    assert tried == []


def test_the_hosts_that_are_declared_are_reached_by_https_alone(
    real: None, provider: None, tried: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    leads_to(monkeypatch, PRIVATE)
    for url in ("https://login.example/realms/house", "https://keys.example/jwks"):
        with outbound.Session() as session, pytest.raises(requests.ConnectionError):
            session.get(url)
    assert tried == [(PRIVATE, 443)] * 2
    with outbound.Session() as session, pytest.raises(requests.ConnectionError):
        session.get("http://login.example/realms/house")
    assert len(tried) == 2


def test_a_provider_whose_name_leads_elsewhere_a_moment_later_hears_nothing(
    real: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Listener() as listener:
        url = f"https://login.example:{listener.port}"
        declared = {"openid_connect": {"APPS": [{"settings": {"server_url": url}}]}}
        monkeypatch.setattr(settings, "SOCIALACCOUNT_PROVIDERS", declared, raising=False)
        then_to(monkeypatch, port=listener.port)
        with outbound.Session() as session, pytest.raises(requests.ConnectionError, match="a machine its secrets"):
            session.post(f"{url}/token", data={"code": "canary"})
        monkeypatch.undo()
        came(listener)
    assert (listener.connections, bytes(listener.received)) == (1, b""), "not even a greeting of TLS"


def test_practice_asks_no_identity_provider_outside(
    provider: None, tried: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    leads_to(monkeypatch, PUBLIC)
    with outbound.Session() as session, pytest.raises(requests.ConnectionError, match="outside this computer"):
        session.get("https://login.example/realms/house")
    assert tried == []


def test_no_redirect_is_followed_and_nothing_of_the_environment_is_used(
    monkeypatch: pytest.MonkeyPatch, tried: list[Any]
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with Hook() as hook:
        hook.answers.append((302, {"Location": "http://127.0.0.1:9/elsewhere"}))
        declared = {"openid_connect": {"APPS": [{"settings": {"server_url": hook.url}}]}}
        monkeypatch.setattr(settings, "SOCIALACCOUNT_PROVIDERS", declared, raising=False)
        with outbound.Session() as session:
            assert session.post(hook.url, data=b"{}").status_code == 302
            assert session.trust_env is False
    assert {f"127.0.0.1:{port}" for _, port in tried} == {urlsplit(hook.url).netloc}
