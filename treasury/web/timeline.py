"""The log's entries about one thing, in words."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from treasury.controls.changes import RIGHTS
from treasury.models import AuditEntry, Outcome, Transfer
from treasury.templatetags.actors import called
from treasury.templatetags.treasury import amount as in_groups
from treasury.templatetags.treasury import on_the_clock, proved
from treasury.transfers.instruction import fingerprint

# What an action is called when a person reads it. One that is not here is shown by its own verb.
ACTIONS: Mapping[str, str] = {
    "transfer.draft": "drafted it",
    "transfer.redraft": "changed the draft",
    "transfer.submit": "submitted it for approval",
    "transfer.approve": "approved it",
    "transfer.reject": "rejected it",
    "transfer.withdraw": "withdrew their approval",
    "transfer.cancel": "cancelled it",
    "transfer.expire": "ended it: its time ran out",
    "transfer.dispatch": "began to send it",
    "transfer.hold": "holds it back",
    "transfer.send_back": "sent it back for approval",
    "transfer.resend": "began to send it again under the same key",
    "transfer.repeat": "repeats the call, confirmed at the venue",
    "transfer.settle": "found it at the venue",
    "transfer.fail": "found that it failed",
    "attempt.conclude": "noted the venue's answer",
    "alarm.raise": "raised an alarm",
    "transfer.look_up": "asked the venue what became of it",
    "transfer.resolve": "confirmed what became of it",
    "contradiction.close": "confirmed what is true",
    "transfer.confirm": "confirmed what was done by hand",
    "balance.state": "confirmed what an account holds",
    "change.propose": "proposed a change",
    "change.decline": "declined a proposal",
    "change.withdraw": "withdrew a proposal",
    "evidence.read": "read a file of the evidence",
    "transfer.match": "compared it with the venue",
    "movement.notice": "noticed a change that is not ours",
    "session.sign_in": "signed in",
    "session.sign_out": "signed out",
    "session.refuse": "was not let in",
    "stop.order": "stopped sending",
    "restore.notice": "noticed that the database was restored or copied",
    "stop.propose_release": "asked to release the stop",
    "stop.release": "released the stop",
    "balance.refresh": "read the balances",
    "balance.ask": "asked for the balances to be read",
    "log.broken": "found that the log no longer fits its chain",
    "user.enrol": "enrolled a person",
    "connection.connect": "connected a login",
    "connection.ask": "asked whose the credentials are",
    "connection.look": "heard from the venue whose the credentials are",
    "account.set_up": "set up accounts",
    "request.refuse": "sent a form that could not be trusted",
    "admin.open": "tried to open the auditor's windows",
}
FOUND: Mapping[str, str] = {
    "DONE": "found it in the venue's records",
    "PENDING": "found it in the venue's records, not settled yet",
    "FAILED": "found in the venue's records that it failed",
    "UNCLEAR": "found it in the venue's records, which do not say clearly what became of it",
}
TRIED: Mapping[str, str] = {
    "transfer.draft": "draft a transfer",
    "transfer.redraft": "change the draft",
    "transfer.submit": "submit it",
    "transfer.approve": "approve it",
    "transfer.reject": "reject it",
    "transfer.withdraw": "withdraw their approval",
    "transfer.cancel": "cancel it",
    "transfer.draft_again": "draft it again",
    "transfer.see": "see it",
    "transfer.resolve": "resolve it",
    "contradiction.close": "close the contradiction",
    "transfer.confirm": "say what was done by hand",
    "balance.state": "state what an account holds",
    "change.propose": "propose a change",
    "change.decline": "decline a proposal",
    "change.withdraw": "withdraw a proposal",
    "evidence.read": "read a file of the evidence",
    "stop.order": "stop sending",
    "stop.release": "release the stop",
    "connection.connect": "connect a login",
    "connection.ask": "ask whose the credentials are",
    "account.set_up": "set up accounts",
}
ABOUT_CHANGES: Mapping[str, str] = {
    "change.propose": "proposed",
    "change.decline": "declined the proposal",
    "change.withdraw": "withdrew the proposal",
}
PLAIN = re.compile(r"\d{1,48}(\.\d{1,18})?")
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
ORDER = {
    key: place
    for place, key in enumerate(
        ("reason", "why", "outcome", "words", "amount", "asset", "source", "destination", "connection", "was", "is")
    )
}
# Facts that the sentence, or the state beside it, has said already.
SAID = frozenset({"from", "to", "round", "status"})
LOOKED = frozenset({"answer", "searched", "found"})  # of a look-up; its sentence says them
LOOK_UP = "transfer.look_up"
FACTS: Mapping[str, str] = {
    "reason": "Reason",
    "digest": "Fingerprint",
    "was": "Was",
    "is": "Is",
    "source": "From",
    "destination": "To",
    "missing": "Still needed",
    "outcome": "Answer",
    "record": "Venue's record",
    "kind": "Call",
    "words": "Words",
    "why": "Because",
    "demands": "Needs",
    "change": "Proposal",
    "moved": "It moved",
    "done": "It was done",
    "sha256": "SHA-256",
    "factor": "Proved",
}


@dataclass(frozen=True)
class Step:
    """One entry, for reading. ``short`` are facts that fit a line, ``long`` those that are folded away.

    ``again`` are the look-ups right after it that said the same: a page shows them in one line with it.
    """

    entry: AuditEntry
    who: str
    what: str
    refused: bool
    short: list[tuple[str, str]]
    long: list[tuple[str, str]]
    again: list[Step] = field(default_factory=list)

    @property
    def times(self) -> int:
        return len(self.again) + 1

    @property
    def last(self) -> Step:
        return self.again[-1] if self.again else self

    def is_like(self, other: Step) -> bool:
        """Whether both are look-ups that said the same; what lies in their evidence may differ."""
        alike = (self.entry.action, self.who, self.what, self.refused, self.short)
        return self.entry.action == LOOK_UP and alike == (
            other.entry.action,
            other.who,
            other.what,
            other.refused,
            other.short,
        )


def steps_of(transfer: Transfer) -> list[Step]:
    """Every entry about the transfer, the first one on top; look-ups in a row that said the same are one step."""
    steps: list[Step] = []
    for entry in AuditEntry.objects.filter(subject=transfer.subject).order_by("id"):
        step = step_of(entry)
        if steps and steps[-1].is_like(step):
            steps[-1].again.append(step)
        else:
            steps.append(step)
    return steps


def step_of(entry: AuditEntry) -> Step:
    refused = entry.result == "refused"
    short: list[tuple[str, str]] = []
    long: list[tuple[str, str]] = []
    for key, value in sorted(entry.facts.items(), key=lambda fact: (ORDER.get(fact[0], len(ORDER)), fact[0])):
        if key in SAID or value in (None, "", {}, []) or (key == "kind" and "change" in entry.facts):
            continue
        if key in LOOKED and is_look_up(entry):
            continue
        label = FACTS.get(key, key.replace("_", " ").capitalize())
        text = in_words(key, value)
        if len(text) > 300 or key in ("instruction", "evidence"):
            long.append((label, pretty(value)))
        else:
            short.append((label, text))
    what = about_change(entry) or looked_up(entry) or what_of(entry.action, refused)
    return Step(entry=entry, who=who_of(entry), what=what, refused=refused, short=short, long=long)


def who_of(entry: AuditEntry) -> str:
    """A person by the name the log has, a part of the product by its words."""
    if not str(entry.who).startswith("machine:"):
        return str(entry.actor)
    name = called(str(entry.actor))
    return name[0].upper() + name[1:]


def is_look_up(entry: AuditEntry) -> bool:
    return LOOKED.issubset(entry.facts) and entry.result != "refused"


def looked_up(entry: AuditEntry) -> str:
    """What a look-up found, by the facts it noted; empty for any other entry."""
    if not is_look_up(entry):
        return ""
    facts = entry.facts
    return answered(str(facts["answer"]), searched=bool(facts["searched"]), found=bool(facts["found"]))


def answered(state: str, *, searched: bool, found: bool) -> str:
    """A venue's answer to a look-up, as the end of a sentence about who asked."""
    if state == "ERROR":
        return "asked the venue and got no answer"
    if found:
        return FOUND.get(state, "found it in the venue's records")
    if not searched:
        return "asked the venue; there was nothing to search"
    never = "; the venue never took it" if state == "ABSENT" else ""
    return f"searched the venue's records and found nothing{never}"


