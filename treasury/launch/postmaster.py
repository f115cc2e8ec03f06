"""Which process is a data folder's server, and how it and its leftovers are ended.

``postmaster.pid`` alone proves nothing: its number may belong to a dead process that nobody reaped
(containers), or, after a reboot, to another program. PostgreSQL itself would refuse to start in both
cases. A server works inside its data folder, so the process is asked where it works.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]


class Unknown(Exception):
    """A process may be the data folder's server, and cannot be asked; the text is for a person."""


def socket_folder(data: Path) -> Path | None:
    """Where the server said it listens (the fifth line of ``postmaster.pid``), while the folder is there."""
    try:
        folder = Path((data / "postmaster.pid").read_text().splitlines()[4])
    except (OSError, IndexError):
        return None
    return folder if folder.name.startswith("treasury-pg-") and folder.is_dir() else None


def find(data: Path) -> psutil.Process | None:
    """The live server of this data folder, or None; raises Unknown."""
    try:
        number = int((data / "postmaster.pid").read_text().splitlines()[0])
    except (FileNotFoundError, ValueError, IndexError):
        return None
    try:
        process = psutil.Process(number)
        if ended(process) or not process.name().startswith("postgres"):
            return None
        return process if process.cwd() == str(data) else None
    except (psutil.NoSuchProcess, FileNotFoundError):
        return None
    except psutil.AccessDenied:
        raise Unknown(
            f"Process {number} may be the database of {data.parent}, run by another user: "
            "stop it there, or use a TREASURY_HOME of your own."
        ) from None


def clear_the_way(data: Path, sockets: Path, reap: Callable[[], None]) -> None:
    """End what is left of a server that no longer answers, and remove the files that claim it still runs.

    The last children of a killed server must be gone before another starts on the same files; so must a
    server whose folder was deleted under it, because it holds the socket.
    """
    for process in list(_at_work_in(data)):
        end(process, [(signal.SIGQUIT, 5), (signal.SIGKILL, 5)], reap)
    (data / "postmaster.pid").unlink(missing_ok=True)
    for path in sockets.glob(".s.PGSQL.*"):
        path.unlink(missing_ok=True)


def end(process: psutil.Process, steps: list[tuple[int, float]], reap: Callable[[], None]) -> None:
    """Send each signal in turn and wait the seconds beside it; done as soon as the process has ended."""
    for number, seconds in steps:
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            return
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            reap()
            if ended(process):
                return
            time.sleep(0.02)


def ended(process: psutil.Process) -> bool:
    """Gone, or dead and not reaped."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _at_work_in(data: Path) -> Iterator[psutil.Process]:
    places = (str(data), f"{data} (deleted)")
    for process in psutil.process_iter(["name", "cwd"]):
        if (process.info["name"] or "").startswith("postgres") and process.info["cwd"] in places:
            yield process
