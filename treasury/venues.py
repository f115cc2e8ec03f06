"""The door: a connector for a connection. Nothing else in the product opens one or reads a credential."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from django.conf import settings
from django.db import connection as database
from django.db import transaction
from django.utils import timezone

import connectors
from connectors.core import discovery
from connectors.core.errors import VenueError
from connectors.core.gate import place_of
from connectors.core.protocol import Connector, Limit, Venue, VenueAccount
from treasury import fingerprints, sealing
from treasury.models import Account, CallWindow, Connection, ConnectionHealth, Transfer
from treasury.models.text import clean
from treasury.pace import paced_venue

log = logging.getLogger(__name__)

ADDRESS_LENGTH = TITLE_LENGTH = 120  # what an account's columns hold


class CannotOpen(Exception):
    """No connector could be made; nothing left this machine. The text never holds a credential."""


class InsideTransaction(RuntimeError):
    """A venue was to be called with a database transaction open: the call could outlive it, and hold its locks."""


class NotAnswered(Exception):
    """The venue did not say whose credentials these are. The text says why, and never holds a credential."""


@dataclass(frozen=True)
class CredentialField:
    """One field of a venue's credentials, as a form asks for it."""

    name: str
    title: str
    secret: bool
    required: bool


@dataclass(frozen=True)
class Answer:
    """What a venue says of credentials, with texts that the database holds. ``accounts`` as ``reported`` has them."""

    login: str
    may_transfer: bool
    words: list[str]
    accounts: list[dict[str, str]]


@cache
def declared(venue: str) -> Venue:
    """What the venue's module says about itself, at our pace. Raises connectors.core.discovery.UnknownVenue."""
    return paced_venue(discovery.venue(venue))


def titles() -> dict[str, str]:
    """Every venue that can be connected: {name: title}."""
    return {name: declared(name).title for name in discovery.names()}


def by_hand() -> dict[str, str]:
    """Of these, the venues where people move the money at the venues' own screens: {name: title}."""
    return {name: title for name, title in titles().items() if declared(name).by_hand}


def credential_fields(venue: str) -> list[CredentialField]:
    """What the venue asks of whoever connects, in its own order. A field is secret unless it says otherwise."""
    return [
        CredentialField(
            name=one.name,
            title=str(one.metadata.get("title", one.name)),
            secret=bool(one.metadata.get("secret", True)),
            required=one.default is MISSING,
        )
        for one in fields(declared(venue).credentials)
    ]


def seal_credentials(*, venue: str, environment: str, login: str, credentials: Mapping[str, str]) -> str:
    """Encrypt under the newest key, bound to the login they open; what ``Connection.credentials`` stores."""
    bound = {"venue": venue, "environment": environment, "login": login}
    return sealing.seal(json.dumps({**bound, "credentials": dict(credentials)}))


def seal_proposed(*, words: Mapping[str, str], credentials: Mapping[str, str]) -> str:
    """Encrypt credentials that are only proposed: bound to their proposal's words, as nobody knows their login yet.

    Raises CannotOpen for credentials that the venue's module does not take as they stand.
    """
    try:
        declared(words["venue"]).credentials(**credentials)
    except (ValueError, TypeError) as wrong:
        raise CannotOpen(str(wrong)) from None
    return sealing.seal(json.dumps({**words, "credentials": dict(credentials)}))


def are_the_same(sealed: str, credentials: Mapping[str, str]) -> bool:
    """Whether these very credentials were sealed there: a form that was posted twice."""
    try:
        found: bool = _decrypted(sealed, "the proposal")["credentials"] == dict(credentials)
    except CannotOpen:  # sealed under a key that is gone
        return False
    return found


def seal_anew(*, sealed: str, words: Mapping[str, str], login: str) -> str:
    """What was proposed, bound to the login that it opens, as ``Connection.credentials`` stores it.

    Raises CannotOpen.
    """
    bound = {"venue": words["venue"], "environment": words["environment"], "login": login}
    return seal_credentials(**bound, credentials=_proposed(sealed, words))


def fingerprint_of(connection: Connection) -> str:
    """Of the credentials that are sealed there for its login, whatever the row says. Raises CannotOpen."""
    return _fingerprint(connection, _unsealed(connection))


class PutOff(CannotOpen):
    """Not asked: the venue's limit is used up, or it asked us to wait. Nothing left this machine."""

    def __init__(self, words: str, retry_at: datetime) -> None:
        super().__init__(words)
        self.retry_at = retry_at


class TooSoon(PutOff):
    """We have asked as often as the venue allows, for the moment. It says nothing of the venue."""


def open_connection(connection: Connection, *errands: str) -> Connector:
    """A connector for the login, for one call of each errand, a kind of call that the venue's limits name.

    Raises CannotOpen, PutOff when it is not its turn, and InsideTransaction.
    """
    _insist_outside_transaction()
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
    return TooSoon(f"{limit.calls} calls in {limit.per.total_seconds():g} s are made already", until)


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
    """A connector for credentials that no connection has yet. Raises CannotOpen, InsideTransaction."""
    _insist_outside_transaction()
    return _build(venue, environment, credentials)


