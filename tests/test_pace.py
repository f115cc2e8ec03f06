"""A house that is paced waits less, and never less safely; at scale 1 nothing is different."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.utils import timezone

import connectors
from connectors.core import discovery
from connectors.simulators import core as simulators
from connectors.simulators.core import Simulator
from tests.test_settings import REAL
from treasury import venues
from treasury.models import Outcome, State, Transfer
from treasury.pace import paced
from treasury.transfers import dispatch

ROOT = Path(__file__).resolve().parents[1]
SCALE = 20


@pytest.fixture
def hurried(settings: LazySettings) -> Iterator[None]:
    """Whatever is asked of the pace within this test is divided by SCALE."""
    settings.TIME_SCALE = SCALE
    venues.declared.cache_clear()
    yield
    venues.declared.cache_clear()


@pytest.mark.parametrize("name", discovery.names())
def test_without_a_scale_a_venue_is_what_its_module_declares(name: str) -> None:
    assert venues.declared(name) is discovery.venue(name)
    assert paced(timedelta(seconds=7)) == timedelta(seconds=7)


@pytest.mark.parametrize("name", discovery.names())
def test_every_declared_duration_is_divided(name: str, hurried: None) -> None:
    plain, fast = discovery.venue(name), venues.declared(name)
    assert fast.call_limit == plain.call_limit / SCALE
    assert fast.settle_limit == plain.settle_limit / SCALE
    assert fast.signed_window == (plain.signed_window and plain.signed_window / SCALE)
    assert fast.stale_after == (plain.stale_after and plain.stale_after / SCALE)
    assert fast.absent_after == (plain.absent_after and plain.absent_after / SCALE)
    assert (fast.resend is None) == (plain.resend is None)
    if fast.resend is not None and plain.resend is not None:
        assert fast.resend.until == plain.resend.until / SCALE
        assert fast.resend.unsearchable == plain.resend.unsearchable
    for errand, limit in plain.limits.items():
        assert (fast.limits[errand].calls, fast.limits[errand].per) == (limit.calls, limit.per / SCALE)


@pytest.mark.parametrize("name", simulators.names())
def test_no_connector_has_more_time_for_a_call_than_is_declared(
    name: str, hurried: None, settings: LazySettings
) -> None:
    """Else a second send could begin while the first is still under way."""
    with simulators.serve(name) as venue:
        settings.SIMULATORS = {name: venue.url}
        connector = venues.first_look(name, next(iter(discovery.venue(name).hosts)), venue.credentials)
        wires = [one for one in vars(connector).values() if isinstance(one, connectors.Wire)]
        assert wires
        assert all(wire._limit == venues.declared(name).call_limit for wire in wires)


@pytest.mark.django_db(transaction=True)
def test_a_hurried_call_is_over_before_the_product_takes_it_for_over(
    approved: Callable[..., Transfer], venue: Simulator, hurried: None
) -> None:
    transfer = approved()
    venue.fault("slow_after", match="send", seconds=20)
    dispatch.dispatch(reference=transfer.reference, now=timezone.now)
    ended_at = timezone.now()

    transfer.refresh_from_db()
    attempt = transfer.attempts.get()
    assert (attempt.outcome, transfer.state) == (Outcome.UNCERTAIN, State.DISPATCHING)
    assert attempt.call_ends_at - attempt.send_before == discovery.venue("bybit").call_limit / SCALE
    assert ended_at <= attempt.call_ends_at
    assert len(venue.effects(transfer.key)) == 1


@pytest.mark.django_db(transaction=True)
def test_a_dripping_answer_does_not_stretch_a_hurried_call(
    approved: Callable[..., Transfer], venue: Simulator, hurried: None
) -> None:
    transfer = approved()
    venue.fault("drip", match="send", seconds=20)
    dispatch.dispatch(reference=transfer.reference, now=timezone.now)
    assert timezone.now() <= transfer.attempts.get().call_ends_at


@pytest.mark.parametrize("limit", [timedelta(seconds=31), timedelta(0), timedelta(seconds=-1)])
def test_nobody_gives_a_call_more_time_than_its_venue_declares(limit: timedelta) -> None:
    credentials = simulators.practice("bybit")[0].credentials
    with pytest.raises(ValueError, match="may last at most 30 s"):
        connectors.open("bybit", credentials=credentials, call_limit=limit)


WAITS = """
import django; django.setup()
from django.conf import settings
from treasury.celery import app
from treasury.transfers import attempts, confirm
print(
    attempts.SEND_WITHIN, attempts.HELD_AGAIN, attempts.WAIT_FIRST, attempts.WAIT_MOST, attempts.LOOK_UP_AFTER,
    confirm.ASK_AGAIN, settings.BALANCE_MAX_AGE, settings.REFRESH_EVERY,
    settings.RESOLVED_LOOKED_UP_FOR, app.conf.beat_schedule["dispatch"]["schedule"],
    app.conf.beat_schedule["refresh"]["schedule"], sep=" | ",
)
"""


AT_ONE = (
    "0:00:05 | 0:00:15 | 0:00:02 | 0:05:00 | 0:00:02 | 0:00:05 | 0:01:00 | 0:00:30 | "
    "7 days, 0:00:00 | 0:00:01 | 0:00:10"
)
AT_SIXTY = (
    "0:00:00.083333 | 0:00:00.250000 | 0:00:00.033333 | 0:00:05 | 0:00:00.033333 | 0:00:00.083333 | "
    "0:00:01 | 0:00:00.500000 | 2:48:00 | 0:00:01 | 0:00:01"
)


@pytest.mark.parametrize(("scale", "expected"), [("1", AT_ONE), ("60", AT_SIXTY)])
def test_the_waits_of_a_process_follow_its_scale_and_its_clock_ticks_no_faster_than_once_a_second(
    scale: str, expected: str
) -> None:
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "treasury.settings", "TREASURY_TIME_SCALE": scale}
    done = subprocess.run([sys.executable, "-c", WAITS], cwd=ROOT, env=env, capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == (expected, "")


def test_a_real_installation_refuses_a_scale() -> None:
    env = {"PATH": os.environ["PATH"], "DJANGO_SETTINGS_MODULE": "treasury.settings", "TREASURY_TIME_SCALE": "2"}
    done = subprocess.run(
        [sys.executable, "-c", "import django; django.setup()"],
        cwd=ROOT,
        env={**env, **REAL},
        capture_output=True,
        text=True,
    )
    assert "TREASURY_TIME_SCALE is for practice and tests" in done.stderr.splitlines()[-1]
