"""The chain: a sealer links committed entries, a verifier walks the links.

Entries are plain inserts; one sealer links them a moment later. (A chain kept under one lock would make every
transaction of the product wait for the one before it, measured at 407 commits a second; this one does not.)

The sealer must miss no entry that a slow transaction commits late. It reads entries whose transaction id is below
``pg_snapshot_xmin``: every such transaction has ended, so nothing can still appear among them. After a restore
into another cluster transaction ids mean nothing any more; the cluster's own identifier tells, and the sealer then
links whatever is not linked yet.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connection, transaction

from treasury.audit.record import stamp

GENESIS = bytes(32)
SEALER_LOCK = 0x5EA1
LIMIT = 50_000  # entries one run links; the next run goes on


def leaf(canonical: str) -> bytes:
    """The digest of one entry. 0x00 keeps leaves and nodes of the Merkle tree apart."""
    return hashlib.sha256(b"\x00" + canonical.encode()).digest()


def link(before: bytes, canonical: str) -> bytes:
    """The hash of an entry's link: over the link before it and the entry."""
    return hashlib.sha256(b"\x02" + before + leaf(canonical)).digest()


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """Root of the tree over the leaves; an odd node rises as it is (no doubling, so no two lists share a root)."""
    level = list(leaves)
    while len(level) > 1:
        level = [
            hashlib.sha256(b"\x01" + level[i] + level[i + 1]).digest() if i + 1 < len(level) else level[i]
            for i in range(0, len(level), 2)
        ]
    return level[0]


def batch_hash(before: bytes, number: int, first: int, last: int, sealed_at: datetime, root: bytes) -> bytes:
    head = f"{number} {first} {last} {stamp(sealed_at)}".encode()
    return hashlib.sha256(b"\x03" + before + root + head).digest()


@dataclass(frozen=True)
class Head:
    """Where the chain stands: the last batch, the count of links, the last link, and the sealer's watermark."""

    number: int
    seq: int
    link: bytes
    batch: bytes
    upto: str
    cluster: str


def head() -> Head:
    with connection.cursor() as cursor:
        cursor.execute("""
            SELECT b.number, b.last_seq, l.hash, b.hash, b.upto::text, b.cluster
            FROM treasury_auditbatch b LEFT JOIN treasury_auditlink l ON l.seq = b.last_seq
            ORDER BY b.number DESC LIMIT 1
        """)
        row = cursor.fetchone()
    if row is None:
        return Head(0, 0, GENESIS, GENESIS, "0", "")
    number, seq, last, batch, upto, cluster = row
    return Head(number, seq, bytes(last or GENESIS), bytes(batch), upto, cluster)


def seal(*, at: datetime) -> int:
    """Link what has been committed since the last run; returns how many entries. Safe to run anywhere, any time."""
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [SEALER_LOCK])
        if not cursor.fetchone()[0]:
            return 0
        now = head()
        cursor.execute("""
            SELECT pg_snapshot_xmin(pg_current_snapshot())::text, system_identifier::text FROM pg_control_system()
        """)
        upto, cluster = cursor.fetchone()
        if cluster == now.cluster and int(upto) >= int(now.upto):
            rows = fresh(now.upto, upto)
        else:  # the first run, or a restore: transaction ids say nothing
            rows = unlinked()
        if not rows:
            return 0
        seq, last, leaves = now.seq, now.link, []
        with cursor.copy("COPY treasury_auditlink (seq, entry_id, hash) FROM STDIN") as copy:
            for entry, canonical in rows:
                seq += 1
                last = link(last, canonical)
                leaves.append(leaf(canonical))
                copy.write_row((seq, entry, last))
        number, root = now.number + 1, merkle_root(leaves)
        # A full run may have left entries behind: the watermark then stays where it was.
        reached = upto if len(rows) < LIMIT else now.upto
        cursor.execute(
            "INSERT INTO treasury_auditbatch (number, sealed_at, first_seq, last_seq, root, hash, upto, cluster)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s::xid8, %s)",
            [
                number,
                at,
                now.seq + 1,
                seq,
                root,
                batch_hash(now.batch, number, now.seq + 1, seq, at, root),
                reached,
                cluster if len(rows) < LIMIT else now.cluster,
            ],
        )
        return len(rows)


def fresh(since: str, upto: str) -> list[tuple[int, str]]:
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT e.id, e.canonical FROM treasury_auditentry e
            WHERE e.xid >= %s::xid8 AND e.xid < %s::xid8
                AND NOT EXISTS (SELECT FROM treasury_auditlink l WHERE l.entry_id = e.id)
            ORDER BY e.id LIMIT %s
            """,
            [since, upto, LIMIT],
        )
        return list(cursor.fetchall())


def unlinked() -> list[tuple[int, str]]:
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT e.id, e.canonical FROM treasury_auditentry e
            WHERE NOT EXISTS (SELECT FROM treasury_auditlink l WHERE l.entry_id = e.id)
            ORDER BY e.id LIMIT %s
            """,
            [LIMIT],
        )
        return list(cursor.fetchall())


