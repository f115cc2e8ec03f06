"""The table, the function and the trigger agree on every pair of states."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from django.db import DatabaseError, transaction
from django.utils import timezone

from tests.models.attack import ATTACKER, begin, change, decide, guards_asleep, place, sql, witness
from treasury.models import NEXT, State, Transfer, User
from treasury.transfers import lifecycle

pytestmark = pytest.mark.django_db(transaction=True)

PAIRS = [(before, after) for before in State for after in State if before != after]


@pytest.fixture
def transfer(submitted: Callable[..., Transfer]) -> Transfer:
    return submitted()


def pairs(transfer: Transfer, checker: User) -> Iterator[tuple[State, State]]:
    """Every pair, with the transfer in its first state and lacking nothing else for the step."""
    for before, after in PAIRS:
        place(transfer, before)
        with guards_asleep():
            sql("DELETE FROM treasury_demand")
            sql("DELETE FROM treasury_decision")
            sql("DELETE FROM treasury_assessment")
            begin(transfer, transfer.round)
            begin(transfer, transfer.round + 1)
            decide(transfer, checker.pk)
        yield before, after


def next_round(transfer: Transfer, after: State) -> int:
    return transfer.round + (after == State.SUBMITTED)


def test_the_table_names_every_state() -> None:
    assert set(NEXT) == set(State)


def test_the_trigger_and_the_table_agree_on_every_pair(transfer: Transfer, checker: User) -> None:
    allowed = set()
    for before, after in pairs(transfer, checker):
        refusal = ""
        try:
            with transaction.atomic(durable=True):
                change(transfer, state=after.value, round=next_round(transfer, after))
                witness(transfer, before.value, after.value)
            allowed.add((before, after))
        except DatabaseError as error:
            refusal = str(error)
        assert (before, after) in allowed or f"{before.value} may not become {after.value}" in refusal
        transfer.refresh_from_db()
        assert transfer.state == (after if (before, after) in allowed else before)
    assert allowed == {(before, after) for before, after in PAIRS if after in NEXT[before]}


def test_the_function_and_the_table_agree_on_every_pair_and_the_trigger_lets_it_through(
    transfer: Transfer, checker: User
) -> None:
    allowed = set()
    for before, after in pairs(transfer, checker):
        try:
            with transaction.atomic(durable=True):
                lifecycle.advance(
                    lifecycle.locked(transfer.reference),
                    after,
                    by=ATTACKER,
                    at=timezone.now(),
                    action="transfer.attack",
                    round=next_round(transfer, after),
                    due_at=timezone.now(),
                    outcome="By force.",
                )
        except lifecycle.NotALegalStep:
            pass
        else:
            allowed.add((before, after))
        transfer.refresh_from_db()
        assert transfer.state == (after if (before, after) in allowed else before)
    assert allowed == {(before, after) for before, after in PAIRS if after in NEXT[before]}


def test_a_step_to_the_same_state_is_no_step(transfer: Transfer) -> None:
    for state in State:
        place(transfer, state)
        with pytest.raises(lifecycle.NotALegalStep), transaction.atomic():
            lifecycle.advance(
                lifecycle.locked(transfer.reference), state, by=ATTACKER, at=timezone.now(), action="transfer.attack"
            )


def test_a_step_on_a_transfer_that_moved_on_meanwhile_changes_nothing(transfer: Transfer) -> None:
    stale = Transfer.objects.get(pk=transfer.pk)
    place(transfer, State.CANCELLED)
    with pytest.raises(lifecycle.Overtaken), transaction.atomic():
        lifecycle.advance(stale, State.REJECTED, by=ATTACKER, at=timezone.now(), action="transfer.attack")
    transfer.refresh_from_db()
    assert transfer.state == State.CANCELLED
