"""How a proposed change of any kind is shown: what it would do in words, and what this person may do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import Prefetch, QuerySet, prefetch_related_objects
from django.urls import reverse

from treasury import venues
from treasury.balances import typed as balances
from treasury.controls import bands, changes, connections, stops
from treasury.controls.roles import groups_of
from treasury.models import (
    Account,
    Attachment,
    Change,
    Contradiction,
    FirstLook,
    StopOrder,
    Transfer,
    User,
)
from treasury.models.amount import grouped, signed
from treasury.models.clock import on_the_clock
from treasury.rebalancing import feasible
from treasury.templatetags.actors import stopper
from treasury.transfers import by_hand, contradictions, resolve
from treasury.web import differences, formers, holding, sides
from treasury.web.holding import Held
from treasury.web.sides import Side

SHOWN = 50  # of what waits; a page says how many more there are
BANDS_SHOWN = 10  # of a proposal about bands; its own page shows every one


@dataclass(frozen=True)
class Proposal:
    """``steps`` is the address below which it is confirmed, declined or withdrawn, ``target`` the id of the part of
    the page that the answer replaces; both are empty where it is only shown. ``typed`` is what must be typed to
    confirm it; empty where nothing must. ``transfer`` is what it speaks of, and ``sides`` what its accounts held before
    and after the call: whoever says whether it moved has both before them. ``against`` is what these say against the
    proposal, empty where they say nothing."""

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
    elsewhere: Mapping[int, list[str]]  # of what was done by hand: which of its files are evidence of other transfers

    def transfer(self, change: Change) -> Transfer | None:
        return self.transfers.get(transfer_reference(change))

    def order(self, change: Change) -> StopOrder | None:
        return self.orders.get(change.words.get("stop", 0))


@dataclass(frozen=True)
class Kind:
    """What one kind of change is called, what it would do, and what its button says. ``overtaken`` says why nobody
    can confirm it now, whoever they are; empty when somebody can."""

    title: str
    sentences: Callable[[Change, Spoken], list[str]]
    button: Callable[[Change], str]
    overtaken: Callable[[Change, Spoken, datetime], str]
    typed: bool = False


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
    kind, is_login = KINDS[change.kind], change.kind == connections.CONNECT
    both = spoken.sides.get(change.pk, [])
    look = connections.newest_look(change) if is_login else None
    return Proposal(
        change=change,
        title=kind.title,
        about=about(change, spoken),
        address=address_of(change),
        sentences=kind.sentences(change, spoken),
        attachments=list(change.attachments.all()),
        look=look if look is not None and look.answered else None,
        awaits_look=change.is_open and is_login and connections.is_awaited(change, at),
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
    )


def against(change: Change, both: Sequence[Side]) -> str:
    """What both balances say against what people say that they did."""
    if change.kind != by_hand.DONE or not both:
        return ""
    return sides.against_done(both) if change.words.get("done") else sides.against_not_done(both)


def spoken_of(rows: Sequence[Change], at: datetime) -> Spoken:
    """As many queries for many as for one. Of files all but their content is read."""
    prefetch_related_objects(rows, Prefetch("attachments", Attachment.objects.defer("content")))
    prefetch_related_objects([one for one in rows if one.kind == connections.CONNECT], "first_looks")
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
        elsewhere=elsewhere_of([one for one in rows if one.kind == by_hand.DONE]),
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
    """With all that their pages name: the connection, and both accounts with theirs."""
    named = Transfer.objects.select_related("connection", "source__connection", "destination__connection")
    return named.in_bulk(references, field_name="reference")


def accounts_of(rows: Sequence[Change]) -> dict[tuple[str, str], Account]:
    """The accounts of the connections that these changes are about, by the change's subject and the address."""
    names = [one.subject.removeprefix("connection:") for one in rows]
    accounts = Account.objects.filter(connection__name__in=names).select_related("connection")
    return {(one.connection.subject, one.address): one for one in accounts}


