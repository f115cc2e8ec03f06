"""Celery's side of the house: a handful of ticks, one call inward each. The table is the queue.

No autoretry and no loop around a send: a task that dies loses nothing, the next tick asks the table again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import psycopg
from celery.signals import beat_init, worker_init
from django.conf import settings
from django.db import connection as database
from django.db.models import Q, QuerySet
from django.utils import timezone

from treasury.audit import chain
from treasury.balances.refresh import REFRESH, NotRead, refresh
from treasury.celery import app
from treasury.controls.people import insist_on_no_practice_data
from treasury.launch import postgres
from treasury.models import Connection, State, Transfer
from treasury.transfers import access, bell, cancel, confirm, dispatch, guards, settle

log = logging.getLogger(__name__)


@worker_init.connect
@beat_init.connect
def refuse_practice_data(**_: object) -> None:
    """A worker or the clock of a real installation does not start on practice data either."""
    if not settings.PRACTICE:
        insist_on_no_practice_data()


FLYING = (State.DISPATCHING, State.DISPATCHED, State.CONFIRMING)


def due(*states: State) -> QuerySet[Transfer]:
    """What waits for a clock's hand, the longest waiting first."""
    return Transfer.objects.filter(state__in=states, due_at__lte=timezone.now()).order_by("due_at", "pk")


def wake(task: str, queue: str, connections: Iterable[int]) -> None:
    for connection_id in connections:
        app.send_task(f"treasury.{task}", [connection_id], queue=queue, expires=30, retry=False)


def each(connection_id: int, errand: str, states: Iterable[State], verb: Callable[[Transfer], None]) -> None:
    """Take every due transfer of the connection once, unless another worker is at it.

    One that fails is logged and left to the next tick: it must not hold up those behind it.
    """
    connection = Connection.objects.get(pk=connection_id)
    with one_at_a_time(connection, errand) as mine:
        seen: list[int] = []
        while (
            mine
            and clock_agrees()
            and (transfer := due(*states).filter(connection=connection).exclude(pk__in=seen).first())
        ):
            seen.append(transfer.pk)
            try:
                verb(transfer)
            except Exception:  # whatever it is, it concerns this transfer alone
                log.exception("%s: %s failed", transfer.reference, errand)


@contextmanager
def one_at_a_time(connection: Connection, errand: str) -> Iterator[bool]:
    """True for the one process that may run this errand ("send", "settle", "read") on the connection now.

    Fairness, not safety: a slow venue then holds one worker's slot for each errand and no more. The lock has a
    database session of its own: it ends with it, whatever becomes of this process or of its pooled connections.
    """
    with psycopg.connect(postgres.keywords(database.settings_dict), autocommit=True) as session:
        key = (f"errand:{errand}", connection.pk)
        found = session.execute("SELECT pg_try_advisory_lock(hashtext(%s), %s)", key).fetchone()
        yield found is not None and found[0]


def clock_agrees() -> bool:
    """Whether this machine's clock is the database's. A worker whose clock was set does nothing: ages would lie."""
    with database.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        off = abs(timezone.now() - cursor.fetchone()[0])
    if off > guards.CLOCKS_AGREE:
        log.critical("ALARM this machine's clock is %s off the database's; nothing is sent or settled here", off)
    agrees: bool = off <= guards.CLOCKS_AGREE
    return agrees


def connections_of(transfers: QuerySet[Transfer]) -> Iterable[int]:
    return transfers.order_by().values_list("connection_id", flat=True).distinct()


@app.task(name="treasury.tick_dispatch")
def tick_dispatch() -> None:
    wake("dispatch_connection", "sends", connections_of(due(State.APPROVED)))


@app.task(name=bell.DISPATCH)
def dispatch_connection(connection_id: int) -> None:
    """Send what is approved and due over one connection, one after the other."""

    def send(transfer: Transfer) -> None:
        dispatch.dispatch(reference=transfer.reference, now=timezone.now)

    each(connection_id, "send", [State.APPROVED], send)


@app.task(name="treasury.tick_settle")
def tick_settle() -> None:
    wake("settle_connection", "reads", connections_of(due(*FLYING)))


@app.task(name="treasury.settle_connection")
def settle_connection(connection_id: int) -> None:
    """Pursue what is in flight over one connection."""

    def pursue(transfer: Transfer) -> None:
        verb = confirm.confirm if transfer.state == State.CONFIRMING else settle.settle
        verb(reference=transfer.reference, now=timezone.now)

    each(connection_id, "settle", FLYING, pursue)


@app.task(name="treasury.tick_expire")
def tick_expire() -> None:
    if not clock_agrees():
        return
    over = Transfer.objects.filter(state__in=[State.SUBMITTED, State.APPROVED], expires_at__lte=timezone.now())
    for transfer in over:
        try:
            cancel.expire(reference=transfer.reference, at=timezone.now())
        except access.NotNow as moved_on:
            log.info("%s", moved_on)


@app.task(name="treasury.tick_refresh")
def tick_refresh() -> None:
    at = timezone.now()
    old = Q(health=None) | Q(health__read_at=None) | Q(health__read_at__lte=at - settings.REFRESH_EVERY)
    later = Q(health__read_again_at__gt=at) | Q(health__limited_until__gt=at)
    wake("refresh_connection", "reads", Connection.objects.filter(old).exclude(later).values_list("pk", flat=True))


@app.task(name=REFRESH)
def refresh_connection(connection_id: int) -> None:
    connection = Connection.objects.get(pk=connection_id)
    with one_at_a_time(connection, "read") as mine:
        if mine and clock_agrees():
            try:
                refresh(connection=connection, at=timezone.now())
            except NotRead as problem:
                log.warning("%s not read: %s", connection, problem)


@app.task(name="treasury.seal")
def seal() -> None:
    chain.seal(at=timezone.now())
