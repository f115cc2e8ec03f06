"""The certificate: it says what is true, and a plan or certificate that was tampered with is found out."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import pytest

from tests.rebalancing.instances import any_group, everywhere, hub, party
from treasury.rebalancing import certificate
from treasury.rebalancing.certificate import Certificate, Kind
from treasury.rebalancing.problem import Move, Problem
from treasury.rebalancing.solve import Solution, solve

THREE_ABOVE = everywhere(
    [party("a", 9, 0, 5), party("b", 8, 0, 5), party("c", 7, 0, 5), party("d", 0, 4, 20), party("e", 5, 0, 20)]
)
OVER_A_HUB = hub([party("h", 0, 0, 0), party("a", 9, 0, 5), party("b", 8, 0, 5), party("c", 0, 7, 9)])
SEARCHED = everywhere([party("a", 10, 0, 4), party("b", 0, 3, 3), party("c", 0, 3, 3), party("d", 4, 0, 4)])
NOBODY_CAN = everywhere([party("a", 9, 0, 5, gives=False), party("b", 5, 0, 20)])


def said(problem: Problem, **how: bool) -> str:
    return certificate.words(solve(problem, **how).certificate, lambda key: f"account {key}")


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        (
            everywhere([party("a", 1, 0, 5), party("b", 1, 0, 5)]),
            "Nothing to do: every account is inside its band.",
        ),
        (THREE_ABOVE, "Proven fewest: 3 accounts are above their band and each must send at least once."),
        (
            everywhere([party("a", 9, 0, 5), party("b", 1, 0, 5)]),
            "Proven fewest: 1 account is above its band and must send at least once.",
        ),
        (
            everywhere([party("a", 9, 0, 2, largest=4), party("b", 1, 0, 9), party("c", 1, 0, 9)]),
            (
                "Proven fewest: 1 account is above its band and must send at least 2 times, "
                "for no fewer transfers are large enough."
            ),
        ),
        (
            OVER_A_HUB,
            (
                "Proven fewest: 2 accounts above and 1 account below their band need 3 transfers between them, and no "
                "transfer can serve one of each at once."
            ),
        ),
        (
            NOBODY_CAN,
            (
                "No transfer can bring any account inside its band. 1 account stays outside: account a. "
                "No plan helps more accounts."
            ),
        ),
    ],
)
def test_the_words_say_why(problem: Problem, words: str) -> None:
    assert said(problem) == words


def test_a_plan_that_only_a_search_proves_says_so() -> None:
    above = [party(key, 10 + more, 10, 10) for key, more in (("a", 4), ("b", 5), ("c", 6))]
    problem = everywhere([*above, party("d", 0, 3, 3), party("e", 0, 6, 6), party("f", 0, 6, 6)])
    stated = solve(problem).certificate
    assert (stated.kind, stated.count, stated.bound) == (Kind.SEARCH, 4, 4)
    assert "exhaustive search found no plan with 3 transfers" in said(problem)
    assert said(problem, solver=False) == "Best found: 4 transfers; at least 3 are needed."


def test_who_is_left_out_is_named_and_whether_that_is_proven() -> None:
    lost = everywhere([party("a", 90, 0, 3), party("b", 0, 1, 4)])
    assert "1 account stays outside: account a. No plan helps more accounts." in said(lost)


def test_a_coarser_unit_and_a_run_out_clock_are_said() -> None:
    stated = solve(THREE_ABOVE).certificate
    coarse = replace(stated, own_step=False, lossless=False, unit=Decimal("0.0001"), capped=True)
    words = certificate.words(coarse, str)
    assert "Amounts were searched in multiples of 0.0001. " in words
    assert "ran out of real time" in words


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"lossless": True}, ", and here no plan in finer amounts is better."),
        ({}, " alone."),
        ({"best_in_unit": True}, " alone, of which no plan that helps as many accounts has fewer transfers."),
        (
            {"best_in_unit": True, "left_proven": False},
            " alone, of which no plan helps more accounts, and none that helps as many has fewer transfers.",
        ),
        ({"best_in_unit": True, "left_proven": False, "kind": Kind.NO_HELP}, " alone, of which no plan helps."),
    ],
)
def test_what_is_known_of_a_coarser_unit_is_said_of_that_unit(changes: dict[str, object], words: str) -> None:
    coarse = {"own_step": False, "lossless": False, "best_in_unit": False, "unit": Decimal("0.0001"), "kind": Kind.BEST}
    stated = replace(solve(THREE_ABOVE).certificate, **(coarse | changes))
    assert certificate.words(stated, str).endswith(f"Amounts were searched in multiples of 0.0001{words}")


def test_a_search_that_may_have_lost_something_is_no_proof() -> None:
    above = [party(key, 10 + more, 10, 10) for key, more in (("a", 4), ("b", 5), ("c", 6))]
    problem = everywhere([*above, party("d", 0, 3, 3), party("e", 0, 6, 6), party("f", 0, 6, 6)])
    solution = solve(problem)
    coarse = replace(solution.certificate, own_step=False, lossless=False, unit=Decimal(10))
    assert "It does not hold that a search proves the count." in certificate.check(problem, solution.moves, coarse)
    unproven = replace(coarse, kind=Kind.BEST, bound=3)
    assert certificate.check(problem, solution.moves, unproven) == []


@pytest.mark.parametrize("solver", [True, False])
@pytest.mark.parametrize("problem", [THREE_ABOVE, OVER_A_HUB, SEARCHED, NOBODY_CAN])
def test_it_is_stored_as_json_and_read_back(problem: Problem, solver: bool) -> None:
    stated = solve(problem, solver=solver).certificate
    assert certificate.from_json(json.loads(json.dumps(stated.as_json()))) == stated


# -- tampering -----------------------------------------------------------------------------------------------

Tamper = Callable[[Solution], "tuple[tuple[Move, ...], Certificate] | None"]


def _more(one: Solution) -> tuple[tuple[Move, ...], Certificate]:
    first, *rest = one.moves
    return (replace(first, amount=first.amount + 1), *rest), one.certificate


def _half_a_step(one: Solution) -> tuple[tuple[Move, ...], Certificate]:
    first, *rest = one.moves
    return (replace(first, amount=first.amount - Decimal("0.5")), *rest), one.certificate


def _dropped(one: Solution) -> tuple[tuple[Move, ...], Certificate]:
    return tuple(replace(move, after=()) for move in one.moves[1:]), one.certificate


def _reversed(one: Solution) -> tuple[tuple[Move, ...], Certificate]:
    first, *rest = one.moves
    return (replace(first, source=first.destination, destination=first.source), *rest), one.certificate


def _twice(one: Solution) -> tuple[tuple[Move, ...], Certificate]:
    return (*one.moves, one.moves[-1]), one.certificate


def _elsewhere(one: Solution) -> tuple[tuple[Move, ...], Certificate]:
    first, *rest = one.moves
    return (replace(first, destination="nobody"), *rest), one.certificate


def _impatient(one: Solution) -> tuple[tuple[Move, ...], Certificate] | None:
    if not any(move.after for move in one.moves):
        return None
    return tuple(replace(move, after=()) for move in one.moves), one.certificate


def _backwards(one: Solution) -> tuple[tuple[Move, ...], Certificate] | None:
    if not any(move.after for move in one.moves):
        return None
    return tuple(reversed(one.moves)), one.certificate


def _stated(**changes: object) -> Tamper:
    return lambda one: (one.moves, replace(one.certificate, **changes))


def _count(one: Solution) -> tuple[tuple[Move, ...], Certificate]:
    return one.moves, replace(one.certificate, count=one.certificate.count - 1)


def _bound(one: Solution) -> tuple[tuple[Move, ...], Certificate]:
    return one.moves, replace(one.certificate, bound=one.certificate.bound + 1)


def _low_bound(one: Solution) -> tuple[tuple[Move, ...], Certificate]:
    return one.moves, replace(one.certificate, bound=one.certificate.bound - 1)


def _exaggerated(one: Solution) -> tuple[tuple[Move, ...], Certificate]:
    """As if every account needed one transfer more, with a bound to match."""
    more = {side: tuple((k, n + 1) for k, n in getattr(one.certificate, side)) for side in ("above", "below")}
    return one.moves, replace(one.certificate, **more)


def _forgotten(one: Solution) -> tuple[tuple[Move, ...], Certificate]:
    """As if accounts that can be mended were beyond help."""
    return one.moves, replace(one.certificate, above=(), below=())


def _wrong_side(one: Solution) -> tuple[tuple[Move, ...], Certificate]:
    return one.moves, replace(one.certificate, above=one.certificate.below, below=one.certificate.above)


TAMPERINGS: dict[str, Tamper] = {
    "more": _more,
    "half a step": _half_a_step,
    "dropped": _dropped,
    "reversed": _reversed,
    "twice": _twice,
    "elsewhere": _elsewhere,
    "impatient": _impatient,
    "backwards": _backwards,
    "count": _count,
    "bound": _bound,
    "low bound": _low_bound,
    "exaggerated": _exaggerated,
    "forgotten": _forgotten,
    "wrong side": _wrong_side,
    "moved": _stated(moved=Decimal("0.5")),
    "distance": _stated(distance=Decimal("0.5")),
    "left out": _stated(left_out=("a", "b", "c")),
    "mended": _stated(mended=99),
    "nothing": _stated(kind=Kind.NOTHING),
    "no help": _stated(kind=Kind.NO_HELP),
    "unproven": _stated(kind=Kind.BEST),
    "step": _stated(own_step=False),
    "lost": _stated(lossless=False),
}


@pytest.mark.parametrize("name", TAMPERINGS)
@pytest.mark.parametrize("problem", [THREE_ABOVE, OVER_A_HUB])
def test_whatever_is_tampered_with_is_found_out(problem: Problem, name: str) -> None:
    """Each account of these groups ends at the edge of its band or is needed, so that no change is a plan as good."""
    solution = solve(problem)
    assert solution.certificate.kind is Kind.COUNTING
    assert certificate.check(problem, solution.moves, solution.certificate) == []
    tampered = TAMPERINGS[name](solution)
    if tampered is not None:
        assert certificate.check(problem, *tampered), name


def test_a_plan_over_a_hub_can_be_made_impatient() -> None:
    assert any(move.after for move in solve(OVER_A_HUB).moves), "else two of the tamperings change nothing"


def test_no_random_tampering_with_an_amount_goes_unseen() -> None:
    """A changed amount changes what was moved, whether or not the plan is still legal."""
    seen = 0
    for seed in range(200):
        problem = any_group(seed, 5, 9)
        solution = solve(problem, solver=False)
        if solution.moves:
            seen += 1
            for tamper in (_more, _half_a_step, _dropped, _reversed, _twice, _count, _bound):
                tampered = tamper(solution)
                assert tampered is not None
                assert certificate.check(problem, *tampered), (seed, tamper)
    assert seen > 50


def test_sharing_that_is_understated_is_found_out() -> None:
    """It would raise the bound without reason."""
    problem = everywhere([party("a", 9, 0, 5), party("b", 0, 4, 8)])
    solution = solve(problem)
    assert solution.certificate.shared == 1
    lying = replace(solution.certificate, shared=0)
    assert certificate.check(problem, solution.moves, lying)


def test_a_bound_that_is_forged_to_fit_the_count_is_found_out() -> None:
    """Everything agrees with everything; only no account needs as many transfers as is claimed of it."""
    above = [party(key, 10 + more, 10, 10) for key, more in (("a", 4), ("b", 5), ("c", 6))]
    problem = everywhere([*above, party("d", 0, 3, 3), party("e", 0, 6, 6), party("f", 0, 6, 6)])
    solution = solve(problem, solver=False)
    assert (solution.certificate.kind, solution.certificate.bound) == (Kind.BEST, 3)
    forged = replace(solution.certificate, kind=Kind.COUNTING, bound=4, above=(("a", 2), ("b", 1), ("c", 1)), shared=3)
    assert certificate.check(problem, solution.moves, forged) == ["a: 2 transfers are more than it needs."]
