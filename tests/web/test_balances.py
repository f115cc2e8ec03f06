"""What we held, on a page and in a file: each number exact and with its own time, and nothing unknown shown as 0."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from connectors.simulators.core import Simulator
from tests.balances.kept import keep
from tests.house import bare_connection, person, set_up, treat
from tests.web.swap import by_id, htmx, page_of, swapped, text_of
from treasury.balances.refresh import refresh
from treasury.controls.roles import AUDITORS, CHECKERS, MAKERS, OPERATORS
from treasury.models import Account, AuditEntry, Connection, Price, Snapshot, Transfer, User
from treasury.transfers import dispatch
from treasury.web.charts import over_time
from treasury.web.charts.over_time import Venue, drawing

pytestmark = pytest.mark.django_db

SignIn = Callable[..., Client]
HERE, CHANGES, EXPORT = "/balances/", "/balances/changes/", "/balances/export/"
NOON = datetime(2026, 11, 3, 12, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
AT_NOON = f"{HERE}?at=2026-11-03T12:00"
LARGE = "1000000000000000000000000.000000000000000001"  # 43 digits
THIN = "\u202f"


def login(name: str, *addresses: str, venue: str = "bybit") -> Connection:
    made = bare_connection(
        name=name, venue=venue, environment="mainnet", login=name, credentials="-", created_at=NOON - 200 * DAY
    )
    for address in addresses:
        set_up(connection=made, address=address, kind=address, title=address.capitalize())
    return made


@pytest.fixture
def first(db: None) -> Connection:
    return login("First", "FUND", "UNIFIED")


@pytest.fixture
def second(db: None) -> Connection:
    return login("Second", "BANK", venue="qonto")


def flat(text: str) -> str:
    return " ".join(re.sub(r"[ \n\t]+", " ", text).split(" ")).strip()


def words(client: Client, part: str, address: str = HERE) -> str:
    return flat(by_id(page_of(client.get(address)), part).text_content())


# -- who may look --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", [MAKERS, CHECKERS, OPERATORS, AUDITORS])
@pytest.mark.parametrize("address", [HERE, CHANGES, EXPORT])
def test_anybody_with_a_role_may_look(sign_in: SignIn, role: str, address: str, first: Connection) -> None:
    response = sign_in(person("someone", role)).get(address)
    assert response.status_code == 200
    if address != EXPORT:
        assert 'aria-current="page">Balances' in response.content.decode()


@pytest.mark.parametrize("address", [HERE, CHANGES, EXPORT])
def test_nobody_without_a_role_may(sign_in: SignIn, refused: Callable[[], list[Any]], address: str) -> None:
    response = sign_in(person("someone")).get(address)
    assert response.status_code == 403
    assert refused() == [("someone", "balances.see", f"page:{address}")]
    assert "Balances</a>" not in response.content.decode()
    assert not AuditEntry.objects.filter(action="balance.export").exists()


# -- at a moment ---------------------------------------------------------------------------------------------


def test_noon_on_the_3rd_is_told_by_the_reading_before_it_with_its_own_time(
    sign_in: SignIn, maker: User, first: Connection
) -> None:
    keep(first, NOON - MINUTE, FUND={"USDT": "1234.5"}, UNIFIED={})
    keep(first, NOON + MINUTE, FUND={"USDT": "9999"}, UNIFIED={})
    shown = words(sign_in(maker), f"held-{first.pk}", AT_NOON)
    assert f"1{THIN}234.5" in shown
    assert "Read at 3 Nov 2026, 11:59:00 UTC, 1 min before" in shown
    assert "9999" not in shown.replace(THIN, "")
    assert "Nothing in it." in shown
    assert "stale" not in shown


def test_what_was_older_than_its_limit_at_that_moment_is_marked_stale(
    sign_in: SignIn, maker: User, first: Connection
) -> None:
    keep(first, NOON - HOUR, FUND={"USDT": "1"}, UNIFIED={})
    client = sign_in(maker)
    assert "1 h before stale" in words(client, f"held-{first.pk}", AT_NOON)
    assert "stale" in words(client, "totals", AT_NOON)


def test_what_was_not_read_is_not_known_and_never_a_zero(
    sign_in: SignIn, maker: User, first: Connection, second: Connection
) -> None:
    keep(first, NOON - MINUTE, FUND={"USDT": None, "BTC": "2"})
    client = sign_in(maker)
    assert "Not known: it had not been read by then." in words(client, f"held-{second.pk}", AT_NOON)
    shown = words(client, f"held-{first.pk}", AT_NOON)
    assert "— not readable: no answer" in shown
    assert shown.count("Not known: it had not been read by then.") == 1
    keep(first, NOON + MINUTE, FUND={"USDT": "1"})
    assert "Not known: it was not set up here yet." in words(client, f"held-{first.pk}", AT_NOON)
    assert re.search(r"(?<![\d.])0(?![\d.])", re.sub(r"\d+ (s|min) before|11:59:00|held-\d+", "", shown)) is None


def test_sums_are_of_what_is_known_say_at_least_and_name_what_is_missing(
    sign_in: SignIn, maker: User, first: Connection, second: Connection
) -> None:
    keep(first, NOON - MINUTE, FUND={"USDT": LARGE}, UNIFIED={"USDT": None, "BTC": "1"})
    keep(second, NOON - MINUTE, BANK={"usdt": "0.000000000000000001"})
    rows = page_of(sign_in(maker).get(AT_NOON)).xpath("//*[@id='totals']//tbody/tr")
    told = {flat(row.xpath("th/a/text()")[0]): flat(row.text_content()) for row in rows}
    grouped = "1" + f"{THIN}000" * 8 + ".000000000000000002"
    assert f"at least {grouped}" in told["USDT"]
    assert "First · Unified: no answer" in told["USDT"]
    assert "at least" not in told["BTC"]
    assert told["BTC"].endswith("nothing")


def test_a_sum_of_nothing_that_is_known_is_not_known_and_worth_nothing_that_is_said(
    sign_in: SignIn, maker: User, first: Connection, settings: Any
) -> None:
    settings.REPORTING_CURRENCY = "USDT"
    keep(first, NOON - MINUTE, FUND={"USDT": None}, UNIFIED={"": None})
    shown = words(sign_in(maker), "totals", AT_NOON)
    assert "Not known." in shown
    assert "USDT over time not known — First · Fund: no answer; First · Unified: no answer" in shown
    assert "at least" not in shown.lower()
    assert "0.00" not in shown


def test_what_has_a_price_is_valued_by_the_price_of_that_time_and_the_rest_is_not(
    sign_in: SignIn, maker: User, first: Connection, settings: Any
) -> None:
    settings.REPORTING_CURRENCY = "EUR"
    keep(first, NOON - MINUTE, FUND={"BTC": "2", "ODD": "5", "EUR": "1"}, UNIFIED={})
    for price, as_of in ((50_000, NOON - HOUR), (99_000, NOON + HOUR)):
        Price.objects.create(
            asset="BTC", currency="EUR", price=price, as_of=as_of, source="x", entered_by=maker, entered_at=NOON
        )
    shown = words(sign_in(maker), "totals", AT_NOON)
    assert f"At least ≈ 100{THIN}001.00 EUR" in shown
    assert "Not valued: ODD" in shown
    assert "not valued" in shown


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ("yesterday", "Enter a date and a time"),
        ("2199-01-01T00:00", "has not come yet"),
        ("0001-01-01T00:00", "Nothing was kept so long ago"),
        ("2026-13-03T12:00", "Enter a date and a time"),
    ],
)
def test_a_moment_that_is_none_is_refused_with_the_reason(
    sign_in: SignIn, maker: User, first: Connection, asked: str, why: str
) -> None:
    client = sign_in(maker)
    response = client.get(HERE, {"at": asked})
    assert response.status_code == 422
    assert why in response.content.decode()
    assert "held-" not in response.content.decode()
    refused = client.get(EXPORT, {"at": asked})
    assert refused.status_code == 422
    assert "Nothing was exported." in refused.content.decode()
    assert not AuditEntry.objects.filter(action="balance.export").exists()


@pytest.mark.parametrize("asked", ["2026-11-03T12:00:00Z", "2026-11-03T13:00+01:00", "2026-11-03 12:00"])
def test_a_moment_may_be_written_with_its_zone(sign_in: SignIn, maker: User, first: Connection, asked: str) -> None:
    keep(first, NOON - MINUTE, FUND={"USDT": "7"}, UNIFIED={})
    response = sign_in(maker).get(HERE, {"at": asked})
    assert "What we held at" in response.content.decode()
    assert "3 Nov 2026, 12:00:00 UTC" in response.content.decode()


def test_without_a_moment_it_is_now_and_leads_to_what_changed(
    sign_in: SignIn, maker: User, connection: Connection
) -> None:
    client = sign_in(maker)
    page = page_of(client.get(HERE))
    shown = flat(by_id(page, f"held-{connection.pk}").text_content())
    assert f"1{THIN}000" in shown
    links = page.xpath(f"//*[@id='held-{connection.pk}']//p//a/@href")
    assert len(links) == 2
    for link in links:
        assert client.get(link).status_code == 200


@pytest.mark.usefixtures("still")
@pytest.mark.parametrize(
    "question", ["", "?at=2026-11-03T12:00", "?at=nonsense", "?asset=btc&days=30", "?asset=NONE&days=999"]
)
def test_every_swap_equals_a_reload(
    sign_in: SignIn, maker: User, first: Connection, second: Connection, question: str
) -> None:
    keep(first, NOON - MINUTE, FUND={"USDT": "5", "BTC": None}, UNIFIED={"BTC": "3"})
    client = sign_in(maker)
    answer = htmx(client, "get", f"{HERE}{question}", page=HERE)
    page = swapped(page_of(client.get(HERE)), answer, "balances")
    assert text_of(page) == text_of(page_of(client.get(f"{HERE}{question}")))


def test_it_asks_the_database_as_often_for_many_connections_as_for_few(
    sign_in: SignIn, maker: User, django_assert_max_num_queries: Any
) -> None:
    for number in range(12):
        one = login(f"Login {number}", "FUND", "UNIFIED")
        for minutes in range(5):
            keep(one, NOON - minutes * MINUTE, FUND={f"C{n}": "1" for n in range(20)}, UNIFIED={})
    client = sign_in(maker)
    client.get(AT_NOON)
    with django_assert_max_num_queries(21):  # a short history is asked for once more
        client.get(AT_NOON)


# -- the file ------------------------------------------------------------------------------------------------


def exported(client: Client, at: str = "2026-11-03T12:00") -> list[dict[str, str]]:
    response = client.get(EXPORT, {"at": at})
    assert response.status_code == 200
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    assert response["Content-Disposition"] == 'attachment; filename="balances-20261103T120000Z.csv"'
    return list(csv.DictReader(io.StringIO(response.content.decode("utf-8-sig"))))


def test_the_file_has_a_row_for_each_number_with_its_own_time_and_says_what_is_not_known(
    sign_in: SignIn, maker: User, first: Connection, second: Connection
) -> None:
    keep(first, NOON - MINUTE, FUND={"USDT": LARGE, "BTC": "-0.000000000000000001", "ETH": None})
    rows = exported(sign_in(maker))
    assert [(row["account address"], row["asset"], row["total"], row["note"]) for row in rows] == [
        ("FUND", "BTC", "-0.000000000000000001", ""),
        ("FUND", "ETH", "", "not readable: no answer"),
        ("FUND", "USDT", LARGE, ""),
        ("UNIFIED", "", "", "not known: it had not been read by then"),
        ("", "", "", "not known: it had not been read by then"),
    ]
    assert {row["asked instant"] for row in rows} == {"2026-11-03T12:00:00Z"}
    assert [row["read at"] for row in rows] == ["2026-11-03T11:59:00Z"] * 4 + [""]
    assert (rows[0]["connection"], rows[0]["venue"], rows[0]["environment"]) == ("First", "bybit", "mainnet")


def test_no_cell_is_a_formula_and_no_number_is_a_text(sign_in: SignIn, maker: User, first: Connection) -> None:
    evil = ['=HYPERLINK("http://x")', "+1", "-1", "@SUM(A1)", "＝1", "plain"]
    for place, title in enumerate(evil):
        set_up(connection=first, address=f"A{place}", kind="x", title=title)
    told = {f"A{place}": {"=X": "-5"} for place in range(len(evil))}
    keep(first, NOON - HOUR, FUND={}, UNIFIED={}, **told)
    rows = [row for row in exported(sign_in(maker)) if row["account address"].startswith("A")]
    assert [row["title"] for row in rows] == [*(f"'{title}" for title in evil[:-1]), "plain"]
    assert {(row["asset"], row["total"], row["movable"], row["note"]) for row in rows} == {("'=X", "-5", "-5", "stale")}


def test_no_cell_is_a_formula_where_lines_are_split_at_semicolons(
    sign_in: SignIn, maker: User, first: Connection
) -> None:
    """Neither a title nor what a venue gave as its problem, which stands behind words of ours."""
    treat(Account.objects.get(address="FUND"), title="x;=HYPERLINK(1)")
    made = keep(first, NOON - MINUTE, FUND={"USDT": None}, UNIFIED={})
    holdings = {**made.holdings, "FUND": {"USDT": {"total": None, "movable": None, "problem": "down; =1+1;@x"}}}
    Snapshot.objects.create(connection=first, at=NOON, holdings=holdings)
    text = sign_in(maker).get(EXPORT, {"at": "2026-11-03T12:00"}).content.decode("utf-8-sig")
    cells = [cell.strip() for row in csv.reader(io.StringIO(text), delimiter=";") for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]
    assert "not readable: down;' =1+1;'@x" in text


def test_each_export_is_in_the_log_with_the_files_digest(sign_in: SignIn, maker: User, first: Connection) -> None:
    keep(first, NOON - MINUTE, FUND={"USDT": "1"}, UNIFIED={})
    exported(sign_in(maker))
    entry = AuditEntry.objects.get(action="balance.export")
    assert (entry.actor, entry.subject) == ("maker", "balances:2026-11-03T12:00:00Z")
    assert entry.facts["rows"] == 2
    assert len(entry.facts["sha256"]) == 64


# -- what changed --------------------------------------------------------------------------------------------


def test_a_change_is_taken_apart_with_links_to_our_transfers(
    sign_in: SignIn,
    maker: User,
    connection: Connection,
    unified: Account,
    approved: Callable[..., Transfer],
    venue: Simulator,
) -> None:
    began = timezone.now()
    transfer = approved(amount="12.5")
    dispatch.dispatch(reference=transfer.reference, now=timezone.now)
    venue.set_balance("UNIFIED", "USDT", "980")
    refresh(connection=connection, at=timezone.now())
    page = page_of(sign_in(maker).get(CHANGES, {"connection": connection.pk, "since": began.isoformat()}))
    (row,) = page.xpath("//h3[text()='Unified Trading']/following-sibling::div[1]//tbody/tr[th='USDT']")
    cells = {cell.get("data-label"): flat(cell.text_content()) for cell in row.xpath("td")}
    assert cells["Before"] == f"1{THIN}000"
    assert cells["After"] == "980"
    assert cells["Change"] == "\u221220"
    assert cells["Ours"] == f"\u221212.5{transfer.reference} \u221212.5"
    assert cells["Fees"] == "0"
    assert cells["Rest"].startswith("\u22127.5other movement at the venue")
    assert f"/transfers/{transfer.reference}/" in row.xpath(".//a/@href")


def test_it_says_when_there_was_no_reading_at_the_beginning_and_when_there_are_not_two(
    sign_in: SignIn, maker: User, first: Connection
) -> None:
    client = sign_in(maker)
    asked = {"connection": first.pk, "since": "2026-11-03T12:00", "until": "2026-11-03T18:00"}
    assert "was not read twice" in client.get(CHANGES, asked).content.decode()
    keep(first, NOON + HOUR, FUND={"USDT": "1"}, UNIFIED={})
    assert "was not read twice" in client.get(CHANGES, asked).content.decode()
    keep(first, NOON + 2 * HOUR, FUND={"USDT": "1"}, UNIFIED={})
    shown = flat(client.get(CHANGES, asked).content.decode())
    assert "It had not been read before the asked beginning" in shown
    assert "Nothing changed in any account." in shown
    turned = {**asked, "until": "2026-11-03T11:00"}
    assert "the beginning lies after the end" in client.get(CHANGES, turned).content.decode()


@pytest.mark.usefixtures("still")
@pytest.mark.parametrize("question", ["", "?connection=0&since=nonsense", "?connection={}&since=2026-11-03T12:00"])
def test_every_swap_of_what_changed_equals_a_reload(
    sign_in: SignIn, maker: User, first: Connection, question: str
) -> None:
    for hours, total in ((0, "5"), (1, None), (2, "7")):
        keep(first, NOON + hours * HOUR, FUND={"USDT": total, "BTC": str(hours)}, UNIFIED={})
    client = sign_in(maker)
    address = f"{CHANGES}{question.format(first.pk)}"
    page = swapped(page_of(client.get(CHANGES)), htmx(client, "get", address, page=CHANGES), "balance-changes")
    again = client.get(address)
    assert again.status_code == (422 if "nonsense" in question else 200)
    assert text_of(page) == text_of(page_of(again))


# -- over time -----------------------------------------------------------------------------------------------


def test_the_chart_says_its_sums_in_words_and_has_the_numbers_beneath(
    sign_in: SignIn, maker: User, first: Connection, second: Connection
) -> None:
    for number in range(145):
        keep(first, NOON - number * 10 * MINUTE - MINUTE, FUND={"USDT": str(1000 - number)}, UNIFIED={})
        keep(second, NOON - number * 10 * MINUTE - MINUTE, BANK={"USDT": "200"})
    page = page_of(sign_in(maker).get(f"{AT_NOON}&asset=usdt&days=1"))
    chart = by_id(page, "over-time")
    said = flat(by_id(page, "over-time-desc").text_content())
    assert said == f"USDT rose from 1{THIN}057 to 1{THIN}200 over 24 hours; most is at Bybit (83 %)."
    assert flat(chart.xpath("p")[0].text_content()) == said
    assert len(chart.xpath(".//*[@class='layer']")) == 2
    assert len({one.get("fill") for one in chart.xpath(".//*[@class='layer']")}) == 2
    rows = chart.xpath(".//details//tbody/tr")
    assert len(rows) == 120
    assert flat(rows[0].text_content()) == f"3 Nov 2026, 12:00:00 UTC1{THIN}0002001{THIN}200"
    assert not chart.xpath(".//*[@style]")


def test_exact_sums_stand_in_the_table_however_large_they_are(
    sign_in: SignIn, maker: User, first: Connection, second: Connection
) -> None:
    keep(first, NOON - MINUTE, FUND={"USDT": LARGE}, UNIFIED={"USDT": LARGE})
    keep(second, NOON - MINUTE, BANK={"USDT": LARGE})
    page = page_of(sign_in(maker).get(f"{AT_NOON}&asset=USDT&days=1"))
    newest = flat(by_id(page, "over-time").xpath(".//details//tbody/tr")[0].text_content())
    assert newest.endswith("3" + f"{THIN}000" * 8 + ".000000000000000003")


MOMENTS = [NOON + number * HOUR for number in range(4)]


def drawn(*venues: Venue, days: int = 1) -> over_time.Drawing:
    found = drawing(venues, asset="USDT", moments=MOMENTS, days=days)
    assert found is not None
    return found


def amounts(*totals: str | None) -> list[Decimal | None]:
    return [None if total is None else Decimal(total) for total in totals]


def test_where_nothing_is_known_there_is_a_gap_and_no_line() -> None:
    one = drawn(Venue("A", amounts("1", None, "1", "2")), Venue("B", amounts("1", "1", "1", "1")))
    assert one.gaps == [("250", "250")]
    assert [layer.path.count("M") for layer in one.layers] == [2, 1]
    assert one.total.count("M") == 2
    assert one.words.startswith("USDT rose from 2 to 3 over 24 hours")
    assert [row.total for row in one.rows] == [2, None, 2, 3]


def test_columns_stand_on_each_other_and_the_axis_has_round_numbers() -> None:
    one = drawn(Venue("A", amounts("10", "10", "10", "10")), Venue("B", amounts("30", "30", "30", "30")))
    assert [line.text for line in one.lines] == ["0", "10", "20", "30", "40"]
    assert [layer.path for layer in one.layers] == [
        "M0 220V165H250V165H500V165H750V165H1000V220H750V220H500V220H250V220H0Z",
        "M0 165V0H250V0H500V0H750V0H1000V165H750V165H500V165H250V165H0Z",
    ]


def test_what_is_owed_hangs_below_the_line() -> None:
    one = drawn(Venue("A", amounts("10", "10", "10", "10")), Venue("B", amounts("-10", "-10", "-10", "-10")))
    assert one.zero == "110"
    assert [layer.path[:13] for layer in one.layers] == ["M0 110V0H250V", "M0 110V220H25"]
    assert one.words == "USDT is at 0, as it was at the beginning, over 24 hours."


@pytest.mark.parametrize(
    ("largest", "unit", "label"),
    [
        ("4000", "USDT", f"4{THIN}000"),
        ("4000000", "million USDT", "4"),
        (f"4{'0' * 24}", "10^24 USDT", "4"),
        ("0.000000000000000004", "10^-18 USDT", "4"),
        ("0.004", "USDT", "0.004"),
    ],
)
def test_the_axis_says_in_what_it_counts(largest: str, unit: str, label: str) -> None:
    one = drawn(Venue("A", amounts(largest, largest, largest, largest)))
    assert (one.unit, one.lines[-1].text) == (unit, label)


def test_more_venues_than_patterns_share_the_last_one() -> None:
    many = [Venue(f"V{number}", amounts(*[str(10 + number)] * 4)) for number in range(9)]
    one = drawn(*many)
    assert [layer.number for layer in one.layers] == [1, 2, 3, 4, 5, 6]
    assert one.columns[-1] == over_time.OTHERS
    assert one.rows[0].total == sum(range(10, 19))


def test_what_is_known_in_part_says_so_and_nothing_at_all_is_no_chart() -> None:
    one = drawn(Venue("A", amounts("1", "1", "1", "2"), in_part=True))
    assert one.words == (
        "What is known of USDT rose from 1 to 2 over 24 hours; all of it is at A. Not all that lies at A is known."
    )
    assert drawing([Venue("A", amounts("0", "0", "0", "0"))], asset="USDT", moments=MOMENTS, days=1) is None
    unknown = drawn(Venue("A", amounts(None, None, None, None)))
    assert "At no moment of these 24 hours" in unknown.words


def test_days_of_the_axis_are_midnights_of_utc() -> None:
    moments = [NOON - 7 * DAY + number * HOUR for number in range(1, 169)]
    one = drawing([Venue("A", [Decimal(1)] * 168)], asset="USDT", moments=moments, days=7)
    assert one is not None
    assert [tick.text for tick in one.days] == ["28 Oct", "29 Oct", "30 Oct", "31 Oct", "1 Nov", "2 Nov", "3 Nov"][:7]


def test_of_a_short_history_the_known_part_is_drawn_and_named(
    sign_in: SignIn, maker: User, first: Connection, second: Connection
) -> None:
    for minutes in (15, 10, 5):
        keep(first, NOON - minutes * MINUTE, FUND={"USDT": "5"}, UNIFIED={"USDT": "1"})
        keep(second, NOON - minutes * MINUTE, BANK={"USDT": "4"})
    page = page_of(sign_in(maker).get(f"{AT_NOON}&asset=USDT&days=1"))
    chart = by_id(page, "over-time")
    words = " ".join(chart.text_content().split())
    assert "USDT since 3 Nov 2026, 11:45 UTC, by venue" in words
    assert "USDT is at 10 (known since 3 Nov 2026, 11:45 UTC); most is at" in words
    assert "Of these 24 hours no more is known, and no more is drawn." in words
    assert not chart.find_class("gap")
    assert [one.text for one in chart.find_class("when")] == [
        "11:46",
        "11:48",
        "11:50",
        "11:52",
        "11:54",
        "11:56",
        "11:58",
    ]


def test_where_nothing_is_known_the_table_says_so_and_the_words_say_since_when() -> None:
    one = drawing(
        [Venue("A", amounts(None, "1", "1", "1")), Venue("B", amounts(None, "2", "2", None))],
        asset="USDT",
        moments=MOMENTS,
        days=1,
        now=MOMENTS[-1],
    )
    assert one is not None
    assert one.words == (
        "USDT was at 3 (known since 13:00 UTC today until 14:00 UTC today); most is at B (67 %). "
        "Before and after that, some venue is not known."
    )
    assert [row.nothing_known for row in one.rows] == [True, False, False, False]
