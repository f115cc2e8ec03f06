"""Where things are kept: the project's root, and the home of everything that a run writes."""

from __future__ import annotations

import os
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]


def home() -> Path:
    """The folder of databases, locks and schedules: TREASURY_HOME, or ``.local`` in the project's root."""
    return Path(os.environ.get("TREASURY_HOME") or PROJECT / ".local").resolve()
