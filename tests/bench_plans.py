"""Figures of the planner: `make bench` prints them too, or `python -m tests.bench_plans [accounts …]` alone.

For groups of 5 to 200 accounts whose bands are wide (±30 %), narrow (±10 %) or tight (±1 %), all to all, and for wide
ones through a hub: CPU seconds to plan, the transfers found beside those of the plan without a search and the bound,
and whether that is proven. And the memory of a process with and without the solver.
"""

from __future__ import annotations

import os
import platform
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from decimal import Decimal
from itertools import product

from treasury.rebalancing import certificate
from treasury.rebalancing.certificate import Kind
from treasury.rebalancing.problem import Party, Problem
from treasury.rebalancing.solve import Solution, solve

SIZES = (5, 10, 20, 50, 100, 200)
BANDS = {"wide": 0.30, "narrow": 0.10, "tight": 0.01, "hub": 0.30}
SEEDS = range(int(os.environ.get("SEEDS", "1")))
LIMIT = float(os.environ.get("LIMIT", "1"))  # deterministic seconds of the solver for one group
STEP = Decimal("0.00000001")

MEMORY = """
import os, sys
from pathlib import Path
from treasury.rebalancing import search
from treasury.rebalancing.solve import solve
from tests.bench_plans import group
solve(group(20, 0, "narrow"), solver=sys.argv[1] == "with")
pages = int(Path("/proc/self/statm").read_text().split()[1])
print(pages * os.sysconf("SC_PAGE_SIZE") // 2**20)
"""


def main(accounts: Sequence[int]) -> None:
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    print(f"{machine}, Python {platform.python_version()}, {time.strftime('%Y-%m-%d')}, load {os.getloadavg()[0]:.1f}")
    print(f"limit {LIMIT} deterministic s a group; columns: found / without a search / at least, of each group")
    for bands, size in product(BANDS, accounts):
        row(bands, size)
    for which in ("without", "with"):
        done = subprocess.run([sys.executable, "-c", MEMORY, which], capture_output=True, text=True, check=True)
        print(f"memory of a process that plans {which} the solver: {done.stdout.strip()} MB")


def row(bands: str, size: int) -> None:
    """One line: medians over the seeds, and the counts of each."""
    greedy_took, took, found = [], [], []
    for seed in SEEDS:
        problem = group(size, seed, bands)
        began = time.process_time()
        solve(problem, solver=False)
        greedy_took.append(time.process_time() - began)
        began = time.process_time()
        found.append(solution := solve(problem, limit=LIMIT))
        took.append(time.process_time() - began)
        wrong = certificate.check(problem, solution.moves, solution.certificate)
        assert not wrong, wrong
    proven = sum(one.certificate.kind is not Kind.BEST for one in found)
    print(
        f"{bands:6} {size:4} accounts: {statistics.median(took):6.2f} CPU s, without a search "
        f"{statistics.median(greedy_took):5.2f} s; proven fewest {proven}/{len(found)}; "
        f"{', '.join(map(counts, found))}",
        flush=True,
    )


def counts(solution: Solution) -> str:
    stated = solution.certificate
    left = f" ({len(stated.left_out)} left outside)" if stated.left_out else ""
    return f"{stated.count}/{stated.greedy_count}/{stated.bound}{left}"


def group(size: int, seed: int, bands: str) -> Problem:
    """A group that can be brought inside: targets of a thousand to a million, about a third of the accounts off (tight:
    all), and the bands so shifted that their targets sum up to what is held. No transfer below 1."""
    dice = random.Random(f"{size} {seed} {bands}")
    targets = [10 ** dice.uniform(3, 6) for _ in range(size)]
    off = [bands == "tight" or dice.random() < 0.6 for _ in range(size)]
    held = [
        t * (dice.lognormvariate(0, 0.6) if o else dice.uniform(0.95, 1.05)) for t, o in zip(targets, off, strict=True)
    ]
    scale = sum(held) / sum(targets)
    parties = [
        _party(f"a{k:03}", h, t * scale, BANDS[bands]) for k, (h, t) in enumerate(zip(held, targets, strict=True))
    ]
    routes = {(a.key, b.key) for a, b in product(parties, repeat=2) if a.key != b.key}
    if bands == "hub":
        routes = {route for route in routes if parties[0].key in route}
    return Problem(tuple(parties), frozenset(routes), STEP)


def _party(key: str, held: float, target: float, width: float) -> Party:
    balance, low, middle, high = (
        Decimal(round(one * 10**8)).scaleb(-8) for one in (held, target * (1 - width), target, target * (1 + width))
    )
    return Party(key, balance, low, middle, high, free=balance, smallest=Decimal(1))


if __name__ == "__main__":
    main([int(one) for one in sys.argv[1:]] or SIZES)
