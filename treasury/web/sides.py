"""Both balances before and after a transfer's call: what people judge by where a venue keeps no record of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import DateTimeField, F, OuterRef, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce, Substr, Upper

from treasury.models import Account, Attempt, Balance, Change, LookUp, Transfer
from treasury.models.amount import plain
from treasury.transfers.evidence import Reading, reading


@dataclass(frozen=True)
class Side:
    """What one account held before the call and at the newest reading after it, and what a move would have changed."""

    title: str
    before: Decimal | None
    before_at: datetime | None
    after: Decimal | None
    after_at: datetime | None
    expected: Decimal

    @property
    def change(self) -> Decimal | None:
        return None if self.before is None or self.after is None else self.after - self.before


def of(transfer: Transfer, until: datetime | None = None) -> list[Side]:
    """By the readings stored with the first call that may have moved it, and with the newest look-up, or the newest
    by ``until``: once it is decided, what those who decided had before them."""
    attempt = transfer.attempts.may_have_moved().order_by("number").first()
    stored = transfer.look_ups.exclude(balances={})
    look_up = newest(stored if until is None else stored.filter(at__lte=until)).first()
    return between(transfer, attempt, look_up.balances if look_up else {})


def of_changes(rows: Sequence[Change], transfers: Mapping[int, Transfer], at: datetime) -> dict[int, list[Side]]:
    """The same for many changes at once, by the change's number; ``transfers`` says which is about which.

    Two queries, however many there are.
    """
    if not transfers:
        return {}
    calls = Attempt.objects.may_have_moved().filter(transfer__in=list(transfers.values()))
    first = {one.transfer_id: one for one in calls.order_by("transfer_id", "number").distinct("transfer_id")}
    now = Value(at, output_field=DateTimeField())
    by_then = LookUp.objects.exclude(balances={}).filter(
        transfer__reference=Substr(OuterRef("subject"), len("transfer:") + 1),
        at__lte=Coalesce(OuterRef("decided_at"), now),
    )
    last = Subquery(newest(by_then).values("balances")[:1])
    read = dict(Change.objects.filter(pk__in=list(transfers)).annotate(read=last).values_list("pk", "read"))
    return {
        one.pk: between(transfers[one.pk], first.get(transfers[one.pk].pk), read.get(one.pk) or {})
        for one in rows
        if one.pk in transfers
    }


def of_moves_by_hand(transfers: Mapping[int, Transfer]) -> dict[int, list[Side]]:
    """Where people say that they moved it, and no look-up was made: what both accounts held when it was asked for, and
    what is known of them now, by the change's number. Two queries, however many there are."""
    if not transfers:
        return {}
    moves = list(transfers.values())
    asked = Attempt.objects.asked_of_people().filter(transfer__in=moves).order_by("transfer_id", "number")
    first = {one.transfer_id: one for one in asked.distinct("transfer_id")}
    accounts = {account for one in moves for account in (one.source_id, one.destination_id)}
    named = Balance.objects.filter(account__in=accounts).annotate(capitals=Upper("asset"))
    held: dict[tuple[int, str], list[Balance]] = {}
    for row in named.filter(capitals__in={one.asset.upper() for one in moves}):
        held.setdefault((row.account_id, row.asset.upper()), []).append(row)
    return {number: between(one, first.get(one.pk), held_now(one, held)) for number, one in transfers.items()}


def held_now(transfer: Transfer, held: Mapping[tuple[int, str], list[Balance]]) -> dict[str, Any]:
    """As ``evidence.both_balances`` tells it: each account in its own spelling of the asset."""
    found = {}
    for name, account in (("source", transfer.source_id), ("destination", transfer.destination_id)):
        rows = held.get((account, transfer.asset.upper()), [])
        exact = [row for row in rows if row.asset == transfer.asset]
        for row in exact or rows if len(exact or rows) == 1 else ():
            total = None if row.total is None else plain(row.total)
            found[name] = {"total": total, "observed_at": row.observed_at.isoformat()}
    return found


def against_done(sides: Sequence[Side]) -> str:
    """What the balances say against its having been done; empty where both have changed, and of none."""
    still = [side.title for side in sides if side.change == 0]
    unread = [side.title for side in sides if side.change is None]
    if len(still) == 2:
        return "Neither balance has changed since it was asked for."
    if len(unread) == 2:
        return "Neither balance has been read since it was asked for."
    if still and unread:
        return f"{still[0]} has not changed since it was asked for, and {unread[0]} has not been read."
    if still:
        return f"Only one balance has changed since it was asked for: {still[0]} has not."
    return f"{unread[0]} has not been read since it was asked for." if unread else ""


def against_not_done(sides: Sequence[Side]) -> str:
    """What they say against its not having been done."""
    moved = [side.title for side in sides if side.change == side.expected]
    if len(moved) == 2:
        return "Both balances have changed by just that amount since it was asked for."
    return f"{moved[0]} has changed by just that amount since it was asked for." if moved else ""


def newest(look_ups: QuerySet[LookUp]) -> QuerySet[LookUp]:
    return look_ups.order_by(F("at").desc(), F("id").desc())


def between(transfer: Transfer, attempt: Attempt | None, balances: Mapping[str, Any]) -> list[Side]:
    """Both accounts; none where no call was made that may have moved it."""
    if attempt is None:
        return []
    sides = []
    for name, account, expected in (
        ("source", transfer.source, -transfer.amount),
        ("destination", transfer.destination, transfer.amount),
    ):
        before, after = reading(attempt.before, name), reading(balances, name)
        if after is not None and after.at <= attempt.claimed_at:  # read before the call: it says nothing of the call
            after = None
        sides.append(Side(called(account, transfer), *told(before), *told(after), expected))
    return sides


def called(account: Account, transfer: Transfer) -> str:
    """By its title, with its connection where the two have different ones."""
    apart = transfer.source.connection_id != transfer.destination.connection_id
    return str(account) if apart else account.title


def told(found: Reading | None) -> tuple[Decimal | None, datetime | None]:
    """A total and when it was read; None for what is not known."""
    return (found.total, found.at) if found else (None, None)
