"""Whoever approved takes it back until dispatch begins: it counts no more, and never at the same time as a claim."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from django.db import IntegrityError, connections, transaction
from django.utils import timezone

from tests.conftest import say_yes
from tests.house import amend, deactivate, person, set_policy, take
from treasury.controls import policy
from treasury.controls.roles import CHECKERS
from treasury.models import Attempt, AuditEntry, Decision, Notice, Policy, State, Transfer, User, Withdrawal
from treasury.transfers import access, approvals, approve, assess, dispatch
from treasury.transfers.withdraw import withdraw

pytestmark = pytest.mark.django_db

Make = Callable[..., Transfer]


def take_back(transfer: Transfer, by: User, reason: str = "") -> Transfer:
    found = withdraw(reference=transfer.reference, checker=by, reason=reason, at=timezone.now())
    transfer.refresh_from_db()
    return found


def entries(transfer: Transfer) -> list[dict[str, object]]:
    found = AuditEntry.objects.filter(action="transfer.withdraw", subject=transfer.subject)
    return [one.facts for one in found.order_by("id")]


def test_while_it_waits_the_approval_counts_no_more_and_they_may_decide_again(
    submitted: Make, checker: User, checker2: User
) -> None:
    transfer = say_yes(submitted(amount="50000"), checker)
    take_back(transfer, checker, "The wrong account?")
    assert (transfer.state, transfer.round) == (State.SUBMITTED, 1)
    assert approvals.still_missing(transfer) == {CHECKERS: 2}
    assert access.why_not_decide(transfer, checker, timezone.now()) is None
    assert say_yes(transfer, checker2).state == State.SUBMITTED, "it takes two, and one was taken back"
    assert say_yes(transfer, checker).state == State.APPROVED
    assert Withdrawal.objects.get().reason == "The wrong account?"
    (facts,) = entries(transfer)
    assert (facts["missing"], facts["reason"], facts["round"]) == ({CHECKERS: 2}, "The wrong account?", 1)


def test_approved_already_it_needs_approval_again_in_a_new_round(approved: Make, checker: User, checker2: User) -> None:
    transfer = approved()
    take_back(transfer, checker)
    assert (transfer.state, transfer.round) == (State.SUBMITTED, 2)
    assert transfer.outcome == (
        "Not sent. Nothing moved. It needs approval again: Checker Person withdrew an approval."
    )
    assert [one.round for one in transfer.assessments.all()] == [1, 2]
    assert dispatch.claim(reference=transfer.reference, at=timezone.now()) is None
    assert say_yes(transfer, checker2).state == State.APPROVED
    assert entries(transfer)[0]["to"] == State.SUBMITTED


def test_who_withdrew_may_approve_again_in_the_new_round(approved: Make, checker: User) -> None:
    transfer = approved()
    take_back(transfer, checker)
    assert say_yes(transfer, checker).state == State.APPROVED
    assert dispatch.claim(reference=transfer.reference, at=timezone.now()) is not None


def test_only_who_gave_it_takes_it_back_and_only_once(
    submitted: Make, maker: User, checker: User, checker2: User, operator: User
) -> None:
    transfer = say_yes(submitted(amount="50000"), checker)
    for by in (checker2, maker, operator):
        with pytest.raises(access.NotAllowed, match="only who gave one can withdraw it"):
            take_back(transfer, by)
    take_back(transfer, checker)
    with pytest.raises(access.NotAllowed, match="no approval of this that counts"):
        take_back(transfer, checker)
    assert Withdrawal.objects.count() == 1


def test_another_sign_in_of_the_same_person_may_take_it_back(submitted: Make, checker: User, checker2: User) -> None:
    transfer = say_yes(submitted(amount="50000"), checker)
    amend(checker2, person=checker.person)
    take_back(transfer, checker2)
    assert approvals.still_missing(transfer) == {CHECKERS: 2}


def test_who_is_no_checker_any_more_may_still_take_it_back_but_not_who_is_gone(
    submitted: Make, checker: User, checker2: User
) -> None:
    someone = person("someone", CHECKERS, "leads")
    first, second = (say_yes(submitted(amount="50000"), someone) for _ in range(2))
    take(someone, CHECKERS)
    take_back(first, someone)
    deactivate(someone)
    with pytest.raises(access.NotAllowed, match="no longer hold a role"):
        take_back(second, someone)


def test_a_rejection_is_not_taken_back(submitted: Make, checker: User) -> None:
    transfer = submitted()
    approve.reject(
        reference=transfer.reference,
        checker=checker,
        digest=transfer.digest or "",
        round=1,
        factor="password",
        reason="No",
        at=timezone.now(),
    )
    with pytest.raises(access.NotAllowed, match="no approval"):
        take_back(transfer, checker)


def test_once_dispatch_has_begun_it_is_too_late(approved: Make, checker: User) -> None:
    transfer = approved()
    assert dispatch.claim(reference=transfer.reference, at=timezone.now()) is not None
    with pytest.raises(access.NotNow, match="is sending: too late to withdraw"):
        take_back(transfer, checker)
    assert not Withdrawal.objects.exists()
    with pytest.raises(IntegrityError, match="before dispatch begins"), transaction.atomic():
        Withdrawal.objects.create(decision=Decision.objects.get(), at=timezone.now())


def test_where_the_policy_denies_another_round_it_is_held_and_never_sent(
    approved: Make, checker: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own version forbids by a sum what it let pass before."""
    volume = {"of": "maker", "hours": 24, "over": "100"}
    set_policy(
        rules=[
            {"name": "Too much in a day", "when": {"volume": volume}, "forbids": True},
            {"name": "All", "demands": {CHECKERS: 1}},
        ]
    )
    transfer = approved(amount="90")
    set_policy(rules=[{"name": "All", "demands": {CHECKERS: 1}}])
    approved(amount="90")
    take_back(transfer, checker)
    assert (transfer.state, transfer.round) == (State.APPROVED, 1)
    assert transfer.held == (
        "Checker Person withdrew an approval; and The rule “Too much in a day” forbids it. Cancel it"
    )
    assert dispatch.claim(reference=transfer.reference, at=timezone.now()) is None
    transfer.refresh_from_db()
    assert transfer.state == State.APPROVED
    assert "0 of those who did may still do so" in transfer.held
    with pytest.raises(IntegrityError, match="without its decisions"), transaction.atomic():
        Transfer.objects.filter(pk=transfer.pk).update(state=State.DISPATCHING)


