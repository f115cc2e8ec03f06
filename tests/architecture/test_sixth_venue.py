"""A sixth venue costs three files: one is written into a copy of the connectors, and everything finds it by itself.

No file that exists is edited for it, and no migration is needed. It is thrown away with the test.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from connectors.core import discovery

ROOT = Path(__file__).resolve().parents[2]
NAME = "throwaway"

CONNECTOR = '''
"""A venue with two accounts and one key; a transfer is looked up by our own key."""

import hashlib
import hmac
import json
from collections.abc import Collection, Generator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import httpx

from connectors.core.errors import Barred, Refused, TryLater, Uncertain
from connectors.core.http import Wire
from connectors.core.protocol import (
    Challenge, ChallengeState, Check, Instruction, Limit, Receipt, Standing, State, Venue, VenueAccount, VenueBalance,
    insist_printable, plain,
)

KINDS = {"vault": "Vault", "till": "Till"}
ROUTES = (("vault", "till"), ("till", "vault"))


@dataclass(frozen=True)
class Credentials:
    word: str = field(repr=False, metadata={"title": "Password"})

    def __post_init__(self):
        insist_printable([("word", self.word)])


class Signature(httpx.Auth):
    requires_request_body = True

    def __init__(self, credentials):
        self._word = credentials.word.encode()

    def auth_flow(self, request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["X-Sign"] = hmac.new(self._word, request.url.raw_path + request.content, "sha256").hexdigest()
        yield request


class Throwaway:
    def __init__(self, credentials, wire: Wire):
        self._sign, self._wire = Signature(credentials), wire

    def _ask(self, path):
        reply = self._wire.read(path, auth=self._sign)
        said = reply.json_object()
        if reply.status == 200 and said is not None:
            return reply, said
        evidence = self._wire.redact.evidence(reply.evidence())
        if reply.status == 403:
            raise Barred("Could not read: we are shut out.", evidence=evidence)
        raise TryLater("Could not read: no usable answer.", evidence=evidence)

    def check(self):
        return Check(login=self._ask("/login")[1]["login"], may_transfer=True, words=["The password is right."])

    def accounts(self):
        return [VenueAccount(address=kind, kind=kind, title=title) for kind, title in KINDS.items()]

    def balances(self):
        held, now = self._ask("/balances")[1], datetime.now(UTC)
        return [
            VenueBalance(address=kind, asset=asset, total=Decimal(amount), movable=Decimal(amount), observed_at=now)
            for kind in KINDS
            for asset, amount in held[kind].items()
        ]

    def routes(self):
        return list(ROUTES)

    def assets(self, source, destination):
        if (source, destination) not in ROUTES:
            raise Refused("Not sent. Nothing moved: there is no such route.")
        return ["GOLD"]

    def send(self, instruction: Instruction, signed_at=None, send_before=None, answer=None):
        body = json.dumps(_words(instruction)).encode()
        reply = self._wire.send("/transfers", content=body, auth=self._sign, send_before=send_before)
        said, evidence = reply.json_object() or {}, self._wire.redact.evidence(reply.evidence())
        if reply.status == 200 and said.get("key") == str(instruction.key):
            return Receipt(settled=True, record=said["key"], evidence=evidence)
        if reply.status == 403:
            raise Barred("Nothing moved. We are shut out.", evidence=evidence)
        if reply.status == 429:
            raise TryLater("Nothing moved. Too many calls.", evidence=evidence)
        if reply.status == 422:
            raise Refused("Nothing moved. It was refused.", evidence=evidence)
        raise Uncertain("It may have moved. No usable answer came.", evidence=evidence)

    def look_up(self, instruction, *, sent_at, receipt=None, claimed: Collection[str] = ()):
        reply, said = self._ask(f"/transfers/{instruction.key}")
        if "found" not in said:
            raise TryLater("Could not look it up: no usable answer.")
        evidence = self._wire.redact.evidence(reply.evidence())
        same = said["found"] == _words(instruction)
        state = State.DONE if same else State.UNCLEAR
        return Standing(state=state, searched=True, found=said["found"] is not None, evidence=evidence)

    def challenge(self, challenge: Challenge) -> ChallengeState:
        raise NotImplementedError


def _words(instruction):
    return {
        "key": str(instruction.key), "source": instruction.source, "destination": instruction.destination,
        "asset": instruction.asset, "amount": plain(instruction.amount),
    }


VENUE = Venue(
    title="Throwaway",
    credentials=Credentials,
    hosts={"production": {"api": "https://throwaway.invalid"}},
    build=Throwaway,
    account_kinds=KINDS,
    routes=ROUTES,
    limits={"send": Limit(calls=10, per=timedelta(seconds=1))},
    resend=None,
    absent_after=None,
    settle_limit=timedelta(minutes=5),
    signed_window=None,
    accounts_read_per_asset=False,
    amount_decimals=8,
)
'''

SIMULATOR = '''
"""The same venue, served locally."""

import hmac
import json
from decimal import Decimal

from connectors.simulators.core import Practice, Reply, Simulator, now_ms
from connectors.simulators.ledger import KeyTakenError, NotEnoughMoneyError


class ThrowawaySimulator(Simulator):
    name = "throwaway"

    def login_of(self, credentials):
        return "login-1"

    def is_send(self, request):
        return request.method == "POST"

    def refusal(self, fault):
        return Reply.of_json({"problem": fault.text}, status=422)

    def answer(self, request, faults):
        sign = hmac.new(self.credentials["word"].encode(), request.path.encode() + request.body, "sha256").hexdigest()
        if not hmac.compare_digest(request.headers.get("x-sign", ""), sign):
            return Reply.of_json({"problem": "the signature is wrong"}, status=401)
        if self.is_send(request):
            return self._transfer(json.loads(request.body))
        if request.path == "/login":
            return Reply.of_json({"login": "login-1"})
        if request.path == "/balances":
            return Reply.of_json(self.ledger.balances()["login-1"])
        key = request.path.rpartition("/")[2]
        found = [one for one in self.ledger.transfers("login-1") if one["key"] == key]
        words = ("key", "source", "destination", "asset", "amount")
        return Reply.of_json({"found": {word: found[0][word] for word in words} if found else None})

    def _transfer(self, asked):
        words = {**asked, "amount": Decimal(asked["amount"])}
        try:
            self.ledger.transfer(login="login-1", at=now_ms(), **words)
        except (KeyTakenError, NotEnoughMoneyError) as error:
            return Reply.of_json({"problem": type(error).__name__}, status=409)
        return Reply.of_json(asked)


SIMULATOR = ThrowawaySimulator
PRACTICE = (
    Practice(
        title="Practice at a throw-away venue",
        credentials={"word": "practice-throwaway-opens-nothing"},
        opening={"vault": {"GOLD": "1000"}, "till": {"GOLD": "10"}},
    ),
)
'''

ITS_TEST = '''
"""What is peculiar to it."""

import connectors


def test_throwaway_moves_gold_between_vault_and_till() -> None:
    assert connectors.venues()["throwaway"].routes == (("vault", "till"), ("till", "vault"))
'''

OPENED = f"""
import connectors
from connectors.simulators.core import names, serve
assert connectors.__file__.startswith({{home!r}}), connectors.__file__
assert {NAME!r} in connectors.venues() and {NAME!r} in names()
with serve({NAME!r}) as simulated:
    venue = connectors.open({NAME!r}, credentials=simulated.credentials, base_url=simulated.url, loopback_only=True)
    print(*(f"{{{{row.address}}}} {{{{row.total}}}}" for row in venue.balances()), sep=", ")
