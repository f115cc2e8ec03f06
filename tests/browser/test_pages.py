"""The words on the controls, the main journey by hand, and accessibility in both colour schemes."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.utils import timezone
from playwright.sync_api import expect

from connectors.simulators.core import Simulator
from treasury.balances.refresh import NotRead, refresh
from treasury.controls import stops
from treasury.models import Account, Connection, Decision, State, Transfer, User
from treasury.transfers import cancel as cancelling

pytestmark = pytest.mark.django_db(transaction=True)

Open = Callable[..., Any]
Make = Callable[..., Transfer]
CHIP = "article .chip"


def test_from_a_draft_to_an_approval(
    open_as: Open, maker: User, checker: User, unified: Account, fund: Account
) -> None:
    page = open_as(maker)
    page.get_by_role("link", name="New transfer").click()
    page.get_by_label("From").select_option(str(unified.pk))
    page.get_by_label("To").select_option(str(fund.pk))
    page.get_by_label("Asset").fill("USDT")
    page.get_by_label("Amount").fill("12.5")
    page.get_by_label("Reason").fill("Top up")
    page.get_by_role("button", name="Save draft").click()
    expect(page.locator(CHIP)).to_have_text("Draft")
    page.get_by_role("button", name="Submit for approval").click()
    expect(page.locator(CHIP)).to_have_text("Waiting for approval")
    transfer = Transfer.objects.get()

    page = open_as(checker, "/approvals/")
    page.get_by_role("link", name=transfer.reference, exact=True).click()
    page.get_by_role("button", name="Approve 12.5 USDT").click()
    expect(page.locator(CHIP)).to_have_text("Approved")
    expect(page.get_by_text("Approvals: 1 of 1")).to_be_visible()
    transfer.refresh_from_db()
    assert transfer.state == State.APPROVED


def test_a_mistake_keeps_what_was_typed_and_takes_the_eye_to_the_sentence(
    open_as: Open, maker: User, unified: Account, fund: Account
) -> None:
    page = open_as(maker, "/transfers/new/")
    page.get_by_label("From").select_option(str(unified.pk))
    page.get_by_label("To", exact=True).select_option(str(fund.pk))
    page.get_by_label("Asset").fill("USDT")
    page.get_by_label("Amount").fill("1e3")
    page.get_by_label("Reason").fill("Top up")
    page.get_by_role("button", name="Save draft").click()
    expect(page.get_by_role("alert")).to_be_focused()
    expect(page.get_by_role("alert")).to_contain_text("without an exponent")
    assert page.get_by_label("Amount").input_value() == "1e3"
    assert not Transfer.objects.exists()


def test_rejecting_needs_the_reason(open_as: Open, submitted: Make, checker: User) -> None:
    transfer = submitted()
    page = open_as(checker, f"/transfers/{transfer.reference}/")
    page.get_by_role("button", name="Reject").click()
    expect(page.locator(CHIP)).to_have_text("Waiting for approval")
    page.get_by_label("Reason for rejection").fill("Wrong month")
    page.get_by_role("button", name="Reject").click()
    expect(page.locator(CHIP)).to_have_text("Rejected")


def test_a_maker_reads_the_sentence_in_place_of_the_buttons(open_as: Open, submitted: Make, maker: User) -> None:
    page = open_as(maker, f"/transfers/{submitted().reference}/")
    expect(page.get_by_text("You drafted this; someone else must approve.")).to_be_visible()
    expect(page.get_by_role("button", name=re.compile("Approve|Reject"))).to_have_count(0)
    page.get_by_role("button", name="Cancel transfer").click()
    expect(page.locator(CHIP)).to_have_text("Cancelled")
    page.get_by_role("button", name="Draft again").click()
    expect(page.locator(CHIP)).to_have_text("Draft")


def test_a_double_click_approves_once(open_as: Open, submitted: Make, checker: User) -> None:
    transfer = submitted()
    page = open_as(checker, f"/transfers/{transfer.reference}/")
    page.get_by_role("button", name="Approve 12.5 USDT").dblclick()
    expect(page.get_by_text("Approvals: 1 of 1")).to_be_visible()
    assert Decision.objects.count() == 1


def test_a_poll_shows_the_next_state_and_leaves_open_what_was_opened(
    open_as: Open, approved: Make, maker: User
) -> None:
    transfer = approved()
    page = open_as(maker, f"/transfers/{transfer.reference}/")
    page.locator("details.digest summary").click()
    page.locator("main").focus()
    expect(page.get_by_role("button", name="Pause live updates")).to_be_visible()
    cancelling.cancel(reference=transfer.reference, by=maker, at=timezone.now())
    expect(page.locator(CHIP)).to_have_text("Cancelled", timeout=12_000)
    expect(page.locator("details.digest .whole")).to_be_visible()
    expect(page.get_by_role("button", name="Pause live updates")).to_be_hidden()


def test_a_session_that_has_ended_leads_to_sign_in_and_back(open_as: Open, submitted: Make, checker: User) -> None:
    transfer = submitted()
    page = open_as(checker, f"/transfers/{transfer.reference}/")
    page.context.clear_cookies(name="sessionid")
    page.get_by_role("button", name="Approve 12.5 USDT").click()
    expect(page.get_by_text("so nothing was done")).to_be_visible()
    page.get_by_label("User name").fill("checker")
    page.get_by_label("Password").fill("practice")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("button", name="Approve 12.5 USDT")).to_be_visible()
    assert not Decision.objects.exists()


def test_every_form_works_without_javascript(browser: Any, live_server: Any, submitted: Make, checker: User) -> None:
    transfer = submitted()
    page = browser.new_context(java_script_enabled=False).new_page()
    page.goto(f"{live_server.url}/transfers/{transfer.reference}/")
    page.get_by_label("User name").fill("checker")
    page.get_by_label("Password").fill("practice")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name="Approve 12.5 USDT").click()
    expect(page.locator(CHIP)).to_have_text("Approved")


def test_filters_follow_the_choice_and_stay_in_the_address(open_as: Open, drafted: Make, maker: User) -> None:
    transfer = drafted()
    page = open_as(maker, "/transfers/")
    page.get_by_label("State").select_option("settled")
    expect(page.get_by_text("No transfer is like this.")).to_be_visible()
    assert "state=settled" in page.url
    page.go_back()
    expect(page.get_by_role("link", name=transfer.reference)).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 320])
def test_every_page_is_accessible_and_fits(
    open_as: Open,
    live_server: Any,
    scheme: Any,
    width: int,
    drafted: Make,
    submitted: Make,
    approved: Make,
    connection: Connection,
    maker: User,
    checker: User,
    auditor: User,
    operator: User,
) -> None:
    draft, waiting, ready = drafted(amount="100000.00000001"), submitted(), approved()
    Transfer.objects.filter(pk=ready.pk).update(held="a stop order stands on Bybit main: Maintenance")
    cancelled = submitted()
    cancelling.cancel(reference=cancelled.reference, by=maker, at=timezone.now())
    stops.stop(connection=connection, reason="Maintenance", by=operator, at=timezone.now())
    visits: dict[User, list[str]] = {
        maker: ["/", "/transfers/", "/transfers/new/", f"/transfers/{draft.reference}/", "/sign-in/nowhere/"],
        checker: ["/approvals/", f"/transfers/{waiting.reference}/", f"/transfers/{ready.reference}/"],
        operator: ["/", "/connections/", "/prices/", "/prices/import/"],
        auditor: ["/audit/", f"/transfers/{cancelled.reference}/"],
    }
    problems: list[str] = []
    for person, paths in visits.items():
        page = open_as(person)
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 800})
        for path in paths:
            page.goto(live_server.url + path)
            problems += checked(page, path)
    page.context.clear_cookies()
    page.goto(f"{live_server.url}/sign-in/")
    problems += checked(page, "/sign-in/")
    assert not problems, "\n".join(problems)


def checked(page: Any, path: str) -> list[str]:
    found = Axe().run(page)
    wider = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return [
        *(f"{path}: {one['id']}: {one['nodes'][0]['html'][:200]}" for one in found.response["violations"]),
        *([f"{path}: {wider} px too wide"] if wider > 0 else []),
    ]


def test_a_stop_that_was_typed_and_sent_shows_at_once(open_as: Open, approved: Make, operator: User) -> None:
    """While something is in flight the overview polls; the answer to a form must not be taken for a poll's."""
    transfer = approved()
    page = open_as(operator)
    page.locator(f"#stop-connection-{transfer.connection_id} summary").click()
    page.get_by_label("Why it must stop").fill("Key rotation")
    page.get_by_role("button", name="Stop sending").click()
    expect(page.get_by_text("Bybit main is stopped.").first).to_be_visible()
    page.get_by_role("link", name="Release it, or read more").click()
    page.get_by_label("Why it may go on").fill("Rotated")
    page.get_by_role("button", name="Propose release").click()
    expect(page.get_by_text("You proposed this; someone else must confirm it.")).to_be_visible()


