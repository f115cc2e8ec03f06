"""What every simulated venue shares: a server on this computer, a ledger, and faults on request.

A venue's simulator is a module of the venue's name beside this one. It declares `SIMULATOR`, a subclass of
`Simulator` written from the venue's documentation and from nothing of our connector, and `PRACTICE`.
"""

import importlib
import json
import logging
import pkgutil
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from connectors.core import discovery
from connectors.simulators.faults import Fault, Faults
from connectors.simulators.ledger import Holdings, Ledger
from connectors.simulators.pages import control

logger = logging.getLogger(__name__)

LARGEST_REQUEST = 1024 * 1024
LONGEST_MEMORY = 2000
CONTROL = "/_simulator/"


@dataclass(frozen=True, kw_only=True)
class Practice:
    """A login of the simulated venue: credentials that open nothing anywhere else, and its opening money."""

    title: str
    credentials: Mapping[str, str]
    opening: Holdings  # address, asset, decimal string
    spare: bool = False  # not connected by `manage.py practice`; its credentials stand on the control page, to be tried


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request as it came. `query` is raw, without the question mark; `at` in seconds since 1970."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]  # names in lower case
    body: bytes
    at: float

    @property
    def target(self) -> str:
        return f"{self.method} {self.path}" + (f"?{self.query}" if self.query else "")

    def params(self) -> dict[str, str]:
        return dict(parse_qsl(self.query, keep_blank_values=True))


@dataclass(frozen=True, kw_only=True)
class Reply:
    """An answer: status, headers and body."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @classmethod
    def of_json(cls, content: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> "Reply":
        """An answer in JSON."""
        body = json.dumps(content, separators=(",", ":")).encode()
        return cls(status=status, headers={"Content-Type": "application/json", **(headers or {})}, body=body)


class Simulator:
    """One simulated venue. A subclass answers requests; this class keeps money, faults and memory."""

    name = ""

    def __init__(self, practice: tuple[Practice, ...], ledger: Ledger) -> None:
        self.url = ""
        self.practice = practice
        self.ledger = ledger
        self.faults = Faults()
        self._requests: list[Request] = []
        for login in practice:
            ledger.open_with(self.login_of(login.credentials), login.opening)

    # For the subclass to say

    def login_of(self, credentials: Mapping[str, str]) -> str:
        """The venue's own id of the login that has these credentials."""
        raise NotImplementedError

    def is_send(self, request: Request) -> bool:
        """Whether the request would move money."""
        raise NotImplementedError

    def answer(self, request: Request, faults: Mapping[str, Fault]) -> Reply:
        """Do what is asked. `faults` are those that the venue itself has to act out."""
        raise NotImplementedError

    def refusal(self, fault: Fault) -> Reply:
        """The venue's way of refusing with `fault.code`."""
        raise NotImplementedError

    def rate_limited(self) -> Reply:
        return Reply(status=429, headers={"Content-Type": "text/plain"}, body=b"Too Many Requests")

    def banned(self) -> Reply:
        return Reply(status=403, headers={"Content-Type": "text/plain"}, body=b"Forbidden")

    # For tests and for people

    @property
    def credentials(self) -> dict[str, str]:
        """The first practice login's."""
        return dict(self.practice[0].credentials)

    def fault(
        self,
        kind: str,
        *,
        match: str = "",
        times: int | None = 1,
        seconds: float = 0,
        code: int = 0,
        text: str = "",
    ) -> None:
        """Let this go wrong; see `faults.Fault`."""
        self.faults.add(Fault(kind=kind, match=match, times=times, seconds=seconds, code=code, text=text))

    def effects(self, key: object = None) -> list[dict[str, Any]]:
        """Every time that money arrived, for this key or for all."""
        self.ledger.ripen(now_ms())
        return self.ledger.effects(None if key is None else str(key))

    def requests(self, match: str = "") -> list[Request]:
        """The requests that came, oldest first, whose method and target contain `match`."""
        return [request for request in list(self._requests) if match in request.target]

    def set_balance(self, address: str, asset: str, amount: str, *, login: str = "") -> None:
        """Set what a login holds there; the first practice login's without one."""
        self.ledger.set_balance(login or self.login_of(self.credentials), address, asset, amount)

    def balance(self, address: str, asset: str) -> str:
        """What the first practice login holds there."""
        self.ledger.ripen(now_ms())
        return format(self.ledger.balance(self.login_of(self.credentials), address, asset), "f")

    def spare(self) -> list[tuple[str, Mapping[str, str]]]:
        """Title and credentials of the logins that a person may connect in practice."""
        return [(login.title, login.credentials) for login in self.practice if login.spare]

    def clear(self) -> None:
        """Forget all faults and all requests. The ledger stays."""
        self.faults.clear()
        self._requests.clear()

    def state(self) -> dict[str, Any]:
        """Everything a person may want to see. Header values are left out: they hold signatures."""
        return {
            "venue": self.name,
            "balances": self.ledger.balances(),
            "effects": self.effects(),
            "transfers": self.ledger.transfers(),
            "faults": self.faults.waiting(),
            "requests": [
                {
                    "at": request.at,
                    "method": request.method,
                    "path": request.path,
                    "query": request.query,
                    "headers": sorted(request.headers),
                    "body": request.body.decode("utf-8", "replace"),
                }
                for request in list(self._requests)
            ],
        }

    def remember(self, request: Request) -> None:
        self._requests.append(request)
        del self._requests[:-LONGEST_MEMORY]


