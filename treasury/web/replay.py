"""Replay: what the policy answered of a transfer, reckoned again under its own version, and what it would say today."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.http import HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from treasury.controls import policy, rules
from treasury.models import Assessment, State, Transfer
from treasury.transfers import assess
from treasury.web import refusals
from treasury.web.htmx import Request, answer
from treasury.web.transfers import seen
from treasury.web.why import Why, in_words, why_of

NOT_TOLD = "—"


@dataclass(frozen=True)
class Replayed:
    """A stored answer beside the same question reckoned again. ``holds``: letter for letter the same."""

    why: Why
    holds: bool
    again: str
    circumstances: list[tuple[str, str]]
    digest: str


@dataclass(frozen=True)
class Today:
    """What the version in force would say if it were submitted now."""

    version: int
    sentence: str
    same: bool


@require_safe
def show(request: Request, reference: str) -> HttpResponse:
    """Each round's answer, reckoned again under its own version; and what today's policy would say."""
    at = timezone.now()
    try:
        transfer = seen(request, reference)
    except refusals.REFUSALS as refusal:
        return refusals.refuse(request, refusal, action="transfer.see", subject=f"transfer:{reference}")
    rounds = [replayed(one) for one in transfer.assessments.select_related("policy").order_by("-round")]
    context: dict[str, Any] = {"at": at, "transfer": transfer, "rounds": rounds, "today": today(transfer, rounds, at)}
    return answer(request, "why/show.html", "why/_why.html", context)


def replayed(assessment: Assessment) -> Replayed:
    again = assess.replay(assessment)
    return Replayed(
        why=why_of(assessment),
        holds=assess.holds(assessment),
        again=again.sentence,
        circumstances=list(in_rows(json.loads(assessment.circumstances))),
        digest=assessment.policy.digest,
    )


def in_rows(circumstances: dict[str, Any]) -> list[tuple[str, str]]:
    """Everything that the rules were asked about, one word to a row."""
    rows = []
    for name, said in sorted(circumstances.items()):
        if isinstance(said, dict):
            rows += [(f"{name}, {key}", NOT_TOLD if one is None else str(one)) for key, one in sorted(said.items())]
        elif isinstance(said, list):
            rows.append((name, ", ".join(map(str, said)) or NOT_TOLD))
        else:
            rows.append((name, NOT_TOLD if said is None else str(said)))
    return rows


def today(transfer: Transfer, rounds: list[Replayed], at: datetime) -> Today | None:
    """None where there is no policy, and of what has ended: nobody submits that again."""
    if transfer.has_ended and transfer.state != State.DRAFT:
        return None
    try:
        version = policy.in_force()
    except policy.NoPolicy:
        return None
    answer_now = assess.would_ask(transfer, at, version)
    before = rounds[0].why if rounds else None
    same = before is not None and answer_now.allowed and rules.in_words(answer_now.demands) == before.demands
    return Today(version.number, in_words(answer_now, version.number), same)