def test_from_decides_what_to_offers_and_keeps_what_was_typed(
    open_as: Open, maker: User, unified: Account, fund: Account
) -> None:
    page = open_as(maker, "/transfers/new/")
    page.get_by_label("Reason").fill("Top up")
    page.get_by_label("Amount").fill("12.5")
    page.get_by_label("From").select_option(str(unified.pk))
    to = page.get_by_label("To", exact=True)
    expect(to.locator("option")).to_have_count(2)
    expect(page.locator("#draft-limits")).to_contain_text("Movable of Unified Trading")
    to.select_option(str(fund.pk))
    page.get_by_label("Asset").fill("USDT")
    page.get_by_label("Reason").focus()
    expect(page.locator("#draft-limits")).to_contain_text("1\u202f000 USDT of Unified Trading can be moved")
    expect(to).to_have_value(str(fund.pk))
    expect(page.get_by_label("Amount")).to_have_value("12.5")
    expect(page.get_by_label("Reason")).to_have_value("Top up")
    assert not [one["id"] for one in Axe().run(page).response["violations"]]


def test_a_connection_is_tested_and_answers_on_the_page(
    open_as: Open, connection: Connection, venue: Simulator, checker: User
) -> None:
    page = open_as(checker, "/connections/")
    page.get_by_role("button", name="Test connection").click()
    expect(page.get_by_role("button", name="Testing…")).to_be_disabled()
    venue.fault("banned", times=None)
    with pytest.raises(NotRead):
        refresh(connection=connection, at=timezone.now())
    expect(page.locator(".chip")).to_have_text("Could not be read")
    page.get_by_role("button", name="Test connection").click()
    expect(page.get_by_role("button", name="Testing…")).to_be_disabled()
    venue.clear()
    refresh(connection=connection, at=timezone.now())
    expect(page.get_by_role("button", name="Test connection")).to_be_enabled()
    expect(page.locator(".chip")).to_have_text("Healthy")
