"""Match: each transfer that moved beside what the venue itself says of it.

By the venue's *record*, where it keeps one: a look-up answered DONE, which a connector says only of a record that has
this transfer's asset, amount and accounts. A transfer that the venue's first answer settled has not been looked up
yet, so the venue is asked once more for its record, with growing pauses until it shows.

By both *balances*, where the venue keeps no record of such a move, or never shows one: what source and destination
held when it was sent, and by the first complete reading after it had settled, less what our other transfers moved in
between.

Otherwise nothing matches it, and the difference says why in words. What does not match is compared again for a week;
and where people state what an account holds, whenever they have stated it anew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import Count, Exists, OuterRef, Q, QuerySet

from connectors.core.protocol import State as Found
from treasury import venues
from treasury.audit.record import Machine
from treasury.balances import movements
from treasury.balances.holdings import balance_of, code_at
from treasury.balances.moved import moved, with_ruling
from treasury.models import (
    Account,
    Attempt,
    Basis,
    Connection,
    Contradiction,
    LookUp,
    Match,
    Resolution,
    Snapshot,
    State,
    Transfer,
)
from treasury.models.amount import plain, signed
from treasury.pace import paced
from treasury.transfers import lifecycle, settle, telling
from treasury.transfers.evidence import Reading, reading

if TYPE_CHECKING:
    from treasury.balances.moved import Ruled

MATCHER = Machine("match")
COMPARED_FOR = paced(timedelta(days=7))
ASKED_AFTER = paced(timedelta(seconds=2))  # a record may show late; the first question comes so long after the end
ASKED_AGAIN_MOST = paced(timedelta(hours=6))
WAITED_FOR = paced(timedelta(minutes=10))  # so long nothing is said of a transfer whose readings have not come yet
COMPARED_AGAIN = paced(timedelta(minutes=1))
AT_ONCE = 20  # transfers of a connection in one tick,
TURN_MOST = timedelta(seconds=15)  # and none is begun after so long


@dataclass(frozen=True)
class Finding:
    """What a comparison says. ``difference`` is empty exactly when it agrees."""

    basis: Basis
    difference: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def agrees(self) -> bool:
        return not self.difference


def due(connection: Connection, at: datetime) -> list[Transfer]:
    """What is to be compared now, the newest first; then what did not match, the longest untouched first."""
    fresh = not_compared().filter(connection=connection).order_by("-changed_at")[:AT_ONCE]
    differing = due_again(at).filter(connection=connection).order_by("match__at")[:AT_ONCE]
    return [*fresh, *differing]


def waiting(at: datetime) -> QuerySet[Transfer]:
    """Everything that a tick should look at, over all connections."""
    return Transfer.objects.filter(pk__in=not_compared().values("pk").union(due_again(at).values("pk")))


def not_compared() -> QuerySet[Ruled]:
    """What moved and of which nothing has been said yet; found by its marker, however much has been compared."""
    settled = Transfer.objects.order_by().filter(state=State.SETTLED, compared=False)
    corrected = Contradiction.objects.order_by().filter(moved=True, transfer__compared=False)
    return _moved_of(settled.values("pk").union(corrected.values("transfer"))).order_by()


def due_again(at: datetime) -> QuerySet[Ruled]:
    """What did not match and is compared again; a comparison is no older than the end of what it compares."""
    differing = Match.objects.order_by().filter(agrees=False, at__lte=at - COMPARED_AGAIN)
    lately = differing.filter(at__gt=at - COMPARED_FOR, transfer__changed_at__gt=at - COMPARED_FOR)
    anew = differing.filter(basis=Basis.NOTHING).filter(stated_since("source") | stated_since("destination"))
    return _moved_of(lately.values("transfer").union(anew.values("transfer"))).order_by()


def stated_since(side: str) -> Q:
    """Of matches: whether people have stated since then what the account on that side holds."""
    connection = OuterRef(f"transfer__{side}__connection")
    later = Snapshot.objects.filter(connection=connection, at__gte=OuterRef("at")).order_by()
    return Q(Exists(later), **{f"transfer__{side}__connection__by_hand": True})


def _moved_of(keys: QuerySet[Any, Any]) -> QuerySet[Ruled]:
    """Those of a few that moved: whether one did is asked of each, and of no other row."""
    return moved(Transfer.objects.filter(pk__in=keys))


@dataclass(frozen=True)
class Counts:
    """How many of the transfers that moved match what."""

    record: int
    balances: int
    differing: int
    waiting: int


def counts() -> Counts:
    """Counted by the index alone, less the few that two people found not to have moved after they were compared."""
    found = by_what(Match.objects.all())
    found.subtract(by_what(Match.objects.filter(transfer__in=overruled())))
    return Counts(
        record=found[True, Basis.RECORD],
        balances=found[True, Basis.BALANCES],
        differing=sum(found[False, basis] for basis in Basis),
        waiting=not_compared().count(),
    )


def by_what(matches: QuerySet[Match]) -> Counter[tuple[bool, str]]:
    """How many agree, or do not, by which basis."""
    rows = matches.order_by().values_list("agrees", "basis").annotate(count=Count("*"))
    return Counter({(agrees, basis): count for agrees, basis, count in rows})


def overruled() -> QuerySet[Any, Any]:
    """What two people found not to have moved: their last word counts."""
    said = Contradiction.objects.order_by().filter(moved=False)
    return with_ruling(Transfer.objects.filter(pk__in=said.values("transfer"))).filter(ruled=False).values("pk")


def not_matching() -> QuerySet[Match]:
    """What was compared and does not fit, the newest first; what two people found not to have moved is left out."""
    return Match.objects.filter(agrees=False).exclude(transfer__in=overruled()).order_by("-id")


def match(*, reference: str, now: Callable[[], datetime]) -> Match | None:
    """Compare one transfer that moved; None while there is nothing to say yet. Outside any transaction."""
    sides = ("connection", "source__connection", "destination__connection")
    one = moved(Transfer.objects.select_related(*sides)).filter(reference=reference).first()
    if one is None:
        return None
    if by_record(one) is None and may_ask(one, now()):
        settle.look_back(reference=reference, now=now)
    at = now()
    found = finding(one, at)
    return None if found is None else _keep(reference, found, at)


def finding(transfer: Ruled, at: datetime) -> Finding | None:
    """The strongest thing that can be said: a record, both balances, or why neither; None while it is too early."""
    record = by_record(transfer)
    if record is not None:
        return record
    too_early = at - transfer.changed_at <= WAITED_FOR
    if not is_left_to_balances(transfer, at):
        return None if too_early else nothing(f"{title(transfer)}'s records have not shown it")
    balances = by_balances(transfer)
    if balances is not None and balances.agrees:
        return balances
    if balances is None and too_early:  # a complete and calm reading is still to come
        return None
    if Resolution.objects.filter(transfer=transfer).exists():
        words = "it rests on the word of two people: no record shows it, and the balances do not tell"
        return nothing(words, balances.difference if balances else "")
    if balances is None:
        return nothing("there is no complete reading of both accounts with nothing else of ours on its way")
    return balances


# -- the venue's record --------------------------------------------------------------------------------------


def by_record(transfer: Transfer) -> Finding | None:
    """What the newest record says that a look-up found; None where none ever did."""
    found = transfer.look_ups.filter(found=True).order_by("-at", "-id").first()
    if found is None:
        return None
    facts = {"look_up": found.pk, "record": found.record or "", "asked": found.at.isoformat()}
    if found.state == Found.DONE.value:  # the connector compared asset, amount and both accounts
        return Finding(Basis.RECORD, facts=facts)
    said = {
        Found.FAILED.value: "says that it failed",
        Found.PENDING.value: "says that it is still on its way",
    }.get(found.state, "has other words than were approved, or a status that nobody knows")
    return Finding(Basis.RECORD, f"{title(transfer)}'s record {said}", facts)


def may_ask(transfer: Ruled, at: datetime) -> bool:
    """Whether the venue is asked for its record now. What two people resolved, settle keeps asking about itself."""
    if at - transfer.changed_at > COMPARED_FOR or not venues.is_searchable(transfer):
        return False
    if transfer.state != State.SETTLED or Resolution.objects.filter(transfer=transfer).exists():
        return False
    if venues.why_wait(transfer.connection, "look_up", at) is not None:
        return False
    asked = asked_since(transfer)
    last = asked.order_by("at").last()
    pause = min(ASKED_AFTER * (1 << min(asked.count(), 20)), ASKED_AGAIN_MOST)
    return bool(at - (last.at if last else transfer.changed_at) >= pause)


def asked_since(transfer: Transfer) -> QuerySet[LookUp]:
    """The questions that were put after it had ended."""
    return transfer.look_ups.filter(at__gte=transfer.changed_at)


def is_left_to_balances(transfer: Ruled, at: datetime) -> bool:
    """Whether no record will ever show it, or several complete searches have shown none although there was time."""
    if not venues.is_searchable(transfer) or transfer.state != State.SETTLED:
        return True
    if Resolution.objects.filter(transfer=transfer).exists():
        return True
    empty = asked_since(transfer).filter(found=False).exclude(state="ERROR").count()
    return empty >= settle.EMPTY_LOOK_UPS and at - transfer.changed_at > WAITED_FOR


# -- both balances -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Side:
    """One account's change beside the one that was expected."""

    account: Account
    asset: str
    expected: Decimal
    changed: Decimal

    @property
    def words(self) -> str:
        return f"{self.account}: expected {signed(self.expected)} {self.asset}, changed by {signed(self.changed)}"


