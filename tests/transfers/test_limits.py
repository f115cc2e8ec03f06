"""Limits of the policy in force: asked at submit and again at the claim, with the numbers in the sentence."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timedelta
from decimal import Decimal
from threading import Barrier, BrokenBarrierError
from typing import Any

import pytest
from django.conf import settings
from django.db import connections
from django.utils import timezone

from tests.house import amend, bare_connection, set_policy, set_up
from treasury.balances import prices
from treasury.controls import policy, rulebook
from treasury.models import Account, Attempt, Outcome, State, Transfer, User
from treasury.transfers import cancel, dispatch, limits, submit

pytestmark = pytest.mark.django_db

Make = Callable[..., Transfer]


def limit(most: str, of: str = "connection", **more: Any) -> dict[str, Any]:
    return {"of": of, "most": most, **more}


def valued(most: str, of: str = "house", **more: Any) -> dict[str, Any]:
    return limit(most, of, **more) | {"in": "value"}


def priced(asset: str, price: str, by: User, ago: timedelta = timedelta(0)) -> None:
    at = timezone.now()
    prices.enter(asset=asset, currency="EUR", price=price, as_of=at - ago, source="screen", by=by, at=at)


def sent(transfer: Transfer, at: datetime | None = None) -> Transfer:
    assert dispatch.claim(reference=transfer.reference, at=at or timezone.now()) is not None, held(transfer)
    transfer.refresh_from_db()
    return transfer


def held(transfer: Transfer, at: datetime | None = None) -> str:
    assert dispatch.claim(reference=transfer.reference, at=at or timezone.now()) is None
    transfer.refresh_from_db()
    assert transfer.state == State.APPROVED
    return transfer.held


def denied(draft: Transfer) -> str:
    with pytest.raises(policy.Denied) as refusal:
        submit.submit(reference=draft.reference, maker=draft.maker, at=timezone.now())
    draft.refresh_from_db()
    assert draft.state == State.DRAFT
    assert not draft.assessments.exists()
    assert not draft.demands.exists()
    return refusal.value.sentence


# -- one transfer -------------------------------------------------------------------------------------------------


def test_a_single_transfer_may_be_exactly_the_limit_and_not_a_hair_more(drafted: Make, submitted: Make) -> None:
    set_policy(limits=[limit("50", "transfer", assets=["usdt"])])
    assert submitted(amount="50").state == State.SUBMITTED
    said = denied(drafted(amount="50.00000001"))
    assert said == "50.00000001 USDT would pass the limit of 50 for one transfer."


def test_a_limit_that_was_lowered_since_holds_at_the_claim(approved: Make) -> None:
    transfer = approved(amount="50")
    set_policy(limits=[limit("49", "transfer")])
    assert held(transfer) == "50 USDT would pass the limit of 49 for one transfer"
    set_policy(limits=[limit("50", "transfer")])
    assert limits.reached_at_claim(transfer, timezone.now()) is None


# -- within hours -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("of", "title"),
    [
        ("connection", "over Bybit main"),
        ("venue", "over Bybit"),
        ("maker", "for Maker Person"),
        ("house", "by the house"),
    ],
)
def test_each_kind_counts_what_may_have_left(approved: Make, of: str, title: str) -> None:
    first, second, third = (approved(amount=amount) for amount in ("60", "41", "40"))
    set_policy(limits=[limit("100", of, hours=24)])
    sent(first)
    assert held(second) == f"with 60 USDT sent {title} in 24 hours, these 41 USDT would pass the limit of 100"
    sent(third)


@pytest.mark.parametrize("of", ["connection", "venue", "maker", "house"])
def test_at_submit_what_is_approved_and_waits_counts_as_well(
    drafted: Make, approved: Make, submitted: Make, of: str
) -> None:
    set_policy(limits=[limit("100", of)])
    sent(approved(amount="30"))
    approved(amount="30")
    submitted(amount="40")  # nobody has approved it: it may be rejected
    assert "With 60 USDT sent or approved" in denied(drafted(amount="41"))
    submitted(amount="40")


def test_what_did_not_leave_does_not_count(drafted: Make, approved: Make, submitted: Make, maker: User) -> None:
    set_policy(limits=[limit("100")])
    gone = approved(amount="90")
    denied(drafted(amount="20"))
    cancel.cancel(reference=gone.reference, by=maker, at=timezone.now())
    submitted(amount="20")


def test_a_refused_call_does_not_count_and_an_unknown_one_does(approved: Make) -> None:
    refused, unknown, third = (approved(amount="60") for _ in range(3))
    set_policy(limits=[limit("100")])
    sent(refused)
    Attempt.objects.filter(transfer=refused).update(outcome=Outcome.REFUSED, concluded_at=timezone.now())
    sent(unknown)
    Attempt.objects.filter(transfer=unknown).update(outcome=Outcome.UNCERTAIN, concluded_at=timezone.now())
    assert "with 60 USDT sent" in held(third)


def test_it_is_tried_again_when_the_first_of_it_is_old_enough(approved: Make) -> None:
    first, second = approved(amount="60"), approved(amount="60")
    set_policy(limits=[limit("100", hours=2)])
    at = timezone.now()
    sent(first, at)
    held(second, at)
    assert second.due_at == first.attempts.get().claimed_at + timedelta(hours=2)
    assert limits.reached_at_claim(second, at + timedelta(hours=2, seconds=-1)) is not None
    assert limits.reached_at_claim(second, at + timedelta(hours=2)) is None


def test_a_maker_is_a_person_and_not_a_sign_in(approved: Make, submitted: Make, drafted: Make, maker2: User) -> None:
    set_policy(limits=[limit("100", "maker")])
    sent(approved(amount="60"))
    submitted(amount="60", by=maker2)
    amend(maker2, person="maker@treasury.invalid")
    assert "With 60 USDT sent or approved for" in denied(drafted(amount="60", by=maker2))


def test_a_connections_limit_leaves_other_connections_alone_and_a_venues_does_not(
    approved: Make, drafted: Make, submitted: Make
) -> None:
    sent(approved(amount="60"))
    set_policy(limits=[limit("100", "connection")])
    source, destination = accounts_of_another()
    submitted(amount="60", source=source, destination=destination)
    assert "over Bybit main" in denied(drafted(amount="60"))
    set_policy(limits=[limit("100", "venue")])
    assert "over Bybit" in denied(drafted(amount="60", source=source, destination=destination))


def accounts_of_another() -> tuple[Account, Account]:
    """Two accounts of a second login at the same venue, as our rows have them."""
    other = bare_connection("Bybit second", login="2")
    made = [set_up(other, address, kind=address) for address in ("UNIFIED", "FUND")]
    for account in made:
        account.balances.create(asset="USDT", total=1000, movable=1000, observed_at=timezone.now())
    return made[0], made[1]


def test_each_asset_counts_by_itself_in_any_spelling(approved: Make, submitted: Make, drafted: Make) -> None:
    set_policy(limits=[limit("100", assets=["usdt", "BTC"])])
    sent(approved(amount="99"))
    submitted(amount="0.5", asset="BTC")
    denied(drafted(amount="2"))


def test_a_limit_that_names_no_asset_is_for_those_that_no_other_one_names(drafted: Make, submitted: Make) -> None:
    set_policy(limits=[limit("500", assets=["USDT"]), limit("0"), limit("1000000", "house")])
    submitted(amount="400")
    assert "limit of 0" in denied(drafted(amount="0.1", asset="BTC"))


# -- in value -----------------------------------------------------------------------------------------------------


def test_a_limit_in_value_counts_all_assets_together(
    approved: Make, submitted: Make, drafted: Make, operator: User
) -> None:
    priced("USDT", "0.5", operator)
    priced("BTC", "100", operator)
    set_policy(limits=[valued("100")], currency="EUR")
    sent(approved(amount="100"))
    said = denied(drafted(amount="0.50000001", asset="BTC"))
    assert "With 50 EUR sent or approved by the house in 24 hours" in said
    assert said.endswith("would pass the limit of 100.")
    submitted(amount="0.5", asset="BTC")


def test_what_has_no_known_value_is_more_than_any_limit(drafted: Make, operator: User) -> None:
    set_policy(limits=[valued("1000000000", "transfer")], currency="EUR")
    said = denied(drafted(amount="0.1"))
    assert said.startswith("The value of 0.1 USDT in EUR is not known, which counts as more than the limit of")
    priced("USDT", "0.5", operator, ago=settings.PRICE_STALE_AFTER + timedelta(minutes=1))
    assert "is not known" in denied(drafted(amount="0.1")), "by a price that is too old"


def test_one_transfer_of_unknown_value_reaches_the_limit_for_those_after_it(
    approved: Make, drafted: Make, operator: User
) -> None:
    priced("USDT", "0.5", operator)
    set_policy(limits=[], currency="EUR")
    sent(approved(amount="0.01", asset="BTC"))
    set_policy(limits=[valued("1000000")])
    assert denied(drafted(amount="1")).endswith(
        "and more whose value in EUR is not known, the limit of 1\u202f000\u202f000 counts as reached."
    )
    set_policy(limits=[valued("1000000", assets=["USDT"])])
    submit.submit(reference=drafted(amount="1").reference, maker=User.objects.get(username="maker"), at=timezone.now())


def test_a_policy_in_another_currency_than_prices_are_in_knows_no_value(drafted: Make, operator: User) -> None:
    priced("USDT", "0.5", operator)
    set_policy(limits=[valued("1000000000", "transfer")], currency="XAU")
    assert "is not known" in denied(drafted(amount="0.1"))


# -- at once ------------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_two_claims_at_once_over_two_connections_keep_the_limit_of_the_house(
    approved: Make, fund: Account, unified: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each connection has its own row to wait for; the limit is over both. Who has summed up waits for the other to sum
    up as well, and goes on alone: without the lock both find room for theirs."""
    source, destination = accounts_of_another()
    first, second = approved(amount="60"), approved(amount="60", source=source, destination=destination)
    set_policy(limits=[limit("100", "house")])
    for account in (fund, unified, source, destination):
        account.balances.update(observed_at=timezone.now())
    start, both, reached = Barrier(2), Barrier(2), limits.reached

    def slowly(*asked: Any, **said: Any) -> limits.Reached | None:
        found = reached(*asked, **said)
        with suppress(BrokenBarrierError):
            both.wait(timeout=1.5)
        return found

    monkeypatch.setattr(limits, "reached", slowly)

    def claim(transfer: Transfer) -> bool:
        try:
            start.wait()
            return dispatch.claim(reference=transfer.reference, at=timezone.now()) is not None
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(claim, [first, second])) == [False, True]
    assert "would pass the limit of 100" in Transfer.objects.get(state=State.APPROVED).held


