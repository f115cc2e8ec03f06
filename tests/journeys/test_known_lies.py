"""The known ways in which a venue, a wire or a clock lies about money, one by one and by name."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from django.db import connection as database
from django.db import transaction
from django.utils import timezone

import connectors
from connectors import qonto
from connectors.core.errors import Refused, TryLater
from connectors.core.protocol import Instruction
from connectors.core.protocol import State as Found
from connectors.simulators.core import Simulator, serve
from tests.journeys.conftest import pursue
from treasury import tasks
from treasury.models import Connection, Outcome, State, Transfer
from treasury.transfers import attempts, dispatch, settle

pytestmark = pytest.mark.django_db(transaction=True)

Made = Callable[..., Transfer]


def send(transfer: Transfer) -> Transfer:
    dispatch.dispatch(reference=transfer.reference, now=timezone.now)
    transfer.refresh_from_db()
    return transfer


def until_settled(transfer: Transfer) -> None:
    pursue(transfer, until=lambda: transfer.state == State.SETTLED)


def test_a_reset_after_the_request_was_written(approved: Made, venue: Simulator, short_calls: None) -> None:
    venue.fault("answer_lost", match="send")
    transfer = send(approved())
    assert transfer.attempts.get().outcome == Outcome.UNCERTAIN
    until_settled(transfer)
    assert len(venue.effects(transfer.key)) == 1
    assert len(venue.requests("POST")) == 1


def test_200_with_html(approved: Made, venue: Simulator, short_calls: None) -> None:
    venue.fault("garbage", match="send")
    transfer = send(approved())
    assert transfer.attempts.get().outcome == Outcome.UNCERTAIN
    until_settled(transfer)
    assert len(venue.effects(transfer.key)) == 1


def test_500_after_the_move(approved: Made, venue: Simulator, short_calls: None) -> None:
    venue.fault("error_after", match="send")
    transfer = send(approved())
    assert transfer.attempts.get().outcome == Outcome.UNCERTAIN
    until_settled(transfer)
    assert len(venue.effects(transfer.key)) == 1


def test_a_duplicate_key_answer_to_the_very_first_send(approved: Made, venue: Simulator, short_calls: None) -> None:
    """ "That id is taken" proves that some request arrived, and never that nothing moved."""
    venue.fault("refuse", match="send", code=131214)
    transfer = send(approved())
    assert (transfer.state, transfer.attempts.get().outcome) == (State.DISPATCHING, Outcome.UNCERTAIN)
    until_settled(transfer)
    assert len(venue.effects(transfer.key)) == 1


def test_a_rejection_of_a_re_send_after_the_first_one_moved(
    approved: Made, venue: Simulator, short_calls: None
) -> None:
    venue.fault("answer_lost", match="send")
    venue.fault("record_late", match="send", seconds=4)
    transfer = send(approved())
    venue.fault("refuse", match="send", code=131206)
    pursue(transfer, until=lambda: transfer.attempts.filter(outcome=Outcome.REFUSED).exists())
    assert transfer.state == State.DISPATCHING, "the refusal speaks of itself alone"
    until_settled(transfer)
    assert len(venue.effects(transfer.key)) == 1


def test_a_look_up_window_that_has_passed(approved: Made, venue: Simulator, short_calls: None) -> None:
    """After a week the venue shows nothing any more, and that proves nothing."""
    venue.fault("answer_lost", match="send")
    venue.fault("record_late", match="send", seconds=1_000_000)
    transfer = send(approved())
    with transaction.atomic(), database.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(
            "UPDATE treasury_attempt SET claimed_at = claimed_at - interval '200 days',"
            " send_before = send_before - interval '200 days', call_ends_at = call_ends_at - interval '200 days'"
        )
    for _ in range(6):
        Transfer.objects.filter(pk=transfer.pk).update(due_at=timezone.now())
        settle.settle(reference=transfer.reference, now=timezone.now)
    transfer.refresh_from_db()
    assert transfer.state == State.DISPATCHING
    assert {look_up.state for look_up in transfer.look_ups.all()} <= {Found.UNCLEAR.value, "ERROR"}
    assert transfer.attempts.count() == 1, "a key so old may be forgotten: nothing is sent under it"
    assert len(venue.effects(transfer.key)) == 1


def test_a_qonto_key_older_than_30_minutes() -> None:
    """The bank has forgotten it by then: the same key would be a second payment."""
    with serve("qonto") as bank:
        login = connectors.open("qonto", credentials=bank.credentials, base_url=bank.url)
        source, destination = (account.address for account in login.accounts()[:2])
        words = Instruction(
            key=uuid4(), source=source, destination=destination, asset="EUR", amount=Decimal(5), reference="TR-000001"
        )
        bank.fault("rate_limited", match="send")
        with pytest.raises(TryLater):
            login.send(words)
        qonto._keys._first_at[words.key] = datetime.now(UTC) - timedelta(minutes=30)
        with pytest.raises(Refused, match="Nothing moved"):
            login.send(words)
        assert bank.effects() == []


def test_a_record_that_arrives_late(approved: Made, venue: Simulator, short_calls: None) -> None:
    venue.fault("answer_lost", match="send")
    venue.fault("record_late", match="send", seconds=4)
    transfer = send(approved())
    until_settled(transfer)
    assert len(venue.effects(transfer.key)) == 1


def test_a_clock_of_ours_that_jumps(
    approved: Made, venue: Simulator, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ages and deadlines would lie: a worker whose clock is not the database's does nothing at all."""
    transfer = approved()
    with monkeypatch.context() as patch:
        patch.setattr("django.utils.timezone.now", lambda: datetime.now(UTC) + timedelta(hours=1))
        tasks.dispatch_connection(connection.pk)
        tasks.tick_expire()
    transfer.refresh_from_db()
    assert transfer.state == State.APPROVED
    assert venue.effects() == []
    tasks.dispatch_connection(connection.pk)
    transfer.refresh_from_db()
    assert transfer.state == State.SETTLED


def test_a_clock_of_ours_that_jumps_between_the_claim_and_the_call(approved: Made, venue: Simulator) -> None:
    """The transport looks at the clock again just before it writes."""
    transfer = approved()
    attempt = dispatch.claim(reference=transfer.reference, at=timezone.now())
    assert attempt is not None
    attempt.send_before = timezone.now() - timedelta(milliseconds=1)  # as the clock says after the jump
    assert isinstance(attempts.call(attempt), TryLater)
    assert venue.effects() == []
