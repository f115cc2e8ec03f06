"""Thousands of transfers over all five simulated venues while everything breaks: `make campaign RUNS=10000`.

A database cluster of its own, the venues in a process of their own, beat and several real Celery workers for each
queue. Workers are killed and suspended from outside at random points, PostgreSQL is stopped in immediate mode under
load, messages are deleted and doubled, and the venues lose, delay, refuse and disfigure answers. At the end the
venues' own ledgers are the truth: docs/reliability.md says what is compared, and how to replay.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.campaign_crew import FIGURES, QUEUES, Crew, Trouble
from treasury.launch import places, postgres
from treasury.launch.processes import _die_with

IN_FLIGHT = 40
CHECK_EVERY = 500  # runs
TELL_EVERY = 15.0  # seconds
DRAIN_MOST = 120.0  # seconds without any end, after which nothing more is hoped for


@dataclass(frozen=True)
class Wanted:
    """What was asked for on the command line."""

    runs: int
    start: int
    seed: int
    scale: int
    home: Path
    broker: str  # "pgmq", or the URL of a RabbitMQ
    machines: int
    logins: int
    drain: float  # seconds at the end until what is in flight has ended
    gentle: bool  # no restarts of the database: it is not the campaign's to stop


class Campaign:
    """One campaign from its first process to its last figure."""

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self.home = wanted.home
        self.logs = self.home / "logs"
        self.crew = Crew(self.logs)
        self.venues: subprocess.Popen[bytes] | None = None
        self.stopping = False
        self.house: Any = None
        self.earlier: dict[str, Any] = {}

    def run(self) -> int:
        self._make_room()
        signal.signal(signal.SIGTERM, self._stop_soon)
        signal.signal(signal.SIGINT, self._stop_soon)
        try:
            env = self._environment()
            self.house = self._house(env)
            self._start_product(env)
            trouble = Trouble(
                self.crew,
                self.home / "postgres",
                seed=f"{self.wanted.seed}:{self.wanted.start}",
                pgmq=self.wanted.broker == "pgmq",
                gentle=self.wanted.gentle,
            )
            self.began = time.monotonic()
            reached = self._fly(trouble)
            self._drain()
            return self._report(reached)
        finally:
            self.crew.stop()
            self._stop_venues()
            postgres.release()

    def _make_room(self) -> None:
        """A campaign from run 1 begins in an empty folder; a later one goes on in the same."""
        state, mark = self.home / "state.json", self.home / "pid"
        if mark.exists() and _flies(int(mark.read_text())):
            raise SystemExit(f"A campaign is under way in {self.home}: process {mark.read_text().strip()}.")
        if self.wanted.start == 1:
            if self.home.exists() and not mark.exists() and any(self.home.iterdir()):
                raise SystemExit(f"{self.home} holds something else than a campaign; choose another folder.")
            shutil.rmtree(self.home, ignore_errors=True)
        elif not state.exists() or not list((self.home / "ledgers").glob("*.json")):
            raise SystemExit(f"Nothing to go on with in {self.home}: no campaign there was stopped cleanly.")
        else:
            self.earlier = json.loads(state.read_text())
            if self.earlier["seed"] != self.wanted.seed:
                raise SystemExit(f"The campaign in {self.home} has the seed {self.earlier['seed']}.")
        self.logs.mkdir(parents=True, exist_ok=True)
        (self.home / "pid").write_text(f"{os.getpid()}\n")

    def _stop_soon(self, *_: object) -> None:
        self.stopping = True

    def _environment(self) -> dict[str, str]:
        env = {
            **os.environ,
            "TREASURY_MODE": "practice",
            "TREASURY_HOME": str(self.home),
            "TREASURY_TIME_SCALE": str(self.wanted.scale),
            "TREASURY_DAILY_LIMITS": "",
            "TREASURY_DOUBT_TRIP_COUNT": "8",
            "DJANGO_SETTINGS_MODULE": "treasury.settings",
            "LOG_LEVEL": "WARNING",
            "PYTHONUNBUFFERED": "1",
            "DATABASE_URL": postgres.start(self.home / "postgres"),
            "TREASURY_SIMULATORS": json.dumps(self._start_venues()),
        }
        if self.wanted.broker != "pgmq":
            env["CELERY_BROKER_URL"] = self.wanted.broker
        return env

    def _start_venues(self) -> dict[str, str]:
        addresses = self.home / "addresses.json"
        addresses.unlink(missing_ok=True)
        ledgers = self.home / "ledgers"
        ledgers.mkdir(exist_ok=True)
        with (self.logs / "venues.log").open("ab") as output:
            self.venues = subprocess.Popen(
                [
                    *(sys.executable, "-m", "tests.campaign_venues", "--home", str(ledgers)),
                    *("--addresses", str(addresses), "--logins", str(self.wanted.logins)),
                ],
                cwd=places.PROJECT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=_die_with(os.getpid()),
            )
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if addresses.exists():
                found: dict[str, str] = json.loads(addresses.read_text())
                return found
            time.sleep(0.05)
        raise TimeoutError(f"The simulated venues did not start; see {self.logs / 'venues.log'}.")

    def _stop_venues(self) -> None:
        if self.venues is not None:
            self.venues.terminate()
            try:
                self.venues.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self.venues.kill()
                self.venues.wait()

    def _house(self, env: Mapping[str, str]) -> Any:
        os.environ.update(env)
        import django

        django.setup()
        # The house's own part only watches; what the workers do has logs of its own.
        logging.getLogger().setLevel(logging.ERROR)
        logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)
        from tests.campaign_house import House

        house = House(
            seed=self.wanted.seed, addresses=json.loads(env["TREASURY_SIMULATORS"]), logins=self.wanted.logins
        )
        house.prepare()
        return house

    def _start_product(self, env: Mapping[str, str]) -> None:
        """Two workers for each queue on each machine, and one beat in all."""
        quiet = ("-W", "ignore:You're running the worker with superuser")
        celery = (*quiet, "-m", "celery", "--quiet", "-A", "treasury")
        alone = ("--without-gossip", "--without-mingle", "--without-heartbeat")
        for machine in range(1, self.wanted.machines + 1):
            home = self.home / f"machine-{machine}"
            home.mkdir(exist_ok=True)
            own = {**env, "TREASURY_HOME": str(home)}
            for queue, processes in QUEUES.items():
                for number in range(1, 3 if self.wanted.machines == 1 else 2):
                    name = f"{queue}-{number}@machine-{machine}"
                    command = (
                        *celery,
                        "worker",
                        "-l",
                        "WARNING",
                        "-c",
                        str(processes),
                        *alone,
                        "-n",
                        name,
                        "-Q",
                        queue,
                    )
                    self.crew.start(name, command, own)
        schedule = str(self.home / "celerybeat-schedule")
        self.crew.start("beat", (*celery, "beat", "-l", "WARNING", "-s", schedule, "--pidfile="), env)

    # -- the runs

    def _fly(self, trouble: Trouble) -> int:
        """Make the runs; returns the number of the next one."""
        number, end = self.wanted.start, self.wanted.start + self.wanted.runs
        checked_at, told_at = number, time.monotonic()
        while (number < end or trouble.once) and not self.stopping:
            trouble.tick()
            self.crew.look_after()
            self.house.tick()
            fresh = 0
            while number < end and len(self.house.flights) < IN_FLIGHT and fresh < 4:
                self.house.begin(number)
                number, fresh = number + 1, fresh + 1
            if not fresh:
                time.sleep(0.02)
            if time.monotonic() - told_at > TELL_EVERY:
                told_at = time.monotonic()
                self._tell(number)
            if number - checked_at >= CHECK_EVERY:
                checked_at = number
                self._check_on_the_way(number)
        return number

    def _drain(self) -> None:
        """Trouble is over: what is under way may end. As long as something ends now and then, there is hope."""
        self.crew.wake_all()
        self.house.calm()
        soon = time.monotonic() + (self.wanted.drain if not self.stopping else 0)
        fewest = len(self.house.flights) + len(self.house.left)
        while under_way := len(self.house.flights) + len(self.house.left):
            if under_way < fewest:
                fewest, soon = under_way, max(soon, time.monotonic())
            late = time.monotonic() - soon
            if late > DRAIN_MOST or (late > 0 and not self.house.hopes()):
                break
            self.crew.look_after()
            self.house.tick()
            time.sleep(0.05)
        self.crew.stop()

    def _check_on_the_way(self, number: int) -> None:
        found = self.house.check(final=False)
        say(
            f"  checked after run {number - 1}: {found.effects} effects, {len(found.duplicates)} duplicates, "
            f"{len(found.lost)} lost, {len(found.unasked)} unasked"
        )
        for line in [*found.duplicates, *found.lost, *found.unasked]:
            say(f"    DEFECT {line}")
        self._keep(number)

    def _tell(self, number: int) -> None:
        seconds = time.monotonic() - self.began
        made = number - self.wanted.start
        say(
            f"  run {number - 1}: {made / seconds * 60:.0f} a minute, {len(self.house.flights)} in flight, "
            f"{len(self.house.left)} slow, {sum(self.house.unknown.values())} left unknown; "
            + ", ".join(f"{self.crew.counts[name]} {name}" for name in FIGURES if self.crew.counts[name])
        )

    def _keep(self, number: int) -> None:
        figures = self._figures(number)
        draft = self.home / "state.json.draft"
        draft.write_text(json.dumps(figures, indent=1))
        draft.replace(self.home / "state.json")

    def _figures(self, number: int) -> dict[str, Any]:
        """Of all parts of this campaign, those before FROM included."""
        past = self.earlier
        counts = Counter(past.get("counts", {}))
        counts.update(self.crew.counts)
        counts.update(self.house.counts)
        return {
            "seed": self.wanted.seed,
            "next": number,
            "runs": past.get("runs", 0) + self.house.counts["runs"],
            "seconds": round(past.get("seconds", 0) + time.monotonic() - self.began, 1),
            "scale": self.wanted.scale,
            "counts": {**dict.fromkeys(FIGURES, 0), **counts},
            "unknown": dict(Counter(past.get("unknown", {})) + Counter(self.house.unknown)),
        }

    def _machines(self) -> list[str]:
        """The machines whose processes made calls."""
        called = self.house.callers()
        return [machine for machine, known in sorted(self.crew.processes.items()) if known & called]

    def _report(self, reached: int) -> int:
        found = self.house.check(final=True)
        figures = self._figures(reached)
        unknown = Counter(figures["unknown"])
        for why, count in found.unknown.items():
            unknown[why] = max(unknown[why], count)
        told = {
            **figures,
            "found": asdict(found),
            "unknown": dict(unknown),
            "clean": found.clean,
            "machines": self._machines(),
        }
        (self.home / "figures.json").write_text(json.dumps(told, indent=1))
        self._keep(reached)
        faults = sum(count for name, count in figures["counts"].items() if name.startswith("fault "))
        counts = figures["counts"]
        machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {time.strftime('%Y-%m-%d')}"
        say("")
        say(f"{machine}, TIME_SCALE {self.wanted.scale}, broker {self.wanted.broker.partition(':')[0]}")
        say(
            f"runs {figures['runs']} in {figures['seconds']:.0f} s; effects {found.effects}; "
            f"duplicates {len(found.duplicates)}; lost {len(found.lost)}; not asked for {len(found.unasked)}"
        )
        say(
            f"faults at the venues {faults}; "
            + ", ".join(f"{name} {counts.get(name, 0)}" for name in FIGURES)
            + f"; stop orders {counts.get('stop orders', 0)}, released {counts.get('stops released', 0)}"
        )
        say(
            f"left unknown {sum(unknown.values())}, not sent at the end {found.unsent}, "
            f"open contradictions {found.contradicted}; "
            f"log: {found.log_entries} entries, {found.log_break or 'no break'}"
        )
        for why, count in sorted(unknown.items()):
            say(f"  {count:5d}  {why}")
        for line in [*found.duplicates, *found.lost, *found.unasked, *found.unexplained]:
            say(f"  DEFECT {line}")
        say(
            f"replay: make campaign RUNS={reached - 1} SEED={self.wanted.seed} SCALE={self.wanted.scale}; "
            f"go on: make campaign RUNS=… FROM={reached} SEED={self.wanted.seed}"
        )
        return 0 if found.clean else 1


def _flies(number: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return "tests.campaign" in psutil.Process(number).cmdline()
    return False


def say(line: str) -> None:
    print(line, flush=True)


def asked_for(arguments: list[str]) -> Wanted:
    parser = argparse.ArgumentParser(prog="make campaign", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--from", dest="start", type=int, default=1, help="go on with this run in the same folder")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--scale", type=int, default=5, help="TIME_SCALE")
    parser.add_argument("--home", type=Path, default=places.home() / "campaign")
    parser.add_argument("--broker", default="pgmq", help="pgmq, or rabbitmq for the one in CELERY_BROKER_URL")
    parser.add_argument("--machines", type=int, default=1, help="sets of workers, each with an environment of its own")
    parser.add_argument("--logins", type=int, default=1, help="at each venue")
    parser.add_argument("--drain", type=float, default=90.0, help="seconds at the end for what is in flight")
    parser.add_argument("--gentle", action="store_true", help="never stop the database")
    said = parser.parse_args(arguments)
    broker = said.broker if said.broker == "pgmq" else os.environ.get("CELERY_BROKER_URL", "")
    if not broker:
        parser.error("--broker rabbitmq needs CELERY_BROKER_URL")
    seed = said.seed
    if seed is None:
        state = said.home / "state.json"
        known = said.start > 1 and state.exists()
        seed = json.loads(state.read_text())["seed"] if known else random.SystemRandom().randrange(1_000_000)
    home = said.home.resolve()
    return Wanted(
        said.runs, said.start, seed, said.scale, home, broker, said.machines, said.logins, said.drain, said.gentle
    )


def main(arguments: list[str]) -> int:
    wanted = asked_for(arguments)
    say(f"Campaign of {wanted.runs} runs from {wanted.start}, seed {wanted.seed}, in {wanted.home}")
    return Campaign(wanted).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