@dataclass(frozen=True)
class Break:
    """The first place where the log no longer fits its chain."""

    entry: int | None
    seq: int
    what: str


@dataclass(frozen=True)
class Verified:
    entries: int
    batches: int
    unsealed: int
    head: str
    first_break: Break | None


def verify() -> Verified:
    """Walk the whole chain, in one snapshot. Names the first break, or none."""
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        standing = head()
        found = _first_break(standing)
        cursor.execute("""
            SELECT count(*) FROM treasury_auditentry e
            WHERE NOT EXISTS (SELECT FROM treasury_auditlink l WHERE l.entry_id = e.id)
        """)
        (unsealed,) = cursor.fetchone()
    return Verified(standing.seq, standing.number, unsealed, standing.batch.hex(), found)


def _first_break(standing: Head) -> Break | None:
    batches = _batches()
    batch = next(batches, None)
    last, before, leaves, expected = GENESIS, GENESIS, [], 0
    for seq, entry, stored, canonical, told in _links():
        expected += 1
        if seq != expected:
            return Break(entry, expected, f"link {expected} is missing")
        if canonical is None:
            return Break(entry, seq, f"entry {entry} is missing")
        if told is not None:
            return Break(entry, seq, f"entry {entry}: its {told} disagrees with its canonical text")
        last = link(last, canonical)
        if last != stored:
            return Break(entry, seq, f"entry {entry} was changed, or its link was")
        leaves.append(leaf(canonical))
        if batch is not None and seq == batch[3]:
            number, sealed_at, first, end, root, stored_hash = batch
            before = batch_hash(before, number, first, end, sealed_at, merkle_root(leaves))
            if before != stored_hash or root != merkle_root(leaves) or end - first + 1 != len(leaves):
                return Break(None, seq, f"batch {number} does not fit its entries")
            leaves, batch = [], next(batches, None)
    if batch is not None:
        return Break(None, expected + 1, f"batch {batch[0]} names entries that are missing")
    if leaves:
        return Break(None, expected, f"{len(leaves)} links belong to no batch")
    if expected != standing.seq:
        return Break(None, expected, "the chain is shorter than its last batch says")
    return _behind_the_sealer(standing)


def _behind_the_sealer(standing: Head) -> Break | None:
    """An entry that the sealer has passed and that is not linked: nobody commits one there, somebody put it there."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT min(e.id) FROM treasury_auditentry e, pg_control_system() c
            WHERE e.xid < %s::xid8 AND c.system_identifier::text = %s
                AND NOT EXISTS (SELECT FROM treasury_auditlink l WHERE l.entry_id = e.id)
            """,
            [standing.upto, standing.cluster],
        )
        (entry,) = cursor.fetchone()
    if entry is None:
        return None
    return Break(
        entry, standing.seq + 1, f"entry {entry} is not linked, although the sealer has passed its transaction"
    )


def _links() -> Iterator[tuple[int, int, bytes, str | None, str | None]]:
    """Every link with its entry, and the name of the first search column that disagrees with what is hashed."""
    with connection.chunked_cursor() as cursor:
        cursor.execute("""
            SELECT l.seq, l.entry_id, l.hash, e.canonical, CASE
                WHEN NOT pg_input_is_valid(e.canonical, 'jsonb') THEN 'whole'
                WHEN e.canonical::jsonb ->> 'id' IS DISTINCT FROM e.id::text THEN 'number'
                WHEN e.canonical::jsonb ->> 'xid' IS DISTINCT FROM e.xid::text THEN 'transaction'
                WHEN e.canonical::jsonb ->> 'at' IS DISTINCT FROM
                    to_char(e.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') THEN 'time'
                WHEN e.canonical::jsonb ->> 'action' IS DISTINCT FROM e.action THEN 'action'
                WHEN e.canonical::jsonb ->> 'subject' IS DISTINCT FROM e.subject THEN 'subject'
                WHEN e.canonical::jsonb ->> 'result' IS DISTINCT FROM e.result THEN 'result'
                WHEN e.canonical::jsonb -> 'facts' IS DISTINCT FROM e.facts THEN 'facts'
                WHEN e.canonical::jsonb -> 'who' ->> 'id' IS DISTINCT FROM e.who
                    OR e.canonical::jsonb -> 'who' ->> 'name' IS DISTINCT FROM e.actor THEN 'actor'
                END
            FROM treasury_auditlink l LEFT JOIN treasury_auditentry e ON e.id = l.entry_id
            ORDER BY l.seq
        """)
        for seq, entry, stored, canonical, told in cursor:
            yield seq, entry, bytes(stored), canonical, told if canonical is not None else None


def _batches() -> Iterator[tuple[int, datetime, int, int, bytes, bytes]]:
    with connection.chunked_cursor() as cursor:
        cursor.execute(
            "SELECT number, sealed_at, first_seq, last_seq, root, hash FROM treasury_auditbatch ORDER BY number"
        )
        for number, sealed_at, first, last, root, stored in cursor:
            yield number, sealed_at, first, last, bytes(root), bytes(stored)
