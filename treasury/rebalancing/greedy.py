"""A good plan at once: one account after the other is brought inside its band, with as few new transfers as can be.

An account that cannot be brought inside is left as it was, and tried again when the others are done. The whole is done
in several orders, and the best plan counts. Then one account's transfers after the other are taken back and done anew,
and what is better is kept. Exact integers; always a legal plan, perhaps an empty one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from treasury.rebalancing import whole
from treasury.rebalancing.whole import Flow, Route, Sizes, Whole

TRANSFERS_PER_ACCOUNT = 64  # of one account's mending; beyond it, it is left as it was
REPAIRS = (
    300  # accounts whose transfers are done anew; a count and no time, so that the same problem gets the same plan
)


def plan(numbers: Whole) -> Flow:
    """The best of several tries."""
    sizes = numbers.sizes
    passing = True
    if whole.passes_nothing_on(numbers):
        sizes, passing = whole.direct(numbers, sizes), False
    tries = [_Try(numbers, sizes, passing, {}).run(order) for order in _ORDERS]
    return _repaired(numbers, sizes, passing, min(tries, key=numbers.worth))  # of equals the first


def _repaired(numbers: Whole, sizes: Sizes, passing: bool, flow: Flow) -> Flow:
    worth, fruitless = numbers.worth(flow), 0
    for _ in range(REPAIRS):
        busy = _busy(flow)
        if fruitless >= len(busy) * len(_ORDERS):
            break
        # Every account in turn in the first order, then every account in the second, and so on.
        k, order = busy[fruitless % len(busy)], _ORDERS[fruitless // len(busy)]
        kept = {route: amount for route, amount in flow.items() if k not in route}
        fruitless += 1
        if numbers.legal(kept, sizes):
            other = _Try(numbers, sizes, passing, kept).run(order)
            if numbers.worth(other) < worth:
                flow, worth, fruitless = other, numbers.worth(other), 0
    return flow


def _busy(flow: Flow) -> list[int]:
    """The accounts of more than one transfer, those of the most first."""
    ends = Counter(end for route in flow for end in route)
    return sorted((k for k, times in ends.items() if times > 1), key=lambda k: (-ends[k], k))


def _largest_first(numbers: Whole, k: int) -> tuple[int, ...]:
    return -abs(numbers.need[k]), k


def _smallest_first(numbers: Whole, k: int) -> tuple[int, ...]:
    return abs(numbers.need[k]), k


def _least_leeway_first(numbers: Whole, k: int) -> tuple[int, ...]:
    """First whom only a narrow range of amounts mends."""
    return max(numbers.give[k], numbers.take[k]) - abs(numbers.need[k]), -abs(numbers.need[k]), k


def _above_first(numbers: Whole, k: int) -> tuple[int, ...]:
    return int(numbers.need[k] > 0), -abs(numbers.need[k]), k


def _below_first(numbers: Whole, k: int) -> tuple[int, ...]:
    return int(numbers.need[k] < 0), -abs(numbers.need[k]), k


_ORDERS: list[Callable[[Whole, int], tuple[int, ...]]] = [
    _largest_first,
    _least_leeway_first,
    _above_first,
    _below_first,
    _smallest_first,
]


@dataclass(frozen=True)
class _Way:
    """A path of routes from a source to a destination, and what may go over it: ``least`` to ``most``.

    ``fresh``: how many of them the plan does not use yet. ``closing``: from (or to) where a fresh route would lead the
    money in a circle, as bits.
    """

    path: tuple[Route, ...]
    fresh: int
    least: int
    most: int
    closing: int


class _Try:
    """One pass over the accounts. ``flow`` is legal after each account."""

    def __init__(self, numbers: Whole, sizes: Sizes, passing: bool, flow: Flow) -> None:
        self.numbers, self.sizes, self.passing = numbers, sizes, passing
        self.flow, self.more = dict(flow), numbers.changes(flow)
        self.onward: dict[int, list[int]] = {}
        self.backward: dict[int, list[int]] = {}
        for source, destination in sorted(sizes):
            self.onward.setdefault(source, []).append(destination)
            self.backward.setdefault(destination, []).append(source)

    def run(self, order: Callable[[Whole, int], tuple[int, ...]]) -> Flow:
        waiting = sorted(self.numbers.outside, key=lambda k: order(self.numbers, k))
        while True:
            left = [k for k in waiting if not self._mend(k)]
            if not left or len(left) == len(waiting):
                break
            waiting = left
        self._trim()
        return {route: amount for route, amount in sorted(self.flow.items()) if amount}

    def _mend(self, k: int) -> bool:
        """Bring this account inside; when that fails, nothing has changed."""
        flow, more = dict(self.flow), list(self.more)
        for _ in range(TRANSFERS_PER_ACCOUNT):
            lack = self._lack(k)
            if not lack:
                return True
            if not self._step(k, lack):
                break
        else:
            if not self._lack(k):
                return True
        self.flow, self.more = flow, more
        return False

    def _lack(self, k: int) -> int:
        """How much it still must take in (above 0) or send away (below 0)."""
        need = self.numbers.need[k]
        return max(0, need - self.more[k]) if need > 0 else min(0, need - self.more[k])

    def _give(self, k: int) -> int:
        return self.numbers.give[k] + self.more[k]

    def _take(self, k: int) -> int:
        return self.numbers.take[k] - self.more[k]

    def _step(self, k: int, lack: int) -> bool:
        """The best further transfer for this account, over whatever way; False when there is none."""
        best: tuple[tuple[int, ...], int, _Way] | None = None
        for other, way in self._ways(k, inward=lack > 0):
            found = self._amount(k, lack, other, way)
            if found:
                amount, settled = found
                rank = (way.fresh - settled, way.fresh, self._waste(amount, other, lack), -amount, other)
                if best is None or rank < best[0]:
                    best = rank, amount, way
        if best is None:
            return False
        _, amount, way = best
        self._send(way, amount)
        return True

    def _waste(self, amount: int, other: int, lack: int) -> int:
        """0 where the other account is outside on the other side, else how much room is left over there."""
        if self._lack(other) * lack < 0:
            return 0
        return 1 + (self._give(other) if lack > 0 else self._take(other)) - amount

    def _amount(self, k: int, lack: int, other: int, way: _Way) -> tuple[int, int] | None:
        """(what to send, how many of both ends it settles), or None."""
        here, there = (self._take(k), self._give(other)) if lack > 0 else (self._give(k), self._take(other))
        most = min(here, there, way.most)
        if most < way.least or most <= 0:
            return None
        theirs = self._lack(other)
        mutual = abs(theirs) if theirs * lack < 0 else 0
        enough = max(abs(lack), way.least)
        both = max(enough, mutual)
        if mutual and both <= most:
            return both, 2
        if enough <= most:
            return (min(most, max(enough, mutual)), 1)
        return most, int(bool(mutual) and mutual <= most)

    def _send(self, way: _Way, amount: int) -> None:
        for route in way.path:
            self.flow[route] = self.flow.get(route, 0) + amount
        self.more[way.path[0][0]] -= amount
        self.more[way.path[-1][1]] += amount

    def _ways(self, k: int, *, inward: bool) -> Iterable[tuple[int, _Way]]:
        """Each account that could be the other end, with the way of the fewest fresh transfers."""
        reach = self._reach(inward=inward)
        found: dict[int, _Way] = {}
        level = {k: _Way((), 0, 1, sum(self.numbers.give), reach[k])}
        while level:
            following: dict[int, _Way] = {}
            for at, way in level.items():
                for other, longer in self._further(at, way, reach, inward=inward):
                    known = following.get(other) or found.get(other)
                    if longer.least <= longer.most and (known is None or _cost(longer) < _cost(known)):
                        following[other] = longer
            found |= following
            level = following if self.passing else {}
        return found.items()

    def _further(self, at: int, way: _Way, reach: list[int], *, inward: bool) -> Iterable[tuple[int, _Way]]:
        for other in (self.backward if inward else self.onward).get(at, ()):
            route = (other, at) if inward else (at, other)
            used = self.flow.get(route, 0)
            least, most = self.sizes[route]
            if not used and way.closing >> other & 1:
                continue
            yield (
                other,
                _Way(
                    (route, *way.path) if inward else (*way.path, route),
                    way.fresh + (not used),
                    way.least if used else max(way.least, least),
                    min(way.most, most - used),
                    way.closing | reach[other],
                ),
            )

    def _reach(self, *, inward: bool) -> list[int]:
        """Per account, itself and where the plan's money goes from there (or, outward, comes from), as bits."""
        reach = [1 << k for k in range(len(self.more))]
        used = [route if inward else (route[1], route[0]) for route, amount in self.flow.items() if amount]
        changed = self.passing
        while changed:
            changed = False
            for here, there in used:
                if reach[there] & ~reach[here]:
                    reach[here] |= reach[there]
                    changed = True
        return reach

    def _trim(self) -> None:
        """Leave out or lessen transfers without which all mended accounts stay inside."""
        for route in sorted(self.flow, key=lambda route: (self.flow[route], route)):
            spare = min(self._spare(route[0], up=True), self._spare(route[1], up=False), self.flow[route])
            least = self.sizes[route][0]
            if spare < self.flow[route]:
                spare = min(spare, self.flow[route] - least)
            if spare > 0:
                self.flow[route] -= spare
                self.more[route[0]] += spare
                self.more[route[1]] -= spare

    def _spare(self, k: int, *, up: bool) -> int:
        """How much more (or less) it could hold without ending outside, or further outside, its band."""
        need, more = self.numbers.need[k], self.more[k]
        if up:
            return (need if need < 0 and more <= need else self.numbers.take[k]) - more
        return self.numbers.give[k] + more if need <= 0 or more < need else more - need


def _cost(way: _Way) -> tuple[int, int]:
    return way.fresh, -way.most
