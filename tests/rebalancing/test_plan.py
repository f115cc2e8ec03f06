"""A plan is asked for once, computed once, stored with what it was reckoned from, and can be reckoned again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from io import StringIO
from threading import Barrier, Thread
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import close_old_connections
from django.db import connection as database
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from connectors.core.protocol import Receipt
from tests.house import person
from tests.models.attack import guards_asleep, sql
from tests.rebalancing.conftest import LONG, Holds, SetBand
from treasury import tasks, venues
from treasury.audit.record import Machine
from treasury.controls import stops
from treasury.models import (
    Account,
    AuditEntry,
    Connection,
    Direction,
    Origin,
    Plan,
    PlanGroup,
    PlanLine,
    PlanState,
    Route,
    Status,
    Transfer,
    User,
)
from treasury.rebalancing import certificate
from treasury.rebalancing import plan as planning
from treasury.rebalancing.plan import NotPlanned
from treasury.transfers import attempts, dispatch

pytestmark = pytest.mark.django_db(transaction=True)

Make = Callable[..., Transfer]
TESTS = Machine("tests")


def computed(by: User | None, **question: Any) -> Plan:
    plan = planning.ask(by=by, at=timezone.now(), **question)
    planning.compute(plan_id=plan.pk, at=timezone.now())
    plan.refresh_from_db()
    return plan


def whys(group: PlanGroup) -> dict[str, str]:
    titles = {account.pk: account.address for account in Account.objects.all()}
    return {titles[one["account"]]: one["why"] for one in group.non_moves}


# -- asked for -----------------------------------------------------------------------------------------------


def test_whoever_holds_a_role_asks_and_a_worker_is_woken(
    banded: None, checker: User, rung: list[tuple[str, Any]]
) -> None:
    plan = planning.ask(by=checker, at=timezone.now())
    assert plan.reference.startswith("PL-")
    assert (plan.state, plan.origin, plan.groups_all) == (PlanState.WAITING, Origin.HAND, None)
    assert (planning.COMPUTE, [plan.pk]) in rung
    assert AuditEntry.objects.get(action="plan.ask").subject == f"plan:{plan.reference}"


def test_the_same_question_that_still_waits_is_one_plan(banded: None, maker: User, checker: User) -> None:
    first, again, other = (planning.ask(by=by, at=timezone.now()) for by in (maker, maker, checker))
    assert first == again != other
    narrower = planning.ask(by=maker, at=timezone.now(), asset="USDT")
    assert narrower not in (first, other)
    planning.compute(plan_id=first.pk, at=timezone.now())
    assert planning.ask(by=maker, at=timezone.now()) != first


def test_two_clicks_at_once_are_one_plan(banded: None, maker: User) -> None:
    together(lambda: planning.ask(by=maker, at=timezone.now()), 4)
    assert Plan.objects.count() == AuditEntry.objects.filter(action="plan.ask").count() == 1


@pytest.mark.parametrize(
    "overrides",
    [
        {"bands": [{"account": 1, "asset": "USDT", "minimum": "5", "target": "4", "maximum": None}]},
        {"bands": [{"account": 1, "asset": "USDT", "minimum": "x", "target": "4"}]},
        {"balances": [{"account": 0, "asset": "USDT", "total": "4"}]},
        {"balances": [{"account": 1, "asset": "USDT", "total": "NaN"}]},
        {"balances": [{"account": 1, "asset": "USDT", "total": "1e400"}]},
        {"balances": "all"},
        {"elsewhere": []},
        {},
    ],
)
def test_what_is_no_question_is_refused_in_a_sentence(banded: None, maker: User, overrides: dict[str, Any]) -> None:
    with pytest.raises(NotPlanned, match=r"^No plan was asked for\. "):
        planning.ask(by=maker, at=timezone.now(), origin=Origin.WHAT_IF, overrides=overrides)
    assert not Plan.objects.exists()


def test_without_a_role_or_a_band_there_is_no_plan(
    connection: Connection, maker: User, set_band: SetBand, unified: Account
) -> None:
    with pytest.raises(NotPlanned, match="There is no band yet"):
        planning.ask(by=maker, at=timezone.now())
    set_band(unified, "1", "2")
    with pytest.raises(NotPlanned, match="You hold no role here"):
        planning.ask(by=person("nobody"), at=timezone.now())
    with pytest.raises(NotPlanned, match="There is no band yet"):
        planning.ask(by=maker, at=timezone.now(), asset="BTC")


# -- computed ------------------------------------------------------------------------------------------------


def test_the_fewest_transfers_are_stored_with_what_they_were_reckoned_from(banded: None, maker: User) -> None:
    plan = computed(maker)
    assert (plan.state, plan.groups_done, plan.groups_all, plan.problem) == (PlanState.READY, 1, 1, "")
    group = plan.groups.get()
    line = group.lines.get()
    assert (group.status, line.source.address, line.destination.address) == (Status.PROVEN, "UNIFIED", "FUND")
    assert 500 <= line.amount <= 900
    assert group.digest == hashlib.sha256(group.inputs.encode()).hexdigest()
    inputs = json.loads(group.inputs)
    told = {one["address"]: one for one in inputs["accounts"]}
    assert (told["UNIFIED"]["total"], told["UNIFIED"]["band"]["maximum"]) == ("1000", "500")
    assert told["UNIFIED"]["observed_at"].endswith("Z")
    entry = json.loads(AuditEntry.objects.get(action="plan.compute").canonical)
    assert entry["facts"]["groups"][0]["digest"] == group.digest
    assert planning.recheck(group, search_again=True) == []


def test_inside_there_is_nothing_to_do(unified: Account, set_band: SetBand, maker: User) -> None:
    set_band(unified, "0", "1", "1000")
    group = computed(maker).groups.get()
    assert (group.status, group.lines.count(), group.non_moves) == (Status.NOTHING, 0, [])


@pytest.mark.parametrize(("proven", "status"), [(True, Status.NO_HELP), (False, Status.BEST)])
def test_that_nothing_can_be_done_is_said_only_where_it_is_proven(
    banded: None, maker: User, unified: Account, fund: Account, set_band: SetBand, proven: bool, status: Status
) -> None:
    set_band(fund, "5000", "5000")
    set_band(unified, "100", "300", "1000")
    group = computed(maker).groups.get()
    assert group.status == Status.NO_HELP
    stored = certificate.from_json(group.certificate)
    assert planning.status_of(replace(stored, left_proven=proven)) == status


def test_a_doubled_message_computes_once(banded: None, maker: User) -> None:
    plan = computed(maker)
    planning.compute(plan_id=plan.pk, at=timezone.now())
    assert PlanGroup.objects.count() == AuditEntry.objects.filter(action="plan.compute").count() == 1
    assert not AuditEntry.objects.filter(action="plan.fail").exists()


def test_two_workers_at_the_same_plan_write_it_once(banded: None, maker: User) -> None:
    plan = planning.ask(by=maker, at=timezone.now())
    together(lambda: planning.compute(plan_id=plan.pk, at=timezone.now()), 3)
    plan.refresh_from_db()
    assert (plan.state, plan.groups.count(), PlanLine.objects.count()) == (PlanState.READY, 1, 1)
    assert not AuditEntry.objects.filter(action="plan.fail").exists()


def test_no_transaction_is_open_while_it_is_solved(banded: None, maker: User, monkeypatch: pytest.MonkeyPatch) -> None:
    really = planning.solve

    def watched(*args: Any, **options: Any) -> Any:
        assert not database.in_atomic_block
        assert Plan.objects.get().state == PlanState.COMPUTING
        return really(*args, **options)

    monkeypatch.setattr(planning, "solve", watched)
    assert computed(maker).state == PlanState.READY


def test_progress_is_seen_after_each_group(
    banded: None, maker: User, unified: Account, set_band: SetBand, holds: Holds
) -> None:
    holds(unified, "1", asset="BTC")
    set_band(unified, "0", "1", "2", asset="BTC")
    plan, seen = planning.ask(by=maker, at=timezone.now()), []
    planning.compute(
        plan_id=plan.pk,
        at=timezone.now(),
        between=lambda: seen.append((Plan.objects.get().groups_done, Plan.objects.get().groups_all)),
    )
    assert seen == [(1, 2), (2, 2)]


def test_a_defect_fails_the_plan_in_words_and_changes_nothing_else(
    banded: None, maker: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(planning, "solve", broken)
    plan = computed(maker)
    assert plan.state == PlanState.FAILED
    assert plan.problem == "Nothing was changed. The planner failed (ZeroDivisionError); see the service's log."
    assert AuditEntry.objects.filter(action="plan.fail", subject=plan.subject).exists()


def test_a_plan_that_was_given_up_meanwhile_writes_no_more(
    banded: None, maker: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = planning.solve

    def slow(*args: Any, **options: Any) -> Any:
        planning.fail(plan_id=Plan.objects.get().pk, problem=planning.DIED, at=timezone.now())
        return really(*args, **options)

    monkeypatch.setattr(planning, "solve", slow)
    plan = computed(maker)
    assert (plan.state, plan.problem, plan.groups.count()) == (PlanState.FAILED, planning.DIED, 0)


def test_the_clock_sends_again_for_what_waits_and_ends_what_nobody_computes_any_more(
    banded: None, maker: User, rung: list[tuple[str, Any]]
) -> None:
    plan = planning.ask(by=maker, at=timezone.now() - planning.ASKED_AGAIN)
    rung.clear()
    tasks.tick_plans()
    assert rung == [(planning.COMPUTE, [plan.pk])]
    Plan.objects.filter(pk=plan.pk).update(state=PlanState.COMPUTING, began_at=timezone.now() - planning.GONE_AFTER)
    with tasks.one_at_a_time(None, f"plan {plan.pk}") as mine:
        assert mine
        tasks.tick_plans()
        plan.refresh_from_db()
        assert plan.state == PlanState.COMPUTING, "its planner lives: it holds the lock"
    tasks.tick_plans()
    plan.refresh_from_db()
    assert (plan.state, plan.problem) == (PlanState.FAILED, planning.DIED)


def test_the_task_computes_and_gives_a_sign_of_life(banded: None, maker: User) -> None:
    plan = planning.ask(by=maker, at=timezone.now())
    tasks.compute_plan(plan.pk)
    plan.refresh_from_db()
    assert plan.state == PlanState.READY
    assert sql("SELECT name FROM treasury_heartbeat") == [("plans",)]


def test_many_groups_ask_little_of_the_database(
    banded: None, maker: User, connection: Connection, set_band: SetBand, holds: Holds, unified: Account
) -> None:
    for asset in ("BTC", "ETH", "SOL"):
        holds(unified, "1", asset=asset)
        set_band(unified, "0", "1", "2", asset=asset)
    plan = planning.ask(by=maker, at=timezone.now())
    with CaptureQueriesContext(database) as captured:
        planning.compute(plan_id=plan.pk, at=timezone.now())
    assert plan.groups.count() == 4
    assert len(captured) <= 20 + 4 * 8


# -- what it counts, and why an account is not helped --------------------------------------------------------


def test_a_stale_balance_refuses_its_group_and_no_other(
    banded: None, maker: User, unified: Account, set_band: SetBand, holds: Holds
) -> None:
    holds(unified, "5", asset="BTC")
    set_band(unified, "0", "1", "2", asset="BTC")
    holds(unified, "1000", ago=settings.BALANCE_STALE_AFTER + timedelta(minutes=2))
    plan = computed(maker)
    refused, other = plan.groups.get(asset="USDT"), plan.groups.get(asset="BTC")
    assert (refused.status, refused.lines.count()) == (Status.REFUSED, 0)
    assert whys(refused) == {"UNIFIED": "Its balance is 7 minutes old: read the balances again."}
    assert other.status == Status.NO_HELP
    assert planning.recheck(refused) == []


def test_what_is_on_its_way_is_not_planned_again(banded: None, maker: User, submitted: Make) -> None:
    transfer = submitted(amount="500")
    group = computed(maker).groups.get()
    assert (group.status, group.lines.count()) == (Status.NOTHING, 0)
    words = f"{transfer.reference} is on the way and brings it inside."
    assert whys(group) == {"UNIFIED": words, "FUND": words}


def test_what_may_have_moved_is_not_planned_around(banded: None, maker: User, approved: Make) -> None:
    transfer = approved(amount="500")
    attempt = dispatch.claim(reference=transfer.reference, at=timezone.now())
    assert attempt is not None
    attempts.conclude(attempt_id=attempt.pk, answer=Receipt(settled=False, record="V1"), now=timezone.now)
    group = computed(maker).groups.get()
    assert (group.status, group.lines.count()) == (Status.NO_HELP, 0)
    assert set(whys(group).values()) == {f"{transfer.reference} is on its way."}


def test_shares_of_what_may_have_left_the_group_are_not_planned(
    unified: Account,
    fund: Account,
    further: Callable[[str], Account],
    set_band: SetBand,
    holds: Holds,
    maker: User,
    approved: Make,
) -> None:
    """600 are on their way to an account outside the group; a share of a wrong total would bring others outside."""
    other = further("other")
    attempt = dispatch.claim(reference=approved(amount="600").reference, at=timezone.now())
    assert attempt is not None
    attempts.conclude(attempt_id=attempt.pk, answer=Receipt(settled=False, record="V1"), now=timezone.now)
    set_band(unified, "0", "50", "100", unit="share")
    set_band(other, "39", "42", "45", unit="share")
    holds(unified, "1000")
    holds(other, "450")
    group = computed(maker).groups.get()
    assert group.status == Status.REFUSED
    assert "the group holds together is not known now" in whys(group)["other"]


def test_a_stop_says_who_and_why(banded: None, maker: User, fund: Account) -> None:
    stops.stop(account=fund, reason="Audit", by=TESTS, at=timezone.now())
    why = whys(computed(maker).groups.get())
    assert "is stopped since" in why["FUND"]
    assert why["FUND"].endswith("by tests: Audit.")
    assert why["UNIFIED"].startswith("No room anywhere: no account of the group may take (")


def test_no_surplus_anywhere_names_each_account_and_its_reason(
    unified: Account, fund: Account, set_band: SetBand, maker: User
) -> None:
    set_band(unified, "1000", "1000")
    set_band(fund, "1500", "1600")
    group = computed(maker).groups.get()
    assert group.status == Status.NO_HELP
    assert whys(group) == {
        "FUND": f"No surplus anywhere: no account of the group may give ({unified.title}: it has nothing above its "
        "minimum)."
    }


def test_what_the_others_cannot_spare_or_take_together_is_said_in_numbers(
    unified: Account, fund: Account, further: Callable[[str], Account], set_band: SetBand, holds: Holds, maker: User
) -> None:
    """UNIFIED and FUND hold 1000 each."""
    low = further("low")
    holds(low, "0")
    set_band(unified, "950", "1000", "1200")
    set_band(fund, "951.5", "1000", "1100")
    set_band(low, "178", "200", "300")
    why = whys(computed(maker).groups.get())
    assert why == {"low": "It needs 178, and the others can spare 98.5 together."}
    holds(low, "900")
    assert whys(computed(maker).groups.get()) == {"low": "It has 600 too much, and the others can take 300 together."}


def test_what_the_plan_gave_to_others_is_not_there_for_it(
    unified: Account, fund: Account, further: Callable[[str], Account], set_band: SetBand, holds: Holds, maker: User
) -> None:
    low, lower = further("low"), further("lower")
    holds(low, "0")
    holds(lower, "0")
    set_band(unified, "900", "1000", "1200")
    set_band(fund, "1000", "1000", "1100")
    set_band(low, "60", "60", "300")
    set_band(lower, "70", "70", "300")
    group = computed(maker).groups.get()
    assert {line.amount for line in group.lines.all()} == {60}, "over the account between them"
    assert whys(group) == {"lower": "It needs 70, and once the plan has helped others, these can spare 40 together."}


def test_what_must_stay_is_said(banded: None, maker: User, unified: Account, set_band: SetBand, holds: Holds) -> None:
    set_band(unified, "100", "300", "500", floor="1000")
    why = whys(computed(maker).groups.get())
    assert why["UNIFIED"] == "Only 0 of it may leave, since 1\u202f000 must stay, its floor."


@pytest.mark.parametrize(
    ("direction", "words"), [(Direction.GIVES, "It only gives."), (Direction.TAKES, "It only takes.")]
)
def test_a_direction_is_said(
    banded: None, maker: User, unified: Account, fund: Account, set_band: SetBand, direction: Direction, words: str
) -> None:
    if direction == Direction.GIVES:
        set_band(fund, "1500", "1600", direction=direction.value)
        assert whys(computed(maker).groups.get())["FUND"] == words
    else:
        set_band(unified, "100", "300", "500", direction=direction.value)
        assert whys(computed(maker).groups.get())["UNIFIED"] == words


def test_sizes_that_stand_in_the_way_are_said(unified: Account, fund: Account, set_band: SetBand, maker: User) -> None:
    set_band(unified, "100", "300", "999.5", smallest="950")
    set_band(fund, "0", "1000", "1500")
    assert whys(computed(maker).groups.get())["UNIFIED"].startswith("Below the smallest size: ")
    set_band(unified, "0", "300", "500", largest="20")
    assert "larger than the largest size" in whys(computed(maker).groups.get())["UNIFIED"].lower()


def test_a_coin_that_the_venue_does_not_move_there_has_no_route(
    banded: None, maker: User, unified: Account, fund: Account
) -> None:
    Route.objects.create(source=unified, destination=fund, assets=["BTC"], read_at=timezone.now())
    group = computed(maker).groups.get()
    assert group.lines.count() == 0
    assert whys(group)["FUND"] == f"No route to it from any account with surplus ({unified.title})."
    Route.objects.update(read_at=timezone.now() - timedelta(days=2))
    assert computed(maker).groups.get().lines.count() == 1, "what is not known forbids nothing"


def test_no_line_has_more_decimals_than_the_venue_takes(
    unified: Account, fund: Account, set_band: SetBand, holds: Holds, maker: User
) -> None:
    holds(unified, "1000.000000000123456789", ago=LONG)
    set_band(unified, "0", "300.5", "500.000000000123456789")
    set_band(fund, "1500.123456789012345678", "1600")
    line = computed(maker).groups.get().lines.get()
    decimals = venues.declared(unified.connection.venue).amount_decimals
    assert decimals is None or line.amount == round(line.amount, decimals)


def test_a_what_if_supposes_and_stores_nothing_else(banded: None, maker: User, unified: Account) -> None:
    supposed = {"balances": [{"account": unified.pk, "asset": "USDT", "total": "500"}]}
    plan = computed(maker, origin=Origin.WHAT_IF, overrides=supposed)
    inputs = json.loads(plan.groups.get().inputs)
    assert inputs["overrides"] == plan.overrides == supposed
    assert {one["address"]: one["total"] for one in inputs["accounts"]}["UNIFIED"] == "500"
    assert planning.recheck(plan.groups.get(), search_again=True) == []


# -- reckoned again ------------------------------------------------------------------------------------------


def checked(plan: Plan, *more: str) -> tuple[int, str]:
    out = StringIO()
    try:
        call_command("check_plan", plan.reference, *more, stdout=out)
    except SystemExit as end:
        return int(end.code or 0), out.getvalue()
    return 0, out.getvalue()


def test_a_true_plan_agrees_with_itself(banded: None, maker: User) -> None:
    code, said = checked(computed(maker), "--search")
    assert (code, "agreed" in said) == (0, True)


@pytest.mark.parametrize(
    "attack",
    [
        "UPDATE treasury_planline SET amount = amount + 500",
        "UPDATE treasury_planline SET amount = amount / 500",
        "DELETE FROM treasury_planline",
        "UPDATE treasury_planline SET source_id = destination_id, destination_id = source_id",
        "UPDATE treasury_plangroup SET inputs = replace(inputs, '\\\"500\\\"', '\\\"400\\\"')",
    ],
)
def test_a_plan_that_was_tampered_with_is_found_out(banded: None, maker: User, attack: str) -> None:
    plan = computed(maker)
    with guards_asleep():
        sql(attack.replace('\\"', '"'))
    code, said = checked(plan)
    assert code == 1, said
    assert "NOT what it claims to be" in said


def test_a_plan_that_never_was_is_said(db: None) -> None:
    with pytest.raises(CommandError, match="There is no plan PL-9"):
        call_command("check_plan", "PL-9")


def together(act: Callable[[], object], times: int) -> None:
    """Do it at the same moment in several threads, each with a database session of its own."""
    barrier, failed = Barrier(times), []

    def run() -> None:
        try:
            barrier.wait()
            act()
        except Exception as problem:
            failed.append(problem)
        finally:
            database.close()
            close_old_connections()

    threads = [Thread(target=run) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
