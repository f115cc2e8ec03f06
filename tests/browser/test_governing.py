"""What governs, in a real browser: policy, people, what waits as a difference, why; accessible in both schemes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from tests.browser.test_pages import checked
from tests.house import administrators, person
from treasury.controls import memberships, policy, stops
from treasury.controls.memberships import Wish
from treasury.controls.roles import CHECKERS, POLICY_EDITORS
from treasury.models import Policy, Transfer, User

pytestmark = pytest.mark.django_db(transaction=True)

Open = Callable[..., Any]
Make = Callable[..., Transfer]


def proposed(editor: User, at: datetime) -> None:
    """Two checkers for everything."""
    words = policy.words_of(policy.in_force())
    words["rules"] = [{"name": "Everything", "when": {}, "demands": {CHECKERS: 2}}, *words["rules"]]
    policy.propose(words=words, reason="A second pair of eyes", by=editor, at=at)


def test_a_policy_is_changed_by_two_editors(open_as: Open, submitted: Make) -> None:
    transfer = submitted()
    editor, other = person("policy", POLICY_EDITORS), person("policy2", POLICY_EDITORS)
    proposed(editor, timezone.now())
    page = open_as(other, "/changes/")
    expect(page.get_by_text("A second pair of eyes")).to_be_visible()
    expect(page.get_by_text("Everything").first).to_be_visible()
    confirm = page.get_by_role("button", name="Confirm: put this version in force")
    confirm.click()
    expect(confirm).to_have_count(0)  # other changes were applied before: their "Applied" stands there already
    assert Policy.objects.count() == 2
    page.goto(page.url.replace("/changes/", f"/transfers/{transfer.reference}/why/"))
    expect(page.get_by_text("version 1").first).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 320])
def test_every_page_of_what_governs_is_accessible_and_fits(
    open_as: Open,
    live_server: Any,
    scheme: Any,
    width: int,
    submitted: Make,
    checker: User,
    auditor: User,
    operator: User,
) -> None:
    at, transfer = timezone.now(), submitted()
    editor, other = person("policy", POLICY_EDITORS), person("policy2", POLICY_EDITORS)
    first, second = administrators()
    second.set_password("practice")
    second.save(update_fields=["password"])
    proposed(editor, at)
    wish = Wish(checker.username, "finance leads", True)
    memberships.propose_memberships(wishes=[wish], reason="She leads now", by=first, at=at)
    order = stops.stop(asset="USDT", reason="Maintenance", by=operator, at=at)
    stops.propose_release(stop_order_id=order.pk, by=operator, reason="Over", at=at)
    visits: dict[User, list[str]] = {
        other: ["/policy/", "/policy/edit/", "/policy/versions/1/", "/changes/", "/account/", "/account/sessions/"],
        second: ["/people/", "/people/new/", "/people/conflicts/", f"/people/{checker.pk}/", "/changes/"],
        auditor: [f"/transfers/{transfer.reference}/why/", "/people/pairs/", "/reconciliation/", "/stops/"],
    }
    problems: list[str] = []
    for reader, paths in visits.items():
        page = open_as(reader)
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 800})
        for path in paths:
            answer = page.goto(live_server.url + path)
            if answer is None or answer.status != 200:
                problems.append(f"{path}: {answer and answer.status}")
            problems += checked(page, path)
    assert not problems, "\n".join(problems)
