"""By hand: what is peculiar to it. What it owes every caller is in test_contract.py."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from uuid import uuid4

import pytest

import connectors
from connectors.core.protocol import Challenge, Instruction
from connectors.manual import DONE_WITHIN, KINDS, VENUE, token_of


def wanted() -> Instruction:
    return Instruction(
        key=uuid4(), source="a", destination="b", asset="EUR", amount=Decimal("1"), reference="TR-000001"
    )


def test_whoever_does_it_has_a_day_counted_from_the_claim() -> None:
    desk = connectors.open("manual", credentials={"desk": "Our desk"})
    at = datetime(2026, 3, 1, 12, tzinfo=UTC)
    asked = desk.send(wanted(), signed_at=at)
    assert isinstance(asked, Challenge)
    assert asked.deadline == at + DONE_WITHIN


def test_an_answer_fits_one_transfer_and_says_nothing_of_its_key() -> None:
    one, other = uuid4(), uuid4()
    assert token_of(one) == token_of(one) != token_of(other)
    assert one.hex not in token_of(one)


def test_money_may_go_from_any_of_its_accounts_to_any_other() -> None:
    assert set(VENUE.routes) == {(here, there) for here in KINDS for there in KINDS}


@pytest.mark.parametrize("desk", ["", "   ", " Desk", "Desk\n", "D" * 61])
def test_a_desk_has_a_name_that_a_page_can_show(desk: str) -> None:
    with pytest.raises(ValueError, match=r"desk|called together"):
        connectors.open("manual", credentials={"desk": desk})
