"""The only writer of a transfer's state."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import connection

from treasury.audit.record import Actor, record
from treasury.models import ENDED, NEXT, AuditEntry, State, Transfer
from treasury.transfers import bell, telling


class NoSuchTransfer(LookupError):
    """There is no transfer by that reference, or none that this person may see."""


class NotALegalStep(Exception):
    """The table of a transfer's life has no such step."""


class Overtaken(Exception):
    """Somebody else moved the transfer on after it was read. Nothing was changed."""


def locked(reference: str) -> Transfer:
    """The transfer's row, locked until the transaction ends. Raises NoSuchTransfer."""
    try:
        return Transfer.objects.select_for_update().get(reference=reference)
    except Transfer.DoesNotExist:
        raise NoSuchTransfer(f"There is no transfer {reference}.") from None


def begin(transfer: Transfer, *, by: Actor, at: datetime, facts: Mapping[str, Any]) -> Transfer:
    """Write a new draft and its first entry."""
    transfer.created_at = transfer.changed_at = at
    transfer.state = State.DRAFT
    transfer.save(force_insert=True)
    entry(
        transfer,
        by=by,
        at=at,
        action="transfer.draft",
        facts={"from": None, "to": State.DRAFT.value, **facts},
    )
    return transfer


def advance(
    transfer: Transfer,
    to: State,
    *,
    by: Actor,
    at: datetime,
    action: str,
    facts: Mapping[str, Any] | None = None,
    **columns: Any,
) -> Transfer:
    """Take one legal step, change the columns that go with it, and say so in the log, all in this transaction.

    Raises NotALegalStep when the table has no such step, Overtaken when the row is no longer as it was read.
    """
    assert connection.in_atomic_block, "a step and its entry share a transaction"
    before = State(transfer.state)
    if to not in NEXT[before]:
        raise NotALegalStep(f"{transfer.reference} is {before.label}; it cannot become {to.label}.")
    # What was said of the old state goes with it, unless the step says it anew.
    changes = {"held": "", "due_at": None, "outcome": "", **columns, "state": to, "changed_at": at}
    # Conditional, so that it holds even where the caller forgot the row lock.
    if Transfer.objects.filter(pk=transfer.pk, state=before).update(**changes) != 1:
        raise Overtaken(f"{transfer.reference} is no longer {before.label}. Nothing was changed.")
    for name, value in changes.items():
        setattr(transfer, name, value)
    entry(transfer, by=by, at=at, action=action, facts={"from": before.value, "to": to.value, **(facts or {})})
    telling.step(transfer, before=before, to=to, by=by, at=at)
    if to == State.SETTLED:
        bell.read_on_commit(transfer)
    if to in ENDED:
        bell.go_on_on_commit(transfer)
    return transfer


def entry(
    transfer: Transfer,
    *,
    by: Actor,
    at: datetime,
    action: str,
    facts: Mapping[str, Any],
) -> AuditEntry:
    """An entry about a transfer."""
    return record(at=at, by=by, action=action, subject=transfer.subject, facts=facts)
