"""The checker's inbox."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from django.http import HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from treasury.controls.roles import CHECKERS, holds
from treasury.models import Plan, Transfer
from treasury.transfers import queries
from treasury.web.htmx import Request, answer
from treasury.web.transfers import refused_without_role


@require_safe
def show(request: Request) -> HttpResponse:
    at = timezone.now()
    if without_role := refused_without_role(request, "approvals"):
        return without_role
    waiting = list(queries.waiting_for(request.user, at).select_related("planned__group__plan"))
    others = list(queries.with_standing(queries.waiting_for_others(request.user, at), at))
    context = {
        "at": at,
        "is_checker": holds(request.user, CHECKERS),
        "waiting": waiting,
        "lots": lots_of(waiting),
        "others": others,
    }
    return answer(request, "approvals/show.html", "approvals/_inbox.html", context)


@dataclass(frozen=True)
class Lot:
    """What is shown together: several transfers of one plan, or, of ``plan`` None, transfers each for itself."""

    plan: Plan | None
    transfers: list[Transfer]


def lots_of(waiting: Sequence[Transfer]) -> list[Lot]:
    """In the order in which they expire; those of one plan stand where its first one would."""
    count = Counter(plan.pk for one in waiting if (plan := plan_of(one)))
    lots: list[Lot] = []
    of_plan: dict[int, Lot] = {}
    for one in waiting:
        plan = plan_of(one)
        if plan is not None and count[plan.pk] > 1:
            if plan.pk not in of_plan:
                lots.append(of_plan.setdefault(plan.pk, Lot(plan, [])))
            of_plan[plan.pk].transfers.append(one)
        elif lots and lots[-1].plan is None:
            lots[-1].transfers.append(one)
        else:
            lots.append(Lot(None, [one]))
    return lots


def plan_of(transfer: Transfer) -> Plan | None:
    return transfer.planned.group.plan if transfer.planned else None
