"""Child processes of one program: started with prefixed output, watched, and stopped in order.

Every child has a session of its own, so the terminal's Ctrl-C reaches only the launcher, which then stops the
children one stage after the other. On Linux a child is told to stop when the launcher itself is killed.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import IO

import psutil  # type: ignore[import-untyped]

from treasury.launch.postmaster import ended

GRACE = 20.0  # seconds between SIGTERM and SIGKILL, for each stage
RESTARTS_MOST, RESTARTS_WITHIN = 5, 60.0  # so many ends of one child within so many seconds are a defect
_HURRY_AFTER = 0.5  # seconds; some terminals and wrappers deliver one Ctrl-C twice
_PR_SET_PDEATHSIG = 1
_COLOURS = (36, 33, 35, 32, 34, 31, 96, 93)
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None
_writing = threading.Lock()


class ChildDied(Exception):
    """A child ended by itself; the text names it and its last lines."""


class Stopped(Exception):
    """A stop was requested while something was being started or waited for."""


class Signals:
    """Counts the requests to stop: SIGINT, SIGTERM, SIGHUP.

    Installed explicitly, because a program started in the background inherits an ignored SIGINT. A SIGHUP
    that is ignored stays so: that is what nohup asks for.
    """

    def __init__(self) -> None:
        self.requested = 0
        self._last = 0.0

    def install(self) -> None:
        signal.signal(signal.SIGINT, self._count)
        signal.signal(signal.SIGTERM, self._count)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            signal.signal(signal.SIGHUP, self._count)

    @property
    def hurry(self) -> bool:
        return self.requested > 1

    def _count(self, _number: int, _frame: FrameType | None) -> None:
        if not self.requested or time.monotonic() - self._last > _HURRY_AFTER:
            self.requested += 1
            self._last = time.monotonic()


class Child:
    """One process, its output copied line by line under its name."""

    def __init__(self, name: str, command: Sequence[str], env: Mapping[str, str], cwd: Path, colour: int) -> None:
        self.name = name
        self.last_lines: deque[str] = deque(maxlen=15)
        self._colour = colour
        self.process = subprocess.Popen(
            command,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
            preexec_fn=_die_with(os.getpid()),
        )
        self._copier = threading.Thread(target=self._copy, args=(self.process.stdout,), daemon=True)
        self._copier.start()

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def how_it_ended(self) -> str:
        """In words, with its last lines; only after it ended."""
        self._copier.join(1)
        code = self.process.returncode
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        tail = "".join(f"\n    {line}" for line in self.last_lines)
        return f"{self.name} stopped by itself ({how})." + (f" Its last lines:{tail}" if tail else "")

    def terminate(self) -> list[psutil.Process]:
        """SIGTERM to the leader only, which ends its own children warmly; returns its descendants of now."""
        with suppress(psutil.NoSuchProcess):
            descendants: list[psutil.Process] = psutil.Process(self.process.pid).children(recursive=True)
            self.process.terminate()
            return descendants
        return []

    def kill(self, descendants: Sequence[psutil.Process]) -> None:
        """SIGKILL to whatever is left of the group and of the descendants (psutil knows a re-used number)."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        for process in descendants:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()
        deadline = time.monotonic() + 2
        while not all(ended(process) for process in descendants) and time.monotonic() < deadline:
            time.sleep(0.01)
        self._copier.join(1)

    def _copy(self, lines: IO[str]) -> None:
        with lines:
            for line in lines:
                self.last_lines.append(line.rstrip())
                prefix = f"{self.name:<10}|"
                if sys.stdout.isatty():
                    prefix = f"\x1b[{self._colour}m{prefix}\x1b[0m"
                say(f"{prefix} {line.rstrip()}")


class Family:
    """The children of one run, and the environment they are started with."""

    def __init__(self, signals: Signals, env: dict[str, str], cwd: Path) -> None:
        self.env = env
        self._signals = signals
        self._cwd = cwd
        self._children: dict[str, Child] = {}
        self._again: dict[str, tuple[str, ...]] = {}
        self._restarts: dict[str, deque[float]] = {}

    def start(self, name: str, *command: str, again: bool = False) -> Child:
        """Start ``python <command>``. Main thread only: Linux ties a child's life to the starting thread.

        ``again``: when it stops by itself, it is started again, unless it does so time after time.
        """
        if again:
            self._again[name] = command
        colour = _COLOURS[len(self._children) % len(_COLOURS)]
        child = Child(name, [sys.executable, *command], self.env, self._cwd, colour)
        self._children[name] = child
        return child

    def finish(self, name: str, *command: str) -> None:
        """Start ``python <command>`` and wait for its end; raises ChildDied when it fails, Stopped."""
        child = self.start(name, *command)
        while child.running:
            self.pause()
        del self._children[name]
        how = child.how_it_ended()
        if child.process.returncode:
            raise ChildDied(how)

    def wait_for(self, ready: Callable[[], bool], *, seconds: float, what: str) -> None:
        """Until ``ready()``; raises ChildDied, Stopped, TimeoutError (in words)."""
        deadline = time.monotonic() + seconds
        while not ready():
            self.watch()
            self.pause()
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what} did not come within {seconds:.0f} seconds.")

    def watch(self) -> None:
        """Raises ChildDied when one has ended that is not to be started again, or that ends time after time."""
        for child in list(self._children.values()):
            if not child.running:
                how = child.how_it_ended()
                if not self._may_start_again(child.name):
                    raise ChildDied(how)
                say(f"{how} It is started again.")
                child.kill([])  # what it leaves behind
                self.start(child.name, *self._again[child.name])

    def _may_start_again(self, name: str) -> bool:
        if name not in self._again:
            return False
        ended, now = self._restarts.setdefault(name, deque(maxlen=RESTARTS_MOST)), time.monotonic()
        ended.append(now)
        return len(ended) < RESTARTS_MOST or now - ended[0] > RESTARTS_WITHIN

    def pause(self, seconds: float = 0.1) -> None:
        """Raises Stopped when a stop is requested."""
        if self._signals.requested:
            raise Stopped
        time.sleep(seconds)

    def stop(self, *stages: Sequence[str]) -> None:
        """Stop the named children stage by stage, then any other; each stage has GRACE seconds."""
        others = [name for name in self._children if not any(name in stage for stage in stages)]
        for stage in (*stages, others):
            children = [self._children.pop(name) for name in stage if name in self._children]
            descendants = {child.name: child.terminate() for child in children}
            deadline = time.monotonic() + GRACE
            while any(child.running for child in children):
                if self._signals.hurry or time.monotonic() > deadline:
                    break
                time.sleep(0.05)
            for child in children:
                child.kill(descendants[child.name])


def say(line: str) -> None:
    """Print one line. When nobody reads any more (a closed terminal, ``| head``), go on in silence."""
    with _writing:
        try:
            print(line, flush=True)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _die_with(parent: int) -> Callable[[], None]:
    def tell_the_kernel() -> None:
        if _libc is not None:
            _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM))
            if os.getppid() != parent:  # it died before the kernel knew
                os._exit(1)

    return tell_the_kernel
