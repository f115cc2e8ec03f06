"""The dispatch bell: wakes the dispatcher at once instead of at its next tick. A lost ring changes nothing."""

from __future__ import annotations

from treasury.balances.refresh import REFRESH
from treasury.celery import send_on_commit
from treasury.models import Transfer

DISPATCH = "treasury.dispatch_connection"
GO_ON = "treasury.go_on"


def ring_on_commit(transfer: Transfer) -> None:
    send_on_commit(DISPATCH, transfer.connection_id, queue="sends")


def read_on_commit(transfer: Transfer) -> None:
    """Have the balances read: what the pages show is of before the transfer. Nobody reads what is typed in."""
    for connection in {transfer.source.connection, transfer.destination.connection}:
        if not connection.by_hand:
            send_on_commit(REFRESH, connection.pk, queue="reads")


def go_on_on_commit(transfer: Transfer) -> None:
    """What comes after it is sent next, or cancelled: see ``order.go_on``."""
    if transfer.successors.exists():
        send_on_commit(GO_ON, transfer.pk, queue="chores")
