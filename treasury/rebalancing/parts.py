"""The parts of a group between which nothing can be sent, each in whole numbers that the solver can hold.

**A coarser unit may lose nothing.** Fix which transfers of a plan are made at all and who may stay outside. What is
left to choose, the amounts, is a flow in a network: every rule is a least and a most of one transfer, or of what one
account gives or takes on balance. Such a flow has a property that general linear rules have not (their matrix is
totally unimodular): where all these numbers are multiples of one unit and some flow keeps the rules, then some flow in
multiples of the unit keeps them too, and one of those moves the least. So if every number of a part is a multiple of
the unit, nothing is lost by searching in it: fewest outside, fewest transfers and least moved are what they are in
steps. (A transfer without a smallest size must be a step at least; let it be nothing: at worst it is left out, and the
plan has one less.) Where some number is no multiple, a plan in between may be better, and such a search proves nothing.

**Parts** keep each account at its place; who is elsewhere gives, takes and needs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import gcd

from treasury.rebalancing.whole import LARGEST, Route, Whole


@dataclass(frozen=True)
class Part:
    """``numbers`` in steps, and the same in ``units`` of ``times`` steps, few enough for the solver. ``lossless``: the
    best plan in these units is as good as any in steps, but for the distance to the targets."""

    numbers: Whole
    units: Whole
    times: int
    lossless: bool


def parts(numbers: Whole) -> list[Part]:
    """Those in which an account is outside its band and something can be sent, the one of the fewest routes first."""
    found = [_within(numbers, members) for members in _joined(numbers.sizes)]
    return [_in_units(one) for one in sorted(found, key=lambda one: (len(one.sizes), one.routes)) if one.outside]


def _joined(routes: Iterable[Route]) -> list[set[int]]:
    """The accounts that routes join, whichever way these lead."""
    found: list[set[int]] = []
    for route in routes:
        touching = [members for members in found if not members.isdisjoint(route)]
        found = [members for members in found if members.isdisjoint(route)]
        found.append(set(route).union(*touching))
    return found


def _within(numbers: Whole, members: set[int]) -> Whole:
    """What concerns these accounts. In no plan is more on its way than all that can be given, or all that can be taken:
    money goes in no circle, so a transfer carries no amount twice. An account gives or takes no more than that."""
    sizes = {route: size for route, size in numbers.sizes.items() if route[0] in members}
    give, take = (
        tuple(amount if k in ends else 0 for k, amount in enumerate(amounts))
        for amounts, ends in ((numbers.give, {i for i, _ in sizes}), (numbers.take, {j for _, j in sizes}))
    )
    together = min(sum(give), sum(take))
    return _fitting(
        replace(
            numbers,
            give=tuple(min(amount, together) for amount in give),
            take=tuple(min(amount, together) for amount in take),
            need=tuple(need if k in members else 0 for k, need in enumerate(numbers.need)),
            goal=tuple(goal if k in members else 0 for k, goal in enumerate(numbers.goal)),
            routes=tuple(route for route in numbers.routes if members.issuperset(route)),
            sizes=sizes,
        )
    )


def _fitting(numbers: Whole) -> Whole:
    """No transfer larger than all that is given, no target further away, and no route that no amount fits through."""
    all_of_it = sum(numbers.give)
    sizes = {route: (least, min(most, all_of_it)) for route, (least, most) in numbers.sizes.items()}
    return replace(
        numbers,
        goal=tuple(max(-all_of_it, min(goal, all_of_it)) for goal in numbers.goal),
        sizes={route: size for route, size in sizes.items() if size[0] <= size[1]},
    )


def _in_units(numbers: Whole) -> Part:
    """In the least power of ten of steps in which the most of all transfers together is at most LARGEST."""
    times = 1
    while sum(most // times for _, most in numbers.sizes.values()) > LARGEST:
        times *= 10
    return Part(numbers, scaled(numbers, times), times, lossless=_grid(numbers) % times == 0)


def scaled(numbers: Whole, times: int) -> Whole:
    """In units of so many steps, all rounded to the safe side: its plans are the plans in multiples of the unit."""
    return _fitting(
        replace(
            numbers,
            unit=numbers.unit * times,
            give=tuple(give // times for give in numbers.give),
            take=tuple(take // times for take in numbers.take),
            need=tuple(-(-need // times) if need > 0 else need // times for need in numbers.need),
            goal=tuple(goal // times for goal in numbers.goal),
            sizes={route: (-(-least // times), most // times) for route, (least, most) in numbers.sizes.items()},
        )
    )


def _grid(numbers: Whole) -> int:
    """The largest number of steps of which every number is a multiple. A least of one step only says that what is not
    sent is no transfer."""
    leasts = [least for least, _ in numbers.sizes.values() if least > 1]
    mosts = [most for _, most in numbers.sizes.values()]
    return gcd(*numbers.give, *numbers.take, *numbers.need, *leasts, *mosts)
