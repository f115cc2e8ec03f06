"""A restore never resends: a database that was restored, or copied, stops everything before anything is claimed.

What was sent after the backup was made is forgotten by what is restored from it, and would be sent again. Told apart
are the cluster (a dump in another server), the timeline (a recovery to some moment, a promoted standby), the
database's own number (a second database in the same server, or one dropped and made anew), and, for a copy of the
data folder, which has all three, the last anchor of the log outside the database.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection as database
from django.db import transaction

from treasury.audit import anchors
from treasury.audit.record import record
from treasury.controls import stops
from treasury.models import Home, StopOrder, Transfer

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Look:
    """Where this database lives now, where it lived when last looked at, and the link at the last anchor's place."""

    cluster: str
    timeline: int
    database: int
    name: str
    home: Home | None
    anchor: anchors.Anchor | None
    unreadable: str
    link: str | None
    entries: int

    @property
    def differences(self) -> list[str]:
        """What is not as it was, in words; empty at the first look and at home."""
        found = []
        if self.home is not None:
            pairs = {
                "another cluster": (self.home.cluster, self.cluster),
                "another timeline": (self.home.timeline, self.timeline),
                "another database": (self.home.database, self.database),
            }
            found = [words for words, (then, now) in pairs.items() if then != now]
        if misfit := self.misfit:
            found.append(misfit)
        return found

    @property
    def misfit(self) -> str | None:
        if self.anchor is None or (self.home is not None and self.home.anchor == self.anchor.id):
            return None
        return anchors.misfit(self.anchor, self.link, self.entries)


def look() -> Look:
    """One query, and the end of a small file.

    The timeline is that of the log as it is written now: what pg_control_checkpoint() says is as old as the last
    checkpoint, minutes after a promotion.
    """
    anchor, unreadable = None, ""
    try:
        anchor = anchors.last()
    except OSError as error:
        unreadable = f"the anchors of the log cannot be read ({error.strerror or error})"
    with database.cursor() as cursor:
        cursor.execute(
            """
            SELECT s.system_identifier::text,
                ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint,
                d.oid::bigint, d.datname, h.cluster, h.timeline, h.database, h.seen_at, h.anchor,
                (SELECT encode(l.hash, 'hex') FROM treasury_auditlink l WHERE l.seq = %s),
                (SELECT coalesce(max(l.seq), 0) FROM treasury_auditlink l)
            FROM pg_control_system() s CROSS JOIN pg_database d LEFT JOIN treasury_home h ON h.id = 1
            WHERE d.datname = current_database()
            """,
            [anchor.seq if anchor else 0],
        )
        cluster, timeline, number, name, *at_home, link, entries = cursor.fetchone()
    known = dict(zip(("cluster", "timeline", "database", "seen_at", "anchor"), at_home, strict=True))
    home = None if known["cluster"] is None else Home(id=1, **known)
    return Look(cluster, timeline, number, name, home, anchor, unreadable, link, entries)


def why_not_home() -> str | None:
    """Why nothing may be claimed here until ``watch`` has stopped everything; None at home, and at the first look.

    For the claim's guard, inside its transaction.
    """
    found = look()
    if found.unreadable:
        return found.unreadable
    if not found.differences or is_new(found):
        return None
    return because(found.differences)


def because(differences: list[str]) -> str:
    return f"this database was restored or copied: {' and '.join(differences)}"


def is_new(found: Look) -> bool:
    """A database in which nothing has happened yet may stand beside the anchors of one that was thrown away."""
    return found.home is None and found.entries == 0 and not Transfer.objects.exists()


def watch(*, at: datetime) -> StopOrder | None:
    """Remember where this database lives at the first look; later, when that changed, stop everything, once."""
    found = look()
    if found.unreadable:
        log.critical("ALARM %s; nothing is claimed", found.unreadable)
    if found.home is not None and not found.differences:
        return None
    with transaction.atomic():
        stops.stop_lock()  # before any row is locked, as every stop does; and one watch at a time
        found = look()
        if found.home is None and (is_new(found) or not found.differences):
            _settle_in(found, at)
            return None
        if not found.differences:
            return None
        reason = because(found.differences)
        log.critical("ALARM %s; everything is stopped", reason)
        order = stops.stop(everything=True, by=stops.RESTORE, reason=reason, at=at, anew=True)
        record(
            at=at,
            by=stops.RESTORE,
            action="restore.notice",
            subject=f"database:{found.name}",
            facts={"stop": order.pk, "reason": reason, **_facts(found)},
        )
        _settle_in(found, at)
        return order


def noticed() -> str:
    """The id of the anchor that did not fit and has led to a stop; empty when none did."""
    return Home.objects.filter(pk=1).values_list("anchor", flat=True).first() or ""


def _settle_in(found: Look, at: datetime) -> None:
    """From now on this is home, and an anchor that did not fit is known."""
    anchor = found.anchor.id if found.anchor and found.misfit else found.home.anchor if found.home else ""
    Home.objects.update_or_create(
        id=1,
        defaults={
            "cluster": found.cluster,
            "timeline": found.timeline,
            "database": found.database,
            "seen_at": at,
            "anchor": anchor,
        },
    )


def _facts(found: Look) -> dict[str, Any]:
    home, anchor = found.home, found.anchor
    return {
        "cluster": {"was": home.cluster if home else None, "is": found.cluster},
        "timeline": {"was": home.timeline if home else None, "is": found.timeline},
        "database": {"was": home.database if home else None, "is": found.database},
        "anchor": {"seq": anchor.seq, "link": anchor.link, "at": anchor.at} if anchor else None,
        "entries": found.entries,
    }
