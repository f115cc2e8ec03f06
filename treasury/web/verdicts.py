"""A plan in sentences: what its transfers mend as they now are, how they stand, and what comes next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.urls import NoReverseMatch, reverse

from treasury.controls.roles import CHECKERS, MAKERS, groups_of
from treasury.models import Plan, State, Status, User
from treasury.models.amount import counted
from treasury.rebalancing.on_its_way import READ_AGAIN

if TYPE_CHECKING:
    from treasury.web.planned import Drafted, Part


@dataclass(frozen=True)
class Next:
    """How the plan's transfers stand, in a sentence, and what this person may do now: submit ``own`` drafts, or
    ``decide`` at an address; both empty where there is nothing for them."""

    sentence: str
    own: int
    decide: str
    done: bool


def verdict(parts: Sequence[Part], *, asked: bool) -> str:
    """The plan in a few sentences: how many transfers mend how much, and what they do not. Amounts that were edited
    count as they are; ``asked``: as they stand in the form."""
    first = [one for one in parts if not one.group.second_step]
    lines = [line for one in first for line in one.lines]
    moves = sum(line.moves > 0 for line in lines)
    by_hand = sum(line.moves > 0 for one in parts if one.group.second_step for line in one.lines)
    outside, brought, stays = (sum(getattr(one, name) for one in first) for name in ("outside", "brought", "stays"))
    unread = [one for one in first if one.group.status == Status.REFUSED]
    said = []
    if lines:
        said.append(moved(moves, brought, stays, outside))
    elif outside or not unread:
        said.append(nothing_moved(outside))
    if by_hand:
        said.append(f"A further step, by hand, has {counted(by_hand, 'transfer')}.")
    if late := sum(one.wants_reading for one in unread):
        said.append(f"{counted(late, 'group')} could not be planned: {READ_AGAIN}.")
    if rest := sum(not one.wants_reading for one in unread):
        said.append(f"{counted(rest, 'group')} could not be planned; below is why.")
    return " ".join([*said, *changed(parts, asked=asked)])


def nothing_moved(outside: int) -> str:
    if not outside:
        return "Nothing to do: every account is inside its band."
    return f"No transfer helps: {counted(outside, 'account')} {'is' if outside == 1 else 'are'} outside; below is why."


def moved(moves: int, brought: int, stays: int, outside: int) -> str:
    if not moves:
        stay = f"{counted(stays, 'account')} stay{'s' if stays == 1 else ''} outside"
        return f"None of its transfers moves anything: {stay}."
    inside = f"{counted(brought, 'account') if brought else 'no account'} inside"
    inside = f"{inside} {'its band' if brought == 1 else 'their bands'}" if brought else inside
    said = f"{counted(moves, 'transfer')} bring{'s' if moves == 1 else ''} {inside}."
    if not stays:
        return said
    end = "end" if stays > outside - brought else "stay"
    return f"{said} {counted(stays, 'account')} {end}{'s' if stays == 1 else ''} outside; below is why."


def changed(parts: Sequence[Part], *, asked: bool) -> list[str]:
    """How the transfers differ from what was planned."""
    lines = [line for one in parts for line in one.lines]
    found = []
    if edited := sum(line.edited for line in lines):
        found.append(f"{counted(edited, 'line')} {'was' if edited == 1 else 'were'} edited.")
    if ended := sum(line.ended for line in lines):
        found.append(
            f"{counted(ended, 'transfer')} of it ended without moving, and {'is' if ended == 1 else 'are'} not counted."
        )
    if asked:
        found.append("This is with the lines that are chosen, and their amounts as typed.")
    return found


def next_step(plan: Plan, drafted: Sequence[Drafted], person: User) -> Next | None:
    """None while nothing is drafted."""
    if not drafted:
        return None
    transfers = [one.transfer for one in drafted]
    own = sum(one.state == State.DRAFT and one.maker_id == person.pk for one in transfers)
    waiting = sum(one.state == State.SUBMITTED for one in transfers)
    groups = groups_of(person)
    return Next(
        sentence=standing(drafted),
        own=own if MAKERS in groups else 0,
        decide=address_of_decisions(plan) if waiting and CHECKERS in groups else "",
        done=all(one.state == State.SETTLED for one in transfers),
    )


def standing(drafted: Sequence[Drafted]) -> str:
    """ "2 are drafts. 7 wait for checkers." """
    count = len(drafted)
    states = [one.transfer.state for one in drafted]
    settled = states.count(State.SETTLED)
    if settled == count:
        return "It has settled." if count == 1 else f"All {count} have settled."
    drafts, waiting = states.count(State.DRAFT), states.count(State.SUBMITTED)
    ended = sum(one.ended for one in drafted)
    under_way = count - drafts - waiting - settled - ended
    told = (
        (drafts, "drafted"),
        (waiting, "waits for checkers" if waiting == 1 else "wait for checkers"),
        (under_way, "approved or on the way"),
        (settled, "settled"),
        (ended, "ended without moving"),
    )
    return f"{', '.join(f'{number} {words}' for number, words in told if number)}."


def address_of_decisions(plan: Plan) -> str:
    """Where checkers decide on the plan's transfers together."""
    try:
        return reverse("decide_plan", args=[plan.reference])
    except NoReverseMatch:
        return ""
