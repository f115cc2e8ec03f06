"""Bitget: signatures, the meaning of every code, look-ups, balances, the clock, and secrets."""

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

import connectors
from connectors import bitget as module
from connectors.bitget import CODES, VENUE, Credentials, Signature
from connectors.core.errors import Barred, Refused, TryLater, Uncertain, VenueError
from connectors.core.protocol import EVERY_ASSET, Challenge, Connector, Instruction, Receipt, State
from connectors.simulators.bitget import BitgetSimulator
from connectors.simulators.core import serve

GIVEN = {
    "api_key": "bg_testkey0000000000000000000001",
    "api_secret": "bitgetTestSecretEEEEFFFF00001111",
    "passphrase": "testPassphrase1",
}
TRANSFER = "/api/v2/spot/wallet/transfer"
RECORDS = "/api/v2/spot/account/transferRecords"
KEY = "5b1c9f0e-3a52-4d7b-9c3e-0f6a7d2e4b18"


@pytest.fixture(scope="module")
def server() -> Iterator[BitgetSimulator]:
    with serve("bitget") as simulator:
        assert isinstance(simulator, BitgetSimulator)
        yield simulator


@pytest.fixture
def sim(server: BitgetSimulator) -> Iterator[BitgetSimulator]:
    server.clear()
    yield server
    server.clear()


@pytest.fixture
def bitget(sim: BitgetSimulator) -> Connector:
    return opened(sim)


def opened(sim: BitgetSimulator) -> Connector:
    return connectors.open("bitget", credentials=sim.credentials, base_url=sim.url, loopback_only=True)


def instruction(**changed: Any) -> Instruction:
    words: dict[str, Any] = {
        "key": uuid4(),
        "source": "spot",
        "destination": "usdt_futures",
        "asset": "USDT",
        "amount": Decimal("12.345"),
        "reference": "T-1",
    }
    return Instruction(**{**words, **changed})


def answering(reply: Callable[[httpx.Request], httpx.Response] | dict[str, Any]) -> Connector:
    """A connector that remembers nothing and whose wire gives one and the same answer."""
    module._shared.clear()
    module._pairs_seen.clear()
    if isinstance(reply, dict):
        said = reply
        reply = lambda request: httpx.Response(200, json=said)  # noqa: E731
    return connectors.open("bitget", credentials=GIVEN, transport=httpx.MockTransport(reply))


def envelope(data: Any, code: str = "00000", text: str = "success") -> dict[str, Any]:
    return {"code": code, "msg": text, "requestTime": 1760000000455, "data": data}


def by_path(answers: Mapping[str, Any]) -> Connector:
    """A connector that is given this data by the last word of the path, and an empty list otherwise."""

    def reply(request: httpx.Request) -> httpx.Response:
        for end, data in answers.items():
            if request.url.path.endswith(end):
                return httpx.Response(200, json=envelope(data(request) if callable(data) else data))
        return httpx.Response(200, json=envelope([]))

    return answering(reply)


# Signatures: worked out by hand with HMAC, and confirmed with openssl and ccxt.

BODY = (
    b'{"fromType":"spot","toType":"usdt_futures","amount":"12.345","coin":"USDT",'
    b'"clientOid":"5b1c9f0e3a524d7b9c3e0f6a7d2e4b18"}'
)
HOST = "https://api.bitget.com"


@pytest.mark.parametrize(
    ("request_", "sign"),
    [
        (httpx.Request("POST", HOST + TRANSFER, content=BODY), "RiEPUCFFnhQEyG8FqGGCg5lJXr4DEcP+TksDtS5pP2A="),
        (
            httpx.Request("GET", f"{HOST}{RECORDS}?clientOid=5b1c9f0e3a524d7b9c3e0f6a7d2e4b18&coin=USDT&fromType=spot"),
            "HrmGZ4MP/LG/PBy1DfMW0oMzUF8EFf/hSCQaE3F67AQ=",
        ),
        (
            httpx.Request(
                "GET",
                f"{HOST}{RECORDS}?clientOid=5b1c9f0e3a524d7b9c3e0f6a7d2e4b18&coin=USDT&endTime=1760000000000"
                "&fromType=spot&limit=100&startTime=1759996400000",
            ),
            "wLWxAXiqFBxckjbZ3qc9eej//nrD4AZ5pOyhIu6BMxM=",
        ),
    ],
    ids=["A", "B", "C"],
)
def test_signatures_equal_the_worked_vectors(request_: httpx.Request, sign: str) -> None:
    signed = next(Signature(Credentials(**GIVEN), 1760000000123).auth_flow(request_))
    assert signed.headers["ACCESS-SIGN"] == sign
    assert signed.headers["ACCESS-KEY"] == GIVEN["api_key"]
    assert signed.headers["ACCESS-TIMESTAMP"] == "1760000000123"
    assert signed.headers["ACCESS-PASSPHRASE"] == GIVEN["passphrase"]


def test_the_transfer_on_the_wire_is_the_instruction_byte_for_byte() -> None:
    seen: list[httpx.Request] = []

    def reply(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json=envelope({"transferId": "1", "clientOid": UUID(KEY).hex}))

    signed_at = datetime(2025, 10, 9, 8, 53, 20, 123000, tzinfo=UTC)
    answering(reply).send(instruction(key=UUID(KEY), amount=Decimal("12.34500")), signed_at=signed_at)
    (request,) = seen
    assert (request.method, str(request.url)) == ("POST", HOST + TRANSFER)
    assert request.content == BODY
    assert request.headers["content-type"] == "application/json"
    assert request.headers["access-timestamp"] == "1760000000123"
    assert request.headers["access-sign"] == "RiEPUCFFnhQEyG8FqGGCg5lJXr4DEcP+TksDtS5pP2A="
    assert "paptrading" not in request.headers


@pytest.mark.parametrize(
    ("amount", "written"), [("1E+3", "1000"), ("1E-8", "0.00000001"), ("0.10", "0.1"), ("100", "100")]
)
def test_amounts_are_quoted_plain_decimals(sim: BitgetSimulator, bitget: Connector, amount: str, written: str) -> None:
    bitget.send(instruction(amount=Decimal(amount)))
    assert f'"amount":"{written}"'.encode() in sim.requests(TRANSFER)[-1].body


