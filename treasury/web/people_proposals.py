"""How a proposal about people is shown: what is, what becomes, what would then meet in one person, what else it
touches."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from treasury.controls import conflicts, details, people, resets
from treasury.controls.conflicts import SignIn
from treasury.controls.roles import ROLES
from treasury.models import Change, User
from treasury.transfers import dependents

SHOWN = frozenset({people.ENROL, people.CHANGE, people.RESET, people.MEMBERSHIPS})
TITLES = {
    "first_name": "First name",
    "last_name": "Last name",
    "email": "E-mail address",
    "provider_subject": "Identity provider's id",
}


@dataclass(frozen=True)
class Said:
    """What is said of a proposal about people. ``overtaken``: why nobody can confirm it as things are; ``resets``: the
    natural person whose sign-in it takes away; ``sign_in``: the number of the only one that it is about, 0 where there
    is none yet or there are several."""

    sentences: list[str]
    overtaken: str
    resets: str
    sign_in: int


def said_of(rows: Iterable[Change], at: datetime) -> dict[int, Said]:
    """Of those that are about people, by the change's number: as many queries for many as for one. While it waits, also
    what would then meet in one person, and what else it touches."""
    about = [one for one in rows if one.kind in SHOWN]
    if not about:
        return {}
    now, among = conflicts.sign_ins(), people.everybody()
    touched = dependents.of_each(about, at)
    return {
        one.pk: Said(
            sentences=[*SENTENCES[one.kind](one, now), *arising(one, now), *touched.get(one.pk, [])],
            overtaken=overtaken(one, among) if one.is_open else "",
            resets=person_reset(one, among),
            sign_in=only_one(one, now),
        )
        for one in about
    }


def only_one(change: Change, now: Iterable[SignIn]) -> int:
    """The number of the sign-in that it is about; 0 where there is none yet, or there are several."""
    wishes = change.words["memberships"] if change.kind == people.MEMBERSHIPS else [change.words]
    names = {one["username"] for one in wishes}
    return next((one.pk for one in now if one.username in names), 0) if len(names) == 1 else 0


def arising(change: Change, now: list[SignIn]) -> list[str]:
    """What would then meet in one person; of one that is decided nothing: it is so already or never will be."""
    return conflicts.arising(now, after(change, now)) if change.is_open else []


def beyond(change: Change, now: list[SignIn], at: datetime) -> list[str]:
    """All that follows from one proposal while it waits."""
    return [*arising(change, now), *dependents.of(change, at)]


def after(change: Change, now: list[SignIn]) -> list[SignIn]:
    """Everybody as they would be."""
    words = change.words
    if change.kind == people.ENROL:
        name = f"{words['first_name']} {words['last_name']}"
        held = frozenset(words["groups"])
        return [*now, SignIn(0, words["username"], name, words["person"], words["email"], True, held)]
    if change.kind == people.CHANGE:
        said = words["becomes"]
        becomes = {"person": said["person"], "email": said["email"], "active": said["active"]}
        return [replace(one, **becomes) if one.username == words["username"] else one for one in now]
    if change.kind == people.MEMBERSHIPS:
        return [replace(one, groups=regrouped(one, words["memberships"])) for one in now]
    return now


def regrouped(one: SignIn, wishes: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    mine = [wish for wish in wishes if wish["username"] == one.username]
    given = {wish["group"] for wish in mine if wish["member"]}
    return (one.groups | given) - {wish["group"] for wish in mine if not wish["member"]}


# -- in words -----------------------------------------------------------------------------------------------------


def enrol_words(change: Change, now: Sequence[SignIn]) -> list[str]:
    words = change.words
    roles = [one.removesuffix("s") if one in ROLES else one for one in words["groups"]]
    holds = f"Roles and groups: {', '.join(roles)}." if roles else "No role, and in no group."
    subject = [f"The identity provider's id of them: {words['provider_subject']}."] if words["provider_subject"] else []
    return [
        f"{words['first_name']} {words['last_name']} may sign in as {words['username']}. {holds}",
        f"They choose a password by a link that is sent to {words['email']}; nobody else ever has it.",
        *subject,
    ]


def change_words(change: Change, now: Sequence[SignIn]) -> list[str]:
    """What is, and what becomes of it."""
    was, becomes = change.words.get("was", {}), change.words["becomes"]
    said = [
        f"{title}: {was.get(name) or 'none'}; becomes {becomes[name] or 'none'}."
        for name, title in TITLES.items()
        if was.get(name) != becomes[name]
    ]
    if was.get("person") != becomes["person"]:
        others = [one for one in now if one.person == becomes["person"] and one.username != change.words["username"]]
        said.append(f"Counts from then on as the same natural person as {conflicts.named(others) or 'nobody else'}.")
    if becomes["active"] and not was.get("active"):
        held = [one for one in now if one.username == change.words["username"]]
        groups = sorted(held[0].groups) if held else []
        said.append(f"May sign in again, and holds {' and '.join(groups) or 'no role'}.")
    return said


def reset_words(change: Change, now: Sequence[SignIn]) -> list[str]:
    words = change.words
    return [
        f"The password and every factor of {words['username']} are taken away, and they are signed out everywhere.",
        f"They begin anew by a link that is sent to {words['email']}, and need a factor again before anything else.",
        f"How it was made sure who they are: {words['proof']}",
    ]


def membership_words(change: Change, now: Sequence[SignIn]) -> list[str]:
    names = {one.username: one.name for one in now}
    wishes: list[dict[str, Any]] = change.words["memberships"]
    said = []
    for username in dict.fromkeys(one["username"] for one in wishes):
        mine = [one for one in wishes if one["username"] == username]
        given = [one["group"] for one in mine if one["member"]]
        ended = [one["group"] for one in mine if not one["member"]]
        parts = [f"gets {' and '.join(given)}"] if given else []
        parts += [f"no longer holds {' and '.join(ended)}, and is signed out everywhere"] if ended else []
        said.append(f"{names.get(username, username)} ({username}) {'; '.join(parts)}.")
    return said


SENTENCES: Mapping[str, Callable[[Change, Sequence[SignIn]], list[str]]] = {
    people.ENROL: enrol_words,
    people.CHANGE: change_words,
    people.RESET: reset_words,
    people.MEMBERSHIPS: membership_words,
}


# -- what stands in its way ---------------------------------------------------------------------------------------


def overtaken(change: Change, among: Collection[User]) -> str:
    """Why nobody can confirm it as things are, whoever they are; empty when somebody can. ``among``: everybody."""
    if change.kind == people.ENROL:
        return people.why_not_enrol(change, among)
    user = people.named(change.words["username"], among) if change.kind != people.MEMBERSHIPS else None
    if user is None:
        return ""
    if change.kind == people.RESET:
        return resets.why_not_reset(change, user)
    return details.why_not_change(change, user, among)


def person_reset(change: Change, among: Iterable[User]) -> str:
    user = people.named(change.words["username"], among) if change.kind == people.RESET else None
    return user.person if user else ""


def reset_of_self(said: Said | None, person: User) -> str:
    """Why this person may not decide on it although they may on others; empty when they may."""
    return resets.NOT_ONES_OWN if said is not None and said.resets == person.person else ""
