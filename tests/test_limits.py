"""A venue's limits hold across every process: one count, kept in the database, and nobody sleeps."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connections
from django.utils import timezone

from connectors.simulators.core import Simulator
from treasury import venues
from treasury.models import Balance, CallWindow, Connection, ConnectionHealth, State, Transfer
from treasury.transfers import dispatch, settle

pytestmark = pytest.mark.django_db


def used_up(connection: Connection, errand: str) -> timedelta:
    """As many calls as the venue allows, all made a moment ago; how long the window is."""
    limit = venues.declared(connection.venue).limits[errand]
    just_now = timezone.now()
    CallWindow.objects.update_or_create(
        connection=connection, errand=errand, defaults={"taken": [just_now] * limit.calls}
    )
    return limit.per


def test_a_call_beyond_the_limit_is_put_off_to_its_time(connection: Connection) -> None:
    per = used_up(connection, "send")
    with pytest.raises(venues.PutOff) as put_off:
        venues.open_connection(connection, "send")
    assert timedelta(0) < put_off.value.retry_at - timezone.now() <= per
    assert venues.why_wait(connection, "send", timezone.now() + per) is None


def test_an_approved_transfer_waits_for_its_turn_and_no_attempt_is_burnt(approved: Callable[..., Transfer]) -> None:
    transfer = approved()
    used_up(transfer.connection, "send")
    assert dispatch.claim(reference=transfer.reference, at=timezone.now()) is None
    transfer.refresh_from_db()
    assert transfer.state == State.APPROVED
    assert "are made already" in transfer.held
    assert transfer.due_at is not None
    assert transfer.due_at > timezone.now()
    then = transfer.due_at + timedelta(milliseconds=1)
    Balance.objects.update(observed_at=then)
    assert dispatch.claim(reference=transfer.reference, at=then) is not None


def test_a_look_up_waits_for_its_turn_without_being_written_down_as_one(
    approved: Callable[..., Transfer], venue: Simulator
) -> None:
    venue.fault("answer_lost", match="send")
    transfer = approved()
    dispatch.dispatch(reference=transfer.reference, now=timezone.now)
    used_up(transfer.connection, "look_up")
    settle.settle(reference=transfer.reference, now=lambda: timezone.now() + timedelta(seconds=5))
    assert not transfer.look_ups.exists()


def test_a_limit_that_the_venue_names_stops_the_whole_connection_until_then(
    approved: Callable[..., Transfer], venue: Simulator
) -> None:
    venue.fault("banned", match="send")
    first, second = approved(), approved(amount="3")
    dispatch.dispatch(reference=first.reference, now=timezone.now)
    until = ConnectionHealth.objects.get().limited_until
    assert until is not None
    assert until > timezone.now() + timedelta(minutes=5)
    dispatch.dispatch(reference=second.reference, now=timezone.now)
    second.refresh_from_db()
    assert "limited by the venue until" in second.held
    assert second.due_at == until
    assert len(venue.requests("POST")) == 1


@pytest.mark.django_db(transaction=True)
def test_many_workers_together_take_no_more_turns_than_there_are(connection: Connection) -> None:
    limit = venues.declared(connection.venue).limits["send"]
    CallWindow.objects.all().delete()

    def take(_: int) -> bool:
        try:
            venues.open_connection(connection, "send")
        except venues.PutOff:
            return False
        finally:
            connections.close_all()
        return True

    with ThreadPoolExecutor(8) as pool:
        taken = sum(pool.map(take, range(limit.calls + 20)))
    assert taken == limit.calls
