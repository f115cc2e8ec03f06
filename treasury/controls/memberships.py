"""Who holds which role and is in which group of approvers: given and ended by changes, and never written otherwise."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from treasury.audit.record import record
from treasury.controls import changes, people
from treasury.controls.people import GROUP, MEMBERSHIPS, NotEnrolled
from treasury.controls.sessions import end_sessions
from treasury.models import Change, Membership, User

SUBJECT = "memberships:"
WRONG_GROUP = "A group's name is 2 to 50 small letters, digits, spaces and dashes."


@dataclass(frozen=True)
class Wish:
    """That somebody be in a group, or be in it no longer."""

    username: str
    group: str
    member: bool


def propose_memberships(*, wishes: Sequence[Wish], reason: str, by: User, at: datetime) -> Change:
    """Propose who gets and loses which roles and groups, all of them at once.

    What is so already is left out. Raises changes.MayNotChange, changes.NotSaid, NotEnrolled.
    """
    with transaction.atomic():
        changes.insist_on_right(MEMBERSHIPS, by)
        words = {"memberships": told(insisted_on(wishes))}
        return changes.propose(kind=MEMBERSHIPS, subject=SUBJECT, words=words, reason=reason, by=by, at=at)


def insisted_on(wishes: Iterable[Wish]) -> list[Wish]:
    """Those that would change something, in one order. Raises NotEnrolled."""
    wanted = sorted({wish for wish in wishes if wish.member != is_so(wish)}, key=lambda one: (one.username, one.group))
    known = set(User.objects.filter(username__in=[one.username for one in wanted]).values_list("username", flat=True))
    if unknown := {one.username for one in wanted} - known:
        raise NotEnrolled({"": f"Nothing was proposed. There is no {min(unknown)}."})
    if any(wish.member and not GROUP.fullmatch(wish.group) for wish in wanted):
        raise NotEnrolled({"groups": WRONG_GROUP})
    if len({(wish.username, wish.group) for wish in wanted}) < len(wanted):
        raise NotEnrolled({"": "Nothing was proposed. A group is either given or ended."})
    if not wanted:
        raise NotEnrolled({"": "Nothing was proposed: everybody is in these groups as you want it already."})
    return wanted


def told(wishes: Iterable[Wish]) -> list[dict[str, str | bool]]:
    return [{"username": one.username, "group": one.group, "member": one.member} for one in wishes]


def about(change: Change) -> str:
    """Whose they are, as a heading names them."""
    names = list(dict.fromkeys(one["username"] for one in change.words["memberships"]))
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more}"


def is_so(wish: Wish) -> bool:
    """Whether they are in the group now, whatever is wished."""
    return Membership.objects.filter(user__username=wish.username, group=wish.group, ended_at=None).exists()


def confirm_memberships(*, change_id: int, by: User, digest: str, at: datetime) -> list[User]:
    """Apply it; returns whom it names. Whoever loses a group is signed out everywhere.

    Raises changes.MayNotChange, changes.NotWaiting, changes.OtherChange, NoLongerSo.
    """
    with transaction.atomic(), people.two_stay():
        change = changes.confirm(change_id=change_id, kind=MEMBERSHIPS, by=by, digest=digest, at=at)
        named = regrouped(change, at)
        for user in named:
            about = [one for one in change.words["memberships"] if one["username"] == user.username]
            given = [one["group"] for one in about if one["member"]]
            ended = [one["group"] for one in about if not one["member"]]
            facts = {"change": change.pk, "given": given, "ended": ended}
            record(at=at, by=by, action="user.regroup", subject=user.subject, facts=facts)
        changes.entry(change, by=by, at=at, action=MEMBERSHIPS, facts={"memberships": change.words["memberships"]})
        return named


def regrouped(change: Change, at: datetime) -> list[User]:
    """Give and end what the applied change says, as far as it is not so already, and end the sessions of whoever
    loses something: an open page shows what they may no longer do."""
    people: dict[str, User] = {}
    lost: dict[int, User] = {}
    for said in change.words["memberships"]:
        user = people.setdefault(said["username"], User.objects.get(username=said["username"]))
        standing = Membership.objects.filter(user=user, group=said["group"], ended_at=None)
        if not said["member"]:
            if standing.update(ended_at=at, ended_by=change):
                lost[user.pk] = user
        elif not standing.exists():
            Membership.objects.create(user=user, group=said["group"], at=at, change=change)
    for user in lost.values():
        end_sessions(user)
    return list(people.values())
