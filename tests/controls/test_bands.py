"""Bands under four eyes: proposed with exact numbers, confirmed by another, and written to the last digit."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from tests.house import bare_connection, set_up
from treasury.controls import bands, changes, wanted
from treasury.controls.bands import NotBands, Outdated
from treasury.controls.wanted import Wanted
from treasury.models import Account, AuditEntry, Band, Change, Connection, User

pytestmark = pytest.mark.django_db

Propose = Callable[..., Change]
HUGE = "999999999999999999999999.999999999999999999"
LITTLE = "0.000000000000000001"


@pytest.fixture
def proposed(maker: User, fund: Account) -> Propose:
    """proposed(minimum="100", …) -> a proposal of maker's for USDT of the funding account, or of whatever is given."""

    def make(*rows: Wanted, by: User = maker, reason: str = "A new policy", **words: Any) -> Change:
        return bands.propose(bands=rows or [usdt(fund, **words)], reason=reason, by=by, at=timezone.now())

    return make


def usdt(account: Account, **words: Any) -> Wanted:
    return Wanted(**{"account": account, "asset": "USDT", "minimum": "100", "target": "300", **words})


def applied(change: Change, by: User) -> list[Band]:
    return bands.confirm(change_id=change.pk, by=by, digest=change.digest, at=timezone.now())


def wrong(call: Callable[[], object]) -> dict[tuple[int, str], str]:
    with pytest.raises(NotBands) as raised:
        call()
    assert not Change.objects.filter(kind=bands.SET).exists()
    return raised.value.problems


def test_two_people_set_a_band_and_the_log_says_what_it_was_and_is(
    proposed: Propose, fund: Account, checker: User, operator: User
) -> None:
    change = proposed(maximum="500.50", floor="50", smallest="5", largest="1000", direction="takes")
    assert not Band.objects.exists()
    (band,) = applied(change, checker)
    assert bands.band_of(fund, "USDT") == band
    band.refresh_from_db()
    terms = wanted.terms_of(band)
    assert (terms.minimum, terms.target, terms.maximum, terms.floor) == (100, 300, Decimal("500.5"), 50)
    assert (terms.smallest, terms.largest, terms.direction, terms.unit) == (5, 1000, "takes", "amount")
    second = proposed(minimum="200", by=operator)
    (newer,) = applied(second, checker)
    assert list(bands.current()) == [newer]
    assert Band.objects.count() == 2, "what was in force before stays to be read"
    entry = AuditEntry.objects.get(action="bands.set", facts__change=second.pk)
    assert (entry.actor, entry.subject) == ("checker", "bands:Bybit main")
    (row,) = entry.facts["bands"]
    assert (row["account"], row["asset"]) == ("Bybit main · FUND", "USDT")
    assert (row["was"]["minimum"], row["is"]["minimum"]) == ("100", "200")
    assert (row["was"]["maximum"], row["is"]["maximum"]) == ("500.5", None)


def test_the_last_digit_of_42_is_kept(proposed: Propose, checker: User) -> None:
    applied(proposed(minimum=LITTLE, target=HUGE, maximum=HUGE, floor=HUGE), checker)
    band = Band.objects.get()
    assert (band.minimum, band.target, band.maximum) == (Decimal(LITTLE), Decimal(HUGE), Decimal(HUGE))


@pytest.mark.parametrize("who", ["checker", "auditor"])
def test_checkers_and_auditors_do_not_propose(proposed: Propose, request: pytest.FixtureRequest, who: str) -> None:
    with pytest.raises(changes.MayNotChange, match="Only makers and operators may propose to set bands"):
        proposed(by=request.getfixturevalue(who))
    assert not Change.objects.filter(kind=bands.SET).exists()


def test_neither_the_proposer_nor_a_maker_nor_an_auditor_confirms(
    proposed: Propose, maker: User, maker2: User, auditor: User, checker: User
) -> None:
    change = proposed()
    for someone in (maker, maker2, auditor):
        with pytest.raises(changes.MayNotChange):
            applied(change, someone)
    with pytest.raises(changes.OtherChange):
        bands.confirm(change_id=change.pk, by=checker, digest="0" * 64, at=timezone.now())
    assert not Band.objects.exists()
    assert Change.objects.get(kind=bands.SET).is_open


