"""Whether the bands of a group can be met at once, and the sentence with the numbers when they cannot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from tests.house import set_policy
from treasury.controls import bands
from treasury.controls.wanted import Terms, Wanted
from treasury.models import Account, Balance, User
from treasury.rebalancing import feasible
from treasury.rebalancing.feasible import Place, in_amounts, why_unmet

D = Decimal
PLAIN = Terms(
    unit="amount", minimum=D(0), target=D(0), maximum=None, floor=D(0), smallest=None, largest=None, direction="both"
)


def place(title: str, minimum: str, maximum: str | None, balance: str | None, **more: Any) -> Place:
    low, high = D(minimum), None if maximum is None else D(maximum)
    terms = replace(PLAIN, minimum=low, target=low, maximum=high, **more)
    return Place(title, terms, None if balance is None else D(balance), terms.floor)


def unmet(*places: Place, total: str | None = None) -> str:
    held = [one.balance for one in places if one.balance is not None]
    whole = feasible.sum_of(held) if len(held) == len(places) else None
    return why_unmet(places, whole if total is None else D(total), asset="USDT", where="Bybit main").replace(
        "\u202f", " "
    )


def test_bands_that_fit_say_nothing() -> None:
    assert unmet(place("A", "100", "500", "0"), place("B", "100", None, "800")) == ""
    assert unmet(place("A", "500", "500", "0"), place("B", "500", "500", "1000")) == ""


def test_minimums_that_add_up_to_more_than_there_is() -> None:
    assert unmet(place("A", "700", None, "500"), place("B", "500", None, "500")) == (
        "The minimums of USDT at Bybit main add up to 1 200, and its accounts hold 1 000: they cannot all be met. "
        "Lower a minimum by 200, or bring 200 in."
    )


def test_maximums_that_leave_some_of_it_no_place() -> None:
    said = unmet(place("A", "0", "300", "500"), place("B", "0", "400.5", "500"))
    assert "The maximums of USDT at Bybit main add up to 700.5" in said
    assert "299.5 would have no place. Raise a maximum by 299.5, or take 299.5 out." in said


def test_one_without_a_maximum_takes_whatever_is_over() -> None:
    assert unmet(place("A", "0", "300", "500"), place("B", "0", None, "500")) == ""


def test_the_last_unit_of_a_sum_of_43_digits_decides() -> None:
    """Python's own arithmetic rounds at 28 digits and would call both met."""
    most, last = "999999999999999999999999.999999999999999999", "0.000000000000000001"
    held = place("A", most, None, most), place("B", "1", None, "1")
    assert unmet(*held) == ""
    said = unmet(held[0], replace(held[1], band=replace(held[1].band, minimum=D("1.000000000000000001"))))
    assert f"Lower a minimum by {last}, or bring {last} in." in said
    assert "1 000 000 000 000 000 000 000 001" in said


def test_shares_that_cannot_add_up_are_found_without_any_balance() -> None:
    half, more = place("A", "50", "100", None, unit="share"), place("B", "60.5", "100", None, unit="share")
    assert unmet(half, more) == (
        "The minimum shares of USDT at Bybit main add up to 110.5 %: they cannot all be met. "
        "Lower them by 10.5 % together."
    )
    few = [place(name, "0", "30", None, unit="share") for name in "ABC"]
    assert "add up to 90 %" in unmet(*few)
    assert "Raise them by 10 % together." in unmet(*few)
    assert unmet(*few, place("D", "0", None, None, unit="share")) == ""
    assert unmet(*few, place("D", "0", "5", None)) == "", "amounts take what shares leave, as long as nothing is known"


def test_what_is_not_known_is_not_judged() -> None:
    assert unmet(place("A", "700", None, "500"), place("B", "500", None, None)) == ""


def test_a_floor_above_its_maximum_is_said_of_the_account() -> None:
    said = unmet(place("Funding", "0", "400", "450", floor=D(500)), place("B", "0", None, "0"))
    assert said.startswith("Funding must keep 500 USDT, its floor, which is more than its maximum of 400")


def test_what_floors_keep_cannot_fill_a_minimum() -> None:
    said = unmet(place("A", "0", "1000", "500", floor=D(450)), place("B", "100", None, "0"))
    assert "need 550 USDT for their minimums, and its accounts hold 500" in said
    assert "Lower a minimum or a floor by 50." in said
    assert unmet(place("A", "0", "1000", "500", floor=D(400)), place("B", "100", None, "0")) == ""
    poor = place("A", "0", "1000", "50", floor=D(450)), place("B", "0", None, "10")
    assert unmet(*poor) == "", "a floor that is not reached keeps what is there, and asks for nothing"


def test_an_account_that_only_gives_cannot_be_brought_up() -> None:
    said = unmet(place("A", "100", "500", "50", direction="gives"), place("B", "0", None, "800"))
    assert said.startswith("A holds 50 USDT, less than its minimum of 100, and only gives: nothing can bring it up.")
    assert unmet(place("A", "100", "500", "150", direction="gives"), place("B", "0", None, "800")) == ""


def test_an_account_that_only_takes_cannot_be_brought_down() -> None:
    said = unmet(place("A", "100", "500", "550", direction="takes"), place("B", "0", None, "0"))
    assert "A holds 550 USDT, more than its maximum of 500, and only takes: nothing can bring it down." in said