"""


MIGRATIONS = f"""
import sys
sys.path.insert(0, {{home!r}})  # before the working folder, which holds the real connectors
import django
django.setup()
import connectors
from django.core.management import call_command
from treasury import venues
assert connectors.__file__.startswith({{home!r}}), connectors.__file__
assert venues.declared({NAME!r}).title == "Throwaway"
call_command("makemigrations", check=True, dry_run=True)
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the connectors and their tests, with three files more."""
    made = tmp_path_factory.mktemp("sixth")
    without = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "connectors", made / "connectors", ignore=without)
    shutil.copytree(ROOT / "tests" / "connectors", made / "tests" / "connectors", ignore=without)
    (made / "tests" / "__init__.py").touch()
    before = fingerprints(made)
    written = {
        f"connectors/{NAME}.py": CONNECTOR,
        f"connectors/simulators/{NAME}.py": SIMULATOR,
        f"tests/connectors/test_{NAME}.py": ITS_TEST,
    }
    for path, text in written.items():
        (made / path).write_text(text.lstrip(), encoding="utf-8")
    after = fingerprints(made)
    assert set(after) - set(before) == set(written)
    assert {path: after[path] for path in before} == before, "an existing file was edited"
    return made


def fingerprints(folder: Path) -> dict[str, str]:
    files = [file for file in folder.rglob("*.py") if file.is_file()]
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def python(home: Path, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Python in a process of its own, with the copy on its path."""
    env = {**os.environ, "PYTHONPATH": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd or home, env=env, capture_output=True, text=True, check=False, timeout=60
    )


def contract_tests(home: Path) -> subprocess.CompletedProcess[str]:
    """The tests that are about every venue, and the new one's own, as far as they are about the new one."""
    others = [name for name in discovery.names() if name != NAME]
    files = sorted((home / "tests" / "connectors").glob("test_*.py"))
    shared = [str(file) for file in files if not any(name in file.stem for name in others)]
    plain = ("-q", "-p", "no:django", "-p", "no:playwright", "-p", "no:cacheprovider", "-c", os.devnull)
    return python(home, "-m", "pytest", *plain, "--rootdir", str(home), "--tb=short", "-k", NAME, *shared)


def test_three_files_are_enough_to_be_found_and_opened(home: Path) -> None:
    done = python(home, "-c", OPENED.format(home=str(home)))
    assert (done.returncode, done.stdout) == (0, "vault 1000, till 10\n"), done.stderr


def test_the_shared_contract_holds_it_to_account(home: Path) -> None:
    done = contract_tests(home)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) > 30, "the contract did not meet it"


def test_it_needs_no_migration(home: Path) -> None:
    done = python(home, "-c", MIGRATIONS.format(home=str(home)), cwd=ROOT)
    assert (done.returncode, done.stdout) == (0, "No changes detected\n"), done.stderr[-2000:]


def test_a_venue_without_its_simulator_fails_the_contract_by_its_name(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home, tmp_path / "copy")
    (tmp_path / "copy" / "connectors" / "simulators" / f"{NAME}.py").unlink()
    done = contract_tests(tmp_path / "copy")
    assert done.returncode == 1
    assert f"The venue {NAME} has no simulator: connectors/simulators/{NAME}.py" in done.stdout
