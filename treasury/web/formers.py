"""What was so before a proposed change: by the stored numbers while it waits, by the log once it is applied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from treasury.balances.typed import STATE
from treasury.controls.connections import SET_UP
from treasury.models import AuditEntry, Balance, Change


@dataclass(frozen=True)
class Former:
    """What an account held by the last word before; None of a total where that could not be read."""

    total: Decimal | None
    at: datetime


def of_balances(rows: Sequence[Change]) -> dict[int, Former]:
    """What was known before these balances were stated, by the change's number: while one waits as it is stored, once
    applied as the log says; of what was decided otherwise, nothing."""
    if not rows:
        return {}
    found = {
        number: Former(
            None if was["total"] is None else Decimal(was["total"]), datetime.fromisoformat(was["observed_at"])
        )
        for number, was in were_of([one for one in rows if not one.is_open], action=STATE).items()
        if was
    }
    waiting = [one for one in rows if one.is_open]
    named = {(one.words["account"], one.words["asset"]): one.pk for one in waiting}
    accounts, assets = {account for account, _ in named}, {asset for _, asset in named}
    for row in Balance.objects.filter(account__in=accounts, asset__in=assets):
        if (number := named.get((row.account_id, row.asset))) is not None:
            found[number] = Former(row.total, row.observed_at)
    return found


def were_of(rows: Sequence[Change], action: str = SET_UP) -> dict[int, Mapping[str, Any]]:
    """What the accounts of applied set-ups, or of stated balances, were before, by the change's number: by the log."""
    if not rows:
        return {}
    subjects, numbers = {one.subject for one in rows}, [one.pk for one in rows]
    entries = AuditEntry.objects.filter(action=action, subject__in=subjects, facts__change__in=numbers)
    return {entry.facts["change"]: entry.facts["was"] for entry in entries.exclude(result="refused")}
