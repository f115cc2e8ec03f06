"""What is where, how old it is, and what can be done about a connection."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from kombu.exceptions import OperationalError

from connectors.core.errors import Uncertain
from tests.house import bare_connection, put_forward, set_up
from tests.web.swap import by_id, page_of
from treasury.audit.record import Machine
from treasury.balances import snapshots
from treasury.balances.holdings import all_balances
from treasury.celery import app
from treasury.controls import stops
from treasury.models import (
    Account,
    AuditEntry,
    Balance,
    Connection,
    ConnectionHealth,
    StopOrder,
    Transfer,
    User,
)
from treasury.transfers import attempts, dispatch
from treasury.web import totals

Make = Callable[..., Transfer]
SignIn = Callable[..., Client]


def row(client: Client, account: str, asset: str) -> str:
    """The words of one balance's row."""
    for body in page_of(client.get("/")).xpath("//table[contains(@class, 'balances')]/tbody"):
        for line in body:
            if body.text_content().strip().startswith(account) and asset in [cell.text_content() for cell in line]:
                return " ".join(line.text_content().split())
    raise AssertionError(f"no row for {account} {asset}")


def test_a_balance_shows_its_numbers_and_its_age(sign_in: SignIn, connection: Connection, maker: User) -> None:
    Balance.objects.filter(asset="USDT").update(observed_at=timezone.now() - timedelta(seconds=42), total="1234567.5")
    text = row(sign_in(maker), "Unified Trading", "USDT")
    assert "1 234 567.5" in text
    assert "1 000" in text
    assert "42 s ago" in text
    assert "stale" not in text


def test_an_old_balance_is_stale_and_says_so(sign_in: SignIn, connection: Connection, maker: User) -> None:
    Balance.objects.filter(asset="USDT").update(observed_at=timezone.now() - timedelta(minutes=6))
    assert "6 min ago stale" in row(sign_in(maker), "Unified Trading", "USDT")


def test_an_unreadable_balance_is_never_a_zero(sign_in: SignIn, connection: Connection, maker: User) -> None:
    Balance.objects.filter(asset="USDT").update(total=None, movable=None, problem="the venue did not answer")
    text = row(sign_in(maker), "Unified Trading", "USDT")
    assert "not readable: the venue did not answer" in text
    assert "— not readable" in text
    assert not re.search(r"\b0\b(?! s ago)", text)


def test_a_failed_reading_is_shown_with_its_reason(sign_in: SignIn, connection: Connection, maker: User) -> None:
    ConnectionHealth.objects.update(problem="the key has expired")
    assert "The last reading failed: the key has expired." in sign_in(maker).get("/").content.decode()


def test_what_waits_for_me_is_counted_for_me_alone(
    sign_in: SignIn, submitted: Make, checker: User, maker: User
) -> None:
    submitted()
    submitted()
    assert '2<span class="unseen"> for you' in sign_in(checker).get("/").content.decode()
    assert '"unseen"> for you' not in sign_in(maker).get("/").content.decode()


def test_stopping_is_an_operators_right_and_takes_a_reason(
    sign_in: SignIn, connection: Connection, operator: User, checker: User, refused: Callable[[], Any]
) -> None:
    address = f"/connections/{connection.pk}/stop/"
    assert sign_in(checker).post(address, {"reason": "x"}).status_code == 403
    assert sign_in(operator).post(address, {"reason": " "}).status_code == 422
    assert not StopOrder.objects.exists()
    assert refused() == [("checker", "stop.order", f"connection:{connection.name}")]

    client = sign_in(operator)
    for _ in range(2):  # a double click is one stop
        assert client.post(address, {"reason": "Maintenance"}).status_code == 303
    assert StopOrder.objects.count() == 1
    assert "Bybit main is stopped." in sign_in(checker).get("/approvals/").content.decode()


def test_a_release_takes_two_operators(
    sign_in: SignIn, connection: Connection, operator: User, operator2: User, maker: User
) -> None:
    sign_in(operator).post(f"/connections/{connection.pk}/stop/", {"reason": "Maintenance"})
    order = StopOrder.objects.get()
    release = f"/stops/{order.pk}/release/"
    assert sign_in(maker).post(release, {"reason": "x"}).status_code == 403
    assert sign_in(operator).post(release, {"reason": ""}).status_code == 422
    assert sign_in(operator).post(release, {"reason": "Over"}).status_code == 303
    assert sign_in(operator).post(release, {"reason": "Over"}).status_code == 409
    assert sign_in(operator2).post(release, {"reason": "Yes"}).status_code == 409  # proposed already
    change = put_forward().get()
    confirm, confirmed = f"/stops/changes/{change.pk}/confirm/", {"digest": change.digest}
    assert sign_in(operator2).post(confirm, confirmed).status_code == 303
    assert sign_in(operator2).post(confirm, confirmed).status_code == 409
    order.refresh_from_db()
    assert order.released_at is not None


