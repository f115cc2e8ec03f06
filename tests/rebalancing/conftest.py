"""Bands as two operators set them, and a simulated venue with three accounts whose balances can be typed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from tests.house import set_up
from tests.journeys.conftest import short_calls as short_calls  # a fixture
from treasury.controls import bands
from treasury.controls.wanted import Wanted
from treasury.models import Account, Balance, Connection, User
from treasury.models.amount import plain

SetBand = Callable[..., None]
Holds = Callable[..., Balance]
LONG = timedelta(seconds=30)  # before any transfer of a test


@pytest.fixture
def set_band(operator: User, operator2: User) -> SetBand:
    """set_band(account, "100", "200", "300", asset="USDT", floor="50", …): two operators agree on it."""

    def make(
        account: Account, minimum: Any, target: Any, maximum: Any = "", *, asset: str = "USDT", **more: Any
    ) -> None:
        wanted = Wanted(
            account=account,
            asset=asset,
            minimum=typed(minimum),
            target=typed(target),
            maximum=typed(maximum),
            **{name: typed(value) for name, value in more.items()},
        )
        at = timezone.now()
        change = bands.propose(bands=[wanted], reason="Tests", by=operator, at=at)
        bands.confirm(change_id=change.pk, by=operator2, digest=change.digest, at=at)

    return make


def typed(value: Any) -> Any:
    return value if isinstance(value, (str, bool)) else plain(value)


@pytest.fixture
def holds() -> Holds:
    """holds(account, "12.5", movable=…, ago=…): what was read of it, as if the venue had said so just now."""

    def make(
        account: Account,
        total: str | None,
        *,
        movable: str | None = "",
        asset: str = "USDT",
        ago: timedelta = timedelta(0),
        problem: str = "",
        at: datetime | None = None,
    ) -> Balance:
        said = total if movable == "" else movable
        row, _ = Balance.objects.update_or_create(
            account=account,
            asset=asset,
            defaults={
                "total": total,
                "movable": said,
                "observed_at": (at or timezone.now()) - ago,
                "problem": problem or ("" if total is not None else "the venue did not say"),
            },
        )
        row.refresh_from_db()
        return row

    return make


@pytest.fixture
def further(connection: Connection) -> Callable[[str], Account]:
    """A further account of the connection, as our rows have it: no venue knows it."""

    def make(address: str) -> Account:
        return set_up(connection=connection, address=address, kind="UNIFIED", title=address.title())

    return make


@pytest.fixture
def banded(unified: Account, fund: Account, set_band: SetBand, holds: Holds) -> None:
    """Both hold 1000; UNIFIED should hold 100 to 500, FUND 1500 to no limit. Read half a minute ago."""
    set_band(unified, "100", "300", "500")
    set_band(fund, "1500", "1600")
    holds(unified, "1000", ago=LONG)
    holds(fund, "1000", ago=LONG)
