"""What both accounts held, as it was stored beside an attempt or a look-up, in a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import template

from treasury.models import Transfer
from treasury.models.amount import grouped
from treasury.templatetags.treasury import on_the_clock
from treasury.transfers.evidence import Reading, reading

register = template.Library()


@register.filter
def held(stored: Mapping[str, Any], transfer: Transfer) -> str:
    """ "Funding held 1 000 USDT, read at …; Spot held …"; empty when nothing was stored."""
    accounts = (("source", transfer.source), ("destination", transfer.destination))
    return "; ".join(
        sentence(account.title, transfer.asset, reading(stored, side)) for side, account in accounts if side in stored
    )


def sentence(title: str, asset: str, found: Reading | None) -> str:
    if found is None:
        return f"what {title} held is not known"
    read = on_the_clock(found.at)
    if found.total is None:
        return f"what {title} held of {asset} was not readable, asked at {read}"
    return f"{title} held {grouped(found.total)} {asset}, read at {read}"
