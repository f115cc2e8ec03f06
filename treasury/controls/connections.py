"""Connect: make a login at a venue known, with the accounts that the venue itself reports; and set these up.

Both are changes under four eyes. Credentials are sealed into the proposal at once and bound to the login when it is
confirmed; in between a worker asks the venue whose they are, and the second operator confirms that answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from treasury import venues
from treasury.controls import changes, first_looks
from treasury.controls.first_looks import NoLongerFits, NotProposed
from treasury.models import Account, Change, Connection, ConnectionHealth, User
from treasury.models.turns import one_at_a_time

CONNECT, SET_UP = first_looks.CONNECT, "account.set_up"
NAME_LENGTH = 60


@dataclass(frozen=True)
class SetUp:
    """How an account is to be called and treated. ``quiet``: only we move it. ``kind`` is said only of one that is
    typed in, where no venue reports any."""

    address: str
    title: str
    quiet: bool
    kind: str = ""


def connect(
    *,
    name: str,
    venue: str,
    environment: str,
    credentials: Mapping[str, str],
    reason: str,
    by: tuple[User, User],
    at: datetime,
) -> Connection:
    """Propose, look and confirm in one go, by two people who are both there: for practice.

    Raises what ``propose_connect`` and ``confirm_connect`` raise.
    """
    first, second = by
    asked = propose_connect(
        name=name, venue=venue, environment=environment, credentials=credentials, reason=reason, by=first, at=at
    )
    first_looks.look(change_id=asked.pk, at=at)
    newest = first_looks.newest_look(asked)
    login = newest.login if newest else ""
    return confirm_connect(change_id=asked.pk, by=second, digest=asked.digest, login=login, at=at)


def stored(
    connection: Connection,
    sealed: str,
    accounts: Sequence[Mapping[str, str]],
    *,
    change: Change,
    at: datetime,
    reported_at: datetime,
) -> None:
    """Save the new connection with its credentials, and the accounts with the moment when the venue reported them."""
    connection.credentials, connection.created_at = sealed, at
    connection.fingerprint = venues.fingerprint_of(connection)
    connection.credentials_at, connection.change = at, change
    connection.by_hand = venues.declared(connection.venue).by_hand
    connection.save(force_insert=True)
    ConnectionHealth.objects.create(connection=connection, reported=list(accounts), reported_at=reported_at)
    Account.objects.bulk_create(Account(connection=connection, change=change, **account) for account in accounts)


def facts_of(
    connection: Connection, may_transfer: bool | None, words: Sequence[str], accounts: Sequence[Mapping[str, str]]
) -> dict[str, Any]:
    return {
        "venue": connection.venue,
        "environment": connection.environment,
        "login": connection.login,
        "may_transfer": may_transfer,
        "words": list(words),
        "accounts": [account["address"] for account in accounts],
    }


def propose_connect(
    *, name: str, venue: str, environment: str, credentials: Mapping[str, str], reason: str, by: User, at: datetime
) -> Change:
    """Propose a login; a worker asks the venue whose it is. The same form posted twice is one proposal.

    Raises changes.MayNotChange, changes.NotSaid, NotProposed.
    """
    with transaction.atomic():
        changes.insist_on_right(CONNECT, by)
        lock()
        words = {"name": name, "venue": venue, "environment": environment}
        if again := first_looks.proposed_before(
            kind=CONNECT, words=words, credentials=credentials, by=by, reason=reason
        ):
            return again
        if wrong := why_not_named(name):
            raise NotProposed({"name": wrong})
        if venue not in venues.titles() or environment not in venues.declared(venue).hosts:
            raise NotProposed({"environment": "The venue has no such environment."})
        return first_looks.propose(
            kind=CONNECT, subject=subject(name), words=words, credentials=credentials, reason=reason, by=by, at=at
        )


def why_not_named(name: str) -> str | None:
    """Why a new connection cannot be called so."""
    if not name or len(name) > NAME_LENGTH or not name.isprintable() or name != name.strip():
        return f"Give it a name of at most {NAME_LENGTH} letters."
    if taken := Connection.objects.filter(name__iexact=name).first():
        return f"A connection called {taken} exists already; choose another name."
    if changes.waiting().filter(kind=CONNECT, subject__iexact=subject(name)).exists():
        return f"A connection called {name} is proposed already; that proposal is decided on or withdrawn first."
    return None


def confirm_connect(*, change_id: int, by: User, digest: str, login: str, at: datetime) -> Connection:
    """Connect what the venue said of the proposed credentials; ``login`` is what the decider read.

    Raises changes.MayNotChange, changes.NotWaiting, changes.OtherChange, NoLongerFits.
    """
    with transaction.atomic():
        lock()
        change = changes.confirm(change_id=change_id, kind=CONNECT, by=by, digest=digest, at=at)
        if refusal := why_not_connect(change):
            raise NoLongerFits(f"Not connected. {refusal}")
        newest, sealed = first_looks.sealed_as_shown(change, login, "Not connected.")
        connection = Connection(**change.words, login=newest.login)
        stored(connection, sealed, newest.accounts, change=change, at=at, reported_at=newest.at)
        facts = facts_of(connection, newest.may_transfer, newest.words, newest.accounts)
        changes.entry(change, by=by, at=at, action=CONNECT, facts=facts)
        return connection


def why_not_connect(change: Change) -> str | None:
    """Why nobody can confirm it as things are, whoever they are; None when somebody can."""
    if refusal := first_looks.why_unknown(change):
        return refusal
    newest = first_looks.newest_look(change)
    return why_taken(Connection(**change.words, login=newest.login if newest else ""))


def why_taken(connection: Connection) -> str | None:
    """Which connection has this name, or this very login, already."""
    if named := Connection.objects.filter(name__iexact=connection.name).first():
        return f"A connection called {named} exists already."
    same = Connection.objects.filter(
        venue=connection.venue, environment=connection.environment, login=connection.login
    ).first()
    return f"The login {connection.login} is connected already, as {same}." if same else None


def propose_set_up(*, connection: Connection, accounts: Sequence[SetUp], reason: str, by: User, at: datetime) -> Change:
    """Propose to add reported accounts, and to rename or treat otherwise those that are there. By hand no venue reports
    any: there they are typed in.

    What would change nothing is left out. Raises changes.MayNotChange, changes.NotSaid, NotProposed.
    """
    with transaction.atomic():
        changes.insist_on_right(SET_UP, by)
        lock()
        there, kinds = there_and_reported(connection)
        if connection.by_hand:
            kinds = {one.address: one.kind for one in accounts} | kinds
        problems, wanted = {}, []
        for one in accounts:
            if not one.title or len(one.title) > venues.TITLE_LENGTH or not one.title.isprintable():
                problems[one.address] = f"Give it a title of at most {venues.TITLE_LENGTH} letters."
            elif one.address not in kinds:
                problems[one.address] = f"The venue does not report an account {one.address}."
            elif connection.by_hand and (wrong := why_not_typed(connection, one, kinds[one.address])):
                problems[one.address] = wrong
            elif differs(there.get(one.address), one):
                wanted.append({**asdict(one), "kind": kinds[one.address]})
        if problems:
            raise NotProposed(problems)
        if not wanted:
            raise NotProposed({"": "Nothing was proposed: every account is as you want it already."})
        said = {"accounts": sorted(wanted, key=lambda account: str(account["address"]))}
        insist_on_none_waiting(connection, said, by)
        return changes.propose(kind=SET_UP, subject=connection.subject, words=said, reason=reason, by=by, at=at)


def why_not_typed(connection: Connection, typed: SetUp, kind: str) -> str | None:
    """Why an account cannot be typed in like that. A venue's name and a slash would make its address look like that of
    another connection's account, as an instruction names it."""
    address = typed.address
    if not address or len(address) > venues.ADDRESS_LENGTH or not address.isprintable() or address != address.strip():
        return f"Give its address in at most {venues.ADDRESS_LENGTH} letters."
    first, slash, _ = address.partition("/")
    if slash and first in venues.titles():
        return f"An address does not begin with {first}/; accounts of other connections are named like that."
    if kind not in venues.declared(connection.venue).account_kinds:
        return "Say what kind of account it is."
    return why_typed_elsewhere(connection, address)


