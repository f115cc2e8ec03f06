"""Anchors: what the file outside the database says, what a torn line costs, and that no line hides a misfit."""

from __future__ import annotations

import json
import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.conf import settings

from tests.audit.log import by_force, seal_all, write
from treasury.audit import anchors, chain
from treasury.audit.anchors import NotAnchored

pytestmark = pytest.mark.django_db(transaction=True)

NOON = datetime(2026, 11, 20, 12, 0, 0, 7, tzinfo=UTC)


@pytest.fixture
def file() -> Path:
    found: Path = settings.ANCHOR_FILE
    assert not found.exists()
    return found


def sealed(count: int) -> None:
    write(count)
    seal_all()


def lines(file: Path) -> list[str]:
    return file.read_text().splitlines()


def cut_to(seq: int) -> None:
    """As an older copy of the database would be: without its last entries."""
    by_force(
        "DELETE FROM treasury_auditentry WHERE id IN (SELECT entry_id FROM treasury_auditlink WHERE seq > %s)", seq
    )
    by_force("DELETE FROM treasury_auditlink WHERE seq > %s", seq)
    by_force("DELETE FROM treasury_auditbatch WHERE last_seq > %s", seq)


def test_a_line_is_the_chains_head(file: Path) -> None:
    sealed(3)
    made = anchors.append(at=NOON)
    head = chain.head()
    (line,) = lines(file)
    assert json.loads(line) == {
        "v": 1,
        "at": "2026-11-20T12:00:00.000007Z",
        "seq": 3,
        "link": head.link.hex(),
        "batch": head.batch.hex(),
        "number": 1,
        "cluster": head.cluster,
    }
    assert anchors.last() == made
    assert anchors.fits() is None
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_head_that_did_not_move_is_not_written_again_and_lines_are_only_added(file: Path) -> None:
    assert anchors.append(at=NOON) is None, "an empty chain has no head to keep"
    assert not file.exists()
    sealed(2)
    anchors.append(at=NOON)
    before = lines(file)
    assert anchors.append(at=NOON) is None
    assert lines(file) == before
    sealed(1)
    anchors.append(at=NOON)
    assert lines(file)[:-1] == before
    assert [json.loads(line)["seq"] for line in lines(file)] == [2, 3]


def test_without_a_file_everything_fits(file: Path) -> None:
    sealed(1)
    assert anchors.last() is None
    assert anchors.fits() is None


@pytest.mark.parametrize("torn", [b'{"v":1,"at":"2026-', b"\0\0\0\0", b'"seq"', b"{}", b"[1]", b"\xff\xfe"])
def test_a_torn_last_line_is_passed_over_and_the_next_one_stands_on_its_own(file: Path, torn: bytes) -> None:
    sealed(2)
    whole = anchors.append(at=NOON)
    with file.open("ab") as writing:
        writing.write(torn)
    assert anchors.last() == whole
    sealed(1)
    made = anchors.append(at=NOON)
    assert made is not None
    assert anchors.last() == made
    assert file.read_bytes().splitlines()[1] == torn


def test_a_later_formats_keys_are_passed_over(file: Path) -> None:
    sealed(1)
    made = anchors.append(at=NOON)
    said = json.loads(lines(file)[0])
    file.write_text(json.dumps({**said, "v": 2, "signature": "abc"}) + "\n")
    assert anchors.last() == made


def test_fewer_entries_than_the_anchor_says(file: Path) -> None:
    sealed(2)
    sealed(3)
    anchors.append(at=NOON)
    cut_to(2)
    assert anchors.fits() == "fewer log entries (2) than the last anchor (5)"


def test_as_many_entries_and_another_one_at_the_anchors_place(file: Path) -> None:
    sealed(2)
    sealed(3)
    anchors.append(at=NOON)
    cut_to(2)
    sealed(4)
    assert anchors.fits() == "another log entry at 5 than the last anchor"


def test_what_does_not_fit_is_never_covered_by_a_further_line(file: Path) -> None:
    sealed(2)
    sealed(3)
    anchor = anchors.append(at=NOON)
    assert anchor is not None
    cut_to(2)
    before = lines(file)
    with pytest.raises(NotAnchored, match=r"would hide that this database has fewer log entries \(2\)"):
        anchors.append(at=NOON)
    assert lines(file) == before

    made = anchors.append(at=NOON, noticed=anchor.id)
    assert made is not None
    assert made.seq == 2
    assert lines(file)[:-1] == before
    assert anchors.fits() is None


def test_a_file_that_cannot_be_written_is_told(file: Path) -> None:
    sealed(1)
    settings.ANCHOR_FILE = file.parent / "no-such-folder" / "anchors.jsonl"
    with pytest.raises(NotAnchored, match="No such file or directory"):
        anchors.append(at=NOON)
    settings.ANCHOR_FILE = file.parent
    with pytest.raises(NotAnchored, match="Is a directory"):
        anchors.append(at=NOON)


def test_a_full_disk_is_told(file: Path) -> None:
    sealed(1)
    settings.ANCHOR_FILE = Path("/dev/full")
    with pytest.raises(NotAnchored, match="No space left"):
        anchors.append(at=NOON)


def test_the_last_line_is_found_in_a_long_file(file: Path) -> None:
    sealed(1)
    made = anchors.append(at=NOON)
    assert made is not None
    line = file.read_text()
    file.write_text(line.replace('"seq":1', '"seq":9') * 2000 + line)
    assert file.stat().st_size > 2 * anchors.NEAR_THE_END
    assert anchors.last() == made


def test_a_line_is_one_write_so_that_two_writers_do_not_mix(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[bytes] = []
    write_to = os.write
    monkeypatch.setattr("os.write", lambda to, text: (written.append(bytes(text)), write_to(to, text))[1])
    sealed(1)
    anchors.append(at=NOON)
    assert [text for text in written if b'"seq"' in text] == [file.read_bytes()]
