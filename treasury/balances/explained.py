"""Explained changes: what became of an account between two snapshots, taken apart to the last unit.

after − before = ours + fees + rest. *Ours* are our own transfers, *fees* what venues named for them, and the rest is
other movement at the venue. The reasoning is that of ``movements``, but a snapshot was not chosen for its calm: a
transfer that may lie on either side of one counts exactly if that leaves less unexplained. What is still on its way,
or of which nobody knows, is named beside the rest and counted in nothing. What people state by hand is of the moment
that they stated and not of the snapshot, and a number that was not stated anew did not change.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
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


@dataclass(frozen=True)
class Stood:
    """What an account held of an asset by a snapshot, and of when that is; None, and why it is not known."""

    amount: Decimal | None
    at: datetime
    why: str = ""


def between(*, since: Snapshot, until: Snapshot) -> list[Change]:
    """Every account and asset that either snapshot names or that a transfer of ours touched in between.

    Raises NotComparable.
    """
    if since.connection_id != until.connection_id or since.at >= until.at:
        raise NotComparable("Two readings of one connection are compared, the earlier with the later.")
    accounts = list(Account.objects.filter(connection=since.connection_id).select_related("connection"))
    first = min([since.at, *_begins(accounts, since, until)])
    near = movements.near_transfers(since.connection, since=first - movements.CALM, until=until.at + ANSWERED)
    seen = _movements(since, first, until.at)
    found = []
    for account in accounts:
        for asset in _assets(account, since, until, near):
            key = account.pk, asset
            before, after = _stood(account, asset, since), _stood(account, asset, until)
            found.append(_change(account, asset, before, after, near.get(key, ()), seen.get(key, ())))
    return found


def _begins(accounts: Iterable[Account], since: Snapshot, until: Snapshot) -> Iterator[datetime]:
    """Of when each number is that the first snapshot names and the second one has anew."""
    for account in accounts:
        for asset in _assets(account, since, until, ()):
            before, after = _stood(account, asset, since), _stood(account, asset, until)
            if before.at != after.at:
                yield before.at


def _assets(account: Account, since: Snapshot, until: Snapshot, near: Iterable[movements.Key]) -> list[str]:
    told = {asset for one in (since, until) for asset in one.holdings.get(account.address, ())}
    touched = {asset for pk, asset in near if pk == account.pk}
    named = sorted((told | touched) - {EVERY_ASSET})
    return [*named, EVERY_ASSET] if EVERY_ASSET in told else named


def _change(
    account: Account, asset: str, before: Stood, after: Stood, near: Iterable[Ruled], seen: Iterable[Movement]
) -> Change:
    listed = [one for one in seen if one.at > before.at and one.since < after.at]
    shown, more = listed[:ROWS_MOST], len(listed[ROWS_MOST:])
    if before.amount is None or after.amount is None:
        why = f"before: {before.why}" if before.amount is None else f"after: {after.why}"
        return Change(account, asset, before.amount, after.amount, why=why, seen=shown, more=more)
    # Where it was not stated anew, both are of one moment, and nothing lies in between.
    parts = movements.parts(
        account.pk,
        [one for one in near if one.began <= after.at + ANSWERED],
        change=after.amount - before.amount,
        since=before.at,
        sure_from=before.at + ANSWERED,
        sure_until=after.at - movements.CALM,
    )
    return Change(
        account,
        asset,
        before.amount,
        after.amount,
        moves=[Part(one.reference, amount) for one, amount in parts.moves],
        charges=[Part(one.reference, amount) for one, amount in parts.charges],
        open=[one.reference for one in near if is_open(one)],
        seen=shown,
        more=more,
    )


def _stood(account: Account, asset: str, snapshot: Snapshot) -> Stood:
    """What the account held by the snapshot. A number that people stated is of the moment that they stated, whenever it
    was stored; what they have never stated was nothing from the beginning on."""
    told = snapshot.holdings.get(account.address)
    if told is None:
        return Stood(None, snapshot.at, NOT_SET_UP)
    if asset == EVERY_ASSET:
        one = number(asset, told[asset]) if asset in told else None
        return Stood(Decimal(0), snapshot.at) if one is None else Stood(None, snapshot.at, one.problem)
    found = of_asset(told, asset)
    unstated = account.connection.by_hand and found.known and asset not in told
    return Stood(found.total, account.connection.created_at if unstated else found.as_of or snapshot.at, found.problem)


def is_open(one: Ruled) -> bool:
    """Whether nobody knows yet if it moved."""
    return one.state in IN_FLIGHT or one.contradicted


def _movements(of: Snapshot, since: datetime, until: datetime) -> Mapping[movements.Key, list[Movement]]:
    """What was noticed at its connection between these moments, by account and asset, the oldest first."""
    rows = Movement.objects.filter(account__connection=of.connection_id, at__gt=since, since__lt=until)
    found: dict[movements.Key, list[Movement]] = {}
    for one in rows.order_by("pk"):
        found.setdefault((one.account_id, one.asset), []).append(one)
    return found
