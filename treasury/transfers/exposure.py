"""Money at risk: what is spoken for in each account, and what nobody can be certain of.

Every transfer that may still take money out of an account is in exactly one of two sums, so that they add up:

* ``at_risk``: its outcome is unknown, the venue took it longer ago than it takes to settle, it was to be done by hand
  by now and nobody said whether it was, or evidence speaks against how it stands and two people have not said yet what
  is true;
* ``reserved``: none of that, and it is approved or in flight.

``risk_of`` is the one place that says whether and since when a transfer is money at risk: the header's count, the
overview and what people are told all read it. What a new draft may use is ``guards.usable``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, TypedDict

from django.db.models import OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce

from treasury import venues
from treasury.models import IN_FLIGHT, Attempt, Contradiction, LookUp, State, Transfer
from treasury.transfers import by_hand, queries

if TYPE_CHECKING:  # the stubs are not there when the product runs
    from django_stubs_ext import WithAnnotations

    class Doubts(TypedDict):
        against: str | None
        against_at: datetime | None
        doubtful_since: datetime | None

    Outgoing = WithAnnotations[Transfer, Doubts]

Key = tuple[int, str]  # an account and an asset


class Why(Enum):
    """Why a transfer is money at risk; the first that holds."""

    CONTRADICTED = "contradicted"
    UNKNOWN = "unknown"
    OVERDUE = "overdue"


@dataclass(frozen=True)
class Risk:
    """A transfer that is money at risk: why, and since when."""

    transfer: Outgoing
    why: Why
    since: datetime


@dataclass
class Exposure:
    """What is spoken for of one asset in one account, in units of the asset."""

    reserved: Decimal = Decimal(0)
    at_risk: Decimal = Decimal(0)


@dataclass(frozen=True)
class Total:
    """What is at risk of one asset, wherever it is; in capitals, since venues write usdt and USDT."""

    asset: str
    amount: Decimal
    count: int
    oldest: datetime


@dataclass(frozen=True)
class Exposures:
    """Everything at one moment, of one statement. ``risks`` has the oldest on top."""

    held: Mapping[Key, Exposure]
    risks: list[Risk] = field(default_factory=list)

    @property
    def totals(self) -> list[Total]:
        """What is at risk, by asset; an asset of which nothing is at risk is not named."""
        by_asset: dict[str, list[Risk]] = {}
        for risk in self.risks:
            by_asset.setdefault(risk.transfer.asset.upper(), []).append(risk)
        return [
            Total(
                asset=asset,
                amount=sum((one.transfer.amount for one in risks), Decimal(0)),
                count=len(risks),
                oldest=min(one.since for one in risks),
            )
            for asset, risks in sorted(by_asset.items())
        ]


def read(at: datetime) -> Exposures:
    """What every account is exposed to; one of which nothing is spoken for is not named."""
    held: dict[Key, Exposure] = {}
    found = []
    for transfer in outgoing(at).select_related("source__connection", "destination__connection"):
        exposure = held.setdefault((transfer.source_id, transfer.asset), Exposure())
        risk = risk_of(transfer, at)
        if risk is None:
            exposure.reserved += transfer.amount
        else:
            exposure.at_risk += transfer.amount
            found.append(risk)
    return Exposures(held, sorted(found, key=age))


def risks(at: datetime) -> list[Risk]:
    """What is money at risk, the oldest on top."""
    found = [risk_of(transfer, at) for transfer in outgoing(at)]
    return sorted((risk for risk in found if risk is not None), key=age)


def age(risk: Risk) -> tuple[datetime, int]:
    return risk.since, risk.transfer.pk


def outgoing(at: datetime) -> QuerySet[Outgoing]:
    """Every transfer that may still take money out of an account."""
    flying = Transfer.objects.filter(state__in=[State.APPROVED, *IN_FLIGHT]).order_by()
    open_ = Contradiction.objects.filter(closed_at=None).order_by()
    # A union and no OR: each half has its index, however many transfers have ended.
    found = Transfer.objects.filter(pk__in=flying.values("pk").union(open_.values("transfer")))
    against = open_.filter(transfer=OuterRef("pk")).order_by("id")
    doubt = Attempt.objects.in_doubt(at).filter(transfer=OuterRef("pk"))
    began = doubt.annotate(began=Coalesce("concluded_at", "call_ends_at")).order_by("began")
    return found.select_related("connection").annotate(
        against=Subquery(against.values("words")[:1]),
        against_at=Subquery(against.values("at")[:1]),
        doubtful_since=Subquery(began.values("began")[:1]),
    )


def risk_of(transfer: Outgoing, at: datetime) -> Risk | None:
    """Why it is money at risk, and since when; None where it is not."""
    if transfer.against_at is not None:
        return Risk(transfer, Why.CONTRADICTED, transfer.against_at)
    if transfer.state == State.DISPATCHING and transfer.doubtful_since is not None:
        return Risk(transfer, Why.UNKNOWN, transfer.doubtful_since)
    if queries.is_overdue(transfer, at):
        return Risk(transfer, Why.OVERDUE, by_hand.late_since(transfer, at) or transfer.changed_at)
    return None


def in_words(found: Iterable[Risk]) -> list[tuple[Risk, str]]:
    """What is known of each, in a sentence or two."""
    found = list(found)
    newest = LookUp.objects.order_by("transfer_id", "-at", "-id").distinct("transfer_id")
    last = {one.transfer_id: one for one in newest.filter(transfer__in=[risk.transfer.pk for risk in found])}
    return [(risk, known(risk, last.get(risk.transfer.pk))) for risk in found]


def known(risk: Risk, last: LookUp | None) -> str:
    transfer = risk.transfer
    if risk.why == Why.CONTRADICTED:
        against = transfer.against or ""
        return f"{against[:1].upper()}{against[1:].rstrip('.')}."
    if risk.why == Why.UNKNOWN:
        return f"It may have moved: no clear answer came. {asked(last)}"
    if transfer.connection.by_hand:
        return "It may have moved: its time to be done by hand is over, and two people have not said whether it was."
    title = venues.declared(transfer.connection.venue).title
    return f"{title} took it and has not settled it in its time. {asked(last)}"


def asked(last: LookUp | None) -> str:
    """What the last look-up said, in a sentence."""
    if last is None:
        return "The venue has not been asked yet."
    when = f"{last.at:%H:%M:%S} UTC"
    if last.state == "ERROR":
        return f"The question of {when} was not answered."
    if last.found:
        return f"The venue showed a record at {when}, which does not settle it."
    if not last.searched:
        return f"Asked at {when}, the venue had nothing to search."
    return f"The venue's records were searched at {when}: nothing was found."
