"""The wire: one HTTP exchange with a venue, and the only table of what transport failures mean.

| what happened                                                                | a send    | a read   |
|------------------------------------------------------------------------------|-----------|----------|
| no connection, connect timeout, TLS failure, too late to write               | TryLater  | TryLater |
| anything else once the first byte may have been written                      | Uncertain | TryLater |
| no complete answer within the call's limit, or an answer above the size cap  | Uncertain | TryLater |

Whether a byte may have been written is not guessed from the kind of exception: httpcore's `trace` events
tell. The event `send_request_headers.started` comes before the first byte, and an exception raised there
stops the write.

Every exchange has a connection of its own, because a kept-alive one that the server has closed looks like
doubt. Redirects are not followed, proxies and other settings of the environment are ignored, TLS is verified.
Only the hosts that the venue declares are reached, or the one that takes their place: `connectors.core.gate`.
"""

import functools
import hashlib
import json
import logging
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

import httpx

from connectors.core.errors import TryLater, Uncertain
from connectors.core.gate import PORTS, Closed, Gate, gate_to, is_loopback
from connectors.core.redact import Redactor

logger = logging.getLogger(__name__)

CONNECT_LIMIT = timedelta(seconds=5)
LARGEST_ANSWER = 5 * 1024 * 1024

# Without trace events (a transport that is not httpcore's) only these prove that nothing left us.
_NEVER_CONNECTED = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A complete HTTP answer, whatever its status."""

    status: int
    headers: Mapping[str, str] = field(repr=False)  # names in lower case
    body: bytes = field(repr=False)

    def json_object(self) -> dict[str, Any] | None:
        """The body as a JSON object, numbers with a point as Decimal; None when it is anything else."""
        try:
            found = json.loads(self.body, parse_float=Decimal, parse_constant=_no_number)
        except (ValueError, RecursionError):
            return None
        return found if isinstance(found, dict) else None

    def evidence(self) -> dict[str, Any]:
        """What an auditor needs: status, digest of the raw body, its text. The Redactor redacts, and cuts it."""
        return {
            "http_status": self.status,
            "body_sha256": hashlib.sha256(self.body).hexdigest(),
            "body": self.body.decode("utf-8", "replace"),
        }


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is not a number.")


class Wire:
    """The way to one venue's hosts for one login."""

    def __init__(
        self,
        hosts: Mapping[str, str],
        *,
        redact: Redactor,
        base_url: str | None = None,
        transport: httpx.BaseTransport | None = None,
        loopback_only: bool = False,
        limit: timedelta = timedelta(seconds=30),
    ) -> None:
        """`hosts` maps a label to an https URL without a path. Raises ValueError for an unusable URL."""
        self.redact = redact
        self._host_headers = {label: _origin(url).netloc.decode("ascii") for label, url in hosts.items()}
        self._origins = {label: str(_origin(base_url or url)) for label, url in hosts.items()}
        self._transport = transport
        self._gate = gate_to(self._origins.values(), loopback_only=loopback_only)
        self._limit = limit
        if base_url is None and any(not origin.startswith("https://") for origin in self._origins.values()):
            raise ValueError("A venue's own hosts are reached over https only.")
        if loopback_only:
            for origin in self._origins.values():
                _insist_on_loopback(origin)
        elif base_url is not None:  # whoever names another host on purpose may mean one of the own network
            self._gate = gate_to(self._origins.values(), own_network=True)

    def origin(self, label: str) -> str:
        """Scheme, host and port that requests to this host really go to."""
        return self._origins[label]

    def send(
        self,
        path: str,
        *,
        content: bytes,
        auth: httpx.Auth,
        host: str = "api",
        method: str = "POST",
        headers: Mapping[str, str] | None = None,
        send_before: datetime | None = None,
    ) -> Answer:
        """Write one request that may move money, at most once and never after `send_before`.

        Raises TryLater when nothing left us, and Uncertain when something may have and no answer came of it.
        """
        request = self._request(method, host, path, content=content, headers=headers)
        watch = _Watch(self._limit, send_before=send_before, gate=self._gate)
        came = self._exchange(request, auth, watch)
        if isinstance(came, Answer):
            return came
        evidence = self.redact.evidence({"request": f"{method} {path}", "written": came.written, "failure": came.what})
        if came.written:
            logger.error("No answer to %s %s: %s", method, path, evidence["failure"])
            raise Uncertain(f"It may have moved. No usable answer came: {came.sentence}.", evidence=evidence)
        raise TryLater(f"Not sent. Nothing moved: {came.sentence}.", evidence=evidence)

    def read(
        self,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        auth: httpx.Auth | None = None,
        host: str = "api",
        headers: Mapping[str, str] | None = None,
        method: str = "GET",
        content: bytes | None = None,
    ) -> Answer:
        """Ask a question that moves nothing. Raises TryLater for every failure of the transport."""
        query = urlencode(params, safe=",") if params else ""
        target = f"{path}?{query}" if query else path
        request = self._request(method, host, target, content=content, headers=headers)
        watch = _Watch(self._limit, send_before=None, gate=self._gate)
        came = self._exchange(request, auth, watch)
        if isinstance(came, Answer):
            return came
        evidence = self.redact.evidence({"request": f"{method} {path}", "failure": came.what})
        raise TryLater(f"Could not read: {came.sentence}.", evidence=evidence)

    def _request(
        self, method: str, host: str, target: str, *, content: bytes | None, headers: Mapping[str, str] | None
    ) -> httpx.Request:
        own = {"Host": self._host_headers[host], "Accept": "application/json", "Connection": "close"}
        return httpx.Request(method, self._origins[host] + target, headers={**own, **(headers or {})}, content=content)

    def _exchange(self, request: httpx.Request, auth: httpx.Auth | None, watch: "_Watch") -> "Answer | _Failure":
        """Returns what failed: an exception in the context of ours would carry the signed request along."""
        try:
            with watch, self._client() as client:
                if self._transport is not None:
                    watch.hand_over(request.url)
                return self._converse(client, request, auth, watch)
        except (_Stopped, Closed, httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError) as error:
            return watch.verdict(error)
        except Exception as error:
            failure = watch.verdict(error)
            if not failure.written:
                raise
            return failure

    def _converse(
        self, client: httpx.Client, request: httpx.Request, auth: httpx.Auth | None, watch: "_Watch"
    ) -> Answer:
        limit = self._limit.total_seconds()
        times = httpx.Timeout(limit, connect=min(limit, CONNECT_LIMIT.total_seconds()))
        request.extensions = {"timeout": times.as_dict(), "trace": watch}
        response = client.send(request, auth=auth, stream=True, follow_redirects=False)
        try:
            body = bytearray()
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > LARGEST_ANSWER:
                    raise _Stopped("the answer is larger than 5 MB")
                watch.insist_within_limit()
        finally:
            response.close()
        # A socket that we cut ourselves ends an answer without a stated length as if it were complete.
        watch.insist_within_limit()
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(status=response.status_code, headers=headers, body=bytes(body))

    def _client(self) -> httpx.Client:
        transport = _Lent(self._transport) if self._transport is not None else _network()
        client = httpx.Client(transport=transport, trust_env=False, follow_redirects=False, auth=None)
        client.headers.clear()
        return client


