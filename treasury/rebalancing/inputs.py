"""What one group's plan is reckoned from, and its canonical text: enough for anybody to reckon it again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from treasury import venues
from treasury.audit.record import canonical
from treasury.balances import routes
from treasury.models import Account, Connection, Route, Transfer
from treasury.models.amount import DECIMALS, plain
from treasury.rebalancing import problem as problems
from treasury.rebalancing.drift import Group, Stand
from treasury.rebalancing.problem import ALGORITHM, Party, Problem


def problem_of(group: Group, at: datetime) -> Problem:
    """The group as plain numbers, with the routes that its venue has and does not deny for this asset.

    Only of a group in which every number is known.
    """
    return Problem(
        parties=tuple(sorted((party_of(stand) for stand in group.stands), key=lambda party: party.key)),
        routes=legal_routes(group, at),
        step=step_of(group.connection),
    )


def legal_routes(group: Group, at: datetime) -> frozenset[tuple[str, str]]:
    """The (source, destination) over which the venue moves the asset; what it has not said yet forbids nothing."""
    accounts = [stand.account for stand in group.stands]
    denied = _denied(accounts, group.asset, at)
    return frozenset(
        (key_of(source), key_of(destination))
        for source in accounts
        for destination in accounts
        if source.pk != destination.pk
        and venues.has_route(source, destination)
        and (source.pk, destination.pk) not in denied
    )


def key_of(account: Account) -> str:
    """How a problem calls an account."""
    return str(account.pk)


def text_of(
    group: Group,
    problem: Problem | None,
    *,
    at: datetime,
    overrides: Mapping[str, Any],
) -> str:
    """Canonical JSON of every number and word that the group's plan rests on. ``problem`` None: it was refused."""
    return canonical(
        {
            "algorithm": ALGORITHM,
            "at": at,
            "connection": group.connection.name,
            "venue": group.connection.venue,
            "asset": group.asset,
            "total": group.total,
            "unmet": group.unmet,
            "problem": None if problem is None else problems.canonical(problem),
            "accounts": [_told(stand) for stand in group.stands],
            "overrides": dict(overrides),
        }
    )


def problem_in(text: str) -> Problem | None:
    """The problem that stored inputs hold; None where the group was refused. Raises ValueError or KeyError."""
    stated = json.loads(text)["problem"]
    return None if stated is None else problems.from_canonical(stated)


def party_of(stand: Stand) -> Party:
    """One account as plain numbers."""
    assert stand.expected is not None, "asked only of a group that is readable"
    assert stand.minimum is not None, "its shares are of a known total"
    assert stand.target is not None, "with its minimum"
    return Party(
        key=key_of(stand.account),
        balance=stand.expected,
        minimum=stand.minimum,
        target=stand.target,
        maximum=stand.maximum,
        free=stand.free,
        smallest=stand.band.smallest,
        largest=stand.band.largest,
        gives=not (stand.frozen or stand.no_giving),
        takes=not (stand.frozen or stand.no_taking),
    )


def step_of(connection: Connection) -> Decimal:
    """The unit in which the venue takes amounts."""
    decimals = venues.declared(connection.venue).amount_decimals
    return Decimal(1).scaleb(-(DECIMALS if decimals is None else decimals))


def _denied(accounts: Sequence[Account], asset: str, at: datetime) -> set[tuple[int, int]]:
    among = Route.objects.filter(source__in=accounts, destination__in=accounts)
    denied = set()
    for route in among:
        assets = routes.named(route, at)
        if assets is not None and asset not in assets:
            denied.add((route.source_id, route.destination_id))
    return denied


def _told(stand: Stand) -> dict[str, Any]:
    band, held = stand.band, stand.balance
    return {
        "account": stand.account.pk,
        "connection": stand.account.connection.name,
        "address": stand.account.address,
        "title": stand.account.title,
        "band": {
            "id": band.pk,
            "unit": str(band.unit),
            "minimum": band.minimum,
            "target": band.target,
            "maximum": band.maximum,
            "floor": band.floor,
            "smallest": band.smallest,
            "largest": band.largest,
            "direction": str(band.direction),
        },
        "total": stand.total,
        "movable": None if held is None else held.movable,
        "observed_at": None if held is None else held.observed_at,
        "expected": stand.expected,
        "reserved": stand.reserved,
        "free": stand.free,
        "floor": stand.floor,
        "on its way": list(_on_its_way(stand.account, stand.waiting)),
        "frozen": stand.frozen,
        "no giving": stand.no_giving,
        "no taking": stand.no_taking,
    }


def _on_its_way(account: Account, waiting: Iterable[Transfer]) -> Iterable[dict[str, str]]:
    for transfer in waiting:
        goes = transfer.source_id == account.pk
        yield {
            "reference": transfer.reference,
            "state": str(transfer.state),
            "change": plain(-transfer.amount if goes else transfer.amount),
        }
