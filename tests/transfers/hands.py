"""What people do by hand, done: a desk and two logins are connected, money is moved at both, and people say so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone

from connectors.core import discovery
from connectors.simulators.core import Simulator, names, serve
from tests.conftest import login_at, say_yes
from tests.house import connect
from treasury import venues
from treasury.balances import typed
from treasury.balances.refresh import refresh
from treasury.controls import connections, uploads
from treasury.models import Account, Balance, CallWindow, Change, Connection, State, Transfer, User
from treasury.transfers import by_hand, confirm, dispatch, draft

PAPER = uploads.accepted("statement.txt", b"Outgoing payment executed.")


def desk(name: str = "By hand") -> Connection:
    """Whichever venue says of itself that people move its money."""
    venue = next(iter(venues.by_hand()))
    declared = discovery.venue(venue)
    return connect(
        name=name,
        venue=venue,
        environment=next(iter(declared.hosts)),
        credentials=dict.fromkeys(declared.required_credential_names(), name),
        at=timezone.now(),
    )


def account_of(desk: Connection, first: User, second: User, address: str = "cold-1", **more: Any) -> Account:
    """Typed in by one operator and confirmed by another."""
    kind = next(iter(venues.declared(desk.venue).account_kinds))
    wanted = connections.SetUp(address, more.get("title", f"Wallet {address}"), more.get("quiet", False), kind)
    at = timezone.now()
    change = connections.propose_set_up(connection=desk, accounts=[wanted], reason="It is ours", by=first, at=at)
    connections.confirm_set_up(change_id=change.pk, by=second, digest=change.digest, at=at)
    return Account.objects.select_related("connection").get(connection=desk, address=address)


def stated(
    account: Account, total: str, by: User, other: User, asset: str = "USDT", seen_at: datetime | None = None
) -> Balance:
    """What it holds, stated by one and confirmed by another."""
    at = timezone.now()
    words = typed.Stated(account, asset, total, seen_at or at)
    change = typed.propose(stated=words, reason="By its statement", files=[PAPER], by=by, at=at)
    return typed.confirm(change_id=change.pk, by=other, digest=change.digest, at=at)


@dataclass(frozen=True)
class Side:
    """A login at a simulated venue, and the account of it that holds the asset, in the venue's own spelling."""

    simulator: Simulator
    connection: Connection
    account: Account
    asset: str

    def change(self, by: Decimal) -> None:
        """What a person does at the venue's own screen."""
        now = Decimal(self.simulator.balance(self.account.address, self.asset))
        self.simulator.set_balance(self.account.address, self.asset, str(now + by))


@dataclass(frozen=True)
class Apart:
    """Two accounts of two connections that hold the same asset."""

    source: Side
    destination: Side

    def moved_there(self, amount: str, arriving: str | None = None) -> None:
        self.source.change(-Decimal(amount))
        self.destination.change(Decimal(arriving or amount))

    def read(self, at: datetime | None = None) -> None:
        CallWindow.objects.update(taken=[])
        for side in (self.source, self.destination):
            refresh(connection=side.connection, at=at or timezone.now())


@contextmanager
def apart(first: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Apart]:
    """That venue and the next one that holds an asset of its, both served and connected."""
    with ExitStack() as served:
        running = {name: served.enter_context(serve(name)) for name in names()}
        monkeypatch.setattr(settings, "SIMULATORS", {name: one.url for name, one in running.items()})
        here = login_at(running[first], f"Login at {first}")
        place = names().index(first)
        for other in [*names()[place + 1 :], *names()[:place]]:
            there = login_at(running[other], f"Login at {other}")
            if (found := shared(here, there)) is not None:
                mine, theirs = found
                yield Apart(
                    Side(running[first], here, mine.account, mine.asset),
                    Side(running[other], there, theirs.account, theirs.asset),
                )
                return
        raise AssertionError(f"no venue holds an asset of {first}")


def shared(one: Connection, other: Connection) -> tuple[Balance, Balance] | None:
    held = Balance.objects.filter(movable__gte=100).select_related("account__connection").order_by("pk")
    theirs = {row.asset.upper(): row for row in held.filter(account__connection=other)}
    for row in held.filter(account__connection=one):
        if row.asset.upper() in theirs:
            return row, theirs[row.asset.upper()]
    return None


def draft_of(apart: Apart, maker: User, amount: str = "12.5") -> Transfer:
    words = draft.Words(apart.source.account, apart.destination.account, apart.source.asset, amount, "Top it up")
    return draft.draft(words=words, maker=maker, at=timezone.now())


def approved(transfer: Transfer, *checkers: User) -> Transfer:
    transfer.refresh_from_db()
    transfer = say_yes(transfer, *checkers)
    assert transfer.state == State.APPROVED
    return transfer


def asked(transfer: Transfer) -> Transfer:
    """Claimed: it waits for somebody to do it."""
    dispatch.dispatch(reference=transfer.reference, now=timezone.now)
    transfer.refresh_from_db()
    return transfer


def say(transfer: Transfer, by: User, *, done: bool = True, **more: Any) -> Change:
    words = {"reason": "Sent at the bank's own screen", "typed": transfer.reference, "files": [PAPER] if done else []}
    return by_hand.propose_done(
        reference=transfer.reference, done=done, by=by, at=more.pop("at", timezone.now()), **{**words, **more}
    )


def agree(change: Change, transfer: Transfer, by: User, at: datetime | None = None) -> Transfer:
    by_hand.confirm_done(
        change_id=change.pk, by=by, digest=change.digest, typed=transfer.reference, at=at or timezone.now()
    )
    transfer.refresh_from_db()
    return transfer


def ticked(transfer: Transfer, after: timedelta = timedelta(0)) -> Transfer:
    """What the clock does next."""
    confirm.confirm(reference=transfer.reference, now=lambda: timezone.now() + after)
    transfer.refresh_from_db()
    return transfer
