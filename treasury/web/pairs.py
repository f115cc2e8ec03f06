"""Who approves whose transfers, and how often: for rotating duties, and for seeing who only ever meets whom."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Max
from django.http import HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from treasury.models import Change, Decision, Ruling, User, Verdict
from treasury.web.htmx import Request, answer, whole
from treasury.web.transfers import refused_without_role

DAYS, DAYS_MOST = 90, 3660
SHOWN = 200


@dataclass(frozen=True)
class Pair:
    """How often one person asked and the other said yes; ``share`` is of all that the first one asked, in percent."""

    asked: str
    answered: str
    count: int
    share: int
    last: datetime


@require_safe
def show(request: Request) -> HttpResponse:
    if without_role := refused_without_role(request, "pairs"):
        return without_role
    at = timezone.now()
    days = min(whole(request.GET.get("days", "")) or DAYS, DAYS_MOST)
    since = at - timedelta(days=days)
    transfers, proposals = of_transfers(since), of_changes(since)
    context = {
        "at": at,
        "days": days,
        "since": since,
        "transfers": transfers[:SHOWN],
        "changes": proposals[:SHOWN],
        "approvals": sum(one.count for one in transfers),
        "confirmations": sum(one.count for one in proposals),
        "person": request.user,
    }
    return answer(request, "pairs/show.html", "pairs/_pairs.html", context)


def of_transfers(since: datetime) -> list[Pair]:
    """Each maker and each checker who approved, those who met most often first; what was taken back counts too, since
    it was given."""
    rows = (
        Decision.objects.filter(verdict=Verdict.APPROVE, at__gte=since)
        .order_by()
        .values_list("transfer__maker__person", "by__person")
        .annotate(count=Count("pk"), last=Max("at"))
    )
    return pairs(list(rows))


def of_changes(since: datetime) -> list[Pair]:
    """Each proposer and each person who confirmed."""
    rows = (
        Change.objects.filter(ruling=Ruling.APPLIED, decided_at__gte=since, proposed_by__isnull=False)
        .order_by()
        .values_list("proposed_by__person", "decided_by__person")
        .annotate(count=Count("pk"), last=Max("decided_at"))
    )
    return pairs(list(rows))


def pairs(rows: list[tuple[str, str, int, datetime]]) -> list[Pair]:
    """Natural people, whichever of their sign-ins it was."""
    asked: Counter[str] = Counter()
    for maker, _, count, _ in rows:
        asked[maker] += count
    names = names_of({person for row in rows for person in row[:2]})
    made = [
        Pair(names[maker], names[checker], count, round(100 * count / asked[maker]), last)
        for maker, checker, count, last in rows
    ]
    return sorted(made, key=lambda one: (-one.count, one.asked, one.answered))


def names_of(people: set[str]) -> dict[str, str]:
    """What each is called, by their oldest sign-in."""
    found: dict[str, str] = {}
    for user in User.objects.filter(person__in=people).order_by("-pk"):
        found[user.person] = str(user)
    return found
