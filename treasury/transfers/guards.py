"""What stands between an approval and its dispatch: each guard a question, each answer a sentence.

Asked inside the claim's transaction, with the transfer and its source account locked, of stored numbers only.
The first that objects decides. An error in a guard is a no.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import wraps

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet, Sum

from treasury import venues
from treasury.balances import movements
from treasury.balances.holdings import balance_of, stale_after
from treasury.balances.moved import MOVED, has_moved, with_ruling
from treasury.controls import bands, policy, restores, stops
from treasury.models import (
    IN_FLIGHT,
    Account,
    Balance,
    Contradiction,
    Policy,
    State,
    Transfer,
    Verdict,
)
from treasury.models.amount import grouped
from treasury.models.clock import to_the_minute
from treasury.transfers import approvals, assess, instruction, limits, order, restored, telling

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
    """What was approved no longer fits: back to SUBMITTED, in a new round, with the difference shown.

    ``money``: what happened to it, the first thing that people read.
    """

    words: str
    money: str = "Not sent. Nothing moved."


@dataclass(frozen=True)
class Alarm:
    """What would be sent is not what was approved: held, the connection stopped, people called."""

    words: str


Objection = Expire | Hold | SendBack | Alarm
Guard = Callable[[Transfer, datetime], Objection | None]

CLOCKS_AGREE = timedelta(seconds=2)  # a reading from later than now means a clock that was set
TIME_IS_OVER = "Its time for approval and sending ran out."


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
    if restored.unknown(transfer):  # it may have been sent in the time that is lost: not for the clock to end here
        return None
    if transfer.contradictions.filter(closed_at=None).exists():  # it may have moved: two people say first what is true
        return None
    if transfer.expires_at is None or at >= transfer.expires_at:
        money = telling.MOVED_ALREADY if has_moved(transfer) else "Nothing moved"
        return Expire(f"{money}. {TIME_IS_OVER}")
    return None


def at_home(transfer: Transfer, at: datetime) -> Objection | None:
    """Is this the database that it was, and not a copy restored?"""
    reason = restores.why_not_home()
    return (
        Hold(f"{reason}; nothing is sent until two people have released the stop that this brings") if reason else None
    )


def approved_since_restore(transfer: Transfer, at: datetime) -> Objection | None:
    """Was it approved in this database as it is now?"""
    order = stops.last_restore()
    if order is None or transfer.changed_at >= order.since:
        return None
    return SendBack(
        f"it was approved before this database was restored. {restored.in_words(transfer, order)}",
        money=f"Not sent again. {telling.CANNOT_KNOW}.",
    )


def same_words(transfer: Transfer, at: datetime) -> Objection | None:
    """Is what would be sent what was approved?"""
    text = instruction.compose(transfer)
    approved = transfer.decisions.filter(round=transfer.round, verdict=Verdict.APPROVE, withdrawal=None)
    digests = {transfer.digest} | {decision.digest for decision in approved}
    texts = {transfer.instruction} | {decision.instruction for decision in approved}
    if digests != {instruction.digest(text)} or texts != {text}:
        return Alarm("the instruction is not the one that was approved")
    return None


def same_answer(transfer: Transfer, at: datetime) -> Objection | None:
    """Is what the policy demanded what its version says?"""
    asked = transfer.assessments.select_related("policy").filter(round=transfer.round).first()
    if asked is None:
        first = Policy.objects.order_by("number").first()
        if first is not None and transfer.submitted_at is not None and transfer.submitted_at < first.at:
            return None  # submitted before there were policies
        return Alarm("nothing says what the policy answered when its approval was asked for")
    if hashlib.sha256(asked.policy.text.encode()).hexdigest() != asked.policy.digest:
        return Alarm(f"the text of {asked.policy} is not the one that was agreed on")
    demanded = {one.group: one.count for one in transfer.demands.filter(round=transfer.round)}
    if not assess.demands_hold(asked) or demanded != assess.replay(asked).demands:
        return Alarm(f"what it was approved by is not what {asked.policy} answers, reckoned again")
    return None


def not_stopped(transfer: Transfer, at: datetime) -> Objection | None:
    """Does no stop order stand?"""
    if order := stops.standing_for(transfer):
        return Hold(f"{stops.covered(order)} is stopped since {to_the_minute(order.since)}: {order.reason}")
    return None


def uncontradicted(transfer: Transfer, at: datetime) -> Objection | None:
    """Does nothing that the venue said speak against sending it?"""
    if against := transfer.contradictions.filter(closed_at=None).first():
        return Hold(f"the venue may have it already: {against.words}; two people must say what is true")
    if has_moved(transfer):
        return Hold("it moved already, as two people found; cancel it")
    return None


def its_predecessors(transfer: Transfer, at: datetime) -> Objection | None:
    """Has everything settled that must settle first, and does the balance know of it?"""
    firsts = list(with_ruling(order.waits_for(transfer)))
    for first in firsts:
        if first.contradicted:
            return Hold(f"evidence contradicts how {first.reference} stands, which must settle first")
        if first.state == State.SETTLED and first.ruled is False:
            return Hold(
                f"{first.reference} had to settle first, and two people found that it did not move; cancel this"
            )
        if first.state != State.SETTLED:
            how = order.ENDINGS.get(State(first.state))
            return Hold(
                f"{first.reference} had to settle first, and {how}" if how else f"waits for {first.reference} to settle"
            )
    held = balance_of(transfer.source, transfer.asset)
    late = next((first for first in firsts if held is None or held.observed_at <= first.changed_at), None)
    if late is not None:
        return Hold(f"the balance of {transfer.source.title} was read before {late.reference} had settled")
    return None


def patient(guard: Guard) -> Guard:
    """What a predecessor brought may show late at the venue: until its time to settle is over once more, numbers that
    do not fit hold the transfer back, and do not send it back to people."""

    @wraps(guard)
    def asked(transfer: Transfer, at: datetime) -> Objection | None:
        found = guard(transfer, at)
        if not isinstance(found, SendBack):
            return found
        for first in order.waits_for(transfer).select_related("connection").order_by("-changed_at"):
            if at - first.changed_at <= venues.declared(first.connection.venue).settle_limit:
                return Hold(f"{found.words}; {first.reference} has settled, and may not show yet")
        return found

    return asked


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
    twin = flying.filter(asset__iexact=transfer.asset, amount=transfer.amount).exclude(pk=transfer.pk).first()
    if twin is None:
        return None
    return Hold(f"{twin.reference} of the same amount is on its way, and the venue's records could not tell them apart")


def quorum(transfer: Transfer, at: datetime) -> Objection | None:
    """Are those who approved still active and in their role?"""
    demands = list(transfer.demands.filter(round=transfer.round))
    if not demands:
        return SendBack("nothing says who must approve it")
    missing = approvals.lacking(transfer, demands, approvals.standing(transfer))
    for demand in demands:
        if short := missing.get(demand.group):
            return SendBack(
                f"{demand.count} of {demand.group} must approve, and {demand.count - short} of those who did may still "
                "do so"
            )
    return None


def readable(transfer: Transfer, at: datetime) -> Objection | None:
    """Is the source's balance known, and fresh?"""
    held = balance_of(transfer.source, transfer.asset)
    if held is None or held.movable is None or held.total is None:
        why = f": {held.problem}" if held and held.problem else ""
        return Hold(f"the balance of {transfer.source.title} is not readable{why}")
    if not -CLOCKS_AGREE <= at - held.observed_at <= age_most(transfer.source):
        when = f"{held.observed_at:%Y-%m-%d %H:%M:%S} UTC"
        if transfer.source.connection.by_hand:
            return Hold(f"the balance of {transfer.source.title} was last stated for {when}; state it anew")
        return Hold(f"the balance of {transfer.source.title} is not of now but of {when[11:]}")
    return None


