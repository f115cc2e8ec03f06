"""Money at risk: each transfer in exactly one sum, and what is free as the dispatcher reckons it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection as database
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from connectors.core.errors import Refused, TryLater, Uncertain
from connectors.core.protocol import Receipt
from treasury.balances.refresh import refresh
from treasury.models import Account, Balance, Connection, State, Transfer, User
from treasury.transfers import attempts, contradictions, dispatch, exposure, guards, queries, settle

pytestmark = pytest.mark.django_db

Make = Callable[..., Transfer]


def concluded(transfer: Transfer, answer: attempts.Answer | None) -> Transfer:
    """Claimed, and answered so; None: the call is still under way."""
    attempt = dispatch.claim(reference=transfer.reference, at=timezone.now())
    assert attempt is not None
    if answer is not None:
        attempts.conclude(attempt_id=attempt.pk, answer=answer, now=timezone.now)
    transfer.refresh_from_db()
    return transfer


def dispute(transfer: Transfer) -> Transfer:
    contradictions.raise_(transfer, words="its records differ", by=settle.SETTLER, at=timezone.now())
    return transfer


def of(account: Account, at: datetime | None = None) -> tuple[str, str, str, str]:
    """(confirmed, reserved, at risk, free) of its USDT."""
    found = exposure.read(at or timezone.now()).held[account.pk, "USDT"]
    numbers = (found.confirmed, found.reserved, found.at_risk, found.free)
    return tuple("—" if one is None else f"{one.normalize():f}" for one in numbers)  # type: ignore[return-value]


def test_nothing_on_its_way_is_nothing_reserved(unified: Account, submitted: Make, drafted: Make) -> None:
    submitted()
    drafted()
    assert of(unified) == ("1000", "0", "0", "1000")
    assert exposure.totals(timezone.now()) == []


def test_what_is_approved_or_in_flight_is_reserved_at_its_source_alone(
    unified: Account, fund: Account, approved: Make
) -> None:
    waiting, flying = approved(amount="100"), approved(amount="30")
    Transfer.objects.filter(pk=waiting.pk).update(due_at=timezone.now() + timedelta(hours=1))
    waiting.refresh_from_db()
    Transfer.objects.filter(pk=flying.pk).update(changed_at=waiting.changed_at - timedelta(seconds=1))
    concluded(flying, None)
    assert of(unified) == ("1000", "130", "0", "870")
    assert of(fund) == ("1000", "0", "0", "1000")


def test_an_unknown_outcome_is_at_risk_and_no_longer_reserved(unified: Account, approved: Make) -> None:
    transfer = concluded(approved(amount="12.5"), None)
    (attempt,) = transfer.attempts.all()
    assert of(unified) == ("1000", "12.5", "0", "987.5")
    assert of(unified, attempt.call_ends_at) == ("1000", "0", "12.5", "987.5")
    (total,) = exposure.totals(attempt.call_ends_at)
    assert (total.asset, total.amount, total.count, total.oldest) == ("USDT", Decimal("12.5"), 1, transfer.changed_at)


def test_what_the_venue_took_too_long_ago_is_at_risk(unified: Account, approved: Make) -> None:
    concluded(approved(amount="12.5"), Receipt(settled=False, record=None))
    at = timezone.now()
    assert of(unified, at + timedelta(minutes=29))[1:3] == ("12.5", "0")
    assert of(unified, at + timedelta(minutes=31))[1:3] == ("0", "12.5")


@pytest.mark.parametrize("answer", [Refused("No."), Receipt(settled=True, record=None), Uncertain("Perhaps."), None])
def test_an_open_contradiction_is_at_risk_however_the_transfer_stands(
    unified: Account, approved: Make, answer: attempts.Answer | None
) -> None:
    dispute(concluded(approved(amount="12.5"), answer))
    assert of(unified)[1:] == ("0", "12.5", "987.5")
    (risk,) = exposure.read(timezone.now()).risks
    assert risk.known == "Its records differ."


def test_an_approved_transfer_that_the_venue_has_already_counts_once(unified: Account, approved: Make) -> None:
    dispute(approved(amount="12.5"))
    assert of(unified) == ("1000", "0", "12.5", "987.5")


def test_what_settled_after_the_reading_is_not_free_and_a_new_reading_shows_it(
    unified: Account, connection: Connection, approved: Make
) -> None:
    transfer = approved(amount="12.5")
    dispatch.dispatch(reference=transfer.reference, now=timezone.now)
    assert of(unified) == ("1000", "0", "0", "987.5")
    refresh(connection=connection, at=timezone.now())
    assert of(unified) == ("987.5", "0", "0", "987.5")


def test_what_is_not_known_stays_unknown(unified: Account, approved: Make) -> None:
    approved(amount="12.5")
    Balance.objects.filter(account=unified).update(total=None, movable=None, problem="no answer")
    assert of(unified) == ("—", "12.5", "0", "—")


@pytest.fixture
def mixture(approved: Make, unified: Account) -> list[Transfer]:
    """One of every kind, in flight, ended and disputed."""
    answers: list[attempts.Answer | None] = [
        None,
        Uncertain("Perhaps."),
        Refused("No."),
        TryLater("Later."),
        Receipt(settled=False, record="A"),
        Receipt(settled=True, record="B"),
    ]
    made = [concluded(approved(amount=str(number)), answer) for number, answer in enumerate(answers, start=1)]
    made += [
        dispute(concluded(approved(amount=str(number)), answer)) for number, answer in enumerate(answers, start=10)
    ]
    return [*made, approved(amount="50")]


def test_free_is_what_the_guard_at_the_claim_reckons(mixture: list[Transfer], unified: Account) -> None:
    """``guards.reserved`` says it of one account; what is approved besides is kept for those who were first."""
    for at in (timezone.now(), timezone.now() + timedelta(hours=1)):
        held = Balance.objects.get(account=unified, asset="USDT")
        approved = sum(
            one.amount
            for one in Transfer.objects.filter(source=unified, state=State.APPROVED)
            if not one.contradictions.filter(closed_at=None).exists()
        )
        gone = guards.reserved(held, besides=Transfer())
        found = exposure.read(at).held[unified.pk, "USDT"]
        assert found.free == held.movable - gone - approved


def test_every_transfer_is_in_one_sum_and_the_sums_add_up(
    mixture: list[Transfer], unified: Account, maker: User
) -> None:
    for at in (timezone.now(), timezone.now() + timedelta(hours=1)):
        read = exposure.read(at)
        found = read.held[unified.pk, "USDT"]
        spoken_for = {one.pk for one in queries.in_flight(maker)} | {one.pk for one in queries.at_risk(maker, at)}
        assert found.reserved + found.at_risk == sum(one.amount for one in mixture if one.pk in spoken_for)
        assert {risk.transfer.pk for risk in read.risks} == {one.pk for one in queries.at_risk(maker, at)}
        assert sum(total.amount for total in read.totals) == found.at_risk


def test_more_transfers_cost_no_further_question(mixture: list[Transfer], approved: Make) -> None:
    def cost() -> int:
        with CaptureQueriesContext(database) as asked:
            exposure.read(timezone.now() + timedelta(hours=1))
        return len(asked)

    assert cost() == 2
    for _ in range(3):
        concluded(approved(amount="1"), Receipt(settled=False, record=None))
    assert cost() == 2


def test_what_is_known_of_a_doubt_is_said_in_words(approved: Make) -> None:
    transfer = concluded(approved(amount="12.5"), Uncertain("Perhaps."))

    def known() -> str:
        (risk,) = exposure.read(timezone.now()).risks
        return risk.known

    assert known() == "It may have moved: no clear answer came. The venue has not been asked yet."
    for answer, words in (
        (settle.Standing(state=settle.Found.UNCLEAR, searched=True, found=False), "nothing was found"),
        (settle.Standing(state=settle.Found.UNCLEAR, searched=False, found=False), "had nothing to search"),
        (TryLater("The line was cut."), "was not answered"),
        (settle.Standing(state=settle.Found.UNCLEAR, searched=True, found=True), "showed a record"),
    ):
        at = timezone.now()
        settle.note(reference=transfer.reference, answer=answer, asked_at=at, at=at)
        assert words in known()