def why_typed_elsewhere(connection: Connection, address: str) -> str | None:
    """Which account by hand has the address of a new one already, in any spelling: its money would count twice."""
    alike = Account.objects.filter(connection__by_hand=True, address__iexact=address).select_related("connection")
    if alike.filter(connection=connection, address=address).exists():  # it is no new one
        return None
    taken = alike.first()
    return f"It is set up already, as {taken} {taken.address}." if taken else None


def insist_on_none_waiting(connection: Connection, said: Mapping[str, Any], by: User) -> None:
    """One at a time: two that wait could undo each other. A double click passes, and is one proposal."""
    waiting = changes.waiting().filter(kind=SET_UP, subject=connection.subject)
    if any(one.words != said or one.proposed_by_id != by.pk for one in waiting):
        sentence = f"Another proposal for the accounts of {connection} waits; it is decided on or withdrawn first."
        raise NotProposed({"": sentence})


def there_and_reported(connection: Connection) -> tuple[dict[str, Account], dict[str, str]]:
    """The accounts that are set up, by address; and the kind of each of them and of those that the venue reports."""
    there = {account.address: account for account in Account.objects.filter(connection=connection)}
    health = ConnectionHealth.objects.filter(connection=connection).first()
    kinds = {account["address"]: account["kind"] for account in (health.reported if health else [])}
    return there, kinds | {address: account.kind for address, account in there.items()}


