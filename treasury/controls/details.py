"""What is known of somebody: name, address, the identity provider's id, which natural person; and opening again."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction

from treasury.controls import changes, letters, people
from treasury.controls.people import CHANGE, NoLongerSo, NotEnrolled, Who
from treasury.models import Change, User

COLUMNS = ("first_name", "last_name", "email", "provider_subject")


@dataclass(frozen=True)
class Details:
    """What a sign-in is to say. ``same_as``: the user name of another sign-in of the same natural person.
    ``reopen``: that somebody whose sign-in was ended may sign in again."""

    first_name: str
    last_name: str
    email: str
    provider_subject: str = ""
    same_as: str = ""
    reopen: bool = False


def known(user: User) -> Details:
    """As it is now."""
    return Details(*(getattr(user, name) for name in COLUMNS))


def propose_change(*, user: User, details: Details, reason: str, by: User, at: datetime) -> Change:
    """Propose what is to be known of somebody; with another's address, or the same as another, they become one person.

    Raises changes.MayNotChange, changes.NotSaid, NotEnrolled.
    """
    with transaction.atomic():
        changes.insist_on_right(CHANGE, by)
        words = words_of(user, details)
        waiting = changes.waiting().filter(kind=CHANGE, subject=user.subject)
        if any(one.words != words or one.proposed_by_id != by.pk for one in waiting):
            raise NotEnrolled({"": f"Nothing was proposed. Another change of {user.username} waits for a decision."})
        return changes.propose(kind=CHANGE, subject=user.subject, words=words, reason=reason, by=by, at=at)


def words_of(user: User, details: Details) -> dict[str, Any]:
    """What a proposal says of it, with what is so now beside it. Raises NotEnrolled."""
    said = {name: str(getattr(details, name)) for name in COLUMNS}
    who = Who(user.username, same_as=details.same_as, **said)
    if problems := people.wrong_details(who):
        raise NotEnrolled(problems)
    was = stands(user)
    person = becomes_person(user, who, people.everybody())
    becomes = {**said, "person": person, "active": user.is_active or details.reopen}
    if becomes == was:
        raise NotEnrolled({"": "Nothing was proposed: all of it is so already."})
    if becomes["person"] != was["person"] and (fellows := fellows_of(user)):
        raise NotEnrolled(
            {
                "": f"Nothing was proposed. {user.username} and {', '.join(fellows)} are one person already: propose "
                f"that the other one is the same as {user.username} instead."
            }
        )
    return {"username": user.username, "becomes": becomes, "was": was, "same_as": details.same_as}


def stands(user: User) -> dict[str, Any]:
    return {name: getattr(user, name) for name in (*COLUMNS, "person")} | {"active": user.is_active}


def becomes_person(user: User, who: Who, among: Iterable[User]) -> str:
    """As is said, or whoever has the address; else they stay who they are, whatever their address is now."""
    if who.same_as:
        return people.person_of(who, among)
    other = people.person_at(who.email, among, but=user.username)
    return other.person if other else user.person


def fellows_of(user: User) -> list[str]:
    """The user names of the same natural person's other sign-ins."""
    others = User.objects.filter(person=user.person).exclude(pk=user.pk)
    return list(others.order_by("username").values_list("username", flat=True))


def confirm_change(*, change_id: int, by: User, digest: str, at: datetime) -> User:
    """Apply it, and tell the person where they read mail now and where they did before.

    Raises changes.MayNotChange, changes.NotWaiting, changes.OtherChange, NoLongerSo.
    """
    with transaction.atomic(), people.two_stay():
        change = changes.confirm(change_id=change_id, kind=CHANGE, by=by, digest=digest, at=at)
        user = User.objects.select_for_update(no_key=True).get(username=change.words["username"])
        if refusal := why_not_change(change, user, people.everybody()):
            raise NoLongerSo(f"Nothing was changed. {refusal}")
        before = user.email
        write(user, change)
        facts = {"becomes": change.words["becomes"], "was": change.words["was"]}
        changes.entry(change, by=by, at=at, action=CHANGE, facts=facts)
        letters.changed(user, change, before=before, at=at)
        if user.is_active and not user.has_usable_password():
            letters.link_anew(user, change, at=at)
        return user


def why_not_change(change: Change, user: User, among: Collection[User]) -> str:
    """Why nobody can confirm it as things are; empty when somebody can. ``among``: everybody."""
    said: Mapping[str, Any] = change.words["becomes"]
    if stands(user) != change.words["was"]:
        return f"What is known of {user.username} has changed since: propose it anew."
    who = Who(user.username, **{name: said[name] for name in COLUMNS}, same_as=change.words.get("same_as", ""))
    if people.holder_of(who, among):
        return "Somebody else has this provider's id since: propose it anew."
    left = [one.username for one in among if one.person == user.person and one.pk != user.pk]
    if said["person"] != user.person and left:
        return f"Since it was proposed, {' and '.join(left)} and {user.username} are one person: propose it anew."
    return people.why_another(who, said["person"], becomes_person(user, who, among), among)


def write(user: User, change: Change) -> None:
    """As the applied change says; the database compares them."""
    said: Mapping[str, Any] = change.words["becomes"]
    for name in (*COLUMNS, "person"):
        setattr(user, name, said[name])
    user.is_active, user.change = said["active"], change
    user.save(update_fields=[*COLUMNS, "person", "is_active", "change"])
