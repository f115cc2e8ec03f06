"""The door: a connector for a connection. Nothing else in the product opens one or reads a credential."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.db import connection as database
from django.db import transaction
from django.utils import timezone

import connectors
from connectors.core import discovery
from connectors.core.protocol import Connector, Limit, Venue
from treasury.models import Account, CallWindow, Connection, ConnectionHealth


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


class PutOff(CannotOpen):
    """Not asked: the venue's limit is used up, or it asked us to wait. Nothing left this machine."""

    def __init__(self, words: str, retry_at: datetime) -> None:
        super().__init__(words)
        self.retry_at = retry_at


def open_connection(connection: Connection, *errands: str) -> Connector:
    """A connector for the login, for one call of each errand, a kind of call that the venue's limits name.

    Raises CannotOpen, PutOff when it is not its turn, and InsideTransaction.
    """
    # As Django's own durable=True counts: the block that a test case wraps around everything is none of ours.
    if any(not getattr(block, "_from_testcase", False) for block in database.atomic_blocks):
        raise InsideTransaction("A venue is never called inside a transaction.")
    connector = _build(connection.venue, connection.environment, _credentials(connection))
    for errand in errands:
        _take_turn(connection, errand)
    return connector


def why_wait(connection: Connection, errand: str, at: datetime) -> PutOff | None:
    """Why a call of this kind must not be made now, and until when; None when it may. Asks nobody, takes nothing."""
    health = ConnectionHealth.objects.filter(connection=connection).first()
    if health is not None and health.limited_until is not None and health.limited_until > at:
        until = health.limited_until
        return PutOff(f"{connection} is limited by the venue until {until:%H:%M:%S} UTC", until)
    limit = declared(connection.venue).limits.get(errand)
    window = CallWindow.objects.filter(connection=connection, errand=errand).first()
    taken = _still_counting(window, limit, at)
    if limit is None or len(taken) < limit.calls:
        return None
    until = min(taken) + limit.per
    return PutOff(f"{limit.calls} calls in {limit.per.total_seconds():g} s are made already", until)


def limited(connection: Connection, until: datetime) -> None:
    """The venue asked us to wait: nothing is asked of it over this connection before then."""
    ConnectionHealth.objects.filter(connection=connection).exclude(limited_until__gte=until).update(limited_until=until)


def _take_turn(connection: Connection, errand: str) -> None:
    """Count one call, in the one place that every process counts in. Nobody sleeps: what is too much is put off."""
    with transaction.atomic():
        CallWindow.objects.get_or_create(connection=connection, errand=errand)
        window = CallWindow.objects.select_for_update().get(connection=connection, errand=errand)
        at = timezone.now()  # of now that it is our turn to look, not of when we began to wait
        if wait := why_wait(connection, errand, at):
            raise wait
        limit = declared(connection.venue).limits.get(errand)
        if limit is not None:
            window.taken = [*_still_counting(window, limit, at), at]
            window.save(update_fields=["taken"])


def _still_counting(window: CallWindow | None, limit: Limit | None, at: datetime) -> list[datetime]:
    if window is None or limit is None:
        return []
    # A stamp from much later is of a clock that was set; it must not block for its whole distance.
    return [one for one in window.taken if at - limit.per < one < at + timedelta(seconds=5)]


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
