"""Celery is an alarm clock: the tables are the queue, and a claim makes duplicates harmless."""

from __future__ import annotations

import os
from datetime import timedelta

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "treasury.settings")

app = Celery("treasury")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["treasury"])


def every(seconds: float, task: str, queue: str) -> dict[str, object]:
    """A tick; one that waited longer than three periods is dropped, for the next one does the same work."""
    period = timedelta(seconds=seconds)
    return {
        "task": f"treasury.{task}",
        "schedule": period,
        "options": {"queue": queue, "expires": seconds * 3},
    }


app.conf.beat_schedule = {
    "dispatch": every(1, "tick_dispatch", "chores"),
    "settle": every(1, "tick_settle", "chores"),
    "expire": every(5, "tick_expire", "chores"),
    "seal": every(1, "seal", "chores"),
    "refresh": every(10, "tick_refresh", "chores"),
}
