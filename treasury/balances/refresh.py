"""Read what a connection's accounts hold, and keep the latest numbers with their age."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction

from connectors.core.errors import TryLater, VenueError
from connectors.core.protocol import EVERY_ASSET, Check, Connector, VenueBalance
from treasury import venues
from treasury.audit.record import Machine, record
from treasury.balances import movements, snapshots
from treasury.celery import send_on_commit
from treasury.models import Account, Balance, Connection, ConnectionHealth, User
from treasury.models.amount import fits
from treasury.models.text import clean

log = logging.getLogger(__name__)

REFRESHER = Machine("refresh")
CODE_LENGTH = 40  # what the balance columns hold
NOT_NAMED = "the venue's answer does not name this account"
REFRESH = "treasury.refresh_connection"
ANSWER_MOST = timedelta(seconds=30)  # a number is of when it was asked for, at most so long before it was noted
AWAITED = timedelta(seconds=30)  # a reading that was asked for longer ago is no longer waited for
REPORTED_EVERY = timedelta(hours=1)  # how often the venue is asked which accounts there are, unless a person asks


class NotRead(Exception):
    """The balances could not be read; the stored ones keep their age. The text says why."""


def ask(*, connection: Connection, by: User, at: datetime) -> bool:
    """Ask for a reading, which a worker makes; False when one is awaited already, and where people type it in. Nobody
    waits for the answer."""
    with transaction.atomic():
        health, _ = ConnectionHealth.objects.select_for_update().get_or_create(connection=connection)
        if connection.by_hand or is_awaited(health, at):
            return False
        health.asked_at = at
        health.save(update_fields=["asked_at"])
        record(at=at, by=by, action="balance.ask", subject=connection.subject)
        send_on_commit(REFRESH, connection.pk, queue="reads")
    return True


def ask_each(connections: Iterable[Connection], *, by: User, at: datetime) -> list[Connection]:
    """Ask for a reading of each that can be read now, and say of which: people state what is by hand, and a venue that
    asked us to wait is left alone. ``connections`` with their health."""
    readable = [one for one in connections if not one.by_hand and not limited_until(getattr(one, "health", None), at)]
    for one in readable:
        ask(connection=one, by=by, at=at)
    return readable


def limited_until(health: ConnectionHealth | None, at: datetime) -> datetime | None:
    """Until when its venue asked us to wait; None where that is over, or nobody asked."""
    until = health.limited_until if health is not None else None
    return until if until is not None and until > at else None


def is_awaited(health: ConnectionHealth | None, at: datetime) -> bool:
    """Whether somebody asked for a reading a moment ago that has not come yet."""
    if health is None or health.asked_at is None or at - health.asked_at > AWAITED:
        return False
    return health.read_at is None or health.read_at < health.asked_at


def refresh(*, connection: Connection, by: User | Machine = REFRESHER, at: datetime) -> None:
    """Ask the venue, then store. Raises NotRead, after noting the reason in the connection's health."""
    if connection.by_hand:  # an empty answer would make every typed number a 0
        raise NotRead(f"The balances of {connection} are typed in by people; there is nothing to read.")
    try:
        with_accounts = wants_accounts(connection, at)
        errands = ["check", "balances", "accounts"] if with_accounts else ["check", "balances"]
        connector = venues.open_connection(connection, *errands)
        check = connector.check()
        rows = naming_all(connection, own_rows(connection, check.login, connector.balances()), at)
        reported, why_not = reported_of(connector, connection, check) if with_accounts else (None, [])
    except venues.TooSoon as wait:  # somebody's and the clock's readings came together: no failure, and still awaited
        ConnectionHealth.objects.filter(connection=connection).update(read_again_at=wait.retry_at)
        raise NotRead(str(wait)) from wait
    except (VenueError, venues.CannotOpen) as problem:
        _not_read(connection, str(problem), getattr(problem, "retry_at", None), at)
        if isinstance(problem, TryLater) and problem.retry_at is not None:
            venues.limited(connection, problem.retry_at)
        raise NotRead(str(problem)) from problem
    except Exception as unforeseen:  # a connector's own defect; the stored numbers keep their age and the page says why
        log.exception("%s: the connector failed in a reading", connection)
        words = f"The reading failed ({type(unforeseen).__name__}); see the service's log."
        _not_read(connection, words, None, at)
        raise NotRead(words) from unforeseen
    with transaction.atomic(durable=True):
        problems = [*_store(connection, rows, at), *why_not]
        snapshots.keep(connection, at=at, incomplete=incomplete(rows))
        unexplained = movements.note(connection)
        ConnectionHealth.objects.update_or_create(
            connection=connection,
            defaults={
                "read_at": at,
                "read_again_at": None,
                "problem": " ".join(problems),
                "checked": told(check),
                **({} if reported is None else {"reported": reported, "reported_at": at}),
            },
        )
        record(
            at=at,
            by=by,
            action="balance.refresh",
            subject=connection.subject,
            facts={"rows": len(rows), "unreadable": sum(row.total is None for row in rows), "problems": problems},
        )
    movements.trip(unexplained, at=at)


def wants_accounts(connection: Connection, at: datetime) -> bool:
    """Whether the venue is asked for its accounts too: a person asked for the reading, or it is an hour ago."""
    health = ConnectionHealth.objects.filter(connection=connection).first()
    if health is None or health.reported_at is None or at - health.reported_at >= REPORTED_EVERY:
        return True
    return is_awaited(health, at)


