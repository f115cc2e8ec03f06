"""A venue's answer, in a form that the database and the log always take: losing an outcome would be losing money."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from treasury.balances.holdings import balance_of, code_at
from treasury.models import Transfer
from treasury.models.amount import fits, plain
from treasury.models.text import clean

DEEPEST = 20  # levels that are kept as they are; below, pages and the log could not walk them
RECORD_LENGTH = 200  # characters of the columns that hold a venue's own id
LONGEST = 4000  # characters of what lies deeper


def storable(evidence: Mapping[str, Any]) -> dict[str, Any]:
    """The evidence as JSON without floats (their digits as text) and without what PostgreSQL cannot hold."""
    text = json.dumps(dict(evidence), default=str)
    found: dict[str, Any] = json.loads(text, parse_float=str, parse_constant=str)
    cleaned = _clean(found, DEEPEST)
    assert isinstance(cleaned, dict)
    return cleaned


def both_balances(transfer: Transfer) -> dict[str, Any]:
    """What source and destination held by our last reading, with its time: where a venue keeps no record by key, the
    change of both is what people have to judge by."""
    found = {}
    for side, account in (("source", transfer.source), ("destination", transfer.destination)):
        held = balance_of(account, code_at(account, transfer.asset))
        if held is not None:
            found[side] = {
                "total": None if held.total is None else plain(held.total),
                "observed_at": held.observed_at.isoformat(),
            }
    return found


@dataclass(frozen=True)
class Reading:
    """What an account held and when that was read, as ``both_balances`` stored it. No total: it was not readable."""

    total: Decimal | None
    at: datetime


def reading(stored: Mapping[str, Any], side: str) -> Reading | None:
    """The reading of one side, "source" or "destination"; None for what is not there or cannot be read."""
    try:
        held = stored[side]
        total = None if held["total"] is None else Decimal(held["total"])
        return Reading(total, datetime.fromisoformat(held["observed_at"]))
    except (KeyError, TypeError, ValueError, InvalidOperation):
        return None


def storable_amount(amount: Decimal | None) -> Decimal | None:
    """The amount, where the columns hold it exactly; the evidence has it in any case."""
    return amount if amount is not None and fits(amount) else None


def storable_record(record: object) -> str | None:
    """A venue's own id, as it is where it fits, and else its digest; None for what is no id at all."""
    if not isinstance(record, str) or not record:
        return None
    cleaned = clean(record)
    return cleaned if len(cleaned) <= RECORD_LENGTH else f"sha256:{hashlib.sha256(cleaned.encode()).hexdigest()}"


def _clean(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, (dict, list)) and depth == 0:
        return clean(json.dumps(value)[:LONGEST])
    if isinstance(value, dict):
        return {clean(key): _clean(item, depth - 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_clean(item, depth - 1) for item in value]
    return value
