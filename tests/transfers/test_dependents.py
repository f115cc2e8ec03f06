"""What else a change would touch: approvals that lapse, quorums out of reach, proposals and drafts that get stuck."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection as database
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tests.conftest import say_yes
from tests.house import administrators, person, set_policy
from treasury.controls import memberships
from treasury.controls.memberships import Wish
from treasury.controls.roles import CHECKERS, MAKERS, OPERATORS
from treasury.models import Change, Transfer, User
from treasury.transfers import dependents

pytestmark = pytest.mark.django_db

Make = Callable[..., Transfer]


def wish(*wishes: tuple[str, str, bool]) -> Change:
    """These memberships, proposed."""
    said = [Wish(name, group, member=member) for name, group, member in wishes]
    first, _ = administrators()
    return memberships.propose_memberships(wishes=said, reason="As agreed", by=first, at=timezone.now())


def told(change: Change) -> list[str]:
    return dependents.of(change, timezone.now())


@pytest.fixture
def two(db: None) -> Any:
    return set_policy(rules=[{"name": "All", "when": {}, "demands": {CHECKERS: 2}}])


def test_taking_a_role_says_which_approvals_would_no_longer_count(
    two: Any, submitted: Make, checker: User, checker2: User
) -> None:
    person("third", CHECKERS)
    half, whole = say_yes(submitted(amount="1"), checker), say_yes(submitted(amount="2"), checker, checker2)
    said = told(wish(("checker", CHECKERS, False)))
    assert (
        "1 approved transfer would not be sent, and would ask for approval again, since an approval would no longer "
        f"count: {whole.reference}."
    ) in said
    assert f"An approval would no longer count for 1 transfer that waits for more: {half.reference}." in said
    assert told(wish(("checker2", "some-group", True))) == [], "giving touches nothing"


def test_taking_a_role_says_which_quorums_nobody_could_reach_any_more(
    two: Any, submitted: Make, checker: User, checker2: User
) -> None:
    waiting = submitted(amount="1")
    said = told(wish(("checker", CHECKERS, False)))
    never = "What “All” covers could never be approved: it asks for 2 of checkers, and"
    assert f"{never} only 1 person in that group is a checker." in said
    assert f"1 pending transfer could no longer get all approvals: {waiting.reference}." in said


def test_the_maker_is_none_of_those_who_could_approve(two: Any, submitted: Make, maker: User, checker: User) -> None:
    """Three checkers are enough for two, but not when one of them drafted it."""
    person("third", CHECKERS)
    both = person("both", MAKERS, CHECKERS)
    waiting = submitted(amount="1", by=both)
    said = told(wish(("third", CHECKERS, False)))
    assert f"1 pending transfer could no longer get all approvals: {waiting.reference}." in said
    assert not any("could never be approved" in sentence for sentence in said)


def test_two_sign_ins_of_one_person_are_one(two: Any, submitted: Make, checker: User) -> None:
    person("again", CHECKERS, same_as="checker")
    person("third", CHECKERS)
    assert any("only 1 person" in one for one in told(wish(("third", CHECKERS, False))))


def test_drafts_and_kinds_of_changes_that_would_get_stuck_are_counted(
    drafted: Make, maker: User, operator: User, operator2: User
) -> None:
    drafted()
    assert "1 draft could not be submitted any more." in told(wish(("maker", MAKERS, False)))
    said = told(wish(("admin2", OPERATORS, False)))
    assert any(one.startswith("Too few people would be left") and "connect a venue" in one for one in said)


def test_what_is_decided_touches_nothing_more_and_many_cost_as_little_as_two(
    two: Any, submitted: Make, checker: User, checker2: User, django_assert_num_queries: Any
) -> None:
    say_yes(submitted(amount="1"), checker)
    changes = [wish(("checker", CHECKERS, False)), wish(("checker2", CHECKERS, False))]
    with django_assert_num_queries(queries(changes[:1])):
        found = dependents.of_each(changes, timezone.now())
    assert all(found[one.pk] for one in changes)


def queries(changes: list[Change]) -> int:
    with CaptureQueriesContext(database) as captured:
        dependents.of_each(changes, timezone.now())
    return len(captured)
