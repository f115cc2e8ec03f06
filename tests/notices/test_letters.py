"""A letter says what is so: held and not sent next, moved by whose word, what is asked, and how much is stopped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from tests.conftest import release
from tests.house import person
from tests.notices import happenings as h
from tests.transfers.doubts import later, resolved, unsettled
from treasury.controls import changes, stops, telling
from treasury.controls.roles import ROLES
from treasury.models import Change, Notice, Scope, Transfer, User
from treasury.transfers import resolve

pytestmark = pytest.mark.django_db(transaction=True)

Made = Callable[..., Transfer]


@pytest.fixture(autouse=True)
def house(maker: User, checker: User, operator: User, operator2: User) -> None:
    """One of each who may be told, and two operators."""


def letter(kind: str) -> str:
    """The first sentences of the newest message of its kind."""
    return Notice.objects.filter(kind=kind).latest("pk").text.partition("\n")[0]


def test_an_approval_under_a_stop_is_not_told_as_sent_next(submitted: Made, checker: User, operator: User) -> None:
    first, second = submitted(), submitted()
    h.decide(first, checker)
    assert letter("transfer.approve") == f"Nothing moved yet. {first.reference} was approved and is sent next."
    h.stopped(second, operator)
    h.decide(second, checker)
    assert f"{second.reference} was approved and is held by a stop order" in letter("transfer.approve")


@pytest.mark.parametrize(("moved", "kind"), [(True, "transfer.settle"), (False, "transfer.fail")])
def test_what_two_people_said_is_not_told_as_the_venues_answer(
    approved: Made, operator: User, checker: User, moved: bool, kind: str
) -> None:
    transfer = unsettled(approved())
    resolved(transfer, operator, checker, moved=moved, at=later(transfer))
    assert "two people say" in letter(kind)
    assert "two people's word" in Notice.objects.filter(kind=kind).latest("pk").title


def test_what_the_venue_said_is_not_told_as_peoples_word(approved: Made) -> None:
    transfer = h.settled(approved())
    assert letter("transfer.settle") == f"It moved. {transfer.reference} is settled."


def test_a_proposal_says_what_is_asked_of_which_transfer(approved: Made, operator: User) -> None:
    transfer = unsettled(approved())
    said: dict[str, Any] = {"moved": True, "reason": "Seen", "typed": transfer.reference, "by": operator}
    resolve.propose(reference=transfer.reference, at=later(transfer), **said)
    assert letter("change.propose") == (
        f"It is not known whether {transfer.reference} moved. A colleague says how it ended; you confirm or decline."
    )


def test_every_kind_of_proposal_has_words_of_its_own(maker: User) -> None:
    assert telling.ASKS.keys() == changes.RIGHTS.keys()
    person("decider", *ROLES)
    for kind in changes.RIGHTS:
        change = Change(pk=1, kind=kind, subject="transfer:TR-000001", proposed_by=maker)
        with transaction.atomic():
            telling.proposed(change, by=maker, decide=changes.RIGHTS[kind].decide, at=timezone.now())
            told = Notice.objects.latest("pk")
            assert "you confirm or decline" in told.text or "confirm or decline" in told.text
            assert "{}" not in told.title + told.text
            transaction.set_rollback(True)


@pytest.mark.parametrize(
    ("scope", "words"),
    [
        (Scope.EVERYTHING, "Nothing is sent: everything is stopped. The page says why, and by whom."),
        (Scope.VENUE, "Nothing of it is sent: one venue is stopped. The page says which, why, and by whom."),
        (Scope.CONNECTION, "Nothing of it is sent: one connection is stopped. The page says which, why, and by whom."),
        (Scope.ASSET, "Nothing of it is sent: one asset is stopped. The page says which, why, and by whom."),
        (Scope.ACCOUNT, "Nothing of it is sent: one account is stopped. The page says which, why, and by whom."),
    ],
)
def test_a_stop_says_how_much_is_stopped_and_its_release_is_told_too(
    submitted: Made, operator: User, operator2: User, scope: Scope, words: str
) -> None:
    transfer = submitted()
    what: dict[Scope, dict[str, Any]] = {
        Scope.EVERYTHING: {"everything": True},
        Scope.VENUE: {"venue": "bybit"},
        Scope.CONNECTION: {"connection": transfer.connection},
        Scope.ASSET: {"asset": "USDT"},
        Scope.ACCOUNT: {"account": transfer.source},
    }
    order = stops.stop(reason="Drill", by=operator, at=timezone.now(), **what[scope])
    assert letter("stop.order") == words
    release(order, operator, operator2)
    assert letter("stop.release").startswith("Sending goes on. Two people released the stop")
    assert set(Notice.objects.filter(kind="stop.release").values_list("to", flat=True)) == {
        operator.email,
        operator2.email,
    }
