"""What stops by itself is started again, unless it does so time after time."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import psutil
import pytest

from treasury.launch import places, processes
from treasury.launch.processes import ChildDied, Family, Signals

SLEEPS = "import time; print('up', flush=True); time.sleep(60)"


@pytest.fixture
def family() -> Iterator[Family]:
    signals = Signals()
    made = Family(signals, dict(os.environ), places.PROJECT)
    yield made
    signals.requested = 2
    made.stop()


def until_up(family: Family, name: str, *, after: int = 0) -> psutil.Process:
    """The child's process, once it works; another one than that of the number ``after``."""

    def is_up() -> bool:
        child = family._children[name]
        return child.process.pid != after and "up" in child.last_lines

    family.wait_for(is_up, seconds=10, what=name)
    return psutil.Process(family._children[name].process.pid)


def test_a_worker_that_is_killed_is_started_again(family: Family) -> None:
    family.start("sends", "-c", SLEEPS, again=True)
    first = until_up(family, "sends")
    first.kill()
    first.wait(5)
    second = until_up(family, "sends", after=first.pid)
    assert second.pid != first.pid
    assert second.is_running()


def test_one_that_ends_time_after_time_ends_the_run(family: Family) -> None:
    family.start("sends", "-c", "print('no such queue'); raise SystemExit(3)", again=True)
    began = time.monotonic()
    with pytest.raises(ChildDied, match="no such queue"):
        family.wait_for(lambda: False, seconds=30, what="nothing")
    assert time.monotonic() - began < 30


def test_ends_that_are_far_apart_are_no_defect(family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "RESTARTS_WITHIN", 0.0)
    family.start("sends", "-c", SLEEPS, again=True)
    before = 0
    for _ in range(processes.RESTARTS_MOST + 2):
        child = until_up(family, "sends", after=before)
        child.kill()
        before = child.pid
    until_up(family, "sends", after=before)


def test_what_was_not_to_be_started_again_ends_the_run(family: Family) -> None:
    family.start("web", "-c", SLEEPS)
    until_up(family, "web").kill()
    with pytest.raises(ChildDied):
        family.wait_for(lambda: False, seconds=10, what="nothing")
