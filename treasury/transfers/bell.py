"""The dispatch bell: wakes the dispatcher at once instead of at its next tick. A lost ring changes nothing."""

from __future__ import annotations

from django.db import transaction

from treasury.celery import app
from treasury.models import Transfer

DISPATCH = "treasury.dispatch_connection"


def ring_on_commit(transfer: Transfer) -> None:
    """Ring when the transaction has committed; a broker that is down costs a second, never the approval."""
    connection_id = transfer.connection_id
    transaction.on_commit(lambda: ring(connection_id), robust=True)


def ring(connection_id: int) -> None:
    app.send_task(DISPATCH, [connection_id], queue="sends", retry=False)
