"""What else a proposed change touches, as sentences: reckoned anew each time that somebody looks, from what is so now.

A version of the policy takes nothing from what is pending (``policy_effects``). Taking a group from somebody does: an
approval counts only while whoever gave it may still give it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import cached_property

from treasury.balances import snapshots
from treasury.controls import changes, house, people, policy, rulebook
from treasury.controls.roles import CHECKERS, MAKERS
from treasury.models import Change, Decision, Membership, State, Transfer, User, Verdict
from treasury.models.amount import counted
from treasury.transfers.policy_effects import LOOKED_AT, demands_of, named, of_policy, pending
from treasury.transfers.quorums import Member, Members, able, out_of_reach, standing


class Scene:
    """How things stand now, read once however many changes are asked about. ``at`` is the moment of asking."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    @cached_property
    def now(self) -> Members:
        return standing()

    @cached_property
    def book(self) -> rulebook.Rulebook | None:
        try:
            return policy.book_in_force()
        except policy.NoPolicy:
            return None

    @cached_property
    def pending(self) -> list[Transfer]:
        return list(pending()[:LOOKED_AT])

    @cached_property
    def demands(self) -> dict[int, dict[str, int]]:
        return demands_of(self.pending)

    @cached_property
    def approvals(self) -> dict[int, list[Decision]]:
        """Those of each one's round that were not taken back."""
        rounds = {one.pk: one.round for one in self.pending}
        given = Decision.objects.filter(transfer__in=list(rounds), verdict=Verdict.APPROVE, withdrawal=None)
        found: dict[int, list[Decision]] = {}
        for decision in given:
            if decision.round == rounds[decision.transfer_id]:
                found.setdefault(decision.transfer_id, []).append(decision)
        return found

    @cached_property
    def waiting(self) -> list[Change]:
        return list(changes.waiting())

    @cached_property
    def drafts(self) -> Counter[int]:
        """How many drafts each maker has."""
        return Counter(Transfer.objects.filter(state=State.DRAFT).values_list("maker", flat=True))

    @cached_property
    def users(self) -> dict[str, User]:
        """Those that a proposal which waits would change, whether they may sign in or not."""
        asked = [one.words["username"] for one in self.waiting if one.kind == people.CHANGE]
        return {one.username: one for one in User.objects.filter(username__in=asked)}

    @cached_property
    def held(self) -> dict[int, set[str]]:
        """The groups of those, which count again once they may sign in again."""
        found: dict[int, set[str]] = {}
        members = Membership.objects.filter(user__in=list(self.users.values()), ended_at=None)
        for user, group in members.values_list("user", "group"):
            found.setdefault(user, set()).add(group)
        return found


def of(change: Change, at: datetime) -> list[str]:
    """What becomes of pending transfers and quorums if this is confirmed; empty where nothing depends on it, and where
    it is decided.

    Reads only. ``at`` is the moment that it is asked for.
    """
    return of_each([change], at).get(change.pk, [])


def of_each(rows: Iterable[Change], at: datetime) -> dict[int, list[str]]:
    """The same of many, by the change's number: what is so now is read once."""
    scene = Scene(at)
    return {one.pk: RECKONED[one.kind](one, scene) for one in rows if one.is_open and one.kind in RECKONED}


# -- roles, groups and sign-ins -----------------------------------------------------------------------------------


def of_memberships(change: Change, scene: Scene) -> list[str]:
    numbers = {one.username: pk for pk, one in scene.now.items()}
    then = dict(scene.now)
    for wish in change.words["memberships"]:
        pk = numbers.get(wish["username"])
        if pk is not None:
            group = frozenset({wish["group"]})
            groups = then[pk].groups | group if wish["member"] else then[pk].groups - group
            then[pk] = Member(then[pk].username, then[pk].person, groups)
    return between(scene, then)


def of_person(change: Change, scene: Scene) -> list[str]:
    """Another name or address touches nothing; being another person, or no longer signing in, may."""
    user = scene.users.get(change.words["username"])
    becomes = change.words.get("becomes", {})
    if user is None:
        return []
    then = {pk: one for pk, one in scene.now.items() if pk != user.pk}
    if becomes.get("active", user.is_active):
        groups = frozenset(scene.held.get(user.pk, ()))
        then[user.pk] = Member(user.username, becomes.get("person", user.person), groups)
    return between(scene, then)


def of_leaving(user: User, at: datetime) -> list[str]:
    """What becomes of pending transfers and quorums if this sign-in is ended."""
    scene = Scene(at)
    return between(scene, {pk: one for pk, one in scene.now.items() if pk != user.pk})


def between(scene: Scene, then: Members) -> list[str]:
    """What is otherwise, once people are as in ``then``."""
    if scene.now == then:
        return []
    return [*lapsing(scene, then), *unreachable(scene, then), *unconfirmable(scene, then), *stuck_drafts(scene, then)]


