"""The main journey over every venue found, by declarations alone: none is named here, a new one is met by itself."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest
from django.utils import timezone

from connectors.simulators.core import Simulator
from tests.conftest import say_yes
from tests.journeys.conftest import pursue
from treasury import venues
from treasury.models import Account, Connection, State, Transfer, User
from treasury.transfers import dispatch, draft

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def sent(login: Connection, maker: User, checker: User, checker2: User) -> Callable[[], Transfer]:
    """Drafts, approves and dispatches the first movement of money that the venue's own declarations allow."""

    def make() -> Transfer:
        source, destination, asset = movable(login)
        words = draft.Words(source, destination, asset, "1", "To see that it works")
        transfer = draft.draft(words=words, maker=maker, at=timezone.now())
        transfer = say_yes(transfer, checker, checker2)
        dispatch.dispatch(reference=transfer.reference, now=timezone.now)
        transfer.refresh_from_db()
        return transfer

    return make


def movable(login: Connection) -> tuple[Account, Account, str]:
    """A source with money, a destination with a route from it, and what may move there."""
    connector = venues.open_connection(login)
    for source in login.accounts.all():
        for balance in source.balances.filter(movable__gte=Decimal(5)).order_by("-movable"):
            for destination in login.accounts.exclude(pk=source.pk):
                legal = venues.has_route(source, destination)
                if legal and balance.asset in connector.assets(source.address, destination.address):
                    return source, destination, balance.asset
    raise AssertionError(f"no money can move at {login.venue}")


def test_it_goes_out_and_settles(sent: Callable[[], Transfer], simulated: Simulator, short_calls: None) -> None:
    transfer = sent()
    assert transfer.state in (State.SETTLED, State.DISPATCHED), (transfer.held, transfer.outcome)
    if transfer.state != State.SETTLED:
        pursue(transfer, until=lambda: transfer.state == State.SETTLED)
    assert len(simulated.effects()) == 1


def test_a_lost_answer_is_never_sent_twice(
    sent: Callable[[], Transfer], simulated: Simulator, short_calls: None
) -> None:
    """Settled where the venue's records can show it, and left unknown for two people where they cannot."""
    simulated.fault("answer_lost", match="send")
    transfer = sent()
    assert transfer.state == State.DISPATCHING
    for _ in range(40):
        if transfer.state in (State.DISPATCHING, State.DISPATCHED):
            pursue(transfer, until=look_ups_grow(transfer))
    assert len(simulated.effects()) == 1
    assert transfer.state in (State.SETTLED, State.DISPATCHED, State.DISPATCHING)


def look_ups_grow(transfer: Transfer) -> Callable[[], bool]:
    before = transfer.look_ups.count()
    return lambda: transfer.look_ups.count() > before or transfer.has_ended
