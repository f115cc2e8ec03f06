"""From a drift that one sees to every account inside its band, by hand; and the pages accessible and narrow."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from connectors.simulators.core import Simulator
from tests.browser.test_pages import checked
from tests.web.banded import set_bands
from treasury.balances import movements
from treasury.balances.refresh import refresh
from treasury.models import (
    Account,
    Balance,
    Connection,
    ConnectionHealth,
    Origin,
    Plan,
    PlanState,
    State,
    Transfer,
    User,
)
from treasury.rebalancing import on_its_way
from treasury.rebalancing import plan as planning
from treasury.transfers import dispatch

pytestmark = pytest.mark.django_db(transaction=True)

Open = Callable[..., Any]
ROW = "tr:has(th:has-text('{}'))"


@pytest.fixture
def banded(unified: Account, fund: Account, operator: User, operator2: User) -> None:
    """Of 1000 USDT each, the one is 500 above its maximum, the other 200 below its minimum."""
    set_bands({unified: ("100", "300", "500"), fund: ("1200", "1500", "2000")}, operator, operator2)


@pytest.fixture
def no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reading just after a transfer settled would say nothing for some seconds; here clocks are one."""
    for room in (movements, on_its_way):
        monkeypatch.setattr(room, "CALM", timedelta(0))


def test_from_drift_to_every_account_inside_its_band(
    open_as: Open,
    banded: None,
    no_wait: None,
    connection: Connection,
    venue: Simulator,
    maker: User,
    checker: User,
) -> None:
    Balance.objects.update(observed_at=timezone.now() - timedelta(hours=2))
    page = open_as(maker, "/rebalancing/")
    expect(page.get_by_text("1 group cannot be judged: balances are stale")).to_be_visible()
    page.get_by_role("button", name="Read the balances again", exact=True).click()
    expect(page.get_by_role("button", name="Reading balances…")).to_be_disabled()
    page.locator("main").focus()
    refresh(connection=connection, at=timezone.now())
    expect(page.get_by_text("2 of 2 accounts are outside their bands, over 1 venue.")).to_be_visible(timeout=12_000)
    expect(page.locator(ROW.format("Unified Trading")).first).to_contain_text("500 above its maximum")
    expect(page.locator(ROW.format("Funding")).first).to_contain_text("200 below its minimum")

    page.get_by_role("button", name="Compute a plan", exact=True).click()
    expect(page.get_by_role("heading", name="Waiting for the planner")).to_be_visible()
    plan = Plan.objects.get()
    page.locator("main").focus()
    planning.compute(plan_id=plan.pk, at=timezone.now())
    expect(page.get_by_text("1 transfer brings 2 accounts inside their bands.")).to_be_visible(timeout=12_000)
    expect(page.get_by_text("Proven fewest").first).to_be_visible()

    amount = page.get_by_label("Amount of transfer 1 in USDT")
    expect(amount).to_have_value("500")
    amount.fill("1100")
    page.get_by_role("button", name="Check these amounts").click()
    expect(page.get_by_text("Unified Trading would hold −100: 200 below its minimum.")).to_be_visible()
    page.get_by_label("Amount of transfer 1 in USDT").fill("600")
    page.get_by_label("Reason").fill("Friday's payouts")
    page.get_by_role("button", name="Draft these transfers").click()
    expect(page.get_by_role("heading", name="Submit for approval")).to_be_visible()
    transfer = Transfer.objects.get()
    page.get_by_role("button", name="Submit it for approval").click()
    expect(page.locator(".moves .chip")).to_have_text("Waiting for approval")

    page = open_as(checker, "/approvals/")
    page.get_by_role("link", name=transfer.reference, exact=True).click()
    page.get_by_role("button", name="Approve 600 USDT").click()
    expect(page.locator("article .chip")).to_have_text("Approved")

    page = open_as(maker, f"/plans/{plan.reference}/")
    expect(page.locator(".moves .chip")).to_have_text("Approved")
    page.locator("main").focus()
    dispatch.dispatch(reference=transfer.reference, now=timezone.now)
    expect(page.locator(".moves .chip")).to_have_text("Settled", timeout=12_000)
    transfer.refresh_from_db()
    assert transfer.state == State.SETTLED
    assert len(venue.effects(transfer.key)) == 1

    refresh(connection=connection, at=timezone.now())
    page.get_by_role("link", name="How it stands now").click()
    expect(page.get_by_text("All 2 accounts are inside their bands, over 1 venue.")).to_be_visible()
    expect(page.locator(ROW.format("Funding")).first).to_contain_text(re.compile("Inside its band"))


