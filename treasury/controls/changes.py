"""Changes under four eyes: propose, another confirms, and it is applied in that very transaction.

This room keeps who said what of which words. What a change does is the affair of the verb that confirms it:
``stops.confirm_release``, ``resolve.confirm`` and so on call ``confirm`` first and then do it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import F, QuerySet, Value
from django.db.models.functions import Concat

from treasury.audit.record import canonical, record
from treasury.controls import telling
from treasury.controls.roles import (
    CHECKERS,
    MAKERS,
    OPERATORS,
    POLICY_EDITORS,
    USER_ADMINISTRATORS,
    groups_of,
    same_person,
)
from treasury.models import Attachment, Change, Ruling, Transfer, User

READ = "evidence.read"

# What proved that it was them (as Decision.factor): set by the web for the length of a step, as the log's ORIGIN is, so
# that no verb has to carry it. Empty where nobody is at a browser.
FACTOR: ContextVar[str] = ContextVar("factor", default="")


class MayNotChange(Exception):
    """The person may not propose this change, decide on it, or read its files. Nothing was changed."""


class NotWaiting(Exception):
    """The change has been decided already, or another one for the same thing waits. Nothing was changed."""


class OtherChange(Exception):
    """The page that was decided on shows another change than this one. Nothing was changed."""


class NoSuchFile(Exception):
    """The change has no such file."""


class NotSaid(Exception):
    """A reason, or the typed confirmation, is missing. Nothing was changed."""


@dataclass(frozen=True)
class Rights:
    """Who may propose and who may decide: one of these groups is enough. Nobody decides on their own proposal."""

    title: str
    propose: frozenset[str]
    decide: frozenset[str]


INVOLVED = frozenset({MAKERS, CHECKERS, OPERATORS})
EDITORS, ADMINISTRATORS = frozenset({POLICY_EDITORS}), frozenset({USER_ADMINISTRATORS})
OPERATING = frozenset({OPERATORS})
RIGHTS: Mapping[str, Rights] = {
    "stop.release": Rights("release a stop", OPERATING, OPERATING),
    "transfer.resolve": Rights("resolve a transfer", INVOLVED, frozenset({CHECKERS})),
    "transfer.confirm": Rights("say what was done by hand", INVOLVED, frozenset({CHECKERS})),
    "contradiction.close": Rights("close a contradiction", INVOLVED, frozenset({CHECKERS})),
    "connection.connect": Rights("connect a venue", OPERATING, OPERATING),
    "credentials.replace": Rights("replace credentials", OPERATING, OPERATING),
    "account.set_up": Rights("set up accounts", OPERATING, OPERATING),
    "balance.state": Rights("state a balance", frozenset({MAKERS, OPERATORS}), frozenset({CHECKERS, OPERATORS})),
    "bands.set": Rights("set bands", frozenset({MAKERS, OPERATORS}), frozenset({CHECKERS, OPERATORS})),
    "policy.set": Rights("change the policy", EDITORS, EDITORS),
    "house.set": Rights("change a setting of the house", EDITORS | OPERATING, EDITORS | OPERATING),
    "user.enrol": Rights("enrol a person", ADMINISTRATORS, ADMINISTRATORS),
    "user.change": Rights("change what is known of a person", ADMINISTRATORS, ADMINISTRATORS),
    "user.reset": Rights("take a person's factors away", ADMINISTRATORS, ADMINISTRATORS),
    "membership.set": Rights("change roles and groups", ADMINISTRATORS, ADMINISTRATORS),
}


@dataclass(frozen=True)
class File:
    """A file that somebody hands in as evidence, checked already: see ``treasury.controls.uploads``."""

    name: str
    media_type: str
    content: bytes

    @property
    def told(self) -> dict[str, Any]:
        """What the log and the proposal say of it; its size in bytes."""
        digest = hashlib.sha256(self.content).hexdigest()
        return {"name": self.name, "size": len(self.content), "sha256": digest}


def why_not_propose(kind: str, user: User) -> str | None:
    if groups_of(user).isdisjoint(RIGHTS[kind].propose):
        return f"Only {listed(RIGHTS[kind].propose)} may propose to {RIGHTS[kind].title}."
    return None


def why_not_decide(change: Change, user: User, groups: frozenset[str] | None = None) -> str | None:
    """Why this person may not confirm or decline; None when they may. A verb may have further reasons.

    ``groups``: theirs, where a page of many changes has asked for them once.
    """
    if change.proposed_by is None:
        return "Nothing was changed. Nobody proposed this, so nobody decides on it."
    if same_person(change.proposed_by, user):
        return "You proposed this; someone else must confirm it."
    if (groups_of(user) if groups is None else groups).isdisjoint(RIGHTS[change.kind].decide):
        return f"Only {listed(RIGHTS[change.kind].decide)} may decide this."
    return None


def propose(
    *,
    kind: str,
    subject: str,
    words: Mapping[str, Any],
    reason: str,
    by: User,
    at: datetime,
    sealed: str = "",
    files: Sequence[File] = (),
) -> Change:
    """Write a proposal; nothing changes by it. The same words by the same person, still waiting, are one proposal.

    ``words`` holds texts, integers, booleans, None, lists and mappings of these. Raises MayNotChange, NotSaid.
    """
    with transaction.atomic():
        insist_on_right(kind, by)
        if not reason.strip():
            raise NotSaid("Nothing was proposed. Say why; whoever confirms it reads the reason.")
        if files:  # a file is part of what is confirmed
            words = {**words, "files": [file.told for file in files]}
        said = digest_of(kind, subject, words, reason.strip())
        if not files and not sealed:
            again = waiting().filter(digest=said, proposed_by=by).first()
            if again is not None:  # a double click
                return again
        change = Change.objects.create(
            kind=kind,
            subject=subject,
            words=dict(words),
            digest=said,
            sealed=sealed,
            reason=reason.strip(),
            proposed_by=by,
            proposed_at=at,
            proposed_factor=FACTOR.get(),
        )
        for file in files:
            Attachment.objects.create(change=change, media_type=file.media_type, content=file.content, **file.told)
        facts = {"words": dict(words), "reason": change.reason, "digest": said}
        entry(change, by=by, at=at, action="change.propose", facts=facts)
        telling.proposed(change, by=by, decide=RIGHTS[kind].decide, at=at)
        return change


def confirm(*, change_id: int, kind: str, by: User, digest: str, at: datetime) -> Change:
    """Mark it as applied; the caller applies it in the same transaction and writes its own entry.

    Raises MayNotChange, NotWaiting, OtherChange.
    """
    change = _open(change_id, by)
    assert change.proposed_by is not None, "why_not_decide has refused those that nobody proposed"
    if gone := why_not_propose(change.kind, change.proposed_by):
        raise MayNotChange(f"{change.proposed_by} may no longer propose this: {gone} Decline it, or propose it anew.")
    if change.kind != kind or change.digest != digest:
        raise OtherChange("Nothing was changed. The proposal is not what your page showed; read it again below.")
    return _rule(change, Ruling.APPLIED, by, at, "")


def decline(*, change_id: int, by: User, reason: str, at: datetime) -> Change:
    """Say no to a proposal. Raises MayNotChange, NotWaiting, NotSaid."""
    with transaction.atomic():
        change = _open(change_id, by)
        about = change.subject.removeprefix("transfer:")
        if Transfer.objects.filter(maker__person=by.person, reference=about).exists():
            raise MayNotChange("You drafted this transfer; someone else must decide on what became of it.")
        if not reason.strip():
            raise NotSaid("Nothing was decided. Say why you decline it; its proposer reads the reason.")
        _rule(change, Ruling.DECLINED, by, at, reason.strip())
        entry(change, by=by, at=at, action="change.decline", facts={"reason": reason.strip()})
        return change


def withdraw(*, change_id: int, by: User, at: datetime) -> Change:
    """Take one's own proposal back. Raises MayNotChange, NotWaiting."""
    with transaction.atomic():
        change = locked(change_id)
        if change.proposed_by_id != by.pk:
            raise MayNotChange("Only who proposed it may withdraw it.")
        _insist_on_waiting(change)
        _rule(change, Ruling.WITHDRAWN, by, at, "")
        entry(change, by=by, at=at, action="change.withdraw", facts={})
        return change


