"""The whole product as one program: database, simulated venues, web, workers and beat."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from treasury.launch import address, places, postgres, reach, roles
from treasury.launch.processes import ChildDied, Family, Signals, Stopped, say

WEB_LIMIT = 60.0  # seconds until /healthz/ answers
SIMULATORS_LIMIT = 30.0
_OF_THE_OWNER = ("TREASURY_OWNER_DATABASE_URL", "TREASURY_OWNER_DATABASE_URL_FILE")
_NEEDED_DISK = 300_000_000  # bytes
_QUEUES = {"sends": 2, "reads": 2, "chores": 2, "plans": 1}  # and how many processes each of their workers has
_STOP_ORDER = (("beat",), ("web",), tuple(_QUEUES), ("simulators",))
_READ_SETTINGS = """
import sys
from django.core.exceptions import ImproperlyConfigured
try:
    import treasury.settings
except ImproperlyConfigured as wrong:
    sys.exit(str(wrong))
"""
_SIGN_INS = "maker, maker2, checker, checker2, auditor, admin, admin2, policy, policy2, useradmin, useradmin2"


class Refused(Exception):
    """The run cannot begin; the text is one sentence for a person, with the remedy."""


def run(signals: Signals, home: Path, port: int, task: Sequence[str] = ()) -> int:
    """Run until a stop is requested (0) or a child dies (1); with ``task``, until that Python command ends.

    Raises Refused and postgres.NotStarted before anything is started.
    """
    home.mkdir(parents=True, exist_ok=True)
    with _only_run(home, port):
        _refuse_a_taken_port(port)
        _refuse_a_full_disk(home)
        return _run(signals, home, port, task)


def _run(signals: Signals, home: Path, port: int, task: Sequence[str]) -> int:
    env = environment(home)
    _refuse_wrong_settings(env)
    practice = env["TREASURY_MODE"] == "practice"
    owner = {name: env.pop(name) for name in _OF_THE_OWNER if name in env}  # what serves people never learns it
    embedded = None if _said(env, "DATABASE_URL") else home / "postgres"
    if embedded and not practice:
        raise Refused("DATABASE_URL (or DATABASE_URL_FILE) is not set; TREASURY_MODE=real does not start without it.")
    if not embedded and (why := reach.why_not(address.parse(_said(env, "DATABASE_URL")))):
        raise Refused(why)
    if embedded:
        both = roles.make(postgres.start(embedded))
        env["DATABASE_URL"], owner = both.application, {_OF_THE_OWNER[0]: both.owner}
    family = Family(signals, env, places.PROJECT)
    try:
        _prepare_tables(family, owner, practice=practice)
        if practice:
            _start_simulators(family, home)
            family.finish("practice", "manage.py", "practice")
        else:
            family.finish("static", "manage.py", "collectstatic", "--no-input", "-v", "0")
        _start_product(family, home, port, practice=practice)
        host = "localhost" if practice else _said(env, "ALLOWED_HOSTS").split(",")[0].strip().lstrip(".")
        family.wait_for(lambda: answers(port, host), seconds=WEB_LIMIT, what="The first page")
        if task:
            env["TREASURY_ADDRESS"] = f"http://localhost:{port}"
            family.finish("task", *task)
            return 0
        _greet(port, practice=practice)
        while True:
            family.watch()
            if embedded and not postgres.is_up(embedded):
                raise ChildDied(f"The database stopped by itself; its log is {embedded / 'server.log'}.")
            family.pause(0.5)
    except Stopped:
        say("Stopping …")
        return 0
    except (ChildDied, TimeoutError) as error:
        print(error, file=sys.stderr, flush=True)
        return 1
    finally:
        family.stop(*_STOP_ORDER)
        postgres.release()


def environment(home: Path) -> dict[str, str]:
    """What every child gets; DATABASE_URL only when it was given."""
    return {
        **os.environ,
        "TREASURY_MODE": os.environ.get("TREASURY_MODE") or "practice",
        "TREASURY_HOME": str(home),
        "PYTHONUNBUFFERED": "1",
        "PYTHONUTF8": "1",  # whatever the locale, names and log lines are not only ASCII
    }


def _said(env: Mapping[str, str], name: str) -> str:
    """A setting, or the content of the file that NAME_FILE names, or an empty text; raises Refused."""
    if file := env.get(f"{name}_FILE"):
        try:
            return Path(file).read_text().strip()
        except OSError as error:
            raise Refused(f"{name}_FILE cannot be read: {error}.") from None
    return env.get(name, "")


def _prepare_tables(family: Family, owner: Mapping[str, str], *, practice: bool) -> None:
    """Tables and rights, made by their owner. Without the owner's address a real installation finds them made."""
    family.env.update(owner)
    try:
        if not owner and not practice:
            family.finish("migrate", "manage.py", "migrate", "--check", "-v", "0")
            return
        family.finish("migrate", "manage.py", "migrate", "--no-input")
        if owner:
            role = address.parse(_said(family.env, "DATABASE_URL"))["USER"]
            family.finish("grants", "manage.py", "grants", "--role", role, "-v", "0")
    finally:
        for name in owner:
            del family.env[name]


