"""First looks: a worker asks the venue whose proposed credentials are, before a second operator confirms them.

What the venue says is kept as a row, and the newest counts. Asked again, the earlier answer no longer does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from treasury import venues
from treasury.audit.record import Machine, record
from treasury.celery import send_on_commit
from treasury.controls import changes
from treasury.models import Change, FirstLook, User

CONNECT, REPLACE = "connection.connect", "credentials.replace"
KINDS = (CONNECT, REPLACE)  # of changes that bring credentials
FIRST_LOOK = "treasury.first_look"
LOOKER = Machine("first look")
AWAITED = timedelta(minutes=2)  # a look that was asked for longer ago is no longer waited for on a page
LOST_AFTER = timedelta(seconds=30)  # one asked for longer ago and not answered is asked of a worker again
LOGIN_LENGTH = 120


class NotProposed(Exception):
    """The words make no proposal. ``problems`` is {field: sentence}, "" for all of it; nothing was written."""

    def __init__(self, problems: dict[str, str]) -> None:
        super().__init__(" ".join(problems.values()))
        self.problems = problems


class NoLongerFits(Exception):
    """What is proposed does not fit what is there now. Nothing was changed; the proposal still waits."""


def proposed_before(
    *, kind: str, words: Mapping[str, str], credentials: Mapping[str, str], by: User, reason: str
) -> Change | None:
    """The proposal that a first click made: the same person, words, reason and credentials."""
    alike = {"kind": kind, "words": dict(words), "proposed_by": by, "reason": reason.strip()}
    first = changes.waiting().filter(**alike).first()
    return first if first is not None and venues.are_the_same(first.sealed, credentials) else None


def propose(
    *,
    kind: str,
    subject: str,
    words: Mapping[str, str],
    credentials: Mapping[str, str],
    reason: str,
    by: User,
    at: datetime,
) -> Change:
    """Propose it with the credentials sealed into it, and have the venue asked whose they are.

    Raises changes.MayNotChange, changes.NotSaid, and NotProposed for what can be no credentials of the venue.
    """
    try:
        sealed = venues.seal_proposed(words=words, credentials=credentials)
    except venues.CannotOpen as wrong:
        raise NotProposed({"": str(wrong)}) from None
    change = changes.propose(kind=kind, subject=subject, words=words, sealed=sealed, reason=reason, by=by, at=at)
    ring(change.pk)
    return change


def look(*, change_id: int, at: datetime) -> FirstLook | None:
    """Ask the venue whose the proposed credentials are, and note what it says. None when nobody waits for it.

    A worker calls this; the venue is asked outside any transaction. What goes wrong is noted in words.
    """
    change = changes.waiting().filter(pk=change_id, kind__in=KINDS).first()
    if change is None or not is_unanswered(change):
        return None
    said: dict[str, Any]
    try:
        said = asdict(venues.answer_to_proposed(sealed=change.sealed, words=change.words))
    except (venues.CannotOpen, venues.NotAnswered) as problem:
        said = {"problem": str(problem)}
    if len(said.get("login", "")) > LOGIN_LENGTH:
        said = {"problem": "The venue's name for this login is too long to be stored."}
    with transaction.atomic(durable=True):
        if not changes.locked(change_id).is_open:
            return None
        facts = {**said, "accounts": [account["address"] for account in said.get("accounts", [])]}
        record(at=at, by=LOOKER, action="connection.look", subject=change.subject, facts={"change": change.pk, **facts})
        return FirstLook.objects.create(change=change, at=at, **said)


def look_again(*, change_id: int, by: User, at: datetime) -> None:
    """Ask a worker to ask the venue once more; what it said before no longer counts. Once, while that is awaited.

    Raises changes.MayNotChange, changes.NotWaiting.
    """
    with transaction.atomic():
        changes.insist_on_right(CONNECT, by)  # the right of both kinds
        change = changes.locked(change_id)
        if change.kind not in KINDS or not change.is_open:
            raise changes.NotWaiting("Nothing was asked. This proposal no longer waits.")
        if not is_unanswered(change):
            FirstLook.objects.create(change=change, at=at, answered=False)
            changes.entry(change, by=by, at=at, action="connection.ask", facts={})
        ring(change_id)


def newest_look(change: Change) -> FirstLook | None:
    looks = list(change.first_looks.all())  # not .last(), which asks even where a page has fetched them beforehand
    return looks[-1] if looks else None


def is_unanswered(change: Change) -> bool:
    """Whether the venue has yet to say whose the credentials are, since somebody last wanted to know."""
    newest = newest_look(change)
    return newest is None or not newest.answered


def is_awaited(change: Change, at: datetime) -> bool:
    """Whether an answer may come at any moment."""
    newest = newest_look(change)
    asked_at = change.proposed_at if newest is None else newest.at
    return is_unanswered(change) and at - asked_at <= AWAITED


def unanswered(at: datetime) -> list[int]:
    """The proposals whose question seems to be lost on its way to a worker; the clock asks again."""
    waiting = changes.waiting().filter(kind__in=KINDS, proposed_at__lte=at - LOST_AFTER)
    return [change.pk for change in waiting if is_unanswered(change)]


def why_unknown(change: Change) -> str | None:
    """Why nobody knows whose the credentials are; None where the venue has said it."""
    newest = newest_look(change)
    if newest is None or not newest.answered:
        return "The venue has not said yet whose login this is."
    return "The venue did not say whose login this is." if newest.problem else None


def sealed_as_shown(change: Change, login: str, nothing: str) -> tuple[FirstLook, str]:
    """The newest look, and the credentials sealed anew for the login that it names, which the decider read: ``login``.
    ``nothing`` says what was not done. Only for what ``why_unknown`` lets pass.

    Raises changes.OtherChange where their page showed another login, and NoLongerFits where no key opens them.
    """
    newest = newest_look(change)
    assert newest is not None, "why_unknown refuses what no venue spoke of"
    if newest.login != login:
        raise changes.OtherChange(
            f"{nothing} The venue says that the login is {newest.login}, and your page showed "
            f"{login[:LOGIN_LENGTH] or 'none'}; read it again below."
        )
    try:
        # changes.confirm has emptied ``sealed`` in the database, and not in this object, which still holds what it
        # read: to read the row anew before this line would be to lose the credentials.
        return newest, venues.seal_anew(sealed=change.sealed, words=change.words, login=newest.login)
    except venues.CannotOpen as wrong:
        raise NoLongerFits(f"{nothing} {wrong}") from None


def ring(change_id: int) -> None:
    """Wake a worker when this transaction is done; where the message is lost, the clock asks."""
    send_on_commit(FIRST_LOOK, change_id, queue="reads", expires=30)
