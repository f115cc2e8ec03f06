"""Credentials in use: another set for the same login, agreed on by two operators.

The new set is sealed into the proposal, bound to its words; a worker asks the venue whose it is, and only a set of the
same login can be confirmed. Stops stay as they are, and what was approved goes on: its instruction names the login.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from django.conf import settings
from django.db import transaction

from treasury import fingerprints, venues
from treasury.controls import changes, first_looks
from treasury.controls.connections import lock
from treasury.controls.first_looks import NoLongerFits, NotProposed
from treasury.models import Change, Connection, ConnectionHealth, User

REPLACE = first_looks.REPLACE


def are_old(connection: Connection, at: datetime) -> bool:
    """Whether they are in use for longer than the house wants."""
    since = connection.credentials_at
    return since is not None and not connection.by_hand and at - since > settings.CREDENTIALS_OLD_AFTER


def why_none(connection: Connection) -> str | None:
    """Why a connection's credentials cannot be replaced by anybody."""
    if connection.by_hand:
        return f"{connection} has no credentials: people move its money by hand."
    return None


def propose(*, connection: Connection, credentials: Mapping[str, str], reason: str, by: User, at: datetime) -> Change:
    """Propose another set; a worker asks the venue whose it is. The same form posted twice is one proposal.

    Raises changes.MayNotChange, changes.NotSaid, NotProposed.
    """
    with transaction.atomic():
        changes.insist_on_right(REPLACE, by)
        lock()
        connection.refresh_from_db()
        if refusal := why_none(connection):
            raise NotProposed({"": refusal})
        words = words_of(connection, credentials)
        if again := first_looks.proposed_before(
            kind=REPLACE, words=words, credentials=credentials, by=by, reason=reason
        ):
            return again
        if words["fingerprint"] == current(connection):
            raise NotProposed({"": "Nothing was proposed: these are the credentials in use."})
        if changes.waiting().filter(kind=REPLACE, subject=connection.subject).exists():
            sentence = (
                f"Other credentials for {connection} are proposed already; that is decided on or withdrawn first."
            )
            raise NotProposed({"": sentence})
        return first_looks.propose(
            kind=REPLACE,
            subject=connection.subject,
            words=words,
            credentials=credentials,
            reason=reason,
            by=by,
            at=at,
        )


def words_of(connection: Connection, credentials: Mapping[str, str]) -> dict[str, str]:
    """What is proposed: which set takes the place of which, for which login."""
    bound = {"venue": connection.venue, "environment": connection.environment, "login": connection.login}
    return {
        "name": connection.name,
        **bound,
        "fingerprint": fingerprints.of(**bound, credentials=credentials),
        "replaces": current(connection),
    }


def current(connection: Connection) -> str:
    """The fingerprint of what is sealed in the row; empty where no key opens it any more, and it must be replaced."""
    try:
        return connection.fingerprint or venues.fingerprint_of(connection)
    except venues.CannotOpen:
        return ""


def confirm(*, change_id: int, by: User, digest: str, login: str, at: datetime) -> Connection:
    """Put the new set in the old one's place; ``login`` is what the decider read.

    Raises changes.MayNotChange, changes.NotWaiting, changes.OtherChange, NoLongerFits.
    """
    nothing = "Nothing was changed; the credentials in use stay."
    with transaction.atomic():
        lock()
        change = changes.confirm(change_id=change_id, kind=REPLACE, by=by, digest=digest, at=at)
        # A claim locks the connection: one that is under way has opened it with the old set, the next one does not.
        connection = Connection.objects.select_for_update().get(name=change.words["name"])
        if refusal := why_not_replace(change, connection):
            raise NoLongerFits(f"{nothing} {refusal}")
        newest, connection.credentials = first_looks.sealed_as_shown(change, login, nothing)
        connection.fingerprint, connection.credentials_at, connection.change = change.words["fingerprint"], at, change
        connection.save(update_fields=["credentials", "fingerprint", "credentials_at", "change"])
        # What failed with the old set is asked again at once.
        ConnectionHealth.objects.filter(connection=connection).update(read_again_at=None, asked_at=at)
        words = {name: change.words[name] for name in ("login", "fingerprint", "replaces")}
        facts = {**words, "may_transfer": newest.may_transfer, "words": newest.words}
        changes.entry(change, by=by, at=at, action=REPLACE, facts=facts)
        return connection


def why_not_replace(change: Change, connection: Connection | None) -> str | None:
    """Why nobody can confirm it with the connection as it stands, whoever they are; None when somebody can."""
    if refusal := first_looks.why_unknown(change):
        return refusal
    newest = first_looks.newest_look(change)
    if newest is not None and newest.login != change.words["login"]:
        return (
            f"The new credentials belong to another login, {newest.login}, and this connection is of "
            f"{change.words['login']}. Connect that login as a connection of its own."
        )
    if connection is None or current(connection) != change.words["replaces"]:
        return "Other credentials have been put in place since it was proposed."
    return None
