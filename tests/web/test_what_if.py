"""What if: numbers that somebody supposes make a plan, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from tests.web.banded import set_bands
from tests.web.swap import by_id, htmx, page_of
from tests.web.test_swaps import same
from treasury.models import Account, Band, Origin, Plan, User
from treasury.rebalancing import plan as planning

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("still")]

SignIn = Callable[..., Client]
HERE = "/rebalancing/what-if/"


@pytest.fixture
def banded(unified: Account, fund: Account, operator: User, operator2: User) -> None:
    set_bands({unified: ("100", "300", "500"), fund: ("1200", "1500", "")}, operator, operator2)


def address(account: Account) -> str:
    return f"{HERE}?connection={account.connection_id}&asset=USDT"


def form(page: Any, **changed: str) -> dict[str, str]:
    """The form as it stands, with what somebody changed: {"total-3": "5"}, written total_3 here."""
    boxes = by_id(page, "what-if").xpath(".//input[@name]")
    found = {one.get("name"): one.get("value", "") for one in boxes if one.get("name") != "csrfmiddlewaretoken"}
    for name, value in changed.items():
        assert name.replace("_", "-") in found, name
        found[name.replace("_", "-")] = value
    return found


def test_the_form_stands_as_things_are(
    sign_in: SignIn, banded: None, unified: Account, fund: Account, maker: User
) -> None:
    found = form(page_of(sign_in(maker).get(address(unified))))
    assert found[f"total-{unified.pk}"] == "1000"
    assert [found[f"{word}-{unified.pk}"] for word in ("minimum", "target", "maximum")] == ["100", "300", "500"]
    assert found[f"maximum-{fund.pk}"] == ""


def test_what_is_changed_is_supposed_and_nothing_else(
    sign_in: SignIn, banded: None, unified: Account, fund: Account, checker: User
) -> None:
    client, bands = sign_in(checker), Band.objects.count()
    data = form(page_of(client.get(address(unified))), **{f"total_{unified.pk}": "50", f"maximum_{fund.pk}": "1600"})
    answer = client.post(HERE, data)
    plan = Plan.objects.get()
    assert (answer.status_code, answer.url) == (303, f"/plans/{plan.reference}/")
    assert (plan.origin, plan.asked_by, plan.connection, plan.asset) == (
        Origin.WHAT_IF,
        checker,
        unified.connection,
        "USDT",
    )
    band = {
        "account": fund.pk,
        "asset": "USDT",
        "unit": "amount",
        "minimum": "1200",
        "target": "1500",
        "maximum": "1600",
    }
    assert plan.overrides["bands"] == [band]
    assert plan.overrides["balances"] == [{"account": unified.pk, "asset": "USDT", "total": "50"}]
    assert Band.objects.count() == bands
    assert "HX-Redirect" in htmx(client, "post", HERE, data, page=HERE)


def test_one_can_go_on_from_what_was_supposed(sign_in: SignIn, banded: None, unified: Account, maker: User) -> None:
    client = sign_in(maker)
    client.post(HERE, form(page_of(client.get(address(unified))), **{f"total_{unified.pk}": "50"}))
    again = form(page_of(client.get(f"{address(unified)}&plan={Plan.objects.get().reference}")))
    assert again[f"total-{unified.pk}"] == "50"
    assert again[f"minimum-{unified.pk}"] == "100"


@pytest.mark.parametrize(
    ("word", "typed", "sentence"),
    [
        ("total", "", "Enter an amount."),
        ("total", "-0.01", "cannot hold less than nothing"),
        ("total", "1e3", "without an exponent"),
        ("total", "1,5", "without commas"),
        ("total", "1." + "1" * 19, "18 after it"),
        ("minimum", "-1", "cannot be less than 0"),
        ("target", "99", "The target is at least the minimum."),
        ("maximum", "299.9", "The maximum is at least the target."),
    ],
)
def test_a_mistake_stands_at_its_box_and_nothing_is_reckoned(
    sign_in: SignIn, banded: None, unified: Account, maker: User, word: str, typed: str, sentence: str
) -> None:
    client, name = sign_in(maker), f"{word}-{unified.pk}"
    data = form(page_of(client.get(address(unified))), **{name.replace("-", "_"): typed})
    answer = same(client, address(unified), "what-if", "post", HERE, data)
    assert answer.status_code == 422
    assert sentence in by_id(page_of(answer), f"{name}-error").text_content()
    assert by_id(page_of(answer), name).get("value") == typed
    assert not Plan.objects.exists()


def test_supposing_nothing_is_no_question(sign_in: SignIn, banded: None, unified: Account, maker: User) -> None:
    client = sign_in(maker)
    answer = client.post(HERE, form(page_of(client.get(address(unified)))))
    assert answer.status_code == 422
    assert "Change a number" in answer.content.decode()
    assert not Plan.objects.exists()


def test_a_group_that_is_none_is_not_found(sign_in: SignIn, banded: None, unified: Account, maker: User) -> None:
    client = sign_in(maker)
    for query in (
        "",
        f"?connection={unified.connection_id}",
        f"?connection={unified.connection_id}&asset=BTC",
        "?connection=x",
    ):
        assert client.get(f"{HERE}{query}").status_code == 404


def test_an_auditor_supposes_nothing(sign_in: SignIn, banded: None, unified: Account, auditor: User) -> None:
    assert sign_in(auditor).get(address(unified)).status_code == 403


def test_less_than_nothing_is_supposed_only_where_money_is_owed(
    sign_in: SignIn, banded: None, unified: Account, maker: User
) -> None:
    unified.balances.filter(asset="USDT").update(total="-5", movable="0")
    client = sign_in(maker)
    data = form(page_of(client.get(address(unified))), **{f"total_{unified.pk}": "-7"})
    assert client.post(HERE, data).status_code == 303


def test_the_answer_says_what_was_supposed_beside_what_is_true(
    sign_in: SignIn, banded: None, unified: Account, fund: Account, maker: User
) -> None:
    client = sign_in(maker)
    changed = {f"total_{unified.pk}": "50", f"maximum_{fund.pk}": "1600"}
    client.post(HERE, form(page_of(client.get(address(unified))), **changed))
    plan = Plan.objects.get()
    planning.compute(plan_id=plan.pk, at=timezone.now())
    told = " ".join(page_of(client.get(f"/plans/{plan.reference}/")).text_content().split())
    assert (
        f"Supposed: {unified.title} holds 50 (truly 1 000); {fund.title} has the band 1 200 to 1 600, target 1 500 "
        in told
    )
    assert "(truly 1 200 with no maximum, target 1 500)." in told
