"""Reference prices: who enters them, what is a price, and a sheet that is entered all or none."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import DatabaseError, transaction

from treasury.balances import price_sheets, prices, unusual
from treasury.balances.price_sheets import BadSheet, Means, OtherSheet
from treasury.models import AuditEntry, Balance, Connection, Price, User
from treasury.models.cells import BEGINS_A_FORMULA

pytestmark = pytest.mark.django_db

HEADER = "asset,currency,price,as_of,source"


def enter(by: User, at: datetime, **said: object) -> Price:
    words = {"asset": "BTC", "currency": "EUR", "price": "80000", "as_of": at, "source": "a newspaper", **said}
    return prices.enter(by=by, at=at, **words)  # type: ignore[arg-type]


def sheet(*lines: str) -> str:
    return "\n".join((HEADER, *lines))


def imported(text: str, by: User, at: datetime) -> list[Price]:
    digest = price_sheets.preview(text=text, at=at).digest
    return price_sheets.import_csv(text=text, digest=digest, by=by, at=at, sure=True)


# -- one price -----------------------------------------------------------------------------------------------


def test_a_price_is_stored_as_it_was_said_and_logged_with_what_it_follows(operator: User, at: datetime) -> None:
    first = enter(operator, at - timedelta(hours=1), price="79000.000000000000000001")
    second = enter(operator, at, asset=" btc ", price="80 000.5", source=" The  Bank\t")
    assert (second.asset, second.price, second.source) == ("BTC", Decimal("80000.5"), "The Bank")
    entry = AuditEntry.objects.filter(action="price.enter").latest("id")
    assert (entry.subject, entry.actor) == ("price:BTC", "admin")
    assert '"before":{"as_of":' in entry.canonical
    assert '"price":"79000.000000000000000001"' in entry.canonical
    assert f'"number":{first.pk}' in entry.canonical


@pytest.mark.parametrize("who", ["maker", "checker", "auditor"])
def test_nobody_but_an_operator_enters_a_price(who: str, request: pytest.FixtureRequest, at: datetime) -> None:
    person = request.getfixturevalue(who)
    with pytest.raises(prices.MayNotPrice):
        enter(person, at)
    with pytest.raises(prices.MayNotPrice):
        imported(sheet("BTC,EUR,80000,2026-01-01,x"), person, at)
    assert not Price.objects.exists()
    assert not AuditEntry.objects.filter(action="price.enter").exists()


@pytest.mark.parametrize(
    ("column", "text"),
    [
        ("price", "0"),
        ("price", "0.0"),
        ("price", "-1"),
        ("price", "1e3"),
        ("price", "NaN"),
        ("price", "1,5"),
        ("price", "١"),
        ("price", ""),
        ("price", "0.0000000000000000001"),
        ("price", "1" + "0" * 30),
        ("asset", ""),
        ("asset", "two words"),
        ("asset", "B\0C"),
        ("asset", "X" * 41),
        ("currency", ""),
        ("currency", "EURO-2"),
        ("currency", "X" * 11),
        ("source", " "),
        ("source", "x" * 121),
        ("source", "a\0b"),
        ("as_of", "yesterday"),
        ("as_of", ""),
        ("as_of", "0001-01-01T00:00:00+14:00"),
    ],
)
def test_what_is_no_price_is_refused_with_its_column(operator: User, at: datetime, column: str, text: str) -> None:
    with pytest.raises(prices.NotEntered) as refusal:
        enter(operator, at, **{column: text})
    assert set(refusal.value.problems) == {column}
    assert not Price.objects.exists()


def test_every_mistake_is_named_at_once(operator: User, at: datetime) -> None:
    with pytest.raises(prices.NotEntered) as refusal:
        enter(operator, at, asset="", price="x", source="")
    assert set(refusal.value.problems) == {"asset", "price", "source"}


def test_the_widest_and_the_smallest_price_fit(operator: User, at: datetime) -> None:
    for text in ("9" * 30 + "." + "9" * 18, "0.000000000000000001"):
        assert Price.objects.get(pk=enter(operator, at, price=text).pk).price == Decimal(text)


def test_a_price_is_not_of_the_future_and_another_clock_is_forgiven(operator: User, at: datetime) -> None:
    with pytest.raises(prices.NotEntered) as refusal:
        enter(operator, at, as_of=at + timedelta(minutes=3))
    assert set(refusal.value.problems) == {"as_of"}
    assert enter(operator, at, as_of=at + timedelta(minutes=1)).as_of == at


def test_a_currency_has_no_price_in_itself(operator: User, at: datetime) -> None:
    with pytest.raises(prices.NotEntered, match="by definition"):
        enter(operator, at, asset="eur", price="2")


def test_a_double_click_is_one_price(operator: User, at: datetime) -> None:
    assert enter(operator, at).pk == enter(operator, at).pk
    assert Price.objects.count() == 1
    assert AuditEntry.objects.filter(action="price.enter").count() == 1


def test_going_back_to_an_earlier_price_of_the_same_moment_is_a_new_row(operator: User, at: datetime) -> None:
    enter(operator, at, price="1")
    enter(operator, at, price="2")
    enter(operator, at, price="1")
    assert [one.price for one in prices.newest(at)] == [Decimal(1)]
    assert Price.objects.count() == 3


def test_the_newest_moment_counts_and_then_the_newest_row(operator: User, at: datetime) -> None:
    hour = timedelta(hours=1)
    enter(operator, at, as_of=at - hour, price="10")
    enter(operator, at, as_of=at - 2 * hour, price="20")  # entered later, of an earlier moment
    assert [one.price for one in prices.newest(at)] == [Decimal(10)]
    enter(operator, at, as_of=at - hour, price="11")  # a correction
    assert [one.price for one in prices.newest(at)] == [Decimal(11)]
    assert [one.price for one in prices.newest(at - hour - timedelta(seconds=1))] == [Decimal(20)]
    assert list(prices.newest(at - 3 * hour)) == []


def test_a_price_is_never_changed_nor_taken_away(operator: User, at: datetime) -> None:
    made = enter(operator, at)
    for change in (lambda: Price.objects.update(price=1), made.delete):
        with pytest.raises(DatabaseError), transaction.atomic():
            change()


# -- a sheet -------------------------------------------------------------------------------------------------


def test_a_preview_says_what_each_line_does_and_enters_nothing(operator: User, at: datetime) -> None:
    enter(operator, at, as_of=datetime(2026, 1, 2, tzinfo=UTC), price="10", source="x")
    text = sheet(
        "ETH,EUR,3000,2026-01-01 12:00,x",
        "BTC,EUR,11,2026-01-03T00:00:00Z,x",
        "BTC,EUR,10.0,2026-01-04,x",
        "BTC,EUR,9,2026-01-01,x",
        "btc,eur,10,2026-01-02T01:00:00+01:00,x",
    )
    found = price_sheets.preview(text=text, at=at)
    assert [row.means for row in found.rows] == [Means.NEW, Means.CHANGED, Means.SAME, Means.PAST, Means.THERE]
    assert [row.line for row in found.rows] == [2, 3, 4, 5, 6]
    assert [row.before.price if row.before else None for row in found.rows] == [None, 10, 10, 10, 10]
    assert Price.objects.count() == 1
    assert len(imported(text, operator, at)) == 4
    assert Price.objects.count() == 5
    assert AuditEntry.objects.filter(action="price.enter").count() == 5


def test_one_bad_cell_enters_nothing_and_every_bad_cell_is_named(operator: User, at: datetime) -> None:
    text = sheet("ETH,EUR,3000,2026-01-01,x", "BTC,E R,-1,tomorrow,x", "SOL,EUR,1,2026-01-01,", ",EUR,1,2026-01-01,x")
    with pytest.raises(BadSheet) as bad:
        price_sheets.import_csv(text=text, digest="", by=operator, at=at)
    assert [(one.line, one.column) for one in bad.value.wrong] == [
        (3, "currency"),
        (3, "price"),
        (3, "as_of"),
        (4, "source"),
        (5, "asset"),
    ]
    assert not Price.objects.exists()


def test_only_what_was_looked_at_is_entered(operator: User, operator2: User, at: datetime) -> None:
    text = sheet("BTC,EUR,80000,2026-01-02,x")
    looked_at = price_sheets.preview(text=text, at=at).digest
    with pytest.raises(OtherSheet):
        price_sheets.import_csv(text=text.replace("80000", "8000"), digest=looked_at, by=operator, at=at)
    enter(operator2, at, as_of=datetime(2026, 1, 1, tzinfo=UTC), price="7")  # what the preview compared with
    with pytest.raises(OtherSheet):
        price_sheets.import_csv(text=text, digest=looked_at, by=operator, at=at)
    assert Price.objects.count() == 1
    assert len(imported(text, operator, at)) == 1


@pytest.fixture
def held(connection: Connection) -> str:
    """Of what is to be priced, the one asset that we hold."""
    Balance.objects.exclude(asset="USDT").update(total=0, movable=0)
    return "USDT"


@pytest.mark.parametrize(
    ("price", "change", "warned"), [("12", "20.0", False), ("12.01", "20.1", True), ("7.9", "-21.0", True)]
)
def test_a_price_that_is_far_off_is_entered_only_when_somebody_is_sure(
    operator: User, at: datetime, held: str, price: str, change: str, warned: bool
) -> None:
    enter(operator, at, asset=held, price="10", as_of=datetime(2026, 1, 1, tzinfo=UTC))
    text = sheet(f"{held},EUR,{price},2026-01-02,x")
    found = price_sheets.preview(text=text, at=at)
    (row,) = found.rows
    assert row.change == Decimal(change)
    assert bool(row.warnings) == warned
    if warned:
        with pytest.raises(unusual.NotSure, match="% against the newest price of USDT, 10"):
            price_sheets.import_csv(text=text, digest=found.digest, by=operator, at=at)
        assert Price.objects.count() == 1
    assert len(price_sheets.import_csv(text=text, digest=found.digest, by=operator, at=at, sure=warned)) == 1


def test_a_price_of_what_nobody_holds_is_warned_of(operator: User, at: datetime, held: str) -> None:
    found = price_sheets.preview(text=sheet(f"{held},EUR,1,2026-01-02,x", "BTCC,EUR,1,2026-01-02,x"), at=at)
    assert found.warnings == ["No account holds BTCC."]


def test_a_single_price_needs_every_warning_of_it_to_be_seen(operator: User, at: datetime, held: str) -> None:
    enter(operator, at, asset=held, price="10", as_of=datetime(2026, 1, 1, tzinfo=UTC))
    with pytest.raises(unusual.NotSure) as first:
        enter(operator, at, asset=held, price="100", seen=())
    with pytest.raises(unusual.NotSure):
        enter(operator, at, asset=held, price="1000", seen=first.value.warnings)  # of another price
    assert Price.objects.count() == 1
    assert enter(operator, at, asset=held, price="100", seen=first.value.warnings).price == 100


def test_prices_as_far_apart_as_columns_hold_are_compared(operator: User, at: datetime, held: str) -> None:
    enter(operator, at, asset=held, price="0.000000000000000001", as_of=datetime(2026, 1, 1, tzinfo=UTC))
    (row,) = price_sheets.preview(text=sheet(f"{held},EUR,{'9' * 30},2026-01-02,x"), at=at).rows
    assert row.change == (Decimal("9" * 30).scaleb(18) - 1) * 100


def test_a_sheet_that_fails_half_way_leaves_nothing(
    operator: User, at: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = prices.written, []

    def failing(said: prices.Said, by: User, moment: datetime) -> Price:
        calls.append(said)
        if len(calls) == 2:
            raise RuntimeError("the power went")
        return real(said, by, moment)

    monkeypatch.setattr(prices, "written", failing)
    with pytest.raises(RuntimeError):
        imported(sheet("BTC,EUR,1,2026-01-01,x", "ETH,EUR,1,2026-01-01,x"), operator, at)
    assert not Price.objects.exists()
    assert not AuditEntry.objects.filter(action="price.enter").exists()


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("", 1, ""),
        (HEADER, 1, ""),
        ("asset,currency,price,as_of\nBTC,EUR,1,2026-01-01", 1, "source"),
        (f"{HEADER},why\nBTC,EUR,1,2026-01-01,x,y", 1, "why"),
        (f"{HEADER},price\nBTC,EUR,1,2026-01-01,x,1", 1, "price"),
        ("asset;currency;price;as_of;source\nBTC;EUR;1;2026-01-01;x", 1, "asset"),
        (f"{HEADER}\nBTC,EUR,1,2026-01-01,x,y", 2, ""),
        (f"{HEADER}\nBTC,EUR,1,2026-01-01", 2, ""),
        (f'{HEADER}\nBTC,EUR,1,2026-01-01,"x"y', 2, ""),
        (f"{HEADER}\nBTC,EUR,1,2026-01-01,x\nbtc,EUR,2,2026-01-01,y", 3, ""),
        ("x" * 200_001, 1, ""),
        ("\n".join([HEADER, *(f"A{number},EUR,1,2026-01-01,x" for number in range(501))]), 502, ""),
    ],
)
def test_what_is_no_sheet_of_prices_says_where(at: datetime, text: str, line: int, column: str) -> None:
    with pytest.raises(BadSheet) as bad:
        price_sheets.preview(text=text, at=at)
    assert (bad.value.wrong[0].line, bad.value.wrong[0].column) == (line, column)


def test_columns_may_stand_in_any_order_with_a_byte_order_mark_and_empty_lines(operator: User, at: datetime) -> None:
    text = "\ufeffSource,As of,Price,Currency,Asset\r\n\r\nThe Bank,2026-01-01 12:00,1.5,eur,usdt\r\n"
    (made,) = imported(text, operator, at)
    assert (made.asset, made.currency, made.price, made.source) == ("USDT", "EUR", Decimal("1.5"), "The Bank")
    assert made.as_of == datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("evil", ["=1+1", "+1", "-1", "@SUM(A1)", "'=1", "''x", "＝1", '=HYPERLINK("http://x")'])
def test_no_spreadsheet_takes_a_cell_for_a_formula_and_the_sheet_can_be_read_again(
    operator: User, at: datetime, evil: str
) -> None:
    enter(operator, at, asset="=A1", source=evil)
    text = price_sheets.sheet(Price.objects.all())
    (_, cells) = csv.reader(io.StringIO(text))
    assert all(not cell.startswith(BEGINS_A_FORMULA) for cell in cells)
    (row,) = price_sheets.preview(text=text, at=at).rows
    assert (row.said.asset, row.said.source, row.means) == ("=A1", evil, Means.THERE)
