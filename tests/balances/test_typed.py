"""What no API reads is stated by one person with evidence and confirmed by another, and then counts as a reading."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection as database
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tests.transfers import hands
from treasury.balances import typed
from treasury.balances.holdings import is_stale
from treasury.controls import changes, stops
from treasury.models import Account, AuditEntry, Balance, Change, Connection, Mark, Movement, Snapshot, User

pytestmark = pytest.mark.django_db


@pytest.fixture
def wallet(operator: User, operator2: User) -> Account:
    return hands.account_of(hands.desk(), operator, operator2)


def propose(account: Account, by: User, total: str = "100", **more: Any) -> Change:
    at = timezone.now()
    words = {"asset": "USDT", "seen_at": at, **{name: more.pop(name) for name in ("asset", "movable") if name in more}}
    if "seen_at" in more:
        words["seen_at"] = more.pop("seen_at")
    stated = typed.Stated(account, total=total, **words)
    return typed.propose(
        stated=stated, **{"reason": "Its statement", "files": [hands.PAPER], "by": by, "at": at, **more}
    )


def confirm(change: Change, by: User, at: datetime | None = None) -> Balance:
    return typed.confirm(change_id=change.pk, by=by, digest=change.digest, at=at or timezone.now())


def test_it_counts_once_another_has_confirmed_it_and_is_as_old_as_it_was_seen(
    wallet: Account, maker: User, checker: User
) -> None:
    seen_at = timezone.now() - timedelta(hours=3)
    change = propose(wallet, maker, "100.25", movable="60", seen_at=seen_at)
    assert not Balance.objects.exists()
    confirm(change, checker)
    held = Balance.objects.get()
    assert (held.account, held.asset, held.total, held.movable) == (wallet, "USDT", Decimal("100.25"), Decimal(60))
    assert (held.observed_at, held.problem) == (seen_at, "")
    assert Mark.objects.get().total == Decimal("100.25")
    kept = Snapshot.objects.get().holdings["cold-1"]["USDT"]
    assert (kept["total"], kept["movable"], kept["as_of"]) == ("100.25", "60", seen_at.isoformat())
    entry = AuditEntry.objects.get(action=typed.STATE)
    assert entry.facts["was"] is None
    assert entry.facts["is"]["total"] == "100.25"


def test_without_a_word_on_it_all_of_it_can_be_moved(wallet: Account, maker: User, checker: User) -> None:
    assert confirm(propose(wallet, maker, "7"), checker).movable == 7


def test_neither_its_proposer_nor_a_maker_confirms_it(
    wallet: Account, maker: User, maker2: User, operator: User, operator2: User, auditor: User
) -> None:
    change = propose(wallet, operator)
    for person in (operator, maker, maker2, auditor):
        with pytest.raises(changes.MayNotChange):
            confirm(change, person)
    with pytest.raises(changes.MayNotChange):
        propose(wallet, auditor)
    assert confirm(change, operator2).total == 100


def test_without_evidence_nothing_is_stated(wallet: Account, maker: User) -> None:
    with pytest.raises(changes.NotSaid, match="Hand in a file"):
        propose(wallet, maker, files=[])
    assert not Change.objects.filter(kind=typed.STATE).exists()


@pytest.mark.parametrize(
    ("words", "field"),
    [
        ({"total": ""}, "total"),
        ({"total": "-1"}, "total"),
        ({"total": "1e5"}, "total"),
        ({"total": "1,5"}, "total"),
        ({"total": "5", "movable": "6"}, "movable"),
        ({"asset": " "}, "asset"),
        ({"seen_at": None}, "seen_at"),
        ({"seen_at": timezone.now() + timedelta(hours=1)}, "seen_at"),
        ({"seen_at": datetime(1, 1, 1, tzinfo=UTC)}, "seen_at"),
        ({"seen_at": datetime(1, 1, 1, tzinfo=timezone.get_fixed_timezone(14 * 60))}, "seen_at"),
        ({"seen_at": datetime(1999, 12, 31, 23, 59, tzinfo=UTC)}, "seen_at"),
    ],
)
def test_what_is_no_balance_is_refused_by_its_field(
    wallet: Account, maker: User, words: dict[str, Any], field: str
) -> None:
    with pytest.raises(typed.NotStated) as raised:
        propose(wallet, maker, **words)
    assert set(raised.value.problems) == {field}
    assert not Change.objects.filter(kind=typed.STATE).exists()


def test_what_a_venue_reads_is_never_typed_in(connection: Connection, unified: Account, maker: User) -> None:
    with pytest.raises(typed.NotStated, match="nobody types in"):
        propose(unified, maker)


def test_an_older_number_never_takes_the_place_of_a_newer_one(wallet: Account, maker: User, checker: User) -> None:
    older = timezone.now() - timedelta(hours=1)
    first = propose(wallet, maker, "1", seen_at=older)
    with pytest.raises(changes.NotWaiting):
        propose(wallet, maker, "2")
    confirm(first, checker)
    with pytest.raises(typed.NotStated, match="known already"):
        propose(wallet, maker, "2", seen_at=older)
    late = propose(wallet, maker, "3", seen_at=older + timedelta(minutes=1))
    Balance.objects.update(observed_at=timezone.now())
    with pytest.raises(typed.NewerKnown, match="Nothing was changed"):
        confirm(late, checker)
    assert Balance.objects.get().total == 1
    late.refresh_from_db()
    assert late.is_open


def test_the_same_asset_in_another_spelling_is_the_same_asset(wallet: Account, maker: User, checker: User) -> None:
    hands.stated(wallet, "5", maker, checker, asset="USDT", seen_at=timezone.now() - timedelta(hours=1))
    hands.stated(wallet, "6", maker, checker, asset="usdt")
    assert [(one.asset, one.total) for one in Balance.objects.all()] == [("USDT", 6)]


def test_one_asset_in_two_spellings_is_not_stated_twice_at_once(
    wallet: Account, maker: User, maker2: User, checker: User
) -> None:
    first = propose(wallet, maker, asset="USDT")
    with pytest.raises(changes.NotWaiting, match="stated already and waits"):
        propose(wallet, maker2, asset="usdt")
    assert confirm(first, checker).asset == "USDT"


def test_what_was_proposed_before_the_spelling_was_known_counts_once(
    wallet: Account, maker: User, checker: User
) -> None:
    waits = propose(wallet, maker, "6", asset="usdt")
    before = timezone.now() - timedelta(hours=1)
    Balance.objects.create(account=wallet, asset="USDT", total=5, movable=5, observed_at=before)
    confirm(waits, checker)
    assert [(one.asset, one.total) for one in Balance.objects.all()] == [("USDT", 6)]


def test_two_people_stating_at_the_same_moment_wait_for_each_other(wallet: Account, maker: User) -> None:
    with CaptureQueriesContext(database) as asked:
        propose(wallet, maker)
    locks = [one["sql"] for one in asked if "FOR UPDATE" in one["sql"]]
    assert any('"treasury_account"' in text for text in locks)


def test_what_nobody_explains_shows_and_stops_an_account_that_only_we_move(
    maker: User, checker: User, operator: User, operator2: User
) -> None:
    quiet = hands.account_of(hands.desk(), operator, operator2, quiet=True)
    hands.stated(quiet, "100", maker, checker, seen_at=timezone.now() - timedelta(hours=1))
    assert not stops.standing().exists()
    hands.stated(quiet, "90", maker, checker)
    movement = Movement.objects.get()
    assert (movement.rest, movement.tripped) == (Decimal(-10), True)
    assert stops.standing().get().account == quiet


def test_it_grows_stale_as_slowly_as_its_venue_says(wallet: Account, maker: User, checker: User) -> None:
    held = hands.stated(wallet, "5", maker, checker)
    assert not is_stale(held, timezone.now() + timedelta(days=6))
    assert is_stale(held, timezone.now() + timedelta(days=8))


def test_18_decimals_and_24_digits_stay_exact(wallet: Account, maker: User, checker: User) -> None:
    number = "123456789012345678901234.123456789012345678"
    assert str(hands.stated(wallet, number, maker, checker).total) == number
    assert str(Balance.objects.get().total) == number
