"""The second step: what no transfer within a connection mends, moved between connections by people's hands.

It is planned after all others and apart from them: of what the first step leaves, and only of money that is there
without it, so that nobody at a venue's screen waits for a transfer of ours. Shares are of what one connection's group
holds, which such a move would change; so groups with a band in shares stay out of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

from treasury.models import Account, Connection, Unit
from treasury.rebalancing.drift import NOTHING, Group, Stand
from treasury.rebalancing.inputs import key_of, party_of, step_of
from treasury.rebalancing.problem import Move, Problem

First = Mapping[tuple[int, str], Sequence[Move]]  # the first step's moves by connection and asset


def desk() -> Connection | None:
    """The connection by which people move money between others; None: there is none."""
    return Connection.objects.filter(by_hand=True).order_by("created_at", "pk").first()


def groups(found: Sequence[Group], first: First, over: Connection) -> Iterator[tuple[Group, Problem]]:
    """For each asset that two connections or more write alike: their accounts as one group after the first step, where
    one of them is still outside its band. A group that is not named in ``first`` was refused, and stays out."""
    for asset in sorted({group.asset for group in found}):
        fit = [group for group in found if group.asset == asset and _fits(group, first)]
        stands = [stand for group in fit for stand in _after(group, first[group.connection.pk, asset])]
        routes = frozenset(_routes([stand.account for stand in stands], over))
        if not routes or not any(_is_outside(stand) for stand in stands):
            continue
        step = max(step_of(group.connection) for group in fit)
        parties = tuple(sorted((party_of(stand) for stand in stands), key=lambda party: party.key))
        total = sum((stand.expected or NOTHING for stand in stands), NOTHING)
        yield Group(over, asset, stands, total, ""), Problem(parties=parties, routes=routes, step=step)


def _fits(group: Group, first: First) -> bool:
    in_amounts = all(stand.band.unit == Unit.AMOUNT for stand in group.stands)
    return in_amounts and (group.connection.pk, group.asset) in first


def _after(group: Group, moves: Sequence[Move]) -> Iterable[Stand]:
    """The accounts as the first step leaves them. What arrives by it is expected, and not free to go on."""
    for stand in group.stands:
        key = key_of(stand.account)
        going = sum((move.amount for move in moves if move.source == key), NOTHING)
        coming = sum((move.amount for move in moves if move.destination == key), NOTHING)
        assert stand.expected is not None, "a group that was not refused is readable"
        yield replace(stand, expected=stand.expected - going + coming, free=max(stand.free - going, Decimal(0)))


def _routes(accounts: Sequence[Account], over: Connection) -> Iterator[tuple[str, str]]:
    """Between accounts of different connections, where this desk is the one that a draft would go over."""
    for source in accounts:
        for destination in accounts:
            ends = (source.connection, destination.connection)
            by_hand = next((end for end in ends if end.by_hand), over)
            if ends[0].pk != ends[1].pk and by_hand.pk == over.pk:
                yield key_of(source), key_of(destination)


def _is_outside(stand: Stand) -> bool:
    assert stand.expected is not None, "readable"
    assert stand.minimum is not None, "in amounts"
    return stand.expected < stand.minimum or (stand.maximum is not None and stand.expected > stand.maximum)
