"""Moments as people read them: one form for pages, letters and reasons; always UTC."""

from __future__ import annotations

from datetime import UTC, datetime


def on_the_clock(at: datetime) -> str:
    """ "20 Nov 2026, 11:43:02 UTC"."""
    utc = at.astimezone(UTC)
    return f"{utc.day} {utc:%b %Y, %H:%M:%S} UTC"


def to_the_minute(at: datetime) -> str:
    """ "20 Nov 2026, 11:43 UTC"."""
    utc = at.astimezone(UTC)
    return f"{utc.day} {utc:%b %Y, %H:%M} UTC"
