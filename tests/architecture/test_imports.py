"""The borders between the rooms, as pyproject.toml draws them."""

from __future__ import annotations

import subprocess
import sys

from tests.architecture.source import ROOT


def test_no_import_crosses_a_border() -> None:
    """In a process of its own: import-linter's command turns off every logger that it finds."""
    lint = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    done = subprocess.run([sys.executable, "-c", lint], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
