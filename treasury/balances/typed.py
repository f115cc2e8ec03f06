"""Balances that no API reads: one person states what an account holds and hands in the evidence, another confirms it.

From then on it counts as a reading of the moment that was stated: it explains changes, it grows stale, and it is in the
history.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction

from treasury.balances import movements, snapshots
from treasury.balances.holdings import balance_of, code_at
from treasury.balances.refresh import a_code
from treasury.controls import changes
from treasury.models import Account, Balance, Change, Connection, User
from treasury.models.amount import NotPlain, parsed, plain
from treasury.models.clock import on_the_clock

STATE = "balance.state"
CLOCKS_AGREE = timedelta(seconds=2)
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)  # nothing was kept so long ago, and clocks and intervals end somewhere


class NotStated(Exception):
    """The words are no balance. ``problems`` is {field: sentence}, "" for all of it; nothing was written."""

    def __init__(self, problems: dict[str, str]) -> None:
        super().__init__(" ".join(problems.values()))
        self.problems = problems


class NewerKnown(Exception):
    """What is stated is older than what is known by now. Nothing was changed; the proposal still waits."""


@dataclass(frozen=True)
class Stated:
    """What somebody states. ``total`` and ``movable`` as typed; no movable: all of it is. ``seen_at``: when it was."""

    account: Account
    asset: str
    total: str
    seen_at: datetime | None
    movable: str = ""


def propose(*, stated: Stated, reason: str, files: Sequence[changes.File], by: User, at: datetime) -> Change:
    """State what an account by hand holds; ``files`` is what shows it.

    Raises changes.MayNotChange, changes.NotSaid, changes.NotWaiting, NotStated.
    """
    account = stated.account
    with transaction.atomic():
        if refusal := changes.why_not_propose(STATE, by):
            raise changes.MayNotChange(refusal)
        Account.objects.select_for_update().get(pk=account.pk)  # two of one asset are never stated at once
        words = checked(stated, at)
        if not files:
            raise changes.NotSaid("Nothing was proposed. Hand in a file that shows it, such as a statement.")
        alike = {"words__account": account.pk, "words__asset__iexact": words["asset"]}
        if changes.waiting().filter(kind=STATE, **alike).exists():
            raise changes.NotWaiting(
                f"Nothing was proposed. What {account.title} holds of {words['asset']} is stated already and waits."
            )
        subject = account.connection.subject
        return changes.propose(kind=STATE, subject=subject, words=words, reason=reason, by=by, at=at, files=files)


def checked(stated: Stated, at: datetime) -> dict[str, Any]:
    """The words of the proposal. Raises NotStated."""
    account, problems = stated.account, {}
    if not account.connection.by_hand:
        problems["account"] = f"{account} is read from its venue; nobody types in what it holds."
    asset = code_at(account, stated.asset.strip())
    if not a_code(asset):
        problems["asset"] = "Enter the asset, such as USDT."
    total, movable = amount_of("total", stated.total, problems), amount_of("movable", stated.movable, problems)
    if total is None:
        problems.setdefault("total", "Enter what it holds; 0 is a number too.")
    elif movable is not None and movable > total:
        problems["movable"] = "No more can be moved than it holds."
    if wrong := why_not_seen(stated.seen_at, balance_of(account, asset), at):
        problems["seen_at"] = wrong
    if problems or total is None or stated.seen_at is None:
        raise NotStated(problems)
    return {
        "account": account.pk,
        "address": account.address,
        "asset": asset,
        "total": plain(total),
        "movable": plain(total if movable is None else movable),
        "observed_at": stated.seen_at.isoformat(),
    }


def amount_of(name: str, typed: str, problems: dict[str, str]) -> Decimal | None:
    try:
        return parsed(typed) if typed.strip() else None
    except NotPlain as wrong:
        problems[name] = str(wrong)
        return None


def why_not_seen(seen_at: datetime | None, held: Balance | None, at: datetime) -> str | None:
    """Why a number of that moment says nothing now."""
    if seen_at is None:
        return "Say when it held that, by the evidence."
    if seen_at < EARLIEST:
        return "Nothing was kept so long ago."
    if seen_at > at + CLOCKS_AGREE:
        return "That moment has not come yet."
    if held is not None and held.total is not None and seen_at <= held.observed_at:
        return f"What it held at {on_the_clock(held.observed_at)} is known already; state something newer."
    return None


def confirm(*, change_id: int, by: User, digest: str, at: datetime) -> Balance:
    """Another person's word: the number counts from now on. Outside any transaction, since what it shows may stop a
    quiet account.

    Raises changes.MayNotChange, changes.NotWaiting, changes.OtherChange, NewerKnown.
    """
    with transaction.atomic(durable=True):
        change = changes.confirm(change_id=change_id, kind=STATE, by=by, digest=digest, at=at)
        words = change.words
        account = Account.objects.select_related("connection").get(pk=words["account"])
        Connection.objects.select_for_update().get(pk=account.connection_id)
        asset = code_at(account, words["asset"])  # written otherwise meanwhile, it is the same asset all the same
        held = balance_of(account, asset)
        seen_at = datetime.fromisoformat(words["observed_at"])
        if wrong := why_not_seen(seen_at, held, at):
            raise NewerKnown(f"Nothing was changed. {wrong}")
        was = None if held is None else told(held)
        balance = stored(account, asset, words, seen_at)
        snapshots.keep(account.connection, at=at)
        unexplained = movements.note(account.connection)
        facts = {"address": account.address, "asset": balance.asset, "was": was, "is": told(balance)}
        changes.entry(change, by=by, at=at, action=STATE, facts=facts)
    movements.trip(unexplained, at=at)
    return balance


def stored(account: Account, asset: str, words: dict[str, Any], seen_at: datetime) -> Balance:
    numbers = {"total": Decimal(words["total"]), "movable": Decimal(words["movable"])}
    balance, _ = Balance.objects.update_or_create(
        account=account, asset=asset, defaults={**numbers, "observed_at": seen_at, "problem": ""}
    )
    return balance


def told(balance: Balance) -> dict[str, Any]:
    return {"total": balance.total, "movable": balance.movable, "observed_at": balance.observed_at}
