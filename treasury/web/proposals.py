"""How a proposed change of any kind is shown: what it would do in words, and what this person may do about it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import QuerySet
from django.urls import reverse

from treasury.controls import bands, changes, first_looks, house, memberships, policy, stops
from treasury.controls.roles import SEE_RECORDS, groups_of
from treasury.models import Attachment, Change, FirstLook, Transfer, User
from treasury.transfers import by_hand, contradictions
from treasury.web import governed, people_proposals, sides
from treasury.web.kinds import KINDS
from treasury.web.sides import Side
from treasury.web.spoken import Spoken, spoken_of, transfer_reference

SHOWN = 50  # of what waits; a page says how many more there are


@dataclass(frozen=True)
class Proposal:
    """``steps`` is the address below which it is confirmed, declined or withdrawn, ``target`` the id of the part of
    the page that the answer replaces; both are empty where it is only shown. ``typed`` is what must be typed to
    confirm it; empty where nothing must. ``transfer`` is what it speaks of, and ``sides`` what its accounts held before
    and after the call: whoever says whether it moved has both before them. ``against`` is what these say against the
    proposal, empty where they say nothing. ``touches``: what else would be otherwise, while it waits; ``nobody``: who
    made what nobody proposed."""

    change: Change
    title: str
    about: str
    address: str
    sentences: list[str]
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
    transfer: Transfer | None = None
    sides: list[Side] = field(default_factory=list)
    against: str = ""
    touches: list[str] = field(default_factory=list)
    nobody: str = ""


def of(change: Change, person: User, at: datetime, *, steps: str = "/changes/", target: str = "changes") -> Proposal:
    return all_of([change], person, at, steps=steps, target=target)[0]


def all_of(
    rows: Iterable[Change], person: User, at: datetime, *, steps: str = "/changes/", target: str = "changes"
) -> list[Proposal]:
    """The changes as this person sees them. With ``steps`` empty they are only shown."""
    listed = list(rows)
    if not listed:
        return []
    groups, spoken = groups_of(person), spoken_of(listed, at)
    return [one_of(change, person, groups, spoken, at, steps, target) for change in listed]


def first(rows: QuerySet[Change]) -> tuple[list[Change], int]:
    """As many as a page shows, and how many more there are."""
    shown = list(rows[:SHOWN])
    return shown, rows.count() - len(shown) if len(shown) == SHOWN else 0


def one_of(
    change: Change, person: User, groups: frozenset[str], spoken: Spoken, at: datetime, steps: str, target: str
) -> Proposal:
    kind, is_login = KINDS[change.kind], change.kind in first_looks.KINDS
    both = spoken.sides.get(change.pk, [])
    look = first_looks.newest_look(change) if is_login else None
    return Proposal(
        change=change,
        title=kind.title,
        about=about(change, spoken),
        address=address_of(change, groups, spoken),
        sentences=kind.sentences(change, spoken),
        attachments=list(change.attachments.all()),
        look=look if look is not None and look.answered else None,
        awaits_look=change.is_open and is_login and first_looks.is_awaited(change, at),
        why_not=why_not_decide(change, person, groups, spoken),
        overtaken=kind.overtaken(change, spoken, at) if change.is_open else "",
        may_withdraw=change.is_open and change.proposed_by_id == person.pk,
        typed=transfer_reference(change) if kind.typed else "",
        button=kind.button(change),
        steps=f"{steps}{change.pk}/" if steps else "",
        target=target,
        transfer=spoken.transfer(change),
        sides=both,
        against=against(change, both),
        touches=spoken.touches.get(change.pk, []),
        nobody=governed.NOBODY.get(change.kind, ""),
    )


def against(change: Change, both: Sequence[Side]) -> str:
    """What both balances say against what people say that they did."""
    if change.kind != by_hand.DONE or not both:
        return ""
    return sides.against_done(both) if change.words.get("done") else sides.against_not_done(both)


def why_not_decide(change: Change, person: User, groups: frozenset[str], spoken: Spoken) -> str:
    """Why this person may not confirm or decline it; empty when they may. The verbs insist on the same sentences."""
    if not change.is_open:
        return "It is decided."
    said = spoken.people.get(change.pk)
    if refusal := changes.why_not_decide(change, person, groups) or people_proposals.reset_of_self(said, person):
        return refusal
    transfer = spoken.transfer(change)
    if transfer is not None:
        try:
            contradictions.insist_not_maker(transfer, person)
        except changes.MayNotChange as refused:
            return str(refused)
    return ""


def about(change: Change, spoken: Spoken) -> str:
    """What it is about, as a person names it: TR-000123, "everything at a venue", a connection."""
    if change.kind == stops.RELEASE and (order := spoken.order(change)) is not None:
        return stops.covered(order)
    if change.subject == bands.ALL:
        return "several connections"
    if named := governed.about(change):
        return named
    if change.subject == memberships.SUBJECT:
        return memberships.about(change)
    return change.subject.partition(":")[2] or change.subject


def address_of(change: Change, groups: frozenset[str], spoken: Spoken) -> str:
    """The page that shows what it is about; empty for whoever may not see it."""
    if reference := transfer_reference(change):
        return reverse("transfer", args=[reference])
    if change.kind == bands.SET:
        return reverse("bands_change", args=[change.pk])
    if change.kind == policy.SET:
        return reverse("policy_change", args=[change.pk])
    if change.kind in governed.NOBODY:
        return reverse("policy")
    if change.kind == house.SET:
        return reverse("settings")
    if (said := spoken.people.get(change.pk)) is not None:
        if not groups & SEE_RECORDS:
            return ""
        return reverse("person", args=[said.sign_in]) if said.sign_in else reverse("people")
    return reverse("stops") if change.kind == stops.RELEASE else reverse("connections")