def why_not_decide(change: Change, person: User, groups: frozenset[str], spoken: Spoken) -> str:
    """Why this person may not confirm or decline it; empty when they may. The verbs insist on the same sentences."""
    if not change.is_open:
        return "It is decided."
    if refusal := changes.why_not_decide(change, person, groups):
        return refusal
    transfer = spoken.transfer(change)
    if transfer is not None:
        try:
            contradictions.insist_not_maker(transfer, person)
        except changes.MayNotChange as refused:
            return str(refused)
    return ""


def overtaken_release(change: Change, spoken: Spoken, at: datetime) -> str:
    order = spoken.order(change)
    if order is None or order.released_at is not None:
        return "This stop order has been released already."
    return stops.why_not_release(order) or ""


def overtaken_resolve(change: Change, spoken: Spoken, at: datetime) -> str:
    transfer = spoken.transfer(change)
    return (resolve.why_not_yet(transfer, at) if transfer else None) or ""


def overtaken_close(change: Change, spoken: Spoken, at: datetime) -> str:
    return "This contradiction is closed already." if change.words["contradiction"] in spoken.closed else ""


def overtaken_connect(change: Change, spoken: Spoken, at: datetime) -> str:
    return connections.why_not_connect(change) or ""


def never_overtaken(change: Change, spoken: Spoken, at: datetime) -> str:
    return ""


def transfer_reference(change: Change) -> str:
    noun, _, reference = change.subject.partition(":")
    return reference if noun == "transfer" else ""


def about(change: Change, spoken: Spoken) -> str:
    """What it is about, as a person names it: TR-000123, "everything at a venue", a connection."""
    if change.kind == stops.RELEASE and (order := spoken.order(change)) is not None:
        return stops.covered(order)
    if change.subject == bands.ALL:
        return "several connections"
    return change.subject.partition(":")[2] or change.subject


def address_of(change: Change) -> str:
    """The page that shows what it is about."""
    if reference := transfer_reference(change):
        return reverse("transfer", args=[reference])
    if change.kind == bands.SET:
        return reverse("bands_change", args=[change.pk])
    return reverse("stops") if change.kind == stops.RELEASE else reverse("connections")


def release_words(change: Change, spoken: Spoken) -> list[str]:
    order = spoken.order(change)
    who = stopper(order) if order else change.words.get("stopped_by")
    held = spoken.held.get(order.pk) if order else None
    return [
        holding.sent_then(held) if held else "Once it is released, the approved transfers it holds may be sent.",
        f"It was stopped by {who}: {change.words.get('because')}",
    ]


def resolve_words(change: Change, spoken: Spoken) -> list[str]:
    said = (
        "It moved: the transfer ends as settled, and its amount counts as moved."
        if change.words.get("moved")
        else "It did not move: the transfer ends as failed, nothing counts as moved, and it may be drafted again."
    )
    record = change.words.get("record")
    return [said, *([f"The venue's record: {record}"] if record else [])]


def close_words(change: Change, spoken: Spoken) -> list[str]:
    said = (
        "What is true: it moved. The amount counts as moved."
        if change.words.get("moved")
        else "What is true: it did not move. Nothing counts as moved."
    )
    return [said, f"What speaks against how it stands: {change.words.get('against')}.", "Its state stays as it is."]


def connect_words(change: Change, spoken: Spoken) -> list[str]:
    words = change.words
    title = venues.titles().get(words["venue"], words["venue"])
    return [f"{words['name']} becomes a connection to {title}, {words['environment']}, with the login below."]


def set_up_words(change: Change, spoken: Spoken) -> list[str]:
    """What each account would be; while it waits, beside what it is now, and once applied, beside what it was."""
    sentences = []
    for said in change.words["accounts"]:
        was = was_words(change, said["address"], spoken)
        sentences.append(f"{said['address']}: {was}{treated(said['title'], quiet=said['quiet'])}.")
    return sentences


def was_words(change: Change, address: str, spoken: Spoken) -> str:
    """The account before the change; nothing of one that was decided and not applied, since nobody noted it."""
    if change.is_open:
        account = spoken.accounts.get((change.subject, address))
        return f"{treated(account.title, quiet=account.quiet)}; becomes " if account else "new, "
    were = spoken.were.get(change.pk)
    if were is None:
        return ""
    was = were.get(address)
    return f"was {treated(was['title'], quiet=was['quiet'])}; became " if was else "new, "


