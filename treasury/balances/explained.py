"""Explained changes: what became of an account between two snapshots, taken apart to the last unit.

after − before = ours + fees + rest. *Ours* are our own transfers, *fees* what venues named for them, and the rest is
other movement at the venue. The reasoning is that of ``movements``, but a snapshot was not chosen for its calm: a
transfer that may lie on either side of one counts exactly if that leaves less unexplained. What is still on its way,
or of which nobody knows, is named beside the rest and counted in nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from treasury.balances import movements
from treasury.balances.history import NOT_SET_UP, number, of_asset
from treasury.balances.snapshots import EVERY_ASSET
from treasury.models import IN_FLIGHT, Account, Movement, Snapshot

if TYPE_CHECKING:
    from treasury.balances.moved import Ruled

# A snapshot's number was true somewhere between its question and its storing.
ANSWERED = timedelta(seconds=30)
ROWS_MOST = 20  # movements that are listed for one account and asset; their sum is exact however many there are


class NotComparable(Exception):
    """The two snapshots are not of one connection, or not one before the other."""


@dataclass(frozen=True)
class Part:
    """A transfer of ours with what it brought (positive) or took, or what its fee took."""

    reference: str
    amount: Decimal


@dataclass(frozen=True)
class Change:
    """One account and asset. ``before`` or ``after`` is None where it is not known, and ``why`` says so; then nothing
    is taken apart. ``open`` names transfers that may have moved in between, of which it is not known."""

    account: Account
    asset: str
    before: Decimal | None
    after: Decimal | None
    why: str = ""
    moves: list[Part] = field(default_factory=list)
    charges: list[Part] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    seen: list[Movement] = field(default_factory=list)
    more: int = 0  # movements that are not listed

    @property
    def change(self) -> Decimal | None:
        return None if self.before is None or self.after is None else self.after - self.before

    @property
    def ours(self) -> Decimal:
        return sum((one.amount for one in self.moves), Decimal(0))

    @property
    def fees(self) -> Decimal:
        return sum((one.amount for one in self.charges), Decimal(0))

    @property
    def rest(self) -> Decimal | None:
        return None if self.change is None else self.change - self.ours - self.fees

    @property
    def is_news(self) -> bool:
        """Whether anything happened, or may have."""
        return bool(self.change is None or self.change or self.moves or self.charges or self.open or self.seen)


def between(*, since: Snapshot, until: Snapshot) -> list[Change]:
    """Every account and asset that either snapshot names or that a transfer of ours touched in between.

    Raises NotComparable.
    """
    if since.connection_id != until.connection_id or since.at >= until.at:
        raise NotComparable("Two readings of one connection are compared, the earlier with the later.")
    near = movements.near_transfers(since.connection, since=since.at - movements.CALM, until=until.at + ANSWERED)
    seen = _movements(since, until)
    found = []
    for account in Account.objects.filter(connection=since.connection_id).select_related("connection"):
        for asset in _assets(account, since, until, near):
            key = account.pk, asset
            found.append(_change(account, asset, since, until, near.get(key, ()), seen.get(key, ())))
    return found


def _assets(account: Account, since: Snapshot, until: Snapshot, near: Iterable[movements.Key]) -> list[str]:
    told = {asset for one in (since, until) for asset in one.holdings.get(account.address, ())}
    touched = {asset for pk, asset in near if pk == account.pk}
    named = sorted((told | touched) - {EVERY_ASSET})
    return [*named, EVERY_ASSET] if EVERY_ASSET in told else named


def _change(
    account: Account, asset: str, since: Snapshot, until: Snapshot, near: Iterable[Ruled], seen: Iterable[Movement]
) -> Change:
    before, why_before = _told(account, asset, since)
    after, why_after = _told(account, asset, until)
    listed = list(seen)
    shown, more = listed[:ROWS_MOST], len(listed[ROWS_MOST:])
    if before is None or after is None:
        why = f"before: {why_before}" if before is None else f"after: {why_after}"
        return Change(account, asset, before, after, why=why, seen=shown, more=more)
    parts = movements.parts(
        account.pk,
        [one for one in near if one.began <= until.at + ANSWERED],
        change=after - before,
        since=since.at,
        sure_from=since.at + ANSWERED,
        sure_until=until.at - movements.CALM,
    )
    return Change(
        account,
        asset,
        before,
        after,
        moves=[Part(one.reference, amount) for one, amount in parts.moves],
        charges=[Part(one.reference, amount) for one, amount in parts.charges],
        open=[one.reference for one in near if is_open(one)],
        seen=shown,
        more=more,
    )


def _told(account: Account, asset: str, snapshot: Snapshot) -> tuple[Decimal | None, str]:
    """What the account held by the snapshot; None and why it is not known."""
    told = snapshot.holdings.get(account.address)
    if told is None:
        return None, NOT_SET_UP
    if asset == EVERY_ASSET:
        one = number(asset, told[asset]) if asset in told else None
        return (Decimal(0), "") if one is None else (None, one.problem)
    found = of_asset(told, asset, by_hand=account.connection.by_hand)
    return found.total, found.problem


def is_open(one: Ruled) -> bool:
    """Whether nobody knows yet if it moved."""
    return one.state in IN_FLIGHT or one.contradicted


def _movements(since: Snapshot, until: Snapshot) -> Mapping[movements.Key, list[Movement]]:
    """What was noticed while the readings went on, by account and asset, the oldest first."""
    rows = Movement.objects.filter(account__connection=since.connection_id, at__gt=since.at, since__lt=until.at)
    found: dict[movements.Key, list[Movement]] = {}
    for one in rows.order_by("pk"):
        found.setdefault((one.account_id, one.asset), []).append(one)
    return found
