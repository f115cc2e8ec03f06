"""Bands: where each account should stand, proposed by one and confirmed by another."""

from __future__ import annotations

from django.db.models import QuerySet

from treasury.models import Account, Band


def current() -> QuerySet[Band]:
    """The bands in force: the newest of each account and asset, unless that removed it."""
    newest = Band.objects.order_by("account_id", "asset", "-id").distinct("account_id", "asset")
    found = Band.objects.filter(pk__in=newest.values("pk"), removed=False)
    return found.select_related("account__connection").order_by(
        "account__connection__name", "asset", "account__address"
    )


def band_of(account: Account, asset: str) -> Band | None:
    """The band in force of one account and asset."""
    newest = Band.objects.filter(account=account, asset=asset).order_by("-id").first()
    return None if newest is None or newest.removed else newest