def read_file(*, change_id: int, file_id: int, by: User, at: datetime) -> Attachment:
    """A file of the evidence with its content; who read it is in the log. Raises MayNotChange, NoSuchFile."""
    with transaction.atomic():
        if not groups_of(by):
            raise MayNotChange("You hold no role here; an administrator can give you one.")
        file = Attachment.objects.filter(change=change_id, pk=file_id).select_related("change").first()
        if file is None:
            raise NoSuchFile("There is no such file.")
        facts = {"change": change_id, "file": file.name, "size": file.size, "sha256": file.sha256}
        record(at=at, by=by, action=READ, subject=file.change.subject, facts=facts)
        return file


def insist_on_right(kind: str, by: User) -> None:
    """Raise MayNotChange where this person may not propose it."""
    if refusal := why_not_propose(kind, by):
        raise MayNotChange(refusal)


def waiting() -> QuerySet[Change]:
    return Change.objects.filter(ruling=None).select_related("proposed_by")


def waiting_for(user: User, groups: frozenset[str]) -> QuerySet[Change]:
    """What this person, who holds these groups, may decide on, the oldest on top.

    Of a transfer that they drafted, someone else says what became of it.
    """
    kinds = [kind for kind, rights in RIGHTS.items() if not groups.isdisjoint(rights.decide)]
    drafted = Transfer.objects.filter(maker__person=user.person)
    own = drafted.annotate(subject_of_it=Concat(Value("transfer:"), F("reference"))).values("subject_of_it")
    theirs = User.objects.filter(person=user.person)  # two sign-ins of one person are one person
    return waiting().filter(kind__in=kinds).exclude(proposed_by__in=theirs).exclude(subject__in=own).order_by("id")


