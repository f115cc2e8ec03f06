"""Credentials in use: told apart by a fingerprint, exchanged by two operators alone, and sealed anew under new keys."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.db import IntegrityError, transaction
from django.db import connection as database
from django.utils import timezone

from connectors.simulators.core import Practice, Simulator
from tests.house import bare_connection
from tests.transfers import hands
from treasury import fingerprints, sealing, venues
from treasury.balances.refresh import refresh
from treasury.controls import changes, credentials, first_looks, rotation, stops
from treasury.controls.first_looks import NoLongerFits, NotProposed
from treasury.models import AuditEntry, Change, Connection, State, Transfer, User
from treasury.transfers import dispatch

pytestmark = pytest.mark.django_db

SECOND = {"api_key": "practice-bybit-second-key", "api_secret": "practice-bybit-second-secret-opens-nothing"}
Propose = Callable[..., Change]


def another_key(venue: Simulator) -> dict[str, str]:
    """A second API key that the venue has made for its first login."""
    own = venue.login_of
    venue.practice = (*venue.practice, Practice(title="Second key", credentials=SECOND, opening={}))
    first = own(venue.credentials)
    venue.login_of = lambda given: first if given["api_key"] == SECOND["api_key"] else own(given)  # type: ignore[method-assign]
    return dict(SECOND)


@pytest.fixture
def second(venue: Simulator) -> dict[str, str]:
    return another_key(venue)


@pytest.fixture
def proposed(connection: Connection, operator: User, second: dict[str, str]) -> Propose:
    """proposed() -> operator's proposal to use the second key."""

    def make(*, by: User = operator, given: dict[str, str] | None = None, reason: str = "A new key") -> Change:
        return credentials.propose(
            connection=connection, credentials=given or second, reason=reason, by=by, at=timezone.now()
        )

    return make


def looked(change: Change) -> Change:
    assert first_looks.look(change_id=change.pk, at=timezone.now()) is not None
    return change


def confirmed(change: Change, by: User, **said: Any) -> Connection:
    newest = first_looks.newest_look(change)
    words = {"digest": change.digest, "login": newest.login if newest else "", **said}
    return credentials.confirm(change_id=change.pk, by=by, at=timezone.now(), **words)


def exchange(connection: Connection, given: dict[str, str]) -> None:
    """By the back door: a ciphertext of the right shape in the row, sealed under our own key."""
    bound = {"venue": connection.venue, "environment": connection.environment, "login": connection.login}
    sealed = venues.seal_credentials(**bound, credentials=given)
    with database.cursor() as cursor:
        cursor.execute("UPDATE treasury_connection SET credentials = %s WHERE id = %s", [sealed, connection.pk])
    connection.refresh_from_db()


def in_use(connection: Connection) -> tuple[str, str, Any, int]:
    row = Connection.objects.get(pk=connection.pk)
    return row.credentials, row.fingerprint, row.credentials_at, row.change_id


# -- fingerprints --------------------------------------------------------------------------------------------


def test_a_fingerprint_tells_sets_logins_and_environments_apart_and_is_the_same_twice() -> None:
    words = {"venue": "bybit", "environment": "mainnet", "login": "7", "credentials": SECOND}
    others = [
        {"venue": "xt"},
        {"environment": "testnet"},
        {"login": "8"},
        {"credentials": {**SECOND, "api_secret": "x"}},
        {"credentials": {"api_key": SECOND["api_secret"], "api_secret": SECOND["api_key"]}},
    ]
    found = [fingerprints.of(**words)] + [fingerprints.of(**{**words, **other}) for other in others]
    assert len(set(found)) == len(found)
    assert all(len(one) == fingerprints.DIGITS and set(one) <= set("0123456789abcdef") for one in found)
    fingerprints._known.clear()
    assert fingerprints.of(**words) == found[0]


def test_a_fingerprint_takes_work_to_guess_and_no_secret_is_remembered_for_it() -> None:
    assert fingerprints.WORK["n"] >= 2**14
    fingerprints.of(venue="bybit", environment="mainnet", login="7", credentials=SECOND)
    assert all(len(key) == 32 for key in fingerprints._known)
    assert not any(secret in str(fingerprints._known) for secret in SECOND.values())


