"""What every venue owes its callers. Venues are found, not listed: a new one is held to this by being there."""

import contextlib
import json
import logging
import socket
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import httpx
import pytest

import connectors
from connectors.core import discovery
from connectors.core.errors import Barred, Refused, TryLater, Uncertain, VenueError
from connectors.core.protocol import EVERY_ASSET, Challenge, Connector, Instruction, Receipt, State, Venue
from connectors.simulators import core as simulators
from connectors.simulators.core import Simulator, serve


def test_there_are_venues() -> None:
    assert discovery.names()


# People move the money of some: there is nothing to ask, nothing to break, and so nothing to simulate.
BY_HAND = [name for name in discovery.names() if discovery.venue(name).by_hand]
SERVED = [name for name in discovery.names() if name not in BY_HAND]


@pytest.fixture(scope="module", params=SERVED)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def server(name: str) -> Iterator[Simulator]:
    assert name in simulators.names(), f"The venue {name} has no simulator: connectors/simulators/{name}.py"
    with serve(name) as simulator:
        yield simulator


@pytest.fixture
def simulated(server: Simulator) -> Iterator[Simulator]:
    server.clear()
    yield server
    server.clear()


@pytest.fixture
def declared(name: str) -> Venue:
    return discovery.venue(name)


class NoNetwork(httpx.BaseTransport):
    """Whoever asks anything of it has broken their word."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        raise AssertionError(f"{request.method} {request.url}")


@pytest.fixture(params=BY_HAND)
def desk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Connector:
    """A venue by hand, opened with what a person would type; no socket can be made."""

    def refuse(*_: object) -> None:
        raise AssertionError("a venue by hand reached for the network")

    monkeypatch.setattr(socket, "socket", refuse)
    credentials = dict.fromkeys(discovery.venue(request.param).required_credential_names(), "Our own desk")
    return connectors.open(request.param, credentials=credentials, transport=NoNetwork(), loopback_only=True)


def by_hand(amount: str = "12.5") -> Instruction:
    return Instruction(
        key=uuid4(), source="here", destination="there", asset="USDT", amount=Decimal(amount), reference="CONTRACT-2"
    )


@pytest.fixture
def venue(name: str, simulated: Simulator) -> Connector:
    return opened(name, simulated)


def opened(name: str, simulated: Simulator) -> Connector:
    return connectors.open(name, credentials=simulated.credentials, base_url=simulated.url, loopback_only=True)


@pytest.fixture
def wanted(venue: Connector, simulated: Simulator) -> Instruction:
    """A small transfer that the practice treasury can afford, on the first route that is open."""
    addresses = {account.address: account.kind for account in venue.accounts()}
    for row in venue.balances():
        for destination, kind in addresses.items():
            route = (addresses[row.address], kind)
            if destination == row.address or route not in venue.routes() or not row.movable or row.movable < 1:
                continue
            if row.asset in venue.assets(row.address, destination):
                simulated.clear()
                return Instruction(
                    key=uuid4(),
                    source=row.address,
                    destination=destination,
                    asset=row.asset,
                    amount=Decimal("0.25"),
                    reference="CONTRACT-1",
                )
    raise AssertionError("The practice treasury has nothing that may move.")


def totals(venue: Connector) -> dict[tuple[str, str], Decimal]:
    found = {}
    for row in venue.balances():
        if row.total is not None:
            found[row.address, row.asset] = row.total
    return found


@pytest.mark.parametrize("name", discovery.names())
def test_it_declares_itself(declared: Venue) -> None:
    assert is_dataclass(declared.credentials)
    assert all(field.type in (str, "str") for field in fields(declared.credentials))
    assert declared.title
    assert declared.account_kinds
    labels = {tuple(sorted(hosts)) for hosts in declared.hosts.values()}
    assert len(labels) == 1, "each environment has the same hosts"
    assert all(url.startswith("https://") for hosts in declared.hosts.values() for url in hosts.values())
    assert declared.settle_limit > timedelta(0)
    assert declared.call_limit <= timedelta(seconds=60)
    assert declared.signed_window is None or declared.signed_window > timedelta(0)
    assert declared.absent_after is None or declared.signed_window is not None
    if declared.absent_after is not None and declared.signed_window is not None:
        assert declared.absent_after > declared.signed_window
    if declared.resend is not None and declared.signed_window is not None:
        assert declared.resend.until > declared.signed_window
    assert declared.stale_after is None or declared.stale_after > timedelta(0)


@pytest.mark.parametrize("name", BY_HAND)
def test_a_venue_by_hand_declares_nothing_that_could_be_asked(name: str, declared: Venue) -> None:
    assert not any(declared.hosts.values())
    assert name not in simulators.names()
    assert declared.challenges
    assert declared.resend is None, "nobody is asked to move the same money twice"
    assert declared.absent_after is None, "no look-up could ever tell"
    assert declared.stale_after is not None, "a number that is typed in grows old as slowly as people type"
    assert not any(field.metadata.get("secret", True) for field in fields(declared.credentials))


def test_a_send_by_hand_waits_for_people_and_its_repeat_is_their_word(desk: Connector) -> None:
    wanted, at = by_hand(), datetime.now(UTC)
    asked = desk.send(wanted, signed_at=at, send_before=at + timedelta(seconds=5))
    assert isinstance(asked, Challenge)
    assert asked.deadline > at + timedelta(hours=1)
    assert asked == desk.send(wanted, signed_at=at), "asked twice, it waits for the same answer"
    done = desk.send(wanted, signed_at=at, send_before=at - timedelta(hours=1), answer=asked.token)
    assert isinstance(done, Receipt)
    assert (done.settled, done.record) == (True, None), "what is done already is never too late"
    json.dumps(dict(done.evidence))


def test_the_answer_to_another_transfer_proves_nothing(desk: Connector) -> None:
    other = desk.send(by_hand())
    assert isinstance(other, Challenge)
    for token in (other.token, "", "täuschend"):
        with pytest.raises(Uncertain, match="It may have moved"):
            desk.send(by_hand(), answer=token)


def test_a_send_by_hand_asks_nobody_when_it_is_too_late(desk: Connector) -> None:
    with pytest.raises(TryLater, match="Nothing moved"):
        desk.send(by_hand(), send_before=datetime.now(UTC) - timedelta(seconds=1))


def test_a_venue_by_hand_knows_nothing_and_never_says_otherwise(desk: Connector) -> None:
    assert desk.check().login == "Our own desk"
    assert (desk.accounts(), desk.balances()) == ([], [])
    found = desk.look_up(by_hand(), sent_at=datetime.now(UTC) - timedelta(days=30))
    assert (found.state, found.searched, found.found) == (State.UNCLEAR, False, False)
    json.dumps(dict(found.evidence))
    with pytest.raises(NotImplementedError):
        desk.challenge(Challenge(token="any", deadline=datetime.now(UTC)))
    with pytest.raises(TryLater):  # not known, which forbids nothing
        desk.assets("here", "there")


def test_its_credentials_never_show_themselves(declared: Venue, simulated: Simulator) -> None:
    shown = repr(declared.credentials(**simulated.credentials))
    assert all(value not in shown for value in simulated.credentials.values())


@pytest.mark.parametrize("change", ["less", "more"])
def test_credentials_must_fit(name: str, simulated: Simulator, change: str) -> None:
    given = dict(simulated.credentials)
    if change == "less":
        del given[next(iter(given))]
    else:
        given["another-canary"] = "secret-canary"
    with pytest.raises(ValueError, match="Credentials") as raised:
        connectors.open(name, credentials=given, base_url=simulated.url)
    assert not any(value in str(raised.value) for value in given.values())


def test_unknown_environments_are_refused(name: str, simulated: Simulator) -> None:
    with pytest.raises(ValueError, match="environment"):
        connectors.open(name, credentials=simulated.credentials, environment="nowhere")


def test_practice_never_reaches_the_venue_itself(name: str, declared: Venue, simulated: Simulator) -> None:
    for environment in declared.hosts:
        with pytest.raises(ValueError, match="outside this computer"):
            connectors.open(name, credentials=simulated.credentials, environment=environment, loopback_only=True)


def test_it_says_who_the_login_is(venue: Connector) -> None:
    check = venue.check()
    assert check.login
    assert check.may_transfer
    assert all(isinstance(words, str) and words for words in check.words)


def test_accounts_balances_and_routes_speak_of_the_same_things(venue: Connector, declared: Venue) -> None:
    accounts = venue.accounts()
    addresses = [account.address for account in accounts]
    kinds = {account.address: account.kind for account in accounts}
    assert len(set(addresses)) == len(addresses)
    assert {account.kind for account in accounts} <= set(declared.account_kinds)
    assert {kind for route in venue.routes() for kind in route} <= set(declared.account_kinds)
    rows = venue.balances()
    assert len({(row.address, row.asset) for row in rows}) == len(rows)
    for row in rows:
        assert row.address in addresses
        if kinds[row.address] in declared.unreadable_kinds:
            assert row.total is None
            assert row.problem
            continue
        assert row.asset != EVERY_ASSET
        assert isinstance(row.total, Decimal)
        assert row.movable is None or isinstance(row.movable, Decimal)
        assert row.observed_at.utcoffset() == timedelta(0)
        assert abs(datetime.now(UTC) - row.observed_at) < timedelta(minutes=1)
        assert row.problem is None


def test_a_transfer_moves_once_and_balances_add_up(
    venue: Connector, simulated: Simulator, wanted: Instruction, declared: Venue
) -> None:
    before, sent_at = totals(venue), datetime.now(UTC)
    outcome = venue.send(wanted, signed_at=sent_at, send_before=sent_at + timedelta(seconds=5))
    if isinstance(outcome, Challenge):
        assert declared.challenges
        assert simulated.effects(wanted.key) == []
        return
    assert isinstance(outcome, Receipt)
    json.dumps(dict(outcome.evidence))
    standing = venue.look_up(wanted, sent_at=sent_at, receipt=outcome)
    assert standing.state is (State.DONE if outcome.settled else standing.state)
    assert standing.state in (State.DONE, State.PENDING)
    json.dumps(dict(standing.evidence))
    if standing.state is State.DONE:
        after = totals(venue)
        source, destination = (wanted.source, wanted.asset), (wanted.destination, wanted.asset)
        assert after[source] == before[source] - wanted.amount - (outcome.fee or 0)
        assert after[destination] == before.get(destination, Decimal(0)) + wanted.amount
        assert len(simulated.effects(wanted.key)) == 1


def test_the_same_key_never_moves_twice(venue: Connector, simulated: Simulator, wanted: Instruction) -> None:
    for _ in range(3):
        with contextlib.suppress(Uncertain, Refused, TryLater):
            venue.send(wanted)
    assert len(simulated.effects(wanted.key)) <= 1


FAULTS = (
    "answer_lost",
    "request_lost",
    "rate_limited",
    "banned",
    "error_before",
    "error_after",
    "garbage",
)


@pytest.mark.parametrize("kind", FAULTS)
def test_its_word_about_the_money_is_true_whatever_goes_wrong(
    venue: Connector, simulated: Simulator, wanted: Instruction, kind: str
) -> None:
    simulated.fault(kind, match="send")
    sent_at, receipt, raised = datetime.now(UTC), None, None
    try:
        outcome = venue.send(wanted, signed_at=sent_at)
        receipt = outcome if isinstance(outcome, Receipt) else None
    except VenueError as error:
        raised = error
    moved = bool(simulated.effects(wanted.key))
    if moved:
        assert receipt is not None or isinstance(raised, Uncertain)
    else:
        assert receipt is None or not receipt.settled
    if raised is not None:
        json.dumps(raised.evidence)
        assert raised.words.startswith(
            "It may have moved." if isinstance(raised, Uncertain) else ("Nothing moved.", "Not sent. Nothing")
        )
    standing = venue.look_up(wanted, sent_at=sent_at, receipt=receipt)
    allowed = {State.DONE, State.PENDING, State.UNCLEAR} if moved else {State.UNCLEAR, State.PENDING}
    assert standing.state in allowed, "a minute after the send, nothing is known to be absent"


@pytest.mark.parametrize("kind", FAULTS)
def test_a_look_up_that_failed_raises_and_says_nothing(
    venue: Connector, simulated: Simulator, wanted: Instruction, kind: str
) -> None:
    simulated.fault(kind, match="read", times=None)
    with pytest.raises((TryLater, Barred)) as raised:
        venue.look_up(wanted, sent_at=datetime.now(UTC) - timedelta(hours=2))
    json.dumps(raised.value.evidence)


@pytest.mark.parametrize("kind", FAULTS)
def test_a_balance_that_could_not_be_read_is_never_a_number(venue: Connector, simulated: Simulator, kind: str) -> None:
    addresses = {account.address for account in venue.accounts()}
    simulated.fault(kind, match="read", times=None)
    try:
        rows = venue.balances()
    except (TryLater, Barred):
        return
    assert {row.address for row in rows} == addresses
    assert all(row.total is None and row.problem for row in rows)


def test_after_send_before_nothing_is_written(venue: Connector, simulated: Simulator, wanted: Instruction) -> None:
    with pytest.raises(TryLater, match="Nothing moved"):
        venue.send(wanted, send_before=datetime.now(UTC) - timedelta(seconds=1))
    assert [one.target for one in simulated.requests() if simulated.is_send(one)] == []


def test_its_secrets_appear_nowhere(
    name: str, simulated: Simulator, wanted: Instruction, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    venue = opened(name, simulated)
    seen = [repr(venue.check())]
    for kind in FAULTS:
        simulated.fault(kind, match="send")
        try:
            seen.append(repr(venue.send(wanted)))
        except VenueError as error:
            seen += [str(error), repr(error), repr(vars(error))]
    seen += [caplog.text, *(repr(vars(record)) for record in caplog.records)]
    for secret in simulated.credentials.values():
        assert all(secret not in text for text in seen)
