"""A group's problem in whole numbers of one unit: what each account may give or take on balance, and over which routes.

The planner reckons in Python's integers alone. The unit is the venue's step, or for the solver a power of ten of it
(``parts``); what a balance holds beyond a whole unit stays on its account, and bands, sizes and free amounts are
rounded to the safe side. So whatever is legal here is legal to the last digit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from math import ceil, floor

from treasury.rebalancing.problem import Party, Problem

Route = tuple[int, int]  # positions of source and destination
Flow = Mapping[Route, int]  # units, all above 0
Sizes = Mapping[Route, tuple[int, int]]  # the least and the most of one transfer, in units

LARGEST = 2**58  # the solver's sums are of 64 bits, and no rule of ours adds up more than all transfers a few times


@dataclass(frozen=True)
class Whole:
    """Per account, by its position, in units of ``unit``.

    ``give`` and ``take``: how much less, or more, it may hold in the end. An account that is inside its band ends
    inside; one that is outside never moves away from its band, nor through it.
    ``need``: how much more it must hold to be inside (below 0: how much less; 0: it is inside).
    ``goal``: how much more it would hold at its target.
    ``routes``: where both ends allow it; ``sizes``: those of them that some amount fits through.
    """

    unit: Decimal
    keys: tuple[str, ...]
    give: tuple[int, ...]
    take: tuple[int, ...]
    need: tuple[int, ...]
    goal: tuple[int, ...]
    routes: tuple[Route, ...]
    sizes: Sizes

    @property
    def outside(self) -> list[int]:
        return [k for k, need in enumerate(self.need) if need]

    def changes(self, flow: Flow) -> list[int]:
        """How much more each account holds after these transfers."""
        more = [0] * len(self.keys)
        for (source, destination), amount in flow.items():
            more[source] -= amount
            more[destination] += amount
        return more

    def unmet(self, flow: Flow) -> list[int]:
        """Those that are outside their band after these transfers."""
        more = self.changes(flow)
        return [k for k in self.outside if (more[k] < self.need[k] if self.need[k] > 0 else more[k] > self.need[k])]

    def legal(self, flow: Flow, sizes: Sizes) -> bool:
        """Routes, sizes and bands hold, and the money goes in no circle."""
        return (
            all(e in sizes and sizes[e][0] <= amount <= sizes[e][1] for e, amount in flow.items())
            and all(-g <= c <= t for c, g, t in zip(self.changes(flow), self.give, self.take, strict=True))
            and circle(flow) is None
        )

    def distance(self, flow: Flow) -> int:
        return sum(abs(change - goal) for change, goal in zip(self.changes(flow), self.goal, strict=True))

    def worth(self, flow: Flow) -> tuple[int, int, int, int]:
        """What makes one plan better than another, the weightiest first; less is better."""
        return len(self.unmet(flow)), len(flow), sum(flow.values()), self.distance(flow)


def whole(problem: Problem) -> Whole:
    """The problem in units of the step."""
    unit = problem.step
    parties = sorted(problem.parties, key=lambda party: party.key)
    place = {party.key: k for k, party in enumerate(parties)}
    routes = tuple(
        sorted(
            (place[source], place[destination])
            for source, destination in problem.routes
            if source != destination
            and source in place
            and destination in place
            and parties[place[source]].gives
            and parties[place[destination]].takes
        )
    )
    stands = [_stand(party, Fraction(unit)) for party in parties]
    sending = {source for source, _ in routes}
    all_of_it = sum(stands[k][0] for k in sending)  # more than what is given can go through no route
    return Whole(
        unit=unit,
        keys=tuple(party.key for party in parties),
        give=tuple(give for give, _, _, _ in stands),
        take=tuple(all_of_it if take is None else min(take, all_of_it) for _, take, _, _ in stands),
        need=tuple(need for _, _, need, _ in stands),
        goal=tuple(max(-all_of_it, min(goal, all_of_it)) for _, _, _, goal in stands),
        routes=routes,
        sizes=_sizes(routes, parties, Fraction(unit), all_of_it),
    )


def _stand(party: Party, unit: Fraction) -> tuple[int, int | None, int, int]:
    """(give, take, need, goal) of one account; take None: no limit."""
    held = floor(Fraction(party.balance) / unit)
    rest = Fraction(party.balance) - held * unit
    low = ceil((Fraction(party.minimum) - rest) / unit)
    high = None if party.maximum is None else floor((Fraction(party.maximum) - rest) / unit)
    goal = floor((Fraction(party.target) - rest) / unit) - held
    free = max(0, floor(Fraction(party.free) / unit))
    if high is not None and held > high:
        return min(free, max(0, held - low)), 0, high - held, goal
    if held < low:
        return 0, None if high is None else max(0, high - held), low - held, goal
    return min(free, held - low), None if high is None else high - held, 0, goal


def _sizes(
    routes: Iterable[Route], parties: list[Party], unit: Fraction, all_of_it: int
) -> dict[Route, tuple[int, int]]:
    least = [1 if party.smallest is None else max(1, ceil(Fraction(party.smallest) / unit)) for party in parties]
    most = [
        all_of_it if party.largest is None else min(all_of_it, floor(Fraction(party.largest) / unit))
        for party in parties
    ]
    found = {(i, j): (max(least[i], least[j]), min(most[i], most[j])) for i, j in routes}
    return {route: size for route, size in found.items() if size[0] <= size[1]}


def unsized(numbers: Whole) -> dict[Route, tuple[int, int]]:
    """The routes as if no account had a smallest or largest transfer."""
    all_of_it = sum(numbers.give[k] for k in {source for source, _ in numbers.routes})
    return {route: (1, all_of_it) for route in numbers.routes if all_of_it}


def passes_nothing_on(numbers: Whole) -> bool:
    """Whether each detour has a short cut: routes a to b and b to c mean a route a to c.

    Then, sizes left aside, some best plan has no account that both gives and takes. For say b takes x from a and gives
    y to c: sending min(x, y) from a to c directly and so much less over b leaves every account's final balance as it
    was, removes one transfer, adds at most one, and moves less.
    """
    onward = [0] * len(numbers.keys)
    for source, destination in numbers.routes:
        onward[source] |= 1 << destination
    return all(not onward[b] & ~onward[a] & ~(1 << a) for a, b in numbers.routes)


def direct(numbers: Whole, sizes: Sizes) -> dict[Route, tuple[int, int]]:
    """Of these routes those that a plan needs in which no account both gives and takes.

    Nothing then leaves an account that is below its band, nor arrives at one above. A transfer between two that are
    inside can be left out: both come nearer to what they hold now, which is inside.
    """
    return {
        (i, j): size
        for (i, j), size in sizes.items()
        if numbers.need[i] <= 0 and numbers.need[j] >= 0 and (numbers.need[i] or numbers.need[j])
    }


def circle(flow: Iterable[Route]) -> list[Route] | None:
    """Transfers that lead money back to where it set out, or None."""
    onward: dict[int, list[int]] = {}
    for source, destination in sorted(flow):
        onward.setdefault(source, []).append(destination)
    done: set[int] = set()
    for start in sorted(onward):
        found = _walk(start, onward, done, [])
        if found:
            return found
    return None


def _walk(at: int, onward: Mapping[int, list[int]], done: set[int], path: list[int]) -> list[Route] | None:
    if at in path:
        round_trip = [*path[path.index(at) :], at]
        return list(pairwise(round_trip))
    if at in done:
        return None
    for following in onward.get(at, ()):
        found = _walk(following, onward, done, [*path, at])
        if found:
            return found
    done.add(at)
    return None
