"""Money at risk: each transfer in exactly one sum, by one rule that everybody reads."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from django.conf import settings
from django.db import connection as database
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from connectors.core.errors import Refused, TryLater, Uncertain
from connectors.core.protocol import Receipt
from tests.house import take
from treasury.models import Account, Notice, Transfer, User
from treasury.transfers import attempts, contradictions, dispatch, exposure, queries, reminders, settle
from treasury.web import context, overview

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


def of(account: Account, at: datetime | None = None) -> tuple[str, str]:
    """(reserved, at risk) of its USDT."""
    found = exposure.read(at or timezone.now()).held.get((account.pk, "USDT"), exposure.Exposure())
    return f"{found.reserved.normalize():f}", f"{found.at_risk.normalize():f}"


def test_nothing_on_its_way_is_nothing_reserved(unified: Account, submitted: Make, drafted: Make) -> None:
    submitted()
    drafted()
    assert of(unified) == ("0", "0")
    assert exposure.read(timezone.now()).totals == []


def test_what_is_approved_or_in_flight_is_reserved_at_its_source_alone(
    unified: Account, fund: Account, approved: Make
) -> None:
    waiting, flying = approved(amount="100"), approved(amount="30")
    Transfer.objects.filter(pk=waiting.pk).update(due_at=timezone.now() + timedelta(hours=1))
    waiting.refresh_from_db()
    Transfer.objects.filter(pk=flying.pk).update(changed_at=waiting.changed_at - timedelta(seconds=1))
    concluded(flying, None)
    assert of(unified) == ("130", "0")
    assert of(fund) == ("0", "0")


def test_an_unknown_outcome_is_at_risk_and_no_longer_reserved(unified: Account, approved: Make) -> None:
    transfer = concluded(approved(amount="12.5"), None)
    (attempt,) = transfer.attempts.all()
    assert of(unified) == ("12.5", "0")
    assert of(unified, attempt.call_ends_at) == ("0", "12.5")
    (total,) = exposure.read(attempt.call_ends_at).totals
    assert (total.asset, total.amount, total.count) == ("USDT", Decimal("12.5"), 1)
    assert total.oldest == attempt.call_ends_at, "until then the call may still have been answered"


def test_what_the_venue_took_too_long_ago_is_at_risk(unified: Account, approved: Make) -> None:
    concluded(approved(amount="12.5"), Receipt(settled=False, record=None))
    at = timezone.now()
    assert of(unified, at + timedelta(minutes=29)) == ("12.5", "0")
    assert of(unified, at + timedelta(minutes=31)) == ("0", "12.5")


@pytest.mark.parametrize("answer", [Refused("No."), Receipt(settled=True, record=None), Uncertain("Perhaps."), None])
def test_an_open_contradiction_is_at_risk_however_the_transfer_stands(
    unified: Account, approved: Make, answer: attempts.Answer | None
) -> None:
    dispute(concluded(approved(amount="12.5"), answer))
    assert of(unified) == ("0", "12.5")
    ((risk, known),) = exposure.in_words(exposure.read(timezone.now()).risks)
    assert (risk.why, known) == (exposure.Why.CONTRADICTED, "Its records differ.")


def test_an_approved_transfer_that_the_venue_has_already_counts_once(unified: Account, approved: Make) -> None:
    dispute(approved(amount="12.5"))
    assert of(unified) == ("0", "12.5")


def test_what_has_settled_is_spoken_for_no_longer(unified: Account, approved: Make) -> None:
    concluded(approved(amount="12.5"), Receipt(settled=True, record=None))
    assert exposure.read(timezone.now()).held == {}


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


def test_every_transfer_is_in_one_sum_and_the_sums_add_up(
    mixture: list[Transfer], unified: Account, maker: User
) -> None:
    for at in (timezone.now(), timezone.now() + timedelta(hours=1)):
        read = exposure.read(at)
        found = read.held[unified.pk, "USDT"]
        doubtful = {one.pk for one in mixture if is_shown_as_doubtful(one, at)}
        spoken_for = {one.pk for one in queries.in_flight(maker)} | doubtful
        assert found.reserved + found.at_risk == sum(one.amount for one in mixture if one.pk in spoken_for)
        assert {risk.transfer.pk for risk in read.risks} == doubtful
        assert sum(total.amount for total in read.totals) == found.at_risk


def is_shown_as_doubtful(transfer: Transfer, at: datetime) -> bool:
    """By the words on the transfer's own page."""
    return queries.standing(transfer, at).key in ("unknown", "contradicted") or queries.is_overdue(transfer, at)


def test_the_header_the_tile_and_the_reminders_speak_of_the_same_transfers(
    mixture: list[Transfer], operator: User, rf: RequestFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = rf.get("/")
    request.user = operator
    later = timezone.now() + timedelta(hours=1)
    with monkeypatch.context() as patch:
        patch.setattr(timezone, "now", lambda: later)
        header = context.gathered(request)
    tile = overview.context_of(operator, later)
    reminders.doubts(later)
    told = set(Notice.objects.filter(kind="transfer.doubt").values_list("subject", flat=True))
    assert told == {risk.transfer.subject for risk, _ in tile["risks"]}
    assert header["risk_count"] == tile["at_risk"].count == len(told) == 9


def test_the_tile_grows_loud_when_people_are_told(approved: Make, operator: User) -> None:
    transfer = concluded(approved(), None)
    attempt = transfer.attempts.get()
    first = attempt.call_ends_at + settings.DOUBT_TOLD_AFTER
    for at, loud in ((first - timedelta(seconds=1), False), (first, True)):
        reminders.doubts(at)
        shown = overview.context_of(operator, at)["at_risk"]
        assert (shown.loud, Notice.objects.filter(kind="transfer.doubt").exists()) == (loud, loud)


def test_without_a_role_nothing_is_counted(mixture: list[Transfer], operator: User, rf: RequestFactory) -> None:
    take(operator)
    request = rf.get("/")
    request.user = User.objects.get(pk=operator.pk)
    assert context.gathered(request)["risk_count"] == 0


def test_more_transfers_cost_no_further_question(mixture: list[Transfer], approved: Make) -> None:
    def cost() -> int:
        with CaptureQueriesContext(database) as asked:
            exposure.in_words(exposure.read(timezone.now() + timedelta(hours=1)).risks)
        return len(asked)

    assert cost() == 2
    for _ in range(3):
        concluded(approved(amount="1"), Receipt(settled=False, record=None))
    assert cost() == 2


def test_what_is_known_of_a_doubt_is_said_in_words(approved: Make) -> None:
    transfer = concluded(approved(amount="12.5"), Uncertain("Perhaps."))

    def known() -> str:
        ((_, words),) = exposure.in_words(exposure.risks(timezone.now()))
        return words

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