def locked(change_id: int) -> Change:
    """The change's row, locked until the transaction ends. Raises NotWaiting when there is none."""
    try:
        return Change.objects.select_for_update(of=("self",)).select_related("proposed_by").get(pk=change_id)
    except Change.DoesNotExist:
        raise NotWaiting("There is no such proposal.") from None


def entry(change: Change, *, by: User, at: datetime, action: str, facts: Mapping[str, Any]) -> None:
    """An entry about the thing that changes, naming the change: the database insists that there is one."""
    proposer = change.proposed_by.get_username() if change.proposed_by else None
    told = {"change": change.pk, "kind": change.kind, "proposed_by": proposer, **facts}
    record(at=at, by=by, action=action, subject=change.subject, facts=told)


def digest_of(kind: str, subject: str, words: Mapping[str, Any], reason: str) -> str:
    """SHA-256 of the canonical JSON of what is proposed, lower-case hex."""
    said = canonical({"kind": kind, "subject": subject, "words": dict(words), "reason": reason})
    return hashlib.sha256(said.encode()).hexdigest()


def listed(groups: frozenset[str]) -> str:
    names = sorted(groups)
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _open(change_id: int, by: User) -> Change:
    change = locked(change_id)
    if refusal := why_not_decide(change, by):
        raise MayNotChange(refusal)
    _insist_on_waiting(change)
    return change


def _insist_on_waiting(change: Change) -> None:
    if change.ruling is not None:
        raise NotWaiting(f"Nothing was changed. This proposal was {Ruling(change.ruling).label.lower()} already.")


def _rule(change: Change, ruling: Ruling, by: User, at: datetime, said: str) -> Change:
    change.ruling, change.decided_by, change.decided_at, change.said = ruling, by, at, said
    change.decided_factor = FACTOR.get()
    change.save(update_fields=["ruling", "decided_by", "decided_at", "decided_factor", "said"])
    Change.objects.filter(pk=change.pk).exclude(sealed="").update(sealed="")  # a secret stays no longer than needed
    return change