def counting(members: Members, decisions: Iterable[Decision]) -> Counter[str]:
    """How many natural people have approved for each group and may still do so."""
    approved: dict[str, set[str]] = {}
    for decision in decisions:
        member = members.get(decision.by_id)
        for group in decision.counts_for:
            if member is not None and {group, CHECKERS} <= member.groups:
                approved.setdefault(group, set()).add(member.person)
    return Counter({group: len(found) for group, found in approved.items()})


def lapsing(scene: Scene, then: Members) -> list[str]:
    """Approvals of pending transfers that would no longer count."""
    lost = []
    for one in scene.pending:
        given = scene.approvals.get(one.pk, [])
        if counting(scene.now, given) - counting(then, given):
            lost.append(one)
    said = []
    if back := [one.reference for one in lost if one.state == State.APPROVED]:
        said.append(
            f"{counted(len(back), 'approved transfer')} would not be sent, and would ask for approval again, since an "
            f"approval would no longer count: {named(back)}."
        )
    if fewer := [one.reference for one in lost if one.state == State.SUBMITTED]:
        said.append(
            f"An approval would no longer count for {counted(len(fewer), 'transfer')} that "
            f"{'waits' if len(fewer) == 1 else 'wait'} for more: {named(fewer)}."
        )
    return said


def unreachable(scene: Scene, then: Members) -> list[str]:
    """Quorums, of the policy in force and of what is pending, that could be reached and no longer can."""
    said = []
    if scene.book is not None:
        before = set(out_of_reach(scene.book, scene.now))
        said = [sentence for sentence in out_of_reach(scene.book, then) if sentence not in before]
    never = [one.reference for one in scene.pending if falls_short(one, scene, then)]
    if never:
        said.append(f"{counted(len(never), 'pending transfer')} could no longer get all approvals: {named(never)}.")
    return said


def falls_short(transfer: Transfer, scene: Scene, then: Members) -> bool:
    """Whether some group of its demands has enough people now, and would not then: its maker is none of them."""
    return any(
        len(able(then, group) - {transfer.maker.person})
        < count
        <= len(able(scene.now, group) - {transfer.maker.person})
        for group, count in scene.demands.get(transfer.pk, {}).items()
    )


def unconfirmable(scene: Scene, then: Members) -> list[str]:
    """Proposals that wait and could no longer be confirmed, and kinds of changes that no two people could make."""
    said = []
    lost = [one for one in scene.waiting if may(scene.now, one) and not may(then, one)]
    if lost:
        titles = ", ".join(sorted({changes.RIGHTS[one.kind].title for one in lost}))
        whoever = "it" if len(lost) == 1 else "them"
        said.append(
            f"{counted(len(lost), 'proposal')} could no longer be confirmed, since whoever made {whoever} might no "
            f"longer propose that: {titles}."
        )
    stuck = {
        rights.title
        for rights in changes.RIGHTS.values()
        if two_people(scene.now, rights) and not two_people(then, rights)
    }
    if stuck:
        said.append(f"Too few people would be left to {', to '.join(sorted(stuck))}: it takes two.")
    return said


def may(members: Members, change: Change) -> bool:
    """Whether whoever proposed it may still do so."""
    member = members.get(change.proposed_by_id or 0)
    return member is not None and not member.groups.isdisjoint(changes.RIGHTS[change.kind].propose)


def two_people(members: Members, rights: changes.Rights) -> bool:
    """Whether one natural person may propose it, and another decide."""
    propose = {one.person for one in members.values() if not one.groups.isdisjoint(rights.propose)}
    decide = {one.person for one in members.values() if not one.groups.isdisjoint(rights.decide)}
    return bool(propose) and bool(decide) and len(propose | decide) > 1


def stuck_drafts(scene: Scene, then: Members) -> list[str]:
    """Drafts that nobody could submit: a draft is its maker's own."""
    gone = [pk for pk, one in scene.now.items() if MAKERS in one.groups and MAKERS not in groups_in(then, pk)]
    drafts = sum(scene.drafts[pk] for pk in gone)
    return [f"{counted(drafts, 'draft')} could not be submitted any more."] if drafts else []


def groups_in(members: Members, pk: int) -> frozenset[str]:
    member = members.get(pk)
    return member.groups if member else frozenset()


# -- settings of the house ----------------------------------------------------------------------------------------


def of_setting(change: Change, scene: Scene) -> list[str]:
    """What thinning would remove by other ages than now."""
    if change.words["name"] != house.RETENTION:
        return []
    return of_ages(house.ages_of(change.words["value"]), scene.at)


def of_ages(ages: house.Ages, at: datetime) -> list[str]:
    then, now = snapshots.thinned(at, ages), snapshots.thinned(at, house.retention())
    if then <= now:
        return ["No snapshot is removed by it that would not be removed as it is."]
    gone = counted(then - now, "snapshot")
    return [f"{gone} of what we held would be removed for good, soon after; nothing brings them back."]


RECKONED: Mapping[str, Callable[[Change, Scene], list[str]]] = {
    policy.SET: lambda change, scene: of_policy(change.words["policy"], scene.at),
    people.MEMBERSHIPS: of_memberships,
    people.CHANGE: of_person,
    house.SET: of_setting,
}
