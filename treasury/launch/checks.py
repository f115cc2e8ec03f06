"""All checks that need no test run, each reported, none hiding the next."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from treasury.launch import advisories, places
from treasury.launch.processes import say

TEMPLATES = sorted(str(path) for path in (places.PROJECT / "templates").rglob("*.html"))
DJADE = str(Path(sys.executable).with_name("djade"))
CHECKS: dict[str, tuple[str, ...]] = {
    "ruff check": ("-m", "ruff", "check", "."),
    "ruff format": ("-m", "ruff", "format", "--check", "."),
    "mypy": ("-m", "mypy"),
    "lint-imports": (
        "-c",
        "import sys; from importlinter.cli import lint_imports_command as c; sys.exit(c())",
    ),
    # A program without a Python module, beside the interpreter.
    "djade": (
        "-c",
        "import os, sys; os.execv(sys.argv[1], sys.argv[1:])",
        DJADE,
        "--target-version",
        "5.2",
        "--check",
        *TEMPLATES,
    ),
    "djlint": ("-m", "djlint", "templates", "--lint", "--quiet"),
    "migrations": ("manage.py", "makemigrations", "--check", "--dry-run"),
    "django": ("manage.py", "check", "--fail-level", "WARNING"),
    "advisories": ("-m", "treasury.launch.advisories"),
}


def lint(env: Mapping[str, str]) -> int:
    """Run every check, print the output of those that fail and a list of all; 1 when any failed."""
    failed = []
    for name, arguments in CHECKS.items():
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, *arguments],
            check=False,
            cwd=places.PROJECT,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        say(f"{'ok' if not done.returncode else 'FAILED':<6} {name} ({time.monotonic() - began:.1f} s)")
        if done.returncode:
            failed.append(name)
            say(done.stdout.rstrip())
        elif done.stdout.startswith(advisories.NOT_ASKED):
            say(f"       {done.stdout.rstrip()}")
    if failed:
        say(f"Failed: {', '.join(failed)}.")
    return 1 if failed else 0
