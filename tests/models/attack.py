"""How the guards are attacked: plain SQL, real commits, and a look at every table before and after."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest
from django.apps import apps
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from treasury.audit.record import Machine, record
from treasury.models import AuditEntry, State, Transfer
from treasury.transfers import instruction

ATTACKER = Machine("attacker")
FROZEN, NOT_ALLOWED, TWICE = "23001", "23514", "23505"


def sql(text: str, *params: Any) -> list[tuple[Any, ...]]:
    """Plain SQL, past the product's own code."""
    with connection.cursor() as cursor:
        cursor.execute(text, params or None)
        return cursor.fetchall() if cursor.description else []


def everything() -> dict[str, str]:
    """A digest of every row of every table of ours."""
    tables = sorted(model._meta.db_table for model in apps.get_app_config("treasury").get_models())
    digests = " UNION ALL ".join(
        f"SELECT '{table}', coalesce(md5(string_agg(t::text, '|' ORDER BY t::text)), '') FROM {table} t"
        for table in tables
    )
    return dict(sql(digests))


@contextmanager
def refused(sqlstate: str, words: str) -> Iterator[None]:
    """The transaction that this block is fails, for this very reason, and leaves nothing behind."""
    before = everything()
    with pytest.raises(DatabaseError) as raised, transaction.atomic(durable=True):
        yield
    assert getattr(raised.value.__cause__, "sqlstate", None) == sqlstate, raised.value
    assert words in str(raised.value)
    assert everything() == before


@contextmanager
def guards_asleep() -> Iterator[None]:
    """A transaction in which no trigger fires, as only the database's superuser can have one."""
    with transaction.atomic(durable=True):
        sql("SET LOCAL session_replication_role = replica")
        yield


def witness(
    transfer: Transfer, before: str | None, after: str, *, result: str = "done", subject: str | None = None
) -> AuditEntry:
    """The entry that a change of state must come with."""
    return record(
        at=timezone.now(),
        by=ATTACKER,
        action="transfer.attack",
        subject=subject or transfer.subject,
        facts={"from": before, "to": after},
        result=result,
    )


def demand(transfer: Transfer, round_: int, *, group: str = "checkers", count: int = 1) -> None:
    sql(
        'INSERT INTO treasury_demand (transfer_id, round, "group", count) VALUES (%s, %s, %s, %s)',
        transfer.pk,
        round_,
        group,
        count,
    )


def begin(transfer: Transfer, round_: int, **demands: int) -> None:
    """What a submit writes for a round: the policy's answer, and its demands."""
    demands = demands or {"checkers": 1}
    assess(transfer, round_, json.dumps({"demands": demands}))
    for group, count in demands.items():
        demand(transfer, round_, group=group, count=count)


def assess(transfer: Transfer, round_: int, answer: str, **other: Any) -> None:
    """An answer of the policy as the product would write it, but for the columns named."""
    ((policy,),) = sql("SELECT id FROM treasury_policy ORDER BY number DESC LIMIT 1")
    columns = {"transfer_id": transfer.pk, "round": round_, "policy_id": policy, "at": timezone.now(), **other}
    insert("treasury_assessment", {**columns, "circumstances": "{}", "answer": answer})


def decide(transfer: Transfer, by: int, *, told: bool = True, **other: Any) -> None:
    """A decision as the product would write it, with an entry in the log, but for the columns named."""
    columns = {
        "transfer_id": transfer.pk,
        "round": transfer.round,
        "verdict": "approve",
        "by_id": by,
        "at": timezone.now(),
        "digest": transfer.digest,
        "instruction": transfer.instruction,
        "counts_for": ["checkers"],
        "factor": "password",
        "reason": "",
        **other,
    }
    insert("treasury_decision", columns)
    if told:
        witness(transfer, None, "-")


def attempt(transfer: Transfer, number: int, **other: Any) -> None:
    at = timezone.now()
    columns = {
        "transfer_id": transfer.pk,
        "number": number,
        "kind": "send",
        "claimed_at": at,
        "send_before": at,
        "call_ends_at": at,
        "worker": "attacker",
        "words": "",
        "evidence": "{}",
        "before": "{}",
        **other,
    }
    insert("treasury_attempt", columns)


def insert(table: str, columns: dict[str, Any]) -> None:
    names, places = ", ".join(columns), ", ".join(["%s"] * len(columns))
    sql(f"INSERT INTO {table} ({names}) VALUES ({places})", *columns.values())


def change(transfer: Transfer, **columns: Any) -> None:
    """UPDATE of a transfer's columns; a new state comes with the columns that its row constraints ask for."""
    if "state" in columns:
        columns = {"due_at": timezone.now(), "outcome": "By force.", **columns}
    places = ", ".join(f"{name} = %s" for name in columns)
    sql(f"UPDATE treasury_transfer SET {places} WHERE id = %s", *columns.values(), transfer.pk)


def submission(transfer: Transfer) -> dict[str, Any]:
    """The columns that a submit writes."""
    transfer.key = uuid4()
    text, at = instruction.compose(transfer), timezone.now()
    return {
        "state": "SUBMITTED",
        "round": transfer.round + 1,
        "key": transfer.key,
        "instruction": text,
        "digest": instruction.digest(text),
        "submitted_at": at,
        "expires_at": at,
    }


def place(transfer: Transfer, state: State) -> None:
    """Put a submitted transfer into any state at all, past the guards."""
    with guards_asleep():
        change(transfer, state=state.value, held="")
    transfer.refresh_from_db()
