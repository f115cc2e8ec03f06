"""The proof of a plan's part: its sentence, and the facts behind it for whoever wants to follow."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from treasury.models import PlanGroup
from treasury.models.amount import counted, grouped
from treasury.rebalancing import certificate
from treasury.rebalancing.certificate import Certificate

UNREAD = "Nothing was planned here. Below is why."


def words_of(group: PlanGroup, titles: Mapping[int, str]) -> str:
    """What is proven of it; of a group that was not planned, that it was not."""
    if not group.certificate:
        return UNREAD
    return certificate.words(
        certificate.from_json(group.certificate), lambda key: titles.get(int(key), f"account {key}")
    )


def facts_of(group: PlanGroup) -> list[tuple[str, str]]:
    """The certificate, number by number; empty where there is none."""
    if not group.certificate:
        return []
    told = certificate.from_json(group.certificate)
    return [
        ("Transfers", str(told.count)),
        ("Needed at least", str(told.bound)),
        ("A quick plan without the search", f"needs {counted(told.greedy_count, 'transfer')}"),
        ("Moved together", f"{grouped(told.moved)} {group.asset}{', proven least' if told.moved_proven else ''}"),
        ("From the targets", f"{grouped(told.distance)} {group.asset}, all accounts together, after it"),
        ("Searched in", f"multiples of {grouped(told.unit)} {group.asset}{own(told)}"),
        *searched(told),
        ("Algorithm", f"version {told.algorithm}"),
    ]


def own(told: Certificate) -> str:
    if told.own_step:
        return ", the venue's own step"
    return ", in which nothing is lost" if told.lossless else ""


def searched(told: Certificate) -> list[tuple[str, str]]:
    if not told.solver:
        return [("Solver", "none was asked, or none was there: counting alone")]
    if not Decimal(told.spent):
        return [("Solver", told.solver)]
    capped = "; it ran out of real time" if told.capped else ""
    return [
        ("Solver", told.solver),
        ("Searched for", f"{told.spent} of at most {told.limit} deterministic seconds, seed {told.seed}{capped}"),
    ]
