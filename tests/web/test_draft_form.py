"""Bad input: a sentence beside the field, what was typed kept, nothing saved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone

from tests.house import bare_connection, set_up
from tests.web.banded import set_bands
from tests.web.swap import Page, htmx, page_of, text_of
from treasury import venues
from treasury.balances import routes
from treasury.models import Account, Balance, Route, State, Transfer, User
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
        ("twelve", "in digits"),
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
    assert "Only 1\u202f000 USDT of Unified Trading can be moved now." in response.content.decode()
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


@pytest.fixture
def strange(fund: Account) -> Account:
    """An account of another connection."""
    other = bare_connection("Elsewhere", "other")
    return set_up(connection=other, address="FUND", kind=fund.kind, title=fund.title)


def offered(page: Page, name: str = "destination") -> dict[str, list[str]]:
    """The choices of a field: {connection: [title]}."""
    groups = page.get_element_by_id(f"id_{name}").findall("optgroup")
    return {group.get("label"): [option.text for option in group] for group in groups}


def test_to_offers_what_from_has_a_route_to_and_says_why_not_the_rest(
    sign_in: SignIn, maker: User, unified: Account, fund: Account, strange: Account
) -> None:
    lost = set_up(connection=unified.connection, address="X", kind="no such kind", title="Vault")
    client = sign_in(maker)
    everything = {"Bybit main": ["Funding", "Unified Trading", "Vault"], "Elsewhere": ["Funding"]}
    page = page_of(client.get("/transfers/new/"))
    assert offered(page) == offered(page, "source") == everything

    page = page_of(client.get(f"/transfers/new/?source={unified.pk}"))
    assert offered(page) == {"Bybit main": ["Funding"]}
    assert offered(page, "source") == everything
    folded = page.get_element_by_id("why-not")
    assert folded.get("open") is None
    assert "Why not the 2 other accounts?" in folded.text_content()
    assert [" ".join(one.text_content().split()) for one in folded.findall("ul/li")] == [
        f"Bybit has no route from Unified Trading to {lost}.",
        f"Money moves only within one connection, and another one has {strange}.",
    ]


@pytest.mark.parametrize("source", ["", "x", "999999", "9" * 40])
def test_a_from_that_is_none_offers_every_account(sign_in: SignIn, fund: Account, maker: User, source: str) -> None:
    page = page_of(sign_in(maker).get("/transfers/new/", {"source": source}))
    assert offered(page) == {"Bybit main": ["Funding", "Unified Trading"]}
    assert "Choose From" in page.get_element_by_id("draft-limits").text_content()


@pytest.mark.parametrize(
    ("asset", "sentence"),
    [
        ("", "Movable of Unified Trading: "),
        ("USDT", "1\u202f000 USDT of Unified Trading can be moved. Read 0 s ago."),
        ("usdt", "Bybit writes it USDT."),
        ("DOGGO", "Bybit main · Unified Trading holds no asset called DOGGO."),
    ],
)
def test_it_says_what_is_movable_and_how_many_decimals_count(
    sign_in: SignIn, maker: User, unified: Account, asset: str, sentence: str
) -> None:
    page = page_of(sign_in(maker).get("/transfers/new/", {"source": unified.pk, "asset": asset}))
    said = page.get_element_by_id("draft-limits").text_content()
    assert said.startswith(sentence)
    assert said.endswith("Bybit takes at most 8 decimals.")
    assert "draft-limits" in page.get_element_by_id("id_amount").get("aria-describedby")
    assert page.get_element_by_id("id_source-hint").text_content() == "Bybit main, UNIFIED"


def test_what_could_not_be_read_or_was_not_said_is_not_a_number(sign_in: SignIn, maker: User, unified: Account) -> None:
    usdt = unified.balances.filter(asset="USDT")
    for change, sentence in (
        ({"movable": None}, "The venue does not say how much USDT of Unified Trading can be moved."),
        ({"total": None, "problem": "x"}, "What Unified Trading holds of USDT could not be read."),
    ):
        usdt.update(**change)
        page = page_of(sign_in(maker).get("/transfers/new/", {"source": unified.pk, "asset": "USDT"}))
        assert sentence in page.get_element_by_id("draft-limits").text_content()


def test_a_mistaken_to_stays_to_be_seen(sign_in: SignIn, maker: User, unified: Account, strange: Account) -> None:
    page = page_of(sign_in(maker).post("/transfers/new/", words(unified, strange)))
    assert offered(page) == {"Bybit main": ["Funding"], "Elsewhere": ["Funding"]}
    assert page.xpath("//select[@name='destination']//option[@selected]/@value") == [str(strange.pk)]
    assert "same connection" in page.get_element_by_id("id_destination-error").text_content()


def test_a_change_of_from_gets_the_page_that_a_reload_would(
    sign_in: SignIn, drafted: Make, maker: User, fund: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """htmx takes ``#draft-choice`` out of the answer, so it is the same in the page and in the part."""
    client, transfer = sign_in(maker), drafted()
    moment = timezone.now()
    monkeypatch.setattr(timezone, "now", lambda: moment)  # both say how old the balances are
    for here in ("/transfers/new/", f"/transfers/{transfer.reference}/edit/"):
        asked = {"source": str(fund.pk), "destination": "", "asset": "BTC"}
        (box,) = page_of(client.get(here)).xpath("//select[@name='source']")
        assert box.get("hx-get") == here
        assert box.get("hx-select") == box.get("hx-target") == "#draft-choice"
        assert set(box.get("hx-params").split(",")) == set(asked)
        part = page_of(htmx(client, "get", here, asked, page=here)).get_element_by_id("draft-choice")
        whole = page_of(client.get(here, asked)).get_element_by_id("draft-choice")
        assert text_of(part) == text_of(whole)
        assert offered(whole.getroottree().getroot()) == {"Bybit main": ["Unified Trading"]}


