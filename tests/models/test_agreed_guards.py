"""Every governed table, attacked with plain SQL: nothing that governs changes without an agreement of that moment."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import transaction
from django.utils import timezone

from tests import house
from tests.models.attack import (
    FROZEN,
    NOT_ALLOWED,
    TWICE,
    assess,
    begin,
    change,
    decide,
    demand,
    insert,
    refused,
    sql,
    submission,
    witness,
)
from tests.transfers import hands
from treasury.audit.record import record
from treasury.controls import people, policy, stops
from treasury.controls.roles import CHECKERS, MAKERS
from treasury.models import Account, Change, Connection, Policy, Transfer, User
from treasury.transfers import dispatch, draft

pytestmark = pytest.mark.django_db(transaction=True)

Made = Callable[..., Transfer]
Words = Mapping[str, Any]

NOT_AGREED, OTHER_WORDS = "no change that was agreed on", "says something else"


# -- writes that an agreement allows -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Write:
    """A governed row, written or changed by plain SQL. ``said``: what the agreement must say, in the form ``shape``."""

    kind: str
    subject: str
    said: Words
    sql: str
    shape: Callable[[Words], Words] = dict
    refusal: str = NOT_AGREED
    other_words: str = OTHER_WORDS
    before: Callable[[], object] = lambda: None
    after: Callable[[Change], object] = lambda change: None

    def run(self, number: int) -> None:
        sql(self.sql.replace("{change}", str(number)))


WHO = {"first_name": "Eve", "last_name": "Person", "email": "eve@treasury.invalid", "person": "eve@treasury.invalid"}
ENROLLED = {"username": "eve", **WHO, "provider_subject": "", "superuser": False}
NEW_USER = """INSERT INTO treasury_user (password, is_superuser, username, first_name, last_name, email, is_staff,
    is_active, date_joined, person, provider_subject, change_id) VALUES ('', false, 'eve', 'Eve', 'Person',
    'eve@treasury.invalid', false, true, now(), 'eve@treasury.invalid', '', {change})"""
AS_IT_WAS = {"first_name": "Mallory", "last_name": "Person", "email": "mallory@treasury.invalid"}
AS_IT_WAS |= {"person": "mallory@treasury.invalid", "provider_subject": "", "active": True}
MALLORY = "(SELECT u.id FROM treasury_user u WHERE u.username = 'mallory')"
BYBIT = "(SELECT x.id FROM treasury_connection x WHERE x.name = 'Bybit main')"


def update_of_user(column: str, value: Any, key: str = "") -> Write:
    becomes = {**AS_IT_WAS, key or column: value}
    return Write(
        kind="user.change",
        subject="user:mallory",
        said=becomes,
        sql=f"UPDATE treasury_user SET {column} = {json.dumps(value).replace(chr(34), chr(39))}, change_id = {{change}}"
        " WHERE username = 'mallory'",
        shape=lambda said: {"username": "mallory", "becomes": dict(said)},
        before=mallory if column != "is_active" else gone,
    )


def mallory() -> User:
    return house.person("mallory", MAKERS)


def gone() -> None:
    house.deactivate(mallory())


def agreement_on_memberships(said: Words) -> Words:
    return {"memberships": [dict(said)]}


def agreement_on_accounts(said: Words) -> Words:
    return {"accounts": [dict(said)]}


def desk() -> Connection:
    return house.bare_connection("Bybit main")


def with_account() -> Account:
    return house.set_up(desk(), "FUND", title="Funding")


def looked_at(login: str) -> Callable[[Change], object]:
    return lambda change: house.look(change, login, [], timezone.now())


FUND = {"address": "FUND", "kind": "FUND", "title": "Funding", "quiet": False}
NEXT_TEXT = '{"rules":[]}'
BAND = {"asset": "USDT", "removed": False, "unit": "asset", "minimum": "1", "target": "2", "maximum": None}
BAND |= {"floor": "0", "smallest": None, "largest": None, "direction": "both"}

WRITES: Mapping[str, Write] = {
    "a sign-in is made": Write("user.enrol", "user:eve", ENROLLED, NEW_USER),
    "a first name changes": update_of_user("first_name", "Eve"),
    "a last name changes": update_of_user("last_name", "Eve"),
    "an address changes": update_of_user("email", "eve@treasury.invalid"),
    "a natural person changes": update_of_user("person", "useradmin@treasury.invalid"),
    "a provider's id changes": update_of_user("provider_subject", "sub-1"),
    "a sign-in is opened again": update_of_user("is_active", True, key="active"),
    "a role is given": Write(
        "membership.set",
        "memberships:",
        {"username": "mallory", "group": CHECKERS, "member": True},
        f"INSERT INTO treasury_membership (user_id, \"group\", at, change_id) VALUES ({MALLORY}, 'checkers', now(),"
        " {change})",
        shape=agreement_on_memberships,
        before=mallory,
    ),
    "a role is given with a sign-in": Write(
        "user.enrol",
        "user:mallory",
        {"username": "mallory", "groups": [CHECKERS]},
        f"INSERT INTO treasury_membership (user_id, \"group\", at, change_id) VALUES ({MALLORY}, 'checkers', now(),"
        " {change})",
        before=mallory,
    ),
    "a role ends": Write(
        "membership.set",
        "memberships:",
        {"username": "mallory", "group": MAKERS, "member": False},
        f"UPDATE treasury_membership SET ended_at = now(), ended_by_id = {{change}} WHERE user_id = {MALLORY}",
        shape=agreement_on_memberships,
        before=mallory,
    ),
    "a login is connected": Write(
        "connection.connect",
        "connection:Bybit main",
        {"name": "Bybit main", "venue": "bybit", "environment": "mainnet"},
        "INSERT INTO treasury_connection (name, venue, environment, login, credentials, by_hand, fingerprint,"
        " created_at, change_id) VALUES ('Bybit main', 'bybit', 'mainnet', '7', '', false, '', now(), {change})",
        after=looked_at("7"),
    ),
    "an account is set up": Write(
        "account.set_up",
        "connection:Bybit main",
        FUND,
        "INSERT INTO treasury_account (connection_id, address, kind, title, quiet, change_id)"
        f" VALUES ({BYBIT}, 'FUND', 'FUND', 'Funding', false, {{change}})",
        shape=agreement_on_accounts,
        before=desk,
    ),
    "an account gets another title": Write(
        "account.set_up",
        "connection:Bybit main",
        {**FUND, "title": "Savings"},
        "UPDATE treasury_account SET title = 'Savings', change_id = {change}",
        shape=agreement_on_accounts,
        before=with_account,
    ),
    "an account becomes quiet": Write(
        "account.set_up",
        "connection:Bybit main",
        {**FUND, "quiet": True},
        "UPDATE treasury_account SET quiet = true, change_id = {change}",
        shape=agreement_on_accounts,
        before=with_account,
    ),
    "a policy comes into force": Write(
        "policy.set",
        "policy:",
        {"policy": NEXT_TEXT},
        "INSERT INTO treasury_policy (number, text, digest, at, change_id) SELECT 2, t.x,"
        f" encode(sha256(convert_to(t.x, 'UTF8')), 'hex'), now(), {{change}} FROM (VALUES ('{NEXT_TEXT}')) AS t (x)",
        before=house.administrators,
    ),
    "a setting of the house": Write(
        "house.set",
        "setting:x",
        {"name": "x", "value": 3},
        "INSERT INTO treasury_housesetting (name, value, at, change_id) VALUES ('x', '3', now(), {change})",
    ),
    "a band is set": Write(
        "bands.set",
        "bands:",
        BAND,
        "INSERT INTO treasury_band (account_id, asset, change_id, at, removed, unit, minimum, target, floor, direction)"
        " SELECT id, 'USDT', {change}, now(), false, 'asset', 1, 2, 0, 'both' FROM treasury_account",
        shape=lambda said: {"bands": [{**said, "account": Account.objects.get().pk}]},
        refusal="a band is what two people agreed on",
        other_words="a band is what two people agreed on",
        before=with_account,
    ),
    "a stop is released": Write(
        "stop.release",
        "house:",
        {"stop": None},
        "UPDATE treasury_stoporder SET released_at = now(), release_id = {change}",
        shape=lambda said: {name: sql("SELECT id FROM treasury_stoporder")[0][0] for name in said} if said else {},
        refusal="two people",
        other_words="two people",
        before=lambda: stops.stop(
            connection=desk(), reason="drill", by=house.person("ops", "operators"), at=timezone.now()
        ),
    ),
}
# The one word of each that an agreement may leave open, because the row does not hold it.
UNSAID = {"a stop is released": {"stop"}}


def agree(write: Write, *, kind: str = "", words: Words | None = None) -> Change:
    made = house.agree(kind or write.kind, write.subject, write.shape(write.said if words is None else words))
    write.after(made)
    return made


def propose(write: Write) -> int:
    """A proposal of just these words that waits, with its entry."""
    first, _ = house.administrators()
    made = Change.objects.create(
        kind=write.kind,
        subject=write.subject,
        words=write.shape(write.said),
        digest="",
        reason="x",
        proposed_by=first,
        proposed_at=timezone.now(),
    )
    write.after(made)
    house.changes.entry(made, by=first, at=timezone.now(), action="change.propose", facts={})
    return made.pk


each = pytest.mark.parametrize("name", WRITES)


@each
def test_with_an_agreement_on_it_it_is_written(name: str) -> None:
    """So the refusals below are of what is lacking, and of nothing else."""
    write = WRITES[name]
    write.before()
    with transaction.atomic(durable=True):
        write.run(agree(write).pk)


@each
def test_without_a_change_it_is_refused(name: str) -> None:
    write = WRITES[name]
    write.before()
    with refused(NOT_ALLOWED, write.refusal):
        write.run(0)


@each
def test_with_a_change_that_only_waits_it_is_refused(name: str) -> None:
    write = WRITES[name]
    house.administrators()
    write.before()
    with refused(NOT_ALLOWED, write.refusal):
        write.run(propose(write))


@each
def test_with_a_change_of_an_earlier_transaction_it_is_refused(name: str) -> None:
    write = WRITES[name]
    write.before()
    with transaction.atomic(durable=True):
        number = agree(write).pk
    with refused(NOT_ALLOWED, write.refusal):
        write.run(number)


@each
def test_with_a_change_of_another_kind_it_is_refused(name: str) -> None:
    write = WRITES[name]
    house.administrators()
    write.before()
    with refused(NOT_ALLOWED, write.refusal):
        write.run(agree(write, kind="balance.state").pk)


@pytest.mark.parametrize(
    ("name", "word", "missing"),
    [
        (name, word, missing)
        for name, write in WRITES.items()
        for word in write.said
        for missing in (False, True)
        if word not in UNSAID.get(name, ())
    ],
)
def test_with_an_agreement_on_other_words_it_is_refused(name: str, word: str, missing: bool) -> None:
    write = WRITES[name]
    house.administrators()
    write.before()
    said = {key: "something else" if key == word else value for key, value in write.said.items()}
    if missing:
        del said[word]
    with refused(NOT_ALLOWED, write.other_words):
        write.run(agree(write, words=said).pk)


@each
def test_with_an_agreement_on_nothing_it_is_refused(name: str) -> None:
    write = WRITES[name]
    house.administrators()
    write.before()
    with refused(NOT_ALLOWED, write.other_words):
        made = house.agree(write.kind, write.subject, {})
        write.after(made)
        write.run(made.pk)


# -- columns ------------------------------------------------------------------------------------------------------

USER, MEMBERSHIP, CONNECTION = "treasury_user", "treasury_membership", "treasury_connection"
COLUMNS = [
    *((USER, column, value, NOT_ALLOWED) for column, value in (("email", "'x@y.z'"), ("person", "'x'"))),
    *((USER, column, "'x'", NOT_ALLOWED) for column in ("first_name", "last_name", "provider_subject")),
    (USER, "change_id", "(SELECT min(id) FROM treasury_change)", NOT_ALLOWED),
    *((USER, column, "true", FROZEN) for column in ("is_staff", "is_superuser")),
    *((USER, column, value, FROZEN) for column, value in (("username", "'x'"), ("date_joined", "now()"))),
    (USER, "id", "id + 1000", FROZEN),
    *((MEMBERSHIP, column, value, FROZEN) for column, value in (('"group"', "'x'"), ("at", "now()"))),
    *((MEMBERSHIP, column, f"{column} + 1000", FROZEN) for column in ("id", "user_id", "change_id")),
    *((CONNECTION, column, "'x'", FROZEN) for column in ("name", "environment", "login")),
    (CONNECTION, "venue", "'x'", FROZEN),
    (CONNECTION, "by_hand", "true", FROZEN),
    (CONNECTION, "created_at", "now()", FROZEN),
    (CONNECTION, "id", "id + 1000", FROZEN),
    (CONNECTION, "credentials_at", "now()", NOT_ALLOWED),
    (CONNECTION, "change_id", "(SELECT min(id) FROM treasury_change)", NOT_ALLOWED),
    *(("treasury_account", column, "'x'", NOT_ALLOWED) for column in ("title", "kind")),
    ("treasury_account", "quiet", "NOT quiet", NOT_ALLOWED),
    ("treasury_account", "change_id", "(SELECT min(id) FROM treasury_change)", NOT_ALLOWED),
    ("treasury_account", "id", "id + 1000", NOT_ALLOWED),
    ("treasury_account", "address", "'x'", FROZEN),
    *(("treasury_policy", column, "'x'", FROZEN) for column in ("text", "digest")),
    *(("treasury_policy", column, value, FROZEN) for column, value in (("number", "9"), ("at", "now()"))),
]


@pytest.mark.parametrize(("table", "column", "value", "state"), COLUMNS)
def test_no_governed_column_changes_by_itself(table: str, column: str, value: str, state: str) -> None:
    with_account()
    mallory()
    with refused(state, ""):
        sql(f"UPDATE {table} SET {column} = {value}")


def test_a_fingerprint_changes_only_with_an_agreement() -> None:
    house.bare_connection("Bybit main", fingerprint="ab12")
    with refused(NOT_ALLOWED, NOT_AGREED):
        sql("UPDATE treasury_connection SET fingerprint = 'cd34', credentials = 'x'")
    with refused(NOT_ALLOWED, OTHER_WORDS):  # the venue says that they are another login's
        asked = house.agree("credentials.replace", "connection:Bybit main", {})
        house.look(asked, "another", [], timezone.now())
        sql("UPDATE treasury_connection SET fingerprint = 'cd34', change_id = %s", asked.pk)
    with transaction.atomic(durable=True):
        asked = house.agree("credentials.replace", "connection:Bybit main", {})
        house.look(asked, "1", [], timezone.now())
        sql("UPDATE treasury_connection SET fingerprint = 'cd34', change_id = %s", asked.pk)


def test_what_is_operational_is_free() -> None:
    person, login = mallory(), desk()
    sql("UPDATE treasury_user SET last_login = now(), password = 'x' WHERE id = %s", person.pk)
    sql("UPDATE treasury_connection SET credentials = 'sealed anew' WHERE id = %s", login.pk)


def test_a_login_that_the_venue_did_not_name_is_not_connected() -> None:
    write = WRITES["a login is connected"]
    house.administrators()
    with refused(NOT_ALLOWED, OTHER_WORDS):
        asked = house.agree(write.kind, write.subject, write.said)
        house.look(asked, "another", [], timezone.now())
        write.run(asked.pk)


def test_a_sign_in_is_ended_by_one_and_the_log_says_so() -> None:
    person = mallory()
    with refused(NOT_ALLOWED, "the log does not say so"):
        sql("UPDATE treasury_user SET is_active = false WHERE id = %s", person.pk)
    house.deactivate(person)


def test_a_role_that_ended_does_not_begin_again() -> None:
    person = mallory()
    house.take(person)
    with refused(FROZEN, "a membership ends once"):
        sql("UPDATE treasury_membership SET ended_at = NULL, ended_by_id = NULL WHERE user_id = %s", person.pk)


def test_djangos_groups_confer_nothing_and_stay_empty() -> None:
    person = mallory()
    with refused(NOT_ALLOWED, "confers nothing"):
        Group.objects.create(name=CHECKERS)
    for table in ("treasury_user_groups", "treasury_user_user_permissions"):
        column = "group_id" if table.endswith("groups") else "permission_id"
        with refused(NOT_ALLOWED, "confers nothing"):
            sql(f"INSERT INTO {table} (user_id, {column}) VALUES (%s, 1)", person.pk)
    with refused(NOT_ALLOWED, "confers nothing"):
        sql("INSERT INTO auth_group_permissions (group_id, permission_id) VALUES (1, 1)")


# -- the first set-up ---------------------------------------------------------------------------------------------


def first_words(*usernames: str, **other: Any) -> Words:
    said = [people.told(people.Who(name, "A", "B", f"{name}@treasury.invalid")) for name in usernames]
    return {"people": [{**one, **other} for one in said], "policy": policy.first()}


def begun(kind: str, words: Words) -> Change:
    """A change that nobody proposed, applied at once as the first set-up is."""
    at = timezone.now()
    made = Change.objects.create(kind=kind, subject="house:", words=dict(words), digest="", reason="x", proposed_at=at)
    made.ruling, made.decided_at = "applied", at
    made.save()
    record(at=at, by=house.SETUP, action=kind, subject="house:", facts={"change": made.pk})
    return made


@pytest.mark.parametrize("kind", ["house.bootstrap", "house.adopt"])
def test_a_house_is_set_up_once(kind: str) -> None:
    house.administrators()
    with refused(NOT_ALLOWED, "the house is set up already"):
        begun(kind, first_words("eve", "mallory"))


def test_a_house_that_is_set_up_is_set_up_for_good() -> None:
    """Not even when its administrators have all been taken away."""
    for one in house.administrators():
        house.take(one)
    with refused(NOT_ALLOWED, "the house is set up already"):
        begun("house.bootstrap", first_words("eve", "mallory"))


def test_nothing_is_adopted_after_the_upgrade() -> None:
    with refused(NOT_ALLOWED, "the house is set up already"):
        begun("house.adopt", {})


@pytest.mark.parametrize(
    "words",
    [{}, {"people": []}, {"people": [{"person": "x"}]}, {"people": [{"person": "x"}, {"person": "x"}]}],
)
def test_a_first_set_up_names_two_people(words: Words) -> None:
    with refused(NOT_ALLOWED, "names two people"):
        begun("house.bootstrap", words)


@pytest.mark.parametrize(
    ("username", "group", "superuser"),
    [("third", "user administrators", False), ("eve", CHECKERS, False), ("eve", "user administrators", True)],
)
def test_a_first_set_up_makes_those_whom_it_names_and_nothing_else(username: str, group: str, superuser: bool) -> None:
    with refused(NOT_ALLOWED, OTHER_WORDS):
        made = begun("house.bootstrap", first_words("eve", "mallory"))
        at = timezone.now()
        said = {**people.told(people.Who(username, "A", "B", f"{username}@treasury.invalid")), "superuser": superuser}
        people.stored(said, [group], made, at)


def test_nobody_else_is_the_proposer_of_nothing() -> None:
    house.administrators()
    with refused(NOT_ALLOWED, "change_proposed_by_somebody"):
        begun("policy.set", {})


# -- changes ------------------------------------------------------------------------------------------------------


def test_two_sign_ins_of_one_person_do_not_agree_with_each_other() -> None:
    first, second = house.administrators()
    house.amend(second, person=first.person)
    with refused(NOT_ALLOWED, "nobody decides on their own"):
        house.agree("house.set", "setting:x", {"name": "x", "value": 3})


@pytest.mark.parametrize(
    "column", ["applied_in = applied_in + 1", "proposed_factor = 'passkey'", "decided_factor = 'x'"]
)
def test_what_proved_it_and_when_it_was_applied_stays(column: str) -> None:
    with transaction.atomic(durable=True):
        house.agree("house.set", "setting:x", {})
    with refused(FROZEN, "stays as it was proposed"):
        sql(f"UPDATE treasury_change SET {column} WHERE kind = 'house.set'")


def test_a_change_is_not_born_applied() -> None:
    first, _ = house.administrators()
    with refused(NOT_ALLOWED, "proposed before it is decided"):
        at = timezone.now()
        Change.objects.create(
            kind="x.y", subject="", words={}, digest="", reason="x", proposed_by=first, proposed_at=at, applied_in=1
        )


def test_a_table_of_ones_own_deceives_no_guard() -> None:
    """A session's own temporary tables are found first, unless a guard says where it looks."""
    house.administrators()
    with refused(NOT_ALLOWED, NOT_AGREED):
        sql("CREATE TEMPORARY TABLE treasury_change (LIKE public.treasury_change)")
        sql(
            "INSERT INTO pg_temp.treasury_change (id, kind, subject, words, digest, sealed, reason, proposed_at, said,"
            " proposed_factor, decided_factor, ruling, applied_in) VALUES (0, 'house.set', 's',"
            """ '{"name": "x", "value": 3}', '', '', '', now(), '', '', '', 'applied',"""
            " pg_current_xact_id()::text::bigint)"
        )
        sql("INSERT INTO treasury_housesetting (name, value, at, change_id) VALUES ('x', '3', now(), 0)")


