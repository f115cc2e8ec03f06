"""One group's problem as plain numbers: what is held, where it should be, what may move. No database, no solver.

All amounts are exact ``Decimal``s in units of the asset. The canonical text of a problem is stored with each plan, so
that anybody can reckon it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

ALGORITHM = 1  # raised when the same problem may get another plan


@dataclass(frozen=True)
class Party:
    """An account of the group.

    ``balance`` is its total own funds once everything that is on its way already has moved. ``minimum``, ``target``
    and ``maximum`` (None: no limit) are in amounts, shares turned into them. ``free`` is the most that may leave it
    without anything arriving: movable, less what is reserved, less the floor, never below 0. ``gives`` and ``takes``
    are False where nothing may leave or arrive (its direction, a stop, a stale number, money at risk).
    """

    key: str
    balance: Decimal
    minimum: Decimal
    target: Decimal
    maximum: Decimal | None
    free: Decimal
    smallest: Decimal | None = None
    largest: Decimal | None = None
    gives: bool = True
    takes: bool = True


@dataclass(frozen=True)
class Problem:
    """A group: ``routes`` are the legal (source key, destination key); ``step`` the unit that the venue takes
    amounts in (1e-8 for 8 decimals)."""

    parties: tuple[Party, ...]
    routes: frozenset[tuple[str, str]]
    step: Decimal


@dataclass(frozen=True)
class Move:
    """One transfer of a plan. ``after``: indexes in the plan of what must settle before this one is sent."""

    source: str
    destination: str
    amount: Decimal
    after: tuple[int, ...] = ()


def balances_after(problem: Problem, moves: Sequence[Move]) -> dict[str, Decimal]:
    """What each party holds when all of it has settled."""
    held = {party.key: party.balance for party in problem.parties}
    for move in moves:
        held[move.source] -= move.amount
        held[move.destination] += move.amount
    return held
