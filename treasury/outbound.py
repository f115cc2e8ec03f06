"""The ways out that are no venue's: mail, the webhook, the identity provider. Each passes the gate, or nothing leaves.

A target is declared by a setting, or by two people where the house's own settings say so; every other host is refused
before a connection is made. In practice mode the gate opens to this computer alone, whatever is configured. No redirect
is followed, proxies and keys that the environment names are ignored, and TLS is verified.
"""

from __future__ import annotations

import smtplib
import socket
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import timedelta
from enum import StrEnum
from types import TracebackType
from typing import Any, Self

import httpx
import requests
from django.conf import settings
from django.core.mail.backends import smtp
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from connectors.core.gate import Closed as Closed
from connectors.core.gate import Gate, gate_to, place_of
from treasury.notices import webhook

IDENTITY_LIMIT = timedelta(seconds=10)  # of connecting, and of each read of an answer


class Purpose(StrEnum):
    """What leaves this house besides calls to venues."""

    MAIL = "mail"
    WEBHOOK = "webhook"
    IDENTITY = "identity provider"


# A mail server, a chat's webhook and an identity provider may be the house's own. A webhook's address is typed into a
# page, so it leads to no private network: what two people type must not open doors behind the firewall.
ON_THE_OWN_NETWORK = frozenset({Purpose.MAIL, Purpose.IDENTITY})


class NoAnswer(Exception):
    """No complete head of an answer came. The text says how, in a word, and repeats nothing of what was sent."""


def declared(purpose: Purpose) -> list[str]:
    """The addresses that the settings name for it, or two people."""
    match purpose:
        case Purpose.MAIL:
            smtp_is_used = f"{__name__}.EmailBackend" == settings.EMAIL_BACKEND
            return [f"smtp://{settings.EMAIL_HOST}:{settings.EMAIL_PORT}"] if smtp_is_used else []
        case Purpose.WEBHOOK:
            return [address] if (address := webhook.address()) else []
        case Purpose.IDENTITY:
            return [*providers(), *(f"https://{host}" for host in settings.OIDC_HOSTS)]


def providers() -> list[str]:
    """Where the identity providers of the settings say what they are: the rest of their addresses lies there too."""
    every: Mapping[str, Any] = getattr(settings, "SOCIALACCOUNT_PROVIDERS", {})
    apps = [app for provider in every.values() for app in provider.get("APPS", [])]
    return [url for app in apps if (url := app.get("settings", {}).get("server_url"))]


def hosts(purpose: Purpose) -> list[str]:
    """The hosts with their ports, and nothing more of the addresses: the rest of one may be a secret."""
    return sorted({":".join(map(str, place_of(url))) for url in declared(purpose)})


def gate(purpose: Purpose) -> Gate:
    """Made anew for each call: what is declared may change while the house runs."""
    return gate_of(declared(purpose), own_network=purpose in ON_THE_OWN_NETWORK)


def gate_of(urls: Iterable[str], *, own_network: bool) -> Gate:
    return gate_to(urls, loopback_only=settings.PRACTICE, own_network=own_network)


# -- HTTP --------------------------------------------------------------------------------------------------------


def post(url: str, *, purpose: Purpose, content: bytes, headers: Mapping[str, str], limit: timedelta) -> int:
    """One POST on a connection of its own; the answer's status. The rest of the answer is not read.

    Raises NoAnswer, and Closed (connectors.core.gate) when the gate does not open to it: nothing left then.
    """
    seconds = limit.total_seconds()
    with _Limit(seconds, gate(purpose)) as watch:
        try:
            with (
                httpx.Client(trust_env=False, follow_redirects=False, timeout=seconds) as client,
                client.stream(
                    "POST",
                    url,
                    content=content,
                    headers={**headers, "Connection": "close"},
                    extensions={"trace": watch},
                ) as answer,
            ):
                return answer.status_code
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as failure:
            how = f"no answer within {seconds:g} s" if watch.is_over else type(failure).__name__
            raise NoAnswer(how) from None


class _Limit:
    """Cuts an exchange when its time is over: httpx's own limits bound each read, and a dripping answer has many.

    It learns of the socket by httpcore's trace events, and keeps a duplicate, so that it never shuts a stranger's. The
    gate hears the same events.
    """

    def __init__(self, seconds: float, gate: Gate) -> None:
        self.is_over = False
        self._gate = gate
        self._lock = threading.Lock()
        self._held: list[socket.socket] = []
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._timer.cancel()
        with self._lock:
            for held in self._held:
                held.close()
            self._held.clear()

    def __call__(self, event: str, info: Mapping[str, Any]) -> None:
        self._gate.traced(event, info)
        if event == "connection.connect_tcp.complete":
            with self._lock:
                self._held.append(info["return_value"].get_extra_info("socket").dup())
        if self.is_over:
            raise httpx.ReadTimeout("the limit of the call was over")

    def _cut(self) -> None:
        with self._lock:
            self.is_over = True
            for held in self._held:
                with suppress(OSError):  # gone already
                    held.shutdown(socket.SHUT_RDWR)


# -- the identity provider ---------------------------------------------------------------------------------------


class Session(requests.Session):
    """What the sign-in library calls an identity provider by: declared hosts only, no redirect, nothing of the
    environment. Its own discovery document cannot send it anywhere else."""

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False
        for scheme in ("https://", "http://"):
            self.mount(scheme, _Gated())

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        return None


class _Gated(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        url = request.url or ""
        limits = {"timeout": IDENTITY_LIMIT.total_seconds(), "verify": True, "proxies": None}
        try:
            host, port = place_of(url)
            gate(Purpose.IDENTITY).insist(host, port)
            if not settings.PRACTICE and not url.lower().startswith("https://"):
                raise Closed(f"{host} is reached over https only")
            return super().send(request, *args, **{**options, **limits})
        except (Closed, ValueError) as closed:
            raise requests.ConnectionError(str(closed), request=request) from closed


class _Connection(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return _asked(super()._new_conn(), Purpose.IDENTITY)


class _TLSConnection(HTTPSConnection):
    def _new_conn(self) -> socket.socket:  # before TLS is spoken on it
        return _asked(super()._new_conn(), Purpose.IDENTITY)


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


def _asked(connected: socket.socket, purpose: Purpose) -> socket.socket:
    """The second question: a name may lead elsewhere than a moment ago. Raises Closed, and nothing was written."""
    try:
        gate(purpose).insist_on_socket(connected)
    except BaseException:  # whatever it is: nobody else knows of the socket yet
        connected.close()
        raise
    return connected


# -- mail --------------------------------------------------------------------------------------------------------


class _GatedSMTP(smtplib.SMTP):
    """Asks before it connects, and once more before it says anything."""

    def connect(self, host: str = "localhost", port: int = 0, source_address: Any = None) -> tuple[int, bytes]:
        gate(Purpose.MAIL).insist(host, port)
        return super().connect(host, port, source_address)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        connected: socket.socket = super()._get_socket(host, port, timeout)  # type: ignore[misc]
        return _asked(connected, Purpose.MAIL)


class _GatedSMTPS(smtplib.SMTP_SSL, _GatedSMTP):
    """SMTP_SSL takes its socket from the class behind it, asked already, and only then speaks TLS on it."""


class EmailBackend(smtp.EmailBackend):
    """Django's own, through the gate."""

    @property
    def connection_class(self) -> type[smtplib.SMTP]:
        return _GatedSMTPS if self.use_ssl else _GatedSMTP
