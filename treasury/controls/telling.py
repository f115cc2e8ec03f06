"""Whom the controls tell: operators of a stop, those who may decide of a proposal, auditors too of a broken log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

from treasury.controls.roles import AUDITORS, OPERATORS, people
from treasury.models import Change, Scope, StopOrder, Transfer, User
from treasury.notices.outbox import beside, tell

ONE_OF: Mapping[str, str] = {  # which one it is stays on the page
    Scope.EVERYTHING: "everything",
    Scope.VENUE: "one venue",
    Scope.CONNECTION: "one connection",
    Scope.ASSET: "one asset",
    Scope.ACCOUNT: "one account",
}


class Asked(NamedTuple):
    """A proposal's title and text, with the reference, where it is about a transfer, in place of {}."""

    title: str
    text: str


ASKS: Mapping[str, Asked] = {
    "stop.release": Asked(
        "The release of a stop waits for you",
        "Nothing is sent where the stop stands. A colleague says that it may end; you confirm or decline.",
    ),
    "transfer.resolve": Asked(
        "{}: whether it moved waits for you",
        "It is not known whether {} moved. A colleague says how it ended; you confirm or decline.",
    ),
    "contradiction.close": Asked(
        "{}: what is true waits for you",
        "It may have moved. The evidence about {} contradicts itself, and a colleague says what is true; you confirm "
        "or decline.",
    ),
    "transfer.confirm": Asked(
        "{}: what was done by hand waits for you",
        "It may have moved. A colleague says whether {} was done by hand; you look at the evidence, and confirm or "
        "decline.",
    ),
    "connection.connect": Asked(
        "A new connection waits for you",
        "Nothing is changed yet. A colleague proposes to connect a venue; you look at whose login it is, and confirm "
        "or decline.",
    ),
    "account.set_up": Asked(
        "The set-up of accounts waits for you",
        "Nothing is changed yet. A colleague proposes how accounts are set up; you confirm or decline.",
    ),
    "balance.state": Asked(
        "A stated balance waits for you",
        "Nothing is changed yet. A colleague states what an account holds that nobody can read; you look at the "
        "evidence, and confirm or decline.",
    ),
    "bands.set": Asked(
        "New bands wait for you",
        "Nothing is changed yet. A colleague proposes how much accounts should hold; you confirm or decline.",
    ),
    "credentials.replace": Asked(
        "New credentials wait for you",
        "Nothing is changed yet. A colleague proposes new credentials for a connection; you look at whose they are, "
        "and confirm or decline.",
    ),
    "policy.set": Asked(
        "A new version of the policy waits for you",
        "Nothing is changed yet. A colleague proposes who must approve what from now on; you confirm or decline.",
    ),
    "house.set": Asked(
        "A setting of the house waits for you",
        "Nothing is changed yet. A colleague proposes another setting; you confirm or decline.",
    ),
    "user.enrol": Asked(
        "A new person waits for you",
        "Nothing is changed yet. A colleague proposes that somebody may sign in; you confirm or decline.",
    ),
    "user.change": Asked(
        "What is known of a person waits for you",
        "Nothing is changed yet. A colleague proposes to change it; you confirm or decline.",
    ),
    "user.reset": Asked(
        "A lost factor waits for you",
        "Nothing is changed yet. Somebody lost what they prove themselves by; make sure who they are, and confirm or "
        "decline.",
    ),
    "membership.set": Asked(
        "New roles wait for you",
        "Nothing is changed yet. A colleague proposes who holds which role; you confirm or decline.",
    ),
}


def stopped(order: StopOrder, *, at: datetime) -> None:
    """All operators, whoever stopped it: one of them may not have been asked."""
    with beside(f"stop order {order.pk}"):
        tell(
            kind="stop.order",
            subject=f"stop:{order.pk}",
            title=f"Sending was stopped: {ONE_OF[order.scope]}",
            text=_still(order),
            path="/stops/",
            to=people(OPERATORS),
            at=at,
            once=f"stop:{order.pk}",
        )


def _still(order: StopOrder) -> str:
    if order.scope == Scope.EVERYTHING:
        return "Nothing is sent: everything is stopped. The page says why, and by whom."
    return f"Nothing of it is sent: {ONE_OF[order.scope]} is stopped. The page says which, why, and by whom."


def released(order: StopOrder, *, at: datetime) -> None:
    """All operators: what was held goes on."""
    with beside(f"release of stop order {order.pk}"):
        tell(
            kind="stop.release",
            subject=f"stop:{order.pk}",
            title=f"A stop was released: {ONE_OF[order.scope]}",
            text="Sending goes on. Two people released the stop; what it held is sent next unless another stop stands.",
            path="/stops/",
            to=people(OPERATORS),
            at=at,
            once=f"stop.release:{order.pk}",
        )


def unreviewed(order: StopOrder, *, at: datetime, once: str) -> None:
    """Operators and auditors: one person stopped it, and no second one has said since whether it must stay."""
    tell(
        kind="stop.review",
        subject=f"stop:{order.pk}",
        title=f"A stop stands, and nobody else has looked at it: {ONE_OF[order.scope]}",
        text="Nothing is sent where it stands. Look at it: propose its release, or decline one and say why it stays.",
        path="/stops/",
        to=people(OPERATORS, AUDITORS),
        at=at,
        once=f"stop.review:{order.pk}:{once}",
    )


def proposed(change: Change, *, by: User, decide: Iterable[str], at: datetime) -> None:
    """Whoever may decide on it: neither its proposer nor the maker of the transfer that it is about."""
    with beside(f"proposed change {change.pk}"):
        reference = change.subject.removeprefix("transfer:")
        makers = Transfer.objects.filter(reference=reference).values("maker")
        asked = ASKS[change.kind]
        tell(
            kind="change.propose",
            subject=f"change:{change.pk}",
            title=asked.title.format(reference),
            text=asked.text.format(reference),
            path="/changes/",
            to=people(*decide).exclude(person=by.person).exclude(pk__in=makers),
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
