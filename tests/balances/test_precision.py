"""Forty-three digits, from the venue's answer to the page and the sheet: never rounded, never an exponent."""

from __future__ import annotations

import csv
import io
import threading
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.db.models import Sum
from django.test import Client
from django.utils import timezone

from connectors.simulators import core as simulators
from connectors.simulators.core import serve
from tests.house import connect
from tests.web.swap import by_id, page_of
from treasury import venues
from treasury.balances import price_sheets, prices, valuation
from treasury.balances.refresh import refresh
from treasury.models import Balance, Price, User

WIDE = Decimal("1000000000000000000000000.000000000000000001")  # 10^24, and 18 decimals
IN_CENTS = Decimal("1000000000000000000000000.01")  # where the venue counts in cents
SHOWN = "1" + "\u202f000" * 8 + ".000000000000000001"


@pytest.mark.parametrize("named", simulators.names())
def test_from_the_venue_to_the_page_and_the_sheet(
    named: str, db: None, settings: Any, operator: User, maker: User
) -> None:
    with serve(named) as simulator:
        settings.SIMULATORS = {named: simulator.url}
        login = simulator.practice[0]
        places = [(address, asset) for address, held in login.opening.items() for asset in held]
        asset = places[0][1]
        wide = IN_CENTS if venues.declared(named).amount_decimals == 2 else WIDE
        chosen = [place for place in places if place[1] == asset]
        for address, _ in places:
            simulator.set_balance(address, asset, "0")
        for address, _ in chosen:
            simulator.set_balance(address, asset, format(wide, "f"))
        made = connect(
            name="Ours",
            venue=named,
            environment=next(iter(venues.declared(named).hosts)),
            credentials=simulator.credentials,
            at=timezone.now(),
        )
        refresh(connection=made, at=timezone.now())
    stored = Balance.objects.filter(asset__iexact=asset).exclude(total=None).exclude(total=0)
    assert stored
    assert {one.total for one in stored} == {wide}
    sum_of_all = wide * len(stored)
    assert stored.aggregate(sum=Sum("total"))["sum"] == sum_of_all
    client = Client()
    client.force_login(maker)
    page = page_of(client.get("/"))
    text = by_id(page, "held").text_content()
    assert grouped_by_hand(sum_of_all) in text
    assert grouped_by_hand(wide) in by_id(page, f"connection-{made.pk}").text_content()
    assert "E+" not in page.text_content()
    sheet = csv.reader(io.StringIO(client.get("/balances/export/").content.decode("utf-8-sig")))
    told = [line for line in sheet if line[5].upper() == asset.upper() and line[6] not in ("", "0")]
    assert [line[6] for line in told] == [format(wide, "f")] * len(stored)


def grouped_by_hand(amount: Decimal) -> str:
    """As pages show it, by text alone."""
    whole, _, decimals = format(amount, "f").partition(".")
    decimals = decimals.rstrip("0")
    first = len(whole) % 3 or 3
    groups = [whole[:first], *(whole[start : start + 3] for start in range(first, len(whole), 3))]
    return "\u202f".join(groups) + (f".{decimals}" if decimals else "")


def test_a_price_of_43_digits_goes_through_its_sheet_and_back(operator: User) -> None:
    at = timezone.now()
    made = prices.enter(asset="BTC", currency="EUR", price=format(WIDE, "f"), as_of=at, source="x", by=operator, at=at)
    text = price_sheets.sheet(Price.objects.all())
    assert list(csv.reader(io.StringIO(text)))[1][2] == format(WIDE, "f")
    (row,) = price_sheets.preview(text=text, at=at).rows
    assert row.said.price == WIDE == Price.objects.get(pk=made.pk).price


def in_a_thread(compute: Callable[[], Decimal]) -> Decimal:
    found: list[Decimal] = []
    one = threading.Thread(target=lambda: found.append(compute()))
    one.start()
    one.join()
    return found[0]


def test_what_something_is_worth_is_exact_in_any_thread(operator: User) -> None:
    at = timezone.now()
    price = Price(asset="BTC", currency="EUR", price=WIDE, as_of=at, source="x")
    exact = Decimal(int(WIDE.scaleb(18)) ** 2).scaleb(-36, valuation.EXACT)

    def worth() -> Decimal:
        found = valuation.worth("BTC", WIDE, at, {"BTC": price})
        assert found is not None
        return found.value

    assert worth() == in_a_thread(worth) == exact
    assert len(exact.as_tuple().digits) == 85
