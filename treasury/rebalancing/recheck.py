"""A plan reckoned anew, by somebody who trusts nobody: plain exact arithmetic on the problem as it was stored.

Shares no code with what makes plans; whatever is wrong there is not wrong here in the same way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction

from treasury.rebalancing.problem import EXACT, Move, Party, Problem


def plan(problem: Problem, moves: Sequence[Move]) -> list[str]:
    """Which rules the moves break; empty when they are a legal plan in an order that can be carried out."""
    parties = {party.key: party for party in problem.parties}
    strangers = [m for m in moves if m.source not in parties or m.destination not in parties]
    if strangers:
        return [f"{_name(move)}: no such account." for move in strangers]
    wrong = [text for move in moves for text in _move(problem, parties, move)]
    pairs = [(move.source, move.destination) for move in moves]
    wrong += [f"{a} to {b}: more than one transfer." for a, b in {p for p in pairs if pairs.count(p) > 1}]
    wrong += [f"{key}: money comes back to it." for key in parties if key in _onward(key, pairs)]
    wrong += [text for party in problem.parties for text in _end(party, moves)]
    if any(not 0 <= one < number for number, move in enumerate(moves) for one in move.after):
        return [*wrong, "A move waits for one that stands behind it."]
    return [*wrong, *_in_order(parties, moves), *_in_any_order(parties, moves)]


def moved(moves: Iterable[Move]) -> Decimal:
    total = Decimal(0)
    for move in moves:
        total = EXACT.add(total, move.amount)
    return total


def distance(problem: Problem, moves: Sequence[Move]) -> Decimal:
    total = Decimal(0)
    for party in problem.parties:
        held = party.balance
        for move in moves:
            held = EXACT.subtract(held, move.amount) if move.source == party.key else held
            held = EXACT.add(held, move.amount) if move.destination == party.key else held
        off = EXACT.subtract(held, party.target)
        total = EXACT.add(total, off.copy_abs())
    return total


def left_out(problem: Problem, moves: Sequence[Move]) -> set[str]:
    """The accounts that are outside their band after these moves."""
    return {party.key for party in problem.parties if not _inside(party, Fraction(party.balance) + _net(party, moves))}


def _move(problem: Problem, parties: Mapping[str, Party], move: Move) -> Iterable[str]:
    source, destination = parties[move.source], parties[move.destination]
    if (move.source, move.destination) not in problem.routes:
        yield f"{_name(move)}: no such route."
    if not source.gives or not destination.takes:
        yield f"{_name(move)}: an end is closed."
    if move.amount <= 0 or (Fraction(move.amount) / Fraction(problem.step)).denominator != 1:
        yield f"{_name(move)}: {move.amount} is no multiple of {problem.step} above 0."
    for party in (source, destination):
        if party.smallest is not None and move.amount < party.smallest:
            yield f"{_name(move)}: smaller than {party.smallest}."
        if party.largest is not None and move.amount > party.largest:
            yield f"{_name(move)}: larger than {party.largest}."


def _end(party: Party, moves: Sequence[Move]) -> Iterable[str]:
    before = Fraction(party.balance)
    net = _net(party, moves)
    after = before + net
    if -net > max(Fraction(0), Fraction(party.free)):
        yield f"{party.key}: gives more than it has free."
    if _inside(party, before) and not _inside(party, after):
        yield f"{party.key}: was inside its band and leaves it."
    if before < party.minimum and (net < 0 or (party.maximum is not None and after > party.maximum)):
        yield f"{party.key}: was below its band, and ends lower or above it."
    if party.maximum is not None and before > party.maximum and (net > 0 or after < party.minimum):
        yield f"{party.key}: was above its band, and ends higher or below it."


def _in_order(parties: Mapping[str, Party], moves: Sequence[Move]) -> Iterable[str]:
    """One after the other, each settled before the next is sent."""
    free = {key: max(Fraction(0), Fraction(party.free)) for key, party in parties.items()}
    for move in moves:
        if free[move.source] < move.amount:
            yield f"{_name(move)}: not there yet when it is its turn."
        free[move.source] -= Fraction(move.amount)
        free[move.destination] += Fraction(move.amount)


def _in_any_order(parties: Mapping[str, Party], moves: Sequence[Move]) -> Iterable[str]:
    """However slowly the venue settles: what the source sends without waiting for more is there by what has settled."""
    settled: list[set[int]] = []
    for move in moves:
        settled.append({*move.after, *(one for before in move.after for one in settled[before])})
    for number, move in enumerate(moves):
        sent = [
            Fraction(other.amount)
            for place, other in enumerate(moves)
            if other.source == move.source and settled[place] <= settled[number]
        ]
        arrived = [Fraction(moves[one].amount) for one in settled[number] if moves[one].destination == move.source]
        if sum(sent) > max(Fraction(0), Fraction(parties[move.source].free)) + sum(arrived):
            yield f"{_name(move)}: it must wait for more than it does."


# -- the counting bound --------------------------------------------------------------------------------------


def counted(
    problem: Problem, argument: str, above: Mapping[str, int], below: Mapping[str, int], shared: int
) -> list[str]:
    """What is wrong with the numbers of the counting bound."""
    house = _House(problem)
    wrong = []
    if argument not in house.arguments:
        wrong.append("Rooms bind only where each detour has a short cut.")
    for party in problem.parties:
        excess, lack = _excess(party), Fraction(party.minimum) - Fraction(party.balance)
        if (party.key in above and excess <= 0) or (party.key in below and lack <= 0):
            wrong.append(f"{party.key}: counted on the wrong side.")
        elif max(excess, lack) > 0:
            times = (above if excess > 0 else below).get(party.key)
            wrong += _counted(house, party, argument, times, max(excess, lack))
    if shared < _most_shared(
        above, below, [(a, b) for a, b in sorted(house.fitting(argument)) if a in above and b in below]
    ):
        wrong.append("More transfers can serve two accounts at once than is stated.")
    return wrong


def fewest(above: Mapping[str, int], below: Mapping[str, int], shared: int, mended: int) -> int:
    """The counting bound for so many mended accounts."""
    found = []
    for high in range(mended + 1):
        if high <= len(above) and mended - high <= len(below):
            a, b = sum(sorted(above.values())[:high]), sum(sorted(below.values())[: mended - high])
            found.append(max(a, b, a + b - shared))
    return min(found, default=0)


class _House:
    """The group's open routes, and what a transfer over each could be at most."""

    def __init__(self, problem: Problem) -> None:
        self.parties = {party.key: party for party in problem.parties}
        self.step = Fraction(problem.step)
        self.routes = {
            (a, b)
            for a, b in problem.routes
            if a != b and a in self.parties and b in self.parties and self.parties[a].gives and self.parties[b].takes
        }
        self.all_of_it = sum((self.give(key) for key in {a for a, _ in self.routes}), Fraction(0))
        onward: dict[str, set[str]] = {key: set() for key in self.parties}
        for a, b in self.routes:
            onward[a].add(b)
        short = all(onward[b] - {a} <= onward[a] for a, b in self.routes)
        self.arguments = ("sizes", "room") if short else ("sizes",)
        self.gives = {key: self.give(key) for key in self.parties}
        self.takes = {key: self.take(key) for key in self.parties}
        self.sized = {route for route in self.routes if self.most(route) >= self.least(route)}
        self.ends = {
            argument: ({a for a, _ in self.fitting(argument)}, {b for _, b in self.fitting(argument)})
            for argument in self.arguments
        }

    def fitting(self, argument: str) -> set[tuple[str, str]]:
        return self.sized if argument == "sizes" else self.routes

    def down(self, amount: Fraction) -> Fraction:
        """To a whole number of steps."""
        return max(Fraction(0), amount // self.step * self.step)

    def give(self, key: str) -> Fraction:
        """How much less it may hold in the end."""
        party = self.parties[key]
        return self.down(min(Fraction(party.free), Fraction(party.balance) - Fraction(party.minimum)))

    def take(self, key: str) -> Fraction:
        """How much more it may hold in the end."""
        party = self.parties[key]
        if party.maximum is None:
            return self.all_of_it
        return min(self.all_of_it, self.down(Fraction(party.maximum) - Fraction(party.balance)))

    def least(self, route: tuple[str, str]) -> Fraction:
        smallest = [Fraction(self.parties[end].smallest or 0) for end in route]
        return max(self.step, *(-(-one // self.step) * self.step for one in smallest))

    def most(self, route: tuple[str, str]) -> Fraction:
        limits = [self.parties[end].largest for end in route]
        return min(self.all_of_it, *(self.all_of_it if one is None else self.down(Fraction(one)) for one in limits))

    def possible(self, argument: str, key: str, end: int) -> list[Fraction]:
        """The most that each transfer from it (end 0) or to it (end 1) could be, the largest first."""
        fitting = self.fitting(argument)
        routes = [(other, key) if end else (key, other) for other in self.parties]
        senders, receivers = self.ends[argument]
        found = []
        for route in routes:
            if route in fitting:
                most = [self.most(route)] if argument == "sizes" else [self.all_of_it]
                if argument == "room" or route[0] not in receivers:
                    most.append(self.gives[route[0]])
                if argument == "room" or route[1] not in senders:
                    most.append(self.takes[route[1]])
                found.append(min(most))
        return sorted(found, reverse=True)


def _counted(house: _House, party: Party, argument: str, times: int | None, need: Fraction) -> Iterable[str]:
    """One account outside its band: so many transfers, or (None) beyond help by one of the arguments."""
    end = 0 if _excess(party) > 0 else 1
    if times is None:
        own = house.take(party.key) if end else house.give(party.key)
        if own >= need and all(sum(house.possible(one, party.key, end)) >= need for one in house.arguments):
            yield f"{party.key}: not counted, though nothing shows that it is beyond help."
    elif times < 1 or sum(house.possible(argument, party.key, end)[: times - 1]) >= need:
        yield f"{party.key}: {times} transfers are more than it needs."


def _most_shared(above: Mapping[str, int], below: Mapping[str, int], pairs: Sequence[tuple[str, str]]) -> int:
    """The most pairs of which no account has more than its number, by pushing one unit after the other."""
    chosen: set[tuple[str, str]] = set()
    while True:
        path = _longer(above, below, pairs, chosen)
        if path is None:
            return len(chosen)
        chosen ^= set(path)


def _longer(
    above: Mapping[str, int], below: Mapping[str, int], pairs: Sequence[tuple[str, str]], chosen: set[tuple[str, str]]
) -> list[tuple[str, str]] | None:
    """Pairs to choose and to give up in turns, which make one more; breadth first."""
    reached: dict[str, list[tuple[str, str]]] = {
        key: [] for key, times in above.items() if sum(a == key for a, _ in chosen) < times
    }
    row = list(reached)
    for at in row:
        if at in below and sum(b == at for _, b in chosen) < below[at]:
            return reached[at]
        for pair in pairs:
            here, there = pair if at in above else (pair[1], pair[0])
            if here == at and there not in reached and (pair in chosen) == (at in below):
                reached[there] = [*reached[at], pair]
                row.append(there)
    return None


# -- small words ---------------------------------------------------------------------------------------------


def _name(move: Move) -> str:
    return f"{move.source} to {move.destination}"


def _net(party: Party, moves: Iterable[Move]) -> Fraction:
    net = Fraction(0)
    for move in moves:
        net += Fraction(move.amount) * ((move.destination == party.key) - (move.source == party.key))
    return net


def _inside(party: Party, held: Fraction) -> bool:
    return held >= party.minimum and (party.maximum is None or held <= party.maximum)


def _excess(party: Party) -> Fraction:
    return Fraction(-1) if party.maximum is None else Fraction(party.balance) - Fraction(party.maximum)


def _onward(key: str, pairs: Sequence[tuple[str, str]]) -> set[str]:
    """Every account that money from here reaches."""
    reached: set[str] = set()
    row = [key]
    while row:
        at = row.pop()
        fresh = {b for a, b in pairs if a == at} - reached
        reached |= fresh
        row += sorted(fresh)
    return reached
