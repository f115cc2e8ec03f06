"""The bill of materials names what an installation gets, and is of the lock that is here now."""

from __future__ import annotations

import json
import re
from pathlib import Path

from treasury.launch import sbom


def test_the_bill_is_of_the_lock_as_it_is_now(tmp_path: Path) -> None:
    sbom.write(tmp_path / "sbom.json")
    assert sbom.BILL.read_text() == (tmp_path / "sbom.json").read_text(), "make locks writes it anew"


def test_every_pinned_package_is_in_it_once() -> None:
    pinned = [line.split()[0] for line in sbom.LOCK.read_text().splitlines() if re.match(r"[A-Za-z0-9]", line)]
    components = json.loads(sbom.BILL.read_text())["components"]
    assert len(pinned) > 40
    assert sorted(f"{one['name']}=={one['version']}" for one in components) == sorted(
        re.sub(r"\[.*\]", "", one) for one in pinned
    )


def test_another_version_is_another_bill() -> None:
    lock = "a-b==1.0 \\\n    --hash=sha256:00\nC.d[x]==2 ; sys_platform == 'linux' \\\n    --hash=sha256:11\n"
    told = json.loads(sbom.bill(lock))
    assert [one["purl"] for one in told["components"]] == ["pkg:pypi/a-b@1.0", "pkg:pypi/c-d@2"]
    assert told["components"][1]["properties"] == [{"name": "marker", "value": "sys_platform == 'linux'"}]
    assert json.loads(sbom.bill(lock.replace("1.0", "1.1")))["serialNumber"] != told["serialNumber"]


def test_no_address_but_a_packages_name_is_in_it() -> None:
    assert not re.search(r"https?://|/(home|work|root|tmp)/", sbom.BILL.read_text())
