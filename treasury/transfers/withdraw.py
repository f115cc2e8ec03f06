"""Withdraw: whoever approved takes it back, until dispatch begins. Whoever locks the transfer first wins: a claim that
comes later finds it waiting for approval, and a withdrawal that comes later is refused."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from treasury.balances.moved import has_moved
from treasury.controls import policy
from treasury.models import State, Transfer, User, Withdrawal
from treasury.transfers import access, approvals, lifecycle, restored, rounds, telling

ACTION = "transfer.withdraw"


def withdraw(*, reference: str, checker: User, reason: str = "", at: datetime) -> Transfer:
    """Take one's own approval back. While it waits for approval, that one no longer counts, and they may decide again.
    Approved already, it needs approval again in a new round; where the policy now denies that, it is held.

    Raises access.NotAllowed, access.NotNow.
    """
    with transaction.atomic():
        transfer = lifecycle.locked(reference)
        access.insist(access.why_not_withdraw(transfer, checker))
        decision = access.own_approval(transfer, checker)
        assert decision is not None, "why_not_withdraw has refused whoever has none"
        made = Withdrawal.objects.create(decision=decision, at=at, reason=reason.strip())
        facts = {"round": transfer.round, "digest": decision.digest}
        facts |= {"reason": reason.strip()} if reason.strip() else {}
        if transfer.state == State.APPROVED:
            return _ask_again(transfer, checker, facts, at)
        facts |= {"missing": approvals.still_missing(transfer)}
        lifecycle.entry(transfer, by=checker, at=at, action=ACTION, facts=facts)
        telling.withdrawn(transfer, made)
        return transfer


def _ask_again(transfer: Transfer, checker: User, facts: dict[str, object], at: datetime) -> Transfer:
    """In a new round, for which its version of the policy is asked anew."""
    why = f"{checker} withdrew an approval"
    try:
        return rounds.begin_again(
            transfer, why=why, money=_money(transfer), by=checker, action=ACTION, at=at, facts=facts
        )
    except policy.Denied as denied:
        transfer.held = f"{why}; and {denied.sentence} Cancel it"
        lifecycle.entry(transfer, by=checker, at=at, action=ACTION, facts={**facts, "why": transfer.held})
        Transfer.objects.filter(pk=transfer.pk).update(held=transfer.held)
        return transfer


def _money(transfer: Transfer) -> str:
    """What happened to it, the first thing that people read."""
    if has_moved(transfer):
        return f"{telling.MOVED_ALREADY}."
    return f"Not sent again. {telling.CANNOT_KNOW}." if restored.unknown(transfer) else "Not sent. Nothing moved."
