"""Real Celery workers on the real default broker (pgmq in the same PostgreSQL), and on RabbitMQ where it runs."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from connectors.simulators.core import Simulator
from tests.journeys.conftest import start
from treasury.models import State, Transfer
from treasury.transfers import settle

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

TICK = "import django; django.setup(); from treasury import tasks; tasks.tick_dispatch(); tasks.tick_settle()"


class Workers:
    """Workers of one test; each in a session of its own, so that a kill takes its children along."""

    def __init__(self, **env: str) -> None:
        self.env = env
        self.running: list[subprocess.Popen[str]] = []

    def add(self) -> subprocess.Popen[str]:
        worker = start(
            *("-m", "celery", "-A", "treasury", "worker", "-c", "2", "-Q", "sends,reads,chores", "-l", "WARNING"),
            **self.env,
        )
        self.running.append(worker)
        return worker

    def tick(self) -> None:
        ticking = start("-c", TICK, **self.env)
        output, _ = ticking.communicate(timeout=60)
        assert ticking.returncode == 0, output

    @staticmethod
    def kill(worker: subprocess.Popen[str]) -> None:
        os.killpg(worker.pid, signal.SIGKILL)
        worker.communicate(timeout=20)

    def stop(self) -> None:
        for worker in self.running:
            if worker.poll() is None:
                worker.terminate()
        for worker in self.running:
            try:
                worker.communicate(timeout=20)
            except subprocess.TimeoutExpired:
                self.kill(worker)


@pytest.fixture
def workers() -> Iterator[Workers]:
    made = Workers()
    yield made
    made.stop()


def until(condition: Callable[[], bool], what: str, seconds: float = 40) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen in {seconds} s"
        time.sleep(0.05)


def state_of(transfer: Transfer) -> str:
    transfer.refresh_from_db()
    return transfer.state


def test_a_tick_takes_an_approved_transfer_out_through_a_real_worker(
    approved: Callable[..., Transfer], venue: Simulator, workers: Workers
) -> None:
    transfer = approved()
    workers.add()
    workers.tick()
    workers.tick()  # a doubled message changes nothing
    until(lambda: state_of(transfer) == State.SETTLED, "settling")
    assert len(venue.requests("POST")) == 1


def test_a_worker_killed_in_the_middle_of_the_call_leaves_doubt_that_settles_with_one_effect(
    approved: Callable[..., Transfer], venue: Simulator, workers: Workers
) -> None:
    transfer = approved()
    venue.fault("slow_after", match="send", seconds=20)
    worker = workers.add()
    workers.tick()
    until(lambda: len(venue.requests("POST")) == 1, "the request")
    workers.kill(worker)
    workers.add()
    workers.tick()

    assert state_of(transfer) == State.DISPATCHING
    assert transfer.attempts.get().outcome is None
    after_the_limit = transfer.attempts.get().call_ends_at + timedelta(seconds=1)
    until(lambda: len(venue.effects(transfer.key)) == 1, "the move")
    settle.settle(reference=transfer.reference, now=lambda: max(after_the_limit, timezone.now()))
    assert state_of(transfer) == State.SETTLED
    assert len(venue.effects(transfer.key)) == 1
    assert len(venue.requests("POST")) == 1


@pytest.fixture
def rabbitmq(tmp_path: Path) -> Iterator[str]:
    """A RabbitMQ of this test's own, on loopback, ended with everything it started."""
    program = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
    if not program.exists():
        pytest.skip("RabbitMQ is not installed; .ci/run installs it from Debian's packages")
    port, far, names = free_port(), free_port(), free_port()
    config = tmp_path / "rabbitmq.conf"
    config.write_text(f"listeners.tcp.1 = 127.0.0.1:{port}\nlog.console = true\nlog.file = false\n")
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "RABBITMQ_NODENAME": f"treasury{port}@localhost",
        "RABBITMQ_CONFIG_FILE": str(config),
        "RABBITMQ_MNESIA_BASE": str(tmp_path / "data"),
        "RABBITMQ_LOG_BASE": str(tmp_path / "log"),
        "RABBITMQ_PID_FILE": str(tmp_path / "pid"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(tmp_path / "plugins"),
        "RABBITMQ_DIST_PORT": str(far),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_EPMD_PORT": str(names),
    }
    epmd = subprocess.Popen(["epmd", "-address", "127.0.0.1", "-port", str(names)], env=env)
    with (tmp_path / "output").open("w") as output:
        server = subprocess.Popen([program], env=env, stdout=output, stderr=output, start_new_session=True)
    try:
        until(lambda: listens(port), "RabbitMQ", seconds=60)
        yield f"amqp://guest:guest@127.0.0.1:{port}//"
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(timeout=30)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait(timeout=10)
        epmd.terminate()
        epmd.wait(timeout=10)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_rabbitmq_instead_is_one_setting(approved: Callable[..., Transfer], venue: Simulator, rabbitmq: str) -> None:
    transfer = approved()
    workers = Workers(CELERY_BROKER_URL=rabbitmq)
    try:
        workers.add()
        workers.tick()
        until(lambda: state_of(transfer) == State.SETTLED, "settling")
    finally:
        workers.stop()
    assert len(venue.requests("POST")) == 1
