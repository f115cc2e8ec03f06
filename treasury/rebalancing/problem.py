"""One group's problem as plain numbers: what is held, where it should be, what may move. No database, no solver.

All amounts are exact ``Decimal``s in units of the asset. The canonical text of a problem is stored with each plan, so
that anybody can reckon it again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from decimal import Context, Decimal, Inexact
from typing import Any

from connectors.core.protocol import plain

EXACT = Context(prec=256, traps=[Inexact])  # sums of amounts; it would raise rather than round

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
    amounts in (1e-8 for 8 decimals). A route from or to anybody who is no party is never used.

    Raises ValueError: two parties of one key, a step that is not above 0.
    """

    parties: tuple[Party, ...]
    routes: frozenset[tuple[str, str]]
    step: Decimal

    def __post_init__(self) -> None:
        if len({party.key for party in self.parties}) < len(self.parties):
            raise ValueError("Two parties have the same key.")
        if self.step <= 0:
            raise ValueError("The step of amounts must be above 0.")


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
        held[move.source] = EXACT.subtract(held[move.source], move.amount)
        held[move.destination] = EXACT.add(held[move.destination], move.amount)
    return held


def canonical(problem: Problem) -> str:
    """The problem as JSON that depends on nothing but its numbers: the same problem is the same text.

    Amounts are plain decimal strings without trailing zeros; parties stand in the order of their keys.
    """
    document = {
        "parties": [_written(party) for party in sorted(problem.parties, key=lambda party: party.key)],
        "routes": sorted(list(route) for route in problem.routes),
        "step": plain(problem.step),
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def from_canonical(text: str) -> Problem:
    """The problem of a canonical text. Raises ValueError or KeyError for anything else."""
    document = json.loads(text)
    return Problem(
        parties=tuple(_read(one) for one in document["parties"]),
        routes=frozenset((source, destination) for source, destination in document["routes"]),
        step=Decimal(document["step"]),
    )


def _written(party: Party) -> dict[str, Any]:
    values = {field.name: getattr(party, field.name) for field in fields(Party)}
    return {name: (plain(v) if v else "0") if isinstance(v, Decimal) else v for name, v in values.items()}


def _read(document: dict[str, Any]) -> Party:
    words: dict[str, Any] = {
        name: Decimal(value) if isinstance(value, str) and name != "key" else value for name, value in document.items()
    }
    return Party(**words)
