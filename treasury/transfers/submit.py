"""Submit: the words freeze, the key is minted, the policy says who must approve, checkers are asked."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import uuid4

from django.conf import settings
from django.db import transaction

from treasury.models import State, Transfer, User
from treasury.models.amount import plain
from treasury.transfers import access, assess, draft, instruction, lifecycle, limits, rounds


def submit(*, reference: str, maker: User, at: datetime) -> Transfer:
    """Ask for approval. What the policy does not cover is denied, and so is what would pass a limit.

    Raises access.NotAllowed, access.NotNow, draft.Invalid, policy.NoPolicy, policy.Denied; then nothing has changed.
    """
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
        answer = assess.begin_round(transfer, at)
        limits.insist(transfer, at)
        return lifecycle.advance(
            transfer,
            State.SUBMITTED,
            by=maker,
            at=at,
            action="transfer.submit",
            facts={"digest": digest, "instruction": text, "round": 1, **rounds.told(answer, transfer)},
            key=transfer.key,
            instruction=text,
            digest=digest,
            round=1,
            **rounds.seen(transfer),
            submitted_at=at,
            expires_at=at + timedelta(hours=answer.expires_hours) / settings.TIME_SCALE,
        )