def test_every_guard_says_where_it_looks() -> None:
    found = sql(
        "SELECT proname FROM pg_proc"
        " WHERE pronamespace = current_schema()::regnamespace AND proname LIKE 'treasury\\_%%'"
        " AND NOT coalesce(proconfig, '{}') @> ARRAY['search_path=' || current_schema() || ', pg_temp']"
    )
    assert found == []


# -- the policy's answer ------------------------------------------------------------------------------------------


def submit_by_force(draft: Transfer) -> None:
    change(draft, **submission(draft))
    witness(draft, "DRAFT", "SUBMITTED")


@pytest.mark.parametrize(
    ("answered", "demanded"),
    [
        ({CHECKERS: 2}, {CHECKERS: 1}),
        ({CHECKERS: 1, "leads": 1}, {CHECKERS: 1}),
        ({CHECKERS: 1}, {CHECKERS: 1, "leads": 1}),
        ({"leads": 1}, {CHECKERS: 1}),
        (None, {CHECKERS: 1}),
    ],
)
def test_a_round_asks_for_what_the_policy_answered(drafted: Made, answered: Words | None, demanded: Words) -> None:
    draft = drafted()
    with refused(NOT_ALLOWED, "its demands are not those of the policy"):
        assess(draft, 1, json.dumps({"demands": answered} if answered else {}))
        for group, count in demanded.items():
            demand(draft, 1, group=group, count=count)
        submit_by_force(draft)


