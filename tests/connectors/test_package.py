"""The connectors stand alone, and venues are found by walking the folder."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import connectors
from connectors.core import discovery
from connectors.core.discovery import UnknownVenue
from connectors.core.protocol import Connector, Venue
from connectors.simulators import core as simulators

HOME = Path(connectors.__file__).parent
ROOT = HOME.parent
STRANGERS = {"django", "celery", "treasury"}


def imported(file: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} imports relatively"
            names.add(node.module or "")
    return names


@pytest.mark.parametrize("file", sorted(HOME.rglob("*.py")), ids=lambda file: str(file.relative_to(HOME)))
def test_no_file_knows_the_product(file: Path) -> None:
    assert not {name.partition(".")[0] for name in imported(file)} & STRANGERS


@pytest.mark.parametrize("name", discovery.names())
def test_a_venue_knows_only_the_core(name: str) -> None:
    ours = {one for one in imported(HOME / f"{name}.py") if one.startswith("connectors")}
    assert all(one.startswith("connectors.core") for one in ours)


@pytest.mark.parametrize("name", simulators.names())
def test_a_simulator_never_borrows_from_the_connector_it_judges(name: str) -> None:
    for file in (HOME / "simulators").glob("*.py"):
        assert f"connectors.{name}" not in imported(file)


def test_everything_can_be_used_without_the_product() -> None:
    program = (
        "import sys, connectors, connectors.simulators.core as core; connectors.venues(); "
        "[core.practice(name) for name in core.names()]; "
        f"print(sorted({STRANGERS} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_venues_are_the_modules_of_the_folder() -> None:
    modules = {file.stem for file in HOME.glob("*.py")} - {"__init__", "__main__"}
    assert set(connectors.venues()) == set(discovery.names()) == modules
    assert all(isinstance(venue, Venue) for venue in connectors.venues().values())


@pytest.mark.parametrize("name", ["core", "core.http", "simulators", "kraken", "", "../bybit"])
def test_what_is_no_venue_cannot_be_opened(name: str) -> None:
    with pytest.raises(UnknownVenue):
        connectors.open(name, credentials={})


def test_a_connector_has_every_method_of_the_protocol() -> None:
    methods = {name for name in vars(Connector) if not name.startswith("_")}
    assert methods == {"check", "accounts", "balances", "routes", "assets", "send", "look_up", "challenge"}
