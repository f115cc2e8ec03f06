"""Everything that one transfer's card shows, gathered for one person at one moment."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from treasury import venues
from treasury.controls import heartbeats, stops
from treasury.models import (
    IN_FLIGHT,
    Attempt,
    Contradiction,
    Decision,
    LookUp,
    PlanLine,
    Resolution,
    State,
    Transfer,
    User,
    Withdrawal,
)
from treasury.models.text import clean
from treasury.rebalancing.propose import otherwise
from treasury.templatetags.treasury import on_the_clock, span
from treasury.transfers import access, approvals, by_hand, draft, match, order, queries, restored
from treasury.web import done, doubt, effects, timeline, why
from treasury.web.effects import Effect as Effect


@dataclass(frozen=True)
class LookUps:
    """Look-ups in a row that said the same, in words: ``said`` once, with the last of them and when each was made."""

    said: str
    rows: list[LookUp]

    @property
    def last(self) -> LookUp:
        return self.rows[-1]


@dataclass(frozen=True)
class Neighbour:
    """What goes before or after it. ``seen``: this person may look at it; a draft is its maker's own."""

    transfer: Transfer
    seen: bool


@dataclass(frozen=True)
class Approvals:
    """How far this round has come: ``have`` of ``need`` people have approved, what that does not say, and the decisions
    of all rounds, each with its withdrawal."""

    have: int
    need: int
    sentence: str
    decisions: list[tuple[Decision, Withdrawal | None]]


def context_of(transfer: Transfer, person: User, at: datetime) -> dict[str, Any]:
    standing = queries.standing(transfer, at)
    approvals = approvals_of(transfer)
    line = line_of(transfer)
    return {
        "transfer": transfer,
        "standing": standing,
        "at": at,
        "money": what_happened(transfer, standing.key, approvals, at),
        "approvals": approvals,
        "why": why.of(transfer),
        "foretold": why.foretold(transfer, at) if transfer.state == State.DRAFT else "",
        "effects": effects.of(transfer, at),
        "warning": restored.warning(transfer) or draft.more_than_movable(transfer),
        "steps": timeline.steps_of(transfer),
        "calls": calls_of(transfer),
        "live": is_live(transfer),
        "poll": "5s" if transfer.state == State.SUBMITTED else "2s",
        "stop": None if transfer.has_ended else stops.standing_for(transfer),
        "doubt": doubt.of(transfer, person, at),
        "line": line,
        "plan_age": plan_age(transfer, line),
        "otherwise": otherwise(transfer, line) if line else "",
        "firsts": neighbours(order.waits_for(transfer), person),
        "laters": neighbours(order.come_after(transfer), person),
        "said": doubt.Said(),
        "by_hand": done.of(transfer, person, at),
        "mismatch": mismatch_of(transfer),
        "refused": "",
        "differences": [],
        **rights_of(transfer, person, at),
    }


def line_of(transfer: Transfer) -> PlanLine | None:
    """The line of a plan that it was drafted from."""
    if transfer.planned_id is None:
        return None
    return PlanLine.objects.select_related("group__plan").get(pk=transfer.planned_id)


def plan_age(transfer: Transfer, line: PlanLine | None) -> str:
    """How old the numbers of its plan were when it was submitted; empty where it is of none, or still a draft."""
    if line is None or transfer.submitted_at is None or line.group.plan.began_at is None:
        return ""
    return span(transfer.submitted_at - line.group.plan.began_at)


def neighbours(others: Iterable[Transfer], person: User) -> list[Neighbour]:
    return [Neighbour(one, one.state != State.DRAFT or one.maker_id == person.pk) for one in others]


def is_live(transfer: Transfer) -> bool:
    """Whether it may move on without anybody at this page: others decide, or it is on its way."""
    return transfer.state in (State.SUBMITTED, State.APPROVED) or transfer.state in IN_FLIGHT


def rights_of(transfer: Transfer, person: User, at: datetime) -> dict[str, Any]:
    """What to offer, by the very sentences the verbs insist on."""
    return {
        "why_not_decide": access.why_not_decide(transfer, person, at) or "",
        "may_edit": access.why_not_edit(transfer, person) is None,
        "may_withdraw": access.why_not_withdraw(transfer, person) is None,
        "may_cancel": access.why_not_cancel(transfer, person) is None,
        "may_draft_again": access.why_not_draft_again(transfer, person) is None,
    }


