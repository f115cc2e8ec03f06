"""The exhaustive search: OR-tools' CP-SAT finds the best plan and proves it, as far as its time limit reaches.

Four aims one after the other, each fixed before the next: the fewest accounts left outside, the fewest transfers, the
least moved, the nearest to the targets. One worker, one seed and a limit in the solver's own deterministic time: the
same problem gets the same plan, unless the limit of real time strikes, which is said.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import metadata
from typing import TYPE_CHECKING, Any

from treasury.rebalancing import bound, whole
from treasury.rebalancing.bound import Counting
from treasury.rebalancing.whole import Flow, Route, Sizes, Whole

if TYPE_CHECKING:
    from ortools.sat.python import cp_model

SEED = 7
REAL_SECONDS = 60  # for one group; beyond it the plan depends on the machine
FEW = 150  # routes up to which all are searched even if only the least moved is open
SMALL = 1500  # routes up to which all are searched if the fewest transfers are open
AIMS = 4
SHARES = (0.5, 0.7, 0.7, 0.1)  # of what is left of the limit, for each aim
GRAINS = 1000  # in which distances are measured: thousandths of the most that an account may give


class NoSolver(Exception):
    """OR-tools is not installed, or cannot be loaded."""


@dataclass
class Clock:
    """What is left to a search: of ``limit`` in deterministic seconds, and until an end in real time."""

    limit: float
    ends: float = field(default_factory=lambda: time.monotonic() + REAL_SECONDS)
    spent: float = 0.0
    capped: bool = False

    def share(self, aim: int) -> float:
        return max(0.0, self.limit - self.spent) * SHARES[aim]

    def look(self) -> None:
        self.capped = self.capped or self.seconds <= 0

    @property
    def seconds(self) -> float:
        return max(0.0, self.ends - time.monotonic())


@dataclass(frozen=True)
class Found:
    """The best plan found. ``left``, ``count`` and ``moved``: no plan does better than these numbers, each among the
    plans that are as good as this one in what weighs more; they equal the plan's own where it is proven best."""

    flow: Flow
    left: int
    count: int
    moved: int


def version() -> str:
    """The solver's name and version. Raises NoSolver."""
    _ortools()
    return f"ortools {metadata.version('ortools')}"


def search(numbers: Whole, *, start: Flow, counting: Counting, clock: Clock) -> Found:
    """The best plan from ``start`` on, which is legal. Raises NoSolver."""
    sizes, free = (whole.direct(numbers, routes) for routes in (numbers.sizes, whole.unsized(numbers)))
    if not whole.passes_nothing_on(numbers):
        return _Search(numbers, numbers.sizes, counting, clock).run(start)
    found = _Search(numbers, sizes, counting, clock).run(start)
    if sizes == free:
        return found
    # Sizes may force money over an account between, which these routes leave out. What is best without sizes bounds
    # what is best with them; only where the two differ, all routes are searched.
    certain = by_counting(numbers, found.flow, counting)
    if not proven(numbers, found):
        return certain
    unsized = replace(numbers, sizes=whole.unsized(numbers))
    bounds = _Search(unsized, free, bound.counting(unsized), clock).run(found.flow)
    found = bounded(numbers, found.flow, bounds, certain)
    least = found.moved == numbers.worth(found.flow)[2]
    if (proven(numbers, found) and (least or len(numbers.sizes) > FEW)) or len(numbers.sizes) > SMALL:
        return found
    widest = _Search(numbers, numbers.sizes, counting, clock).run(found.flow)
    return _better(found, widest) if numbers.worth(widest.flow)[:2] == numbers.worth(found.flow)[:2] else widest


def _better(one: Found, other: Found) -> Found:
    """The bounds of both, which hold for the plan of the second: it leaves as few outside with as few transfers."""
    return Found(other.flow, max(one.left, other.left), max(one.count, other.count), max(one.moved, other.moved))