def differs(account: Account | None, wanted: SetUp) -> bool:
    return account is None or (account.title, account.quiet) != (wanted.title, wanted.quiet)


def confirm_set_up(*, change_id: int, by: User, digest: str, at: datetime) -> Connection:
    """Apply it. Raises changes.MayNotChange, changes.NotWaiting, changes.OtherChange, NoLongerFits."""
    with transaction.atomic():
        lock()
        change = changes.confirm(change_id=change_id, kind=SET_UP, by=by, digest=digest, at=at)
        # A claim locks the connection before its accounts; so must this, or the two wait for each other.
        connection = Connection.objects.select_for_update().get(pk=connection_of(change).pk)
        there, kinds = there_and_reported(connection)
        was: dict[str, Any] = {}
        becomes: dict[str, Any] = {}
        for said in change.words["accounts"]:
            address = said["address"]
            if kinds.get(address, said["kind"] if connection.by_hand else None) != said["kind"]:
                raise NoLongerFits(f"Nothing was changed. The venue no longer reports the account {address} like this.")
            if connection.by_hand and (taken := why_typed_elsewhere(connection, address)):
                raise NoLongerFits(f"Nothing was changed. {address}: {taken}")
            account = there.get(address) or Account(connection=connection, address=address, kind=said["kind"])
            was[address] = told(account) if account.pk else None
            account.title, account.quiet, account.change = said["title"], said["quiet"], change
            account.save()
            becomes[address] = told(account)
        changes.entry(change, by=by, at=at, action=SET_UP, facts={"was": was, "is": becomes})
        return connection


def told(account: Account) -> dict[str, Any]:
    return {"title": account.title, "quiet": account.quiet}


def connection_of(change: Change) -> Connection:
    """The connection whose accounts a proposal is about."""
    return Connection.objects.get(name=change.subject.removeprefix("connection:"))


def proposals() -> QuerySet[Change]:
    """What is proposed of connections and accounts and waits, the oldest on top."""
    return changes.waiting().filter(kind__in=[*first_looks.KINDS, SET_UP]).order_by("id")


def subject(name: str) -> str:
    return f"connection:{name}"


def lock() -> None:
    """One of these verbs at a time, until the transaction ends: names, logins and addresses are looked up first."""
    one_at_a_time("connections")
