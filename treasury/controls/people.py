"""People: who may sign in, and which natural person that is. A sign-in is made by a change under four eyes, and ended
by one person. Roles are in ``memberships``, what is known of somebody in ``details``, lost factors in ``resets``.
The first two are made by ``first_two``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.db.models import Q, QuerySet

from treasury.audit.record import Machine, record
from treasury.controls import changes, letters
from treasury.controls.roles import USER_ADMINISTRATORS, groups_of
from treasury.controls.roles import people as active
from treasury.controls.sessions import end_sessions
from treasury.models import AuditEntry, Change, Membership, User
from treasury.models.turns import one_at_a_time

PRACTICE = Machine("practice")
ENROL, CHANGE, RESET, MEMBERSHIPS = "user.enrol", "user.change", "user.reset", "membership.set"
NAME_LENGTH, ADDRESS_LENGTH = 150, 254
SAID = ("username", "first_name", "last_name", "email", "provider_subject")
USERNAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,59}")
GROUP = re.compile(r"[a-z0-9][a-z0-9 -]{0,48}[a-z0-9]")


class PracticeData(RuntimeError):
    """A real installation was to start on a database that holds practice people, whose passwords everyone knows."""


class NotEnrolled(Exception):
    """The words make no proposal. ``problems`` is {field: sentence}, "" for all of it; nothing was written."""

    def __init__(self, problems: dict[str, str]) -> None:
        super().__init__(" ".join(problems.values()))
        self.problems = problems


class NoLongerSo(Exception):
    """What the proposal was made from is not so any more, or what it leads to may not be. Nothing was changed."""


@dataclass(frozen=True)
class Who:
    """Who a sign-in is for. ``username`` is what they type; ``email`` and ``provider_subject`` say which natural
    person it is, and so does ``same_as``, the user name of another sign-in of theirs."""

    username: str
    first_name: str
    last_name: str
    email: str
    provider_subject: str = ""
    same_as: str = ""


def insist_on_no_practice_data() -> None:
    """Raise PracticeData when practice has ever filled this database: the log cannot forget it."""
    if AuditEntry.objects.filter(who=f"machine:{PRACTICE.name}").exists():
        raise PracticeData(
            "Not started: this database was filled with practice data, and TREASURY_MODE is 'real'. "
            "Name an empty database in DATABASE_URL."
        )


# -- making people known ------------------------------------------------------------------------------------------


def propose_enrol(*, who: Who, groups: Sequence[str], reason: str, by: User, at: datetime) -> Change:
    """Propose a sign-in with its roles and groups. Raises changes.MayNotChange, changes.NotSaid, NotEnrolled."""
    with transaction.atomic():
        changes.insist_on_right(ENROL, by)
        if problems := wrong_words(who, groups):
            raise NotEnrolled(problems)
        if changes.waiting().filter(kind=ENROL, subject=f"user:{who.username}").exclude(proposed_by=by).exists():
            raise NotEnrolled({"username": f"{who.username} is proposed already; that proposal is decided on first."})
        words = {**told(who), "groups": sorted(set(groups))}
        return changes.propose(kind=ENROL, subject=f"user:{who.username}", words=words, reason=reason, by=by, at=at)


def confirm_enrol(*, change_id: int, by: User, digest: str, at: datetime) -> User:
    """Make the sign-in, without a password: they choose one by the link that they are sent.

    Raises changes.MayNotChange, changes.NotWaiting, changes.OtherChange, NoLongerSo.
    """
    with transaction.atomic():
        lock()
        change = changes.confirm(change_id=change_id, kind=ENROL, by=by, digest=digest, at=at)
        if refusal := why_not_enrol(change, everybody()):
            raise NoLongerSo(f"Nothing was changed. {refusal}")
        user = stored(change.words, change.words["groups"], change, at)
        changes.entry(change, by=by, at=at, action=ENROL, facts={"groups": change.words["groups"]})
        letters.first_password(user, change, at=at)
        return user


def why_not_enrol(change: Change, among: Collection[User]) -> str:
    """Why nobody can confirm it as things are; empty when somebody can. ``among``: everybody."""
    words = change.words
    if any(one.username.lower() == words["username"].lower() for one in among):
        return f"There is a {words['username']} already."
    who = Who(**{name: words[name] for name in SAID}, same_as=words.get("same_as", ""))
    if taken := holder_of(who, among):
        return f"{taken.username} has this provider's id."
    return why_another(who, words["person"], person_of(who, among), among)


def why_another(who: Who, said: str, now: str, among: Iterable[User]) -> str:
    """Why a proposal that counts them as ``said`` cannot be confirmed, where they would be ``now`` if it were made
    now; empty when it can. Confirmed as it stands, one natural person might count twice."""
    if who.same_as and now != said:
        return f"Since it was proposed, {who.same_as} counts as another natural person: propose it anew."
    alike = person_at(who.email, among, but=who.username)
    if alike is not None and alike.person != said:
        return f"Since it was proposed, {alike.username} has this e-mail address: propose it anew."
    if now != said:
        return "Since it was proposed, nobody has this e-mail address any more: propose it anew."
    return ""


def stored(words: Mapping[str, Any], groups: Iterable[str], change: Change, at: datetime) -> User:
    """Write the sign-in that the applied change is about, with its memberships."""
    user = User(
        username=words["username"],
        first_name=words["first_name"],
        last_name=words["last_name"],
        email=words["email"],
        person=words["person"],
        provider_subject=words["provider_subject"],
        is_superuser=words["superuser"],
        date_joined=at,
        change=change,
    )
    user.set_unusable_password()
    user.save(force_insert=True)
    Membership.objects.bulk_create(Membership(user=user, group=group, at=at, change=change) for group in groups)
    return user


def told(who: Who) -> dict[str, Any]:
    """What a proposal says of somebody. ``person`` is reckoned here, so that whoever confirms reads it."""
    return {
        "username": who.username,
        "first_name": who.first_name,
        "last_name": who.last_name,
        "email": who.email,
        "provider_subject": who.provider_subject,
        "person": person_of(who, everybody()),
        "same_as": who.same_as,
        "superuser": False,
    }


def everybody() -> list[User]:
    """Whoever may sign in or ever might, the first enrolled first."""
    return list(User.objects.order_by("pk"))


def person_of(who: Who, among: Iterable[User]) -> str:
    """Which natural person it is: as is said, or that of another sign-in with this address; else a new one, named by
    the address. Whoever once had this address and gave it up is not told apart from whoever has it now."""
    found = named(who.same_as, among) if who.same_as else person_at(who.email, among)
    return found.person if found else plain_address(who.email)


def named(username: str, among: Iterable[User]) -> User | None:
    return next((one for one in among if one.username == username), None)


def person_at(email: str, among: Iterable[User], *, but: str = "") -> User | None:
    """The first sign-in with this address, in any spelling; not that of the user name ``but``."""
    plain = plain_address(email)
    others = (one for one in among if one.email and one.username != but)
    return next((one for one in others if plain_address(one.email) == plain), None)


def plain_address(email: str) -> str:
    """Where a letter to it arrives: small letters, and without what follows a + before the @."""
    local, _, domain = email.strip().lower().rpartition("@")
    return f"{local.partition('+')[0]}@{domain}"


def wrong_words(who: Who, groups: Sequence[str]) -> dict[str, str]:
    """{field: sentence} of what makes no sign-in; empty when it does."""
    problems = wrong_details(who)
    if not USERNAME.fullmatch(who.username):
        problems["username"] = "Give a user name of at most 60 small letters, digits, dots and dashes."
    elif User.objects.filter(username__iexact=who.username).exists():
        problems["username"] = f"There is a {who.username} already."
    if any(not GROUP.fullmatch(group) for group in groups):
        problems["groups"] = "A group's name is 2 to 50 small letters, digits, spaces and dashes."
    return problems


def wrong_details(who: Who) -> dict[str, str]:
    """The same of what may be changed later."""
    problems = {}
    for field, name in (("first_name", who.first_name), ("last_name", who.last_name)):
        if not name.strip() or len(name) > NAME_LENGTH or not name.isprintable():
            problems[field] = "Give the name that the person is known by."
    try:
        validate_email(who.email)
        if len(who.email) > ADDRESS_LENGTH:
            raise ValidationError("too long")
    except ValidationError:
        problems["email"] = "Give an e-mail address: the link to a first password is sent to it."
    if who.same_as and not User.objects.filter(username=who.same_as).exclude(username=who.username).exists():
        problems["same_as"] = f"There is no other sign-in called {who.same_as}."
    if who.provider_subject and (len(who.provider_subject) > ADDRESS_LENGTH or not who.provider_subject.isprintable()):
        problems["provider_subject"] = f"Give the provider's id of them in at most {ADDRESS_LENGTH} letters."
    if other := holder_of(who, everybody()):
        problems["provider_subject"] = f"{other.username} has this provider's id: it is the same natural person."
    return problems


def holder_of(who: Who, among: Iterable[User]) -> User | None:
    """Another sign-in with this provider's id, in any spelling."""
    theirs = who.provider_subject.lower()
    others = (one for one in among if theirs and one.username != who.username)
    return next((one for one in others if one.provider_subject.lower() == theirs), None)


