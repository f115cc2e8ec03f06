"""People are counted, and not sign-ins; one person may count for several groups; and what is kept replays."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import combinations
from threading import Barrier
from typing import Any

import pytest
from django.db import IntegrityError, connections, transaction
from django.utils import timezone
from hypothesis import given
from hypothesis import settings as trials
from hypothesis import strategies as st

from tests.conftest import say_yes
from tests.house import administrators, amend, give, person, set_policy, take
from treasury import tasks
from treasury.balances import prices
from treasury.controls import policy, rulebook
from treasury.controls.roles import CHECKERS
from treasury.models import AuditEntry, Balance, Contradiction, Plan, PlanGroup, PlanLine, State, Transfer, User
from treasury.transfers import access, approvals, approve, assess, cancel, dispatch, queries, submit, telling

pytestmark = pytest.mark.django_db

Make = Callable[..., Transfer]
LEADS = "finance-leads"


def demands(**counts: int) -> None:
    said = {name.replace("_", "-"): count for name, count in counts.items()}
    set_policy(rules=[{"name": "All", "demands": said}])


def decides(transfer: Transfer, user: User) -> str | None:
    return access.why_not_decide(transfer, user, timezone.now())


# -- people -------------------------------------------------------------------------------------------------------


def test_the_makers_other_sign_in_decides_on_nothing_of_theirs(submitted: Make, maker: User, checker: User) -> None:
    transfer = submitted()
    amend(checker, person=maker.person)
    assert "You drafted this" in str(decides(transfer, checker))
    assert not queries.waiting_for(checker, timezone.now()).exists()
    assert not telling.deciders(transfer).exists()
    with pytest.raises(access.NotAllowed, match="You drafted this"):
        say_yes(transfer, checker)


def test_one_person_with_two_sign_ins_approves_once(submitted: Make, checker: User, checker2: User) -> None:
    amend(checker2, person=checker.person)
    transfer = say_yes(submitted(amount="50000"), checker)
    assert "You have decided on this transfer already" in str(decides(transfer, checker2))
    assert not queries.waiting_for(checker2, timezone.now()).exists()
    assert not telling.deciders(transfer).exists()
    with pytest.raises(access.NotNow, match="decided on this transfer already"):
        say_yes(transfer, checker2)
    assert transfer.state == State.SUBMITTED


def test_two_who_turn_out_to_be_one_person_count_once_at_the_claim(
    submitted: Make, checker: User, checker2: User
) -> None:
    demands(checkers=2)
    transfer = say_yes(submitted(amount="500"), checker, checker2)
    assert transfer.state == State.APPROVED
    amend(checker2, person=checker.person)
    assert approvals.still_missing(transfer) == {CHECKERS: 1}
    assert dispatch.claim(reference=transfer.reference, at=timezone.now()) is None
    transfer.refresh_from_db()
    assert transfer.state == State.SUBMITTED
    assert "2 of checkers must approve, and 1 of those who did may still do so" in transfer.outcome


def test_an_approver_who_turns_out_to_be_the_maker_does_not_count_at_the_claim(
    approved: Make, maker: User, checker: User
) -> None:
    transfer = approved()
    amend(checker, person=maker.person)
    assert dispatch.claim(reference=transfer.reference, at=timezone.now()) is None
    transfer.refresh_from_db()
    assert transfer.state == State.SUBMITTED


def test_an_approver_who_is_no_checker_any_more_does_not_count_at_the_claim(submitted: Make, checker: User) -> None:
    demands(finance_leads=1)
    give(checker, LEADS)
    transfer = say_yes(submitted(), checker)
    assert transfer.state == State.APPROVED
    take(checker, CHECKERS)
    assert dispatch.claim(reference=transfer.reference, at=timezone.now()) is None
    transfer.refresh_from_db()
    assert transfer.state == State.SUBMITTED


# -- approvals that lapse -----------------------------------------------------------------------------------------


def test_what_lapsed_completes_no_round_and_costs_no_other_approval(
    submitted: Make, checker: User, checker2: User
) -> None:
    demands(checkers=2)
    transfer = say_yes(submitted(), checker)
    take(checker, CHECKERS)
    assert approvals.still_missing(transfer) == {CHECKERS: 2}
    found = approvals.progress(transfer)
    assert (found.have, found.need, found.lapsed) == (0, 2, 1)
    assert "An approval does not count: who gave it may not decide now." in found.sentence
    assert say_yes(transfer, checker2).state == State.SUBMITTED
    assert approve.full(timezone.now()) == []
    third = person("third", CHECKERS)
    assert say_yes(transfer, third).state == State.APPROVED
    assert dispatch.claim(reference=transfer.reference, at=timezone.now()) is not None


def test_it_counts_again_once_its_giver_has_the_role_again_and_the_clock_completes_the_round(
    submitted: Make, checker: User, checker2: User, rung: list[tuple[str, Any]]
) -> None:
    demands(checkers=2)
    transfer = say_yes(submitted(), checker)
    take(checker, CHECKERS)
    transfer = say_yes(transfer, checker2)
    with pytest.raises(access.NotNow, match="still lacks approvals"):
        approve.complete(reference=transfer.reference, at=timezone.now())
    give(checker, CHECKERS)
    assert approve.full(timezone.now()) == [transfer]
    tasks.tick_complete()
    transfer.refresh_from_db()
    assert (transfer.state, transfer.round) == (State.APPROVED, 1)
    assert approve.full(timezone.now()) == []
    with pytest.raises(access.NotNow, match="does not wait for a decision"):
        approve.complete(reference=transfer.reference, at=timezone.now())
    said = AuditEntry.objects.filter(action="transfer.approve", subject=transfer.subject).latest("id")
    assert (said.who, said.facts["why"]) == ("machine:clock", "an approval counts again")
    assert dispatch.claim(reference=transfer.reference, at=timezone.now()) is not None


def test_a_round_that_is_full_too_late_is_not_completed(submitted: Make, checker: User) -> None:
    demands(checkers=2)
    transfer = say_yes(submitted(), checker)
    assert transfer.expires_at is not None
    assert approve.full(transfer.expires_at) == []
    with pytest.raises(access.NotNow, match="expired; nothing moved"):
        approve.complete(reference=transfer.reference, at=transfer.expires_at)


# -- groups -------------------------------------------------------------------------------------------------------


def test_deciding_takes_a_checker_who_is_in_a_demanded_group(submitted: Make, checker: User) -> None:
    demands(finance_leads=1)
    transfer = submitted()
    lead = person("lead", LEADS)
    assert "Only a checker" in str(decides(transfer, lead))
    assert "None of the groups" in str(decides(transfer, checker))
    assert not telling.deciders(transfer).exists()
    give(lead, CHECKERS)
    assert decides(transfer, lead) is None
    assert list(telling.deciders(transfer)) == [lead]
    assert say_yes(transfer, lead).state == State.APPROVED
    assert transfer.decisions.get().counts_for == [LEADS]


def test_one_person_in_two_demanded_groups_counts_for_both(submitted: Make, checker: User, checker2: User) -> None:
    demands(checkers=2, finance_leads=1)
    give(checker2, LEADS)
    transfer = submitted()
    found = approvals.progress(transfer)
    assert (found.have, found.need, found.more) == (0, 2, 2)
    assert found.sentence == "It still needs 2 of checkers and 1 of finance-leads: at least 2 more people."
    transfer = say_yes(transfer, checker)
    found = approvals.progress(transfer)
    assert (found.have, found.need, found.more) == (1, 2, 1)
    assert say_yes(transfer, checker2).state == State.APPROVED
    assert approvals.progress(transfer).sentence == ""


def test_it_says_where_too_few_people_can_decide(submitted: Make, checker: User, checker2: User) -> None:
    demands(checkers=1, finance_leads=1)
    transfer = say_yes(submitted(), checker)
    found = approvals.progress(transfer)
    assert found.more is None
    assert found.sentence == "It still needs 1 of finance-leads, and too few people can decide on it for them."
    give(checker, LEADS)
    assert approvals.progress(transfer).more is None, "they have decided already"
    give(checker2, LEADS)
    assert approvals.progress(transfer).more == 1


def test_the_fewest_people_are_found_with_little_work_and_only_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The most that a policy may ask for, of people in every mixture of its groups."""
    asked, real = [0], approvals.after

    def counted(*said: Any) -> tuple[int, ...]:
        asked[0] += 1
        return real(*said)

    monkeypatch.setattr(approvals, "after", counted)
    names = [f"group {n}" for n in range(rulebook.GROUPS_MOST)]
    able = [frozenset(some) for n in range(len(names) + 1) for some in combinations(names, n) for _ in range(20)]
    each, more = divmod(rulebook.PEOPLE_MOST, len(names))
    missing = {name: each + (n < more) for n, name in enumerate(names)}
    approvals.fewest_of.cache_clear()
    assert approvals.fewest(missing, able) == max(missing.values())
    assert 0 < asked[0] < 15_000
    once = asked[0]
    assert approvals.fewest(missing, reversed(able)) == max(missing.values())
    assert asked[0] == once


