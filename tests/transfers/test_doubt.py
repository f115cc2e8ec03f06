"""When so many outcomes are unknown that the product stops by itself; and what a restored database has forgotten."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.conf import settings
from django.utils import timezone

from connectors.core.protocol import State as Found
from connectors.simulators.core import Simulator
from tests.conftest import release
from tests.transfers.doubts import PERHAPS, concluded, later, note, says
from treasury.controls import changes, restores, stops
from treasury.models import AuditEntry, Contradiction, Home, LookUp, State, StopOrder, Transfer, User
from treasury.tasks import look_back_connection
from treasury.transfers import cancel, dispatch, doubt, settle

pytestmark = pytest.mark.django_db

Made = Callable[..., Transfer]


@pytest.fixture
def doubts(approved: Made) -> Callable[[int], list[Transfer]]:
    """So many transfers of different amounts, each with an unknown outcome."""

    def make(count: int) -> list[Transfer]:
        first = Transfer.objects.count() + 1
        return [concluded(approved(amount=str(amount)), PERHAPS) for amount in range(first, first + count)]

    return make


def test_too_many_unknown_outcomes_stop_the_connection_and_say_why(doubts: Callable[[int], list[Transfer]]) -> None:
    made = doubts(settings.DOUBT_TRIP_COUNT - 1)
    assert not StopOrder.objects.exists()
    made += doubts(1)
    order = StopOrder.objects.get()
    assert (order.connection, order.by) == (made[0].connection, "doubt")
    assert "the outcomes of 3 transfers within 15 minutes are unknown" in order.reason
    assert AuditEntry.objects.get(action="stop.order").actor == "doubt"


def test_doubts_of_long_ago_do_not_count(doubts: Callable[[int], list[Transfer]]) -> None:
    made = doubts(settings.DOUBT_TRIP_COUNT - 1)
    at = timezone.now() + settings.DOUBT_TRIP_WITHIN + timedelta(seconds=1)
    assert doubt.trip(made[0].connection, at) is None


def test_what_was_settled_meanwhile_does_not_count(doubts: Callable[[int], list[Transfer]]) -> None:
    for transfer in doubts(settings.DOUBT_TRIP_COUNT - 1):
        note(transfer, says(Found.DONE))
    doubts(1)
    assert not StopOrder.objects.exists()


def test_a_worker_that_died_in_its_calls_counts_too(approved: Made, venue: Simulator) -> None:
    """No answer was ever noted: settle finds the doubt when the calls must be over."""
    claimed = [approved(amount=str(amount)) for amount in range(1, settings.DOUBT_TRIP_COUNT + 1)]
    for transfer in claimed:
        assert dispatch.claim(reference=transfer.reference, at=timezone.now()) is not None
    at = later(claimed[0])
    Transfer.objects.update(due_at=at)
    settle.settle(reference=claimed[0].reference, now=lambda: at)
    assert StopOrder.objects.get().by == "doubt"


def test_after_two_people_released_it_the_same_doubts_do_not_trip_again(
    doubts: Callable[[int], list[Transfer]], operator: User, operator2: User
) -> None:
    made = doubts(settings.DOUBT_TRIP_COUNT)
    release(StopOrder.objects.get(), operator, operator2)
    assert doubt.trip(made[0].connection, timezone.now()) is None
    doubts(settings.DOUBT_TRIP_COUNT)
    assert StopOrder.objects.filter(released_at=None).count() == 1


# -- a restore -----------------------------------------------------------------------------------------------


def test_a_database_away_from_home_claims_nothing(approved: Made) -> None:
    restores.watch(at=timezone.now())
    Home.objects.update(cluster="another")
    transfer = approved()
    assert dispatch.claim(reference=transfer.reference, at=timezone.now()) is None
    transfer.refresh_from_db()
    assert "restored or copied: another cluster" in transfer.held


@pytest.fixture
def restored(submitted: Made, approved: Made, venue: Simulator, operator: User) -> StopOrder:
    """A restore was noticed: one transfer waits for approval, one is approved, and everything is stopped."""
    submitted(amount="3")
    approved(amount="4")
    return stops.stop(everything=True, by=stops.RESTORE, reason="restored", at=timezone.now())


def test_its_stop_is_not_released_before_every_transfer_was_looked_up(
    restored: StopOrder, operator: User, operator2: User
) -> None:
    with pytest.raises(stops.NotStanding, match="2 unended transfers must be looked up"):
        release(restored, operator, operator2)
    assert not changes.Change.objects.exclude(ruling=None).exists()
    look_back_connection(Transfer.objects.all()[0].connection_id)
    assert LookUp.objects.values("transfer").distinct().count() == 2
    changes.withdraw(change_id=changes.waiting().get().pk, by=operator, at=timezone.now())
    release(restored, operator, operator2)
    assert not stops.standing().exists()


def test_what_was_sent_and_forgotten_is_found_and_never_sent_again(
    restored: StopOrder, venue: Simulator, operator: User, operator2: User
) -> None:
    transfer = Transfer.objects.get(state=State.APPROVED)
    found = says(Found.DONE)
    note(transfer, found)
    assert Contradiction.objects.get().transfer == transfer
    assert transfer.state == State.APPROVED
    look_back_connection(transfer.connection_id)
    release(restored, operator, operator2)
    assert dispatch.claim(reference=transfer.reference, at=timezone.now() + timedelta(minutes=1)) is None
    transfer.refresh_from_db()
    assert "the venue may have it already" in transfer.held


def test_what_ends_after_the_restore_is_looked_up_all_the_same(restored: StopOrder, maker: User) -> None:
    """Its words say that nothing moved; the time line that is lost may have sent it."""
    for transfer in Transfer.objects.all():
        cancel.cancel(reference=transfer.reference, by=maker, at=timezone.now())
    assert stops.to_look_back().count() == 2


def test_a_draft_needs_no_look_up(restored: StopOrder, drafted: Made) -> None:
    drafted()
    assert stops.to_look_back().count() == 2
