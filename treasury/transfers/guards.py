"""What stands between an approval and its dispatch: each guard a question, each answer a sentence.

Asked inside the claim's transaction, with the transfer and its source account locked, of stored numbers only.
The first that objects decides. An error in a guard is a no.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, Max, OuterRef, Q, Sum

from treasury import venues
from treasury.balances.holdings import balance_of
from treasury.balances.moved import moved
from treasury.controls import restores, stops
from treasury.controls.roles import groups_of
from treasury.models import IN_FLIGHT, NOTHING_MOVED, Attempt, Balance, Contradiction, State, Transfer, User, Verdict
from treasury.models.amount import grouped
from treasury.transfers import instruction

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Expire:
    """Its time is over: EXPIRED."""

    words: str


@dataclass(frozen=True)
class Hold:
    """Not now: it stays APPROVED, held for this reason, and is asked again."""

    words: str
    retry_at: datetime | None = None


@dataclass(frozen=True)
class SendBack:
    """What was approved no longer fits: back to SUBMITTED, in a new round, with the difference shown."""

    words: str


@dataclass(frozen=True)
class Alarm:
    """What would be sent is not what was approved: held, the connection stopped, people called."""

    words: str


Objection = Expire | Hold | SendBack | Alarm
Guard = Callable[[Transfer, datetime], Objection | None]

CLOCKS_AGREE = timedelta(seconds=2)  # a reading from later than now means a clock that was set
OUT_OF_TIME = "Nothing moved. Its time for approval and sending ran out."


def objection(transfer: Transfer, *, at: datetime, among: tuple[Guard, ...] | None = None) -> Objection | None:
    """The first guard's objection to sending now, or None."""
    for guard in GUARDS if among is None else among:
        try:
            with transaction.atomic():  # a savepoint: a guard's own database error must not end the claim's
                found = guard(transfer, at)
        except Exception:  # any error at all: what cannot be checked is not sent
            log.exception("guard %s failed for %s", guard.__name__, transfer.reference)
            return Hold(f"the check “{(guard.__doc__ or guard.__name__).strip()}” failed; see the service's log")
        if found is not None:
            return found
    return None


def expired(transfer: Transfer, at: datetime) -> Objection | None:
    """Is there still time?"""
    if transfer.expires_at is None or at >= transfer.expires_at:
        return Expire(OUT_OF_TIME)
    return None


def at_home(transfer: Transfer, at: datetime) -> Objection | None:
    """Is this the database that it was, and not a copy restored?"""
    reason = restores.why_not_home()
    return (
        Hold(f"{reason}; nothing is sent until two people have released the stop that this brings") if reason else None
    )


def same_words(transfer: Transfer, at: datetime) -> Objection | None:
    """Is what would be sent what was approved?"""
    text = instruction.compose(transfer)
    approved = transfer.decisions.filter(round=transfer.round, verdict=Verdict.APPROVE)
    digests = {transfer.digest} | {decision.digest for decision in approved}
    texts = {transfer.instruction} | {decision.instruction for decision in approved}
    if digests != {instruction.digest(text)} or texts != {text}:
        return Alarm("the instruction is not the one that was approved")
    return None


def not_stopped(transfer: Transfer, at: datetime) -> Objection | None:
    """Does no stop order stand?"""
    if order := stops.standing_for(transfer):
        return Hold(f"{stops.covered(order)} is stopped since {order.since:%Y-%m-%d %H:%M} UTC: {order.reason}")
    return None


def uncontradicted(transfer: Transfer, at: datetime) -> Objection | None:
    """Does nothing that the venue said speak against sending it?"""
    against = transfer.contradictions.order_by("id").last()
    if against is None:
        return None
    if against.closed_at is None:
        return Hold(f"the venue may have it already: {against.words}; two people must say what is true")
    return Hold("it moved already, as two people found; cancel it") if against.moved else None


def its_turn(transfer: Transfer, at: datetime) -> Objection | None:
    """May the venue be called now?"""
    wait = venues.why_wait(transfer.connection, "send", at)
    return Hold(str(wait), retry_at=wait.retry_at) if wait else None


