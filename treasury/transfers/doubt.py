"""Doubt: which transfers may have moved without anyone knowing, and when so many of them stop a connection."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.db.models import Exists, Max, OuterRef, QuerySet

from treasury.audit.record import Machine
from treasury.controls import stops
from treasury.models import Attempt, Connection, State, StopOrder, Transfer

DOUBT = Machine("doubt")


def in_doubt(at: datetime) -> QuerySet[Transfer]:
    """The transfers with an attempt of unknown outcome that nothing has settled yet."""
    doubtful = Attempt.objects.in_doubt(at).filter(transfer=OuterRef("pk"))
    return Transfer.objects.filter(Exists(doubtful), state=State.DISPATCHING)


def trip(connection: Connection, at: datetime) -> StopOrder | None:
    """Stop a connection over which too many outcomes are unknown: whatever causes them, more sends make it worse.

    Doubts from before the last release by two people do not count: they knew of them. Outside any transaction.
    """
    own = StopOrder.objects.filter(connection=connection, automatic=True, by=DOUBT.name)
    if own.filter(released_at=None).exists():
        return None
    released = own.aggregate(last=Max("released_at"))["last"]
    since = max(at - settings.DOUBT_TRIP_WITHIN, released or at - settings.DOUBT_TRIP_WITHIN)
    recent = Attempt.objects.in_doubt(at).filter(transfer=OuterRef("pk"), claimed_at__gt=since)
    if in_doubt(at).filter(Exists(recent), connection=connection).count() < settings.DOUBT_TRIP_COUNT:
        return None
    minutes = round(settings.DOUBT_TRIP_WITHIN.total_seconds() / 60)
    reason = f"the outcomes of {settings.DOUBT_TRIP_COUNT} transfers within {minutes} minutes are unknown"
    return stops.stop(connection=connection, reason=reason, by=DOUBT, at=at)
