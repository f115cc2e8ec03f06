"""Connecting a venue by hand, the form that waits for a venue's answer, and both accessible and narrow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from connectors.simulators.core import Simulator
from tests.browser.test_pages import checked
from treasury.balances import routes
from treasury.controls import connections, first_looks
from treasury.models import Account, Change, Connection, ConnectionHealth, Route, User

pytestmark = pytest.mark.django_db(transaction=True)

Open = Callable[..., Any]


def test_two_operators_connect_a_venue_by_hand(
    open_as: Open, operator: User, operator2: User, venue: Simulator
) -> None:
    page = open_as(operator, "/connections/")
    page.get_by_role("link", name="Connect a venue").click()
    page.get_by_role("link", name="Bybit").click()
    page.get_by_label("Name").fill("Bybit two")
    page.get_by_label("API key").fill(venue.credentials["api_key"])
    page.get_by_label("API secret").fill(venue.credentials["api_secret"])
    page.get_by_label("Reason").fill("A second desk")
    page.get_by_role("button", name="Propose to connect").click()
    expect(page.get_by_text("the venue is being asked whose login it is")).to_be_visible()
    change = Change.objects.get(kind="connection.connect")

    page = open_as(operator2, "/connections/")
    first_looks.look(change_id=change.pk, at=timezone.now())
    expect(page.get_by_text("The key may read and write.")).to_be_visible()  # by itself: the part polls
    page.get_by_role("link", name="Confirm or decline it").click()
    page.get_by_role("button", name="Confirm: connect it").click()
    expect(page.get_by_role("button", name="Confirm: connect it")).to_have_count(0)
    page.goto(page.url.partition("/changes")[0] + "/connections/")
    expect(page.get_by_role("heading", name="Bybit two", exact=True)).to_be_visible()
    assert Connection.objects.get().name == "Bybit two"


def test_the_draft_form_learns_what_moves_while_somebody_types(
    open_as: Open, maker: User, unified: Account, fund: Account
) -> None:
    page = open_as(maker, "/transfers/new/")
    page.get_by_label("From").select_option(str(unified.pk))
    expect(page.locator("#draft-limits")).to_contain_text("Movable of Unified Trading")
    page.get_by_label("To", exact=True).select_option(str(fund.pk))
    expect(page.locator("#draft-moves")).to_have_text("Bybit is being asked which assets it moves between them.")
    page.get_by_label("Reason").fill("Half a sen")
    routes.read(Route.objects.get().pk, timezone.now())
    expect(page.locator("#draft-moves")).to_contain_text("Bybit moves these")
    expect(page.get_by_label("Reason")).to_have_value("Half a sen")
    assert page.locator("#draft-route").get_attribute("hx-trigger") is None
    Route.objects.update(assets=["USDC"])
    page.get_by_label("Asset").fill("USDT")
    page.get_by_label("Amount").focus()
    expect(page.locator("#draft-moves")).to_have_text("Bybit moves no USDT from Unified Trading to Funding.")


@pytest.mark.parametrize("width", [1280, 320])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_pages_are_accessible_and_fit(
    open_as: Open,
    live_server: Any,
    scheme: Any,
    width: int,
    connection: Connection,
    maker: User,
    operator: User,
    operator2: User,
    unified: Account,
    fund: Account,
) -> None:
    asked = {"name": "Two", "venue": "bybit", "environment": "mainnet", "reason": "x", "by": operator}
    change = connections.propose_connect(**asked, credentials={"api_key": "k", "api_secret": "s"}, at=timezone.now())
    first_looks.look(change_id=change.pk, at=timezone.now())
    rows = [{"address": "client-accounts/6f9619ff-8b86-d011-b42d-00c04fc964ff", "kind": "FUND", "title": "New one"}]
    ConnectionHealth.objects.update(reported=rows)
    wanted = connections.SetUp(rows[0]["address"], "A title that is rather long for a narrow screen", quiet=True)
    said = {"connection": connection, "accounts": [wanted], "reason": "x", "by": operator, "at": timezone.now()}
    connections.propose_set_up(**said)
    route = f"/transfers/new/?source={unified.pk}&destination={fund.pk}"
    accounts = f"/connections/{connection.pk}/accounts/"
    visits = {
        operator: ["/connections/new/", "/connections/new/?venue=qonto", accounts],
        operator2: ["/connections/"],
        maker: [route],
    }
    problems: list[str] = []
    for person, paths in visits.items():
        page = open_as(person)
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 800})
        for path in paths:
            page.goto(live_server.url + path)
            problems += checked(page, path)
    assert not problems, "\n".join(problems)