def proven(numbers: Whole, found: Found) -> bool:
    """That no plan in these units leaves fewer outside, and none that leaves as few has fewer transfers."""
    return (found.left, found.count) == numbers.worth(found.flow)[:2]


def by_counting(numbers: Whole, flow: Flow, counting: Counting) -> Found:
    """What is certain of a plan without any search."""
    beyond_help = len(numbers.outside) - counting.mendable
    left = len(numbers.unmet(flow))
    moved = least_moved(numbers, counting) if left == beyond_help else 0
    return Found(flow, beyond_help, counting.transfers(len(numbers.outside) - left), moved)


def least_moved(numbers: Whole, counting: Counting) -> int:
    """What all that can be mended have too much, or lack, must be sent."""
    need = numbers.need
    return max(-sum(need[k] for k in counting.above), sum(need[k] for k in counting.below))


def bounded(numbers: Whole, flow: Flow, bounds: Found, certain: Found) -> Found:
    """What of another search's bounds, made over more plans, holds for this plan."""
    left, count, _, _ = numbers.worth(flow)
    other_left, other_count, _, _ = numbers.worth(bounds.flow)
    if other_left != left:
        return Found(flow, max(certain.left, bounds.left), certain.count, certain.moved)
    return Found(
        flow,
        max(certain.left, bounds.left),
        max(certain.count, bounds.count),
        max(certain.moved, bounds.moved) if other_count == count else certain.moved,
    )


