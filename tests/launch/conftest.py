"""Processes that use the embedded database, under each of the accounts that it must work for."""

from __future__ import annotations

import os
import pwd
import shutil
import site
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from treasury.launch import places, postgres, postmaster, sockets

_USE = """
import sys
from pathlib import Path
import psycopg
from treasury.launch import postgres
address = postgres.start(Path(sys.argv[1]), durable=False)
for _ in sys.stdin:
    with psycopg.connect(address) as connection:
        answer = connection.execute("SELECT 'works'").fetchone()[0]
    print(answer, flush=True)  # with the connection closed: the server may be killed as soon as this is read
"""


class User:
    """A process that uses the server of a home until it leaves or is killed."""

    def __init__(self, account: Account, home: Path) -> None:
        self.process = subprocess.Popen(
            [account.python, "-c", _USE, str(home)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd="/",
            env=account.env,
            user=account.user,
            group=account.group,
            extra_groups=[] if account.user else None,
        )

    def asks(self) -> str:
        """The server's answer, "works"; the process's error when it has none."""
        assert self.process.stdin
        assert self.process.stdout
        assert self.process.stderr
        try:
            self.process.stdin.write("\n")
            self.process.stdin.flush()
            return self.process.stdout.readline().strip() or self.process.stderr.read()
        except BrokenPipeError:
            return self.process.stderr.read()

    def leaves(self) -> int:
        self.process.communicate(timeout=60)
        return self.process.returncode

    def is_killed(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=60)


@dataclass
class Account:
    """Who starts the processes, with which Python, and the private folder they may write in."""

    user: int | None
    group: int | None
    python: str
    env: Mapping[str, str]
    folder: Path
    users: list[User] = field(default_factory=list)

    def starts(self, home: Path) -> User:
        user = User(self, home)
        self.users.append(user)
        return user


NOW, WITHOUT_NAMESPACES, ORDINARY = "as we are", "as root without namespaces", "as an ordinary user"


@pytest.fixture(params=[NOW, WITHOUT_NAMESPACES, ORDINARY])
def account(request: pytest.FixtureRequest) -> Iterator[Account]:
    """As we are; as root where user namespaces are forbidden; as an ordinary user."""
    kind = request.param
    if kind != NOW and os.geteuid() != 0:
        pytest.skip("only root can become somebody else; as an ordinary user this test has run already")
    nobody = pwd.getpwnam("nobody") if kind == ORDINARY else None
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(places.PROJECT), *site.getsitepackages()])}
    if kind == WITHOUT_NAMESPACES:
        env["PATH"] = "/nowhere"  # so that there is no unshare
    folder = Path(tempfile.mkdtemp(prefix="treasury test "))
    if nobody:
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    if kind == WITHOUT_NAMESPACES or (os.geteuid() == 0 and not _namespaces_work()):
        folder.chmod(0o755)
    try:
        user, group = (nobody.pw_uid, nobody.pw_gid) if nobody else (None, None)
        made = Account(user, group, _python(user), env, folder)
        if kind == WITHOUT_NAMESPACES:
            _skip_unless_reachable()
        yield made
        for one in made.users:
            if one.process.returncode is None:
                one.is_killed()
    finally:
        for home in folder.rglob("users.lock"):
            _end(home.parent)
        shutil.rmtree(folder)


def _python(user: int | None) -> str:
    """A Python that this user can start, with our packages."""
    for python in (sys.executable, f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"):
        try:
            subprocess.run([python, "-c", ""], check=True, user=user, cwd="/")
        except (OSError, subprocess.CalledProcessError):
            continue
        return python
    pytest.skip("no Python of this version that an ordinary user can reach")


def _skip_unless_reachable() -> None:
    try:
        subprocess.run(
            [postgres.programs() / "postgres", "--version"],
            check=True,
            user="nobody",
            cwd="/",
            capture_output=True,
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("the project is in a folder that only root can reach")


def _namespaces_work() -> bool:
    return shutil.which("unshare") is not None and not (
        subprocess.run(["unshare", "--user", "--map-user=1000", "true"], check=False, capture_output=True).returncode
    )


def _end(home: Path) -> None:
    folder = sockets.folder(home)
    postmaster.clear_the_way(home / "data", folder, lambda: None)
    shutil.rmtree(folder, ignore_errors=True)
