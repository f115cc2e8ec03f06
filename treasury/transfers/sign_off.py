"""Sign-off: somebody who neither made nor approved any of it says that a period's reconciliation was looked at.

The machine compares each transfer that moved (``treasury.transfers.match``); here a person takes note of what it
found. A sign-off is an entry of the log and nothing else: its period, its counts, and the digest of every comparison,
so that later nobody can say that they saw something else. Periods follow each other without a gap.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from django.db import transaction
from django.db.models import QuerySet

from treasury.audit.record import canonical, record
from treasury.balances.moved import moved
from treasury.controls import changes
from treasury.controls.roles import AUDITORS, OPERATORS, groups_of
from treasury.models import AuditEntry, Basis, Decision, Transfer, User, Verdict
from treasury.models.clock import to_the_minute
from treasury.models.turns import one_at_a_time
from treasury.transfers import access

SIGN_OFF = "reconciliation.sign_off"
SUBJECT = "reconciliation:"
BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)  # before anything of ours moved
SAID_MOST = 500


class OtherFindings(Exception):
    """What the page showed is no longer what was found. Nothing was signed off."""


class NoRemark(Exception):
    """Something does not match, and nobody says what came of it. Nothing was signed off."""


@dataclass(frozen=True)
class Found:
    """What was found of the transfers that ended as moved after ``since`` and until ``until``.

    ``digest``: SHA-256 of the canonical JSON of each transfer's reference, basis, agreement and difference.
    """

    since: datetime
    until: datetime
    transfers: int
    record: int
    balances: int
    differing: int
    waiting: int
    digest: str


def signed_until() -> datetime:
    """The end of the newest period that was signed off; before anything where none was."""
    last = signed_off(1)
    return datetime.fromisoformat(last[0].facts["until"]) if last else BEGINNING


def signed_off(most: int) -> Sequence[AuditEntry]:
    """The newest sign-offs, as the log holds them."""
    return list(AuditEntry.objects.filter(action=SIGN_OFF, result="done").order_by("-id")[:most])


def found(since: datetime, until: datetime) -> Found:
    """What the comparisons say now of the period."""
    rows = [
        (one.reference, *told(one)) for one in moved(within(since, until)).select_related("match").order_by("reference")
    ]
    kinds = [(basis, agrees) for _, basis, agrees, _ in rows]
    text = canonical({"transfers": [list(row) for row in rows]})
    return Found(
        since=since,
        until=until,
        transfers=len(rows),
        record=kinds.count((str(Basis.RECORD), True)),
        balances=kinds.count((str(Basis.BALANCES), True)),
        differing=sum(agrees is False for _, agrees in kinds),
        waiting=sum(agrees is None for _, agrees in kinds),
        digest=hashlib.sha256(text.encode()).hexdigest(),
    )


def told(transfer: Transfer) -> tuple[str, bool | None, str]:
    """By what it was compared, whether it agrees, and the difference; None: not compared yet."""
    match = getattr(transfer, "match", None)
    return ("", None, "") if match is None else (str(match.basis), match.agrees, match.difference)


def within(since: datetime, until: datetime) -> QuerySet[Transfer]:
    return Transfer.objects.filter(changed_at__gt=since, changed_at__lte=until)


def why_not(user: User, since: datetime, until: datetime) -> str | None:
    """Why this person may not sign the period off; None when they may."""
    if groups_of(user).isdisjoint({AUDITORS, OPERATORS}):
        return access.Forbidden("Only auditors and operators may sign the reconciliation off.")
    period = moved(within(since, until))
    if period.filter(maker__person=user.person).exists():
        return access.Forbidden("You made a transfer of this period; somebody else must sign it off.")
    approvals = Decision.objects.filter(by__person=user.person, verdict=Verdict.APPROVE)
    if period.filter(pk__in=approvals.values("transfer")).exists():
        return access.Forbidden("You approved a transfer of this period; somebody else must sign it off.")
    return None


def sign_off(*, until: datetime, digest: str, said: str, by: User, at: datetime) -> AuditEntry:
    """Write down that this person has looked at what was found until then, which has this digest.

    Raises access.NotAllowed, access.NotNow, OtherFindings, NoRemark; then nothing is written.
    """
    with transaction.atomic():
        one_at_a_time("reconciliation")  # periods follow each other
        since = signed_until()
        access.insist(why_not(by, since, until))
        if not since < until <= at:
            done = to_the_minute(since)
            raise access.NotNow(f"Nothing was signed off. Everything until {done} is signed off already.")
        now = found(since, until)
        if now.digest != digest:
            raise OtherFindings("Nothing was signed off. What was found is not what your page showed; read it again.")
        if (now.differing or now.waiting) and not said.strip():
            raise NoRemark("Nothing was signed off. Something does not match, or is not compared yet: say what of it.")
        facts = {**asdict(now), "said": said.strip()[:SAID_MOST], "factor": changes.FACTOR.get()}
        return record(at=at, by=by, action=SIGN_OFF, subject=SUBJECT, facts=facts)