def no_twin(transfer: Transfer, at: datetime) -> Objection | None:
    """Can the venue's records tell it from what is on its way?"""
    if venues.declared(transfer.connection.venue).records_carry_key:
        return None
    same_side = Q(source=transfer.source) | Q(destination=transfer.destination)
    flying = Transfer.objects.filter(same_side, connection=transfer.connection, state__in=IN_FLIGHT)
    twin = flying.filter(asset=transfer.asset, amount=transfer.amount).exclude(pk=transfer.pk).first()
    if twin is None:
        return None
    return Hold(f"{twin.reference} of the same amount is on its way, and the venue's records could not tell them apart")


def quorum(transfer: Transfer, at: datetime) -> Objection | None:
    """Are those who approved still active and in their role?"""
    deciders = User.objects.filter(
        decisions__transfer=transfer, decisions__round=transfer.round, decisions__verdict=Verdict.APPROVE
    )
    groups = {decider.pk: groups_of(decider) for decider in deciders.distinct()}
    for demand in transfer.demands.filter(round=transfer.round):
        counted = transfer.decisions.filter(
            round=transfer.round, verdict=Verdict.APPROVE, counts_for__contains=[demand.group]
        )
        valid = sum(demand.group in groups[decision.by_id] for decision in counted)
        if valid < demand.count:
            return SendBack(
                f"{demand.count} of {demand.group} must approve, and {valid} of those who did may still do so"
            )
    return None


def readable(transfer: Transfer, at: datetime) -> Objection | None:
    """Is the source's balance known, and fresh?"""
    held = balance_of(transfer.source, transfer.asset)
    if held is None or held.movable is None or held.total is None:
        why = f": {held.problem}" if held and held.problem else ""
        return Hold(f"the balance of {transfer.source.title} is not readable{why}")
    if not -CLOCKS_AGREE <= at - held.observed_at <= settings.BALANCE_MAX_AGE:
        return Hold(f"the balance of {transfer.source.title} is not of now but of {held.observed_at:%H:%M:%S} UTC")
    return None


def within_limit(transfer: Transfer, at: datetime) -> Objection | None:
    """Is the day's limit kept?"""
    limits: dict[str, Decimal] = settings.DAILY_LIMITS
    limit = limits.get(transfer.asset.upper(), limits.get("*"))  # venues write usdt and USDT
    if limit is None:
        return None
    since = at - timedelta(hours=24)
    # Whatever may have left within the day counts, whether it has settled or is unknown.
    first = (
        Attempt.objects.filter(transfer__connection=transfer.connection, transfer__asset=transfer.asset)
        .filter(claimed_at__gt=since)
        .exclude(outcome__in=NOTHING_MOVED)
        .exclude(transfer=transfer)
        .values("transfer")
        .annotate(last=Max("claimed_at"))
        .order_by("last")
    )
    sent = Transfer.objects.filter(pk__in=[row["transfer"] for row in first]).aggregate(sum=Sum("amount"))["sum"]
    if (sent or Decimal(0)) + transfer.amount <= limit:
        return None
    return Hold(
        f"with {grouped(sent or Decimal(0))} {transfer.asset} sent over {transfer.connection.name} in 24 hours, it "
        f"would pass the limit of {grouped(limit)}",
        retry_at=first[0]["last"] + timedelta(hours=24) if first else None,
    )


