"""Why a transfer needs the approvals that it needs: what the policy answered, and of a draft what it would."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from treasury.controls import policy, rules
from treasury.models import Assessment, Policy, Transfer
from treasury.transfers import assess


@dataclass(frozen=True)
class Asked:
    """A rule that was asked, and what came of it. ``place``: its number in the policy, from 1."""

    place: int
    name: str
    sentence: str
    decides: bool


@dataclass(frozen=True)
class Why:
    """One answer of the policy, in words. ``rules``: the one that decided, then the others in their order."""

    version: Policy
    round: int
    at: datetime
    decided_by: str
    sentence: str
    demands: str
    expires_hours: int
    rules: list[Asked]


def of(transfer: Transfer) -> Why | None:
    """Of the round that it is in, or the last; None of what was never submitted, or was before there were policies."""
    found = transfer.assessments.select_related("policy").order_by("-round").first()
    return why_of(found) if found is not None else None


def of_each(transfers: Iterable[Transfer]) -> dict[int, Why]:
    """The same of many, by the transfer's number, of the rounds that they are in."""
    rounds = {one.pk: one.round for one in transfers}
    found = Assessment.objects.filter(transfer__in=list(rounds)).select_related("policy")
    return {one.transfer_id: why_of(one) for one in found if one.round == rounds[one.transfer_id]}


def why_of(assessment: Assessment) -> Why:
    told = json.loads(assessment.answer)
    asked = [
        Asked(place, one["rule"], one["why"], decides=one["rule"] == told["decided_by"])
        for place, one in enumerate(told["verdicts"], start=1)
    ]
    return Why(
        version=assessment.policy,
        round=assessment.round,
        at=assessment.at,
        decided_by=told["decided_by"] or "",
        sentence=told["sentence"],
        demands=rules.in_words(told["demands"]),
        expires_hours=told["expires_hours"],
        rules=sorted(asked, key=lambda one: not one.decides),
    )


def foretold(transfer: Transfer, at: datetime) -> str:
    """Of a draft: who would have to approve it, or why it could not be submitted."""
    try:
        version = policy.in_force()
    except policy.NoPolicy as none:
        return str(none)
    return in_words(assess.would_ask(transfer, at, version), version.number)


def in_words(answer: rules.Answer, number: int) -> str:
    if not answer.allowed:
        return f"It cannot be submitted. {answer.sentence} (policy version {number})"
    return (
        f"Submitted now, it would need the approval of {rules.in_words(answer.demands)}, within "
        f"{answer.expires_hours} h: the rule “{answer.decided_by}” of policy version {number}."
    )
