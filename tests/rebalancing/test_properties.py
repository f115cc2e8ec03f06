"""What holds of every plan, whatever the group: hypothesis looks for one of which it does not."""

from __future__ import annotations

import random
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.rebalancing.instances import party
from treasury.rebalancing import certificate
from treasury.rebalancing.problem import Move, Party, Problem, balances_after, canonical, from_canonical
from treasury.rebalancing.solve import solve

STEPS = [Decimal("1"), Decimal("0.01"), Decimal("0.00000001"), Decimal("1E-18"), Decimal("25")]
many = settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def parties(draw: st.DrawFn, key: str, grain: Decimal) -> Party:
    """Numbers that are not always whole steps: what a balance holds beyond them must stay where it is."""

    def amount(low: int = 0, high: int = 4000) -> Decimal:
        return draw(st.integers(low, high)) * grain

    low, width, balance = amount(), draw(st.none() | st.integers(0, 2000)), amount(0, 8000)
    high = None if width is None else low + width * grain
    smallest = draw(st.none() | st.integers(1, 300))
    return party(
        key,
        balance,
        low,
        high,
        target=low if high is None else low + draw(st.integers(0, width or 0)) * grain,
        free=draw(st.just(balance) | st.integers(0, 8000).map(lambda n: min(balance, n * grain))),
        smallest=None if smallest is None else smallest * grain,
        largest=draw(st.none() | st.integers(smallest or 1, 5000).map(lambda n: n * grain)),
        gives=draw(st.sampled_from([True, True, True, False])),
        takes=draw(st.sampled_from([True, True, True, False])),
    )


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    step = draw(st.sampled_from(STEPS))
    grain = draw(st.sampled_from([step, step / 10]))
    keys = "abcdefg"[: draw(st.integers(2, 7))]
    routes = [(a, b) for a in keys for b in keys if a != b]
    kept = draw(st.just(routes) | st.lists(st.sampled_from(routes)) | st.just([r for r in routes if "a" in r]))
    return Problem(tuple(draw(parties(key, grain)) for key in keys), frozenset(kept), step)


@many
@given(problems(), st.booleans())
def test_a_plan_crosses_no_floor_no_band_no_route_and_no_precision(problem: Problem, solver: bool) -> None:
    solution = solve(problem, limit=1.0, solver=solver)
    assert certificate.check(problem, solution.moves, solution.certificate) == []
    for one in solution.moves:
        source, destination = (next(p for p in problem.parties if p.key == k) for k in (one.source, one.destination))
        assert (one.source, one.destination) in problem.routes and source.gives and destination.takes
        assert one.amount > 0 and Fraction(one.amount) % Fraction(problem.step) == 0
        assert all(p.smallest is None or one.amount >= p.smallest for p in (source, destination))
        assert all(p.largest is None or one.amount <= p.largest for p in (source, destination))
    held = balances_after(problem, solution.moves)
    for one in problem.parties:
        ceiling = Decimal("Infinity") if one.maximum is None else one.maximum
        assert one.balance - held[one.key] <= one.free, "never through the floor"
        if one.minimum <= one.balance <= ceiling:
            assert one.minimum <= held[one.key] <= ceiling, "who was inside stays inside"
        elif one.balance < one.minimum:
            assert one.balance <= held[one.key] <= ceiling
        else:
            assert one.minimum <= held[one.key] <= one.balance


@many
@given(problems())
def test_a_plan_makes_and_loses_no_money(problem: Problem) -> None:
    held = balances_after(problem, solve(problem, solver=False).moves)
    assert sum(map(Fraction, held.values())) == sum(Fraction(one.balance) for one in problem.parties)


@many
@given(problems())
def test_every_step_of_a_plan_can_be_paid_from_what_is_free_or_has_settled(problem: Problem) -> None:
    moves = solve(problem, solver=False).moves
    free = {one.key: one.free for one in problem.parties}
    for number, move in enumerate(moves):
        assert all(before < number for before in move.after)
        assert free[move.source] >= move.amount
        free[move.source] -= move.amount
        free[move.destination] += move.amount


@many
@given(problems())
def test_nothing_waits_that_need_not(problem: Problem) -> None:
    """Without any one of what it waits for, a transfer could not be paid with all that its source sends before it."""
    moves = solve(problem, solver=False).moves
    free = {one.key: one.free for one in problem.parties}
    for move in moves:
        arriving = [moves[one].amount for one in move.after if moves[one].destination == move.source]
        sent = sum(
            other.amount for other in moves if other.source == move.source and set(other.after) <= set(move.after)
        )
        assert all(free[move.source] + sum(arriving) - one < sent for one in arriving)
        assert len(arriving) == len(move.after), "only what arrives at the source is waited for"


@many
@given(problems(), st.integers(0, 99))
def test_the_order_in_which_accounts_are_told_changes_nothing(problem: Problem, seed: int) -> None:
    shuffled = list(problem.parties)
    random.Random(seed).shuffle(shuffled)
    other = replace(problem, parties=tuple(shuffled))
    assert canonical(other) == canonical(problem)
    assert solve(other, limit=1.0) == solve(problem, limit=1.0)


@many
@given(problems())
def test_the_canonical_text_is_read_back_as_the_same_problem(problem: Problem) -> None:
    text = canonical(problem)
    again = from_canonical(text)
    assert canonical(again) == text
    assert set(again.parties) == set(problem.parties)
    assert (again.routes, again.step) == (problem.routes, problem.step)
    assert "E" not in text


@many
@given(problems())
def test_the_search_is_never_worse_than_the_greedy_plan(problem: Problem) -> None:
    searched, greedy = solve(problem, limit=1.0), solve(problem, solver=False)

    def worth(moves: tuple[Move, ...], left: tuple[str, ...]) -> tuple[int, int, Decimal]:
        return len(left), len(moves), sum((move.amount for move in moves), Decimal(0))

    assert worth(searched.moves, searched.certificate.left_out) <= worth(greedy.moves, greedy.certificate.left_out)
