"""Rules, sums and limits of a venue or connection see money that leaves it by hand, whoever carries it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.utils import timezone

from tests.house import set_policy
from tests.transfers.hands import account_of, desk, stated
from treasury.audit.record import canonical
from treasury.controls import policy
from treasury.controls.roles import CHECKERS
from treasury.models import Account, Transfer, User
from treasury.transfers import assess, draft, limits, submit

pytestmark = pytest.mark.django_db

ALL = {"name": "All", "demands": {CHECKERS: 1}}


@pytest.fixture
def cold(operator: User, operator2: User) -> Account:
    """A wallet of the desk, where people move money by hand."""
    found = account_of(desk(), operator, operator2)
    stated(found, "500", operator, operator2)
    return found


def by_hand(source: Account, destination: Account, maker: User, amount: str = "60") -> Transfer:
    words = draft.Words(source, destination, "USDT", amount, "Out of reach")
    found = draft.draft(words=words, maker=maker, at=timezone.now())
    assert found.connection.by_hand
    return found


def submitted(transfer: Transfer) -> Transfer:
    return submit.submit(reference=transfer.reference, maker=transfer.maker, at=timezone.now())


def denied(transfer: Transfer) -> str:
    with pytest.raises(policy.Denied) as refusal:
        submitted(transfer)
    return refusal.value.sentence


@pytest.mark.parametrize("kind", ["venues", "connections"])
def test_what_is_forbidden_at_a_venue_does_not_leave_it_by_hand(
    unified: Account, cold: Account, maker: User, kind: str
) -> None:
    connection = unified.connection
    name = connection.venue if kind == "venues" else connection.name
    set_policy(rules=[{"name": "Never", "when": {kind: [name.lower()]}, "forbids": True}, ALL])
    assert denied(by_hand(unified, cold, maker)) == "The rule “Never” forbids it."
    assert denied(by_hand(cold, unified, maker)) == "The rule “Never” forbids it."


@pytest.mark.parametrize("kind", ["venues", "connections"])
def test_a_rule_of_the_desk_decides_of_what_it_carries(unified: Account, cold: Account, maker: User, kind: str) -> None:
    name = cold.connection.venue if kind == "venues" else cold.connection.name
    set_policy(rules=[{"name": "By hand", "when": {kind: [name]}, "demands": {CHECKERS: 2}}, ALL])
    transfer = submitted(by_hand(unified, cold, maker))
    assert transfer.demands.get().count == 2


def test_a_rule_that_names_none_of_them_says_which_they_are(unified: Account, cold: Account, maker: User) -> None:
    set_policy(rules=[{"name": "Elsewhere", "when": {"connections": ["Nowhere"]}, "demands": {CHECKERS: 2}}, ALL])
    transfer = submitted(by_hand(unified, cold, maker))
    why = json.loads(transfer.assessments.get().answer)["verdicts"][0]["why"]
    assert why == "Its connections are By hand and Bybit main, which the rule does not name."


@pytest.mark.parametrize("of", ["venue", "connection"])
def test_limits_and_sums_count_what_leaves_by_hand_and_what_is_carried_together(
    unified: Account, fund: Account, cold: Account, maker: User, of: str
) -> None:
    by_sum = {"name": "Much", "when": {"volume": {"of": of, "over": "100"}}, "demands": {CHECKERS: 2}}
    set_policy(rules=[by_sum, ALL])
    words = draft.Words(unified, fund, "USDT", "60", "Within")
    submitted(draft.draft(words=words, maker=maker, at=timezone.now()))
    transfer = submitted(by_hand(unified, cold, maker))
    assert transfer.demands.get().count == 2, "60 within the venue and 60 out of it"
    known: dict[str, Any] = json.loads(transfer.assessments.get().circumstances)
    assert known["volumes"] == {f"{of}/24/asset": "120"}


@pytest.mark.parametrize("of", ["venue", "connection"])
def test_a_limit_is_reached_by_what_left_by_hand(
    unified: Account, fund: Account, cold: Account, maker: User, approved: Any, of: str
) -> None:
    approved(amount="60")
    set_policy(limits=[{"of": of, "most": "100"}])
    assert "sent or approved out of Bybit" in denied(by_hand(unified, cold, maker))
    into = by_hand(cold, unified, maker)
    assert limits.reached(into, policy.book_in_force(), timezone.now(), waiting=True) is None, "it leaves the desk"


def test_what_was_kept_before_it_was_asked_replays_letter_for_letter(approved: Any) -> None:
    asked = approved().assessments.get()
    known = json.loads(asked.circumstances)
    assert known.pop("venues") == ["bybit"]
    assert known.pop("connections") == ["Bybit main"]
    asked.circumstances = canonical(known)
    assert assess.holds(asked)