# -- what covers what ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "asset", "covered"),
    [
        ([limit("1", assets=["USDT"])], "usdt", [True]),
        ([limit("1", assets=["USDT"])], "BTC", [False]),
        ([limit("1", assets=["USDT"]), limit("1")], "USDT", [True, False]),
        ([limit("1", assets=["USDT"]), limit("1")], "BTC", [False, True]),
        ([limit("1", assets=["USDT"], hours=1), limit("1")], "USDT", [True, True]),
        ([limit("1", "house", assets=["USDT"]), limit("1")], "USDT", [True, True]),
        ([valued("1", assets=["USDT"]), limit("1", "house")], "USDT", [True, True]),
        ([valued("1", assets=["USDT"]), valued("1")], "USDT", [True, True]),
    ],
)
def test_a_limit_covers_what_it_names_or_what_no_other_of_its_kind_does(
    said: list[dict[str, Any]], asset: str, covered: list[bool]
) -> None:
    book = rulebook.parse({"rules": [], "limits": said, "currency": "EUR"})
    assert [limits.covers(one, asset, book) for one in book.limits] == covered


def test_sums_are_exact_to_the_last_digit(approved: Make, drafted: Make) -> None:
    set_policy(limits=[limit("999999999999999999999999", "house")])
    approved(amount="1")
    most = Decimal("999999999999999999999998")
    assert "would pass" in denied(drafted(amount=f"{most}.00000001"))
    submit.submit(
        reference=drafted(amount=str(most)).reference, maker=User.objects.get(username="maker"), at=timezone.now()
    )