def test_a_connection_says_which_credentials_it_uses_and_since_when(connection: Connection, venue: Simulator) -> None:
    bound = {"venue": "bybit", "environment": "mainnet", "login": connection.login}
    assert connection.fingerprint == fingerprints.of(**bound, credentials=venue.credentials)
    assert connection.credentials_at == connection.created_at
    at = connection.created_at
    assert not credentials.are_old(connection, at + settings.CREDENTIALS_OLD_AFTER)
    assert credentials.are_old(connection, at + settings.CREDENTIALS_OLD_AFTER + timedelta(seconds=1))


def test_credentials_that_were_exchanged_in_the_database_open_nothing(
    connection: Connection, venue: Simulator, second: dict[str, str], approved: Callable[..., Transfer]
) -> None:
    transfer = approved()
    exchange(connection, second)
    venue.clear()
    with pytest.raises(venues.CannotOpen, match="not the ones that two people agreed on"):
        venues.open_connection(connection)
    dispatch.dispatch(reference=transfer.reference, now=timezone.now)
    assert venue.requests() == [], "no call left"
    transfer.refresh_from_db()
    assert transfer.state == State.APPROVED
    assert not venue.effects()


def test_a_proposals_ciphertext_put_into_a_row_opens_nothing(connection: Connection, proposed: Propose) -> None:
    change = proposed()
    with database.cursor() as cursor:
        cursor.execute("UPDATE treasury_connection SET credentials = %s", [change.sealed])
    connection.refresh_from_db()
    connection.fingerprint = ""
    with pytest.raises(venues.CannotOpen, match="sealed for another login"):
        venues.open_connection(connection)


def test_the_row_of_an_upgrade_opens_until_its_fingerprint_is_written_down(
    connection: Connection, second: dict[str, str]
) -> None:
    connection.fingerprint = ""
    venues.open_connection(connection).check()


def test_sql_gives_a_row_no_other_fingerprint(connection: Connection) -> None:
    for column, value in (("fingerprint", "0" * 12), ("credentials_at", timezone.now())):
        with pytest.raises(IntegrityError), transaction.atomic(), database.cursor() as cursor:
            cursor.execute(f"UPDATE treasury_connection SET {column} = %s", [value])


# -- another set, by two operators ---------------------------------------------------------------------------


def test_two_operators_replace_the_credentials_of_a_login(
    connection: Connection, proposed: Propose, operator2: User, venue: Simulator
) -> None:
    before = in_use(connection)
    change = looked(proposed())
    assert in_use(connection) == before, "a proposal changes nothing"
    made = confirmed(change, operator2)
    assert made.fingerprint == change.words["fingerprint"] != before[1]
    assert (made.change, made.login) == (change, connection.login)
    assert made.credentials_at > connection.credentials_at
    assert Change.objects.get(pk=change.pk).sealed == ""
    venue.clear()
    refresh(connection=made, at=timezone.now())
    assert {one.headers["x-bapi-api-key"] for one in venue.requests() if "x-bapi-api-key" in one.headers} == {
        SECOND["api_key"]
    }
    entry = AuditEntry.objects.get(action="credentials.replace", result="done")
    assert entry.facts["replaces"] == before[1]
    assert entry.facts["fingerprint"] == made.fingerprint
    assert not any(secret in entry.canonical for secret in (*SECOND.values(), *venue.credentials.values()))


def test_what_was_approved_goes_on_with_the_new_ones(
    approved: Callable[..., Transfer], proposed: Propose, operator2: User, venue: Simulator
) -> None:
    transfer = approved()
    confirmed(looked(proposed()), operator2)
    dispatch.dispatch(reference=transfer.reference, now=timezone.now)
    transfer.refresh_from_db()
    assert transfer.state == State.SETTLED
    (sent,) = venue.requests("POST")
    assert sent.headers["x-bapi-api-key"] == SECOND["api_key"]


def test_a_stop_stays_where_it_stands(
    connection: Connection, proposed: Propose, operator: User, operator2: User
) -> None:
    stops.stop(connection=connection, reason="A key leaked", by=operator, at=timezone.now())
    confirmed(looked(proposed()), operator2)
    assert [order.reason for order in stops.standing_over(connection)] == ["A key leaked"]


