"""The witness: writes one entry, in the same transaction as the act it is about."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.db import connection

from treasury.models import AuditEntry, Membership, User
from treasury.models.amount import plain

FORMAT = 1


@dataclass(frozen=True)
class Machine:
    """A part of the product that acts by itself: the dispatcher, settle, the clock."""

    name: str


Actor = User | Machine | None  # None: somebody who is not signed in


@dataclass(frozen=True)
class Origin:
    """Where a request came from. The socket's peer and a trusted proxy's word are kept apart; never merged."""

    peer: str | None = None
    client: str | None = None


# Set by the web's middleware for the length of a request, so that no verb has to carry it.
ORIGIN: ContextVar[Origin | None] = ContextVar("audit_origin", default=None)


class OutsideTransaction(RuntimeError):
    """An entry was to be written without the transaction of the act it is about."""


def record(
    *,
    at: datetime,
    by: Actor,
    action: str,
    subject: str,
    facts: Mapping[str, Any] | None = None,
    result: str = "done",
) -> AuditEntry:
    """Write an entry. ``action`` is ``noun.verb``, ``subject`` is ``noun:reference``, ``result`` done or refused.

    ``facts`` may hold texts, integers, booleans, None, Decimals, times and lists or mappings of these; no floats.
    Raises OutsideTransaction when called outside ``transaction.atomic``.
    """
    if not connection.in_atomic_block:
        raise OutsideTransaction(f"{action}: an audit entry belongs to the transaction of its act.")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT nextval(pg_get_serial_sequence('treasury_auditentry', 'id')), pg_current_xact_id()::text"
        )
        number, xid = cursor.fetchone()
    origin = ORIGIN.get()
    entry = {
        "v": FORMAT,
        "id": str(number),
        "xid": xid,
        "at": stamp(at),
        "who": who(by),
        "action": action,
        "subject": subject,
        "result": result,
        "origin": {"peer": origin.peer, "client": origin.client} if origin else None,
        "facts": {} if facts is None else dict(facts),
    }
    return AuditEntry.objects.create(id=number, xid=xid, at=at, canonical=canonical(entry))


def canonical(value: Mapping[str, Any]) -> str:
    """JSON with sorted keys, no spaces, UTF-8 as it is. What PostgreSQL's jsonb cannot hold is replaced."""
    text = json.dumps(plainly(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "replace").decode("utf-8")


def plainly(value: Any) -> Any:
    """The value in JSON's words. Raises TypeError for what has no exact ones (a float, an unknown object)."""
    if isinstance(value, str):
        return str(value).replace("\0", "\ufffd")
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, datetime):
        return stamp(value)
    if isinstance(value, Mapping):
        return {plainly(str(key)): plainly(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plainly(item) for item in value]
    raise TypeError(f"{type(value).__name__} has no exact form in the log")


def stamp(at: datetime) -> str:
    """ "2026-11-20T09:00:00.000000Z": UTC, microseconds always written."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def who(by: Actor) -> dict[str, Any]:
    """A snapshot of the actor: what they are called and hold now, whatever becomes of them later."""
    if by is None:
        return {"id": "nobody", "name": "nobody", "roles": []}
    if isinstance(by, Machine):
        return {"id": f"machine:{by.name}", "name": by.name, "roles": []}
    roles = sorted(Membership.objects.filter(user=by.pk, ended_at=None).values_list("group", flat=True))
    return {"id": f"user:{by.pk}", "name": by.get_username(), "roles": roles}
