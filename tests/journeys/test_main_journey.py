"""Draft to proof, through real HTTP against the simulated venue."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.utils import timezone

from connectors.simulators.core import Simulator
from treasury.audit import chain
from treasury.models import AuditEntry, State, Transfer
from treasury.transfers import dispatch

pytestmark = pytest.mark.django_db(transaction=True)


def test_draft_to_settled(approved: Callable[..., Transfer], venue: Simulator) -> None:
    transfer = approved(amount="12.5")
    dispatch.dispatch(reference=transfer.reference, now=timezone.now)

    transfer.refresh_from_db()
    assert transfer.state == State.SETTLED
    assert transfer.outcome.startswith("It moved.")
    (effect,) = venue.effects(transfer.key)
    assert (effect["amount"], effect["asset"]) == ("12.5", "USDT")
    said = list(AuditEntry.objects.filter(subject=transfer.subject).order_by("id").values_list("action", flat=True))
    assert said == [
        "transfer.draft",
        "transfer.submit",
        "transfer.approve",
        "transfer.dispatch",
        "attempt.conclude",
    ]
    chain.seal(at=timezone.now())
    assert chain.verify().first_break is None
    assert chain.verify().unsealed == 0