GROUPS = ["a", "b", "c"]
kinds = st.frozensets(st.sampled_from(GROUPS))


@trials(max_examples=200, deadline=None, derandomize=True)
@given(st.dictionaries(st.sampled_from(GROUPS), st.integers(0, 3), max_size=3), st.lists(kinds, max_size=7))
def test_the_fewest_people_are_the_fewest_that_any_choice_of_them_comes_to(
    missing: dict[str, int], able: list[frozenset[str]]
) -> None:
    def fills(chosen: tuple[frozenset[str], ...]) -> bool:
        return all(sum(group in one for one in chosen) >= count for group, count in missing.items())

    choices = (count for count in range(len(able) + 1) for chosen in combinations(able, count) if fills(chosen))
    assert approvals.fewest(missing, able) == next(choices, None)


# -- what is asked, and kept --------------------------------------------------------------------------------------


def priced(price: str, by: User) -> None:
    at = timezone.now()
    prices.enter(asset="USDT", currency="EUR", price=price, as_of=at, source="screen", by=by, at=at)


def test_a_stored_answer_replays_letter_for_letter_whatever_happened_since(
    submitted: Make, approved: Make, operator: User, checker: User, maker: User
) -> None:
    priced("0.5", operator)
    set_policy(
        rules=[
            {"name": "Leads", "when": {"over": "1000", "in": "value"}, "demands": {LEADS: 1, CHECKERS: 2}},
            {"name": "A lot", "when": {"volume": {"of": "maker", "over": "500"}}, "demands": {CHECKERS: 2}},
            {"name": "Few", "when": {"makers": ["maker"], "up_to": "400"}, "demands": {CHECKERS: 1}},
            {"name": "Rest", "demands": {CHECKERS: 3}, "expires_hours": 2},
        ],
        currency="EUR",
    )
    made = [submitted(amount=amount) for amount in ("300", "300", "450", "2001")]
    stored = [one.assessments.get() for one in made]
    assert [json.loads(one.answer)["decided_by"] for one in stored] == ["Few", "A lot", "A lot", "Leads"]
    priced("0.0001", operator)
    set_policy(rules=[{"name": "None", "forbids": True}], currency="XAU")
    amend(maker, person=administrators()[0].person)
    for one in stored:
        one.refresh_from_db()
        assert assess.holds(one)
        assert json.loads(one.answer) == assess.replay(one).told()
        assert one.circumstances == json.dumps(
            json.loads(one.circumstances), sort_keys=True, separators=(",", ":"), ensure_ascii=False
        )


