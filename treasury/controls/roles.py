"""Roles are groups. Holding one confers no other, and the superuser flag confers none."""

from __future__ import annotations

from django.db.models import QuerySet

from treasury.models import User

MAKERS = "makers"
CHECKERS = "checkers"
OPERATORS = "operators"
AUDITORS = "auditors"

ROLES = (MAKERS, CHECKERS, OPERATORS, AUDITORS)


def groups_of(user: User) -> frozenset[str]:
    """The groups of an active user, read afresh: losing a role takes effect at once. Empty when deactivated."""
    if not User.objects.filter(pk=user.pk, is_active=True).exists():
        return frozenset()
    return frozenset(user.groups.values_list("name", flat=True))


def holds(user: User, role: str) -> bool:
    return role in groups_of(user)


def people(*groups: str) -> QuerySet[User]:
    """The active people who hold one of these groups, each once."""
    return User.objects.filter(is_active=True, groups__name__in=groups).distinct().order_by("pk")
