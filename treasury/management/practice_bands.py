"""Bands to practise with: on each connection some accounts out of place, so that there is something to plan.

Chosen by what the accounts hold and where money may move, so that a new venue's practice login gets its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from treasury import venues
from treasury.controls import bands, changes
from treasury.controls.roles import groups_of
from treasury.controls.wanted import Wanted
from treasury.models import Account, Balance, Band, Connection, Unit, User
from treasury.models.amount import plain

DIGITS = 3  # of a number that people would agree on
OTHERS_MOST = 2
WIDTH = 25  # percent of the group to each side of where an account of the calm group stands
REASON = "To practise with: some accounts stand outside their bands"

Holding = tuple[Account, Decimal]


def set_up(connections: Sequence[Connection], *, first: User, second: User, at: datetime) -> None:
    """Bands for these connections, as one person proposes and another confirms them; none where there are any."""
    rights = changes.RIGHTS[bands.SET]
    if groups_of(first).isdisjoint(rights.propose) or groups_of(second).isdisjoint(rights.decide):
        return  # somebody took the role away: nobody is kept from starting the product by that
    if first == second or Band.objects.exists():
        return
    wanted: list[Wanted] = []
    calm: list[Wanted] = []
    for connection in sorted(connections, key=lambda one: one.name):
        groups = [] if connection.by_hand else assets_of(connection)
        wanted += [band for asset, group in groups[:1] for band in out_of_place(asset, group)]
        calm = calm or [band for asset, group in groups[1:2] for band in in_place(asset, group)]
    if wanted:
        change = bands.propose(bands=[*wanted, *calm], reason=REASON, by=first, at=at)
        bands.confirm(change_id=change.pk, by=second, digest=change.digest, at=at)


def assets_of(connection: Connection) -> list[tuple[str, list[Holding]]]:
    """The assets that can be moved from whoever holds most of them to who holds least, the most widely held first."""
    held: dict[str, list[Holding]] = {}
    rows = Balance.objects.filter(account__connection=connection, total__gt=0).select_related("account__connection")
    for row in rows.order_by("asset", "-total", "account__address"):
        held.setdefault(row.asset, []).append((row.account, row.total or Decimal(0)))
    groups = [(asset, reachable(holdings)) for asset, holdings in held.items()]
    found = [(asset, group) for asset, group in groups if len(group) > 1]
    return sorted(found, key=lambda one: (-len(one[1]), -sum(total for _, total in one[1]), one[0]))


def reachable(holdings: Sequence[Holding]) -> list[Holding]:
    """Whoever holds most, and the poorest that money can be moved to from there."""
    (rich, most), *others = holdings
    poor = [one for one in reversed(others) if venues.has_route(rich, one[0])]
    return [(rich, most), *poor[:OTHERS_MOST]]


def out_of_place(asset: str, group: Sequence[Holding]) -> list[Wanted]:
    """The richest above its band, the others below theirs; what it can spare is enough for all."""
    (rich, most), *others = group
    made = [band(rich, asset, (most * 3 / 10, most / 2, most * 7 / 10))]
    for account, total in others:
        made.append(band(account, asset, (total + most / 10, total + most / 5, total + most / 2)))
    return made


def in_place(asset: str, group: Sequence[Holding]) -> list[Wanted]:
    """Shares around where each account stands."""
    whole = sum(total for _, total in group)
    shares = [(account, round(total * 100 / whole)) for account, total in group]
    return [
        band(account, asset, (max(share - WIDTH, 0), share, min(share + WIDTH, 100)), Unit.SHARE)
        for account, share in shares
    ]


def band(account: Account, asset: str, numbers: Sequence[Decimal | int], unit: Unit = Unit.AMOUNT) -> Wanted:
    low, middle, high = (rounded(Decimal(number)) for number in numbers)
    return Wanted(account=account, asset=asset, unit=unit.value, minimum=low, target=middle, maximum=high)


def rounded(number: Decimal) -> str:
    """To three digits, as a plain decimal string."""
    return plain(number.quantize(Decimal(1).scaleb(number.adjusted() - DIGITS + 1))) if number else "0"
