"""The application's role of the database owns nothing, and what is append-only it cannot change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import StringIO

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from tests import house
from tests.models import two_roles
from tests.models.two_roles import APPLICATION, refusal_of, session, tables
from tests.test_settings import REAL, start
from treasury.audit import chain
from treasury.controls import database_role, heartbeats
from treasury.controls.roles import CHECKERS, MAKERS
from treasury.models import AuditLink, State, Transfer
from treasury.transfers import dispatch

pytestmark = pytest.mark.django_db(transaction=True)

MAY_NOT = "42501"  # insufficient_privilege
APPEND_ONLY = (
    *("treasury_auditentry", "treasury_auditlink", "treasury_auditbatch", "treasury_decision", "treasury_demand"),
    *("treasury_policy", "treasury_assessment", "treasury_housesetting", "treasury_withdrawal", "treasury_band"),
    *("treasury_attachment", "treasury_firstlook", "treasury_resolution", "treasury_movement", "treasury_lookup"),
)
KEPT = (
    *("treasury_transfer", "treasury_attempt", "treasury_stoporder", "treasury_change", "treasury_contradiction"),
    *("treasury_user", "treasury_membership", "treasury_connection", "treasury_account"),
)


@pytest.fixture
def app(db: None) -> Iterator[psycopg.Connection]:
    with two_roles.application() as name, session(name) as opened:
        yield opened


def test_what_is_append_only_is_neither_changed_nor_deleted_by_the_application(app: psycopg.Connection) -> None:
    for table in APPEND_ONLY:
        assert refusal_of(app, f"UPDATE {table} SET id = id") in (MAY_NOT, "42703"), table
        assert refusal_of(app, f"DELETE FROM {table}") == MAY_NOT, table
        assert app.execute("SELECT has_table_privilege(%s, 'UPDATE, DELETE')", [table]).fetchone() == (False,), table
    for table in KEPT:
        assert refusal_of(app, f"DELETE FROM {table}") == MAY_NOT, table


@pytest.mark.parametrize(
    "statement",
    [
        "TRUNCATE {table} CASCADE",
        "ALTER TABLE {table} DISABLE TRIGGER ALL",
        "ALTER TABLE {table} ADD COLUMN x int",
        "ALTER TABLE {table} RENAME TO gone",
        "ALTER TABLE {table} SET SCHEMA pg_temp",
        "ALTER TABLE {table} OWNER TO CURRENT_USER",
        "DROP TABLE {table} CASCADE",
        "CREATE TRIGGER x BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION treasury_append_only()",
        "CREATE RULE x AS ON INSERT TO {table} DO INSTEAD NOTHING",
        "CREATE INDEX x ON {table} ((1))",
    ],
)
def test_no_table_is_altered_emptied_or_dropped_by_the_application(app: psycopg.Connection, statement: str) -> None:
    for table in tables():
        refused = refusal_of(app, statement.format(table=table))
        assert refused == MAY_NOT, table
        assert app.execute("SELECT count(*) FROM pg_class WHERE relname = %s", [table]).fetchone() == (1,)


@pytest.mark.parametrize(
    "statement",
    [
        "SET session_replication_role = replica",
        "SET LOCAL session_replication_role = replica",
        "CREATE TABLE mine ()",
        "CREATE TEMPORARY TABLE treasury_change ()",
        "CREATE SCHEMA mine",
        "CREATE TABLE pgmq.mine ()",
        "SELECT pgmq.create('another')",
        "SELECT pgmq.drop_queue('sends')",
        "CREATE FUNCTION treasury_append_only() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END'",
        "ALTER FUNCTION treasury_append_only() RESET search_path",
        "DROP FUNCTION treasury_append_only() CASCADE",
        "SELECT setval('treasury_transfer_number', 1)",
        "CREATE ROLE mine",
        "ALTER ROLE CURRENT_USER SUPERUSER",
        "INSERT INTO django_migrations (app, name, applied) VALUES ('treasury', '9999', now())",
        "UPDATE django_migrations SET name = name",
        "INSERT INTO treasury_user_groups (user_id, group_id) VALUES (1, 1)",
        "COPY treasury_auditentry TO PROGRAM 'true'",
    ],
)
def test_no_way_around_is_open_to_the_application(app: psycopg.Connection, statement: str) -> None:
    assert refusal_of(app, statement) == MAY_NOT


def test_the_guards_hold_for_the_application_as_well(app: psycopg.Connection) -> None:
    house.person("mallory", MAKERS)
    assert refusal_of(app, "UPDATE treasury_user SET is_superuser = true") == "23001"
    assert refusal_of(app, "UPDATE treasury_user SET email = 'x@y.z'") == "23514"
    assert refusal_of(
        app, "INSERT INTO treasury_housesetting (name, value, at, change_id) VALUES ('x','3',now(),1)"
    ) == ("23514")


@pytest.fixture
def as_the_application(db: None) -> Iterator[None]:
    """What the product itself does in this test, it does as its own role."""
    with two_roles.application() as name:
        with connection.cursor() as cursor:
            cursor.execute(f"SET ROLE {name}")
        try:
            yield
        finally:
            with connection.cursor() as cursor:
                cursor.execute("RESET ROLE")


def test_the_application_does_all_its_work_as_its_own_role(
    as_the_application: None, approved: Callable[..., Transfer], checker: object
) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        assert cursor.fetchone() == (APPLICATION,)
    transfer = approved()
    dispatch.dispatch(reference=transfer.reference, now=timezone.now)
    transfer.refresh_from_db()
    assert transfer.state in (State.SETTLED, State.DISPATCHED)
    assert chain.seal(at=timezone.now()) > 0
    assert AuditLink.objects.exists()
    assert chain.verify().first_break is None
    heartbeats.beat("sends", at=timezone.now())
    house.set_policy(floors={"USDT": "1"})
    house.take(house.person("eve", CHECKERS))
    database_role.insist_on_an_ordinary_role()


def test_the_owner_is_no_role_to_serve_people_with() -> None:
    with pytest.raises(database_role.WrongRole, match=r"Not started: DATABASE_URL names .* power over the server"):
        database_role.insist_on_an_ordinary_role()


def test_the_application_may_not_migrate_and_is_told_whose_work_it_is(as_the_application: None) -> None:
    with pytest.raises(CommandError, match="TREASURY_OWNER_DATABASE_URL"):
        call_command("migrate", verbosity=0)
    with pytest.raises(CommandError, match="TREASURY_OWNER_DATABASE_URL"):
        call_command("grants", role=APPLICATION)


def test_grants_say_what_they_give_and_give_it_once(db: None) -> None:
    with two_roles.role(APPLICATION) as name:
        said = [StringIO(), StringIO()]
        for one in said:
            call_command("grants", role=name, stdout=one)
        assert said[0].getvalue() == said[1].getvalue()
        for table in APPEND_ONLY:
            assert any(table in line for line in said[0].getvalue().splitlines() if "may SELECT, INSERT:" in line), (
                table
            )


def test_what_was_given_beyond_it_is_taken_away(db: None) -> None:
    with two_roles.application() as name, session(name) as opened:
        with connection.cursor() as cursor:
            cursor.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {name}")
        assert refusal_of(opened, "TRUNCATE treasury_callwindow") == ""
        call_command("grants", role=name, verbosity=0)
        assert refusal_of(opened, "TRUNCATE treasury_callwindow") == MAY_NOT


@pytest.mark.parametrize(
    ("made", "why"),
    [
        ("", "there is no role"),
        ("CREATE ROLE {} SUPERUSER", "has power over the server"),
        ("CREATE ROLE {} CREATEROLE", "has power over the server"),
        ("CREATE ROLE {} IN ROLE pg_write_all_data", "is a member of another"),
        ("CREATE ROLE {}; CREATE TABLE of_its_own (); ALTER TABLE of_its_own OWNER TO {}", "owns something"),
    ],
)
def test_a_role_that_no_grant_can_bind_is_refused(made: str, why: str) -> None:
    name = f"mighty_{two_roles.SUFFIX}"
    with connection.cursor() as cursor:
        if made:
            cursor.execute(made.format(name, name))
        try:
            with pytest.raises(CommandError, match=f"Nothing was changed: .*{why}"):
                call_command("grants", role=name)
        finally:
            cursor.execute("DROP TABLE IF EXISTS of_its_own")
            cursor.execute(f"DROP ROLE IF EXISTS {name}")


@pytest.mark.slow
@pytest.mark.parametrize("part", ["treasury.wsgi", "treasury.tasks"])
def test_a_real_web_server_or_worker_does_not_start_as_the_owner(part: str) -> None:
    lines = f"import django; django.setup(); import {part} as part; getattr(part, 'refuse_to_start', print)()"
    given = connection.settings_dict
    mighty = f"postgresql://{given['USER']}@/{given['NAME']}?host={given['HOST']}&port={given['PORT']}"
    code, said = start(lines, **{**REAL, "DATABASE_URL": mighty})
    assert code != 0
    assert "Not started: DATABASE_URL names" in said
    with two_roles.application() as name:
        code, said = start(lines, **{**REAL, "DATABASE_URL": two_roles.address_of(name)})
    assert code == 0, said


def test_a_worker_takes_its_messages_as_the_application(app: psycopg.Connection) -> None:
    """What kombu asks of the queue, in its words; celery itself is started as this role by every `make run`."""
    app.execute("SELECT pgmq.create('sends')")
    app.execute("SELECT pgmq.send('sends', '{}'::jsonb)")
    assert app.execute("SELECT count(*) FROM pgmq.read('sends', 30, 1)").fetchone() == (1,)
    app.execute("SELECT pgmq.set_vt('sends', (SELECT msg_id FROM pgmq.q_sends), 0)")
    assert app.execute("SELECT queue_length FROM pgmq.metrics('sends')").fetchone() == (1,)
    assert app.execute("SELECT count(*) FROM pgmq.list_queues()").fetchone() != (0,)
    app.execute("SELECT pgmq.archive('sends', (SELECT msg_id FROM pgmq.q_sends))")
    app.execute("SELECT pgmq.delete('sends', 1::bigint)")