def test_an_operator_may_confirm_what_another_operator_proposed(
    proposed: Propose, operator: User, operator2: User
) -> None:
    applied(proposed(by=operator), operator2)
    assert Band.objects.count() == 1


@pytest.mark.parametrize(
    ("words", "column", "sentence"),
    [
        ({"minimum": ""}, "minimum", "Enter a minimum"),
        ({"target": " "}, "target", "Enter a target"),
        ({"minimum": "1,000"}, "minimum", "without commas"),
        ({"minimum": "1e3"}, "minimum", "without an exponent"),
        ({"maximum": "-1"}, "maximum", "cannot be less than 0"),
        ({"floor": "NaN"}, "floor", "in digits"),
        ({"floor": "١٢"}, "floor", "in digits"),
        ({"minimum": "1 000"}, "minimum", "in digits"),
        ({"largest": "1."}, "largest", "in digits"),
        ({"maximum": "1" * 25}, "maximum", "At most 24 digits"),
        ({"maximum": "1." + "1" * 19}, "maximum", "At most 24 digits"),
        ({"minimum": "301"}, "target", "must not be less than the minimum"),
        ({"maximum": "299.999999999999999999"}, "maximum", "must not be less than the target"),
        ({"unit": "share"}, "minimum", ""),
        ({"unit": "share", "minimum": "1", "target": "2", "maximum": "100.1"}, "maximum", "at most 100 %"),
        ({"smallest": "0"}, "smallest", "must be more than 0"),
        ({"largest": "0.0"}, "largest", "must be more than 0"),
        ({"smallest": "6", "largest": "5"}, "largest", "must not be less than the smallest"),
        ({"unit": "percent"}, "unit", "Write amount or share."),
        ({"direction": "up"}, "direction", "Write both, gives or takes."),
        ({"asset": "usdt"}, "asset", "Bybit writes it USDT."),
        ({"asset": "NOPE"}, "asset", "No account of Bybit main reports an asset called NOPE."),
        ({"asset": ""}, "asset", "Enter the asset"),
        ({"asset": "X" * 41}, "asset", "Enter the asset"),
        ({"removed": True}, "removed", "has no band for USDT"),
    ],
)
def test_each_cell_says_what_is_wrong_with_it(
    proposed: Propose, words: dict[str, Any], column: str, sentence: str
) -> None:
    if words == {"unit": "share"}:  # 100 to 300 % of the group
        words, column, sentence = {"unit": "share", "target": "100.5"}, "target", "at most 100 %"
    problems = wrong(lambda: proposed(**words))
    assert sentence in problems[0, column], problems
    assert set(problems) == {(0, column)}


def test_every_row_is_read_before_any_is_refused(proposed: Propose, unified: Account, fund: Account) -> None:
    rows = [usdt(unified, minimum="x"), usdt(fund), usdt(fund, maximum="y"), usdt(unified, asset="BTC", floor="-1")]
    problems = wrong(lambda: proposed(*rows))
    assert set(problems) == {(0, "minimum"), (2, "maximum"), (2, "account"), (3, "floor")}
    assert "is there twice for USDT" in problems[2, "account"]


def test_an_account_that_holds_none_of_it_may_have_a_band_for_it(
    proposed: Propose, unified: Account, fund: Account, checker: User
) -> None:
    """That is what a deficit is."""
    fund.balances.filter(asset="ETH").delete()
    applied(proposed(usdt(fund, asset="ETH")), checker)
    assert bands.band_of(fund, "ETH") is not None


def test_what_would_change_nothing_is_left_out(
    proposed: Propose, unified: Account, fund: Account, checker: User
) -> None:
    applied(proposed(), checker)
    with pytest.raises(NotBands, match="every band is as you want it already"):
        proposed(minimum="100.00")
    change = proposed(usdt(fund), usdt(unified, minimum="7", target="7"))
    assert [row["address"] for row in change.words["bands"]] == ["UNIFIED"]


