"""A plan's page: its progress, its proof, what it does, and its lines made into drafts by makers alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.conf import settings
from django.db import connection as database
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tests.web.banded import set_bands
from tests.web.swap import by_id, htmx, page_of, swapped
from tests.web.test_pages import works_alone
from tests.web.test_swaps import same
from treasury.models import (
    Account,
    AuditEntry,
    Balance,
    Origin,
    Plan,
    PlanGroup,
    PlanLine,
    PlanState,
    State,
    Status,
    Transfer,
    User,
)
from treasury.rebalancing import plan as planning
from treasury.rebalancing import propose
from treasury.transfers import cancel as cancelling
from treasury.transfers import draft as drafting
from treasury.transfers import submit as submitting

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("still")]

SignIn = Callable[..., Client]
Refused = Callable[[], list[Any]]


@pytest.fixture
def banded(unified: Account, fund: Account, operator: User, operator2: User) -> None:
    """Of 1000 USDT each, the one is 500 above its maximum, the other 200 below its minimum: one transfer of 500."""
    set_bands({unified: ("100", "300", "500"), fund: ("1200", "1500", "2000")}, operator, operator2)


@pytest.fixture
def ready(banded: None, maker: User) -> Plan:
    return computed(maker)


def computed(by: User, **words: Any) -> Plan:
    plan = planning.ask(by=by, at=timezone.now(), **words)
    planning.compute(plan_id=plan.pk, at=timezone.now())
    plan.refresh_from_db()
    assert plan.state == PlanState.READY, plan.problem
    return plan


def here(plan: Plan) -> str:
    return f"/plans/{plan.reference}/"


def text(client: Client, address: str) -> str:
    return " ".join(page_of(client.get(address)).text_content().split())


def line_of(plan: Plan) -> PlanLine:
    return PlanLine.objects.get(group__plan=plan)


def form(plan: Plan, amount: str = "500", **more: str) -> dict[str, Any]:
    line = line_of(plan)
    return {"line": [line.pk], f"amount-{line.pk}": amount, "reason": "Friday", "step": "draft", **more}


def test_a_plan_that_waits_says_so_and_asks_again_until_it_has_ended(
    sign_in: SignIn, banded: None, maker: User, checker: User
) -> None:
    plan, client = planning.ask(by=maker, at=timezone.now()), sign_in(checker)
    assert "Waiting for the planner" in text(client, here(plan))
    Plan.objects.update(state=PlanState.COMPUTING, began_at=timezone.now(), groups_all=5)
    Plan.objects.update(groups_done=2)
    told = text(client, here(plan))
    assert "2 of 5 groups done." in told
    assert "You may leave this page and come back" in told
    page = page_of(client.get(here(plan)))
    (bar,) = page.iter("progress")
    assert (bar.get("value"), bar.get("max")) == ("2", "5")
    assert by_id(page, "plan").get("hx-trigger") == "every 2s"
    assert same(client, here(plan), "plan", "get", here(plan)).status_code == 200
    Plan.objects.update(state=PlanState.FAILED, problem="Nothing was changed. The planner stopped in the middle.")
    answer = same(client, here(plan), "plan", "get", here(plan))
    assert answer.status_code == 286
    assert "The planner stopped in the middle." in answer.content.decode()


def test_a_plan_says_what_it_does_and_how_that_is_proven(sign_in: SignIn, ready: Plan, auditor: User) -> None:
    told = text(sign_in(auditor), here(ready))
    group = ready.groups.get()
    assert "1 transfer brings 2 accounts inside their bands." in told
    assert "Proven fewest" in told
    assert group.digest in told
    assert "Unified Trading" in told
    assert "500" in told
    assert "A plan is of its moment" in told
    assert "oldest was read" in told
    assert "A quick plan without the search" in told
    assert "needs 1 transfer" in told
    assert "0.0000 of at most" not in told


def test_before_and_after_are_drawn_and_told(sign_in: SignIn, ready: Plan, maker: User) -> None:
    page = page_of(sign_in(maker).get(here(ready)))
    bars = page.find_class("band-bar")
    assert len(bars) == 2
    assert [len(one.find_class("after")) for one in bars] == [1, 1]
    told = {one.xpath("string(title)"): one.xpath("string(desc)") for one in bars}
    assert "After these transfers: 500, inside its band." in told["Unified Trading, USDT"].replace("\u202f", " ")
    assert "200 below its minimum" in told["Funding, USDT"]
    (flows,) = page.find_class("flows")
    assert flows.xpath("string(desc)") == "One transfer: 500 USDT from Unified Trading to Funding."
    assert len(flows.find_class("flow")) == 1


def test_the_inputs_are_given_out_byte_by_byte_and_nothing_is_changed(
    sign_in: SignIn, ready: Plan, auditor: User
) -> None:
    group, before = ready.groups.get(), AuditEntry.objects.count()
    client = sign_in(auditor)
    answer = client.get(f"{here(ready)}inputs/{group.pk}/")
    assert answer["Content-Type"].startswith("text/plain")
    assert answer["Content-Disposition"].startswith("attachment")
    assert hashlib.sha256(answer.content).hexdigest() == group.digest
    assert AuditEntry.objects.count() == before
    assert client.get(f"/plans/PL-999999/inputs/{group.pk}/").status_code == 404
    assert client.post(f"{here(ready)}inputs/{group.pk}/").status_code == 405


def test_a_maker_drafts_the_lines_and_they_lead_to_the_drafts(sign_in: SignIn, ready: Plan, maker: User) -> None:
    client = sign_in(maker)
    same(client, here(ready), "plan", "post", f"{here(ready)}draft/", form(ready))
    transfer = Transfer.objects.get()
    assert (transfer.planned, transfer.maker, transfer.amount) == (line_of(ready), maker, Decimal(500))
    assert transfer.reason == "Friday"
    page = page_of(client.get(here(ready)))
    assert page.xpath(f"//a[@href='/transfers/{transfer.reference}/']")
    assert not page.xpath("//input[@name='line']")
    assert "1 draft of this plan is yours" in " ".join(page.text_content().split())


def test_an_edited_amount_is_what_is_drafted_and_the_page_says_both(sign_in: SignIn, ready: Plan, maker: User) -> None:
    client = sign_in(maker)
    answer = client.post(f"{here(ready)}draft/", form(ready, "600.5"))
    assert (answer.status_code, answer.url) == (303, here(ready))
    assert Transfer.objects.get().amount == Decimal("600.5")
    told = text(client, here(ready))
    assert "of 600.5 USDT" in told
    assert "1 600.5" in told  # the other account after it


def test_checking_shows_what_edited_amounts_would_do_and_writes_nothing(
    sign_in: SignIn, ready: Plan, maker: User
) -> None:
    client, before = sign_in(maker), AuditEntry.objects.count()
    answer = client.post(f"{here(ready)}draft/", form(ready, "1000", step="check"))
    told = " ".join(page_of(answer).text_content().split())
    assert answer.status_code == 200
    assert "Checked; nothing was written." in told
    assert "1 transfer brings 1 account inside its band. 1 account stays outside" in told
    assert "Unified Trading would hold 0: 100 below its minimum." in told
    assert "Funding would hold" not in told  # 2000, its maximum
    assert not Transfer.objects.exists()
    assert AuditEntry.objects.count() == before
    line = line_of(ready)
    assert by_id(page_of(answer), f"amount-{line.pk}").get("value") == "1000"
    swap = htmx(client, "post", f"{here(ready)}draft/", form(ready, "1000", step="check"), page=here(ready))
    assert (
        "100 below its minimum" in by_id(swapped(page_of(client.get(here(ready))), swap, "plan"), "plan").text_content()
    )


def test_a_line_that_is_not_chosen_moves_nothing_in_the_check(sign_in: SignIn, ready: Plan, maker: User) -> None:
    answer = sign_in(maker).post(f"{here(ready)}draft/", {"step": "check"})
    told = " ".join(page_of(answer).text_content().split())
    assert "Unified Trading would hold 1 000: 500 above its maximum." in told
    assert "Funding would hold 1 000: 200 below its minimum." in told


@pytest.mark.parametrize(
    ("amount", "sentence"), [("1e3", "without an exponent"), ("", "Enter an amount."), ("0", "more than zero")]
)
@pytest.mark.parametrize("step", ["draft", "check"])
def test_a_mistake_stands_at_its_line_and_nothing_is_drafted(
    sign_in: SignIn, ready: Plan, maker: User, amount: str, sentence: str, step: str
) -> None:
    answer = same(sign_in(maker), here(ready), "plan", "post", f"{here(ready)}draft/", form(ready, amount, step=step))
    assert answer.status_code == 422
    (line,) = PlanLine.objects.all()
    error = by_id(page_of(answer), f"amount-{line.pk}-error")
    assert sentence in error.text_content()
    assert by_id(page_of(answer), f"amount-{line.pk}").get("value") == amount
    assert not Transfer.objects.exists()


def test_nothing_chosen_is_refused(sign_in: SignIn, ready: Plan, maker: User) -> None:
    answer = sign_in(maker).post(f"{here(ready)}draft/", {"step": "draft", "line": ["999999", "x"]})
    assert answer.status_code == 422
    assert "Choose at least one line." in answer.content.decode()
    assert not Transfer.objects.exists()


@pytest.mark.parametrize("role", ["checker", "auditor", "admin"])
def test_whoever_is_no_maker_sees_no_form_and_is_refused(
    sign_in: SignIn, ready: Plan, checker: User, auditor: User, operator: User, role: str, refused: Refused
) -> None:
    client = sign_in(User.objects.get(username=role))
    page = page_of(client.get(here(ready)))
    assert not page.xpath("//input[@name='line'] | //textarea[@name='reason']")
    assert bool(by_id(page, "plan").xpath(".//form")) == (role != "auditor")  # compute again
    assert client.post(f"{here(ready)}draft/", form(ready)).status_code == 403
    assert client.post(f"{here(ready)}draft/", form(ready, step="check")).status_code == 403
    assert client.post(f"{here(ready)}submit/").status_code == 403
    told = [(action, subject) for _, action, subject in refused()]
    assert told == [("plan.draft", ready.subject)] * 2 + [("plan.submit", ready.subject)]
    assert not Transfer.objects.exists()


def test_a_draft_of_somebody_else_is_shown_without_its_name(
    sign_in: SignIn, ready: Plan, maker: User, maker2: User, auditor: User
) -> None:
    (transfer,) = propose.draft_lines(
        plan=ready, amounts={line_of(ready).pk: "500"}, reason="Friday", maker=maker, at=timezone.now()
    )
    told = text(sign_in(maker2), here(ready))
    assert transfer.reference not in told
    assert "by Maker Person" in told
    assert transfer.reference in text(sign_in(auditor), here(ready))


def test_drafts_are_submitted_together_and_each_waits_for_its_own_decision(
    sign_in: SignIn, ready: Plan, maker: User, maker2: User, refused: Refused
) -> None:
    client = sign_in(maker)
    client.post(f"{here(ready)}draft/", form(ready))
    assert sign_in(maker2).post(f"{here(ready)}submit/").status_code == 409
    assert Transfer.objects.get().state == State.DRAFT
    answer = same(client, here(ready), "plan", "post", f"{here(ready)}submit/")
    assert Transfer.objects.get().state == State.SUBMITTED
    assert "Waiting for approval" in answer.content.decode()
    assert by_id(page_of(client.get(here(ready))), "plan").get("hx-trigger") == "every 5s"
    assert client.post(f"{here(ready)}submit/").status_code == 409
    cancelling.cancel(reference=Transfer.objects.get().reference, by=maker, at=timezone.now())
    assert htmx(client, "get", here(ready), page=here(ready)).status_code == 286


def test_of_a_plan_that_is_too_old_none_is_submitted_together(
    sign_in: SignIn, ready: Plan, maker: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = sign_in(maker)
    client.post(f"{here(ready)}draft/", form(ready))
    later = timezone.now() + settings.PLAN_DRAFTABLE + timedelta(minutes=1)
    monkeypatch.setattr("django.utils.timezone.now", lambda: later)
    page = page_of(client.get(here(ready)))
    assert not page.xpath(f"//form[@action='{here(ready)}submit/']")
    too_old = f"{ready} is 16 minutes old, and the balances have moved on: compute again."
    assert f"{too_old} Each draft can still be submitted on its own page." in " ".join(page.text_content().split())
    response = client.post(f"{here(ready)}submit/")
    assert response.status_code == 409
    assert f"Not submitted: {Transfer.objects.get()}: {too_old}" in response.content.decode()
    assert Transfer.objects.get().state == State.DRAFT


def test_what_is_not_submitted_is_named_with_the_reason(
    sign_in: SignIn, ready: Plan, maker: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = sign_in(maker)
    client.post(f"{here(ready)}draft/", form(ready))
    transfer = Transfer.objects.get()
    Transfer.objects.filter(pk=transfer.pk).update(asset="NONE")
    answer = client.post(f"{here(ready)}submit/")
    told = " ".join(page_of(answer).text_content().split())
    assert answer.status_code == 409
    assert f"0 of 1 submitted; nothing moved. Not submitted: {transfer.reference}: " in told


def test_an_old_plan_is_read_and_no_longer_drafted(sign_in: SignIn, ready: Plan, maker: User, still: Any) -> None:
    """The clock goes on; the plan stays as it was computed."""
    client = sign_in(maker)
    later = still + settings.PLAN_DRAFTABLE + timedelta(seconds=1)
    with pytest.MonkeyPatch.context() as then:
        then.setattr("django.utils.timezone.now", lambda: later)
        page = page_of(client.get(here(ready)))
        assert not page.xpath("//input[@name='line']")
        assert "compute again" in page.text_content()
        assert client.post(f"{here(ready)}draft/", form(ready)).status_code == 422
    assert not Transfer.objects.exists()


def test_what_was_only_supposed_says_so_and_drafts_nothing(
    sign_in: SignIn, banded: None, unified: Account, maker: User
) -> None:
    supposed = {"balances": [{"account": unified.pk, "asset": "USDT", "total": "50000"}]}
    plan = computed(maker, origin=Origin.WHAT_IF, connection=unified.connection, asset="USDT", overrides=supposed)
    client = sign_in(maker)
    told = text(client, here(plan))
    assert "Supposed, not so." in told
    assert "nothing can be drafted from it" in told
    assert "2 of checkers" in told or "1 of checkers" in told
    page = page_of(client.get(here(plan)))
    assert not page.xpath("//input[@name='line']")
    line = PlanLine.objects.filter(group__plan=plan).first()
    if line is not None:
        answer = client.post(f"{here(plan)}draft/", {"line": [line.pk], f"amount-{line.pk}": "1", "step": "draft"})
        assert answer.status_code == 422
    assert not Transfer.objects.exists()


def test_a_group_that_is_too_old_is_not_planned_and_is_read_again_from_there(
    sign_in: SignIn, banded: None, maker: User, checker: User
) -> None:
    Balance.objects.update(observed_at=timezone.now() - timedelta(hours=3))
    plan = computed(maker)
    client = sign_in(checker)
    told = text(client, here(plan))
    assert "Not planned" in told
    assert "1 group could not be planned: read the balances again." in told
    assert "Nothing to do" not in told
    (again,) = page_of(client.get(here(plan))).xpath("//form[@action='/rebalancing/read/']")
    assert "Read the balances again" in again.text_content()
    (connection,) = again.xpath(".//input[@name='connection']")
    assert client.post("/rebalancing/read/", {"connection": connection.get("value")}).status_code == 303


def test_what_cannot_be_read_is_not_sent_to_be_read_again(
    sign_in: SignIn, banded: None, maker: User, fund: Account
) -> None:
    fund.balances.filter(asset="USDT").update(total=None, movable=None, problem="it shows only a part.")
    client = sign_in(maker)
    told = text(client, here(computed(maker)))
    assert "It cannot be read: it shows only a part. Take its band away or state it otherwise" in told
    assert "1 group could not be planned; below is why." in told
    assert "Read the balances again" not in told


def other(maker: User, source: Account, destination: Account) -> Transfer:
    """Submitted, and of no plan."""
    words = drafting.Words(source, destination, "USDT", "50", "Payroll")
    made = drafting.draft(words=words, maker=maker, at=timezone.now())
    return submitting.submit(reference=made.reference, maker=maker, at=timezone.now())


def test_a_line_whose_accounts_others_have_touched_since_is_named_and_not_offered(
    sign_in: SignIn, ready: Plan, maker: User, maker2: User, unified: Account, fund: Account
) -> None:
    transfer = other(maker2, fund, unified)
    client = sign_in(maker)
    page = page_of(client.get(here(ready)))
    told = " ".join(page.text_content().split())
    assert f"{transfer.reference} (50 USDT) was submitted since this plan was computed: compute again" in told
    assert "Nothing can be drafted from this plan any more" in told
    assert not page.xpath("//input[@name='line']")
    answer = client.post(f"{here(ready)}draft/", form(ready))
    assert answer.status_code == 422
    assert transfer.reference in answer.content.decode()
    assert not Transfer.objects.filter(maker=maker).exists()


def test_what_waited_is_named_where_the_plan_counts_it_and_too_much_of_it_is_said(
    sign_in: SignIn, banded: None, submitted: Callable[..., Transfer], maker: User
) -> None:
    transfer = submitted(amount="900")
    Balance.objects.filter(account=transfer.source, asset="USDT").update(total="400", movable="400")
    plan, client = computed(maker), sign_in(maker)
    page = page_of(client.get(here(plan)))
    told = " ".join(page.text_content().split())
    title = transfer.source.title
    assert f"{transfer.reference} for 900 asks for more than {title} holds, 400." in told
    assert page.xpath("//th[.='Expected']")
    assert not page.xpath("//th[.='Holds']")
    assert f"expected, once {transfer.reference} has moved" in told
    assert not page.find_class("verdict")[0].xpath(".//*[contains(@class,'icon-settled')]")
    assert f"{transfer.reference} for 900 asks for more than {title} holds, 400." in text(client, "/rebalancing/")


def test_a_cancelled_draft_no_longer_counts_and_the_line_says_what_to_do(
    sign_in: SignIn, ready: Plan, maker: User
) -> None:
    client = sign_in(maker)
    client.post(f"{here(ready)}draft/", form(ready))
    cancelling.cancel(reference=Transfer.objects.get().reference, by=maker, at=timezone.now())
    told = text(client, here(ready))
    assert "None of its transfers moves anything: 2 accounts stay outside." in told
    assert "1 transfer of it ended without moving, and is not counted." in told
    assert "Unified Trading would hold 1 000: 500 above its maximum." in told
    assert "A line is drafted once: compute again for what is still off." in told
    assert "1 ended without moving." in told


def test_the_headline_and_the_flows_follow_what_was_drafted(sign_in: SignIn, ready: Plan, maker: User) -> None:
    client = sign_in(maker)
    client.post(f"{here(ready)}draft/", form(ready, "100") | {"reason": ""})
    page = page_of(client.get(here(ready)))
    assert page.find_class("verdict")[0].text_content().strip() == (
        "1 transfer brings no account inside. 2 accounts stay outside; below is why. 1 line was edited."
    )
    assert page.xpath("string(//svg[@class='flows']/desc)") == (
        "One transfer: 100 USDT from Unified Trading to Funding."
    )
    assert "of 100 USDT: the plan had 500" in " ".join(page.text_content().split())
    transfer = Transfer.objects.get()
    assert transfer.reason == f"Line 1 of {ready}, edited: the plan had 500"
    card = text(client, f"/transfers/{transfer.reference}/")
    assert f"{ready.reference}, line 1: the plan had 500" in card


def test_what_is_no_amount_is_left_out_of_the_check_and_says_so(sign_in: SignIn, ready: Plan, maker: User) -> None:
    answer = sign_in(maker).post(f"{here(ready)}draft/", form(ready, "abc", step="check"))
    told = " ".join(page_of(answer).text_content().split())
    assert answer.status_code == 422
    assert "What was typed is no amount in 1 line: it is left out here." in told
    assert "Funding would hold 1 000: 200 below its minimum." in told


def test_the_check_asks_what_drafting_would(sign_in: SignIn, ready: Plan, maker: User) -> None:
    client = sign_in(maker)
    answer = client.post(f"{here(ready)}draft/", form(ready, "0.0000000000000001", step="check"))
    assert answer.status_code == 422
    assert "decimals" in answer.content.decode()
    told = client.post(f"{here(ready)}draft/", form(ready, "1500", step="check")).content.decode()
    assert "1\u202f500 USDT of Unified Trading are to be sent, and 1\u202f000 can be moved now" in told


def test_after_each_step_the_next_one_stands_at_the_top(
    sign_in: SignIn, ready: Plan, maker: User, checker: User, checker2: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = sign_in(maker)
    answer = htmx(client, "post", f"{here(ready)}draft/", form(ready), page=here(ready))
    assert "1 drafted. 1 draft of this plan is yours." in " ".join(page_of(answer).text_content().split())
    client.post(f"{here(ready)}submit/")
    assert "1 waits for checkers." in text(client, here(ready))
    monkeypatch.setattr("treasury.web.verdicts.reverse", lambda name, args: f"/{name}/{args[0]}/")
    link = f"//a[@href='/decide_plan/{ready.reference}/']"
    assert page_of(sign_in(checker).get(here(ready))).xpath(link)
    assert not page_of(sign_in(maker).get(here(ready))).xpath(link), "a maker decides on nothing"
    with database.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
    Transfer.objects.update(state=State.SETTLED, outcome="It moved.")
    assert "It has settled." in text(client, here(ready))


def test_a_step_by_hand_stands_apart(
    sign_in: SignIn, ready: Plan, maker: User, unified: Account, fund: Account
) -> None:
    first = ready.groups.get()
    with database.cursor() as cursor:  # what a planner writes while it computes
        cursor.execute("SET LOCAL session_replication_role = replica")
    further = PlanGroup.objects.create(
        plan=ready,
        connection=first.connection,
        asset="USDT",
        status=Status.BEST,
        inputs=first.inputs,
        digest=first.digest,
        certificate=first.certificate,
        second_step=True,
    )
    further.lines.create(number=1, source=fund, destination=unified, asset="USDT", amount=7)
    page = page_of(sign_in(maker).get(here(ready)))
    (apart,) = page.find_class("further")
    assert "A further step, by hand" in apart.text_content()
    assert f"{fund} " in apart.text_content()  # between connections each is named with its own
    assert "A further step, by hand, has 1 transfer." in page.find_class("verdict")[0].text_content()
    assert apart.xpath(".//table[contains(@class,'moves')]")
    (box,) = apart.xpath(".//input[@name='line']")
    assert box.get("checked") is None
    assert len(page.xpath("//input[@name='line'][@checked]")) == 1


def test_lists_show_the_newest_first_and_page(
    sign_in: SignIn, ready: Plan, maker: User, checker: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("treasury.web.plans.ON_A_PAGE", 1)
    newest = planning.ask(by=maker, at=timezone.now())
    client = sign_in(checker)
    page = page_of(client.get("/plans/"))
    assert [one.text_content() for one in page.xpath("//tbody//a")] == [newest.reference]
    (older,) = page.xpath("//nav[@aria-label='Pages']//a")
    told = text(client, f"/plans/{older.get('href').removeprefix('/plans/')}")
    assert ready.reference in told
    assert "1 transfer" in told


def test_every_part_of_it_works_without_javascript_and_without_inline_code(
    sign_in: SignIn, ready: Plan, maker: User, unified: Account
) -> None:
    client = sign_in(maker)
    planning.ask(by=maker, at=timezone.now())
    what_if = f"/rebalancing/what-if/?connection={unified.connection_id}&asset=USDT"
    for address in ("/rebalancing/", here(ready), what_if):
        page = page_of(client.get(address))
        for form in page.iter("form"):
            works_alone(form, address)
        assert not page.xpath("//@style | //style"), address
        ids = [one.get("id") for one in page.xpath("//*[@id]")]
        assert len(ids) == len(set(ids)), address


def test_steps_are_never_taken_by_get(sign_in: SignIn, ready: Plan, maker: User) -> None:
    client = sign_in(maker)
    for address in (f"{here(ready)}draft/", f"{here(ready)}submit/", "/rebalancing/plan/", "/rebalancing/read/"):
        assert client.get(address).status_code == 405
    assert client.get("/plans/PL-999999/").status_code == 404


def test_a_plan_of_many_groups_asks_the_database_as_often_as_one_of_two(
    sign_in: SignIn, banded: None, unified: Account, fund: Account, operator: User, operator2: User, maker: User
) -> None:
    client = sign_in(maker)

    def group(asset: str) -> None:
        for one in (unified, fund):
            held = {"total": "5", "movable": "5", "observed_at": timezone.now()}
            Balance.objects.update_or_create(account=one, asset=asset, defaults=held)
        set_bands({unified: ("1", "2", "3"), fund: ("7", "8", "9")}, operator, operator2, asset=asset)

    def asked() -> int:
        plan = computed(maker)
        client.get(here(plan))
        with CaptureQueriesContext(database) as captured:
            assert client.get(here(plan)).status_code == 200
        return len(captured)

    group("AAA")
    two = asked()
    for number in range(6):
        group(f"B{number}")
    assert asked() == two
    assert two < 35
