"""Rounds: a transfer is asked about, the policy says who must approve it; sent back, it is asked about anew."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from treasury.audit.record import Actor
from treasury.balances.holdings import balance_of
from treasury.controls import rules
from treasury.models import State, Transfer
from treasury.transfers import assess, lifecycle


def begin_again(
    transfer: Transfer,
    *,
    why: str,
    money: str,
    by: Actor,
    action: str,
    at: datetime,
    facts: Mapping[str, Any],
) -> Transfer:
    """Back to SUBMITTED in a new round, for which its version of the policy is asked anew. ``money``: what happened to
    it, the first thing that people read.

    Raises policy.Denied where its version does not let it; then nothing has changed.
    """
    answer = assess.begin_round(transfer, at)
    return lifecycle.advance(
        transfer,
        State.SUBMITTED,
        by=by,
        at=at,
        action=action,
        facts={**facts, "round": transfer.round + 1, **told(answer, transfer)},
        round=transfer.round + 1,
        **seen(transfer),
        outcome=f"{money} It needs approval again: {why}.",
    )


def seen(transfer: Transfer) -> dict[str, Any]:
    """What the source held when the round that begins was asked for, and when that was read."""
    held = balance_of(transfer.source, transfer.asset)
    if held is None or held.total is None:
        return {"seen_total": None, "seen_at": None}
    return {"seen_total": held.total, "seen_at": held.observed_at}


def told(answer: rules.Answer, transfer: Transfer) -> dict[str, Any]:
    """What the log says of the policy's answer for the round that begins."""
    asked = transfer.assessments.select_related("policy").latest("round")
    return {"demands": dict(answer.demands), "policy": asked.policy.number, "rule": answer.decided_by}
