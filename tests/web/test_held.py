"""What both accounts held at each attempt and each look-up, for the people who must say whether it moved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from treasury.models import LookUp, Transfer, User
from treasury.templatetags.held import held
from treasury.transfers import dispatch

pytestmark = pytest.mark.django_db

READ = "2026-11-20T11:43:02+00:00"


def test_a_transfers_page_says_what_both_accounts_held(
    sign_in: Callable[..., Client], approved: Callable[..., Transfer], maker: User
) -> None:
    transfer = approved()
    dispatch.dispatch(reference=transfer.reference, now=timezone.now)
    balances = {
        "source": {"total": "987.5", "observed_at": READ},
        "destination": {"total": None, "observed_at": READ},
    }
    LookUp.objects.create(
        transfer=transfer, at=timezone.now(), state="UNCLEAR", searched=True, found=False, balances=balances
    )
    text = sign_in(maker).get(f"/transfers/{transfer.reference}/").content.decode()
    assert "When it was claimed, by our last readings: Unified Trading held 1\u202f000 USDT, read at " in text
    assert (
        "Then, by our last readings: Unified Trading held 987.5 USDT, read at 20 Nov 2026, 11:43:02 UTC; "
        "what Funding held of USDT was not readable, asked at 20 Nov 2026, 11:43:02 UTC." in text
    )


@pytest.mark.parametrize(
    ("stored", "said"),
    [
        ({}, ""),
        ({"destination": {"total": "5", "observed_at": READ}}, "Funding held 5 USDT, read at 20 Nov"),
        ({"source": {"total": "five", "observed_at": READ}}, "what Unified Trading held is not known"),
        ({"source": {"observed_at": READ}}, "what Unified Trading held is not known"),
    ],
)
def test_what_was_not_stored_is_not_made_up(
    drafted: Callable[..., Transfer], stored: dict[str, Any], said: str
) -> None:
    assert held(stored, drafted()).startswith(said)
    assert bool(held(stored, drafted())) is bool(stored)
