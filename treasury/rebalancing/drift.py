"""Drift: how far each account is from its band, by what is known of it. Asks the database, changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any

from treasury.models import Account, Balance, Band, Connection


class Position(Enum):
    """Where an account stands. UNKNOWN: its balance is not readable, or too old to say."""

    BELOW = "below"
    INSIDE = "inside"
    ABOVE = "above"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Stand:
    """One account of a group, with its band in amounts.

    ``total`` is what was read; ``expected`` what it will be when all that is on its way (submitted, approved, waiting
    for a confirmation) has moved. ``minimum``, ``target``, ``maximum`` are in units of the asset, shares turned into
    amounts; None where the group's total is not known. ``frozen`` says why the planner may not touch it now, and
    ``no_giving`` and ``no_taking`` why nothing may leave or arrive; empty where it may. ``off`` is how far ``expected``
    is outside the band, 0 inside, None where unknown.
    """

    account: Account
    band: Band
    balance: Balance | None
    total: Decimal | None
    expected: Decimal | None
    minimum: Decimal | None
    target: Decimal | None
    maximum: Decimal | None
    free: Decimal
    position: Position
    off: Decimal | None
    stale: bool
    frozen: str
    no_giving: str
    no_taking: str


@dataclass(frozen=True)
class Group:
    """The accounts of one connection that have a band for one asset. ``total`` is None where one is not known."""

    connection: Connection
    asset: str
    stands: list[Stand]
    total: Decimal | None
    unmet: str  # the sentence that says why not all bands can be met at once; empty when they can

    @property
    def outside(self) -> list[Stand]:
        return [one for one in self.stands if one.position in (Position.BELOW, Position.ABOVE)]


def read(
    at: datetime,
    *,
    connection: Connection | None = None,
    asset: str = "",
    overrides: Mapping[str, Any] | None = None,
) -> list[Group]:
    """Every group, or those of the connection and asset, with its accounts; ``overrides`` as ``Plan.overrides``:
    {"bands": [{"account": 12, "asset": "USDT", "minimum": "…", "target": "…", "maximum": "…" or null}],
    "balances": [{"account": 12, "asset": "USDT", "total": "…"}]}, supposed in place of what is stored."""
    raise NotImplementedError
