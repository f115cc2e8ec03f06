"""What must be approved by whom. For now two settings; versioned rules come behind the same call."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from django.conf import settings

from treasury.controls.roles import CHECKERS
from treasury.models import Transfer


def demands_for(transfer: Transfer) -> Mapping[str, int]:
    """How many people of which group must approve: {group: count}, never empty.

    One checker, or two above the asset's amount in settings.TWO_CHECKERS_ABOVE ("*": assets not named).
    """
    above: Mapping[str, Decimal] = settings.TWO_CHECKERS_ABOVE
    limit = above.get(transfer.asset.upper(), above.get("*", Decimal(0)))
    return {CHECKERS: 2 if transfer.amount > limit else 1}
