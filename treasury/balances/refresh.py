"""Read what a connection's accounts hold, and keep the latest numbers with their age."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction

from connectors.core.errors import VenueError
from connectors.core.protocol import EVERY_ASSET, VenueBalance
from treasury import venues
from treasury.audit.record import Machine, record
from treasury.models import Account, Balance, Connection, ConnectionHealth, User

REFRESHER = Machine("refresh")


class NotRead(Exception):
    """The balances could not be read; the stored ones keep their age. The text says why."""


def refresh(*, connection: Connection, by: User | Machine = REFRESHER, at: datetime) -> None:
    """Ask the venue, then store. Raises NotRead, after noting the reason in the connection's health."""
    try:
        rows = venues.open_connection(connection).balances()
    except (VenueError, venues.CannotOpen) as problem:
        with transaction.atomic(durable=True):
            ConnectionHealth.objects.update_or_create(
                connection=connection, defaults={"problem": str(problem), "limited_until": _until(problem)}
            )
        raise NotRead(str(problem)) from problem
    with transaction.atomic(durable=True):
        _store(connection, rows)
        ConnectionHealth.objects.update_or_create(
            connection=connection, defaults={"read_at": at, "problem": "", "limited_until": None}
        )
        record(
            at=at,
            by=by,
            action="balance.refresh",
            subject=f"connection:{connection.name}",
            facts={"rows": len(rows), "unreadable": sum(row.total is None for row in rows)},
        )


def _store(connection: Connection, rows: Sequence[VenueBalance]) -> None:
    accounts = {account.address: account for account in Account.objects.filter(connection=connection)}
    read = [row for row in rows if row.address in accounts]
    for row in read:
        if row.asset == EVERY_ASSET:  # the whole account is unreadable: every number of it is
            Balance.objects.filter(account=accounts[row.address]).update(
                total=None, movable=None, observed_at=row.observed_at, problem=row.problem or "not readable"
            )
    Balance.objects.bulk_create(
        [
            Balance(
                account=accounts[row.address],
                asset=row.asset,
                total=row.total,
                movable=row.movable,
                observed_at=row.observed_at,
                problem=row.problem or "",
            )
            for row in read
            if row.asset != EVERY_ASSET
        ],
        update_conflicts=True,
        unique_fields=["account", "asset"],
        update_fields=["total", "movable", "observed_at", "problem"],
    )
    for address in {row.address for row in read if row.asset != EVERY_ASSET}:
        _zero_what_is_gone(accounts[address], [row for row in read if row.address == address])


def _zero_what_is_gone(account: Account, rows: Sequence[VenueBalance]) -> None:
    """A coin missing from a complete answer is 0; from an incomplete one it is unreadable."""
    complete = all(row.problem is None for row in rows)
    gone = Balance.objects.filter(account=account).exclude(asset__in=[row.asset for row in rows])
    observed_at = max(row.observed_at for row in rows)
    if complete:
        gone.update(total=0, movable=0, observed_at=observed_at, problem="")
    else:
        gone.update(total=None, movable=None, observed_at=observed_at, problem="missing from an incomplete answer")


def _until(problem: Exception) -> datetime | None:
    return getattr(problem, "retry_at", None)
