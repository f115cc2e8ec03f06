"""The bill of materials: every package that an installation gets, as CycloneDX JSON, written from the lock file alone.

``python -m treasury.launch.sbom`` writes ``docs/sbom.json``; the same lock gives the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from pathlib import Path
from typing import Any

from treasury.launch import places

LOCK, BILL = places.PROJECT / "requirements.lock", places.PROJECT / "docs" / "sbom.json"
PINNED = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;\\]+)(?:\s*;\s*([^\\]*[^\\\s]))?", re.MULTILINE)


def bill(lock: str) -> str:
    """The bill of a lock file's text."""
    components = sorted((component(*found) for found in PINNED.findall(lock)), key=lambda one: one["purl"])
    told = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, hashlib.sha256(lock.encode()).hexdigest())}",
        "version": 1,
        "metadata": {"component": {"type": "application", "bom-ref": "treasury", "name": "treasury"}},
        "components": components,
    }
    return json.dumps(told, indent=1) + "\n"


def component(name: str, version: str, only_where: str) -> dict[str, Any]:
    purl = f"pkg:pypi/{re.sub(r'[-_.]+', '-', name).lower()}@{version}"
    found: dict[str, Any] = {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
    if only_where:
        found["properties"] = [{"name": "marker", "value": only_where}]
    return found


def write(to: Path = BILL) -> None:
    to.write_text(bill(LOCK.read_text()))


if __name__ == "__main__":
    write()
