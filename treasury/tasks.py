"""Celery's side of the house: a handful of ticks, one call inward each. The table is the queue.

No autoretry and no loop around a send: a task that dies loses nothing, the next tick asks the table again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from celery.signals import beat_init, worker_init
from django.conf import settings
from django.db.models import F, Q
from django.utils import timezone

from treasury.audit import chain
from treasury.balances.refresh import NotRead, refresh
from treasury.celery import app
from treasury.controls.people import insist_on_no_practice_data
from treasury.models import Connection, State, Transfer
from treasury.transfers import access, cancel, confirm, dispatch, settle
from treasury.venues import one_at_a_time

log = logging.getLogger(__name__)


@worker_init.connect
@beat_init.connect
def refuse_practice_data(**_: object) -> None:
    """A worker or the clock of a real installation does not start on practice data either."""
    if not settings.PRACTICE:
        insist_on_no_practice_data()


def due(*states: State) -> list[Transfer]:
    """What waits for a clock's hand, oldest first."""
    return list(
        Transfer.objects.filter(state__in=states)
        .filter(Q(due_at=None) | Q(due_at__lte=timezone.now()))
        .order_by("due_at", "pk")
    )


def wake(task: str, queue: str, connections: Iterable[int]) -> None:
    for connection_id in connections:
        app.send_task(f"treasury.{task}", [connection_id], queue=queue, expires=30, retry=False)


@app.task(name="treasury.tick_dispatch")
def tick_dispatch() -> None:
    wake("dispatch_connection", "sends", {transfer.connection_id for transfer in due(State.APPROVED)})


@app.task(name="treasury.dispatch_connection")
def dispatch_connection(connection_id: int) -> None:
    """Send what is approved and due over one connection, one after the other."""
    connection = Connection.objects.get(pk=connection_id)
    with one_at_a_time(connection, "send") as mine:
        if not mine:
            return
        seen: set[int] = set()
        while waiting := [
            one for one in due(State.APPROVED) if one.connection_id == connection_id and one.pk not in seen
        ]:
            seen.add(waiting[0].pk)
            dispatch.dispatch(reference=waiting[0].reference, now=timezone.now)


@app.task(name="treasury.tick_settle")
def tick_settle() -> None:
    flying = due(State.DISPATCHING, State.DISPATCHED, State.CONFIRMING)
    wake("settle_connection", "reads", {transfer.connection_id for transfer in flying})


@app.task(name="treasury.settle_connection")
def settle_connection(connection_id: int) -> None:
    """Pursue what is in flight over one connection."""
    connection = Connection.objects.get(pk=connection_id)
    with one_at_a_time(connection, "settle") as mine:
        if not mine:
            return
        for transfer in due(State.DISPATCHING, State.DISPATCHED, State.CONFIRMING):
            if transfer.connection_id == connection_id:
                verb = confirm.confirm if transfer.state == State.CONFIRMING else settle.settle
                verb(reference=transfer.reference, now=timezone.now)


@app.task(name="treasury.tick_expire")
def tick_expire() -> None:
    over = Transfer.objects.filter(state__in=[State.SUBMITTED, State.APPROVED], expires_at__lte=timezone.now())
    for transfer in over:
        try:
            cancel.expire(reference=transfer.reference, at=timezone.now())
        except access.NotNow as moved_on:
            log.info("%s", moved_on)


@app.task(name="treasury.tick_refresh")
def tick_refresh() -> None:
    at = timezone.now()
    old = Connection.objects.filter(
        Q(health=None) | Q(health__read_at=None) | Q(health__read_at__lte=at - settings.REFRESH_EVERY)
    ).exclude(health__limited_until__gt=at)
    wake(
        "refresh_connection",
        "reads",
        old.order_by(F("health__read_at").asc(nulls_first=True)).values_list("pk", flat=True),
    )


@app.task(name="treasury.refresh_connection")
def refresh_connection(connection_id: int) -> None:
    connection = Connection.objects.get(pk=connection_id)
    with one_at_a_time(connection, "read") as mine:
        if mine:
            try:
                refresh(connection=connection, at=timezone.now())
            except NotRead as problem:
                log.warning("%s not read: %s", connection, problem)


@app.task(name="treasury.seal")
def seal() -> None:
    chain.seal(at=timezone.now())
