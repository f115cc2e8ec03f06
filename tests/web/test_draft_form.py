"""Bad input: a sentence beside the field, what was typed kept, nothing saved."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import pytest
from django.test import Client

from tests.web.swap import page_of
from treasury.models import Account, State, Transfer, User
from treasury.transfers import draft as drafting

Refused = Callable[[], list[tuple[str, str, str]]]
SignIn = Callable[..., Client]
Make = Callable[..., Transfer]


def words(unified: Account, fund: Account, **changed: str) -> dict[str, str]:
    return {
        "source": str(unified.pk),
        "destination": str(fund.pk),
        "asset": "USDT",
        "amount": "12.5",
        "reason": "Top up",
        "draft_key": str(uuid4()),
        **changed,
    }


@pytest.mark.parametrize(
    ("amount", "sentence"),
    [
        ("1,5", "without commas"),
        ("1e3", "without an exponent"),
        ("0.123456789", "at most 8 decimals"),
        ("0.1234567890123456789", "18 after it"),
        ("0", "more than zero"),
        ("0.000", "more than zero"),
        ("-5", "more than zero"),
        ("", "Enter an amount"),
        ("twelve", "without an exponent"),
        ("１２", "in digits"),
        ("NaN", "in digits"),
    ],
)
def test_an_amount_that_is_none_is_refused_beside_its_field(
    sign_in: SignIn, maker: User, unified: Account, fund: Account, amount: str, sentence: str, refused: Refused
) -> None:
    response = sign_in(maker).post("/transfers/new/", words(unified, fund, amount=amount))

    assert response.status_code == 422
    page = page_of(response)
    assert sentence in page.get_element_by_id("id_amount-error").text_content()
    field = page.get_element_by_id("id_amount")
    assert "id_amount-error" in field.get("aria-describedby")
    assert field.get("aria-invalid") == "true"
    assert field.get("value", "") == amount
    assert page.get_element_by_id("id_reason").text.strip() == "Top up"
    assert not Transfer.objects.exists()
    assert refused() == []


def test_more_than_is_movable_is_warned_of_and_saved(
    sign_in: SignIn, maker: User, unified: Account, fund: Account
) -> None:
    response = sign_in(maker).post("/transfers/new/", words(unified, fund, amount="1000.01"), follow=True)

    assert response.status_code == 200
    assert "Only 1\u2009000 USDT of Unified Trading can be moved now." in response.content.decode()
    assert Transfer.objects.get().state == State.DRAFT


@pytest.mark.parametrize(
    ("changed", "field", "sentence"),
    [
        ({"asset": "DOGGO"}, "asset", "holds no asset called DOGGO"),
        ({"asset": ""}, "asset", "Enter the asset"),
        ({"reason": "  "}, "reason", "Say why"),
        ({"source": "999999"}, "source", "No such account"),
        ({"destination": "x"}, "destination", "No such account"),
    ],
)
def test_words_that_make_no_transfer_are_refused(
    sign_in: SignIn,
    maker: User,
    unified: Account,
    fund: Account,
    changed: dict[str, str],
    field: str,
    sentence: str,
) -> None:
    response = sign_in(maker).post("/transfers/new/", words(unified, fund, **changed))

    assert response.status_code == 422
    assert sentence in page_of(response).get_element_by_id(f"id_{field}-error").text_content()
    assert not Transfer.objects.exists()


def test_from_and_to_may_not_be_the_same(sign_in: SignIn, maker: User, unified: Account) -> None:
    response = sign_in(maker).post("/transfers/new/", words(unified, unified))

    assert response.status_code == 422
    assert "same account" in page_of(response).get_element_by_id("id_destination-error").text_content()


def test_a_double_click_saves_one_draft(sign_in: SignIn, maker: User, unified: Account, fund: Account) -> None:
    client, said = sign_in(maker), words(unified, fund)
    first, second = client.post("/transfers/new/", said), client.post("/transfers/new/", said)

    assert first.url == second.url
    assert Transfer.objects.count() == 1


def test_only_makers_draft(sign_in: SignIn, checker: User, refused: Refused) -> None:
    client = sign_in(checker)
    assert client.get("/transfers/new/").status_code == 403
    assert client.post("/transfers/new/", {}).status_code == 403
    assert refused() == [("checker", "transfer.draft", "page:/transfers/new/")] * 2


def test_a_draft_saved_by_another_is_kept_apart_from_the_forms_key(
    sign_in: SignIn, drafted: Make, maker2: User, unified: Account, fund: Account
) -> None:
    """A draft's key guards against double clicks; it must not open, or break on, another maker's draft."""
    theirs = drafted()
    key = str(Transfer.objects.get(pk=theirs.pk).draft_key)
    response = sign_in(maker2).post("/transfers/new/", words(unified, fund, draft_key=key))

    mine = Transfer.objects.get(maker=maker2)
    assert response.url == f"/transfers/{mine.reference}/"
    assert mine.draft_key != theirs.draft_key


def test_the_warning_is_the_drafts_own(drafted: Make) -> None:
    assert drafting.more_than_movable(drafted(amount="5")) is None
