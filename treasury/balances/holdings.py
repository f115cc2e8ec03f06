"""Questions about stored balances. A number older than the limit is stale, and says so."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import QuerySet

from treasury import venues
from treasury.models import Account, Balance


def balance_of(account: Account, asset: str) -> Balance | None:
    return Balance.objects.filter(account=account, asset=asset).select_related("account__connection").first()


def code_at(account: Account, asset: str) -> str:
    """How this account writes the asset: what one venue calls USDT, another may call usdt."""
    held = set(account.balances.filter(asset__iexact=asset).values_list("asset", flat=True))
    return asset if asset in held or len(held) != 1 else held.pop()


def is_none_of_others(account: Account, rows: Collection[Balance]) -> bool:
    """Whether the account, whose balances these are, holds none of an asset that they do not name: a complete answer
    says so. Where one could not be read, or people state what there is, nobody has said it."""
    return bool(rows) and all(one.total is not None for one in rows) and not account.connection.by_hand


def all_balances() -> QuerySet[Balance]:
    """Every stored balance with its account and connection, in the order that pages show."""
    return Balance.objects.select_related("account__connection").order_by(
        "account__connection__name", "account__address", "asset"
    )


def assets_held() -> list[str]:
    """The assets, in capitals, of which some account holds something, or may hold something as nobody could read it."""
    there = Balance.objects.exclude(total=0).order_by().values_list("asset", flat=True).distinct()
    return sorted({asset.upper() for asset in there})


def is_stale(balance: Balance, at: datetime) -> bool:
    return at - balance.observed_at > stale_after(balance.account.connection.venue)


def stale_after(venue: str) -> timedelta:
    """How long a number of this venue is good for: as the environment says of it by name, then as its module declares,
    then as the environment says of all others, then as the house does."""
    by_name: Mapping[str, timedelta] = settings.STALE_AFTER
    declared = venues.declared(venue).stale_after
    return by_name.get(venue) or declared or by_name.get("*") or settings.BALANCE_STALE_AFTER
