"""A database of the first release is upgraded in place: nothing that people said is lost on the way."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest
from django.db import connection as database

from treasury.controls import rulebook
from treasury.launch import postgres

ROOT = Path(__file__).resolve().parents[2]
NAME = "treasury_upgrade"
FIRST_RELEASE, BEFORE_AGREEMENTS = "0003_pgmq", "0008_hand_guards"

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
    with release(FIRST_RELEASE) as old:
        yield old


@pytest.fixture
def before_agreements() -> Iterator[Old]:
    """As the last release left it that governed by settings and by Django's groups."""
    with release(BEFORE_AGREEMENTS) as old:
        yield old


@contextmanager
def release(last: str) -> Iterator[Old]:
    name = f"{NAME}_{os.getpid()}"
    server = psycopg.connect(postgres.keywords(database.settings_dict), autocommit=True)
    server.execute(f'CREATE DATABASE "{name}"')
    given = {**database.settings_dict, "NAME": name}
    address = f"postgresql://{given['USER']}:{given['PASSWORD']}@/{name}?host={given['HOST']}&port={given['PORT']}"
    try:
        migrate(address, last)
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
        " FROM treasury_change c WHERE c.kind = 'stop.release' ORDER BY c.words ->> 'stop'"
    ).fetchall()
    assert found == [("1", 1, 2, "applied", "first", "second"), ("2", 2, None, None, "alone", "")]
    ended = session.execute("SELECT id, release_id IS NOT NULL, scope FROM treasury_stoporder ORDER BY id")
    assert ended.fetchall() == [(1, True, "connection"), (2, False, "connection"), (3, False, "connection")]
    against = session.execute("SELECT transfer_id, closed_at FROM treasury_contradiction").fetchall()
    assert against == [(1, None)]
    session.rollback()
    with pytest.raises(psycopg.errors.CheckViolation, match="two people"):
        session.execute("UPDATE treasury_stoporder SET released_at = now() WHERE id = 2")
    session.rollback()
    everything_is_adopted(session)


# -- what governs is adopted --------------------------------------------------------------------------------------

HOUSE = """
INSERT INTO treasury_user
    (id, password, is_superuser, username, first_name, last_name, email, is_staff, is_active, date_joined)
SELECT n, '', false, name, name, 'Person', email, false, true, now()
FROM (VALUES (1, 'maker', ''), (2, 'checker', 'Clara@x.invalid'), (3, 'clara', 'clara@X.invalid'),
    (4, 'ops', 'ops@x.invalid')) AS u (n, name, email);
INSERT INTO auth_group (id, name) VALUES (1, 'makers'), (2, 'checkers'), (3, 'operators');
INSERT INTO treasury_user_groups (user_id, group_id) VALUES (1, 1), (2, 2), (3, 2), (3, 3), (4, 3);
INSERT INTO treasury_connection (id, name, venue, environment, login, credentials, by_hand, created_at)
VALUES (1, 'Bybit main', 'bybit', 'mainnet', '1', '', false, now() - interval '1 day');
INSERT INTO treasury_account (id, connection_id, address, kind, title, quiet)
VALUES (1, 1, 'UNIFIED', 'UNIFIED', 'Unified', true), (2, 1, 'FUND', 'FUND', 'Funding', false);
INSERT INTO treasury_balance (account_id, asset, total, movable, observed_at, problem)
VALUES (1, 'USDT', 1000, 1000, now(), '');
"""
KEY = "6f1e1c7e-5d0c-4f0e-9f61-1d6a1a4d0c11"
WORDS = {
    "v": 1,
    "reference": "TR-000001",
    "key": KEY,
    "venue": "bybit",
    "environment": "mainnet",
    "login": "1",
    "connection": "Bybit main",
    "source": "UNIFIED",
    "destination": "FUND",
    "asset": "USDT",
    "amount": "500",
}
INSTRUCTION = json.dumps(WORDS, sort_keys=True, separators=(",", ":"))
DIGEST = hashlib.sha256(INSTRUCTION.encode()).hexdigest()
# Approved by the rule of that time; its whole life would be long: no guard looks.
APPROVED = """
SET LOCAL session_replication_role = replica;
INSERT INTO treasury_transfer (id, reference, draft_key, state, maker_id, connection_id, source_id, destination_id,
    asset, amount, reason, round, held, outcome, created_at, changed_at, key, instruction, digest, submitted_at,
    expires_at, due_at, compared)
VALUES (1, 'TR-000001', gen_random_uuid(), 'APPROVED', 1, 1, 1, 2, 'USDT', 500, 'x', 1, '', '', now(), now(),
    %(key)s, %(text)s, %(digest)s, now(), now() + interval '1 day', now(), false);
INSERT INTO treasury_demand (transfer_id, round, "group", count) VALUES (1, 1, 'checkers', %(count)s);
INSERT INTO treasury_decision (transfer_id, round, verdict, by_id, at, digest, instruction, counts_for, factor, reason)
SELECT 1, 1, 'approve', n, now(), %(digest)s, %(text)s, ARRAY['checkers'], 'password', ''
FROM unnest(%(checkers)s) AS c (n);
"""
CLAIMED = """
import django
django.setup()
from django.utils import timezone
from treasury.controls import policy
from treasury.models import Transfer
from treasury.transfers import dispatch
print("claimed:", dispatch.claim(reference="TR-000001", at=timezone.now()))
transfer = Transfer.objects.get()
print("state:", transfer.state, transfer.held, transfer.outcome)
print("policy:", policy.in_force().number, policy.book_in_force())
"""
VERIFIED = "from django.core.management import execute_from_command_line as run; run(['manage.py', 'verify_audit'])"


