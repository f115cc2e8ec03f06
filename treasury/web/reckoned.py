"""Before and after: each account of a plan's group, by the very numbers that it was reckoned from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from treasury.models import Account, PlanGroup, PlanLine, Transfer, Unit
from treasury.models.amount import grouped
from treasury.rebalancing import inputs as stored
from treasury.rebalancing.problem import Party
from treasury.web.charts import bands
from treasury.web.charts.bands import Bar, Chart, Place
from treasury.web.drifting import asks_for_more

AFTER = "after these transfers"


@dataclass(frozen=True)
class Reckoned:
    """One account as the plan was reckoned from it; amounts in units of the asset, None where not known."""

    account: int
    title: str
    held: Decimal | None
    minimum: Decimal | None
    target: Decimal | None
    maximum: Decimal | None
    observed_at: datetime | None
    total: Decimal | None = None  # as it was read; ``held`` counts what waits as well
    waiting: tuple[tuple[str, Decimal], ...] = ()  # the transfers that wait, and what each brings or takes

    @property
    def overdrawn(self) -> str:
        """Which transfers ask for more than it held; empty where none do."""
        leaving = [(name, -change) for name, change in self.waiting if change < 0]
        if self.held is None or self.total is None or not leaving or self.held >= 0:
            return ""
        amount = sum((amount for _, amount in leaving), Decimal(0))
        return asks_for_more([name for name, _ in leaving], amount, self.title, self.total)


def reckoned_from(group: PlanGroup) -> list[Reckoned]:
    """The accounts of a group by its stored inputs: what was true then, whatever is true now. Between connections,
    each is named with its own."""
    problem = stored.problem_in(group.inputs)
    parties = {one.key: one for one in problem.parties} if problem else {}
    told = json.loads(group.inputs)["accounts"]
    found = [reckoned(one, parties.get(str(one["account"]))) for one in told]
    if not group.second_step:
        return found
    named = Account.objects.select_related("connection").in_bulk([one.account for one in found])
    return [replace(one, title=str(named[one.account])) for one in found]


def reckoned(told: Mapping[str, Any], party: Party | None) -> Reckoned:
    """Of a group that was refused there are no parties: a band in shares then has no amounts."""
    band = told["band"] if told["band"]["unit"] == Unit.AMOUNT else {}
    observed = told["observed_at"]
    return Reckoned(
        account=told["account"],
        title=told["title"],
        held=number(told["expected"]),
        minimum=party.minimum if party else number(band.get("minimum")),
        target=party.target if party else number(band.get("target")),
        maximum=party.maximum if party else number(band.get("maximum")),
        observed_at=datetime.fromisoformat(observed) if observed else None,
        total=number(told["total"]),
        waiting=tuple((one["reference"], Decimal(one["change"])) for one in told["on its way"]),
    )


def number(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def drift_of(
    group: PlanGroup, inputs: Sequence[Reckoned], moves: Sequence[tuple[PlanLine | Transfer, Decimal]]
) -> Chart:
    """Each account before and after, by the numbers that the plan was reckoned from."""
    change: dict[int, Decimal] = {}
    for line, amount in moves:
        change[line.source_id] = change.get(line.source_id, Decimal(0)) - amount
        change[line.destination_id] = change.get(line.destination_id, Decimal(0)) + amount
    places = [place(group, one, change.get(one.account, Decimal(0))) for one in inputs]
    return bands.chart(places, asset=group.asset, then=AFTER)


def place(group: PlanGroup, one: Reckoned, moved: Decimal) -> Place:
    return Place(
        name=f"part-{group.pk}-account-{one.account}",
        title=one.title,
        minimum=one.minimum,
        target=one.target,
        maximum=one.maximum,
        now=one.held,
        after=one.held + moved if moved and one.held is not None else None,
    )


def ends_outside(chart: Chart) -> list[str]:
    """Which accounts end outside their bands, in words."""
    return [
        f"{bar.place.title} would hold {grouped(bar.place.then or Decimal(0))}: {bands.off_in_words(off)}."
        for bar in chart.bars
        if (off := off_then(bar))
    ]


def off_then(bar: Bar) -> Decimal | None:
    """How far outside it is after all that is drawn of it; 0 inside, None where that is not known."""
    return bands.distance(bar.place.then, bar.place.minimum, bar.place.maximum)
