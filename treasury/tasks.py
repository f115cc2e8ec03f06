"""Celery's side of the house: a handful of ticks, one call inward each. The table is the queue.

No autoretry and no loop around a send: a task that dies loses nothing, the next tick asks the table again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import psycopg
from celery.signals import after_task_publish, beat_init, worker_init
from django.conf import settings
from django.db import DatabaseError, close_old_connections
from django.db import connection as database
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from treasury import lifeline as lifeline  # its signals
from treasury.audit import anchors, chain
from treasury.balances import routes, snapshots
from treasury.balances.moved import CONTRADICTED
from treasury.balances.refresh import REFRESH, NotRead, refresh
from treasury.celery import app
from treasury.controls import first_looks, heartbeats, restores, stops, verify
from treasury.controls.database_role import WrongRole, insist_on_an_ordinary_role
from treasury.controls.people import PracticeData, insist_on_no_practice_data
from treasury.launch import postgres
from treasury.models import Connection, State, Transfer
from treasury.notices import post
from treasury.rebalancing import plan, schedule
from treasury.transfers import access, approve, bell, cancel, confirm, dispatch, guards, match, order, reminders, settle

log = logging.getLogger(__name__)


@worker_init.connect
@beat_init.connect
def refuse_to_start(**_: object) -> None:
    """A worker or the clock of a real installation does not start on practice data, or as the tables' owner, either."""
    if settings.PRACTICE:
        return
    try:
        insist_on_no_practice_data()
        insist_on_an_ordinary_role()
    except (WrongRole, PracticeData) as refusal:  # Celery only logs what a signal's receiver raises, and would go on
        raise SystemExit(str(refusal)) from refusal


@worker_init.connect
@beat_init.connect
def look_where_we_are(**_: object) -> None:
    """Before any task runs: a restored database is under a stop. Where it cannot be asked, claims ask it again."""
    try:
        restores.watch(at=timezone.now())
    except DatabaseError:
        log.exception("it is not known whether the database was restored; every claim asks again")
    finally:  # the children of this process must not inherit a session
        database.close()
        database.close_pool()  # type: ignore[attr-defined]  # PostgreSQL's has one


HEARTBEAT = "treasury.heartbeat"
PART_OF = {"send": heartbeats.SENDS, "settle": heartbeats.READS, "read": heartbeats.READS}  # by errand


@beat_init.connect
def watch_the_clock(**_: object) -> None:
    """In the clock's own process alone: each heartbeat that it puts in is its own sign of life."""
    after_task_publish.connect(clock_ticked, sender=HEARTBEAT)


def clock_ticked(**_: object) -> None:
    close_old_connections()
    alive(heartbeats.BEAT)
    close_old_connections()


FLYING = (State.DISPATCHING, State.DISPATCHED, State.CONFIRMING)
SOUGHT = (*FLYING, State.SETTLED, State.FAILED)  # what two people resolved is due for some days more


def due(*states: State) -> QuerySet[Transfer]:
    """What waits for a clock's hand, the longest waiting first."""
    return Transfer.objects.filter(state__in=states, due_at__lte=timezone.now()).order_by("due_at", "pk")


def wake(task: str, queue: str, connections: Iterable[int], *, every: int = 1) -> None:
    """One message a connection; it expires when some ticks later ones say the same, so that no queue grows."""
    for connection_id in connections:
        app.send_task(f"treasury.{task}", [connection_id], queue=queue, expires=3 * every, retry=False)


def each(connection_id: int, errand: str, states: Iterable[State], verb: Callable[[Transfer], None]) -> None:
    """Take every due transfer of the connection once, unless another worker is at it."""
    connection = Connection.objects.get(pk=connection_id)
    with one_at_a_time(connection, errand) as mine:
        seen: list[int] = []
        while (
            mine
            and alive(PART_OF[errand])  # a send may take so long that the heartbeats in the queue grow old
            and (transfer := due(*states).filter(connection=connection).exclude(pk__in=seen).first())
        ):
            seen.append(transfer.pk)
            with this_one_alone(transfer, errand):
                verb(transfer)


@contextmanager
def this_one_alone(transfer: Transfer, errand: str) -> Iterator[None]:
    """Whatever goes wrong in it concerns this transfer alone: it is logged, and those behind it have their turn."""
    try:
        yield
    except Exception:  # a defect too, which must not stand in the way of other people's money
        log.exception("%s: %s failed", transfer.reference, errand)


@contextmanager
def one_at_a_time(connection: Connection | None, errand: str) -> Iterator[bool]:
    """True for the one process that may run this errand ("send", "settle", "read") on the connection now; an errand
    of the whole house ("post") has no connection.

    Fairness, not safety: a slow venue then holds one worker's slot for each errand and no more. The lock has a
    database session of its own: it ends with it, whatever becomes of this process or of its pooled connections.
    """
    with psycopg.connect(postgres.keywords(database.settings_dict), autocommit=True) as session:
        key = (f"errand:{errand}", 0 if connection is None else connection.pk)
        found = session.execute("SELECT pg_try_advisory_lock(hashtext(%s), %s)", key).fetchone()
        yield found is not None and found[0]


