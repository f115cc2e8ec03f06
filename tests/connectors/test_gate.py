"""The gate: nothing is connected to that is not declared, whatever a name leads to and whoever asked for it."""

from __future__ import annotations

import socket
import threading
from datetime import timedelta

import httpx
import pytest

from connectors.core import gate
from connectors.core.errors import TryLater
from connectors.core.gate import Closed, Gate, gate_to
from connectors.core.http import Wire
from connectors.core.redact import Redactor

from .listener import Listener, answer

VENUE = "https://api.example.com"


def leads_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Every name has these addresses."""
    rows = [(socket.AF_INET6 if ":" in one else socket.AF_INET, 1, 6, "", (one, 443)) for one in addresses]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: rows)


def never_connected(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The addresses that somebody tried to connect to, in spite of all."""
    tried: list[object] = []

    def connect(self: socket.socket, address: object) -> None:
        tried.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket.socket, "connect", connect)
    return tried


@pytest.mark.parametrize("host", ["other.example.com", "api.example.com.evil.test", "example.com", "", "127.0.0.1"])
def test_an_undeclared_host_is_refused_before_its_name_is_looked_up(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("it was looked up"))
    with pytest.raises(Closed, match="is declared nowhere"):
        gate_to([VENUE]).insist(host, 443)


def test_a_declared_host_is_so_at_its_own_port_in_any_spelling(monkeypatch: pytest.MonkeyPatch) -> None:
    leads_to(monkeypatch, "93.184.216.34")
    gate_to([VENUE]).insist("API.example.com.", 443)
    with pytest.raises(Closed):
        gate_to([VENUE]).insist("api.example.com", 8443)


