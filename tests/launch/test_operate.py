"""docs/operate.md, done as it is written: an installation, a backup, a restore that stops everything, and new keys."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path

import psycopg
import pytest

from treasury.launch import places, postgres
from treasury.launch.run import answers, free_port

pytestmark = pytest.mark.slow

BLOCK = re.compile(r"^## (\d+)\..*?$|^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROXIES = re.compile(r"^\| `TREASURY_TRUSTED_PROXIES` \| `(.+?)`", re.MULTILINE)
HOST = "treasury.example"


def commands() -> dict[str, list[str]]:
    """{number of the section: its blocks of shell}."""
    found: dict[str, list[str]] = {}
    section = ""
    for number, block in BLOCK.findall((places.PROJECT / "docs" / "operate.md").read_text()):
        section = number or section
        if block:
            found.setdefault(section, []).append(block)
    return found


def proxies() -> str:
    found = PROXIES.search((places.PROJECT / "docs" / "operate.md").read_text())
    assert found, "the document does not say whom the product is to believe"
    return found[1]


class Machine:
    """A machine that is to run the product: a database server, files, and an environment without anything of ours."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.server = folder / "server"
        address = postgres.start(self.server, durable=False)
        self.host = address.partition("host=")[2]
        with psycopg.connect(self.address("postgres", "postgres"), autocommit=True) as session:
            session.execute(
                f"DROP DATABASE {postgres.DATABASE}"
            )  # the embedded server's own: here nothing is there yet
        for name in ("secrets", "backup", "home", "elsewhere"):
            (folder / name).mkdir()
        self.env = {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), str(postgres.programs()), os.environ["PATH"]]),
            "HOME": str(folder),
            "SECRETS": str(folder / "secrets"),
            "BACKUP": str(folder / "backup"),
            "ADMINISTRATOR_URL": self.address("postgres", "postgres"),
            "RESTORED_OWNER_URL": self.address("treasury_owner", "treasury_restored"),
            "OWNER_PASSWORD": "of the owner",
            "APPLICATION_PASSWORD": "of the application",
            "TREASURY_MODE": "real",
            "TREASURY_HOME": str(folder / "home"),
            "TREASURY_ANCHOR_FILE": str(folder / "elsewhere" / "anchors.jsonl"),
            "SECRET_KEY_FILE": str(folder / "secrets" / "secret_key"),
            "TREASURY_CREDENTIALS_KEYS_FILE": str(folder / "secrets" / "credentials_keys"),
            "ALLOWED_HOSTS": HOST,
            "TREASURY_ADDRESS": f"https://{HOST}",
            "TREASURY_TRUSTED_PROXIES": proxies(),
            "TREASURY_EMAIL_URL": f"smtp://127.0.0.1:{free_port()}",
            "PORT": str(self.port),
        }

    def address(self, role: str, database: str) -> str:
        return f"postgresql://{role}@/{database}?host={self.host}"

    def names(self, database: str) -> None:
        self.env["DATABASE_URL"] = self.address("treasury_app", database)
        self.env["TREASURY_OWNER_DATABASE_URL"] = self.address("treasury_owner", database)

    def does(self, block: str, *, fails: bool = False) -> str:
        done = subprocess.run(
            ["sh", "-euc", block], cwd=places.PROJECT, env=self.env, capture_output=True, text=True, timeout=180
        )
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done.stdout + done.stderr

    def python(self, lines: str) -> str:
        self.env["LINES_OF_TEST"] = f"import django; django.setup()\nfrom django.utils import timezone\n{lines}"
        return self.does('DJANGO_SETTINGS_MODULE=treasury.settings python -c "$LINES_OF_TEST"')

    def asks(self, database: str, question: str) -> list[tuple[object, ...]]:
        with psycopg.connect(self.address("postgres", database)) as session:
            return session.execute(question).fetchall()

    def answer(self, path: str, **headers: str) -> int:
        """The status with which the web answers; no redirect is followed."""
        asked = HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            asked.request("GET", path, headers={"Host": HOST, **headers})
            return asked.getresponse().status
        finally:
            asked.close()

    def runs(self, until: Callable[[], bool]) -> str:
        """Start the product, as the document says, until this is so; then stop it. Returns what it said."""
        output = self.folder / "output"
        with output.open("wb") as log:
            run = subprocess.Popen(
                [sys.executable, "-m", "treasury.launch", "run"],
                cwd=places.PROJECT,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            deadline = time.monotonic() + 90
            while not (answers(self.port, HOST) and until()):
                assert run.poll() is None, output.read_text()
                assert time.monotonic() < deadline, output.read_text()
                time.sleep(0.3)
            run.send_signal(signal.SIGTERM)
            assert run.wait(60) == 0, output.read_text()
        finally:
            if run.poll() is None:
                run.kill()
                run.wait()
        return output.read_text()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    try:
        yield made
    finally:
        postgres.release(made.server)


BY_THE_PROXY = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.7"}
OPERATORS = """
from treasury.controls import people
from treasury.models import User
one, other = User.objects.get(username="ada"), User.objects.get(username="ben")
for name in ("olga", "otto"):
    who = people.Who(name, name.title(), "Operator", f"{name}@treasury.example")
    asked = people.propose_enrol(who=who, groups=["operators"], reason="x", by=one, at=timezone.now())
    people.confirm_enrol(change_id=asked.pk, by=other, digest=asked.digest, at=timezone.now())
"""
RELEASE = """
from treasury.controls import stops
from treasury.models import StopOrder, User
order = StopOrder.objects.get(released_at=None)
one, other = User.objects.get(username="olga"), User.objects.get(username="otto")
asked = stops.propose_release(stop_order_id=order.pk, by=one, reason="the drill", at=timezone.now())
stops.confirm_release(change_id=asked.pk, by=other, digest=asked.digest, at=timezone.now())
print("standing:", stops.standing().count())
"""
STANDING = "SELECT scope, reason FROM treasury_stoporder WHERE released_at IS NULL"
SEALED = (
    "SELECT 1 FROM treasury_auditlink HAVING count(*) = (SELECT count(*) FROM treasury_auditentry) AND count(*) > 2"
)


def test_what_the_document_says_is_what_works(machine: Machine) -> None:
    blocks = commands()
    machine.does(blocks["1"][0])
    machine.does(blocks["2"][0])
    machine.names("treasury")

    tables, first = blocks["3"]
    application = machine.env.pop("TREASURY_OWNER_DATABASE_URL")
    assert "TREASURY_OWNER_DATABASE_URL" in machine.does(tables, fails=True)
    machine.env["TREASURY_OWNER_DATABASE_URL"] = application
    assert "treasury_app may SELECT, INSERT:" in machine.does(tables)
    del machine.env["TREASURY_OWNER_DATABASE_URL"]
    assert machine.does(first).count(f"https://{HOST}/") == 2
    assert "Nothing was changed" in machine.does(first.splitlines()[0], fails=True)
    machine.python(OPERATORS)

    pages = []

    def looked_at() -> bool:
        pages[:] = [machine.answer("/sign-in/", **BY_THE_PROXY), machine.answer("/sign-in/")]
        return machine.asks("treasury", SEALED) != []

    said = machine.runs(looked_at)
    assert pages == [200, 301], "through the proxy one signs in; without TLS one is sent to where it is"
    assert "permission denied" not in said
    assert "Traceback" not in said
    assert machine.asks("treasury", STANDING) == []

    machine.names("treasury")
    machine.does(blocks["6"][0])
    create, check = blocks["7"]
    machine.does(create)
    machine.names("treasury_restored")
    assert "The chain is whole." in machine.does(check)
    del machine.env["TREASURY_OWNER_DATABASE_URL"]
    machine.runs(lambda: machine.asks("treasury_restored", STANDING) != [])
    [(scope, _)] = machine.asks("treasury_restored", STANDING)
    assert scope == "everything"
    assert "standing: 0" in machine.python(RELEASE)
    assert "The chain is whole." in machine.does("python manage.py verify_audit")

    for block in blocks["9"]:
        machine.does(block)
    assert machine.asks("treasury", STANDING) == [], "the drill has touched nothing"


def test_a_start_on_tables_of_another_release_is_refused(machine: Machine) -> None:
    blocks = commands()
    machine.does(blocks["1"][0])
    machine.does(blocks["2"][0])
    machine.names("treasury")
    machine.does("python manage.py migrate --no-input -v 0 treasury 0008")
    machine.does("python manage.py migrate --check -v 0", fails=True)
    del machine.env["TREASURY_OWNER_DATABASE_URL"]
    refused = machine.does("python -m treasury.launch run", fails=True)
    assert "as the owner" in refused
    del machine.env["DATABASE_URL"]
    refused = machine.does("python -m treasury.launch run", fails=True)
    assert "DATABASE_URL (or DATABASE_URL_FILE) is not set" in refused
