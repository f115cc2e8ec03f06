"""A pytest plugin (``-p tests.database``): without DATABASE_URL, tests get an embedded PostgreSQL.

It leaves out every fsync. The workers of pytest-xdist inherit the address, and the server stops with the
process that started it.
"""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

from treasury.launch import places, postgres


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests() -> Generator[None, None, None]:
    """A wrapper, so that it comes before pytest-django, which reads the settings in this hook."""
    os.environ.setdefault("TREASURY_MODE", "practice")
    # A test case keeps one transaction open while it waits for whatever it waits for.
    os.environ.setdefault("TREASURY_IDLE_IN_TRANSACTION_SECONDS", "3600")
    # Tests decide as fast as they can.
    os.environ.setdefault("TREASURY_READ_SECONDS", "0")
    if not os.environ.get("DATABASE_URL"):
        postgres.stop_on_sigterm()
        try:
            os.environ["DATABASE_URL"] = postgres.start(places.home() / "test-postgres", durable=False)
        except postgres.NotStarted as error:
            raise pytest.UsageError(str(error)) from error
    yield
