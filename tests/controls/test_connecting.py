"""Connecting a venue and setting its accounts up: two operators, and a venue that says whose login it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from threading import Event
from typing import Any

import pytest
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from connectors.simulators.core import Simulator
from tests.audit.log import Beside
from tests.house import bare_connection
from tests.transfers import hands
from treasury import tasks, venues
from treasury.balances.refresh import refresh
from treasury.controls import changes, connections, first_looks
from treasury.controls.connections import SetUp
from treasury.controls.first_looks import NoLongerFits, NotProposed
from treasury.models import Account, AuditEntry, Change, Connection, ConnectionHealth, FirstLook, Ruling, Transfer, User
from treasury.transfers import dispatch

pytestmark = pytest.mark.django_db

Propose = Callable[..., Change]


@pytest.fixture
def proposed(venue: Simulator, operator: User) -> Propose:
    """proposed(name="Bybit two", …) -> a proposal of operator's to connect the simulated venue's practice login."""

    def make(*, by: User = operator, **words: Any) -> Change:
        said = {"name": "Bybit two", "venue": "bybit", "environment": "mainnet", "reason": "A second desk", **words}
        return connections.propose_connect(**{"credentials": venue.credentials, **said}, by=by, at=timezone.now())

    return make


def proposals() -> QuerySet[Change]:
    return Change.objects.filter(kind=first_looks.CONNECT)


def looked(change: Change) -> FirstLook:
    found = first_looks.look(change_id=change.pk, at=timezone.now())
    assert found is not None
    return found


def confirmed(change: Change, by: User, **said: Any) -> Connection:
    newest = first_looks.newest_look(change)
    words = {"digest": change.digest, "login": newest.login if newest else "", **said}
    return connections.confirm_connect(change_id=change.pk, by=by, at=timezone.now(), **words)


def still_waits(change: Change) -> bool:
    return Change.objects.get(pk=change.pk).is_open and not Connection.objects.filter(name="Bybit two").exists()


def test_two_operators_connect_what_the_venue_says_it_is(
    proposed: Propose, operator: User, operator2: User, venue: Simulator
) -> None:
    change = proposed()
    assert not Connection.objects.exists()
    look = looked(change)
    assert look.problem == ""
    assert look.may_transfer is True
    assert {account["address"] for account in look.accounts} == {"UNIFIED", "FUND"}

    made = confirmed(change, operator2)

    assert (made.name, made.venue, made.environment, made.login) == ("Bybit two", "bybit", "mainnet", look.login)
    assert {account.address for account in made.accounts.all()} == {"UNIFIED", "FUND"}
    health = ConnectionHealth.objects.get(connection=made)
    assert (health.reported, health.reported_at) == (look.accounts, look.at)
    refresh(connection=made, at=timezone.now())  # the credentials open it
    entry = AuditEntry.objects.get(action="connection.connect")
    assert (entry.actor, entry.subject) == ("admin2", "connection:Bybit two")
    assert entry.facts["proposed_by"] == "admin"
    assert entry.facts["login"] == look.login
    assert entry.facts["accounts"] == ["UNIFIED", "FUND"]


def test_the_credentials_are_sealed_twice_and_kept_once(proposed: Propose, operator2: User, venue: Simulator) -> None:
    change = proposed()
    assert not any(secret in f"{change.sealed} {change.words}" for secret in venue.credentials.values())
    looked(change)
    made = confirmed(change, operator2)
    assert Change.objects.get(pk=change.pk).sealed == ""
    assert not any(secret in made.credentials for secret in venue.credentials.values())


def test_a_proposal_given_other_words_in_the_database_opens_nothing(proposed: Propose) -> None:
    change = proposed()
    for words in ({"name": "Another"}, {"environment": "testnet"}):
        changed = {**change.words, **words}
        with pytest.raises(venues.CannotOpen, match="sealed for another proposal"):
            venues.answer_to_proposed(sealed=change.sealed, words=changed)


@pytest.mark.parametrize("who", ["maker", "checker", "auditor"])
def test_only_operators_propose(proposed: Propose, request: pytest.FixtureRequest, who: str) -> None:
    with pytest.raises(changes.MayNotChange, match="Only operators"):
        proposed(by=request.getfixturevalue(who))
    assert not proposals().exists()


@pytest.mark.parametrize("who", ["maker", "checker", "auditor"])
def test_only_another_operator_confirms(
    proposed: Propose, operator: User, request: pytest.FixtureRequest, who: str
) -> None:
    change = proposed()
    looked(change)
    with pytest.raises(changes.MayNotChange, match="Only operators"):
        confirmed(change, request.getfixturevalue(who))
    with pytest.raises(changes.MayNotChange, match="You proposed this"):
        confirmed(change, operator)
    with pytest.raises(changes.MayNotChange):
        first_looks.look_again(change_id=change.pk, by=request.getfixturevalue(who), at=timezone.now())
    assert still_waits(change)


def test_what_a_page_did_not_show_is_not_confirmed(proposed: Propose, operator2: User) -> None:
    change = proposed()
    look = looked(change)
    with pytest.raises(changes.OtherChange):
        confirmed(change, operator2, digest="0" * 64)
    for login in ("", "4711"):
        with pytest.raises(changes.OtherChange, match=f"the login is {look.login}"):
            confirmed(change, operator2, login=login)
    assert still_waits(change)
    assert proposals().get().sealed, "a refusal rolls back: the secrets are there for the next try"


def test_nothing_is_connected_before_the_venue_has_spoken(proposed: Propose, operator2: User) -> None:
    change = proposed()
    with pytest.raises(NoLongerFits, match="has not said yet"):
        confirmed(change, operator2)
    looked(change)
    first_looks.look_again(change_id=change.pk, by=operator2, at=timezone.now())
    with pytest.raises(NoLongerFits, match="has not said yet"):  # what it said before no longer counts
        confirmed(change, operator2)
    assert still_waits(change)


def test_wrong_credentials_are_told_in_the_venues_words(proposed: Propose, operator2: User) -> None:
    change = proposed(credentials={"api_key": "nobodys-key", "api_secret": "nobodys-secret"})
    look = looked(change)
    assert look.login == ""
    assert "API key is invalid" in look.problem
    assert "nobodys" not in look.problem
    with pytest.raises(NoLongerFits):
        confirmed(change, operator2)


def test_a_venue_that_is_down_is_asked_again_when_somebody_says_so(
    proposed: Propose, operator: User, operator2: User, venue: Simulator
) -> None:
    change = proposed()
    venue.fault("rate_limited", match="read", times=None)
    assert looked(change).problem
    assert first_looks.look(change_id=change.pk, at=timezone.now()) is None, "nobody waits for another"
    venue.clear()
    first_looks.look_again(change_id=change.pk, by=operator, at=timezone.now())
    first_looks.look_again(change_id=change.pk, by=operator, at=timezone.now())
    assert change.first_looks.filter(answered=False).count() == 1
    assert looked(change).problem == ""
    assert confirmed(change, operator2).name == "Bybit two"


def test_a_connector_that_breaks_is_told_and_breaks_nothing(proposed: Propose, monkeypatch: pytest.MonkeyPatch) -> None:
    change = proposed()
    monkeypatch.setattr(venues, "first_look", lambda *_: object())
    assert "AttributeError" in looked(change).problem


def test_the_venue_is_never_asked_inside_a_transaction(proposed: Propose, monkeypatch: pytest.MonkeyPatch) -> None:
    change = proposed()
    with transaction.atomic(), pytest.raises(venues.InsideTransaction):
        venues.answer_to_proposed(sealed=change.sealed, words=change.words)


def test_a_worker_is_asked_when_the_proposal_is_written_and_a_lost_message_is_made_good(
    proposed: Propose,
    rung: list[tuple[str, Any]],
    django_capture_on_commit_callbacks: Callable[..., Any],
    at: datetime,
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        change = proposed()
    assert rung == [("treasury.first_look", [change.pk])]
    assert first_looks.is_awaited(change, at)
    assert first_looks.unanswered(at) == [], "the message is still on its way"
    late = timezone.now() + first_looks.LOST_AFTER
    assert first_looks.unanswered(late) == [change.pk]
    assert not first_looks.is_awaited(change, late + first_looks.AWAITED)
    looked(change)
    assert first_looks.unanswered(late) == []


@pytest.mark.django_db(transaction=True)
def test_the_task_asks_once(proposed: Propose) -> None:
    change = proposed()
    tasks.first_look(change.pk)
    tasks.first_look(change.pk)
    assert change.first_looks.get().login


def test_a_declined_proposal_is_not_asked_about(proposed: Propose, operator2: User) -> None:
    change = proposed()
    changes.decline(change_id=change.pk, by=operator2, reason="Not ours", at=timezone.now())
    assert first_looks.look(change_id=change.pk, at=timezone.now()) is None
    with pytest.raises(changes.NotWaiting):
        first_looks.look_again(change_id=change.pk, by=operator2, at=timezone.now())


def test_a_double_click_is_one_proposal_and_other_credentials_are_another(proposed: Propose) -> None:
    change = proposed()
    assert proposed() == change
    with pytest.raises(NotProposed, match="proposed already"):
        proposed(credentials={"api_key": "another-key", "api_secret": "another-secret"})
    with pytest.raises(NotProposed, match="proposed already"):
        proposed(reason="Something else")
    assert proposals().get() == change


@pytest.mark.parametrize("name", ["", " ", "x" * 61, "two\nlines", "Bybit main", "BYBIT MAIN"])
def test_a_name_that_is_none_or_is_taken_is_refused(connection: Connection, proposed: Propose, name: str) -> None:
    with pytest.raises(NotProposed) as refusal:
        proposed(name=name)
    assert set(refusal.value.problems) == {"name"}


@pytest.mark.parametrize(
    "words", [{"venue": "nowhere"}, {"environment": "nowhere"}, {"credentials": {"api_key": "a b", "api_secret": "x"}}]
)
def test_words_that_no_venue_takes_are_refused(proposed: Propose, words: dict[str, Any]) -> None:
    with pytest.raises(NotProposed) as refusal:
        proposed(**words)
    assert "a b" not in str(refusal.value)
    assert not proposals().exists()


def test_a_reason_is_demanded(proposed: Propose) -> None:
    with pytest.raises(changes.NotSaid):
        proposed(reason="  ")


def test_a_login_connects_once(connection: Connection, proposed: Propose, operator2: User) -> None:
    change = proposed()
    looked(change)
    with pytest.raises(NoLongerFits, match="is connected already, as Bybit main"):
        confirmed(change, operator2)
    assert still_waits(change)


def test_a_name_taken_meanwhile_is_refused(proposed: Propose, operator2: User, venue: Simulator) -> None:
    change = proposed()
    looked(change)
    bare_connection(
        name="bybit TWO", venue="xt", environment="x", login="1", credentials="x", created_at=timezone.now()
    )
    with pytest.raises(NoLongerFits, match="A connection called bybit TWO exists already"):
        confirmed(change, operator2)


def test_an_account_that_no_column_holds_is_left_out(proposed: Propose) -> None:
    from connectors.core.protocol import VenueAccount

    rows = [
        VenueAccount(address="A", kind="k", title=" Desk \0 "),
        VenueAccount(address="A", kind="k", title="twice"),
        VenueAccount(address="B" * 121, kind="k", title="too long"),
        VenueAccount(address="C\n", kind="k", title="odd"),
        VenueAccount(address="D", kind="k", title="T" * 200),
    ]
    assert venues.reported(rows) == [
        {"address": "A", "kind": "k", "title": "Desk \ufffd"},
        {"address": "D", "kind": "k", "title": "T" * 120},
    ]


# -- accounts ------------------------------------------------------------------------------------------------


def reports(connection: Connection, *addresses: str) -> None:
    rows = [{"address": one, "kind": "FUND", "title": f"Venue's {one}"} for one in addresses]
    ConnectionHealth.objects.filter(connection=connection).update(reported=rows, reported_at=timezone.now())


def set_up(connection: Connection, by: User, *accounts: SetUp, reason: str = "House rules") -> Change:
    return connections.propose_set_up(connection=connection, accounts=accounts, reason=reason, by=by, at=timezone.now())


def apply(change: Change, by: User, **said: Any) -> Connection:
    return connections.confirm_set_up(
        change_id=change.pk, by=by, at=timezone.now(), **{"digest": change.digest, **said}
    )


def test_two_operators_add_a_reported_account_and_change_another(
    connection: Connection, unified: Account, fund: Account, operator: User, operator2: User
) -> None:
    reports(connection, "UNIFIED", "FUND", "VAULT")
    change = set_up(
        connection,
        operator,
        SetUp("VAULT", "The vault", quiet=True),
        SetUp("FUND", fund.title, quiet=False),  # as it is: no part of the change
        SetUp("UNIFIED", "Trading desk", quiet=True),
    )
    assert [one["address"] for one in change.words["accounts"]] == ["UNIFIED", "VAULT"]
    assert not Account.objects.filter(address="VAULT").exists()

    apply(change, operator2)

    added = Account.objects.get(address="VAULT")
    assert (added.connection, added.kind, added.title, added.quiet) == (connection, "FUND", "The vault", True)
    unified.refresh_from_db()
    assert (unified.title, unified.quiet, unified.kind) == ("Trading desk", True, "UNIFIED")
    facts = AuditEntry.objects.get(action="account.set_up").facts
    assert facts["was"] == {"UNIFIED": {"title": "Unified Trading", "quiet": False}, "VAULT": None}
    assert facts["is"]["VAULT"] == {"title": "The vault", "quiet": True}


def test_an_address_that_the_venue_does_not_report_is_not_set_up(
    connection: Connection, operator: User, operator2: User
) -> None:
    with pytest.raises(NotProposed, match="does not report an account VAULT"):
        set_up(connection, operator, SetUp("VAULT", "The vault", quiet=False))
    reports(connection, "VAULT")
    change = set_up(connection, operator, SetUp("VAULT", "The vault", quiet=False))
    reports(connection, "UNIFIED")
    with pytest.raises(NoLongerFits, match="no longer reports the account VAULT"):
        apply(change, operator2)
    assert not Account.objects.filter(address="VAULT").exists()
    assert Change.objects.get(pk=change.pk).is_open


def test_an_address_is_typed_in_at_one_desk_alone(operator: User, operator2: User) -> None:
    """Its money would count twice, and be kept by two limits."""
    first, second = hands.desk("One desk"), hands.desk("Another desk")
    typed_in = hands.account_of(first, operator, operator2, "DE02 1234")
    for desk, address in ((second, "DE02 1234"), (second, "de02 1234"), (first, "de02 1234")):
        with pytest.raises(NotProposed, match="It is set up already, as One desk · Wallet DE02 1234"):
            hands.account_of(desk, operator, operator2, address)
    renamed = hands.account_of(first, operator, operator2, "DE02 1234", title="Savings")
    assert (renamed.pk, renamed.title) == (typed_in.pk, "Savings")


def test_of_two_desks_that_propose_one_address_the_first_has_it(operator: User, operator2: User) -> None:
    desks, at = (hands.desk("One desk"), hands.desk("Another desk")), timezone.now()
    first, second = (
        connections.propose_set_up(
            connection=desk, accounts=[SetUp("cold-1", "Cold", False, "wallet")], reason="ours", by=operator, at=at
        )
        for desk in desks
    )
    connections.confirm_set_up(change_id=first.pk, by=operator2, digest=first.digest, at=at)
    with pytest.raises(NoLongerFits, match=r"Nothing was changed\. cold-1: It is set up already"):
        connections.confirm_set_up(change_id=second.pk, by=operator2, digest=second.digest, at=at)
    assert Change.objects.get(pk=second.pk).is_open
    assert Account.objects.get().connection == desks[0]


def test_accounts_are_changed_by_two_operators_only(
    connection: Connection, maker: User, checker: User, auditor: User, operator: User, operator2: User
) -> None:
    wanted = SetUp("FUND", "Reserve", quiet=True)
    for nobody in (maker, checker, auditor):
        with pytest.raises(changes.MayNotChange):
            set_up(connection, nobody, wanted)
    change = set_up(connection, operator, wanted)
    for nobody in (maker, checker, auditor, operator):
        with pytest.raises(changes.MayNotChange):
            apply(change, nobody)
    with pytest.raises(changes.OtherChange):
        apply(change, operator2, digest="0" * 64)
    assert Account.objects.get(address="FUND").title == "Funding"


def test_a_change_of_nothing_and_a_title_of_nothing_are_refused(
    connection: Connection, fund: Account, operator: User
) -> None:
    with pytest.raises(NotProposed, match="as you want it already"):
        set_up(connection, operator, SetUp("FUND", fund.title, fund.quiet))
    for title in ("", "x" * 121, "two\nlines"):
        with pytest.raises(NotProposed, match="Give it a title"):
            set_up(connection, operator, SetUp("FUND", title, quiet=False))


def test_one_proposal_for_a_connections_accounts_waits_at_a_time(
    connection: Connection, operator: User, operator2: User
) -> None:
    change = set_up(connection, operator, SetUp("FUND", "Reserve", quiet=True))
    assert set_up(connection, operator, SetUp("FUND", "Reserve", quiet=True)) == change  # a double click
    for by, title in ((operator, "Other"), (operator2, "Reserve")):
        with pytest.raises(NotProposed, match="Another proposal for the accounts of Bybit main waits"):
            set_up(connection, by, SetUp("FUND", title, quiet=True))


def test_a_confirmation_clicked_twice_changes_once(connection: Connection, operator: User, operator2: User) -> None:
    change = set_up(connection, operator, SetUp("FUND", "Reserve", quiet=True))
    apply(change, operator2)
    with pytest.raises(changes.NotWaiting):
        apply(change, operator2)
    assert Change.objects.get(pk=change.pk).ruling == Ruling.APPLIED
    assert AuditEntry.objects.filter(action="account.set_up").count() == 1


@pytest.mark.django_db(transaction=True)
def test_setting_accounts_up_and_a_claim_at_once_do_not_wait_for_each_other(
    approved: Callable[..., Transfer], operator: User, operator2: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both lock the connection first, then its accounts."""
    transfer = approved()
    health = ConnectionHealth.objects.get(connection=transfer.connection)
    health.reported = [*health.reported, {"address": "NEW", "kind": "UNIFIED", "title": "New"}]
    health.save()
    wanted = [connections.SetUp("UNIFIED", "Renamed", False), connections.SetUp("NEW", "New", False)]
    at = timezone.now()
    asked = connections.propose_set_up(
        connection=transfer.connection, accounts=wanted, reason="names", by=operator, at=at
    )
    begun, save = Event(), Account.save

    def slowly(self: Account, *args: Any, **options: Any) -> None:
        begun.set()
        time.sleep(0.5)
        save(self, *args, **options)

    monkeypatch.setattr(Account, "save", slowly)
    setting_up = Beside(
        lambda: connections.confirm_set_up(change_id=asked.pk, by=operator2, digest=asked.digest, at=at)
    )
    assert begun.wait(30)
    assert dispatch.claim(reference=transfer.reference, at=timezone.now()) is not None
    setting_up.join()
    assert Account.objects.filter(title="Renamed").exists()
