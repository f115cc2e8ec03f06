"""The planner against whoever tries everything."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields, replace
from decimal import Decimal

import pytest

from tests.rebalancing import exhaustive, instances
from treasury.rebalancing import certificate, parts, recheck, search
from treasury.rebalancing.certificate import Certificate, Kind
from treasury.rebalancing.problem import Party, Problem
from treasury.rebalancing.solve import Solution, solve

HELD_BACK = "groups this small are searched to the end"


def compared(problem: Problem) -> Kind:
    """Insist that the plan is the best one, and that all is said to be proven."""
    solution = solve(problem)
    stated = solution.certificate
    assert worth(problem, solution) == exhaustive.best(problem), (problem, solution)
    assert certificate.check(problem, solution.moves, stated) == []
    assert stated.left_proven and stated.moved_proven and stated.kind is not Kind.BEST, HELD_BACK
    greedy = solve(problem, solver=False)
    assert certificate.check(problem, greedy.moves, greedy.certificate) == []
    promised = (greedy.certificate.bound, len(greedy.certificate.left_out))
    if not greedy.certificate.left_proven:
        return stated.kind
    assert promised <= (stated.count, len(stated.left_out)), "the bound without a search is a bound"
    return stated.kind


def worth(problem: Problem, solution: Solution) -> tuple[int, int, int, int]:
    moves = solution.moves
    return (
        len(recheck.left_out(problem, moves)),
        len(moves),
        int(recheck.moved(moves)),
        int(recheck.distance(problem, moves)),
    )


@pytest.mark.slow
def test_every_small_group_gets_the_plan_of_whoever_tries_all() -> None:
    kinds = Counter(compared(problem) for problem in instances.small())
    assert sum(kinds.values()) > 2000
    assert min(kinds[kind] for kind in (Kind.NOTHING, Kind.COUNTING, Kind.SEARCH, Kind.NO_HELP)) > 10


@pytest.mark.slow
@pytest.mark.parametrize(
    ("accounts", "top", "groups"), [(2, 12, 150), (3, 10, 400), (4, 7, 300), (5, 4, 40), (6, 2, 12)]
)
def test_random_groups_get_the_plan_of_whoever_tries_all(accounts: int, top: int, groups: int) -> None:
    for seed in range(groups):
        compared(instances.any_group(seed, accounts, top))


# -- where the solver cannot hold all steps, or is stopped ---------------------------------------------------------


def believed(problem: Problem, *, limit: float = 5.0, best: exhaustive.Worth | None = None) -> Certificate:
    """Insist that nothing is said to be proven of the plan that whoever tries everything finds to be false."""
    solution = solve(problem, limit=limit)
    stated, (left, count, moved, _) = solution.certificate, best or exhaustive.best(problem)
    assert certificate.check(problem, solution.moves, stated) == []
    if stated.left_proven:
        assert len(stated.left_out) == left, (problem, solution)
    if len(stated.left_out) == left:
        assert stated.bound <= count, (problem, solution)
    if stated.left_proven and stated.kind in (Kind.COUNTING, Kind.SEARCH):
        assert stated.count == count, (problem, solution)
        assert not stated.moved_proven or stated.moved == moved, (problem, solution)
    return stated


def tenfold(problem: Problem) -> Problem:
    """The same with all amounts ten times as large, and the step as it was."""
    return replace(problem, parties=tuple(_tenfold(party) for party in problem.parties))


def _tenfold(party: Party) -> Party:
    amounts = {field.name: getattr(party, field.name) for field in fields(party)}
    return replace(party, **{name: one * 10 for name, one in amounts.items() if isinstance(one, Decimal)})


@pytest.mark.slow
def test_in_a_unit_that_divides_all_amounts_nothing_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tens of steps, for the solver holds no more; whoever tries everything tries each step."""
    monkeypatch.setattr(parts, "LARGEST", 40)
    units = Counter[str]()
    for seed in range(150):
        problem = tenfold(instances.any_group(seed, 3, 4))
        stated = believed(problem)
        assert stated.lossless and stated.left_proven and stated.moved_proven and stated.kind is not Kind.BEST
        units[str(stated.unit)] += bool(stated.solver)
    assert units["10"] > 40


@pytest.mark.slow
@pytest.mark.parametrize("name", ["balance", "minimum", "maximum", "free", "smallest", "largest"])
def test_one_amount_that_the_unit_does_not_divide_makes_the_search_no_proof(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "LARGEST", 8)
    coarse = 0
    for seed in range(100):
        problem = tenfold(instances.any_group(seed, 3, 4))
        changed = [_three_more(party, name) for party in problem.parties]
        coarse += not believed(replace(problem, parties=tuple(changed))).lossless
    assert coarse


def _three_more(party: Party, name: str) -> Party:
    """By which the smallest size may pass the largest, and the minimum the maximum: nothing then fits."""
    amount = getattr(party, name)
    return replace(party, **{name: Decimal(13) if amount is None and name == "smallest" else amount and amount + 3})


@pytest.mark.slow
@pytest.mark.parametrize("largest", [2, 4])
def test_what_is_searched_in_a_unit_that_loses_something_proves_nothing(
    largest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "LARGEST", largest)
    found = [believed(instances.any_group(seed, 4, 9)) for seed in range(150)]
    coarse = [one for one in found if not one.lossless]
    assert len(coarse) > 50
    assert all(one.kind is not Kind.SEARCH for one in coarse)
    assert any(not one.left_proven for one in coarse) and any(one.left_proven for one in coarse)


@pytest.mark.slow
@pytest.mark.parametrize(("limit", "real"), [(0.0, 60.0), (0.0005, 60.0), (5.0, 0.0)])
def test_a_search_that_is_stopped_claims_nothing_that_it_did_not_prove(
    limit: float, real: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "REAL_SECONDS", real)
    found = [believed(instances.any_group(seed, 4, 7), limit=limit) for seed in range(120)]
    if not limit or not real:
        assert all(one.kind is not Kind.SEARCH for one in found)
    assert any(one.kind is Kind.BEST or not one.left_proven for one in found)


def apart(one: Problem, other: Problem) -> Problem:
    """Both as one group, with no route from the one to the other."""
    renamed = tuple(replace(party, key=party.key.upper()) for party in other.parties)
    routes = frozenset((a.upper(), b.upper()) for a, b in other.routes)
    return Problem(one.parties + renamed, one.routes | routes, one.step)


@pytest.mark.slow
@pytest.mark.parametrize("limit", [5.0, 0.001])
def test_what_is_best_for_each_part_is_best_for_the_whole(limit: float) -> None:
    kinds = Counter[Kind]()
    for seed in range(150):
        both = instances.any_group(seed, 4, 6), instances.any_group(seed + 1000, 3, 9)
        left, count, moved, distance = (sum(side) for side in zip(*map(exhaustive.best, both), strict=True))
        best = left, count, moved, distance
        problem = apart(*both)
        stated = believed(problem, limit=limit, best=best)
        kinds[stated.kind] += 1
        if limit > 1:
            assert worth(problem, solve(problem)) == best
            assert stated.left_proven and stated.moved_proven and stated.kind is not Kind.BEST, HELD_BACK
    assert kinds[Kind.SEARCH if limit > 1 else Kind.COUNTING] > 10
