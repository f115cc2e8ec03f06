"""What we hold of each asset over all venues, what it is worth, and what is missing in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from treasury.balances import history, valuation
from treasury.balances.holdings import is_stale
from treasury.balances.valuation import Worth
from treasury.models import Account, Balance, Connection
from treasury.templatetags.treasury import places

SHOWN = 8  # assets in sight; the others are folded away, the largest first
NAMED = 4  # accounts in a sentence


@dataclass
class Held:
    """One asset over all accounts, by its code in capitals: sums of what is known, and the accounts where it is not.

    ``movable`` counts what venues said; ``unsaid`` those numbers whose venue did not say. ``worth``: of the known.
    """

    asset: str
    total: Decimal = Decimal(0)
    movable: Decimal = Decimal(0)
    unsaid: int = 0
    numbers: int = 0
    stale: int = 0
    oldest: datetime | None = None
    not_known: list[Account] = field(default_factory=list)
    worth: Worth | None = None

    @property
    def known(self) -> bool:
        """Whether any number of it could be read."""
        return self.numbers > len(self.not_known)

    @property
    def whole(self) -> bool:
        return not self.not_known

    @property
    def movable_known(self) -> bool:
        """Whether any venue said how much of it is movable."""
        return self.numbers > len(self.not_known) + self.unsaid

    @property
    def is_nothing(self) -> bool:
        """Nothing anywhere, as the venues said."""
        return self.whole and not self.total and not self.movable

    @property
    def places(self) -> str:
        return named(self.not_known)


@dataclass(frozen=True)
class WhatWeHold:
    """Every asset that we hold something of, and the sum. ``unread``: accounts of which nothing at all is known."""

    shown: list[Held]
    folded: list[Held]
    total: valuation.Total
    unread: list[Account]
    stale: int
    numbers: int

    @property
    def whole(self) -> bool:
        """Whether the sum has everything in it."""
        return self.total.whole and not self.unread

    @property
    def is_valued(self) -> bool:
        """Whether anything is in the sum, or all is known to be nothing; a sum of nothing but gaps is no 0."""
        return self.total.counted > 0 or self.whole

    @property
    def in_part(self) -> list[Account]:
        """The accounts of which some numbers could not be read, each once."""
        unread = {one.pk for one in self.unread}
        return list({one.pk: one for row in self.rows for one in row.not_known if one.pk not in unread}.values())

    @property
    def where_in_part(self) -> str:
        return named(self.in_part)

    @property
    def rows(self) -> list[Held]:
        return [*self.shown, *self.folded]

    @property
    def where_unread(self) -> str:
        return named(self.unread)

    @property
    def decimals(self) -> int:
        amounts = (amount for one in self.rows for amount in (one.total, one.movable))
        return max(map(places, amounts), default=0)


def named(accounts: Sequence[Account]) -> str:
    """ "Main · Spot, Main · Funding and 3 more"."""
    words = ", ".join(str(one) for one in accounts[:NAMED])
    return f"{words} and {len(accounts) - NAMED} more" if len(accounts) > NAMED else words


def what_we_hold(balances: Iterable[Balance], connections: Iterable[Connection], at: datetime) -> WhatWeHold:
    """One query, for the prices, and one more where an account has no number; ``balances`` with their accounts and
    connections, ``connections`` with accounts."""
    held: dict[str, Held] = {}
    read: dict[int, list[Balance]] = {}
    for one in balances:
        read.setdefault(one.account_id, []).append(one)
        code = one.asset.upper()
        count(held.setdefault(code, Held(code)), one, at)
    for connection in connections:
        unnamed_in_part(held, [read[each.pk] for each in connection.accounts.all() if each.pk in read])
    unread = never_read([each for one in connections for each in one.accounts.all() if each.pk not in read])
    for account in unread:
        not_known(held, held.keys(), account)
    prices = valuation.prices_at(at)
    rows = [one for one in held.values() if not one.is_nothing]
    for row in rows:
        row.worth = valuation.worth(row.asset, row.total, at, prices) if row.known else None
    rows.sort(key=first_the_largest)
    amounts = [(row.asset, row.total) for row in rows if row.known]
    missing = [(row.asset, None) for row in rows if not row.whole]
    return WhatWeHold(
        shown=rows[:SHOWN],
        folded=rows[SHOWN:],
        total=valuation.total([*amounts, *missing], at, prices),
        unread=unread,
        stale=sum(one.stale for one in held.values()),
        numbers=sum(one.numbers for one in held.values()),
    )


def count(row: Held, one: Balance, at: datetime) -> None:
    row.numbers += 1
    row.stale += is_stale(one, at)
    row.oldest = min(row.oldest or one.observed_at, one.observed_at)
    if one.total is None:
        row.not_known.append(one.account)
        return
    row.total += one.total
    if one.movable is None:
        row.unsaid += 1
    else:
        row.movable += one.movable


def unnamed_in_part(held: Mapping[str, Held], accounts: Sequence[Sequence[Balance]]) -> None:
    """One number that could not be read makes an account's answer incomplete: it may also hold what it does not name
    and another account of its connection has. What nobody there has ever shown is not feared."""
    codes = {one.asset.upper() for rows in accounts for one in rows}
    for rows in accounts:
        if any(one.total is None for one in rows):
            not_known(held, codes - {one.asset.upper() for one in rows}, rows[0].account)


def not_known(held: Mapping[str, Held], codes: Iterable[str], account: Account) -> None:
    for code in codes:
        held[code].numbers += 1
        held[code].not_known.append(account)


def first_the_largest(row: Held) -> tuple[bool, Decimal, str]:
    """The largest value first, debts by their size too; then what is not valued, by name."""
    return row.worth is None, -abs(row.worth.value) if row.worth else Decimal(0), row.asset


def never_read(accounts: Sequence[Account]) -> list[Account]:
    """Those of the accounts without any number of which nothing is known. Of any other a whole answer says that there
    is nothing in it: the last reading names an account though it is empty, and not one that was set up since."""
    last = history.last_of({one.connection_id for one in accounts if read_whole(one.connection)}) if accounts else {}
    named = {(key, address) for key, one in last.items() for address in one.holdings}
    return [one for one in accounts if (one.connection_id, one.address) not in named]


def read_whole(connection: Connection) -> bool:
    """Whether it was read to the end, and no problem was named."""
    health = getattr(connection, "health", None)
    return health is not None and health.read_at is not None and not health.problem
