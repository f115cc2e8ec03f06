"""Dispatch: take one approved transfer through the three acts, or leave it where a guard's objection puts it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from treasury.balances.holdings import balance_of
from treasury.balances.refresh import NotRead, refresh
from treasury.controls import policy, stops
from treasury.models import Account, Attempt, Connection, Kind, State, Transfer
from treasury.transfers import attempts, guards, lifecycle, rounds
from treasury.transfers.alarms import alarm
from treasury.transfers.attempts import DISPATCHER, HELD_AGAIN, SEND_WITHIN

log = logging.getLogger(__name__)


def dispatch(*, reference: str, now: Callable[[], datetime]) -> None:
    """Claim, call, conclude; ``now`` is the clock, read anew for each act since they may be seconds apart."""
    read_source_if_old(reference=reference, now=now)
    attempt = claim(reference=reference, at=now())
    if attempt is not None:
        attempts.conclude(attempt_id=attempt.pk, answer=attempts.call(attempt), now=now)


def read_source_if_old(*, reference: str, now: Callable[[], datetime]) -> None:
    """Before the claim: read the source's balance again where the stored one is older than a claim allows."""
    transfer = Transfer.objects.select_related("source__connection").get(reference=reference)
    if transfer.source.connection.by_hand:  # nobody can ask for it; the guard says whether it is too old
        return
    held = balance_of(transfer.source, transfer.asset)
    # A little less than the age leaves time for the claim; what settled since the reading makes it old as well.
    at = now()
    young = settings.BALANCE_MAX_AGE - SEND_WITHIN
    if held is not None and held.movable is not None and timedelta(0) <= at - held.observed_at < young:
        touching = Transfer.objects.filter(Q(source=transfer.source) | Q(destination=transfer.source))
        settled = touching.filter(asset=transfer.asset, state=State.SETTLED, changed_at__gte=held.observed_at)
        if not settled.exists():
            return
    try:
        refresh(connection=transfer.source.connection, at=at)
    except NotRead as problem:
        log.warning("%s: balance not read before the claim: %s", reference, problem)  # the guard holds it


def claim(*, reference: str, at: datetime) -> Attempt | None:
    """An attempt that may now be made, exactly once; None when there is nothing to send, or a guard objects."""
    with transaction.atomic(durable=True):
        stops.claim_lock()
        transfer = lifecycle.locked(reference)
        if transfer.state != State.APPROVED or transfer.due_at is None or transfer.due_at > at:
            return None
        # Limits count over the connection, money over the account: claims of either wait for each other.
        Connection.objects.select_for_update().get(pk=transfer.connection_id)
        Account.objects.select_for_update().get(pk=transfer.source_id)
        found = guards.objection(transfer, at=at)
        if found is None:
            return attempts.enter(transfer, kind=Kind.SEND, at=at, action="transfer.dispatch")
        _object(transfer, found, at)
    if isinstance(found, guards.Alarm):
        attempts.stop_for(transfer, found, at)
    return None


def _object(transfer: Transfer, found: guards.Objection, at: datetime) -> None:
    """Give a guard's objection its outcome."""
    words = found.words
    if isinstance(found, guards.Expire):
        lifecycle.advance(transfer, State.EXPIRED, by=DISPATCHER, at=at, action="transfer.expire", outcome=words)
    elif isinstance(found, guards.SendBack):
        _send_back(transfer, found, at)
    else:
        if transfer.held != words:  # say it once, not at each tick
            lifecycle.entry(transfer, by=DISPATCHER, at=at, action="transfer.hold", facts={"why": words})
            if isinstance(found, guards.Alarm):
                alarm(transfer, words, by=DISPATCHER, at=at)
        retry_at = found.retry_at if isinstance(found, guards.Hold) else None
        Transfer.objects.filter(pk=transfer.pk).update(held=words, due_at=retry_at or at + HELD_AGAIN)


def _send_back(transfer: Transfer, found: guards.SendBack, at: datetime) -> None:
    """In a new round, for which its version of the policy is asked anew."""
    try:
        rounds.begin_again(
            transfer,
            why=found.words,
            money=found.money,
            by=DISPATCHER,
            action="transfer.send_back",
            at=at,
            facts={"why": found.words},
        )
    except policy.Denied as denied:
        _object(transfer, guards.Hold(f"{found.words}; and {denied.sentence} Cancel it"), at)
