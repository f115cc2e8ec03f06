"""Lines become drafts, once and in order; and a plan that is carried out brings every account inside its band."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import pytest
from django.conf import settings
from django.utils import timezone

from connectors.simulators.core import Simulator
from tests.journeys.conftest import pursue
from tests.rebalancing.conftest import SetBand
from tests.rebalancing.test_plan import computed, together
from treasury import venues
from treasury.balances.refresh import NotRead, refresh
from treasury.models import (
    Account,
    AuditEntry,
    Balance,
    Connection,
    Origin,
    Plan,
    PlanGroup,
    PlanLine,
    PlanState,
    Predecessor,
    State,
    Status,
    Transfer,
    User,
)
from treasury.models.amount import plain
from treasury.rebalancing import drift, propose
from treasury.rebalancing import plan as planning
from treasury.rebalancing.drift import Position
from treasury.rebalancing.propose import NotDrafted, draft_lines, submit_all
from treasury.transfers import access, approve, cancel, dispatch, draft, order, submit

pytestmark = pytest.mark.django_db(transaction=True)

Planned = Callable[..., Plan]


@pytest.fixture
def planned(connection: Connection, unified: Account, fund: Account) -> Planned:
    """A plan that is ready, of two lines: FUND to UNIFIED, and after it UNIFIED to FUND."""

    def make(
        *,
        state: PlanState = PlanState.READY,
        origin: Origin = Origin.HAND,
        ago: timedelta = timedelta(0),
        inputs: str = "{}",
    ) -> Plan:
        at = timezone.now() - ago
        number = Plan.objects.count() + 1
        plan = Plan.objects.create(
            reference=f"PL-{number:06d}", origin=origin, asked_at=at, state=PlanState.COMPUTING, began_at=at
        )
        group = PlanGroup.objects.create(
            plan=plan,
            connection=connection,
            asset="USDT",
            status=Status.PROVEN,
            inputs=inputs,
            digest=hashlib.sha256(inputs.encode()).hexdigest(),
            certificate={},
        )
        for number, (source, destination, amount, after) in enumerate(
            [(fund, unified, "50", []), (unified, fund, "1020.5", [1])], start=1
        ):
            PlanLine.objects.create(
                group=group,
                number=number,
                source=source,
                destination=destination,
                asset="USDT",
                amount=Decimal(amount),
                after=after,
            )
        Plan.objects.filter(pk=plan.pk).update(state=state, ended_at=at)
        plan.refresh_from_db()
        return plan

    return make


def lines(plan: Plan) -> list[int]:
    return list(propose.lines_of(plan))


def drafts(plan: Plan, maker: User, amounts: dict[int, str] | None = None, reason: str = "") -> list[Transfer]:
    chosen = {pk: plain(line.amount) for pk, line in propose.lines_of(plan).items()} if amounts is None else amounts
    return draft_lines(plan=plan, amounts=chosen, reason=reason, maker=maker, at=timezone.now())


def refusal(plan: Plan, maker: User, amounts: dict[int, str] | None = None) -> dict[int | str, str]:
    before = Transfer.objects.count()
    with pytest.raises(NotDrafted) as raised:
        drafts(plan, maker, amounts)
    assert Transfer.objects.count() == before
    return raised.value.problems


# -- drafting ------------------------------------------------------------------------------------------------


def test_lines_become_drafts_that_name_their_plan_and_keep_their_order(planned: Planned, maker: User) -> None:
    plan = planned()
    first, then = drafts(plan, maker)
    assert [first.state, then.state] == [State.DRAFT, State.DRAFT]
    assert (first.planned_id, then.planned_id) == tuple(lines(plan))
    assert (first.amount, then.amount) == (Decimal(50), Decimal("1020.5"))
    assert list(order.waits_for(then)) == [first]
    assert str(plan) in first.reason
    assert AuditEntry.objects.filter(action="plan.draft", subject=plan.subject).count() == 1


def test_a_double_click_gives_the_same_drafts(planned: Planned, maker: User) -> None:
    plan = planned()
    assert drafts(plan, maker) == drafts(plan, maker)
    together(lambda: drafts(plan, maker), 3)
    assert (Transfer.objects.count(), Predecessor.objects.count()) == (2, 1)


def test_clicks_at_the_same_moment_make_one_set(planned: Planned, maker: User) -> None:
    plan = planned()
    together(lambda: drafts(plan, maker), 4)
    assert (Transfer.objects.count(), Predecessor.objects.count()) == (2, 1)
    assert AuditEntry.objects.filter(action="plan.draft").count() == 1


def test_an_edited_amount_is_what_is_drafted(planned: Planned, maker: User) -> None:
    plan = planned()
    first, _ = lines(plan)
    (made,) = drafts(plan, maker, {first: "49.125"}, reason="Less will do")
    assert (made.amount, made.reason) == (Decimal("49.125"), "Less will do")


@pytest.mark.parametrize("amount", ["", "0", "-5", "1e3", "many"])
def test_one_bad_amount_drafts_nothing_at_all_and_names_its_line(planned: Planned, maker: User, amount: str) -> None:
    plan = planned()
    first, then = lines(plan)
    assert set(refusal(plan, maker, {first: "50", then: amount})) == {then}
    assert not Predecessor.objects.exists()


def test_a_line_needs_what_comes_before_it(planned: Planned, maker: User) -> None:
    plan = planned()
    first, then = lines(plan)
    assert refusal(plan, maker, {then: "10"})[then] == (
        "Nothing was drafted. Line 2 needs line 1 to settle first: choose that one too."
    )
    (before,) = drafts(plan, maker, {first: "50"})
    (after,) = drafts(plan, maker, {then: "10"})
    assert list(order.waits_for(after)) == [before]


def test_behind_what_ended_otherwise_nothing_is_drafted(planned: Planned, maker: User) -> None:
    plan = planned()
    first, then = lines(plan)
    (before,) = drafts(plan, maker, {first: "50"})
    cancel.cancel(reference=before.reference, by=maker, at=timezone.now())
    assert "was cancelled" in refusal(plan, maker, {then: "10"})[then]
    assert "compute again" in refusal(plan, maker, {first: "50"})[first]


def elsewhere(maker: User, source: Account, destination: Account, amount: str = "400") -> Transfer:
    """A draft that comes from no plan."""
    words = draft.Words(source, destination, "USDT", amount, "Payroll")
    return draft.draft(words=words, maker=maker, at=timezone.now())


def test_what_others_submitted_since_at_an_account_keeps_its_lines_from_being_drafted(
    planned: Planned, maker: User, maker2: User, unified: Account, fund: Account
) -> None:
    plan = planned()
    first, then = lines(plan)
    other = elsewhere(maker2, fund, unified)
    assert len(drafts(plan, maker, {first: "50"})) == 1, "a draft asks nobody"
    submit.submit(reference=other.reference, maker=maker2, at=timezone.now())
    told = f"{other.reference} (400 USDT) was submitted since this plan was computed, at one of its accounts: compute"
    assert told in refusal(plan, maker, {then: "10"})[then]
    cancel.cancel(reference=other.reference, by=maker2, at=timezone.now())
    assert drafts(plan, maker, {then: "10"})


def test_a_line_of_one_plan_keeps_the_same_line_of_another_from_being_submitted(
    planned: Planned, maker: User, maker2: User
) -> None:
    plan, again = planned(), planned()
    drafts(plan, maker), drafts(again, maker2)
    assert [why for _, why in submit_all(plan=plan, maker=maker, at=timezone.now())] == ["", ""]
    found = submit_all(plan=again, maker=maker2, at=timezone.now())
    assert [one.state for one, _ in found] == [State.DRAFT] * 2
    assert all("were submitted since this plan was computed: compute again." in why for _, why in found)


def test_what_the_plan_counted_already_is_none_of_it(
    planned: Planned, maker: User, maker2: User, unified: Account, fund: Account
) -> None:
    other = elsewhere(maker2, fund, unified)
    submit.submit(reference=other.reference, maker=maker2, at=timezone.now())
    told = json.dumps({"accounts": [{"on its way": [{"reference": other.reference}]}]})
    plan = planned(inputs=told)
    assert len(drafts(plan, maker)) == 2


def test_an_edited_line_does_not_keep_the_words_of_the_planned_one(planned: Planned, maker: User) -> None:
    plan = planned()
    first, then = lines(plan)
    edited, kept = drafts(plan, maker, {first: "49", then: "1020.50"})
    assert edited.reason == f"Line 1 of {plan}, edited: the plan had 50"
    assert kept.reason == f"Line 2 of {plan}, to bring USDT inside its bands"
    line = PlanLine.objects.get(pk=first)
    assert propose.otherwise(edited, line) == "the plan had 50"
    assert propose.otherwise(kept, PlanLine.objects.get(pk=then)) == ""
    edited.source, edited.destination = edited.destination, edited.source
    assert propose.otherwise(edited, line) == "other words than the plan's"


def test_checking_lines_finds_what_drafting_would_and_writes_nothing(planned: Planned, maker: User) -> None:
    plan = planned()
    first, then = lines(plan)
    before = Transfer.objects.count()

    def check(amounts: dict[int, str]) -> dict[int | str, str]:
        return propose.check_lines(plan=plan, amounts=amounts, reason="", maker=maker, at=timezone.now())

    assert check({first: "50", then: "5"}) == {}
    assert "choose that one too" in check({then: "5"})[then]
    assert "decimals" in check({first: "0.0000000000000001"})[first]
    assert propose.too_much(plan, {first: Decimal(1000), then: Decimal(5000)}) == [], "the second waits for the first"
    (warning,) = propose.too_much(plan, {first: Decimal("1000.5")})
    assert warning.startswith("1\u202f000.5 USDT of Funding are to be sent, and 1\u202f000 can be moved now")
    assert Transfer.objects.count() == before


def test_another_makers_line_is_not_drafted_twice(planned: Planned, maker: User, maker2: User) -> None:
    plan = planned()
    first, _ = lines(plan)
    drafts(plan, maker, {first: "50"})
    assert f"was drafted by {maker} already" in refusal(plan, maker2, {first: "50"})[first]


@pytest.mark.parametrize("state", [PlanState.COMPUTING, PlanState.FAILED])
def test_a_plan_that_is_not_ready_cannot_be_drafted(planned: Planned, maker: User, state: PlanState) -> None:
    assert "is not ready" in refusal(planned(state=state), maker)[""]


def test_a_what_if_cannot_be_drafted(planned: Planned, maker: User) -> None:
    assert "only supposes" in refusal(planned(origin=Origin.WHAT_IF), maker)[""]


def test_an_old_plan_is_computed_again_but_what_was_drafted_is_found(planned: Planned, maker: User) -> None:
    plan = planned(ago=settings.PLAN_DRAFTABLE - timedelta(seconds=5))
    made = drafts(plan, maker)
    later = timezone.now() + timedelta(seconds=10)
    again = draft_lines(plan=plan, amounts=dict.fromkeys(lines(plan), "1"), reason="", maker=maker, at=later)
    assert again == made
    assert "is 15 minutes old" in refusal(planned(ago=settings.PLAN_DRAFTABLE), maker)[""]


def test_a_plan_is_as_old_as_its_numbers_however_long_it_was_computed(
    connection: Connection,
    unified: Account,
    fund: Account,
    set_band: SetBand,
    maker: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_band(unified, "100", "300", "500")
    set_band(fund, "1200", "1500", "2000")
    plan = planning.ask(by=maker, at=timezone.now())
    seconds = iter([0.0, 3600.0])
    with monkeypatch.context() as slow:
        slow.setattr(planning, "time", SimpleNamespace(monotonic=lambda: next(seconds)))
        planning.compute(plan_id=plan.pk, at=timezone.now())
    plan.refresh_from_db()
    assert plan.state == PlanState.READY
    assert plan.began_at is not None
    assert plan.ended_at == plan.began_at + timedelta(hours=1)
    assert propose.why_not_draft(plan, plan.began_at + settings.PLAN_DRAFTABLE) == ""
    assert "is 60 minutes old" in propose.why_not_draft(plan, plan.ended_at)


def test_a_guessed_key_takes_no_lines_place(planned: Planned, maker: User, unified: Account, fund: Account) -> None:
    plan = planned()
    first, _ = lines(plan)
    key = uuid5(NAMESPACE_URL, f"plan:{plan.pk}:line:{first}")
    words = draft.Words(unified, fund, "USDT", "7", "Mine")
    guessed = draft.draft(words=words, maker=maker, at=timezone.now(), draft_key=key)
    (made,) = drafts(plan, maker, {first: "50"})
    assert made != guessed
    assert (made.planned_id, made.amount, made.source) == (first, Decimal(50), fund)
    assert drafts(plan, maker, {first: "50"}) == [made]


@pytest.mark.parametrize(
    ("change", "field", "others"),
    [("turned", "source", "other accounts"), ("asset", "asset", "another asset")],
)
def test_a_line_redrafted_stays_that_line(
    planned: Planned, maker: User, unified: Account, fund: Account, change: str, field: str, others: str
) -> None:
    plan = planned()
    made, _ = drafts(plan, maker)
    source, destination = (unified, fund) if change == "turned" else (fund, unified)
    words = draft.Words(source, destination, "USDC" if change == "asset" else "USDT", "5", "Something else")
    with pytest.raises(draft.Invalid) as refused:
        draft.redraft(reference=made.reference, words=words, maker=maker, at=timezone.now())
    assert refused.value.problems == {
        field: f"Not changed. This draft is line 1 of {plan}; draft a new transfer for {others}."
    }
    made.refresh_from_db()
    assert (made.source, made.destination, made.asset, made.amount) == (fund, unified, "USDT", Decimal(50))
    same = draft.Words(fund, unified, "USDT", "49", "Less will do")
    again = draft.redraft(reference=made.reference, words=same, maker=maker, at=timezone.now())
    assert (again.amount, again.reason, again.planned_id) == (Decimal(49), "Less will do", lines(plan)[0])


def test_lines_of_another_plan_and_none_at_all_are_refused(planned: Planned, maker: User) -> None:
    plan, other = planned(), planned()
    assert "no such line" in refusal(plan, maker, {lines(other)[0]: "5"})[""]
    assert "at least one line" in refusal(plan, maker, {})[""]


def test_only_a_maker_drafts(planned: Planned, checker: User) -> None:
    with pytest.raises(access.NotAllowed):
        drafts(planned(), checker)
    assert not Transfer.objects.exists()


# -- submitting ----------------------------------------------------------------------------------------------


def test_a_batch_is_submitted_one_by_one_and_each_waits_for_its_own_decision(planned: Planned, maker: User) -> None:
    plan = planned()
    drafts(plan, maker)
    found = submit_all(plan=plan, maker=maker, at=timezone.now())
    assert [(transfer.state, problem) for transfer, problem in found] == [(State.SUBMITTED, "")] * 2
    assert len({transfer.digest for transfer, _ in found}) == 2
    assert submit_all(plan=plan, maker=maker, at=timezone.now()) == []


def test_one_that_cannot_be_submitted_keeps_no_other_back(planned: Planned, maker: User, unified: Account) -> None:
    plan = planned()
    drafts(plan, maker)
    Balance.objects.filter(account=unified).delete()  # the second one's source holds no such asset any more
    (_, fine), (kept, problem) = submit_all(plan=plan, maker=maker, at=timezone.now())
    assert fine == ""
    assert "holds no asset called USDT" in problem
    kept.refresh_from_db()
    assert kept.state == State.DRAFT


def test_of_a_plan_that_is_too_old_none_is_submitted_with_the_others_but_each_by_itself(
    planned: Planned, maker: User
) -> None:
    plan = planned()
    made = drafts(plan, maker)
    later = timezone.now() + timedelta(days=3)
    found = submit_all(plan=plan, maker=maker, at=later)
    sentence = f"{plan} is 3 days old, and the balances have moved on: compute again."
    assert [(one.state, problem) for one, problem in found] == [(State.DRAFT, sentence)] * 2
    assert submit.submit(reference=made[0].reference, maker=maker, at=later).state == State.SUBMITTED


def test_only_ones_own_drafts_are_submitted(planned: Planned, maker: User, maker2: User) -> None:
    plan = planned()
    drafts(plan, maker)
    assert submit_all(plan=plan, maker=maker2, at=timezone.now()) == []
    assert set(Transfer.objects.values_list("state", flat=True)) == {State.DRAFT}


# -- carried out ---------------------------------------------------------------------------------------------


def spread(login: Connection) -> tuple[str, list[Account], Balance]:
    """An asset, the accounts that its richest holder reaches and is reached from, and what that one holds."""
    connector = venues.open_connection(login)
    for balance in Balance.objects.filter(account__connection=login, movable__gte=5).order_by("-movable", "pk"):
        source = balance.account
        reached = [
            other
            for other in login.accounts.exclude(pk=source.pk)
            if venues.has_route(source, other)
            and balance.asset in connector.assets(source.address, other.address)
            and all(one.total is not None for one in other.balances.all())
        ]
        if reached:
            return balance.asset, reached, balance
    raise AssertionError(f"no money can move at {login.venue}")


def test_a_plan_carried_out_in_the_simulators_leaves_every_account_inside_its_band(
    login: Connection,
    maker: User,
    checker: User,
    checker2: User,
    set_band: SetBand,
    short_calls: None,
) -> None:
    asset, reached, rich = spread(login)
    held = {one.account_id: one.total for one in Balance.objects.filter(account__in=reached, asset=asset)}
    part = (rich.movable / (2 * len(reached))).quantize(Decimal(1))
    for account in reached:
        has = max(held.get(account.pk) or Decimal(0), Decimal(0))
        set_band(account, has + part - 1, has + part, has + part + 1, asset=asset)
    set_band(rich.account, "0", rich.total / 2, rich.total - part * len(reached) + len(reached), asset=asset)
    plan = computed(maker, connection=login, asset=asset)
    assert plan.groups.get().status == Status.PROVEN, plan.groups.get().non_moves
    assert plan.groups.get().lines.count() == len(reached)

    drafts(plan, maker)
    for transfer, problem in submit_all(plan=plan, maker=maker, at=timezone.now()):
        assert problem == ""
        carry_out(transfer, checker, checker2)
    later = timezone.now() + 2 * drift.on_its_way.CALM  # a reading of nearly the same moment proves nothing
    in_its_turn(lambda: refresh(connection=login, at=later))
    (group,) = drift.read(later, connection=login, asset=asset)
    assert [(stand.position, stand.frozen) for stand in group.stands] == [(Position.INSIDE, "")] * len(group.stands)


def in_its_turn(ask: Callable[[], object], seconds: float = 20) -> None:
    """Again and again, as the clock's ticks would, until it is our turn to call the venue."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            ask()
        except NotRead:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        else:
            return


