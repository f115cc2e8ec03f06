"""Secrets stay secret, calls go where they may, a venue that is down takes nobody along, and digests hold."""

from __future__ import annotations

import dataclasses
import logging
import re
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
from django.conf import settings
from django.core.mail import EmailMessage
from django.core.management import call_command
from django.db import connections as databases
from django.test import Client
from django.utils import timezone

import connectors
from connectors.core import gate
from connectors.core.errors import Barred, TryLater
from connectors.core.http import Wire
from connectors.core.redact import Redactor
from connectors.simulators.core import Simulator, serve
from tests.architecture.source import CODE, ROOT, calls, file_of
from tests.conftest import login_at, say_yes
from tests.controls.test_credentials import SECOND, another_key
from tests.journeys.conftest import url_of_this_database
from tests.journeys.test_every_venue import movable
from tests.statements.proves import proves
from treasury import outbound, sealing, venues
from treasury.balances.refresh import NotRead, refresh
from treasury.controls import credentials, first_looks
from treasury.launch import postgres
from treasury.models import Attempt, AuditEntry, Change, Connection, ConnectionHealth, State, Transfer, User
from treasury.transfers import dispatch, draft

pytestmark = pytest.mark.django_db(transaction=True)

MODEL_BACKEND = "django.contrib.auth.backends.ModelBackend"


def browser(person: User) -> Client:
    client = Client()
    client.force_login(person, backend=MODEL_BACKEND)
    return client


