"""What does not match, with its difference, and what else moved: every number exact, every page the same for all."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from connectors.simulators.core import Simulator
from tests.house import person, treat
from tests.web.swap import by_id, htmx, page_of, swapped, text_of
from treasury.balances.refresh import refresh
from treasury.controls.roles import AUDITORS, CHECKERS, MAKERS, OPERATORS
from treasury.models import Account, Connection, Movement, State, Transfer, User
from treasury.transfers import dispatch, match, settle

Make = Callable[..., Transfer]
SignIn = Callable[..., Client]
HERE = "/reconciliation/"


def words(client: Client, part: str, address: str = HERE) -> str:
    return " ".join(by_id(page_of(client.get(address)), part).text_content().split())


def counts(client: Client) -> list[str]:
    """Matched by record, by balances, not matching, not compared yet."""
    found: list[str] = page_of(client.get(HERE)).xpath("//li[contains(@class, 'tile')]//*[@class='number']/text()")
    return found


def movement(account: Account, rest: str, *, tripped: bool = False) -> Movement:
    at = timezone.now()
    before = Decimal("1000")
    return Movement.objects.create(
        account=account,
        asset="USDT",
        since=at - timedelta(minutes=1),
        at=at,
        before=before,
        after=before + Decimal(rest),
        ours=0,
        rest=Decimal(rest),
        tripped=tripped,
    )


@pytest.fixture
def settled(approved: Make) -> Transfer:
    transfer = approved(amount="12.5")
    dispatch.dispatch(reference=transfer.reference, now=timezone.now)
    transfer.refresh_from_db()
    assert transfer.state == State.SETTLED
    return transfer


@pytest.fixture
def differing(settled: Transfer) -> Transfer:
    """Its record has other words than were approved."""
    at = timezone.now()
    answer = settle.Standing(state=settle.Found.UNCLEAR, searched=True, found=True)
    settle.note(reference=settled.reference, answer=answer, asked_at=at, at=at)
    match.match(reference=settled.reference, now=timezone.now)
    return settled


@pytest.mark.parametrize("role", [MAKERS, CHECKERS, OPERATORS, AUDITORS])
def test_anybody_with_a_role_may_look(sign_in: SignIn, role: str) -> None:
    response = sign_in(person("someone", role)).get(HERE)
    assert response.status_code == 200
    assert 'aria-current="page">Reconciliation' in response.content.decode()


def test_nobody_without_a_role_may(sign_in: SignIn, refused: Callable[[], list[Any]]) -> None:
    response = sign_in(person("someone")).get(HERE)
    assert response.status_code == 403
    assert refused() == [("someone", "reconciliation.see", f"page:{HERE}")]


def test_an_empty_house_says_so_in_words(sign_in: SignIn, maker: User) -> None:
    client = sign_in(maker)
    assert counts(client) == ["0", "0", "0", "0"]
    assert "Nothing: what was compared fits" in words(client, "not-matching")
    assert "None seen since the first reading." in words(client, "movements")


def test_a_settled_transfer_waits_is_compared_and_is_counted_by_what_it_matches(
    sign_in: SignIn, settled: Transfer, maker: User
) -> None:
    client = sign_in(maker)
    assert counts(client) == ["0", "0", "0", "1"]
    match.match(reference=settled.reference, now=lambda: timezone.now() + timedelta(seconds=3))
    assert counts(client) == ["1", "0", "0", "0"]


def test_what_does_not_match_is_listed_with_its_difference_and_leads_to_the_transfer(
    sign_in: SignIn, differing: Transfer, maker: User
) -> None:
    client = sign_in(maker)
    listed = words(client, "not-matching")
    for said in (differing.reference, "12.5", "USDT", "Bybit's record has other words than were approved"):
        assert said in listed
    (link,) = page_of(client.get(HERE)).xpath("//*[@id='not-matching']//tbody//a/@href")
    assert link == f"/transfers/{differing.reference}/"
    assert "1 transfer that moved does not match" in " ".join(page_of(client.get("/")).text_content().split())


def test_other_movement_is_exact_and_what_stopped_an_account_is_marked(
    sign_in: SignIn, unified: Account, maker: User, connection: Connection, venue: Simulator
) -> None:
    treat(unified, quiet=True)
    venue.set_balance("UNIFIED", "USDT", "12345.678900000000000001")
    refresh(connection=connection, at=timezone.now() + timedelta(seconds=10))
    movement(unified, "-5")
    client = sign_in(maker)
    rows = page_of(client.get(HERE)).xpath("//*[@id='movements']//tbody/tr")
    first, second = (" ".join(row.text_content().split(" ")) for row in rows)
    assert "\u22125" in first, "the newest on top"
    assert "stopped it" not in first
    assert "+11\u202f345.678900000000000001" in second
    assert "stopped it" in second
    stopped = words(client, "movements", f"{HERE}?tripped=on")
    assert "stopped it" in stopped
    assert "\u22125 " not in stopped


def test_a_long_list_is_walked_page_by_page_while_new_rows_come_in(
    sign_in: SignIn, unified: Account, maker: User
) -> None:
    for number in range(1, 121):
        movement(unified, str(number))
    client = sign_in(maker)
    seen: list[str] = []
    address = HERE
    while address:
        page = page_of(client.get(address))
        seen += [cell.text_content() for cell in page.xpath("//*[@id='movements']//tbody/tr/td[5]")]
        movement(unified, "1000")
        older = page.xpath("//nav[@aria-label='Pages']/a[text()='Older']/@href")
        address = older[0] if older else ""
    assert seen == [f"+{number}" for number in range(120, 0, -1)]


@pytest.mark.usefixtures("still")
@pytest.mark.parametrize("question", ["", "?tripped=on", "?before=3", "?before=nonsense"])
def test_every_swap_equals_a_reload(
    sign_in: SignIn, differing: Transfer, unified: Account, maker: User, question: str
) -> None:
    for number in range(1, 60):
        movement(unified, str(number), tripped=number % 2 == 0)
    client = sign_in(maker)
    answer = htmx(client, "get", f"{HERE}{question}", page=HERE)
    page = swapped(page_of(client.get(HERE)), answer, "reconciliation")
    assert text_of(page) == text_of(page_of(client.get(f"{HERE}{question}")))


def test_a_long_page_costs_no_question_for_each_row(
    sign_in: SignIn, unified: Account, maker: User, django_assert_max_num_queries: Callable[..., Any]
) -> None:
    for number in range(1, 60):
        movement(unified, str(number))
    client = sign_in(maker)
    client.get(HERE)
    with django_assert_max_num_queries(20):
        client.get(HERE)
