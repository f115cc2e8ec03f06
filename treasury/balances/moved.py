"""Which transfers moved money: as their state says, unless two people corrected it.

Movements, matches and reservations all ask here, so that a correction reaches every number by one door.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from django.db.models import Case, Exists, F, OuterRef, Q, QuerySet, Subquery, When
from django.db.models.functions import Coalesce

from treasury.models import NOTHING_MOVED, Attempt, Contradiction, State, Transfer

if TYPE_CHECKING:  # the stubs are not there when the product runs
    from datetime import datetime
    from decimal import Decimal

    from django_stubs_ext import WithAnnotations

    class Ruling(TypedDict):
        ruled: bool | None
        ruled_at: datetime | None
        contradicted: bool
        fee: Decimal | None
        began: datetime
        moved_by: datetime

    Ruled = WithAnnotations[Transfer, Ruling]

MOVED = Q(ruled=True) | Q(ruled=None, state=State.SETTLED)


def moved(transfers: QuerySet[Transfer]) -> QuerySet[Ruled]:
    """Those of the transfers whose money is held to have moved."""
    return with_ruling(transfers).filter(MOVED)


def with_ruling(transfers: QuerySet[Transfer]) -> QuerySet[Ruled]:
    """The transfers with what is known of their money.

    ``ruled``: what two people found when they last closed a contradiction, at ``ruled_at``; None where nobody had to.
    ``contradicted``: a contradiction is open, and what is true is not known.
    ``fee``: what the venue said that it takes for it.
    ``began`` and ``moved_by``: if it moved, then not before the one and not after the other. The first is its first
    claim that may have moved it; the other the moment it was noted as settled, or of the evidence that it moved after
    all.
    """
    contradictions = Contradiction.objects.filter(transfer=OuterRef("pk"))
    closed = contradictions.exclude(closed_at=None).order_by("-closed_at", "-id")
    calls = Attempt.objects.filter(transfer=OuterRef("pk")).exclude(outcome__in=NOTHING_MOVED)
    return transfers.annotate(
        ruled=Subquery(closed.values("moved")[:1]),
        ruled_at=Subquery(closed.values("closed_at")[:1]),
        contradicted=Exists(contradictions.filter(closed_at=None)),
        fee=Subquery(calls.exclude(fee=None).order_by("-number").values("fee")[:1]),
        began=Coalesce(Subquery(calls.order_by("number").values("claimed_at")[:1]), F("created_at")),
        moved_by=Case(
            When(state=State.SETTLED, then=F("changed_at")),
            default=Coalesce(Subquery(closed.values("at")[:1]), F("changed_at")),
        ),
    )
