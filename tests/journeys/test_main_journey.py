"""Draft to proof, through real HTTP against the simulated venue."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.utils import timezone

from connectors.simulators.core import Simulator
from tests.audit.log import seal_all
from tests.journeys.conftest import pursue
from treasury.audit import chain
from treasury.balances.refresh import refresh
from treasury.models import AuditEntry, Balance, ConnectionHealth, Outcome, State, StopOrder, Transfer, User
from treasury.transfers import approve, dispatch, draft, submit

pytestmark = pytest.mark.django_db(transaction=True)


def send(transfer: Transfer) -> Transfer:
    dispatch.dispatch(reference=transfer.reference, now=timezone.now)
    transfer.refresh_from_db()
    return transfer


def actions(transfer: Transfer) -> list[str]:
    return list(AuditEntry.objects.filter(subject=transfer.subject).order_by("id").values_list("action", flat=True))


def posts(venue: Simulator) -> int:
    return len(venue.requests("POST"))


def test_draft_to_settled_and_the_log_proves_it(approved: Callable[..., Transfer], venue: Simulator) -> None:
    transfer = send(approved(amount="12.5"))

    assert transfer.state == State.SETTLED
    assert transfer.outcome.startswith("It moved.")
    (effect,) = venue.effects(transfer.key)
    assert (effect["amount"], effect["asset"]) == ("12.5", "USDT")
    assert actions(transfer) == [
        "transfer.draft",
        "transfer.submit",
        "transfer.approve",
        "transfer.dispatch",
        "attempt.conclude",
    ]
    seal_all()
    verified = chain.verify()
    assert verified.first_break is None
    assert verified.entries == AuditEntry.objects.count()
    assert verified.unsealed == 0


def test_balances_after_a_transfer_show_it(approved: Callable[..., Transfer], venue: Simulator) -> None:
    transfer = send(approved(amount="12.5"))
    refresh(connection=transfer.connection, at=timezone.now())

    held = {b.account.address: b.total for b in Balance.objects.filter(asset="USDT").select_related("account")}
    assert held == {"UNIFIED": pytest.approx(987.5, abs=0), "FUND": pytest.approx(1012.5, abs=0)}


def test_a_rejected_transfer_never_reaches_the_venue(
    submitted: Callable[..., Transfer], checker: User, venue: Simulator
) -> None:
    transfer = submitted()
    approve.reject(
        reference=transfer.reference,
        checker=checker,
        digest=transfer.digest or "",
        round=transfer.round,
        factor="password",
        reason="Wrong month",
        at=timezone.now(),
    )
    transfer = send(transfer)

    assert transfer.state == State.REJECTED
    assert transfer.outcome == "Nothing moved. Checker Person rejected it: Wrong month"
    assert posts(venue) == 0


def test_a_lost_answer_is_unknown_until_the_look_up_settles_it_with_one_effect(
    approved: Callable[..., Transfer], venue: Simulator, short_calls: None
) -> None:
    venue.fault("answer_lost", match="send")
    transfer = send(approved())

    assert transfer.state == State.DISPATCHING
    assert transfer.attempts.get().outcome == Outcome.UNCERTAIN
    pursue(transfer, until=lambda: transfer.state == State.SETTLED)
    assert len(venue.effects(transfer.key)) == 1
    assert posts(venue) == 1
    assert "records show it" in transfer.outcome


def test_a_lost_request_is_sent_again_under_the_same_key_and_moves_once(
    approved: Callable[..., Transfer], venue: Simulator, short_calls: None
) -> None:
    venue.fault("request_lost", match="send")
    transfer = send(approved())

    pursue(transfer, until=lambda: transfer.state == State.SETTLED)
    assert [attempt.kind for attempt in transfer.attempts.all()] == ["send", "resend"]
    assert len(venue.effects(transfer.key)) == 1


@pytest.mark.parametrize("fault", ["error_after", "garbage", "answer_lost"])
def test_the_known_ways_to_lie_after_the_move_end_in_one_effect(
    approved: Callable[..., Transfer], venue: Simulator, short_calls: None, fault: str
) -> None:
    venue.fault(fault, match="send")
    transfer = send(approved())

    assert transfer.state == State.DISPATCHING
    pursue(transfer, until=lambda: transfer.state == State.SETTLED)
    assert len(venue.effects(transfer.key)) == 1


def test_a_record_that_shows_late_is_not_sent_twice(
    approved: Callable[..., Transfer], venue: Simulator, short_calls: None
) -> None:
    venue.fault("answer_lost", match="send")
    venue.fault("record_late", match="send", seconds=4)
    transfer = send(approved())

    pursue(transfer, until=lambda: transfer.state == State.SETTLED)
    assert len(venue.effects(transfer.key)) == 1


def test_a_refusal_fails_it_and_nothing_moved(approved: Callable[..., Transfer], venue: Simulator) -> None:
    venue.fault("refuse", match="send", code=131206)
    transfer = send(approved())

    assert transfer.state == State.FAILED
    assert transfer.outcome.startswith("Nothing moved.")
    assert venue.effects(transfer.key) == []


def test_a_failed_transfer_is_drafted_again_with_a_fresh_key(
    approved: Callable[..., Transfer], venue: Simulator, maker: User
) -> None:
    venue.fault("refuse", match="send", code=131206)
    failed = send(approved())
    again = draft.draft_again(reference=failed.reference, maker=maker, at=timezone.now())
    again = submit.submit(reference=again.reference, maker=maker, at=timezone.now())

    assert again.copied_from == failed
    assert (again.amount, again.source, again.destination) == (failed.amount, failed.source, failed.destination)
    assert again.key != failed.key


def test_a_venue_that_takes_it_and_works_on_it_is_asked_until_it_settles(
    approved: Callable[..., Transfer], venue: Simulator, short_calls: None
) -> None:
    venue.fault("pending", match="send", seconds=0.5)
    transfer = send(approved())

    assert transfer.state == State.DISPATCHED
    pursue(transfer, until=lambda: transfer.state == State.SETTLED)


def test_a_venue_that_takes_it_and_fails_ends_in_failed(
    approved: Callable[..., Transfer], venue: Simulator, short_calls: None
) -> None:
    venue.fault("fails_later", match="send", seconds=0.3)
    transfer = send(approved())

    pursue(transfer, until=lambda: transfer.state == State.FAILED)
    assert transfer.outcome.startswith("Nothing moved.")


def test_a_rate_limit_puts_it_off_and_then_it_goes(approved: Callable[..., Transfer], venue: Simulator) -> None:
    venue.fault("rate_limited", match="send")
    transfer = send(approved())

    assert transfer.state == State.APPROVED
    assert transfer.held
    assert transfer.due_at is not None and transfer.due_at > timezone.now()
    Transfer.objects.update(due_at=timezone.now())
    ConnectionHealth.objects.update(limited_until=None)  # the venue's time has come
    assert send(transfer).state == State.SETTLED
    assert [attempt.outcome for attempt in transfer.attempts.all()] == [Outcome.TRY_LATER, Outcome.SETTLED]


def test_a_barred_key_stops_the_connection_until_two_release_it(
    approved: Callable[..., Transfer], venue: Simulator
) -> None:
    venue.fault("refuse", match="send", code=10005)
    first, second = approved(), approved(amount="3")
    first = send(first)

    assert first.state == State.APPROVED
    assert StopOrder.objects.get().released_at is None
    second = send(second)
    assert second.state == State.APPROVED
    assert "stopped" in second.held
    assert posts(venue) == 1


def test_a_clock_that_is_off_is_measured_anew_and_nothing_is_lost(
    approved: Callable[..., Transfer], venue: Simulator
) -> None:
    transfer = approved()
    venue.fault("clock", seconds=-4)
    transfer = send(transfer)

    if transfer.state == State.APPROVED:
        Transfer.objects.update(due_at=timezone.now())
        transfer = send(transfer)
    assert transfer.state == State.SETTLED
    assert len(venue.effects(transfer.key)) == 1
