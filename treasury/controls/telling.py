"""Whom the controls tell: operators of a stop, those who may decide of a proposal, auditors too of a broken log."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from treasury.controls.roles import AUDITORS, OPERATORS, people
from treasury.models import Change, StopOrder, Transfer
from treasury.notices.outbox import beside, tell


def stopped(order: StopOrder, *, at: datetime) -> None:
    """All operators, whoever stopped it: one of them may not have been asked."""
    with beside(f"stop order {order.pk}"):
        tell(
            kind="stop.order",
            subject=f"stop:{order.pk}",
            title="Sending was stopped",
            text="Nothing is sent where the stop order stands. The page says what it covers, why, and by whom.",
            path="/stops/",
            to=people(OPERATORS),
            at=at,
            once=f"stop:{order.pk}",
        )


def proposed(change: Change, *, decide: Iterable[str], at: datetime) -> None:
    """Whoever may decide on it: neither its proposer nor the maker of the transfer that it is about."""
    with beside(f"proposed change {change.pk}"):
        makers = Transfer.objects.filter(reference=change.subject.removeprefix("transfer:")).values("maker")
        tell(
            kind="change.propose",
            subject=f"change:{change.pk}",
            title="A proposed change waits for your decision",
            text="Nothing is changed yet. A proposed change waits for your decision.",
            path="/changes/",
            to=people(*decide).exclude(pk=change.proposed_by_id).exclude(pk__in=makers),
            at=at,
            once=f"change:{change.pk}",
        )


def broken(*, at: datetime) -> None:
    """Operators and auditors, once a day while it is so."""
    tell(
        kind="log.broken",
        subject="log:chain",
        title="The log no longer fits its chain",
        text="The log no longer fits its chain: an entry was changed, added or taken out. The log's page says where.",
        path="/audit/",
        to=people(OPERATORS, AUDITORS),
        at=at,
        once=f"log:chain:{at:%Y-%m-%d}",
    )
