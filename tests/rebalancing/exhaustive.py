"""The best plan of a small group by trying all of them. Knows nothing of how the product plans.

In a plan no money comes back to where it set out: its accounts can be put in a row in which all transfers go forward.
Every row is tried, and in each row every amount of every transfer, account by account; of the plans that lead to the
same balances the one of the fewest transfers, then of the least moved, is kept.
"""

from __future__ import annotations

from itertools import permutations

from treasury.rebalancing.problem import Party, Problem

Worth = tuple[int, int, int, int]  # left outside, transfers, moved, distance to the targets
Ends = dict[tuple[int, ...], tuple[int, int]]  # changes of the balances -> (transfers, moved)


def best(problem: Problem) -> Worth:
    """Whole numbers and a step of 1 alone."""
    assert problem.step == 1
    parties, found, seen = problem.parties, set[Worth](), set()
    for row in permutations(range(len(parties))):
        forward = tuple((i, j) for place, i in enumerate(row) for j in row[place + 1 :] if _open(problem, i, j))
        if frozenset(forward) not in seen:
            seen.add(frozenset(forward))
            for more, (count, moved) in _ends(parties, row, forward).items():
                left = sum(_outside(party, int(party.balance) + more[k]) for k, party in enumerate(parties))
                distance = sum(abs(int(p.balance) + more[k] - int(p.target)) for k, p in enumerate(parties))
                found.add((left, count, moved, distance))
    return min(found)


def _open(problem: Problem, i: int, j: int) -> bool:
    source, destination = problem.parties[i], problem.parties[j]
    return (source.key, destination.key) in problem.routes and source.gives and destination.takes


def _ends(parties: tuple[Party, ...], row: tuple[int, ...], forward: tuple[tuple[int, int], ...]) -> Ends:
    ends: Ends = {(0,) * len(parties): (0, 0)}
    for i in row:
        for j in (j for source, j in forward if source == i):
            ends = _with_one_more(ends, parties, i, j)
        ends = {more: worth for more, worth in ends.items() if _may_end(parties[i], more[i])}
    return ends


def _with_one_more(ends: Ends, parties: tuple[Party, ...], i: int, j: int) -> Ends:
    """Without this transfer, and with it in every amount that its source has by then."""
    after = dict(ends)
    sizes = [parties[k].smallest for k in (i, j)], [parties[k].largest for k in (i, j)]
    least = max([1, *(int(one) for one in sizes[0] if one is not None)])
    for more, (count, moved) in ends.items():
        most = min([int(parties[i].free) + more[i], *(int(one) for one in sizes[1] if one is not None)])
        for amount in range(least, most + 1):
            changed = list(more)
            changed[i] -= amount
            changed[j] += amount
            key, worth = tuple(changed), (count + 1, moved + amount)
            if key not in after or worth < after[key]:
                after[key] = worth
    return after


def _outside(party: Party, held: int) -> bool:
    return held < party.minimum or (party.maximum is not None and held > party.maximum)


def _may_end(party: Party, more: int) -> bool:
    before, after = int(party.balance), int(party.balance) + more
    if before < party.minimum:
        return more >= 0 and (party.maximum is None or after <= party.maximum)
    if party.maximum is not None and before > party.maximum:
        return more <= 0 and after >= party.minimum
    return not _outside(party, after)
