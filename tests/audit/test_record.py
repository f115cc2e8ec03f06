"""The witness: what an entry says, and what it refuses to say."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction

from tests.house import amend, deactivate, give, take
from treasury.audit.record import ORIGIN, Machine, Origin, OutsideTransaction, record
from treasury.models import AuditEntry, State, User

AT = datetime(2026, 11, 20, 9, 0, 0, 5, tzinfo=UTC)
SOMEONE = Machine("tests")


def written(facts: dict[str, Any] | None = None, **other: Any) -> AuditEntry:
    said = {"at": AT, "by": SOMEONE, "action": "test.write", "subject": "test:1", "facts": facts, **other}
    entry = record(**said)
    return AuditEntry.objects.get(pk=entry.pk)


@pytest.mark.django_db(transaction=True)
def test_an_entry_outside_a_transaction_is_refused() -> None:
    with pytest.raises(OutsideTransaction, match="belongs to the transaction of its act"):
        written()
    assert not AuditEntry.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_an_act_that_is_rolled_back_leaves_no_entry() -> None:
    with transaction.atomic():
        written()
        transaction.set_rollback(True)
    assert not AuditEntry.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("value", [1.5, 0.0, float("nan"), float("inf"), {1, 2}, b"bytes", object()])
@pytest.mark.parametrize("wrap", [lambda value: value, lambda value: [value], lambda value: {"in": {"deep": value}}])
def test_what_has_no_exact_form_is_refused(value: object, wrap: Any) -> None:
    with pytest.raises(TypeError, match="has no exact form"):
        written({"value": wrap(value)})
    assert not AuditEntry.objects.exists()


@pytest.mark.django_db
def test_amounts_are_plain_and_exact() -> None:
    amount = Decimal("1000000000000000000000000.000000000000000001")
    entry = written({"amount": amount, "small": Decimal("1E-18"), "round": Decimal("12.500"), "big": Decimal("1E+3")})
    assert entry.facts == {
        "amount": "1000000000000000000000000.000000000000000001",
        "small": "0.000000000000000001",
        "round": "12.5",
        "big": "1000",
    }


@pytest.mark.django_db
def test_the_canonical_text_is_sorted_and_has_no_spaces() -> None:
    entry = written({"b": 1, "a": [True, None, "Zürich – ₿"], "when": AT, "state": State.DRAFT})
    assert entry.canonical == (
        '{"action":"test.write","at":"2026-11-20T09:00:00.000005Z",'
        '"facts":{"a":[true,null,"Zürich – ₿"],"b":1,"state":"DRAFT","when":"2026-11-20T09:00:00.000005Z"},'
        f'"id":"{entry.pk}","origin":null,"result":"done","subject":"test:1","v":1,'
        f'"who":{{"id":"machine:tests","name":"tests","roles":[]}},"xid":"{entry.xid}"}}'
    )


@pytest.mark.django_db
def test_the_columns_repeat_the_text() -> None:
    entry = written({"x": 1}, result="refused")
    told = json.loads(entry.canonical)
    assert (entry.action, entry.subject, entry.result) == (told["action"], told["subject"], told["result"])
    assert (entry.who, entry.actor) == (told["who"]["id"], told["who"]["name"])
    assert (entry.facts, str(entry.pk), entry.xid) == (told["facts"], told["id"], told["xid"])


@pytest.mark.django_db
def test_a_time_of_another_zone_is_written_in_utc() -> None:
    entry = written(at=AT.astimezone(timezone(timedelta(hours=5, minutes=45))))
    assert json.loads(entry.canonical)["at"] == "2026-11-20T09:00:00.000005Z"
    assert entry.at == AT


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("a\0b", "a\ufffdb"),
        ("\0", "\ufffd"),
        ("lone \ud800 surrogate", "lone ? surrogate"),
        ("\udfff\ud800", "??"),
        ("\x01\x1f\u2028", "\x01\x1f\u2028"),
        ('"quoted" \\ and \\n', '"quoted" \\ and \\n'),
        ("typed as \\u0000", "typed as \\u0000"),
        ("\U0001f4b6", "\U0001f4b6"),
    ],
)
def test_no_text_keeps_an_entry_from_being_written(text: str, kept: str) -> None:
    entry = written({text: text, "list": [text]}, subject=f"test:{text}")
    assert entry.facts == {kept: kept, "list": [kept]}
    assert entry.subject == f"test:{kept}"


@pytest.mark.django_db
def test_a_text_as_long_as_a_venue_may_answer_is_kept() -> None:
    entry = written({"words": "€" * 1_000_000})
    assert entry.facts == {"words": "€" * 1_000_000}


@pytest.mark.django_db
def test_an_entry_keeps_the_actor_as_they_were(maker: User) -> None:
    give(maker, "a second role")
    entry = written(by=maker)
    take(maker)
    amend(maker, first_name="Renamed")
    deactivate(maker)
    entry.refresh_from_db()
    assert json.loads(entry.canonical)["who"] == {
        "id": f"user:{maker.pk}",
        "name": "maker",
        "roles": ["a second role", "makers"],
    }


@pytest.mark.django_db
def test_nobody_and_machines_are_named_as_such() -> None:
    assert (written(by=None).who, written(by=Machine("clock")).who) == ("nobody", "machine:clock")


@pytest.mark.django_db
def test_the_socket_and_the_proxys_word_are_kept_apart() -> None:
    token = ORIGIN.set(Origin(peer="10.0.0.1", client="203.0.113.9"))
    try:
        entry = written()
    finally:
        ORIGIN.reset(token)
    assert json.loads(entry.canonical)["origin"] == {"peer": "10.0.0.1", "client": "203.0.113.9"}
    assert json.loads(written().canonical)["origin"] is None


@pytest.mark.django_db(transaction=True)
def test_entries_of_one_transaction_share_its_id_and_others_do_not() -> None:
    with transaction.atomic():
        first = written()
        with transaction.atomic():
            second = written()
    with transaction.atomic():
        third = written()
    assert first.xid == second.xid != third.xid
