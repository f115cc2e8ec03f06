"""How many people must approve: one, or two above the asset's amount."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest
from django.conf import settings

from treasury.controls.policy import demands_for
from treasury.controls.roles import CHECKERS
from treasury.models import Transfer

ABOVE = {"USDT": Decimal(10000), "BTC": Decimal("0.25"), "*": Decimal(0)}


@pytest.mark.parametrize(
    ("asset", "amount", "count"),
    [
        ("USDT", "0.000000000000000001", 1),
        ("USDT", "10000", 1),
        ("USDT", "10000.000000000000000001", 2),
        ("USDT", "999999999999999999999999", 2),
        ("BTC", "0.25", 1),
        ("BTC", "0.250000000000000001", 2),
        ("DOGE", "0.000000000000000001", 2),
        ("usdt", "1", 1),  # venues write one asset in both ways
    ],
)
def test_two_above_the_assets_amount_else_one(
    monkeypatch: pytest.MonkeyPatch, asset: str, amount: str, count: int
) -> None:
    monkeypatch.setattr(settings, "TWO_CHECKERS_ABOVE", ABOVE)
    assert demands_for(Transfer(asset=asset, amount=Decimal(amount))) == {CHECKERS: count}


def test_an_asset_that_is_named_nowhere_takes_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "TWO_CHECKERS_ABOVE", {"USDT": Decimal(10000)})
    assert demands_for(Transfer(asset="NEW", amount=Decimal("0.01"))) == {CHECKERS: 2}


def test_a_star_of_its_own_applies_to_every_asset_not_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "TWO_CHECKERS_ABOVE", {"*": Decimal(5)})
    assert demands_for(Transfer(asset="USDT", amount=Decimal(5))) == {CHECKERS: 1}
    assert demands_for(Transfer(asset="USDT", amount=Decimal("5.1"))) == {CHECKERS: 2}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("amount", "count"), [("10000", 1), ("10000.01", 2)])
def test_submit_writes_the_demands_down(submitted: Callable[..., Transfer], amount: str, count: int) -> None:
    transfer = submitted(amount=amount)
    assert list(transfer.demands.values_list("round", "group", "count")) == [(1, CHECKERS, count)]


@pytest.mark.django_db(transaction=True)
def test_a_later_change_of_the_policy_does_not_touch_what_was_submitted(
    submitted: Callable[..., Transfer], monkeypatch: pytest.MonkeyPatch
) -> None:
    transfer = submitted(amount="20000")
    monkeypatch.setattr(settings, "TWO_CHECKERS_ABOVE", {"*": Decimal(10**20)})
    assert list(transfer.demands.values_list("count", flat=True)) == [2]
