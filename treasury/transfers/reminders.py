"""What people are told by the clock and not by a step: a decision that is nearly too late, doubt that lasts, a stop
that nobody else has looked at."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction

from treasury.controls import stops
from treasury.controls import telling as controls
from treasury.controls.roles import OPERATORS, people
from treasury.models import State, Transfer
from treasury.pace import paced
from treasury.transfers import exposure
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
NOT_SAID = Words(
    "transfer.doubt",
    "{}: nobody has said whether it was done",
    "It may have moved. {} was to be done by hand, its time is over, and two people have not said whether it was.",
)
WORDS: Mapping[exposure.Why, Words] = {
    exposure.Why.UNKNOWN: UNKNOWN,
    exposure.Why.OVERDUE: OVERDUE,
    exposure.Why.CONTRADICTED: CONTRADICTED,
}


def expiring(at: datetime) -> None:
    """Tell whoever can decide, once, within the last hour of a transfer that still waits."""
    soon = at + paced(EXPIRING_WITHIN)
    for transfer in Transfer.objects.filter(state=State.SUBMITTED, expires_at__gt=at, expires_at__lte=soon):
        with transaction.atomic():
            about(transfer, EXPIRING, to=deciders(transfer), at=at, once="")


def doubts(at: datetime) -> None:
    """Tell operators of money at risk for longer than settings.DOUBT_TOLD_AFTER, and again every four hours while it
    lasts."""
    oldest = settings.DOUBT_TOLD_AFTER
    for risk in exposure.risks(at):
        lasted = at - risk.since - oldest
        if lasted >= timedelta(0):
            once = f"{risk.since:%Y%m%dT%H%M%S}:{lasted // paced(AGAIN_EVERY)}"
            with transaction.atomic():
                about(risk.transfer, words_of(risk), to=people(OPERATORS), at=at, once=once)


def unreviewed_stops(at: datetime) -> None:
    """Tell operators and auditors of each stop that no second person has looked at for settings.STOP_REVIEW_WITHIN,
    and again each time that so long has gone by."""
    orders = list(stops.standing())
    seen = stops.reviews(orders)
    for order in orders:
        last = seen.get(order.pk) or order.since
        times = (at - last) // settings.STOP_REVIEW_WITHIN
        if times > 0:
            with transaction.atomic():
                controls.unreviewed(order, at=at, once=f"{last:%Y%m%dT%H%M%S}:{times}")


def words_of(risk: exposure.Risk) -> Words:
    by_hand = risk.why == exposure.Why.OVERDUE and risk.transfer.connection.by_hand
    return NOT_SAID if by_hand else WORDS[risk.why]
