"""Solving: hubs, who cannot be helped, the order of execution, and life without a solver."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from decimal import Decimal

import pytest

from tests.rebalancing.instances import ONE, everywhere, hub, party
from treasury.rebalancing import certificate, search
from treasury.rebalancing.certificate import Kind
from treasury.rebalancing.problem import Problem
from treasury.rebalancing.search import Clock
from treasury.rebalancing.solve import solve


def rows(problem: Problem, **how: bool) -> list[tuple[str, str, str, tuple[int, ...]]]:
    solution = solve(problem, **how)
    assert certificate.check(problem, solution.moves, solution.certificate) == []
    return [(move.source, move.destination, str(move.amount), move.after) for move in solution.moves]


both = pytest.mark.parametrize("solver", [True, False])


@both
def test_a_hub_passes_on_what_arrives_first(solver: bool) -> None:
    problem = hub([party("h", 0, 0, 0), party("a", 9, 0, 5), party("b", 0, 4, 8)])
    assert rows(problem, solver=solver) == [("a", "h", "4", ()), ("h", "b", "4", (0,))]


@both
def test_a_hub_spends_its_own_free_money_first(solver: bool) -> None:
    problem = hub([party("h", 5, 5, 5), party("a", 9, 0, 5), party("b", 0, 4, 8)])
    assert [after for *_, after in rows(problem, solver=solver)] == [(), ()]


@both
def test_only_what_cannot_be_paid_waits(solver: bool) -> None:
    """The hub has 3 free: it pays the smaller transfer at once, and waits with the larger."""
    problem = hub([party("h", 3, 3, 3), party("a", 12, 0, 4), party("b", 0, 5, 5), party("c", 0, 3, 3)])
    found = rows(problem, solver=solver)
    assert {row[:3]: row[3] for row in found} == {
        ("a", "h", "8"): (),
        ("h", "c", "3"): (),
        ("h", "b", "5"): (found.index(("a", "h", "8", ())),),
    }


@both
def test_who_cannot_be_helped_does_not_keep_the_others_from_it(solver: bool) -> None:
    problem = everywhere(
        [party("a", 9, 0, 5), party("b", 0, 4, 8), party("c", 0, 4, 8, takes=False), party("d", 50, 0, 9, gives=False)]
    )
    solution = solve(problem, solver=solver)
    assert rows(problem, solver=solver) == [("a", "b", "4", ())]
    assert solution.certificate.left_out == ("c", "d")
    assert solution.certificate.left_proven


@both
def test_who_is_left_out_still_gives_to_others(solver: bool) -> None:
    problem = everywhere([party("a", 100, 0, 5), party("b", 0, 4, 8)])
    assert rows(problem, solver=solver) == [("a", "b", "4", ())]
    assert solve(problem, solver=solver).certificate.left_out == ("a",)


@both
def test_nobody_is_helped_at_another_ones_cost(solver: bool) -> None:
    problem = everywhere([party("a", 4, 4, 8), party("b", 0, 4, 8)])
    stated = solve(problem, solver=solver).certificate
    assert (stated.kind, stated.left_out, stated.left_proven) == (Kind.NO_HELP, ("b",), True)


@both
def test_money_over_the_floor_alone_is_given(solver: bool) -> None:
    problem = everywhere([party("a", 9, 0, 5, free=3), party("b", 0, 3, 8)])
    assert rows(problem, solver=solver) == [("a", "b", "3", ())]
    assert solve(problem, solver=solver).certificate.left_out == ("a",)


@both
def test_an_account_without_an_upper_limit_takes_everything(solver: bool) -> None:
    problem = everywhere([party("a", 10**9, 0, 5), party("b", 0, 0, None)])
    assert rows(problem, solver=solver) == [("a", "b", str(10**9 - 5), ())]


@both
def test_a_limit_on_one_transfer_makes_more_accounts_take_part(solver: bool) -> None:
    """At most one transfer from one account to another: a second one to the same is no way out."""
    problem = everywhere([party("a", 10, 0, 2, largest=4), party("b", 0, 0, 99), party("c", 0, 0, 99)])
    assert sorted(row[1] for row in rows(problem, solver=solver)) == ["b", "c"]
    alone = everywhere([party("a", 10, 0, 2, largest=4), party("b", 0, 0, 99)])
    assert rows(alone, solver=solver) == []


@both
def test_money_is_not_sent_there_and_back_to_get_past_a_smallest_size(solver: bool) -> None:
    problem = everywhere([party("a", 8, 5, 6, smallest=4), party("b", 0, 0, 3, smallest=1)])
    assert rows(problem, solver=solver) == []


def test_of_as_few_transfers_the_least_is_moved_then_the_targets_are_neared() -> None:
    near = everywhere([party("a", 9, 0, 5), party("b", 0, 0, 9, target=0), party("c", 0, 0, 9, target=4)])
    assert rows(near) == [("a", "c", "4", ())]


def test_without_the_solver_the_plan_has_its_bound() -> None:
    problem = everywhere([party("a", 9, 0, 5), party("b", 0, 4, 8)])
    stated = solve(problem, solver=False).certificate
    assert (stated.kind, stated.count, stated.bound, stated.solver) == (Kind.COUNTING, 1, 1, "")


def test_the_solver_and_its_limit_are_in_the_certificate() -> None:
    stated = solve(everywhere([party("a", 9, 0, 5), party("b", 0, 4, 8)]), limit=3.5).certificate
    assert stated.solver.startswith("ortools 9.")
    assert (stated.limit, stated.seed, stated.capped) == ("3.5", search.SEED, False)


def test_a_search_that_runs_out_of_real_time_says_so_and_keeps_the_greedy_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "REAL_SECONDS", 0)
    above = [party(key, 10 + more, 10, 10) for key, more in (("a", 4), ("b", 5), ("c", 6))]
    problem = everywhere([*above, party("d", 0, 3, 3), party("e", 0, 6, 6), party("f", 0, 6, 6)])
    solution = solve(problem)
    assert solution.certificate.capped
    assert solution.certificate.kind is Kind.BEST
    assert solution.moves == solve(problem, solver=False).moves
    assert certificate.check(problem, solution.moves, solution.certificate) == []


def test_a_search_without_a_limit_left_keeps_the_greedy_plan() -> None:
    assert Clock(0.0).share(1) == 0.0
    problem = everywhere([party("a", 9, 0, 5), party("b", 0, 4, 8)])
    assert solve(problem, limit=0.0).moves == solve(problem, solver=False).moves


SWAP = [party("a", 3, 3, 5, target=5), party("b", 3, 0, 0), party("c", 1, 0, None, smallest=3)]
SWAPPED = [("a", "c", "3", ()), ("b", "a", "3", ())]
RICH = [party("y", 10**18, 0, None), party("z", 0, 0, None)]  # more steps than the solver can hold


def routes_of(*pairs: str) -> frozenset[tuple[str, str]]:
    return frozenset((pair[0], pair[1]) for pair in pairs)


def test_who_has_no_route_to_those_outside_makes_no_difference() -> None:
    alone = Problem(tuple(SWAP), routes_of("ac", "ba"), ONE)
    beside = Problem((*SWAP, *RICH), routes_of("ac", "ba", "yz"), ONE)
    assert rows(alone) == rows(beside) == SWAPPED
    assert solve(alone).certificate == replace(solve(beside).certificate, distance=solve(alone).certificate.distance)


def test_each_part_is_searched_in_its_own_unit() -> None:
    problem = Problem((*SWAP, RICH[0], party("z", 0, 1, None)), routes_of("ac", "ba", "yz"), ONE)
    assert rows(problem) == [*SWAPPED, ("y", "z", "1", ())]


def test_parts_that_were_not_searched_to_the_end_do_not_add_up() -> None:
    """Left aside: that two transfers help the one account here, and to leave it at that would save three there."""
    three = [party(key, 9, 0, 9, largest=2) for key in "pqr"]
    problem = Problem((*SWAP, *three, party("e", 0, 6, 9)), routes_of("ac", "ba", "pe", "qe", "re"), ONE)
    stated = solve(problem, limit=0.0).certificate
    assert (stated.count, stated.left_out, stated.left_proven) == (3, ("b",), False)
    assert (stated.kind, stated.bound) == (Kind.BEST, 1)
    assert (solve(problem).certificate.kind, solve(problem).certificate.left_out) == (Kind.SEARCH, ())


def test_a_search_in_a_coarser_unit_rules_no_plan_out() -> None:
    """As in the plan with one account less, two transfers mend everything; hundreds of steps cannot say so."""
    problem = Problem((*SWAP, *RICH), routes_of("ac", "ba", "yz", "yb"), ONE)
    assert rows(problem) == []
    stated = solve(problem).certificate
    assert (stated.kind, stated.left_out, stated.left_proven) == (Kind.NO_HELP, ("b",), False)
    assert (stated.unit, stated.lossless, stated.best_in_unit) == (100, False, True)
    assert certificate.words(stated, str) == (
        "No plan was found that helps; one is not ruled out. 1 account stays outside: b. "
        "Amounts were searched in multiples of 100 alone, of which no plan helps."
    )


def test_that_nobody_can_be_helped_is_only_said_where_it_is_proven(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = Problem(tuple(SWAP), routes_of("ac", "ba"), ONE)
    said = "No plan was found that helps; one is not ruled out. 1 account stays outside: b."
    assert certificate.words(solve(problem, solver=False).certificate, str) == said
    assert certificate.words(solve(problem, limit=0.0).certificate, str) == said
    monkeypatch.setattr(search, "REAL_SECONDS", 0)
    assert certificate.words(solve(problem).certificate, str).startswith(f"{said} The search ran out of real time")
    closed = Problem((*SWAP[:2], replace(SWAP[2], takes=False)), routes_of("ac", "ba"), ONE)
    proven = (
        "No transfer can bring any account inside its band. 1 account stays outside: b. No plan helps more accounts."
    )
    assert certificate.words(solve(closed).certificate, str) == proven


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


IMPORTS = "from treasury.rebalancing import bound, certificate, greedy, order, problem, recheck, search, solve, whole"


def test_importing_the_planner_loads_no_solver_and_no_django() -> None:
    assert python(f"import sys; {IMPORTS}; print([n for n in ('ortools', 'django') if n in sys.modules])") == "[]"


def test_where_the_solver_is_not_installed_the_greedy_plan_is_made() -> None:
    code = f"""
import sys
sys.modules["ortools"] = None
{IMPORTS}
from tests.rebalancing.instances import everywhere, party
solution = solve.solve(everywhere([party("a", 9, 0, 5), party("b", 0, 4, 8)]))
print(len(solution.moves), solution.certificate.kind.value, repr(solution.certificate.solver))
"""
    assert python(code) == "1 counting ''"


def test_two_parties_of_one_key_and_a_step_of_nothing_are_refused() -> None:
    one = party("a", 1, 0, 1)
    with pytest.raises(ValueError, match="same key"):
        Problem((one, one), frozenset(), ONE)
    with pytest.raises(ValueError, match="above 0"):
        Problem((one,), frozenset(), Decimal(0))


def test_a_route_to_a_stranger_is_not_used() -> None:
    problem = everywhere([party("a", 9, 0, 5), party("b", 0, 4, 8)])
    wider = replace(problem, routes=problem.routes | {("a", "nobody"), ("nobody", "b"), ("a", "a")})
    assert rows(wider) == rows(problem)
