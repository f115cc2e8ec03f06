"""Solve: the plan of one group, and its certificate.

Three rules narrow what a plan may be, so that people can follow it and anybody can check it: at most one transfer from
one account to another; money never comes back to where it set out; whoever is inside its band stays inside, and whoever
is outside never moves away from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from math import floor

from treasury.rebalancing import bound, greedy, parts, search, whole
from treasury.rebalancing.bound import Counting
from treasury.rebalancing.certificate import Certificate, Kind
from treasury.rebalancing.order import order
from treasury.rebalancing.parts import Part
from treasury.rebalancing.problem import ALGORITHM, EXACT, Move, Problem, balances_after
from treasury.rebalancing.search import Clock, Found, NoSolver
from treasury.rebalancing.whole import Flow, Route, Whole


@dataclass(frozen=True)
class Solution:
    """``moves`` stand in an order in which they can be carried out."""

    moves: tuple[Move, ...]
    certificate: Certificate


@dataclass(frozen=True)
class _Result:
    """Of one part, in steps: the better of the solver's plan and of the one without a search. ``certain``: what no plan
    of the part does better than; only where it is ``part.lossless``. ``best_in_unit``: no plan in multiples of the unit
    that was searched in leaves fewer outside, or as few with fewer transfers."""

    part: Part
    flow: Flow
    certain: Found
    best_in_unit: bool


@dataclass(frozen=True)
class _Searched:
    """All parts; what lies in none is as it was."""

    results: tuple[_Result, ...]
    clock: Clock
    solver: str

    @property
    def unit(self) -> Decimal:
        return max(result.part.units.unit for result in self.results)

    @property
    def lossless(self) -> bool:
        return all(result.part.lossless for result in self.results)

    @property
    def flow(self) -> Flow:
        return {route: amount for result in self.results for route, amount in sorted(result.flow.items())}


def solve(problem: Problem, *, limit: float = 5.0, solver: bool = True) -> Solution:
    """The fewest transfers that leave as few accounts as possible outside their band; of these the least moved, of
    these the nearest to the targets. ``limit``: of the search, in the solver's deterministic seconds.

    Without a solver, or where ``solver`` is False, the greedy plan with the bound that counting gives.
    """
    numbers = whole.whole(problem)
    counting = bound.counting(numbers)
    flow = greedy.plan(numbers)
    greedy_count = len(flow)
    searched = _search(numbers, flow, limit) if solver and counting.mendable else None
    if searched:
        flow = searched.flow
    if not numbers.legal(flow, numbers.sizes):
        raise AssertionError("The plan breaks a rule in whole numbers of the step.")
    moves = _moves(problem, numbers, flow)
    return Solution(moves, _certificate(problem, numbers, flow, counting, searched, greedy_count, limit, moves))


def _search(numbers: Whole, flow: Flow, limit: float) -> _Searched | None:
    """None where the solver is not to be had."""
    clock = Clock(limit)
    try:
        name = search.version()
        results = tuple(_best(part, flow, clock) for part in parts.parts(numbers))
    except NoSolver:
        return None
    return _Searched(results, clock, name)


def _best(part: Part, flow: Flow, clock: Clock) -> _Result:
    """The best plan of one part; ``flow``: the plan of the whole without a search."""
    numbers, units = part.numbers, part.units
    mine = {route: amount for route, amount in flow.items() if route in numbers.sizes}
    start = mine if part.times == 1 else greedy.plan(units)
    found = search.search(units, start=start, counting=bound.counting(units), clock=clock)
    theirs = {route: amount * part.times for route, amount in found.flow.items()}
    best = min(mine, theirs, key=numbers.worth)
    bounds = replace(found, flow=theirs, moved=found.moved * part.times)
    certain = search.bounded(numbers, best, bounds, search.by_counting(numbers, best, bound.counting(numbers)))
    return _Result(part, best, certain, search.proven(units, found))


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
        unit=searched.unit if searched else problem.step,
        own_step=not searched or searched.unit == problem.step,
        lossless=not searched or searched.lossless,
        best_in_unit=bool(searched and all(one.best_in_unit for one in searched.results)),
        algorithm=ALGORITHM,
        solver=searched.solver if searched else "",
        seed=search.SEED,
        limit=str(limit),
        spent=f"{searched.clock.spent:.4f}" if searched else "0",
        capped=bool(searched and searched.clock.capped),
    )


def _proof(numbers: Whole, flow: Flow, counting: Counting, searched: _Searched | None) -> Found:
    """What no plan does better than: by counting, and by what is certain of each part.

    A search in a unit in which something may be lost proves nothing. How many stay outside adds up. So do the transfers
    if no plan has fewer outside, for then each part has as few as can be, and none that is as good leaves one more
    outside here and one less there; and so does the amount, if no such plan has fewer transfers.
    """
    certain = search.by_counting(numbers, flow, counting)
    if not searched or not searched.lossless:
        return certain
    results = searched.results
    elsewhere = len(numbers.outside) - sum(len(one.part.numbers.outside) for one in results)
    left = max(certain.left, elsewhere + sum(one.certain.left for one in results))
    if len(results) > 1 and left < len(numbers.unmet(flow)):
        return replace(certain, left=left)
    count = max(certain.count, sum(one.certain.count for one in results))
    return Found(flow, left, count, max(certain.moved, sum(one.certain.moved for one in results)))


def _kind(numbers: Whole, left: int, count: int, counting: Counting, proof: Found) -> Kind:
    if not numbers.outside:
        return Kind.NOTHING
    if left == len(numbers.outside):
        return Kind.NO_HELP
    if count == counting.transfers(len(numbers.outside) - left):
        return Kind.COUNTING
    return Kind.SEARCH if proof.count == count else Kind.BEST
