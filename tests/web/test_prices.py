"""The pages of reference prices: everybody with a role sees them, operators enter them, nothing by surprise."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection as database
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tests.house import person
from tests.web.swap import by_id, htmx, page_of, swapped, text_of
from treasury.balances import prices
from treasury.models import AuditEntry, Balance, Connection, Price, User

pytestmark = pytest.mark.django_db

SignIn = Callable[..., Client]
WORDS = {
    "asset": "btc",
    "price": "80 000.5",
    "currency": "eur",
    "as_of": "2026-01-02T12:00",
    "source": "The Bank",
    "sure": "No account holds BTC.",
}
SHEET = "asset,currency,price,as_of,source\nBTC,EUR,80000,2026-01-02,x\nETH,EUR,3000,2026-01-02,x\n"


def words(page: Any) -> str:
    return " ".join(page.text_content().replace("\u202f", " ").split())


def enter(by: User, **said: Any) -> Price:
    at = timezone.now()
    told = {"asset": "BTC", "currency": "EUR", "price": "80000", "as_of": at, "source": "x", **said}
    return prices.enter(by=by, at=at, **told)


@pytest.mark.parametrize("who", ["maker", "checker", "auditor"])
def test_whoever_holds_a_role_sees_prices_and_no_form(
    who: str, sign_in: SignIn, operator: User, request: pytest.FixtureRequest, refused: Callable[[], Any]
) -> None:
    enter(operator)
    client = sign_in(request.getfixturevalue(who))
    page = page_of(client.get("/prices/"))
    assert "BTC 80 000 EUR" in words(page)
    assert not page.xpath("//*[@id='enter-price']")
    assert client.get("/prices/history/?asset=BTC&currency=EUR").status_code == 200
    assert client.post("/prices/enter/", WORDS).status_code == 403
    assert client.get("/prices/import/").status_code == 403
    assert client.post("/prices/import/", {"text": SHEET}).status_code == 403
    assert Price.objects.count() == 1
    assert {action for _, action, _ in refused()} == {"price.enter"}
    assert len(refused()) == 3


def test_nobody_without_a_role_sees_them(sign_in: SignIn, django_user_model: Any) -> None:
    client = sign_in(person("nobody"))
    for page in ("/prices/", "/prices/history/?asset=BTC&currency=EUR", "/prices/export/", "/prices/import/"):
        assert client.get(page).status_code == 403


def test_an_operator_enters_a_price_without_a_script(sign_in: SignIn, operator: User) -> None:
    client = sign_in(operator)
    assert client.post("/prices/enter/", WORDS).status_code == 303
    text = words(by_id(page_of(client.get("/prices/")), "prices"))
    assert "BTC 80 000.5 EUR" in text
    assert "2 Jan 2026, 12:00:00 UTC The Bank Admin Person" in text


def test_a_swap_shows_what_a_reload_would(sign_in: SignIn, operator: User, still: datetime) -> None:
    client = sign_in(operator)
    page = page_of(client.get("/prices/"))
    answer = htmx(client, "post", "/prices/enter/", WORDS, page="/prices/")
    assert text_of(swapped(page, answer, "prices")) == text_of(page_of(client.get("/prices/")))


def test_a_mistake_stands_beside_its_field_and_what_was_typed_stays(sign_in: SignIn, operator: User) -> None:
    client = sign_in(operator)
    answer = client.post("/prices/enter/", {**WORDS, "price": "1,5", "source": ""})
    assert answer.status_code == 422
    page = page_of(answer)
    assert "without commas" in words(by_id(page, "id_price-error"))
    assert "Say where" in words(by_id(page, "id_source-error"))
    assert by_id(page, "id_asset").get("value") == "btc"
    assert by_id(page, "id_as_of").get("value") == "2026-01-02T12:00"
    assert not Price.objects.exists()
    assert client.post("/prices/enter/", {}).status_code == 422


def test_what_we_hold_without_a_price_is_named(
    sign_in: SignIn, connection: Connection, maker: User, operator: User
) -> None:
    Balance.objects.exclude(asset="USDT").update(total=0, movable=0)
    balance = Balance.objects.filter(asset="USDT")[0]
    balance.pk, balance.asset, balance.total, balance.movable, balance.problem = None, "eth", None, None, "no answer"
    balance.save(force_insert=True)
    client = sign_in(maker)
    assert "Not valued: ETH, USDT. We hold them" in words(page_of(client.get("/prices/")))
    enter(operator, asset="USDT")
    enter(operator, asset="ETH", currency="USD")  # not what sums are told in
    text = words(page_of(client.get("/prices/")))
    assert "Not valued: ETH. We hold it" in text
    assert "USD not used" in text
    enter(operator, asset="eth")
    assert "Not valued" not in words(page_of(client.get("/prices/")))


def test_an_old_price_says_that_it_is(sign_in: SignIn, maker: User, operator: User) -> None:
    enter(operator, as_of=timezone.now() - timedelta(hours=25))
    assert "25 h ago stale" in words(page_of(sign_in(maker).get("/prices/")))


def test_the_history_of_an_asset_has_the_newest_first(sign_in: SignIn, maker: User, operator: User) -> None:
    for hours in (3, 1, 2):
        enter(operator, asset="A&B=", price=str(hours), as_of=timezone.now() - timedelta(hours=hours))
    client = sign_in(maker)
    (link,) = page_of(client.get("/prices/")).xpath("//td[@data-label='History']/a/@href")
    rows = by_id(page_of(client.get(link)), "price-history").xpath(".//tbody/tr/td[1]")
    assert [row.text_content() for row in rows] == ["1", "2", "3"]
    (export,) = page_of(client.get(link)).xpath("//a[@download]/@href")
    assert len(list(csv.reader(io.StringIO(client.get(export).content.decode())))) == 4


def test_the_sheet_that_is_taken_away_has_no_formula(sign_in: SignIn, maker: User, operator: User) -> None:
    enter(operator, asset="=A1", source='=HYPERLINK("http://x","y")')
    answer = sign_in(maker).get("/prices/export/")
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert answer["Content-Disposition"].startswith('attachment; filename="prices-')
    (_, cells) = csv.reader(io.StringIO(answer.content.decode()))
    assert cells[0] == "'=A1"
    assert cells[4].startswith("'=HYPERLINK")
    entry = AuditEntry.objects.get(action="price.export")
    assert entry.facts["sha256"] == hashlib.sha256(answer.content).hexdigest()


# -- import --------------------------------------------------------------------------------------------------


def fields(page: Any) -> dict[str, str]:
    """What the form of the preview would send, with its box ticked where it has one."""
    (form,) = by_id(page, "price-import").xpath(".//form")
    return {
        "digest": form.xpath(".//input[@name='digest']")[0].get("value"),
        "text": form.xpath(".//textarea")[0].text_content(),
        **{box.get("name"): box.get("value") for box in form.xpath(".//input[@type='checkbox']")},
    }


def test_a_sheet_is_looked_at_and_then_entered(sign_in: SignIn, operator: User) -> None:
    enter(operator, price="70000", as_of="2026-01-01")
    client = sign_in(operator)
    for sent in ({"text": SHEET}, {"file": SimpleUploadedFile("prices.csv", b"\xef\xbb\xbf" + SHEET.encode())}):
        answer = client.post("/prices/import/", sent)
        text = words(by_id(page_of(answer), "price-import"))
        assert "Nothing has been entered yet. 2 of 2 prices would be entered" in text
        assert "2 BTC 70 000" in text
        assert "Changed" in text
        assert "New" in text
        assert Price.objects.count() == 1
    assert client.post("/prices/import/", fields(page_of(answer))).status_code == 303
    assert Price.objects.count() == 3
    again = page_of(client.post("/prices/import/", {"text": SHEET}))
    assert "Every one of these prices is there already." in words(again)
    assert not by_id(again, "price-import").xpath(".//button")


def test_a_sheet_with_an_unusual_price_is_entered_only_with_its_box_ticked(
    sign_in: SignIn, operator: User, connection: Connection
) -> None:
    enter(operator, price="8000", as_of="2026-01-01")
    client = sign_in(operator)
    looked = page_of(client.post("/prices/import/", {"text": SHEET}))
    text = words(by_id(looked, "price-import"))
    assert "80 000 +900 %" in text
    assert "That is +900 % against the newest price of BTC, 8 000." in text
    assert "No account holds" not in text
    sent = fields(looked)
    assert sent.pop("sure") == "yes"
    answer = client.post("/prices/import/", sent)
    assert answer.status_code == 422
    assert "Look at the prices that are marked, and say that they are right." in words(page_of(answer))
    assert Price.objects.count() == 1
    assert client.post("/prices/import/", fields(page_of(answer))).status_code == 303
    assert Price.objects.count() == 3


def test_an_unusual_price_is_entered_when_its_box_is_ticked_and_not_before(sign_in: SignIn, operator: User) -> None:
    enter(operator, price="8000", as_of="2026-01-01")
    client = sign_in(operator)
    said = {name: value for name, value in WORDS.items() if name != "sure"}
    answer = client.post("/prices/enter/", said)
    assert answer.status_code == 422
    form = by_id(page_of(answer), "enter-price")
    assert "against the newest price of BTC, 8 000. No account holds BTC. Yes, this is right" in words(form)
    assert by_id(page_of(answer), "id_price").get("value") == WORDS["price"]
    assert Price.objects.count() == 1
    assert client.post("/prices/enter/", {**said, "sure": "yes"}).status_code == 422, "not what was shown"
    sure = form.xpath(".//input[@name='sure']/@value")
    assert client.post("/prices/enter/", {**said, "sure": sure}).status_code == 303
    assert Price.objects.count() == 2


def test_a_sheet_with_a_bad_cell_says_which_and_can_be_mended(sign_in: SignIn, operator: User) -> None:
    client = sign_in(operator)
    bad = SHEET.replace("3000", "three")
    for sent in ({"text": bad}, {"file": SimpleUploadedFile("prices.csv", bad.encode())}):
        answer = client.post("/prices/import/", sent)
        assert answer.status_code == 422
        text = words(by_id(page_of(answer), "price-import"))
        assert "Nothing was entered: 1 place is wrong." in text
        assert "Line 3priceWrite the price in digits" in text
        assert "three" in by_id(page_of(answer), "sheet-text").text_content()
    answer = client.post("/prices/import/", {"file": SimpleUploadedFile("prices.csv", b"\xff\xfe")})
    assert "The file is no text in UTF-8." in words(page_of(answer))
    assert not Price.objects.exists()


def test_a_price_that_changed_meanwhile_is_shown_before_anything_is_entered(
    sign_in: SignIn, operator: User, operator2: User, refused: Callable[[], Any]
) -> None:
    client = sign_in(operator)
    sent = fields(page_of(client.post("/prices/import/", {"text": SHEET})))
    enter(operator2, price="1", as_of="2026-01-01")
    answer = client.post("/prices/import/", sent)
    assert answer.status_code == 409
    assert "has changed; look again" in words(page_of(answer))
    assert Price.objects.count() == 1
    assert refused() == [("admin", "price.enter", "page:/prices/import/")]
    assert client.post("/prices/import/", fields(page_of(answer))).status_code == 303
    assert Price.objects.count() == 3


def test_the_page_asks_the_database_as_often_for_many_prices_as_for_few(
    sign_in: SignIn, operator: User, connection: Connection
) -> None:
    client = sign_in(operator)

    def queries(page: str) -> int:
        client.get(page)
        with CaptureQueriesContext(database) as captured:
            client.get(page)
        return len(captured)

    pages = ("/prices/", "/prices/history/?asset=BTC&currency=EUR", "/prices/export/")
    enter(operator)
    few = [queries(page) for page in pages]
    for number in range(12):
        enter(operator, asset=f"A{number}")
        enter(operator, price=str(number + 1))
    assert [queries(page) for page in pages] == few


def test_the_footer_leads_there(sign_in: SignIn, maker: User) -> None:
    assert page_of(sign_in(maker).get("/transfers/")).xpath("//footer//a[@href='/prices/']")
