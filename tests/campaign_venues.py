"""The simulated venues of a campaign, in a process of their own: several logins each, deep pockets, and a ledger that
does not rewrite itself for each of ten thousand transfers.

    python -m tests.campaign_venues --home DIR --addresses FILE --logins 3

SIGTERM ends it, after its ledgers are saved; a start in the same folder goes on with them.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from connectors.simulators import core
from connectors.simulators.ledger import Ledger, replace

POCKET = "1000000000"  # of every asset at every address, so that no campaign runs out of money


class LongLedger(Ledger):
    """Changes in place and is saved when asked: a change of the ordinary one costs a copy of everything."""

    def _change(self, make: Callable[[dict[str, Any]], None]) -> None:
        with self._lock:
            make(self._state)  # each checks before it changes anything

    def save(self) -> None:
        assert self._path is not None, "a campaign's ledger has a file"
        with self._lock:
            replace(self._path, json.dumps(self._state))


def logins(venue: str, count: int) -> tuple[core.Practice, ...]:
    """The venue's practice login and others like it, all of them rich."""
    first = importlib.import_module(f"connectors.simulators.{venue}").PRACTICE[0]
    return tuple(_like(first, number) for number in range(count))


def _like(first: core.Practice, number: int) -> core.Practice:
    """Another login: each of its credentials differs in the last character."""
    credentials = {
        name: value if number == 0 else value[:-1] + str(number) for name, value in first.credentials.items()
    }
    opening = {
        address: {asset: amount if below(address) else POCKET for asset, amount in held.items()}
        for address, held in first.opening.items()
    }
    return dataclasses.replace(first, title=f"{first.title} {number + 1}", credentials=credentials, opening=opening)


def below(address: str) -> bool:
    """Whether a simulator's address is a part of another one (margin, subscribed) and no account of its own."""
    return address.rpartition("/")[2] in ("margin", "subscribed", "frozen", "borrow", "bonus", "interest")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.campaign_venues")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--addresses", type=Path, required=True)
    parser.add_argument("--logins", type=int, default=3)
    asked = parser.parse_args()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    core.Ledger = LongLedger  # type: ignore[misc]
    with ExitStack() as stack:
        served = {}
        for name in core.names():
            module = importlib.import_module(f"connectors.simulators.{name}")
            module.PRACTICE = logins(name, asked.logins)  # type: ignore[attr-defined]
            path = asked.home / f"{name}.json"
            served[name] = stack.enter_context(core.serve(name, path=path))
            if path.exists():  # who is killed before the end leaves no ledger, rather than an old one
                path.rename(path.with_suffix(".before"))
        replace(asked.addresses, json.dumps({name: simulator.url for name, simulator in served.items()}))
        while not stop.wait(0.5):
            pass
        for simulator in served.values():
            assert isinstance(simulator.ledger, LongLedger)
            simulator.ledger.save()
    return 0


if __name__ == "__main__":
    sys.exit(main())