@pytest.mark.parametrize(
    ("source", "destination", "symbol"),
    [
        ("spot", "p2p", None),
        ("usdt_futures", "crossed_margin", None),
        ("spot", "isolated_margin:BTCUSDT", "BTCUSDT"),
        ("isolated_margin:ETHUSDT", "usdt_futures", "ETHUSDT"),
    ],
)
def test_a_symbol_goes_with_isolated_margin_and_only_then(
    sim: BitgetSimulator, bitget: Connector, source: str, destination: str, symbol: str | None
) -> None:
    wanted = instruction(source=source, destination=destination)
    before = {address: Decimal(sim.balance(address, "USDT")) for address in (source, destination)}
    bitget.send(wanted)
    body = json.loads(sim.requests(TRANSFER)[-1].body)
    assert body.get("symbol") == symbol
    assert ("symbol" in body) is (symbol is not None)
    assert (body["fromType"], body["toType"]) == (source.partition(":")[0], destination.partition(":")[0])
    assert Decimal(sim.balance(source, "USDT")) == before[source] - wanted.amount
    assert Decimal(sim.balance(destination, "USDT")) == before[destination] + wanted.amount
    assert look_up(bitget, wanted).state is State.DONE


def test_a_mixed_case_coin_keeps_its_spelling(sim: BitgetSimulator, bitget: Connector) -> None:
    wanted = instruction(asset="preSPAX", destination="p2p", amount=Decimal(3))
    bitget.send(wanted)
    assert json.loads(sim.requests(TRANSFER)[-1].body)["coin"] == "preSPAX"
    assert look_up(bitget, wanted).state is State.DONE
    assert sim.requests(RECORDS)[-1].params()["coin"] == "preSPAX"
    assert rows(bitget)["p2p", "preSPAX"].total == 3
    assert "preSPAX" in bitget.assets("spot", "p2p")
    with pytest.raises(Refused, match="43129"):
        bitget.send(instruction(asset="PRESPAX", destination="p2p"))


# What every documented answer to a transfer means, in our own words.

NOTHING_MOVED_AND_NEVER_WILL = """
    40081 40105 40110 40128 40301 40805 40847 40919 40404
    40017 40019 40020 40034 40053 40057 40058 40059 40064 40304 40305 40402 40408 40409 40724 40811 40812 40813 41002
    41100 41101 41103 43011 43058 43111 43123 48001 48002 50011 50061 80001 400171 400172 01001 01002
    00001 40704 40705 40707 42072 43130
    43125 50063 40799 40801 43117 43152 70226
    40754 40756 40798 40800 43012 43132 45002 45004 50020 50052
    40806 41104 43129 50059 25110 50032 40807 45019 50021 70020
    50001 50002 50003 50004 50024 50039 40077 43127 43134 40714 40802 40850
    40879 25011 50022 50023 50064 43136 45009 50012 50013 70209 40907 40936
"""
A_PERSON_HAS_TO_ACT = """
    40001 40002 40003 40006 40007 40009 40011 40012 40036 40037 40041
    40013 40016 40018 40022 40023 40024 40025 40026 40031 40035 40038 40040 22010 40101 40199 40710 40760
    40014 40000 40100 40103 40104 40111 40099 40085 40086
"""
TOO_MANY_CALLS = "429 1001 50009 30014 30026 25004 70228 59044"
A_CLOCK_IS_WRONG = "40004 40005 40008 40078 40079 40911"
PERHAPS_IT_MOVED = """
    43118 45034 50060 25212 40786 40708 40909 43137 40010 40910 25001 50008
    40015 40200 40604 40725 45001 49040 50031 80002 25000 43059 40846 40856 40908 25003
    40782 40788 40904 40905 40906 42013 40808 40781
"""
BY_CODE: dict[str, type[VenueError]] = {
    **dict.fromkeys(NOTHING_MOVED_AND_NEVER_WILL.split(), Refused),
    **dict.fromkeys(A_PERSON_HAS_TO_ACT.split(), Barred),
    **dict.fromkeys((TOO_MANY_CALLS + " " + A_CLOCK_IS_WRONG).split(), TryLater),
    **dict.fromkeys(PERHAPS_IT_MOVED.split(), Uncertain),
}


def test_every_documented_code_is_spoken_for() -> None:
    assert set(BY_CODE) | {"00000"} == set(CODES)


def refusing(sim: BitgetSimulator, code: str, **how: Any) -> Connector:
    """A simulator's answer, but for the one code that differs from another only by a zero in front."""
    if code == "01001":
        said = envelope(None, code, how["text"])
        return answering(lambda request: httpx.Response(400, json=said))
    sim.fault("refuse", code=int(code), **how)
    return opened(sim)


@pytest.mark.parametrize("code", sorted(BY_CODE))
def test_each_code_on_a_transfer(sim: BitgetSimulator, code: str) -> None:
    wanted = instruction()
    with pytest.raises(VenueError) as raised:
        refusing(sim, code, match="send", text="as they say").send(wanted)
    assert type(raised.value) is BY_CODE[code]
    moved = "It may have moved." if BY_CODE[code] is Uncertain else "Nothing moved."
    assert raised.value.words.startswith(moved)
    assert f"code {code}: as they say" in raised.value.words
    assert raised.value.evidence["code"] == code
    assert raised.value.evidence["http_status"] == 400
    assert len(raised.value.evidence["body_sha256"]) == 64
    assert raised.value.evidence["request"]["clientOid"] == wanted.key.hex
    json.dumps(raised.value.evidence)


@pytest.mark.parametrize("code", sorted(set(BY_CODE) - {"40781"}))
def test_each_code_on_a_question(sim: BitgetSimulator, code: str) -> None:
    bitget = refusing(sim, code, match="transferRecords", times=2, text="")
    if code in A_CLOCK_IS_WRONG.split():
        sim.fault("error_before", match="public/time")
    with pytest.raises(Barred if code in A_PERSON_HAS_TO_ACT.split() else TryLater) as raised:
        bitget.look_up(instruction(), sent_at=datetime.now(UTC))
    assert raised.value.words.startswith("Could not read")


@pytest.mark.parametrize("age", [timedelta(0), timedelta(hours=2)])
def test_no_such_transfer_is_no_search_and_proves_nothing(
    sim: BitgetSimulator, bitget: Connector, age: timedelta
) -> None:
    sim.fault("refuse", match="read", code=40781)
    standing = look_up(bitget, instruction(), sent_at=datetime.now(UTC) - age)
    assert (standing.state, standing.searched, standing.found) == (State.UNCLEAR, False, False)


@pytest.mark.parametrize("code", [99999, 1003, 2])
def test_a_code_that_nobody_knows_is_a_doubt_and_loud(
    sim: BitgetSimulator, bitget: Connector, caplog: pytest.LogCaptureFixture, code: int
) -> None:
    sim.fault("refuse", match="send", code=code)
    with pytest.raises(Uncertain):
        bitget.send(instruction())
    assert any(record.levelno == logging.ERROR and "not know" in record.message for record in caplog.records)


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("Parameter verification exception amount checkBDScale error value=2.5 checkScale=0", Refused),
        ("Parameter verification exception size checkBDScale error", Refused),
        ("Parameter verification exception clientOid", Refused),
        ("Parameter verification exception", Uncertain),
        ("retry", Uncertain),
        ("", Uncertain),
    ],
)
def test_a_failed_check_is_a_refusal_only_when_it_names_a_parameter(
    sim: BitgetSimulator, bitget: Connector, text: str, means: type[VenueError]
) -> None:
    sim.fault("refuse", match="send", code=40808, text=text)
    with pytest.raises(VenueError) as raised:
        bitget.send(instruction())
    assert type(raised.value) is means