PRIVATE = ["10.0.0.5", "172.16.1.1", "192.168.0.1", "100.64.0.1", "fd00::1", "::ffff:10.0.0.5"]
NO_OTHERS = [
    "127.0.0.1",
    "::1",
    "169.254.169.254",
    "0.0.0.0",
    "::",
    "224.0.0.1",
    "fe80::1",
    "::ffff:127.0.0.1",
    "fec0::1",
]
METADATA = ["169.254.169.254", "fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "192.0.0.192", "168.63.129.16"]
# An IPv4 address in IPv6's clothes: NAT64, 6to4, Teredo, translated, compatible.
TRANSLATED = ["64:ff9b::7f00:1", "64:ff9b:1::a00:5", "2002:7f00:1::", "2001:0:a00:5::", "::ffff:0:7f00:1", "::7f00:1"]
LEADS_TO_METADATA = ["64:ff9b::a9fe:a9fe", "64:ff9b:1::6464:64c8", "2002:a9fe:a9fe::", "::ffff:192.0.0.192"]


@pytest.mark.parametrize("address", [*PRIVATE, *NO_OTHERS, *METADATA, *TRANSLATED, *LEADS_TO_METADATA])
def test_a_public_name_that_leads_to_a_private_address_is_refused(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    leads_to(monkeypatch, "93.184.216.34", address)
    with pytest.raises(Closed, match=r"api\.example\.com leads to an address"):
        gate_to([VENUE]).insist("api.example.com", 443)


def test_the_own_network_is_open_where_it_is_meant_and_a_clouds_metadata_never_is() -> None:
    inside = Gate(frozenset(), own_network=True)
    for address in (*PRIVATE, "127.0.0.1", "::1", "93.184.216.34"):
        inside.insist_on_address(address, "mail")
    for address in ("fe80::1", "fec0::1", "0.0.0.0", "::ffff:169.254.169.254", *METADATA, *LEADS_TO_METADATA):
        with pytest.raises(Closed):
            inside.insist_on_address(address, "mail")


def test_a_public_address_behind_a_translator_is_reached_as_itself() -> None:
    for address in ("64:ff9b::5db8:d822", "2606:2800:220:1::1", "93.184.216.34"):
        Gate(frozenset()).insist_on_address(address, "api.example.com")


@pytest.mark.parametrize("address", TRANSLATED)
def test_in_practice_no_translator_is_asked_for_this_computer(address: str) -> None:
    with pytest.raises(Closed, match="outside this computer"):
        Gate(frozenset(), loopback_only=True).insist_on_address(address, "api.example.com")


@pytest.mark.parametrize("address", ["93.184.216.34", "10.0.0.5", "169.254.169.254"])
def test_in_practice_only_this_computer_is_reached(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    leads_to(monkeypatch, address)
    with pytest.raises(Closed, match="outside this computer"):
        gate_to([VENUE], loopback_only=True).insist("api.example.com", 443)
    leads_to(monkeypatch, "127.0.0.1", "::1")
    gate_to([VENUE], loopback_only=True).insist("api.example.com", 443)


def wire(base_url: str | None = None, **more: bool) -> Wire:
    hosts = {"api": VENUE}
    return Wire(hosts, redact=Redactor([]), base_url=base_url, limit=timedelta(seconds=5), **more)


@pytest.mark.parametrize("path", ["@evil.test/move", ".evil.test/move", ":8443/move"])
def test_a_path_cannot_lead_a_call_to_another_host(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = never_connected(monkeypatch)
    leads_to(monkeypatch, "93.184.216.34")
    with pytest.raises(TryLater, match=r"^Not sent\. Nothing moved.*declared nowhere"):
        wire().send(path, content=b"{}", auth=httpx.Auth())
    with pytest.raises(TryLater, match="declared nowhere"):
        wire().read(path)
    assert tried == []


def test_a_transport_that_is_lent_is_handed_no_undeclared_request() -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        raise AssertionError(f"{request.url} came through")

    line = Wire({"api": VENUE}, redact=Redactor([]), transport=httpx.MockTransport(handle))
    with pytest.raises(TryLater, match="declared nowhere"):
        line.read("@evil.test/")


def test_a_venue_whose_name_leads_into_our_network_is_not_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = never_connected(monkeypatch)
    leads_to(monkeypatch, "10.0.0.5")
    with pytest.raises(TryLater, match=r"api\.example\.com leads to an address of a private network"):
        wire().read("/")
    assert tried == []


def test_a_name_that_leads_elsewhere_a_moment_later_is_written_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The look-up of the gate is answered honestly, and the one of the connection with our own computer."""
    with Listener(lambda c, stop: None) as listener:
        port = int(listener.url.rpartition(":")[2])
        answers = iter(["93.184.216.34"])

        def looked_up(host: str, *_: object, **__: object) -> list[tuple[object, ...]]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers, "127.0.0.1"), port))]

        monkeypatch.setattr(socket, "getaddrinfo", looked_up)
        line = Wire({"api": f"https://api.example.com:{port}"}, redact=Redactor([]), limit=timedelta(seconds=5))
        with pytest.raises(TryLater, match="that no other host has"):
            line.send("/move", content=b"{}", auth=httpx.Auth())
        monkeypatch.undo()
    assert listener.connections == 1
    assert listener.received == b"", "not even a greeting of TLS"


def test_a_redirect_is_handed_over_as_an_answer_and_followed_nowhere() -> None:
    def behave(connection: socket.socket, stopping: threading.Event) -> None:
        connection.recv(65536)
        connection.sendall(answer(b"", "302 Found", "Location: /elsewhere"))

    with Listener(behave) as listener:
        assert wire(listener.url, loopback_only=True).read("/here").status == 302
    assert listener.connections == 1


def test_an_address_is_read_as_it_is_meant() -> None:
    assert gate.place_of("https://[::1]:8443/x") == ("::1", 8443)
    assert gate.place_of("http://Example.com./") == ("example.com", 80)
    assert gate.is_loopback("localhost")
    assert gate.is_loopback("127.8.8.8")
    assert not gate.is_loopback("localhost.example.com")
