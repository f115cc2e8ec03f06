"""Celery is an alarm clock: the tables are the queue, and a claim makes duplicates harmless."""

from __future__ import annotations

import os
from datetime import timedelta

from celery import Celery
from django.db import transaction

from treasury.pace import paced

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "treasury.settings")

QUEUES = ("sends", "reads", "chores", "plans")  # and a worker for each
FASTEST = timedelta(seconds=1)  # however fast the house is paced, the clock ticks no faster

app = Celery("treasury")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["treasury"])


def every(seconds: float, task: str, queue: str, *args: str) -> dict[str, object]:
    """A tick; one that waited longer than three periods is dropped, for the next one does the same work."""
    period = max(paced(timedelta(seconds=seconds)), FASTEST)
    return {
        "task": f"treasury.{task}",
        "args": args,
        "schedule": period,
        "options": {"queue": queue, "expires": period.total_seconds() * 3},
    }


def send_on_commit(task: str, about: int, *, queue: str, expires: float | None = None) -> None:
    """Wake a worker once this transaction is done. A broker that is down costs a second, and never the transaction: a
    lost message changes nothing, for the clock asks the tables."""
    transaction.on_commit(lambda: app.send_task(task, [about], queue=queue, expires=expires, retry=False), robust=True)


app.conf.beat_schedule = {
    "dispatch": every(1, "tick_dispatch", "chores"),
    "settle": every(1, "tick_settle", "chores"),
    "expire": every(5, "tick_expire", "chores"),
    "complete": every(5, "tick_complete", "chores"),
    "seal": every(1, "seal", "chores"),
    "refresh": every(10, "tick_refresh", "chores"),
    "match": every(15, "tick_match", "chores"),
    "plans": every(15, "tick_plans", "chores"),
    "drift": every(60, "tick_drift", "chores"),
    "first look": every(10, "tick_first_look", "chores"),
    "post": every(2, "tick_post", "reads"),
    "tell": every(30, "tick_tell", "chores"),
    "verify": every(3600, "tick_verify", "chores"),
    "thin": every(3600, "tick_thin", "chores"),
    "watch": every(5, "tick_watch", "chores"),
    "anchor": every(10, "tick_anchor", "chores"),
    **{f"heartbeat of {queue}": every(5, "heartbeat", queue, queue) for queue in QUEUES},
}
