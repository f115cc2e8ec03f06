"""Who could approve what: the active people of each group, and demands that nobody could ever meet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from treasury.controls import rulebook
from treasury.controls.roles import CHECKERS
from treasury.models import Membership, User


@dataclass(frozen=True)
class Member:
    """One sign-in that is active: which natural person it is, and the groups that it is in."""

    username: str
    person: str
    groups: frozenset[str]


Members = Mapping[int, Member]


def standing() -> Members:
    """Everybody who may sign in, by the number of their sign-in."""
    groups: dict[int, set[str]] = {}
    for user, group in Membership.objects.filter(ended_at=None).values_list("user", "group"):
        groups.setdefault(user, set()).add(group)
    active = User.objects.filter(is_active=True).values_list("pk", "username", "person")
    return {pk: Member(username, person, frozenset(groups.get(pk, ()))) for pk, username, person in active}


def able(members: Members, group: str) -> set[str]:
    """The natural people who can decide on transfers for a group: in it, and checkers."""
    return {one.person for one in members.values() if group in one.groups and CHECKERS in one.groups}


def out_of_reach(book: rulebook.Rulebook, members: Members) -> list[str]:
    """Rules whose demands nobody could ever meet, however many say yes."""
    found = []
    for rule in book.rules:
        for group, count in sorted(rule.demands.items()):
            there = len(able(members, group))
            if there < count:
                found.append(
                    f"What “{rule.name}” covers could never be approved: it asks for {count} of {group}, and "
                    f"{there_are(there)}."
                )
    return found


def there_are(count: int) -> str:
    if count == 0:
        return "nobody in that group is a checker"
    return f"only {count} {'person in that group is a checker' if count == 1 else 'people in that group are checkers'}"
