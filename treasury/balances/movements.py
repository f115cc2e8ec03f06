"""What explains a change of a total: our own transfers, and what is left over.

Each account and asset has a mark: the last total that was accounted for. A later reading is compared with it:
after − before = ours + fees + rest, exactly, to the last unit. A rest of 0 moves the mark. Any other rest is written
down as a Movement; on a *quiet* account, which only we move, and beyond tolerance, it also stops the account.

Why a reading is often passed over. Nobody knows the very moment at which money moves, nor that at which a number was
true: a transfer moves between its claim and the moment its end is noted, which may be minutes later (a look-up), and
a reading is true somewhere between ``observed_at`` and its storing. So a reading is reckoned with only when nothing of
ours could have moved around it:

* nothing that touches the account and the asset is in flight, and none of it is under an open contradiction;
* nothing of it ended, and no contradiction of it was closed, after ``observed_at`` less CALM (two machines' clocks
  may each be 2 s off, and a venue's numbers may lag its answers a little).

All of that is asked in one statement, of one snapshot, made after the venue had answered: what moved before the number
was true was claimed before, so it is in that snapshot. Otherwise the mark stays and the next reading decides. A false
alarm stops a treasury and teaches people to ignore alarms; the price of waiting is that an account with a transfer in
doubt is not watched until the doubt ends, and it is shown as money at risk all that time. As marks are set by the same
rule, each transfer falls wholly on one side of a mark.

One kind of transfer can straddle a mark: one that had ended as if nothing had moved, and that two people found to have
moved after all. Whether an earlier window has shown its money already (as somebody else's movement) nobody can say, so
it counts in this one exactly if that leaves less unexplained. See docs/decisions/0014-what-explains-a-change.md.

A fee is no part of the instruction, and no venue's documents say whether it comes on top of the amount: one that the
venue named counts, with its transfer and apart from it, exactly if that leaves less unexplained. A fee that it did not
name shows as a rest.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from treasury.audit.record import Machine, record
from treasury.balances.holdings import code_at
from treasury.balances.moved import with_ruling
from treasury.controls import stops
from treasury.models import IN_FLIGHT, Account, Balance, Connection, Contradiction, Mark, Movement, State, Transfer
from treasury.models.amount import grouped, signed
from treasury.models.clock import on_the_clock

if TYPE_CHECKING:
    from treasury.balances.moved import Ruled

log = logging.getLogger(__name__)

DRIFT = Machine("drift")
CALM = timedelta(seconds=5)

Key = tuple[int, str]  # an account and an asset


@dataclass(frozen=True)
class Reckoned:
    """One change, taken apart: after − before = ours + fees + rest."""

    account: Account
    asset: str
    since: datetime
    at: datetime
    before: Decimal
    after: Decimal
    ours: Decimal
    fees: Decimal = Decimal(0)

    @property
    def rest(self) -> Decimal:
        return self.after - self.before - self.ours - self.fees

    @property
    def trips(self) -> bool:
        """Whether somebody moved what only we move, by more than is tolerated."""
        expected = self.before + self.ours + self.fees
        return bool(self.account.quiet and abs(self.rest) > settings.MOVEMENT_TOLERANCE * abs(expected))


def note(connection: Connection) -> list[Reckoned]:
    """Reckon with the reading that was just stored, in its transaction. Returns what has to stop an account.

    For these the mark stays where it is: ``trip`` moves it together with the stop, in a transaction of its own since a
    stop takes the claims' lock before any row's. If the process dies in between, the next reading finds them again.
    """
    own = Mark.objects.filter(account__connection=connection).order_by("account_id", "asset")
    marks = {(mark.account_id, mark.asset): mark for mark in own.select_for_update(of=("self",))}
    known = Balance.objects.filter(account__connection=connection).exclude(total=None)
    later = [held for held in known.select_related("account__connection") if _is_later(held, marks)]
    if not later:
        return []
    near = near_transfers(connection, since=min(_since(held, marks) for held in later))
    calm = [held for held in later if is_calm(near.get(_key(held), ()), held.observed_at)]
    found = [_reckoned(held, marks[_key(held)], near.get(_key(held), ())) for held in calm if _key(held) in marks]
    _keep([one for one in found if one.rest and not one.trips], tripped=False)
    tripping = [one for one in found if one.rest and one.trips]
    stay = {(one.account.pk, one.asset) for one in tripping}
    _set_marks([held for held in calm if _key(held) not in stay])
    return tripping


def trip(found: Iterable[Reckoned], *, at: datetime) -> None:
    """Stop each of these accounts, write down why and move its mark, all at once. Outside any transaction."""
    for one in found:
        with transaction.atomic(durable=True):
            stops.stop_lock()
            mark = Mark.objects.select_for_update().filter(account=one.account, asset=one.asset).first()
            if mark is None or (mark.total, mark.at) != (one.before, one.since):  # another reading was faster
                continue
            (movement,) = _keep([one], tripped=True)
            Mark.objects.filter(pk=mark.pk).update(total=one.after, at=one.at)
            words = in_words(one)
            log.critical("ALARM %s: %s", one.account, words)
            if not stops.standing().filter(account=one.account, automatic=True, by=DRIFT.name).exists():
                stops.stop(account=one.account, reason=words, by=DRIFT, at=at)
            facts = {
                "movement": movement.pk,
                "asset": one.asset,
                "before": one.before,
                "after": one.after,
                "ours": one.ours,
                "fees": one.fees,
                "rest": one.rest,
                "since": one.since,
                "read": one.at,
            }
            record(at=at, by=DRIFT, action="movement.notice", subject=f"account:{one.account}", facts=facts)


def in_words(one: Reckoned) -> str:
    """Why a quiet account is stopped, for its banner."""
    explained = f"our transfers explain {signed(one.ours)} of it" if one.ours else "no transfer of ours did that"
    if one.fees:
        explained += f", their fees {signed(one.fees)}"
    return (
        f"it held {grouped(one.before)} {one.asset} and holds {grouped(one.after)} at {on_the_clock(one.at)}; "
        f"{explained}, and nothing explains {signed(one.rest)} {one.asset}"
    )


def near_transfers(
    connection: Connection, *, since: datetime, until: datetime | None = None
) -> Mapping[Key, list[Ruled]]:
    """By account and asset, every transfer from or to an account of the connection that may have moved money after
    ``since``, in one snapshot; the transfer itself may be another connection's. None that was drafted after ``until``.
    """
    moving = Transfer.objects.filter(Q(state__in=IN_FLIGHT) | Q(state=State.SETTLED, changed_at__gt=since)).order_by()
    disputed = Contradiction.objects.filter(Q(closed_at=None) | Q(closed_at__gt=since)).order_by()
    # A union and no OR: each part has its index, however many transfers have ended.
    keys = moving.filter(source__connection=connection).values("pk")
    near = with_ruling(
        Transfer.objects.filter(
            pk__in=keys.union(
                moving.filter(destination__connection=connection).values("pk"),
                disputed.filter(transfer__source__connection=connection).values("transfer"),
                disputed.filter(transfer__destination__connection=connection).values("transfer"),
            )
        )
    )
    if until is not None:
        near = near.filter(created_at__lte=until)
    found: dict[Key, list[Ruled]] = {}
    codes: dict[Key, str] = {}
    for transfer in near.select_related("connection", "destination").order_by("moved_by", "pk"):
        found.setdefault((transfer.source_id, transfer.asset), []).append(transfer)
        # By hand it may go to another venue, which writes the same asset in its own way.
        there = transfer.destination_id, transfer.asset
        if transfer.connection.by_hand and there not in codes:
            codes[there] = code_at(transfer.destination, transfer.asset)
        found.setdefault((transfer.destination_id, codes.get(there, transfer.asset)), []).append(transfer)
    return found


def is_calm(transfers: Iterable[Ruled], observed_at: datetime) -> bool:
    """Whether none of these may have moved money around a reading of that moment."""
    return not any(
        one.state in IN_FLIGHT
        or one.contradicted
        or (one.state == State.SETTLED and one.changed_at > observed_at - CALM)
        or (one.ruled_at is not None and one.ruled_at > observed_at - CALM)
        for one in transfers
    )


@dataclass(frozen=True)
class Parts:
    """What explains a change: each transfer that counts with what it brought (positive) or took, and each of them
    whose fee counts with that fee (negative)."""

    moves: tuple[tuple[Ruled, Decimal], ...] = ()
    charges: tuple[tuple[Ruled, Decimal], ...] = ()

    @property
    def ours(self) -> Decimal:
        return sum((amount for _, amount in self.moves), Decimal(0))

    @property
    def fees(self) -> Decimal:
        return sum((amount for _, amount in self.charges), Decimal(0))


def ours(
    account: int,
    transfers: Iterable[Ruled],
    *,
    change: Decimal,
    since: datetime,
    sure_from: datetime | None = None,
    sure_until: datetime | None = None,
) -> Decimal:
    """What our transfers and their fees together explain of the change; see ``parts``."""
    found = parts(account, transfers, change=change, since=since, sure_from=sure_from, sure_until=sure_until)
    return found.ours + found.fees


def parts(
    account: int,
    transfers: Iterable[Ruled],
    *,
    change: Decimal,
    since: datetime,
    sure_from: datetime | None = None,
    sure_until: datetime | None = None,
) -> Parts:
    """What our transfers brought (positive) or took between a reading at ``since`` and a later one, whose totals differ
    by ``change``, and what they cost.

    What certainly moved in between counts. What may have moved before the first reading already (it began before
    ``sure_from``, which is ``since`` unless the caller knows less) counts if that leaves less of it unexplained; and so
    does what may have moved after the second (its end was noted later than ``sure_until``; None: that one was calm).
    Where the first reading was calm too, nothing that it shows ended within CALM before it, so that looking back by
    CALM finds nothing twice and misses nothing of a machine whose clock is behind.
    """
    sure: list[tuple[Ruled, Decimal]] = []
    straddling: list[tuple[Ruled, Decimal]] = []
    for one in transfers:
        if not _has_moved(one) or one.moved_by <= since - CALM:
            continue
        went = one.amount if one.destination_id == account else -one.amount
        in_time = sure_until is None or one.moved_by <= sure_until
        (sure if one.began > (sure_from or since) and in_time else straddling).append((one, went))
    left = change - sum((went for _, went in sure), Decimal(0))
    more, left = _helping(straddling, left)
    moves = [*sure, *more]
    # No document says whether a fee is taken on top of the amount. What pays back is no fee, and shows as a rest.
    charges, _ = _helping([(one, -_fee(one)) for one, went in moves if went < 0], left)
    return Parts(tuple(moves), tuple(charges))


def _helping(candidates: Iterable[tuple[Ruled, Decimal]], left: Decimal) -> tuple[list[tuple[Ruled, Decimal]], Decimal]:
    """Those that leave less unexplained, one after the other, and what is left then."""
    found = []
    for one, went in candidates:
        if abs(left - went) < abs(left):
            found.append((one, went))
            left -= went
    return found, left


def _fee(one: Ruled) -> Decimal:
    return max(one.fee or Decimal(0), Decimal(0))


def _has_moved(one: Ruled) -> bool:
    return one.state == State.SETTLED if one.ruled is None else one.ruled


def _key(held: Balance) -> Key:
    return held.account_id, held.asset


def _is_later(held: Balance, marks: Mapping[Key, Mark]) -> bool:
    mark = marks.get(_key(held))
    return mark is None or held.observed_at > mark.at


def _since(held: Balance, marks: Mapping[Key, Mark]) -> datetime:
    mark = marks.get(_key(held))
    first: datetime = held.observed_at if mark is None else mark.at
    return first - CALM


def _reckoned(held: Balance, mark: Mark, near: Iterable[Ruled]) -> Reckoned:
    found = parts(held.account_id, near, change=held.total - mark.total, since=mark.at)
    return Reckoned(
        account=held.account,
        asset=held.asset,
        since=mark.at,
        at=held.observed_at,
        before=mark.total,
        after=held.total,
        ours=found.ours,
        fees=found.fees,
    )


def _keep(found: Iterable[Reckoned], *, tripped: bool) -> list[Movement]:
    return Movement.objects.bulk_create(
        Movement(
            account=one.account,
            asset=one.asset,
            since=one.since,
            at=one.at,
            before=one.before,
            after=one.after,
            ours=one.ours,
            fees=one.fees,
            rest=one.rest,
            tripped=tripped,
        )
        for one in found
    )


def _set_marks(held: Iterable[Balance]) -> None:
    Mark.objects.bulk_create(
        [Mark(account_id=one.account_id, asset=one.asset, total=one.total, at=one.observed_at) for one in held],
        update_conflicts=True,
        unique_fields=["account", "asset"],
        update_fields=["total", "at"],
    )
