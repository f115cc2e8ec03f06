"""Figures for the record: `make bench`, or `python -m tests.bench` with DATABASE_URL naming a database to fill.

Prints, side by side and measured in turns:
* seconds from the click on Approve (an HTTP POST to the real web server) to the request's arrival at the venue, through
  broker, worker, claim and connector; beside a bare program that does one commit and one HTTP POST;
* transfers a second that one worker dispatches; beside a bare loop with the same number of commits and POSTs.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import django
import httpx
import psycopg

# Both within the 60 sends a minute that the simulated venue declares; beyond them calls are put off to their time.
WARM_UP = 8
CLICKS = int(os.environ.get("CLICKS", "50"))
BATCH = int(os.environ.get("BATCH", "50"))
COMMITS = 2  # of one dispatch: claim and conclude


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "treasury.settings")
    os.environ["TREASURY_DAILY_LIMITS"] = ""
    os.environ["TREASURY_READ_SECONDS"] = "0"  # nobody reads here, and nobody clicks as a person does
    os.environ["TREASURY_STEPS_A_MINUTE"] = "100000"
    os.environ["LOG_LEVEL"] = "ERROR"
    from connectors.simulators.core import serve

    with serve("bybit") as venue:
        os.environ["TREASURY_SIMULATORS"] = json.dumps({"bybit": venue.url})
        django.setup()
        from tests import bench_people

        bench_people.prepare(venue)
        machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
        print(f"{machine}, Python {platform.python_version()}, {time.strftime('%Y-%m-%d')}")
        with product() as address:
            clicks(venue, address, bench_people)
            time.sleep(61)  # until none of these sends counts towards the venue's limit any more
            throughput(venue, bench_people)


@contextmanager
def product() -> Iterator[str]:
    """The web server and two workers, as `make run` starts them; stopped at the end."""
    port = free_port()
    scratch = f"{tempfile.gettempdir()}/beat-{os.getpid()}"  # its database's anchors are nobody else's
    worker = ("-m", "celery", "--quiet", "-A", "treasury", "worker", "-l", "ERROR", "-c", "2")
    programs = [
        (
            "-m",
            "gunicorn",
            "treasury.wsgi",
            "-k",
            "gthread",
            "-b",
            f"127.0.0.1:{port}",
            "--workers",
            "2",
            "--threads",
            "4",
        ),
        (*worker, "-n", "sends@bench", "-Q", "sends"),
        (*worker, "-n", "reads@bench", "-Q", "reads"),
        (*worker, "-n", "chores@bench", "-Q", "chores"),
        (
            "-m",
            "celery",
            "--quiet",
            "-A",
            "treasury",
            "beat",
            "-l",
            "ERROR",
            "-s",
            scratch,
            "--pidfile=",
        ),
    ]
    env = {**os.environ, "LOG_LEVEL": "ERROR", "TREASURY_ANCHOR_FILE": f"{scratch}.jsonl"}
    quiet = subprocess.DEVNULL
    running = [
        subprocess.Popen([sys.executable, *program], env=env, stdout=quiet, stderr=quiet, start_new_session=True)
        for program in programs
    ]
    try:
        wait_for(f"http://127.0.0.1:{port}/healthz/")
        time.sleep(5)  # the workers' start; no figure is taken meanwhile
        yield f"http://127.0.0.1:{port}"
    finally:
        for one in running:
            one.terminate()
        for one in running:
            try:
                one.wait(timeout=25)
            except subprocess.TimeoutExpired:
                os.killpg(one.pid, signal.SIGKILL)


def clicks(venue: object, address: str, people: object) -> None:
    """Approve one transfer after the other, each beside one turn of the bare program."""
    ours, bare = [], []
    with httpx.Client(base_url=address, follow_redirects=True) as browser, bare_database() as database:
        people.sign_in(browser)  # type: ignore[attr-defined]
        for number in range(WARM_UP + CLICKS):
            transfer = people.submitted()  # type: ignore[attr-defined]
            clicked = time.time()
            answer = browser.post(
                f"/transfers/{transfer.reference}/approve/",
                data={
                    "digest": transfer.digest,
                    "round": transfer.round,
                    "csrfmiddlewaretoken": browser.cookies["csrftoken"],
                },
                headers={"Referer": address},
            )
            answer.raise_for_status()
            took = arrival(venue, str(transfer.key)) - clicked
            if number < WARM_UP:  # every process meets its first transfer
                continue
            ours.append(took)
            key = str(uuid.uuid4())
            began = time.time()
            bare_turn(database, venue.url, key, commits=1)  # type: ignore[attr-defined]
            bare.append(arrival(venue, key) - began)
    report("click to arrival, s", ours, bare)


def throughput(venue: object, people: object) -> None:
    """One connection's queue, drained by one worker; then the bare loop over as many."""
    keys = people.approved(BATCH)  # type: ignore[attr-defined]
    began = time.time()
    people.ring()  # type: ignore[attr-defined]
    ours = BATCH / (max(arrival(venue, key) for key in keys) - began)
    with bare_database() as database:
        began = time.time()
        for _ in range(BATCH):
            bare_turn(database, venue.url, str(uuid.uuid4()), commits=COMMITS)  # type: ignore[attr-defined]
        bare = BATCH / (time.time() - began)
    print(f"dispatched by one worker: {ours:.1f}/s; bare loop with {COMMITS} commits and one POST each: {bare:.1f}/s")


@contextmanager
def bare_database() -> Iterator[psycopg.Connection]:
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as database:
        database.execute("CREATE TABLE IF NOT EXISTS bench_bare (key text, at timestamptz DEFAULT now())")
        yield database


def bare_turn(database: psycopg.Connection, url: str, key: str, *, commits: int) -> None:
    for _ in range(commits):
        database.execute("INSERT INTO bench_bare (key) VALUES (%s)", [key])
    with httpx.Client(trust_env=False) as client:
        client.post(f"{url}/v5/asset/transfer/inter-transfer", json={"transferId": key})


def arrival(venue: object, key: str, seconds: float = 120) -> float:
    """When the venue received the request of this key, in seconds since 1970."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for request in venue.requests("inter-transfer"):  # type: ignore[attr-defined]
            if key.encode() in request.body:
                return float(request.at)
        time.sleep(0.002)
    raise TimeoutError(f"{key} never arrived")


def report(what: str, ours: list[float], bare: list[float]) -> None:
    for name, figures in (("this product", ours), ("bare program", bare)):
        p95 = statistics.quantiles(figures, n=20)[-1]
        print(f"{what}: {name}: median {statistics.median(figures):.4f}, p95 {p95:.4f} (of {len(figures)})")


def wait_for(url: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if httpx.get(url, trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    raise TimeoutError(f"{url} never answered")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
