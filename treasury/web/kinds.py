"""What each kind of change is called, what it would do in words, and why nobody can confirm it now."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from treasury import venues
from treasury.balances import typed as balances
from treasury.controls import bands, connections, credentials, house, policy, stops
from treasury.controls import people as enrolled
from treasury.models import Change
from treasury.models.amount import grouped, signed
from treasury.models.change import ADOPT, BOOTSTRAP
from treasury.models.clock import on_the_clock
from treasury.templatetags.actors import stopper
from treasury.transfers import by_hand, contradictions, resolve
from treasury.web import differences, governed, holding, replaced
from treasury.web.spoken import Spoken

BANDS_SHOWN = 10  # of a proposal about bands; its own page shows every one


@dataclass(frozen=True)
class Kind:
    """What one kind of change is called, what it would do, and what its button says. ``overtaken`` says why nobody
    can confirm it now, whoever they are; empty when somebody can."""

    title: str
    sentences: Callable[[Change, Spoken], list[str]]
    button: Callable[[Change], str]
    overtaken: Callable[[Change, Spoken, datetime], str]
    typed: bool = False


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


def overtaken_person(change: Change, spoken: Spoken, at: datetime) -> str:
    return spoken.people[change.pk].overtaken


def never_overtaken(change: Change, spoken: Spoken, at: datetime) -> str:
    return ""


def people_words(change: Change, spoken: Spoken) -> list[str]:
    return spoken.people[change.pk].sentences


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
    credentials.REPLACE: Kind("Replace credentials", replaced.words, replaced.button, replaced.overtaken),
    by_hand.DONE: Kind("Say what was done by hand", done_words, done_or_not, overtaken_done, typed=True),
    balances.STATE: Kind("State a balance", balance_words, lambda change: "Confirm: it holds that", never_overtaken),
    bands.SET: Kind("Set bands", band_words, lambda change: "Confirm: set these bands", never_overtaken),
    policy.SET: Kind(
        "Change the policy",
        governed.policy_words,
        lambda change: "Confirm: put this version in force",
        governed.overtaken_policy,
    ),
    house.SET: Kind(
        "Change a setting", governed.setting_words, lambda change: "Confirm: set it", governed.overtaken_setting
    ),
    BOOTSTRAP: Kind("First set-up", governed.bootstrap_words, lambda change: "", never_overtaken),
    ADOPT: Kind("Found by an upgrade", governed.adopt_words, lambda change: "", never_overtaken),
    connections.SET_UP: Kind("Set up accounts", set_up_words, lambda change: "Confirm: set them up", never_overtaken),
    enrolled.ENROL: Kind("Enrol a person", people_words, lambda change: "Confirm: they may sign in", overtaken_person),
    enrolled.CHANGE: Kind(
        "Change what is known of a person", people_words, lambda change: "Confirm: change it", overtaken_person
    ),
    enrolled.RESET: Kind("Reset a sign-in", people_words, lambda change: "Confirm: reset it", overtaken_person),
    enrolled.MEMBERSHIPS: Kind(
        "Change roles and groups", people_words, lambda change: "Confirm: change them", overtaken_person
    ),
}