def approved_before(session: psycopg.Connection, *checkers: int) -> None:
    session.execute(HOUSE)
    for statement in APPROVED.split(";")[:-1]:
        said = {"key": KEY, "text": INSTRUCTION, "digest": DIGEST, "checkers": list(checkers), "count": len(checkers)}
        session.execute(statement, said if "%(" in statement else None)
    session.commit()


def everything_is_adopted(session: psycopg.Connection) -> int:
    """One change adopts all there is, and is in the log; its number."""
    found = session.execute(
        "SELECT id, ruling, proposed_by_id, decided_by_id, reason FROM treasury_change WHERE kind = 'house.adopt'"
    ).fetchall()
    assert len(found) == 1
    number = int(found[0][0])
    assert found[0][1:] == ("applied", None, None, "Found by the upgrade that began to govern them")
    for table in ("user", "connection", "account", "policy"):
        rows = session.execute(f"SELECT DISTINCT change_id FROM treasury_{table}").fetchall()
        assert rows == [(number,)], table
    told = session.execute(
        "SELECT actor, result, facts ->> 'change' FROM treasury_auditentry WHERE action = 'house.adopt'"
    ).fetchall()
    assert told == [("upgrade", "done", str(number))]
    return number


def said_by(old: Old, lines: str, **more: str) -> str:
    env = {**os.environ, "DATABASE_URL": old.address, "DJANGO_SETTINGS_MODULE": "treasury.settings", **more}
    done = subprocess.run([sys.executable, "-c", lines], cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_governs_is_adopted_and_the_log_says_so(before_agreements: Old, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TREASURY_TWO_CHECKERS_ABOVE", "USDT=10000,BTC=0.25,*=0")
    monkeypatch.setenv("TREASURY_DAILY_LIMITS", "USDT=50000")
    monkeypatch.setenv("TREASURY_FLOORS", "USDT=100.50")
    session = before_agreements.session
    approved_before(session, 2)
    migrate(before_agreements.address)
    number = everything_is_adopted(session)

    people = session.execute("SELECT username, person FROM treasury_user ORDER BY id").fetchall()
    assert people == [
        *(("maker", "user:maker"), ("checker", "clara@x.invalid"), ("clara", "clara@x.invalid")),
        ("ops", "ops@x.invalid"),
    ]
    members = session.execute(
        'SELECT u.username, m."group", m.change_id, m.ended_at FROM treasury_membership m'
        " JOIN treasury_user u ON u.id = m.user_id ORDER BY u.id, 2"
    ).fetchall()
    roles = [("maker", "makers"), ("checker", "checkers"), ("clara", "checkers"), ("clara", "operators")]
    assert members == [(*one, number, None) for one in (*roles, ("ops", "operators"))]
    left = session.execute("SELECT (SELECT count(*) FROM auth_group), (SELECT count(*) FROM treasury_user_groups)")
    assert left.fetchone() == (0, 0)
    dated = session.execute("SELECT credentials_at = created_at FROM treasury_connection").fetchall()
    assert dated == [(True,)]

    policy = session.execute("SELECT number, text, digest FROM treasury_policy").fetchone()
    assert policy is not None
    version, text, digest = policy
    words = json.loads(text)
    assert version == 1
    assert digest == hashlib.sha256(text.encode()).hexdigest()
    assert rulebook.written(words) == text, "as a policy editor would have written it"
    assert [(rule["when"], rule["demands"]) for rule in words["rules"]] == [
        ({"assets": ["USDT"], "up_to": "10000", "in": "asset"}, {"checkers": 1}),
        ({"assets": ["USDT"], "over": "10000", "in": "asset"}, {"checkers": 2}),
        ({"assets": ["BTC"], "up_to": "0.25", "in": "asset"}, {"checkers": 1}),
        ({"assets": ["BTC"], "over": "0.25", "in": "asset"}, {"checkers": 2}),
        ({}, {"checkers": 2}),
    ]
    assert words["limits"] == [{"of": "connection", "hours": 24, "most": "50000", "in": "asset", "assets": ["USDT"]}]
    assert words["floors"] == {"USDT": "100.5"}
    session.rollback()
    assert "The chain is whole." in said_by(before_agreements, VERIFIED)


def test_what_was_approved_before_the_upgrade_is_sent_after_it(before_agreements: Old) -> None:
    approved_before(before_agreements.session, 2)
    migrate(before_agreements.address)
    said = said_by(before_agreements, CLAIMED)
    assert "claimed: None" not in said, said
    assert "state: DISPATCHING" in said


def test_what_one_person_approved_twice_before_the_upgrade_is_not_sent_after_it(before_agreements: Old) -> None:
    """Two sign-ins with one address are one natural person from now on: it goes back to people."""
    approved_before(before_agreements.session, 2, 3)
    migrate(before_agreements.address)
    said = said_by(before_agreements, CLAIMED)
    assert "claimed: None" in said
    assert "state: SUBMITTED" in said


def test_an_empty_database_has_nothing_to_adopt(before_agreements: Old) -> None:
    migrate(before_agreements.address)
    counted = "SELECT (SELECT count(*) FROM treasury_change), (SELECT count(*) FROM treasury_policy)"
    assert before_agreements.session.execute(counted).fetchone() == (0, 0)