SAYS_TAKEN = json.dumps(envelope({"transferId": "1", "clientOid": None})).encode()
SAYS_TOO_MUCH = json.dumps(envelope(None, "43117", "Exceeded")).encode()


@pytest.mark.parametrize(
    ("status", "body", "means"),
    [
        # The body decides at any status,
        *((status, SAYS_TOO_MUCH, Refused) for status in (200, 201, 302, 400, 401, 403, 404, 418, 429)),
        *((status, b'{"code":"40009","msg":"sign"}', Barred) for status in (200, 400, 401, 403)),
        *((status, b'{"code":"40008"}', TryLater) for status in (200, 400)),
        *((status, b'{"code":"40909"}', Uncertain) for status in (200, 400, 429)),
        *((status, b'{"code":"77777"}', Uncertain) for status in (200, 400, 401, 429)),
        # but not against a server that broke,
        *((status, SAYS_TOO_MUCH, Uncertain) for status in (500, 502, 503, 504, 520)),
        *((status, b'{"code":"40009"}', Uncertain) for status in (500, 503)),
        # and success is said with 200 only.
        *((status, SAYS_TAKEN, Uncertain) for status in (201, 202, 302, 400, 401, 403, 404, 429, 500, 503)),
        # Without a body of theirs, only too many calls are no doubt.
        (429, b"", TryLater),
        (429, b"Too Many Requests", TryLater),
        (429, b'{"code":429,"msg":"Too Many Requests"}', TryLater),
        (429, b'{"code":"429","msg":"Too Many Requests"}', TryLater),
        *((status, b"", Uncertain) for status in (200, 201, 204, 301, 302, 307, 400, 401, 403, 404, 408, 500, 503)),
        (200, b"[]", Uncertain),
        (200, b'"00000"', Uncertain),
        (200, b"{", Uncertain),
        (200, b'{"code":0,"data":{}}', Uncertain),
        (200, b'{"code":null,"data":{}}', Uncertain),
        (200, b'{"code":"0","data":{}}', Uncertain),
        (200, b'{"code":"000000","data":{}}', Uncertain),
        (200, b'{"code":43117}', Uncertain),
        (200, b'{"msg":"success"}', Uncertain),
        (200, b"[" * 100_000, Uncertain),
    ],
)
def test_each_http_status(status: int, body: bytes, means: type[VenueError]) -> None:
    venue = answering(lambda request: httpx.Response(status, content=body))
    with pytest.raises(VenueError) as raised:
        venue.send(instruction())
    assert type(raised.value) is means


def test_words_are_read_from_message_as_well() -> None:
    venue = answering(lambda request: httpx.Response(400, json={"code": "43117", "message": "too much"}))
    with pytest.raises(Refused, match="too much"):
        venue.send(instruction())


@pytest.mark.parametrize(
    ("data", "record"),
    [
        ({"transferId": "123", "clientOid": UUID(KEY).hex}, "123"),
        ({"transferId": "123", "clientOrderId": None}, "123"),
        ({"transferId": "123", "clientOrderId": UUID(KEY).hex}, "123"),
        ({"transferId": None, "clientOid": UUID(KEY).hex}, None),
        ({}, None),
    ],
)
def test_acceptance_is_never_success(data: Any, record: str | None) -> None:
    receipt = answering(envelope(data)).send(instruction(key=UUID(KEY)))
    assert isinstance(receipt, Receipt)
    assert (receipt.settled, receipt.record) == (False, record)


@pytest.mark.parametrize("data", [None, [], "x", {"clientOid": "another"}, {"clientOrderId": KEY}])
def test_an_acceptance_of_something_else_is_a_doubt(data: Any) -> None:
    with pytest.raises(Uncertain):
        answering(envelope(data)).send(instruction(key=UUID(KEY)))


@pytest.mark.parametrize(
    "changed",
    [
        {"destination": "spot"},
        {"source": "Spot"},
        {"source": "SPOT"},
        {"source": "funding"},
        {"source": ""},
        {"destination": "usdt_m_futures"},
        {"destination": "cross_margin"},
        {"destination": "futures_usdt"},
        {"destination": "isolated_margin"},
        {"destination": "isolated_margin:"},
        {"destination": "isolated_margin:btcusdt"},
        {"destination": "isolated_margin:BTC/USDT"},
        {"destination": "crossed_margin:BTCUSDT"},
        {"destination": "spot:"},
        {"source": "isolated_margin:BTCUSDT", "destination": "isolated_margin:ETHUSDT"},
        {"source": "isolated_margin:BTCUSDT", "destination": "isolated_margin:BTCUSDT"},
        {"amount": Decimal(0)},
        {"amount": Decimal(-1)},
        {"amount": Decimal("NaN")},
        {"amount": Decimal("Infinity")},
        {"amount": Decimal("0.000000001")},
        {"amount": Decimal("1.123456789")},
        {"asset": ""},
        {"asset": "$ALT"},
        {"asset": "US DT"},
        {"asset": "ÜSDT"},
    ],
)
def test_what_cannot_be_right_is_refused_before_the_wire(
    sim: BitgetSimulator, bitget: Connector, changed: dict[str, Any]
) -> None:
    with pytest.raises(Refused, match=r"^Not sent. Nothing moved"):
        bitget.send(instruction(**changed))
    assert sim.requests() == []


def test_zeros_at_the_end_are_no_decimals(bitget: Connector) -> None:
    assert bitget.send(instruction(amount=Decimal("1.1234567800000")))


def test_an_answer_to_a_challenge_is_refused_because_there_are_none(bitget: Connector) -> None:
    with pytest.raises(Refused):
        bitget.send(instruction(), answer="token")
    with pytest.raises(NotImplementedError):
        bitget.challenge(Challenge(token="t", deadline=datetime.now(UTC)))


# Limits


def waits(bitget: Connector) -> timedelta:
    with pytest.raises(TryLater) as raised:
        bitget.send(instruction())
    assert raised.value.retry_at is not None
    return raised.value.retry_at - datetime.now(UTC)


def test_too_many_calls_wait_a_second_and_then_five_minutes(sim: BitgetSimulator, bitget: Connector) -> None:
    sim.fault("rate_limited", match="send", times=3)
    assert timedelta(0) < waits(bitget) <= timedelta(seconds=1)
    assert timedelta(0) < waits(bitget) <= timedelta(seconds=1)
    assert timedelta(minutes=4, seconds=58) < waits(bitget) <= timedelta(minutes=5)
    bitget.send(instruction())
    sim.fault("rate_limited", match="send")
    assert waits(bitget) <= timedelta(seconds=1), "an answer in between starts the count anew"


