"""A checker decides on a plan's transfers together, in a real browser: chosen one by one, and looked at twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.test_pages import checked
from tests.web.test_batch import here, planned, states
from treasury.models import Account, Decision, State, User

pytestmark = pytest.mark.django_db(transaction=True)

Open = Callable[..., Any]


def test_from_the_approvals_to_a_decision_on_each(
    open_as: Open, maker: User, unified: Account, fund: Account, checker: User
) -> None:
    plan, (one, two, three) = planned(maker, unified, fund, ["600", "500", "300"])
    page = open_as(checker, "/approvals/")
    page.get_by_role("link", name="Decide on them together").click()
    expect(page.get_by_role("heading", name=f"Decide on {plan.reference}")).to_be_visible()
    reason = page.get_by_label(f"Reason for rejecting {three.reference}")
    expect(reason).to_be_hidden()
    page.get_by_role("button", name="Look at what you chose").click()
    expect(page.get_by_role("alert")).to_contain_text("Choose Approve or Reject for at least one transfer.")

    for transfer in (one, two):
        page.locator(f"label[for=approve-{transfer.reference}]").click()
    page.locator(f"label[for=reject-{three.reference}]").click()
    expect(reason).to_be_visible()
    page.get_by_role("button", name="Look at what you chose").click()
    expect(page.get_by_role("alert")).to_contain_text("A rejection needs its reason")
    page.get_by_label(f"Reason for rejecting {three.reference}").fill("Not this week")
    page.get_by_role("button", name="Look at what you chose").click()
    expect(page.get_by_role("heading", name="Look once more")).to_be_focused()
    expect(page.get_by_text("You will approve 2 (1\u202f100 USDT) and reject 1.")).to_be_visible()
    expect(page.get_by_text("Together they take 1\u202f100 USDT")).to_be_visible()
    assert checked(page, here(plan)) == []

    page.get_by_role("button", name="Change what you chose").click()
    page.locator(f"label[for=leave-{two.reference}]").click()
    page.get_by_role("button", name="Look at what you chose").click()
    assert not Decision.objects.exists()
    page.get_by_role("button", name="Approve 1 and reject 1").click()
    expect(page.get_by_text("You approved 1 and rejected 1")).to_be_visible()
    expect(page.locator(".deciding")).to_have_count(1)
    expect(page.get_by_role("heading", name="What you decided")).to_be_visible()
    assert states([one, two, three]) == [State.APPROVED, State.SUBMITTED, State.REJECTED]
    assert checked(page, here(plan)) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_form_is_accessible_in_both_schemes_and_widths(
    open_as: Open, maker: User, unified: Account, fund: Account, checker: User, scheme: str, width: int
) -> None:
    plan, (one, _) = planned(maker, unified, fund, ["1200.12345678", "5"])
    page = open_as(checker)
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 800})
    for path in ("/approvals/", here(plan)):
        page.goto(page.url.split("/", 3)[0] + "//" + page.url.split("/", 3)[2] + path)
        assert checked(page, path) == []
    page.locator(f"label[for=reject-{one.reference}]").click()
    assert checked(page, here(plan)) == []
    page.get_by_label(f"Reason for rejecting {one.reference}").fill("Too much")
    page.get_by_role("button", name="Look at what you chose").click()
    expect(page.get_by_role("heading", name="Look once more")).to_be_visible()
    assert checked(page, here(plan)) == []
