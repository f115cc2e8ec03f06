"""Why an account that is outside its band is not mended by a plan: one sentence each, by the numbers it rests on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from treasury.models import Account
from treasury.models.amount import grouped
from treasury.rebalancing.drift import NOTHING, Group, Position, Stand
from treasury.rebalancing.inputs import key_of
from treasury.rebalancing.problem import Move, Party, Problem, balances_after

THE_SEARCH = "the search found no plan that helps it as well"


def non_moves(group: Group, problem: Problem, moves: Sequence[Move]) -> list[dict[str, Any]]:
    """[{"account": 12, "why": "…"}] for each account that the plan leaves outside its band, and for each that needs no
    transfer only because of what is on its way already."""
    held = balances_after(problem, moves)
    touched = {key for move in moves for key in (move.source, move.destination)}
    case = Case(group, problem, {party.key: party for party in problem.parties}, held)
    found = []
    for stand in group.stands:
        key = key_of(stand.account)
        if why := case.why(stand, held[key]):
            nearer = "the plan brings it nearer and not inside: " if key in touched else ""
            found.append({"account": stand.account.pk, "why": sentence(nearer + why)})
        elif key not in touched and (why := brought_inside(stand)):
            found.append({"account": stand.account.pk, "why": sentence(why)})
    return found


def sentence(words: str) -> str:
    """With a capital and a full stop."""
    words = words.rstrip(".")
    return f"{words[:1].upper()}{words[1:]}." if words else ""


def unread(stand: Stand) -> str:
    """Why a group with this account is not planned, and what helps."""
    if stand.balance is not None and stand.total is None:
        why = stand.balance.problem.rstrip(".")
        return (
            f"It cannot be read: {why}. Take its band away or state it otherwise; reading again will not help while "
            "the venue answers so."
        )
    return sentence(stand.why_unknown)


def brought_inside(stand: Stand) -> str:
    """Outside by what was read, inside once all that is on its way has moved: which transfers bring it there."""
    if stand.position != Position.INSIDE or stand.total is None or stand.total == stand.expected:
        return ""
    assert stand.minimum is not None, "a position is known by the band in amounts"
    if stand.total >= stand.minimum and (stand.maximum is None or stand.total <= stand.maximum):
        return ""
    names = listed(transfer.reference for transfer in stand.waiting)
    return f"{names} {'is' if len(stand.waiting) == 1 else 'are'} on the way and {_bring(stand)} it inside"


def _bring(stand: Stand) -> str:
    return "brings" if len(stand.waiting) == 1 else "bring"


@dataclass(frozen=True)
class Case:
    """A group's problem, the parties of it by their keys, and what each holds after the plan."""

    group: Group
    problem: Problem
    parties: Mapping[str, Party]
    after: Mapping[str, Decimal]

    def why(self, stand: Stand, held: Decimal) -> str:
        """Why this account ends outside, where it holds ``held`` after the plan; empty where it ends inside."""
        party = self.parties[key_of(stand.account)]
        if held < party.minimum:
            return stand.frozen or stand.no_taking or self._why_nothing_comes(party, party.minimum - held)
        if party.maximum is not None and held > party.maximum:
            return stand.frozen or stand.no_giving or self._why_nothing_goes(stand, party, held - party.maximum)
        return ""

    def _why_nothing_comes(self, party: Party, short: Decimal) -> str:
        able = [stand for stand in self._others(party) if self.surplus(stand) > 0]
        if not able:
            return f"no surplus anywhere: no account of the group may give ({self._each(party, self._why_not_give)})"
        spare = sum(map(self.surplus, able), NOTHING)
        if why := self._why_too_little(party, spare, -self._used(able), "it needs {}", "spare {}"):
            return why
        over = [stand for stand in able if (key_of(stand.account), party.key) in self.problem.routes]
        if not over:
            return f"no route to it from any account with surplus ({_titles(stand.account for stand in able)})"
        most = {key_of(stand.account): self.surplus(stand) for stand in over}
        return self._why_no_size(party, most, short) or THE_SEARCH

    def _why_nothing_goes(self, stand: Stand, party: Party, over: Decimal) -> str:
        if party.free < over:
            return self._why_held_back(stand, party)
        able = [one for one in self._others(party) if self.room(one) is None or (self.room(one) or NOTHING) > 0]
        if not able:
            return f"no room anywhere: no account of the group may take ({self._each(party, self._why_not_take)})"
        rooms = [self.room(one) for one in able]
        if None not in rooms:
            room_for = sum((one or NOTHING for one in rooms), NOTHING)
            if why := self._why_too_little(party, room_for, self._used(able), "it has {} too much", "take {}"):
                return why
        reached = [one for one in able if (party.key, key_of(one.account)) in self.problem.routes]
        if not reached:
            return f"no route from it to any account with room ({_titles(one.account for one in able)})"
        most = {key_of(one.account): room if (room := self.room(one)) is not None else over for one in reached}
        return self._why_no_size(party, most, over) or THE_SEARCH

    def _why_too_little(self, party: Party, able: Decimal, used: Decimal, needs: str, can: str) -> str:
        """Whether all others together cannot give or take what it needs, or no longer can once the plan has helped
        others by ``used``; with the numbers."""
        above = NOTHING if party.maximum is None else party.balance - party.maximum
        needed = max(party.minimum - party.balance, above)
        needs = needs.format(grouped(needed))
        if able < needed:
            return f"{needs}, and the others can {can.format(grouped(able))} together"
        left = abs(self.after[party.key] - party.balance) + able - max(used, NOTHING)
        if left < needed:
            return f"{needs}, and once the plan has helped others, these can {can.format(grouped(left))} together"
        return ""

    def _used(self, stands: Iterable[Stand]) -> Decimal:
        """How much more they hold together after the plan than before."""
        keys = [key_of(stand.account) for stand in stands]
        return sum((self.after[key] - self.parties[key].balance for key in keys), NOTHING)

    def _why_no_size(self, party: Party, most: Mapping[str, Decimal], needed: Decimal) -> str:
        """Whether the sizes that are allowed stand in the way. ``most``: what each of the others can give or take."""
        smallest = {key: self._smallest(party, self.parties[key]) for key in most}
        below = [key for key in most if min(most[key], self._band_width(party, needed)) < smallest[key]]
        if len(below) == len(most):
            least = min(smallest.values())
            return f"below the smallest size: no transfer under {grouped(least)} is proposed, and none so large fits"
        limits = [self._largest(party, self.parties[key]) for key in most]
        sizes = [limit for limit in limits if limit is not None]
        if len(sizes) == len(limits) and sum(sizes, NOTHING) < needed:
            outside, at_once = grouped(needed), grouped(max(sizes))
            return f"larger than the largest size: it is {outside} outside, and one transfer may move {at_once} at most"
        return ""

    def _band_width(self, party: Party, needed: Decimal) -> Decimal:
        """The most that one transfer may bring or take without carrying it out at the other side."""
        if party.maximum is None:
            return max(needed, party.balance)
        return needed + party.maximum - party.minimum

    def surplus(self, stand: Stand) -> Decimal:
        """What it could give and stay inside its band."""
        party = self.parties[key_of(stand.account)]
        return max(min(party.free, party.balance - party.minimum), NOTHING) if party.gives else NOTHING

    def room(self, stand: Stand) -> Decimal | None:
        """What it could take and stay inside its band; None: any amount."""
        party = self.parties[key_of(stand.account)]
        if not party.takes:
            return NOTHING
        return None if party.maximum is None else max(party.maximum - party.balance, NOTHING)

    def _others(self, party: Party) -> list[Stand]:
        return [stand for stand in self.group.stands if key_of(stand.account) != party.key]

    def _each(self, party: Party, why: Any) -> str:
        return "; ".join(f"{stand.account.title}: {why(stand)}" for stand in self._others(party)) or "there is no other"

    def _why_not_give(self, stand: Stand) -> str:
        party = self.parties[key_of(stand.account)]
        if words := stand.frozen or stand.no_giving:
            return words
        if party.balance <= party.minimum:
            return "it has nothing above its minimum"
        return self._why_held_back(stand, party)

    def _why_not_take(self, stand: Stand) -> str:
        return stand.frozen or stand.no_taking or "it has no room below its maximum"

    def _why_held_back(self, stand: Stand, party: Party) -> str:
        """Why no more than ``free`` may leave it."""
        reasons = []
        movable = stand.balance.movable if stand.balance is not None else None
        if movable is not None and stand.total is not None and movable < stand.total:
            reasons.append(f"the venue lets {grouped(movable)} of it be moved")
        if stand.reserved:
            reasons.append(f"{grouped(stand.reserved)} are reserved")
        if stand.floor:
            reasons.append(f"{grouped(stand.floor)} must stay, its floor")
        because = f", since {' and '.join(reasons)}" if reasons else ""
        return f"only {grouped(party.free)} of it may leave{because}"

    @staticmethod
    def _smallest(one: Party, other: Party) -> Decimal:
        return max(one.smallest or NOTHING, other.smallest or NOTHING)

    @staticmethod
    def _largest(one: Party, other: Party) -> Decimal | None:
        sizes = [size for size in (one.largest, other.largest) if size is not None]
        return min(sizes) if sizes else None


def _titles(accounts: Iterable[Account]) -> str:
    return listed(account.title for account in accounts)


def listed(names: Iterable[str]) -> str:
    """ "a, b and c"."""
    *first, last = list(names)
    return f"{', '.join(first)} and {last}" if first else last
