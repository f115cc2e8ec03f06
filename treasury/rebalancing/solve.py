"""Solve: the plan of one group, and its certificate.

Three rules narrow what a plan may be, so that people can follow it and anybody can check it: at most one transfer from
one account to another; money never comes back to where it set out; whoever is inside its band stays inside, and whoever
is outside never moves away from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import floor

from treasury.rebalancing import bound, greedy, search, whole
from treasury.rebalancing.bound import Counting
from treasury.rebalancing.certificate import Certificate, Kind
from treasury.rebalancing.order import order
from treasury.rebalancing.problem import ALGORITHM, EXACT, Move, Problem, balances_after
from treasury.rebalancing.search import Clock, Found, NoSolver
from treasury.rebalancing.whole import Flow, Route, Whole


@dataclass(frozen=True)
class Solution:
    """``moves`` stand in an order in which they can be carried out."""

    moves: tuple[Move, ...]
    certificate: Certificate


@dataclass(frozen=True)
class _Searched:
    """What the solver found, in ``numbers`` whose unit may be coarser than the step."""

    numbers: Whole
    found: Found
    clock: Clock
    solver: str


def solve(problem: Problem, *, limit: float = 5.0, solver: bool = True) -> Solution:
    """The fewest transfers that leave as few accounts as possible outside their band; of these the least moved, of
    these the nearest to the targets. ``limit``: of the search, in the solver's deterministic seconds.

    Without a solver, or where ``solver`` is False, the greedy plan with the bound that counting gives.
    """
    numbers = whole.whole(problem)
    counting = bound.counting(numbers)
    flow = greedy.plan(numbers)
    greedy_count = len(flow)
    searched = _search(problem, flow, counting, limit) if solver and counting.mendable else None
    if searched:
        scale = int(Fraction(searched.numbers.unit) / Fraction(numbers.unit))
        found = {route: amount * scale for route, amount in searched.found.flow.items()}
        if numbers.worth(found) <= numbers.worth(flow):
            flow = found
    if not numbers.legal(flow, numbers.sizes):
        raise AssertionError("The plan breaks a rule in whole numbers of the step.")
    moves = _moves(problem, numbers, flow)
    return Solution(moves, _certificate(problem, numbers, flow, counting, searched, greedy_count, limit, moves))


def _search(problem: Problem, flow: Flow, counting: Counting, limit: float) -> _Searched | None:
    """None where the solver is not to be had."""
    numbers, clock = whole.coarse(problem), Clock(limit)
    start = flow
    if numbers.unit != problem.step:
        start, counting = greedy.plan(numbers), bound.counting(numbers)
    try:
        name = search.version()
        found = search.search(numbers, start=start, counting=counting, clock=clock)
    except NoSolver:
        return None
    return _Searched(numbers, found, clock, name)


def _moves(problem: Problem, numbers: Whole, flow: Flow) -> tuple[Move, ...]:
    free = {party.key: floor(Fraction(party.free) / Fraction(problem.step)) for party in problem.parties}
    row = order(flow, {k: max(0, free[key]) for k, key in enumerate(numbers.keys)})
    place: Mapping[Route, int] = {route: number for number, (route, _) in enumerate(row)}
    return tuple(
        Move(
            source=numbers.keys[route[0]],
            destination=numbers.keys[route[1]],
            amount=_amount(flow[route], numbers.unit),
            after=tuple(sorted(place[one] for one in before)),
        )
        for route, before in row
    )


def _amount(units: int, unit: Decimal) -> Decimal:
    return EXACT.multiply(Decimal(units), unit)


def _certificate(
    problem: Problem,
    numbers: Whole,
    flow: Flow,
    counting: Counting,
    searched: _Searched | None,
    greedy_count: int,
    limit: float,
    moves: tuple[Move, ...],
) -> Certificate:
    left, count, moved, _ = numbers.worth(flow)
    proof = _proof(numbers, flow, counting, searched)
    held = balances_after(problem, moves)
    distance = Decimal(0)
    for party in problem.parties:
        distance = EXACT.add(distance, EXACT.abs(EXACT.subtract(held[party.key], party.target)))
    return Certificate(
        kind=_kind(numbers, left, count, counting, proof),
        count=count,
        bound=proof.count,
        greedy_count=greedy_count,
        argument=counting.argument.value,
        above=tuple((numbers.keys[k], times) for k, times in counting.above.items()),
        below=tuple((numbers.keys[k], times) for k, times in counting.below.items()),
        shared=counting.shared,
        mended=len(numbers.outside) - left,
        left_out=tuple(numbers.keys[k] for k in numbers.unmet(flow)),
        left_proven=proof.left == left,
        moved=_amount(moved, numbers.unit),
        moved_proven=proof.moved == moved and proof.count == count,
        distance=distance,
        unit=searched.numbers.unit if searched else problem.step,
        own_step=not searched or searched.numbers.unit == problem.step,
        algorithm=ALGORITHM,
        solver=searched.solver if searched else "",
        seed=search.SEED,
        limit=str(limit),
        spent=f"{searched.clock.spent:.4f}" if searched else "0",
        capped=bool(searched and searched.clock.capped),
    )


def _proof(numbers: Whole, flow: Flow, counting: Counting, searched: _Searched | None) -> Found:
    """What no plan does better than: by counting, and where the search's plan is as good, by the search."""
    certain = search.by_counting(numbers, flow, counting)
    if not searched:
        return certain
    found, (left, count, moved, _) = searched.found, numbers.worth(flow)
    scale = int(Fraction(searched.numbers.unit) / Fraction(numbers.unit))
    theirs = searched.numbers.worth(found.flow)
    if theirs[0] != left:
        return certain
    fewest = max(certain.count, min(found.count, count))
    if theirs[1] != count:
        return Found(flow, max(certain.left, found.left), fewest, certain.moved)
    least = max(certain.moved, min(found.moved * scale, moved))
    return Found(flow, max(certain.left, found.left), fewest, least)


def _kind(numbers: Whole, left: int, count: int, counting: Counting, proof: Found) -> Kind:
    if not numbers.outside:
        return Kind.NOTHING
    if left == len(numbers.outside):
        return Kind.NO_HELP
    if count == counting.transfers(len(numbers.outside) - left):
        return Kind.COUNTING
    return Kind.SEARCH if proof.count == count else Kind.BEST
