"""The processes of a campaign, and what is done to them from outside: killed, suspended, started again."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import psycopg

from treasury.launch import places, postgres, postmaster
from treasury.launch.processes import _die_with

QUEUES = {"sends": 2, "reads": 2, "chores": 2}  # and how many processes each of its workers has
ENDED_ITSELF = 75  # treasury.lifeline.ENDED, which needs Django to be set up
FIGURES = (
    "kills",
    "suspensions",
    "beat kills",
    "database restarts",
    "queues emptied",
    "messages doubled",
    "revived",
    "silent workers that ended themselves",
)


@dataclass
class Worker:
    """A process of the product and what it was started with."""

    name: str
    command: tuple[str, ...]
    env: Mapping[str, str]
    process: subprocess.Popen[bytes]
    alarm: threading.Timer | None = None  # while it is suspended
    started_at: float = field(default_factory=time.monotonic)
    early_ends: int = 0  # how often in a row it ended by itself just after its start


@dataclass
class Crew:
    """Beat and the workers: started, killed, suspended and started again, from outside."""

    logs: Path
    counts: Counter[str] = field(default_factory=Counter)
    workers: list[Worker] = field(default_factory=list)
    processes: dict[str, set[int]] = field(default_factory=dict)  # by machine: every sending process it ever had
    _counted_at: float = 0.0

    def start(self, name: str, command: tuple[str, ...], env: Mapping[str, str]) -> None:
        self.workers.append(Worker(name, command, env, self._spawn(name, command, env)))

    def _spawn(self, name: str, command: tuple[str, ...], env: Mapping[str, str]) -> subprocess.Popen[bytes]:
        with (self.logs / f"{name}.log").open("ab") as output:
            return subprocess.Popen(
                [sys.executable, *command],
                cwd=places.PROJECT,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=_die_with(os.getpid()),
            )

    def look_after(self) -> None:
        """Start again what has ended."""
        for worker in self.workers:
            if worker.process.poll() is not None:
                self._kill_group(worker)
                self.counts["silent workers that ended themselves"] += worker.process.returncode == ENDED_ITSELF
                self._insist_that_it_works(worker)
                worker.process = self._spawn(worker.name, worker.command, worker.env)
                worker.started_at = time.monotonic()
                self.counts["revived"] += 1

        if time.monotonic() - self._counted_at > 1:
            self._counted_at = time.monotonic()
            self._count_processes()

    def _count_processes(self) -> None:
        for worker in self.workers:
            if worker.name.startswith("sends"):
                known = self.processes.setdefault(worker.name.partition("@")[2], set())
                with contextlib.suppress(psutil.NoSuchProcess):
                    known |= {child.pid for child in psutil.Process(worker.process.pid).children()}

    def _insist_that_it_works(self, worker: Worker) -> None:
        early = worker.process.returncode != -signal.SIGKILL and time.monotonic() - worker.started_at < 5
        worker.early_ends = worker.early_ends + 1 if early else 0
        if worker.early_ends == 5:
            tail = (self.logs / f"{worker.name}.log").read_text(errors="replace")[-2000:]
            raise SystemExit(f"{worker.name} does not start:\n{tail}")

    def kill(self, dice: random.Random, *, only_child: bool) -> None:
        worker = dice.choice([one for one in self.workers if not one.name.startswith("beat")])
        self.counts["kills"] += 1
        if only_child:
            with contextlib.suppress(psutil.NoSuchProcess, IndexError):
                dice.choice(psutil.Process(worker.process.pid).children()).kill()
        else:
            self._kill_group(worker)

    def kill_beat(self, dice: random.Random) -> None:
        self.counts["beat kills"] += 1
        self._kill_group(dice.choice([one for one in self.workers if one.name.startswith("beat")]))

    def suspend(self, dice: random.Random, seconds: float) -> None:
        """It wakes by an alarm of its own: the campaign itself may have to wait for a lock that the sleeper holds."""
        awake = [one for one in self.workers if not self._sleeps(one) and not one.name.startswith("beat")]
        if awake:
            worker = dice.choice(awake)
            self.counts["suspensions"] += 1
            worker.alarm = threading.Timer(seconds, self._signal, (worker, signal.SIGCONT))
            worker.alarm.daemon = True
            worker.alarm.start()
            self._signal(worker, signal.SIGSTOP)

    @staticmethod
    def _sleeps(worker: Worker) -> bool:
        return worker.alarm is not None and worker.alarm.is_alive()

    def wake_all(self) -> None:
        for worker in self.workers:
            self._signal(worker, signal.SIGCONT)

    def stop(self) -> None:
        self.wake_all()
        for worker in self.workers:
            worker.process.terminate()
        deadline = time.monotonic() + 10
        for worker in self.workers:
            with contextlib.suppress(subprocess.TimeoutExpired):
                worker.process.wait(timeout=max(0.1, deadline - time.monotonic()))
            self._kill_group(worker)
        self.workers.clear()

    @staticmethod
    def _signal(worker: Worker, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(worker.process.pid, number)

    def _kill_group(self, worker: Worker) -> None:
        self._signal(worker, signal.SIGKILL)
        worker.process.wait()


class Trouble:
    """What goes wrong around the product, at random moments."""

    def __init__(self, crew: Crew, cluster: Path, *, seed: str, pgmq: bool, gentle: bool) -> None:
        self.crew = crew
        self.cluster = cluster
        self.dice = random.Random(f"{seed}:trouble")
        self.kinds = ("child", "worker", "suspend", "broker", "beat", "database")
        self.weights = (16, 16, 26, 18 if pgmq else 0, 4, 0 if gentle else 6)
        self.once = [
            kind for kind, weight in zip(self.kinds, self.weights, strict=True) if weight
        ]  # each at least once
        self.dice.shuffle(self.once)
        self.next_at = time.monotonic() + 2.0

    def tick(self) -> None:
        if time.monotonic() < self.next_at:
            return
        self.next_at = time.monotonic() + self.dice.uniform(0.3, 2.0 if self.once else 5.0)
        self.strike(self.once.pop() if self.once else self.dice.choices(self.kinds, self.weights)[0])

    def strike(self, kind: str) -> None:
        if kind == "child":
            self.crew.kill(self.dice, only_child=True)
        elif kind == "worker":
            self.crew.kill(self.dice, only_child=False)
        elif kind == "suspend":
            self.crew.suspend(self.dice, self.dice.uniform(0.2, 4.0))
        elif kind == "broker":
            self.broker()
        elif kind == "beat":
            self.crew.kill_beat(self.dice)
        else:
            self.restart_database()

    def broker(self) -> None:
        """Empty a queue, or double whatever is in it, the messages that somebody works on included."""
        table = f"pgmq.q_{self.dice.choice(sorted(QUEUES))}"
        empty = self.dice.random() < 0.5
        double = f"INSERT INTO {table} (vt, message) SELECT clock_timestamp(), message FROM {table}"
        with contextlib.suppress(psycopg.Error):
            with psycopg.connect(postgres.dsn(self.cluster), autocommit=True, connect_timeout=5) as session:
                changed = session.execute(f"DELETE FROM {table}" if empty else double).rowcount
            self.crew.counts["queues emptied" if empty else "messages doubled"] += 1 if empty else max(changed, 0)

    def restart_database(self) -> None:
        """Immediate mode: every process of PostgreSQL dies at once, and the next start recovers."""
        server = postmaster.find(self.cluster / "data")
        if server is None:
            return
        self.crew.counts["database restarts"] += 1
        postmaster.end(server, [(signal.SIGQUIT, 20), (signal.SIGKILL, 5)], postgres._reap)
        time.sleep(self.dice.uniform(0.0, 1.0))
        postgres.start(self.cluster)
