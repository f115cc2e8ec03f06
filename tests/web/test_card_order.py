"""A transfer's card says which plan it comes from, what goes before it, and what goes after."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest
from django.test import Client
from django.utils import timezone

from tests.web.swap import by_id, page_of
from treasury.models import (
    Account,
    Connection,
    Origin,
    Plan,
    PlanGroup,
    PlanLine,
    PlanState,
    Status,
    Transfer,
    User,
)
from treasury.rebalancing import propose
from treasury.transfers import submit

pytestmark = pytest.mark.django_db

SignIn = Callable[..., Client]


@pytest.fixture
def two(connection: Connection, unified: Account, fund: Account, maker: User) -> list[Transfer]:
    """Drafted from a plan of two lines, the second behind the first."""
    at = timezone.now()
    plan = Plan.objects.create(
        reference="PL-000001", origin=Origin.HAND, asked_at=at, state=PlanState.COMPUTING, began_at=at
    )
    digest = hashlib.sha256(b"{}").hexdigest()
    group = PlanGroup.objects.create(
        plan=plan, connection=connection, asset="USDT", status=Status.PROVEN, inputs="{}", digest=digest, certificate={}
    )
    for number, (source, destination) in enumerate([(fund, unified), (unified, fund)], start=1):
        after = [1] if number == 2 else []
        PlanLine.objects.create(
            group=group, number=number, source=source, destination=destination, asset="USDT", amount=5, after=after
        )
    Plan.objects.filter(pk=plan.pk).update(state=PlanState.READY, ended_at=at)
    plan.refresh_from_db()
    amounts = {pk: str(Decimal(5)) for pk in propose.lines_of(plan)}
    return propose.draft_lines(plan=plan, amounts=amounts, reason="", maker=maker, at=at)


def shown(client: Client, transfer: Transfer) -> str:
    page = page_of(client.get(f"/transfers/{transfer.reference}/"))
    return " ".join(by_id(page, "words-heading").getparent().text_content().split())


def test_the_card_names_plan_line_and_neighbours(sign_in: SignIn, two: list[Transfer], maker: User) -> None:
    first, then = two
    client = sign_in(maker)
    assert f"Goes before{then.reference} Draft" in shown(client, first)
    told = shown(client, then)
    assert f"Goes after{first.reference} Draft" in told
    assert "From planPL-000001, line 2" in told


def test_a_checker_reads_how_old_the_plans_numbers_were(
    sign_in: SignIn, two: list[Transfer], maker: User, checker: User
) -> None:
    first, _ = two
    assert "its numbers were" not in shown(sign_in(maker), first)
    later = timezone.now() + timedelta(hours=5)
    submit.submit(reference=first.reference, maker=maker, at=later)
    told = shown(sign_in(checker), first)
    assert "line 1its numbers were 5 h old when this was submitted" in told


def test_a_line_of_a_plan_is_not_redrafted_into_another(
    sign_in: SignIn, two: list[Transfer], maker: User, unified: Account, fund: Account
) -> None:
    first, _ = two
    client, address = sign_in(maker), f"/transfers/{first.reference}/edit/"
    said = {"source": fund.pk, "destination": unified.pk, "asset": "USDC", "amount": "5", "reason": "x"}
    response = client.post(address, said)
    assert response.status_code == 422
    assert by_id(page_of(response), "id_asset").get("aria-invalid") == "true"
    assert "Not changed. This draft is line 1 of PL-000001; draft a new" in response.content.decode()
    assert client.post(address, {**said, "asset": "USDT", "amount": "4"}).status_code == 303
    first.refresh_from_db()
    assert (first.asset, first.amount) == ("USDT", Decimal(4))


def test_another_persons_draft_is_named_and_no_link_leads_nowhere(
    sign_in: SignIn, two: list[Transfer], maker: User, checker: User
) -> None:
    first, then = two
    submit.submit(reference=then.reference, maker=maker, at=timezone.now())
    page = sign_in(checker).get(f"/transfers/{then.reference}/").content.decode()
    assert f'Goes after</dt><dd><span class="reference">{first.reference}' in page
    assert f"/transfers/{first.reference}/" not in page


def test_a_transfer_by_itself_says_nothing_of_it(
    sign_in: SignIn, drafted: Callable[..., Transfer], maker: User
) -> None:
    told = shown(sign_in(maker), drafted())
    assert "Goes " not in told
    assert "From plan" not in told
