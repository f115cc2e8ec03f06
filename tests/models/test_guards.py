"""Every guard of the database, attacked with plain SQL. Nothing that is refused leaves a trace."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from datetime import timedelta
from threading import Event
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from tests.audit.log import Beside
from tests.house import give, treat
from tests.models.attack import (
    ATTACKER,
    FROZEN,
    NOT_ALLOWED,
    TWICE,
    assess,
    attempt,
    begin,
    change,
    decide,
    demand,
    guards_asleep,
    insert,
    place,
    refused,
    sql,
    submission,
    witness,
)
from tests.transfers import hands
from treasury.audit import chain
from treasury.audit.record import record
from treasury.controls import bands, stops
from treasury.controls.wanted import Wanted
from treasury.models import (
    Account,
    Attachment,
    Attempt,
    Connection,
    Contradiction,
    FirstLook,
    LookUp,
    Movement,
    Resolution,
    Snapshot,
    State,
    Transfer,
    User,
)
from treasury.transfers import dispatch, draft

pytestmark = pytest.mark.django_db(transaction=True)

Made = Callable[..., Transfer]


# -- birth ---------------------------------------------------------------------------------------------------


def copy_of(transfer: Transfer, **other: Any) -> None:
    """INSERT of a transfer like this one, but for the columns named."""
    columns = {"reference": "TR-999999", "state": "DRAFT", **other}
    names = [field.column for field in Transfer._meta.concrete_fields if not field.primary_key]
    values = ", ".join("gen_random_uuid()" if name == "draft_key" else f'coalesce(%s, t."{name}")' for name in names)
    sql(
        f"INSERT INTO treasury_transfer ({', '.join(names)}) SELECT {values} FROM treasury_transfer t WHERE t.id = %s",
        *(columns.get(name) for name in names if name != "draft_key"),
        transfer.pk,
    )


def test_a_transfer_is_not_born_without_its_entry(drafted: Made) -> None:
    draft = drafted()
    with refused(NOT_ALLOWED, "the log does not say so"):
        copy_of(draft)


def test_a_transfer_is_born_with_its_entry(drafted: Made) -> None:
    draft = drafted()
    with transaction.atomic(durable=True):
        copy_of(draft)
        witness(draft, None, "DRAFT", subject="transfer:TR-999999")
    assert Transfer.objects.filter(reference="TR-999999").exists()


@pytest.mark.parametrize("state", [state for state in State if state != State.DRAFT])
def test_a_transfer_is_born_a_draft_and_nothing_else(drafted: Made, state: State) -> None:
    draft = drafted()
    with refused(NOT_ALLOWED, "begins as a draft"):
        copy_of(draft, state=state.value)
        witness(draft, None, state.value, subject="transfer:TR-999999")


def test_a_transfer_is_not_born_with_a_round_a_key_or_a_digest(drafted: Made) -> None:
    draft = drafted()
    for column, value in {"round": 1, "key": "6f1e1c7e-5d0c-4f0e-9f61-1d6a1a4d0c11", "digest": "0" * 64}.items():
        with refused(NOT_ALLOWED, "begins as a draft"):
            copy_of(draft, **{column: value})
            witness(draft, None, "DRAFT", subject="transfer:TR-999999")


# -- words ---------------------------------------------------------------------------------------------------

WORDS: dict[str, Any] = {
    "connection_id": 999_999,
    "source_id": 999_999,
    "destination_id": 999_999,
    "asset": "BTC",
    "amount": "12.500000000000000001",
    "reason": "another one",
    "key": "6f1e1c7e-5d0c-4f0e-9f61-1d6a1a4d0c11",
    "instruction": "{}",
    "digest": "0" * 64,
    "submitted_at": "2020-01-01T00:00:00Z",
    "expires_at": "2099-01-01T00:00:00Z",
}


@pytest.mark.parametrize("column", WORDS)
def test_words_are_frozen_from_submit_on(submitted: Made, column: str) -> None:
    transfer = submitted()
    for state in State:
        if state == State.DRAFT:
            continue
        place(transfer, state)
        with refused(FROZEN, "its words are frozen"):
            change(transfer, **{column: WORDS[column]})


PEDIGREE: dict[str, Any] = {
    "draft_key": "6f1e1c7e-5d0c-4f0e-9f61-1d6a1a4d0c11",
    "created_at": "2020-01-01T00:00:00Z",
    "seen_total": "1",
}


@pytest.mark.parametrize("column", PEDIGREE)
def test_what_the_maker_saw_and_when_is_frozen_as_well(submitted: Made, column: str) -> None:
    """A later ``seen_total`` would hide from the dispatcher that somebody else moved a quiet account."""
    transfer = submitted()
    with refused(FROZEN, "its words are frozen"):
        change(transfer, **{column: PEDIGREE[column]})


def test_a_copy_keeps_its_original(submitted: Made) -> None:
    transfer, other = submitted(), submitted()
    with refused(FROZEN, "its words are frozen"):
        change(transfer, copied_from_id=other.pk)


@pytest.mark.parametrize("amount", ["0", "-1", "-0.000000000000000001", "NaN"])
def test_an_amount_is_a_number_above_zero(drafted: Made, amount: str) -> None:
    """NaN counts as greater than any number in PostgreSQL."""
    draft = drafted()
    with refused(NOT_ALLOWED, "transfer_amount"):
        change(draft, amount=amount)


@pytest.mark.parametrize("column", ["key", "instruction", "digest", "submitted_at", "expires_at"])
def test_words_cannot_be_taken_away_either(submitted: Made, column: str) -> None:
    transfer = submitted()
    with refused(FROZEN, "its words are frozen"):
        change(transfer, **{column: None})


def test_words_cannot_change_in_the_same_breath_as_the_state(submitted: Made) -> None:
    transfer = submitted()
    with refused(FROZEN, "its words are frozen"):
        change(transfer, state="CANCELLED", amount="13")
        witness(transfer, "SUBMITTED", "CANCELLED")


@pytest.mark.parametrize("state", State)
def test_the_maker_never_changes(submitted: Made, checker: User, state: State) -> None:
    transfer = submitted()
    place(transfer, state)
    with refused(FROZEN, "frozen"):
        change(transfer, maker_id=checker.pk)


@pytest.mark.parametrize("column", ["id", "reference"])
def test_the_name_of_a_transfer_never_changes(drafted: Made, column: str) -> None:
    draft = drafted()
    with refused(FROZEN, "frozen"):
        change(draft, **{column: 999_999})


def test_a_round_begins_with_a_step_and_with_nothing_else(submitted: Made) -> None:
    transfer = submitted()
    with refused(FROZEN, "a round begins with a step"):
        change(transfer, round=2)
    with refused(NOT_ALLOWED, "wrong round"):
        change(transfer, state="CANCELLED", round=2)
        witness(transfer, "SUBMITTED", "CANCELLED")


def test_a_draft_may_still_be_written(drafted: Made) -> None:
    draft = drafted()
    with transaction.atomic(durable=True):
        change(draft, amount="13", reason="another one")
    draft.refresh_from_db()
    assert (str(draft.amount.normalize()), draft.reason) == ("13", "another one")


# -- submit --------------------------------------------------------------------------------------------------


def test_a_submit_with_digest_and_demands_is_taken(drafted: Made) -> None:
    draft = drafted()
    with transaction.atomic(durable=True):
        begin(draft, 1)
        change(draft, **submission(draft))
        witness(draft, "DRAFT", "SUBMITTED")
    draft.refresh_from_db()
    assert draft.state == State.SUBMITTED


def test_a_submit_without_demands_is_refused(drafted: Made) -> None:
    draft = drafted()
    with refused(NOT_ALLOWED, "its demands are not those of the policy"):
        assess(draft, 1, '{"demands": {}}')
        change(draft, **submission(draft))
        witness(draft, "DRAFT", "SUBMITTED")


@pytest.mark.parametrize("digest", ["0" * 64, "", None, "upper"])
def test_a_submit_with_a_digest_of_something_else_is_refused(drafted: Made, digest: str | None) -> None:
    draft = drafted()
    words = submission(draft)
    with refused(NOT_ALLOWED, "without its digest or its demands"):
        begin(draft, 1)
        change(draft, **{**words, "digest": words["digest"].upper() if digest == "upper" else digest})
        witness(draft, "DRAFT", "SUBMITTED")


@pytest.mark.parametrize("missing", ["instruction", "key", "submitted_at", "expires_at"])
def test_a_submit_with_anything_missing_is_refused(drafted: Made, missing: str) -> None:
    draft = drafted()
    words = {**submission(draft), missing: None}
    if missing == "instruction":
        words["digest"] = None
    with refused(NOT_ALLOWED, "transfer_submitted_has_instruction"):
        begin(draft, 1)
        change(draft, **words)
        witness(draft, "DRAFT", "SUBMITTED")


def test_the_digest_is_of_the_text_in_utf8(drafted: Made) -> None:
    draft = drafted()
    text = '{"reason":"für Zürich – ₿"}'
    with transaction.atomic(durable=True):
        begin(draft, 1)
        words = {"instruction": text, "digest": hashlib.sha256(text.encode()).hexdigest()}
        change(draft, **{**submission(draft), **words})
        witness(draft, "DRAFT", "SUBMITTED")


# -- demands -------------------------------------------------------------------------------------------------


def test_a_demand_is_not_added_while_it_is_decided(submitted: Made) -> None:
    transfer = submitted()
    for round_ in (0, 1, 2):
        with refused(NOT_ALLOWED, "demands are written when a round begins"):
            demand(transfer, round_, group="others")


@pytest.mark.parametrize("state", [state for state in State if state not in (State.DRAFT, State.APPROVED)])
def test_a_demand_is_not_added_to_a_transfer_in_any_later_state(submitted: Made, state: State) -> None:
    transfer = submitted()
    place(transfer, state)
    with refused(NOT_ALLOWED, "demands are written when a round begins"):
        demand(transfer, transfer.round + 1)


def test_a_demand_is_not_added_to_the_round_that_was_approved(approved: Made) -> None:
    transfer = approved()
    with refused(NOT_ALLOWED, "demands are written when a round begins"):
        demand(transfer, transfer.round, group="others")


def test_a_demand_of_nobody_is_refused(drafted: Made) -> None:
    draft = drafted()
    with refused(NOT_ALLOWED, "demand_of_at_least_one"):
        demand(draft, 1, count=0)


def test_a_group_is_demanded_once(drafted: Made) -> None:
    draft = drafted()
    with refused(TWICE, "demand_once_per_group"):
        demand(draft, 1)
        demand(draft, 1, count=2)


# -- decisions -----------------------------------------------------------------------------------------------


def test_a_decision_on_the_words_as_they_stand_is_taken(submitted: Made, checker: User) -> None:
    transfer = submitted()
    with transaction.atomic(durable=True):
        decide(transfer, checker.pk)
    assert transfer.decisions.count() == 1


def test_a_maker_does_not_decide_on_their_own(submitted: Made, maker: User) -> None:
    transfer = submitted()
    with refused(NOT_ALLOWED, "its maker is not its checker"):
        decide(transfer, maker.pk)


def test_a_decision_with_another_digest_is_refused(submitted: Made, checker: User) -> None:
    transfer = submitted()
    with refused(NOT_ALLOWED, "decided on other words"):
        decide(transfer, checker.pk, digest="0" * 64)


def test_a_decision_on_another_text_is_refused(submitted: Made, checker: User) -> None:
    transfer = submitted()
    with refused(NOT_ALLOWED, "decided on other words"):
        decide(transfer, checker.pk, instruction=f"{transfer.instruction} ")


@pytest.mark.parametrize("state", [state for state in State if state != State.SUBMITTED])
def test_a_decision_on_a_transfer_that_waits_for_none_is_refused(submitted: Made, checker: User, state: State) -> None:
    transfer = submitted()
    place(transfer, state)
    with refused(NOT_ALLOWED, "not waiting for this decision"):
        decide(transfer, checker.pk)


@pytest.mark.parametrize("round_", [0, 2])
def test_a_decision_in_another_round_is_refused(submitted: Made, checker: User, round_: int) -> None:
    transfer = submitted()
    with refused(NOT_ALLOWED, "not waiting for this decision"):
        decide(transfer, checker.pk, round=round_)


def test_one_person_decides_once_in_a_round(submitted: Made, checker: User) -> None:
    transfer = submitted(amount="20000")
    with transaction.atomic(durable=True):
        decide(transfer, checker.pk)
    with refused(TWICE, "one person decides once"):
        decide(transfer, checker.pk)
    with refused(TWICE, "one person decides once"):
        decide(transfer, checker.pk, verdict="reject", reason="no")


def test_a_rejection_has_a_reason(submitted: Made, checker: User) -> None:
    transfer = submitted()
    with refused(NOT_ALLOWED, "decision_rejection_has_a_reason"):
        decide(transfer, checker.pk, verdict="reject")


# -- approval ------------------------------------------------------------------------------------------------


def approve_by_force(transfer: Transfer) -> None:
    change(transfer, state="APPROVED")
    witness(transfer, "SUBMITTED", "APPROVED")


def test_nothing_is_approved_without_decisions(submitted: Made) -> None:
    transfer = submitted()
    with refused(NOT_ALLOWED, "approved without its decisions"):
        approve_by_force(transfer)


def test_nothing_is_approved_with_too_few(submitted: Made, checker: User) -> None:
    transfer = submitted(amount="20000")
    with refused(NOT_ALLOWED, "approved without its decisions"):
        decide(transfer, checker.pk)
        approve_by_force(transfer)


def test_two_people_satisfy_a_demand_of_two(submitted: Made, checker: User, checker2: User) -> None:
    transfer = submitted(amount="20000")
    with transaction.atomic(durable=True):
        decide(transfer, checker.pk)
        decide(transfer, checker2.pk)
        approve_by_force(transfer)
    transfer.refresh_from_db()
    assert transfer.state == State.APPROVED


def test_one_person_counts_once_even_where_two_rows_got_in(submitted: Made, checker: User) -> None:
    transfer = submitted(amount="20000")
    with guards_asleep():
        decide(transfer, checker.pk)
        decide(transfer, checker.pk)
    with refused(NOT_ALLOWED, "approved without its decisions"):
        approve_by_force(transfer)


def test_a_rejection_counts_for_nothing(submitted: Made, checker: User) -> None:
    transfer = submitted()
    with refused(NOT_ALLOWED, "approved without its decisions"):
        decide(transfer, checker.pk, verdict="reject", reason="no")
        approve_by_force(transfer)


def test_decisions_of_an_earlier_round_count_no_longer(approved: Made) -> None:
    transfer = approved()
    with transaction.atomic(durable=True):
        begin(transfer, 2)
        change(transfer, state="SUBMITTED", round=2)
        witness(transfer, "APPROVED", "SUBMITTED")
    transfer.refresh_from_db()
    with refused(NOT_ALLOWED, "approved without its decisions"):
        approve_by_force(transfer)


@pytest.mark.parametrize("groups", [[], ["others"]])
def test_a_decision_that_counts_for_another_group_counts_for_nothing(
    submitted: Made, checker: User, groups: list[str]
) -> None:
    give(checker, "others")
    transfer = submitted()
    with refused(NOT_ALLOWED, "approved without its decisions"):
        decide(transfer, checker.pk, counts_for=groups)
        approve_by_force(transfer)


@pytest.mark.parametrize("groups", [["operators"], ["checkers", "operators"], ["CHECKERS"]])
def test_a_decision_counts_for_no_group_that_its_giver_is_not_in(
    submitted: Made, checker: User, groups: list[str]
) -> None:
    transfer = submitted()
    with refused(NOT_ALLOWED, "counted for a group that checker is not in"):
        decide(transfer, checker.pk, counts_for=groups)


def test_every_demanded_group_must_be_satisfied(drafted: Made, checker: User, checker2: User) -> None:
    transfer = drafted()
    with transaction.atomic(durable=True):
        begin(transfer, 1, checkers=1, operators=1)
        change(transfer, **submission(transfer))
        witness(transfer, "DRAFT", "SUBMITTED")
    transfer.refresh_from_db()
    with refused(NOT_ALLOWED, "approved without its decisions"):
        decide(transfer, checker.pk)
        decide(transfer, checker2.pk)
        approve_by_force(transfer)


def test_an_approval_is_not_sent_back_without_new_demands(approved: Made) -> None:
    transfer = approved()
    with refused(NOT_ALLOWED, "its demands are not those of the policy"):
        change(transfer, state="SUBMITTED", round=2)
        witness(transfer, "APPROVED", "SUBMITTED")


def test_an_approval_is_not_sent_back_into_the_same_round(approved: Made) -> None:
    transfer = approved()
    with refused(NOT_ALLOWED, "wrong round"):
        change(transfer, state="SUBMITTED")
        witness(transfer, "APPROVED", "SUBMITTED")


# -- attempts ------------------------------------------------------------------------------------------------


@pytest.fixture
def claimed(approved: Made) -> Transfer:
    """Claimed by the dispatcher: it may have been sent."""
    transfer = approved()
    assert dispatch.claim(reference=transfer.reference, at=timezone.now()) is not None
    transfer.refresh_from_db()
    assert transfer.state == State.DISPATCHING
    return transfer


def conclude(transfer: Transfer, outcome: str | None) -> None:
    at = timezone.now() if outcome else None
    sql("UPDATE treasury_attempt SET outcome = %s, concluded_at = %s WHERE transfer_id = %s", outcome, at, transfer.pk)


def back_to_approved(transfer: Transfer) -> None:
    change(transfer, state="APPROVED")
    witness(transfer, "DISPATCHING", "APPROVED")


@pytest.mark.parametrize("outcome", [None, "settled", "accepted", "uncertain"])
def test_nothing_comes_back_to_approved_while_it_may_have_been_sent(claimed: Transfer, outcome: str | None) -> None:
    with refused(NOT_ALLOWED, "an attempt is not proven unsent"):
        conclude(claimed, outcome)
        back_to_approved(claimed)


@pytest.mark.parametrize("outcome", ["refused", "try_later", "barred", "challenge"])
def test_what_is_proven_unsent_may_come_back(claimed: Transfer, outcome: str) -> None:
    with transaction.atomic(durable=True):
        conclude(claimed, outcome)
        back_to_approved(claimed)
    claimed.refresh_from_db()
    assert claimed.state == State.APPROVED


def test_one_doubtful_attempt_among_several_keeps_it_from_coming_back(claimed: Transfer) -> None:
    with transaction.atomic(durable=True):
        conclude(claimed, "uncertain")
        attempt(claimed, 2)
    with refused(NOT_ALLOWED, "an attempt is not proven unsent"):
        sql("UPDATE treasury_attempt SET outcome = 'refused', concluded_at = now() WHERE number = 2")
        back_to_approved(claimed)


@pytest.mark.parametrize("state", [state for state in State if state != State.DISPATCHING])
def test_no_attempt_without_a_claim(submitted: Made, state: State) -> None:
    transfer = submitted()
    place(transfer, state)
    with refused(NOT_ALLOWED, "claimed before it is made"):
        attempt(transfer, 1)


def test_no_attempt_is_born_with_its_outcome(claimed: Transfer) -> None:
    with refused(NOT_ALLOWED, "claimed before it is made"):
        attempt(claimed, 2, outcome="refused", concluded_at=timezone.now())


def test_no_second_attempt_while_the_first_may_still_be_under_way(claimed: Transfer) -> None:
    with refused(NOT_ALLOWED, "an earlier attempt"):
        attempt(claimed, 2, kind="resend")


@pytest.mark.parametrize("outcome", ["settled", "accepted"])
def test_no_second_attempt_after_the_venue_took_the_first(claimed: Transfer, outcome: str) -> None:
    with transaction.atomic(durable=True):
        conclude(claimed, outcome)
    with refused(NOT_ALLOWED, "an earlier attempt"):
        attempt(claimed, 2, kind="resend")


def test_a_second_attempt_in_doubt_is_taken_once_the_first_call_is_over(claimed: Transfer) -> None:
    over = timezone.now() + timedelta(minutes=5)
    with transaction.atomic(durable=True):
        attempt(claimed, 2, kind="resend", claimed_at=over, send_before=over, call_ends_at=over)
    assert claimed.attempts.count() == 2


def test_no_attempt_slips_in_while_the_transfer_steps_back(claimed: Transfer) -> None:
    """Each of the two is allowed by what it sees alone; together they would leave a live attempt on an approval."""
    with transaction.atomic(durable=True):
        conclude(claimed, "try_later")
    stepped, go = Event(), Event()

    def step_back() -> None:
        with transaction.atomic(durable=True):
            back_to_approved(claimed)
            stepped.set()
            assert go.wait(30)

    back = Beside(step_back)
    assert stepped.wait(30)
    slip = Beside(lambda: attempt(claimed, 2))
    time.sleep(0.2)
    go.set()
    back.join()
    with pytest.raises(DatabaseError, match="claimed before it is made"):
        slip.join()
    claimed.refresh_from_db()
    assert (claimed.state, claimed.attempts.count()) == (State.APPROVED, 1)


def test_an_attempt_is_numbered_once(claimed: Transfer) -> None:
    with transaction.atomic(durable=True):
        conclude(claimed, "uncertain")
    with refused(TWICE, "attempt_numbered_once"):
        attempt(claimed, 1)


def test_an_outcome_is_written_once(claimed: Transfer) -> None:
    with transaction.atomic(durable=True):
        conclude(claimed, "uncertain")
    for outcome in ("refused", "settled", None):
        with refused(FROZEN, "written once"):
            conclude(claimed, outcome)
    for column, value in {"words": "nothing moved", "record": "1", "evidence": '{"a": 1}'}.items():
        with refused(FROZEN, "written once"):
            sql(f"UPDATE treasury_attempt SET {column} = %s", value)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("id", "id + 999"),
        ("transfer_id", "transfer_id + 999"),
        ("number", "number + 1"),
        ("kind", "'resend'"),
        ("claimed_at", "claimed_at - interval '1 day'"),
        ("send_before", "send_before + interval '1 day'"),
        ("call_ends_at", "call_ends_at - interval '1 day'"),
        ("worker", "'another'"),
    ],
)
def test_what_was_claimed_stays_as_it_was(claimed: Transfer, column: str, value: str) -> None:
    with refused(FROZEN, "never again"):
        sql(f"UPDATE treasury_attempt SET {column} = {value}")


def test_an_outcome_comes_with_its_time(claimed: Transfer) -> None:
    with refused(NOT_ALLOWED, "attempt_outcome_has_a_time"):
        sql("UPDATE treasury_attempt SET outcome = 'refused'")


# -- the witness ---------------------------------------------------------------------------------------------


def cancel_by_force(transfer: Transfer) -> None:
    change(transfer, state="CANCELLED")


def test_no_change_of_state_commits_without_its_entry(submitted: Made) -> None:
    transfer = submitted()
    with refused(NOT_ALLOWED, "the log does not say so"):
        cancel_by_force(transfer)


def test_the_entry_may_come_before_the_change_or_after(submitted: Made) -> None:
    for first_the_entry in (True, False):
        transfer = submitted()
        with transaction.atomic(durable=True):
            if first_the_entry:
                witness(transfer, "SUBMITTED", "CANCELLED")
            cancel_by_force(transfer)
            if not first_the_entry:
                witness(transfer, "SUBMITTED", "CANCELLED")
        transfer.refresh_from_db()
        assert transfer.state == State.CANCELLED


def test_an_entry_of_another_transaction_is_no_witness(submitted: Made) -> None:
    transfer = submitted()
    with transaction.atomic(durable=True):
        witness(transfer, "SUBMITTED", "CANCELLED")
    with refused(NOT_ALLOWED, "the log does not say so"):
        cancel_by_force(transfer)


@pytest.mark.parametrize(
    ("before", "after"),
    [("SUBMITTED", "EXPIRED"), ("DRAFT", "CANCELLED"), (None, "CANCELLED"), ("CANCELLED", "SUBMITTED")],
)
def test_an_entry_that_names_other_states_is_no_witness(submitted: Made, before: str | None, after: str) -> None:
    transfer = submitted()
    with refused(NOT_ALLOWED, "the log does not say so"):
        cancel_by_force(transfer)
        witness(transfer, before, after)


def test_an_entry_about_another_transfer_is_no_witness(submitted: Made) -> None:
    transfer, other = submitted(), submitted()
    with refused(NOT_ALLOWED, "the log does not say so"):
        cancel_by_force(transfer)
        witness(other, "SUBMITTED", "CANCELLED")


def test_an_entry_of_a_refusal_is_no_witness(submitted: Made) -> None:
    transfer = submitted()
    with refused(NOT_ALLOWED, "the log does not say so"):
        cancel_by_force(transfer)
        witness(transfer, "SUBMITTED", "CANCELLED", result="refused")


def test_an_entry_that_was_rolled_back_is_no_witness(submitted: Made) -> None:
    transfer = submitted()
    with refused(NOT_ALLOWED, "the log does not say so"):
        cancel_by_force(transfer)
        sql("SAVEPOINT before_the_entry")
        witness(transfer, "SUBMITTED", "CANCELLED")
        sql("ROLLBACK TO SAVEPOINT before_the_entry")


def test_an_entry_in_a_savepoint_that_was_kept_is_a_witness(submitted: Made) -> None:
    transfer = submitted()
    with transaction.atomic(durable=True):
        cancel_by_force(transfer)
        with transaction.atomic():
            witness(transfer, "SUBMITTED", "CANCELLED")
    transfer.refresh_from_db()
    assert transfer.state == State.CANCELLED


def test_each_of_two_steps_in_one_transaction_needs_its_own_entry(submitted: Made, checker: User) -> None:
    transfer = submitted()
    with refused(NOT_ALLOWED, "the log does not say so"):
        decide(transfer, checker.pk)
        approve_by_force(transfer)
        change(transfer, state="CANCELLED")


def test_the_witness_is_asked_of_an_upsert_too(submitted: Made) -> None:
    transfer = submitted()
    names = ", ".join(field.column for field in Transfer._meta.concrete_fields)
    with refused(NOT_ALLOWED, "begins as a draft"):
        sql(
            f"INSERT INTO treasury_transfer ({names}) SELECT {names} FROM treasury_transfer"
            " ON CONFLICT (id) DO UPDATE SET state = 'CANCELLED', outcome = 'By force.'"
        )
    with refused(NOT_ALLOWED, "the log does not say so"):
        sql(
            "MERGE INTO treasury_transfer t USING (SELECT %s::bigint AS id) s ON t.id = s.id"
            " WHEN MATCHED THEN UPDATE SET state = 'CANCELLED', outcome = 'By force.'",
            transfer.pk,
        )


# -- what is never taken away --------------------------------------------------------------------------------

APPEND_ONLY = {
    "treasury_auditentry": "at",
    "treasury_auditlink": "hash",
    "treasury_auditbatch": "root",
    "treasury_decision": "reason",
    "treasury_demand": "count",
    "treasury_lookup": "words",
    "treasury_attachment": "name",
    "treasury_firstlook": "problem",
    "treasury_resolution": "moved",
    "treasury_movement": "tripped",
    "treasury_policy": "text",
    "treasury_assessment": "answer",
}
KEPT = (
    *("treasury_transfer", "treasury_attempt", "treasury_stoporder", "treasury_change", "treasury_contradiction"),
    *("treasury_user", "treasury_membership", "treasury_connection", "treasury_account"),
)
PARENTS = ("treasury_user", "treasury_connection", "treasury_account", "treasury_transfer", "treasury_stoporder")


@pytest.fixture
def full(claimed: Transfer, operator: User) -> Transfer:
    """A row in every table that must refuse to lose one."""
    at = timezone.now()
    LookUp.objects.create(transfer=claimed, at=at, state="UNCLEAR", searched=True, found=False)
    order = stops.stop(connection=claimed.connection, reason="drill", by=operator, at=at)
    change = stops.propose_release(stop_order_id=order.pk, by=operator, reason="drill over", at=at)
    FirstLook.objects.create(change=change, at=at)
    Contradiction.objects.create(transfer=claimed, at=at, words="It moved.")
    held = {"account": claimed.source, "asset": "USDT", "since": at, "at": at, "tripped": False}
    Movement.objects.create(before=1, after=2, ours=0, rest=1, **held)
    with guards_asleep():
        Resolution.objects.create(transfer=claimed, moved=True, change=change, at=at)
        Attachment.objects.create(change=change, name="a.txt", media_type="text/plain", size=1, sha256="", content=b"a")
    with guards_asleep():  # as if the sealer had been: it waits for every other session of the server
        sql("INSERT INTO treasury_auditlink (seq, entry_id, hash) SELECT 1, min(id), %s FROM treasury_auditentry", b"1")
        sql(
            "INSERT INTO treasury_auditbatch (number, sealed_at, first_seq, last_seq, root, hash, upto, cluster)"
            " VALUES (1, now(), 1, 1, %s, %s, '1', '')",
            chain.GENESIS,
            chain.GENESIS,
        )
    for table in (*APPEND_ONLY, *KEPT):
        assert sql(f"SELECT count(*) FROM {table}") != [(0,)], table
    return claimed


def test_what_is_append_only_refuses_every_change(full: Transfer) -> None:
    for table, column in APPEND_ONLY.items():
        with refused(FROZEN, f"{table} is append-only: UPDATE refused"):
            sql(f"UPDATE {table} SET {column} = {column}")


def test_nothing_that_is_kept_can_be_deleted(full: Transfer) -> None:
    for table in (*APPEND_ONLY, *KEPT):
        with refused(FROZEN, f"{table} is append-only: DELETE refused"):
            sql(f"DELETE FROM {table}")


def test_nothing_that_is_kept_can_be_truncated(full: Transfer) -> None:
    for table in (*APPEND_ONLY, *KEPT):
        with refused(FROZEN, "is append-only: TRUNCATE refused"):
            sql(f"TRUNCATE {table} CASCADE")


@pytest.mark.parametrize("table", PARENTS)
def test_truncating_a_parent_does_not_take_its_children_along(full: Transfer, table: str) -> None:
    with refused(FROZEN, "is append-only: TRUNCATE refused"):
        sql(f"TRUNCATE {table} CASCADE")


def test_a_draft_cannot_be_deleted_either(drafted: Made) -> None:
    draft = drafted()
    with refused(FROZEN, "DELETE refused"):
        sql("DELETE FROM treasury_transfer WHERE id = %s", draft.pk)


def test_an_upsert_does_not_change_what_is_append_only(full: Transfer) -> None:
    with refused(FROZEN, "UPDATE refused"):
        sql(
            "INSERT INTO treasury_auditlink (seq, entry_id, hash) VALUES (1, 1, '')"
            " ON CONFLICT (seq) DO UPDATE SET hash = excluded.hash"
        )


# -- stop orders ---------------------------------------------------------------------------------------------


@pytest.fixture
def stopped(submitted: Made, operator: User) -> int:
    order = stops.stop(connection=submitted().connection, reason="drill", by=operator, at=timezone.now())
    return order.pk


def proposed(operator: User, **other: Any) -> int:
    """A change as the product would write it, with its entry, but for the columns named."""
    columns = {
        "kind": "stop.release",
        "subject": "connection:Bybit main",
        "words": "{}",
        "digest": "0" * 64,
        "sealed": "",
        "reason": "over",
        "proposed_by_id": operator.pk,
        "proposed_at": timezone.now(),
        "said": "",
        "proposed_factor": "",
        "decided_factor": "",
        **other,
    }
    insert("treasury_change", columns)
    ((number,),) = sql("SELECT max(id) FROM treasury_change")
    told(number)
    return int(number)


def told(number: int) -> None:
    record(at=timezone.now(), by=ATTACKER, action="change.attack", subject="x:y", facts={"change": number})


def rule(number: int, ruling: str, by: User) -> None:
    sql(
        "UPDATE treasury_change SET ruling = %s, decided_by_id = %s, decided_at = now() WHERE id = %s",
        ruling,
        by.pk,
        number,
    )
    told(number)


def end(order: int, number: int | None) -> None:
    sql("UPDATE treasury_stoporder SET released_at = now(), release_id = %s WHERE id = %s", number, order)


def test_a_stop_does_not_end_without_two_people(stopped: int, operator: User) -> None:
    with refused(NOT_ALLOWED, "two people"):
        end(stopped, None)
    with refused(NOT_ALLOWED, "two people"):
        end(stopped, proposed(operator, words=json.dumps({"stop": stopped})))


def test_a_release_of_another_stop_does_not_end_this_one(stopped: int, operator: User, operator2: User) -> None:
    with refused(NOT_ALLOWED, "two people"):
        number = proposed(operator, words=json.dumps({"stop": stopped + 1}))
        rule(number, "applied", operator2)
        end(stopped, number)


def test_two_people_end_a_stop(stopped: int, operator: User, operator2: User) -> None:
    with transaction.atomic(durable=True):
        number = proposed(operator, words=json.dumps({"stop": stopped}))
        rule(number, "applied", operator2)
        end(stopped, number)
    assert sql("SELECT released_at IS NOT NULL FROM treasury_stoporder") == [(True,)]


# -- changes under four eyes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("ruling", ["applied", "declined"])
def test_nobody_decides_on_their_own_proposal(operator: User, ruling: str) -> None:
    with refused(NOT_ALLOWED, "nobody decides on their own"):
        rule(proposed(operator), ruling, operator)


def test_nobody_withdraws_for_another(operator: User, operator2: User) -> None:
    with refused(NOT_ALLOWED, "nobody decides on their own"):
        rule(proposed(operator), "withdrawn", operator2)


def test_a_change_is_never_born_decided(operator: User, operator2: User) -> None:
    with refused(NOT_ALLOWED, "proposed before it is decided"):
        proposed(operator, ruling="applied", decided_by_id=operator2.pk, decided_at=timezone.now())


@pytest.mark.parametrize(
    "column",
    ["kind = 'x.y'", "subject = 'x'", "words = '{\"moved\": true}'", "digest = ''", "reason = ''", "sealed = 'x'"],
)
def test_what_was_proposed_stays_as_it_was_proposed(operator: User, column: str) -> None:
    with transaction.atomic(durable=True):
        proposed(operator)
    with refused(FROZEN, "stays as it was proposed"):
        sql(f"UPDATE treasury_change SET {column}")


def test_a_change_is_decided_once(operator: User, operator2: User) -> None:
    with transaction.atomic(durable=True):
        rule(number := proposed(operator), "declined", operator2)
    with refused(FROZEN, "decided once"):
        rule(number, "applied", operator2)


EMPTY = ("subject", "digest", "sealed", "reason", "said", "proposed_factor", "decided_factor")


def test_no_proposal_and_no_ruling_without_its_entry(operator: User, operator2: User) -> None:
    with refused(NOT_ALLOWED, "the log does not say so"):
        columns = {"kind": "x.y", "words": "{}", **dict.fromkeys(EMPTY, "")}
        insert("treasury_change", {**columns, "proposed_by_id": operator.pk, "proposed_at": timezone.now()})
    with transaction.atomic(durable=True):
        number = proposed(operator)
    with refused(NOT_ALLOWED, "the log does not say so"):
        sql(
            "UPDATE treasury_change SET ruling = 'applied', decided_by_id = %s, decided_at = now() WHERE id = %s",
            operator2.pk,
            number,
        )


# -- resolutions and contradictions --------------------------------------------------------------------------


def resolve(transfer: Transfer, number: int, *, moved: bool = True) -> None:
    columns = {"transfer_id": transfer.pk, "moved": moved, "change_id": number, "at": timezone.now()}
    insert("treasury_resolution", columns)


def resolving(transfer: Transfer, proposer: User, decider: User, **other: Any) -> int:
    words = {"kind": "transfer.resolve", "subject": transfer.subject, "words": '{"moved": true}', **other}
    number = proposed(proposer, **words)
    rule(number, "applied", decider)
    return number


def test_a_resolution_rests_on_a_change_that_another_confirmed(
    claimed: Transfer, operator: User, checker: User
) -> None:
    with refused(NOT_ALLOWED, "two people resolve"):
        resolve(claimed, proposed(operator, kind="transfer.resolve", subject=claimed.subject, words='{"moved": true}'))
    with refused(NOT_ALLOWED, "two people resolve"):
        resolve(claimed, resolving(claimed, operator, checker, words='{"moved": false}'))
    with refused(NOT_ALLOWED, "two people resolve"):
        resolve(claimed, resolving(claimed, operator, checker, subject="transfer:TR-999999"))
    with transaction.atomic(durable=True):
        resolve(claimed, resolving(claimed, operator, checker))


def test_a_maker_does_not_confirm_what_became_of_their_own(claimed: Transfer, operator: User) -> None:
    with refused(NOT_ALLOWED, "two people resolve"):
        resolve(claimed, resolving(claimed, operator, claimed.maker))


def test_a_contradiction_is_never_born_closed(claimed: Transfer, operator: User) -> None:
    with refused(NOT_ALLOWED, "open before two people close it"):
        number = proposed(operator, kind="contradiction.close")
        columns = {"transfer_id": claimed.pk, "at": timezone.now(), "words": "x", "closed_at": timezone.now()}
        insert("treasury_contradiction", {**columns, "moved": False, "change_id": number})


def test_a_file_is_not_added_to_what_others_are_reading(operator: User) -> None:
    with transaction.atomic(durable=True):
        number = proposed(operator)
    file = {"name": "a.txt", "media_type": "text/plain", "size": 1, "content": b"a"}
    with refused(NOT_ALLOWED, "not proposed with it"):
        digest = hashlib.sha256(b"a").hexdigest()
        insert("treasury_attachment", {**file, "change_id": number, "sha256": digest})


def test_what_both_accounts_held_at_the_claim_stays(claimed: Transfer) -> None:
    with refused(FROZEN, "the rest never again"):
        sql("UPDATE treasury_attempt SET before = %s", json.dumps({"source": {"total": "5"}}))


def test_what_is_not_in_flight_is_not_resolved(submitted: Made, operator: User, checker: User) -> None:
    transfer = submitted()
    with refused(NOT_ALLOWED, "nothing is to be resolved"):
        resolve(transfer, resolving(transfer, operator, checker))


def test_a_contradiction_is_closed_by_two_people_and_stays_as_it_was_written(
    claimed: Transfer, operator: User, checker: User
) -> None:
    one = Contradiction.objects.create(transfer=claimed, at=timezone.now(), words="It moved.")
    closing = {"kind": "contradiction.close", "words": json.dumps({"contradiction": one.pk, "moved": True})}
    close = "UPDATE treasury_contradiction SET closed_at = now(), moved = %s, change_id = %s"
    with refused(FROZEN, "stays as it was written"):
        sql("UPDATE treasury_contradiction SET words = ''")
    with refused(NOT_ALLOWED, "closed by two people"):
        sql(close, True, proposed(operator, **closing))
    with refused(NOT_ALLOWED, "closed by two people"):
        sql(close, False, resolving(claimed, operator, checker, **closing))
    with refused(NOT_ALLOWED, "closed by two people"):
        sql(close, True, resolving(claimed, operator, claimed.maker, **closing))
    with transaction.atomic(durable=True):
        sql(close, True, resolving(claimed, operator, checker, **closing))
    with refused(FROZEN, "stays as it was written"):
        sql("UPDATE treasury_contradiction SET closed_at = NULL, moved = NULL, change_id = NULL")


@pytest.mark.parametrize(
    "change_", ["connection_id = 999999", "scope = 'venue'", "reason = 'x'", "\"by\" = 'x'", "since = now()"]
)
def test_a_stop_order_stays_as_it_was_written(stopped: int, change_: str) -> None:
    with refused(FROZEN, "stop order"):
        sql(f"UPDATE treasury_stoporder SET {change_}")


# -- audit entries -------------------------------------------------------------------------------------------


def forge(canonical: str, **other: str) -> None:
    """An entry by plain SQL. In the text, {id}, {xid} and {at} stand for what is true of it."""
    columns = {
        "id": "nextval(pg_get_serial_sequence('treasury_auditentry', 'id'))",
        "xid": "pg_current_xact_id()",
        "at": "timestamptz '2026-11-20 09:00:00+00'",
    }
    [(number, xid)] = sql(f"SELECT {columns['id']}, {columns['xid']}::text")
    text = canonical.replace("{id}", str(number)).replace("{xid}", xid).replace("{at}", "2026-11-20T09:00:00.000000Z")
    told = {**columns, "id": str(number), **other}
    names = ", ".join(["canonical", *told])
    sql(f"INSERT INTO treasury_auditentry ({names}) VALUES (%s, {', '.join(told.values())})", text)


TRUE = (
    '{"action":"a.b","at":"{at}","facts":{},"id":"{id}","result":"done","subject":"s:1","v":1,"who":{},"xid":"{xid}"}'
)


def test_a_true_entry_is_taken_as_it_is() -> None:
    with transaction.atomic(durable=True):
        forge(TRUE)
    assert sql("SELECT action, subject, result FROM treasury_auditentry") == [("a.b", "s:1", "done")]


@pytest.mark.parametrize("xid", ["'1'::xid8", "(pg_current_xact_id()::text::bigint + 1)::text::xid8"])
def test_an_entry_with_a_forged_transaction_is_refused(xid: str) -> None:
    with refused(NOT_ALLOWED, "names another transaction"):
        forge(TRUE, xid=xid)


def test_an_entry_whose_text_names_another_transaction_is_refused() -> None:
    with refused(NOT_ALLOWED, "names another transaction"):
        forge(TRUE.replace("{xid}", "1"))


def test_an_entry_with_a_forged_time_is_refused() -> None:
    with refused(NOT_ALLOWED, "disagrees with its canonical text"):
        forge(TRUE, at="timestamptz '2026-11-20 09:00:00.000001+00'")


def test_an_entry_whose_time_is_written_in_another_form_is_refused() -> None:
    with refused(NOT_ALLOWED, "disagrees with its canonical text"):
        forge(TRUE.replace("{at}", "2026-11-20T10:00:00.000000+01:00"))


def test_an_entry_whose_text_names_another_number_is_refused() -> None:
    with refused(NOT_ALLOWED, "disagrees with its canonical text"):
        forge(TRUE.replace("{id}", "1000000"))


@pytest.mark.parametrize("missing", ["id", "at"])
def test_an_entry_whose_text_leaves_something_out_is_refused(missing: str) -> None:
    with refused(NOT_ALLOWED, "disagrees with its canonical text"):
        forge(TRUE.replace(f'"{missing}":', f'"no_{missing}":'))


def test_an_entry_whose_text_names_no_transaction_is_refused() -> None:
    with refused(NOT_ALLOWED, "names another transaction"):
        forge(TRUE.replace('"xid":', '"no_xid":'))


@pytest.mark.parametrize("column", ["who", "actor", "action", "subject", "result", "facts"])
def test_search_columns_repeat_the_text_and_cannot_be_written(column: str) -> None:
    with refused("428C9", "cannot insert a non-DEFAULT value"):
        forge(TRUE, **{column: "'{}'"})
    generated = sql(
        "SELECT is_generated FROM information_schema.columns"
        " WHERE table_name = 'treasury_auditentry' AND column_name = %s",
        column,
    )
    assert generated == [("ALWAYS",)]


# -- by hand -------------------------------------------------------------------------------------------------


@pytest.fixture
def by_hand(operator: User, operator2: User, maker: User, checker: User, checker2: User) -> Transfer:
    """Approved and claimed: it waits for somebody to do it."""
    desk = hands.desk()
    source, destination = (hands.account_of(desk, operator, operator2, address) for address in ("cold-1", "cold-2"))
    hands.stated(source, "100", maker, checker)
    words = draft.Words(source, destination, "USDT", "10", "Top it up")
    made = draft.draft(words=words, maker=maker, at=timezone.now())
    return hands.asked(hands.approved(made, checker, checker2))


def said_of(transfer: Transfer, operator: User, checker: User, *, done: bool, **other: Any) -> None:
    """What two people say of it, but for the columns named."""
    words = json.dumps({"done": done, "record": None, "attempts": 1})
    columns = {"kind": "transfer.confirm", "subject": transfer.subject, "words": words, **other}
    rule(proposed(operator, **columns), "applied", checker)


def step_by_force(transfer: Transfer, before: str, after: str) -> None:
    change(transfer, state=after)
    witness(transfer, before, after)


@pytest.mark.parametrize("after", ["FAILED", "CANCELLED", "EXPIRED", "DISPATCHING"])
def test_what_somebody_may_be_moving_ends_by_the_word_of_two(by_hand: Transfer, after: str) -> None:
    with refused(NOT_ALLOWED, "two people say what was done by hand"):
        step_by_force(by_hand, "CONFIRMING", after)


@pytest.mark.parametrize(
    ("done", "after"),
    [(False, "CANCELLED"), (False, "EXPIRED"), (False, "DISPATCHING"), (True, "FAILED"), (True, "EXPIRED")],
)
def test_their_word_ends_it_as_they_say_and_in_no_other_way(
    by_hand: Transfer, operator: User, checker: User, done: bool, after: str
) -> None:
    with refused(NOT_ALLOWED, "two people say what was done by hand"):
        said_of(by_hand, operator, checker, done=done)
        step_by_force(by_hand, "CONFIRMING", after)


@pytest.mark.parametrize(("done", "after"), [(False, "FAILED"), (True, "DISPATCHING")])
def test_their_word_lets_it_go_on_as_they_say(
    by_hand: Transfer, operator: User, checker: User, done: bool, after: str
) -> None:
    with transaction.atomic(durable=True):
        said_of(by_hand, operator, checker, done=done)
        step_by_force(by_hand, "CONFIRMING", after)
    by_hand.refresh_from_db()
    assert by_hand.state == after


def test_the_makers_word_and_one_about_another_transfer_end_nothing(
    by_hand: Transfer, operator: User, checker: User, maker: User
) -> None:
    with refused(NOT_ALLOWED, "two people say what was done by hand"):
        said_of(by_hand, operator, maker, done=False)
        step_by_force(by_hand, "CONFIRMING", "FAILED")
    with refused(NOT_ALLOWED, "two people say what was done by hand"):
        said_of(by_hand, operator, checker, done=False, subject="transfer:TR-999999")
        step_by_force(by_hand, "CONFIRMING", "FAILED")
    with refused(NOT_ALLOWED, "two people say what was done by hand"):
        said_of(by_hand, operator, checker, done=False, kind="transfer.resolve")
        step_by_force(by_hand, "CONFIRMING", "FAILED")


@pytest.mark.parametrize("after", ["SETTLED", "DISPATCHED", "FAILED", "APPROVED"])
def test_no_way_around_leads_to_the_end_of_what_somebody_may_be_moving(by_hand: Transfer, after: str) -> None:
    """Neither from where a repeat is made, nor back to be asked for once more."""
    place(by_hand, State.DISPATCHING)
    with refused(NOT_ALLOWED, "two people say what was done by hand"):
        step_by_force(by_hand, "DISPATCHING", after)


def test_what_was_said_to_be_done_neither_fails_nor_is_asked_for_again(
    by_hand: Transfer, operator: User, checker: User
) -> None:
    with transaction.atomic(durable=True):
        said_of(by_hand, operator, checker, done=True)
        step_by_force(by_hand, "CONFIRMING", "DISPATCHING")
    for after in ("FAILED", "APPROVED"):
        with refused(NOT_ALLOWED, "two people say what was done by hand"):
            step_by_force(by_hand, "DISPATCHING", after)
    with transaction.atomic(durable=True):
        step_by_force(by_hand, "DISPATCHING", "SETTLED")


@pytest.mark.parametrize(("moved", "after"), [(True, "SETTLED"), (False, "FAILED")])
def test_a_resolution_ends_what_is_in_doubt_as_it_says(
    by_hand: Transfer, operator: User, checker: User, moved: bool, after: str
) -> None:
    place(by_hand, State.DISPATCHING)
    with transaction.atomic(durable=True):
        words = json.dumps({"moved": moved})
        number = proposed(operator, kind="transfer.resolve", subject=by_hand.subject, words=words)
        rule(number, "applied", checker)
        row = {"transfer_id": by_hand.pk, "moved": moved, "change_id": number, "at": timezone.now()}
        insert("treasury_resolution", row)
    with refused(NOT_ALLOWED, "two people say what was done by hand"):
        step_by_force(by_hand, "DISPATCHING", "FAILED" if moved else "SETTLED")
    with transaction.atomic(durable=True):
        step_by_force(by_hand, "DISPATCHING", after)


def test_before_anybody_was_asked_a_claim_may_come_back_and_is_never_settled(by_hand: Transfer) -> None:
    with guards_asleep():
        sql("UPDATE treasury_attempt SET outcome = 'try_later', challenge = NULL")
    place(by_hand, State.DISPATCHING)
    with refused(NOT_ALLOWED, "two people say what was done by hand"):
        step_by_force(by_hand, "DISPATCHING", "SETTLED")
    with transaction.atomic(durable=True):
        step_by_force(by_hand, "DISPATCHING", "APPROVED")


@pytest.mark.parametrize("column", ["connection_id = connection_id + 1", "address = 'cold-2'"])
def test_an_account_keeps_its_connection_and_its_address(unified: Account, column: str) -> None:
    with refused(FROZEN, "keeps its connection and its address"):
        sql(f"UPDATE treasury_account SET {column} WHERE id = %s", unified.pk)
    treat(unified, title="Another", quiet=True)


def test_a_band_that_was_agreed_on_once_does_not_come_back(unified: Account, maker: User, checker: User) -> None:
    """The newest row counts: one more of an old agreement would be in force with nobody's word of today."""
    at = timezone.now()
    wanted = Wanted(account=unified, asset="USDT", minimum="1", target="2", floor="0")
    agreed = bands.propose(bands=[wanted], reason="x", by=maker, at=at)
    (old,) = bands.confirm(change_id=agreed.pk, by=checker, digest=agreed.digest, at=at)
    with refused(NOT_ALLOWED, "a band is what two people agreed on"):
        sql(
            "INSERT INTO treasury_band (account_id, asset, change_id, at, removed, unit, minimum, target, floor,"
            " direction) SELECT account_id, asset, change_id, now(), removed, unit, minimum, target, floor, direction"
            " FROM treasury_band WHERE id = %s",
            old.pk,
        )


