"""Drafting: every bad word gets its sentence and saves nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest

from treasury.models import Account, AuditEntry, Route, State, Transfer, User
from treasury.models.amount import grouped
from treasury.transfers import access, draft, queries, submit

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("", "Enter an amount"),
        ("1,5", "without commas"),
        ("1,000.00", "without commas"),
        ("1e3", "without an exponent"),
        ("1E-2", "without an exponent"),
        ("0", "more than zero"),
        ("0.000", "more than zero"),
        ("-5", "more than zero"),
        ("+5", "in digits"),
        ("5.", "in digits"),
        (".5", "in digits"),
        ("NaN", "in digits"),
        ("Infinity", "in digits"),
        ("1 000", "in digits"),
        ("٣", "in digits"),
        ("0x10", "in digits"),
        ("1.1234567890123456789", "18 after it"),
        ("1" * 25, "24 digits before"),
    ],
)
def test_an_amount_that_could_be_misread_is_refused(typed: str, sentence: str) -> None:
    with pytest.raises(draft.Invalid, match=sentence) as refusal:
        draft.parse_amount(typed)
    assert set(refusal.value.problems) == {"amount"}


@pytest.mark.parametrize(
    ("typed", "amount"), [("12.5", "12.5"), (" 1000 ", "1000"), ("007", "7"), ("0.000000000000000001", "1e-18")]
)
def test_a_plain_amount_is_taken_exactly(typed: str, amount: str) -> None:
    assert draft.parse_amount(typed) == Decimal(amount)


def test_the_largest_and_smallest_amounts_survive_the_database(drafted: Callable[..., Transfer]) -> None:
    made = drafted(amount="12.5")
    huge = Decimal("999999999999999999999999.999999999999999999")
    Transfer.objects.filter(pk=made.pk).update(amount=huge)
    made.refresh_from_db()
    assert made.amount == huge
    assert grouped(made.amount).replace("\u202f", "") == "999999999999999999999999.999999999999999999"


def test_too_many_decimals_for_the_venue_are_refused(drafted: Callable[..., Transfer]) -> None:
    with pytest.raises(draft.Invalid, match="at most 8 decimals"):
        drafted(amount="1.123456789")


def test_trailing_zeros_are_no_decimals(drafted: Callable[..., Transfer]) -> None:
    assert drafted(amount="1.50000000000").amount == Decimal("1.5")


def test_the_same_account_twice_is_refused(drafted: Callable[..., Transfer], unified: Account) -> None:
    with pytest.raises(draft.Invalid, match="same account") as refusal:
        drafted(destination=unified)
    assert set(refusal.value.problems) == {"destination"}
    assert not Transfer.objects.exists()


def test_an_unknown_asset_is_refused(drafted: Callable[..., Transfer]) -> None:
    with pytest.raises(draft.Invalid, match="no asset called DOGE2"):
        drafted(asset="DOGE2")


def test_a_reason_is_demanded(drafted: Callable[..., Transfer]) -> None:
    with pytest.raises(draft.Invalid, match="Say why"):
        drafted(reason="  ")


def test_more_than_movable_is_warned_of_and_not_refused(drafted: Callable[..., Transfer]) -> None:
    warning = draft.more_than_movable(drafted(amount="1000000"))
    assert warning is not None
    assert "Only 1\u202f000 USDT" in warning
    assert draft.more_than_movable(drafted(amount="1000")) is None


def test_a_double_click_saves_one_draft(maker: User, unified: Account, fund: Account, at: datetime) -> None:
    key = uuid4()
    words = draft.Words(unified, fund, "USDT", "5", "Once")
    first = draft.draft(words=words, maker=maker, at=at, draft_key=key)
    second = draft.draft(words=words, maker=maker, at=at, draft_key=key)
    assert first == second
    assert Transfer.objects.count() == 1


def test_a_key_of_somebody_elses_form_makes_a_draft_of_ones_own(
    maker: User, maker2: User, unified: Account, fund: Account, at: datetime
) -> None:
    key = uuid4()
    words = draft.Words(unified, fund, "USDT", "5", "Once")
    theirs = draft.draft(words=words, maker=maker, at=at, draft_key=key)
    mine = draft.draft(words=words, maker=maker2, at=at, draft_key=key)
    assert mine != theirs
    assert mine.maker == maker2


def test_only_a_maker_drafts(checker: User, operator: User, drafted: Callable[..., Transfer]) -> None:
    for person in (checker, operator):
        with pytest.raises(access.NotAllowed, match="Only a maker"):
            drafted(by=person)


def test_another_makers_draft_is_neither_seen_nor_changed(
    drafted: Callable[..., Transfer], maker2: User, auditor: User, at: datetime, unified: Account, fund: Account
) -> None:
    made = drafted()
    assert made not in queries.visible_to(maker2)
    assert made in queries.visible_to(auditor)
    with pytest.raises(access.NotAllowed):
        draft.redraft(
            reference=made.reference, words=draft.Words(unified, fund, "USDT", "9", "Mine"), maker=maker2, at=at
        )
    made.refresh_from_db()
    assert made.amount == Decimal("12.5")


def test_a_redraft_says_what_was_and_what_is(
    drafted: Callable[..., Transfer], maker: User, at: datetime, unified: Account, fund: Account
) -> None:
    made = drafted()
    draft.redraft(reference=made.reference, words=draft.Words(unified, fund, "USDC", "9", "New"), maker=maker, at=at)
    said = AuditEntry.objects.filter(action="transfer.redraft").get().facts
    assert (said["was"]["amount"], said["is"]["amount"], said["is"]["asset"]) == ("12.5", "9", "USDC")


def test_only_what_ended_without_moving_is_drafted_again(
    drafted: Callable[..., Transfer], maker: User, at: datetime
) -> None:
    with pytest.raises(access.NotNow, match="only what ended"):
        draft.draft_again(reference=drafted().reference, maker=maker, at=at)


def moves(unified: Account, fund: Account, at: datetime, *assets: str) -> None:
    Route.objects.update_or_create(
        source=unified, destination=fund, defaults={"assets": list(assets), "asked_at": at, "read_at": at}
    )


def test_an_asset_that_the_venue_does_not_move_there_is_refused(
    drafted: Callable[..., Transfer], unified: Account, fund: Account, at: datetime
) -> None:
    moves(unified, fund, at, "USDC")
    with pytest.raises(draft.Invalid, match="Bybit moves no USDT from Unified Trading to Funding") as refusal:
        drafted(asset="USDT")
    assert set(refusal.value.problems) == {"asset"}
    assert not Transfer.objects.exists()
    assert drafted(asset="USDC").state == State.DRAFT


def test_what_the_venue_has_not_said_forbids_nothing(
    drafted: Callable[..., Transfer], unified: Account, fund: Account, at: datetime
) -> None:
    assert drafted().state == State.DRAFT
    moves(unified, fund, at - timedelta(hours=25), "USDC")  # said so long ago that it is not known any more
    assert drafted().state == State.DRAFT


def test_an_asset_that_no_longer_moves_is_refused_at_submit(
    drafted: Callable[..., Transfer], maker: User, unified: Account, fund: Account, at: datetime
) -> None:
    made = drafted()
    moves(unified, fund, at)
    with pytest.raises(draft.Invalid, match="Bybit moves no USDT"):
        submit.submit(reference=made.reference, maker=maker, at=at)
    made.refresh_from_db()
    assert made.state == State.DRAFT
