"""The order in which a plan is carried out: what must settle before what is sent.

In no plan does money come back to where it set out, so the accounts can be put in a row in which all transfers go
forward, and whoever waits for what arrives first can then send everything.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping

from treasury.rebalancing.whole import Flow, Route


def order(flow: Flow, free: Mapping[int, int]) -> list[tuple[Route, list[Route]]]:
    """Each transfer with those that must settle before it, in an order that can be carried out.

    ``free``: what each source can send before anything arrives. It goes to its smallest transfers first, so that as few
    as possible wait. A transfer that waits, waits for the largest arrivals that together suffice for it and for
    all that the same source sends before it. So its sources are never short, in whatever order the venue settles.

    The flow has no circle, and no source sends more than it has free and is sent.
    """
    waits: dict[Route, list[Route]] = {}
    for source in {i for i, _ in flow}:
        waits |= _waits(source, flow, free[source])
    return [(route, sorted(waits[route])) for route in _row(waits)]


def _waits(source: int, flow: Flow, free: int) -> dict[Route, list[Route]]:
    leaving = sorted((amount, route) for route, amount in flow.items() if route[0] == source)
    arriving = sorted(((-amount, route) for route, amount in flow.items() if route[1] == source), reverse=True)
    waits, needed, awaited, at_hand = {}, 0, list[Route](), free
    for amount, route in leaving:
        needed += amount
        while at_hand < needed:
            negative, arrival = arriving.pop()
            at_hand -= negative
            awaited.append(arrival)
        waits[route] = list(awaited)
    return waits


def _row(waits: Mapping[Route, list[Route]]) -> list[Route]:
    """What waits for nothing first; of equals the smaller route first."""
    blocking: dict[Route, list[Route]] = {route: [] for route in waits}
    missing = {route: len(before) for route, before in waits.items()}
    for route, before in waits.items():
        for one in before:
            blocking[one].append(route)
    ready = [(0, route) for route in waits if not missing[route]]
    heapq.heapify(ready)
    row = []
    while ready:
        depth, route = heapq.heappop(ready)
        row.append(route)
        for following in blocking[route]:
            missing[following] -= 1
            if not missing[following]:
                heapq.heappush(ready, (depth + 1, following))
    return row
