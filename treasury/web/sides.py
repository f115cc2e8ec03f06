"""Both balances before and after a transfer's call: what people judge by where a venue keeps no record of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import DateTimeField, F, OuterRef, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce, Substr

from treasury.models import Attempt, Change, LookUp, Transfer
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
        sides.append(Side(account.title, *told(before), *told(after), expected))
    return sides


def told(found: Reading | None) -> tuple[Decimal | None, datetime | None]:
    """A total and when it was read; None for what is not known."""
    return (found.total, found.at) if found else (None, None)
