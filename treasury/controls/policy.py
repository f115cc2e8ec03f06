"""The policy in force, and the versions before it: immutable, each agreed on by two policy editors."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import transaction

from treasury.controls import changes, rulebook
from treasury.controls.roles import CHECKERS
from treasury.models import Change, Policy, User
from treasury.models.amount import NARROW_SPACE, grouped, plain
from treasury.models.turns import one_at_a_time

log = logging.getLogger(__name__)

SET = "policy.set"
SUBJECT = "policy:"


class NoPolicy(Exception):
    """There is no policy yet, so nothing can be submitted. Nothing was changed."""


class Denied(Exception):
    """The policy does not let it be submitted: ``sentence`` says why. Nothing was changed, and nothing moves."""

    def __init__(self, sentence: str) -> None:
        super().__init__(f"Not submitted. {sentence} Nothing moves.")
        self.sentence = sentence


class OtherPolicy(Exception):
    """Another version came into force since the proposal was made. Nothing was changed."""


def in_force() -> Policy:
    """The newest version. Raises NoPolicy."""
    newest = Policy.objects.order_by("-number").first()
    if newest is None:
        raise NoPolicy("Not submitted. The house has no policy yet; `manage.py bootstrap` sets the first one up.")
    return newest


def book_in_force() -> rulebook.Rulebook:
    """What the newest version says. Raises NoPolicy, Denied."""
    return book_of(in_force())


def book_of(version: Policy) -> rulebook.Rulebook:
    """What a version says. Raises Denied where its text cannot be read: then nothing is let pass."""
    try:
        return rulebook.read(version.text)
    except Exception:  # whatever it is: what cannot be read is not allowed
        log.exception("%s could not be read", version)
        raise Denied(f"The {version} could not be evaluated, and what cannot be evaluated is denied.") from None


def floors() -> Mapping[str, Decimal]:
    """What every account keeps of each asset, in capitals, by the version in force: to be read once for many accounts.

    Nothing where there is no policy yet, as nothing can leave then. Raises Denied where it cannot be read.
    """
    newest = Policy.objects.order_by("-number").first()
    return book_of(newest).floors if newest else {}


def floor_of(asset: str, floors: Mapping[str, Decimal]) -> Decimal:
    """What these floors say of the asset; venues write usdt and USDT."""
    return floors.get(asset.upper(), floors.get("*", Decimal(0)))


def propose(*, words: Mapping[str, Any], reason: str, by: User, at: datetime) -> Change:
    """Propose the whole of a next version. The proposal names the version that it takes the place of.

    Raises changes.MayNotChange, changes.NotSaid, rulebook.NotRules, OtherPolicy.
    """
    with transaction.atomic():
        changes.insist_on_right(SET, by)
        text = rulebook.written(words)
        before = in_force()
        if text == before.text:
            raise rulebook.NotRules({"": "Nothing was proposed: the policy says so already."})
        others = changes.waiting().filter(kind=SET)
        if any(one.words["policy"] != text or one.proposed_by_id != by.pk for one in others):
            raise OtherPolicy("Nothing was proposed. Another version is proposed already; it is decided on first.")
        said = {"policy": text, "before": before.number}
        return changes.propose(kind=SET, subject=SUBJECT, words=said, reason=reason, by=by, at=at)


def confirm(*, change_id: int, by: User, digest: str, at: datetime) -> Policy:
    """Put the proposed version in force; what is submitted already keeps its own.

    Raises changes.MayNotChange, changes.NotWaiting, changes.OtherChange, OtherPolicy.
    """
    with transaction.atomic():
        lock()
        change = changes.confirm(change_id=change_id, kind=SET, by=by, digest=digest, at=at)
        before = in_force()
        if before.number != change.words["before"]:
            raise OtherPolicy(f"Nothing was changed. Version {before.number} came into force since; propose it anew.")
        made = stored(change.words["policy"], change, at)
        changes.entry(
            change, by=by, at=at, action=SET, facts={"version": made.number, "digest": made.digest, "text": made.text}
        )
        return made


def stored(text: str, change: Change, at: datetime) -> Policy:
    """Write the next version, as the applied change says. Raises rulebook.NotRules for what could not be read again."""
    rulebook.read(text)
    newest = Policy.objects.order_by("-number").first()
    digest = hashlib.sha256(text.encode()).hexdigest()
    number = newest.number + 1 if newest else 1
    return Policy.objects.create(number=number, text=text, digest=digest, change=change, at=at)


def lock() -> None:
    """One at a time until the transaction ends: sums that rules ask for, and versions, are looked up first."""
    one_at_a_time("policy")


def first() -> str:
    """The canonical text that a new house begins with, from the settings, which govern nothing afterwards: one checker,
    or two above an amount; the day's limits; the floors."""
    above: Mapping[str, Decimal] = {"*": Decimal(0), **settings.TWO_CHECKERS_ABOVE}
    named = [(asset, amount) for asset, amount in above.items() if asset != "*"]
    found = [rule for asset, amount in named for rule in pair(asset, amount, {"assets": [asset]})]
    limits = [
        {"of": "connection", "hours": 24, "most": plain(most), **({} if asset == "*" else {"assets": [asset]})}
        for asset, most in settings.DAILY_LIMITS.items()
    ]
    floors = {asset: plain(amount) for asset, amount in settings.FLOORS.items()}
    said = {"rules": [*found, *pair("Anything else", above["*"], {})], "limits": limits, "floors": floors}
    return rulebook.written({**said, "currency": settings.REPORTING_CURRENCY})


def pair(name: str, amount: Decimal, when: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One checker up to the amount, two above it; with 0 always two."""
    if not amount:
        return [{"name": name, "when": dict(when), "demands": {CHECKERS: 2}}]
    shown = grouped(amount).replace(NARROW_SPACE, " ")  # a name holds no sign that nobody could type
    up_to = {**when, "up_to": plain(amount), "in": rulebook.ASSET}
    above = {**when, "over": plain(amount), "in": rulebook.ASSET}
    return [
        {"name": f"{name} up to {shown}", "when": up_to, "demands": {CHECKERS: 1}},
        {"name": f"{name} above {shown}", "when": above, "demands": {CHECKERS: 2}},
    ]


def words_of(policy: Policy) -> dict[str, Any]:
    """What a version says, as JSON."""
    found: dict[str, Any] = json.loads(policy.text)
    return found