def test_what_if_shows_a_plan_and_creates_nothing(
    open_as: Open, banded: None, unified: Account, checker: User, maker: User
) -> None:
    page = open_as(checker, "/rebalancing/")
    page.get_by_role("link", name="What if…").click()
    page.get_by_label("Holds of Unified Trading").fill("400")
    page.get_by_label("Target of Unified Trading").fill("50")
    page.get_by_role("button", name="Reckon").click()
    expect(page.get_by_role("alert")).to_be_focused()
    expect(page.get_by_text("The target is at least the minimum.")).to_be_visible()
    page.get_by_label("Target of Unified Trading").fill("300")
    page.get_by_role("button", name="Reckon").click()
    expect(page.get_by_text("Supposed, not so.")).to_be_visible()
    planning.compute(plan_id=Plan.objects.get().pk, at=timezone.now())
    expect(page.get_by_text("1 of checkers")).to_be_visible(timeout=12_000)
    expect(page.get_by_role("button", name=re.compile("Draft"))).to_have_count(0)
    assert not Transfer.objects.exists()
    page.get_by_role("link", name="Suppose something else").click()
    expect(page.get_by_label("Holds of Unified Trading")).to_have_value("400")


@pytest.mark.parametrize("width", [1280, 320])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_pages_are_accessible_and_fit(
    open_as: Open,
    live_server: Any,
    scheme: Any,
    width: int,
    banded: None,
    connection: Connection,
    unified: Account,
    fund: Account,
    operator: User,
    operator2: User,
    submitted: Callable[..., Transfer],
    maker: User,
    auditor: User,
) -> None:
    """With what is rare in it: no maximum, a number of 18 decimals, one that is not readable, one on its way."""
    at = timezone.now()
    for one, total in ((unified, None), (fund, "123456789012.123456789012345678")):
        said = {"total": total, "movable": total, "observed_at": at, "problem": "" if total else "the venue said no"}
        Balance.objects.update_or_create(account=one, asset="LONG", defaults=said)
    set_bands({unified: ("1", "2", ""), fund: ("1", "2", "3")}, operator, operator2, asset="LONG")
    waits = planning.ask(by=maker, at=at, connection=connection, asset="LONG")
    ready = planning.ask(by=maker, at=at)
    planning.compute(plan_id=ready.pk, at=at)
    supposed = {"balances": [{"account": unified.pk, "asset": "USDT", "total": "5000"}]}
    what_if = planning.ask(
        by=maker, at=at, origin=Origin.WHAT_IF, connection=connection, asset="USDT", overrides=supposed
    )
    planning.compute(plan_id=what_if.pk, at=at)
    submitted(amount="12.5")
    ConnectionHealth.objects.update(problem="The venue said no.")
    assert set(Plan.objects.values_list("state", flat=True)) == {PlanState.READY, PlanState.WAITING}
    plans = [f"/plans/{one.reference}/" for one in (waits, ready, what_if)]
    what = f"/rebalancing/what-if/?connection={connection.pk}&asset=USDT"
    problems: list[str] = []
    for person, paths in {
        maker: ["/rebalancing/", "/plans/", *plans, what],
        auditor: ["/rebalancing/", plans[1]],
    }.items():
        page = open_as(person)
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 800})
        for path in paths:
            page.goto(live_server.url + path)
            for one in page.locator("details").all():
                one.evaluate("one => one.open = true")
            problems += checked(page, path)
    assert not problems, "\n".join(problems)


def test_on_a_narrow_screen_no_number_is_cut(open_as: Open, banded: None, maker: User) -> None:
    page = open_as(maker)
    page.set_viewport_size({"width": 320, "height": 800})
    page.goto(page.url.rstrip("/") + "/rebalancing/")
    cut = """() => [...document.querySelectorAll(".scroll:has(.rows)")].filter(
        (box) => box.scrollWidth > box.clientWidth).map((box) => box.textContent.trim().slice(0, 40))"""
    assert page.evaluate(cut) == []
    bar = page.locator("svg.band-bar").first.bounding_box()
    assert bar["width"] > 200
    expect(page.locator(".band-bar").first).to_be_visible()
