"""A role is membership of a group, read afresh each time; nothing else confers one."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group
from django.db import IntegrityError, transaction

from tests.house import amend, deactivate, give, person, take
from treasury.controls.roles import AUDITORS, CHECKERS, MAKERS, OPERATORS, ROLES, groups_of, holds, people, same_person
from treasury.models import User

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("role", ROLES)
def test_the_superuser_flag_confers_no_role(role: str) -> None:
    root = person("root", is_superuser=True)
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
    deactivate(User.objects.get(pk=checker.pk))
    assert checker.is_active, "the row in hand does not know it yet"
    assert groups_of(checker) == frozenset()
    amend(checker, active=True)
    assert holds(checker, CHECKERS)


def test_who_leaves_a_group_loses_its_role_at_once(checker: User) -> None:
    stale = User.objects.prefetch_related("memberships").get(pk=checker.pk)
    take(checker, CHECKERS)
    assert [one.group for one in stale.memberships.all() if one.ended_at is None] == [CHECKERS], "as it was read"
    assert not holds(stale, CHECKERS)


def test_djangos_own_groups_confer_nothing_and_cannot_be_given() -> None:
    with pytest.raises(IntegrityError, match="confers nothing"), transaction.atomic():
        Group.objects.create(name=MAKERS)


def test_a_role_that_was_taken_can_be_given_again(checker: User) -> None:
    take(checker, CHECKERS)
    give(checker, CHECKERS)
    assert holds(checker, CHECKERS)
    assert checker.memberships.count() == 2, "what was is still to be read"


def test_the_people_of_a_group_are_those_who_may_act_for_it_now(checker: User, checker2: User, maker: User) -> None:
    gone = person("gone", CHECKERS)
    deactivate(gone)
    take(checker2, CHECKERS)
    assert list(people(CHECKERS)) == [checker]
    assert set(people(CHECKERS, MAKERS)) == {checker, maker}
    both = person("both", CHECKERS, MAKERS)
    assert [one.pk for one in people(CHECKERS, MAKERS)].count(both.pk) == 1


def test_two_sign_ins_with_one_address_are_one_person() -> None:
    one, same = person("one", MAKERS, email="One@House.example"), person("same", CHECKERS, email="one@house.example")
    other = person("other", CHECKERS)
    assert same_person(one, same)
    assert same_person(one, User.objects.get(pk=one.pk))
    assert not same_person(one, other)


def test_a_person_who_is_gone_holds_nothing() -> None:
    assert groups_of(User(pk=999_999, is_active=True)) == frozenset()
    assert groups_of(User(is_active=True)) == frozenset()


def test_a_group_of_another_spelling_is_no_role() -> None:
    someone = person("someone", "Makers", "auditors ", "operator")
    assert not any(holds(someone, role) for role in (MAKERS, AUDITORS, OPERATORS))
