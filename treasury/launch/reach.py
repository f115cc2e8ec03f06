"""Whether a database lets us in, and in one sentence why it does not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg

from treasury.launch.address import keywords

LIMIT = 5  # seconds


def why_not(database: Mapping[str, Any]) -> str | None:
    """None when it does. The sentence says where the database is, and never a password."""
    try:
        psycopg.connect(keywords(database), connect_timeout=LIMIT).close()
    except psycopg.Error as wrong:
        where = f"{database.get('HOST') or 'the local socket'}, port {database.get('PORT')}"
        why = " ".join(str(wrong).split()).rstrip(".?")
        return f"The database {database.get('NAME')!r} at {where}, lets nobody in as {database.get('USER')!r}: {why}."
    return None
