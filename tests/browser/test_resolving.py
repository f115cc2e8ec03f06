"""An unknown outcome, from the first look at the venue to the end that two people give it, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from tests.browser.test_pages import checked
from tests.web.doubting import contradicted, doubtful
from treasury.controls import stops
from treasury.models import Attachment, Change, Connection, State, StopOrder, Transfer, User
from treasury.transfers import resolve

pytestmark = pytest.mark.django_db(transaction=True)

Open = Callable[..., Any]
Make = Callable[..., Transfer]
CHIP = "article.transfer > .lead .chip"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_an_unknown_outcome_is_settled_by_two_people(
    open_as: Open,
    approved: Make,
    operator: User,
    checker2: User,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    scheme: Any,
) -> None:
    transfer = doubtful(approved(), monkeypatch)
    screen = tmp_path / "screen.txt"
    screen.write_text("12.5 USDT, Unified to Funding: completed")
    here = f"/transfers/{transfer.reference}/"

    page = open_as(operator, here)
    page.emulate_media(color_scheme=scheme)
    expect(page.locator(CHIP)).to_have_text("Outcome unknown")
    assert checked(page, here) == []
    page.get_by_role("radio", name=re.compile("^It moved")).check()
    page.get_by_label("What the venue's screen shows").fill("The history lists it as completed")
    page.get_by_label("The venue's record id").fill("V-77")
    page.get_by_label("Files, if you have any").set_input_files(screen)
    page.get_by_label(f"Type {transfer.reference} to confirm").fill(transfer.reference)
    page.get_by_role("button", name="Propose").click()
    expect(page.get_by_text("You proposed this; someone else must confirm it.")).to_be_visible()
    assert bytes(Attachment.objects.get().content) == screen.read_bytes()
    assert checked(page, here) == []

    page = open_as(checker2, "/changes/")
    page.emulate_media(color_scheme=scheme)
    expect(page.get_by_role("link", name="Changes 1 for you")).to_be_visible()
    assert checked(page, "/changes/") == []
    page.get_by_role("link", name=transfer.reference).click()
    page.get_by_label("Type").fill("TR-1")
    page.get_by_role("button", name="Confirm: it moved").click()
    expect(page.get_by_role("alert")).to_be_focused()
    page.get_by_label("Type").fill(transfer.reference.lower())
    page.get_by_role("button", name="Confirm: it moved").click()
    expect(page.locator(CHIP)).to_have_text("Settled")
    expect(page.get_by_role("heading", name="Resolved by two people")).to_be_visible()
    assert checked(page, here) == []
    with page.expect_download() as download:
        page.get_by_role("link", name="screen.txt").click()
    assert download.value.path().read_bytes() == screen.read_bytes()
    transfer.refresh_from_db()
    assert transfer.state == State.SETTLED


def test_what_was_chosen_survives_the_polls(
    open_as: Open, approved: Make, operator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    transfer = doubtful(approved(), monkeypatch)
    page = open_as(operator, f"/transfers/{transfer.reference}/")
    page.get_by_role("radio", name=re.compile("^It did not")).check()
    page.locator("main").focus()
    page.wait_for_timeout(5_000)  # two polls of the card
    expect(page.get_by_role("radio", name=re.compile("^It did not"))).to_be_checked()


def test_what_was_typed_survives_a_refusal_and_the_polls_after_it(
    open_as: Open, approved: Make, operator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    transfer = doubtful(approved(), monkeypatch)
    page = open_as(operator, f"/transfers/{transfer.reference}/")
    page.get_by_role("radio", name=re.compile("^It moved")).check()
    page.get_by_label("What the venue's screen shows").fill("The history lists it as completed")
    page.get_by_label("The venue's record id").fill("V-77")
    page.get_by_label(f"Type {transfer.reference} to confirm").fill("TR-1")
    page.get_by_role("button", name="Propose").click()
    expect(page.get_by_role("alert")).to_contain_text(f"Type {transfer.reference} to confirm")
    page.locator("main").focus()
    page.wait_for_timeout(5_000)  # two polls of the card
    expect(page.get_by_role("alert")).to_contain_text("reload the page to see it as it is now")
    expect(page.get_by_role("alert")).to_have_text(re.compile("^(?!.*reload.*reload)", re.DOTALL))
    expect(page.get_by_label("What the venue's screen shows")).to_have_value("The history lists it as completed")
    expect(page.get_by_label("The venue's record id")).to_have_value("V-77")
    expect(page.get_by_role("radio", name=re.compile("^It moved"))).to_be_checked()
    page.get_by_label(f"Type {transfer.reference} to confirm").fill(transfer.reference)
    page.get_by_role("button", name="Propose").click()
    expect(page.get_by_text("You proposed this; someone else must confirm it.")).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)


def test_a_chosen_file_survives_the_polls(
    open_as: Open, approved: Make, operator: User, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    screen = tmp_path / "screen.txt"
    screen.write_text("completed")
    transfer = doubtful(approved(), monkeypatch)
    page = open_as(operator, f"/transfers/{transfer.reference}/")
    page.get_by_label("Files, if you have any").set_input_files(screen)
    page.locator("main").focus()
    page.wait_for_timeout(5_000)  # two polls of the card
    assert page.get_by_label("Files, if you have any").evaluate("box => box.files.length") == 1


def test_a_stop_is_made_on_one_page_and_released_on_another(
    open_as: Open, connection: Connection, operator: User, operator2: User
) -> None:
    page = open_as(operator, "/stops/")
    page.get_by_label("What must stop").select_option("venue:bybit")
    page.get_by_label("Why it must stop").fill("Their notice")
    page.get_by_role("button", name="Stop…").click()
    expect(page.get_by_role("heading", name="Stop everything at Bybit?")).to_be_visible()
    assert not StopOrder.objects.exists()
    page.get_by_role("button", name="Stop sending now").dblclick()
    expect(page.get_by_text("Everything at Bybit is stopped").first).to_be_visible()
    page.get_by_label("Why it may go on").fill("Over")
    page.get_by_role("button", name="Propose release").click()
    expect(page.get_by_text("You proposed this")).to_be_visible()
    page.get_by_role("button", name="Withdraw").click()
    expect(page.get_by_text("Withdrawn. Nothing was changed; you may propose anew.")).to_be_visible()
    page.get_by_label("Why it may go on").fill("Over, I am sure")
    page.get_by_role("button", name="Propose release").click()
    expect(page.get_by_text("You proposed this")).to_be_visible()
    expect(page.get_by_text("Withdrawn. Nothing was changed")).to_have_count(0)
    page = open_as(operator2, "/stops/")
    page.get_by_role("button", name="Confirm: release the stop").click()
    expect(page.get_by_text("No stop order stands.")).to_be_visible()
    assert StopOrder.objects.get().released_at is not None


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 320])
def test_every_page_about_doubt_is_accessible_and_fits(
    open_as: Open,
    live_server: Any,
    approved: Make,
    operator: User,
    operator2: User,
    checker2: User,
    monkeypatch: pytest.MonkeyPatch,
    scheme: Any,
    width: int,
) -> None:
    against = contradicted(approved())
    transfer = doubtful(approved(), monkeypatch)
    at = timezone.now()
    said = {"moved": True, "reason": "Seen", "typed": transfer.reference}
    resolve.propose(reference=transfer.reference, by=operator, at=at, **said)
    order = stops.stop(everything=True, reason="Drill", by=operator, at=at)
    stops.propose_release(stop_order_id=order.pk, by=operator, reason="Over", at=at)
    assert Change.objects.filter(ruling=None).count() == 2
    here = [f"/transfers/{one.reference}/" for one in (transfer, against.transfer)]
    problems: list[str] = []
    for person, paths in {operator: ["/stops/", *here], operator2: ["/stops/"], checker2: ["/changes/", *here]}.items():
        page = open_as(person)
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 800})
        for path in paths:
            page.goto(live_server.url + path)
            problems += checked(page, path)
    assert not problems, "\n".join(problems)