def age_most(account: Account) -> timedelta:
    """How old a balance may be that money is claimed by. One that people type in is good for as long as it is shown as
    good: nobody can read it again."""
    if account.connection.by_hand:
        return stale_after(account.connection.venue)
    most: timedelta = settings.BALANCE_MAX_AGE
    return most


def within_limit(transfer: Transfer, at: datetime) -> Objection | None:
    """Are the limits kept?"""
    found = limits.reached_at_claim(transfer, at)
    return Hold(found.words, retry_at=found.frees_at) if found else None


@patient
def unmoved(transfer: Transfer, at: datetime) -> Objection | None:
    """Has nobody else moved a quiet account?"""
    held = balance_of(transfer.source, transfer.asset)
    if not transfer.source.quiet or transfer.seen_total is None or held is None or held.total is None:
        return None
    assert transfer.seen_at is not None, "seen_total has its time"
    near = movements.near_transfers(transfer.source.connection, since=transfer.seen_at - movements.CALM)
    touching = [one for one in near.get((transfer.source_id, held.asset), ()) if one.pk != transfer.pk]
    if any(one.state in IN_FLIGHT or one.contradicted for one in touching):
        return Hold(f"another transfer of {transfer.source.title} is on its way, so that its balance says little")
    # Neither number was read at a calm moment: what had begun before the first may be in it already, and what was noted
    # as settled about the time of the second may not be in that one yet.
    ours = movements.ours(
        transfer.source_id,
        [one for one in touching if one.began <= held.observed_at + movements.CALM],
        change=held.total - transfer.seen_total,
        since=transfer.seen_at,
        sure_from=transfer.seen_at + movements.CALM,
        sure_until=held.observed_at - movements.CALM,
    )
    expected = transfer.seen_total + ours
    if abs(held.total - expected) <= settings.MOVEMENT_TOLERANCE * abs(expected):
        return None
    return SendBack(
        f"{transfer.source.title} was to hold {grouped(expected)} {transfer.asset} and holds {grouped(held.total)}; "
        "somebody else moved it"
    )


