"""Where messages may leave: a setting that is weak, wrong or outside the sandbox is refused before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.test_settings import REAL, start
from treasury.notices import ways

SHOW = "import django; django.setup(); from django.conf import settings as s; print({})"


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtps://a%40b:p%3Aw@mail.example", ways.MailServer("mail.example", 465, "a@b", "p:w", True, False)),
        ("smtp://mail.example", ways.MailServer("mail.example", 587, "", "", False, True)),
        ("smtp://mail.example:2525", ways.MailServer("mail.example", 2525, "", "", False, True)),
        ("smtp://localhost", ways.MailServer("localhost", 25, "", "", False, False)),
        ("smtps://[::1]:4650", ways.MailServer("::1", 4650, "", "", True, False)),
    ],
)
def test_a_mail_servers_address_is_read(url: str, server: ways.MailServer) -> None:
    assert ways.mail_server(url, practice=False) == server


def test_a_mail_servers_password_is_in_no_text() -> None:
    assert "canary" not in repr(ways.mail_server("smtps://a:canary@mail.example", practice=False))


@pytest.mark.parametrize(
    ("setting", "value", "sentence"),
    [
        ("TREASURY_ADDRESS", "http://treasury.example", "must begin with https://"),
        ("TREASURY_ADDRESS", "https://treasury.example/app", "scheme, host and port alone"),
        ("TREASURY_ADDRESS", "https://u:canary@treasury.example", "scheme, host and port alone"),
        ("TREASURY_ADDRESS", "treasury.example", "names no host"),
        ("TREASURY_EMAIL_URL", "https://canary@mail.example", "must begin with smtp:// or smtps://"),
        ("TREASURY_EMAIL_URL", "smtps://a:canary@mail.example:port", "cannot be read"),
        ("TREASURY_WEBHOOK_URL", "http://hook.example/canary", "must begin with https://"),
        ("TREASURY_WEBHOOK_URL", "https://a:canary@hook.example/", "no user, password or fragment"),
        ("TREASURY_WEBHOOK_URL", "https:///canary", "names no host"),
        ("TREASURY_WEBHOOK_SECRET", "canary-of-31-characters-exactly", "shorter than 32 characters"),
    ],
)
def test_a_real_installation_refuses_it_and_does_not_repeat_it(setting: str, value: str, sentence: str) -> None:
    hook = {"TREASURY_WEBHOOK_URL": "https://hook.example/told", "TREASURY_WEBHOOK_SECRET": "s" * 32}
    code, said = start(**{**REAL, **hook, setting: value})
    assert code != 0
    assert sentence in said.splitlines()[-1]
    assert setting in said.splitlines()[-1]
    assert "canary" not in said


def test_a_webhook_without_a_secret_is_refused() -> None:
    code, said = start(**REAL, TREASURY_WEBHOOK_URL="https://hook.example/told")
    assert code != 0
    assert "TREASURY_WEBHOOK_SECRET (or TREASURY_WEBHOOK_SECRET_FILE) is not set" in said.splitlines()[-1]


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("TREASURY_EMAIL_URL", "smtps://mail.example"),
        ("TREASURY_WEBHOOK_URL", "https://hook.example/told"),
        ("TREASURY_WEBHOOK_URL", "http://127.0.0.1.example/told"),
    ],
)
def test_practice_tells_nobody_outside_this_computer(setting: str, value: str) -> None:
    code, said = start(**{setting: value})
    assert code != 0
    assert "on this computer" in said.splitlines()[-1]


def test_practice_writes_letters_to_files_and_links_to_its_own_port() -> None:
    assert start(SHOW.format("s.EMAIL_BACKEND, s.EMAIL_FILE_PATH.name, s.ADDRESS"), PORT="8001") == (
        0,
        "django.core.mail.backends.filebased.EmailBackend mail http://localhost:8001",
    )


def test_a_real_installation_sends_by_its_mail_server_with_a_limit(tmp_path: Path) -> None:
    url = tmp_path / "url"
    url.write_text("https://hook.example/told\n")
    words = "s.EMAIL_BACKEND, s.EMAIL_HOST, s.EMAIL_USE_SSL, s.EMAIL_TIMEOUT, s.DEFAULT_FROM_EMAIL, s.WEBHOOK_URL"
    more = {"TREASURY_WEBHOOK_URL_FILE": str(url), "TREASURY_WEBHOOK_SECRET": "s" * 32}
    code, said = start(SHOW.format(words), **REAL, **more)
    assert (code, said.split()) == (
        0,
        [
            "treasury.outbound.EmailBackend",
            *("mail.example", "True", "10", "treasury@treasury.example", "https://hook.example/told"),
        ],
    )