def _start_simulators(family: Family, home: Path) -> None:
    folder = home / "simulators"
    folder.mkdir(exist_ok=True)
    addresses = folder / "addresses.json"
    addresses.unlink(missing_ok=True)
    family.start(
        "simulators",
        *("-m", "connectors.simulators", "--home", str(folder), "--addresses", str(addresses)),
    )
    family.wait_for(lambda: _is_json(addresses), seconds=SIMULATORS_LIMIT, what="The addresses of the simulated venues")
    family.env["TREASURY_SIMULATORS"] = addresses.read_text()


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return False
    return True


def _start_product(family: Family, home: Path, port: int, *, practice: bool) -> None:
    (home / "static").mkdir(exist_ok=True)  # practice mode serves the files from where they are, and looks here too
    binds = [word for address in _loopbacks(port) for word in ("-b", address)]
    # gunicorn's heartbeat file goes to memory: a busy disk would look like a hung worker.
    memory = Path("/dev/shm")  # noqa: S108
    heartbeat = ("--worker-tmp-dir", str(memory)) if os.access(memory, os.W_OK) else ()
    family.start(
        "web",
        *("-m", "gunicorn", "treasury.wsgi", "-k", "gthread", *binds, "--workers", "2", "--threads", "4"),
        # Which proxies are believed, the product decides by TREASURY_TRUSTED_PROXIES; gunicorn believes none.
        *("--graceful-timeout", "10", "--no-control-socket", "--forwarded-allow-ips", ""),
        *("--log-level", "warning", *heartbeat),
    )
    # Practising as root is nobody's danger; a real worker as root keeps Celery's warning.
    silence = ("-W", "ignore:You're running the worker with superuser") if practice else ()
    celery = (*silence, "-m", "celery", "--quiet", "-A", "treasury")
    worker = (
        *celery,
        "worker",
        "-l",
        "WARNING",
        "--without-gossip",
        "--without-mingle",
        "--without-heartbeat",
    )
    # A queue a worker: pgmq's long poll of an empty queue would hold up the ticks of the other, until they expire.
    for queue, processes in _QUEUES.items():
        family.start(queue, *worker, "-n", f"{queue}@%h", "-Q", queue, "-c", str(processes), again=True)
    schedule = str(home / "celerybeat-schedule")
    family.start("beat", *celery, "beat", "-l", "WARNING", "-s", schedule, "--pidfile=", again=True)


def answers(port: int, host: str = "localhost") -> bool:
    """Whether the web says that it is well, asked without any proxy, by the name that it is known by."""
    asked = urllib.request.Request(f"http://127.0.0.1:{port}/healthz/", headers={"Host": host})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(asked, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _greet(port: int, *, practice: bool) -> None:
    say(f"\n  http://localhost:{port}\n")
    if practice:
        say(f"  Practice sign-ins: {_SIGN_INS}; the password is practice.")
    say("  Ctrl-C stops everything.\n")


# -- reasons not to begin --------------------------------------------------------------------------------


@contextmanager
def _only_run(home: Path, port: int) -> Iterator[None]:
    with (home / "run.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise Refused(
                f"Already running ({lock.read().strip() or 'just starting'}): use that one, or stop it first."
            ) from None
        lock.truncate(0)
        lock.write(f"process {os.getpid()}, http://localhost:{port}")
        lock.flush()
        yield


def wanted_port() -> int:
    """PORT, or 8000; raises Refused."""
    text = os.environ.get("PORT") or "8000"
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        raise Refused(f"PORT is {text!r}, which is not a port: set it to a number from 1 to 65535.")
    return int(text)


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _refuse_a_taken_port(port: int) -> None:
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        if not _has(family, host):
            continue
        try:
            with socket.socket(family) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as gunicorn does
                probe.bind((host, port))
                probe.listen(1)
        except PermissionError:
            raise Refused(f"Port {port} is for privileged programs only: choose another with PORT=8000.") from None
        except OSError:
            raise Refused(
                f"Port {port} is taken by another program: stop it, or choose another with PORT={port + 1}."
            ) from None


def _refuse_wrong_settings(env: Mapping[str, str]) -> None:
    """In a process of its own: they are read from an environment, and stay for as long as a process lives."""
    done = subprocess.run(
        [sys.executable, "-c", _READ_SETTINGS],
        check=False,
        cwd=places.PROJECT,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
    )
    if done.returncode:
        raise Refused(done.stderr.strip())


def _refuse_a_full_disk(home: Path) -> None:
    free = shutil.disk_usage(home).free
    if free < _NEEDED_DISK:
        raise Refused(
            f"The disk of {home} is nearly full ({free // 1_000_000} MB left): free at least "
            f"{_NEEDED_DISK // 1_000_000} MB and start again."
        )


def _loopbacks(port: int) -> list[str]:
    """Both, because browsers try ::1 first for ``localhost``."""
    return [f"127.0.0.1:{port}", *([f"[::1]:{port}"] if _has(socket.AF_INET6, "::1") else [])]


def _has(family: socket.AddressFamily, host: str) -> bool:
    try:
        with socket.socket(family) as probe:
            probe.bind((host, 0))
    except OSError:
        return False
    return True