@patient
def enough(transfer: Transfer, at: datetime) -> Objection | None:
    """Is there enough, after what is on its way already, what was approved earlier, and what must stay?"""
    held = balance_of(transfer.source, transfer.asset)
    assert held is not None and held.movable is not None and held.total is not None, "asked after readable"
    gone, floor = not_shown_yet(held, besides=transfer), floor_of(transfer.source, transfer.asset)
    left = min(held.movable - gone, held.total - gone - floor)
    earlier = approved_before(held, transfer)
    if transfer.amount <= left - earlier:
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


# The order matters: in a copy not even its end is written; then comes what ends it, what waits for people before what
# raises the alarm again and again, and numbers are compared only when they are known.
GUARDS: tuple[Guard, ...] = (
    at_home,
    expired,
    not_stopped,
    uncontradicted,
    approved_since_restore,
    same_words,
    same_answer,
    its_predecessors,
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


# For the repeat that records what people have done by hand already: no stop, limit or hour undoes it.
DONE_BY_HAND: tuple[Guard, ...] = (same_words, uncontradicted)


def usable(held: Balance, *, by: Transfer | None = None, floors: Mapping[str, Decimal] | None = None) -> Decimal | None:
    """What a new draft, or this transfer, may use: of what can be moved, less what is on its way, what was approved
    before it, and what must stay. None where that is not known; never below 0. ``floors`` as policy.floors gives them,
    read once for many."""
    if held.movable is None or held.total is None:
        return None
    try:
        floor = floor_of(held.account, held.asset, floors)
    except policy.Denied:  # what must stay cannot be read
        return None
    gone = not_shown_yet(held, besides=by)
    left: Decimal = min(held.movable - gone, held.total - gone - floor) - approved_before(held, by)
    return max(left, Decimal(0))


def floor_of(account: Account, asset: str, floors: Mapping[str, Decimal] | None = None) -> Decimal:
    """What the account keeps of the asset: what the policy in force says of every account, or what its band says,
    whichever is more."""
    band = bands.band_of(account, asset)
    of_all = policy.floor_of(asset, policy.floors() if floors is None else floors)
    return max(of_all, band.floor if band else Decimal(0))


def not_shown_yet(held: Balance, *, besides: Transfer | None) -> Decimal:
    """What other transfers may take out of the account that its last reading may not show yet.

    Found in three steps, each by its index: most transfers of an account ended long ago.
    """
    out = others(held, besides)
    near = out.filter(Q(state__in=IN_FLIGHT) | Q(state=State.SETTLED, changed_at__gte=held.observed_at))
    disputed = Contradiction.objects.filter(transfer__source=held.account_id, transfer__asset=held.asset)
    either = {*near.values_list("pk", flat=True), *disputed.values_list("transfer", flat=True)}
    moved_lately = MOVED & (Q(changed_at__gte=held.observed_at) | Q(ruled_at__gte=held.observed_at))
    may_be_gone = Q(state__in=IN_FLIGHT) | moved_lately | Q(contradicted=True) & ~Q(state=State.SETTLED)
    found = with_ruling(out.filter(pk__in=either)).filter(may_be_gone)
    return found.aggregate(sum=Sum("amount"))["sum"] or Decimal(0)


def approved_before(held: Balance, transfer: Transfer | None) -> Decimal:
    """What waits to be sent from the account and was approved before this one, which may not be approved yet: first
    come, first served."""
    waiting = with_ruling(others(held, transfer).filter(state=State.APPROVED))
    waiting = waiting.filter(Q(ruled=None) | Q(ruled=False), contradicted=False)
    if transfer is not None and transfer.state == State.APPROVED:
        waiting = waiting.filter(
            Q(changed_at__lt=transfer.changed_at) | Q(changed_at=transfer.changed_at, pk__lt=transfer.pk)
        )
    return waiting.aggregate(sum=Sum("amount"))["sum"] or Decimal(0)


def others(held: Balance, besides: Transfer | None) -> QuerySet[Transfer]:
    """The transfers out of the account, of this asset, but for this one."""
    found = Transfer.objects.filter(source=held.account_id, asset=held.asset)
    return found if besides is None else found.exclude(pk=besides.pk)
