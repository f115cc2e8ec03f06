"""What no look-up can settle, two people do: who may, when, on what words; and what speaks against it afterwards."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone

from connectors.core.errors import Refused, TryLater, Uncertain
from connectors.core.protocol import Receipt
from connectors.core.protocol import State as Found
from tests.house import deactivate, give, person
from tests.transfers.doubts import EMPTY, PERHAPS, concluded, later, note, resolved, says, unsettled
from treasury.balances.moved import has_moved
from treasury.controls import changes
from treasury.controls.roles import AUDITORS, CHECKERS, MAKERS, OPERATORS
from treasury.models import AuditEntry, Balance, Change, Contradiction, Kind, Resolution, State, Transfer, User
from treasury.transfers import (
    access,
    attempts,
    contradictions,
    dispatch,
    draft,
    exposure,
    guards,
    queries,
    resolve,
    settle,
)

pytestmark = pytest.mark.django_db

Made = Callable[..., Transfer]


@pytest.fixture
def doubtful(approved: Made) -> Transfer:
    return unsettled(approved())


def propose(transfer: Transfer, by: User, **other: Any) -> Change:
    words = {"moved": True, "reason": "Seen on the venue's screen", "typed": transfer.reference, **other}
    return resolve.propose(reference=transfer.reference, by=by, at=later(transfer), **words)


def confirm(transfer: Transfer, change: Change, by: User, **other: Any) -> Transfer:
    words = {"digest": change.digest, "typed": transfer.reference, **other}
    return resolve.confirm(change_id=change.pk, by=by, at=later(transfer), **words)


# -- who, when, on what words --------------------------------------------------------------------------------


@pytest.mark.parametrize(("moved", "state", "begins"), [(True, "SETTLED", "It moved."), (False, "FAILED", "Nothing")])
def test_two_people_say_what_became_of_it(
    doubtful: Transfer, operator: User, checker2: User, moved: bool, state: str, begins: str
) -> None:
    resolved(doubtful, operator, checker2, moved=moved, at=later(doubtful))
    assert doubtful.state == state
    assert doubtful.outcome.startswith(begins)
    assert "Admin Person and Checker2 Person" in doubtful.outcome
    assert Resolution.objects.get(transfer=doubtful).moved is moved
    log = AuditEntry.objects.filter(subject=doubtful.subject, action__in=["change.propose", "transfer.resolve"])
    assert list(log.order_by("id").values_list("action", "actor")) == [
        ("change.propose", "admin"),
        ("transfer.resolve", "checker2"),
    ]


def test_a_proposal_alone_changes_nothing(doubtful: Transfer, operator: User) -> None:
    propose(doubtful, operator)
    doubtful.refresh_from_db()
    assert doubtful.state == State.DISPATCHING
    assert not Resolution.objects.exists()


@pytest.mark.parametrize("role", [MAKERS, OPERATORS, AUDITORS])
def test_only_a_checker_confirms(doubtful: Transfer, operator: User, role: str) -> None:
    asked = propose(doubtful, operator)
    with pytest.raises(changes.MayNotChange):
        confirm(doubtful, asked, person("someone", role, is_superuser=True))


def test_nobody_confirms_their_own_proposal(doubtful: Transfer, checker2: User) -> None:
    asked = propose(doubtful, checker2)
    with pytest.raises(changes.MayNotChange, match="someone else"):
        confirm(doubtful, asked, checker2)


def test_a_maker_does_not_confirm_even_as_a_checker(doubtful: Transfer, operator: User) -> None:
    asked = propose(doubtful, operator)
    give(doubtful.maker, CHECKERS)
    with pytest.raises(changes.MayNotChange, match="You drafted"):
        confirm(doubtful, asked, doubtful.maker)
    doubtful.refresh_from_db()
    asked.refresh_from_db()
    assert (doubtful.state, asked.ruling) == (State.DISPATCHING, None)


def test_an_auditor_does_not_even_propose(doubtful: Transfer, auditor: User) -> None:
    with pytest.raises(changes.MayNotChange):
        propose(doubtful, auditor)


def test_the_reference_is_typed_by_both_and_a_reason_is_given(
    doubtful: Transfer, operator: User, checker2: User
) -> None:
    with pytest.raises(changes.NotSaid, match="Type TR-"):
        propose(doubtful, operator, typed="TR-000000")
    with pytest.raises(changes.NotSaid, match="Say why"):
        propose(doubtful, operator, reason="  ")
    asked = propose(doubtful, operator)
    with pytest.raises(changes.NotSaid, match="Type TR-"):
        confirm(doubtful, asked, checker2, typed="yes")
    asked.refresh_from_db()
    assert asked.ruling is None


def test_one_proposal_waits_at_a_time(doubtful: Transfer, operator: User, checker2: User) -> None:
    asked = propose(doubtful, operator)
    with pytest.raises(changes.NotWaiting):
        propose(doubtful, checker2, moved=False)
    changes.decline(change_id=asked.pk, by=checker2, reason="I see no such row", at=timezone.now())
    assert propose(doubtful, operator, moved=False).pk != asked.pk


def test_what_is_confirmed_is_what_was_read(doubtful: Transfer, operator: User, checker2: User) -> None:
    asked = propose(doubtful, operator)
    with pytest.raises(changes.OtherChange):
        confirm(doubtful, asked, checker2, digest="0" * 64)


def test_what_is_not_in_doubt_is_not_for_people_to_say(approved: Made, operator: User) -> None:
    transfer = approved()
    with pytest.raises(access.NotNow, match="nothing is to be resolved"):
        resolve.propose(
            reference=transfer.reference,
            moved=True,
            reason="x",
            typed=transfer.reference,
            by=operator,
            at=timezone.now(),
        )


def test_a_call_that_may_still_arrive_is_waited_for(approved: Made, operator: User) -> None:
    transfer = concluded(approved(), PERHAPS)
    last = transfer.attempts.get()
    for at in (last.claimed_at, last.call_ends_at - timedelta(milliseconds=1)):
        assert "may still be under way" in (resolve.why_not_yet(transfer, at) or "")
    assert "has not been asked" in (resolve.why_not_yet(transfer, later(transfer)) or "")
    note(transfer, EMPTY, at=later(transfer))
    assert resolve.why_not_yet(transfer, later(transfer)) is None


def test_what_the_venue_took_may_be_resolved_only_after_its_time_to_settle(approved: Made) -> None:
    transfer = concluded(approved(), Receipt(settled=False, record="V1"))
    assert transfer.state == State.DISPATCHED
    assert "still has time" in (resolve.why_not_yet(transfer, timezone.now()) or "")
    assert resolve.why_not_yet(transfer, timezone.now() + timedelta(minutes=31)) is None


def test_a_look_up_that_settles_it_first_leaves_nothing_to_confirm(
    doubtful: Transfer, operator: User, checker2: User
) -> None:
    asked = propose(doubtful, operator, moved=False)
    note(doubtful, says(Found.DONE), at=later(doubtful))
    with pytest.raises(access.NotNow):
        confirm(doubtful, asked, checker2)
    doubtful.refresh_from_db()
    assert doubtful.state == State.SETTLED


def test_what_was_resolved_as_not_moved_may_be_drafted_again(
    doubtful: Transfer, operator: User, checker2: User, maker: User
) -> None:
    resolved(doubtful, operator, checker2, moved=False, at=later(doubtful))
    assert draft.draft_again(reference=doubtful.reference, maker=maker, at=timezone.now()).copied_from == doubtful


def test_a_proposal_by_somebody_who_may_no_longer_propose_is_not_confirmed(
    doubtful: Transfer, maker2: User, checker2: User
) -> None:
    asked = propose(doubtful, maker2)
    deactivate(maker2)
    with pytest.raises(changes.MayNotChange, match="may no longer propose"):
        confirm(doubtful, asked, checker2)


def test_a_maker_does_not_even_decline_what_others_say_of_their_own(doubtful: Transfer, operator: User) -> None:
    asked = propose(doubtful, operator)
    give(doubtful.maker, CHECKERS)
    with pytest.raises(changes.MayNotChange, match="You drafted"):
        changes.decline(change_id=asked.pk, by=doubtful.maker, reason="no", at=timezone.now())


def test_a_proposal_that_waits_holds_further_sends(doubtful: Transfer, operator: User, checker2: User) -> None:
    at = later(doubtful)
    for seconds in range(3):
        note(doubtful, EMPTY, at=at + timedelta(seconds=seconds))
    assert settle.why_not_resend(doubtful, at + timedelta(seconds=9)) is None
    asked = propose(doubtful, operator)
    assert "proposed how to resolve it" in (settle.why_not_resend(doubtful, at + timedelta(seconds=9)) or "")
    changes.withdraw(change_id=asked.pk, by=operator, at=at)
    assert settle.why_not_resend(doubtful, at + timedelta(seconds=9)) is None


def test_a_proposal_does_not_outlive_what_it_was_based_on(doubtful: Transfer, operator: User, checker2: User) -> None:
    """The venue has been asked meanwhile, and has a record that is on its way: somebody must look again."""
    asked = propose(doubtful, operator, moved=False)
    note(doubtful, says(Found.PENDING), at=later(doubtful))
    assert doubtful.state == State.DISPATCHED
    with pytest.raises(access.NotNow, match="moved on since this was proposed"):
        resolve.confirm(
            change_id=asked.pk,
            by=checker2,
            digest=asked.digest,
            typed=doubtful.reference,
            at=later(doubtful, hours=3),
        )


def test_a_question_that_was_not_answered_is_no_answer(approved: Made) -> None:
    transfer = note(concluded(approved(), PERHAPS), TryLater("Busy."), at=timezone.now() + timedelta(minutes=1))
    assert "has not been asked" in (resolve.why_not_yet(transfer, later(transfer)) or "")


def test_a_record_that_two_people_named_proves_no_other_transfer(
    approved: Made, operator: User, checker2: User
) -> None:
    first, second = unsettled(approved(amount="5")), approved(amount="6")
    at = later(first)
    asked = propose(first, operator, record="LEDGER:7")
    confirm(first, asked, checker2)
    assert settle.claimed_by_others(second) == {"LEDGER:7"}, at


# -- the venue is asked on, for seven days -------------------------------------------------------------------


def test_a_resolved_transfer_is_looked_up_for_seven_days_and_then_no_more(
    doubtful: Transfer, operator: User, checker2: User
) -> None:
    at = later(doubtful)
    resolved(doubtful, operator, checker2, moved=True, at=at)
    asked = 0
    while doubtful.due_at is not None:
        assert settle.is_due(doubtful, doubtful.due_at)
        asked += 1
        note(doubtful, EMPTY, at=doubtful.due_at)
        assert asked < 1000
    last = doubtful.look_ups.latest("at").at
    assert settings.RESOLVED_LOOKED_UP_FOR < last - at < settings.RESOLVED_LOOKED_UP_FOR + timedelta(hours=2)
    assert 150 < asked < 250, "often at first, then about once an hour"


@pytest.mark.parametrize(
    ("moved", "found", "contradicted"),
    [
        (True, Found.DONE, False),
        (True, Found.FAILED, True),
        (True, Found.UNCLEAR, False),
        (False, Found.DONE, True),
        (False, Found.PENDING, True),
        (False, Found.FAILED, False),
        (False, Found.UNCLEAR, False),
    ],
)
def test_an_answer_that_contradicts_the_two_is_an_alarm_and_an_open_contradiction(
    doubtful: Transfer, operator: User, checker2: User, moved: bool, found: Found, contradicted: bool
) -> None:
    resolved(doubtful, operator, checker2, moved=moved, at=later(doubtful))
    state = doubtful.state
    note(doubtful, says(found), at=later(doubtful, minutes=5))
    assert doubtful.state == state, "the state itself stays"
    assert Contradiction.objects.filter(transfer=doubtful, closed_at=None).exists() is contradicted
    assert AuditEntry.objects.filter(subject=doubtful.subject, action="alarm.raise").exists() is contradicted
    assert (queries.standing(doubtful, timezone.now()).key == "contradicted") is contradicted
    assert (doubtful in [risk.transfer for risk in exposure.risks(timezone.now())]) is contradicted


def test_a_receipt_that_comes_after_all_is_a_contradiction(approved: Made, operator: User, checker2: User) -> None:
    """A worker that slept through its own call's time, and wakes with the venue's answer."""
    transfer = approved()
    attempt = dispatch.claim(reference=transfer.reference, at=timezone.now())
    assert attempt is not None
    note(transfer, EMPTY, at=later(transfer))
    resolved(transfer, operator, checker2, moved=False, at=later(transfer))
    attempts.conclude(attempt_id=attempt.pk, answer=Receipt(settled=True, record="V9"), now=timezone.now)
    assert Contradiction.objects.get().attempt == attempt
    transfer.refresh_from_db()
    assert transfer.state == State.FAILED


def answered_late(transfer: Transfer, people: tuple[User, User], *, moved: bool, answer: attempts.Answer) -> Transfer:
    """The one call's answer is noted after two people have resolved the transfer."""
    attempt = dispatch.claim(reference=transfer.reference, at=timezone.now())
    assert attempt is not None
    note(transfer, EMPTY, at=later(transfer))
    resolved(transfer, *people, moved=moved, at=later(transfer))
    attempts.conclude(attempt_id=attempt.pk, answer=answer, now=timezone.now)
    return transfer


