"""Anchors: heads of the chain kept outside the database, so that an older copy of it is told from the latest one.

The file is only ever appended to: one JSON line a head (``docs/audit-format.md``). A copy of the data folder has the
same identifiers as the original; what it lacks is the last entries, and only something outside can know of them.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from django.conf import settings
from django.db import connection

from treasury.audit import chain
from treasury.audit.record import stamp

FORMAT = 1
NEAR_THE_END = 65_536  # bytes; more than any number of torn lines


class NotAnchored(Exception):
    """No anchor was written; the text says why, without a full stop."""


@dataclass(frozen=True)
class Anchor:
    """The chain's head at some moment: how many links, the last link and the last batch (hex), and the cluster."""

    at: str
    seq: int
    link: str
    batch: str
    number: int
    cluster: str

    @property
    def id(self) -> str:
        """Which head it is, whenever it was written down."""
        return f"{self.seq}:{self.link}"


def append(*, at: datetime, noticed: str = "") -> Anchor | None:
    """Write the chain's head, unless it stands where it stood. Raises NotAnchored when the file cannot be written.

    Raises NotAnchored as well when the last anchor does not fit this database: a further line would hide that. Only
    when a stop has been placed for that very anchor (``noticed`` is its ``id``) does the file go on.
    """
    head = chain.head()
    try:
        before = last()
        if misfit := why_not_fit(before, noticed=noticed):
            raise NotAnchored(f"it would hide that this database has {misfit}")
        if head.seq == 0 or (before is not None and before.id == f"{head.seq}:{head.link.hex()}"):
            return None
        made = Anchor(stamp(at), head.seq, head.link.hex(), head.batch.hex(), head.number, head.cluster)
        _write(settings.ANCHOR_FILE, made)
    except OSError as error:
        raise NotAnchored(f"{settings.ANCHOR_FILE}: {error.strerror or error}") from error
    return made


def _write(file: Path, anchor: Anchor) -> None:
    """One write of one line, on disk when this returns. A line that an earlier crash tore is ended first."""
    new = not file.exists()
    line = json.dumps({"v": FORMAT, **vars(anchor)}, separators=(",", ":")) + "\n"
    descriptor = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        whole = ("\n" if torn else "") + line
        if os.write(descriptor, whole.encode()) != len(whole):
            raise OSError(f"{file}: only a part of the line could be written")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if new:
        _keep_the_name(file.parent)


def _keep_the_name(folder: Path) -> None:
    """A new file is lost in a crash unless its folder is on disk too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def last() -> Anchor | None:
    """The last whole line, or None where there is no file or no such line. Raises OSError."""
    try:
        with settings.ANCHOR_FILE.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - NEAR_THE_END))
            lines = file.read(NEAR_THE_END).splitlines()
    except FileNotFoundError:
        return None
    return next((anchor for line in reversed(lines) if (anchor := _read(line)) is not None), None)


def _read(line: bytes) -> Anchor | None:
    """The line's anchor; None for a torn line. Keys that a later format adds are passed over."""
    try:
        said = json.loads(line)
        return Anchor(
            at=str(said["at"]),
            seq=int(said["seq"]),
            link=str(said["link"]),
            batch=str(said["batch"]),
            number=int(said["number"]),
            cluster=str(said["cluster"]),
        )
    except (ValueError, KeyError, TypeError):
        return None


def fits(*, noticed: str = "") -> str | None:
    """What of the last anchor does not fit this database, in words; None when all does. Raises OSError."""
    return why_not_fit(last(), noticed=noticed)


def why_not_fit(anchor: Anchor | None, *, noticed: str = "") -> str | None:
    """The same for an anchor at hand, unless it was noticed already."""
    if anchor is None or anchor.id == noticed:
        return None
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT (SELECT encode(hash, 'hex') FROM treasury_auditlink WHERE seq = %s),"
            " (SELECT coalesce(max(seq), 0) FROM treasury_auditlink)",
            [anchor.seq],
        )
        link, entries = cursor.fetchone()
    return misfit(anchor, link, entries)


def misfit(anchor: Anchor, link: str | None, entries: int) -> str | None:
    """In words, what the link at the anchor's place and the count of links say about it."""
    if link == anchor.link:
        return None
    if link is None:
        return f"fewer log entries ({entries}) than the last anchor ({anchor.seq})"
    return f"another log entry at {anchor.seq} than the last anchor"
