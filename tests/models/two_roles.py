"""Sessions as the two roles of a real installation: neither is the superuser that the tests themselves are."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg
from django.db import connection

from treasury.celery import QUEUES
from treasury.controls import database_role
from treasury.launch import postgres

PASSWORD = "of-a-test"
SUFFIX = f"{os.getpid()}"
APPLICATION, OWNER = f"tested_app_{SUFFIX}", f"tested_owner_{SUFFIX}"


@contextmanager
def role(name: str) -> Iterator[str]:
    """A role that may sign in, and is gone afterwards with whatever it was given."""
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'")
    try:
        yield name
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"DROP OWNED BY {name} CASCADE")
            cursor.execute(f"DROP ROLE {name}")


@contextmanager
def application() -> Iterator[str]:
    """The application's role, with what ``manage.py grants`` gives it."""
    with role(APPLICATION) as name:
        database_role.grant(name, queues=QUEUES)
        yield name


@contextmanager
def owner(*tables: str) -> Iterator[str]:
    """An ordinary role that owns these tables, as an owner does: without being the server's superuser."""
    with role(OWNER) as name:
        owns(name, tables)
        try:
            yield name
        finally:
            owns("CURRENT_USER", tables)


def owns(name: str, tables: tuple[str, ...]) -> None:
    with connection.cursor() as cursor:
        for table in tables:
            cursor.execute(f"ALTER TABLE {table} OWNER TO {name}")


def address_of(name: str, database: Mapping[str, Any] | None = None) -> str:
    given = database or connection.settings_dict
    return f"postgresql://{name}:{PASSWORD}@/{given['NAME']}?host={given['HOST']}&port={given['PORT']}"


@contextmanager
def session(name: str) -> Iterator[psycopg.Connection]:
    """A session of this role on the test's database; nothing of it is committed."""
    given = {**connection.settings_dict, "USER": name, "PASSWORD": PASSWORD}
    with psycopg.connect(postgres.keywords(given)) as opened:
        try:
            yield opened
        finally:
            opened.rollback()


def refusal_of(opened: psycopg.Connection, statement: str) -> str:
    """The sqlstate of the refusal; an empty text where it was let through."""
    try:
        with opened.transaction(force_rollback=True):
            opened.execute(statement)
    except psycopg.Error as error:
        return error.sqlstate or "?"
    return ""


def tables() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'"
            " ORDER BY 1"
        )
        return [name for (name,) in cursor.fetchall()]
