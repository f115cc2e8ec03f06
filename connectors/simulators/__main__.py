"""Serve every simulated venue on this computer: python -m connectors.simulators --home DIR.

Ledgers are kept in the home folder. With --addresses, a JSON object {venue: url} is written there once all
ports are bound. One line for each request goes to standard output. SIGINT and SIGTERM end it with status 0.
"""

import argparse
import json
import logging
import signal
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

from connectors.simulators.core import names, serve
from connectors.simulators.ledger import replace

logger = logging.getLogger("connectors.simulators")


def main() -> int:
    """Serve until told to stop; return the exit status."""
    asked = _asked()
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(asctime)s %(message)s")
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with ExitStack() as served:
        addresses = {
            name: served.enter_context(serve(name, path=asked.home / f"{name}.json")).url
            for name in asked.only or names()
        }
        for name, url in addresses.items():
            logger.info("%s is served at %s, its control at %s/_simulator/", name, url, url)
        if asked.addresses is not None:
            replace(asked.addresses, json.dumps(addresses))
        # A wait without end would keep Python from running the signal handlers on some systems.
        while not stop.wait(0.5):
            pass
    logger.info("Stopped.")
    return 0


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m connectors.simulators", description=__doc__.split("\n")[0])
    parser.add_argument("--home", type=Path, required=True, help="folder of the ledgers")
    parser.add_argument("--addresses", type=Path, help="file to write {venue: url} to")
    parser.add_argument("--only", action="append", choices=names(), help="a venue; may be repeated")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
