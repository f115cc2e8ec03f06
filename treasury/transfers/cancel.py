"""Cancel and expire: the ends before anything was sent."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from treasury.audit.record import Machine
from treasury.models import State, Transfer, User
from treasury.transfers import access, guards, lifecycle

CLOCK = Machine("clock")


def cancel(*, reference: str, by: User, at: datetime) -> Transfer:
    """Take a transfer back before it is sent. Raises access.NotAllowed, access.NotNow."""
    with transaction.atomic():
        transfer = lifecycle.locked(reference)
        access.insist(access.why_not_cancel(transfer, by))
        return lifecycle.advance(
            transfer,
            State.CANCELLED,
            by=by,
            at=at,
            action="transfer.cancel",
            outcome=f"Nothing moved. {by} cancelled it.",
        )


def expire(*, reference: str, at: datetime) -> Transfer:
    """End a transfer whose time is over and that was not sent. Raises access.NotNow when that is not so."""
    with transaction.atomic():
        transfer = lifecycle.locked(reference)
        if transfer.state not in (State.SUBMITTED, State.APPROVED):
            raise access.NotNow(f"{reference} is {access.label(transfer)}; it does not expire.")
        if transfer.expires_at is None or at < transfer.expires_at:
            raise access.NotNow(f"{reference} has not expired yet.")
        return lifecycle.advance(
            transfer,
            State.EXPIRED,
            by=CLOCK,
            at=at,
            action="transfer.expire",
            outcome=guards.OUT_OF_TIME,
        )
