"""A database that was restored or copied stops everything, once; whatever ordinary life does to it does not."""

from __future__ import annotations

import json
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from celery.signals import beat_init, worker_init
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tests.audit.log import by_force, seal_all, sql, write
from tests.audit.test_anchors import cut_to
from tests.audit.test_restore import run
from treasury import tasks
from treasury.audit import anchors
from treasury.controls import heartbeats, restores, stops
from treasury.launch import places, postgres, postmaster
from treasury.models import AuditEntry, Heartbeat, Home, Scope, StopOrder, Transfer

pytestmark = pytest.mark.django_db(transaction=True)

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
REASON = "this database was restored or copied: "


@pytest.fixture
def home() -> Home:
    """After the first look, with three entries sealed and anchored."""
    sealed(1)
    sealed(2)
    assert restores.watch(at=NOON) is None
    anchors.append(at=NOON)
    return Home.objects.get()


def sealed(count: int) -> None:
    write(count)
    seal_all()


def notices() -> list[AuditEntry]:
    return list(AuditEntry.objects.filter(action="restore.notice"))


def older() -> None:
    """What an older copy of this very database would be: its last two entries are missing."""
    cut_to(1)


# -- in this very database -----------------------------------------------------------------------------------


def test_the_first_look_remembers_where_it_is_and_stops_nothing(home: Home) -> None:
    assert home.cluster == sql("SELECT system_identifier::text FROM pg_control_system()")[0][0]
    assert home.timeline == 1
    assert home.database == sql("SELECT oid FROM pg_database WHERE datname = current_database()")[0][0]
    assert restores.why_not_home() is None
    assert restores.watch(at=NOON) is None
    assert not StopOrder.objects.exists()
    assert not notices()


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("cluster", "7", "another cluster"),
        ("timeline", 7, "another timeline"),
        ("database", 7, "another database"),
    ],
)
def test_each_difference_stops_everything_and_is_named(home: Home, column: str, value: Any, words: str) -> None:
    Home.objects.update(**{column: value})
    assert restores.why_not_home() == REASON + words
    order = restores.watch(at=NOON)
    assert order is not None
    assert (order.scope, order.reason, order.by, order.since) == (Scope.EVERYTHING, REASON + words, "restore", NOON)
    (entry,) = notices()
    assert entry.facts["stop"] == order.pk
    assert entry.facts[column]["was"] == value
    assert getattr(Home.objects.get(), column) == getattr(home, column)


def test_it_trips_once_and_claims_are_then_held_by_the_stop_alone(home: Home) -> None:
    Home.objects.update(cluster="7", timeline=7)
    assert restores.watch(at=NOON) is not None
    assert restores.why_not_home() is None
    assert restores.watch(at=NOON) is None
    assert StopOrder.objects.get().reason == REASON + "another cluster and another timeline"
    assert len(notices()) == 1


def test_fewer_entries_than_the_last_anchor_stop_everything_once(home: Home) -> None:
    older()
    assert restores.why_not_home() == REASON + "fewer log entries (1) than the last anchor (3)"
    order = restores.watch(at=NOON)
    assert order is not None
    assert order.reason == REASON + "fewer log entries (1) than the last anchor (3)"
    assert restores.watch(at=NOON) is None
    assert restores.why_not_home() is None
    assert len(notices()) == 1


def test_another_entry_at_the_anchors_place_stops_everything(home: Home) -> None:
    older()
    sealed(4)
    order = restores.watch(at=NOON)
    assert order is not None
    assert order.reason == REASON + "another log entry at 3 than the last anchor"


def test_the_anchors_go_on_after_the_stop_and_the_old_lines_stay(home: Home) -> None:
    before = settings.ANCHOR_FILE.read_text()
    older()
    tasks.tick_anchor()
    assert StopOrder.objects.get().by == stops.RESTORE.name, "the watch comes first"
    after = settings.ANCHOR_FILE.read_text()
    assert after.startswith(before)
    assert after.count("\n") == before.count("\n") + 1
    seal_all()
    tasks.tick_anchor()
    assert anchors.fits() is None
    assert StopOrder.objects.count() == 1

    older()
    assert restores.watch(at=NOON) is not None, "a second restore is noticed as the first one was"


def test_until_it_was_noticed_no_anchor_is_written(home: Home) -> None:
    before = settings.ANCHOR_FILE.read_text()
    older()
    with pytest.raises(anchors.NotAnchored):
        anchors.append(at=NOON, noticed=restores.noticed())
    assert settings.ANCHOR_FILE.read_text() == before


def test_a_new_database_may_stand_beside_the_anchors_of_one_that_was_thrown_away(home: Home) -> None:
    by_force("DELETE FROM treasury_auditlink")
    by_force("DELETE FROM treasury_auditbatch")
    by_force("DELETE FROM treasury_home")
    assert restores.why_not_home() is None
    assert restores.watch(at=NOON) is None
    sealed(1)
    tasks.tick_anchor()
    assert restores.why_not_home() is None
    assert not StopOrder.objects.exists()