def by_balances(transfer: Ruled) -> Finding | None:
    """What both accounts say; None while a complete and calm reading of both after its end is missing."""
    attempt = sending_attempt(transfer)
    if attempt is None:
        return None
    moves = {"source": (transfer.source, -transfer.amount), "destination": (transfer.destination, transfer.amount)}
    sides: list[Side] = []
    facts: dict[str, Any] = {"attempt": attempt.number}
    for name, (account, expected) in moves.items():
        changed = change_of(account, transfer, attempt, reading(attempt.before, name))
        if changed is None:
            return None
        sides.append(Side(account, code_at(account, transfer.asset), expected, changed))
        facts[name] = {"expected": plain(expected), "changed": plain(changed)}
    differing = [side.words for side in sides if side.changed != side.expected]
    return Finding(Basis.BALANCES, "; ".join(differing), facts)


def sending_attempt(transfer: Transfer) -> Attempt | None:
    """The first call that may have moved it, or after which people could: what was held before that one was held
    before any."""
    if transfer.connection.by_hand and (asked := transfer.attempts.asked_of_people().order_by("number").first()):
        return asked
    return transfer.attempts.may_have_moved().order_by("number").first()


def change_of(account: Account, transfer: Ruled, attempt: Attempt, before: Reading | None) -> Decimal | None:
    """How the account changed between the two readings, our other transfers taken off; None where it is not known."""
    asset = code_at(account, transfer.asset)
    after = balance_of(account, asset)
    if before is None or before.total is None or after is None or after.total is None:
        return None
    if after.observed_at <= transfer.moved_by + movements.CALM:
        return None
    near = movements.near_transfers(account.connection, since=before.at - movements.CALM)
    others = [one for one in near.get((account.pk, asset), ()) if one.pk != transfer.pk]
    if not movements.is_calm(others, after.observed_at):
        return None
    change: Decimal = after.total - before.total
    own = transfer.amount if account.pk == transfer.destination_id else -transfer.amount
    # The first reading was not chosen for its calm: what began before this claim may or may not be in it.
    return change - movements.ours(
        account.pk, others, change=change - own, since=before.at, sure_from=attempt.claimed_at
    )


