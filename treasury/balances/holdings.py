"""Questions about stored balances. A number older than the limit is stale, and says so."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.db.models import QuerySet

from treasury.models import Account, Balance


def balance_of(account: Account, asset: str) -> Balance | None:
    return Balance.objects.filter(account=account, asset=asset).first()


def all_balances() -> QuerySet[Balance]:
    """Every stored balance with its account and connection, in the order that pages show."""
    return Balance.objects.select_related("account__connection").order_by(
        "account__connection__name", "account__address", "asset"
    )


def is_stale(balance: Balance, at: datetime) -> bool:
    return bool(at - balance.observed_at > settings.BALANCE_STALE_AFTER)
