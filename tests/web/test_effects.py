"""What a transfer would change, as its card says it: alone, with what else waits, and by the bands of both accounts."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client
from django.utils import timezone

from connectors.simulators.core import Simulator
from tests.web.banded import set_bands
from tests.web.swap import by_id, page_of
from treasury.models import Account, Balance, Transfer, Unit, User
from treasury.transfers import cancel, dispatch

pytestmark = pytest.mark.django_db

SignIn = Callable[..., Client]
Make = Callable[..., Transfer]


def effect(client: Client, transfer: Transfer) -> str:
    part = by_id(page_of(client.get(f"/transfers/{transfer.reference}/")), "effect-heading").getparent()
    return " ".join(part.text_content().replace("\u202f", " ").split())


def test_what_else_waits_is_named_and_counted(
    sign_in: SignIn, unified: Account, fund: Account, submitted: Make, approved: Make, drafted: Make, checker: User
) -> None:
    one, other = submitted(amount="100"), approved(amount="30")
    back = submitted(amount="7", source=fund, destination=unified)
    gone, draft, ether = submitted(amount="400"), drafted(amount="500"), submitted(amount="1", asset="ETH")
    cancel.cancel(reference=gone.reference, by=gone.maker, at=timezone.now())
    transfer = submitted(amount="50")
    text = effect(sign_in(checker), transfer)
    named = f"{one.reference} −100, {other.reference} −30, {back.reference} +7."
    assert f"{unified.title} with what else waits: {named} It ends at 827 USDT." in text
    assert "It ends at 1 173 USDT." in text
    assert "1 000950" in text, "what it does alone is there too"
    assert not any(left.reference in text for left in (gone, draft, ether, transfer))
    assert "may be in the number already" not in text


def test_of_what_is_on_its_way_nobody_knows_whether_the_number_has_it(
    sign_in: SignIn, approved: Make, submitted: Make, checker: User, venue: Simulator
) -> None:
    sent, transfer = approved(amount="10"), submitted(amount="20")
    venue.fault("answer_lost", match="inter-transfer")
    dispatch.dispatch(reference=sent.reference, now=timezone.now)
    text = effect(sign_in(checker), transfer)
    assert f"{sent.reference} −10" in text
    assert "What is on its way may be in the number already." in text


@pytest.mark.parametrize(
    ("amount", "limits", "words"),
    [
        ("50", ("100", "200", "960"), "ends at 950 USDT: inside its band 100 – 960."),
        ("50", ("100", "200", "890"), "ends at 950 USDT: 60 above its maximum 890."),
        ("50", ("960.5", "970", ""), "ends at 950 USDT: 10.5 below its minimum 960.5."),
        ("50", ("950", "970", ""), "ends at 950 USDT: inside its band, at least 950."),
    ],
)
def test_it_says_whether_each_account_ends_inside_its_band(
    sign_in: SignIn,
    unified: Account,
    submitted: Make,
    checker: User,
    maker: User,
    amount: str,
    limits: tuple[str, str, str],
    words: str,
) -> None:
    set_bands({unified: limits}, maker, checker)
    text = effect(sign_in(checker), submitted(amount=amount))
    assert f"{unified.title} {words}" in text
    assert "with what else waits" not in text


def test_the_band_is_held_against_where_it_ends_with_all_that_waits(
    sign_in: SignIn, unified: Account, submitted: Make, checker: User, maker: User
) -> None:
    set_bands({unified: ("900", "950", "")}, maker, checker)
    submitted(amount="90")
    text = effect(sign_in(checker), submitted(amount="50"))
    assert "It ends at 860 USDT: 40 below its minimum 900." in text


def test_shares_are_taken_of_what_the_group_holds(
    sign_in: SignIn, unified: Account, fund: Account, drafted: Make, checker: User, maker: User
) -> None:
    set_bands({unified: ("0", "40", "45"), fund: ("0", "50", "")}, maker, checker, unit=Unit.SHARE.value)
    transfer = drafted(amount="50")
    text = effect(sign_in(maker), transfer)
    assert f"{unified.title} ends at 950 USDT: 50 above its maximum 900." in text
    assert f"{fund.title} ends at 1 050 USDT: inside its band, at least 0." in text
    Balance.objects.filter(account=fund, asset="USDT").update(total=None, movable=None, problem="no answer")
    assert "its band is in shares of its group, and what that holds is not known now" in effect(
        sign_in(maker), transfer
    )