def test_its_maker_and_whoever_can_decide_are_told(submitted: Make, maker: User, checker: User, checker2: User) -> None:
    transfer = say_yes(submitted(amount="50000"), checker)
    take_back(transfer, checker)
    told = Notice.objects.filter(kind="transfer.withdraw", subject=transfer.subject)
    assert set(told.values_list("to", flat=True)) == {maker.email, checker2.email}
    assert "Nothing moved" in told[0].text


def test_the_database_counts_no_approval_that_was_taken_back(submitted: Make, checker: User) -> None:
    transfer = say_yes(submitted(amount="50000"), checker)
    Withdrawal.objects.create(decision=Decision.objects.get(), at=timezone.now())
    with pytest.raises(IntegrityError, match="without its decisions"), transaction.atomic():
        Transfer.objects.filter(pk=transfer.pk).update(state=State.APPROVED, due_at=timezone.now())


@pytest.mark.django_db(transaction=True)
def test_a_withdrawal_and_a_claim_at_once_never_both_happen(approved: Make, checker: User) -> None:
    for _ in range(6):
        transfer, start = approved(amount="1"), Barrier(2)

        def claim(_: int, transfer: Transfer = transfer, start: Barrier = start) -> bool:
            try:
                start.wait()
                return dispatch.claim(reference=transfer.reference, at=timezone.now()) is not None
            finally:
                connections.close_all()

        def back(_: int, transfer: Transfer = transfer, start: Barrier = start) -> bool:
            try:
                start.wait()
                withdraw(reference=transfer.reference, checker=checker, at=timezone.now())
            except access.NotNow:
                return False
            finally:
                connections.close_all()
            return True

        with ThreadPoolExecutor(2) as pool:
            claimed, withdrawn = (one.result() for one in (pool.submit(claim, 0), pool.submit(back, 1)))
        transfer.refresh_from_db()
        assert claimed != withdrawn
        assert transfer.state == (State.DISPATCHING if claimed else State.SUBMITTED)
        assert Attempt.objects.filter(transfer=transfer).exists() == claimed
        assert Withdrawal.objects.filter(decision__transfer=transfer).exists() == withdrawn


@pytest.mark.django_db(transaction=True)
def test_a_withdrawal_and_the_last_approval_at_once_leave_it_waiting_or_sent_back(
    submitted: Make, checker: User, checker2: User
) -> None:
    """Never approved with one approval."""
    for _ in range(4):
        transfer, start = say_yes(submitted(amount="50000"), checker), Barrier(2)

        def yes(transfer: Transfer = transfer, start: Barrier = start) -> None:
            try:
                start.wait()
                say_yes(transfer, checker2)
            except approve.OtherWords:
                pass
            finally:
                connections.close_all()

        def back(transfer: Transfer = transfer, start: Barrier = start) -> None:
            try:
                start.wait()
                withdraw(reference=transfer.reference, checker=checker, at=timezone.now())
            finally:
                connections.close_all()

        with ThreadPoolExecutor(2) as pool:
            for one in (pool.submit(yes), pool.submit(back)):
                one.result()
        transfer.refresh_from_db()
        assert transfer.state == State.SUBMITTED
        missing = approvals.still_missing(transfer)
        assert (transfer.round, missing) in [(1, {CHECKERS: 1}), (2, {CHECKERS: 2})]


def test_an_expired_one_may_be_taken_back_and_is_not_sent(approved: Make, checker: User) -> None:
    transfer = approved()
    assert transfer.expires_at is not None
    withdraw(reference=transfer.reference, checker=checker, at=transfer.expires_at + timedelta(seconds=1))
    transfer.refresh_from_db()
    assert transfer.state == State.SUBMITTED
    assert Policy.objects.count() == 1
    assert assess.holds(transfer.assessments.latest("round"))
    assert policy.in_force().number == 1