def test_a_round_without_an_answer_does_not_begin(drafted: Made) -> None:
    draft = drafted()
    with refused(NOT_ALLOWED, "its demands are not those of the policy"):
        demand(draft, 1)
        submit_by_force(draft)


def test_a_transfer_is_submitted_under_the_version_in_force(drafted: Made) -> None:
    draft, first = drafted(), Policy.objects.get()
    house.set_policy(rules=[])
    with refused(NOT_ALLOWED, "under the version in force"):
        assess(draft, 1, "{}", policy_id=first.pk)


def test_a_transfer_keeps_its_version(approved: Made) -> None:
    transfer = approved()
    newer = house.set_policy(rules=[])
    with refused(NOT_ALLOWED, "keeps the version"):
        assess(transfer, 2, "{}", policy_id=newer.pk)


@pytest.mark.parametrize("round_", [0, 1, 2])
def test_the_policy_is_not_asked_while_it_is_decided(submitted: Made, round_: int) -> None:
    transfer = submitted()
    with refused(NOT_ALLOWED, "asked when a round begins"):
        assess(transfer, round_, "{}")


# -- people and their decisions -----------------------------------------------------------------------------------


def approve_by_force(transfer: Transfer) -> None:
    change(transfer, state="APPROVED")
    witness(transfer, "SUBMITTED", "APPROVED")


