"""Exactness: eighteen decimals and totals of 10^24 stay what they are to the last digit."""

from __future__ import annotations

import random
from decimal import Decimal
from fractions import Fraction

import pytest

from tests.rebalancing.instances import everywhere, hub, party
from treasury.rebalancing import certificate, whole
from treasury.rebalancing.problem import EXACT, Problem, balances_after, canonical, from_canonical
from treasury.rebalancing.solve import solve

WEI = Decimal("1E-18")
ODD = Decimal("0.000000000000000007")


def large(seed: int, accounts: int) -> Problem:
    """Balances of 10^22 to 10^24 with eighteen decimals, none of them round."""
    dice = random.Random(seed)
    parties = []
    for number in range(accounts):
        target = Decimal(dice.randrange(10**40, 10**42)).scaleb(-18)
        low, high = (Fraction(target) * share for share in (Fraction(9, 10), Fraction(11, 10)))
        exact = [Decimal(int(one * 10**18)).scaleb(-18) for one in (low, high)]
        balance = Decimal(int(target.scaleb(18)) * dice.randrange(700, 1300) // 1000 + dice.randrange(10**9)).scaleb(
            -18
        )
        parties.append(party(f"a{number}", balance, exact[0], exact[1], target=target))
    return everywhere(parties, WEI)


@pytest.mark.parametrize("solver", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_forty_three_digits_are_planned_exactly(seed: int, solver: bool) -> None:
    problem = large(seed, 6)
    solution = solve(problem, limit=1.0, solver=solver)
    assert certificate.check(problem, solution.moves, solution.certificate) == []
    held = balances_after(problem, solution.moves)
    assert sum(Fraction(one) for one in held.values()) == sum(Fraction(one.balance) for one in problem.parties)
    assert from_canonical(canonical(problem)) == problem
    if solver:
        assert not solution.certificate.own_step
        assert whole.coarse(problem).unit == solution.certificate.unit


def test_a_coarse_unit_leaves_what_is_beyond_it_where_it_is() -> None:
    """The odd last digits of the balances stay; the transfers are multiples of the unit that was searched in."""
    problem = everywhere(
        [
            party("a", EXACT.add(Decimal(9 * 10**23), ODD), 0, 5 * 10**23),
            party("b", ODD * 3, 4 * 10**23, 6 * 10**23),
            party("c", EXACT.add(Decimal(10**23), ODD), 0, 10**24),
        ],
        WEI,
    )
    solution = solve(problem)
    assert certificate.check(problem, solution.moves, solution.certificate) == []
    assert [(move.source, move.destination) for move in solution.moves] == [("a", "b")]
    numbers = whole.coarse(problem)
    assert sum(numbers.give) <= whole.LARGEST < sum(whole.whole(problem).give)
    assert Fraction(solution.moves[0].amount) % Fraction(WEI) == 0


def test_a_band_that_only_exact_amounts_meet_is_met_by_the_greedy_plan() -> None:
    """Bands as narrow as one step, far below the unit that a search of such totals uses."""
    fits = EXACT.add(Decimal(10**24), ODD)
    problem = everywhere(
        [party("a", EXACT.add(fits, EXACT.add(Decimal(10**23), ODD)), fits, fits), party("b", 0, 10**22, None)], WEI
    )
    assert whole.coarse(problem).unit > WEI
    solution = solve(problem)
    assert certificate.check(problem, solution.moves, solution.certificate) == []
    assert [str(move.amount) for move in solution.moves] == ["100000000000000000000000.000000000000000007"]
    assert solution.certificate.left_out == ()
    assert solution.certificate.kind is certificate.Kind.COUNTING


def test_one_step_too_much_is_too_much() -> None:
    """A band, a free amount and a size are kept to the last of 42 digits."""
    whole_of_it = Decimal(10**24)
    inside = everywhere([party("a", whole_of_it, 0, whole_of_it), party("b", 0, 0, 1)], WEI)
    assert solve(inside).certificate.kind is certificate.Kind.NOTHING
    above = everywhere([party("a", EXACT.add(whole_of_it, ODD), 0, whole_of_it), party("b", 0, 0, 1)], WEI)
    assert [move.amount for move in solve(above).moves] == [ODD]
    short = everywhere(
        [party("a", whole_of_it, 0, 0, free=EXACT.subtract(whole_of_it, WEI)), party("b", 0, whole_of_it, None)], WEI
    )
    assert solve(short).certificate.kind is certificate.Kind.NO_HELP


def test_a_balance_that_is_no_whole_number_of_steps_keeps_its_rest() -> None:
    problem = hub([party("a", "9.005", 0, "5.001"), party("b", "0.007", "4", 8)], Decimal("0.01"))
    solution = solve(problem)
    assert certificate.check(problem, solution.moves, solution.certificate) == []
    assert [str(move.amount) for move in solution.moves] == ["4.01"]
    assert str(balances_after(problem, solution.moves)["a"]) == "4.995"


def test_a_band_between_two_steps_can_be_met_by_nobody() -> None:
    problem = everywhere([party("a", 9, "5.2", "5.8"), party("b", 0, 0, 99)])
    stated = solve(problem).certificate
    assert (stated.kind, stated.left_out, stated.left_proven) == (certificate.Kind.NO_HELP, ("a",), True)


def test_the_same_problem_gets_the_same_plan_to_the_last_digit() -> None:
    assert solve(large(1, 6), limit=1.0) == solve(large(1, 6), limit=1.0)
