"""Children are started, watched and stopped in order, with stand-ins for the product's programs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from treasury.launch import places, processes
from treasury.launch.processes import ChildDied, Family, Signals, Stopped

NOTES_ITS_END = """
import signal, sys, time
def end(*_):
    open(sys.argv[1], "a").write(sys.argv[2] + " ")
    sys.exit()
signal.signal(signal.SIGTERM, end)
print("up", flush=True)
time.sleep(60)
"""
NEVER_ENDS = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
print("up", flush=True)
time.sleep(60)
"""
A_LAUNCHER = """
import os, sys, time
from pathlib import Path
from treasury.launch.processes import Family, Signals
family = Family(Signals(), dict(os.environ), Path.cwd())
child = family.start("child", "-c", sys.argv[1], sys.argv[2], "child")
while not child.last_lines: time.sleep(0.01)
print(child.process.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def signals() -> Signals:
    return Signals()


@pytest.fixture
def family(signals: Signals) -> Iterator[Family]:
    made = Family(signals, dict(os.environ), places.PROJECT)
    yield made
    signals.requested = 2
    made.stop()


def up(family: Family, name: str, script: str, *arguments: str) -> psutil.Process:
    child = family.start(name, "-c", script, *arguments)
    family.wait_for(lambda: "up" in child.last_lines, seconds=10, what=name)
    return psutil.Process(child.process.pid)


def test_they_stop_stage_by_stage(family: Family, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    for name in ("other", "web", "beat"):
        up(family, name, NOTES_ITS_END, str(notes), name)
    family.stop(["beat"], ["web"])
    assert notes.read_text().split() == ["beat", "web", "other"]


def test_one_that_dies_is_named_with_its_last_lines(family: Family) -> None:
    family.start("web", "-c", "print('address in use'); raise SystemExit(3)")
    with pytest.raises(ChildDied, match=r"web stopped by itself \(exit code 3\).*\n    address in use"):
        family.wait_for(lambda: False, seconds=10, what="nothing")


def test_a_task_that_fails_is_named(family: Family) -> None:
    family.finish("migrate", "-c", "pass")
    with pytest.raises(ChildDied, match="migrate stopped by itself"):
        family.finish("migrate", "-c", "raise SystemExit(1)")


def test_what_does_not_come_in_time_is_said(family: Family) -> None:
    with pytest.raises(TimeoutError, match="The first page did not come within 0 seconds"):
        family.wait_for(lambda: False, seconds=0.1, what="The first page")


def test_a_second_request_kills_at_once_and_leaves_nothing(family: Family, signals: Signals) -> None:
    child = up(family, "worker", NEVER_ENDS)
    everyone = [child, *child.children(recursive=True)]
    assert len(everyone) == 2
    signals.requested = 2
    began = time.monotonic()
    family.stop()
    assert time.monotonic() - began < 5
    assert not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in everyone)


def test_what_ignores_the_request_is_killed_after_the_grace(family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "GRACE", 0.3)
    child = up(family, "worker", NEVER_ENDS)
    family.stop()
    assert not child.is_running()


def test_a_request_interrupts_a_wait(family: Family, signals: Signals) -> None:
    signals.requested = 1
    with pytest.raises(Stopped):
        family.wait_for(lambda: False, seconds=10, what="nothing")


def test_one_request_delivered_twice_is_one(signals: Signals) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        signals.install()
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        assert signals.requested == 1
        assert not signals.hurry
        time.sleep(0.6)
        os.kill(os.getpid(), signal.SIGINT)
        assert signals.hurry
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
def test_a_child_is_told_when_the_launcher_is_killed(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    with subprocess.Popen(
        [sys.executable, "-c", A_LAUNCHER, NOTES_ITS_END, str(notes)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=places.PROJECT,
    ) as launcher:
        assert launcher.stdout
        lines = [launcher.stdout.readline(), launcher.stdout.readline()]
        assert any(line.strip().isdigit() for line in lines)
        launcher.kill()
    deadline = time.monotonic() + 5
    while not (notes.exists() and notes.read_text()) and time.monotonic() < deadline:  # made first, written after
        time.sleep(0.02)
    assert notes.read_text() == "child "