def other_sign_in(of: User) -> User:
    return house.person(f"{of.username}-too", CHECKERS, email=f"{of.username}.too@x.invalid", same_as=of.username)


def test_a_makers_other_sign_in_is_not_their_checker(submitted: Made, maker: User) -> None:
    transfer = submitted()
    too = other_sign_in(maker)
    with refused(NOT_ALLOWED, "its maker is not its checker"):
        decide(transfer, too.pk)


def test_one_person_with_two_sign_ins_decides_once(submitted: Made, checker: User) -> None:
    transfer, too = submitted(amount="20000"), other_sign_in(checker)
    with refused(TWICE, "one person decides once"):
        decide(transfer, checker.pk)
        decide(transfer, too.pk)


def test_two_sign_ins_that_became_one_person_count_once(submitted: Made, checker: User, checker2: User) -> None:
    transfer = submitted(amount="20000")
    with transaction.atomic(durable=True):
        decide(transfer, checker.pk)
        decide(transfer, checker2.pk)
    house.amend(checker2, person=checker.person)
    with refused(NOT_ALLOWED, "APPROVED without its decisions"):
        approve_by_force(transfer)


def test_who_may_not_sign_in_does_not_decide(submitted: Made, checker: User) -> None:
    transfer = submitted()
    house.deactivate(checker)
    with refused(NOT_ALLOWED, "counted for a group"):
        decide(transfer, checker.pk)