@pytest.mark.parametrize("moved", [True, False])
def test_a_late_answer_that_proves_nothing_opens_none(
    approved: Made, operator: User, checker2: User, moved: bool
) -> None:
    answered_late(approved(), (operator, checker2), moved=moved, answer=Uncertain("Perhaps."))
    assert not Contradiction.objects.exists()


@pytest.mark.parametrize(("moved", "contradicted"), [(True, True), (False, False)])
def test_when_every_call_was_refused_it_cannot_have_moved(
    approved: Made, operator: User, checker2: User, moved: bool, contradicted: bool
) -> None:
    transfer = answered_late(approved(), (operator, checker2), moved=moved, answer=Refused("No."))
    assert transfer.contradictions.exists() is contradicted


def test_a_refusal_says_nothing_of_another_call(approved: Made, operator: User, checker2: User) -> None:
    transfer = unsettled(approved())
    resend = attempts.enter(transfer, kind=Kind.RESEND, at=later(transfer), action="transfer.resend")
    note(transfer, EMPTY, at=later(transfer))
    resolved(transfer, operator, checker2, moved=True, at=later(transfer))
    attempts.conclude(attempt_id=resend.pk, answer=Refused("No."), now=timezone.now)
    assert not Contradiction.objects.exists()


# -- contradictions ------------------------------------------------------------------------------------------


