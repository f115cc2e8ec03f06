"""What each transport failure means, over real sockets."""

import logging
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from connectors.core import http
from connectors.core.errors import TryLater, Uncertain
from connectors.core.gate import gate_to
from connectors.core.http import Wire
from connectors.core.redact import Redactor

from .listener import Behaviour, Listener, answer, reset

SECRET = "wire-secret-canary"
HOSTS = {"api": "https://api.example.com"}


class Slowly(httpx.Auth):
    """Takes its time to sign, as a process does that was put to sleep."""

    def __init__(self, seconds: float = 0) -> None:
        self.seconds = seconds

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        time.sleep(self.seconds)
        request.headers["X-Secret"] = SECRET
        yield request


def wire(url: str | None, *, limit: float = 30, transport: httpx.BaseTransport | None = None) -> Wire:
    return Wire(HOSTS, redact=Redactor([SECRET]), base_url=url, transport=transport, limit=timedelta(seconds=limit))


def send(line: Wire, *, send_before: datetime | None = None, seconds: float = 0) -> http.Answer:
    return line.send("/move", content=b'{"a":"b"}', auth=Slowly(seconds), send_before=send_before)


def closed_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


def on_request(act: Behaviour) -> Listener:
    """A listener that reads the whole request and then acts."""

    def behave(connection: socket.socket, stopping: threading.Event) -> None:
        listener.take_request(connection)
        act(connection, stopping)

    listener = Listener(behave)
    return listener


def test_a_complete_answer_is_handed_over_whatever_its_status() -> None:
    body = b'{"amount": 1.10}'
    with on_request(lambda c, _: c.sendall(answer(body, "500 Oh", "X-One: 1"))) as listener:
        got = send(wire(listener.url))
    assert (got.status, got.headers["x-one"], got.body) == (500, "1", body)
    assert str((got.json_object() or {})["amount"]) == "1.10"


def test_requests_keep_the_host_header_of_the_venue() -> None:
    with on_request(lambda c, _: c.sendall(answer(b"{}"))) as listener:
        send(wire(listener.url))
    assert b"\r\nhost: api.example.com\r\n" in bytes(listener.received).lower()
    assert b"\r\nconnection: close\r\n" in bytes(listener.received).lower()


def test_a_refused_connection_means_that_nothing_moved() -> None:
    with pytest.raises(TryLater, match=r"^Not sent. Nothing moved"):
        send(wire(closed_port()))


def test_a_failed_tls_handshake_means_that_nothing_moved() -> None:
    with Listener(lambda c, _: c.sendall(b"no TLS is spoken here\r\n")) as listener, pytest.raises(TryLater):
        send(wire(listener.url.replace("http:", "https:")))


def test_a_tls_handshake_that_never_ends_means_that_nothing_moved() -> None:
    with Listener(lambda c, stop: stop.wait(3)) as listener, pytest.raises(TryLater):
        send(wire(listener.url.replace("http:", "https:"), limit=0.4))


def drip(connection: socket.socket, stopping: threading.Event, text: bytes) -> None:
    for byte in text:
        connection.sendall(bytes([byte]))
        if stopping.wait(0.05):
            return


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n"