@pytest.mark.parametrize(
    ("header", "seconds"), [("90", 90), ("0", 1), ("soon", 1), ("", 1), ("999999", 3600), ("-5", 1), ("9" * 30, 1)]
)
def test_a_time_that_the_venue_names_is_believed_if_it_is_longer(header: str, seconds: int) -> None:
    wait = waits(answering(lambda request: httpx.Response(429, headers={"Retry-After": header})))
    assert timedelta(seconds=seconds - 1) < wait <= timedelta(seconds=seconds)


# Looking up


def look_up(bitget: Connector, wanted: Instruction, **at: Any) -> Any:
    return bitget.look_up(wanted, **{"sent_at": datetime.now(UTC), **at})


def test_a_lost_answer_is_found_again(sim: BitgetSimulator, bitget: Connector) -> None:
    sim.fault("answer_lost", match="send")
    wanted = instruction()
    with pytest.raises(Uncertain):
        bitget.send(wanted)
    standing = look_up(bitget, wanted)
    assert (standing.state, standing.searched, standing.found) == (State.DONE, True, True)
    assert standing.evidence["record"]["clientOid"] == wanted.key.hex


def test_a_repeat_moves_nothing_more_and_names_the_same_record(sim: BitgetSimulator, bitget: Connector) -> None:
    wanted = instruction()
    first, second = bitget.send(wanted), bitget.send(wanted)
    assert isinstance(first, Receipt)
    assert isinstance(second, Receipt)
    assert first.record == second.record
    assert len(sim.effects(wanted.key)) == 1


def test_pending_then_done(sim: BitgetSimulator, bitget: Connector) -> None:
    sim.fault("pending", match="send", seconds=0.3)
    wanted = instruction()
    receipt = bitget.send(wanted)
    assert look_up(bitget, wanted, receipt=receipt).state is State.PENDING
    time.sleep(0.35)
    assert look_up(bitget, wanted, receipt=receipt).state is State.DONE


def test_taken_and_then_failed(sim: BitgetSimulator, bitget: Connector) -> None:
    sim.fault("fails_later", match="send", seconds=0.2)
    wanted, before = instruction(), Decimal(sim.balance("spot", "USDT"))
    receipt = bitget.send(wanted)
    assert isinstance(receipt, Receipt)
    time.sleep(0.25)
    assert look_up(bitget, wanted, receipt=receipt).state is State.FAILED
    assert sim.effects(wanted.key) == []
    assert Decimal(sim.balance("spot", "USDT")) == before


def test_a_record_that_shows_up_late_is_never_taken_for_absent(sim: BitgetSimulator, bitget: Connector) -> None:
    sim.fault("record_late", match="send", seconds=0.3)
    sim.fault("answer_lost", match="send")
    wanted = instruction()
    with pytest.raises(Uncertain):
        bitget.send(wanted)
    standing = look_up(bitget, wanted)
    assert (standing.state, standing.searched, standing.found) == (State.UNCLEAR, True, False)
    time.sleep(0.35)
    assert look_up(bitget, wanted).state is State.DONE


@pytest.mark.parametrize(
    ("age", "receipt", "state"),
    [
        (timedelta(minutes=59), None, State.UNCLEAR),
        (timedelta(minutes=61), None, State.ABSENT),
        (timedelta(days=6), None, State.ABSENT),
        (timedelta(minutes=61), Receipt(settled=False, record="x"), State.UNCLEAR),
        (timedelta(minutes=61), Receipt(settled=False, record=None), State.UNCLEAR),
        (timedelta(days=8), None, State.UNCLEAR),
    ],
)
def test_an_empty_search_means_absent_after_an_hour_and_without_a_receipt(
    bitget: Connector, age: timedelta, receipt: Receipt | None, state: State
) -> None:
    standing = look_up(bitget, instruction(), sent_at=datetime.now(UTC) - age, receipt=receipt)
    assert (standing.state, standing.searched, standing.found) == (state, True, False)


