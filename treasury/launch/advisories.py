"""Whether a package that we install is known to be dangerous, asked of the advisory service by pip-audit.

Where the service does not answer, that is said in a line and nothing fails: a check of the code must work without a
network. A lock file that cannot be read fails, and so does anything that is found.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from treasury.launch import places

LOCK = places.PROJECT / "requirements.lock"
LIMIT = 180.0  # seconds for all packages together
NOT_ASKED = "Not asked"  # how the line begins


def look(lock: Path = LOCK, more: Sequence[str] = ()) -> tuple[int, str]:
    """(what to exit with, what to say). ``more`` are further arguments for pip-audit."""
    read = asked(lock, "--dry-run")  # reads the lock, and asks nobody
    if read.returncode:
        return 1, f"The lock file cannot be read. {read.stderr.strip()}"
    try:
        done = asked(lock, *more)
    except subprocess.TimeoutExpired:
        return 0, f"{NOT_ASKED}: the advisory service took longer than {LIMIT:.0f} seconds."
    if not done.returncode:
        return 0, ""
    if found := findings(done.stdout):
        return 1, "\n".join(found)
    reason = (done.stderr.strip().splitlines() or ["it gave no reason"])[-1]
    return 0, f"{NOT_ASKED}: the advisory service does not answer ({reason[:200]})."


def asked(lock: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """pip-audit's answer; each package and version of the lock, none resolved and none installed."""
    words = ("--disable-pip", "--require-hashes", "-r", str(lock), "--progress-spinner", "off", "--format", "json")
    command = [sys.executable, "-m", "pip_audit", "-s", "osv", *words, *more]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=LIMIT)


def findings(told: str) -> list[str]:
    """A line for each advisory; none where the text is no answer of pip-audit's."""
    try:
        packages = json.loads(told)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return []
    return [
        f"{one['name']} {one['version']}: {found['id']}, mended in {', '.join(found['fix_versions']) or 'none yet'}"
        for one in packages
        for found in one.get("vulns", ())
    ]


if __name__ == "__main__":
    code, said = look()
    print(said)
    sys.exit(code)
