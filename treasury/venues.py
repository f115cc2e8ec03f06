"""The door: a connector for a connection. Nothing else in the product opens one or reads a credential."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.db import connection as database

import connectors
from connectors.core import discovery
from connectors.core.protocol import Connector, Venue
from treasury.models import Account, Connection


class CannotOpen(Exception):
    """No connector could be made; nothing left this machine. The text never holds a credential."""


class InsideTransaction(RuntimeError):
    """A venue was to be called with a database transaction open: the call could outlive it, and hold its locks."""


@cache
def declared(venue: str) -> Venue:
    """What the venue's module says about itself. Raises connectors.core.discovery.UnknownVenue."""
    return discovery.venue(venue)


def seal_credentials(*, venue: str, environment: str, login: str, credentials: Mapping[str, str]) -> str:
    """Encrypt under the newest key, bound to the login they open; what ``Connection.credentials`` stores."""
    sealed = {"venue": venue, "environment": environment, "login": login, "credentials": dict(credentials)}
    return _keys().encrypt(json.dumps(sealed).encode()).decode()


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
        sealed = json.loads(_keys().decrypt(connection.credentials.encode()))
    except InvalidToken:
        raise CannotOpen(
            f"The credentials of {connection.name} cannot be decrypted with the keys this process has."
        ) from None
    bound = (sealed["venue"], sealed["environment"], sealed["login"])
    if bound != (connection.venue, connection.environment, connection.login):
        raise CannotOpen(f"The credentials of {connection.name} were sealed for another login.")
    credentials: dict[str, str] = sealed["credentials"]
    return credentials


def _keys() -> MultiFernet:
    return MultiFernet([Fernet(key) for key in settings.CREDENTIALS_KEYS])


def has_route(source: Account, destination: Account) -> bool:
    """Whether the venue moves money from the one account to the other, as its module declares."""
    return (source.kind, destination.kind) in declared(source.connection.venue).routes
