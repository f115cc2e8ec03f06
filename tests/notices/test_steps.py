"""Who is told of which step: those who can act next, and the maker when it is decided or over."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.utils import timezone

from tests.audit.log import seal_all
from tests.conftest import release
from tests.house import deactivate, give, person, set_policy
from tests.notices import happenings as h
from treasury import tasks
from treasury.controls import stops, verify
from treasury.controls.roles import AUDITORS, CHECKERS, MAKERS, OPERATORS
from treasury.models import AuditEntry, Notice, Transfer, User

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def house(maker: User, maker2: User, checker: User, checker2: User, auditor: User, operator: User) -> None:
    """One of each, two checkers, and people who must hear of nothing."""
    person("admin2", OPERATORS)
    person("nobody")
    for role in (MAKERS, CHECKERS, OPERATORS, AUDITORS):
        gone = person(f"gone.{role}", role)
        deactivate(gone)


@pytest.fixture
def forget() -> Callable[[], None]:
    return lambda: Notice.objects.all().delete() and None


def told() -> set[tuple[str, str]]:
    """(kind, user name) of every message."""
    return {(kind, to.partition("@")[0]) for kind, to in Notice.objects.values_list("kind", "to")}


Made = Callable[..., Transfer]
Forget = Callable[[], None]
BOTH = {"checker", "checker2"}


def test_a_draft_is_told_to_nobody(drafted: Made) -> None:
    drafted()
    assert told() == set()


def test_submitted_to_every_checker(submitted: Made) -> None:
    submitted()
    assert told() == {("transfer.submit", who) for who in BOTH}


def test_never_to_its_own_maker_who_is_a_checker_too(maker: User, submitted: Made) -> None:
    give(maker, CHECKERS)
    h.nearly_expired(submitted())
    assert {who for _, who in told()} == BOTH


def test_sent_back_to_every_checker_who_has_not_decided_in_the_new_round(
    approved: Made, forget: Forget, checker: User
) -> None:
    transfer = approved()
    forget()
    h.sent_back(transfer, timezone.now())
    assert told() == {("transfer.send_back", who) for who in BOTH}
    forget()
    h.decide(transfer, checker)
    h.sent_back(transfer, timezone.now())
    assert ("transfer.send_back", "checker") in told(), "a third round is a new happening"


def test_the_first_of_two_approvals_is_told_to_nobody_and_the_second_to_the_maker(
    submitted: Made, forget: Forget, checker: User, checker2: User
) -> None:
    set_policy(rules=[{"name": "All", "when": {}, "demands": {CHECKERS: 2}}])
    transfer = submitted()
    forget()
    h.decide(transfer, checker)
    assert told() == set()
    h.nearly_expired(transfer)
    assert told() == {("transfer.expiring", "checker2")}, "who has decided is not asked again"
    forget()
    h.decide(transfer, checker2)
    assert told() == {("transfer.approve", "maker")}


def test_rejected_to_its_maker(submitted: Made, forget: Forget, checker: User) -> None:
    transfer = submitted()
    forget()
    h.reject(transfer, checker)
    assert told() == {("transfer.reject", "maker")}


@pytest.mark.parametrize(
    ("happens", "kinds"),
    [
        (h.settled, {"transfer.settle"}),
        (h.refused, {"transfer.fail"}),
        (h.expired, {"transfer.expire"}),
        (h.taken, set()),
        (h.doubtful, set()),
        (h.put_off, set()),
    ],
    ids=lambda case: getattr(case, "__name__", None),
)
def test_how_it_went_to_its_maker(approved: Made, forget: Forget, happens: Made, kinds: set[str]) -> None:
    transfer = approved()
    forget()
    happens(transfer)
    assert told() == {(kind, "maker") for kind in kinds}


def test_a_send_that_is_tried_again_and_then_settles_is_told_once(approved: Made, forget: Forget) -> None:
    transfer = h.put_off(approved())
    Transfer.objects.update(due_at=timezone.now())
    forget()
    h.settled(transfer)
    assert told() == {("transfer.settle", "maker")}


def test_cancelled_to_its_maker_unless_they_did_it(
    submitted: Made, forget: Forget, maker: User, operator: User
) -> None:
    mine, theirs = submitted(), submitted()
    forget()
    h.cancelled(mine, maker)
    assert told() == set()
    h.cancelled(theirs, operator)
    assert told() == {("transfer.cancel", "maker")}


def test_a_maker_who_has_left_is_told_nothing(approved: Made, forget: Forget, maker: User) -> None:
    transfer = approved()
    forget()
    deactivate(maker)
    h.settled(transfer)
    assert told() == set()


def test_a_stop_to_every_operator_once(submitted: Made, forget: Forget, operator: User) -> None:
    transfer = submitted()
    forget()
    order = h.stopped(transfer, operator)
    assert h.stopped(transfer, operator) == order
    assert told() == {("stop.order", "admin"), ("stop.order", "admin2")}
    assert Notice.objects.count() == 2


def test_a_proposed_release_to_the_other_operators(submitted: Made, forget: Forget, operator: User) -> None:
    order = h.stopped(submitted(), operator)
    forget()
    stops.propose_release(stop_order_id=order.pk, by=operator, reason="over", at=timezone.now())
    assert told() == {("change.propose", "admin2")}
    forget()
    release(h.stopped(Transfer.objects.get(), operator), operator, User.objects.get(username="admin2"))
    both = {(kind, who) for kind in ("stop.order", "stop.release") for who in ("admin", "admin2")}
    assert told() == {*both, ("change.propose", "admin2")}


def test_a_contradiction_to_every_operator(approved: Made, forget: Forget) -> None:
    transfer = h.refused(approved())
    forget()
    h.contradicted(transfer)
    assert told() == {("contradiction.open", "admin"), ("contradiction.open", "admin2")}


def test_a_break_of_the_log_to_operators_and_auditors_once_a_day(forget: Forget) -> None:
    at = timezone.now().replace(hour=9)
    h.log_broken(at)
    everyone = {("log.broken", who) for who in ("admin", "admin2", "auditor")}
    assert told() == everyone
    h.log_broken(at + h.HOUR)
    assert Notice.objects.count() == 3
    h.log_broken(at + 24 * h.HOUR)
    assert Notice.objects.count() == 6
    assert AuditEntry.objects.filter(action="log.broken", subject="log:chain", who="machine:verifier").count() == 2


def test_a_whole_log_is_told_to_nobody(submitted: Made, forget: Forget) -> None:
    submitted()
    seal_all()
    forget()
    tasks.tick_verify()
    assert told() == set()


def test_a_log_too_long_to_be_walked_every_hour_is_walked_once_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "EVERY_HOUR_UP_TO", 0)
    at = timezone.now()
    h.log_broken(at.replace(hour=4))
    assert told() == set()
    h.log_broken(at.replace(hour=verify.DAILY_HOUR))
    assert told() != set()
