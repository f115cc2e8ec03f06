"""What both accounts held, as it was stored beside an attempt or a look-up, in a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from django import template

from treasury.models import Transfer
from treasury.models.amount import grouped
from treasury.templatetags.treasury import on_the_clock

register = template.Library()


@register.filter
def held(stored: Mapping[str, Any], transfer: Transfer) -> str:
    """ "Funding held 1 000 USDT, read at …; Spot held …"; empty when nothing was stored."""
    accounts = (("source", transfer.source), ("destination", transfer.destination))
    return "; ".join(
        sentence(account.title, transfer.asset, stored[side]) for side, account in accounts if side in stored
    )


def sentence(title: str, asset: str, reading: Mapping[str, Any]) -> str:
    try:
        total = None if reading["total"] is None else Decimal(reading["total"])
        read = on_the_clock(datetime.fromisoformat(reading["observed_at"]))
    except (KeyError, TypeError, ValueError, InvalidOperation):
        return f"what {title} held is not known"
    if total is None:
        return f"what {title} held of {asset} was not readable, asked at {read}"
    return f"{title} held {grouped(total)} {asset}, read at {read}"