def dump(to: Path) -> str:
    """The database as a backup holds it, in clear text."""
    done = subprocess.run(
        [postgres.programs() / "pg_dump", "--dbname", url_of_this_database(), "--file", to],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return to.read_text()


# -- S48 ---------------------------------------------------------------------------------------------------------


@proves(
    "S48",
    "treasury/venues.py:seal_credentials",
    "treasury/controls/credentials.py:confirm",
    "treasury/controls/rotation.py:rotate",
    "treasury/fingerprints.py:of",
    "connectors/core/redact.py:Redactor",
)
def test_s48_keys_are_in_no_dump_log_page_or_entry_and_their_age_is_shown(
    approved: Callable[..., Transfer],
    connection: Connection,
    venue: Simulator,
    operator: User,
    operator2: User,
    auditor: User,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.DEBUG)
    another_key(venue)
    canaries = {*venue.credentials.values(), *SECOND.values(), *settings.CREDENTIALS_KEYS, settings.SECRET_KEY}
    pages: list[str] = []

    form = {f"credential-{name}": value for name, value in SECOND.items()}
    address = f"/connections/{connection.pk}/credentials/"
    pages += [browser(operator).post(address, {**form, "reason": why}).content.decode() for why in ("", "A new key")]
    change = Change.objects.get(kind=credentials.REPLACE)
    waiting = dump(tmp_path / "waiting.sql")
    assert change.sealed in waiting, "the dump holds it as it is stored"
    venue.fault("refuse", match="send", code=10003, text=" ".join(sorted(venue.credentials.values())))  # an echo
    dispatch.dispatch(reference=approved().reference, now=timezone.now)
    first_looks.look(change_id=change.pk, at=timezone.now())
    newest = first_looks.newest_look(change)
    assert newest is not None
    said = {"digest": change.digest, "login": newest.login}
    assert browser(operator2).post(f"/changes/{change.pk}/confirm/", said).status_code == 303
    said_by_it = StringIO()
    call_command("rotate_secrets", stdout=said_by_it)

    for person in (operator, auditor):
        for path in ("/", "/connections/", "/changes/", "/transfers/", "/audit/", "/stops/"):
            answer = browser(person).get(path)
            assert answer.status_code == 200
            pages.append(answer.content.decode())
    assert f"{change.words['fingerprint']}</span> in use since today" in "".join(pages)

    with monkeypatch.context() as broken:  # a defect while credentials are in hand
        broken.setattr(venues, "seal_proposed", lambda **_: {}["a defect"])
        client = browser(operator)
        client.raise_request_exception = False
        named = {"name": "Another", "reason": "A new login", "environment": "mainnet"}
        answer = client.post("/connections/new/?venue=bybit", {**form, **named})
        assert answer.status_code == 500
        pages.append(answer.content.decode())

    line = logging.Formatter()
    logged = [f"{line.format(one)} {vars(one)!r}" for one in caplog.records if "simulators" not in one.name]
    places = {
        "the dump of while it waited": waiting,
        "the dump of afterwards": dump(tmp_path / "afterwards.sql"),
        "a page": "".join(pages),
        "the log": "".join(logged),
        "an entry": "".join(AuditEntry.objects.values_list("canonical", flat=True)),
        "the command": said_by_it.getvalue(),
    }
    assert {(place, one) for place, text in places.items() for one in canaries if one in text} == set()
    assert [place for place, text in places.items() if len(text) <= 20] == [], "something was searched"
    assert in_source(canaries) == PRACTICE_STAND_INS
    assert Connection.objects.get().fingerprint == change.words["fingerprint"]
    assert sealing.is_newest(Connection.objects.get().credentials)


# Practice mode's own keys, which a real house refuses to start with (tests/test_settings.py).
PRACTICE_STAND_INS = {
    ("treasury/settings.py", settings.SECRET_KEY),
    ("treasury/settings.py", settings.CREDENTIALS_KEYS[0]),
}


def in_source(canaries: set[str]) -> set[tuple[str, str]]:
    """Which file of the product holds which of them. A simulated venue knows its own practice logins."""
    folders = (*CODE, "templates", "static", "docs")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    texts = {
        str(path.relative_to(ROOT)): path.read_bytes().decode("utf-8", "replace")
        for path in [*files, *(one for one in ROOT.iterdir() if one.is_file())]
        if path.suffix != ".pyc" and "simulators" not in path.parts
    }
    return {(place, one) for place, text in texts.items() for one in canaries if one in text}


# -- S49 ---------------------------------------------------------------------------------------------------------


@proves(
    "S49",
    "connectors/core/gate.py:Gate",
    "connectors/core/http.py:Wire",
    "treasury/outbound.py:gate",
    "treasury/outbound.py:Session",
    "treasury/outbound.py:EmailBackend",
)
def test_s49_only_declared_hosts_are_called_and_no_redirect_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    written = (ROOT / "docs" / "venues.md").read_text()
    (row,) = (line for line in written.splitlines() if line.startswith("| a call may last "))
    hosted = {name: one for name, one in connectors.venues().items() if any(one.hosts.values())}
    limits = [f"{one.call_limit.total_seconds():g} s" for _, one in sorted(hosted.items())]
    assert [cell.strip() for cell in row.split("|")[2:-1]] == limits, "as long as the modules declare"
    assert "| connections and retries | one a call" in written

    tried: list[Any] = []
    monkeypatch.setattr(socket.socket, "connect", lambda self, address: tried.append(address))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(socket.AF_INET, 1, 6, "", ("93.184.216.34", 443))])
    for declared in hosted.values():
        for hosts in declared.hosts.values():
            wire = Wire(hosts, redact=Redactor([]))
            for label in hosts:
                with pytest.raises(TryLater, match=r"Nothing moved.*is declared nowhere"):
                    wire.send("@evil.example/withdraw", content=b"{}", auth=httpx.Auth(), host=label)
    practice = gate.gate_to(["https://api.example"], loopback_only=True)
    with pytest.raises(gate.Closed, match="outside this computer"):
        practice.insist("api.example", 443)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(socket.AF_INET, 1, 6, "", ("10.0.0.7", 443))])
    with pytest.raises(gate.Closed, match="of a private network"):
        gate.gate_to(["https://api.example"]).insist("api.example", 443)
    monkeypatch.setattr(settings, "PRACTICE", False)
    refused_ways_out(monkeypatch)
    assert tried == [], "refused before a connection was made"
    monkeypatch.undo()

    with serve("bybit") as simulator, serve("bybit") as elsewhere:
        moved = connectors.open("bybit", credentials=simulator.credentials, base_url=simulator.url, loopback_only=True)
        answers = redirecting(simulator, elsewhere.url, monkeypatch)
        with pytest.raises(TryLater):
            moved.check()
        assert answers
        declared = {"openid_connect": {"APPS": [{"settings": {"server_url": simulator.url}}]}}
        monkeypatch.setattr(settings, "SOCIALACCOUNT_PROVIDERS", declared)
        with outbound.Session() as session:
            assert session.get(f"{simulator.url}/token").status_code == 307
        assert elsewhere.requests() == [], "a redirect is an answer, and leads nowhere"