ENDINGS: dict[str, Behaviour] = {
    "hangs up after the request": lambda c, _: c.close(),
    "resets after the request": lambda c, _: reset(c),
    "answers what is not HTTP": lambda c, _: c.sendall(b"\x00\x01 what?\r\n\r\n"),
    "hangs up within the headers": lambda c, _: c.sendall(b"HTTP/1.1 200 OK\r\nContent-"),
    "hangs up within the body": lambda c, _: c.sendall(HEAD + b"{"),
    "says nothing": lambda c, stop: stop.wait(5) and None,
    "drips headers": lambda c, stop: drip(c, stop, b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 90),
    "drips a body": lambda c, stop: drip(c, stop, HEAD + b"x" * 900),
    "never ends a body without a length": lambda c, stop: (
        c.sendall(b"HTTP/1.1 200 OK\r\n\r\n{}"),
        stop.wait(5),
        None,
    )[-1],
    "keeps saying that it works on it": lambda c, stop: drip(c, stop, b"HTTP/1.1 102 Wait\r\n\r\n" * 90),
    "answers in a broken encoding": lambda c, _: c.sendall(answer(b"junk", "200 OK", "Content-Encoding: gzip")),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_after_the_request_was_written_every_failure_is_a_doubt(ending: str) -> None:
    started = time.monotonic()
    with on_request(ENDINGS[ending]) as listener:
        with pytest.raises(Uncertain, match=r"^It may have moved\.") as raised:
            send(wire(listener.url, limit=0.5))
        assert time.monotonic() - started < 2.5
    assert listener.received.endswith(b'{"a":"b"}')
    assert raised.value.evidence["written"] is True
    assert raised.value.__context__ is None, "the signed request would travel along in the context"


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_question_that_fails_can_be_asked_again(ending: str) -> None:
    with on_request(ENDINGS[ending]) as listener, pytest.raises(TryLater, match=r"^Could not read"):
        wire(listener.url, limit=0.5).read("/ask", params={"coins": "A,B"})
    assert listener.received.startswith(b"GET /ask?coins=A,B HTTP/1.1")


def test_hanging_up_before_the_request_is_read_is_a_doubt_once_it_was_written() -> None:
    with Listener(lambda c, _: c.close()) as listener, pytest.raises(Uncertain):
        send(wire(listener.url))


def test_too_late_to_write_means_that_no_byte_was_written() -> None:
    with Listener(lambda c, stop: None) as listener:
        with pytest.raises(TryLater, match="too late to write"):
            send(wire(listener.url), send_before=datetime.now(UTC) + timedelta(seconds=0.2), seconds=0.4)
        time.sleep(0.3)
    assert listener.connections == 1, "the check comes after the connection was made"
    assert listener.received == b""


def test_a_moment_that_passes_between_head_and_body_stops_the_body() -> None:
    late = datetime.now(UTC) + timedelta(seconds=0.1)
    watch = http._Watch(timedelta(seconds=5), send_before=late, gate=gate_to([]))
    watch("http11.send_request_headers.started", {})
    time.sleep(0.2)
    with pytest.raises(http._Stopped):
        watch("http11.send_request_body.started", {})
    assert watch.written


def test_a_process_that_was_stopped_writes_nothing_when_it_wakes_too_late() -> None:
    program = textwrap.dedent("""
        import os, signal, sys
        from datetime import UTC, datetime, timedelta
        import httpx
        from connectors.core.errors import TryLater
        from connectors.core.http import Wire
        from connectors.core.redact import Redactor

        class Sleeper(httpx.Auth):
            def auth_flow(self, request):
                print("asleep", flush=True)
                os.kill(os.getpid(), signal.SIGSTOP)
                yield request

        wire = Wire({"api": "https://api.example.com"}, redact=Redactor([]), base_url=sys.argv[1])
        before = datetime.now(UTC) + timedelta(seconds=0.5)
        try:
            wire.send("/move", content=b"{}", auth=Sleeper(), send_before=before)
        except TryLater as error:
            print(error)
    """)
    with Listener() as listener:
        command = [sys.executable, "-c", program, listener.url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "asleep\n"
            time.sleep(0.8)
            os.kill(child.pid, signal.SIGCONT)
            assert "too late to write" in child.stdout.read()
    assert listener.received == b""


def test_redirects_are_not_followed() -> None:
    with Listener() as elsewhere:
        location = f"Location: {elsewhere.url}/move"
        with on_request(lambda c, _: c.sendall(answer(b"", "307 Temporary Redirect", location))) as listener:
            got = send(wire(listener.url))
    assert got.status == 307
    assert elsewhere.connections == 0


def test_the_environment_cannot_put_a_proxy_between(monkeypatch: pytest.MonkeyPatch) -> None:
    with Listener() as proxy, on_request(lambda c, _: c.sendall(answer(b"{}"))) as listener:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        assert send(wire(listener.url)).status == 200
    assert proxy.connections == 0


def test_an_answer_without_end_is_cut_and_is_a_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "LARGEST_ANSWER", 1000)
    with on_request(lambda c, _: c.sendall(answer(b"x" * 1001))) as listener, pytest.raises(Uncertain):
        send(wire(listener.url))


@pytest.mark.parametrize(
    ("raised", "means"),
    [
        (httpx.ConnectError, TryLater),
        (httpx.ConnectTimeout, TryLater),
        (httpx.PoolTimeout, TryLater),
        (httpx.ReadTimeout, Uncertain),
        (httpx.WriteError, Uncertain),
        (httpx.RemoteProtocolError, Uncertain),
        (RuntimeError, Uncertain),
    ],
)
def test_a_transport_that_tells_nothing_is_judged_by_its_exception(
    raised: type[Exception], means: type[Exception]
) -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise raised(f"with {SECRET}")

    with pytest.raises(means) as failure:
        send(wire(None, transport=httpx.MockTransport(fail)))
    assert SECRET not in repr(failure.value) + repr(vars(failure.value))


def test_a_transport_of_the_callers_gets_nothing_once_it_is_too_late() -> None:
    seen: list[httpx.Request] = []
    transport = httpx.MockTransport(lambda request: seen.append(request) or httpx.Response(200))
    with pytest.raises(TryLater):
        send(wire(None, transport=transport), send_before=datetime.now(UTC) - timedelta(seconds=1))
    assert seen == []


def test_an_answer_that_is_too_large_is_a_doubt_on_a_silent_transport_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http, "LARGEST_ANSWER", 10)
    with pytest.raises(Uncertain):
        send(wire(None, transport=httpx.MockTransport(lambda _: httpx.Response(200, content=b"x" * 11))))


def test_a_fault_of_our_own_before_the_write_is_not_dressed_up_as_the_venues() -> None:
    class Broken(httpx.Auth):
        def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
            raise RuntimeError("a bug")
            yield request

    with Listener() as listener, pytest.raises(RuntimeError, match="a bug"):
        wire(listener.url).send("/move", content=b"{}", auth=Broken())
    assert listener.connections == 0


@pytest.mark.parametrize("url", ["https://192.0.2.1", "http://[2001:db8::1]:80", "https://example.com", None])
def test_loopback_only_refuses_every_other_host(url: str | None) -> None:
    with pytest.raises(ValueError, match="lies outside this computer"):
        Wire(HOSTS, redact=Redactor([]), base_url=url, loopback_only=True)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://[::1]:9", "http://localhost:9"])
def test_loopback_only_takes_this_computer(url: str) -> None:
    Wire(HOSTS, redact=Redactor([]), base_url=url, loopback_only=True)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1", "127.0.0.1:80", "http://u:p@127.0.0.1", "http://127.0.0.1/v5"])
def test_a_base_url_is_scheme_host_and_port(url: str) -> None:
    with pytest.raises(ValueError, match="URL"):
        Wire(HOSTS, redact=Redactor([]), base_url=url)


def test_the_logs_of_the_libraries_hold_no_header_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    for library in ("", "httpx", "httpcore"):  # whatever the product's own settings let through
        caplog.set_level(logging.DEBUG, library)
    with on_request(lambda c, _: c.sendall(answer(b"{}"))) as listener:
        send(wire(listener.url))
    assert caplog.records
    assert SECRET not in caplog.text
