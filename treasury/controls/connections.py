"""Connect: make a login at a venue known, with the accounts that the venue itself reports; and set these up.

Both are changes under four eyes. Credentials are sealed into the proposal at once and bound to the login when it is
confirmed; in between a worker asks the venue whose they are, and the second operator confirms that answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection as database
from django.db import transaction
from django.db.models import QuerySet

from treasury import venues
from treasury.audit.record import Machine, record
from treasury.celery import send_on_commit
from treasury.controls import changes
from treasury.models import Account, Change, Connection, ConnectionHealth, FirstLook, User

CONNECT, SET_UP = "connection.connect", "account.set_up"
FIRST_LOOK = "treasury.first_look"
LOOKER = Machine("first look")
AWAITED = timedelta(minutes=2)  # a look that was asked for longer ago is no longer waited for on a page
LOST_AFTER = timedelta(seconds=30)  # one asked for longer ago and not answered is asked of a worker again
NAME_LENGTH, LOGIN_LENGTH = 60, 120


class NotProposed(Exception):
    """The words make no proposal. ``problems`` is {field: sentence}, "" for all of it; nothing was written."""

    def __init__(self, problems: dict[str, str]) -> None:
        super().__init__(" ".join(problems.values()))
        self.problems = problems


class NoLongerFits(Exception):
    """What is proposed does not fit what is there now. Nothing was changed; the proposal still waits."""


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
    by: User | Machine,
    at: datetime,
) -> Connection:
    """Ask the venue and store, in one go: for practice and tests; people propose and confirm.

    Raises venues.CannotOpen and what the connector raises for a read (TryLater, Barred); then nothing is stored.
    """
    answer = venues.answer_of(venues.first_look(venue, environment, credentials))
    with transaction.atomic():
        sealed = venues.seal_credentials(
            venue=venue, environment=environment, login=answer.login, credentials=credentials
        )
        connection = Connection(name=name, venue=venue, environment=environment, login=answer.login)
        stored(connection, sealed, answer.accounts, at=at, reported_at=at)
        facts = facts_of(connection, answer.may_transfer, answer.words, answer.accounts)
        record(at=at, by=by, action=CONNECT, subject=connection.subject, facts=facts)
        return connection


def stored(
    connection: Connection, sealed: str, accounts: Sequence[Mapping[str, str]], *, at: datetime, reported_at: datetime
) -> None:
    """Save the new connection with its credentials, and the accounts with the moment when the venue reported them."""
    connection.credentials, connection.created_at = sealed, at
    connection.by_hand = venues.declared(connection.venue).by_hand
    connection.save(force_insert=True)
    ConnectionHealth.objects.create(connection=connection, reported=list(accounts), reported_at=reported_at)
    Account.objects.bulk_create(Account(connection=connection, **account) for account in accounts)


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
        insist_on_right(CONNECT, by)
        lock()
        words = {"name": name, "venue": venue, "environment": environment}
        if again := proposed_before(words, credentials, by, reason):
            return again
        if wrong := why_not_named(name):
            raise NotProposed({"name": wrong})
        if venue not in venues.titles() or environment not in venues.declared(venue).hosts:
            raise NotProposed({"environment": "The venue has no such environment."})
        try:
            sealed = venues.seal_proposed(**words, credentials=credentials)
        except venues.CannotOpen as wrong_ones:
            raise NotProposed({"": str(wrong_ones)}) from None
        change = changes.propose(
            kind=CONNECT, subject=subject(name), words=words, sealed=sealed, reason=reason, by=by, at=at
        )
        ring(change.pk)
        return change


def proposed_before(words: Mapping[str, str], credentials: Mapping[str, str], by: User, reason: str) -> Change | None:
    """The proposal that a first click made: the same person, words, reason and credentials."""
    alike = {"kind": CONNECT, "words": dict(words), "proposed_by": by, "reason": reason.strip()}
    first = changes.waiting().filter(**alike).first()
    return first if first is not None and venues.are_the_same(first.sealed, credentials) else None


def why_not_named(name: str) -> str | None:
    """Why a new connection cannot be called so."""
    if not name or len(name) > NAME_LENGTH or not name.isprintable() or name != name.strip():
        return f"Give it a name of at most {NAME_LENGTH} letters."
    if taken := Connection.objects.filter(name__iexact=name).first():
        return f"A connection called {taken} exists already; choose another name."
    if changes.waiting().filter(kind=CONNECT, subject__iexact=subject(name)).exists():
        return f"A connection called {name} is proposed already; that proposal is decided on or withdrawn first."
    return None


def look(*, change_id: int, at: datetime) -> FirstLook | None:
    """Ask the venue whose the proposed credentials are, and note what it says. None when nobody waits for it.

    A worker calls this; the venue is asked outside any transaction. What goes wrong is noted in words.
    """
    change = changes.waiting().filter(pk=change_id, kind=CONNECT).first()
    if change is None or not is_unanswered(change):
        return None
    said: dict[str, Any]
    try:
        said = asdict(venues.answer_to_proposed(sealed=change.sealed, **change.words))
    except (venues.CannotOpen, venues.NotAnswered) as problem:
        said = {"problem": str(problem)}
    if len(said.get("login", "")) > LOGIN_LENGTH:
        said = {"problem": "The venue's name for this login is too long to be stored."}
    with transaction.atomic(durable=True):
        if not changes.locked(change_id).is_open:
            return None
        facts = {**said, "accounts": [account["address"] for account in said.get("accounts", [])]}
        record(at=at, by=LOOKER, action="connection.look", subject=change.subject, facts={"change": change.pk, **facts})
        return FirstLook.objects.create(change=change, at=at, **said)


def look_again(*, change_id: int, by: User, at: datetime) -> None:
    """Ask a worker to ask the venue once more; what it said before no longer counts. Once, while that is awaited.

    Raises changes.MayNotChange, changes.NotWaiting.
    """
    with transaction.atomic():
        insist_on_right(CONNECT, by)
        change = changes.locked(change_id)
        if change.kind != CONNECT or not change.is_open:
            raise changes.NotWaiting("Nothing was asked. This proposal no longer waits.")
        if not is_unanswered(change):
            FirstLook.objects.create(change=change, at=at, answered=False)
            changes.entry(change, by=by, at=at, action="connection.ask", facts={})
        ring(change_id)


def newest_look(change: Change) -> FirstLook | None:
    looks = list(change.first_looks.all())  # not .last(), which asks even where a page has fetched them beforehand
    return looks[-1] if looks else None


def is_unanswered(change: Change) -> bool:
    """Whether the venue has yet to say whose the credentials are, since somebody last wanted to know."""
    newest = newest_look(change)
    return newest is None or not newest.answered


def is_awaited(change: Change, at: datetime) -> bool:
    """Whether an answer may come at any moment."""
    newest = newest_look(change)
    asked_at = change.proposed_at if newest is None else newest.at
    return is_unanswered(change) and at - asked_at <= AWAITED


def unanswered(at: datetime) -> list[int]:
    """The proposals whose question seems to be lost on its way to a worker; the clock asks again."""
    waiting = changes.waiting().filter(kind=CONNECT, proposed_at__lte=at - LOST_AFTER)
    return [change.pk for change in waiting if is_unanswered(change)]


def confirm_connect(*, change_id: int, by: User, digest: str, login: str, at: datetime) -> Connection:
    """Connect what the venue said of the proposed credentials; ``login`` is what the decider read.

    Raises changes.MayNotChange, changes.NotWaiting, changes.OtherChange, NoLongerFits.
    """
    with transaction.atomic():
        lock()
        change = changes.confirm(change_id=change_id, kind=CONNECT, by=by, digest=digest, at=at)
        if refusal := why_not_connect(change):
            raise NoLongerFits(f"Not connected. {refusal}")
        newest = newest_look(change)
        assert newest is not None
        if newest.login != login:
            raise changes.OtherChange(
                f"Not connected. The venue says that the login is {newest.login}, and your page showed "
                f"{login[:LOGIN_LENGTH] or 'none'}; read it again below."
            )
        connection = Connection(**change.words, login=newest.login)
        try:
            # changes.confirm has emptied ``sealed`` in the database, and not in this object, which still holds what
            # it read: to read the row anew before this line would be to lose the credentials.
            sealed = venues.seal_anew(sealed=change.sealed, login=newest.login, **change.words)
        except venues.CannotOpen as wrong:
            raise NoLongerFits(f"Not connected. {wrong}") from None
        stored(connection, sealed, newest.accounts, at=at, reported_at=newest.at)
        facts = facts_of(connection, newest.may_transfer, newest.words, newest.accounts)
        changes.entry(change, by=by, at=at, action=CONNECT, facts=facts)
        return connection


def why_not_connect(change: Change) -> str | None:
    """Why nobody can confirm it as things are, whoever they are; None when somebody can."""
    newest = newest_look(change)
    if newest is None or not newest.answered:
        return "The venue has not said yet whose login this is."
    if newest.problem:
        return "The venue did not say whose login this is."
    return why_taken(Connection(**change.words, login=newest.login))


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
        insist_on_right(SET_UP, by)
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
            account.title, account.quiet = said["title"], said["quiet"]
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
    return changes.waiting().filter(kind__in=[CONNECT, SET_UP]).order_by("id")


def insist_on_right(kind: str, by: User) -> None:
    if refusal := changes.why_not_propose(kind, by):
        raise changes.MayNotChange(refusal)


def subject(name: str) -> str:
    return f"connection:{name}"


def ring(change_id: int) -> None:
    """Wake a worker when this transaction is done; where the message is lost, the clock asks."""
    send_on_commit(FIRST_LOOK, change_id, queue="reads", expires=30)


def lock() -> None:
    """One of these verbs at a time, until the transaction ends: names, logins and addresses are looked up first."""
    with database.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('connections', 0))")