def test_a_reading_is_asked_of_a_worker_once(
    sign_in: SignIn,
    connection: Connection,
    checker: User,
    rung: list[tuple[str, Any]],
    django_capture_on_commit_callbacks: Callable[..., Any],
) -> None:
    client = sign_in(checker)
    with django_capture_on_commit_callbacks(execute=True):
        for _ in range(2):
            assert client.post(f"/connections/{connection.pk}/refresh/").status_code == 303
    assert rung == [("treasury.refresh_connection", [connection.pk])]
    assert AuditEntry.objects.filter(action="balance.ask", actor="checker").count() == 1
    page = page_of(client.get("/"))
    assert "Reading…" in by_id(page, f"connection-{connection.pk}").text_content()
    assert by_id(page, "overview").get("hx-trigger") == "every 5s"

    ConnectionHealth.objects.update(read_at=timezone.now())
    assert by_id(page_of(client.get("/")), "overview").get("hx-trigger") is None


def test_a_queue_that_is_down_breaks_no_page(
    sign_in: SignIn,
    connection: Connection,
    checker: User,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: Callable[..., Any],
) -> None:
    """The ask is in the table; the clock's own tick reads soon, whether the message arrives or not."""

    def down(*_: object, **__: object) -> None:
        raise OperationalError("no broker")

    monkeypatch.setattr(app, "send_task", down)
    with django_capture_on_commit_callbacks(execute=True):
        assert sign_in(checker).post(f"/connections/{connection.pk}/refresh/").status_code == 303


def test_an_empty_house_says_so_in_words(sign_in: SignIn, maker: User) -> None:
    text = sign_in(maker).get("/").content.decode()
    assert "No connection to a venue yet." in text
    assert "Nothing is in flight" in text


def test_a_maker_starts_a_draft_from_an_account(sign_in: SignIn, connection: Connection, maker: User) -> None:
    client = sign_in(maker)
    (address, *_) = page_of(client.get("/")).xpath("//a[@class='from-here']/@href")
    form = page_of(client.get(address))
    (chosen,) = form.xpath("//select[@name='source']//option[@selected]/@value")
    assert address == f"/transfers/new/?source={chosen}"


def test_zeros_are_folded_into_one_line_and_what_is_unknown_is_not(
    sign_in: SignIn, connection: Connection, maker: User
) -> None:
    fund = Balance.objects.filter(account__address="FUND")
    fund.exclude(asset="USDT").delete()
    (usdt,) = fund
    for asset, total, movable, problem in (
        ("AAA", "0", "0", ""),
        ("BBB", "0", None, ""),
        ("CCC", None, None, "no answer"),
        ("DDD", "0", "0", ""),
        ("EEE", "0", "3", ""),
    ):
        usdt.pk, usdt.asset, usdt.total, usdt.movable, usdt.problem = None, asset, total, movable, problem
        usdt.save(force_insert=True)
    client = sign_in(maker)
    bodies = page_of(client.get("/")).xpath("//table[contains(@class, 'balances')]/tbody")
    (body,) = [one for one in bodies if one.text_content().strip().startswith("Funding")]
    assert [" ".join(line.text_content().split()) for line in body][-1].startswith("Nothing of AAA, DDD. ")
    assert len(body) == 5
    assert body.xpath("./tr[1]/th/@rowspan") == ["5"]
    assert "not said" in row(client, "", "BBB")
    assert "not readable: no answer" in row(client, "", "CCC")


def test_an_account_with_only_zeros_is_one_line(sign_in: SignIn, connection: Connection, maker: User) -> None:
    Balance.objects.filter(account__address="FUND").update(
        total=0, movable=0, observed_at=timezone.now() - timedelta(minutes=6)
    )
    bodies = page_of(sign_in(maker).get("/")).xpath("//table[contains(@class, 'balances')]/tbody")
    (body,) = [one for one in bodies if one.text_content().strip().startswith("Funding")]
    (line,) = body
    text = " ".join(line.text_content().split())
    assert text.startswith("Funding FUND Nothing of ")
    assert text.endswith("6 min ago stale")
    assert "Move money out" not in text


# -- money at risk -------------------------------------------------------------------------------------------


def doubtful(transfer: Transfer) -> Transfer:
    attempt = dispatch.claim(reference=transfer.reference, at=timezone.now())
    assert attempt is not None
    attempts.conclude(attempt_id=attempt.pk, answer=Uncertain("Perhaps."), now=timezone.now)
    transfer.refresh_from_db()
    return transfer


def tile(client: Client) -> Any:
    (found,) = page_of(client.get("/")).xpath("//li[contains(@class, 'tile')][.//a[@href='#at-risk']]")
    return found


def columns(client: Client) -> list[str]:
    (head,) = page_of(client.get("/")).xpath("//table[contains(@class, 'balances')]/thead")
    return [cell.text_content() for cell in head.iter("th")]


