"""The folder of the server's socket: short, because the kernel takes few bytes, and private, 0700."""

from __future__ import annotations

import hashlib
import os
import re
import socket
import stat
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from treasury.launch.account import Account
from treasury.launch.postmaster import socket_folder

_SOCKET = ".s.PGSQL.5432"
_LONGEST = 103 if sys.platform == "darwin" else 107  # bytes of a socket's path that the kernel takes


def folder(home: Path) -> Path:
    """Where the home's server listens, or will: each time the same, so that clients outlive a restart."""
    if found := socket_folder(home / "data"):
        return found
    name = f"treasury-pg-{os.geteuid()}-{hashlib.sha256(os.fsencode(home)).hexdigest()[:10]}"
    temporary = Path(tempfile.gettempdir())
    fits = len(os.fsencode(temporary / name / _SOCKET)) <= _LONGEST
    plain = re.fullmatch(r"[\w./-]+", str(temporary), re.ASCII)
    return (temporary if fits and plain else Path("/tmp")) / name  # noqa: S108


def make_private(wanted: Path, owner: Account) -> Path:
    """Make the folder, 0700, and return it; when somebody else made one of that name, make another."""
    with suppress(FileExistsError):
        wanted.mkdir(mode=0o700)
    found = wanted.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (os.geteuid(), owner.uid):
        wanted = Path(tempfile.mkdtemp(prefix="treasury-pg-", dir=wanted.parent))
    wanted.chmod(0o700)
    owner.own(wanted)
    return wanted


def exists(folder: Path) -> bool:
    """Whether the socket is still there; something that cleans the temporary folder may have removed it."""
    return (folder / _SOCKET).exists()


def answers(folder: Path) -> bool:
    """Whether something listens on the folder's socket."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(2)
        try:
            client.connect(str(folder / _SOCKET))
        except OSError:
            return False
        return True