def approvals_of(transfer: Transfer) -> Approvals:
    found = approvals.progress(transfer)
    given = transfer.decisions.select_related("by", "withdrawal")
    decisions = [(one, getattr(one, "withdrawal", None)) for one in given]
    waits = transfer.state == State.SUBMITTED
    return Approvals(found.have, found.need, found.sentence if waits else "", decisions)


def calls_of(transfer: Transfer) -> list[Attempt | LookUps]:
    """What the venue was asked, in the order of time. A call stands by itself; look-ups between two calls that said
    the same are one."""
    made: list[Attempt | LookUp] = sorted([*transfer.attempts.all(), *transfer.look_ups.all()], key=made_at)
    calls: list[Attempt | LookUps] = []
    for one in made:
        if isinstance(one, Attempt):
            calls.append(one)
        elif calls and isinstance(before := calls[-1], LookUps) and says(before.last) == says(one):
            before.rows.append(one)
        else:
            said = timeline.answered(one.state, searched=one.searched, found=one.found)
            calls.append(LookUps(said, [one]))
    return calls


def made_at(one: Attempt | LookUp) -> datetime:
    return one.claimed_at if isinstance(one, Attempt) else one.at


def says(one: LookUp) -> tuple[object, ...]:
    return one.state, one.searched, one.found, one.words, one.record


def mismatch_of(transfer: Transfer) -> str:
    """What does not fit of a transfer that counts as moved; empty where all does, or nothing was compared yet."""
    found = match.not_matching().filter(transfer=transfer).first()
    if found is None:
        return ""
    if transfer.connection.by_hand or Resolution.objects.filter(transfer=transfer).exists():
        return f"It was said to have moved, and the balances do not show it: {found.difference}."
    return f"It counts as moved, and what it is compared with does not show it: {found.difference}."


def what_happened(transfer: Transfer, key: str, approvals: Approvals, at: datetime) -> str:
    """What happened to the money, first; then why."""
    if against := transfer.contradictions.filter(closed_at=None).first():
        before = f" Before that: {transfer.outcome}" if transfer.outcome else ""
        return (
            f"We do not know whether it moved: {against.words.rstrip('.')}. Look at the venue, and do not draft it "
            f"again; two people must say what is true.{before}"
        )
    if corrected := transfer.contradictions.exclude(closed_at=None).select_related("change__proposed_by").last():
        return correction(transfer, corrected)
    if transfer.has_ended:
        return transfer.outcome
    if key == "confirming" and transfer.connection.by_hand:
        return waits_by_hand(transfer, at)
    if key == "confirming":
        who = venues.declared(transfer.connection.venue).confirmed_by
        return f"Nothing moved yet. It waits for {who} to confirm it{confirm_by(transfer)}."
    if transfer.outcome and key == "submitted":  # the dispatcher sent it back
        return f"{transfer.outcome.rstrip('.')}. It has {approvals.have} of {approvals.need} approvals."
    if key == "unknown":
        return unknown(transfer)
    sentences = {
        "draft": "Nothing moved. It is a draft; nobody has been asked yet.",
        "submitted": f"Nothing moved. It has {approvals.have} of {approvals.need} approvals.",
        "approved": "Nothing moved yet. It is approved and will be sent in a moment."
        if not transfer.connection.by_hand
        else "Nothing moved yet. It is approved; in a moment it may be moved by hand.",
        "held": held(transfer.held),
        "sending": "It is being sent. Until the venue answers, take it as moving.",
        "sent": "The venue took it. The money is on its way.",
    }
    if key == "approved" and stops.standing_for(transfer):
        return "Nothing moved yet. It is approved, and waits for the release of a stop order."
    if key == "approved" and is_sender_silent(at):
        return "Nothing moved yet. It is approved; nothing is being sent now."
    if key == "sent" and queries.is_overdue(transfer, at):
        return "The venue took it and has not settled it in its usual time. Look at the venue; do not draft it again."
    return sentences[key]


