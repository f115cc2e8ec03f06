"""Verify the log by the clock, and tell people when it no longer fits its chain."""

from __future__ import annotations

import logging
from datetime import datetime

from django.db import transaction

from treasury.audit import chain
from treasury.audit.record import Machine, record
from treasury.controls import telling
from treasury.models import AuditEntry

log = logging.getLogger(__name__)

VERIFIER = Machine("verifier")
BROKEN = "log.broken"
EVERY_HOUR_UP_TO = 200_000  # links; a longer chain takes minutes to walk, and is walked once a day
DAILY_HOUR = 3  # UTC


def verify(*, at: datetime) -> chain.Break | None:
    """Walk the chain; a break is written down and told once a day. Outside any transaction."""
    if chain.head().seq > EVERY_HOUR_UP_TO and at.hour != DAILY_HOUR:
        return None
    found = chain.verify().first_break
    if found is None:
        return None
    log.critical("ALARM the log is broken at link %s: %s", found.seq, found.what)
    with transaction.atomic():
        if not AuditEntry.objects.filter(action=BROKEN, at__date=at.date()).exists():
            facts = {"link": found.seq, "entry": found.entry, "what": found.what}
            record(at=at, by=VERIFIER, action=BROKEN, subject="log:chain", facts=facts)
        telling.broken(at=at)
    return found
