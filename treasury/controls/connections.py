"""Connect: make a login at a venue known, with the accounts that the venue itself reports."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from django.db import transaction

from treasury import venues
from treasury.audit.record import Machine, record
from treasury.models import Account, Connection, ConnectionHealth, User


def connect(
    *,
    name: str,
    venue: str,
    environment: str,
    credentials: Mapping[str, str],
    by: User | Machine,
    at: datetime,
) -> Connection:
    """Ask the venue who the login is and which accounts it has, then store them; credentials encrypted.

    Raises venues.CannotOpen and what the connector raises for a read (TryLater, Barred); then nothing is stored.
    """
    connector = venues.first_look(venue, environment, credentials)
    check, accounts = connector.check(), connector.accounts()
    with transaction.atomic():
        connection = Connection.objects.create(
            name=name,
            venue=venue,
            environment=environment,
            login=check.login,
            credentials=venues.seal_credentials(
                venue=venue, environment=environment, login=check.login, credentials=credentials
            ),
            created_at=at,
        )
        ConnectionHealth.objects.create(connection=connection)
        Account.objects.bulk_create(
            Account(connection=connection, address=account.address, kind=account.kind, title=account.title)
            for account in accounts
        )
        record(
            at=at,
            by=by,
            action="connection.connect",
            subject=connection.subject,
            facts={
                "venue": venue,
                "environment": environment,
                "login": check.login,
                "may_transfer": check.may_transfer,
                "words": check.words,
                "accounts": [account.address for account in accounts],
            },
        )
        return connection