def test_with_a_transfer_in_it_a_database_is_not_new(home: Home, drafted: Any) -> None:
    drafted()
    by_force("DELETE FROM treasury_auditlink")
    by_force("DELETE FROM treasury_auditbatch")
    by_force("DELETE FROM treasury_home")
    assert Transfer.objects.exists()
    assert restores.why_not_home() == REASON + "fewer log entries (0) than the last anchor (3)"
    assert restores.watch(at=NOON) is not None


def test_a_claim_asks_with_one_query(home: Home) -> None:
    with CaptureQueriesContext(connection) as captured:
        restores.why_not_home()
    assert len(captured) == 1


def test_anchors_that_cannot_be_read_hold_claims_and_hide_nothing_else(home: Home) -> None:
    settings.ANCHOR_FILE.unlink()
    settings.ANCHOR_FILE.mkdir()
    try:
        assert restores.why_not_home() == "the anchors of the log cannot be read (Is a directory)"
        assert restores.watch(at=NOON) is None
        Home.objects.update(cluster="7")
        assert restores.watch(at=NOON) is not None
        tasks.tick_anchor()
        assert "Is a directory" in Heartbeat.objects.get(name=heartbeats.ANCHORS).problem
    finally:
        settings.ANCHOR_FILE.rmdir()


def test_a_worker_looks_before_it_takes_a_task(home: Home) -> None:
    Home.objects.update(cluster="7")
    for starts in (worker_init, beat_init):
        assert tasks.look_where_we_are in list(starts._live_receivers(sender=None))
    tasks.look_where_we_are()
    assert StopOrder.objects.get().reason == REASON + "another cluster"


def test_the_release_waits_until_every_unended_transfer_was_looked_up(home: Home, submitted: Any) -> None:
    submitted()
    Home.objects.update(cluster="7")
    order = restores.watch(at=timezone.now())
    assert order is not None
    assert "1 unended transfer must be" in str(stops.why_not_release(order))


def test_cleaning_up_moves_nothing(home: Home) -> None:
    for table in ("treasury_home", "treasury_auditlink", "treasury_transfer", "pg_catalog.pg_class"):
        sql(f"VACUUM FULL {table}")
    sql("REINDEX TABLE treasury_auditlink")
    sql("CHECKPOINT")
    sql("SELECT pg_switch_wal()")
    assert restores.why_not_home() is None
    assert restores.watch(at=NOON) is None


# -- in other servers, really --------------------------------------------------------------------------------


@dataclass
class Server:
    """A PostgreSQL of a test's own; what is asked of it is asked by another process of the product."""

    home: Path
    anchors: Path
    address: str = ""

    def start(self) -> None:
        self.address = postgres.start(self.home, durable=False)

    def stop(self) -> None:
        postgres.release(self.home)

    def copy(self, to: Path) -> Server:
        """Its data folder as a backup of the stopped server would keep it."""
        shutil.copytree(self.home / "data", to / "data", symlinks=True)
        (to / "data").chmod(0o700)
        return Server(to, self.anchors)

    def end(self, number: signal.Signals) -> None:
        """SIGQUIT is PostgreSQL's immediate mode, SIGKILL a power cut; it recovers from both when it is started."""
        server = psutil.Process(int((self.home / "data" / "postmaster.pid").read_text().splitlines()[0]))
        server.send_signal(number)
        while not postmaster.ended(server):
            time.sleep(0.02)

    def ask(self, lines: str) -> Any:
        """What ``said`` is after these lines, in a process of the product on this database."""
        environment = {"DATABASE_URL": self.address, "TREASURY_ANCHOR_FILE": str(self.anchors)}
        return json.loads(
            run(sys.executable, "-c", PRELUDE + lines + EPILOGUE, environment=environment).splitlines()[-1]
        )

    def watch(self) -> str | None:
        """The reason of the stop that the watch placed; None where it placed none."""
        found = self.ask(
            "held = restores.why_not_home(); order = restores.watch(at=at)\n"
            "assert (order is None) == (held is None), (order, held)\n"
            "assert order is None or order.reason == held\nsaid = held"
        )
        assert found is None or isinstance(found, str)
        return found

    def work(self, count: int) -> None:
        self.ask(f"write({count}); seal_all(); anchors.append(at=at, noticed=restores.noticed()); said = None")


PRELUDE = """
import django, json, sys
django.setup()
from django.core.management import call_command
from django.utils import timezone
from tests.audit.log import seal_all, write
from treasury.audit import anchors
from treasury.controls import restores
at = timezone.now()
"""
EPILOGUE = "\nprint(); print(json.dumps(said))"
WHERE = "here = restores.look(); said = [here.cluster, here.timeline, here.database]"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Server:
    """At home: migrated, three entries, the first look made, anchored; and stopped."""
    folder = tmp_path_factory.mktemp("prepared")
    made = Server(folder / "server", folder / "anchors.jsonl")
    made.start()
    try:
        made.ask("call_command('migrate', verbosity=0); said = None")
        assert made.watch() is None
        made.work(3)
    finally:
        made.stop()
    return made


@pytest.fixture
def server(prepared: Server, tmp_path: Path) -> Iterator[Server]:
    """The same, of this test's own, and running."""
    made = prepared.copy(tmp_path / "one")
    made.anchors = Path(shutil.copy(prepared.anchors, tmp_path / "anchors.jsonl"))
    made.start()
    yield made
    made.stop()


@pytest.mark.slow
def test_a_dump_in_another_cluster_and_in_another_database_of_the_same(home: Home, tmp_path: Path) -> None:
    here, dump = postgres.keywords(connection.settings_dict), tmp_path / "dump.sql"
    run(postgres.programs() / "pg_dump", "--dbname", here, "--file", str(dump), "--no-owner")

    other = Server(tmp_path / "other", settings.ANCHOR_FILE)
    other.start()
    try:
        filled(other.address, dump)
        # A new cluster numbers its databases alike; where it does not, that is one more difference.
        reason = str(other.watch())
        assert reason.startswith(REASON + "another cluster")
        assert other.watch() is None
        other.work(1)
        assert other.watch() is None
    finally:
        other.stop()

    name = f"{connection.settings_dict['NAME']}_again"
    with psycopg.connect(here, autocommit=True) as session:
        session.execute(f'DROP DATABASE IF EXISTS "{name}"')
        session.execute(f'CREATE DATABASE "{name}"')
    settings.ANCHOR_FILE.unlink()  # the other cluster's went on in it
    anchors.append(at=NOON)
    again = Server(places.home(), settings.ANCHOR_FILE)
    given = connection.settings_dict
    again.address = f"postgresql://{given['USER']}@/{name}?host={given['HOST']}&port={given['PORT'] or 5432}"
    try:
        filled(again.address, dump)
        assert again.watch() == REASON + "another database"
        assert again.watch() is None
        assert restores.watch(at=NOON) is None, "the original is where it was"
    finally:
        with psycopg.connect(here, autocommit=True) as session:
            session.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def filled(address: str, dump: Path) -> None:
    run(postgres.programs() / "psql", "--dbname", address, "-v", "ON_ERROR_STOP=1", "--quiet", "--file", str(dump))


@pytest.mark.slow
def test_a_cold_copy_of_the_data_folder_is_told_by_the_last_anchor_alone(server: Server, tmp_path: Path) -> None:
    where = server.ask(WHERE)
    server.stop()
    copy = server.copy(tmp_path / "two")
    server.start()
    server.work(2)
    assert server.watch() is None
    server.stop()

    copy.start()
    try:
        assert copy.ask(WHERE) == where, "nothing inside it tells"
        assert copy.watch() == REASON + "fewer log entries (3) than the last anchor (5)"
        assert copy.watch() is None
        copy.work(1)
        assert copy.watch() is None
    finally:
        copy.stop()
    kept = [json.loads(line)["seq"] for line in server.anchors.read_text().splitlines()]
    assert kept[:2] == [3, 5]
    assert kept[-1] > 3


@pytest.mark.slow
def test_a_copy_that_worked_on_alone_is_told_by_the_entry_at_the_anchors_place(server: Server, tmp_path: Path) -> None:
    server.stop()
    copy = server.copy(tmp_path / "two")
    copy.anchors = tmp_path / "lost.jsonl"
    server.start()
    server.work(2)
    server.stop()
    copy.start()
    try:
        copy.work(9)
        copy.anchors = server.anchors
        assert copy.watch() == REASON + "another log entry at 5 than the last anchor"
    finally:
        copy.stop()


@pytest.mark.slow
def test_a_recovery_to_some_moment_is_another_timeline(server: Server, tmp_path: Path) -> None:
    server.stop()
    copy = server.copy(tmp_path / "two")
    data = copy.home / "data"
    with (data / "postgresql.auto.conf").open("a") as given:
        given.write("restore_command = 'false'\n")
    (data / "recovery.signal").touch()
    copy.start()
    try:
        with psycopg.connect(copy.address, autocommit=True) as session:
            for _ in range(200):
                if session.execute("SELECT NOT pg_is_in_recovery()").fetchone() == (True,):
                    break
        assert copy.watch() == REASON + "another timeline"
        assert copy.watch() is None
    finally:
        copy.stop()


@pytest.mark.slow
def test_restarts_of_every_kind_move_nothing(server: Server) -> None:
    server.stop()  # in an orderly way
    server.start()
    assert server.watch() is None
    for number in (signal.SIGQUIT, signal.SIGKILL):
        server.work(1)
        server.end(number)
        server.start()
        assert server.watch() is None
    assert server.ask("said = anchors.last().seq") == 5
