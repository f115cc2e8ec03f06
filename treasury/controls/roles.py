"""Roles are memberships, given and taken by changes. Holding one confers no other; the superuser flag confers none."""

from __future__ import annotations

from django.db.models import QuerySet

from treasury.models import Membership, User

MAKERS = "makers"
CHECKERS = "checkers"
POLICY_EDITORS = "policy editors"
USER_ADMINISTRATORS = "user administrators"
OPERATORS = "operators"
AUDITORS = "auditors"

# Any other group is one of approvers, which a policy may demand; being in one is no right to decide without CHECKERS.
ROLES = (MAKERS, CHECKERS, POLICY_EDITORS, USER_ADMINISTRATORS, OPERATORS, AUDITORS)
# One of these is enough to see who holds what, and the records in the admin.
SEE_RECORDS = frozenset({AUDITORS, OPERATORS, USER_ADMINISTRATORS})


def groups_of(user: User) -> frozenset[str]:
    """The groups of an active user, read afresh: losing a role takes effect at once. Empty when deactivated."""
    standing = Membership.objects.filter(user=user.pk, user__is_active=True, ended_at=None)
    return frozenset(standing.values_list("group", flat=True))


def holds(user: User, role: str) -> bool:
    return role in groups_of(user)


def people(*groups: str) -> QuerySet[User]:
    """The active people who are in one of these groups, each once."""
    within = Membership.objects.filter(group__in=groups, ended_at=None)
    return User.objects.filter(is_active=True, pk__in=within.values("user")).order_by("pk")


def same_person(one: User, other: User) -> bool:
    """Whether two sign-ins are of one natural person."""
    return one.pk == other.pk or one.person == other.person
