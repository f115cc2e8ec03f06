"""A real installation refuses to start with anything missing, weak or left over from practice, and says which."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.journeys.conftest import url_of_this_database
from treasury.launch.run import free_port
from treasury.models import User

ROOT = Path(__file__).resolve().parents[1]
UNVERIFIED = "names a database on another machine"
KEY = "bm90LXRoZS1wcmFjdGljZS1rZXktb2YtMzItYnl0ZXM="
REAL = {
    "TREASURY_MODE": "real",
    "SECRET_KEY": "k" * 25 + "7d!4" * 10,
    "TREASURY_CREDENTIALS_KEYS": KEY,
    "ALLOWED_HOSTS": "treasury.example",
    "DATABASE_URL": "postgresql://nobody@/nothing?host=%2Fnonexistent",
    "TREASURY_ADDRESS": "https://treasury.example",
    "TREASURY_EMAIL_URL": "smtps://treasury:p%40ss@mail.example",
    "TREASURY_TRUSTED_PROXIES": "10.0.0.7, fd00::/64",
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
        "TREASURY_TRUSTED_PROXIES",
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
        ("TREASURY_STRONG_SIGN_IN", "0", "TREASURY_STRONG_SIGN_IN=0 is for practice"),
        ("TREASURY_READ_SECONDS", "0", "TREASURY_READ_SECONDS=0 is for practice"),
        ("TREASURY_TRUSTED_PROXIES", "proxy.example", "ADDRESS,NETWORK/BITS"),
        ("TREASURY_TRUSTED_PROXIES", "10.0.0.7/8", "host bits set"),
        ("TREASURY_TRUSTED_PROXIES", "0.0.0.0/0", "every address there is"),
        ("TREASURY_TRUSTED_PROXIES", "10.0.0.7,::/0", "every address there is"),
        ("TREASURY_TRUSTED_PROXIES", " , ", "names the proxy in front that ends TLS"),
        ("TREASURY_CREDENTIALS_KEYS", "not-a-key", "holds something that is no key"),
        ("TREASURY_CREDENTIALS_KEYS", f"{KEY},", "holds something that is no key"),
        ("TREASURY_SIMULATORS", "{", "must be a JSON object of addresses"),
        ("TREASURY_MOVEMENT_TOLERANCE", "little", "a share from 0 to 1"),
        ("TREASURY_MOVEMENT_TOLERANCE", "NaN", "a share from 0 to 1"),
        ("LOG_LEVEL", "loud", "LOG_LEVEL is 'LOUD'"),
        ("ALLOWED_HOSTS", "*", "no '*'"),
        ("ALLOWED_HOSTS", "treasury.example,*", "no '*'"),
        ("ALLOWED_HOSTS", " , ", "must name the hosts"),
        ("SECRET_KEY_FILE", "/nope", "SECRET_KEY_FILE is '/nope', which cannot be read: No such file or directory."),
        ("DATABASE_URL", "mysql://db/treasury", "must begin with postgresql://"),
        ("DATABASE_URL", "postgresql://app:secret@db.internal/treasury", UNVERIFIED),
        ("DATABASE_URL", "postgresql://app@10.0.0.9/treasury?sslmode=require", UNVERIFIED),
        ("DATABASE_URL", "postgresql://app@/treasury?host=localhost,db.internal", UNVERIFIED),
        ("DATABASE_URL", "postgresql://app@localhost/treasury?hostaddr=10.0.0.9", UNVERIFIED),
        ("DATABASE_URL", "postgresql:///?service=elsewhere", UNVERIFIED),
    ],
)
def test_a_weak_or_wrong_setting_is_refused(name: str, value: str, sentence: str) -> None:
    code, said = start(**{**REAL, name: value})
    assert code != 0
    assert sentence in said.splitlines()[-1]


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://app@db.internal/treasury?sslmode=verify-full&sslrootcert=system",
        "postgresql://app@localhost/treasury",
        "postgresql://app@127.0.0.2:6432/treasury",
        "postgresql://app@[::1]/treasury",
    ],
)
def test_a_database_is_on_this_machine_or_proves_who_it_is(url: str) -> None:
    assert start(**{**REAL, "DATABASE_URL": url}) == (0, "started")


def test_the_owners_database_proves_who_it_is_too() -> None:
    owner = {"TREASURY_OWNER_DATABASE_URL": "postgresql://owner:secret@db.internal/treasury", "TREASURY_AS_OWNER": "1"}
    code, said = start(**REAL, **owner)
    assert code != 0
    assert f"TREASURY_OWNER_DATABASE_URL {UNVERIFIED}" in said.splitlines()[-1]
    assert "secret" not in said


def manage(*words: str, **env: str | None) -> tuple[int, str]:
    return start(f"import manage, sys; sys.argv = {['manage.py', *words]!r}; manage.main()", **env)


@pytest.mark.parametrize("command", [["migrate"], ["grants", "--role", "treasury_app"], ["verify_audit"], ["check"]])
def test_manage_says_everything_that_is_missing_in_one_sentence(command: list[str]) -> None:
    missing = ("SECRET_KEY", "DATABASE_URL", "TREASURY_TRUSTED_PROXIES")
    code, said = manage(*command, **{**REAL, **dict.fromkeys(missing)})
    assert code == 1
    assert said.startswith("SECRET_KEY (or SECRET_KEY_FILE) is not set, DATABASE_URL (or DATABASE_URL_FILE) is not set")
    assert "TREASURY_TRUSTED_PROXIES" in said
    assert len(said.splitlines()) == 1


def test_manage_says_which_database_does_not_answer_and_no_password() -> None:
    url = "postgresql://somebody:very-secret@127.0.0.1:1/nothing"
    code, said = manage("migrate", "--check", **{**REAL, "DATABASE_URL": url})
    assert code == 1
    assert said.startswith("The database 'nothing' at 127.0.0.1, port 1, lets nobody in as 'somebody': ")
    assert len(said.splitlines()) == 1
    assert "very-secret" not in said


def test_the_launcher_says_the_same_and_starts_nothing(tmp_path: Path) -> None:
    run = "import sys; from treasury.launch.__main__ import main; sys.exit(main(['run']))"
    real = {**REAL, "TREASURY_HOME": str(tmp_path), "PORT": str(free_port())}
    code, said = start(run, **{**real, "ALLOWED_HOSTS": None, "TREASURY_EMAIL_URL": None})
    assert code == 1
    assert said.startswith("ALLOWED_HOSTS (or ALLOWED_HOSTS_FILE) is not set, TREASURY_EMAIL_URL")
    assert len(said.splitlines()) == 1
    code, said = start(run, **{**real, "DATABASE_URL": "postgresql://somebody@127.0.0.1:1/nothing"})
    assert code == 1
    assert said.startswith("The database 'nothing' at 127.0.0.1, port 1, lets nobody in")
    assert len(said.splitlines()) == 1


def test_an_empty_setting_is_as_good_as_none() -> None:
    assert start(TREASURY_SIMULATORS="", TREASURY_MOVEMENT_TOLERANCE="", LOG_LEVEL="") == (0, "started")


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
    lines = f"import django; django.setup(); import {part} as part; getattr(part, 'refuse_to_start', print)()"
    code, said = start(lines, **{**REAL, "DATABASE_URL": url_of_this_database()})
    assert code != 0
    assert "filled with practice data" in said.splitlines()[-1]


ASKED = """
import django; django.setup()
from django.test import Client
for peer in ("10.0.0.7", "10.0.0.8"):
    client = Client(REMOTE_ADDR=peer, HTTP_HOST="treasury.example", HTTP_X_FORWARDED_PROTO="https")
    print(peer, *(client.get(path).status_code for path in ("/healthz/", "/sign-in/")))
"""


@pytest.mark.django_db(transaction=True)
def test_only_through_a_proxy_that_is_trusted_a_page_comes_over_tls() -> None:
    code, said = start(ASKED, **{**REAL, "DATABASE_URL": url_of_this_database()})
    assert (code, said.splitlines()[-2:]) == (0, ["10.0.0.7 200 200", "10.0.0.8 200 301"]), said


def test_the_checks_of_a_real_installation_find_nothing() -> None:
    lines = (
        "import django; django.setup(); from django.core.management import call_command\n"
        "call_command('check', '--deploy', '--fail-level', 'WARNING'); print('clean')"
    )
    code, said = start(lines, **REAL)
    assert (code, said.splitlines()[-1]) == (0, "clean"), said
    assert said.startswith("System check identified no issues")


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