def reported_of(
    connector: Connector, connection: Connection, check: Check
) -> tuple[list[dict[str, str]] | None, list[str]]:
    """The accounts that the venue reports; or None and why it did not, and then what it last reported stays."""
    if check.login != connection.login:  # another login's accounts are none of this one's
        return None, []
    try:
        return venues.reported(connector.accounts()), []
    except VenueError as problem:
        return None, [f"Which accounts the venue reports could not be read: {clean(problem.words)}"]


def told(check: Check) -> dict[str, Any]:
    """What the venue said of the login, for people to read. Nothing is decided by it."""
    offset = check.clock_offset
    return {
        "login": clean(check.login),
        "may_transfer": check.may_transfer,
        "words": [clean(words) for words in check.words],
        "clock_offset_ms": None if offset is None else round(offset / timedelta(milliseconds=1)),
    }


def own_rows(connection: Connection, login: str, rows: Sequence[VenueBalance]) -> Sequence[VenueBalance]:
    """The rows, if they are this login's; of another's, none is a number of ours."""
    if login == connection.login:
        return rows
    log.critical("ALARM %s: its credentials belong to the login %s", connection, login)
    return [
        replace(row, total=None, movable=None, problem=f"the credentials belong to another login ({login})")
        for row in rows
    ]


def naming_all(connection: Connection, rows: Sequence[VenueBalance], at: datetime) -> Sequence[VenueBalance]:
    """The rows, and one for each account of ours that the answer does not name. It may be closed, or out of the login's
    sight, or the answer may not be whole: whatever it is, that is no 0. A row about its whole kind says why."""
    named = {row.address for row in rows}
    of_a_kind = {row.address: row.problem for row in rows if row.asset == EVERY_ASSET}
    unnamed = [account for account in connection.accounts.all() if account.address not in named]
    return [
        *rows,
        *(
            VenueBalance(
                address=account.address,
                asset=EVERY_ASSET,
                total=None,
                movable=None,
                observed_at=at,
                problem=of_a_kind.get(account.kind) or NOT_NAMED,
            )
            for account in unnamed
        ),
    ]


def _not_read(connection: Connection, words: str, read_again_at: datetime | None, at: datetime) -> None:
    with transaction.atomic(durable=True):
        ConnectionHealth.objects.update_or_create(
            connection=connection,
            defaults={
                "problem": clean(words),
                "asked_at": None,  # answered, if not as hoped
                "read_again_at": read_again_at or at + settings.REFRESH_EVERY,
            },
        )


def _store(connection: Connection, rows: Sequence[VenueBalance], at: datetime) -> list[str]:
    """Store the rows; returns what an operator should know of them, in sentences."""
    accounts = {account.address: account for account in Account.objects.filter(connection=connection)}
    problems = []
    for address, account in accounts.items():
        own = [row for row in rows if row.address == address and (row.asset == EVERY_ASSET or a_code(row.asset))]
        whole = next((row for row in own if row.asset == EVERY_ASSET), None)
        if whole is not None:  # the whole account is unreadable: every number of it is
            why = clean(whole.problem or "not readable")
            account.balances.update(total=None, movable=None, observed_at=at, problem=why)
            problems.append(f"{account.title} is not readable: {why}")
        else:
            _store_account(account, own, at)
    kinds = venues.declared(connection.venue).account_kinds  # such a row may speak of all accounts of a kind
    theirs = {row.address for row in rows if row.asset != EVERY_ASSET or row.address not in kinds}
    if strangers := sorted(theirs - accounts.keys()):
        problems.append(f"The venue also reports accounts that are not set up here: {', '.join(strangers)}.")
    return problems


def incomplete(rows: Sequence[VenueBalance]) -> dict[str, str]:
    """The addresses of which the answer is not whole, and why: there, an asset that it does not name is not 0."""
    found: dict[str, str] = {}
    for row in rows:
        if row.asset == EVERY_ASSET:
            found[row.address] = clean(row.problem or "not readable")
        elif row.problem is not None:
            found.setdefault(row.address, snapshots.INCOMPLETE)
    return found


def fitting(row: VenueBalance) -> VenueBalance:
    """The row, with numbers that the columns hold exactly; one that does not fit is unreadable and says so."""
    for amount in (row.total, row.movable):
        if amount is not None and not fits(amount):
            return replace(row, total=None, movable=None, problem="the venue's number does not fit 30 + 18 digits")
    return row


def a_code(asset: str) -> bool:
    """Whether the asset's code can be stored, and so be moved by us."""
    return 0 < len(asset) <= CODE_LENGTH and asset.isprintable()


def _store_account(account: Account, rows: Sequence[VenueBalance], at: datetime) -> None:
    Balance.objects.bulk_create(
        [
            Balance(
                account=account,
                asset=row.asset,
                total=row.total,
                movable=row.movable,
                observed_at=max(at, row.observed_at - ANSWER_MOST),
                problem=clean(row.problem or ""),
            )
            for row in map(fitting, rows)
        ],
        update_conflicts=True,
        unique_fields=["account", "asset"],
        update_fields=["total", "movable", "observed_at", "problem"],
    )
    # A coin missing from a complete answer is 0; from an incomplete one it is unreadable.
    gone = account.balances.exclude(asset__in=[row.asset for row in rows])
    observed_at = at
    if all(row.problem is None for row in rows):
        gone.update(total=0, movable=0, observed_at=observed_at, problem="")
    else:
        gone.update(total=None, movable=None, observed_at=observed_at, problem=snapshots.INCOMPLETE)
