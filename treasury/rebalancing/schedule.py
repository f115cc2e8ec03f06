"""Schedule: since when accounts have been outside their bands, and the plan that is asked for when that lasts.

It asks, and tells makers when the plan proposes something. It drafts nothing and sends nothing.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from datetime import datetime

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from treasury.models import Drift, Origin, Plan, PlanState, Status
from treasury.rebalancing import drift, plan
from treasury.rebalancing.drift import Group, Position

log = logging.getLogger(__name__)

Key = tuple[int, str]  # an account and an asset


def watch(*, at: datetime) -> None:
    """Note who is outside and who no longer is; ask for a plan where somebody has been for long, once each time as long
    as the plan comes to something.

    Where nobody knows how an account stands, nothing is noted of it.
    """
    groups = drift.read(at)
    with transaction.atomic():
        note(groups, at)
    if settings.DRIFT_PLAN_AFTER:
        ask(groups, at)


def note(groups: Iterable[Group], at: datetime) -> None:
    """Keep ``Drift``: a row for each account outside, gone when it is inside or has no band any more."""
    stands = {(stand.account.pk, group.asset): stand for group in groups for stand in group.stands}
    outside = [key for key, stand in stands.items() if stand.is_outside]
    unknown = {key for key, stand in stands.items() if stand.position == Position.UNKNOWN}
    kept = unknown.union(outside)
    over = [row.pk for row in Drift.objects.all() if (row.account_id, row.asset) not in kept]
    Drift.objects.filter(pk__in=over).delete()
    rows = [Drift(account_id=account, asset=asset, since=at) for account, asset in outside]
    Drift.objects.bulk_create(rows, ignore_conflicts=True)


def ask(groups: Iterable[Group], at: datetime) -> None:
    """Ask for a plan of each group in which somebody has been outside for long and nobody asked because of it yet; and
    again after as long, if nothing came of the last one.

    A group with an unreadable or frozen account waits until that is over: its plan would only say so.
    """
    before = at - settings.DRIFT_PLAN_AFTER
    lasting = Drift.objects.filter(Q(told_at=None) | Q(told_at__lte=before), since__lte=before)
    due = {(row.account_id, row.asset): row for row in lasting}
    for group in groups:
        rows = [row for stand in group.outside if (row := due.get((stand.account.pk, group.asset)))]
        if not rows or any(stand.frozen or stand.why_unknown for stand in group.stands):
            continue
        if all(row.told_at for row in rows) and not came_to_nothing(group):
            continue
        try:
            with transaction.atomic():
                if lasting.filter(pk__in=[row.pk for row in rows]).update(told_at=at):
                    plan.ask(by=None, at=at, origin=Origin.SCHEDULE, connection=group.connection, asset=group.asset)
        except plan.NotPlanned as gone:  # the band was removed meanwhile
            log.info("no plan of %s %s: %s", group.connection, group.asset, gone)


def came_to_nothing(group: Group) -> bool:
    """Whether the last plan that the clock asked for of the group said nothing of what helps it: it failed, or numbers
    were not known, or there was no transfer while accounts were frozen."""
    words = {"connection": group.connection, "asset": group.asset}
    last = Plan.objects.filter(origin=Origin.SCHEDULE, **words).order_by("-pk").first()
    if last is None or last.state != PlanState.READY:
        return last is None or last.state == PlanState.FAILED
    part = last.groups.filter(second_step=False, **words).first()
    if part is None or part.status == Status.REFUSED:
        return True
    return not part.lines.exists() and any(one["frozen"] for one in json.loads(part.inputs)["accounts"])