def test_absent_may_be_switched_off(bitget: Connector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ABSENT_AFTER", None)
    assert look_up(bitget, instruction(), sent_at=datetime.now(UTC) - timedelta(hours=2)).state is State.UNCLEAR


def test_absent_takes_two_searches_one_of_them_by_time_alone(sim: BitgetSimulator, bitget: Connector) -> None:
    two_hours_ago = datetime.now(UTC) - timedelta(hours=2)
    assert look_up(bitget, instruction(), sent_at=two_hours_ago).state is State.ABSENT
    by_id, by_time = (request.params() for request in sim.requests(RECORDS))
    assert {**by_time, "clientOid": by_id["clientOid"]} == {**by_id, "endTime": by_time["endTime"]}
    assert "clientOid" not in by_time
    sim.fault("error_before", match="limit=500&startTime", times=None)
    with pytest.raises(TryLater):
        look_up(bitget, instruction(), sent_at=two_hours_ago)


def test_what_the_search_by_id_has_forgotten_is_found_by_time() -> None:
    def reply(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=envelope([] if "clientOid" in request.url.params else [RECORD]))

    two_hours_ago = datetime.now(UTC) - timedelta(hours=2)
    assert look_up(answering(reply), LOOKED_FOR, sent_at=two_hours_ago).state is State.DONE
    assert look_up(answering(reply), LOOKED_FOR).state is State.UNCLEAR, "not asked for before it matters"


@pytest.mark.parametrize("age", [timedelta(0), timedelta(hours=23), timedelta(days=6), timedelta(days=40)])
def test_the_window_begins_early_and_spans_a_day_at_most(
    sim: BitgetSimulator, bitget: Connector, age: timedelta
) -> None:
    sent_at = datetime.now(UTC) - age
    look_up(bitget, instruction(), sent_at=sent_at)
    request = sim.requests(RECORDS)[0]
    params = request.params()
    assert list(params) == sorted(params) == ["clientOid", "coin", "endTime", "fromType", "limit", "startTime"]
    start, end = int(params["startTime"]), int(params["endTime"])
    sent, now, day = int(sent_at.timestamp() * 1000), int(time.time() * 1000), 24 * 3600 * 1000
    assert sent - 120_000 < start <= sent - 1000
    assert end - start <= day
    assert end >= now or end - start == day


RECORD = {
    "coin": "USDT",
    "status": "Successful",
    "toType": "usdt_futures",
    "toSymbol": "",
    "fromType": "spot",
    "fromSymbol": "",
    "size": "12.34500000",
    "ts": "1760000000400",
    "clientOid": "5b1c9f0e3a524d7b9c3e0f6a7d2e4b18",
    "transferId": "1234567890123456789",
}
LOOKED_FOR = instruction(key=UUID(KEY))
INTO_A_PAIR = instruction(key=UUID(KEY), destination="isolated_margin:BTCUSDT")
OUT_OF_A_PAIR = instruction(key=UUID(KEY), source="isolated_margin:BTCUSDT")


@pytest.mark.parametrize(
    ("wanted", "changed", "state"),
    [
        (LOOKED_FOR, {}, State.DONE),
        (LOOKED_FOR, {"coin": "usdt", "size": "12.345"}, State.DONE),
        (LOOKED_FOR, {"fromSymbol": "BTC/USD", "toSymbol": None}, State.DONE),
        (LOOKED_FOR, {"status": "successful"}, State.DONE),
        (LOOKED_FOR, {"status": "Processing"}, State.PENDING),
        (LOOKED_FOR, {"status": "FAILED"}, State.FAILED),
        (INTO_A_PAIR, {"toType": "isolated_margin", "toSymbol": "BTCUSDT"}, State.DONE),
        (INTO_A_PAIR, {"toType": "isolated_margin", "toSymbol": "btc/usdt"}, State.DONE),
        (OUT_OF_A_PAIR, {"fromType": "isolated_margin", "fromSymbol": "BTC/USDT"}, State.DONE),
    ],
)
def test_a_record_is_compared_by_value_not_by_spelling(
    wanted: Instruction, changed: dict[str, Any], state: State
) -> None:
    assert look_up(answering(envelope([{**RECORD, **changed}])), wanted).state is state


@pytest.mark.parametrize(
    ("wanted", "changed"),
    [
        (LOOKED_FOR, {"coin": "USDC"}),
        (LOOKED_FOR, {"coin": None}),
        (LOOKED_FOR, {"size": "12.346"}),
        (LOOKED_FOR, {"size": ""}),
        (LOOKED_FOR, {"size": 12.345}),
        (LOOKED_FOR, {"size": "NaN"}),
        (LOOKED_FOR, {"fromType": "p2p"}),
        (LOOKED_FOR, {"toType": "coin_futures"}),
        (LOOKED_FOR, {"toType": None}),
        (LOOKED_FOR, {"status": "Reversed"}),
        (LOOKED_FOR, {"status": "success"}),
        (LOOKED_FOR, {"status": ""}),
        (LOOKED_FOR, {"status": None}),
        (INTO_A_PAIR, {"toType": "isolated_margin", "toSymbol": "ETHUSDT"}),
        (INTO_A_PAIR, {"toType": "isolated_margin", "toSymbol": ""}),
        (INTO_A_PAIR, {"toType": "crossed_margin", "toSymbol": "BTCUSDT"}),
        (OUT_OF_A_PAIR, {"fromType": "isolated_margin", "fromSymbol": "BTC/USD"}),
    ],
)
def test_a_record_with_other_words_is_unclear_and_loud(
    wanted: Instruction, changed: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    standing = look_up(answering(envelope([{**RECORD, **changed}])), wanted)
    assert (standing.state, standing.searched, standing.found) == (State.UNCLEAR, True, True)
    assert any(record.levelno == logging.ERROR for record in caplog.records)
    json.dumps(standing.evidence)


def test_two_records_under_one_key_are_unclear() -> None:
    standing = look_up(answering(envelope([RECORD, {**RECORD, "transferId": "2"}])), LOOKED_FOR)
    assert (standing.state, standing.found) == (State.UNCLEAR, True)


@pytest.mark.parametrize("named", ["5B1C9F0E3A524D7B9C3E0F6A7D2E4B18", KEY, "1111506298504744960", "", None])
def test_a_strangers_record_is_not_ours_even_if_the_venue_says_so(named: str | None) -> None:
    standing = look_up(answering(envelope([{**RECORD, "clientOid": named}])), LOOKED_FOR)
    assert (standing.state, standing.searched, standing.found) == (State.UNCLEAR, True, False)


def strangers(number: int, size: int) -> list[dict[str, str]]:
    return [{**RECORD, "clientOid": "x", "transferId": f"{number}-{row}"} for row in range(size)]


def test_a_venue_that_ignores_the_id_is_searched_to_the_last_page() -> None:
    asked = []

    def reply(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.params.get("pageNum"))
        number = int(request.url.params.get("pageNum", "1"))
        return httpx.Response(200, json=envelope(strangers(number, 500) if number < 3 else [RECORD]))

    assert look_up(answering(reply), LOOKED_FOR).state is State.DONE
    assert asked == [None, "2", "3"]


@pytest.mark.parametrize("pages", [1, 100])
def test_a_search_without_end_says_nothing_about_the_money(pages: int) -> None:
    asked = []

    def reply(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.params.get("pageNum"))
        number = min(int(request.url.params.get("pageNum", "1")), pages)
        return httpx.Response(200, json=envelope(strangers(number, 500)))

    with pytest.raises(TryLater, match="come to an end"):
        look_up(answering(reply), LOOKED_FOR, sent_at=datetime.now(UTC) - timedelta(hours=2))
    assert len(asked) == min(pages + 1, 10), "the same page again is the end of asking"


@pytest.mark.parametrize("data", [None, {}, {"list": []}, ["x"], "x", 5])
def test_an_answer_without_a_list_of_records_says_nothing_about_the_money(data: Any) -> None:
    with pytest.raises(TryLater):
        look_up(answering(envelope(data)), LOOKED_FOR, sent_at=datetime.now(UTC) - timedelta(hours=2))


def test_records_that_others_claim_change_nothing(bitget: Connector) -> None:
    wanted = instruction()
    receipt = bitget.send(wanted)
    assert isinstance(receipt, Receipt)
    assert look_up(bitget, wanted, claimed=[receipt.record]).state is State.DONE


# Balances


def rows(bitget: Connector) -> dict[tuple[str, str], Any]:
    return {(row.address, row.asset): row for row in bitget.balances()}


def test_all_seven_kinds_are_read(sim: BitgetSimulator, bitget: Connector) -> None:
    found = rows(bitget)
    assert {address.partition(":")[0] for address, _ in found} == set(VENUE.account_kinds)
    for address, holdings in sim.practice[0].opening.items():
        for asset in holdings:
            row = found[address, asset]
            assert row.problem is None
            assert row.total == Decimal(sim.balance(address, asset)), (address, asset)
            assert row.movable == row.total
    assert [asset for address, asset in found if address == "isolated_margin:ETHUSDT"] == ["ETH", "USDT"]


@pytest.mark.parametrize(
    ("address", "total"),
    [
        ("spot", "100"),
        ("p2p", "100"),
        ("usdt_futures", "100"),
        ("crossed_margin", "60"),
        ("isolated_margin:BTCUSDT", "60"),
    ],
)
def test_what_is_frozen_counts_and_does_not_move_and_what_is_borrowed_does_not_count(address: str, total: str) -> None:
    with serve("bitget") as sim:
        sim.set_balance(address, "USDT", "100")
        sim.set_balance(f"{address}/frozen", "USDT", "15")
        if "margin" in address:
            sim.set_balance(f"{address}/borrow", "USDT", "40")
        assert isinstance(sim, BitgetSimulator)
        row = rows(opened(sim))[address, "USDT"]
        assert (row.total, row.movable) == (Decimal(total), Decimal(total) - 15)


def test_a_coin_missing_from_a_complete_answer_is_zero(bitget: Connector) -> None:
    found = rows(bitget)
    assert (found["p2p", "BTC"].total, found["p2p", "BTC"].movable, found["p2p", "BTC"].problem) == (0, 0, None)
    assert found["usdc_futures", "USDT"].total == 0
    assert ("isolated_margin:BTCUSDT", "EUR") not in found


@pytest.mark.parametrize(
    ("part", "addresses"),
    [
        ("spot/account/assets", ["spot"]),
        ("funding-assets", ["p2p"]),
        ("USDT-FUTURES", ["usdt_futures"]),
        ("COIN-FUTURES", ["coin_futures"]),
        ("USDC-FUTURES", ["usdc_futures"]),
        ("crossed/account/assets", ["crossed_margin"]),
        ("isolated/account/assets", ["isolated_margin:BTCUSDT", "isolated_margin:ETHUSDT"]),
    ],
)
@pytest.mark.parametrize("kind", ["error_before", "answer_lost", "garbage", "rate_limited"])
def test_an_unreadable_account_is_a_problem_and_never_a_zero(
    sim: BitgetSimulator, bitget: Connector, part: str, addresses: list[str], kind: str
) -> None:
    bitget.balances()
    sim.fault(kind, match=part)
    found = opened(sim).balances()
    unreadable = [row for row in found if row.address in addresses]
    assert [(row.address, row.asset, row.total, row.movable) for row in unreadable] == [
        (address, EVERY_ASSET, None, None) for address in addresses
    ]
    assert all(row.problem for row in unreadable)
    assert all(row.problem is None for row in found if row.address not in addresses)


def test_pairs_that_were_never_seen_are_unreadable_by_their_kind() -> None:
    def reply(request: httpx.Request) -> httpx.Response:
        broken = "isolated" in request.url.path
        return httpx.Response(500 if broken else 200, json=envelope([]))

    (row,) = [one for one in answering(reply).balances() if one.address.startswith("isolated_margin")]
    assert (row.address, row.asset, row.total) == ("isolated_margin", EVERY_ASSET, None)


def test_one_barred_account_is_a_problem_and_seven_bar_the_login(sim: BitgetSimulator, bitget: Connector) -> None:
    sim.fault("refuse", match="crossed", code=40014)
    assert "permission" in rows(bitget)["crossed_margin", EVERY_ASSET].problem
    sim.fault("refuse", match="read", code=40006, times=7)
    with pytest.raises(Barred):
        bitget.balances()


@pytest.mark.parametrize(
    ("part", "coin"), [("crossed/account/max", "BTC"), ("isolated/account/max", "isolated_margin:BTCUSDT")]
)
def test_unknown_movable_amounts_leave_the_totals_readable(
    sim: BitgetSimulator, bitget: Connector, part: str, coin: str
) -> None:
    sim.fault("error_before", match=part, times=None)
    address, asset = (coin, "BTC") if ":" in coin else ("crossed_margin", coin)
    row = rows(bitget)[address, asset]
    assert row.total == Decimal(sim.balance(address, asset))
    assert row.movable is None
    assert row.problem


@pytest.mark.parametrize("written", ["", "n/a", None, 5, 5.0, True, "NaN", "Infinity"])
def test_a_balance_that_is_not_a_number_is_a_problem(written: Any) -> None:
    margin = {"coin": "USDT", "available": "1", "net": written}
    found = rows(
        by_path(
            {
                "spot/account/assets": [{"coin": "USDT", "available": written, "frozen": "0", "locked": "0"}],
                "funding-assets": [{"coin": "USDT", "available": written, "frozen": ""}],
                "mix/account/accounts": [{"marginCoin": "USDT", "accountEquity": written, "maxTransferOut": "1"}],
                "crossed/account/assets": [margin],
                "isolated/account/assets": [{**margin, "symbol": "BTCUSDT"}],
            }
        )
    )
    assert len(found) == 7
    assert all(row.total is None and row.movable is None and row.problem for row in found.values())


@pytest.mark.parametrize("part", ["available", "frozen", "locked"])
def test_a_part_that_is_missing_makes_the_sum_unreadable(part: str) -> None:
    row = {"coin": "USDT", "available": "1", "frozen": "2", "locked": "4"}
    assert rows(by_path({"spot/account/assets": [row]}))["spot", "USDT"].total == 7
    for broken in ({**row, part: ""}, {name: text for name, text in row.items() if name != part}):
        assert rows(by_path({"spot/account/assets": [broken]}))["spot", "USDT"].total is None


def test_futures_may_be_negative_and_state_what_may_move() -> None:
    told = {"marginCoin": "USDT", "available": "-4500.1", "maxTransferOut": "0", "accountEquity": "-4767.74"}
    row = rows(by_path({"accounts": [told]}))["usdt_futures", "USDT"]
    assert (row.total, row.movable, row.problem) == (Decimal("-4767.74"), 0, None)
    row = rows(by_path({"accounts": [{**told, "maxTransferOut": None}]}))["usdt_futures", "USDT"]
    assert (row.total, row.movable) == (Decimal("-4767.74"), None)
    assert row.problem


def test_further_coins_that_serve_as_margin_are_not_lost() -> None:
    usdt = {"marginCoin": "USDT", "maxTransferOut": "1", "accountEquity": "1", "assetMode": "union"}
    also = [{"coin": "USDT", "balance": "1"}, {"coin": "BTC", "balance": "0.5"}]
    row = rows(by_path({"accounts": [{**usdt, "assetList": also}]}))["usdt_futures", "BTC"]
    assert (row.total, row.movable) == (Decimal("0.5"), None)
    assert row.problem
    told_twice = [{**usdt, "assetList": also}, {**usdt, "marginCoin": "USDC", "assetList": also}]
    assert rows(by_path({"accounts": told_twice}))["usdt_futures", "BTC"].total == Decimal("0.5")
    told_twice[1]["assetList"] = [{"coin": "BTC", "balance": "0.6"}]
    assert rows(by_path({"accounts": told_twice}))["usdt_futures", "BTC"].total is None


MARGIN = {"coin": "USDT", "available": "2", "frozen": "0", "borrow": "0.1", "net": "1.9"}


def test_margin_asks_what_may_move_for_what_is_there_only() -> None:
    asked = []

    def out(request: httpx.Request) -> dict[str, str]:
        asked.append(request.url.params["coin"])
        return {"coin": request.url.params["coin"].lower(), "maxTransferOutAmount": "1.5"}

    coins = [{**MARGIN, "coin": "$ALT"}, {**MARGIN, "coin": "BTC", "available": "0", "net": "0"}, MARGIN]
    found = rows(by_path({"crossed/account/assets": coins, "crossed/account/max-transfer-out-amount": out}))
    assert asked == ["USDT"]
    assert found["crossed_margin", "USDT"].movable == Decimal("1.5")
    assert found["crossed_margin", "BTC"].movable == 0
    assert found["crossed_margin", "$ALT"].movable is None, "it cannot be signed in a question"


def test_a_pair_without_anything_is_not_asked_for(sim: BitgetSimulator, bitget: Connector) -> None:
    bitget.balances()
    assert len(sim.requests("isolated/account/max")) == 2
    asked: list[str] = []

    def out(request: httpx.Request) -> None:
        asked.append(request.url.params["symbol"])

    empty = {**MARGIN, "symbol": "BTCUSDT", "available": "0", "net": "0"}
    found = rows(by_path({"isolated/account/assets": [empty], "isolated/account/max-transfer-out-amount": out}))
    assert (found["isolated_margin:BTCUSDT", "USDT"].movable, asked) == (0, [])


@pytest.mark.parametrize(
    ("out", "movable"),
    [
        ({"symbol": "BTCUSDT", "quoteCoin": "USDT", "quoteCoinMaxTransferOutAmount": "1.5"}, Decimal("1.5")),
        ({"symbol": "BTCUSDT", "quoteCoin": "USDC", "quoteCoinMaxTransferOutAmount": "1.5"}, None),
        ({"symbol": "BTCUSDT", "quoteCoin": "USDT"}, None),
        ({"symbol": "ETHUSDT", "quoteCoin": "USDT", "quoteCoinMaxTransferOutAmount": "1.5"}, None),
        ([], None),
    ],
)
def test_isolated_margin_believes_what_is_about_its_own_pair_and_coin(out: Any, movable: Decimal | None) -> None:
    told = {
        "isolated/account/assets": [{**MARGIN, "symbol": "BTCUSDT"}],
        "isolated/account/max-transfer-out-amount": out,
    }
    row = rows(by_path(told))["isolated_margin:BTCUSDT", "USDT"]
    assert (row.total, row.movable) == (Decimal("1.9"), movable)
    assert (row.problem is None) is (movable is not None)


@pytest.mark.parametrize(
    "data",
    [None, {}, ["x"], [{}], [{"coin": ""}], [{"coin": 5}], [{"coin": "A"}, {"coin": "A"}]],
)
def test_an_answer_that_is_no_list_of_coins_is_a_problem(data: Any) -> None:
    found = rows(by_path({"spot/account/assets": data}))
    assert found["spot", EVERY_ASSET].problem


@pytest.mark.parametrize("symbol", [None, "", "BTC/USDT", 5])
def test_an_answer_without_pairs_is_a_problem(symbol: Any) -> None:
    found = rows(by_path({"isolated/account/assets": [{**MARGIN, "symbol": symbol}]}))
    assert found["isolated_margin", EVERY_ASSET].problem


def test_amounts_are_exact(sim: BitgetSimulator, bitget: Connector) -> None:
    amount = "123456789012345678901234567890.123456789012345678"
    before = sim.balance("spot", "ETH")
    sim.set_balance("spot", "ETH", amount)
    assert format(rows(bitget)["spot", "ETH"].total, "f") == amount
    sim.set_balance("spot", "ETH", before)


# Accounts, ways and coins


def test_accounts_are_six_and_every_pair_that_the_venue_knows(bitget: Connector) -> None:
    addresses = [account.address for account in bitget.accounts()]
    assert addresses == [
        *("spot", "p2p", "usdt_futures", "coin_futures", "usdc_futures", "crossed_margin"),
        *("isolated_margin:BTCUSDT", "isolated_margin:ETHUSDT"),
    ]


def test_a_key_that_may_not_read_margin_has_six_accounts(sim: BitgetSimulator, bitget: Connector) -> None:
    sim.rights = ("stow", "wtow")
    assert len(bitget.accounts()) == 6
    sim.fault("refuse", match="isolated", code=40006)
    with pytest.raises(Barred):
        bitget.accounts()
    sim.fault("error_before", match="isolated")
    with pytest.raises(TryLater):
        bitget.accounts()


def test_every_two_kinds_are_a_way(bitget: Connector) -> None:
    ways = bitget.routes()
    assert len(set(ways)) == len(ways) == 42
    assert all(source != destination for source, destination in ways)


def test_coins_are_asked_for_once_and_a_pair_takes_its_own_two(sim: BitgetSimulator, bitget: Connector) -> None:
    assert bitget.assets("spot", "p2p") == ["BTC", "ETH", "EUR", "USDC", "USDT", "preSPAX"]
    bitget.assets("spot", "p2p").clear()
    assert len(bitget.assets("spot", "p2p")) == 6, "what a caller does with the list is their own business"
    assert len(sim.requests("transfer-coin-info")) == 1
    assert bitget.assets("spot", "isolated_margin:BTCUSDT") == ["BTC", "USDT"]
    assert bitget.assets("isolated_margin:ETHUSDT", "spot") == ["ETH", "USDT"]
    assert bitget.assets("usdc_futures", "coin_futures") == []
    with pytest.raises(Refused):
        bitget.assets("spot", "funding")
    with pytest.raises(TryLater):
        answering(envelope([1, 2])).assets("spot", "p2p")


# Who, and the clock


def test_check_says_who_and_what(sim: BitgetSimulator, bitget: Connector) -> None:
    sim.ips = "192.0.2.7"
    check = bitget.check()
    assert check.login == sim.login_of(sim.credentials)
    assert check.may_transfer
    assert "It may transfer between accounts." in check.words
    assert "It may read every account." in check.words
    assert "It works from these addresses only: 192.0.2.7." in check.words
    assert check.clock_offset is not None
    assert abs(check.clock_offset) < timedelta(seconds=1)


@pytest.mark.parametrize(
    ("rights", "may_transfer", "words"),
    [
        (("stor", "wtor"), False, "lacks the right to transfer"),
        (("stow", "wtow"), True, "may not read funding (P2P), futures, margin"),
        (("stow", "wtow", "wwow"), True, "may also withdraw"),
        (("trade", "readonly"), False, "does not know (readonly, trade)"),
        ((), False, "does not know (none)"),
    ],
)
def test_check_names_what_the_key_may_do(rights: tuple[str, ...], may_transfer: bool, words: str) -> None:
    told = {"userId": "7", "authorities": list(rights), "ips": ""}
    check = by_path({"public/time": {"serverTime": str(int(time.time() * 1000))}, "account/info": told}).check()
    assert check.may_transfer is may_transfer
    assert words in " ".join(check.words)
    assert "It is bound to no address; better bind it." in check.words


@pytest.mark.parametrize("told", [None, [], {}, {"userId": ""}, {"userId": None}, {"userId": True}, {"userId": ["7"]}])
def test_check_without_a_user_says_nothing(told: Any) -> None:
    with pytest.raises(TryLater):
        by_path({"public/time": {"serverTime": str(int(time.time() * 1000))}, "account/info": told}).check()


def test_a_unified_account_is_named_as_such_by_every_call(sim: BitgetSimulator, bitget: Connector) -> None:
    sim.unified = True
    calls: list[Callable[[], Any]] = [
        bitget.check,
        bitget.accounts,
        bitget.balances,
        lambda: bitget.assets("spot", "p2p"),
        lambda: bitget.send(instruction()),
        lambda: look_up(bitget, instruction()),
    ]
    for call in calls:
        with pytest.raises(Barred, match=r"unified account.*40085"):
            call()


def test_a_demo_key_is_named_as_such(sim: BitgetSimulator, bitget: Connector) -> None:
    sim.demo = True
    with pytest.raises(Barred, match=r"other environment.*demo.*40099"):
        bitget.check()


def test_a_missing_right_is_named(sim: BitgetSimulator, bitget: Connector) -> None:
    sim.rights = ("stow", "smow")
    assert not bitget.check().may_transfer
    with pytest.raises(Barred, match="lacks a permission"):
        bitget.send(instruction())


@pytest.mark.parametrize(("code", "words"), [(40018, "bound to"), (40038, "bound to"), (22010, "bound to an address")])
def test_an_address_that_is_not_bound_is_named(sim: BitgetSimulator, bitget: Connector, code: int, words: str) -> None:
    sim.fault("refuse", match="account/info", code=code)
    with pytest.raises(Barred, match=words):
        bitget.check()


@pytest.mark.parametrize("seconds", [31, -31, 3600])
def test_a_skewed_clock_stops_one_send_and_not_the_next(sim: BitgetSimulator, seconds: float) -> None:
    module._shared.clear()
    bitget = opened(sim)
    sim.fault("clock", seconds=seconds)
    wanted = instruction()
    with pytest.raises(TryLater, match=r"^Nothing moved"):
        bitget.send(wanted)
    bitget.send(wanted)
    assert len(sim.effects(wanted.key)) == 1
    assert look_up(bitget, wanted).state is State.DONE
    assert abs(bitget.check().clock_offset - timedelta(seconds=seconds)) < timedelta(seconds=1)  # type: ignore[operator]
    assert any("clock" in sentence for sentence in bitget.check().words)
    sim.clear()
    assert rows(bitget)["spot", "USDT"].problem is None, "a question measures the clock by itself"


def test_a_clock_that_cannot_be_measured_stops_the_send(sim: BitgetSimulator, bitget: Connector) -> None:
    sim.fault("clock", seconds=40)
    with pytest.raises(TryLater):
        bitget.send(instruction())
    sim.fault("error_before", match="public/time")
    with pytest.raises(TryLater, match=r"^Not sent. Nothing moved"):
        bitget.send(instruction())
    assert len(sim.requests(TRANSFER)) == 1
    sim.clear()
    bitget.balances()


@pytest.mark.parametrize("told", [{"serverTime": "soon"}, {"serverTime": None}, {}, [], {"serverTime": "1760000000"}])
def test_a_time_that_makes_no_sense_is_not_believed(told: Any) -> None:
    with pytest.raises(TryLater, match="clock"):
        by_path({"public/time": told}).check()


def test_a_time_with_a_status_of_failure_is_not_believed() -> None:
    told = envelope({"serverTime": str(int(time.time() * 1000))})
    with pytest.raises(TryLater, match="clock"):
        answering(lambda request: httpx.Response(500, json=told)).check()


def test_a_request_signed_long_ago_is_refused_by_the_venue_itself(sim: BitgetSimulator, bitget: Connector) -> None:
    wanted = instruction()
    with pytest.raises(TryLater, match="40008"):
        bitget.send(wanted, signed_at=datetime.now(UTC) - timedelta(seconds=31))
    assert sim.effects(wanted.key) == []
    assert VENUE.signed_window is not None
    assert VENUE.signed_window >= timedelta(seconds=30)


def test_the_venue_declares_what_the_product_relies_on() -> None:
    assert VENUE.resend is not None
    assert (VENUE.resend.until, VENUE.resend.after_empty_look_up) == (timedelta(minutes=10), True)
    assert VENUE.absent_after == timedelta(hours=1)
    assert VENUE.amount_decimals == 8
    assert VENUE.limits["send"].calls == 10
    assert not VENUE.challenges
    assert VENUE.credential_names() == ["api_key", "api_secret", "passphrase"]


# Secrets


def test_secrets_appear_nowhere(sim: BitgetSimulator, bitget: Connector, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secrets = list(sim.credentials.values())
    seen = [repr(Credentials(*secrets)), repr(bitget), repr(vars(bitget))]
    for code, text in ((40009, f"sign error {secrets}"), (99999, secrets[0]), (43118, secrets[1]), (43117, secrets[2])):
        sim.fault("refuse", match="send", code=code, text=text)
        with pytest.raises(VenueError) as raised:
            bitget.send(instruction())
        seen += [str(raised.value), repr(raised.value), repr(vars(raised.value))]
        assert "[redacted]" in repr(raised.value.evidence)
    sim.fault("refuse", match="read", times=3, code=40017, text=secrets[1])
    seen += [repr(row) for row in bitget.balances()]
    sim.ips = secrets[2]
    seen += [repr(bitget.check()), repr(bitget.send(instruction()))]
    for changed in ({"api_secret": "wrong-secret"}, {"passphrase": "wrong-secret"}):
        wrong = connectors.open("bitget", credentials={**sim.credentials, **changed}, base_url=sim.url)
        with pytest.raises(Barred) as barred:
            wrong.send(instruction())
        seen += [repr(vars(barred.value))]
    seen += [caplog.text, *(repr(vars(record)) for record in caplog.records)]
    for secret in (*secrets, "wrong-secret"):
        assert all(secret not in text for text in seen)


@pytest.mark.parametrize("name", list(GIVEN))
@pytest.mark.parametrize("value", ["", "has space", "tab\t", "line\nbreak", "ключ"])
def test_credentials_that_no_header_can_carry_are_named_without_their_value(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=name) as raised:
        connectors.open("bitget", credentials={**GIVEN, name: value})
    assert not value or value not in str(raised.value)
