"""A worker that lives and takes nothing any more ends itself; one that has nothing to take does not."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from datetime import timedelta

import psutil
import pytest
from django.utils import timezone

from tests.journeys.conftest import start
from treasury import lifeline
from treasury.controls import heartbeats
from treasury.models import Heartbeat

pytestmark = pytest.mark.django_db(transaction=True)

# A worker's main process without its broker: the lifeline alone, in a hurry, with a pool process that must not be left.
A_WORKER = """
import subprocess, sys, threading, time
import django
django.setup()
from datetime import timedelta
from treasury import lifeline
lifeline.LOOK_EVERY, lifeline.SILENT_AFTER = timedelta(seconds=0.2), timedelta(seconds=1)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
lifeline.begin()
print(child.pid, flush=True)
hears = sys.argv[1] == "hears"
while True:
    time.sleep(0.1)
    if hears:
        lifeline.hear()
"""


@pytest.fixture
def the_clock_lives() -> Iterator[None]:
    heartbeats.beat(heartbeats.BEAT, timezone.now())
    return


def run_for(seconds: float, how: str) -> tuple[int | None, psutil.Process | None]:
    worker = start("-c", A_WORKER, how)
    assert worker.stdout is not None
    line = worker.stdout.readline()
    while not line.strip().isdigit():
        line = worker.stdout.readline()
    child = psutil.Process(int(line))
    deadline = time.monotonic() + seconds
    while worker.poll() is None and time.monotonic() < deadline:
        heartbeats.beat(heartbeats.BEAT, timezone.now()) if how != "clock is dead" else None
        time.sleep(0.1)
    code = worker.poll()
    if code is None:
        os.killpg(worker.pid, signal.SIGKILL)
    worker.communicate(timeout=20)
    return code, child


def test_a_silent_worker_ends_itself_and_leaves_no_child(the_clock_lives: None) -> None:
    code, child = run_for(30, "deaf")
    assert code == lifeline.ENDED
    assert child is not None
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_one_that_hears_goes_on(the_clock_lives: None) -> None:
    code, _ = run_for(4, "hears")
    assert code is None


def test_one_goes_on_while_the_clock_puts_nothing_in() -> None:
    """Else every worker would end when beat is stopped for an hour."""
    Heartbeat.objects.create(name=heartbeats.BEAT, at=timezone.now() - timedelta(minutes=1), host="h")
    code, _ = run_for(4, "clock is dead")
    assert code is None
