"""Everything that people are told of, each made to happen through the verbs and a simulated venue."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from connectors.core.errors import Refused, TryLater, Uncertain
from connectors.core.protocol import Receipt
from tests.audit.log import by_force, seal_all
from treasury.controls import stops, verify
from treasury.models import Contradiction, State, Transfer, User
from treasury.transfers import approve, assess, attempts, cancel, dispatch, lifecycle, reminders, telling

HOUR = timedelta(hours=1)


def decide(transfer: Transfer, checker: User, verb: Callable[..., Transfer] = approve.approve, **more: Any) -> Transfer:
    transfer.refresh_from_db()
    return verb(
        reference=transfer.reference,
        checker=checker,
        digest=transfer.digest,
        round=transfer.round,
        factor="password",
        at=timezone.now(),
        **more,
    )


def reject(transfer: Transfer, checker: User) -> Transfer:
    return decide(transfer, checker, approve.reject, reason="Wrong month")


def conclude(transfer: Transfer, answer: attempts.Answer) -> Transfer:
    """Sent, and answered so."""
    attempt = dispatch.claim(reference=transfer.reference, at=timezone.now())
    assert attempt is not None
    attempts.conclude(attempt_id=attempt.pk, answer=answer, now=timezone.now)
    transfer.refresh_from_db()
    return transfer


def settled(transfer: Transfer) -> Transfer:
    return conclude(transfer, Receipt(settled=True, record="V1"))


def taken(transfer: Transfer) -> Transfer:
    return conclude(transfer, Receipt(settled=False, record="V1"))


def refused(transfer: Transfer) -> Transfer:
    return conclude(transfer, Refused("Nothing moved. No such coin."))


def put_off(transfer: Transfer) -> Transfer:
    return conclude(transfer, TryLater("Later."))


def doubtful(transfer: Transfer) -> Transfer:
    return conclude(transfer, Uncertain("Perhaps."))


def sent_back(transfer: Transfer, at: datetime) -> Transfer:
    """As the dispatcher does when a guard finds that what was approved no longer fits."""
    with transaction.atomic():
        found = lifecycle.locked(transfer.reference)
        assess.begin_round(found, at)
        lifecycle.advance(
            found, State.SUBMITTED, by=dispatch.DISPATCHER, at=at, action="transfer.send_back", round=found.round + 1
        )
    transfer.refresh_from_db()
    return transfer


def expired(transfer: Transfer) -> Transfer:
    assert transfer.expires_at is not None
    return cancel.expire(reference=transfer.reference, at=transfer.expires_at)


def cancelled(transfer: Transfer, by: User) -> Transfer:
    return cancel.cancel(reference=transfer.reference, by=by, at=timezone.now())


def contradicted(transfer: Transfer) -> Contradiction:
    at = timezone.now()
    with transaction.atomic():
        made = Contradiction.objects.create(transfer=transfer, at=at, words="Bybit main has a record of it")
        telling.contradiction(made, at=at)
    return made


def nearly_expired(transfer: Transfer) -> None:
    assert transfer.expires_at is not None
    reminders.expiring(transfer.expires_at - timedelta(minutes=59))


def long_in_doubt() -> None:
    reminders.doubts(timezone.now() + timedelta(minutes=11))


def stopped(transfer: Transfer, by: User) -> stops.StopOrder:
    return stops.stop(connection=transfer.connection, reason="fire drill", by=by, at=timezone.now())


def released(order: stops.StopOrder, by: User, other: User) -> None:
    at = timezone.now()
    proposal = stops.propose_release(stop_order_id=order.pk, by=by, reason="the drill is over", at=at)
    stops.confirm_release(change_id=proposal.pk, by=other, digest=proposal.digest, at=at)


def log_broken(at: datetime | None = None) -> None:
    seal_all()
    first = "(SELECT min(id) FROM treasury_auditentry)"
    by_force(f"UPDATE treasury_auditentry SET canonical = canonical || ' ' WHERE id = {first}")
    verify.verify(at=at or timezone.now())