def carry_out(transfer: Transfer, *checkers: User) -> None:
    for checker in checkers:
        if transfer.state == State.SUBMITTED:
            transfer = approve.approve(
                reference=transfer.reference,
                checker=checker,
                digest=transfer.digest or "",
                round=transfer.round,
                factor="password",
                at=timezone.now(),
            )
    deadline = time.monotonic() + 20
    while transfer.state == State.APPROVED and time.monotonic() < deadline:
        Transfer.objects.filter(pk=transfer.pk).update(due_at=timezone.now())
        dispatch.dispatch(reference=transfer.reference, now=timezone.now)
        transfer.refresh_from_db()
        time.sleep(0.2)
    if transfer.state != State.SETTLED:
        assert transfer.state == State.DISPATCHED, (transfer.held, transfer.outcome)
        pursue(transfer, until=lambda: transfer.state == State.SETTLED)


def test_what_was_planned_in_order_is_carried_out_in_order(
    planned: Planned,
    venue: Simulator,
    maker: User,
    checker: User,
    checker2: User,
    unified: Account,
    fund: Account,
) -> None:
    """UNIFIED holds 1000 and is to send 1020.5: only what FUND sends first makes that possible."""
    plan = planned()
    first, then = drafts(plan, maker)
    submit_all(plan=plan, maker=maker, at=timezone.now())
    for transfer in (then, first):
        transfer.refresh_from_db()
    say_yes(then, checker)
    dispatch.dispatch(reference=then.reference, now=timezone.now)
    then.refresh_from_db()
    assert (then.state, then.held) == (State.APPROVED, f"waits for {first.reference} to settle")
    assert venue.effects() == []
    carry_out(first, checker, checker2)
    order.go_on(transfer_id=first.pk, at=timezone.now())
    dispatch.dispatch(reference=then.reference, now=timezone.now)
    then.refresh_from_db()
    assert then.state == State.SETTLED, then.held
    assert len(venue.effects()) == 2


def say_yes(transfer: Transfer, checker: User) -> None:
    words: dict[str, Any] = {"digest": transfer.digest, "round": transfer.round, "factor": "password"}
    approve.approve(reference=transfer.reference, checker=checker, at=timezone.now(), **words)
