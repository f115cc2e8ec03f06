"""Submitting and deciding: exactly these words, by someone else, once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from threading import Barrier
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from tests.house import deactivate, give
from treasury.controls.roles import CHECKERS
from treasury.models import Decision, State, Transfer, User
from treasury.transfers import access, approve, cancel, submit

pytestmark = pytest.mark.django_db


def say_yes(transfer: Transfer, checker: User, **other: Any) -> Transfer:
    said = {
        "digest": transfer.digest or "",
        "round": transfer.round,
        "factor": "password",
        "at": timezone.now(),
        **other,
    }
    return approve.approve(reference=transfer.reference, checker=checker, **said)


def say_no(transfer: Transfer, checker: User, reason: str = "No") -> Transfer:
    return approve.reject(
        reference=transfer.reference,
        checker=checker,
        digest=transfer.digest or "",
        round=transfer.round,
        factor="password",
        reason=reason,
        at=timezone.now(),
    )


def test_the_instruction_is_canonical_and_its_digest_can_be_recomputed(submitted: Callable[..., Transfer]) -> None:
    transfer = submitted(amount="12.50")
    assert transfer.instruction is not None
    words = json.loads(transfer.instruction)
    assert words == {
        "v": 1,
        "reference": transfer.reference,
        "key": str(transfer.key),
        "venue": "bybit",
        "environment": "mainnet",
        "login": transfer.connection.login,
        "connection": "Bybit main",
        "source": "UNIFIED",
        "destination": "FUND",
        "asset": "USDT",
        "amount": "12.5",
    }
    assert transfer.instruction == json.dumps(words, sort_keys=True, separators=(",", ":"))
    assert transfer.digest == hashlib.sha256(transfer.instruction.encode()).hexdigest()


def test_one_checker_is_enough_below_the_limit(submitted: Callable[..., Transfer], checker: User) -> None:
    assert say_yes(submitted(amount="10000"), checker).state == State.APPROVED


def test_above_the_limit_it_takes_two(submitted: Callable[..., Transfer], checker: User, checker2: User) -> None:
    transfer = submitted(amount="10000.00000001")
    assert say_yes(transfer, checker).state == State.SUBMITTED
    assert say_yes(transfer, checker2).state == State.APPROVED


def test_the_decision_keeps_the_very_text(submitted: Callable[..., Transfer], checker: User) -> None:
    transfer = submitted()
    say_yes(transfer, checker)
    decision = Decision.objects.get()
    assert (decision.digest, decision.instruction) == (transfer.digest, transfer.instruction)
    assert (decision.factor, decision.counts_for, decision.by) == ("password", ["checkers"], checker)


def test_the_approval_rings_the_dispatch_bell_on_commit(
    submitted: Callable[..., Transfer],
    checker: User,
    rung: list[tuple[str, Any]],
    django_capture_on_commit_callbacks: Callable[..., Any],
) -> None:
    transfer = submitted()
    with django_capture_on_commit_callbacks(execute=True):
        say_yes(transfer, checker)
    assert rung == [("treasury.dispatch_connection", [transfer.connection_id])]


def test_a_maker_cannot_approve_their_own(submitted: Callable[..., Transfer], maker: User) -> None:
    with pytest.raises(access.NotAllowed, match="You drafted this; someone else must approve"):
        say_yes(submitted(), maker)


def test_a_maker_who_became_a_checker_cannot_approve_their_own(
    submitted: Callable[..., Transfer], maker: User, checker: User
) -> None:
    transfer = submitted()
    give(maker, CHECKERS)
    with pytest.raises(access.NotAllowed, match="You drafted this"):
        say_yes(transfer, maker)


def test_a_superuser_without_the_role_cannot_approve(submitted: Callable[..., Transfer], operator: User) -> None:
    assert operator.is_superuser
    with pytest.raises(access.NotAllowed, match="Only a checker"):
        say_yes(submitted(), operator)


def test_a_deactivated_checker_cannot_approve(submitted: Callable[..., Transfer], checker: User) -> None:
    transfer = submitted()
    deactivate(checker)
    with pytest.raises(access.NotAllowed):
        say_yes(transfer, checker)


def test_nobody_decides_twice(submitted: Callable[..., Transfer], checker: User) -> None:
    transfer = submitted(amount="50000")
    say_yes(transfer, checker)
    with pytest.raises(access.NotNow, match="decided on this transfer already"):
        say_yes(transfer, checker)


def test_an_approval_after_a_rejection_is_too_late(
    submitted: Callable[..., Transfer], checker: User, checker2: User
) -> None:
    transfer = submitted()
    say_no(transfer, checker)
    with pytest.raises(access.NotNow, match="is rejected"):
        say_yes(transfer, checker2)


def test_one_rejection_ends_it_though_another_approved(
    submitted: Callable[..., Transfer], checker: User, checker2: User
) -> None:
    transfer = submitted(amount="50000")
    say_yes(transfer, checker)
    assert say_no(transfer, checker2).state == State.REJECTED


def test_a_rejection_needs_its_reason(submitted: Callable[..., Transfer], checker: User) -> None:
    transfer = submitted()
    with pytest.raises(approve.NoReason):
        say_no(transfer, checker, reason="  ")
    transfer.refresh_from_db()
    assert transfer.state == State.SUBMITTED


def test_another_digest_decides_nothing(submitted: Callable[..., Transfer], checker: User) -> None:
    transfer = submitted()
    with pytest.raises(approve.OtherWords, match="Nothing was decided"):
        say_yes(transfer, checker, digest="0" * 64)
    assert not Decision.objects.exists()


def test_the_words_of_an_earlier_round_decide_nothing(submitted: Callable[..., Transfer], checker: User) -> None:
    """Sent back, it has the same digest; the page of the round before showed another balance."""
    transfer = submitted()
    with pytest.raises(approve.OtherWords):
        say_yes(transfer, checker, round=transfer.round - 1)


def test_an_expired_request_cannot_be_approved_and_expires(
    submitted: Callable[..., Transfer], checker: User, at: datetime
) -> None:
    transfer = submitted()
    assert transfer.expires_at is not None
    with pytest.raises(access.NotNow, match="expired"):
        say_yes(transfer, checker, at=transfer.expires_at)
    with pytest.raises(access.NotNow, match="not expired yet"):
        cancel.expire(reference=transfer.reference, at=transfer.expires_at - timedelta(seconds=1))
    assert cancel.expire(reference=transfer.reference, at=transfer.expires_at).state == State.EXPIRED


def test_submitting_twice_keeps_the_first_key(submitted: Callable[..., Transfer], maker: User, at: datetime) -> None:
    transfer = submitted()
    with pytest.raises(access.NotNow, match="no longer a draft"):
        submit.submit(reference=transfer.reference, maker=maker, at=at)


def test_the_maker_or_an_operator_cancels_until_it_is_sent(
    approved: Callable[..., Transfer],
    submitted: Callable[..., Transfer],
    maker: User,
    operator: User,
    checker: User,
    maker2: User,
    at: datetime,
) -> None:
    assert cancel.cancel(reference=submitted().reference, by=maker, at=at).state == State.CANCELLED
    assert cancel.cancel(reference=approved().reference, by=operator, at=at).state == State.CANCELLED
    for person in (checker, maker2):
        with pytest.raises(access.NotAllowed, match="Only the maker or an operator"):
            cancel.cancel(reference=submitted().reference, by=person, at=at)


@pytest.mark.django_db(transaction=True)
def test_two_checkers_at_once_both_count_and_the_second_approves(
    submitted: Callable[..., Transfer], checker: User, checker2: User
) -> None:
    transfer = submitted(amount="50000")
    start = Barrier(2)

    def decide(who: User) -> str:
        try:
            start.wait()
            return str(say_yes(transfer, who).state)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as pool:
        states = sorted(pool.map(decide, [checker, checker2]))
    assert states == ["APPROVED", "SUBMITTED"]
    assert Decision.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_one_checker_clicking_twice_at_once_decides_once(submitted: Callable[..., Transfer], checker: User) -> None:
    transfer = submitted(amount="50000")
    start = Barrier(2)

    def decide(_: int) -> str:
        try:
            start.wait()
            return str(say_yes(transfer, checker).state)
        except access.NotNow as late:
            return str(late)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as pool:
        said = sorted(pool.map(decide, range(2)))
    assert said == ["SUBMITTED", "You have decided on this transfer already."]