class _Lent(httpx.BaseTransport):
    """The caller's transport, which stays open when our client of one exchange is closed."""

    def __init__(self, lent: httpx.BaseTransport) -> None:
        self._lent = lent

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._lent.handle_request(request)


def _network() -> httpx.HTTPTransport:
    return httpx.HTTPTransport(
        verify=_trusted(), trust_env=False, retries=0, limits=httpx.Limits(max_keepalive_connections=0)
    )


@functools.cache
def _trusted() -> ssl.SSLContext:
    return httpx.create_ssl_context(trust_env=False)


class _Stopped(Exception):
    """We stopped the exchange ourselves; the text says why."""


@dataclass(frozen=True)
class _Failure:
    written: bool
    what: str
    sentence: str


class _Watch:
    """Follows one exchange through httpcore's trace events, and cuts its socket when the limit is over.

    httpx's own timeouts bound each read, so an answer that drips a byte a second would never end. The cut
    goes through a duplicate of the socket: closing the original in the other thread cannot make us shut a
    stranger's.
    """

    def __init__(self, limit: timedelta, *, send_before: datetime | None, gate: Gate) -> None:
        self.written = False
        self._limit = limit
        self._ends_at = time.monotonic() + limit.total_seconds()
        self._send_before = send_before
        self._gate = gate
        self._traced = False
        self._handed_over = False
        self._overrun = False
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()
        self._timer = threading.Timer(limit.total_seconds(), self._cut)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        with self._lock:
            for held in self._sockets:
                held.close()
            self._sockets.clear()

    def __call__(self, event: str, info: Mapping[str, Any]) -> None:
        self._traced = True
        self._gate.traced(event, info)
        if event == "connection.connect_tcp.complete":
            self._hold(info["return_value"].get_extra_info("socket"))
        elif event.endswith("send_request_headers.started"):
            self.insist_on_time()
            self.written = True
        elif event.endswith("send_request_body.started"):
            # The process may have slept between head and body. The venue cannot act on a request without its
            # body.
            self.insist_on_time()

    def hand_over(self, url: httpx.URL) -> None:
        """From here on a transport of the caller's has the request, and may write it without telling."""
        self._gate.insist_on_name(url.host, url.port or PORTS[url.scheme])
        self.insist_on_time()
        self._handed_over = True

    def insist_on_time(self) -> None:
        self.insist_within_limit()
        if self._send_before is not None and datetime.now(UTC) > self._send_before:
            raise _Stopped("too late to write it")

    def insist_within_limit(self) -> None:
        if self._overrun or time.monotonic() > self._ends_at:
            self._overrun = True
            raise _Stopped("the limit of the call was over")

    def verdict(self, error: Exception) -> _Failure:
        what = f"{type(error).__name__}: {error}"
        said = isinstance(error, _Stopped | Closed)
        sentence = str(error) if said else _SENTENCES.get(type(error), "the connection broke")
        if self._overrun:
            sentence = f"no complete answer within {self._limit.total_seconds():g} seconds"
        untold = self._handed_over and not self._traced and not isinstance(error, _NEVER_CONNECTED)
        return _Failure(self.written or untold, what, sentence)

    def _hold(self, connected: socket.socket) -> None:
        with self._lock:
            self._sockets.append(connected.dup())
        self.insist_within_limit()

    def _cut(self) -> None:
        with self._lock:
            self._overrun = True
            for held in self._sockets:
                try:
                    held.shutdown(socket.SHUT_RDWR)
                except OSError:
                    logger.debug("The connection was already gone when its limit ran out.")


