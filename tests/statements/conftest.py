"""The house in which each kind of change is proposed once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from connectors.simulators.core import Simulator
from tests.statements.cases import Scene, a_scene
from treasury.models import Connection, Transfer, User


@pytest.fixture
def scene(
    connection: Connection,
    approved: Callable[..., Transfer],
    venue: Simulator,
    monkeypatch: pytest.MonkeyPatch,
    maker: User,
) -> Scene:
    return a_scene(connection, approved, venue, monkeypatch)