# -- proof that the attacks can succeed ----------------------------------------------------------------------


def test_every_guard_is_switched_on_and_none_is_missing() -> None:
    triggers = sql(
        "SELECT tgrelid::regclass::text, tgname, tgenabled::text FROM pg_trigger"
        " WHERE NOT tgisinternal AND tgrelid::regclass::text LIKE 'treasury%%'"
    )
    assert {enabled for _, _, enabled in triggers} == {"O"}
    found = {name for _, name, _ in triggers}
    expected = {f"{table}_{what}" for table in (*APPEND_ONLY, *KEPT) for what in ("no_change", "no_truncate")}
    assert (
        expected
        | {
            "treasury_auditentry_true",
            "treasury_transfer_guard",
            "treasury_transfer_born",
            "treasury_transfer_moved",
            "treasury_decision_guard",
            "treasury_demand_guard",
            "treasury_attempt_guard",
            "treasury_attempt_by_hand",
            "treasury_connection_by_hand",
            "treasury_transfer_by_hand",
            "treasury_account_guard",
        }
        <= found
    )


def test_with_its_trigger_off_an_attack_goes_through(submitted: Made, maker: User) -> None:
    """So the refusals above come from the triggers, and from nothing else on the way."""
    transfer = submitted()
    with guards_asleep():
        change(transfer, amount="13", expires_at=timezone.now() + timedelta(days=365))
        decide(transfer, maker.pk)
        change(transfer, state="SETTLED")
        sql("UPDATE treasury_auditentry SET at = now()")
    transfer.refresh_from_db()
    assert (transfer.state, str(transfer.amount.normalize())) == ("SETTLED", "13")
    assert Attempt.objects.count() == 0
    assert connection.in_atomic_block is False


