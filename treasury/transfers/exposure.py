"""Money at risk: what each account holds for certain, what is spoken for, and what nobody can be certain of.

Every transfer that may still take money out of an account is in exactly one of two sums, so that they add up:

* ``at_risk``: its outcome is unknown, the venue took it longer ago than it takes to settle, or evidence speaks against
  how it stands and two people have not said yet what is true;
* ``reserved``: none of that, and it is approved or in flight.

``confirmed`` is what the venue said last. ``free`` is what a new draft may use: what the venue would let go, less what
``guards.reserved`` takes off for what that reading may not show yet, less what is approved. The guard reckons for one
account at the moment of a claim and this for all of them at once; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, TypedDict

from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery

from treasury import venues
from treasury.balances.holdings import all_balances
from treasury.models import IN_FLIGHT, Attempt, Balance, Contradiction, LookUp, State, Transfer
from treasury.transfers import queries

if TYPE_CHECKING:  # the stubs are not there when the product runs
    from django_stubs_ext import WithAnnotations

    class Doubts(TypedDict):
        doubtful: bool
        against: str | None
        against_at: datetime | None
        shown_at: datetime | None
        corrected_at: datetime | None
        asked_at: datetime | None
        answer: str | None
        searched: bool | None
        found: bool | None

    Outgoing = WithAnnotations[Transfer, Doubts]

Key = tuple[int, str]  # an account and an asset


@dataclass(frozen=True)
class Risk:
    """A transfer that is money at risk: since when, and what is known of it, in a sentence."""

    transfer: Transfer
    since: datetime
    known: str


@dataclass
class Exposure:
    """What is known of one asset in one account, in units of the asset."""

    confirmed: Decimal | None = None
    reserved: Decimal = Decimal(0)
    at_risk: Decimal = Decimal(0)
    free: Decimal | None = None


@dataclass(frozen=True)
class Total:
    """What is at risk of one asset, wherever it is; in capitals, since venues write usdt and USDT."""

    asset: str
    amount: Decimal
    count: int
    oldest: datetime


@dataclass(frozen=True)
class Exposures:
    """Everything at one moment, of two statements. ``risks`` has the oldest on top."""

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


def read(at: datetime, balances: Iterable[Balance] | None = None) -> Exposures:
    """What every account is exposed to. ``balances``: the stored ones, where the caller has read them already."""
    stored = list(all_balances() if balances is None else balances)
    held = {(one.account_id, one.asset): Exposure(confirmed=one.total, free=one.movable) for one in stored}
    risks = []
    for transfer in outgoing(at, since=min((one.observed_at for one in stored if one.movable is not None), default=at)):
        exposure = held.setdefault((transfer.source_id, transfer.asset), Exposure())
        risk = risk_of(transfer, at)
        approved = transfer.state == State.APPROVED
        if risk is not None:
            exposure.at_risk += transfer.amount
            risks.append(risk)
        elif approved or transfer.state in IN_FLIGHT:
            exposure.reserved += transfer.amount
        if exposure.free is not None and (approved or is_not_shown(transfer)):
            exposure.free -= transfer.amount
    return Exposures(held, sorted(risks, key=lambda risk: (risk.since, risk.transfer.pk)))


def totals(at: datetime) -> list[Total]:
    """Per asset the amount, the count and the oldest of what is at risk."""
    return read(at, balances=()).totals


def outgoing(at: datetime, *, since: datetime) -> QuerySet[Outgoing]:
    """Every transfer that may still take money out of an account, or took some that a reading may not show; no reading
    that matters is older than ``since``."""
    disputes = Contradiction.objects.filter(transfer=OuterRef("pk"))
    open_ = disputes.filter(closed_at=None).order_by("id")
    reading = Balance.objects.filter(account=OuterRef("source"), asset=OuterRef("asset"))
    last = LookUp.objects.filter(transfer=OuterRef("pk")).order_by("-at", "-id")
    disputed = Contradiction.objects.filter(Q(closed_at=None) | Q(moved=True, closed_at__gte=since))
    found = Transfer.objects.filter(
        Q(state__in=[State.APPROVED, *IN_FLIGHT])
        | Q(state=State.SETTLED, changed_at__gte=since)
        | Q(pk__in=disputed.values("transfer"))
    )
    return found.select_related("connection", "source__connection", "destination__connection").annotate(
        doubtful=Exists(Attempt.objects.in_doubt(at).filter(transfer=OuterRef("pk"))),
        against=Subquery(open_.values("words")[:1]),
        against_at=Subquery(open_.values("at")[:1]),
        shown_at=Subquery(reading.values("observed_at")[:1]),
        corrected_at=Subquery(disputes.filter(moved=True).order_by("-closed_at").values("closed_at")[:1]),
        asked_at=Subquery(last.values("at")[:1]),
        answer=Subquery(last.values("state")[:1]),
        searched=Subquery(last.values("searched")[:1]),
        found=Subquery(last.values("found")[:1]),
    )


def is_not_shown(transfer: Outgoing) -> bool:
    """Whether the source's reading may not show that it left: what ``guards.reserved`` says, of a row."""
    if transfer.state in IN_FLIGHT:
        return True
    if transfer.against is not None and transfer.state != State.SETTLED:
        return True
    left = [transfer.changed_at] if transfer.state == State.SETTLED else []
    left += [transfer.corrected_at] if transfer.corrected_at is not None else []
    return transfer.shown_at is not None and any(moment >= transfer.shown_at for moment in left)


def risk_of(transfer: Outgoing, at: datetime) -> Risk | None:
    """Why it is money at risk; None where it is not."""
    if transfer.against is not None and transfer.against_at is not None:
        return Risk(transfer, transfer.against_at, f"{transfer.against[:1].upper()}{transfer.against[1:].rstrip('.')}.")
    if transfer.state == State.DISPATCHING and transfer.doubtful:
        return Risk(transfer, transfer.changed_at, f"It may have moved: no clear answer came. {asked(transfer)}")
    if queries.is_overdue(transfer, at):
        title = venues.declared(transfer.connection.venue).title
        known = f"{title} took it and has not settled it in its time. {asked(transfer)}"
        return Risk(transfer, transfer.changed_at, known)
    return None


def asked(transfer: Outgoing) -> str:
    """What the last look-up said, in a sentence."""
    if transfer.asked_at is None:
        return "The venue has not been asked yet."
    when = f"{transfer.asked_at:%H:%M:%S} UTC"
    if transfer.answer == "ERROR":
        return f"The question of {when} was not answered."
    if transfer.found:
        return f"The venue showed a record at {when}, which does not settle it."
    if not transfer.searched:
        return f"Asked at {when}, the venue had nothing to search."
    return f"The venue's records were searched at {when}: nothing was found."