def test_a_removed_band_is_gone_and_may_come_back(proposed: Propose, fund: Account, checker: User) -> None:
    applied(proposed(maximum="500"), checker)
    (gone,) = applied(proposed(Wanted(account=fund, asset="USDT", removed=True)), checker)
    assert gone.removed
    assert bands.band_of(fund, "USDT") is None
    assert not bands.current().exists()
    entry = AuditEntry.objects.filter(action="bands.set").latest("id")
    assert (entry.facts["bands"][0]["was"]["maximum"], entry.facts["bands"][0]["is"]) == ("500", None)
    applied(proposed(maximum="500"), checker)
    assert bands.band_of(fund, "USDT") is not None


def test_two_proposals_for_one_account_and_asset_do_not_wait_at_once(
    proposed: Propose, maker2: User, unified: Account, fund: Account, checker: User
) -> None:
    first = proposed()
    assert proposed() == first, "a double click is one proposal"
    for by, words in ((maker2, {}), (maker2, {"minimum": "1"}), (first.proposed_by, {"minimum": "1"})):
        with pytest.raises(NotBands, match="Another proposal for Funding and USDT of Bybit main waits"):
            proposed(by=by, **words)
    with pytest.raises(NotBands, match="waits"):
        proposed(reason="Another reason")
    other = proposed(usdt(unified), usdt(fund, asset="BTC"), by=maker2)
    applied(first, checker)
    applied(other, checker)
    assert Band.objects.count() == 3


def test_what_no_longer_follows_on_what_is_there_is_found_out(proposed: Propose) -> None:
    """Nothing but these verbs writes bands, and one proposal waits at a time; so the question is put by itself."""
    change = proposed()
    before = change.words["bands"][0]
    assert bands.why_outdated(change) is None
    for name, value, sentence in (
        ("was", {**{name: before[name] for name in wanted.COLUMNS}, "minimum": "7"}, "is not what it was"),
        ("account", 0, "There is no account Funding any more"),
        ("asset", "DOGE", "reports an asset called DOGE"),
        ("target", "1", "must not be less than the minimum"),
    ):
        changed = Change(words={"bands": [{**before, name: value}]})
        assert sentence in (bands.why_outdated(changed) or ""), name


def test_a_refused_confirmation_rolls_back(
    proposed: Propose, fund: Account, checker: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    change = proposed()
    monkeypatch.setattr(bands, "why_outdated", lambda change: "The venue is gone.")
    with pytest.raises(Outdated, match="Nothing was changed"):
        applied(change, checker)
    assert Change.objects.get(kind=bands.SET).is_open
    assert not Band.objects.exists()


def test_the_database_takes_no_band_but_what_two_people_agreed_on(
    proposed: Propose, fund: Account, checker: User
) -> None:
    change = proposed()
    applied(change, checker)
    said = {"account": fund, "asset": "USDT", "change": change, "at": timezone.now(), "target": "300"}
    with pytest.raises(IntegrityError, match="what two people agreed on"), transaction.atomic():
        Band.objects.create(**said, minimum="99")
    with pytest.raises(IntegrityError), transaction.atomic():
        Band.objects.update(minimum=1)


def test_the_subject_names_the_connection_or_all(
    proposed: Propose, fund: Account, connection: Connection, at: datetime
) -> None:
    other = bare_connection(
        name="Second", venue=connection.venue, environment="mainnet", login="7", credentials="", created_at=at
    )
    there = set_up(connection=other, address="FUND", kind=fund.kind, title="Funding")
    there.balances.create(asset="USDT", total=0, movable=0, observed_at=at)
    assert proposed(usdt(there)).subject == "bands:Second"
    changes.withdraw(
        change_id=Change.objects.get(kind=bands.SET).pk, by=Change.objects.get(kind=bands.SET).proposed_by, at=at
    )
    assert proposed(usdt(fund), usdt(there), usdt(fund, asset="BTC")).subject == "bands:all"
