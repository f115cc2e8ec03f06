"""What a transfer would change while its decision is open: both accounts, with what else waits, and their bands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from django.db.models import Q

from treasury.balances.holdings import balance_of, code_at
from treasury.controls import bands
from treasury.models import IN_FLIGHT, Account, Balance, State, Transfer, Unit
from treasury.models.amount import grouped
from treasury.rebalancing import drift, feasible

NAMED_MOST = 8  # other transfers of an account


@dataclass(frozen=True)
class Other:
    """Another transfer that is not over, and by how much it changes the account."""

    transfer: Transfer
    change: Decimal


@dataclass(frozen=True)
class Effect:
    """What the transfer would do to one account, by the stored balance. Unknown stays unknown.

    ``after``: of this transfer alone; ``ends``: with ``others`` too, all that was submitted and is not over, where that
    was asked for. ``band`` says where that leaves it, empty where it has no band for the asset.
    """

    side: str
    account: Account
    balance: Balance | None
    after: Decimal | None
    name: str = ""
    others: list[Other] = field(default_factory=list)
    ends: Decimal | None = None
    band: str = ""

    @property
    def named(self) -> list[Other]:
        return self.others[:NAMED_MOST]

    @property
    def more(self) -> int:
        return len(self.others) - len(self.named)

    @property
    def may_be_in_it(self) -> bool:
        """Whether one of the others may be in the number already: it has begun."""
        return any(one.transfer.state in IN_FLIGHT for one in self.others)


def of(transfer: Transfer, at: datetime) -> list[Effect]:
    if transfer.state not in (State.DRAFT, State.SUBMITTED):
        return []
    return [
        effect("From", transfer, transfer.source, -transfer.amount, at),
        effect("To", transfer, transfer.destination, transfer.amount, at),
    ]


def effect(side: str, transfer: Transfer, account: Account, change: Decimal, at: datetime) -> Effect:
    asset = code_at(account, transfer.asset)
    balance = balance_of(account, asset)
    total = None if balance is None else balance.total
    others = others_of(transfer, account)
    after = None if total is None else total + change
    ends = None if after is None else after + sum((one.change for one in others), Decimal(0))
    return Effect(
        side=side,
        account=account,
        balance=balance,
        after=after,
        name=str(account) if transfer.connection.by_hand else account.title,
        others=others,
        ends=ends,
        band=band_in_words(transfer, account, asset, ends, at),
    )


def others_of(transfer: Transfer, account: Account) -> list[Other]:
    """Every other transfer of the asset to or from the account that was submitted and is not over; a draft is nobody's
    affair yet."""
    ours = Q(source=account) | Q(destination=account)
    waiting = Q(state__in=[State.SUBMITTED, State.APPROVED, *IN_FLIGHT])
    found = Transfer.objects.filter(ours, waiting, asset__iexact=transfer.asset).exclude(pk=transfer.pk).order_by("pk")
    return [Other(one, one.amount if one.destination_id == account.pk else -one.amount) for one in found]


def band_in_words(transfer: Transfer, account: Account, asset: str, ends: Decimal | None, at: datetime) -> str:
    """Where it ends by the band in force: "inside its band 100 – 300", "60 above its maximum 300"."""
    band = bands.band_of(account, asset)
    if band is None or ends is None:
        return ""
    whole = Decimal(0)  # of which shares are taken
    if band.unit == Unit.SHARE:
        known = whole_of(drift.read(at, connection=account.connection, asset=asset), transfer, account)
        if known is None:
            return "its band is in shares of its group, and what that holds is not known now"
        whole = known
    minimum, _, maximum = feasible.in_amounts(band, max(whole, Decimal(0)))
    if ends < minimum:
        return f"{grouped(minimum - ends)} below its minimum {grouped(minimum)}"
    if maximum is None:
        return f"inside its band, at least {grouped(minimum)}"
    if ends > maximum:
        return f"{grouped(ends - maximum)} above its maximum {grouped(maximum)}"
    return f"inside its band {grouped(minimum)} – {grouped(maximum)}"


def whole_of(groups: Sequence[drift.Group], transfer: Transfer, account: Account) -> Decimal | None:
    """What the account's group will hold. What was submitted is in its total; a draft across its border is not."""
    for group in groups:
        members = {stand.account.pk for stand in group.stands}
        if account.pk in members and group.total is not None:
            crosses = len(members & {transfer.source_id, transfer.destination_id}) == 1
            change = transfer.amount if account.pk == transfer.destination_id else -transfer.amount
            return group.total + change if crosses and transfer.state == State.DRAFT else group.total
    return None