def answer_to_proposed(*, sealed: str, words: Mapping[str, str]) -> Answer:
    """Ask the venue whose the proposed credentials are, and which accounts they see; it reads only.

    ``words`` are the proposal's. Raises CannotOpen, NotAnswered, InsideTransaction.
    """
    venue = words["venue"]
    connector = first_look(venue, words["environment"], _proposed(sealed, words))
    try:
        return answer_of(connector)
    except VenueError as problem:
        raise NotAnswered(clean(problem.words)) from problem
    except Exception as unforeseen:  # a connector's own defect
        log.exception("%s: the connector failed in a first look", venue)
        raise NotAnswered(f"The look failed ({type(unforeseen).__name__}); see the service's log.") from unforeseen


def answer_of(connector: Connector) -> Answer:
    """Raises what the connector raises for a read."""
    check = connector.check()
    return Answer(
        login=clean(check.login),
        may_transfer=check.may_transfer,
        words=[clean(words) for words in check.words],
        accounts=reported(connector.accounts()),
    )


def reported(accounts: Sequence[VenueAccount]) -> list[dict[str, str]]:
    """The accounts as [{address, kind, title}], each address once; what the columns cannot hold is left out."""
    found: dict[str, dict[str, str]] = {}
    for one in accounts:
        if 0 < len(one.address) <= ADDRESS_LENGTH and one.address.isprintable() and one.kind:
            title = clean(one.title).strip()[:TITLE_LENGTH] or one.address
            found.setdefault(one.address, {"address": one.address, "kind": one.kind, "title": title})
        else:
            log.error("an account with the address %r cannot be stored and is left out", one.address)
    return list(found.values())


def _insist_outside_transaction() -> None:
    # As Django's own durable=True counts: the block that a test case wraps around everything is none of ours.
    if any(not getattr(block, "_from_testcase", False) for block in database.atomic_blocks):
        raise InsideTransaction("A venue is never called inside a transaction.")


def _build(venue: str, environment: str, credentials: Mapping[str, str]) -> Connector:
    base_url = None
    if settings.PRACTICE and any(declared(venue).hosts.values()):  # one without a host reaches nobody
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
            call_limit=declared(venue).call_limit,
        )
    except (ValueError, LookupError) as wrong:
        raise CannotOpen(str(wrong)) from None


def _credentials(connection: Connection) -> dict[str, str]:
    """Those that two people agreed on: what was put in their place by another hand opens nothing."""
    credentials = _unsealed(connection)
    # A row that an upgrade found has none yet: rotate_secrets writes it down.
    if connection.fingerprint and _fingerprint(connection, credentials) != connection.fingerprint:
        raise CannotOpen(
            f"The credentials of {connection.name} are not the ones that two people agreed on "
            f"({connection.fingerprint}): they were exchanged in the database"
        )
    return credentials


def _fingerprint(connection: Connection, credentials: Mapping[str, str]) -> str:
    login = {"venue": connection.venue, "environment": connection.environment, "login": connection.login}
    return fingerprints.of(**login, credentials=credentials)


def _unsealed(connection: Connection) -> dict[str, str]:
    sealed = _decrypted(connection.credentials, connection.name)
    credentials: dict[str, str] = sealed.pop("credentials", {})
    bound = {"venue": connection.venue, "environment": connection.environment, "login": connection.login}
    if sealed != bound:
        raise CannotOpen(f"The credentials of {connection.name} were sealed for another login.")
    return credentials


def _proposed(sealed: str, words: Mapping[str, str]) -> dict[str, str]:
    found = _decrypted(sealed, words["name"])
    credentials: dict[str, str] = found.pop("credentials", {})
    if found != words:
        raise CannotOpen(f"The credentials of {words['name']} were sealed for another proposal.")
    return credentials


def _decrypted(sealed: str, whose: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(sealing.unseal(sealed))
    except sealing.CannotUnseal:
        raise CannotOpen(f"The credentials of {whose} cannot be decrypted with the keys this process has.") from None
    return found


def hosts_called(connection: Connection) -> list[str]:
    """The hosts, with their ports, that calls over this connection go to: those its venue's module declares for it."""
    hosts = declared(connection.venue).hosts.get(connection.environment, {})
    if settings.PRACTICE and hosts:
        hosts = {"simulated": settings.SIMULATORS.get(connection.venue, "")}
    return sorted({":".join(map(str, place_of(url))) for url in hosts.values() if url})


def has_route(source: Account, destination: Account) -> bool:
    """Whether the venue moves money from the one account to the other, as its module declares."""
    return (source.kind, destination.kind) in declared(source.connection.venue).routes


def is_searchable(transfer: Transfer) -> bool:
    """Whether the venue keeps records of such a move at all, as its module declares."""
    if transfer.connection.by_hand:
        return False
    resend = declared(transfer.connection.venue).resend
    return resend is None or (transfer.source.kind, transfer.destination.kind) not in resend.unsearchable
