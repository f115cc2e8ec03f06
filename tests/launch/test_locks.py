"""The three locks agree, install only what they name, and name nobody's machine."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from treasury.launch import places

EXPORT = (
    *("-m", "uv", "export", "--quiet", "--frozen", "--offline", "--no-emit-project", "--no-header"),
    *("--no-annotate", "--format", "requirements-txt"),
)


@pytest.mark.parametrize(
    ("name", "groups"), [("requirements.lock", ["--no-dev"]), ("requirements-dev.lock", ["--group", "dev"])]
)
def test_pips_file_is_what_uv_exports(name: str, groups: list[str]) -> None:
    exported = subprocess.run(
        [sys.executable, *EXPORT, *groups], check=True, capture_output=True, text=True, cwd=places.PROJECT
    ).stdout
    assert (places.PROJECT / name).read_text() == exported, "run `make locks`"


def test_uv_lock_names_only_the_public_index() -> None:
    hosts = set(re.findall(r"\w+://([^/\"]+)", (places.PROJECT / "uv.lock").read_text()))
    assert hosts == {"pypi.org", "files.pythonhosted.org"}


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_every_requirement_is_pinned_and_hashed_and_has_no_address(name: str) -> None:
    text = (places.PROJECT / name).read_text()
    assert "//" not in text
    assert not re.search(r"^-", text, re.MULTILINE), "an option such as an index or an editable project"
    requirements = re.split(r"\n(?=\S)", text.strip())
    loose = [one for one in requirements if not re.match(r"[\w.\[\]-]+==\S+.*--hash=sha256:", one, re.DOTALL)]
    assert loose == []


def test_the_lock_of_a_run_is_a_part_of_the_lock_of_the_tests() -> None:
    def pins(name: str) -> set[str]:
        return set(re.findall(r"^[^\s;]+==[^\s;]+", (places.PROJECT / name).read_text(), re.MULTILINE))

    assert pins("requirements.lock") < pins("requirements-dev.lock")