def clock_agrees() -> bool:
    """Whether this machine's clock is the database's. A worker whose clock was set does nothing: ages would lie."""
    with database.cursor() as cursor:
        before = timezone.now()
        cursor.execute("SELECT clock_timestamp()")
        theirs = cursor.fetchone()[0]
    # Ours is read before and after: a process that slept in between is late, and its clock may be right all the same.
    off = max(before - theirs, theirs - timezone.now())
    if off > guards.CLOCKS_AGREE:
        log.critical("ALARM this machine's clock is %s off the database's; nothing is sent or settled here", off)
    agrees: bool = off <= guards.CLOCKS_AGREE
    return agrees


def alive(part: str) -> bool:
    """Give a sign of life, and say whether this process works: with a clock that was set it does nothing."""
    if clock_agrees():
        heartbeats.beat(part, timezone.now())
        return True
    off = f"{guards.CLOCKS_AGREE.total_seconds():.0f} s"
    heartbeats.trouble(part, f"lives on a machine whose clock is more than {off} off the database's")
    return False


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
    wake("settle_connection", "reads", connections_of(due(*SOUGHT)))
    wake("look_back_connection", "reads", connections_of(stops.to_look_back(timezone.now())))


@app.task(name="treasury.look_back_connection")
def look_back_connection(connection_id: int) -> None:
    """After a restore: ask the venue about each transfer that may have been sent and forgotten."""
    connection = Connection.objects.get(pk=connection_id)
    with one_at_a_time(connection, "look back") as mine:
        for transfer in stops.to_look_back(timezone.now()).filter(connection=connection)[:50] if mine else ():
            if not alive(heartbeats.READS):
                return
            with this_one_alone(transfer, "look back"):
                settle.look_back(reference=transfer.reference, now=timezone.now)


@app.task(name="treasury.settle_connection")
def settle_connection(connection_id: int) -> None:
    """Pursue what is in flight over one connection."""

    def pursue(transfer: Transfer) -> None:
        verb = confirm.confirm if transfer.state == State.CONFIRMING else settle.settle
        verb(reference=transfer.reference, now=timezone.now)

    each(connection_id, "settle", SOUGHT, pursue)


@app.task(name="treasury.tick_expire")
def tick_expire() -> None:
    if not clock_agrees() or restores.why_not_home():  # what a copy does not know of, it does not end
        return
    over = Transfer.objects.filter(state__in=[State.SUBMITTED, State.APPROVED], expires_at__lte=timezone.now())
    for transfer in over.exclude(CONTRADICTED):  # of these two people say first what is true
        with this_one_alone(transfer, "expire"):
            try:
                cancel.expire(reference=transfer.reference, at=timezone.now())
            except access.NotNow as moved_on:
                log.info("%s", moved_on)
    order.cancel_orphans(timezone.now())


@app.task(name=bell.GO_ON)
def go_on(transfer_id: int) -> None:
    """A transfer has ended, and others come after it."""
    if clock_agrees():
        order.go_on(transfer_id=transfer_id, at=timezone.now())


@app.task(name="treasury.tick_refresh")
def tick_refresh() -> None:
    at = timezone.now()
    old = Q(health=None) | Q(health__read_at=None) | Q(health__read_at__lte=at - settings.REFRESH_EVERY)
    old |= Q(health__asked_at__gt=F("health__read_at"))  # its message was lost, or came when it was too soon
    later = Q(health__read_again_at__gt=at) | Q(health__limited_until__gt=at)
    wake(
        "refresh_connection",
        "reads",
        Connection.objects.filter(old, by_hand=False).exclude(later).values_list("pk", flat=True),
        every=10,
    )


@app.task(name=REFRESH)
def refresh_connection(connection_id: int) -> None:
    connection = Connection.objects.get(pk=connection_id)
    with one_at_a_time(connection, "read") as mine:
        if mine and alive(heartbeats.READS):
            try:
                refresh(connection=connection, at=timezone.now())
            except NotRead as problem:
                log.warning("%s not read: %s", connection, problem)


@app.task(name=routes.READ_ROUTE)
def read_route(route_id: int) -> None:
    """Ask which assets move on a route, and on the others over its connection that somebody waits for by then."""
    connection = Connection.objects.get(accounts__routes_out=route_id)
    with one_at_a_time(connection, "route") as mine:
        while (
            mine
            and alive(heartbeats.READS)
            and (route := routes.awaited_over(connection, at := timezone.now()).first())
        ):
            routes.read(route.pk, at)


