"""Alarms: an entry in the transfer's own story, and a line in the service's log."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from treasury.audit.record import Machine
from treasury.models import Transfer
from treasury.transfers import lifecycle

log = logging.getLogger(__name__)


def alarm(transfer: Transfer, words: str, *, by: Machine, at: datetime, facts: Mapping[str, Any] | None = None) -> None:
    """Call people, inside the transaction of what is found."""
    log.critical("ALARM %s: %s", transfer.reference, words)
    lifecycle.entry(transfer, by=by, at=at, action="alarm.raise", facts={"words": words, **(facts or {})})
