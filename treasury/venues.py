"""The door: a connector for a connection. Nothing else in the product opens one or reads a credential."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.db import connection as database

import connectors
from connectors.core.protocol import Connector, Venue
from treasury.models import Account, Connection


class CannotOpen(Exception):
    """No connector could be made; nothing left this machine. The text never holds a credential."""


class InsideTransaction(RuntimeError):
    """A venue was to be called with a database transaction open: the call could outlive it, and hold its locks."""


def declared(venue: str) -> Venue:
    """What the venue's module says about itself. Raises connectors.core.discovery.UnknownVenue."""
    return connectors.venues()[venue]


def seal_credentials(credentials: Mapping[str, str]) -> str:
    """Encrypt under the newest key; the result is what ``Connection.credentials`` stores."""
    return _keys().encrypt(json.dumps(dict(credentials)).encode()).decode()


def open_connection(connection: Connection) -> Connector:
    """A connector for the login. Raises CannotOpen, and InsideTransaction."""
    # As Django's own durable=True counts: the block that a test case wraps around everything is none of ours.
    if any(not getattr(block, "_from_testcase", False) for block in database.atomic_blocks):
        raise InsideTransaction("A venue is never called inside a transaction.")
    return _build(connection.venue, connection.environment, _credentials(connection))


def first_look(venue: str, environment: str, credentials: Mapping[str, str]) -> Connector:
    """A connector for credentials that are not stored yet. Raises CannotOpen."""
    return _build(venue, environment, credentials)


def _build(venue: str, environment: str, credentials: Mapping[str, str]) -> Connector:
    base_url = None
    if settings.PRACTICE:
        base_url = settings.SIMULATORS.get(venue)
        if base_url is None:
            raise CannotOpen(f"No simulated {venue} is running; in practice mode only simulated venues are called.")
    try:
        return connectors.open(
            venue,
            credentials=credentials,
            environment=environment,
            base_url=base_url,
            loopback_only=settings.PRACTICE,
        )
    except (ValueError, LookupError) as wrong:
        raise CannotOpen(str(wrong)) from None


def _credentials(connection: Connection) -> dict[str, str]:
    try:
        plain: dict[str, str] = json.loads(_keys().decrypt(connection.credentials.encode()))
    except InvalidToken:
        raise CannotOpen(
            f"The credentials of {connection.name} cannot be decrypted with the keys this process has."
        ) from None
    return plain


def _keys() -> MultiFernet:
    return MultiFernet([Fernet(key) for key in settings.CREDENTIALS_KEYS])


@contextmanager
def one_at_a_time(connection: Connection, errand: str) -> Iterator[bool]:
    """True for the one process that may run this errand ("send", "read") on the connection now, False for others.

    Fairness, not safety: a slow venue then holds one worker's slot for each errand and no more. The lock belongs
    to this process's database session, so a killed worker leaves none behind.
    """
    with database.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(hashtext(%s), %s)", [f"errand:{errand}", connection.pk])
        mine: bool = cursor.fetchone()[0]
    try:
        yield mine
    finally:
        if mine:
            with database.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(hashtext(%s), %s)", [f"errand:{errand}", connection.pk])


def has_route(source: Account, destination: Account) -> bool:
    """Whether the venue moves money from the one account to the other. Asks nobody."""
    connection = source.connection
    try:
        offline = connectors.open(
            connection.venue, credentials=_credentials(connection), environment=connection.environment
        )
    except CannotOpen:
        return False
    return (source.kind, destination.kind) in offline.routes()
