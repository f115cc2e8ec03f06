"""Transfers in doubt and contradicted, made through the verbs, on a clock that can be set forward."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from connectors.core.errors import Uncertain
from connectors.core.protocol import Receipt, Standing
from connectors.core.protocol import State as Found
from treasury.models import Contradiction, Transfer
from treasury.transfers import attempts, dispatch, settle

UNCLEAR = Standing(state=Found.UNCLEAR, searched=False, found=False, evidence={"searched": "nothing is searchable"})


def set_clock(monkeypatch: pytest.MonkeyPatch, moment: datetime) -> datetime:
    monkeypatch.setattr("django.utils.timezone.now", lambda: moment)
    return moment


def sent(transfer: Transfer, answer: attempts.Answer) -> Transfer:
    attempt = dispatch.claim(reference=transfer.reference, at=timezone.now())
    assert attempt is not None
    attempts.conclude(attempt_id=attempt.pk, answer=answer, now=timezone.now)
    transfer.refresh_from_db()
    return transfer


def looked_up(transfer: Transfer, answer: Standing = UNCLEAR) -> Transfer:
    at = timezone.now()
    settle.note(reference=transfer.reference, answer=answer, asked_at=at, at=at)
    transfer.refresh_from_db()
    return transfer


def doubtful(
    transfer: Transfer, monkeypatch: pytest.MonkeyPatch, *, later: timedelta = timedelta(minutes=5)
) -> Transfer:
    """Sent with no answer, the call over, and asked about once in vain: people may resolve it."""
    sent(transfer, Uncertain("The connection broke after the request was written."))
    set_clock(monkeypatch, timezone.now() + timedelta(minutes=5))
    return looked_up(transfer)


def contradicted(transfer: Transfer) -> Contradiction:
    """It settled, and then the venue's records say that it failed."""
    sent(transfer, Receipt(settled=True, record="V1"))
    at = timezone.now()
    failed = Standing(state=Found.FAILED, searched=True, found=True, record="V1", evidence={"status": "failed"})
    settle.note(reference=transfer.reference, answer=failed, asked_at=at, at=at)
    return transfer.contradictions.get()