def test_another_answer_than_the_stored_one_does_not_hold(submitted: Make) -> None:
    found = submitted().assessments.get()
    found.circumstances = found.circumstances.replace('"amount":"12.5"', '"amount":"20000"')
    assert not assess.holds(found)


def test_it_expires_after_the_hours_of_the_rule_that_decided(submitted: Make) -> None:
    set_policy(
        rules=[
            {"name": "Few", "when": {"up_to": "10"}, "demands": {CHECKERS: 1}, "expires_hours": 72},
            {"name": "Rest", "demands": {CHECKERS: 1}, "expires_hours": 1},
        ]
    )
    for amount, hours in (("10", 72), ("11", 1)):
        transfer = submitted(amount=amount)
        assert transfer.expires_at is not None
        assert transfer.submitted_at is not None
        assert transfer.expires_at - transfer.submitted_at == timedelta(hours=hours)


def test_what_no_rule_covers_stays_a_draft(drafted: Make, maker: User) -> None:
    set_policy(rules=[{"name": "BTC", "when": {"assets": ["BTC"]}, "demands": {CHECKERS: 1}}])
    draft = drafted()
    with pytest.raises(policy.Denied, match=r"Not submitted\. No rule of the policy covers it"):
        submit.submit(reference=draft.reference, maker=maker, at=timezone.now())
    draft.refresh_from_db()
    assert (draft.state, draft.key, draft.demands.count(), draft.assessments.count()) == (State.DRAFT, None, 0, 0)