def take_back(transfer: Transfer, *, told: bool = True) -> None:
    decision = transfer.decisions.order_by("pk").last()
    assert decision is not None
    sql("INSERT INTO treasury_withdrawal (decision_id, at, reason) VALUES (%s, now(), '')", decision.pk)
    if told:
        witness(transfer, None, "-")


def test_what_was_taken_back_does_not_count(submitted: Made, checker: User) -> None:
    transfer = submitted()
    with transaction.atomic(durable=True):
        decide(transfer, checker.pk)
        take_back(transfer)
    with refused(NOT_ALLOWED, "APPROVED without its decisions"):
        approve_by_force(transfer)
    with transaction.atomic(durable=True):  # and the same person may decide again
        decide(transfer, checker.pk)
        approve_by_force(transfer)


def test_an_approval_that_was_taken_back_is_not_claimed(approved: Made) -> None:
    transfer = approved()
    with transaction.atomic(durable=True):
        take_back(transfer)
    with refused(NOT_ALLOWED, "DISPATCHING without its decisions"):
        change(transfer, state="DISPATCHING")
        witness(transfer, "APPROVED", "DISPATCHING")


def test_nothing_is_taken_back_once_it_may_have_been_sent(approved: Made) -> None:
    transfer = approved()
    with transaction.atomic(durable=True):
        change(transfer, state="DISPATCHING")
        witness(transfer, "APPROVED", "DISPATCHING")
    with refused(NOT_ALLOWED, "before dispatch begins"):
        take_back(transfer)


