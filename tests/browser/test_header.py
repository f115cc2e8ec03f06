"""The header keeps itself up to date, takes nobody's focus, and says when nobody answers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from treasury.audit.record import Machine
from treasury.controls import heartbeats, stops
from treasury.models import Heartbeat, User

pytestmark = pytest.mark.django_db(transaction=True)

Open = Callable[..., Any]
SILENT = "Nothing is being sent: the sender stopped at"


@pytest.fixture(autouse=True)
def _everything_runs(transactional_db: None) -> None:
    for name in heartbeats.PARTS:
        heartbeats.beat(name, timezone.now())


@pytest.fixture
def hurried(page: Any) -> Iterator[Any]:
    """The page's own clock runs when the test says so."""
    page.clock.install()
    return page


def silence() -> None:
    Heartbeat.objects.filter(name=heartbeats.SENDS).update(at=timezone.now() - timedelta(hours=1))


def wait(page: Any, seconds: float = 16) -> None:
    page.clock.run_for(int(seconds * 1000))


def test_a_banner_comes_and_goes_without_a_reload(hurried: Any, open_as: Open, maker: User) -> None:
    page = open_as(maker)
    expect(page.get_by_text(SILENT)).to_have_count(0)
    silence()
    wait(page)
    expect(page.get_by_text(SILENT)).to_be_visible()
    stops.stop(everything=True, reason="Drill", by=Machine("tests"), at=timezone.now())
    wait(page)
    expect(page.get_by_text("Everything is stopped.")).to_be_visible()
    heartbeats.beat(heartbeats.SENDS, timezone.now())
    wait(page)
    expect(page.get_by_text(SILENT)).to_have_count(0)
    expect(page.get_by_text("Everything is stopped.")).to_be_visible()
    expect(page.get_by_role("link", name="Overview")).to_have_attribute("aria-current", "page")


def test_on_another_page_the_header_stays_that_pages(hurried: Any, open_as: Open, maker: User) -> None:
    page = open_as(maker, "/transfers/")
    silence()
    wait(page)
    expect(page.get_by_text(SILENT)).to_be_visible()
    expect(page.get_by_role("link", name="Transfers", exact=True)).to_have_attribute("aria-current", "page")


def test_focus_in_the_header_is_never_taken(hurried: Any, open_as: Open, maker: User) -> None:
    page = open_as(maker)
    button = page.get_by_role("button", name="Sign out")
    button.focus()
    silence()
    wait(page)
    page.wait_for_timeout(500)  # for an answer, were one asked for
    expect(button).to_be_focused()
    expect(page.get_by_text(SILENT)).to_have_count(0)
    page.get_by_role("heading", name="Overview").focus()
    wait(page)
    expect(page.get_by_text(SILENT)).to_be_visible()


def test_an_answer_on_its_way_does_not_take_the_focus_either(hurried: Any, open_as: Open, maker: User) -> None:
    page = open_as(maker)
    button = page.get_by_role("button", name="Sign out")

    def late(route: Any) -> None:
        answer = route.fetch()
        button.evaluate("button => button.focus()")
        route.fulfill(response=answer)

    page.route("**/house/", late)
    silence()
    with page.expect_response("**/house/"):
        wait(page)
    page.wait_for_timeout(200)
    expect(button).to_be_focused()


def test_what_is_typed_elsewhere_stays_and_the_banner_comes(
    hurried: Any, open_as: Open, maker: User, unified: Any
) -> None:
    page = open_as(maker, "/transfers/new/")
    page.get_by_label("Reason").fill("Top up")
    silence()
    wait(page)
    expect(page.get_by_text(SILENT)).to_be_visible()
    expect(page.get_by_label("Reason")).to_have_value("Top up")
    expect(page.get_by_label("Reason")).to_be_focused()


def test_a_session_that_ended_takes_no_typed_word_away(hurried: Any, open_as: Open, maker: User, unified: Any) -> None:
    page = open_as(maker, "/transfers/new/")
    page.get_by_label("Reason").fill("Top up")
    page.context.clear_cookies(name="sessionid")
    with page.expect_response("**/house/"):
        wait(page)
    page.wait_for_timeout(300)
    expect(page.get_by_label("Reason")).to_have_value("Top up")


def test_pause_holds_the_header_too(hurried: Any, open_as: Open, approved: Any, maker: User) -> None:
    page = open_as(maker, f"/transfers/{approved().reference}/")
    page.get_by_role("button", name="Pause live updates").click()
    silence()
    wait(page, 40)
    page.wait_for_timeout(500)
    expect(page.get_by_text(SILENT)).to_have_count(0)
    page.get_by_role("button", name="Resume live updates").click()
    wait(page)
    expect(page.get_by_text(SILENT)).to_be_visible()


def test_when_nobody_answers_the_page_says_so_until_somebody_does(page: Any, live_server: Any, maker: User) -> None:
    page.goto(f"{live_server.url}/sign-in/")
    page.clock.install()
    page.get_by_label("User name").fill(maker.username)
    page.get_by_label("Password").fill("practice")
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{live_server.url}/")
    page.context.set_offline(True)
    wait(page)
    told = page.get_by_text("No answer from Treasury since")
    expect(told).to_be_visible()
    wait(page, 35)
    expect(told).to_have_count(1)
    page.context.set_offline(False)
    wait(page)
    expect(told).to_have_count(0)


def test_a_page_that_is_looked_at_again_is_asked_for_at_once(hurried: Any, open_as: Open, maker: User) -> None:
    page = open_as(maker)
    silence()
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.get_by_text(SILENT)).to_be_visible()


def test_a_late_answer_to_what_a_step_has_swapped_away_finds_no_header_to_miss(
    hurried: Any, open_as: Open, submitted: Any, checker: User
) -> None:
    """The console stays silent (``quiet_page``), and what the step said stays."""
    transfer, held = submitted(), []
    page = open_as(checker, f"/transfers/{transfer.reference}/")
    page.route("**/live/", lambda route: held.append(route))
    wait(page)
    page.wait_for_timeout(300)
    assert len(held) == 1
    page.get_by_role("button", name=re.compile("^Approve")).click()
    expect(page.get_by_role("button", name=re.compile("^Approve"))).to_have_count(0)
    with page.expect_response("**/live/"):
        held[0].continue_()
    page.wait_for_timeout(300)
    expect(page.locator("#house")).to_have_count(1)


def test_no_poll_takes_a_region_away_while_a_step_in_it_is_under_way(
    hurried: Any, open_as: Open, submitted: Any, checker: User
) -> None:
    transfer, held = submitted(), []
    page = open_as(checker, f"/transfers/{transfer.reference}/")
    page.route("**/approve/", lambda route: held.append(route))
    page.get_by_role("button", name=re.compile("^Approve")).click()
    page.evaluate("document.activeElement.blur()")
    page.locator("article.transfer").evaluate("one => { one.dataset.before = 'step'; }")
    wait(page)
    page.wait_for_timeout(500)
    assert len(held) == 1
    expect(page.locator("article.transfer")).to_have_attribute("data-before", "step")
    held[0].continue_()
    expect(page.get_by_role("button", name=re.compile("^Approve"))).to_have_count(0)
