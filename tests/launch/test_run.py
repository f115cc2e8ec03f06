"""The whole product, started as people start it, in a home of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from datetime import timedelta
from pathlib import Path

import psutil
import psycopg
import pytest

from treasury.launch import places, postgres
from treasury.launch.run import answers, free_port

pytestmark = pytest.mark.slow

START_LIMIT = 60.0  # seconds
STOP_LIMIT = 40.0


def start(home: Path, port: int, output: Path) -> subprocess.Popen[bytes]:
    """As a shell starts a program in the background: with SIGINT ignored."""
    given = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    with output.open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "treasury.launch", "run"],
            cwd=places.PROJECT,
            env={**given, "TREASURY_MODE": "practice", "TREASURY_HOME": str(home), "PORT": str(port)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
        )


def wait_until_greeted(run: subprocess.Popen[bytes], port: int, output: Path) -> None:
    deadline = time.monotonic() + START_LIMIT
    while f"http://localhost:{port}\n" not in output.read_text():
        assert run.poll() is None, output.read_text()
        assert time.monotonic() < deadline, output.read_text()
        time.sleep(0.1)


def alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def stop(run: subprocess.Popen[bytes], number: int, output: Path) -> None:
    """Ask the run to stop, and see that it ends well with everybody it ever started."""
    family = psutil.Process(run.pid).children(recursive=True)
    assert any(process.name().startswith("postgres") for process in family)
    run.send_signal(number)
    assert run.wait(STOP_LIMIT) == 0, output.read_text()
    left = [process for process in family if alive(process)]
    assert left == [], output.read_text()


def assert_the_ticks_keep_up(home: Path) -> None:
    """The clock's messages are worked off as they come: a queue that grows would silently stop every pursuit."""
    time.sleep(25)
    with psycopg.connect(postgres.dsn(home / "postgres")) as connection:
        waiting = dict(connection.execute("SELECT queue_name, queue_length FROM pgmq.metrics_all()").fetchall())
        sealed = connection.execute("SELECT now() - max(sealed_at) FROM treasury_auditbatch").fetchone()
        read = connection.execute("SELECT now() - min(read_at) FROM treasury_connectionhealth").fetchone()
    assert all(count < 10 for count in waiting.values()), waiting
    assert sealed is not None
    assert read is not None
    assert max(sealed[0], read[0]) < timedelta(seconds=60)


def test_it_answers_stops_without_a_trace_and_keeps_its_data(tmp_path: Path) -> None:
    home, output, port = tmp_path / "a home", tmp_path / "output", free_port()
    run = start(home, port, output)
    try:
        wait_until_greeted(run, port, output)
        assert answers(port)
        with urllib.request.urlopen(f"http://localhost:{port}/healthz/", timeout=10) as answer:
            assert answer.status == 200
        assert output.read_text().count(f"http://localhost:{port}\n") == 1
        assert "maker, maker2, checker, checker2, auditor, admin, admin2" in output.read_text()
        with psycopg.connect(postgres.dsn(home / "postgres")) as connection:
            people = connection.execute("SELECT id, username FROM treasury_user ORDER BY id").fetchall()
            assert len(people) >= 7
            connection.execute("CREATE TABLE kept_by_the_test ()")
        assert_the_ticks_keep_up(home)
        stop(run, signal.SIGINT, output)

        output.write_text("")
        run = start(home, port, output)
        wait_until_greeted(run, port, output)
        with psycopg.connect(postgres.dsn(home / "postgres")) as connection:
            assert connection.execute("SELECT id, username FROM treasury_user ORDER BY id").fetchall() == people
            assert connection.execute("SELECT to_regclass('kept_by_the_test')").fetchone() != (None,)
        stop(run, signal.SIGTERM, output)
        with socket.socket() as free:
            free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            free.bind(("127.0.0.1", port))
    finally:
        if run.poll() is None:
            run.kill()
            run.wait()
