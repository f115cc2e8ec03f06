"""The planner against whoever tries everything."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.rebalancing import exhaustive, instances
from treasury.rebalancing import certificate, recheck
from treasury.rebalancing.certificate import Kind
from treasury.rebalancing.problem import Problem
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