# -- what is kept --------------------------------------------------------------------------------------------


def nothing(why: str, detail: str = "") -> Finding:
    return Finding(Basis.NOTHING, f"{why} ({detail})" if detail else why, {"why": why})


def title(transfer: Transfer) -> str:
    return venues.declared(transfer.connection.venue).title


def _keep(reference: str, found: Finding, at: datetime) -> Match:
    """Write it down; in the log only when it is new or says something else than before."""
    with transaction.atomic(durable=True):
        transfer = lifecycle.locked(reference)
        kept = Match.objects.filter(transfer=transfer).first()
        if kept is not None and not is_news(kept, found):
            kept.at = at
            kept.save(update_fields=["at"])
            return kept
        said = {
            "basis": found.basis,
            "agrees": found.agrees,
            "difference": found.difference,
            "facts": found.facts,
            "at": at,
        }
        kept, _ = Match.objects.update_or_create(transfer=transfer, defaults=said)
        Transfer.objects.filter(pk=transfer.pk, compared=False).update(compared=True)
        facts = {"basis": str(found.basis), "agrees": found.agrees, "difference": found.difference, **found.facts}
        lifecycle.entry(transfer, by=MATCHER, at=at, action="transfer.match", facts=facts)
        if transfer.connection.by_hand and not found.agrees:
            telling.mismatch(transfer, at=at)
        return kept


def is_news(kept: Match, found: Finding) -> bool:
    """A comparison of balances that did not fit stays as the first reading said it: later ones show later changes."""
    if (kept.basis, kept.agrees) != (found.basis, found.agrees):
        return not kept.agrees  # what agreed once is not undone by what other people moved later
    if found.basis == Basis.RECORD:
        return bool(kept.difference != found.difference)
    return bool(kept.facts.get("why") != found.facts.get("why"))