def test_the_usual_page_is_calm(sign_in: SignIn, connection: Connection, maker: User) -> None:
    client = sign_in(maker)
    assert columns(client) == ["Account", "Asset", "Balance", "Movable", "Read"]
    assert tile(client).get("class") == "tile"
    assert tile(client).text_content().split() == ["0Money", "at", "risk"]


def test_money_at_risk_is_told_with_amount_count_and_age_and_grows_louder(
    sign_in: SignIn, approved: Make, maker: User, settings: Any
) -> None:
    first, second = doubtful(approved(amount="12.5")), doubtful(approved(amount="1.25"))
    client = sign_in(maker)
    assert tile(client).get("class") == "tile risk"
    text = " ".join(tile(client).text_content().split())
    assert "13.75 USDT" in text
    assert re.search(r"2 transfers, oldest \d+ s ago", text)
    section = " ".join(by_id(page_of(client.get("/")), "at-risk").text_content().split())
    for transfer in (first, second):
        assert transfer.reference in section
    assert "It may have moved: no clear answer came. The venue has not been asked yet." in section

    settings.DOUBT_TOLD_AFTER = timedelta(0)
    assert tile(client).get("class") == "tile risk loud"


def test_columns_for_what_is_reserved_and_at_risk_appear_where_there_is_any(
    sign_in: SignIn, approved: Make, maker: User
) -> None:
    doubtful(approved(amount="12.5"))
    client = sign_in(maker)
    assert columns(client) == ["Account", "Asset", "Balance", "Movable", "At risk", "Read"]
    approved(amount="40")
    assert columns(client) == ["Account", "Asset", "Balance", "Movable", "Reserved", "At risk", "Read"]
    text = row(client, "Unified Trading", "USDT")
    assert "40 reserved, see what is in flight 12.5 at risk, see which" in text
    assert "reserved" not in row(client, "Funding", "USDT")
    for line in page_of(client.get("/")).xpath("//table[contains(@class, 'balances')]/tbody/tr"):
        beside = 0 if line.xpath("./th") else 1  # the account's cell spans its rows
        assert beside + sum(int(cell.get("colspan", 1)) for cell in line) == 7


def test_an_emptied_account_with_money_on_its_way_is_not_folded_away(
    sign_in: SignIn, approved: Make, maker: User
) -> None:
    approved(amount="40")
    Balance.objects.filter(account__address="UNIFIED", asset="USDT").update(total=0, movable=0)
    assert "40 reserved" in row(sign_in(maker), "Unified Trading", "USDT")


def test_a_stopped_account_says_so_beside_its_login(sign_in: SignIn, connection: Connection, maker: User) -> None:
    account = connection.accounts.get(address="FUND")
    stops.stop(account=account, reason="it moved by itself", by=Machine("drift"), at=timezone.now())
    section = by_id(page_of(sign_in(maker).get("/")), f"connection-{connection.pk}")
    assert "Bybit main · Funding is stopped by drift" in " ".join(section.text_content().split())
    assert "it moved by itself" in section.text_content()


def test_an_account_that_no_reading_names_yet_is_missing_and_no_nothing(
    sign_in: SignIn, connection: Connection, maker: User
) -> None:
    """Set up since the last reading; after the next one, which finds nothing in it, it is empty."""
    new = set_up(connection=connection, address="FUTURES", title="Newly set up", kind="FUTURES")
    client = sign_in(maker)
    said = f"Nothing is known of {new}: not read yet, or not readable."
    text = " ".join(by_id(page_of(client.get("/")), "held").text_content().split())
    assert said in text
    assert "at least" in text.lower()
    snapshots.keep(connection, at=timezone.now())
    assert said not in " ".join(by_id(page_of(client.get("/")), "held").text_content().split())


@pytest.mark.parametrize("in_part", [False, True])
def test_what_could_not_be_read_is_missing_where_its_connection_has_shown_it(
    connection: Connection, unified: Account, fund: Account, at: datetime, in_part: bool
) -> None:
    elsewhere = bare_connection(
        name="Other", venue="qonto", environment="mainnet", login="o", credentials="-", created_at=at
    )
    bank = set_up(connection=elsewhere, address="IBAN", title="Bank", kind="bank")
    Balance.objects.create(account=bank, asset="CHF", total=5, movable=5, observed_at=at)
    Balance.objects.filter(account=fund).delete()
    Balance.objects.create(account=fund, asset="BTC", observed_at=at, problem="no answer")
    if in_part:
        Balance.objects.create(account=fund, asset="ETH", total=1, movable=1, observed_at=at)
    logins = Connection.objects.select_related("health").prefetch_related("accounts")
    rows = {one.asset: one for one in totals.what_we_hold(all_balances(), logins, at).rows}
    assert fund not in rows["CHF"].not_known, "nobody at its connection has ever shown any"
    assert fund in rows["USDT"].not_known, "another account of its connection has it"
