"""The page of the settings that two people set."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.conf import settings
from django.http import HttpResponse
from django.test import Client

from tests.house import person
from tests.web.swap import by_id, htmx, page_of
from treasury.controls import house
from treasury.controls.roles import POLICY_EDITORS
from treasury.models import Change, User

pytestmark = pytest.mark.django_db

SignIn = Callable[..., Client]
DAYS = {"retention-all_days": "1", "retention-quarter_hours_days": "7", "retention-hours_days": "30"}


@pytest.fixture
def editor(db: None) -> User:
    return person("policy", POLICY_EDITORS)


def text(response: HttpResponse, name: str = "main") -> str:
    return re.sub(r"\s+", " ", str(by_id(page_of(response), name).text_content())).strip()


def test_it_says_what_counts_since_when_and_agreed_on_by_whom(
    sign_in: SignIn, editor: User, operator: User, auditor: User
) -> None:
    first = text(sign_in(auditor).get("/settings/"))
    assert "all for 2 days, one of each quarter of an hour until 14 days" in first
    assert "the start, as the environment says" in first
    assert "Propose" not in first, "who may not propose is offered nothing"
    answer = sign_in(editor).post("/settings/retention/", DAYS | {"reason": "Enough", "step": "propose"})
    assert answer.status_code == 303
    change = Change.objects.get(kind=house.SET, ruling=None)
    proposed = text(sign_in(operator).get("/settings/"))
    assert (
        "all for 2 days" in proposed
        and "becomes all for 1 day, one of each quarter of an hour until 7 days" in proposed
    )
    assert "No snapshot is removed by it that would not be removed as it is." in proposed
    sign_in(operator).post(f"/changes/{change.pk}/confirm/", {"digest": change.digest})
    after = text(sign_in(auditor).get("/settings/"), "setting-retention")
    assert "Nowall for 1 day" in after
    assert "Agreed on byPolicy Person and Admin Person: Enough" in after


def test_a_check_writes_nothing_and_says_what_would_become_of_it(sign_in: SignIn, editor: User) -> None:
    shown = sign_in(editor).post("/settings/retention/", DAYS | {"step": "check"})
    assert shown.status_code == 200
    assert "Checked, and not proposed" in text(shown)
    assert not Change.objects.filter(kind=house.SET).exists()


def test_what_is_wrong_stands_beside_its_field_with_what_was_typed(sign_in: SignIn, editor: User) -> None:
    wrong = DAYS | {"retention-all_days": "soon", "reason": "x", "step": "propose"}
    shown = sign_in(editor).post("/settings/retention/", wrong)
    assert shown.status_code == 422
    (box,) = by_id(page_of(shown), "setting-retention").xpath(".//input[@aria-invalid='true']")
    assert (box.get("name"), box.get("value")) == ("retention-all_days", "soon")
    unsaid = sign_in(editor).post("/settings/retention/", DAYS | {"step": "propose"})
    assert unsaid.status_code == 422 and "Say why" in text(unsaid)


def test_only_those_with_the_right_propose_and_other_settings_do_not_exist(
    sign_in: SignIn, maker: User, editor: User
) -> None:
    said = DAYS | {"reason": "x", "step": "propose"}
    assert sign_in(maker).post("/settings/retention/", said).status_code == 403
    assert sign_in(editor).post("/settings/colour/", said).status_code == 404
    assert sign_in(editor).get("/settings/retention/").status_code == 405
    assert sign_in(person("nobody")).get("/settings/").status_code == 403


def test_of_the_environments_webhook_only_the_host_is_shown(
    sign_in: SignIn, editor: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "WEBHOOK_URL", "https://hooks.example/a-secret-path")
    page = sign_in(editor).get("/settings/")
    assert "https://hooks.example/…" in text(page)
    assert "a-secret-path" not in page.content.decode()


def test_the_part_is_what_a_reload_shows(sign_in: SignIn, editor: User) -> None:
    client, sent = sign_in(editor), DAYS | {"step": "check"}
    whole = text(client.post("/settings/retention/", sent), "settings")
    part = text(htmx(client, "post", "/settings/retention/", sent, page="/settings/"), "settings")
    assert part == whole