def test_a_title_that_two_accounts_share_comes_with_its_address(sign_in: SignIn, maker: User, fund: Account) -> None:
    set_up(connection=fund.connection, address="F2", kind=fund.kind, title=fund.title)
    page = page_of(sign_in(maker).get("/transfers/new/"))
    assert offered(page)["Bybit main"] == ["Funding F2", "Funding FUND", "Unified Trading"]


# -- which assets move on the route --------------------------------------------------------------------------


def moving(page: Page) -> tuple[str, list[str]]:
    """What the form says of the route, and which assets it offers."""
    options = page.xpath("//datalist[@id='known-assets']/option/@value")
    return page.get_element_by_id("draft-moves").text_content(), options


def test_the_form_offers_what_moves_on_the_route_and_is_held(
    sign_in: SignIn,
    maker: User,
    unified: Account,
    fund: Account,
    rung: list[tuple[str, Any]],
    django_capture_on_commit_callbacks: Callable[..., Any],
) -> None:
    client, here = sign_in(maker), "/transfers/new/"
    chosen = {"source": unified.pk, "destination": fund.pk, "asset": ""}
    with django_capture_on_commit_callbacks(execute=True):
        page = page_of(client.get(here, chosen))
    route = Route.objects.get()
    assert rung == [("treasury.read_route", [route.pk])]
    part = page.get_element_by_id("draft-route")
    assert (part.get("hx-trigger"), part.get("hx-select"), part.get("hx-get")) == ("every 1s", "#draft-route", here)
    assert moving(page)[0] == "Bybit is being asked which assets it moves between them."
    assert "Reload this page" in part.xpath(".//noscript")[0].text_content()

    assert "every 1s" in htmx(client, "get", here, chosen, page=here).content.decode()
    assert Route.objects.get().asked_at == route.asked_at, "it is asked once"

    routes.read(route.pk, timezone.now())
    Route.objects.update(assets=["USDT", "USDC", "NOTHELD"])
    page = page_of(htmx(client, "get", here, chosen, page=here))
    assert page.get_element_by_id("draft-route").get("hx-trigger") is None
    sentence, offered_assets = moving(page)
    assert offered_assets == ["USDC", "USDT"]
    assert sentence == "Of what Unified Trading holds, Bybit moves these 2 assets between them: USDC, USDT."


def test_an_asset_that_does_not_move_there_is_said_before_and_after_saving(
    sign_in: SignIn, maker: User, unified: Account, fund: Account, at: datetime
) -> None:
    Route.objects.create(source=unified, destination=fund, assets=["USDC"], asked_at=at, read_at=at)
    client = sign_in(maker)
    sentence = "Bybit moves no USDT from Unified Trading to Funding."
    page = page_of(client.get("/transfers/new/", {"source": unified.pk, "destination": fund.pk, "asset": "USDT"}))
    assert moving(page) == (sentence, ["USDC"])
    assert "draft-moves" in page.get_element_by_id("id_asset").get("aria-describedby")
    response = client.post("/transfers/new/", words(unified, fund))
    assert response.status_code == 422
    assert sentence in page_of(response).get_element_by_id("id_asset-error").text_content()
    assert not Transfer.objects.exists()


