"""The borders between the rooms, as pyproject.toml draws them."""

from __future__ import annotations

import pytest
from importlinter.cli import lint_imports

from tests.architecture.source import ROOT


def test_no_import_crosses_a_border(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.syspath_prepend(str(ROOT))
    failed = lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True)
    assert failed == 0, capsys.readouterr().out