def test_nothing_is_taken_back_in_silence_or_twice(approved: Made) -> None:
    transfer = approved()
    with refused(NOT_ALLOWED, "the log does not say so"):
        take_back(transfer, told=False)
    with refused(TWICE, "decision_id"):
        take_back(transfer)
        take_back(transfer)


def test_a_rejection_is_not_taken_back(submitted: Made, checker: User) -> None:
    transfer = submitted()
    with refused(NOT_ALLOWED, "before dispatch begins"):
        decide(transfer, checker.pk, verdict="reject", reason="no")
        take_back(transfer)


def test_a_new_round_forgets_earlier_decisions(approved: Made) -> None:
    transfer = approved()
    with transaction.atomic(durable=True):
        begin(transfer, 2)
        change(transfer, state="SUBMITTED", round=2)
        witness(transfer, "APPROVED", "SUBMITTED")
    transfer.refresh_from_db()
    with refused(NOT_ALLOWED, "without its decisions"):
        approve_by_force(transfer)


# -- one natural person -------------------------------------------------------------------------------------------

AS_TWO = "one natural person would count as two"


def test_nobody_becomes_a_person_who_is_not_there(maker: User) -> None:
    with refused(NOT_ALLOWED, AS_TWO):
        house.amend(maker, person="nobody@treasury.invalid")


