"""Groups to plan for: every small one of a grid, and random ones of all kinds."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from itertools import combinations_with_replacement, product

from treasury.rebalancing.problem import Party, Problem

ONE = Decimal(1)


def party(
    key: str,
    balance: object,
    low: object,
    high: object | None,
    *,
    target: object | None = None,
    free: object | None = None,
    smallest: object | None = None,
    largest: object | None = None,
    gives: bool = True,
    takes: bool = True,
) -> Party:
    """``target`` is the minimum, and ``free`` the balance, unless they are given."""
    return Party(
        key=key,
        balance=Decimal(str(balance)),
        minimum=Decimal(str(low)),
        target=Decimal(str(low if target is None else target)),
        maximum=None if high is None else Decimal(str(high)),
        free=Decimal(str(balance if free is None else free)),
        smallest=None if smallest is None else Decimal(str(smallest)),
        largest=None if largest is None else Decimal(str(largest)),
        gives=gives,
        takes=takes,
    )


def everywhere(parties: Sequence[Party], step: Decimal = ONE) -> Problem:
    """Routes between any two."""
    routes = {(a.key, b.key) for a, b in product(parties, repeat=2) if a.key != b.key}
    return Problem(tuple(parties), frozenset(routes), step)


def hub(parties: Sequence[Party], step: Decimal = ONE) -> Problem:
    """All routes lead from or to the first."""
    problem = everywhere(parties, step)
    return replace(problem, routes=frozenset(route for route in problem.routes if parties[0].key in route))


def small() -> Iterator[Problem]:
    """Every group of a grid, but for the names of its accounts: 2 to 4 accounts, all to all and through a hub."""
    fine = list(product(range(5), [(0, 1), (1, 3), (2, 2), (2, None)], [1.0, 0.5]))
    coarse = list(product((0, 2, 5), [(0, 1), (1, 3), (3, 4)], [1.0]))
    yield from _grid(fine, 2, every=1)
    yield from _grid([one for one in fine if one[2] == 1.0], 3, every=2)
    yield from _grid(coarse, 4, every=1)


def _grid(
    kinds: Sequence[tuple[int, tuple[int, int | None], float]], accounts: int, *, every: int
) -> Iterator[Problem]:
    for number, chosen in enumerate(combinations_with_replacement(kinds, accounts)):
        if number % every == 0:
            yield everywhere(list(_parties(chosen)))
    for number, (first, rest) in enumerate(product(kinds, combinations_with_replacement(kinds, accounts - 1))):
        if number % (4 * every) == 0:
            yield hub(list(_parties([first, *rest])))


def _parties(kinds: Iterable[tuple[int, tuple[int, int | None], float]]) -> Iterator[Party]:
    for key, (balance, (low, high), share) in zip("abcd", kinds, strict=False):
        yield party(key, balance, low, high, target=low + 1 if high is None else high, free=int(balance * share))


def any_group(seed: int, accounts: int, top: int) -> Problem:
    """A random group of all kinds: free amounts, sizes, closed ends, no upper limits, hubs and missing routes."""
    dice = random.Random(f"{seed} {accounts} {top}")
    parties = [_any_party(dice, key, top) for key in "abcdef"[:accounts]]
    problem = dice.choice([everywhere, everywhere, hub])(parties)
    if dice.random() < 0.3:
        return replace(problem, routes=frozenset(r for r in sorted(problem.routes) if dice.random() < 0.6))
    return problem


def _any_party(dice: random.Random, key: str, top: int) -> Party:
    low = dice.randint(0, top // 2)
    high = None if dice.random() < 0.1 else low + dice.choice([0, 1, 2, top // 2])
    balance = dice.randint(0, top)
    smallest = dice.choice([None, None, None, 1, 2, 3])
    return party(
        key,
        balance,
        low,
        high,
        target=low if high is None else dice.randint(low, high),
        free=dice.choice([balance, balance, balance, dice.randint(0, balance)]),
        smallest=smallest,
        largest=dice.choice([None, None, None, max(smallest or 1, dice.randint(1, top))]),
        gives=dice.random() > 0.1,
        takes=dice.random() > 0.1,
    )
