"""A database of the first release is upgraded in place: nothing that people said is lost on the way."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest
from django.db import connection as database

from treasury.launch import postgres

ROOT = Path(__file__).resolve().parents[2]
NAME = "treasury_upgrade"
FIRST_RELEASE = "0003_pgmq"

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

USERS = """
INSERT INTO treasury_user
    (id, password, is_superuser, username, first_name, last_name, email, is_staff, is_active, date_joined)
SELECT n, '', false, name, '', '', '', false, true, now()
FROM (VALUES (1, 'admin'), (2, 'admin2'), (3, 'maker')) AS u (n, name);
INSERT INTO treasury_connection (id, name, venue, environment, login, credentials, created_at)
VALUES (1, 'Bybit main', 'bybit', 'mainnet', '1', '', now());
INSERT INTO treasury_account (id, connection_id, address, kind, title, quiet)
VALUES (1, 1, 'UNIFIED', 'UNIFIED', 'Unified', false), (2, 1, 'FUND', 'FUND', 'Funding', false);
"""
STOPS = """
INSERT INTO treasury_stoporder (id, connection_id, reason, "by", since) VALUES
    (1, 1, 'released', 'admin', now()),
    (2, 1, 'half released', 'admin', now()),
    (3, 1, 'standing', 'dispatcher', now());
INSERT INTO treasury_stoprelease (stop_order_id, by_id, at, reason) VALUES
    (1, 1, now() - interval '2 h', 'first'), (1, 2, now() - interval '1 h', 'second'), (2, 2, now(), 'alone');
UPDATE treasury_stoporder SET released_at = now() WHERE id = 1;
"""
# Ended as if nothing had moved, and taken by the venue after that. Its whole life would be long: no guard looks.
TAKEN_AFTER_ALL = """
SET LOCAL session_replication_role = replica;
INSERT INTO treasury_transfer (id, reference, draft_key, state, maker_id, connection_id, source_id, destination_id,
    asset, amount, reason, round, held, outcome, created_at, changed_at, key, instruction, digest, submitted_at,
    expires_at)
VALUES (1, 'TR-000001', gen_random_uuid(), 'FAILED', 3, 1, 1, 2, 'USDT', 5, 'x', 1, '', 'Nothing moved.', now(),
    now() - interval '1 h', gen_random_uuid(), '{}', '', now(), now());
INSERT INTO treasury_attempt (transfer_id, number, kind, claimed_at, send_before, call_ends_at, worker, before, outcome,
    concluded_at, words, evidence)
VALUES (1, 1, 'send', now(), now(), now(), 'w', '{}', 'settled', now(), '', '{}');
"""


class Old(NamedTuple):
    """A session on the database, and its address."""

    session: psycopg.Connection
    address: str


@pytest.fixture
def first_release() -> Iterator[Old]:
    """A database of its own, as the first release left it."""
    name = f"{NAME}_{os.getpid()}"
    server = psycopg.connect(postgres.keywords(database.settings_dict), autocommit=True)
    server.execute(f'CREATE DATABASE "{name}"')
    given = {**database.settings_dict, "NAME": name}
    address = f"postgresql://{given['USER']}:{given['PASSWORD']}@/{name}?host={given['HOST']}&port={given['PORT']}"
    migrate(address, FIRST_RELEASE)
    try:
        with psycopg.connect(postgres.keywords(given)) as session:
            yield Old(session, address)
    finally:
        server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
        server.close()


def migrate(address: str, to: str = "") -> None:
    command = [sys.executable, "manage.py", "migrate", "--no-input", "-v", "0", "treasury", *([to] if to else [])]
    subprocess.run(command, cwd=ROOT, env={**os.environ, "DATABASE_URL": address}, check=True)


def test_releases_become_changes_and_late_receipts_contradictions(first_release: Old) -> None:
    session = first_release.session
    for text in (USERS, STOPS, TAKEN_AFTER_ALL):
        session.execute(text)
    session.commit()
    migrate(first_release.address)

    found = session.execute(
        "SELECT c.words ->> 'stop', c.proposed_by_id, c.decided_by_id, c.ruling, c.reason, c.said"
        " FROM treasury_change c ORDER BY c.words ->> 'stop'"
    ).fetchall()
    assert found == [("1", 1, 2, "applied", "first", "second"), ("2", 2, None, None, "alone", "")]
    ended = session.execute("SELECT id, release_id IS NOT NULL, scope FROM treasury_stoporder ORDER BY id")
    assert ended.fetchall() == [(1, True, "connection"), (2, False, "connection"), (3, False, "connection")]
    against = session.execute("SELECT transfer_id, closed_at FROM treasury_contradiction").fetchall()
    assert against == [(1, None)]
    session.rollback()
    with pytest.raises(psycopg.errors.CheckViolation, match="two people"):
        session.execute("UPDATE treasury_stoporder SET released_at = now() WHERE id = 2")
