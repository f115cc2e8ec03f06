"""A dump restored into another cluster: its transaction ids mean nothing there, and nothing is lost."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.db import connection
from django.utils import timezone

from tests.audit.log import by_force, linked, seal_all, write
from treasury.audit import chain
from treasury.launch import places, postgres
from treasury.models import AuditEntry

pytestmark = pytest.mark.django_db(transaction=True)

FAR_AHEAD = "99999999999"


def seem_restored() -> None:
    """As if all this came from a cluster whose transaction ids were far ahead of ours."""
    by_force("UPDATE treasury_auditbatch SET cluster = 'another', upto = %s", FAR_AHEAD)
    by_force(
        "UPDATE treasury_auditentry SET xid = (xid::text::bigint + %(far)s)::text::xid8, canonical = replace(canonical,"
        " '\"xid\":\"' || xid || '\"', '\"xid\":\"' || (xid::text::bigint + %(far)s) || '\"')"
        " WHERE id NOT IN (SELECT entry_id FROM treasury_auditlink)".replace("%(far)s", FAR_AHEAD)
    )


def assert_whole(entries: int) -> None:
    verified = chain.verify()
    assert verified.first_break is None
    assert (verified.entries, verified.unsealed) == (entries, 0)
    assert len(set(linked())) == entries


def test_entries_unsealed_at_the_dump_are_sealed_after_the_restore_and_new_ones_too() -> None:
    write(3)
    seal_all()
    waiting = write(4)
    seem_restored()
    new = write(2)
    assert seal_all() == 6
    assert linked()[3:] == [*waiting, *new]
    later = write(5)
    assert seal_all() == 5
    assert linked()[9:] == later
    assert_whole(14)


def test_a_restore_with_nothing_waiting_goes_on_where_it_stood() -> None:
    write(3)
    seal_all()
    seem_restored()
    assert chain.seal(at=timezone.now()) == 0
    write(2)
    assert seal_all() == 2
    assert_whole(5)


def test_a_restore_with_more_waiting_than_one_run_takes_loses_none(monkeypatch: pytest.MonkeyPatch) -> None:
    write(3)
    seal_all()
    write(10)
    seem_restored()
    monkeypatch.setattr(chain, "LIMIT", 4)
    write(3)
    assert seal_all() == 13
    write(9)
    assert seal_all() == 9
    assert_whole(25)


def test_a_server_set_back_to_an_earlier_moment_goes_on_from_there() -> None:
    """The same cluster, its transaction counter behind the stored mark: it may not be believed."""
    write(3)
    seal_all()
    by_force("UPDATE treasury_auditbatch SET upto = %s", FAR_AHEAD)
    write(2)
    assert seal_all() == 2
    assert_whole(5)


@pytest.mark.slow
def test_a_real_dump_in_a_real_other_cluster(tmp_path: Path) -> None:
    for _ in range(20):  # so that this cluster's transaction ids are ahead of a new one's
        write(2)
    seal_all()
    write(7)  # not sealed when the dump is made
    before = chain.verify()
    assert (before.entries, before.unsealed) == (40, 7)

    here, other = postgres.keywords(connection.settings_dict), tmp_path / "other"
    there = postgres.start(other, durable=False)
    try:
        restored(here, there, tmp_path)
    finally:
        postgres.release(other)


def restored(here: str, there: str, tmp_path: Path) -> None:
    dump = tmp_path / "dump.sql"
    run(postgres.programs() / "pg_dump", "--dbname", here, "--file", str(dump), "--no-owner")
    run(postgres.programs() / "psql", "--dbname", there, "-v", "ON_ERROR_STOP=1", "--quiet", "--file", str(dump))

    said = run(sys.executable, "-c", IN_THE_OTHER, environment={"DATABASE_URL": there})
    assert "47 entries" in said
    assert "0 not sealed yet" in said
    assert "50 entries" in said
    assert said.count("The chain is whole.") == 2
    assert "refused: treasury_auditentry is append-only" in said
    assert AuditEntry.objects.count() == 47


IN_THE_OTHER = """
import django
django.setup()
from django.core.management import call_command
from django.db import DatabaseError, connection
from tests.audit.log import write

call_command("verify_audit")
write(3)
call_command("verify_audit")
try:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM treasury_auditentry")
except DatabaseError as error:
    print("refused:", error)
"""


def run(*command: str | Path, environment: dict[str, str] | None = None) -> str:
    """What the program said. Its database is the one named, whatever PG… variables say."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    given = {"DJANGO_SETTINGS_MODULE": "treasury.settings", **kept, **(environment or {})}
    ended = subprocess.run(
        command, check=False, capture_output=True, text=True, cwd=places.PROJECT, env=given, timeout=120
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout
