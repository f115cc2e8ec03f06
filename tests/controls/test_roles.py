"""A role is membership of a group, read afresh each time; nothing else confers one."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group

from tests.conftest import person
from treasury.controls.roles import AUDITORS, CHECKERS, MAKERS, OPERATORS, ROLES, groups_of, holds
from treasury.models import User

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("role", ROLES)
def test_the_superuser_flag_confers_no_role(role: str) -> None:
    root = person("root", is_superuser=True, sees_admin=True)
    assert root.is_superuser
    assert root.has_perm("treasury.add_transfer")  # what Django thinks of it
    assert not holds(root, role)


@pytest.mark.parametrize("role", ROLES)
def test_a_role_confers_no_other(role: str) -> None:
    someone = person("someone", role)
    assert groups_of(someone) == {role}
    assert [other for other in ROLES if holds(someone, other)] == [role]


def test_a_person_may_hold_several() -> None:
    someone = person("someone", MAKERS, CHECKERS)
    assert groups_of(someone) == {MAKERS, CHECKERS}


def test_a_deactivated_person_loses_every_role_at_once(checker: User) -> None:
    assert holds(checker, CHECKERS)
    User.objects.filter(pk=checker.pk).update(is_active=False)
    assert checker.is_active, "the row in hand does not know it yet"
    assert groups_of(checker) == frozenset()
    User.objects.filter(pk=checker.pk).update(is_active=True)
    assert holds(checker, CHECKERS)


def test_who_leaves_a_group_loses_its_role_at_once(checker: User) -> None:
    stale = User.objects.prefetch_related("groups").get(pk=checker.pk)
    assert list(stale.groups.all())
    Group.objects.get(name=CHECKERS).user_set.clear()
    assert not holds(stale, CHECKERS)


def test_a_person_who_is_gone_holds_nothing() -> None:
    assert groups_of(User(pk=999_999, is_active=True)) == frozenset()
    assert groups_of(User(is_active=True)) == frozenset()


def test_a_group_of_another_spelling_is_no_role() -> None:
    someone = person("someone", "Makers", "auditors ", "operator")
    assert not any(holds(someone, role) for role in (MAKERS, AUDITORS, OPERATORS))
