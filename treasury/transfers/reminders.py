"""What people are told by the clock and not by a step: a decision that is nearly too late, and doubt that lasts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import OuterRef, Subquery
from django.db.models.functions import Coalesce

from treasury.controls.roles import OPERATORS, people
from treasury.models import Attempt, Contradiction, State, Transfer
from treasury.pace import paced
from treasury.transfers import queries
from treasury.transfers.telling import Words, about, deciders

EXPIRING_WITHIN = timedelta(hours=1)
AGAIN_EVERY = timedelta(hours=4)

EXPIRING = Words(
    "transfer.expiring",
    "{} expires soon and waits for your decision",
    "Nothing moved yet. {} still waits for your decision and expires within the hour.",
)
UNKNOWN = Words(
    "transfer.doubt",
    "{}: outcome unknown",
    "It may have moved. The outcome of {} is still unknown; look at the page, and at the venue.",
)
OVERDUE = Words(
    "transfer.doubt",
    "{} is overdue",
    "It may have moved. {} was taken and has not settled in the time that its venue needs.",
)
CONTRADICTED = Words(
    "transfer.doubt",
    "{}: evidence contradicts how it stands",
    "It may have moved. Evidence still contradicts how {} stands; two people must say what is true.",
)


def expiring(at: datetime) -> None:
    """Tell whoever can decide, once, within the last hour of a transfer that still waits."""
    soon = at + paced(EXPIRING_WITHIN)
    for transfer in Transfer.objects.filter(state=State.SUBMITTED, expires_at__gt=at, expires_at__lte=soon):
        with transaction.atomic():
            about(transfer, EXPIRING, to=deciders(transfer), at=at, once="")


def doubts(at: datetime) -> None:
    """Tell operators of doubt older than settings.DOUBT_TOLD_AFTER, and again every four hours while it lasts."""
    oldest = settings.DOUBT_TOLD_AFTER
    for transfer, words, since in in_doubt(at):
        if at - since >= oldest:
            period = (at - since - oldest) // paced(AGAIN_EVERY)
            with transaction.atomic():
                about(transfer, words, to=people(OPERATORS), at=at, once=f"{since:%Y%m%dT%H%M%S}:{period}")


def in_doubt(at: datetime) -> Iterator[tuple[Transfer, Words, datetime]]:
    """Every transfer in doubt, how so, and since when."""
    doubtful = Attempt.objects.in_doubt(at).filter(transfer=OuterRef("pk"))
    began = doubtful.annotate(began=Coalesce("concluded_at", "call_ends_at")).order_by("began").values("began")[:1]
    unknown = Transfer.objects.filter(state=State.DISPATCHING).annotate(since=Subquery(began))
    for transfer in unknown.exclude(since=None):
        yield transfer, UNKNOWN, transfer.since
    for taken in Transfer.objects.filter(state=State.DISPATCHED).select_related("connection"):
        if queries.is_overdue(taken, at):
            yield taken, OVERDUE, taken.changed_at
    for open_ in Contradiction.objects.filter(closed_at=None).select_related("transfer"):
        yield open_.transfer, CONTRADICTED, open_.at
