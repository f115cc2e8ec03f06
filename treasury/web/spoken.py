"""What the changes of a page speak of, read beforehand: a long list takes no more queries than a short one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Prefetch, Q, prefetch_related_objects

from treasury.balances import typed as balances
from treasury.controls import bands, connections, credentials, first_looks, house, policy, stops
from treasury.models import (
    Account,
    Attachment,
    Change,
    Connection,
    Contradiction,
    Policy,
    State,
    StopOrder,
    Transfer,
)
from treasury.rebalancing import feasible
from treasury.transfers import by_hand, contradictions, dependents
from treasury.web import differences, formers, holding, people_proposals, sides
from treasury.web.holding import Held
from treasury.web.sides import Side

WAITING = Q(transfers__state__in=(State.SUBMITTED, State.APPROVED))


@dataclass(frozen=True)
class Now:
    """The connection as it stands, and how many transfers over it wait to be decided on or sent."""

    connection: Connection
    waiting: int


@dataclass(frozen=True)
class Spoken:
    """What the changes of a page speak of, asked for at once: a long list takes no more queries than a short one."""

    transfers: Mapping[str, Transfer]
    orders: Mapping[int, StopOrder]
    closed: frozenset[int]
    accounts: Mapping[tuple[str, str], Account]
    were: Mapping[int, Mapping[str, Any]]  # of a set-up that was applied: each account as it was before
    stated: Mapping[int, formers.Former]  # of a balance that is stated, or was: what was known before
    held: Mapping[int, Held]
    sides: Mapping[int, list[Side]]
    foretold: Mapping[int, list[str]]  # of bands that are proposed: why a group could not be met with them
    replaced: Mapping[int, Now]  # of other credentials that wait: the connection as it stands
    people: Mapping[int, people_proposals.Said]  # of proposals about people: all that is said of them
    elsewhere: Mapping[int, list[str]]  # of what was done by hand: which of its files are evidence of other transfers
    texts: Mapping[int, str]  # of the policy: the versions that these changes take the place of, by their numbers
    touches: Mapping[int, list[str]]  # of the policy and settings: what else each one that waits would change

    def transfer(self, change: Change) -> Transfer | None:
        return self.transfers.get(transfer_reference(change))

    def order(self, change: Change) -> StopOrder | None:
        return self.orders.get(change.words.get("stop", 0))


def transfer_reference(change: Change) -> str:
    noun, _, reference = change.subject.partition(":")
    return reference if noun == "transfer" else ""


def spoken_of(rows: Sequence[Change], at: datetime) -> Spoken:
    """As many queries for many as for one. Of files all but their content is read."""
    prefetch_related_objects(rows, Prefetch("attachments", Attachment.objects.defer("content")))
    prefetch_related_objects([one for one in rows if one.kind in first_looks.KINDS], "first_looks")
    references = {reference for one in rows if (reference := transfer_reference(one))}
    orders = stops.named(StopOrder.objects.select_related("connection", "account__connection"))
    against = [one.words["contradiction"] for one in rows if one.kind == contradictions.CLOSE and one.is_open]
    closed = Contradiction.objects.filter(pk__in=against).exclude(closed_at=None)
    transfers = transfers_of(references)
    released = orders.in_bulk([one.words["stop"] for one in rows if one.kind == stops.RELEASE])
    to_release = {one.words["stop"] for one in rows if one.kind == stops.RELEASE and one.is_open}
    about = {one.pk: moved for one in rows if (moved := transfers.get(transfer_reference(one)))}
    said = {one.pk: about.pop(one.pk) for one in rows if one.kind == by_hand.DONE and one.pk in about}
    moves = {one.pk: said[one.pk] for one in rows if one.is_open and one.pk in said}
    return Spoken(
        transfers=transfers,
        orders=released,
        closed=frozenset(closed.values_list("pk", flat=True)),
        accounts=accounts_of([one for one in rows if one.kind in (connections.SET_UP, balances.STATE)]),
        were=formers.were_of([one for one in rows if one.kind == connections.SET_UP and not one.is_open]),
        stated=formers.of_balances([one for one in rows if one.kind == balances.STATE]),
        held=holding.by([order for order in released.values() if order.pk in to_release]),
        sides={**sides.of_changes(rows, about, at), **sides.of_moves_by_hand(moves)},
        foretold=foretold_of([one for one in rows if one.kind == bands.SET and one.is_open]),
        replaced=now_of(rows),
        people=people_proposals.said_of(rows, at),
        elsewhere=elsewhere_of([one for one in rows if one.kind == by_hand.DONE]),
        texts=texts_of(rows),
        touches=dependents.of_each([one for one in rows if one.kind in (policy.SET, house.SET)], at),
    )


def elsewhere_of(rows: Sequence[Change]) -> dict[int, list[str]]:
    """What is to be said of files that were handed in for another transfer too, by the change's number."""
    files = {file["sha256"] for one in rows for file in one.words.get("files", [])}
    if not files:
        return {}
    used: dict[str, set[str]] = {}
    others = Attachment.objects.filter(sha256__in=files, change__subject__startswith="transfer:").order_by()
    for sha256, subject in others.values_list("sha256", "change__subject"):
        used.setdefault(sha256, set()).add(subject)
    return {one.pk: handed_in_twice(one, used) for one in rows}


def handed_in_twice(change: Change, used: Mapping[str, set[str]]) -> list[str]:
    found = []
    for file in change.words.get("files", []):
        others = sorted(one.removeprefix("transfer:") for one in used.get(file["sha256"], set()) - {change.subject})
        if others:
            found.append(f"Look twice: the same file, {file['name']}, is evidence of {', '.join(others)} as well.")
    return found


def foretold_of(rows: Sequence[Change]) -> dict[int, list[str]]:
    """What is to be said of groups that bands which wait would make, by the change's number."""
    wanted = [differences.limits_of(one.words["bands"]) for one in rows]
    found = feasible.outlooks_of_each(wanted)
    return {one.pk: differences.foretold(each) for one, each in zip(rows, found, strict=True)}


def transfers_of(references: set[str]) -> dict[str, Transfer]:
    """With all that their pages name: the maker, the connection, and both accounts with theirs."""
    named = Transfer.objects.select_related("maker", "connection", "source__connection", "destination__connection")
    return named.in_bulk(references, field_name="reference")


def accounts_of(rows: Sequence[Change]) -> dict[tuple[str, str], Account]:
    """The accounts of the connections that these changes are about, by the change's subject and the address."""
    names = [one.subject.removeprefix("connection:") for one in rows]
    accounts = Account.objects.filter(connection__name__in=names).select_related("connection")
    return {(one.connection.subject, one.address): one for one in accounts}


def now_of(rows: Sequence[Change]) -> dict[int, Now]:
    """By the change's number, in one query for all that wait."""
    waiting = [one for one in rows if one.kind == credentials.REPLACE and one.is_open]
    if not waiting:
        return {}
    named = Connection.objects.filter(name__in=[one.words["name"] for one in waiting])
    found = {one.name: one for one in named.annotate(on_their_way=Count("transfers", filter=WAITING))}
    return {
        one.pk: Now(found[name], found[name].on_their_way) for one in waiting if (name := one.words["name"]) in found
    }


def texts_of(rows: Iterable[Change]) -> dict[int, str]:
    """The versions that these changes take the place of, by the version's number."""
    numbers = {one.words["before"] for one in rows if one.kind == policy.SET and "before" in one.words}
    return dict(Policy.objects.filter(number__in=numbers).values_list("number", "text")) if numbers else {}
