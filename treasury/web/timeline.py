"""The log's entries about one thing, in words."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from treasury.controls.changes import RIGHTS
from treasury.models import AuditEntry, Outcome, Transfer
from treasury.templatetags.treasury import amount as in_groups
from treasury.templatetags.treasury import on_the_clock
from treasury.transfers.instruction import fingerprint

# What an action is called when a person reads it. One that is not here is shown by its own verb.
ACTIONS: Mapping[str, str] = {
    "transfer.draft": "drafted it",
    "transfer.redraft": "changed the draft",
    "transfer.submit": "submitted it for approval",
    "transfer.approve": "approved it",
    "transfer.reject": "rejected it",
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
    "transfer.look_up": "searched the venue's records",
    "transfer.resolve": "confirmed what became of it",
    "contradiction.close": "confirmed what is true",
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
TRIED: Mapping[str, str] = {
    "transfer.draft": "draft a transfer",
    "transfer.redraft": "change the draft",
    "transfer.submit": "submit it",
    "transfer.approve": "approve it",
    "transfer.reject": "reject it",
    "transfer.cancel": "cancel it",
    "transfer.draft_again": "draft it again",
    "transfer.see": "see it",
    "transfer.resolve": "resolve it",
    "contradiction.close": "close the contradiction",
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
SAID = frozenset({"from", "to", "round", "status", "factor"})
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
    "sha256": "SHA-256",
}


@dataclass(frozen=True)
class Step:
    """One entry, for reading. ``short`` are facts that fit a line, ``long`` those that are folded away."""

    entry: AuditEntry
    what: str
    refused: bool
    short: list[tuple[str, str]]
    long: list[tuple[str, str]]


def steps_of(transfer: Transfer) -> list[Step]:
    """Every entry about the transfer, the first one on top."""
    return [step_of(entry) for entry in AuditEntry.objects.filter(subject=transfer.subject).order_by("id")]


def step_of(entry: AuditEntry) -> Step:
    refused = entry.result == "refused"
    short: list[tuple[str, str]] = []
    long: list[tuple[str, str]] = []
    for key, value in sorted(entry.facts.items(), key=lambda fact: (ORDER.get(fact[0], len(ORDER)), fact[0])):
        if key in SAID or value in (None, "", {}, []) or (key == "kind" and "change" in entry.facts):
            continue
        label = FACTS.get(key, key.replace("_", " ").capitalize())
        text = in_words(key, value)
        if len(text) > 300 or key in ("instruction", "evidence"):
            long.append((label, pretty(value)))
        else:
            short.append((label, text))
    what = about_change(entry) or what_of(entry.action, refused)
    return Step(entry=entry, what=what, refused=refused, short=short, long=long)


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
