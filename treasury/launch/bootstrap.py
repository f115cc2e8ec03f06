"""From a bare Python to the running product: makes ``.venv``, installs the locked packages, hands over.

    python3 treasury/launch/bootstrap.py run | test [pytest arguments] | lint | bench | manage <command> …

Standard library only. A second start costs the reading of one stamp. Whatever goes wrong is said in one
sentence with the remedy, exit code 1. The syntax is older than the Python we need: an old one can say so.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from io import TextIOWrapper
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
VENV = PROJECT / ".venv"
OLDEST, NEWEST = (3, 11), (3, 13)
NEEDED_DISK = 1_000_000_000  # bytes, for all packages and pip's own temporary files

_STAMP = "treasury-lock"  # in the venv: the hashes of the locks that it satisfies, one a line
_UNFINISHED = "treasury-unfinished"  # in the venv, while pip is at work
_SOUND = f"import pip, sys; print({OLDEST} <= sys.version_info[:2] <= {NEWEST} and sys.prefix != sys.base_prefix)"
_NO_NETWORK = re.compile(
    r"NewConnectionError|NameResolutionError|name resolution|ConnectTimeout|ReadTimeout|ProxyError"
    r"|Max retries exceeded|Connection refused|Network is unreachable|SSLError|CERTIFICATE_VERIFY"
)


class Impossible(Exception):
    """The environment cannot be made; the text is one sentence for a person, with the remedy."""


def main(arguments: list[str]) -> int:
    """Hands the process over; returns (1) only when it cannot."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without our characters is no reason to end
    try:
        check_python(sys.version_info[:2])
        lock = PROJECT / ("requirements.lock" if arguments[:1] in (["run"], ["manage"]) else "requirements-dev.lock")
        with (PROJECT / ".venv.lock").open("a") as busy:
            fcntl.flock(busy, fcntl.LOCK_EX)  # two starts at once on a fresh checkout: the second waits
            prepare(lock)
    except Impossible as reason:
        return refuse(str(reason))
    except KeyboardInterrupt:
        return refuse("Stopped; run it again to go on.")
    except OSError as error:
        return refuse(f"{in_words(error)}.")
    python = str(VENV / "bin" / "python")
    os.chdir(PROJECT)
    if arguments[:1] == ["manage"]:
        os.execv(python, [python, "manage.py", *arguments[1:]])
    os.execv(python, [python, "-m", "treasury.launch", *arguments])
    return 1


def check_python(version: tuple[int, ...]) -> None:
    """Raises Impossible when this Python is too old or too new."""
    if not OLDEST <= version <= NEWEST:
        raise Impossible(
            f"Python 3.11, 3.12 or 3.13 is needed and this is {version[0]}.{version[1]}: install one of them "
            "and say which, for example `make run PYTHON=python3.12`."
        )


def prepare(lock: Path) -> None:
    """Make ``.venv`` hold what the lock says; raises Impossible, OSError."""
    stamp = VENV / _STAMP
    wanted = [hashlib.sha256(lock.read_bytes()).hexdigest()]
    if lock.name == "requirements-dev.lock":  # which holds all of the other one too
        wanted.append(hashlib.sha256((PROJECT / "requirements.lock").read_bytes()).hexdigest())
    if (VENV / _UNFINISHED).exists() or not is_sound():
        make_venv()
    if stamp.exists() and set(wanted) <= set(stamp.read_text().split()):
        return
    (VENV / _UNFINISHED).touch()
    stamp.unlink(missing_ok=True)
    install(lock)
    (VENV / _UNFINISHED).unlink()
    fresh = stamp.with_suffix(".new")
    fresh.write_text("\n".join(wanted) + "\n")
    fresh.replace(stamp)


def is_sound() -> bool:
    """Whether ``.venv`` has a Python that starts and that we can use, and pip."""
    try:
        answer = subprocess.run(
            [str(VENV / "bin" / "python"), "-c", _SOUND],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except OSError:
        return False
    return answer.stdout.strip() == b"True"


def make_venv() -> None:
    """Build ``.venv`` anew; raises Impossible."""
    require_disk()
    if VENV.is_symlink() or VENV.is_file():
        VENV.unlink()
    elif VENV.exists():
        print("The folder .venv is incomplete: making it again.", flush=True)
        shutil.rmtree(VENV)
    made = subprocess.run(
        [sys.executable, "-m", "venv", str(VENV)],
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if made.returncode == 0 and is_sound():
        return
    if "ensurepip" in made.stdout or "No module named" in made.stdout:
        raise Impossible(
            "This Python cannot make virtual environments: install its venv package "
            "(on Debian and Ubuntu `apt install python3-venv`) and start again."
        )
    if "No space left" in made.stdout:
        raise Impossible("The disk is full: free at least 1 GB and start again.")
    raise Impossible(f"The folder {VENV} could not be made ({last_line(made.stdout)}): remove it and start again.")


def install(lock: Path) -> None:
    """Install exactly the lock, by hashes; raises Impossible."""
    require_disk()
    print(f"Installing the packages of {lock.name} (half a minute the first time) …", flush=True)
    done = subprocess.run(
        [
            *(str(VENV / "bin" / "python"), "-m", "pip", "install", "--require-hashes", "-r", str(lock)),
            *(
                "--quiet",
                "--no-input",
                "--disable-pip-version-check",
                "--no-warn-script-location",
                "--retries",
                "2",
            ),
        ],
        check=False,
        env={**os.environ, "PIP_USER": "0"},  # a user's own setting would refuse to work in a venv
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if done.returncode == 0:
        return
    if "No space left" in done.stdout:
        raise Impossible("The disk is full: free at least 1 GB and start again.")
    if done.returncode > 0:
        (VENV / _UNFINISHED).unlink()  # pip gave up by itself and left whole packages only
    if _NO_NETWORK.search(done.stdout):
        raise Impossible(
            "The packages could not be downloaded: the first start needs a network that reaches pypi.org "
            "(or pip configured for a mirror of it)."
        )
    raise Impossible(f"pip could not install {lock.name} ({last_line(done.stdout)}): mend that and start again.")


def require_disk() -> None:
    """Raises Impossible when the packages would not fit."""
    if shutil.disk_usage(PROJECT).free < NEEDED_DISK:
        raise Impossible("The disk is nearly full: free at least 1 GB and start again.")


def last_line(output: str) -> str:
    """The last line that pip or venv called an error, else the last line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()] or ["no reason given"]
    errors = [line for line in lines if line.lower().startswith("error")]
    return (errors or lines)[-1].rstrip(".:")


def in_words(error: OSError) -> str:
    """A sentence without its full stop."""
    if isinstance(error, PermissionError):
        return f"This account may not write here ({error.filename}): start as the owner of the folder {PROJECT}"
    return f"{error.strerror or error} ({error.filename or PROJECT}): mend that and start again"


def refuse(sentence: str) -> int:
    print(sentence, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