PROVIDER = {"openid_connect": {"APPS": [{"settings": {"server_url": "https://login.example"}}]}}
METADATA = "169.254.169.254"


def refused_ways_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mail and the identity provider: another host than the declared one, and where that one leads to no server."""
    monkeypatch.setattr(settings, "EMAIL_BACKEND", "treasury.outbound.EmailBackend")
    monkeypatch.setattr(settings, "EMAIL_HOST", "mail.example")
    monkeypatch.setattr(settings, "EMAIL_PORT", 465)
    monkeypatch.setattr(settings, "SOCIALACCOUNT_PROVIDERS", PROVIDER)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(socket.AF_INET, 1, 6, "", (METADATA, 443))])
    letter = EmailMessage("x", "y", "a@treasury.invalid", ["b@treasury.invalid"])
    for host, why in (("evil.example", "is declared nowhere"), ("mail.example", "tells a machine its secrets")):
        for tls in (False, True):
            with pytest.raises(gate.Closed, match=why):
                outbound.EmailBackend(host=host, port=465, use_ssl=tls).send_messages([letter])
    for host, why in (("evil.example", "is declared nowhere"), ("login.example", "tells a machine its secrets")):
        with outbound.Session() as session, pytest.raises(requests.ConnectionError, match=why):
            session.post(f"https://{host}/token", data={"code": "canary"})


def redirecting(simulator: Simulator, url: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every answer of it leads to the other one from now on."""
    given: list[str] = []

    def answer(request: Any, faults: Any) -> Any:
        given.append(request.target)
        return type(simulator.rate_limited())(status=307, headers={"Location": url + request.path})

    monkeypatch.setattr(simulator, "answer", answer)
    return given


# -- S50 ---------------------------------------------------------------------------------------------------------


