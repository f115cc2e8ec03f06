"""The log and its keepers: nobody takes from it alone, and nothing happens that it does not tell of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.db import DatabaseError
from django.utils import timezone

from tests import house
from tests.audit.log import seal_all
from tests.house import person
from tests.models import two_roles
from tests.models.attack import everything, sql
from tests.models.two_roles import refusal_of, session
from tests.statements.cases import CASES, Scene
from tests.statements.proves import proves
from treasury.audit import anchors, chain
from treasury.controls import changes, memberships, people, stops
from treasury.controls.memberships import Wish
from treasury.controls.roles import AUDITORS, OPERATORS, ROLES, groups_of
from treasury.models import Account, AuditEntry, Ruling, State, Transfer, User
from treasury.transfers import approve, cancel, dispatch, draft, submit, withdraw
from treasury.web.changes import CONFIRM

pytestmark = pytest.mark.django_db(transaction=True)

LOG = ("treasury_auditentry", "treasury_auditlink", "treasury_auditbatch")
TAKEN_AWAY = (
    "DELETE FROM {table}",
    "TRUNCATE {table} CASCADE",
    "DROP TABLE {table} CASCADE",
    "ALTER TABLE {table} DISABLE TRIGGER ALL",
    "ALTER TABLE {table} RENAME TO elsewhere",
    "ALTER TABLE {table} SET SCHEMA pgmq",
    "WITH gone AS (DELETE FROM {table} RETURNING *) SELECT * INTO TEMPORARY elsewhere FROM gone",
)
MAY_NOT, FROZEN = "42501", "23001"


@proves(
    "S27",
    "treasury/controls/database_role.py:grant",
    "treasury/migrations/0002_guards.py:guard",
    "treasury/audit/chain.py:verify",
    "treasury/audit/anchors.py:fits",
)
def test_s27_no_one_person_deletes_or_moves_audit_data(operator: User) -> None:
    """The application cannot at all. The owner, whose password two people keep in halves, cannot past the triggers;
    and what the two do to the triggers, the chain and the anchors outside the database tell."""
    login = house.bare_connection("Bybit main")
    seal_all()
    stops.stop(connection=login, reason="drill", by=operator, at=timezone.now())
    seal_all()
    anchors.append(at=timezone.now())
    kept = AuditEntry.objects.count()
    assert kept > 2

    with two_roles.application() as application, session(application) as opened:
        for table in LOG:
            for statement in TAKEN_AWAY:
                assert refusal_of(opened, statement.format(table=table)) == MAY_NOT, statement
        assert refusal_of(opened, "SET session_replication_role = replica") == MAY_NOT

    with two_roles.owner(*LOG) as owner, session(owner) as opened:
        for table in LOG:
            for statement in (
                "DELETE FROM {table}",
                "TRUNCATE {table} CASCADE",
                "UPDATE {table} SET {column} = {column}",
            ):
                column = "at" if table == LOG[0] else "hash"
                assert refusal_of(opened, statement.format(table=table, column=column)) == FROZEN, statement
        assert refusal_of(opened, "SET session_replication_role = replica") == MAY_NOT
        assert AuditEntry.objects.count() == kept

        # What is left to the two who keep the owner's password, together: and it is told.
        with past_the_triggers(opened):  # the newest, with its links and its batch: nothing inside speaks of it
            for statement in THE_NEWEST_BATCH:
                opened.execute(statement.format(first="(SELECT max(first_seq) FROM treasury_auditbatch)"))
        assert AuditEntry.objects.count() < kept
        assert not AuditEntry.objects.filter(action="stop.order").exists()
        assert chain.verify().first_break is None
        assert "fewer log entries" in (anchors.fits() or ""), "the anchor outside tells"
        with pytest.raises(anchors.NotAnchored):
            anchors.append(at=timezone.now())

        with past_the_triggers(opened):
            opened.execute("DELETE FROM treasury_auditentry WHERE id = (SELECT min(id) FROM treasury_auditentry)")
        assert chain.verify().first_break is not None


THE_NEWEST_BATCH = (
    "DELETE FROM treasury_auditentry WHERE id IN (SELECT entry_id FROM treasury_auditlink WHERE seq >= {first})",
    "DELETE FROM treasury_auditlink WHERE seq >= {first}",
    "DELETE FROM treasury_auditbatch WHERE first_seq = {first}",
)


@contextmanager
def past_the_triggers(opened: psycopg.Connection) -> Iterator[None]:
    """A transaction of the owner's in which the log's own triggers are switched off."""
    for table in LOG:
        opened.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    yield
    for table in LOG:
        opened.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
    opened.commit()


@proves(
    "S29",
    "treasury/controls/roles.py:groups_of",
    "treasury/controls/database_role.py:grant",
    "treasury/controls/changes.py:why_not_propose",
    "treasury/controls/changes.py:why_not_decide",
    "treasury/controls/stops.py:stop",
)
def test_s29_who_keeps_the_log_is_not_who_runs_the_system(operator: User, operator2: User, auditor: User) -> None:
    """Auditors read it and operators run the venues: neither role confers the other, not even with the superuser flag,
    and no operator can make anyone an auditor. In the database the application writes entries and owns none."""
    assert operator.is_superuser
    assert groups_of(operator) == {OPERATORS}
    assert groups_of(auditor) == {AUDITORS}
    at = timezone.now()
    house.person("newcomer")
    administrator, _ = house.administrators()
    asked = {"wishes": [Wish("newcomer", AUDITORS, member=True)], "reason": "to read it", "at": at}
    for other in (operator, auditor):
        assert changes.why_not_propose(people.MEMBERSHIPS, other)
        with pytest.raises(changes.MayNotChange):
            memberships.propose_memberships(by=other, **asked)
    waits = memberships.propose_memberships(by=administrator, **asked)
    for other in (operator, operator2, auditor):
        assert changes.why_not_decide(waits, other)
        with pytest.raises(changes.MayNotChange):
            memberships.confirm_memberships(change_id=waits.pk, by=other, digest=waits.digest, at=at)
    with pytest.raises(stops.MayNotStop):  # and an auditor runs nothing
        stops.stop(connection=house.bare_connection("Bybit main"), reason="x", by=auditor, at=at)
    for role in ROLES:
        assert groups_of(house.person(role.replace(" ", "-"), role)) == {role}, "holding a role confers no other"

    with two_roles.application() as application, two_roles.owner(*LOG) as owner, session(application) as opened:
        for table in LOG:
            rights = "has_table_privilege(%s, 'INSERT'), has_table_privilege(%s, 'UPDATE, DELETE, TRUNCATE')"
            assert opened.execute(f"SELECT {rights}", [table, table]).fetchone() == (True, False)
        member = opened.execute("SELECT pg_has_role(%s, 'MEMBER')", [owner]).fetchone()
        assert member == (False,), "who serves people cannot become who keeps the tables"


# -- the act and its entry ----------------------------------------------------------------------------------------


@contextmanager
def the_log_is_full() -> Iterator[None]:
    """No entry can be written, as on a full disk."""
    sql(
        "CREATE FUNCTION full_log() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN RAISE EXCEPTION ''no space left for the log''; END'"
    )
    sql("CREATE TRIGGER full_log BEFORE INSERT ON treasury_auditentry FOR EACH ROW EXECUTE FUNCTION full_log()")
    try:
        yield
    finally:
        sql("DROP FUNCTION full_log() CASCADE")


class House:
    """Transfers in every state that an act begins with, and a stop."""

    def __init__(self, drafted: Callable[..., Transfer], fund: Account, maker: User, checker: User) -> None:
        self.at = timezone.now()
        self.maker, self.checker, self.fund = maker, checker, fund
        self.first, _ = house.administrators()
        self.operator, self.other = person("ops", OPERATORS), person("ops2", OPERATORS)
        self.draft, self.submitted, self.approved, self.spare = drafted(), drafted(), drafted(), drafted()
        for transfer in (self.submitted, self.approved, self.spare):
            submit.submit(reference=transfer.reference, maker=maker, at=self.at)
            transfer.refresh_from_db()
        for transfer in (self.approved, self.spare):
            self.decide(transfer)
        order = stops.stop(asset="XYZ", reason="drill", by=self.operator, at=self.at)
        self.waiting = stops.propose_release(stop_order_id=order.pk, by=self.operator, reason="x", at=self.at)

    def decide(self, transfer: Transfer) -> Any:
        said = {"digest": transfer.digest or "", "round": transfer.round, "factor": "password"}
        return approve.approve(reference=transfer.reference, checker=self.checker, at=self.at, **said)

    def reject(self, transfer: Transfer) -> Any:
        said = {"digest": transfer.digest or "", "round": transfer.round, "factor": "password", "reason": "no"}
        return approve.reject(reference=transfer.reference, checker=self.checker, at=self.at, **said)

    def redrafted(self) -> Any:
        words = draft.Words(self.draft.source, self.draft.destination, "USDT", "3", "x")
        return draft.draft(words=words, maker=self.maker, at=self.at)


# What one person does, and the dispatcher.
ACTS: dict[str, Callable[[House], Any]] = {
    "draft": lambda own: own.redrafted(),
    "submit": lambda own: submit.submit(reference=own.draft.reference, maker=own.maker, at=own.at),
    "approve": lambda own: own.decide(own.submitted),
    "reject": lambda own: own.reject(own.submitted),
    "withdraw": lambda own: withdraw.withdraw(reference=own.spare.reference, checker=own.checker, at=own.at),
    "cancel": lambda own: cancel.cancel(reference=own.draft.reference, by=own.maker, at=own.at),
    "dispatch": lambda own: dispatch.claim(reference=own.approved.reference, at=timezone.now()),
    "stop": lambda own: stops.stop(connection=own.fund.connection, reason="x", by=own.operator, at=own.at),
    "end a sign-in": lambda own: people.deactivate(user=own.maker, reason="x", by=own.first, at=own.at),
    "decline": lambda own: changes.decline(change_id=own.waiting.pk, by=own.other, reason="no", at=own.at),
    "take back": lambda own: changes.withdraw(change_id=own.waiting.pk, by=own.operator, at=own.at),
}


@pytest.mark.parametrize("what", ["what one person does", *sorted(changes.RIGHTS)])
@proves("S30", "treasury/audit/record.py:record", "treasury/migrations/0002_guards.py:guard")
def test_s30_an_act_whose_entry_cannot_be_written_does_not_happen(what: str, request: pytest.FixtureRequest) -> None:
    """Every step of a transfer, and both halves of every change that takes two: with room in the log it is done."""
    if what in changes.RIGHTS:
        insist_on_entries_of(what, request.getfixturevalue("scene"))
        return
    own = House(*(request.getfixturevalue(name) for name in ("drafted", "fund", "maker", "checker")))
    for name, act in ACTS.items():
        undone(name, lambda: act(own))  # noqa: B023
    for name in ("withdraw", "approve", "submit", "dispatch", "decline"):
        ACTS[name](own)
    own.submitted.refresh_from_db()
    assert own.submitted.state == State.APPROVED


def insist_on_entries_of(kind: str, scene: Scene) -> None:
    propose = CASES[kind][0](scene)
    said = {"reason": "As we agreed", "by": scene.first, "at": timezone.now()}
    undone(f"propose {kind}", lambda: propose(said))
    change = propose(said)
    verb, more = CONFIRM[kind]
    look = change.first_looks.last()
    also = {"typed": change.subject.removeprefix("transfer:"), "login": look.login if look else ""}
    words = {"change_id": change.pk, "by": scene.second, "digest": change.digest, "at": timezone.now()}
    words |= {more: also[more]} if more else {}
    undone(f"confirm {kind}", lambda: verb(**words))
    verb(**words)
    change.refresh_from_db()
    assert change.ruling == Ruling.APPLIED


def undone(name: str, act: Callable[[], Any]) -> None:
    with the_log_is_full():
        before = everything()
        with pytest.raises(DatabaseError, match="no space left for the log"):
            act()
        assert everything() == before, name


def test_every_change_that_takes_two_is_among_those_whose_entry_cannot_be_written() -> None:
    assert set(CASES) == set(changes.RIGHTS) == set(CONFIRM)
