"""Two roles of the database: the owner makes tables, and the application's own role owns nothing.

What the application's role may do is derived from the triggers: where UPDATE or DELETE is refused to everybody, the
right to it is not given either. So a table that a migration adds is never forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.db import connection, transaction
from psycopg import sql

# Written by migrations alone. Django's own groups and permissions confer nothing here.
READ_ONLY = (
    "django_migrations",
    "django_content_type",
    "auth_group",
    "auth_group_permissions",
    "auth_permission",
    "treasury_user_groups",
    "treasury_user_user_permissions",
)
_DELETE, _UPDATE = 8, 16  # of pg_trigger.tgtype


class WrongRole(Exception):
    """This role of the database may not do what is asked of it, or may do more than it should; the text is one
    sentence for a person, with the remedy. Nothing was changed."""


@dataclass(frozen=True)
class Given:
    """One line of what a role was given: the rights, and to which of our tables."""

    rights: str
    tables: tuple[str, ...]


# -- the application ----------------------------------------------------------------------------------------------


def insist_on_an_ordinary_role() -> None:
    """Raise WrongRole where this session could change the tables themselves, or what is append-only."""
    with connection.cursor() as cursor:
        cursor.execute("""
            SELECT current_user::text, r.rolsuper OR r.rolcreaterole OR r.rolbypassrls OR r.rolreplication,
                pg_has_role(current_user, (SELECT d.datdba FROM pg_database d WHERE d.datname = current_database()),
                    'MEMBER')
                OR EXISTS (SELECT FROM pg_class c WHERE c.relnamespace IN (SELECT n.oid FROM pg_namespace n
                    WHERE n.nspname IN (current_schema(), 'pgmq')) AND pg_has_role(current_user, c.relowner, 'MEMBER')),
                has_schema_privilege(current_schema(), 'CREATE')
                OR has_table_privilege('treasury_auditentry', 'UPDATE, DELETE, TRUNCATE, TRIGGER')
            FROM pg_roles r WHERE r.rolname = current_user
        """)
        role, mighty, owns, may = cursor.fetchone()
    if mighty or owns or may:
        what = "is a role with power over the server" if mighty else "owns the tables" if owns else "may change them"
        raise WrongRole(
            f"Not started: DATABASE_URL names {role}, which {what}. Name the application's own role there, made as "
            "docs/operate.md says; the owner's belongs in TREASURY_OWNER_DATABASE_URL, for migrate and grants alone."
        )


# -- the owner ----------------------------------------------------------------------------------------------------


def insist_on_the_owner() -> None:
    """Raise WrongRole where this session cannot make tables, or is not the one that made those there are."""
    with connection.cursor() as cursor:
        cursor.execute("""
            SELECT current_user::text, has_schema_privilege(current_schema(), 'CREATE') AND NOT EXISTS (
                SELECT FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'S')
                AND NOT pg_has_role(current_user, c.relowner, 'MEMBER'))
        """)
        role, owner = cursor.fetchone()
    if not owner:
        raise WrongRole(
            f"Nothing was changed: {role} does not own the tables. This is the owner's work; name the owner's role in "
            "TREASURY_OWNER_DATABASE_URL."
        )


def grant(role: str, *, queues: Iterable[str]) -> list[Given]:
    """Give the role what the application needs, and nothing else; as the owner, as often as one likes.

    What it was given beyond that is taken away. ``queues`` are made where they are missing. Raises WrongRole.
    """
    insist_on_the_owner()
    with transaction.atomic(), connection.cursor() as cursor:
        insist_on_an_empty_hand(role)
        cursor.execute("SELECT current_schema(), current_database()")
        schema, database = cursor.fetchone()
        for queue in queues:
            cursor.execute("SELECT pgmq.create(%s)", [queue])
        for where in (schema, "pgmq"):
            run(REVOKED, schema=where, database=database, role=role)
        given = [Given(rights, tables) for rights, tables in sorted(wanted(schema).items())]
        for one in given:
            for table in one.tables:
                run(f"GRANT {one.rights} ON {{schema}}.{{table}} TO {{role}}", schema=schema, table=table, role=role)
        run(FOR_THE_APPLICATION, schema=schema, database=database, role=role)
        for table in queued():
            run("GRANT SELECT, INSERT, UPDATE, DELETE ON pgmq.{table} TO {role}", table=table, role=role)
        return given


REVOKED = """
REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM PUBLIC, {role};
REVOKE ALL ON ALL SEQUENCES IN SCHEMA {schema} FROM PUBLIC, {role};
REVOKE CREATE ON SCHEMA {schema} FROM PUBLIC, {role};
REVOKE TEMPORARY, CREATE ON DATABASE {database} FROM PUBLIC, {role};
"""
# Of a sequence only the next number: to set it back is not among the application's affairs.
FOR_THE_APPLICATION = """
GRANT CONNECT ON DATABASE {database} TO {role};
GRANT USAGE ON SCHEMA {schema}, pgmq TO {role};
GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {role};
GRANT SELECT ON ALL TABLES IN SCHEMA pgmq TO {role};
GRANT SELECT ON ALL SEQUENCES IN SCHEMA pgmq TO {role};
"""


def insist_on_an_empty_hand(role: str) -> None:
    """Raise WrongRole where the role is not there, or has power that no grant could take away."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT r.rolsuper OR r.rolcreaterole OR r.rolcreatedb OR r.rolbypassrls OR r.rolreplication,
                EXISTS (SELECT FROM pg_auth_members m WHERE m.member = r.oid),
                EXISTS (SELECT FROM pg_class c WHERE c.relowner = r.oid)
                OR EXISTS (SELECT FROM pg_database d WHERE d.datdba = r.oid)
            FROM pg_roles r WHERE r.rolname = %s
            """,
            [role],
        )
        found = cursor.fetchone()
    if found is None:
        raise WrongRole(f"Nothing was changed: there is no role {role}. Make it with CREATE ROLE first.")
    mighty, member, owns = found
    if mighty or member or owns:
        what = "has power over the server" if mighty else "is a member of another" if member else "owns something"
        raise WrongRole(f"Nothing was changed: {role} {what}. The application's role owns nothing and is nobody else.")


def wanted(schema: str) -> dict[str, tuple[str, ...]]:
    """{rights: tables} of the application. What the triggers refuse to everybody is not among them."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT c.relname, coalesce(bit_or(t.tgtype) FILTER (WHERE p.proname = 'treasury_append_only'), 0)
            FROM pg_class c LEFT JOIN pg_trigger t ON t.tgrelid = c.oid AND NOT t.tgisinternal
            LEFT JOIN pg_proc p ON p.oid = t.tgfoid
            WHERE c.relnamespace = %s::regnamespace AND c.relkind = 'r' GROUP BY c.relname ORDER BY c.relname
            """,
            [schema],
        )
        rows = cursor.fetchall()
    found: dict[str, list[str]] = {}
    for table, refuses in rows:
        rights = ["SELECT"]
        if table not in READ_ONLY:
            rights.append("INSERT")
            rights += [name for name, bit in (("UPDATE", _UPDATE), ("DELETE", _DELETE)) if not refuses & bit]
        found.setdefault(", ".join(rights), []).append(table)
    return {rights: tuple(tables) for rights, tables in found.items()}


def queued() -> list[str]:
    """The tables that hold messages; their columns are numbered by themselves."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'pgmq'::regnamespace AND c.relkind = 'r'"
            " AND c.relname ~ '^[qa]_' ORDER BY 1"
        )
        return [name for (name,) in cursor.fetchall()]


def run(text: str, **names: str) -> None:
    """SQL with names in it, each quoted."""
    composed = sql.SQL(text).format(**{key: sql.Identifier(name) for key, name in names.items()})
    with connection.cursor() as cursor:
        cursor.execute(composed.as_string(None))
