"""Transfers in doubt, made through the verbs; and the clock set past what must be waited for."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils import timezone

from connectors.core.errors import Uncertain
from connectors.core.protocol import Standing
from connectors.core.protocol import State as Found
from treasury.models import Transfer, User
from treasury.transfers import attempts, dispatch, resolve, settle

EMPTY = Standing(state=Found.UNCLEAR, searched=True, found=False)
PERHAPS = Uncertain("Perhaps.")


def concluded(transfer: Transfer, answer: attempts.Answer) -> Transfer:
    attempt = dispatch.claim(reference=transfer.reference, at=timezone.now())
    assert attempt is not None
    attempts.conclude(attempt_id=attempt.pk, answer=answer, now=timezone.now)
    transfer.refresh_from_db()
    return transfer


def note(transfer: Transfer, answer: settle.Standing | settle.Error, at: datetime | None = None) -> Transfer:
    """Note an answer of the venue as if it had been asked then."""
    when = at or timezone.now()
    settle.note(reference=transfer.reference, answer=answer, asked_at=when, at=when)
    transfer.refresh_from_db()
    return transfer


def says(found: Found) -> Standing:
    return Standing(state=found, searched=True, found=found in (Found.DONE, Found.PENDING, Found.FAILED))


def later(transfer: Transfer, **more: float) -> datetime:
    """After the last call is over and no delayed request can arrive any more."""
    last = transfer.attempts.latest("number")
    return last.call_ends_at + timedelta(minutes=2) + timedelta(**more)


def unsettled(transfer: Transfer) -> Transfer:
    """In doubt, asked about once to no avail: what two people may resolve at ``later``."""
    return note(concluded(transfer, PERHAPS), EMPTY, at=later(transfer, minutes=-1))


def resolved(transfer: Transfer, proposer: User, checker: User, *, moved: bool, at: datetime) -> Transfer:
    asked = resolve.propose(
        reference=transfer.reference,
        moved=moved,
        reason="The venue's own list of transfers, page 1.",
        typed=transfer.reference,
        by=proposer,
        at=at,
    )
    resolve.confirm(change_id=asked.pk, by=checker, digest=asked.digest, typed=transfer.reference, at=at)
    transfer.refresh_from_db()
    return transfer
