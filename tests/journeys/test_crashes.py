"""Processes that die or sleep at the worst moment: never two effects, never a lost transfer."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.db import IntegrityError, connections, transaction
from django.db.models import QuerySet
from django.utils import timezone

from connectors.simulators.core import Simulator
from tests.journeys.conftest import process, pursue
from treasury.models import Attempt, Outcome, State, Transfer
from treasury.transfers import dispatch, lifecycle, settle

pytestmark = pytest.mark.django_db(transaction=True)

SHORT = """
import dataclasses
from datetime import timedelta
from treasury import venues
declared = venues.declared
venues.declared = lambda venue: dataclasses.replace(declared(venue), call_limit=timedelta(seconds=0.5))
attempts.SEND_WITHIN = timedelta(seconds=1)
"""


def posts(venue: Simulator) -> int:
    return len(venue.requests("POST"))


def died(child: object) -> None:
    output, _ = child.communicate(timeout=30)  # type: ignore[attr-defined]
    assert child.returncode == -signal.SIGKILL, output  # type: ignore[attr-defined]


def test_killed_between_claim_and_call_it_is_found_and_moves_once(
    approved: Callable[..., Transfer], venue: Simulator, short_calls: None
) -> None:
    transfer = approved()
    died(
        process(
            SHORT
            + "assert dispatch.claim(reference=reference, at=timezone.now())\nos.kill(os.getpid(), signal.SIGKILL)",
            transfer,
        )
    )

    transfer.refresh_from_db()
    assert transfer.state == State.DISPATCHING
    assert transfer.attempts.get().outcome is None
    assert posts(venue) == 0
    dispatch.dispatch(reference=transfer.reference, now=timezone.now)  # a second dispatcher claims nothing
    assert posts(venue) == 0
    pursue(transfer, until=lambda: transfer.state == State.SETTLED)
    assert len(venue.effects(transfer.key)) == 1


def test_killed_between_call_and_conclude_the_look_up_settles_it(
    approved: Callable[..., Transfer], venue: Simulator, short_calls: None
) -> None:
    transfer = approved()
    died(
        process(
            SHORT + "attempt = dispatch.claim(reference=reference, at=timezone.now())\n"
            "attempts.call(attempt)\nos.kill(os.getpid(), signal.SIGKILL)",
            transfer,
        )
    )

    transfer.refresh_from_db()
    assert transfer.state == State.DISPATCHING
    assert posts(venue) == 1
    pursue(transfer, until=lambda: transfer.state == State.SETTLED)
    assert len(venue.effects(transfer.key)) == 1
    assert posts(venue) == 1


def test_a_worker_suspended_between_claim_and_call_sends_nothing_when_it_wakes(
    approved: Callable[..., Transfer], venue: Simulator, short_calls: None
) -> None:
    """It wakes after a look-up said that nothing had arrived."""
    transfer = approved()
    child = process(
        SHORT + "attempt = dispatch.claim(reference=reference, at=timezone.now())\n"
        "os.kill(os.getpid(), signal.SIGSTOP)\n"
        "attempts.conclude(attempt_id=attempt.pk, answer=attempts.call(attempt), now=timezone.now)",
        transfer,
    )
    try:
        os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)
        time.sleep(1.6)  # past send_before and the call's limit
        settle.settle(reference=transfer.reference, now=timezone.now)
        assert transfer.look_ups.filter(searched=True, found=False).exists()
    finally:
        os.kill(child.pid, signal.SIGCONT)
    output, _ = child.communicate(timeout=30)
    assert child.returncode == 0, output

    assert posts(venue) == 0
    attempt = transfer.attempts.get()
    assert attempt.outcome == Outcome.TRY_LATER
    transfer.refresh_from_db()
    assert transfer.state == State.APPROVED


def race(transfer: Transfer, workers: int = 20) -> list[str]:
    """So many workers, each with its own database connection, dispatch one transfer at the same moment."""
    start = Barrier(workers)

    def work(_: int) -> str:
        try:
            start.wait()
            dispatch.dispatch(reference=transfer.reference, now=timezone.now)
        except (lifecycle.Overtaken, IntegrityError) as lost:
            return type(lost).__name__
        finally:
            connections.close_all()
        return "done"

    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(work, range(workers)))


def test_twenty_workers_and_one_approved_transfer_make_one_post(
    approved: Callable[..., Transfer], venue: Simulator
) -> None:
    transfer = approved()
    race(transfer)

    assert posts(venue) == 1
    assert Attempt.objects.filter(transfer=transfer).count() == 1


def test_without_any_row_lock_it_is_still_one_post(
    approved: Callable[..., Transfer], venue: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    transfer = approved()
    monkeypatch.setattr(QuerySet, "select_for_update", lambda self, *args, **options: self)
    race(transfer)

    assert posts(venue) == 1
    assert Attempt.objects.filter(transfer=transfer).count() == 1


def test_an_attempt_number_is_taken_once(approved: Callable[..., Transfer], venue: Simulator) -> None:
    """The last wall, by itself: a second claim that got past everything else cannot write its attempt."""
    transfer = approved()
    attempt = dispatch.claim(reference=transfer.reference, at=timezone.now())
    assert attempt is not None
    attempt.pk = None
    with pytest.raises(IntegrityError), transaction.atomic():
        attempt.save(force_insert=True)