@app.task(name="treasury.tick_plans")
def tick_plans() -> None:
    """Send for plans whose message was lost, and end those whose planner died."""
    if not clock_agrees():
        return
    at = timezone.now()
    for waiting in plan.waiting(at):
        app.send_task(plan.COMPUTE, [waiting.pk], queue=plan.QUEUE, expires=30, retry=False)
    for computing in plan.may_be_gone(at):
        with one_at_a_time(None, f"plan {computing.pk}") as mine:
            if mine:
                plan.fail(plan_id=computing.pk, problem=plan.DIED, at=at)


@app.task(name=plan.COMPUTE)
def compute_plan(plan_id: int) -> None:
    with one_at_a_time(None, f"plan {plan_id}") as mine:
        if mine and alive(heartbeats.PLANS):
            plan.compute(plan_id=plan_id, at=timezone.now(), between=lambda: alive(heartbeats.PLANS))


@app.task(name="treasury.tick_drift")
def tick_drift() -> None:
    """Note who is outside a band, and ask for a plan where somebody has been for long."""
    if clock_agrees():
        schedule.watch(at=timezone.now())


@app.task(name="treasury.tick_first_look")
def tick_first_look() -> None:
    wake("first_look", "reads", first_looks.unanswered(timezone.now()), every=10)


@app.task(name=first_looks.FIRST_LOOK)
def first_look(change_id: int) -> None:
    """Ask a venue whose the credentials of a proposal are."""
    with one_at_a_time(None, f"first look {change_id}") as mine:
        if mine and alive(heartbeats.READS):
            first_looks.look(change_id=change_id, at=timezone.now())


@app.task(name="treasury.tick_post")
def tick_post() -> None:
    """Send what lies in the outbox."""
    if not post.is_due(at=timezone.now()):
        return
    with one_at_a_time(None, "post") as mine:
        if mine and clock_agrees():
            post.post(now=timezone.now)


@app.task(name="treasury.tick_complete")
def tick_complete() -> None:
    """A round that lacked only approvals which count again is full; no one need decide on it for that to be seen."""
    if not clock_agrees() or restores.why_not_home():
        return
    for transfer in approve.full(timezone.now()):
        with this_one_alone(transfer, "complete"):
            try:
                approve.complete(reference=transfer.reference, at=timezone.now())
            except access.NotNow:
                log.info("%s was decided on meanwhile", transfer.reference)


@app.task(name="treasury.tick_tell")
def tick_tell() -> None:
    """What the clock tells people: decisions that are nearly too late, doubt that lasts, stops nobody looked at."""
    if clock_agrees():
        at = timezone.now()
        reminders.expiring(at)
        reminders.doubts(at)
        reminders.unreviewed_stops(at)


@app.task(name="treasury.tick_verify")
def tick_verify() -> None:
    verify.verify(at=timezone.now())


@app.task(name="treasury.tick_thin")
def tick_thin() -> None:
    """Keep fewer of the older snapshots."""
    with one_at_a_time(None, "thin") as mine:
        if mine and clock_agrees():
            snapshots.thin(at=timezone.now())


@app.task(name="treasury.tick_match")
def tick_match() -> None:
    wake("match_connection", "reads", connections_of(match.waiting(timezone.now())), every=15)


@app.task(name="treasury.match_connection")
def match_connection(connection_id: int) -> None:
    """Compare some of what moved over one connection with what the venue says of it."""
    connection = Connection.objects.get(pk=connection_id)
    with one_at_a_time(connection, "match") as mine:
        began = timezone.now()
        for transfer in match.due(connection, began) if mine else ():
            if timezone.now() - began > match.TURN_MOST or not alive(heartbeats.READS):
                return  # a venue that answers slowly holds no slot for long; the next tick goes on
            with this_one_alone(transfer, "match"):
                match.match(reference=transfer.reference, now=timezone.now)


@app.task(name="treasury.seal")
def seal() -> None:
    chain.seal(at=timezone.now())


@app.task(name=HEARTBEAT)
def heartbeat(part: str) -> None:
    """Has come through the part's own queue: clock, broker and worker live."""
    alive(part)


@app.task(name="treasury.tick_watch")
def tick_watch() -> None:
    restores.watch(at=timezone.now())


@app.task(name="treasury.tick_anchor")
def tick_anchor() -> None:
    """Watch first: what shows that the database was restored may not be covered by a further anchor."""
    at = timezone.now()
    restores.watch(at=at)
    try:
        anchors.append(at=at, noticed=restores.noticed())
    except anchors.NotAnchored as problem:
        log.critical("ALARM the log is not anchored outside the database: %s", problem)
        heartbeats.trouble(heartbeats.ANCHORS, str(problem))
    else:
        heartbeats.beat(heartbeats.ANCHORS, at)