@pytest.fixture
def contradicted(doubtful: Transfer, operator: User, checker2: User) -> Transfer:
    """Two people said that it did not move, and the venue's records show that it did."""
    resolved(doubtful, operator, checker2, moved=False, at=later(doubtful))
    return note(doubtful, says(Found.DONE), at=later(doubtful, minutes=5))


def close(transfer: Transfer, proposer: User, checker: User, *, moved: bool) -> Contradiction:
    found = transfer.contradictions.get(closed_at=None)
    asked = contradictions.propose_close(
        contradiction_id=found.pk,
        moved=moved,
        reason="The row is there now",
        typed=transfer.reference,
        by=proposer,
        at=timezone.now(),
        files=[],
    )
    return contradictions.confirm_close(
        change_id=asked.pk, by=checker, digest=asked.digest, typed=transfer.reference, at=timezone.now()
    )


def test_two_people_close_it_with_a_correction_and_the_state_stays(
    contradicted: Transfer, operator: User, checker2: User
) -> None:
    assert close(contradicted, operator, checker2, moved=True).moved is True
    contradicted.refresh_from_db()
    assert contradicted.state == State.FAILED
    assert has_moved(contradicted)
    assert queries.standing(contradicted, timezone.now()).key == "failed"
    entry = AuditEntry.objects.get(action="contradiction.close")
    assert (entry.subject, entry.facts["moved"]) == (contradicted.subject, True)


