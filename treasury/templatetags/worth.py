"""How a value in the reporting currency looks: rounded, and saying that it is; the exact one is beside it."""

from __future__ import annotations

from decimal import Decimal

from django import template
from django.conf import settings
from django.utils.html import format_html
from django.utils.safestring import SafeString

from treasury.balances.valuation import rounded
from treasury.models.amount import grouped

register = template.Library()


@register.filter
def valued(value: Decimal | None) -> SafeString:
    """ "≈ 12 345.68 EUR" with the exact value as its title; "not valued" for None, which is never 0."""
    if value is None:
        return format_html('<span class="unknown">{}</span>', "not valued")
    code = settings.REPORTING_CURRENCY
    whole, _, decimals = grouped(rounded(value)).partition(".")  # two decimals always: the cents stand in a column
    text = f"{whole}.{decimals:0<2}"
    return format_html('<data class="nowrap" value="{0}" title="{1} {3}">≈ {2} {3}</data>', *told(value), text, code)


def told(value: Decimal) -> tuple[str, str]:
    """The exact value for machines and for people."""
    return format(value, "f"), grouped(value)
