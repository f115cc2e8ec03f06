"""Bands as two people set them, for pages that are about them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils import timezone

from treasury.controls import bands
from treasury.controls.wanted import Wanted
from treasury.models import Account, User

Limits = tuple[str, str, str]  # minimum, target, maximum; "" is no maximum


def set_bands(wanted: Mapping[Account, Limits], first: User, second: User, *, asset: str = "USDT", **more: Any) -> None:
    """Propose these bands as the first operator, and confirm them as the second."""
    at = timezone.now()
    rows = [
        Wanted(account=account, asset=asset, minimum=low, target=target, maximum=high, **more)
        for account, (low, target, high) in wanted.items()
    ]
    change = bands.propose(bands=rows, reason="As agreed in March", by=first, at=at)
    bands.confirm(change_id=change.pk, by=second, digest=change.digest, at=at)