def about_change(entry: AuditEntry) -> str:
    """What somebody did about a proposal, with what it is to do; empty for any other entry."""
    rights = RIGHTS.get(str(entry.facts.get("kind")))
    done = ABOUT_CHANGES.get(entry.action) if rights and entry.result != "refused" else None
    return f"{done} to {rights.title}" if rights and done else ""


def what_of(action: str, refused: bool) -> str:
    verb = action.partition(".")[2].replace("_", " ")
    if refused and action in TRIED:
        return f"tried to {TRIED[action]} and was refused"
    if refused and action not in ACTIONS:
        return f"was refused: {verb}"
    return ACTIONS.get(action, verb)


def in_words(key: str, value: Any) -> str:
    """A fact on one line."""
    if key in ("digest", "sha256"):
        return fingerprint(str(value))
    if key == "factor":
        return proved(str(value))
    if key == "outcome" and value in Outcome.values:
        return str(Outcome(value).label)
    if isinstance(value, str) and STAMP.fullmatch(value):
        return moment_in_words(value)
    if key == "amount" and isinstance(value, str) and PLAIN.fullmatch(value):
        return in_groups(Decimal(value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name} {in_words(name, item)}" for name, item in value.items())
    if isinstance(value, list):
        return ", ".join(in_words("", item) for item in value)
    return str(value)


def moment_in_words(text: str) -> str:
    """People and venues may write what only looks like a moment."""
    try:
        return on_the_clock(datetime.fromisoformat(text))
    except ValueError:
        return text


def pretty(value: Any) -> str:
    """A long fact, one word to a line. Text that is JSON itself, such as an instruction, stays as it was hashed."""
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True)
