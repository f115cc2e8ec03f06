"""Why a transfer needs its approvals: the rule that decided, those that did not, and the answer reckoned again."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.db import connection as database
from django.http import HttpResponse
from django.test import Client

from tests.house import set_policy
from tests.web.swap import by_id, page_of
from treasury.controls import rulebook
from treasury.controls.roles import CHECKERS
from treasury.models import Assessment, Transfer, User
from treasury.transfers import assess

pytestmark = pytest.mark.django_db

Make = Callable[..., Transfer]
SignIn = Callable[..., Client]
RULES = [
    {"name": "Bitcoin", "when": {"assets": ["BTC"]}, "demands": {CHECKERS: 2}},
    {"name": "Small", "when": {"up_to": "100", "in": "asset"}, "demands": {CHECKERS: 1}, "expires_hours": 6},
    {"name": "Large", "when": {"up_to": "500", "in": "asset"}, "demands": {CHECKERS: 2}},
]


def plain_text(response: HttpResponse, name: str = "main") -> str:
    return re.sub(r"\s+", " ", str(by_id(page_of(response), name).text_content())).strip()


def test_the_card_names_the_rule_that_decided_and_why_no_other_did(
    sign_in: SignIn, submitted: Make, checker: User
) -> None:
    set_policy(rules=RULES)
    transfer = submitted(amount="12.5")
    shown = plain_text(sign_in(checker).get(f"/transfers/{transfer.reference}/"))
    assert "The rule “Small” asks for 1 of checkers. (policy version 2)" in shown
    assert "Its asset is USDT, which the rule does not name." in shown
    assert "It matches too; an earlier one decides." in shown


def test_the_rule_that_decided_comes_first_and_each_has_its_number(
    sign_in: SignIn, submitted: Make, checker: User
) -> None:
    set_policy(rules=RULES)
    transfer = submitted(amount="12.5")
    page = page_of(sign_in(checker).get(f"/transfers/{transfer.reference}/why/"))
    listed = [" ".join(one.text_content().split()) for one in page.xpath("//tbody/tr/th")]
    assert listed == ["2. Small decides", "1. Bitcoin", "3. Large"]


def test_the_answer_is_reckoned_again_under_its_own_version_whatever_is_in_force_now(
    sign_in: SignIn, submitted: Make, auditor: User
) -> None:
    set_policy(rules=RULES)
    transfer = submitted(amount="12.5")
    set_policy(rules=[{"name": "All", "when": {}, "demands": {CHECKERS: 3}}])
    shown = plain_text(sign_in(auditor).get(f"/transfers/{transfer.reference}/why/"))
    assert "Round 1, under version 2" in shown
    assert "Replayed: the same answer" in shown
    assert "The rule “Small” asks for 1 of checkers." in shown and "approval may take 6 h" in shown
    assert "it would need the approval of 3 of checkers" in shown and "policy version 3" in shown
    assert "It keeps what it was asked for when it was submitted." in shown
    assert "amount" in shown and "12.5" in shown


def test_an_answer_that_does_not_replay_is_shouted(sign_in: SignIn, submitted: Make, auditor: User) -> None:
    """As if somebody had got past every guard of the database."""
    transfer = submitted(amount="12.5")
    with database.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        Assessment.objects.filter(transfer=transfer).update(circumstances=forged(transfer))
        cursor.execute("SET LOCAL session_replication_role = origin")
    shown = plain_text(sign_in(auditor).get(f"/transfers/{transfer.reference}/why/"))
    assert "Replayed: another answer" in shown
    assert "Tell an auditor." in shown


def forged(transfer: Transfer) -> str:
    text: str = transfer.assessments.get().circumstances
    return text.replace('"12.5"', '"99999999"')


def test_a_draft_says_who_would_have_to_approve_it_or_that_no_rule_covers_it(
    sign_in: SignIn, drafted: Make, maker: User
) -> None:
    set_policy(rules=RULES)
    client = sign_in(maker)
    small, large = drafted(amount="12.5"), drafted(amount="501")
    shown = plain_text(client.get(f"/transfers/{small.reference}/"))
    assert "it would need the approval of 1 of checkers, within 6 h: the rule “Small” of policy version 2." in shown
    denied = "It cannot be submitted. No rule of the policy covers it, and what no rule covers is denied."
    for page in (f"/transfers/{large.reference}/", f"/transfers/{large.reference}/edit/"):
        assert denied in plain_text(client.get(page)), page
    answer = client.post(f"/transfers/{large.reference}/submit/")
    assert answer.status_code == 409
    assert "No rule of the policy covers it" in plain_text(answer)


def test_of_what_is_not_theirs_to_see_nothing_is_said(sign_in: SignIn, drafted: Make, maker2: User) -> None:
    assert sign_in(maker2).get(f"/transfers/{drafted().reference}/why/").status_code == 404


def test_an_error_while_the_policy_is_asked_is_told_as_a_denial(
    sign_in: SignIn, drafted: Make, submitted: Make, maker: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft, waiting = drafted(), submitted()
    client = sign_in(maker)
    for owner, name in ((assess.Known, "circumstances_of"), (rulebook, "read")):
        with monkeypatch.context() as broken:
            broken.setattr(owner, name, lambda *said: 1 // 0)
            for reference, page in ((draft.reference, ""), (waiting.reference, "why/")):
                shown = client.get(f"/transfers/{reference}/{page}")
                assert shown.status_code == 200
                assert "It cannot be submitted. The policy could not be evaluated" in plain_text(shown), (name, page)