VOLUME = [
    {"name": "A lot", "when": {"volume": {"of": "maker", "hours": 24, "over": "100"}}, "demands": {CHECKERS: 2}},
    {"name": "Else", "demands": {CHECKERS: 1}},
]


def rule_of(transfer: Transfer) -> str:
    return str(json.loads(transfer.assessments.latest("round").answer)["decided_by"])


def test_a_makers_sum_counts_the_person_whatever_rule_the_others_matched(
    submitted: Make, maker: User, maker2: User, checker: User
) -> None:
    set_policy(rules=VOLUME)
    assert rule_of(submitted(amount="60")) == "Else"
    assert rule_of(submitted(amount="60", by=maker2)) == "Else", "somebody else's"
    amend(maker2, person=maker.person)
    assert rule_of(submitted(amount="0.00000001", by=maker2)) == "A lot"


def test_a_sum_leaves_out_what_is_older_or_ended_unless_evidence_speaks_against_that(
    submitted: Make, maker: User
) -> None:
    set_policy(rules=VOLUME)
    at = timezone.now()
    first, second = submitted(amount="90"), submitted(amount="10")
    (asked,) = policy.book_in_force().volumes

    def total(when: datetime) -> str | None:
        return assess.Known(policy.book_in_force(), when).volume(second, asked)

    assert total(at + timedelta(hours=25)) == "10"
    assert total(at + timedelta(minutes=1)) == "100"
    cancel.cancel(reference=first.reference, by=maker, at=at)
    assert total(at + timedelta(minutes=1)) == "10"
    Contradiction.objects.create(transfer=first, at=at, words="the venue has a record under its key")
    assert total(at + timedelta(minutes=1)) == "100"


@pytest.mark.django_db(transaction=True)
def test_two_submits_at_once_see_each_others_sum(drafted: Make, maker: User) -> None:
    set_policy(rules=VOLUME)
    made, start = [drafted(amount="60"), drafted(amount="60")], Barrier(2)

    def send(transfer: Transfer) -> str:
        try:
            start.wait()
            submit.submit(reference=transfer.reference, maker=maker, at=timezone.now())
            return rule_of(transfer)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(send, made)) == ["A lot", "Else"]


def test_a_line_of_a_plan_whose_amount_somebody_changed_is_by_hand(drafted: Make, maker: User) -> None:
    transfer = drafted(amount="100")
    plan = Plan(reference="PL-000001")
    transfer.planned = PlanLine(group=PlanGroup(plan=plan), amount=Decimal("100.00"))
    assert assess.origin_of(transfer) == "plan"
    transfer.amount = Decimal("100.01")
    assert assess.origin_of(transfer) == "hand"
    assert assess.origin_of(drafted()) == "hand"


def test_a_send_back_that_its_own_version_denies_is_held(
    approved: Make, submitted: Make, unified: Any, checker: User
) -> None:
    set_policy(
        rules=[
            {
                "name": "Stop",
                "when": {"volume": {"of": "connection", "hours": 24, "over": "1500"}},
                "forbids": True,
            },
            {"name": "All", "demands": {CHECKERS: 1}},
        ]
    )
    transfer = approved(amount="900")
    set_policy(rules=[{"name": "All", "demands": {CHECKERS: 1}}])
    submitted(amount="700")  # under the next version, which forbids nothing
    Balance.objects.filter(account=unified, asset="USDT").update(total="500", movable="500")
    assert dispatch.claim(reference=transfer.reference, at=timezone.now()) is None
    transfer.refresh_from_db()
    assert (transfer.state, transfer.round) == (State.APPROVED, 1)
    assert transfer.held.endswith("and The rule “Stop” forbids it. Cancel it")
    assert transfer.assessments.count() == 1
    assert transfer.demands.count() == 1


def test_an_error_of_any_kind_while_it_is_asked_leaves_the_draft(
    drafted: Make, maker: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_policy(rules=VOLUME)
    draft = drafted()

    def broken(*said: object) -> str:
        raise IntegrityError("the sum cannot be read")

    monkeypatch.setattr(assess.Known, "volume", broken)
    with pytest.raises(policy.Denied, match="policy version 2 could not be evaluated"), transaction.atomic():
        submit.submit(reference=draft.reference, maker=maker, at=timezone.now())
    draft.refresh_from_db()
    assert draft.state == State.DRAFT
