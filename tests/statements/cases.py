"""Every kind of change that two people make, each proposed once; and what the page must say of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from django.utils import timezone

from connectors.simulators.core import Simulator
from tests.conftest import say_yes
from tests.house import person, set_policy
from tests.transfers import hands
from tests.web.doubting import contradicted, doubtful
from treasury.balances import typed
from treasury.controls import (
    bands,
    connections,
    credentials,
    details,
    house,
    memberships,
    people,
    policy,
    resets,
    stops,
    uploads,
)
from treasury.controls.memberships import Wish
from treasury.controls.people import Who
from treasury.controls.roles import CHECKERS, MAKERS, OPERATORS, POLICY_EDITORS, USER_ADMINISTRATORS
from treasury.controls.wanted import Wanted
from treasury.models import Change, Connection, FirstLook, Transfer, User
from treasury.transfers import by_hand, contradictions, resolve

Make = Callable[..., Transfer]
FILE = uploads.accepted("paper.txt", b"as it stands there")


@dataclass
class Scene:
    """What proposals are made of. ``first`` and ``second`` hold every role that may propose and decide."""

    first: User
    second: User
    connection: Connection
    approved: Make
    venue: Simulator
    monkeypatch: pytest.MonkeyPatch


def a_scene(connection: Connection, approved: Make, venue: Simulator, monkeypatch: pytest.MonkeyPatch) -> Scene:
    every = (CHECKERS, OPERATORS, POLICY_EDITORS, USER_ADMINISTRATORS)
    return Scene(person("one", *every), person("two", *every), connection, approved, venue, monkeypatch)


Words = dict[str, Any]
Proposing = Callable[[Words], Change]  # with who, why and when
# What must be there first; and pieces of what is shown: of the difference, and of what else it touches.
Case = tuple[Callable[[Scene], Proposing], tuple[str, ...]]


def release(scene: Scene) -> Proposing:
    order = stops.stop(connection=scene.connection, reason="Maintenance", by=scene.second, at=timezone.now())
    return lambda said: stops.propose_release(stop_order_id=order.pk, **said)


def moved(scene: Scene) -> Proposing:
    reference = doubtful(scene.approved(), scene.monkeypatch).reference
    more: Words = {"reference": reference, "typed": reference, "moved": True, "files": [FILE]}
    return lambda said: resolve.propose(**more, **said)


def closed(scene: Scene) -> Proposing:
    against = contradicted(scene.approved())
    more: Words = {"typed": against.transfer.reference, "moved": True, "files": [FILE]}
    return lambda said: contradictions.propose_close(contradiction_id=against.pk, **more, **said)


def done(scene: Scene) -> Proposing:
    desk = hands.desk()
    ends = [hands.account_of(desk, scene.first, scene.second, address) for address in ("cold-1", "cold-2")]
    for account in ends:
        hands.stated(account, "1000", scene.first, scene.second)
    reference = hands.asked(scene.approved(source=ends[0], destination=ends[1])).reference
    more: Words = {"reference": reference, "typed": reference, "done": True, "files": [FILE]}
    return lambda said: by_hand.propose_done(**more, **said)


def connect(scene: Scene) -> Proposing:
    words = {"name": "Another", "venue": "bybit", "environment": "mainnet", "credentials": scene.venue.credentials}

    def looked_at(said: Words) -> Change:
        change = connections.propose_connect(**words, **said)
        FirstLook.objects.create(change=change, at=timezone.now(), login="another", may_transfer=True)
        return change

    return looked_at


def replace(scene: Scene) -> Proposing:
    """Other credentials of the same login: the venue was asked whose they are, and said so."""
    other = {name: f"{value}-anew" for name, value in scene.venue.credentials.items()}

    def looked_at(said: Words) -> Change:
        change = credentials.propose(connection=scene.connection, credentials=other, **said)
        FirstLook.objects.create(change=change, at=timezone.now(), login=scene.connection.login, may_transfer=True)
        return change

    return looked_at


def set_up(scene: Scene) -> Proposing:
    wanted = [connections.SetUp("FUND", "Funding of the house", True)]
    return lambda said: connections.propose_set_up(connection=scene.connection, accounts=wanted, **said)


def stated(scene: Scene) -> Proposing:
    account = hands.account_of(hands.desk(), scene.first, scene.second)
    words = typed.Stated(account, "USDT", "12.5", timezone.now())
    return lambda said: typed.propose(stated=words, files=[FILE], **said)


def banded(scene: Scene) -> Proposing:
    account = scene.connection.accounts.get(address="FUND")
    wanted = Wanted(account=account, asset="USDT", minimum="1", target="2", maximum="3")
    return lambda said: bands.propose(bands=[wanted], **said)


def version(scene: Scene) -> Proposing:
    words = policy.words_of(policy.in_force()) | {"floors": {"USDT": "77"}}
    return lambda said: policy.propose(words=words, **said)


def setting(scene: Scene) -> Proposing:
    value = {"all_days": 3, "quarter_hours_days": 14, "hours_days": 90}
    return lambda said: house.propose(name=house.RETENTION, value=value, **said)


def enrolled(scene: Scene) -> Proposing:
    who = Who("newcomer", "Nora", "Newcomer", "nora@treasury.invalid")
    return lambda said: people.propose_enrol(who=who, groups=[MAKERS], **said)


def amended(scene: Scene) -> Proposing:
    """Another name, and the same natural person as the other one who approved: then one approval is missing."""
    set_policy(rules=[{"name": "Two", "when": {}, "demands": {CHECKERS: 2}}])
    say_yes(scene.approved(), person("checker2", CHECKERS))
    becomes = details.Details("Otherwise", "Person", "checker@treasury.invalid", same_as="checker2")
    someone = User.objects.get(username="checker")
    return lambda said: details.propose_change(user=someone, details=becomes, **said)


def reset(scene: Scene) -> Proposing:
    someone = User.objects.get(username="maker")
    return lambda said: resets.propose_reset(user=someone, proof="Seen in person", **said)


def regrouped(scene: Scene) -> Proposing:
    scene.approved()
    wishes = [Wish("maker", "finance-leads", member=True), Wish("checker", CHECKERS, member=False)]
    return lambda said: memberships.propose_memberships(wishes=wishes, **said)


LAPSES = "1 approved transfer would not be sent, and would ask for approval again"
CASES: Mapping[str, Case] = {
    stops.RELEASE: (release, ("It was stopped by Two Person: Maintenance",)),
    resolve.RESOLVE: (moved, ("It moved: the transfer ends as settled",)),
    by_hand.DONE: (done, ("It was done by hand",)),
    contradictions.CLOSE: (closed, ("What is true: it moved.",)),
    connections.CONNECT: (connect, ("Another becomes a connection to",)),
    credentials.REPLACE: (replace, ("come into use", "No transfer waits")),
    connections.SET_UP: (set_up, ("becomes Funding of the house, only we move it",)),
    typed.STATE: (stated, ("Nothing was known of it before.",)),
    bands.SET: (banded, ("a new band, minimum 1, target 2, maximum 3",)),
    policy.SET: (version, ("The floor of USDT: none becomes 77.", "No transfer is pending")),
    house.SET: (setting, ("all for 2 days, one of each quarter of an hour", "No snapshot is removed by it that")),
    people.ENROL: (enrolled, ("Nora Newcomer may sign in as newcomer",)),
    people.CHANGE: (amended, ("Otherwise", LAPSES)),
    people.RESET: (reset, ("Seen in person",)),
    people.MEMBERSHIPS: (regrouped, ("finance-leads", LAPSES)),
}
