"""People: who may sign in and what they hold, one person's memberships over time, and what should not meet."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Q
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.views.decorators.http import require_safe

from treasury.controls import changes, conflicts, people, resets, sessions
from treasury.controls.roles import ROLES, SEE_RECORDS, USER_ADMINISTRATORS, groups_of, holds
from treasury.models import Change, Membership, User
from treasury.transfers.access import NotAllowed
from treasury.web import proposals, refusals
from treasury.web.htmx import Request, answer
from treasury.web.people_proposals import SHOWN


@dataclass(frozen=True)
class Row:
    """A sign-in in the list: its roles, the groups of approvers that it is in, and its factors in words."""

    user: User
    roles: list[str]
    groups: list[str]
    factors: list[str]


def refused_unless_seen(request: Request) -> HttpResponse | None:
    """None for whoever may see who holds what."""
    if not groups_of(request.user).isdisjoint(SEE_RECORDS):
        return None
    refusal = NotAllowed("These pages are for auditors, operators and user administrators.")
    return refusals.refuse(request, refusal, action="people.see", subject=f"page:{request.path_info}")


@require_safe
def show(request: Request) -> HttpResponse:
    if without_role := refused_unless_seen(request):
        return without_role
    everybody = conflicts.sign_ins()
    waiting, more = proposals.first(changes.waiting().filter(kind__in=SHOWN).order_by("pk"))
    context = {
        "at": timezone.now(),
        "rows": rows_of(everybody),
        "conflicts": len(conflicts.report(everybody)),
        "waiting": proposals.all_of(waiting, request.user, timezone.now(), steps=""),
        "more": more,
        "may_propose": holds(request.user, USER_ADMINISTRATORS),
    }
    return answer(request, "people/show.html", "people/_list.html", context)


def rows_of(everybody: Iterable[conflicts.SignIn]) -> list[Row]:
    """Whoever may sign in on top."""
    groups, factors = {one.pk: one.groups for one in everybody}, resets.factors_of_all()
    users = User.objects.select_related("change").order_by("-is_active", "username")
    return [Row(one, *apart(groups.get(one.pk, frozenset())), factors.get(one.pk, [])) for one in users]


def apart(groups: frozenset[str]) -> tuple[list[str], list[str]]:
    """Roles in their own order, and the groups of approvers."""
    return [role for role in ROLES if role in groups], sorted(groups.difference(ROLES))


@require_safe
def person(request: Request, user_id: int) -> HttpResponse:
    if without_role := refused_unless_seen(request):
        return without_role
    user = get_object_or_404(User.objects.select_related("change__proposed_by", "change__decided_by"), pk=user_id)
    return answer(request, "people/person.html", "people/_person.html", about(user, request.user, timezone.now()))


def about(user: User, reader: User, at: datetime) -> dict[str, Any]:
    roles, groups = apart(groups_of_anybody(user))
    found = conflicts.report()
    over_time = Membership.objects.filter(user=user).order_by("ended_at", "-at", "group")
    return {
        "at": at,
        "subject": user,
        "held_roles": roles,
        "held_groups": groups,
        "factors": resets.factors_of_all().get(user.pk, []),
        "sessions": len(sessions.sessions_of(user)),
        "twins": User.objects.filter(person=user.person).exclude(pk=user.pk).order_by("username"),
        "duties": next((one.duties for one in found.met if any(each.pk == user.pk for each in one.sign_ins)), []),
        "memberships": over_time.select_related(
            "change__proposed_by", "change__decided_by", "ended_by__proposed_by", "ended_by__decided_by"
        ),
        "waiting": proposals.all_of(waiting_about(user), reader, at, steps=""),
        "may_propose": holds(reader, USER_ADMINISTRATORS),
        "own": user.person == reader.person,
    }


def groups_of_anybody(user: User) -> frozenset[str]:
    """What they hold, or would hold once they may sign in again."""
    return frozenset(Membership.objects.filter(user=user, ended_at=None).values_list("group", flat=True))


def waiting_about(user: User) -> list[Change]:
    named = {"words__memberships__contains": [{"username": user.username}]}
    theirs = Q(kind__in=SHOWN, subject=user.subject) | Q(kind=people.MEMBERSHIPS, **named)
    return list(changes.waiting().filter(theirs).order_by("pk"))


@require_safe
def conflict_report(request: Request) -> HttpResponse:
    if without_role := refused_unless_seen(request):
        return without_role
    context = {"at": timezone.now(), "report": conflicts.report(), "fewest": conflicts.FEWEST}
    return answer(request, "people/conflicts.html", "people/_conflicts.html", context)
