"""Every balance is read with one button, and the page says how far that is; what we hold over all venues."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection as database
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tests.house import bare_connection, person, set_up
from tests.web.swap import by_id, htmx, page_of, swapped, text_of
from treasury.balances import prices
from treasury.models import Account, AuditEntry, Balance, Connection, ConnectionHealth, User
from treasury.web.progress import progress_of

pytestmark = pytest.mark.django_db

SignIn = Callable[..., Client]
Committed = Callable[..., Any]


@pytest.fixture
def more(connection: Connection) -> Callable[..., Connection]:
    """Another login, of which nothing was ever read."""

    def make(name: str, **words: Any) -> Connection:
        made = bare_connection(
            name=name,
            venue="bybit",
            environment="mainnet",
            login=name,
            credentials="-",
            created_at=timezone.now(),
            **words,
        )
        set_up(made, "FUND", title="Funding")
        return made

    return make


@pytest.fixture
def priced(operator: User) -> Callable[[str, str], None]:
    def make(asset: str, price: str, as_of: datetime | None = None) -> None:
        at = timezone.now()
        said = {"currency": "EUR", "source": "a test", "as_of": as_of or at}
        prices.enter(asset=asset, price=price, by=operator, at=at, **said)  # type: ignore[arg-type]

    return make


def section(client: Client, name: str) -> str:
    return " ".join(by_id(page_of(client.get("/")), name).text_content().replace("\u202f", " ").split())


def line(client: Client, asset: str) -> str:
    for row in by_id(page_of(client.get("/")), "held").xpath(".//tbody/tr"):
        if row.xpath("./th")[0].text_content() == asset:
            return " ".join(row.text_content().replace("\u202f", " ").split())
    raise AssertionError(f"no row for {asset}")


# -- read all ------------------------------------------------------------------------------------------------


def test_one_button_asks_for_every_connection_but_those_by_hand_and_those_limited(
    sign_in: SignIn,
    connection: Connection,
    more: Callable[..., Connection],
    auditor: User,
    rung: list[tuple[str, Any]],
    django_capture_on_commit_callbacks: Committed,
) -> None:
    second, by_hand, limited = more("Second"), more("By hand", by_hand=True), more("Limited")
    ConnectionHealth.objects.create(connection=limited, limited_until=timezone.now() + timedelta(minutes=5))
    client = sign_in(auditor)
    with django_capture_on_commit_callbacks(execute=True):
        for _ in range(2):  # a double click asks once
            assert client.post("/refresh/").status_code == 303
    assert sorted(rung) == [("treasury.refresh_connection", [pk]) for pk in sorted((connection.pk, second.pk))]
    assert AuditEntry.objects.filter(action="balance.ask", actor="auditor").count() == 2
    assert not ConnectionHealth.objects.filter(connection=by_hand).exists()


def test_nobody_without_a_role_asks_and_the_attempt_is_logged(
    sign_in: SignIn, connection: Connection, refused: Callable[[], Any], django_user_model: Any
) -> None:
    nobody = person("nobody")
    assert sign_in(nobody).post("/refresh/").status_code == 403
    assert refused() == [("nobody", "balance.ask", "page:/refresh/")]
    assert ConnectionHealth.objects.get().asked_at is None
    assert sign_in(nobody).get("/refresh/").status_code == 405


def test_the_page_says_how_far_it_is_and_stops_asking_once_all_have_answered(
    sign_in: SignIn, connection: Connection, more: Callable[..., Connection], maker: User
) -> None:
    second, limited, broken = more("Second"), more("Limited"), more("Broken")
    at = timezone.now()
    ConnectionHealth.objects.create(connection=limited, limited_until=at + timedelta(minutes=5))
    client = sign_in(maker)
    assert "reading" not in [one.get("id") for one in page_of(client.get("/")).iter()]
    client.post("/refresh/")
    assert section(client, "reading").startswith("0 of 4 read; waiting for Broken, Bybit main, Second.")
    ConnectionHealth.objects.filter(connection=connection).update(read_at=timezone.now())
    ConnectionHealth.objects.filter(connection=broken).update(
        asked_at=None, problem="the key has expired", read_again_at=at + timedelta(seconds=30)
    )
    text = section(client, "reading")
    assert text.startswith("1 of 4 read; waiting for Second. Limited is limited by its venue until ")
    assert text.endswith("Broken could not be read: the key has expired.")
    page = page_of(client.get("/"))
    assert by_id(page, "overview").get("hx-trigger") == "every 5s"
    (button,) = page.xpath("//form[@action='/refresh/']//button")
    assert button.get("disabled") is not None

    ConnectionHealth.objects.filter(connection=second).update(read_at=timezone.now())
    assert section(client, "reading").startswith("2 of 4 read. Limited is")
    assert htmx(client, "get", "/").status_code == 286
    assert by_id(page_of(client.get("/")), "overview").get("hx-trigger") is None


def test_one_reading_alone_counts_alone(
    sign_in: SignIn, connection: Connection, more: Callable[..., Connection], maker: User
) -> None:
    more("Second")
    client = sign_in(maker)
    client.post(f"/connections/{connection.pk}/refresh/")
    assert section(client, "reading") == "0 of 1 read; waiting for Bybit main."
    ConnectionHealth.objects.update(asked_at=timezone.now() - timedelta(minutes=1))
    assert progress_of(Connection.objects.select_related("health"), timezone.now()) is None


def test_a_swap_shows_what_a_reload_would(
    sign_in: SignIn, connection: Connection, maker: User, still: datetime
) -> None:
    client = sign_in(maker)
    page = page_of(client.get("/"))
    answer = htmx(client, "post", "/refresh/")
    assert answer.status_code == 200
    assert text_of(swapped(page, answer, "overview")) == text_of(page_of(client.get("/")))


# -- what we hold --------------------------------------------------------------------------------------------


def hold(account: Account, asset: str, total: str | None, movable: str | None = None, **words: Any) -> Balance:
    said = {"total": total, "movable": movable, "observed_at": timezone.now(), "problem": "", **words}
    found, _ = Balance.objects.update_or_create(account=account, asset=asset, defaults=said)
    return found


@pytest.fixture
def bare(connection: Connection, more: Callable[..., Connection]) -> tuple[Account, Account]:
    """Two accounts of two logins, read, that hold nothing yet."""
    Balance.objects.all().delete()
    other = more("Other")
    ConnectionHealth.objects.create(connection=other, read_at=timezone.now())
    return connection.accounts.get(address="UNIFIED"), other.accounts.get()


def test_an_asset_is_summed_over_all_venues_and_valued(
    sign_in: SignIn, bare: tuple[Account, Account], maker: User, priced: Callable[..., None]
) -> None:
    one, other = bare
    hold(one, "BTC", "1.5", "1")
    hold(other, "btc", "-0.25", "0", observed_at=timezone.now() - timedelta(minutes=7))
    hold(one, "EUR", "100", "100")
    hold(one, "XYZ", "3", "3")
    hold(one, "ZERO", "0", "0")
    priced("BTC", "80000", timezone.now() - timedelta(hours=30))
    client = sign_in(maker)
    assert line(client, "BTC") == "BTC 1.25 1 old price ≈ 100 000.00 EUR 7 min ago 1 of 2 stale"
    assert line(client, "EUR").startswith("EUR 100 100 ≈ 100.00 EUR")
    assert line(client, "XYZ").startswith("XYZ 3 3 not valued")
    text = section(client, "held")
    assert "≈ 100 100.00 EUR, by prices as old as 30 h ago. stale 1 asset not valued. 1 of 5 balances is stale." in text
    assert "ZERO" not in text
    assert "At least" not in text.replace("At least ≈", "")
    (tile,) = page_of(client.get("/")).xpath("//li[contains(@class, 'tile')]/a[@href='#held']")
    assert "1 asset not valued" in tile.text_content()


def test_what_could_not_be_read_is_named_and_the_sum_is_at_least(
    sign_in: SignIn, bare: tuple[Account, Account], maker: User, priced: Callable[..., None]
) -> None:
    one, other = bare
    priced("BTC", "10")
    hold(one, "BTC", "2", None)
    hold(other, "BTC", None, problem="no answer")
    hold(other, "ETH", None, problem="no answer")
    client = sign_in(maker)
    text = line(client, "BTC")
    assert text.startswith("BTC at least 2 without Other · Funding: not readable — not said at least ≈ 20.00 EUR")
    assert line(client, "ETH").startswith("ETH — not readable at Other · Funding")
    assert " 0 " not in line(client, "ETH").replace(" 0 s ago", "")
    text = section(client, "held")
    assert "At least ≈ 20.00 EUR" in text
    assert "Not all of Other · Funding could be read. What is there is missing in the sums; it is not 0." in text


def test_a_login_that_was_never_read_is_unknown_and_no_zero(
    sign_in: SignIn, connection: Connection, more: Callable[..., Connection], maker: User
) -> None:
    Balance.objects.all().delete()
    ConnectionHealth.objects.all().delete()
    more("Never read")
    client = sign_in(maker)
    text = section(client, "held")
    assert "Nothing is known of Bybit main · Funding, Bybit main · Unified Trading, Never read · Funding" in text
    assert "No number is known yet." in text
    (tile,) = page_of(client.get("/")).xpath("//li[contains(@class, 'tile')]/a[@href='#held']")
    assert [one.text_content() for one in tile] == ["—", "What we hold, at least"]


def test_a_sum_of_nothing_but_what_has_no_price_is_not_valued(
    sign_in: SignIn, bare: tuple[Account, Account], maker: User
) -> None:
    hold(bare[0], "XYZ", "5", "5")
    text = section(sign_in(maker), "held")
    assert "Not valued: there is no reference price for any of it." in text
    assert "0.00" not in text


def test_debts_are_taken_off(
    sign_in: SignIn, bare: tuple[Account, Account], maker: User, priced: Callable[..., None]
) -> None:
    priced("USDT", "0.5")
    hold(bare[0], "USDT", "-30", "0")
    hold(bare[1], "EUR", "10", "10")
    assert "≈ −5.00 EUR" in section(sign_in(maker), "held")


def test_the_largest_are_in_sight_and_the_rest_is_folded_away(
    sign_in: SignIn, bare: tuple[Account, Account], maker: User, priced: Callable[..., None]
) -> None:
    for number in range(12):
        hold(bare[0], f"A{number}", "1", "1")
        priced(f"A{number}", str(number + 1))
    page = page_of(sign_in(maker).get("/"))
    shown = [row.text_content() for row in by_id(page, "held").xpath("./div//tbody/tr/th")]
    assert shown == [f"A{number}" for number in range(11, 3, -1)]
    assert "4 more assets" in by_id(page, "held-folded").text_content()


def test_the_page_asks_the_database_as_often_for_many_as_for_few(
    sign_in: SignIn, bare: tuple[Account, Account], maker: User, more: Callable[..., Connection]
) -> None:
    client = sign_in(maker)

    def queries() -> int:
        client.get("/")
        with CaptureQueriesContext(database) as captured:
            client.get("/")
        return len(captured)

    hold(bare[0], "BTC", "1", "1")
    hold(bare[1], "BTC", None, problem="x")
    few = queries()
    for number in range(6):
        account = more(f"Login {number}").accounts.get()
        hold(account, "BTC", None, problem="x")
        more(f"Unread {number}")
        for asset in range(10):
            hold(account, f"A{asset}", "1", None)
    assert queries() == few


def test_forty_three_digits_stay_to_the_last_one(
    sign_in: SignIn, bare: tuple[Account, Account], maker: User, priced: Callable[..., None]
) -> None:
    wide = Decimal("1000000000000000000000000.000000000000000001")
    for account in bare:
        hold(account, "BTC", str(wide), str(wide))
    priced("BTC", "1.000000000000000001")
    client = sign_in(maker)
    both = "2" + " 000" * 8 + ".000000000000000002"
    assert line(client, "BTC").startswith(f"BTC {both} {both} ≈ 2" + " 000" * 5 + " 002 000 000.00 EUR")
    (value,) = by_id(page_of(client.get("/")), "held").xpath(".//tbody//data/@value")
    assert Decimal(value) == int(wide.scaleb(18)) * 2 * Decimal("1000000000000000001").scaleb(-36)