def test_credentials_of_another_login_cannot_be_confirmed(
    connection: Connection, proposed: Propose, operator2: User, venue: Simulator
) -> None:
    spare = dict(venue.spare()[0][1])
    change = looked(proposed(given=spare))
    newest = first_looks.newest_look(change)
    assert newest is not None
    before = in_use(connection)
    with pytest.raises(NoLongerFits, match=f"belong to another login, {newest.login}"):
        confirmed(change, operator2)
    assert in_use(connection) == before
    assert Change.objects.get(pk=change.pk).is_open


def test_nothing_is_replaced_before_the_venue_has_spoken_or_when_it_refuses_them(
    connection: Connection, proposed: Propose, operator2: User
) -> None:
    change = proposed(given={"api_key": "nobodys-key", "api_secret": "nobodys-secret"})
    with pytest.raises(NoLongerFits, match=r"the credentials in use stay\. The venue has not said yet"):
        confirmed(change, operator2)
    looked(change)
    with pytest.raises(NoLongerFits, match="did not say whose login"):
        confirmed(change, operator2)


@pytest.mark.parametrize("who", ["maker", "checker", "auditor"])
def test_only_two_operators_replace(
    connection: Connection, proposed: Propose, operator: User, request: pytest.FixtureRequest, who: str
) -> None:
    with pytest.raises(changes.MayNotChange, match="Only operators"):
        proposed(by=request.getfixturevalue(who))
    change = looked(proposed())
    for nobody in (request.getfixturevalue(who), operator):
        with pytest.raises(changes.MayNotChange):
            confirmed(change, nobody)


def test_what_a_page_did_not_show_is_not_confirmed(proposed: Propose, operator2: User) -> None:
    change = looked(proposed())
    for said in ({"digest": "0" * 64}, {"login": ""}, {"login": "4711"}):
        with pytest.raises(changes.OtherChange):
            confirmed(change, operator2, **said)
    assert Change.objects.get(pk=change.pk).sealed, "a refusal rolls back: the secrets are there for the next try"


def test_the_credentials_in_use_and_a_second_proposal_are_refused(
    connection: Connection, proposed: Propose, venue: Simulator
) -> None:
    with pytest.raises(NotProposed, match="these are the credentials in use"):
        proposed(given=venue.credentials)
    change = proposed()
    assert proposed() == change, "a double click"
    with pytest.raises(NotProposed, match="are proposed already"):
        proposed(given={"api_key": "other", "api_secret": "another-secret"})
    changes.withdraw(change_id=change.pk, by=change.proposed_by, at=timezone.now())  # type: ignore[arg-type]
    with pytest.raises(NotProposed) as refusal:
        proposed(given={"api_key": "a b", "api_secret": "x"})
    assert "a b" not in str(refusal.value)


def test_a_proposal_whose_words_were_changed_in_the_database_opens_nothing(proposed: Propose) -> None:
    change = proposed()
    for name in change.words:
        with pytest.raises(venues.CannotOpen, match="sealed for another proposal"):
            venues.answer_to_proposed(
                sealed=change.sealed, words={**change.words, name: "bybit" if name != "venue" else "xt"}
            )


def test_by_hand_there_are_no_credentials(operator: User) -> None:
    desk = hands.desk("One desk")
    with pytest.raises(NotProposed, match="has no credentials"):
        credentials.propose(connection=desk, credentials={}, reason="x", by=operator, at=timezone.now())


# -- keys ----------------------------------------------------------------------------------------------------


