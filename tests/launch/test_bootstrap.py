"""From a bare Python: what can go wrong is said in one sentence with the remedy, and never as a traceback."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from treasury.launch import bootstrap, places

ABSENT = "treasury-no-such-package==1.0 --hash=sha256:" + "0" * 64


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project folder with a space in its path, whose half-made ``.venv`` a first start has made whole."""
    project = tmp_path_factory.mktemp("a project")
    shutil.copytree(places.PROJECT / "treasury" / "launch", project / "treasury" / "launch")
    (project / "requirements.lock").write_text("")
    (project / "requirements-dev.lock").write_text("# more\n")
    (project / "manage.py").write_text("print('handed over')")
    (project / ".venv" / "bin").mkdir(parents=True)
    (project / ".venv" / "bin" / "python").symlink_to("/nowhere/python3")
    started = start(project, "manage")
    assert started.returncode == 0, started.stderr
    assert "making it again" in started.stdout
    assert started.stdout.endswith("handed over\n")
    return project


@pytest.fixture
def project(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The same, for calls in this process."""
    stamp = (made / ".venv" / "treasury-lock").read_text()
    locks = {lock: lock.read_text() for lock in made.glob("*.lock")}
    monkeypatch.setattr(bootstrap, "PROJECT", made)
    monkeypatch.setattr(bootstrap, "VENV", made / ".venv")
    yield made
    (made / ".venv" / "treasury-lock").write_text(stamp)
    (made / ".venv" / "treasury-unfinished").unlink(missing_ok=True)
    for lock, text in locks.items():
        lock.write_text(text)


def start(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [getattr(sys, "_base_executable", sys.executable), "treasury/launch/bootstrap.py", *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=project,
    )


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line on stderr of a start that was refused."""
    assert bootstrap.main(list(arguments)) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(".")
    return line


def test_a_second_start_installs_nothing(made: Path) -> None:
    assert start(made, "manage").stdout == "handed over\n"


def test_an_installation_for_tests_is_good_for_a_run(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed: list[str] = []
    monkeypatch.setattr(bootstrap, "install", lambda lock: installed.append(lock.name))
    for name in ("requirements-dev.lock", "requirements.lock", "requirements-dev.lock"):
        bootstrap.prepare(project / name)
    assert installed == ["requirements-dev.lock"]
    (project / "requirements.lock").write_text("# another\n")
    bootstrap.prepare(project / "requirements.lock")
    assert installed == ["requirements-dev.lock", "requirements.lock"]


def test_an_installation_that_was_killed_is_begun_again(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made_again: list[bool] = []
    monkeypatch.setattr(bootstrap, "make_venv", lambda: made_again.append(True))
    (project / ".venv" / "treasury-unfinished").touch()
    bootstrap.prepare(project / "requirements.lock")
    assert made_again == [True]


@pytest.mark.parametrize("version", [(3, 9), (3, 10), (3, 14)])
def test_a_python_too_old_or_too_new(version: tuple[int, int]) -> None:
    with pytest.raises(bootstrap.Impossible, match=r"is needed and this is 3\.\d+: .*make run PYTHON=python3\.12"):
        bootstrap.check_python(version)


def test_a_python_without_its_venv_module(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    python = tmp_path / "python3"
    python.write_text("#!/bin/sh\necho 'was not created successfully because ensurepip is not available'\nexit 1\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setattr(bootstrap, "VENV", tmp_path / ".venv")
    assert "apt install python3-venv" in refusal(capsys, "run")


def test_no_network(project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    (project / "requirements.lock").write_text(ABSENT)
    assert "needs a network that reaches pypi.org" in refusal(capsys, "run")
    assert not (project / ".venv" / "treasury-unfinished").exists()


def test_a_package_that_cannot_be_installed_is_named(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    (project / "requirements.lock").write_text(ABSENT)
    assert "treasury-no-such-package" in refusal(capsys, "run")


def test_a_full_disk(project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1_000_000))
    (project / "requirements.lock").write_text(ABSENT)
    assert "The disk is nearly full: free at least 1 GB" in refusal(capsys, "run")


# -- what a run refuses before it starts anything ------------------------------------------------------------


def refused_run(home: Path, **env: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "treasury.launch", "run"],
        check=False,
        capture_output=True,
        text=True,
        cwd=places.PROJECT,
        env={**os.environ, "TREASURY_HOME": str(home), **env},
    )
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert not (home / "postgres").exists()
    return line


@pytest.mark.parametrize("port", ["abc", "0", "65536", "80 80", "-1", "²"])
def test_a_port_that_is_none(port: str, tmp_path: Path) -> None:
    assert "which is not a port" in refused_run(tmp_path, PORT=port)


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_a_taken_port(address: str, tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind((address, 0))
        other.listen()
        port = other.getsockname()[1]
        assert refused_run(tmp_path, PORT=str(port)).startswith(f"Port {port} is taken by another program: ")


def test_a_second_run_of_one_home(tmp_path: Path) -> None:
    with (tmp_path / "run.lock").open("w") as lock:
        lock.write("process 1, http://localhost:8000")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        line = refused_run(tmp_path, PORT="8000")
    assert line == "Already running (process 1, http://localhost:8000): use that one, or stop it first."