def treated(title: str, *, quiet: bool) -> str:
    return f"{title}, only we move it" if quiet else f"{title}, others may move it"


def band_words(change: Change, spoken: Spoken) -> list[str]:
    """Each band's difference, as many as a list has room for; and while it waits, whether all could be met."""
    rows = change.words["bands"]
    sentences = [differences.sentence(row) for row in rows[:BANDS_SHOWN]]
    if more := len(rows) - len(sentences):
        sentences.append(f"And {more} more: its own page shows every one.")
    return [*sentences, *spoken.foretold.get(change.pk, [])]


def done_words(change: Change, spoken: Spoken) -> list[str]:
    said = (
        "It was done by hand: the transfer is settled, and its amount counts as moved."
        if change.words.get("done")
        else "It was not done and will not be: the transfer ends as failed, nothing counts as moved, and it may be "
        "drafted again."
    )
    record = change.words.get("record")
    shown = [f"A venue's own id of the move: {record}"] if record else []
    return [said, *shown, *spoken.elsewhere.get(change.pk, [])]


def overtaken_done(change: Change, spoken: Spoken, at: datetime) -> str:
    transfer = spoken.transfer(change)
    if transfer is None:
        return ""
    record = change.words.get("record") if change.words.get("done") else None
    other = by_hand.proof_of(transfer, record)
    return by_hand.why_not_say(transfer) or (by_hand.claimed(record, other) if other else "")


def done_or_not(change: Change) -> str:
    return "Confirm: it was done" if change.words.get("done") else "Confirm: it was not done"


def balance_words(change: Change, spoken: Spoken) -> list[str]:
    words = change.words
    total, movable = Decimal(words["total"]), Decimal(words["movable"])
    account = spoken.accounts.get((change.subject, words["address"]))
    name = f"{account.title} ({account.address})" if account else words["address"]
    of_it = "all of it movable" if movable == total else f"{grouped(movable)} of it movable"
    when = on_the_clock(datetime.fromisoformat(words["observed_at"]))
    held = f"{name} held {grouped(total)} {words['asset']}, {of_it}, at {when}."
    return [held, *former_words(change, total, spoken), "It counts as read at that moment."]


def former_words(change: Change, total: Decimal, spoken: Spoken) -> list[str]:
    """What was known before, and the difference."""
    was, asset = spoken.stated.get(change.pk), change.words["asset"]
    if was is None:
        return ["Nothing was known of it before."] if change.is_open else []
    if was.total is None:
        return ["What it held before could not be read."]
    differs = "the same" if was.total == total else f"a change of {signed(total - was.total)} {asset}"
    return [f"Before that it held {grouped(was.total)} {asset}, at {on_the_clock(was.at)}: {differs}."]


def moved_or_not(change: Change) -> str:
    return "Confirm: it moved" if change.words.get("moved") else "Confirm: it did not move"


KINDS: Mapping[str, Kind] = {
    stops.RELEASE: Kind("Release a stop", release_words, lambda change: "Confirm: release the stop", overtaken_release),
    resolve.RESOLVE: Kind("Resolve a transfer", resolve_words, moved_or_not, overtaken_resolve, typed=True),
    contradictions.CLOSE: Kind("Close a contradiction", close_words, moved_or_not, overtaken_close, typed=True),
    connections.CONNECT: Kind(
        "Connect a venue", connect_words, lambda change: "Confirm: connect it", overtaken_connect
    ),
    by_hand.DONE: Kind("Say what was done by hand", done_words, done_or_not, overtaken_done, typed=True),
    balances.STATE: Kind("State a balance", balance_words, lambda change: "Confirm: it holds that", never_overtaken),
    bands.SET: Kind("Set bands", band_words, lambda change: "Confirm: set these bands", never_overtaken),
    connections.SET_UP: Kind("Set up accounts", set_up_words, lambda change: "Confirm: set them up", never_overtaken),
}