@pytest.fixture
def older_and_newer(monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """From now on a new key is the first, and what was sealed so far is under an older one."""
    older, newer = settings.CREDENTIALS_KEYS[0], Fernet.generate_key().decode()
    monkeypatch.setattr(settings, "CREDENTIALS_KEYS", [newer, older])
    return older, newer


def run(*arguments: str) -> tuple[int, str]:
    out = StringIO()
    try:
        call_command("rotate_secrets", *arguments, stdout=out, stderr=out)
    except SystemExit as end:
        return int(end.code or 0), out.getvalue()
    return 0, out.getvalue()


@pytest.fixture
def sealed_things(proposed: Propose, connection: Connection, maker: User) -> Change:
    """A connection, a proposal that waits, and two factors of a person; all of them under the key of now."""
    if apps.is_installed("allauth.mfa"):
        authenticators = apps.get_model("mfa.Authenticator")._default_manager
        authenticators.create(user=maker, type="totp", data={"secret": sealing.seal("JBSWY3DPEHPK3PXP")})
        codes = {"migrated_codes": [sealing.seal("code-1"), sealing.seal("code-2")], "used_mask": 0}
        authenticators.create(user=maker, type="recovery_codes", data=codes)
        authenticators.create(user=maker, type="webauthn", data={"name": "Key", "credential": {"id": "gAAAAA"}})
    return proposed()


def test_after_a_rotation_the_older_key_can_be_dropped(
    sealed_things: Change,
    connection: Connection,
    operator2: User,
    older_and_newer: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    older, newer = older_and_newer
    assert run("--check")[0] == 1
    assert Connection.objects.get().credentials == connection.credentials, "to check changes nothing"
    code, said = run()
    assert code == 0
    assert "connections: 1 sealed anew" in said
    assert "proposals: 1 sealed anew" in said
    monkeypatch.setattr(settings, "CREDENTIALS_KEYS", [newer])
    assert run("--check")[0] == 0
    refresh(connection=Connection.objects.get(), at=timezone.now())
    confirmed(looked(sealed_things), operator2)
    if apps.is_installed("allauth.mfa"):
        rows = dict(apps.get_model("mfa.Authenticator")._default_manager.values_list("type", "data"))
        assert sealing.unseal(rows["totp"]["secret"]) == "JBSWY3DPEHPK3PXP"
        assert [sealing.unseal(one) for one in rows["recovery_codes"]["migrated_codes"]] == ["code-1", "code-2"]
        assert rows["recovery_codes"]["used_mask"] == 0
        assert rows["webauthn"] == {"name": "Key", "credential": {"id": "gAAAAA"}}
    monkeypatch.setattr(settings, "CREDENTIALS_KEYS", [older])
    with pytest.raises(venues.CannotOpen):
        venues.open_connection(Connection.objects.get())


def test_a_rotation_twice_is_one_with_one_entry_and_no_key_in_it(
    sealed_things: Change, older_and_newer: tuple[str, str]
) -> None:
    run()
    rows = [Connection.objects.get().credentials, Change.objects.get(pk=sealed_things.pk).sealed]
    code, said = run()
    assert code == 0
    assert "connections: 0 sealed anew, 1 stood under the newest key already" in said
    assert rows == [Connection.objects.get().credentials, Change.objects.get(pk=sealed_things.pk).sealed]
    entry = AuditEntry.objects.get(action="secrets.rotate")
    assert entry.facts["moved"]["connections"] == 1
    assert entry.facts["key"] == rotation.key_fingerprints()[0]
    assert not any(key in f"{entry.canonical}{said}" for key in older_and_newer)


def test_a_rotation_that_is_interrupted_has_changed_nothing_and_is_run_again(
    sealed_things: Change, connection: Connection, older_and_newer: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as for_now:
        for_now.setattr(rotation, "name_fingerprints", lambda: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run()
    assert Connection.objects.get().credentials == connection.credentials
    assert not AuditEntry.objects.filter(action="secrets.rotate").exists()
    venues.open_connection(Connection.objects.get())
    assert run()[0] == 0


def test_what_no_key_opens_is_named_and_the_rest_is_rotated(
    connection: Connection, older_and_newer: tuple[str, str]
) -> None:
    bare_connection("Lost", credentials=Fernet(Fernet.generate_key()).encrypt(b"x" * 80).decode())
    for arguments in ((), ("--check",)):
        code, said = run(*arguments)
        assert code == 1
        assert "No key opens the secrets of Lost" in said
    assert sealing.is_newest(Connection.objects.get(pk=connection.pk).credentials)


def test_a_rotation_writes_down_the_fingerprint_of_what_an_upgrade_found(connection: Connection) -> None:
    with database.cursor() as cursor:  # as a database of before has it
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("UPDATE treasury_connection SET fingerprint = ''")
        cursor.execute("SET LOCAL session_replication_role = DEFAULT")
    assert run()[0] == 0
    assert Connection.objects.get().fingerprint == connection.fingerprint
    assert AuditEntry.objects.get(action="secrets.rotate").facts["fingerprints"] == 1
