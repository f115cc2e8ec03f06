"""Whom a step of a transfer's life is told: those who must act next, and its maker when it is decided or over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

from django.db.models import QuerySet

from treasury.audit.record import Actor
from treasury.controls import stops
from treasury.controls.roles import CHECKERS, MAKERS, OPERATORS, people
from treasury.models import Contradiction, State, Transfer, User, Withdrawal
from treasury.notices.outbox import beside, tell

# What is said instead of "Nothing moved" of what may have been sent in the time that a restore has lost.
CANNOT_KNOW = "Whether it moved before, this database cannot know"
# Of what ends without having been sent again, after two people found that it had moved.
MOVED_ALREADY = "It moved already, as two people found"


class Words(NamedTuple):
    """``title`` and ``text`` with the reference in place of {}; what happened to the money comes first."""

    kind: str
    title: str
    text: str


ASKS: Mapping[tuple[State, State], Words] = {
    (State.DRAFT, State.SUBMITTED): Words(
        "transfer.submit", "{} waits for your decision", "Nothing moved yet. {} waits for your decision."
    ),
    (State.APPROVED, State.SUBMITTED): Words(
        "transfer.send_back",
        "{} was sent back and waits for your decision",
        "Not sent. Nothing moved. {} was sent back and waits for your decision; the page shows what changed.",
    ),
}
WITHDRAWN = Words(
    "transfer.withdraw",
    "{}: an approval was withdrawn",
    "Nothing moved. Of {} an approval was withdrawn; it waits for others, and the page says who withdrew it.",
)
TELLS: Mapping[State, Words] = {
    State.APPROVED: Words(
        "transfer.approve", "{} was approved", "Nothing moved yet. {} was approved and is sent next."
    ),
    State.REJECTED: Words("transfer.reject", "{} was rejected", "Nothing moved. {} was rejected; the page says why."),
    State.SETTLED: Words("transfer.settle", "{} is settled", "It moved. {} is settled."),
    State.FAILED: Words("transfer.fail", "{} failed", "Nothing moved. {} failed; the page says why."),
    State.EXPIRED: Words("transfer.expire", "{} expired", "Nothing moved. {} expired; you may draft it again."),
    State.CANCELLED: Words("transfer.cancel", "{} was cancelled", "Nothing moved. {} was cancelled by someone else."),
}

FORGOTTEN = f"{CANNOT_KNOW}: it was restored since. The page of {{}} says more; look at the venue before anything else."
STOPPED = Words(
    "transfer.approve",
    "{} was approved and is held by a stop order",
    "Nothing moved yet. {} was approved and is held by a stop order; it is not sent before two people release that.",
)
TO_DO = Words(
    "transfer.confirm",
    "{} is to be done by hand",
    "Nothing moved yet. {} is approved: somebody moves it at the venues' own screens and then says so on its page.",
)
MISMATCH = Words(
    "transfer.match",
    "{}: the balances do not show it",
    "It was said to have moved. {} is settled by the word of two people, and the balances do not show it; look at both "
    "venues.",
)
RESOLVED: Mapping[State, Words] = {
    State.SETTLED: Words(
        "transfer.settle",
        "{} is settled by two people's word",
        "It moved, as two people say by what the venue shows. {} is settled; the page says who and why.",
    ),
    State.FAILED: Words(
        "transfer.fail",
        "{} failed by two people's word",
        "Nothing moved, as two people say by what the venue shows. {} failed; the page says who and why.",
    ),
}


def step(transfer: Transfer, *, before: State, to: State, by: Actor, at: datetime) -> None:
    """Tell of a step just taken, in its transaction. Never raises for a defect of its own: the step stands."""
    if words := ASKS.get((before, to)):
        with beside(transfer.reference):
            words = words._replace(text=FORGOTTEN) if CANNOT_KNOW in transfer.outcome else words
            about(transfer, words, to=deciders(transfer), at=at, once=str(transfer.round))
    elif to == State.CONFIRMING and transfer.connection.by_hand:
        with beside(transfer.reference):
            doers = people(MAKERS, OPERATORS)
            about(transfer, TO_DO, to=doers, at=at, once=str(transfer.round))
    elif to in TELLS and _concerns_maker(transfer, before, to, by):
        with beside(transfer.reference):
            about(transfer, _words(transfer, to, by), to=[transfer.maker], at=at, once=str(transfer.round))


def _words(transfer: Transfer, to: State, by: Actor) -> Words:
    """What is so now: a stop may stand in its way, and people may have said what no venue did."""
    if to == State.APPROVED and stops.standing_for(transfer):
        return STOPPED
    if isinstance(by, User) and to in RESOLVED:
        return RESOLVED[to]
    if transfer.outcome.startswith(MOVED_ALREADY):
        return TELLS[to]._replace(text=f"{MOVED_ALREADY}. {{}} is not sent again; the page says more.")
    return TELLS[to]._replace(text=FORGOTTEN) if CANNOT_KNOW in transfer.outcome else TELLS[to]


def _concerns_maker(transfer: Transfer, before: State, to: State, by: Actor) -> bool:
    if to == State.APPROVED:  # a decision, and not a send that is tried again
        return before == State.SUBMITTED
    return not (to == State.CANCELLED and isinstance(by, User) and by.pk == transfer.maker_id)


def deciders(transfer: Transfer) -> QuerySet[User]:
    """Who can decide in this round and has not: checkers who are in a demanded group, and never the maker."""
    groups = transfer.demands.filter(round=transfer.round).values_list("group", flat=True)
    decided = transfer.decisions.filter(round=transfer.round, withdrawal=None).values("by__person")
    able = people(*groups).filter(pk__in=people(CHECKERS))
    return able.exclude(person=transfer.maker.person).exclude(person__in=decided)


def withdrawn(transfer: Transfer, withdrawal: Withdrawal) -> None:
    """Tell its maker that one approval less counts, and whoever can decide that theirs is needed."""
    with beside(transfer.reference):
        others = deciders(transfer).exclude(person=withdrawal.decision.by.person)
        about(transfer, WITHDRAWN, to=[transfer.maker, *others], at=withdrawal.at, once=str(withdrawal.pk))


def contradiction(contradiction: Contradiction, *, at: datetime) -> None:
    """Tell operators of one just opened, in its transaction."""
    words = Words(
        "contradiction.open",
        "{}: evidence contradicts how it stands",
        "It may have moved. Evidence contradicts how {} stands; two people must say what is true.",
    )
    with beside(f"contradiction {contradiction.pk}"):
        about(contradiction.transfer, words, to=people(OPERATORS), at=at, once=str(contradiction.pk))


def mismatch(transfer: Transfer, *, at: datetime) -> None:
    """Tell operators and checkers once that what people say they moved by hand is not in the balances."""
    with beside(transfer.reference):
        about(transfer, MISMATCH, to=people(OPERATORS, CHECKERS), at=at, once="")


def about(transfer: Transfer, words: Words, *, to: Iterable[User], at: datetime, once: str) -> None:
    """One message about a transfer; ``once`` tells its happenings of one kind apart."""
    tell(
        kind=words.kind,
        subject=transfer.subject,
        title=words.title.format(transfer.reference),
        text=words.text.format(transfer.reference),
        path=f"/transfers/{transfer.reference}/",
        to=to,
        at=at,
        once=f"{words.kind}:{transfer.reference}:{once}",
    )
