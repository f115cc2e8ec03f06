"""A worker that takes no message any more ends itself, so that whoever supervises it starts another.

Two ways to get there are known with pgmq. A pool process that is killed while it waits for its turn takes the queue's
lock along; and a restart of the database loses acknowledgements, after which Celery believes for ever that its slots
are full. In both the process lives on and does nothing. Since a claim makes doubled messages harmless and a lost
outcome is doubt that is pursued, ending at once is the safe thing to do.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from contextlib import suppress
from datetime import timedelta

import psutil  # type: ignore[import-untyped]
import psycopg
from celery.signals import task_received, worker_ready
from django.db import connection as database

from treasury.controls import heartbeats
from treasury.launch import postgres
from treasury.pace import paced

log = logging.getLogger(__name__)

# Each queue gets a heartbeat every 5 s; two sends that take their whole time hold both slots for 35 s.
SILENT_AFTER = timedelta(seconds=90)
ENDED = 75  # EX_TEMPFAIL: start it again
LOOK_EVERY = timedelta(seconds=5)

heard_at = time.monotonic()


@task_received.connect
def hear(**_: object) -> None:
    global heard_at
    heard_at = time.monotonic()


@worker_ready.connect
def begin(**_: object) -> None:
    threading.Thread(target=watch, name="lifeline", daemon=True).start()


def watch() -> None:
    """End the process when nothing came for too long although the clock puts messages in."""
    hear()
    while True:
        time.sleep(LOOK_EVERY.total_seconds())
        if is_silent(time.monotonic() - heard_at) and the_clock_ticks():
            log.critical("ALARM this worker has taken no message for %s; it ends itself", paced(SILENT_AFTER))
            end()


def is_silent(seconds: float) -> bool:
    return seconds > max(paced(SILENT_AFTER), 4 * LOOK_EVERY).total_seconds()


def the_clock_ticks() -> bool:
    """Whether there was something to take: the clock gave a sign of life a moment ago. Not known: no."""
    with suppress(psycopg.Error), psycopg.connect(postgres.keywords(database.settings_dict)) as session:
        found = session.execute(
            "SELECT at > clock_timestamp() - interval '15 s' FROM treasury_heartbeat WHERE name = %s", [heartbeats.BEAT]
        ).fetchone()
        return bool(found and found[0])
    return False


def end() -> None:
    """At once, with the pool's processes: none of them is at work, or it would have been heard."""
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            child.kill()
    os._exit(ENDED)
