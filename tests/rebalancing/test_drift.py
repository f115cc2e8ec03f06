"""What is on its way is counted exactly, or nobody is asked to move around it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.conf import settings
from django.db import connection as database
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from connectors.core.errors import Uncertain
from connectors.core.protocol import Challenge, Receipt
from tests.house import set_policy, set_up
from tests.rebalancing.conftest import LONG, Holds, SetBand
from treasury.audit.record import Machine
from treasury.balances.moved import CLOCKS_APART
from treasury.controls import stops
from treasury.models import Account, Balance, Connection, Direction, Transfer, Unit, User
from treasury.rebalancing import drift, on_its_way
from treasury.rebalancing.drift import Position, Stand
from treasury.transfers import attempts, contradictions, dispatch, guards

pytestmark = pytest.mark.django_db

Make = Callable[..., Transfer]
TESTS = Machine("tests")


def stands(at: datetime | None = None, **more: Any) -> dict[str, Stand]:
    (group,) = drift.read(at or timezone.now(), **more)
    return {stand.account.address: stand for stand in group.stands}


def sent(transfer: Transfer, answer: attempts.Answer) -> Transfer:
    attempt = dispatch.claim(reference=transfer.reference, at=timezone.now())
    assert attempt is not None
    attempts.conclude(attempt_id=attempt.pk, answer=answer, now=timezone.now)
    transfer.refresh_from_db()
    return transfer


# -- where an account stands ---------------------------------------------------------------------------------


def test_a_group_is_the_accounts_of_one_connection_with_a_band_for_one_asset(banded: None) -> None:
    (group,) = drift.read(timezone.now())
    assert (group.asset, group.total, group.unmet) == ("USDT", 2000, "")
    above, below = stands()["UNIFIED"], stands()["FUND"]
    assert (above.position, above.off, above.free) == (Position.ABOVE, 500, 1000)
    assert (below.position, below.off) == (Position.BELOW, 500)
    assert {stand.account.address for stand in group.outside} == {"UNIFIED", "FUND"}


def test_without_a_band_nothing_is_read(connection: Connection) -> None:
    with CaptureQueriesContext(database) as captured:
        assert drift.read(timezone.now()) == []
    assert len(captured) <= 3


def test_exactly_at_a_limit_is_inside(banded: None, unified: Account, fund: Account, holds: Holds) -> None:
    holds(unified, "500")
    holds(fund, "1500")
    assert {stand.position for stand in stands().values()} == {Position.INSIDE}
    holds(unified, "500.000000000000000001")
    assert stands()["UNIFIED"].off == Decimal("1E-18")


def test_no_digit_is_lost_at_the_largest_size(unified: Account, set_band: SetBand, holds: Holds) -> None:
    huge = "999999999999999999999999.999999999999999999"
    set_band(unified, "0", "1", "1")
    holds(unified, huge)
    assert stands()["UNIFIED"].off == Decimal(huge) - 1


def test_shares_are_of_what_the_group_holds(unified: Account, fund: Account, set_band: SetBand, holds: Holds) -> None:
    set_band(unified, "40", "50", "60", unit=Unit.SHARE.value)
    set_band(fund, "40", "50", "60", unit=Unit.SHARE.value)
    holds(unified, "900")
    holds(fund, "100")
    assert (stands()["UNIFIED"].maximum, stands()["FUND"].minimum) == (600, 400)
    assert stands()["UNIFIED"].off == 300


def test_a_share_of_an_unknown_total_is_unknown(
    unified: Account, fund: Account, set_band: SetBand, holds: Holds
) -> None:
    set_band(unified, "40", "50", "60", unit=Unit.SHARE.value)
    set_band(fund, "0", "50", "100")
    holds(unified, "900")
    holds(fund, None)
    (group,) = drift.read(timezone.now())
    assert group.total is None
    assert (stands()["UNIFIED"].position, stands()["UNIFIED"].minimum) == (Position.UNKNOWN, None)


def test_an_unreadable_or_old_number_is_unknown_and_says_so(banded: None, unified: Account, holds: Holds) -> None:
    holds(unified, None, problem="the venue was down")
    unreadable = stands()["UNIFIED"]
    assert (unreadable.position, unreadable.frozen) == (Position.UNKNOWN, "not readable: the venue was down")
    holds(unified, "1000", ago=settings.BALANCE_STALE_AFTER + timedelta(minutes=2, seconds=5))
    old = stands()["UNIFIED"]
    assert old.stale
    assert (old.position, old.frozen) == (Position.UNKNOWN, "its balance is 7 minutes old: read the balances again")


def test_an_asset_that_a_readable_account_never_held_is_zero_and_of_another_account_unknown(
    unified: Account, connection: Connection, set_band: SetBand, holds: Holds
) -> None:
    Balance.objects.filter(account=unified).delete()
    holds(unified, "5", asset="BTC")
    set_band(unified, "10", "20")
    assert (stands()["UNIFIED"].total, stands()["UNIFIED"].position) == (0, Position.BELOW)
    holds(unified, None, asset="BTC")
    assert stands()["UNIFIED"].position == Position.UNKNOWN
    Balance.objects.filter(account=unified).delete()
    assert stands()["UNIFIED"].frozen == drift.NONE_READ


# -- what is on its way --------------------------------------------------------------------------------------


def test_a_draft_counts_nothing(banded: None, drafted: Make) -> None:
    drafted(amount="500")
    assert stands()["UNIFIED"].expected == 1000


@pytest.mark.parametrize("how", ["submitted", "approved", "held", "confirming"])
def test_what_has_certainly_not_moved_is_counted_exactly(
    banded: None, request: pytest.FixtureRequest, how: str
) -> None:
    make: Make = request.getfixturevalue("submitted" if how == "submitted" else "approved")
    transfer = make(amount="500")
    if how == "held":
        Transfer.objects.update(held="A stop order stands.")
    if how == "confirming":
        sent(transfer, Challenge(token="T", deadline=timezone.now() + LONG))
    unified, fund = stands()["UNIFIED"], stands()["FUND"]
    assert (unified.expected, unified.free, unified.reserved) == (500, 500, 500)
    assert (fund.expected, fund.free) == (1500, 1000), "what has not arrived cannot be sent on"
    assert {unified.position, fund.position} == {Position.INSIDE}
    assert not (unified.frozen or fund.frozen)
    assert unified.waiting == [transfer]


def test_of_an_account_with_both_spellings_each_transfer_counts_under_its_own(
    banded: None, submitted: Make, unified: Account
) -> None:
    submitted(amount="100")
    now = timezone.now()
    for spellings in (["USDT", "usdt"], ["usdt", "USDT"]):
        ways = on_its_way.read({(unified.pk, asset): now for asset in spellings}, now)
        assert {key: way.going for key, way in ways.items()} == {(unified.pk, "USDT"): Decimal(100)}
    assert on_its_way.read({(unified.pk, "usdt"): now}, now)[unified.pk, "usdt"].going == 100


def test_what_an_account_without_a_band_is_sent_counts_too(
    unified: Account, fund: Account, set_band: SetBand, holds: Holds, submitted: Make
) -> None:
    set_band(unified, "40", "50", "60", unit=Unit.SHARE.value)
    submitted(amount="400")
    (group,) = drift.read(timezone.now())
    assert group.total == 600, "shares are of what the group holds once it has left"
    assert stands()["UNIFIED"].maximum == 360


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (None, "{} is on its way"),
        (Receipt(settled=False, record="V1"), "{} is on its way"),
        (Uncertain("Perhaps."), "money at risk: the outcome of {} is not known"),
    ],
)
def test_what_may_have_moved_freezes_both_of_its_accounts(
    banded: None, approved: Make, answer: attempts.Answer | None, words: str
) -> None:
    transfer = approved(amount="500")
    if answer is None:
        assert dispatch.claim(reference=transfer.reference, at=timezone.now())
    else:
        sent(transfer, answer)
    for stand in stands().values():
        assert stand.frozen == words.format(transfer.reference)
        assert stand.expected == 1000, "it is not guessed at"


def test_what_settled_around_the_reading_freezes_until_a_later_one(
    banded: None, approved: Make, unified: Account, fund: Account, holds: Holds
) -> None:
    transfer = sent(approved(amount="500"), Receipt(settled=True, record="V1"))
    words = f"{transfer.reference} settled within seconds of the reading: read the balances again"
    holds(unified, "500", at=transfer.changed_at - timedelta(seconds=6))
    after = f"{transfer.reference} settled after the reading: read the balances again"
    assert stands()["UNIFIED"].frozen == after
    holds(unified, "500", at=transfer.changed_at - timedelta(seconds=4))
    assert stands()["UNIFIED"].frozen == words, "nobody can say which came first"
    holds(unified, "500", at=transfer.changed_at + timedelta(seconds=4))
    assert stands()["UNIFIED"].frozen == words, "a reading of nearly the same moment proves nothing"
    holds(unified, "500", at=transfer.changed_at + timedelta(seconds=6))
    holds(fund, "1500", at=transfer.changed_at + timedelta(seconds=6))
    later = transfer.changed_at + timedelta(seconds=7)
    assert {stand.frozen for stand in stands(later).values()} == {""}
    assert {stand.position for stand in stands(later).values()} == {Position.INSIDE}


def test_evidence_against_a_transfer_freezes_and_what_people_say_of_it_asks_for_a_reading(
    banded: None, approved: Make, maker: User, checker: User, holds: Holds, unified: Account, fund: Account
) -> None:
    transfer = approved(amount="500")
    against = contradictions.raise_(transfer, words="the venue has it", by=TESTS, at=timezone.now())
    words = f"money at risk: evidence contradicts how {transfer.reference} stands"
    assert {stand.frozen for stand in stands().values()} == {words}
    change = contradictions.propose_close(
        contradiction_id=against.pk,
        moved=True,
        reason="The venue shows it",
        typed=transfer.reference,
        by=maker,
        at=timezone.now(),
        files=[],
    )
    contradictions.confirm_close(
        change_id=change.pk, by=checker, digest=change.digest, typed=transfer.reference, at=timezone.now()
    )
    assert "two people said what became of" in stands()["UNIFIED"].frozen
    later = timezone.now() + 2 * CLOCKS_APART
    holds(unified, "500", at=later)
    holds(fund, "1500", at=later)
    assert [stand.expected for stand in stands(later).values()] == [1500, 500], "it moved, and is not counted again"


def test_an_account_is_frozen_for_its_own_asset_alone(
    banded: None, approved: Make, unified: Account, set_band: SetBand, holds: Holds
) -> None:
    holds(unified, "1", asset="BTC")
    set_band(unified, "0", "1", "2", asset="BTC")
    sent(approved(amount="500"), Uncertain("Perhaps."))
    (bitcoin,) = drift.read(timezone.now(), asset="BTC")
    assert bitcoin.stands[0].frozen == ""


# -- what may leave and arrive -------------------------------------------------------------------------------


def test_free_is_what_can_be_moved_less_what_is_reserved_less_the_floor(
    banded: None, submitted: Make, unified: Account, set_band: SetBand, holds: Holds
) -> None:
    set_band(unified, "100", "300", "500", floor="150")
    holds(unified, "1000", movable="700")
    submitted(amount="200")
    assert stands()["UNIFIED"].free == 350
    holds(unified, "1000", movable="100")
    assert stands()["UNIFIED"].free == 0, "never below"


def test_free_is_never_more_than_a_new_draft_may_use(
    banded: None, approved: Make, unified: Account, set_band: SetBand, holds: Holds
) -> None:
    set_band(unified, "100", "300", "500", floor="150")
    approved(amount="200")
    for movable in ("1000", "900", "400", "0"):
        held = holds(unified, "1000", movable=movable)
        assert stands()["UNIFIED"].free <= (guards.usable(held) or 0)


def test_the_floor_of_the_house_counts_where_it_is_higher(banded: None) -> None:
    set_policy(floors={"USDT": "800"})
    assert stands()["UNIFIED"].free == 200


def test_what_the_venue_does_not_say_cannot_be_given(banded: None, unified: Account, holds: Holds) -> None:
    holds(unified, "1000", movable=None)
    assert stands()["UNIFIED"].no_giving == drift.UNSAID
    assert stands()["UNIFIED"].no_taking == ""


@pytest.mark.parametrize(
    ("direction", "giving", "taking"),
    [(Direction.BOTH, "", ""), (Direction.GIVES, "", "it only gives"), (Direction.TAKES, "it only takes", "")],
)
def test_who_only_gives_takes_nothing(
    unified: Account, set_band: SetBand, direction: Direction, giving: str, taking: str
) -> None:
    set_band(unified, "100", "300", "500", direction=direction.value)
    assert (stands()["UNIFIED"].no_giving, stands()["UNIFIED"].no_taking) == (giving, taking)


@pytest.mark.parametrize("scope", ["everything", "venue", "connection", "asset", "account"])
def test_a_stop_order_over_any_of_it_stops_giving_and_taking(
    banded: None, connection: Connection, unified: Account, scope: str
) -> None:
    what: Any = {
        "everything": True,
        "venue": connection.venue,
        "connection": connection,
        "asset": "usdt",
        "account": unified,
    }[scope]
    stops.stop(reason="Drill", by=TESTS, at=timezone.now(), **{scope: what})
    stand = stands()["UNIFIED"]
    assert stand.no_giving == stand.no_taking
    assert "is stopped since" in stand.no_giving
    assert stand.no_giving.endswith("by tests: Drill")
    assert (stands()["FUND"].no_taking == "") == (scope == "account")


def test_a_stop_of_something_else_stops_nothing_here(banded: None) -> None:
    stops.stop(asset="BTC", reason="Drill", by=TESTS, at=timezone.now())
    stops.stop(venue="qonto", reason="Drill", by=TESTS, at=timezone.now())
    assert {stand.no_giving for stand in stands().values()} == {""}


# -- what is supposed ----------------------------------------------------------------------------------------


def test_what_is_supposed_takes_the_place_of_what_is_stored_and_stores_nothing(
    banded: None, unified: Account, fund: Account, holds: Holds
) -> None:
    holds(unified, "1000", movable="600", ago=timedelta(days=1))
    overrides = {
        "bands": [{"account": fund.pk, "asset": "USDT", "minimum": "1", "target": "2", "maximum": None}],
        "balances": [{"account": unified.pk, "asset": "USDT", "total": "700"}],
    }
    found = stands(overrides=overrides)
    assert (found["UNIFIED"].total, found["UNIFIED"].free, found["UNIFIED"].stale) == (700, 300, False)
    assert found["FUND"].position == Position.INSIDE
    assert Balance.objects.get(account=unified, asset="USDT").total == 1000
    assert stands()["FUND"].position == Position.BELOW


# -- at little cost ------------------------------------------------------------------------------------------


def test_many_groups_cost_no_more_queries_than_one(
    banded: None, connection: Connection, set_band: SetBand, holds: Holds, approved: Make, unified: Account
) -> None:
    approved(amount="5")
    with CaptureQueriesContext(database) as few:
        assert len(drift.read(timezone.now())) == 1
    for number in range(6):
        account = set_up(connection=connection, address=f"A{number}", kind="FUND", title=f"A {number}")
        for asset in ("USDT", "BTC", "ETH"):
            holds(account, "7", asset=asset)
            set_band(account, "0", "1", "5", asset=asset)
    with CaptureQueriesContext(database) as many:
        assert len(drift.read(timezone.now())) == 3
    assert len(many) == len(few) <= 6


@pytest.mark.parametrize("outside", [True, False])
def test_shares_are_of_nothing_that_may_have_left_the_group(
    outside: bool,
    unified: Account,
    fund: Account,
    further: Callable[[str], Account],
    set_band: SetBand,
    holds: Holds,
    approved: Make,
) -> None:
    """Whether the readings show a transfer on its way nobody can say; it matters where its other end is elsewhere."""
    other = further("other")
    sent(approved(amount="600"), Receipt(settled=False, record="V1"))
    for account in (unified, other) if outside else (unified, other, fund):
        set_band(account, "0", "10", "60", unit="share")
        holds(account, "450")
    (group,) = drift.read(timezone.now())
    known = {stand.account.address: stand.position for stand in group.stands}
    assert (group.total is None) == outside
    assert (known["other"] == Position.UNKNOWN) == outside


@pytest.mark.parametrize(
    ("total", "movable", "floor", "passes"),
    [
        ("5", "5", "50", False),  # below its floor
        ("-150", "0", "0", False),  # in debt
        ("40", "0", "40", True),  # nothing free, and nothing missing
        ("100", "0", "50", True),
    ],
)
def test_what_is_short_of_what_must_stay_passes_nothing_on(
    banded: None, unified: Account, set_band: SetBand, holds: Holds, total: str, movable: str, floor: str, passes: bool
) -> None:
    set_band(unified, "0", "0", "500", floor=floor)
    holds(unified, total, movable=movable)
    stand = stands()["UNIFIED"]
    assert stand.free == 0
    assert (stand.no_giving == "") == passes
