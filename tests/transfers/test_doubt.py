"""When so many outcomes are unknown that the product stops by itself; and what a restored database has forgotten."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from django.conf import settings
from django.utils import timezone

from connectors.core.errors import Barred, TryLater
from connectors.core.protocol import State as Found
from connectors.simulators.core import Simulator
from tests.conftest import release
from tests.house import person
from tests.models.attack import sql
from tests.transfers.doubts import EMPTY, PERHAPS, concluded, later, note, says
from treasury import venues
from treasury.controls import changes, restores, stops
from treasury.controls.roles import OPERATORS
from treasury.models import AuditEntry, Contradiction, Home, LookUp, State, StopOrder, Transfer, User
from treasury.tasks import look_back_connection, tick_expire
from treasury.transfers import access, cancel, dispatch, doubt, settle
from treasury.transfers import restored as restored_

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
    assert not changes.Change.objects.filter(kind="stop.release").exclude(ruling=None).exists()
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
    assert stops.to_look_back(timezone.now()).count() == 2


def test_a_second_restore_is_a_stop_of_its_own(approved: Made) -> None:
    """It may be the first stop's own backup that was restored, in which everything had been looked up."""
    transfer = approved()
    restores.watch(at=timezone.now())
    orders = []
    for timeline in (99, 98):
        Home.objects.update(timeline=timeline)
        orders.append(restores.watch(at=timezone.now()))
        note(transfer, EMPTY)
    first, second = orders
    assert first is not None and second is not None and first.pk != second.pk
    Home.objects.update(timeline=97)
    third = restores.watch(at=timezone.now())
    assert third is not None
    assert stops.why_not_release(third) is not None


def test_what_was_approved_before_a_restore_is_approved_anew(
    restored: StopOrder, operator: User, operator2: User
) -> None:
    """It may have been cancelled, or sent, in the time that is lost."""
    transfer = Transfer.objects.get(state=State.APPROVED)
    look_back_connection(transfer.connection_id)
    release(restored, operator, operator2)
    assert dispatch.claim(reference=transfer.reference, at=timezone.now() + timedelta(minutes=1)) is None
    transfer.refresh_from_db()
    assert (transfer.state, transfer.round) == (State.SUBMITTED, 2)
    assert transfer.outcome.startswith("Not sent again. Whether it moved before, this database cannot know.")
    assert "records were searched for it, and show nothing" in transfer.outcome


def test_what_the_venues_records_were_searched_for_after_a_restore_expires_as_ever(restored: StopOrder) -> None:
    for transfer in Transfer.objects.all():
        assert transfer.expires_at is not None
        over = transfer.expires_at + timedelta(seconds=1)
        with pytest.raises(access.NotNow, match="before its venue was asked"):
            cancel.expire(reference=transfer.reference, at=over)
        note(transfer, EMPTY)
        ended = cancel.expire(reference=transfer.reference, at=over)
        assert ended.outcome == "Nothing moved. Its time for approval and sending ran out."
    assert not Contradiction.objects.exists()


def test_in_a_copy_nothing_expires_before_the_restore_is_noticed(approved: Made) -> None:
    transfer = approved()
    restores.watch(at=timezone.now())
    Transfer.objects.filter(pk=transfer.pk).update(due_at=timezone.now())
    asleep = "SET LOCAL session_replication_role ="
    sql(f"{asleep} replica")
    sql("UPDATE treasury_transfer SET expires_at = now() - interval '1 hour'")
    sql(f"{asleep} DEFAULT")
    Home.objects.update(cluster="another")
    tick_expire()
    assert dispatch.claim(reference=transfer.reference, at=timezone.now()) is None
    transfer.refresh_from_db()
    assert transfer.state == State.APPROVED
    assert "restored or copied" in transfer.held


def test_whoever_decides_after_a_restore_is_told_what_the_venue_said(restored: StopOrder, submitted: Made) -> None:
    transfer = Transfer.objects.get(state=State.SUBMITTED)
    assert "could not be asked about it: look at the venue's own screen" in (restored_.warning(transfer) or "")
    look_back_connection(transfer.connection_id)
    assert "records were searched for it, and show nothing" in (restored_.warning(transfer) or "")
    assert restored_.warning(submitted(amount="9")) is None


def test_where_records_carry_no_key_nothing_is_asked_and_nothing_is_pretended(
    restored: StopOrder, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyless = replace(venues.declared("bybit"), records_carry_key=False)
    monkeypatch.setattr(venues, "declared", lambda venue: keyless)
    transfer = Transfer.objects.get(state=State.APPROVED)
    settle.look_back(reference=transfer.reference, now=timezone.now)
    assert not transfer.look_ups.get().searched
    assert "look at the venue's own screen first" in restored_.in_words(transfer, restored)


def test_a_venue_that_cannot_be_asked_does_not_hold_the_stop_for_ever(restored: StopOrder) -> None:
    for transfer in Transfer.objects.all():
        for _ in range(stops.FAILED_MOST):
            assert stops.why_not_release(restored) is not None
            note(transfer, Barred("The key was revoked."))
    assert stops.why_not_release(restored) is None


def test_one_that_always_fails_does_not_starve_the_others(restored: StopOrder) -> None:
    first, second = Transfer.objects.order_by("pk")
    note(first, TryLater("Busy."))
    assert list(stops.to_look_back(timezone.now())) == [second]
    assert list(stops.to_look_back(timezone.now() + 2 * stops.LOOK_BACK_AGAIN)) == [second, first]


def test_what_is_submitted_after_the_restore_needs_no_look_back(restored: StopOrder, submitted: Made) -> None:
    submitted(amount="7")
    assert stops.to_look_back(timezone.now()).count() == 2


def test_a_person_called_restore_is_only_a_person(restored: StopOrder) -> None:
    order = stops.stop(everything=True, reason="drill", by=person("restore", OPERATORS), at=timezone.now())
    assert stops.why_not_release(order) is None
    assert stops.last_restore() == restored


def test_a_draft_needs_no_look_up(restored: StopOrder, drafted: Made) -> None:
    drafted()
    assert stops.to_look_back(timezone.now()).count() == 2
