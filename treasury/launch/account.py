"""Which account PostgreSQL runs under.

PostgreSQL refuses to run as root. An ordinary user runs it as themselves. As root, the server is put into
a user namespace where root is called 1000: files stay root's, so no account is made, no folder changes
mode, and a project below a private folder works. Where namespaces are forbidden (many containers), an
existing unprivileged account takes over, and the project must then be reachable for it.
"""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

_NAMESPACE = ("unshare", "--user", "--map-user=1000", "--map-group=1000")
_ENTER_AND_RUN = 'cd "$1" && exec "$2" --version'


class NoAccount(Exception):
    """Running as root, and nobody else can reach the program or the folder."""


@dataclass(frozen=True)
class Account:
    """How to start a program of PostgreSQL, and who owns its files (uid and gid as seen from here)."""

    prefix: tuple[str, ...]
    uid: int
    gid: int
    switches: bool = False

    def command(self, program: Path, *arguments: str | Path) -> list[str]:
        return [*self.prefix, str(program), *map(str, arguments)]

    @property
    def user(self) -> int | None:
        """For ``subprocess``'s ``user``; None leaves it as it is."""
        return self.uid if self.switches else None

    @property
    def group(self) -> int | None:
        return self.gid if self.switches else None

    @property
    def extra_groups(self) -> list[int] | None:
        return [] if self.switches else None

    def own(self, folder: Path) -> None:
        """Hand the folder and all in it to this account (only root can; two may have served in turn)."""
        if os.geteuid() != 0 or folder.lstat().st_uid == self.uid:
            return
        for path in (folder, *folder.rglob("*")):
            os.chown(path, self.uid, self.gid, follow_symlinks=False)


@lru_cache
def choose(program: Path, folder: Path) -> Account:
    """The account that can run ``program`` and enter ``folder``; raises NoAccount."""
    if os.geteuid() != 0:
        return Account((), os.geteuid(), os.getegid())
    for account in _for_root():
        if _can(account, program, folder):
            return account
    raise NoAccount(
        "PostgreSQL does not run as root, and no other account can reach this folder: "
        f"run as an ordinary user, or move the project out of a private folder ({folder})."
    )


def _for_root() -> Iterator[Account]:
    yield Account(_NAMESPACE, 0, os.getegid())
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        yield Account((), entry.pw_uid, entry.pw_gid, switches=True)


def _can(account: Account, program: Path, folder: Path) -> bool:
    try:
        return not subprocess.run(
            [*account.prefix, "/bin/sh", "-c", _ENTER_AND_RUN, "sh", str(folder), str(program)],
            check=False,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            user=account.user,
            group=account.group,
            extra_groups=account.extra_groups,
        ).returncode
    except (OSError, subprocess.SubprocessError):
        return False
