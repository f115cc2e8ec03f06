"""Time made short, and processes that really die."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection as database
from django.utils import timezone

from treasury import venues
from treasury.models import Transfer
from treasury.transfers import attempts, settle

ROOT = Path(__file__).resolve().parents[2]

# What a separate process runs before its lines: the product's own start-up, nothing else.
PRELUDE = """
import os, signal, sys
import django
django.setup()
from django.utils import timezone
from treasury.transfers import attempts, dispatch, settle
reference = sys.argv[1]
"""


@pytest.fixture
def short_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call may last half a second, a signed request is refused after one, searches are not put off for long."""
    declared = venues.declared

    def short(venue: str) -> object:
        return dataclasses.replace(
            declared(venue), call_limit=timedelta(seconds=0.5), signed_window=timedelta(seconds=1)
        )

    monkeypatch.setattr(venues, "declared", short)
    monkeypatch.setattr("treasury.transfers.attempts.SEND_WITHIN", timedelta(seconds=1))
    monkeypatch.setattr("treasury.transfers.attempts.LOOK_UP_AFTER", timedelta(0))
    monkeypatch.setattr(attempts, "WAIT_FIRST", timedelta(milliseconds=20))
    monkeypatch.setattr(attempts, "WAIT_MOST", timedelta(milliseconds=50))


def process(lines: str, transfer: Transfer) -> subprocess.Popen[str]:
    """Another process of the product, on this test's database and simulator, that runs these lines."""
    return start("-c", PRELUDE + lines, transfer.reference)


def start(*arguments: str, **more: str) -> subprocess.Popen[str]:
    """Python with these arguments, in a session of its own, on this test's database and simulator."""
    env = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "treasury.settings",
        "DATABASE_URL": url_of_this_database(),
        "TREASURY_SIMULATORS": json.dumps(settings.SIMULATORS),
        **more,
    }
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def url_of_this_database() -> str:
    given = database.settings_dict
    return (
        f"postgresql://{given['USER']}:{given['PASSWORD']}@/{given['NAME']}?host={given['HOST']}&port={given['PORT']}"
    )


def pursue(transfer: Transfer, *, until: Callable[[], bool], seconds: float = 20) -> None:
    """Settle again and again, as the clock's ticks would, until it is so."""
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline, f"{transfer.reference} never got there: {transfer.state}"
        settle.settle(reference=transfer.reference, now=timezone.now)
        time.sleep(0.03)
        transfer.refresh_from_db()
