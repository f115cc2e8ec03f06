"""How few transfers any plan needs, by counting alone; and whom no plan can help.

**The bound.** A transfer has one source and one destination. An account above its band that ends inside is the source
of at least one transfer, and of at least k if its k − 1 largest possible transfers together are less than what it is
above; one below is likewise the destination of at least k. Take k such transfers of each mended account. Among them no
transfer stands twice for accounts above, nor twice for accounts below; but it may stand for one above and one below, if
a route leads from the one to the other. Let ``shared`` be the most transfers that can do so at once (each account in
at most k, each route once: a matching). So the plan has at least (sum of k above) + (sum of k below) − shared
transfers. Where every account above has a route to every one below and all k are 1, that is the larger of both counts.

**When not all are mended.** If m accounts end inside, then h of those above and m − h of those below, for some h. For
each h the least sums A and B are those of the h and m − h smallest k, and no more than the smaller of A, B and
``shared`` can be shared: at least max(A, B, A + B − shared). The bound is the least of it over all h. With every
k = 1, a above, b below and everything shared that can be, that is the least of max(h, m − h) with m − b <= h <= a,
which is max(ceil(m / 2), m − a, m − b). More mended accounts never lower it.

**What a transfer may be at most.** Two arguments; each is true, and the better bound of the two is taken.
*By sizes*: the largest transfer of both ends; and never more than a destination that nothing leaves may take, nor more
than a source may give that nothing reaches.
*By room*, where ``whole.passes_nothing_on``: never more than the destination may take in the end, nor than the source
may give. Sizes are left aside here, for without them no plan gets longer, and some shortest plan then has no account
that both takes and gives; so each transfer changes what both of its ends hold in the end by its whole amount.
An account whose possible transfers together are less than what it lacks, or has too much, ends inside in no plan.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from enum import Enum

from treasury.rebalancing import whole
from treasury.rebalancing.whole import Route, Whole


class Argument(Enum):
    SIZES = "sizes"
    ROOM = "room"


@dataclass(frozen=True)
class Counting:
    """``above`` and ``below``: {account that may be mended: how many transfers it needs at least}. ``shared``: the most
    transfers that can serve one of each at once."""

    argument: Argument
    above: Mapping[int, int]
    below: Mapping[int, int]
    shared: int

    @property
    def mendable(self) -> int:
        return len(self.above) + len(self.below)

    def transfers(self, mended: int) -> int:
        """The least number of transfers of a plan that mends so many accounts, at most ``mendable``."""
        above, below = _sums(self.above), _sums(self.below)
        return min(
            max(above[h], below[mended - h], above[h] + below[mended - h] - self.shared)
            for h in range(len(above))
            if 0 <= mended - h < len(below)
        )


def counting(numbers: Whole) -> Counting:
    """The better of both arguments; accounts that either shows to be beyond help are counted in neither."""
    by = {Argument.SIZES: _by_sizes(numbers)}
    if whole.passes_nothing_on(numbers):
        by[Argument.ROOM] = _by_room(numbers)
    times = {argument: _needed(most, numbers) for argument, most in by.items()}
    helped = set.intersection(*(set(needed) for needed in times.values()))
    found = []
    for argument, needed in times.items():
        above = {k: needed[k] for k in numbers.outside if k in helped and numbers.need[k] < 0}
        below = {k: needed[k] for k in numbers.outside if k in helped and numbers.need[k] > 0}
        found.append(Counting(argument, above, below, _shared(above, below, by[argument])))
    return max(found, key=lambda one: one.transfers(one.mendable))  # of equals the first


def _by_sizes(numbers: Whole) -> dict[Route, int]:
    senders, receivers = {i for i, _ in numbers.sizes}, {j for _, j in numbers.sizes}
    return {
        (i, j): min(
            most,
            numbers.give[i] if i not in receivers else most,
            numbers.take[j] if j not in senders else most,
        )
        for (i, j), (_, most) in numbers.sizes.items()
    }


def _by_room(numbers: Whole) -> dict[Route, int]:
    return {(i, j): min(numbers.give[i], numbers.take[j]) for i, j in numbers.routes}


def _needed(most: Mapping[Route, int], numbers: Whole) -> dict[int, int]:
    """{account outside its band: how many transfers it needs at least}, without those that nothing can mend."""
    possible: dict[int, list[int]] = {k: [] for k in numbers.outside}
    for (i, j), amount in most.items():
        if numbers.need[i] < 0:
            possible[i].append(amount)
        if numbers.need[j] > 0:
            possible[j].append(amount)
    can = {k: numbers.give[k] if numbers.need[k] < 0 else numbers.take[k] for k in possible}
    needs = {k: abs(numbers.need[k]) for k in possible}
    times = {k: _times(amounts, needs[k]) for k, amounts in possible.items() if can[k] >= needs[k]}
    return {k: one for k, one in times.items() if one}


def _times(amounts: list[int], need: int) -> int:
    """How many of these amounts it takes to reach the need; 0 when all together do not."""
    together = 0
    for times, amount in enumerate(sorted(amounts, reverse=True), start=1):
        together += amount
        if together >= need:
            return times
    return 0


def _sums(times: Mapping[int, int]) -> list[int]:
    """The least sum of any h of these numbers, for each h from 0."""
    sums = [0]
    for one in sorted(times.values()):
        sums.append(sums[-1] + one)
    return sums


def _shared(above: Mapping[int, int], below: Mapping[int, int], routes: Container[Route]) -> int:
    """The most routes from above to below of which no account has more than it needs: augmenting paths."""
    onward = {i: [j for j in below if (i, j) in routes] for i in above}
    taken: dict[int, list[int]] = {j: [] for j in below}

    def place(i: int, tried: set[int]) -> bool:
        for j in onward[i]:
            if j not in tried and i not in taken[j]:
                tried.add(j)
                if len(taken[j]) < below[j]:
                    taken[j].append(i)
                    return True
                for other in list(taken[j]):
                    if place(other, tried):
                        taken[j].remove(other)
                        taken[j].append(i)
                        return True
        return False

    return sum(place(i, set()) for i, times in above.items() for _ in range(times))
