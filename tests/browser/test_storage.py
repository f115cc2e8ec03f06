"""A browser keeps nothing of what a page showed: no storage holds a word, and going back asks the server anew."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from treasury.models import Transfer, User

pytestmark = pytest.mark.django_db(transaction=True)

Open = Callable[..., Any]
KEPT = "() => JSON.stringify([{...localStorage}, {...sessionStorage}])"
NOTHING = "[{},{}]"


def test_nothing_is_left_in_any_storage_of_the_browser(
    open_as: Open, drafted: Callable[..., Transfer], maker: User
) -> None:
    transfer = drafted()
    page = open_as(maker, "/transfers/")
    assert page.evaluate(KEPT) == NOTHING
    page.get_by_label("Search").fill(transfer.reference)
    page.get_by_role("button", name="Show").click()
    page.wait_for_url("**/transfers/?*")  # pushed by htmx, which would write it down
    assert page.evaluate(KEPT) == NOTHING
    page.goto(page.url.partition("/transfers/")[0] + "/")
    page.go_back()
    expect(page.get_by_text(transfer.reference).first).to_be_visible()
    assert page.evaluate(KEPT) == NOTHING
    assert page.evaluate("async () => (await indexedDB.databases()).length + (await caches.keys()).length") == 0


def test_scripts_run_by_their_nonce_alone_and_a_strangers_is_reported(page: Any, live_server: Any) -> None:
    page.goto(f"{live_server.url}/sign-in/")
    assert page.evaluate("typeof htmx") == "object"
    with page.expect_request("**/reports/csp/") as reported:
        page.evaluate(
            "() => { const one = document.createElement('a'); one.setAttribute('onclick', 'window.ran = 1');"
            " document.body.append(one); one.click(); }"
        )
    assert "script-src" in (reported.value.post_data or "")
    assert page.evaluate("window.ran") is None
