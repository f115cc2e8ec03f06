"""The dispatch bell: wakes the dispatcher at once instead of at its next tick. A lost ring changes nothing."""

from __future__ import annotations

from django.db import transaction

from treasury.balances.refresh import REFRESH
from treasury.celery import app
from treasury.models import Transfer

DISPATCH = "treasury.dispatch_connection"


def ring_on_commit(transfer: Transfer) -> None:
    """Ring when the transaction has committed; a broker that is down costs a second, never the approval."""
    connection_id = transfer.connection_id
    transaction.on_commit(lambda: ring(connection_id), robust=True)


def read_on_commit(transfer: Transfer) -> None:
    """Have the balances read: what the pages show is of before the transfer."""
    connection_id = transfer.connection_id
    transaction.on_commit(lambda: app.send_task(REFRESH, [connection_id], queue="reads", retry=False), robust=True)


def ring(connection_id: int) -> None:
    app.send_task(DISPATCH, [connection_id], queue="sends", retry=False)