class _Search:
    """One model over these routes, solved for one aim after the other."""

    def __init__(self, numbers: Whole, sizes: Sizes, counting: Counting, clock: Clock) -> None:
        self.numbers, self.sizes, self.counting, self.clock = numbers, sizes, counting, clock
        self.cp = _ortools()
        self.model = self.cp.CpModel()
        self.used = {route: self.model.new_bool_var("") for route in sizes}
        self.sent = {route: self.model.new_int_var(0, most, "") for route, (_, most) in sizes.items()}
        self.unmet: dict[int, Any] = {}
        for route, (least, most) in sizes.items():
            self.model.add(self.sent[route] <= most * self.used[route])
            self.model.add(self.sent[route] >= least * self.used[route])
        self.grain = max(1, max(numbers.give) // GRAINS)
        self.more = [self._change(k) for k in range(len(numbers.keys))]
        for k in numbers.outside:
            self._mend(k)

    def run(self, start: Flow) -> Found:
        """Each aim in turn: an aim whose bound the plan reaches already needs no search."""
        flow, bounds = start, []
        for aim in range(AIMS):
            objective, floor = self._objective(aim, flow)
            if self.numbers.worth(flow)[aim] > floor:
                flow, floor = self._solve(objective, aim, flow, floor)
            bounds.append(min(floor, self.numbers.worth(flow)[aim]))
            if aim < AIMS - 1:
                self.model.add(objective <= self.numbers.worth(flow)[aim])
        return Found(flow, bounds[0], bounds[1], bounds[2])

    def _change(self, k: int) -> Any:
        """The variable of how much more an account holds in the end."""
        more = self.model.new_int_var(-self.numbers.give[k], self.numbers.take[k], "")
        arriving = [sent for (_, j), sent in self.sent.items() if j == k]
        leaving = [sent for (i, _), sent in self.sent.items() if i == k]
        self.model.add(more == sum(arriving) - sum(leaving))
        return more

    def _mend(self, k: int) -> None:
        """An account outside its band ends inside, or counts as unmet."""
        needed = {**self.counting.above, **self.counting.below}.get(k)
        need, unmet = self.numbers.need[k], self.model.new_bool_var("")
        self.unmet[k] = unmet
        limit = self.numbers.give[k] if need < 0 else self.numbers.take[k]
        if needed is None or limit < abs(need):
            self.model.add(unmet == 1)
            return
        self.model.add(self.more[k] <= need * (1 - unmet) if need < 0 else self.more[k] >= need * (1 - unmet))
        touching = [used for route, used in self.used.items() if route[need > 0] == k]
        self.model.add(sum(touching) >= 1 - unmet)

    def _objective(self, aim: int, flow: Flow) -> tuple[Any, int]:
        """What is made small, and what it cannot fall below."""
        beyond_help = len(self.numbers.outside) - self.counting.mendable
        left = len(self.numbers.unmet(flow))
        if aim == 0:
            return sum(self.unmet.values()), beyond_help
        if aim == 1:
            return sum(self.used.values()), self.counting.transfers(len(self.numbers.outside) - left)
        if aim == 2:
            return sum(self.sent.values()), least_moved(self.numbers, self.counting) if left == beyond_help else 0
        return sum(self._distance(k) for k in range(len(self.more))), 0

    def _distance(self, k: int) -> Any:
        """The variable of how far an account ends from its target, in grains: the solver reaches a least sum of many
        digits only in small steps, and the last of these digits mean nothing to anybody."""
        goal, grain = self.numbers.goal[k], self.grain
        widest = max(abs(self.numbers.take[k] - goal), abs(self.numbers.give[k] + goal))
        distance = self.model.new_int_var(0, widest // grain + 1, "")
        self.model.add(grain * distance >= self.more[k] - goal)
        self.model.add(grain * distance >= goal - self.more[k])
        return distance

    def _solve(self, objective: Any, aim: int, flow: Flow, floor: int) -> tuple[Flow, int]:
        """(the best plan found for this aim, what no plan falls below)."""
        self.model.add(objective >= floor)
        self.model.minimize(objective)
        left_over = self.clock.share(aim)
        self.clock.look()
        while left_over > 0 and self.clock.seconds > 0:
            self._hint(flow)
            solver = self._solver(left_over)
            status = solver.solve(self.model)
            left_over -= self._took(solver)
            if status not in (self.cp.OPTIMAL, self.cp.FEASIBLE):
                break
            floor = max(floor, round(solver.best_objective_bound))
            found = self._straight({route: solver.value(sent) for route, sent in self.sent.items()})
            if found is not None:
                return min(flow, found, key=self.numbers.worth), floor
        return flow, floor

    def _straight(self, sent: Mapping[Route, int]) -> Flow | None:
        """The solver's plan without circles; None when sizes do not let one go, and it is forbidden from now on."""
        flow = {route: amount for route, amount in sent.items() if amount}
        while (circle := whole.circle(flow)) is not None:
            least = min(flow[route] for route in circle)
            flow = {route: amount - least * (route in circle) for route, amount in flow.items()}
            flow = {route: amount for route, amount in flow.items() if amount}
            if not all(amount >= self.sizes[route][0] for route, amount in flow.items()):
                self.model.add(sum(self.used[route] for route in circle) <= len(circle) - 1)
                return None
        if not self.numbers.legal(flow, self.sizes):
            raise AssertionError("The solver's plan breaks a rule that its model holds.")
        return flow

    def _hint(self, flow: Flow) -> None:
        self.model.clear_hints()
        for route, used in self.used.items():
            self.model.add_hint(used, route in flow)
            self.model.add_hint(self.sent[route], flow.get(route, 0))

    def _solver(self, limit: float) -> cp_model.CpSolver:
        solver: cp_model.CpSolver = self.cp.CpSolver()
        solver.parameters.num_workers = 1
        solver.parameters.random_seed = SEED
        solver.parameters.max_deterministic_time = limit
        solver.parameters.max_time_in_seconds = self.clock.seconds
        return solver

    def _took(self, solver: cp_model.CpSolver) -> float:
        took: float = solver.response_proto.deterministic_time
        self.clock.spent += took
        self.clock.look()
        return max(took, 0.001)  # so that a row of forbidden circles ends


def _ortools() -> Any:
    """The solver. Loaded here and nowhere else, by the worker that plans: it weighs some 80 MB of memory, which no web
    process should pay for. Raises NoSolver."""
    try:
        from ortools.sat.python import cp_model  # noqa: PLC0415
    except ImportError as error:
        raise NoSolver("OR-tools is not installed.") from error
    return cp_model