# -- ending -------------------------------------------------------------------------------------------------------


def deactivate(*, user: User, reason: str, by: User, at: datetime) -> User:
    """End a sign-in at once, with its sessions: one user administrator is enough, and opening it again takes two.

    Raises changes.MayNotChange, changes.NotSaid, NoLongerSo.
    """
    with transaction.atomic(), two_stay():
        if USER_ADMINISTRATORS not in groups_of(by):
            raise changes.MayNotChange("Only user administrators may end a sign-in.")
        if not reason.strip():
            raise changes.NotSaid("Nothing was changed. Say why the sign-in is ended.")
        user = User.objects.select_for_update(no_key=True).get(pk=user.pk)
        if user.is_active:
            user.is_active = False
            user.save(update_fields=["is_active"])
            facts = {"reason": reason.strip(), "sessions": end_sessions(user)}
            record(at=at, by=by, action="user.deactivate", subject=user.subject, facts=facts)
        return user


@contextmanager
def two_stay() -> Iterator[None]:
    """Around whatever may take a user administrator away, in a transaction: with fewer than two people, nobody could
    ever change anything about people again. Whoever has not chosen a password yet may never do it. Raises NoLongerSo.
    """
    lock()
    before = administrators()
    yield
    if any(now < min(was, 2) for was, now in zip(before, administrators(), strict=True)):
        raise NoLongerSo(
            "Nothing was changed. Fewer than two people would be left who administer people and can sign in, and it "
            "takes two: enrol another one first, who then chooses a password."
        )


def administrators() -> tuple[int, int]:
    """How many natural people administer people now, and how many of them have what they sign in with."""
    return counted(active(USER_ADMINISTRATORS)), counted(active(USER_ADMINISTRATORS).filter(can_sign_in()))


def counted(users: QuerySet[User]) -> int:
    """As natural people."""
    return users.order_by().values("person").distinct().count()


def can_sign_in() -> Q:
    """That they have chosen a password; or, where the house has an identity provider, that it knows them."""
    chosen = ~Q(password__startswith=UNUSABLE_PASSWORD_PREFIX) & ~Q(password="")
    return chosen | ~Q(provider_subject="") if settings.OIDC_ISSUER else chosen


def lock() -> None:
    """One at a time until the transaction ends: who is whose other sign-in is looked up before it is written."""
    one_at_a_time("people")
