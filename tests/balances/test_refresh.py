"""What we hold: exact, with its age, and never a silent zero."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from django.conf import settings
from django.utils import timezone

from connectors.core.protocol import EVERY_ASSET, Check, VenueBalance
from connectors.simulators.core import Simulator
from treasury import venues
from treasury.balances import refresh
from treasury.balances.holdings import is_stale
from treasury.models import Account, AuditEntry, Balance, Connection, ConnectionHealth

pytestmark = pytest.mark.django_db


def held(account: Account, asset: str = "USDT") -> Balance:
    return Balance.objects.get(account=account, asset=asset)


class Says:
    """A connector whose answer the test writes."""

    def __init__(self, login: str, *rows: VenueBalance) -> None:
        self.login, self.rows = login, list(rows)

    def check(self) -> Check:
        return Check(login=self.login, may_transfer=True, words=[])

    def balances(self) -> list[VenueBalance]:
        return self.rows


def row(asset: str = "USDT", total: str | None = "1", address: str = "UNIFIED", **more: object) -> VenueBalance:
    amount = None if total is None else Decimal(total)
    said = {"movable": amount, "observed_at": timezone.now(), **more}
    return VenueBalance(address=address, asset=asset, total=amount, **said)  # type: ignore[arg-type]


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch, connection: Connection) -> object:
    def set_answer(*rows: VenueBalance, login: str = connection.login) -> None:
        monkeypatch.setattr(venues, "open_connection", lambda *_: Says(login, *rows))
        refresh.refresh(connection=connection, at=timezone.now())

    return set_answer


def test_a_reading_over_http_is_stored_with_its_time(unified: Account, venue: Simulator) -> None:
    venue.set_balance("UNIFIED", "USDT", "123.45678901")
    before = timezone.now()
    refresh.refresh(connection=unified.connection, at=timezone.now())
    assert held(unified).total == Decimal("123.45678901")
    assert held(unified).observed_at >= before - timedelta(seconds=1)
    assert AuditEntry.objects.filter(action="balance.refresh").count() == 2  # one entry a batch


def test_eighteen_decimals_beside_ten_to_the_24_are_kept_exactly(says: object, unified: Account) -> None:
    largest = "999999999999999999999999.999999999999999999"
    says(row(total=largest))  # type: ignore[operator]
    assert held(unified).total == Decimal(largest)
    assert sum([Decimal(largest)] * 10) == Decimal("9999999999999999999999999.99999999999999999")


def test_a_coin_missing_from_a_complete_answer_is_zero(says: object, unified: Account) -> None:
    says(row("BTC"))  # type: ignore[operator]
    assert held(unified).total == 0


def test_a_coin_missing_from_an_incomplete_answer_is_unreadable(says: object, unified: Account) -> None:
    says(row("BTC"), row("ETH", None, problem="the venue was busy"))  # type: ignore[operator]
    assert held(unified).total is None
    assert held(unified).problem


def test_an_unreadable_account_loses_its_numbers_and_never_shows_zero(
    says: object, unified: Account, fund: Account
) -> None:
    says(row(EVERY_ASSET, None, problem="no permission to read"), row(address="FUND", total="5"))  # type: ignore[operator]
    assert (held(unified).total, held(unified).problem) == (None, "no permission to read")
    assert held(fund).total == 5


def test_a_failed_reading_keeps_the_old_number_with_its_age_and_says_why(unified: Account) -> None:
    before = held(unified)
    Connection.objects.update(credentials="not a token")
    connection = Connection.objects.get()
    with pytest.raises(refresh.NotRead):
        refresh.refresh(connection=connection, at=timezone.now())
    after = held(unified)
    assert (after.total, after.observed_at) == (before.total, before.observed_at)
    assert "cannot be decrypted" in ConnectionHealth.objects.get().problem


def test_a_number_older_than_the_limit_is_stale(unified: Account, at: datetime) -> None:
    balance = held(unified)
    assert not is_stale(balance, balance.observed_at + settings.BALANCE_STALE_AFTER)
    assert is_stale(balance, balance.observed_at + settings.BALANCE_STALE_AFTER + timedelta(seconds=1))


def test_an_account_that_an_answer_does_not_name_is_not_readable(says: object, unified: Account, fund: Account) -> None:
    says(row())  # type: ignore[operator]
    assert (held(unified).total, held(fund).total, held(fund).problem) == (1, None, refresh.NOT_NAMED)


def test_numbers_of_another_login_are_no_numbers_of_ours(says: object, unified: Account) -> None:
    says(row(), login="somebody-else")  # type: ignore[operator]
    assert held(unified).total is None
    assert "belong to another login (somebody-else)" in held(unified).problem


@pytest.mark.parametrize("odd", ["1e31", "1e9999999", "0.0000000000000000019"])
def test_one_number_that_does_not_fit_makes_its_row_unreadable_and_no_other(
    says: object, unified: Account, odd: str
) -> None:
    says(row(total=odd), row("BTC", "2"))  # type: ignore[operator]
    assert held(unified).total is None
    assert "does not fit" in held(unified).problem
    assert held(unified, "BTC").total == 2


def test_a_code_that_cannot_be_stored_is_left_out(says: object, unified: Account) -> None:
    says(row("X" * 41), row("N\0"), row())  # type: ignore[operator]
    assert held(unified).total == 1


def test_a_connector_that_breaks_in_a_reading_is_said_and_breaks_nothing(
    monkeypatch: pytest.MonkeyPatch, connection: Connection
) -> None:
    monkeypatch.setattr(venues, "open_connection", lambda *_: object())
    with pytest.raises(refresh.NotRead, match="AttributeError"):
        refresh.refresh(connection=connection, at=timezone.now())
    assert "The reading failed" in ConnectionHealth.objects.get().problem


def test_credentials_of_another_login_are_not_opened(connection: Connection) -> None:
    connection.login = "somebody-else"
    with pytest.raises(venues.CannotOpen, match="sealed for another login"):
        venues.open_connection(connection)


def test_a_letter_that_the_database_cannot_hold_stops_no_reading(
    says: object, connection: Connection, unified: Account
) -> None:
    says(row(EVERY_ASSET, None, problem="bad\0news \ud800"), row(address="FUND"))  # type: ignore[operator]
    assert "bad\ufffdnews" in held(unified).problem
    assert "bad\ufffdnews" in ConnectionHealth.objects.get().problem


def test_a_slow_reading_is_of_when_its_numbers_were_asked_for(says: object, unified: Account) -> None:
    """Read one account after the other for minutes, the last number is young though the first is old."""
    noted = timezone.now() + timedelta(minutes=5)
    says(row(observed_at=noted))  # type: ignore[operator]
    assert held(unified).observed_at == noted - timedelta(seconds=30)