_SENTENCES: Mapping[type[Exception], str] = {
    httpx.ConnectError: "no connection could be made",
    httpx.ConnectTimeout: "no connection could be made in time",
    httpx.PoolTimeout: "no connection was free",
    httpx.ReadTimeout: "no answer came in time",
    httpx.WriteTimeout: "the request could not be written in time",
    httpx.RemoteProtocolError: "the other side hung up, or did not speak HTTP",
    httpx.DecodingError: "the answer could not be decoded",
}


def _origin(url: str) -> httpx.URL:
    """The URL, if it is scheme, host and port only. Raises ValueError."""
    try:
        found = httpx.URL(url)
    except httpx.InvalidURL:
        raise ValueError("That is not a URL.") from None
    if found.scheme not in ("http", "https") or not found.host or found.userinfo:
        raise ValueError("A base URL needs http or https, a host, and no user.")
    if found.path not in ("", "/") or found.query or found.fragment:
        raise ValueError("A base URL ends after its host and port.")
    return httpx.URL(scheme=found.scheme, host=found.host, port=found.port)


def _insist_on_loopback(origin: str) -> None:
    host = httpx.URL(origin).host
    if not is_loopback(host):
        raise ValueError(f"{host} lies outside this computer; only loopback addresses are allowed here.")
