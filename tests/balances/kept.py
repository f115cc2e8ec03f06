"""Snapshots as a reading leaves them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from treasury.models import Connection, Snapshot


def keep(connection: Connection, at: datetime, **told: Any) -> Snapshot:
    """keep(first, at, FUND={"USDT": "5"}): None in place of an amount is not readable."""
    holdings = {
        address: {
            asset: {"total": total, "movable": total, **({"problem": "no answer"} if total is None else {})}
            for asset, total in numbers.items()
        }
        for address, numbers in told.items()
    }
    return Snapshot.objects.create(connection=connection, at=at, holdings=holdings)
