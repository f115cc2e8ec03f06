"""Entries, real commits, and a sealer that is called until it has caught up."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Thread
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from treasury.audit import chain
from treasury.audit.record import Machine, record
from treasury.models import AuditEntry

WRITER = Machine("writer")


def write(count: int = 1, **facts: Any) -> list[int]:
    """So many entries in one committed transaction; their numbers."""
    with transaction.atomic(durable=True):
        return [write_one(number=number, **facts).pk for number in range(count)]


def write_one(**facts: Any) -> AuditEntry:
    return record(at=timezone.now(), by=WRITER, action="test.write", subject="test:1", facts=facts)


def seal_all() -> int:
    """Seal until nothing waits. An open transaction of any database of the server holds the sealer back a moment."""
    sealed, until = 0, time.monotonic() + 30
    while time.monotonic() < until:
        sealed += chain.seal(at=timezone.now())
        if not AuditEntry.objects.exclude(pk__in=linked()).exists():
            return sealed
        time.sleep(0.01)
    raise AssertionError("the sealer does not catch up")


def linked() -> list[int]:
    """The numbers of the entries that are linked, in the order of their links."""
    return [entry for (entry,) in sql("SELECT entry_id FROM treasury_auditlink ORDER BY seq")]


def sql(text: str, *params: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(text, params or None)
        return cursor.fetchall() if cursor.description else []


def by_force(text: str, *params: Any) -> None:
    """What the database's superuser can do: change the log with its guards off."""
    with transaction.atomic(durable=True):
        sql("SET LOCAL session_replication_role = replica")
        sql(text, *params)


class Beside:
    """Runs in a thread with a database session of its own; ``join`` raises what it raised."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self.error: BaseException | None = None
        self.result: Any = None
        self._work = work
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.result = self._work()
        except BaseException as error:
            self.error = error
        finally:
            connection.close()

    def is_running(self) -> bool:
        return self._thread.is_alive()

    def join(self) -> Any:
        self._thread.join(timeout=60)
        assert not self._thread.is_alive(), "the thread hangs"
        if self.error is not None:
            raise self.error
        return self.result
