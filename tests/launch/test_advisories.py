"""What is known to be dangerous fails the lint; a service that does not answer is told of, and fails nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from treasury.launch import advisories, checks

PINNED = "certifi==2020.1.1 --hash=sha256:" + "0" * 64 + "\n"
KNOWN = {
    "id": "PYSEC-2020-1",
    "summary": "It believes whom it should not.",
    "affected": [
        {
            "package": {"name": "certifi", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2020.1.2"}]}],
        }
    ],
}


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    made = tmp_path / "requirements.lock"
    made.write_text(PINNED)
    return made


@contextmanager
def service(answer: dict[str, Any], status: int = 200) -> Iterator[tuple[tuple[str, str], list[Any]]]:
    """An advisory service on loopback that always answers this: the words that name it, and what it was asked."""
    asked: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield ("--osv-url", f"http://127.0.0.1:{server.server_port}/"), asked
    finally:
        server.shutdown()
        server.server_close()


def test_what_is_known_to_be_dangerous_fails_and_is_named(lock: Path) -> None:
    with service({"vulns": [KNOWN]}) as (named, asked):
        assert advisories.look(lock, named) == (1, "certifi 2020.1.1: PYSEC-2020-1, mended in 2020.1.2")
    assert asked == [{"package": {"name": "certifi", "ecosystem": "PyPI"}, "version": "2020.1.1"}]


def test_nothing_known_says_nothing(lock: Path) -> None:
    with service({}) as (named, _):
        assert advisories.look(lock, named) == (0, "")


def test_a_service_that_does_not_answer_is_told_of_in_one_line_and_fails_nothing(lock: Path) -> None:
    with service({}) as (named, _):
        pass  # nobody listens there any more
    code, said = advisories.look(lock, named)
    assert (code, said.count("\n")) == (0, 0)
    assert said.startswith("Not asked: the advisory service does not answer (")


def test_a_service_that_answers_with_an_error_was_not_asked(lock: Path) -> None:
    with service({}, status=503) as (named, _):
        code, said = advisories.look(lock, named)
    assert (code, said[:9]) == (0, advisories.NOT_ASKED)


@pytest.mark.parametrize("text", ["certifi==2020.1.1\n", "certifi>=1\n", "certifi==\n"])
def test_a_lock_that_pins_no_bytes_fails_whoever_answers(lock: Path, text: str) -> None:
    lock.write_text(text)
    with service({}) as (named, asked):
        code, said = advisories.look(lock, named)
    assert code == 1
    assert said.startswith("The lock file cannot be read.")
    assert asked == []


def test_lint_asks_about_what_is_installed() -> None:
    assert checks.CHECKS["advisories"] == ("-m", "treasury.launch.advisories")
    assert advisories.LOCK.name == "requirements.lock"
