"""A simulated venue for each test that asks, and a connector pointed at it."""

from collections.abc import Iterator

import pytest

import connectors
from connectors.core.protocol import Connector
from connectors.simulators.core import Simulator, serve


@pytest.fixture(scope="module")
def bybit_server() -> Iterator[Simulator]:
    with serve("bybit") as simulator:
        yield simulator


@pytest.fixture
def sim(bybit_server: Simulator) -> Iterator[Simulator]:
    bybit_server.clear()
    yield bybit_server
    bybit_server.clear()


@pytest.fixture
def bybit(sim: Simulator) -> Connector:
    return connectors.open("bybit", credentials=sim.credentials, base_url=sim.url, loopback_only=True)
