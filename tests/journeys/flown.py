"""A short campaign in a process of its own, as `make campaign` starts it, and what it found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def flown(home: Path, *arguments: str, seconds: float = 240, **env: str) -> dict[str, Any]:
    """The campaign's figures, and all that it printed under "printed"; it found no defect."""
    kept = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "TREASURY_SIMULATORS")}
    flying = subprocess.Popen(
        [sys.executable, "-m", "tests.campaign", "--home", str(home), *arguments],
        cwd=ROOT,
        env={**kept, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        printed, _ = flying.communicate(timeout=seconds)
    finally:
        if flying.poll() is None:
            flying.terminate()  # it stops everything that it started
            flying.communicate(timeout=120)
    assert flying.returncode == 0, printed[-6000:]
    figures: dict[str, Any] = json.loads((home / "figures.json").read_text())
    return {**figures, "printed": printed}