class _Server(ThreadingHTTPServer):
    """Loopback only. Closes every connection when it stops, so that no thread and no socket is left."""

    daemon_threads = False
    block_on_close = True
    request_queue_size = 64

    def __init__(self, simulator: Simulator) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.simulator = simulator
        self.stopping = threading.Event()
        self._open: set[socket.socket] = set()
        simulator.url = f"http://127.0.0.1:{self.server_address[1]}"

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        logger.exception("%s: a request could not be answered", self.simulator.name)

    def stop(self) -> None:
        self.stopping.set()
        self.shutdown()
        for connection in list(self._open):
            hang_up(connection)
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body are two writes; without this a kept-alive client waits 40 ms for the second.
    disable_nagle_algorithm = True
    timeout = 60
    server: _Server

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:
            logger.debug("The other side hung up.")

    def serve_one(self) -> None:
        length = self.headers.get("Content-Length", "0")
        if not length.isdecimal() or int(length) > LARGEST_REQUEST:
            self.send_error(413)
            return
        path, _, query = self.path.partition("?")
        request = Request(
            method=self.command,
            path=path,
            query=query,
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self.rfile.read(int(length)),
            at=time.time(),
        )
        if path == "/favicon.ico":  # a browser's own wish, no request to the venue
            self.write(Reply(status=204))
        elif path.startswith(CONTROL):
            status, headers, body = control(self.server.simulator, request)
            self.write(Reply(status=status, headers=headers, body=body))
        else:
            self.act_out(request)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = serve_one  # noqa: N815

    def act_out(self, request: Request) -> None:
        """Answer the request, with whatever goes wrong before, during and after."""
        simulator = self.server.simulator
        simulator.remember(request)
        faults = simulator.faults.take(is_send=simulator.is_send(request), target=request.target)
        logger.info("%s %s %s%s", simulator.name, request.method, request.path, _named(faults))
        if "slow" in faults:
            self.server.stopping.wait(faults["slow"].seconds)
        if "request_lost" in faults:
            self.hang_up()
            return
        reply = _without_acting(simulator, faults)
        if reply is None:
            simulator.ledger.ripen(now_ms())
            reply = _disfigured(simulator.answer(request, faults), faults)
        if "slow_after" in faults:
            self.server.stopping.wait(faults["slow_after"].seconds)
        if "answer_lost" in faults:
            self.hang_up()
        else:
            self.write(reply, drip=faults["drip"].seconds if "drip" in faults else 0)

    def write(self, reply: Reply, *, drip: float = 0) -> None:
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        if not drip:
            self.wfile.write(reply.body)
            return
        for byte in reply.body:
            self.wfile.write(bytes([byte]))
            if self.server.stopping.wait(drip / len(reply.body)):
                break

    def hang_up(self) -> None:
        self.close_connection = True
        hang_up(self.connection)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing here: the simulator logs one line for each request itself."""


def hang_up(connection: socket.socket) -> None:
    """End a connection that may be gone already."""
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        logger.debug("The connection was gone already.")


def now_ms() -> int:
    """This computer's clock in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def names() -> list[str]:
    """The venues that have a simulator, sorted."""
    here = {found.name for found in pkgutil.iter_modules([str(Path(__file__).parent)])}
    return [name for name in discovery.names() if name in here]


def practice(name: str) -> tuple[Practice, ...]:
    """The practice logins of a simulated venue."""
    declared: tuple[Practice, ...] = importlib.import_module(f"connectors.simulators.{name}").PRACTICE
    return declared


@contextmanager
def serve(name: str, *, path: Path | None = None) -> Iterator[Simulator]:
    """Serve a venue on a free port of this computer, its ledger in the file `path` or in memory."""
    module = importlib.import_module(f"connectors.simulators.{name}")
    simulator: Simulator = module.SIMULATOR(module.PRACTICE, Ledger(path))
    server = _Server(simulator)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name=f"simulator of {name}")
    thread.start()
    try:
        yield simulator
    finally:
        server.stop()
        thread.join()


def _named(faults: Mapping[str, Fault]) -> str:
    return f" [{', '.join(faults)}]" if faults else ""


def _without_acting(simulator: Simulator, faults: Mapping[str, Fault]) -> Reply | None:
    if "rate_limited" in faults:
        return simulator.rate_limited()
    if "banned" in faults:
        return simulator.banned()
    if "error_before" in faults:
        return _broken()
    if "refuse" in faults:
        return simulator.refusal(faults["refuse"])
    return None


def _disfigured(reply: Reply, faults: Mapping[str, Fault]) -> Reply:
    if "error_after" in faults:
        return _broken()
    if "garbage" in faults:
        page = b"<html><body>Please wait a moment.</body></html>"
        return Reply(headers={"Content-Type": "text/html"}, body=page)
    return reply


def _broken() -> Reply:
    return Reply(status=500, headers={"Content-Type": "text/plain"}, body=b"Internal Server Error")
