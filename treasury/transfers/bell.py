"""The dispatch bell: wakes the dispatcher at once instead of at its next tick. A lost ring changes nothing."""

from __future__ import annotations

from treasury.balances.refresh import REFRESH
from treasury.celery import send_on_commit
from treasury.models import Transfer

DISPATCH = "treasury.dispatch_connection"


def ring_on_commit(transfer: Transfer) -> None:
    send_on_commit(DISPATCH, transfer.connection_id, queue="sends")


def read_on_commit(transfer: Transfer) -> None:
    """Have the balances read: what the pages show is of before the transfer."""
    send_on_commit(REFRESH, transfer.connection_id, queue="reads")
