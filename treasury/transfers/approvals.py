"""Who has approved, as far as it counts, and how many more people it takes: people, not sign-ins.

One person who is in two demanded groups counts for both, so the fewest people suffice. What was taken back does not
count, nor does the maker's own person under whatever sign-in; nor, while it is so, what somebody approved who may not
decide now. That counts again once they may, and the clock's tick completes a round that is full by then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from copy import copy
from dataclasses import dataclass
from functools import lru_cache

from django.db.models import QuerySet

from treasury.controls.roles import CHECKERS
from treasury.controls.rules import in_words
from treasury.models import Decision, Demand, Membership, State, Transfer, User, Verdict

Person = tuple[str, frozenset[str]]  # who can decide, and the groups that they can decide for


def given(transfer: Transfer) -> QuerySet[Decision]:
    """The approvals of this round, of these very words, that were not taken back."""
    found = transfer.decisions.filter(round=transfer.round, verdict=Verdict.APPROVE, withdrawal=None)
    return found.filter(digest=transfer.digest).select_related("by")


def still_missing(transfer: Transfer) -> dict[str, int]:
    """How many people of which group this round still lacks, as the claim will ask; empty when it has them all."""
    return lacking(transfer, transfer.demands.filter(round=transfer.round), standing(transfer))


def lacking(transfer: Transfer, demands: Iterable[Demand], approvals: Iterable[Decision]) -> dict[str, int]:
    """What these approvals lack of these demands, all of the transfer's round."""
    groups: dict[str, set[str]] = {}
    for decision in approvals:
        for group in decision.counts_for:
            groups.setdefault(group, set()).add(decision.by.person)
    missing = {one.group: one.count - len(groups.get(one.group, set()) - {transfer.maker.person}) for one in demands}
    return {group: count for group, count in missing.items() if count > 0}


Groups = Mapping[int, frozenset[str]]  # of those who may sign in, by the number of their sign-in


def groups_now(users: Iterable[int]) -> Groups:
    """The groups that these sign-ins are in now; of one that was ended none."""
    found: dict[int, set[str]] = {}
    members = Membership.objects.filter(user__in=set(users), user__is_active=True, ended_at=None)
    for user, group in members.values_list("user", "group"):
        found.setdefault(user, set()).add(group)
    return {user: frozenset(groups) for user, groups in found.items()}


def standing(transfer: Transfer) -> list[Decision]:
    """The approvals of this round that count now."""
    approvals = list(given(transfer))
    return counting(approvals, groups_now(one.by_id for one in approvals))


def counting(approvals: Iterable[Decision], groups: Groups) -> list[Decision]:
    """Those that still count: whoever gave them may decide now, for groups that they are in now."""
    found = []
    for decision in approvals:
        now = groups.get(decision.by_id, frozenset())
        counts_for = [group for group in decision.counts_for if group in now]
        if CHECKERS in now and counts_for:
            decision = copy(decision)  # what is stored says what it counted for when it was given
            decision.counts_for = counts_for
            found.append(decision)
    return found


def may_decide() -> list[Person]:
    """Everybody who can decide on transfers, each person once, with the groups of all their sign-ins that can."""
    standing = Membership.objects.filter(ended_at=None, user__is_active=True)
    checkers = User.objects.filter(is_active=True, memberships__group=CHECKERS, memberships__ended_at=None)
    people: dict[str, set[str]] = {}
    for person, group in standing.filter(user__in=checkers).values_list("user__person", "group"):
        people.setdefault(person, set()).add(group)
    return [(person, frozenset(groups)) for person, groups in sorted(people.items())]


@dataclass(frozen=True)
class Progress:
    """How far a round has come: ``have`` people's approvals count, ``missing`` of which group are missing still, and
    ``more`` people are needed at least, None where too few can decide. ``lapsed`` approvals were given and do not
    count, as whoever gave them may not decide now."""

    have: int
    missing: Mapping[str, int]
    more: int | None
    lapsed: int = 0

    @property
    def need(self) -> int:
        """People in all, at least."""
        return self.have + (sum(self.missing.values()) if self.more is None else self.more)

    @property
    def sentence(self) -> str:
        """What "1 of 2" does not say; empty where it says it all."""
        return " ".join(filter(None, [self.of_missing, self.of_lapsed]))

    @property
    def of_missing(self) -> str:
        if self.more is None:
            return f"It still needs {in_words(self.missing)}, and too few people can decide on it for them."
        if len(self.missing) < 2:
            return f"It still needs {in_words(self.missing)}." if self.missing.keys() - {CHECKERS} else ""
        people = "1 more person" if self.more == 1 else f"{self.more} more people"
        return f"It still needs {in_words(self.missing)}: at least {people}."

    @property
    def of_lapsed(self) -> str:
        if not self.lapsed:
            return ""
        which = "An approval does" if self.lapsed == 1 else f"{self.lapsed} approvals do"
        return f"{which} not count: who gave it may not decide now."


def progress(transfer: Transfer) -> Progress:
    demands, approvals = transfer.demands.filter(round=transfer.round), list(given(transfer))
    able = may_decide() if transfer.state == State.SUBMITTED else ()
    return progress_of(transfer, demands, approvals, groups_now(one.by_id for one in approvals), able)


def progress_of(
    transfer: Transfer,
    demands: Iterable[Demand],
    approvals: Collection[Decision],
    groups: Groups,
    able: Collection[Person],
) -> Progress:
    """From what was fetched: the round's demands and approvals, the groups now of those who gave them, and everybody
    who can decide."""
    maker, counted = transfer.maker.person, counting(approvals, groups)
    people, decided = ({one.by.person for one in those} for those in (counted, approvals))
    missing = lacking(transfer, demands, counted)
    rest = [theirs for person, theirs in able if person not in decided and person != maker]
    return Progress(len(people - {maker}), missing, fewest(missing, rest), len(approvals) - len(counted))


def fewest(missing: Mapping[str, int], able: Iterable[frozenset[str]]) -> int | None:
    """The fewest of these people, each with their groups, that fill every demand; None where all of them do not.

    Exact: people with the same groups are alike, and of each kind every number is tried on everything that may be
    missing still. For three groups, the most that a policy asks for at once, that is little, and it is reckoned once.
    """
    wanted = tuple(sorted((group, count) for group, count in missing.items() if count > 0))
    names = frozenset(name for name, _ in wanted)
    kinds = Counter(names & groups for groups in able)
    del kinds[frozenset()]
    return fewest_of(wanted, frozenset(kinds.items()))


@lru_cache(maxsize=1024)
def fewest_of(wanted: tuple[tuple[str, int], ...], kinds: frozenset[tuple[frozenset[str], int]]) -> int | None:
    rests = {tuple(count for _, count in wanted): 0}  # what is missing still, and how few people it took so far
    for groups, there in kinds:
        helps = tuple(name in groups for name, _ in wanted)
        for rest, people in list(rests.items()):
            most = max((count for count, one in zip(rest, helps, strict=True) if one), default=0)
            for more in range(1, min(there, most) + 1):
                less = after(rest, helps, more)
                rests[less] = min(rests.get(less, people + more), people + more)
    return rests.get((0,) * len(wanted))


def after(rest: tuple[int, ...], helps: tuple[bool, ...], more: int) -> tuple[int, ...]:
    """What is missing still once so many more people have approved, who count for these groups."""
    return tuple(max(count - more, 0) if one else count for count, one in zip(rest, helps, strict=True))
