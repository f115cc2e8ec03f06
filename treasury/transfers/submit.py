"""Submit: the words freeze, the key is minted, the demands are written, checkers are asked."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.db import transaction

from treasury.balances.holdings import balance_of
from treasury.controls import policy
from treasury.models import Demand, State, Transfer, User
from treasury.models.amount import plain
from treasury.transfers import access, draft, instruction, lifecycle


def submit(*, reference: str, maker: User, at: datetime) -> Transfer:
    """Ask for approval. Raises access.NotAllowed, access.NotNow, draft.Invalid; then nothing has changed."""
    with transaction.atomic():
        transfer = lifecycle.locked(reference)
        access.insist(access.why_not_edit(transfer, maker))
        draft.checked(  # accounts and routes may have changed since it was drafted
            draft.Words(transfer.source, transfer.destination, transfer.asset, plain(transfer.amount), transfer.reason),
            at,
        )
        transfer.key = uuid4()
        text = instruction.compose(transfer)
        digest = instruction.digest(text)
        demands = write_demands(transfer)
        return lifecycle.advance(
            transfer,
            State.SUBMITTED,
            by=maker,
            at=at,
            action="transfer.submit",
            facts={"digest": digest, "instruction": text, "demands": demands, "round": 1},
            key=transfer.key,
            instruction=text,
            digest=digest,
            round=1,
            **seen(transfer),
            submitted_at=at,
            expires_at=at + settings.APPROVAL_EXPIRES_AFTER,
        )


def seen(transfer: Transfer) -> dict[str, Any]:
    """What the source held when the round that begins was asked for, and when that was read."""
    held = balance_of(transfer.source, transfer.asset)
    if held is None or held.total is None:
        return {"seen_total": None, "seen_at": None}
    return {"seen_total": held.total, "seen_at": held.observed_at}


def write_demands(transfer: Transfer) -> dict[str, int]:
    """Write what the policy demands for the round that is about to begin."""
    demands = dict(policy.demands_for(transfer))
    Demand.objects.bulk_create(
        Demand(transfer=transfer, round=transfer.round + 1, group=group, count=count)
        for group, count in demands.items()
    )
    return demands
