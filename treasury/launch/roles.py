"""The embedded server's two roles, as a real installation has them: one owns, the other uses."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

OWNER, APPLICATION = "treasury_owner", "treasury_app"


class Addresses(NamedTuple):
    """The same database, as each of the two."""

    owner: str
    application: str


def of(address: str) -> Addresses:
    """The two addresses of a database that is known as the superuser; nothing is asked and nothing is made."""
    return Addresses(named(address, OWNER), named(address, APPLICATION))


def named(address: str, role: str) -> str:
    """The address of the same database, with this role in the place of ``postgres`` and without a password."""
    parts = urlsplit(address)
    return urlunsplit(parts._replace(netloc=f"{role}@{parts.netloc.rpartition('@')[2]}"))


def make(address: str) -> Addresses:
    """Make both roles where they are missing, and hand over what an earlier release made as the superuser."""
    with psycopg.connect(address) as session:
        for role in (OWNER, APPLICATION):
            if not session.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone():
                session.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
        session.execute(
            sql.SQL("ALTER DATABASE {} OWNER TO {}").format(sql.Identifier(session.info.dbname), sql.Identifier(OWNER))
        )
        session.execute(HANDED_OVER)
    return of(address)


# What belongs to a table goes along with it, and cannot be handed over by itself.
HANDED_OVER = f"""
DO $$
DECLARE statement text;
BEGIN
    FOR statement IN
        SELECT format('ALTER SCHEMA %I OWNER TO {OWNER}', n.nspname) FROM pg_namespace n
        WHERE n.nspname IN ('public', 'pgmq') AND n.nspowner <> '{OWNER}'::regrole
        UNION ALL
        SELECT format('ALTER %s %s OWNER TO {OWNER}', CASE c.relkind WHEN 'S' THEN 'SEQUENCE' WHEN 'v' THEN 'VIEW'
            WHEN 'c' THEN 'TYPE' ELSE 'TABLE' END, c.oid::regclass) FROM pg_class c
        WHERE c.relnamespace IN (to_regnamespace('public'), to_regnamespace('pgmq'))
            AND c.relowner <> '{OWNER}'::regrole AND c.relkind IN ('r', 'p', 'S', 'v', 'c')
            AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                AND d.deptype IN ('a', 'i') AND d.refclassid = 'pg_class'::regclass)
        UNION ALL
        SELECT format('ALTER ROUTINE %s OWNER TO {OWNER}', p.oid::regprocedure) FROM pg_proc p
        WHERE p.pronamespace IN (to_regnamespace('public'), to_regnamespace('pgmq'))
            AND p.proowner <> '{OWNER}'::regrole
    LOOP
        EXECUTE statement;
    END LOOP;
END $$;
"""  # noqa: S608  (the names are the two constants above)
