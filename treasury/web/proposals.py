"""How a proposed change of any kind is shown: what it would do in words, and what this person may do about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from django.urls import reverse

from treasury import venues
from treasury.controls import changes, connections, stops
from treasury.models import Attachment, Change, Connection, Contradiction, FirstLook, StopOrder, Transfer, User
from treasury.transfers import contradictions, resolve
from treasury.web.looks import account_change


@dataclass(frozen=True)
class Proposal:
    """``steps`` is the address below which it is confirmed, declined or withdrawn, ``target`` the id of the part of
    the page that the answer replaces. ``typed`` is what must be typed to confirm it; empty where nothing must."""

    change: Change
    title: str
    about: str
    address: str
    sentences: list[str]
    table: list[tuple[str, str]]
    attachments: list[Attachment]
    look: FirstLook | None
    awaits_look: bool
    why_not: str
    overtaken: str
    may_withdraw: bool
    typed: str
    button: str
    steps: str
    target: str


@dataclass(frozen=True)
class Kind:
    """What one kind of change is called, what it would do, and what its button says."""

    title: str
    sentences: Callable[[Change], list[str]]
    button: Callable[[Change], str]
    typed: bool = False


def of(change: Change, person: User, at: datetime, *, steps: str = "/changes/", target: str = "changes") -> Proposal:
    kind = KINDS.get(change.kind)
    look = connections.newest_look(change) if change.kind == connections.CONNECT else None
    return Proposal(
        change=change,
        title=kind.title if kind else change.kind,
        about=about(change),
        address=address_of(change),
        sentences=kind.sentences(change) if kind else [],
        table=[] if kind else as_table(change),
        attachments=list(change.attachments.defer("content")),
        look=look if look is not None and look.answered else None,
        awaits_look=change.is_open and change.kind == connections.CONNECT and connections.is_awaited(change, at),
        why_not=why_not_decide(change, person),
        overtaken=overtaken(change, at) if change.is_open else "",
        may_withdraw=change.is_open and change.proposed_by_id == person.pk,
        typed=transfer_reference(change) if kind and kind.typed else "",
        button=kind.button(change) if kind else "Confirm",
        steps=f"{steps}{change.pk}/",
        target=target,
    )


def waiting_for(person: User) -> list[Change]:
    """What this person may decide on; of what they drafted, someone else does."""
    return [one for one in changes.waiting_for(person) if not why_not_decide(one, person)]


def why_not_decide(change: Change, person: User) -> str:
    """Why this person may not confirm or decline it; empty when they may. The verbs insist on the same sentences."""
    if not change.is_open:
        return "It is decided."
    if change.kind not in changes.RIGHTS:
        return "Nobody may decide this kind of change here."
    if refusal := changes.why_not_decide(change, person):
        return refusal
    transfer = transfer_of(change)
    if transfer is not None:
        try:
            contradictions.insist_not_maker(transfer, person)
        except changes.MayNotChange as refused:
            return str(refused)
    return ""


def overtaken(change: Change, at: datetime) -> str:
    """Why nobody can confirm it now, whoever they are; empty when it can be."""
    if change.kind == resolve.RESOLVE and (transfer := transfer_of(change)) is not None:
        return resolve.why_not_yet(transfer, at) or ""
    if change.kind == contradictions.CLOSE:
        closed = Contradiction.objects.filter(pk=change.words["contradiction"]).exclude(closed_at=None).exists()
        return "This contradiction is closed already." if closed else ""
    if change.kind == stops.RELEASE:
        order = order_of(change)
        if order is None or order.released_at is not None:
            return "This stop order has been released already."
        return stops.why_not_release(order) or ""
    return overtaken_look(change) if change.kind == connections.CONNECT else ""


def overtaken_look(change: Change) -> str:
    look = connections.newest_look(change)
    if look is None or not look.answered:
        return "The venue has not said yet whose login this is."
    if look.problem:
        return "The venue did not say whose login this is."
    return connections.why_taken(Connection(**change.words, login=look.login)) or ""


def as_table(change: Change) -> list[tuple[str, str]]:
    """The words as they are: of a kind that has no sentences."""
    return [(name.replace("_", " ").capitalize(), str(value)) for name, value in change.words.items()]


def transfer_reference(change: Change) -> str:
    noun, _, reference = change.subject.partition(":")
    return reference if noun == "transfer" else ""


def transfer_of(change: Change) -> Transfer | None:
    reference = transfer_reference(change)
    return Transfer.objects.select_related("connection").filter(reference=reference).first() if reference else None


def order_of(change: Change) -> StopOrder | None:
    orders = StopOrder.objects.select_related("connection", "account__connection")
    return orders.filter(pk=change.words.get("stop")).first()


def about(change: Change) -> str:
    """What it is about, as a person names it: TR-000123, "everything at a venue", a connection."""
    if change.kind == stops.RELEASE and (order := order_of(change)) is not None:
        return stops.covered(order)
    return change.subject.partition(":")[2] or change.subject


def address_of(change: Change) -> str:
    """The page that shows what it is about."""
    if reference := transfer_reference(change):
        return reverse("transfer", args=[reference])
    return reverse("stops") if change.kind == stops.RELEASE else reverse("connections")


def release_words(change: Change) -> list[str]:
    return [
        "What it holds is sent again as soon as nothing else stands in its way.",
        f"It was stopped by {change.words.get('stopped_by')}: {change.words.get('because')}",
    ]


def resolve_words(change: Change) -> list[str]:
    said = (
        "It moved: the transfer ends as settled, and its amount counts as moved."
        if change.words.get("moved")
        else "It did not move: the transfer ends as failed, nothing counts as moved, and it may be drafted again."
    )
    record = change.words.get("record")
    return [said, *([f"The venue's record: {record}"] if record else [])]


def close_words(change: Change) -> list[str]:
    said = (
        "What is true: it moved. The amount counts as moved."
        if change.words.get("moved")
        else "What is true: it did not move. Nothing counts as moved."
    )
    return [said, f"What speaks against how it stands: {change.words.get('against')}.", "Its state stays as it is."]


def connect_words(change: Change) -> list[str]:
    words = change.words
    title = venues.titles().get(words["venue"], words["venue"])
    return [f"{words['name']} becomes a connection to {title}, {words['environment']}, with the login below."]


def set_up_words(change: Change) -> list[str]:
    connection = connections.connection_of(change)
    told = [account_change(connection, said) for said in change.words["accounts"]]
    return [f"{one.address}: {was(one.was) if change.is_open else ''}{one.becomes}." for one in told]


def was(words: str) -> str:
    return f"{words}; becomes " if words else "new, "


def moved_or_not(change: Change) -> str:
    return "Confirm: it moved" if change.words.get("moved") else "Confirm: it did not move"


KINDS: Mapping[str, Kind] = {
    stops.RELEASE: Kind("Release a stop", release_words, lambda change: "Confirm: release the stop"),
    resolve.RESOLVE: Kind("Resolve a transfer", resolve_words, moved_or_not, typed=True),
    contradictions.CLOSE: Kind("Close a contradiction", close_words, moved_or_not, typed=True),
    connections.CONNECT: Kind("Connect a venue", connect_words, lambda change: "Confirm: connect it"),
    connections.SET_UP: Kind("Set up accounts", set_up_words, lambda change: "Confirm: set them up"),
}
