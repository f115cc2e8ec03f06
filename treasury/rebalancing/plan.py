"""Plan: asked for by somebody or by the clock, computed by a worker, stored with its inputs and its proof."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from treasury.models import Connection, Origin, Plan, User

COMPUTE = "treasury.compute_plan"


class NotPlanned(Exception):
    """No plan was asked for, and nothing was changed. The text says why."""


def ask(
    *,
    by: User | None,
    at: datetime,
    origin: Origin = Origin.HAND,
    connection: Connection | None = None,
    asset: str = "",
    overrides: Mapping[str, Any] | None = None,
) -> Plan:
    """Ask for a plan; a worker computes it. The same question by the same person that still waits is one plan.

    Raises NotPlanned: no role, no band at all, overrides that are no numbers.
    """
    raise NotImplementedError


def compute(*, plan_id: int, at: datetime) -> None:
    """Compute a plan that waits, group by group, and store it. Outside any transaction; a doubled message computes
    once."""
    raise NotImplementedError