def unmoved(transfer: Transfer, at: datetime) -> Objection | None:
    """Has nobody else moved a quiet account?"""
    held = balance_of(transfer.source, transfer.asset)
    if not transfer.source.quiet or transfer.seen_total is None or held is None or held.total is None:
        return None
    assert transfer.seen_at is not None, "seen_total has its time"
    touching = Transfer.objects.filter(Q(source=transfer.source) | Q(destination=transfer.source), asset=transfer.asset)
    open_ = Exists(Contradiction.objects.filter(transfer=OuterRef("pk"), closed_at=None))
    if touching.filter(Q(state__in=IN_FLIGHT) | open_).exclude(pk=transfer.pk).exists():
        return Hold(f"another transfer of {transfer.source.title} is on its way, so that its balance says little")
    ours = moved(touching).filter(moved_by__gt=transfer.seen_at, moved_by__lt=held.observed_at)
    sums = ours.aggregate(
        came=Sum("amount", filter=Q(destination=transfer.source)),
        went=Sum("amount", filter=Q(source=transfer.source)),
    )
    expected = transfer.seen_total + (sums["came"] or Decimal(0)) - (sums["went"] or Decimal(0))
    if abs(held.total - expected) <= settings.MOVEMENT_TOLERANCE * abs(expected):
        return None
    return SendBack(
        f"{transfer.source.title} was to hold {grouped(expected)} {transfer.asset} and holds {grouped(held.total)}; "
        "somebody else moved it"
    )


def enough(transfer: Transfer, at: datetime) -> Objection | None:
    """Is there enough, after what is on its way already, what was approved earlier, and what must stay?"""
    held = balance_of(transfer.source, transfer.asset)
    assert held is not None and held.movable is not None and held.total is not None, "asked after readable"
    gone = reserved(held, besides=transfer)
    floor: Decimal = settings.FLOORS.get(transfer.asset.upper(), settings.FLOORS.get("*", Decimal(0)))
    left = min(held.movable - gone, held.total - gone - floor)
    if transfer.amount <= left - (earlier := approved_earlier(transfer)):
        return None
    if transfer.amount <= left:
        return Hold(
            f"{grouped(earlier)} {transfer.asset} of {transfer.source.title} are kept for what was approved before it"
        )
    if floor and transfer.amount <= held.movable - gone:
        return SendBack(
            f"{transfer.source.title} must keep {grouped(floor)} {transfer.asset}, and "
            f"{grouped(max(left, Decimal(0)))} are above that"
        )
    return SendBack(
        f"{grouped(transfer.amount)} {transfer.asset} were approved and {grouped(max(left, Decimal(0)))} of "
        f"{transfer.source.title} can be moved"
    )


# The order matters: what ends it comes first, what waits for people before what raises the alarm again and again,
# and numbers are compared only when they are known.
GUARDS: tuple[Guard, ...] = (
    expired,
    at_home,
    not_stopped,
    same_words,
    uncontradicted,
    its_turn,
    no_twin,
    quorum,
    readable,
    within_limit,
    unmoved,
    enough,
)


# For the same words under the same key once more: its money may be gone already, so numbers say nothing.
SAME_AGAIN: tuple[Guard, ...] = (expired, at_home, not_stopped, same_words, uncontradicted, its_turn, quorum)


def reserved(held: Balance, *, besides: Transfer) -> Decimal:
    """What other transfers may take out of the account that its last reading may not show yet."""
    others = Transfer.objects.filter(source=held.account_id, asset=held.asset).exclude(pk=besides.pk)
    on_its_way = others.filter(
        Q(state__in=IN_FLIGHT)
        | Q(state=State.SETTLED, changed_at__gte=held.observed_at)
        | Exists(Contradiction.objects.filter(transfer=OuterRef("pk"), closed_at=None)) & ~Q(state=State.SETTLED)
        | Exists(Contradiction.objects.filter(transfer=OuterRef("pk"), moved=True, closed_at__gte=held.observed_at))
    )
    return on_its_way.aggregate(sum=Sum("amount"))["sum"] or Decimal(0)


def approved_earlier(transfer: Transfer) -> Decimal:
    """What waits to be sent from the same account and was approved before this one: first come, first served."""
    others = Transfer.objects.filter(source=transfer.source_id, asset=transfer.asset, state=State.APPROVED)
    before = others.exclude(pk=transfer.pk).filter(
        Q(changed_at__lt=transfer.changed_at) | Q(changed_at=transfer.changed_at, pk__lt=transfer.pk)
    )
    return before.aggregate(sum=Sum("amount"))["sum"] or Decimal(0)