def waits_by_hand(transfer: Transfer, at: datetime) -> str:
    """Of what somebody is to do, has done or may have done: nobody knows before two people have said it."""
    if moved := by_hand.in_words(transfer):
        return f"{moved} It is being recorded."
    if (said := by_hand.proposed(transfer)) is not None:
        what = "was done; a checker decides. Do not move it again."
        not_done = "was not done; a checker decides. Do not move it now."
        return f"{said.proposed_by} says that it {what if said.words.get('done') else not_done}"
    if by_hand.late_since(transfer, at) is not None:
        return (
            f"We do not know whether it moved: it was to be done by hand{confirm_by(transfer)}, and nobody has said "
            "whether it was. Look at both venues; do not draft it again."
        )
    return (
        f"It is approved, and somebody may move it by hand{confirm_by(transfer)}. Until people say what was done, take "
        "it as moving."
    )


def unknown(transfer: Transfer) -> str:
    """What is known of a call with no clear answer: how often we asked, and what is done to find out."""
    times = transfer.attempts.may_have_moved().count()
    safe = venues.declared(transfer.connection.venue).resend is not None
    again = f" We asked {times} times under one key, which cannot move it twice." if times > 1 and safe else ""
    if was_or_will_be_searched(transfer):
        searched = "The venue's records are being searched; do not draft it again."
        return f"We do not know yet whether it moved.{again} {searched}"
    if again:
        return (
            f"We do not know yet whether it moved.{again} The venue has no records of it that can be searched: look at "
            "the venue's own screen, and do not draft it again."
        )
    return (
        "We do not know whether it moved, and the venue has no records of it that can be searched. Look at the "
        "venue's own screen; do not draft it again."
    )


def is_sender_silent(at: datetime) -> bool:
    """Whether nobody sends: the sender has given no sign of life for too long, or works with a problem."""
    return any(one.part == heartbeats.SENDS for one in heartbeats.silent_since(at))


def correction(transfer: Transfer, closed: Contradiction) -> str:
    """What two people found to be true, whatever the state says."""
    said = "It moved" if closed.moved else "Nothing moved"
    people = f"{closed.change.proposed_by} and {closed.change.decided_by}" if closed.change else "Two people"
    before = f" Before that: {transfer.outcome}" if transfer.outcome else ""
    return f"{said}. {people} say so, after the venue's answers had contradicted each other.{before}"


def was_or_will_be_searched(transfer: Transfer) -> bool:
    """Whether the venue's records were searched when it was last asked, or will be."""
    last = transfer.look_ups.last()
    return last is None or last.searched or last.state == "ERROR"


def held(words: str) -> str:
    """A venue's words begin with the money already; a guard's do not."""
    if "othing moved" in words:
        return f"{words.rstrip('.')}. It is approved and will be tried again."
    return f"Nothing moved. It is approved and held back: {words.rstrip('.')}."


def confirm_by(transfer: Transfer) -> str:
    """Until when the venue waits, as it said itself."""
    asked = transfer.attempts.exclude(challenge=None).order_by("number").last()
    deadline = (asked.challenge or {}).get("deadline") if asked else None
    return f", until {on_the_clock(datetime.fromisoformat(deadline))}" if deadline else ""


def instruction_words(transfer: Transfer) -> dict[str, str]:
    """The canonical instruction's own words, for reading."""
    return {} if transfer.instruction is None else read(transfer.instruction)


def read(instruction: str) -> dict[str, str]:
    """An instruction's words, or none when the text is not one."""
    try:
        words = json.loads(instruction)
    except (ValueError, RecursionError):
        return {}
    return {clean(str(key)): clean(str(value)) for key, value in words.items()} if isinstance(words, dict) else {}


@dataclass(frozen=True)
class Difference:
    word: str
    seen: str
    now: str


def differences(transfer: Transfer, *, instruction: str, digest: str) -> list[Difference]:
    """What the page that was decided on showed, against what the transfer says."""
    seen, now = read(instruction), instruction_words(transfer)
    words = [
        Difference(word, seen.get(word, "—"), now.get(word, "—"))
        for word in sorted(seen.keys() | now.keys())
        if seen and seen.get(word) != now.get(word)
    ]
    return [*words, Difference("digest", digest or "—", transfer.digest or "—")]
