"""Questions about transfers: who sees which, how one stands, what waits for whom. Nothing here changes anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, TypedDict

from django.db.models import Case, Exists, F, OuterRef, Q, QuerySet, Value, When
from django.db.models.fields import CharField

from treasury import venues
from treasury.balances.moved import CONTRADICTED
from treasury.controls.roles import AUDITORS, CHECKERS, groups_of
from treasury.models import (
    IN_FLIGHT,
    Attempt,
    Connection,
    Decision,
    Demand,
    State,
    Transfer,
    User,
)
from treasury.transfers import by_hand
from treasury.transfers.lifecycle import NoSuchTransfer

if TYPE_CHECKING:  # the stubs are not there when the product runs
    from django_stubs_ext import WithAnnotations

    class Key(TypedDict):
        standing_key: str

    Stood = WithAnnotations[Transfer, Key]


@dataclass(frozen=True)
class Standing:
    """How a transfer stands, for people: finer than its state. ``key`` also names the icon and the colour."""

    key: str
    label: str


STANDINGS: Mapping[str, Standing] = {
    standing.key: standing
    for standing in (
        Standing("draft", State.DRAFT.label),
        Standing("submitted", State.SUBMITTED.label),
        Standing("approved", State.APPROVED.label),
        Standing("held", "Held"),
        Standing("sending", State.DISPATCHING.label),
        Standing("unknown", "Outcome unknown"),
        Standing("confirming", State.CONFIRMING.label),
        Standing("sent", State.DISPATCHED.label),
        Standing("settled", State.SETTLED.label),
        Standing("failed", State.FAILED.label),
        Standing("rejected", State.REJECTED.label),
        Standing("cancelled", State.CANCELLED.label),
        Standing("expired", State.EXPIRED.label),
        Standing("contradicted", "Contradicted"),
    )
}

# Where a state alone decides. APPROVED and DISPATCHING are told apart further, below.
_PLAIN: Mapping[State, str] = {
    State.DRAFT: "draft",
    State.SUBMITTED: "submitted",
    State.APPROVED: "approved",
    State.DISPATCHING: "sending",
    State.CONFIRMING: "confirming",
    State.DISPATCHED: "sent",
    State.SETTLED: "settled",
    State.FAILED: "failed",
    State.REJECTED: "rejected",
    State.CANCELLED: "cancelled",
    State.EXPIRED: "expired",
}


def standing(transfer: Transfer, at: datetime) -> Standing:
    """How one transfer stands. ``with_standing`` says the same of many; a test holds the two together."""
    if transfer.contradictions.filter(closed_at=None).exists():
        return STANDINGS["contradicted"]
    if transfer.state == State.APPROVED and transfer.held:
        return STANDINGS["held"]
    if transfer.state == State.DISPATCHING and transfer.attempts.in_doubt(at).exists():
        return STANDINGS["unknown"]
    return STANDINGS[_PLAIN[State(transfer.state)]]


def with_standing(transfers: QuerySet[Transfer], at: datetime) -> QuerySet[Stood]:
    """The transfers with ``standing_key``, a key of STANDINGS."""
    doubtful = Attempt.objects.in_doubt(at).filter(transfer=OuterRef("pk"))
    return transfers.annotate(
        standing_key=Case(
            When(CONTRADICTED, then=Value("contradicted")),
            When(Q(state=State.APPROVED) & ~Q(held=""), then=Value("held")),
            When(Q(state=State.DISPATCHING) & Q(Exists(doubtful)), then=Value("unknown")),
            *(When(state=state, then=Value(key)) for state, key in _PLAIN.items()),
            output_field=CharField(),
        )
    )


def visible_to(user: User) -> QuerySet[Transfer]:
    """A draft is its maker's own, and the auditor's; from submit on, everyone with a role sees it."""
    groups = groups_of(user)
    transfers = Transfer.objects.select_related("connection", "source__connection", "destination__connection", "maker")
    if not groups:
        return transfers.none()
    if AUDITORS in groups:
        return transfers
    return transfers.filter(Q(submitted_at__isnull=False) | Q(maker=user))


def found(reference: str, user: User) -> Transfer:
    """The transfer. Raises NoSuchTransfer, in the same words, when there is none and when it is not theirs to see."""
    transfer = visible_to(user).filter(reference=reference).first()
    if transfer is None:
        raise NoSuchTransfer(f"There is no transfer {reference}.")
    return transfer


def waiting_for(user: User, at: datetime) -> QuerySet[Transfer]:
    """What this person may decide on now, the one that expires first on top."""
    groups = groups_of(user)
    if CHECKERS not in groups:
        return Transfer.objects.none()
    demanded = Demand.objects.filter(transfer=OuterRef("pk"), round=OuterRef("round"), group__in=groups)
    decided = Decision.objects.filter(
        transfer=OuterRef("pk"), round=OuterRef("round"), by__person=user.person, withdrawal=None
    )
    return (
        visible_to(user)
        .filter(Exists(demanded), ~Exists(decided), state=State.SUBMITTED, expires_at__gt=at)
        .exclude(maker__person=user.person)
        .order_by("expires_at", "id")
    )


def waiting_for_others(user: User, at: datetime) -> QuerySet[Transfer]:
    """What waits for approval, but not for this person's."""
    return (
        visible_to(user)
        .filter(state=State.SUBMITTED)
        .exclude(pk__in=waiting_for(user, at).values("pk"))
        .order_by("expires_at", "id")
    )


def own_drafts(user: User) -> QuerySet[Transfer]:
    return visible_to(user).filter(maker=user, state=State.DRAFT)


def in_flight(user: User) -> QuerySet[Transfer]:
    """Approved and on its way: nothing more is asked of checkers, and it has not ended."""
    return visible_to(user).filter(state__in=[State.APPROVED, *IN_FLIGHT])


def is_overdue(transfer: Transfer, at: datetime) -> bool:
    """Whether the venue took it longer ago than its settle limit, or nobody said in time what was done by hand."""
    if by_hand.late_since(transfer, at) is not None:
        return True
    if transfer.state != State.DISPATCHED:
        return False
    return bool(at - transfer.changed_at > venues.declared(transfer.connection.venue).settle_limit)


def matching(
    transfers: QuerySet[Stood],
    *,
    standing_key: str = "",
    connection: Connection | None = None,
    asset: str = "",
    maker: User | None = None,
    text: str = "",
) -> QuerySet[Stood]:
    """Narrow a list that carries ``standing_key``; an empty filter lets everything through."""
    if standing_key:
        transfers = transfers.filter(standing_key=standing_key)
    if connection:
        transfers = transfers.filter(connection=connection)
    if asset:
        transfers = transfers.filter(asset__iexact=asset)
    if maker:
        transfers = transfers.filter(maker=maker)
    if text:
        transfers = transfers.filter(Q(reference__icontains=text) | Q(reason__icontains=text))
    return transfers.order_by(F("id").desc())
