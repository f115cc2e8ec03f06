"""The first set-up: two user administrators and, where there is none, the first policy. The only exception to four
eyes, and it happens once: nobody is there yet who could agree on anything."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction

from treasury.audit.record import Machine, record
from treasury.controls import changes, letters, people
from treasury.controls import policy as policies
from treasury.controls.people import NotEnrolled, Who
from treasury.controls.roles import USER_ADMINISTRATORS
from treasury.controls.roles import people as active
from treasury.models import Change, Membership, Policy, Ruling, User
from treasury.models.change import BOOTSTRAP

SET_UP = Machine("set-up")
FIRST_SET_UP = "First set-up"


class SetUpAlready(Exception):
    """The house has had user administrators before: what is wanted now, two people agree on. Nothing was changed."""


def bootstrap(*, first: Who, second: Who, policy: str, by: Machine = SET_UP, at: datetime) -> tuple[User, User]:
    """Make the first two user administrators and, where there is none, version 1 of the policy (its canonical text).

    Nobody has a password yet: each is sent a link. Once only: raises SetUpAlready, NotEnrolled.
    """
    with transaction.atomic():
        people.lock()
        if was_set_up():
            raise SetUpAlready(
                "Nothing was changed. This house has user administrators already, or had them: they propose and "
                "confirm everything else about people."
            )
        if problems := wrong_pair(first, second):
            raise NotEnrolled(problems)
        from_now: dict[str, Any] = {"people": [people.told(first), people.told(second)]}
        if not Policy.objects.exists():
            from_now["policy"] = policy
        change = agreed_by_nobody(from_now, at)
        if "policy" in from_now:
            policies.stored(policy, change, at)
        made = [people.stored(words, [USER_ADMINISTRATORS], change, at) for words in from_now["people"]]
        record(
            at=at, by=by, action=BOOTSTRAP, subject="house:", facts={"change": change.pk, "kind": BOOTSTRAP, **from_now}
        )
        for user in made:
            letters.first_password(user, change, at=at)
        return made[0], made[1]


def was_set_up() -> bool:
    """Whether there is, or ever was, a user administrator."""
    return Membership.objects.filter(group=USER_ADMINISTRATORS).exists()


def agreed_by_nobody(words: Mapping[str, Any], at: datetime) -> Change:
    """The one change that nobody proposed: the database takes it only while there has been no user administrator."""
    digest = changes.digest_of(BOOTSTRAP, "house:", words, FIRST_SET_UP)
    change = Change.objects.create(
        kind=BOOTSTRAP, subject="house:", words=dict(words), digest=digest, reason=FIRST_SET_UP, proposed_at=at
    )
    change.ruling, change.decided_at = Ruling.APPLIED, at
    change.save(update_fields=["ruling", "decided_at"])
    return change


def without_password(*, by: Machine = SET_UP, at: datetime) -> list[User]:
    """The first two, as long as neither has chosen a password: whose links lapsed gets another. That is in the log.

    Raises SetUpAlready.
    """
    with transaction.atomic():
        found = list(active(USER_ADMINISTRATORS))
        if not found or any(user.has_usable_password() for user in found):
            raise SetUpAlready(
                "Nothing was done. A user administrator has chosen a password, so whoever needs a link gets it by a "
                "reset, which two of them agree on."
            )
        for user in found:
            record(at=at, by=by, action="user.link", subject=user.subject)
        return found


def wrong_pair(first: Who, second: Who) -> dict[str, str]:
    problems = people.wrong_words(first, []) | people.wrong_words(second, [])
    among = people.everybody()
    alike = first.username == second.username or people.person_of(first, among) == people.person_of(second, among)
    if not problems and alike:
        problems[""] = "Nothing was changed. The first two administrators are two people, with two addresses."
    return problems
