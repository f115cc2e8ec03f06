"""Whoever starts the product for the first time sees accounts out of place, and one group that is fine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from django.conf import settings
from django.core.management import call_command
from django.utils import timezone

from connectors.simulators import core as simulators
from treasury.balances import prices
from treasury.controls import bands
from treasury.management import practice_bands
from treasury.models import Band, Change, Connection, Notice, Price, User
from treasury.notices import post
from treasury.rebalancing import drift, feasible
from treasury.rebalancing.drift import Position

pytestmark = pytest.mark.django_db


@pytest.fixture
def _every_venue(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with ExitStack() as stack:
        urls = {name: stack.enter_context(simulators.serve(name)).url for name in simulators.names()}
        monkeypatch.setattr(settings, "SIMULATORS", urls)
        yield


@pytest.mark.usefixtures("_every_venue")
def test_a_newcomer_sees_drift_on_every_connection_and_one_group_that_is_fine() -> None:
    call_command("practice")
    groups = drift.read(timezone.now())
    read_by_us = set(Connection.objects.filter(by_hand=False))
    assert {group.connection for group in groups if group.outside} == read_by_us
    for group in groups:
        stood = {stand.position for stand in group.stands}
        assert stood in ({Position.INSIDE}, {Position.BELOW, Position.ABOVE}), group
    assert [len(group.outside) for group in groups].count(0) == 1
    change = Change.objects.get(kind=bands.SET)
    assert (change.proposed_by.username, change.decided_by and change.decided_by.username) == ("admin", "admin2")
    limits = {(band.account_id, band.asset): band for band in bands.current()}
    assert [outlook.unmet for outlook in feasible.outlooks(limits)] == [""] * len(groups)


@pytest.mark.usefixtures("_every_venue")
def test_a_newcomer_can_value_what_is_there_and_gets_no_letters_about_what_is_decided() -> None:
    call_command("practice")
    assert {one.asset for one in prices.newest(timezone.now())} == {"USDT", "USDC", "BTC", "ETH", "GBP"}
    assert set(Price.objects.values_list("source", "entered_by__username")) == {("made up for practice", "admin")}
    assert Change.objects.exclude(ruling=None).exists()
    assert Notice.objects.filter(kind="change.propose").exists()
    assert not post.waiting().exists()
    assert Connection.objects.get(by_hand=True).name == "Treasury desk"


@pytest.mark.usefixtures("_every_venue")
def test_a_database_that_is_filled_already_is_left_as_it_is(operator: User) -> None:
    at = timezone.now()
    prices.enter(asset="BTC", currency="EUR", price="1", as_of=at, source="x", by=operator, at=at)
    call_command("practice")
    before = list(Band.objects.values_list("pk", "minimum"))
    call_command("practice")
    assert Price.objects.count() == 1
    assert list(Band.objects.values_list("pk", "minimum")) == before
    assert Change.objects.filter(kind=bands.SET).count() == 1


def test_whoever_holds_no_role_does_not_keep_the_product_from_starting(
    connection: Connection, operator: User, operator2: User, maker: User, auditor: User
) -> None:
    at = timezone.now()
    for first, second in ((operator, maker), (auditor, operator), (operator, operator)):
        practice_bands.set_up([connection], first=first, second=second, at=at)
        assert not Change.objects.filter(kind=bands.SET).exists()
    practice_bands.set_up([connection], first=operator, second=operator2, at=at)
    assert Band.objects.exists()
