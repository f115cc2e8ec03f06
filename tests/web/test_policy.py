"""The policy's pages: what is in force, what was before, and the form of a next version."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection as database
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tests.house import person, set_policy
from tests.web.swap import by_id, htmx, page_of
from treasury.controls import policy, rulebook
from treasury.controls.roles import CHECKERS, POLICY_EDITORS
from treasury.models import Change, Connection, Policy, Transfer, User
from treasury.web import policy_form

pytestmark = pytest.mark.django_db

Make = Callable[..., Transfer]
SignIn = Callable[..., Client]


@pytest.fixture
def editor(db: None) -> User:
    return person("policy", POLICY_EDITORS)


@pytest.fixture
def editor2(db: None) -> User:
    return person("policy2", POLICY_EDITORS)


def plain_text(response: HttpResponse, name: str = "main") -> str:
    return re.sub(r"\s+", " ", str(by_id(page_of(response), name).text_content())).strip()


def form_of(response: HttpResponse, action: str = "/policy/edit/") -> dict[str, Any]:
    """The fields of a form of the page as a browser would send them, without any button."""
    (form,) = by_id(page_of(response), "main").xpath(f".//form[@action='{action}']")
    sent: dict[str, Any] = {}
    for name, value in form.form_values():
        sent.setdefault(name, []).append(value)
    sent.pop("csrfmiddlewaretoken", None)
    return sent


def check(client: Client, **typed: Any) -> HttpResponse:
    """The form of the version in force, with these fields in place of its own, checked."""
    fields = form_of(client.get("/policy/edit/")) | {key.replace("__", "-"): value for key, value in typed.items()}
    return client.post("/policy/edit/", fields | {"step": "check"})


def propose(client: Client, shown: HttpResponse, reason: str = "Less to wait for") -> HttpResponse:
    """What the page offers to propose after a check."""
    return client.post("/policy/propose/", form_of(shown, "/policy/propose/") | {"reason": reason})


def test_everybody_with_a_role_reads_the_version_in_force_and_nobody_else(
    sign_in: SignIn, auditor: User, maker: User
) -> None:
    set_policy(
        rules=[
            {"name": "Small", "when": {"assets": ["USDT"], "up_to": "100", "in": "asset"}, "demands": {CHECKERS: 1}},
            {"name": "Rest", "when": {}, "demands": {CHECKERS: 2, "finance-leads": 1}, "expires_hours": 6},
        ],
        limits=[{"of": "maker", "hours": 24, "most": "5000", "in": "asset", "assets": ["USDT"]}],
        floors={"USDT": "50", "*": "1"},
    )
    for someone in (auditor, maker):
        shown = plain_text(sign_in(someone).get("/policy/"))
        for words in (
            "Version 2, in force",
            "1. Small",
            "A transfer of USDT, of at most 100",
            "2 of checkers and 1 of finance-leads",
            "6 h",
            "At most 5 000 USDT within 24 h: one maker's transfers",
            "at least 50 USDT, 1 of anything else",
            "agreed on by Useradmin Person and Useradmin2 Person",
            "Version 1",
        ):
            assert words in shown, words
        assert "Propose a next version" not in shown
    assert sign_in(person("nobody")).get("/policy/").status_code == 403


def test_each_version_before_is_readable_with_its_difference_and_the_first_has_none(
    sign_in: SignIn, auditor: User
) -> None:
    set_policy(rules=[{"name": "All", "when": {}, "demands": {CHECKERS: 1}}], floors={"USDT": "1"})
    set_policy(rules=[{"name": "All", "when": {}, "demands": {CHECKERS: 2}}])
    client = sign_in(auditor)
    assert "It was the first" in plain_text(client.get("/policy/versions/1/"))
    third = plain_text(client.get("/policy/versions/3/"))
    assert "Was" in third and "1 of checkers, within 24 h" in third and "2 of checkers, within 24 h" in third
    assert "The floor of USDT: none becomes 1." in plain_text(client.get("/policy/versions/2/"))
    assert client.get("/policy/versions/9/").status_code == 404


def test_what_is_downloaded_is_the_text_that_its_digest_says(sign_in: SignIn, auditor: User) -> None:
    version = set_policy(floors={"USDT": "7"})
    answer = sign_in(auditor).get(f"/policy/versions/{version.number}/json/")
    assert hashlib.sha256(answer.content).hexdigest() == version.digest
    assert answer["Content-Disposition"] == 'attachment; filename="policy-2.json"'
    assert json.loads(answer.content)["floors"] == {"USDT": "7"}


def test_the_form_gives_back_the_very_policy_that_it_was_filled_with() -> None:
    """Every word that a policy may hold, there and back."""
    said = {
        "rules": [
            {
                "name": "Everything",
                "when": {
                    "venues": ["bybit"],
                    "connections": ["Bybit, main"],
                    "sources": ["Bybit, main · FUND", "Bybit, main · UNIFIED"],
                    "destinations": ["Bybit, main · FUND"],
                    "assets": ["USDT", "BTC"],
                    "not_assets": ["ETH"],
                    "origins": ["hand", "plan"],
                    "makers": ["maker", "maker2"],
                    "over": "10.5",
                    "up_to": "20000",
                    "in": "value",
                    "volume": {"of": "maker", "hours": 12, "over": "5", "in": "asset"},
                },
                "demands": {"checkers": 2, "finance and leads": 1},
                "expires_hours": 3,
            },
            {"name": "Never", "when": {}, "forbids": True},
        ],
        "limits": [
            {"of": "transfer", "most": "9", "in": "value"},
            {"of": "venue", "hours": 5, "most": "9", "in": "asset"},
        ],
        "floors": {"*": "0", "USDT": "100"},
        "currency": "EUR",
    }
    form = policy_form.of_words(said)
    assert rulebook.parse(form.words()) == rulebook.parse(said)
    assert form.problems == {}


def test_a_next_version_is_checked_proposed_and_confirmed_by_another(
    sign_in: SignIn, editor: User, editor2: User, submitted: Make
) -> None:
    set_policy(rules=[{"name": "All", "when": {}, "demands": {CHECKERS: 1}}])
    waiting = submitted()
    client = sign_in(editor)
    shown = check(client, rules__0__demands="2 of checkers")
    text = plain_text(shown)
    assert shown.status_code == 200
    assert "Checked, and not proposed" in text
    assert "1 pending transfer stays under version 2" in text
    assert f"1 would need one more approval: {waiting.reference}." in text
    assert "could never be approved" in text, "nobody is a checker here"
    assert not Change.objects.filter(kind=policy.SET, ruling=None).exists()
    answer = propose(client, shown)
    change = Change.objects.get(kind=policy.SET, ruling=None)
    assert (answer.status_code, answer["Location"]) == (303, f"/policy/changes/{change.pk}/")
    for page in (f"/policy/changes/{change.pk}/", "/changes/", "/policy/"):
        seen = plain_text(sign_in(editor2).get(page))
        assert f"1 would need one more approval: {waiting.reference}." in seen, page
        assert "Less to wait for" in seen
        assert "2 of checkers" in seen
    sign_in(editor2).post(f"/changes/{change.pk}/confirm/", {"digest": change.digest})
    assert policy.in_force().number == 3
    assert policy.book_in_force().rules[0].demands == {CHECKERS: 2}
    assert waiting.demands.get().count == 1, "what is submitted keeps its own"


def test_the_difference_is_reckoned_when_it_is_looked_at(
    sign_in: SignIn, editor: User, editor2: User, submitted: Make
) -> None:
    set_policy(rules=[{"name": "All", "when": {}, "demands": {CHECKERS: 1}}])
    client = sign_in(editor)
    propose(client, check(client, rules__0__demands="2 of checkers"))
    change = Change.objects.get(kind=policy.SET, ruling=None)
    assert "No transfer is pending" in plain_text(sign_in(editor2).get(f"/policy/changes/{change.pk}/"))
    waiting = submitted()
    assert waiting.reference in plain_text(sign_in(editor2).get(f"/policy/changes/{change.pk}/"))


def test_it_says_which_approved_transfers_new_limits_would_hold(
    sign_in: SignIn, editor: User, approved: Make, checker: User
) -> None:
    set_policy(rules=[{"name": "All", "when": {}, "demands": {CHECKERS: 1}}])
    large = approved(amount="50")
    approved(amount="5")
    typed = {"limits__count": "1", "limits__0__of": "transfer", "limits__0__most": "20", "limits__0__unit": "asset"}
    shown = plain_text(check(sign_in(editor), **typed))
    assert f"1 approved transfer would be held back by a limit until it frees: {large.reference}." in shown


def test_rows_come_go_and_move_by_buttons_that_store_nothing(sign_in: SignIn, editor: User) -> None:
    set_policy(rules=[{"name": name, "when": {"assets": [name]}, "demands": {CHECKERS: 1}} for name in ("A", "B", "C")])
    client = sign_in(editor)

    def names(step: str, fields: dict[str, Any] | None = None) -> list[str]:
        sent = fields or form_of(client.get("/policy/edit/"))
        answer = client.post("/policy/edit/", sent | {"step": step})
        assert answer.status_code == 200
        again = form_of(answer)
        assert int(again["rules-count"][0]) == sum(key.endswith("-demands") for key in again)
        return [again.get(f"rules-{n}-name", [""])[0] for n in range(int(again["rules-count"][0]))]

    assert names("up-rule-2") == ["A", "C", "B"]
    assert names("down-rule-0") == ["B", "A", "C"]
    assert names("up-rule-0") == ["A", "B", "C"]
    assert names("remove-rule-1") == ["A", "C"]
    assert names("add-rule") == ["A", "B", "C", ""]
    assert names("insert-rule-1") == ["A", "", "B", "C"]
    assert names("remove-rule-77") == ["A", "B", "C"]
    assert Policy.objects.count() == 2 and not Change.objects.filter(ruling=None).exists()
    typed = form_of(client.get("/policy/edit/")) | {"rules-1-over": ["half typed"], "floors-count": ["0"]}
    answer = client.post("/policy/edit/", typed | {"step": "add-floor"})
    assert form_of(answer)["rules-1-over"] == ["half typed"]
    assert form_of(answer)["floors-count"] == ["1"]


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("rules__0__name", "", "Give a name of at most 80"),
        ("rules__0__demands", "two checkers", "Write it as in"),
        ("rules__0__demands", "2 of checkers, 1 of checkers", "Write it as in"),
        ("rules__0__over", "1,5", "without commas"),
        ("rules__0__volume_of", "maker", "Say from which sum on"),
        ("rules__0__expires_hours", "soon", "whole number"),
        ("currency", "A CURRENCY TOO LONG", "code of a currency"),
    ],
)
def test_what_is_wrong_stands_beside_its_field_and_nothing_is_lost(
    sign_in: SignIn, editor: User, field: str, value: str, sentence: str
) -> None:
    set_policy(rules=[{"name": "All", "when": {}, "demands": {CHECKERS: 1}}])
    answer = check(sign_in(editor), **{field: value})
    assert answer.status_code == 422
    assert sentence in plain_text(answer)
    assert form_of(answer).get(field.replace("__", "-"), [""]) == [value]
    if field != "currency":
        errors = by_id(page_of(answer), "main").xpath(".//*[@aria-invalid='true']")
        assert [one.get("name") for one in errors][:1] == [
            {"rules__0__volume_of": "rules-0-volume_over"}.get(field, field.replace("__", "-"))
        ]


def test_names_that_do_not_exist_and_rules_that_never_decide_are_warned_of(
    sign_in: SignIn, editor: User, connection: Connection, checker: User
) -> None:
    set_policy(
        rules=[
            {"name": "First", "when": {"connections": ["Bybit main"]}, "demands": {CHECKERS: 1}},
            {"name": "Second", "when": {"venues": ["bybit"]}, "demands": {CHECKERS: 1}},
        ]
    )
    answer = check(
        sign_in(editor),
        rules__0__connections=[],
        rules__1__sources="Bybit mian · FUND",
        rules__1__makers="ghost",
        rules__1__demands="2 of checkers, 1 of finance-leads",
    )
    shown = plain_text(answer)
    for words in (
        "“Second” never decides: “First” stands above it and covers all of it.",
        "“Second” names the source Bybit mian · FUND, which there is not.",
        "“Second” names the maker ghost, which there is not.",
        "it asks for 2 of checkers, and only 1 person in that group is a checker.",
        "it asks for 1 of finance-leads, and nobody in that group is a checker.",
    ):
        assert words in shown, words


def test_it_is_refused_without_a_reason_after_another_version_and_when_nothing_differs(
    sign_in: SignIn, editor: User
) -> None:
    client = sign_in(editor)
    shown = check(client, floors__count="1", floors__0__asset="USDT", floors__0__amount="5")
    unsaid = propose(client, shown, reason=" ")
    assert unsaid.status_code == 422 and "Say why" in plain_text(unsaid)
    set_policy(floors={"BTC": "1"})
    late = propose(client, shown)
    assert late.status_code == 409 and "Another version came into force since" in plain_text(late)
    same = client.post("/policy/propose/", {"policy": policy.in_force().text, "before": "2", "reason": "x"})
    assert same.status_code == 422 and "says so already" in plain_text(same)
    assert "Nothing would change" in plain_text(check(client))
    broken = client.post("/policy/propose/", {"policy": '{"rules": 7', "before": "2", "reason": "x"})
    assert broken.status_code == 422
    assert not Change.objects.filter(kind=policy.SET, ruling=None).exists()


def test_only_policy_editors_reach_the_form(
    sign_in: SignIn, maker: User, operator: User, refused: Callable[[], list[tuple[str, str, str]]]
) -> None:
    for someone in (maker, operator):
        assert sign_in(someone).get("/policy/edit/").status_code == 403
        answer = sign_in(someone).post("/policy/propose/", {"policy": policy.first(), "before": "1", "reason": "x"})
        assert answer.status_code == 403
    assert ("maker", "policy.set", "policy:") in refused()


def test_the_form_answers_htmx_with_the_part_that_a_reload_shows(sign_in: SignIn, editor: User) -> None:
    client = sign_in(editor)
    fields = form_of(client.get("/policy/edit/")) | {"step": "add-limit"}
    whole = by_id(page_of(client.post("/policy/edit/", fields)), "policy-edit")
    part = by_id(page_of(htmx(client, "post", "/policy/edit/", fields, page="/policy/edit/")), "policy-edit")
    assert re.sub(r"\s+", " ", part.text_content()) == re.sub(r"\s+", " ", whole.text_content())


def test_what_the_first_set_up_made_is_said_to_be_proposed_by_nobody(sign_in: SignIn, auditor: User) -> None:
    shown = plain_text(sign_in(auditor).get("/changes/"))
    assert "First set-up: the house" in shown
    assert "The first set-up made it, when there was nobody yet to propose anything" in shown
    assert "None" not in shown
    assert "by the first set-up" in plain_text(sign_in(auditor).get("/policy/"))


def test_a_page_of_many_pending_transfers_asks_as_often_as_one_of_two(
    sign_in: SignIn, editor: User, editor2: User, submitted: Make
) -> None:
    set_policy(
        rules=[
            {
                "name": "Sum",
                "when": {"volume": {"of": "maker", "hours": 24, "over": "1000", "in": "asset"}},
                "demands": {CHECKERS: 2},
            },
            {"name": "All", "when": {}, "demands": {CHECKERS: 1}},
        ]
    )
    client = sign_in(editor)
    propose(client, check(client, rules__1__demands="2 of checkers"))
    address = f"/policy/changes/{Change.objects.get(kind=policy.SET, ruling=None).pk}/"
    for amount in ("1", "2"):
        submitted(amount=amount)
    other = sign_in(editor2)
    other.get(address)
    two = queries(other, address)
    for amount in range(3, 9):
        submitted(amount=str(amount))
    assert queries(other, address) == two


def queries(client: Client, address: str) -> int:
    with CaptureQueriesContext(database) as captured:
        assert client.get(address).status_code == 200
    return len(captured)


@pytest.mark.parametrize("asset", ["0.x", "0.asset", "0.amount", "1.2.3", "*.1"])
def test_a_floor_whose_asset_looks_like_a_place_is_told_at_its_amount(
    sign_in: SignIn, editor: User, asset: str
) -> None:
    shown = check(sign_in(editor), floors__count="1", floors__0__asset=asset, floors__0__amount="abc")
    assert shown.status_code == 422
    assert f"Floor {asset.upper()}: " in plain_text(shown)


def test_a_rule_asks_for_three_groups_at_most(sign_in: SignIn, editor: User) -> None:
    shown = check(sign_in(editor), rules__0__demands="1 of a, 1 of b, 1 of c, 1 of d")
    assert shown.status_code == 422
    assert "Ask for at most 3 groups, and 20 people of all of them together." in plain_text(shown)
