"""Which transfers moved money: as their state says, unless two people corrected it.

Movements, matches and reservations all ask here, so that a correction reaches every number by one door.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, TypedDict

from django.db.models import Case, Exists, F, OuterRef, Q, QuerySet, Subquery, When
from django.db.models.functions import Coalesce

from treasury.models import Attempt, Contradiction, State, Transfer

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

# Of a query of transfers: those that evidence speaks against, and of which two people have not said yet what is true.
CONTRADICTED = Q(Exists(Contradiction.objects.filter(transfer=OuterRef("pk"), closed_at=None)))
CLOCKS_APART = timedelta(seconds=5)  # of two machines, both at most 2 s off the database's
MOVED = Q(ruled=True) | Q(ruled=None, state=State.SETTLED)


def moved(transfers: QuerySet[Transfer]) -> QuerySet[Ruled]:
    """Those of the transfers whose money is held to have moved."""
    return with_ruling(transfers).filter(MOVED)


def has_moved(transfer: Transfer) -> bool:
    """Whether the money is held to have moved: as the state says, or as two people corrected it."""
    return moved(Transfer.objects.filter(pk=transfer.pk)).exists()


def with_ruling(transfers: QuerySet[Transfer]) -> QuerySet[Ruled]:
    """The transfers with what is known of their money.

    ``ruled``: what two people found when they last closed a contradiction, at ``ruled_at``; None where nobody had to.
    ``contradicted``: a contradiction is open, and what is true is not known.
    ``fee``: what the venue said that it takes for it.
    ``began`` and ``moved_by``: if it moved, then not before the one and not after the other. The first is its first
    claim that may have moved it, or the one after which people could do it by hand; the other the moment it was noted
    as settled, or of the evidence that it moved after all.
    """
    # A ruling from before it was sent is about the time before: what was found then is overtaken by the settling.
    about_now = ~Q(transfer__state=State.SETTLED) | Q(at__gte=OuterRef("changed_at") - CLOCKS_APART)
    contradictions = Contradiction.objects.filter(about_now, transfer=OuterRef("pk"))
    closed = contradictions.exclude(closed_at=None).order_by("-closed_at", "-id")
    calls = Attempt.objects.may_have_moved().filter(transfer=OuterRef("pk"))
    asked = Attempt.objects.asked_of_people().filter(transfer=OuterRef("pk"))
    return transfers.annotate(
        ruled=Subquery(closed.values("moved")[:1]),
        ruled_at=Subquery(closed.values("closed_at")[:1]),
        contradicted=Exists(contradictions.filter(closed_at=None)),
        fee=Subquery(calls.exclude(fee=None).order_by("-number").values("fee")[:1]),
        began=Coalesce(
            Subquery(asked.order_by("number").values("claimed_at")[:1]),
            Subquery(calls.order_by("number").values("claimed_at")[:1]),
            F("created_at"),
        ),
        moved_by=Case(
            When(state=State.SETTLED, then=F("changed_at")),
            default=Coalesce(Subquery(closed.values("at")[:1]), F("changed_at")),
        ),
    )
