"""Bands in a real browser: checked, proposed and confirmed by clicks; and accessible in both colour schemes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from tests.browser.test_narrow import BROKEN, CUT, narrow
from tests.browser.test_pages import checked
from treasury.controls import bands
from treasury.controls.wanted import Wanted
from treasury.models import Account, Band, Change, User

pytestmark = pytest.mark.django_db(transaction=True)

Open = Callable[..., Any]
TEXT = "connection,account,asset,minimum,target\nBybit main,FUND,ETH,1,1"


def test_a_band_is_checked_proposed_and_confirmed(
    open_as: Open, unified: Account, fund: Account, maker: User, checker: User
) -> None:
    page = open_as(maker, "/bands/")
    page.get_by_label("Connection").select_option(label="Bybit main")
    page.get_by_role("textbox", name="Asset").fill("USDT")
    page.get_by_role("button", name="Go on").click()
    funding = page.get_by_role("group", name="Funding")
    funding.get_by_label("Minimum").fill("2500")
    funding.get_by_label("Target").fill("2600")
    page.get_by_role("button", name="Check").click()
    expect(page.get_by_role("status")).to_contain_text("they cannot all be met")
    assert not Change.objects.filter(kind="bands.set").exists()
    funding.get_by_label("Minimum").fill("100")
    page.get_by_role("textbox", name="Reason").fill("A floor for Friday")
    page.get_by_role("button", name="Propose").dblclick()
    expect(page.get_by_text("You proposed this; someone else must confirm it.")).to_be_visible()
    assert Change.objects.filter(kind="bands.set").count() == 1
    page = open_as(checker, "/changes/")
    confirm = page.get_by_role("button", name="Confirm: set these bands")
    confirm.click()
    expect(confirm).to_have_count(0)  # other changes were applied before: their "Applied" stands there already
    assert Band.objects.get().minimum == 100


def test_a_file_is_looked_at_and_then_proposed(
    open_as: Open, unified: Account, fund: Account, maker: User, tmp_path: Any
) -> None:
    file = tmp_path / "bands.csv"
    file.write_text("connection;account;asset;minimum;target\r\nBybit main;FUND;USDT;1;2\r\n")
    page = open_as(maker, "/bands/import/")
    page.locator("#import-file").set_input_files(file)
    page.get_by_role("button", name="See what would change").click()
    expect(page.get_by_text("1 new, 0 changed")).to_be_visible()
    page.get_by_role("textbox", name="Reason").fill("As agreed")
    page.get_by_role("button", name="Propose these").click()
    expect(page.get_by_role("heading", name="Proposed")).to_be_visible()
    assert Change.objects.filter(kind="bands.set").count() == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 320])
def test_its_pages_are_accessible_and_fit(
    open_as: Open,
    live_server: Any,
    scheme: Any,
    width: int,
    unified: Account,
    fund: Account,
    maker: User,
    checker: User,
) -> None:
    at = timezone.now()
    said = [
        Wanted(account=fund, asset="USDT", minimum="20", target="30.5", maximum="99.999999", unit="share", floor="7"),
        Wanted(account=unified, asset="USDT", minimum="123456789.12345678", target="123456789.12345678"),
    ]
    change = bands.propose(bands=said, reason="As agreed", by=maker, at=at)
    bands.confirm(change_id=change.pk, by=checker, digest=change.digest, at=at)
    bands.propose(bands=[Wanted(account=fund, asset="USDT", removed=True)], reason="No longer", by=maker, at=at)
    page = open_as(maker)
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 800})
    group = f"/bands/edit/?connection={fund.connection_id}&asset=USDT"
    problems: list[str] = []
    for path in ("/bands/", "/bands/edit/", group, "/bands/import/", f"/bands/changes/{change.pk}/"):
        page.goto(live_server.url + path)
        problems += checked(page, path)
    page.goto(live_server.url + group)
    page.get_by_label("Minimum").first.fill("1,5")
    page.get_by_role("button", name="Check").click()
    expect(page.get_by_role("alert")).to_be_focused()
    problems += checked(page, "a mistake")
    page.goto(live_server.url + "/bands/import/")
    page.get_by_role("textbox", name="Or its text").fill(
        "connection,account,asset,minimum,target\nBybit main,FUND,ETH,1,1"
    )
    page.get_by_role("button", name="See what would change").click()
    page.get_by_role("heading", name="What would change").wait_for()
    problems += checked(page, "a preview")
    assert not problems, "\n".join(problems)


def test_rows_are_not_cut_on_a_phone(
    open_as: Open, unified: Account, fund: Account, maker: User, checker: User
) -> None:
    at, wide = timezone.now(), "9999999.12345678"
    said = [Wanted(account=unified, asset="USDT", minimum=wide, target=wide, maximum=wide, floor=wide, largest=wide)]
    change = bands.propose(bands=said, reason="As agreed", by=maker, at=at)
    bands.confirm(change_id=change.pk, by=checker, digest=change.digest, at=at)
    page = narrow(open_as, maker, "/bands/")
    assert page.locator(".rows").count() == 1
    assert page.evaluate(CUT) == page.evaluate(BROKEN) == []
