"""What something is worth: by which price, of when; and what has none is not valued, which is never 0."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from datetime import datetime, timedelta
from decimal import Decimal, getcontext
from typing import Any

import pytest
from django.db import connection as database
from django.test.utils import CaptureQueriesContext

from treasury.apps import DIGITS
from treasury.balances import prices, valuation
from treasury.balances.valuation import rounded, total, worth
from treasury.models import User
from treasury.models.amount import grouped, plain, signed
from treasury.templatetags.worth import valued

HOUR = timedelta(hours=1)
WIDE = Decimal("1000000000000000000000000.000000000000000001")  # 43 digits


@pytest.fixture
def priced(operator: User, at: datetime) -> Any:
    def make(asset: str, price: str, as_of: datetime = at, currency: str = "EUR") -> None:
        prices.enter(asset=asset, currency=currency, price=price, as_of=as_of, source="a test", by=operator, at=at)

    return make


def test_an_amount_is_worth_its_price_exactly(priced: Any, at: datetime) -> None:
    priced("BTC", "80000.5", at - HOUR)
    found = worth("BTC", Decimal("0.000000000000000001"), at)
    assert found is not None
    assert found.value == Decimal("0.0000000000000800005")
    assert (found.price, found.as_of, found.source, found.stale) == (Decimal("80000.5"), at - HOUR, "a test", False)


def test_venues_write_it_in_any_case_and_mean_one_asset(priced: Any, at: datetime) -> None:
    priced("USDT", "0.9")
    assert worth("usdt", Decimal(10), at) == worth("USDT", Decimal(10), at) is not None


def test_the_reporting_currency_is_worth_itself(db: None, at: datetime, settings: Any) -> None:
    found = worth("eur", Decimal("12.5"), at)
    assert found is not None
    assert (found.value, found.price, found.stale) == (Decimal("12.5"), 1, False)
    settings.REPORTING_CURRENCY = "USD"
    assert worth("EUR", Decimal("12.5"), at) is None


def test_what_has_no_price_in_the_reporting_currency_is_not_valued(priced: Any, at: datetime) -> None:
    priced("BTC", "90000", currency="USD")
    assert worth("BTC", Decimal(1), at) is None
    assert worth("BTC", Decimal(0), at) is None


def test_a_later_price_says_nothing_of_the_past(priced: Any, at: datetime) -> None:
    priced("BTC", "1", at - 3 * HOUR)
    priced("BTC", "2", at - HOUR)

    def price(when: datetime, known: Any = None) -> Decimal | None:
        found = worth("BTC", Decimal(1), when, known)
        return None if found is None else found.price

    assert [price(at), price(at - HOUR), price(at - 2 * HOUR), price(at - 4 * HOUR)] == [2, 2, 1, None]
    assert price(at - 4 * HOUR, valuation.prices_at(at)) is None  # not even when somebody hands it in


def test_an_old_price_is_stale_by_the_setting(priced: Any, at: datetime, settings: Any) -> None:
    priced("BTC", "1", at - 2 * HOUR)
    for limit, stale in ((2 * HOUR, False), (2 * HOUR - timedelta(seconds=1), True)):
        settings.PRICE_STALE_AFTER = limit
        found = worth("BTC", Decimal(1), at)
        assert found is not None
        assert found.stale is stale
        assert total([("BTC", Decimal(1))], at).stale is stale


def test_a_sum_names_what_is_not_in_it(priced: Any, at: datetime) -> None:
    priced("BTC", "10", at - 2 * HOUR)
    priced("ETH", "2", at - HOUR)
    held = [("BTC", Decimal(1)), ("eth", Decimal(3)), ("EUR", Decimal(5)), ("XYZ", Decimal(1)), ("btc", None)]
    found = total(held, at)
    assert found.value == 21
    assert (found.not_valued, found.not_known, found.oldest, found.stale) == (["XYZ"], ["BTC"], at - 2 * HOUR, False)
    assert not found.whole


def test_nothing_of_an_asset_without_a_price_is_no_gap(db: None, at: datetime) -> None:
    found = total([("XYZ", Decimal(0)), ("EUR", Decimal(5))], at)
    assert found.whole
    assert (found.value, found.oldest) == (5, None)


def test_a_sum_of_nothing_but_gaps_says_that_it_is_no_zero(db: None, at: datetime) -> None:
    assert not total([("XYZ", Decimal(1))], at).is_valued
    assert not total([("EUR", None)], at).is_valued
    assert total([("EUR", Decimal(1)), ("EUR", None)], at).is_valued
    assert total([], at).is_valued


def test_what_was_borrowed_is_taken_off_and_a_sum_may_be_negative(priced: Any, at: datetime) -> None:
    priced("BTC", "100")
    found = total([("BTC", Decimal("-2")), ("EUR", Decimal(50))], at)
    assert found.value == -150
    assert "≈ −150.00 EUR" in valued(found.value)


def test_a_sum_asks_the_database_once(priced: Any, at: datetime) -> None:
    priced("BTC", "1")
    with CaptureQueriesContext(database) as captured:
        total([("BTC", Decimal(1)), ("ETH", Decimal(1)), ("SOL", Decimal(1))] * 10, at)
    assert len(captured) == 1


def test_the_widest_product_and_sum_are_exact(priced: Any, at: datetime) -> None:
    wide = Decimal("9" * 30 + "." + "9" * 18)  # 48 digits, as wide as the columns
    priced("BTC", format(wide, "f"))
    units = int("9" * 48)
    found = worth("BTC", wide, at)
    assert found is not None
    assert int(found.value.scaleb(36, valuation.EXACT)) == units * units  # 96 digits, by whole numbers
    both = total([("BTC", wide), ("btc", wide), ("EUR", WIDE)], at)
    assert int(both.value.scaleb(36, valuation.EXACT)) == 2 * units * units + int(WIDE.scaleb(36, valuation.EXACT))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("0", "0.00"),
        ("0.005", "0.00"),
        ("0.015", "0.02"),
        ("0.025", "0.02"),
        ("0.0250000000000000000000000000000000000000000001", "0.03"),
        ("2.5", "2.50"),
        ("1234567.895", "1 234 567.90"),
        ("1234567.885", "1 234 567.88"),
        ("-0.015", "−0.02"),
        ("1000000000000000000000000.000000000000000001", "1" + " 000" * 8 + ".00"),
    ],
)
def test_only_what_is_shown_is_rounded_half_to_even_and_the_exact_value_is_beside_it(value: str, shown: str) -> None:
    text = valued(Decimal(value))
    assert f">≈ {shown} EUR<" in text.replace("\u202f", " ")
    assert f'title="{grouped(Decimal(value))} EUR"' in text
    assert f'value="{value}"' in text


def test_not_valued_is_never_a_zero() -> None:
    assert "not valued" in valued(None)
    assert "0" not in valued(None)


def test_rounding_has_room_for_any_sum() -> None:
    assert rounded(Decimal("9" * 60 + ".999")) == Decimal("1" + "0" * 60)


# -- 43 digits, wherever something is computed ---------------------------------------------------------------

PROBE = "from decimal import Decimal as D; print(D(10) ** 24 + D(1).scaleb(-18))"


@pytest.mark.parametrize(
    "setting_up",
    [
        "import django; django.setup()",
        "import treasury.wsgi",
        "import treasury.celery; treasury.celery.app.loader.import_default_modules()",
    ],
    ids=["a management command", "the web server", "a worker"],
)
@pytest.mark.parametrize(
    "asking",
    [
        PROBE,
        f"import threading; one = threading.Thread(target=lambda: exec({PROBE!r})); one.start(); one.join()",
        f"import concurrent.futures as f; f.ThreadPoolExecutor().submit(exec, {PROBE!r}).result()",
        f"import asyncio; asyncio.run(asyncio.to_thread(exec, {PROBE!r}))",
        f"import contextvars; contextvars.Context().run(exec, {PROBE!r})",
    ],
    ids=["main thread", "thread", "pool", "to_thread", "empty context"],
)
def test_every_process_and_thread_computes_with_64_digits(setting_up: str, asking: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"{setting_up}\n{asking}"],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "treasury.settings"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == format(WIDE, "f"), done.stderr


def test_a_thread_of_this_process_computes_with_64_digits() -> None:
    found: list[int] = []
    one = threading.Thread(target=lambda: found.append(getcontext().prec))
    one.start()
    one.join()
    assert found == [DIGITS]


def test_texts_of_amounts_are_exact_however_long() -> None:
    long = Decimal("-" + "7" * 60 + "." + "7" * 36)
    assert plain(long) == "-" + "7" * 60 + "." + "7" * 36
    assert grouped(long).replace("\u202f", "") == "−" + "7" * 60 + "." + "7" * 36
    assert signed(long.copy_negate()).replace("\u202f", "") == "+" + "7" * 60 + "." + "7" * 36
