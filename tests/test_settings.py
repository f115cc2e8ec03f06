"""A real installation refuses to start with anything missing, weak or left over from practice, and says which."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.journeys.conftest import url_of_this_database
from treasury.models import User

ROOT = Path(__file__).resolve().parents[1]
KEY = "bm90LXRoZS1wcmFjdGljZS1rZXktb2YtMzItYnl0ZXM="
REAL = {
    "TREASURY_MODE": "real",
    "SECRET_KEY": "k" * 25 + "7d!4" * 10,
    "TREASURY_CREDENTIALS_KEYS": KEY,
    "ALLOWED_HOSTS": "treasury.example",
    "DATABASE_URL": "postgresql://nobody@/nothing?host=%2Fnonexistent",
    "TREASURY_ADDRESS": "https://treasury.example",
    "TREASURY_EMAIL_URL": "smtps://treasury:p%40ss@mail.example",
}


def start(lines: str = "import django; django.setup(); print('started')", **env: str | None) -> tuple[int, str]:
    kept = {"PATH": os.environ["PATH"], "DJANGO_SETTINGS_MODULE": "treasury.settings"}
    given = {name: value for name, value in {**kept, **env}.items() if value is not None}
    done = subprocess.run([sys.executable, "-c", lines], cwd=ROOT, env=given, capture_output=True, text=True)
    return done.returncode, (done.stdout + done.stderr).strip()


def test_a_complete_real_installation_starts() -> None:
    assert start(**REAL) == (0, "started")


@pytest.mark.parametrize(
    "name",
    [
        "SECRET_KEY",
        "TREASURY_CREDENTIALS_KEYS",
        "ALLOWED_HOSTS",
        "DATABASE_URL",
        "TREASURY_ADDRESS",
        "TREASURY_EMAIL_URL",
    ],
)
def test_a_missing_setting_is_named(name: str) -> None:
    code, said = start(**{**REAL, name: None})
    assert code != 0
    assert f"{name} (or {name}_FILE) is not set" in said.splitlines()[-1]


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("SECRET_KEY", "short", "shorter than 50 characters"),
        ("SECRET_KEY", "practice-only-this-key-signs-nothing-of-value-0123456789", "practice key"),
        ("TREASURY_CREDENTIALS_KEYS", "cHJhY3RpY2Utb25seS1rZXktb2Ytbm8tdmFsdWUtMDE=", "practice key"),
        ("TREASURY_SIMULATORS", '{"somewhere": "http://127.0.0.1:1"}', "practice only"),
        ("TREASURY_MODE", "production", "must be 'practice' or 'real'"),
        ("TREASURY_TWO_CHECKERS_ABOVE", "USDT:5", "ASSET=AMOUNT"),
    ],
)
def test_a_weak_or_wrong_setting_is_refused(name: str, value: str, sentence: str) -> None:
    code, said = start(**{**REAL, name: value})
    assert code != 0
    assert sentence in said.splitlines()[-1]


def test_a_secret_may_come_from_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(REAL["SECRET_KEY"] + "\n")
    assert start(**{**REAL, "SECRET_KEY": None, "SECRET_KEY_FILE": str(secret)}) == (0, "started")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("part", ["treasury.wsgi", "treasury.tasks"])
def test_a_real_installation_refuses_a_database_with_practice_data(part: str) -> None:
    from django.core.management import call_command

    call_command("practice")
    assert User.objects.filter(username="maker").exists()
    lines = f"import django; django.setup(); import {part} as part; getattr(part, 'refuse_practice_data', print)()"
    code, said = start(lines, **{**REAL, "DATABASE_URL": url_of_this_database()})
    assert code != 0
    assert "filled with practice data" in said.splitlines()[-1]


def test_practice_needs_nothing() -> None:
    assert start() == (0, "started")


def test_every_process_computes_with_64_digits() -> None:
    lines = (
        "import django; django.setup(); from decimal import Decimal as D; import threading\n"
        "big = D('999999999999999999999999'); small = D('0.000000000000000001'); seen = []\n"
        "thread = threading.Thread(target=lambda: seen.append(big + small)); thread.start(); thread.join()\n"
        "seen.append(big + small); assert set(seen) == {D('999999999999999999999999.000000000000000001')}, seen"
    )
    assert start(lines)[0] == 0