def test_nobody_leaves_another_sign_in_of_theirs_behind(maker: User, checker: User) -> None:
    other_sign_in(maker)
    with refused(NOT_ALLOWED, AS_TWO):
        house.amend(maker, person=checker.person)


def test_two_sign_ins_do_not_swap_their_persons(maker: User, checker: User) -> None:
    one, other = maker.person, checker.person
    with refused(NOT_ALLOWED, AS_TWO):
        house.amend(maker, person=other)
        house.amend(checker, person=one)


def test_a_sign_in_that_is_somebodys_second_one_is_theirs_at_that_moment(maker: User, checker: User) -> None:
    who = people.Who("eve", "Eve", "Person", "eve@treasury.invalid", same_as="maker")
    with refused(NOT_ALLOWED, "maker is another natural person by now"):
        words = {**people.told(who), "groups": [CHECKERS]}
        house.amend(maker, person=checker.person)
        people.stored(words, [CHECKERS], house.agree("user.enrol", "user:eve", words), timezone.now())


def settled_by_the_second(transfer: Transfer) -> None:
    """That it moved, as the second administrator confirms."""
    number = house.agree("transfer.resolve", transfer.subject, {"moved": True}).pk
    insert(
        "treasury_resolution", {"transfer_id": transfer.pk, "moved": True, "change_id": number, "at": timezone.now()}
    )


