"""Walk the main journey in a real browser against the running product and keep what it shows: `make screenshots`."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "screens"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync"]


def main() -> None:
    if CHROMIUM is None:
        sys.exit("No Chromium was found on the PATH; install it and run this again.")
    FOLDER.mkdir(parents=True, exist_ok=True)
    address = os.environ["TREASURY_ADDRESS"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        maker = signed_in(browser, address, "maker")
        draft(maker)
        maker.get_by_role("button", name="Submit for approval").click()
        transfer = maker.url
        checker = signed_in(browser, address, "checker")
        checker.get_by_role("link", name="Approvals").first.click()
        keep(checker, "inbox")
        checker.goto(transfer)
        keep(checker, "approval")
        checker.wait_for_timeout(1500)  # whoever decides sooner than anybody reads is refused
        checker.get_by_role("button", name="Approve 12.5 USDT").click()
        checker.get_by_text("Settled").first.wait_for()
        keep(checker, "transfer")
        checker.goto(f"{transfer}why/")
        keep(checker, "why")
        checker.goto(address)
        keep(checker, "overview", whole=False)
        checker.get_by_role("link", name="Connections").click()
        keep(checker, "connections", whole=False)
        rebalance(maker, address)
        govern(browser, address)
        browser.close()
    print(f"kept in {FOLDER.name}/: " + ", ".join(sorted(path.name for path in FOLDER.glob("*.png"))))


def signed_in(browser: Browser, address: str, user: str) -> Page:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(address)
    page.get_by_label("User name").fill(user)
    page.get_by_label("Password").fill("practice")
    page.get_by_role("button", name="Sign in").click()
    return page


def draft(page: Page) -> None:
    page.get_by_role("link", name="New transfer").first.click()
    choose(page, "From", "Unified")
    choose(page, "To", re.compile("^Funding$"))
    page.get_by_label("Asset").fill("USDT")
    page.get_by_label("Amount").fill("12.5")
    page.get_by_label("Reason").fill("Top up the funding account for Friday's payouts")
    keep(page, "draft")
    page.get_by_role("button", name="Save draft").click()


def rebalance(page: Page, address: str) -> None:
    """How far off the practice treasury is, and the plan that mends it."""
    page.goto(f"{address}/rebalancing/")
    keep(page, "rebalancing", whole=False)
    page.get_by_role("button", name="Compute a plan", exact=True).click()
    page.get_by_text("A plan is of its moment").wait_for(timeout=60_000)
    keep(page, "plan", whole=False)


def govern(browser: Browser, address: str) -> None:
    """The policy, a next version of it as a second editor sees it, and the people."""
    editor = signed_in(browser, address, "policy")
    editor.goto(f"{address}/policy/")
    keep(editor, "policy")
    editor.goto(f"{address}/policy/edit/")
    editor.locator("#policy-edit details > summary").first.click()
    editor.get_by_label("At most").first.fill("5000")
    editor.get_by_role("button", name="Check", exact=False).last.click()
    editor.get_by_label("Reason").fill("Less on one person's word until the new desk has settled in")
    editor.get_by_role("button", name="Propose this version").click()
    editor.wait_for_load_state("networkidle")
    second = signed_in(browser, address, "policy2")
    second.goto(f"{address}/changes/")
    keep(second, "change")
    administrator = signed_in(browser, address, "useradmin")
    administrator.goto(f"{address}/people/")
    keep(administrator, "people")


def choose(page: Page, label: str, part: str | re.Pattern[str]) -> None:
    """Choose the first option whose text holds this part, or matches it, as soon as the page offers it."""
    select = page.get_by_label(label, exact=True)
    option = select.locator("option", has_text=part).first
    option.wait_for(state="attached")
    select.select_option(value=option.get_attribute("value"))
    page.wait_for_load_state("networkidle")


def keep(page: Page, name: str, *, whole: bool = True) -> None:
    page.screenshot(path=FOLDER / f"{name}.png", full_page=whole)


if __name__ == "__main__":
    main()