# -- snapshots -----------------------------------------------------------------------------------------------


def kept(login: Connection, age: timedelta) -> Snapshot:
    return Snapshot.objects.create(connection=login, at=timezone.now() - age, holdings={"FUND": {}})


@pytest.mark.parametrize("column", ["at = now()", "holdings = '{}'", "connection_id = connection_id"])
def test_what_was_held_is_never_rewritten(unified: Account, column: str) -> None:
    for one in (kept(unified.connection, timedelta(days=400)), kept(unified.connection, timedelta())):
        with refused(FROZEN, "append-only"):
            sql(f"UPDATE treasury_snapshot SET {column} WHERE id = %s", one.pk)
    with refused(FROZEN, "append-only"):
        sql("TRUNCATE treasury_snapshot")


def test_a_snapshot_of_the_last_day_is_not_removed_and_an_older_one_may_be(unified: Account) -> None:
    young = kept(unified.connection, timedelta(hours=23, minutes=59))
    old = kept(unified.connection, timedelta(hours=24, minutes=1))
    with refused(FROZEN, "kept for a day"):
        sql("DELETE FROM treasury_snapshot WHERE id = %s", young.pk)
    with refused(FROZEN, "kept for a day"):
        sql("DELETE FROM treasury_snapshot WHERE id IN (%s, %s)", young.pk, old.pk)
    sql("DELETE FROM treasury_snapshot WHERE id = %s", old.pk)
    assert not Snapshot.objects.filter(pk=old.pk).exists()
    assert Snapshot.objects.filter(pk=young.pk).exists()
