"""What people call the parts of the product that act by themselves. The log keeps its own names for them."""

from __future__ import annotations

from collections.abc import Mapping

from django import template

from treasury.models import StopOrder

register = template.Library()

ACTORS: Mapping[str, str] = {
    "set-up": "the first set-up",
    "dispatcher": "the sender",
    "settle": "the look-up",
    "confirm": "the wait for a confirmation",
    "clock": "the clock",
    "refresh": "the balance reader",
    "match": "the reconciliation",
    "drift": "the watch over accounts",
    "doubt": "the watch over unknown outcomes",
    "restore": "the watch over restores",
    "first look": "the first look",
    "verifier": "the log's verifier",
    "planner": "the planner",
    "schedule": "the watch over bands",
    "order": "the order of transfers",
    "thinner": "the thinning of old readings",
    "practice": "the practice set-up",
    "rotate secrets": "the rotation of secrets",
    "shell": "the shell",
}


def called(name: str) -> str:
    """A part's name in words, as it stands within a sentence; one that is not in the table keeps its own."""
    return ACTORS.get(name, name)


@register.filter
def stopper(order: StopOrder) -> str:
    """Who stopped it: a person by their own name, a part of the product by its words."""
    return called(order.by) if order.automatic else order.who
