"""Exactness: eighteen decimals and totals of 10^24 stay what they are to the last digit."""

from __future__ import annotations

import random
from decimal import Decimal
from fractions import Fraction

import pytest

from tests.rebalancing.instances import everywhere, hub, party
from treasury.models.amount import plain
from treasury.rebalancing import certificate, parts, whole
from treasury.rebalancing.problem import EXACT, Problem, balances_after, canonical, from_canonical
from treasury.rebalancing.solve import solve
from treasury.rebalancing.whole import Whole

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


def coarse(problem: Problem) -> Whole:
    """In the unit that the solver can hold."""
    (part,) = parts.parts(whole.whole(problem))
    return part.units


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
        assert not solution.certificate.own_step and not solution.certificate.lossless
        assert coarse(problem).unit == solution.certificate.unit


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
    numbers = coarse(problem)
    assert sum(numbers.give) <= whole.LARGEST < sum(whole.whole(problem).give)
    assert Fraction(solution.moves[0].amount) % Fraction(WEI) == 0


def test_a_band_that_only_exact_amounts_meet_is_met_by_the_greedy_plan() -> None:
    """Bands as narrow as one step, far below the unit that a search of such totals uses."""
    fits = EXACT.add(Decimal(10**24), ODD)
    problem = everywhere(
        [party("a", EXACT.add(fits, EXACT.add(Decimal(10**23), ODD)), fits, fits), party("b", 0, 10**22, None)], WEI
    )
    assert coarse(problem).unit > WEI
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


def odd(*, more: str = "0", each: str = "412350.25") -> Problem:
    """Six accounts at 10^18 steps to the unit, as most people hold them: three above, three below their band, which
    only a search can prove to need four transfers."""
    middle = Decimal(each)
    above = [
        party(key, middle + extra, middle, middle) for key, extra in (("a", 4 + Decimal(more)), ("b", 5), ("c", 6))
    ]
    lacking = Decimal(3) + Decimal(more)
    return everywhere([*above, party("d", 0, lacking, lacking), party("e", 0, 6, 6), party("f", 0, 6, 6)], WEI)


@pytest.mark.parametrize("each", ["412350.25", "0.000000000000000007"])
def test_amounts_that_are_not_odd_are_proven_at_any_step(each: str) -> None:
    """What counts is what must and may move: not the last digits of what stays."""
    problem = odd(each=each)
    stated = solve(problem).certificate
    assert (stated.kind, stated.count, stated.bound) == (certificate.Kind.SEARCH, 4, 4)
    assert stated.unit > WEI and stated.lossless and stated.left_proven and stated.moved_proven
    assert certificate.words(stated, str).endswith(
        f"Amounts were searched in multiples of {plain(stated.unit)}, and here no plan in finer amounts is better."
    )


def test_amounts_that_are_odd_to_the_last_digit_are_proven_by_counting_or_not_at_all() -> None:
    problem = odd(more="0.000000000000000001")
    solution = solve(problem)
    assert certificate.check(problem, solution.moves, solution.certificate) == []
    stated = solution.certificate
    assert (stated.kind, stated.count, stated.bound) == (certificate.Kind.BEST, 4, 3)
    assert not stated.lossless and not stated.moved_proven
    assert solution.moves == solve(problem, solver=False).moves


def test_a_rich_account_does_not_make_small_amounts_coarse() -> None:
    """It can give no more than the others can take."""
    rich = party("r", "98765432.123456789012345678", 0, None, takes=False)
    problem = everywhere([rich, party("a", 0, "0.000001", "0.000002"), party("b", 0, "0.000001", "0.000002")], WEI)
    assert solve(problem).certificate.own_step
