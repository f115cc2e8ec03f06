"""The button that takes one's own approval back, and what its card says before and after."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.test import Client
from django.utils import timezone

from tests.conftest import say_yes
from tests.house import give, set_policy
from tests.web.swap import by_id, htmx, page_of, swapped, text_of
from treasury.controls.roles import CHECKERS
from treasury.models import State, Transfer, User, Withdrawal
from treasury.transfers import dispatch

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("still")]

Make = Callable[..., Transfer]
SignIn = Callable[..., Client]
BUTTON = "Withdraw your approval"


def shown(client: Client, transfer: Transfer) -> str:
    return page_of(client.get(f"/transfers/{transfer.reference}/")).text_content()


def test_only_whoever_approved_is_offered_it_and_only_until_it_is_sent(
    approved: Make, sign_in: SignIn, maker: User, checker: User, checker2: User
) -> None:
    transfer = approved()
    assert BUTTON in shown(sign_in(checker), transfer)
    for other in (maker, checker2):
        assert BUTTON not in shown(sign_in(other), transfer)
    assert dispatch.claim(reference=transfer.reference, at=timezone.now()) is not None
    assert BUTTON not in shown(sign_in(checker), transfer)


def test_what_the_swap_shows_is_what_a_reload_shows(submitted: Make, sign_in: SignIn, checker: User) -> None:
    transfer = say_yes(submitted(amount="50000"), checker)
    client, address = sign_in(checker), f"/transfers/{transfer.reference}/"
    page = page_of(client.get(address))
    part = f"transfer-{transfer.reference}"
    answer = htmx(client, "post", f"{address}withdraw/", {"reason": "Wrong account"}, page=address)
    assert answer.status_code == 200
    now = swapped(page, answer, part)
    assert text_of(by_id(now, part)) == text_of(by_id(page_of(client.get(address)), part))
    said = by_id(now, part).text_content()
    assert "Withdrawn, " in said
    assert "Wrong account" in said
    assert "It has 0 of 2 approvals" in said


def test_the_card_says_what_proved_that_it_was_them(approved: Make, sign_in: SignIn, checker: User) -> None:
    text = " ".join(shown(sign_in(checker), approved()).split())
    assert re.search(r"approved it, [0-9A-Za-z :,]{10,30} UTC, by password", text)
    assert "Provedby password" in text


def test_without_javascript_it_leads_back_to_the_card(approved: Make, sign_in: SignIn, checker: User) -> None:
    transfer = approved()
    answer = sign_in(checker).post(f"/transfers/{transfer.reference}/withdraw/")
    assert (answer.status_code, answer["Location"]) == (303, f"/transfers/{transfer.reference}/")
    transfer.refresh_from_db()
    assert transfer.state == State.SUBMITTED
    assert "It needs approval again: Checker Person withdrew an approval." in shown(sign_in(checker), transfer)


def test_who_may_not_is_refused_and_noted_and_too_late_is_too_late(
    approved: Make,
    sign_in: SignIn,
    maker: User,
    checker: User,
    checker2: User,
    refused: Callable[[], list[tuple[str, str, str]]],
) -> None:
    transfer = approved()
    address = f"/transfers/{transfer.reference}/withdraw/"
    for other in (maker, checker2):
        assert sign_in(other).post(address).status_code == 403
    assert sign_in(checker).get(address).status_code == 405
    assert dispatch.claim(reference=transfer.reference, at=timezone.now()) is not None
    assert sign_in(checker).post(address).status_code == 409
    assert not Withdrawal.objects.exists()
    noted = [(who, action) for who, action, subject in refused() if subject == transfer.subject]
    assert sorted(noted) == [
        ("checker", "transfer.withdraw"),
        ("checker2", "transfer.withdraw"),
        ("maker", "transfer.withdraw"),
    ]


def test_the_card_says_how_many_people_are_enough(
    submitted: Make, sign_in: SignIn, checker: User, checker2: User
) -> None:
    set_policy(rules=[{"name": "All", "demands": {CHECKERS: 2, "finance-leads": 1}}])
    give(checker2, "finance-leads")
    transfer = say_yes(submitted(), checker)
    said = shown(sign_in(checker2), transfer)
    assert "Approvals: 1 of 2" in said
    assert "It still needs 1 of checkers and 1 of finance-leads: at least 1 more person." in said
