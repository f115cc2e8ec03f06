"""On a narrow screen nothing that matters is cut: rows become cards, the open section and who is signed in are seen."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from tests.browser.test_pages import checked
from tests.web.doubting import doubtful
from treasury.controls import stops
from treasury.models import Connection, Movement, Transfer, User

pytestmark = pytest.mark.django_db(transaction=True)

Open = Callable[..., Any]
Make = Callable[..., Transfer]
PHONE = {"width": 390, "height": 800}
CUT = """() => [...document.querySelectorAll(".scroll:has(.rows)")].filter(
    (box) => box.scrollWidth > box.clientWidth).map((box) => box.textContent.trim().slice(0, 40))"""
BROKEN = """() => [...document.querySelectorAll("td.number")].filter((cell) => {
    const text = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT).nextNode();
    if (text === null) return false;
    const range = document.createRange(); range.selectNodeContents(text);
    return new Set([...range.getClientRects()].map((one) => one.top)).size > 1;
  }).map((cell) => cell.textContent.trim())"""


def narrow(open_as: Open, person: User, path: str) -> Any:
    page = open_as(person)
    page.set_viewport_size(PHONE)
    page.goto(page.url.rstrip("/") + path)
    return page


def test_rows_are_not_cut(
    open_as: Open, approved: Make, drafted: Make, operator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    transfer = doubtful(approved(amount="999.12345678"), monkeypatch)
    at = timezone.now()
    Movement.objects.create(
        account=transfer.source,
        asset="USDT",
        before="1234567.12345678",
        after="0",
        ours="0",
        rest="-1234567.12345678",
        since=at,
        at=at,
        tripped=False,
    )
    for path in (f"/transfers/{transfer.reference}/", "/transfers/", "/reconciliation/", "/"):
        page = narrow(open_as, operator, path)
        assert page.locator(".rows").count() > 0, path
        assert page.evaluate(CUT) == [], path
        assert page.evaluate(BROKEN) == [], path
        assert checked(page, path) == []
    expect(page.locator("td[data-label=State]").first).to_be_visible()


def test_who_is_signed_in_and_the_open_section_are_in_sight(
    open_as: Open, connection: Connection, operator: User
) -> None:
    page = narrow(open_as, operator, "/reconciliation/")
    expect(page.locator(".person .name")).to_be_in_viewport(ratio=1)
    expect(page.locator(".sections [aria-current]")).to_be_in_viewport(ratio=1)


def test_panels_of_stop_orders_stand_apart(open_as: Open, connection: Connection, operator: User) -> None:
    stops.stop(connection=connection, reason="Drill", by=operator, at=timezone.now())
    page = open_as(operator, "/stops/")
    boxes = [one.bounding_box() for one in page.locator("#stops .panel").all()]
    assert len(boxes) == 3
    for upper, lower in pairwise(boxes):
        assert lower["y"] - upper["y"] - upper["height"] >= 12