def test_the_maker_does_not_close_it(contradicted: Transfer, operator: User) -> None:
    give(contradicted.maker, CHECKERS)
    with pytest.raises(changes.MayNotChange, match="You drafted"):
        close(contradicted, operator, contradicted.maker, moved=True)
    assert contradicted.contradictions.filter(closed_at=None).exists()


def test_what_is_contradicted_or_moved_after_all_is_not_drafted_again(
    contradicted: Transfer, operator: User, checker2: User, maker: User
) -> None:
    for _ in range(2):
        with pytest.raises(access.NotNow, match="may have moved after all"):
            draft.draft_again(reference=contradicted.reference, maker=maker, at=timezone.now())
        if contradicted.contradictions.filter(closed_at=None).exists():
            close(contradicted, operator, checker2, moved=True)


def test_a_contradiction_reserves_the_money_until_it_is_closed(
    contradicted: Transfer, approved: Made, operator: User, checker2: User
) -> None:
    held = contradicted.source.balances.get(asset=contradicted.asset)
    other = approved(amount="1")
    assert guards.not_shown_yet(held, besides=other) == contradicted.amount
    close(contradicted, operator, checker2, moved=False)
    assert guards.not_shown_yet(held, besides=other) == 0


def test_while_one_is_open_a_second_answer_opens_no_other(contradicted: Transfer) -> None:
    note(contradicted, says(Found.DONE), at=later(contradicted, minutes=9))
    assert contradicted.contradictions.count() == 1


