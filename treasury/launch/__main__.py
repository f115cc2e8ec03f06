"""``python -m treasury.launch run | test | lint | bench | campaign | screenshots [arguments]``."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from io import TextIOWrapper

from treasury.launch import checks, places, postgres
from treasury.launch import run as product
from treasury.launch.processes import Signals

_USAGE = "Usage: python -m treasury.launch run | test [pytest arguments] | lint | bench | campaign | screenshots"


def main(arguments: Sequence[str]) -> int:
    """The exit code: 0 done or stopped on request, 1 refused or failed, else that of the tool."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without our characters is no reason to end
    signals = Signals()
    command, *rest = arguments or [""]
    try:
        if command == "run":
            signals.install()
            return product.run(signals, places.home(), product.wanted_port())
        if command == "screenshots":
            signals.install()
            port = product.wanted_port() if os.environ.get("PORT") else product.free_port()
            return product.run(signals, places.home() / "screenshots", port, ["-m", "tests.screenshots", *rest])
        postgres.stop_on_sigterm()
        if command == "test":
            return _python(
                ["-m", "pytest", "-n", "auto", "--maxprocesses", "4", *rest],
                _with_database("test-postgres", durable=False),
            )
        if command == "lint":
            return checks.lint(_with_database("test-postgres", durable=False))
        if command == "bench":
            failed = _python(["-m", "tests.bench", *rest], _with_database("bench-postgres", durable=True))
            return failed or _python(["-m", "tests.bench_plans"], os.environ)  # it needs no database
        if command == "campaign":  # it starts, stops and restarts a database of its own
            return _python(["-m", "tests.campaign", *rest], os.environ)
    except (product.Refused, postgres.NotStarted) as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{error}: is the disk full, or the folder read-only?", file=sys.stderr)
        return 1
    print(_USAGE, file=sys.stderr)
    return 2


def _with_database(name: str, *, durable: bool) -> Mapping[str, str]:
    """The environment with a database of its own under the home, unless DATABASE_URL is given."""
    env = {**os.environ, "TREASURY_MODE": os.environ.get("TREASURY_MODE") or "practice"}
    if not env.get("DATABASE_URL"):
        env["DATABASE_URL"] = postgres.start(places.home() / name, durable=durable)
    return env


def _python(arguments: Sequence[str], env: Mapping[str, str]) -> int:
    """Run Python in the foreground; Ctrl-C reaches it from the terminal, and it decides how to end."""
    child = subprocess.Popen([sys.executable, *arguments], cwd=places.PROJECT, env=env)
    try:
        while True:
            try:
                return child.wait()
            except KeyboardInterrupt:
                continue
    finally:
        child.terminate()
        child.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