@proves(
    "S50",
    "treasury/balances/refresh.py:refresh",
    "treasury/tasks.py:one_at_a_time",
    "treasury/venues.py:why_wait",
    "treasury/web/connections.py:reading_of",
)
def test_s50_a_venue_that_hangs_or_refuses_takes_no_page_and_no_other_venue_along(
    approved: Callable[..., Transfer],
    connection: Connection,
    venue: Simulator,
    maker: User,
    checker: User,
    checker2: User,
    auditor: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with serve("bitget") as other:
        monkeypatch.setattr(settings, "SIMULATORS", {"bybit": venue.url, "bitget": other.url})
        healthy = login_at(other, "The other venue")
        waiting = say_yes(drafted_over(healthy, maker), checker, checker2)
        shorter("bybit", 3, monkeypatch)
        venue.fault("slow", match="", times=None, seconds=8)
        hung = threading.Thread(target=reading, args=(connection,))
        hung.start()
        time.sleep(0.2)
        try:
            began = time.monotonic()
            for path in ("/", "/connections/", "/transfers/", "/balances/", "/healthz/"):
                assert browser(auditor).get(path).status_code == 200
            dispatch.dispatch(reference=waiting.reference, now=timezone.now)
            waiting.refresh_from_db()
            assert waiting.state in (State.DISPATCHED, State.SETTLED)
            assert hung.is_alive(), "all this while the one venue still hung"
            assert time.monotonic() - began < 3
        finally:
            hung.join()
        health = ConnectionHealth.objects.get(connection=connection)
        assert health.read_again_at is not None, "it is left alone for a while, and not asked again and again"
        assert health.read_again_at > timezone.now()
        seen = " ".join(browser(auditor).get("/").content.decode().split())
        assert "The last reading failed" in seen
        assert "The numbers below keep their age" in seen
        assert "Could not be read" in browser(auditor).get("/connections/").content.decode()

        venue.clear()
        venue.fault("banned", match="", times=None)
        transfer = approved()
        dispatch.dispatch(reference=transfer.reference, now=timezone.now)
        transfer.refresh_from_db()
        assert transfer.state == State.APPROVED, "nothing moved, and it waits"
        refresh(connection=healthy, at=timezone.now())
        assert browser(auditor).get("/connections/").status_code == 200


def reading(connection: Connection) -> None:
    try:
        refresh(connection=connection, at=timezone.now())
    except NotRead:
        pass
    finally:
        databases.close_all()


def shorter(name: str, seconds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call to this venue may last only so long, so that a test need not wait for a declared limit."""
    declared = venues.declared
    short = dataclasses.replace(declared(name), call_limit=timedelta(seconds=seconds))
    monkeypatch.setattr(venues, "declared", lambda venue: short if venue == name else declared(venue))


def drafted_over(connection: Connection, maker: User) -> Transfer:
    source, destination, asset = movable(connection)
    return draft.draft(
        words=draft.Words(source, destination, asset, "0.5", "To see it go"), maker=maker, at=timezone.now()
    )


# -- S51 ---------------------------------------------------------------------------------------------------------

OF_THE_REQUEST = re.compile(r"sign|authorization|secret|token", re.IGNORECASE)


@proves(
    "S51",
    "connectors/core/http.py:Answer",
    "connectors/core/redact.py:Redactor",
    "treasury/transfers/attempts.py:conclude",
)
def test_s51_each_call_proves_who_makes_it_and_its_answer_is_kept_redacted_with_its_digest(
    simulated: Simulator, login: Connection, maker: User, checker: User, checker2: User
) -> None:
    simulated.clear()
    transfer = say_yes(drafted_over(login, maker), checker, checker2)
    dispatch.dispatch(reference=transfer.reference, now=timezone.now)
    asked = [one for one in simulated.requests() if simulated.is_send(one)]
    assert asked
    proofs = [value for one in asked for name, value in one.headers.items() if OF_THE_REQUEST.search(name)]
    assert proofs, "a send without anything that proves who makes it"

    attempt = Attempt.objects.get(transfer=transfer)
    assert re.fullmatch(r"[0-9a-f]{64}", attempt.evidence["body_sha256"])
    assert attempt.evidence["http_status"] == 200 or attempt.evidence["http_status"] // 100 in (2, 4)
    entries = AuditEntry.objects.filter(subject=f"transfer:{transfer.reference}").values_list("canonical", flat=True)
    assert any(attempt.evidence["body_sha256"] in one for one in entries), "the log keeps the digest too"
    kept = f"{attempt.evidence} {attempt.words} {list(entries)}"
    assert not any(secret in kept for secret in simulated.credentials.values())

    wrong = {name: value + "x" for name, value in simulated.credentials.items()}
    stranger = venues.first_look(simulated.name, login.environment, wrong)
    before = len(simulated.effects())
    with pytest.raises(Barred, match=r"invalid|wrong|no such key"):
        stranger.check()
    assert len(simulated.effects()) == before, "the venue's own side checks the proof"


# -- S52 ---------------------------------------------------------------------------------------------------------

WEAK = re.compile(r"\b(md5|sha1|sha224|crc32|adler32|ripemd\w*|md4)\b", re.IGNORECASE)
# The list of breached passwords is published by their SHA-1, and is only searched in.
ELSEWHERE = {"treasury/controls/passwords.py"}


@proves(
    "S52",
    "treasury/transfers/instruction.py:digest",
    "treasury/controls/changes.py:digest_of",
    "treasury/audit/chain.py:seal",
    "treasury/fingerprints.py:of",
)
def test_s52_every_digest_is_sha_256_or_better(approved: Callable[..., Transfer], operator: User) -> None:
    weak = {
        f"{path.relative_to(ROOT)}:{number}"
        for folder in CODE
        for path in sorted((ROOT / folder).rglob("*.py"))
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if WEAK.search(line) and "simulators" not in path.parts and str(path.relative_to(ROOT)) not in ELSEWHERE
    }
    assert weak == set()
    ours = [(place, call) for place, call in calls() if "simulators" not in place and file_of(place) not in ELSEWHERE]
    named = {name for _, call in ours if (name := digest_named(call))}
    assert named <= {"sha256", "sha384", "sha512", "scrypt"}
    assert named, "the walk finds those that there are, so it would find another"

    transfer = approved()
    assert re.fullmatch(r"[0-9a-f]{64}", transfer.digest or "")
    assert all(re.fullmatch(r"[0-9a-f]{64}", one.digest) for one in Change.objects.all())
    call_command("verify_audit", stdout=StringIO())
    with databases["default"].cursor() as cursor:
        cursor.execute("SELECT DISTINCT octet_length(hash) FROM treasury_auditlink")
        assert cursor.fetchall() == [(32,)]


def digest_named(call: Any) -> str:
    function = call.func
    owner = getattr(getattr(function, "value", None), "id", "")
    return str(function.attr) if owner == "hashlib" else ""