def test_a_makers_other_sign_in_does_not_confirm_what_became_of_it(approved: Made) -> None:
    transfer = approved()
    dispatch.claim(reference=transfer.reference, at=timezone.now())
    _, second = house.administrators()
    before = second.person
    house.amend(second, person=transfer.maker.person)
    with refused(NOT_ALLOWED, "its maker does not confirm"):
        settled_by_the_second(transfer)
    assert before != second.person


def test_whoever_is_somebody_else_confirms_what_became_of_it(approved: Made) -> None:
    transfer = approved()
    dispatch.claim(reference=transfer.reference, at=timezone.now())
    with transaction.atomic(durable=True):
        settled_by_the_second(transfer)


@pytest.mark.parametrize("own", [True, False])
def test_a_makers_other_sign_in_does_not_confirm_what_was_done_by_hand(
    own: bool, operator: User, operator2: User, maker: User, checker: User, checker2: User
) -> None:
    desk = hands.desk()
    source, destination = (hands.account_of(desk, operator, operator2, address) for address in ("cold-1", "cold-2"))
    hands.stated(source, "100", maker, checker)
    words = draft.Words(source, destination, "USDT", "10", "Top it up")
    made = draft.draft(words=words, maker=maker, at=timezone.now())
    transfer = hands.asked(hands.approved(made, checker, checker2))
    if own:
        house.amend(house.administrators()[1], person=maker.person)
    allowed = transaction.atomic(durable=True)
    with refused(NOT_ALLOWED, "two people say what was done by hand") if own else allowed:
        house.agree("transfer.confirm", transfer.subject, {"done": False, "record": None, "attempts": 1})
        change(transfer, state="FAILED")
        witness(transfer, "CONFIRMING", "FAILED")


def test_whoever_is_no_checker_any_more_does_not_decide(submitted: Made, checker: User) -> None:
    transfer = submitted()
    house.take(checker, CHECKERS)
    with refused(NOT_ALLOWED, "checker is no checker"):
        decide(transfer, checker.pk, counts_for=[])
    with refused(NOT_ALLOWED, "checker is no checker"):
        decide(transfer, checker.pk, counts_for=[], verdict="reject", reason="no")


@pytest.mark.parametrize("told", [True, False])
def test_nobody_decides_in_silence(submitted: Made, checker: User, told: bool) -> None:
    transfer = submitted(amount="20000")
    allowed = transaction.atomic(durable=True)
    with allowed if told else refused(NOT_ALLOWED, "a transfer was decided on and the log does not say so"):
        witness(transfer, None, "-", subject="transfer:TR-999999")
        decide(transfer, checker.pk, told=told)
