"""Cancel and expire: the ends before anything was sent."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from treasury.audit.record import Machine
from treasury.models import State, Transfer, User
from treasury.transfers import access, guards, lifecycle, restored

CLOCK = Machine("clock")


def cancel(*, reference: str, by: User, at: datetime) -> Transfer:
    """Take a transfer back before it is sent. Raises access.NotAllowed, access.NotNow."""
    with transaction.atomic():
        transfer = lifecycle.locked(reference)
        access.insist(access.why_not_cancel(transfer, by))
        why = f"{by} cancelled it."
        return restored.end(transfer, State.CANCELLED, why=why, by=by, at=at, action="transfer.cancel")


def expire(*, reference: str, at: datetime) -> Transfer:
    """End a transfer whose time is over and that was not sent. Raises access.NotNow when that is not so."""
    with transaction.atomic():
        transfer = lifecycle.locked(reference)
        if transfer.state not in (State.SUBMITTED, State.APPROVED):
            raise access.NotNow(f"{reference} is {access.label(transfer)}; it does not expire.")
        if transfer.expires_at is None or at < transfer.expires_at:
            raise access.NotNow(f"{reference} has not expired yet.")
        access.insist(access.why_not_end(transfer))
        if restored.is_awaited(transfer):
            raise access.NotNow(f"{reference} does not expire before its venue was asked about it after the restore.")
        why = guards.TIME_IS_OVER
        return restored.end(transfer, State.EXPIRED, why=why, by=CLOCK, at=at, action="transfer.expire")
