"""What should not meet in one person, and where it does: duties, sign-ins, and roles with too few people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from treasury.controls.people import plain_address
from treasury.controls.roles import (
    AUDITORS,
    CHECKERS,
    MAKERS,
    OPERATORS,
    POLICY_EDITORS,
    ROLES,
    USER_ADMINISTRATORS,
)
from treasury.models import Membership, User

APART = frozenset({MAKERS, CHECKERS, POLICY_EDITORS, USER_ADMINISTRATORS, AUDITORS})
WATCHED = frozenset({OPERATORS, AUDITORS})  # whoever connects and stops is not who looks at it
FEWEST = 2  # people in a role: one of them may be away, and nobody decides on their own


@dataclass(frozen=True)
class SignIn:
    """A sign-in and the roles and groups that it holds; a deactivated one holds them again once it is opened."""

    pk: int
    username: str
    name: str
    person: str
    email: str
    active: bool
    groups: frozenset[str]


@dataclass(frozen=True)
class Met:
    """One natural person who holds duties that should not meet, over all of their sign-ins."""

    sign_ins: list[SignIn]
    duties: list[str]


@dataclass(frozen=True)
class Twin:
    """One natural person with several sign-ins, and what they hold together."""

    sign_ins: list[SignIn]
    groups: list[str]


@dataclass(frozen=True)
class Thin:
    """A role with fewer active people than it needs; sign-ins of one person are one."""

    role: str
    people: int


@dataclass(frozen=True)
class Report:
    met: list[Met]
    twins: list[Twin]
    alike: list[list[SignIn]]  # the same address in another spelling, and counted as different people
    thin: list[Thin]

    def __len__(self) -> int:
        return len(self.met) + len(self.twins) + len(self.alike) + len(self.thin)


def meeting(groups: Iterable[str]) -> list[str]:
    """Those of the roles that should not meet in one person; empty where none do."""
    held = frozenset(groups)
    found = held & APART if len(held & APART) > 1 else frozenset()
    found |= WATCHED if held >= WATCHED else frozenset()
    return [role for role in ROLES if role in found]


def sign_ins() -> list[SignIn]:
    """Everybody, with what they hold, in the order of user names; two queries."""
    groups: dict[int, set[str]] = {}
    for user, group in Membership.objects.filter(ended_at=None).values_list("user", "group"):
        groups.setdefault(user, set()).add(group)
    return [
        SignIn(one.pk, one.username, str(one), one.person, one.email, one.is_active, frozenset(groups.get(one.pk, ())))
        for one in User.objects.order_by("username")
    ]


def report(everybody: Iterable[SignIn] | None = None) -> Report:
    """As things are now. Whoever is deactivated does nothing, and is in it only as somebody's other sign-in."""
    listed = list(sign_ins() if everybody is None else everybody)
    people = by(listed, {one.pk: one.person for one in listed})
    active = [found for each in people if (found := [one for one in each if one.active])]
    return Report(
        met=[Met(each, duties) for each in active if (duties := meeting(together(each)))],
        twins=[Twin(each, sorted(together(each))) for each in people if len(each) > 1],
        alike=alike(listed),
        thin=thin(active),
    )


def by(listed: Iterable[SignIn], key: Mapping[int, str]) -> list[list[SignIn]]:
    """The sign-ins that have the same key, together."""
    found: dict[str, list[SignIn]] = {}
    for one in listed:
        found.setdefault(key[one.pk], []).append(one)
    return list(found.values())


def together(listed: Iterable[SignIn]) -> frozenset[str]:
    """What those of them that are active hold."""
    return frozenset[str]().union(*(one.groups for one in listed if one.active))


def alike(listed: list[SignIn]) -> list[list[SignIn]]:
    addressed = [one for one in listed if one.email]
    same = by(addressed, {one.pk: plain_address(one.email) for one in addressed})
    return [each for each in same if len({one.person for one in each}) > 1]


def thin(active: Iterable[Iterable[SignIn]]) -> list[Thin]:
    people = [together(each) for each in active]
    counts = {role: sum(role in groups for groups in people) for role in ROLES}
    return [Thin(role, count) for role, count in counts.items() if count < FEWEST]


# -- of a proposal ------------------------------------------------------------------------------------------------


def arising(before: list[SignIn], after: list[SignIn]) -> list[str]:
    """What would be in the report with ``after`` that is not in it now, as sentences."""
    was = {*sentences(report(before))}
    return [one for one in sentences(report(after)) if one not in was]


def sentences(found: Report) -> list[str]:
    return [
        *(f"{named(one.sign_ins)} would hold what should not meet: {' and '.join(one.duties)}." for one in found.met),
        *(f"{named(one.sign_ins)} would be sign-ins of one natural person, who counts once." for one in found.twins),
        *(f"{named(each)} would have one address and count as different people." for each in found.alike),
        *(f"{'Only one person' if one.people else 'Nobody'} would be left in {one.role}." for one in found.thin),
    ]


def named(listed: list[SignIn]) -> str:
    return " and ".join(f"{one.name} ({one.username})" for one in listed)