@pytest.mark.parametrize(("corrected", "contradicted"), [(True, False), (False, True)])
def test_a_late_receipt_is_laid_beside_what_two_people_corrected(
    approved: Made, operator: User, checker2: User, corrected: bool, contradicted: bool
) -> None:
    """Not beside the state, which stays: the truth is what the two found."""
    transfer = approved()
    attempt = dispatch.claim(reference=transfer.reference, at=timezone.now())
    assert attempt is not None
    note(transfer, EMPTY, at=later(transfer))
    resolved(transfer, operator, checker2, moved=not corrected, at=later(transfer))
    Contradiction.objects.create(transfer=transfer, words="the rows disagree", at=later(transfer, minutes=1))
    close(transfer, operator, checker2, moved=corrected)
    attempts.conclude(attempt_id=attempt.pk, answer=Receipt(settled=True, record="V9"), now=timezone.now)
    assert transfer.contradictions.filter(closed_at=None).exists() is contradicted


def test_an_answer_that_two_people_ruled_on_does_not_open_it_again(
    contradicted: Transfer, operator: User, checker2: User
) -> None:
    close(contradicted, operator, checker2, moved=False)
    note(contradicted, says(Found.DONE), at=later(contradicted, minutes=9))
    assert not contradicted.contradictions.filter(closed_at=None).exists()
    note(contradicted, says(Found.PENDING), at=later(contradicted, minutes=10))
    assert contradicted.contradictions.filter(closed_at=None).exists(), "another answer is another matter"


def test_a_ruling_from_before_it_was_sent_is_overtaken_by_its_settling(
    approved: Made, operator: User, checker2: User
) -> None:
    transfer = note(approved(), says(Found.PENDING), at=timezone.now() - timedelta(minutes=1))
    close(transfer, operator, checker2, moved=False)
    concluded(transfer, Receipt(settled=True, record="V1"))
    assert has_moved(transfer)


def test_what_moved_already_is_reserved_no_longer_once_a_reading_shows_it(
    approved: Made, operator: User, checker2: User
) -> None:
    first, second = approved(amount="600"), approved(amount="300")
    note(first, says(Found.DONE))
    close(first, operator, checker2, moved=True)
    held = Balance.objects.filter(account=first.source, asset="USDT")
    held.update(observed_at=timezone.now(), total=400, movable=400)
    assert guards.enough(second, timezone.now()) is None


def test_what_was_corrected_twice_stands_as_it_was_corrected_last(
    contradicted: Transfer, operator: User, checker2: User, maker: User
) -> None:
    close(contradicted, operator, checker2, moved=True)
    Contradiction.objects.create(transfer=contradicted, words="no row after all", at=timezone.now())
    close(contradicted, operator, checker2, moved=False)
    assert not has_moved(contradicted)
    assert draft.draft_again(reference=contradicted.reference, maker=maker, at=timezone.now())


def test_after_a_correction_the_same_answer_contradicts_it_no_more(
    contradicted: Transfer, operator: User, checker2: User
) -> None:
    close(contradicted, operator, checker2, moved=True)
    note(contradicted, says(Found.DONE), at=later(contradicted, minutes=9))
    assert contradicted.contradictions.count() == 1