def test_an_asset_in_other_letters_gets_its_spelling_and_nothing_else(
    sign_in: SignIn, maker: User, unified: Account, fund: Account, at: datetime
) -> None:
    unified.balances.filter(asset="USDT").update(asset="usdt")
    Route.objects.create(source=unified, destination=fund, assets=["usdt"], asked_at=at, read_at=at)
    client = sign_in(maker)
    page = page_of(client.get("/transfers/new/", {"source": unified.pk, "destination": fund.pk, "asset": "USDT"}))
    assert page.get_element_by_id("draft-limits").text_content().startswith("Bybit writes it usdt. ")
    assert moving(page) == ("", ["usdt"])
    assert page.get_element_by_id("id_asset-hint").text_content() == "As the venue writes it: usdt"
    response = client.post("/transfers/new/", words(unified, fund))
    assert page_of(response).get_element_by_id("id_asset-error").text_content().strip() == "Bybit writes it usdt."


def test_where_decimals_are_not_known_it_says_what_happens(
    sign_in: SignIn, maker: User, unified: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared = replace(venues.declared("bybit"), amount_decimals=None)
    monkeypatch.setattr(venues, "declared", lambda name: declared)
    page = page_of(sign_in(maker).get("/transfers/new/", {"source": unified.pk}))
    said = page.get_element_by_id("draft-limits").text_content()
    assert said.endswith(
        "Bybit does not say how many decimals it takes: it decides when it is sent, and a refusal moves nothing."
    )


def test_a_route_that_could_not_be_read_says_so_and_is_not_polled(
    sign_in: SignIn, maker: User, unified: Account, fund: Account, at: datetime
) -> None:
    Route.objects.create(source=unified, destination=fund, asked_at=at, problem="The venue is down.")
    page = page_of(sign_in(maker).get("/transfers/new/", {"source": unified.pk, "destination": fund.pk}))
    sentence, offered_assets = moving(page)
    assert "could not be read (The venue is down)" in sentence
    assert "USDT" in offered_assets
    assert page.get_element_by_id("draft-route").get("hx-trigger") is None


def test_nothing_is_asked_where_there_is_no_route(
    sign_in: SignIn, maker: User, unified: Account, strange: Account
) -> None:
    client = sign_in(maker)
    for destination in ("", unified.pk, strange.pk, "x"):
        page = page_of(client.get("/transfers/new/", {"source": unified.pk, "destination": destination}))
        assert moving(page)[0] == ""
    assert not Route.objects.exists()


def test_a_change_of_to_or_of_the_asset_swaps_the_part_about_the_route(
    sign_in: SignIn, maker: User, unified: Account, fund: Account, still: datetime
) -> None:
    client, here = sign_in(maker), "/transfers/new/"
    page = page_of(client.get(here))
    for name in ("destination", "asset"):
        box = page.get_element_by_id(f"id_{name}")
        assert box.get("hx-target") == box.get("hx-select") == "#draft-route"
    asked = {"source": unified.pk, "destination": fund.pk, "asset": "USDT"}
    part = page_of(htmx(client, "get", here, asked, page=here)).get_element_by_id("draft-route")
    assert text_of(part) == text_of(page_of(client.get(here, asked)).get_element_by_id("draft-route"))


def test_the_hint_names_what_has_a_band_first_and_never_hides_most(
    sign_in: SignIn, maker: User, checker: User, fund: Account
) -> None:
    for number in range(8):
        Balance.objects.create(
            account=fund, asset=f"A{number}", total=1, movable=1, observed_at=timezone.now(), problem=""
        )
    set_bands({fund: ("1", "2", "")}, maker, checker)
    hint = page_of(sign_in(maker).get("/transfers/new/", {"source": fund.pk})).text_content().replace("\u202f", " ")
    held = fund.balances.filter(movable__gt=0).count()
    assert f"Movable of {fund.title}: 1 000 USDT, 1 A0, 1 A1," in hint
    assert f"and {held - 6} more" in hint