def test_what_only_gives_has_no_place_for_the_others_surplus() -> None:
    said = unmet(place("A", "0", "900", "100", direction="gives"), place("B", "0", "400", "500"))
    assert "can take up 500 USDT, and its accounts hold 600: 100 would have no place" in said
    said = unmet(place("A", "0", "900", "500", direction="takes"), place("B", "100", "400", "50"))
    assert "need 600 USDT for their minimums, and its accounts hold 550" in said


def test_a_smallest_transfer_that_jumps_over_the_band() -> None:
    low = place("A", "100", "200", "90", smallest=D("110.5"))
    assert "its smallest transfer of 110.5 would carry it past the other side" in unmet(low, place("B", "0", None, "9"))
    assert unmet(replace(low, band=replace(low.band, smallest=D(110))), place("B", "0", None, "90")) == ""
    inside = replace(low, balance=D(150))
    assert unmet(inside, place("B", "0", None, "9")) == "", "nothing has to move"


def test_shares_become_amounts_that_lie_within_them() -> None:
    third = replace(PLAIN, unit="share", minimum=D("33.33"), target=D("33.335"), maximum=D("33.34"))
    assert in_amounts(third, D("0.000000000000001")) == (D("0.000000000000000333"),) * 3, "no room between two units"
    assert in_amounts(third, D(10_000)) == (D(3333), D("3333.5"), D(3334))
    assert in_amounts(PLAIN, D(10_000)) == (D(0), D(0), None)


@given(
    low=st.decimals(0, 100, places=6),
    high=st.decimals(0, 100, places=6),
    total=st.decimals(0, 10**24, places=18, allow_nan=False),
)
def test_a_share_is_rounded_into_its_band_and_never_turned_around(low: Decimal, high: Decimal, total: Decimal) -> None:
    low, high = min(low, high), max(low, high)
    terms = replace(PLAIN, unit="share", minimum=low, target=low, maximum=high)
    minimum, target, maximum = in_amounts(terms, total)
    assert maximum is not None
    assert minimum <= target <= maximum
    with feasible.exact():
        if minimum < maximum:
            assert minimum * 100 >= low * total
            assert maximum * 100 <= high * total
        assert abs(target * 100 - low * total) <= 100 * feasible.LAST_DIGIT


# -- Asked of the database ---------------------------------------------------------------------------------------


@pytest.fixture
def applied(maker: User, checker: User) -> Callable[..., None]:
    """applied(Wanted(…), …): bands that two people have set."""

    def make(*wanted: Wanted) -> None:
        at = timezone.now()
        change = bands.propose(bands=wanted, reason="As agreed", by=maker, at=at)
        bands.confirm(change_id=change.pk, by=checker, digest=change.digest, at=at)

    return make


def test_a_group_is_looked_at_with_what_is_proposed_in_place_of_what_is_in_force(
    db: None, applied: Callable[..., None], unified: Account, fund: Account
) -> None:
    applied(
        Wanted(account=unified, asset="USDT", minimum="500", target="500"),
        Wanted(account=fund, asset="USDT", minimum="500", target="500"),
    )
    (now,) = feasible.outlooks({(fund.pk, "USDT"): replace(PLAIN, minimum=D(1500))})
    assert (now.connection, now.asset, now.total, now.unread) == (unified.connection, "USDT", D(2000), [])
    assert now.unmet == ""
    (over,) = feasible.outlooks({(fund.pk, "USDT"): replace(PLAIN, minimum=D(1501))})
    assert "Lower a minimum by 1, or bring 1 in." in over.unmet
    (alone,) = feasible.outlooks({(unified.pk, "USDT"): None})
    assert (alone.total, alone.unmet) == (D(1000), "")
    applied(Wanted(account=unified, asset="USDT", removed=True))
    assert feasible.outlooks({(fund.pk, "USDT"): None}) == [], "a group without bands is none"


def test_an_asset_that_the_account_never_held_counts_as_0_and_one_that_cannot_be_read_does_not(
    db: None, unified: Account, fund: Account
) -> None:
    held = feasible.held_by([unified, fund])
    assert held(fund, "XRP") == 0
    assert held(fund, "USDT") == 1000
    Balance.objects.filter(account=fund, asset="BTC").update(total=None, movable=None, problem="an incomplete answer")
    assert feasible.held_by([fund])(fund, "XRP") is None
    wanted = {(one.pk, "XRP"): replace(PLAIN, minimum=D(10**9)) for one in (unified, fund)}
    (outlook,) = feasible.outlooks(wanted)
    assert (outlook.total, outlook.unread, outlook.unmet) == (None, [fund.title], "")


def test_an_asset_that_is_not_named_is_0_only_where_all_else_of_the_account_was_read(
    db: None, unified: Account, fund: Account
) -> None:
    """The page that says how far off an account is reckons with the same number."""
    assert feasible.held_by([fund])(fund, "NEVER") == 0
    fund.balances.filter(asset="USDT").update(total=None, movable=None, problem="asleep")
    assert feasible.held_by([fund])(fund, "NEVER") is None
    fund.balances.all().delete()
    assert feasible.held_by([fund])(fund, "NEVER") is None


def test_what_nobody_stated_of_an_account_by_hand_is_not_0(db: None, fund: Account) -> None:
    fund.connection.by_hand = True
    assert feasible.held_by([fund])(fund, "NEVER") is None


def test_the_houses_floor_counts_where_it_is_more(db: None, fund: Account, unified: Account, at: datetime) -> None:
    set_policy(floors={"USDT": "600"})
    (one,) = feasible.outlooks({(fund.pk, "USDT"): replace(PLAIN, maximum=D(500), floor=D(10))})
    assert "must keep 600 USDT" in one.unmet
