"""What stop orders hold: which approved transfers, and how much of each asset. It is sent once they are released."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.db.models import Count, IntegerField, QuerySet, Sum, Value
from django.urls import reverse
from django.utils.html import format_html, format_html_join

from treasury.controls import stops
from treasury.models import State, StopOrder, Transfer
from treasury.models.amount import grouped

NAMED = 5  # transfers that a sentence names; of the rest it says how many


@dataclass(frozen=True)
class Held:
    """``references`` are the oldest NAMED of ``count``; ``sums`` is what all of them would move, by asset."""

    count: int
    references: list[str] = field(default_factory=list)
    sums: dict[str, Decimal] = field(default_factory=dict)


def by(orders: Sequence[StopOrder]) -> dict[int, Held]:
    """What each order holds, by its number; two queries, however many orders and transfers there are."""
    if not orders:
        return {}
    names, amounts = named(orders), totals(orders)
    return {
        order.pk: Held(
            count=sum(count for count, _ in amounts[order.pk].values()),
            references=names[order.pk],
            sums={asset: total for asset, (_, total) in amounts[order.pk].items()},
        )
        for order in orders
    }


def approved(order: StopOrder) -> QuerySet[Transfer]:
    return Transfer.objects.filter(stops.covered_by(order), state=State.APPROVED)


def named(orders: Sequence[StopOrder]) -> dict[int, list[str]]:
    """The references of the oldest that each order holds."""
    each = [
        approved(order)
        .annotate(stop=Value(order.pk, output_field=IntegerField()))
        .order_by("pk")
        .values_list("stop", "reference")[:NAMED]
        for order in orders
    ]
    found: dict[int, list[str]] = defaultdict(list)
    for stop, reference in each[0].union(*each[1:], all=True):
        found[stop].append(reference)
    return {order.pk: sorted(found[order.pk]) for order in orders}


def totals(orders: Sequence[StopOrder]) -> dict[int, dict[str, tuple[int, Decimal]]]:
    """How many transfers of each asset an order holds, and what they would move together."""
    asked = {f"count_{order.pk}": Count("pk", filter=stops.covered_by(order)) for order in orders}
    sums = {f"sum_{order.pk}": Sum("amount", filter=stops.covered_by(order)) for order in orders}
    rows: Iterable[Mapping[str, Any]] = (
        Transfer.objects.filter(state=State.APPROVED).order_by("asset").values("asset").annotate(**asked, **sums)
    )
    found: dict[int, dict[str, tuple[int, Decimal]]] = {order.pk: {} for order in orders}
    for row in rows:
        for order in orders:
            if count := row[f"count_{order.pk}"]:
                found[order.pk][row["asset"]] = (count, row[f"sum_{order.pk}"])
    return found


def sent_then(held: Held) -> str:
    """What the end of the stop means for what it holds: nothing of it was sent before."""
    if held.count == 0:
        return "It holds no approved transfer now, so nothing is sent by its release."
    links = ((reverse("transfer", args=[one]), one) for one in held.references)
    which = format_html_join(", ", '<a class="nowrap" href="{}">{}</a>', links)
    more = f" and {held.count - len(held.references)} more" if held.count > len(held.references) else ""
    sums = listed([f"{grouped(total)} {asset}" for asset, total in held.sums.items()])
    if held.count == 1:
        one = "The approved transfer it holds is sent as soon as nothing else stands in its way: {}, {}."
        return format_html(one, which, sums)
    many = "The {} approved transfers it holds are sent as soon as nothing else stands in their way: {}{}; {} together."
    return format_html(many, held.count, which, more, sums)


def listed(words: Sequence[str]) -> str:
    """ "1 BTC, 2 ETH and 3 USDT"."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
