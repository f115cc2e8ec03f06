"""XT: two signatures, the meaning of every code, claiming rows of a ledger, balances, the clock, and secrets."""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

import connectors
from connectors import xt as module
from connectors.core.errors import Barred, Refused, TryLater, Uncertain, VenueError
from connectors.core.protocol import EVERY_ASSET, Challenge, Connector, Instruction, Receipt, State
from connectors.simulators.core import Simulator, serve
from connectors.xt import FUTURES_CODES, FUTURES_STATUSES, MESSAGES, Credentials, FuturesSignature, SpotSignature

KEY, SECRET = "00000000-1111-4222-8333-444444444444", "0123456789abcdef0123456789abcdef01234567"
TRANSFER = "/v4/balance/transfer"
BILLS = "/future/user/v1/balance/bills"
EARN_BILLS = "/v4/finance/bills"
NOW = 1700000000000


@pytest.fixture(scope="module")
def xt_server() -> Iterator[Simulator]:
    with serve("xt") as simulator:
        yield simulator


@pytest.fixture
def sim(xt_server: Simulator) -> Iterator[Simulator]:
    xt_server.clear()
    yield xt_server
    xt_server.clear()


@pytest.fixture
def xt(sim: Simulator) -> Connector:
    return connectors.open("xt", credentials=sim.credentials, base_url=sim.url, loopback_only=True)


@pytest.fixture(autouse=True)
def nothing_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clocks and lists are kept for each origin; the connectors without a network share one."""
    monkeypatch.setattr(module, "_clocks", {})
    monkeypatch.setattr(module, "_lists", {})


_amounts = iter(range(1, 10**6))


def instruction(**changed: Any) -> Instruction:
    """A transfer whose amount no other test uses, so that it finds nobody's rows but its own."""
    words: dict[str, Any] = {
        "key": uuid4(),
        "source": "SPOT",
        "destination": "FUTURES_U",
        "asset": "usdt",
        "amount": Decimal("1") + Decimal(next(_amounts)).scaleb(-8),
        "reference": "T-1",
    }
    return Instruction(**{**words, **changed})


PUBLIC: dict[str, Any] = {
    "/v4/public/time": {"serverTime": NOW},
    "/v4/public/currencies": [
        {"currency": "usdt", "maxPrecision": 8, "transferEnabled": 1},
        {"currency": "btc", "maxPrecision": "10", "transferEnabled": "1"},
        {"currency": "luna", "maxPrecision": 6, "transferEnabled": 0},
    ],
    "/v4/public/lever/symbol": [{"symbol": "btc_usdt", "buyCurrency": "btc", "sellCurrency": "usdt"}],
}


def said(result: Any, mc: str = "SUCCESS") -> dict[str, Any]:
    return {"rc": int(mc != "SUCCESS"), "mc": mc, "ma": [], "result": result}


def futures(result: Any) -> dict[str, Any]:
    return {"returnCode": 0, "msgInfo": "success", "error": None, "result": result}


def answering(reply: Callable[[httpx.Request], httpx.Response] | Mapping[str, Any]) -> Connector:
    """A connector whose wire gives one and the same answer, except to public questions."""

    def handle(request: httpx.Request) -> httpx.Response:
        if not callable(reply):
            return httpx.Response(200, json=PUBLIC_SAID.get(request.url.path, reply))
        public = PUBLIC_SAID.get(request.url.path)
        return reply(request) if public is None else httpx.Response(200, json=public)

    transport = httpx.MockTransport(handle)
    return connectors.open("xt", credentials={"api_key": KEY, "api_secret": SECRET}, transport=transport)


PUBLIC_SAID = {path: said(result) for path, result in PUBLIC.items()}


# Signatures: worked out by hand with HMAC, and confirmed with openssl, ccxt and pyxt.

BODY = b'{"bizId":"tt-20231114-000001","currency":"usdt","amount":"1","from":"SPOT","to":"FUTURES_U"}'
SAPI, FAPI = "https://sapi.xt.com", "https://fapi.xt.com"


@pytest.mark.parametrize(
    ("request_", "signature"),
    [
        (
            httpx.Request("POST", f"{SAPI}{TRANSFER}", content=BODY),
            "f97b8cf90dda18b5c50bfd77adeb36b31b7961b39b85b3faa0516710d86f2bda",
        ),
        (
            httpx.Request("POST", f"{SAPI}{TRANSFER}", content=BODY.replace(b":", b": ").replace(b",", b", ")),
            "90312b10df7ee5eae9d69677be5e2c87b272254af6da1026733c7d6abcc5b647",
        ),
        (
            httpx.Request("GET", f"{SAPI}/v4/balances"),
            "06caea022115d9464fc1e8887e843c9e4fb9c9d48ca5376f3661a93a5c78f78b",
        ),
        (
            httpx.Request("GET", f"{SAPI}/v4/balances?currencies=usdt,btc"),
            "ed17790b40c0bd225dae2910dc7b1ca823cbe050646a461dc425030fa747957a",
        ),
        (
            httpx.Request("GET", f"{SAPI}/v4/balances?currencies=usdt%2Cbtc"),
            "ed17790b40c0bd225dae2910dc7b1ca823cbe050646a461dc425030fa747957a",
        ),
    ],
    ids=["compact body", "spaced body", "no query", "comma", "encoded comma"],
)
def test_spot_signatures_equal_the_worked_vectors(request_: httpx.Request, signature: str) -> None:
    signed = next(SpotSignature(Credentials(KEY, SECRET), NOW).auth_flow(request_))
    assert {name: text for name, text in signed.headers.items() if name.startswith("xt-validate")} == {
        "xt-validate-algorithms": "HmacSHA256",
        "xt-validate-appkey": KEY,
        "xt-validate-recvwindow": "5000",
        "xt-validate-timestamp": str(NOW),
        "xt-validate-signature": signature,
    }


@pytest.mark.parametrize(
    ("target", "signature"),
    [
        ("/future/user/v1/balance/list", "4cb84125296ad9a83860c71db63104338ec804e13b26ca5fd899261d84857844"),
        (
            "/future/user/v1/balance/detail?coin=usdt",
            "eeb311982d0feadca4f91b3e365f9063734a30250436f5177faea791ce9867ce",
        ),
    ],
)
def test_futures_signatures_equal_the_worked_vectors(target: str, signature: str) -> None:
    signed = next(FuturesSignature(Credentials(KEY, SECRET), NOW).auth_flow(httpx.Request("GET", FAPI + target)))
    assert {name: text for name, text in signed.headers.items() if name.startswith("xt-validate")} == {
        "xt-validate-appkey": KEY,
        "xt-validate-timestamp": str(NOW),
        "xt-validate-signature": signature,
    }


def test_names_of_a_query_are_signed_in_order_whatever_their_order_on_the_wire() -> None:
    def sign(query: str) -> str:
        request = httpx.Request("GET", f"{SAPI}{EARN_BILLS}?{query}")
        return next(SpotSignature(Credentials(KEY, SECRET), NOW).auth_flow(request)).headers["xt-validate-signature"]

    assert sign("size=50&page=1") == sign("page=1&size=50") != sign("page=1&size=51")


def test_the_transfer_on_the_wire_is_the_instruction() -> None:
    seen: list[httpx.Request] = []

    def reply(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json=said(226972662307830111))

    key = UUID("5b1c9f0e-3a52-4d7b-9c3e-0f6a7d2e4b18")
    amount = Decimal("1234567890123456789012345678901234.120000000000000000")
    signed_at = datetime(2023, 11, 14, 22, 13, 20, 500000, tzinfo=UTC)
    answering(reply).send(instruction(key=key, amount=amount), signed_at=signed_at)
    (request,) = seen
    assert (request.method, str(request.url)) == ("POST", f"{SAPI}{TRANSFER}")
    assert request.headers["content-type"] == "application/json"
    assert request.headers["xt-validate-timestamp"] == str(NOW), "half a second behind signed_at"
    assert request.content == (
        b'{"bizId":"5b1c9f0e-3a52-4d7b-9c3e-0f6a7d2e4b18","currency":"usdt",'
        b'"amount":"1234567890123456789012345678901234.12","from":"SPOT","to":"FUTURES_U"}'
    )


@pytest.mark.parametrize(
    ("source", "destination"), [("SPOT", "LEVER:btc_usdt"), ("LEVER:btc_usdt", "SPOT"), ("LEVER:eth_usdt", "FINANCE")]
)
def test_a_margin_account_travels_with_its_pair(sim: Simulator, xt: Connector, source: str, destination: str) -> None:
    wanted = instruction(source=source, destination=destination)
    xt.send(wanted)
    body = json.loads(sim.requests(TRANSFER)[-1].body)
    pair = next(address.partition(":")[2] for address in (source, destination) if ":" in address)
    assert (body["from"], body["to"], body["symbol"]) == (
        source.partition(":")[0],
        destination.partition(":")[0],
        pair,
    )
    (effect,) = sim.effects(wanted.key)
    assert (effect["source"], effect["destination"]) == (source, destination)


@pytest.mark.parametrize(
    ("amount", "written"), [("1E+3", "1000"), ("1E-8", "0.00000001"), ("0.10", "0.1"), ("100", "100")]
)
def test_amounts_are_plain_decimal_strings(sim: Simulator, xt: Connector, amount: str, written: str) -> None:
    xt.send(instruction(amount=Decimal(amount)))
    assert json.loads(sim.requests(TRANSFER)[-1].body)["amount"] == written


def test_every_host_is_named_in_its_own_requests(sim: Simulator, xt: Connector) -> None:
    xt.check()
    xt.balances()
    hosts = {(one.path.split("/")[1], one.headers["host"]) for one in sim.requests()}
    assert hosts == {
        ("v4", "sapi.xt.com"),
        ("v4", "api.xt.com"),
        ("future", "fapi.xt.com"),
        ("future", "dapi.xt.com"),
    }
    assert {one.headers["host"] for one in sim.requests("/v4/user/account")} == {"api.xt.com"}


# What every documented answer to a transfer means, in our own words.

NOTHING_MOVED_AND_NEVER_WILL = {
    *("FUND_002", "FUND_003", "FUND_005", "FUND_014", "FUND_015", "FUND_016", "FUND_017", "FUND_021", "FUND_044"),
    *("TRANSFER_002", "TRANSFER_003", "TRANSFER_004", "TRANSFER_005", "TRANSFER_006", "TRANSFER_010"),
    *("TRANSFER_011", "TRANSFER_012", "CURRENCY_001", "COMMON_001", "LEVER_1004"),
    *("SYMBOL_001", "SYMBOL_002", "SYMBOL_003", "SYMBOL_004", "SYMBOL_005", "SYMBOL_010", "SYMBOL_011"),
    *("GATEWAY_0001", "GATEWAY_0002", "GATEWAY_0003", "GATEWAY_0004"),
}
A_PERSON_HAS_TO_ACT = {
    *("AUTH_001", "AUTH_002", "AUTH_003", "AUTH_004", "AUTH_005", "AUTH_006", "AUTH_007"),
    *("AUTH_101", "AUTH_102", "AUTH_103", "AUTH_104", "AUTH_106", "PERMISSION_DENIED"),
}
NOTHING_MOVED_YET = {"AUTH_105"}
PERHAPS_IT_MOVED = {
    *("FUND_001", "TRANSFER_001", "TRANSFER_007", "TRANSFER_008", "TRANSFER_009"),
    *("FUND_004", "FUND_018", "FUND_019", "FUND_020", "FUND_022"),
    *("COMMON_002", "COMMON_003", "FAILURE"),
}
BY_CODE = {
    **dict.fromkeys(NOTHING_MOVED_AND_NEVER_WILL, Refused),
    **dict.fromkeys(A_PERSON_HAS_TO_ACT, Barred),
    **dict.fromkeys(NOTHING_MOVED_YET, TryLater),
    **dict.fromkeys(PERHAPS_IT_MOVED, Uncertain),
}


def test_every_documented_code_is_spoken_for() -> None:
    assert set(BY_CODE) | {"SUCCESS"} == set(MESSAGES)


@pytest.mark.parametrize("code", sorted(BY_CODE))
def test_each_code_on_a_transfer(sim: Simulator, xt: Connector, code: str) -> None:
    sim.fault("refuse", match="send", text=code)
    wanted = instruction()
    with pytest.raises(VenueError) as raised:
        xt.send(wanted)
    assert type(raised.value) is BY_CODE[code]
    moved = "It may have moved." if BY_CODE[code] is Uncertain else "Nothing moved."
    assert raised.value.words.startswith(moved)
    assert code in raised.value.words
    assert raised.value.evidence["code"] == code
    assert raised.value.evidence["http_status"] == 200
    assert len(raised.value.evidence["body_sha256"]) == 64
    assert raised.value.evidence["request"]["bizId"] == str(wanted.key)
    json.dumps(raised.value.evidence)


@pytest.mark.parametrize("code", sorted(BY_CODE))
def test_each_code_on_a_question(sim: Simulator, xt: Connector, code: str) -> None:
    wanted = instruction(destination="FINANCE")
    sim.fault("refuse", match=EARN_BILLS, times=2, text=code)
    with pytest.raises(Barred if code in A_PERSON_HAS_TO_ACT else TryLater) as raised:
        xt.look_up(wanted, sent_at=datetime.now(UTC))
    assert raised.value.words.startswith("Could not read")


@pytest.mark.parametrize("code", ["SOMETHING_NEW", "ORDER_002", "fund_002", ""])
def test_a_code_that_nobody_knows_is_a_doubt_and_loud(code: str, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(Uncertain):
        answering({"rc": 1, "mc": code, "ma": [], "result": None}).send(instruction())
    assert any(record.levelno == logging.ERROR and "not know" in record.message for record in caplog.records)


@pytest.mark.parametrize(
    ("status", "body", "means"),
    [
        (404, b"", Refused),
        (404, b'{"timestamp":1,"status":404,"error":"Not Found"}', Refused),
        (429, b"", TryLater),
        (429, b'{"rc":1,"mc":"FUND_017","ma":[],"result":null}', TryLater),
        # A body in doubt outweighs the status.
        (404, b'{"rc":0,"mc":"SUCCESS","ma":[],"result":7}', Uncertain),
        (404, b'{"rc":1,"mc":"NEW","ma":[],"result":null}', Uncertain),
        (429, b'{"rc":1,"mc":"TRANSFER_007","ma":[],"result":null}', Uncertain),
        *((status, b"", Uncertain) for status in (201, 204, 301, 302, 307, 400, 401, 403, 405, 408, 418)),
        *((status, b"", Uncertain) for status in (500, 502, 503, 504, 520)),
        (500, b'{"rc":1,"mc":"FUND_002","ma":[],"result":null}', Uncertain),
        (200, b"", Uncertain),
        (200, b"[]", Uncertain),
        (200, b'"ok"', Uncertain),
        (200, b"{", Uncertain),
        (200, b"[" * 100_000, Uncertain),
        (200, b'{"mc":"SUCCESS","result":7}', Uncertain),
        (200, b'{"rc":0,"result":7}', Uncertain),
        (200, b'{"rc":false,"mc":"SUCCESS","result":7}', Uncertain),
        # Two words that contradict each other prove nothing.
        (200, b'{"rc":0,"mc":"FUND_002","result":7}', Uncertain),
        (200, b'{"rc":1,"mc":"SUCCESS","result":7}', Uncertain),
        (200, b'{"rc":2,"mc":"FUND_002","result":null}', Uncertain),
        # The envelope of the futures hosts has no place here.
        (200, b'{"returnCode":0,"msgInfo":"success","error":null,"result":7}', Uncertain),
    ],
)
def test_each_http_status(status: int, body: bytes, means: type[VenueError]) -> None:
    venue = answering(lambda request: httpx.Response(status, content=body))
    with pytest.raises(VenueError) as raised:
        venue.send(instruction())
    assert type(raised.value) is means


@pytest.mark.parametrize("result", [None, "", "x", True, 1.5, "1e3", -1, [], {}, {"id": 7}, 10**41])
def test_a_taken_transfer_has_to_name_its_id(result: Any) -> None:
    with pytest.raises(Uncertain, match="no transfer id"):
        answering(said(result)).send(instruction())


@pytest.mark.parametrize("result", [226972662307830111, "226972662307830111"])
@pytest.mark.parametrize("rc", [0, "0"])
def test_an_id_beyond_the_doubles_is_kept_digit_by_digit(result: Any, rc: Any) -> None:
    receipt = answering({**said(result), "rc": rc}).send(instruction())
    assert isinstance(receipt, Receipt)
    assert receipt.record == "226972662307830111"


@pytest.mark.parametrize(
    ("source", "destination", "settled"),
    [
        ("SPOT", "LEVER:btc_usdt", True),
        ("LEVER:btc_usdt", "SPOT", True),
        ("SPOT", "FUTURES_U", False),
        ("FUTURES_U", "LEVER:btc_usdt", False),
        ("FINANCE", "SPOT", False),
    ],
)
def test_a_receipt_settles_only_where_no_row_is_left_to_claim(
    xt: Connector, source: str, destination: str, settled: bool
) -> None:
    receipt = xt.send(instruction(source=source, destination=destination))
    assert isinstance(receipt, Receipt)
    assert receipt.settled is settled
    assert receipt.record is not None
    assert int(receipt.record) > 2**53


@pytest.mark.parametrize(
    "changed",
    [
        {"destination": "SPOT"},
        {"destination": "FUND"},
        {"source": "spot"},
        {"source": "SPOT:btc_usdt"},
        {"source": ""},
        {"destination": "LEVER"},
        {"destination": "LEVER:"},
        {"destination": "LEVER:BTC_USDT"},
        {"destination": "LEVER:btcusdt"},
        {"destination": "LEVER:eth_btc"},
        {"source": "LEVER:btc_usdt", "destination": "LEVER:eth_usdt"},
        {"amount": Decimal(0)},
        {"amount": Decimal(-1)},
        {"amount": Decimal("NaN")},
        {"amount": Decimal("Infinity")},
        {"amount": Decimal(10) ** 113},
        {"asset": "USDT"},
        {"asset": ""},
        {"asset": "us dt"},
    ],
)
def test_what_cannot_be_right_is_refused_without_a_word_to_xt(
    sim: Simulator, xt: Connector, changed: dict[str, Any]
) -> None:
    with pytest.raises(Refused, match=r"^Not sent. Nothing moved"):
        xt.send(instruction(**changed))
    assert sim.requests() == []


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"amount": Decimal("0.123456789")}, "at most 8 decimals"),
        ({"amount": Decimal("1.00000000001"), "asset": "btc", "destination": "FUTURES_C"}, "at most 10 decimals"),
        ({"asset": "doge"}, "no currency"),
        ({"asset": "luna"}, "switched off"),
    ],
)
def test_what_the_list_of_currencies_forbids_is_never_sent(
    sim: Simulator, xt: Connector, changed: dict[str, Any], words: str
) -> None:
    with pytest.raises(Refused, match=r"^Not sent. Nothing moved") as raised:
        xt.send(instruction(**changed))
    assert words in raised.value.words
    assert sim.requests(TRANSFER) == []


def test_an_amount_that_fits_to_the_last_decimal_is_sent(sim: Simulator, xt: Connector) -> None:
    wanted = instruction(amount=Decimal("0.12345678"))
    xt.send(wanted)
    assert sim.effects(wanted.key)[0]["amount"] == "0.12345678"


@pytest.mark.parametrize("code", ["AUTH_101", "COMMON_002"])
def test_without_the_list_of_currencies_nothing_is_sent(sim: Simulator, xt: Connector, code: str) -> None:
    sim.fault("refuse", match="public/currencies", text=code)
    with pytest.raises(TryLater, match=r"^Not sent. Nothing moved"):
        xt.send(instruction())
    assert sim.requests(TRANSFER) == []


def test_a_lost_list_of_pairs_stops_no_send(sim: Simulator, xt: Connector) -> None:
    sim.fault("error_before", match="lever/symbol", times=None)
    wanted = instruction()
    xt.send(wanted)
    assert len(sim.effects(wanted.key)) == 1


def test_the_lists_are_read_once_an_hour_and_an_old_one_is_better_than_none(
    sim: Simulator, xt: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        xt.assets("SPOT", "LEVER:btc_usdt")
        xt.accounts()
    assert len(sim.requests("public/currencies")) == len(sim.requests("lever/symbol")) == 1
    monkeypatch.setattr(module, "LISTS_KEPT", timedelta(0))
    xt.assets("SPOT", "FUTURES_U")
    assert len(sim.requests("public/currencies")) == 2
    sim.fault("error_before", match="public/currencies")
    assert xt.assets("SPOT", "FUTURES_U") == ["usdt"]


def test_an_answer_to_a_challenge_is_refused_because_there_are_none(xt: Connector) -> None:
    with pytest.raises(Refused):
        xt.send(instruction(), answer="token")
    with pytest.raises(NotImplementedError):
        xt.challenge(Challenge(token="t", deadline=datetime.now(UTC)))


# Routes and assets


def test_all_five_kinds_may_exchange_money_and_no_kind_with_itself(xt: Connector) -> None:
    routes = xt.routes()
    assert len(routes) == len(set(routes)) == 20
    assert {kind for route in routes for kind in route} == {"SPOT", "LEVER", "FINANCE", "FUTURES_U", "FUTURES_C"}
    assert all(source != destination for source, destination in routes)


def test_every_margin_pair_is_an_account(xt: Connector) -> None:
    addresses = [(account.address, account.kind) for account in xt.accounts()]
    assert ("LEVER:btc_usdt", "LEVER") in addresses
    assert ("LEVER:eth_usdt", "LEVER") in addresses
    assert ("LEVER", "LEVER") not in addresses


@pytest.mark.parametrize(
    ("source", "destination", "assets"),
    [
        ("SPOT", "FINANCE", ["btc", "eth", "usdc", "usdt"]),
        ("SPOT", "FUTURES_U", ["usdt"]),
        ("FUTURES_C", "SPOT", ["btc", "eth", "usdc"]),
        ("SPOT", "LEVER:eth_usdt", ["eth", "usdt"]),
        ("LEVER:btc_usdt", "FUTURES_C", ["btc"]),
        ("FUTURES_U", "FUTURES_C", []),
    ],
)
def test_assets_are_those_that_both_sides_take(xt: Connector, source: str, destination: str, assets: list[str]) -> None:
    assert xt.assets(source, destination) == assets


def test_a_pair_that_xt_does_not_list_has_no_assets(xt: Connector) -> None:
    with pytest.raises(Refused, match="no margin pair"):
        xt.assets("SPOT", "LEVER:doge_usdt")
    with pytest.raises(Refused):
        xt.assets("SPOT", "SPOT")


@pytest.mark.parametrize(
    "result", [None, {}, [{}], {"currencies": None}, [{"currency": "usdt", "maxPrecision": None}], "x", [1]]
)
def test_lists_that_cannot_be_read_are_not_guessed(result: Any) -> None:
    def reply(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=said(result if request.url.path.endswith("currencies") else []))

    venue = connectors.open(
        "xt", credentials={"api_key": KEY, "api_secret": SECRET}, transport=httpx.MockTransport(reply)
    )
    with pytest.raises(TryLater):
        venue.assets("SPOT", "FUTURES_U")


# Looking up


def look_up(venue: Connector, wanted: Instruction, **at: Any) -> Any:
    return venue.look_up(wanted, **{"sent_at": datetime.now(UTC), **at})


def lost(sim: Simulator, venue: Connector, wanted: Instruction, kind: str = "answer_lost") -> datetime:
    """Send it and lose the answer; returns when it was sent."""
    sim.fault(kind, match="send")
    sent_at = datetime.now(UTC)
    with pytest.raises(Uncertain):
        venue.send(wanted, signed_at=sent_at)
    return sent_at


ROUTES_WITH_ONE_LEDGER = [
    ("SPOT", "FUTURES_U", "usdt", "FUTURES_U"),
    ("FUTURES_U", "LEVER:btc_usdt", "usdt", "FUTURES_U"),
    ("SPOT", "FUTURES_C", "btc", "FUTURES_C"),
    ("FUTURES_C", "SPOT", "eth", "FUTURES_C"),
    ("SPOT", "FINANCE", "btc", "FINANCE"),
    ("FINANCE", "SPOT", "usdt", "FINANCE"),
]


@pytest.mark.parametrize(("source", "destination", "asset", "ledger"), ROUTES_WITH_ONE_LEDGER)
def test_a_lost_answer_is_found_again_in_the_ledger(
    sim: Simulator, xt: Connector, source: str, destination: str, asset: str, ledger: str
) -> None:
    wanted = instruction(source=source, destination=destination, asset=asset, amount=Decimal("0.125"))
    sent_at = lost(sim, xt, wanted)
    standing = look_up(xt, wanted, sent_at=sent_at)
    assert (standing.state, standing.searched, standing.found) == (State.DONE, True, True)
    assert standing.record.startswith(f"{ledger}:")
    assert standing.record.partition(":")[2].isdecimal()
    json.dumps(standing.evidence)


def test_between_two_ledgers_both_have_to_agree(sim: Simulator, xt: Connector) -> None:
    wanted = instruction(source="FUTURES_U", destination="FINANCE")
    sent_at = lost(sim, xt, wanted)
    standing = look_up(xt, wanted, sent_at=sent_at)
    assert standing.state is State.DONE
    out, into = standing.record.split("+")
    assert (out.partition(":")[0], into.partition(":")[0]) == ("FUTURES_U", "FINANCE")
    for half in (out, into):
        again = look_up(xt, wanted, sent_at=sent_at, claimed={half})
        assert (again.state, again.found, again.record) == (State.UNCLEAR, True, None)
    again = look_up(xt, wanted, sent_at=sent_at, claimed=[standing.record])
    assert (again.state, again.searched, again.found) == (State.UNCLEAR, True, False)


@pytest.mark.parametrize("source", ["SPOT", "LEVER:btc_usdt"])
@pytest.mark.parametrize("receipt", [None, Receipt(settled=False, record="226972662307830111")])
def test_without_a_ledger_nothing_is_searched_and_nothing_is_said(
    sim: Simulator, xt: Connector, source: str, receipt: Receipt | None
) -> None:
    destination = "LEVER:btc_usdt" if source == "SPOT" else "SPOT"
    wanted = instruction(source=source, destination=destination)
    sent_at = lost(sim, xt, wanted)
    before = len(sim.requests())
    standing = look_up(xt, wanted, sent_at=sent_at, receipt=receipt)
    assert (standing.state, standing.searched, standing.found) == (State.UNCLEAR, False, False)
    assert standing.record is None
    assert len(sim.requests()) == before
    json.dumps(standing.evidence)


def test_routes_without_a_ledger_are_declared_unsearchable() -> None:
    resend = module.VENUE.resend
    assert resend is not None
    assert (resend.until, resend.after_empty_look_up) == (timedelta(minutes=10), True)
    assert resend.unsearchable == {("SPOT", "LEVER"), ("LEVER", "SPOT")}
    assert module.VENUE.absent_after is None


def test_a_row_is_never_counted_twice(sim: Simulator, xt: Connector) -> None:
    """Two transfers with the same words: one arrived, one did not. One row settles one of them only."""
    first = instruction()
    second = instruction(amount=first.amount)
    sent_at = datetime.now(UTC)
    xt.send(first, signed_at=sent_at)
    lost(sim, xt, second, "request_lost")
    found = look_up(xt, first, sent_at=sent_at)
    assert found.state is State.DONE
    left = look_up(xt, second, sent_at=sent_at, claimed={found.record, "226972662307830111"})
    assert (left.state, left.searched, left.found) == (State.UNCLEAR, True, False)


def test_a_row_from_before_the_send_is_not_ours(sim: Simulator, xt: Connector) -> None:
    first = instruction()
    xt.send(first)
    time.sleep(0.3)
    second = instruction(amount=first.amount)
    sent_at = lost(sim, xt, second, "request_lost")
    assert not look_up(xt, second, sent_at=sent_at).found


@pytest.mark.parametrize("seconds", [30, -30])
def test_the_window_is_on_xts_clock(sim: Simulator, xt: Connector, seconds: float) -> None:
    """With our clock half a minute off, a row of half a minute ago would look like one of now, or the reverse."""
    sim.fault("clock", seconds=seconds)
    sent_at = datetime.now(UTC)
    look_up(xt, instruction(), sent_at=sent_at)
    params = sim.requests(BILLS)[-1].params()
    assert abs(int(params["startTime"]) - sent_at.timestamp() * 1000 - seconds * 1000) < 1000
    assert int(params["endTime"]) - int(params["startTime"]) < 16 * 60 * 1000


def test_two_fitting_rows_are_unclear_and_with_a_receipt_the_first_counts(sim: Simulator, xt: Connector) -> None:
    wanted = instruction()
    sent_at = datetime.now(UTC)
    receipt = xt.send(wanted, signed_at=sent_at)
    xt.send(instruction(amount=wanted.amount))
    unclear = look_up(xt, wanted, sent_at=sent_at)
    assert (unclear.state, unclear.searched, unclear.found, unclear.record) == (State.UNCLEAR, True, True, None)
    first = look_up(xt, wanted, sent_at=sent_at, receipt=receipt)
    assert first.state is State.DONE
    second = look_up(xt, wanted, sent_at=sent_at, claimed=[first.record])
    assert second.state is State.DONE
    assert second.record != first.record


def test_what_was_taken_back_is_unclear(sim: Simulator, xt: Connector) -> None:
    sim.fault("fails_later", match="send", seconds=0.2)
    wanted = instruction(source="FUTURES_U", destination="SPOT")
    sent_at = datetime.now(UTC)
    receipt = xt.send(wanted, signed_at=sent_at)
    time.sleep(0.3)
    standing = look_up(xt, wanted, sent_at=sent_at, receipt=receipt)
    assert sim.effects(wanted.key) == []
    assert (standing.state, standing.searched, standing.found) == (State.UNCLEAR, True, True)


def test_money_that_arrives_later_is_done_later(sim: Simulator, xt: Connector) -> None:
    sim.fault("pending", match="send", seconds=0.3)
    wanted = instruction(destination="FINANCE")
    sent_at = datetime.now(UTC)
    receipt = xt.send(wanted, signed_at=sent_at)
    standing = look_up(xt, wanted, sent_at=sent_at, receipt=receipt)
    assert (standing.state, standing.found) == (State.UNCLEAR, True), "XT's own record is not settled"
    time.sleep(0.4)
    assert look_up(xt, wanted, sent_at=sent_at, receipt=receipt).state is State.DONE


def test_a_row_that_shows_up_late_is_never_taken_for_absent(sim: Simulator, xt: Connector) -> None:
    sim.fault("record_late", match="send", seconds=0.3)
    wanted = instruction()
    sent_at = lost(sim, xt, wanted)
    standing = look_up(xt, wanted, sent_at=sent_at)
    assert (standing.state, standing.searched, standing.found) == (State.UNCLEAR, True, False)
    time.sleep(0.35)
    assert look_up(xt, wanted, sent_at=sent_at).state is State.DONE


@pytest.mark.parametrize("age", [timedelta(hours=2), timedelta(days=30)])
def test_nothing_is_ever_absent(xt: Connector, age: timedelta) -> None:
    assert look_up(xt, instruction(), sent_at=datetime.now(UTC) - age).state is State.UNCLEAR


def test_a_repeat_of_a_taken_key_is_a_doubt_and_moves_nothing_more(sim: Simulator, xt: Connector) -> None:
    wanted = instruction()
    xt.send(wanted)
    with pytest.raises(Uncertain, match="FUND_001"):
        xt.send(wanted)
    assert len(sim.effects(wanted.key)) == 1


# One row, word by word

SENT_AT = datetime.fromtimestamp(NOW / 1000, UTC)
BILL = {
    "id": 207260567109387520,
    "coin": "usdt",
    "symbol": "btc_usdt",
    "type": "EXCHANGE",
    "amount": "12.3450",
    "side": "ADD",
    "afterAmount": "120.1",
    "createdTime": NOW + 900,
}
ORDER = {
    "orderId": "88001",
    "type": "TRANSFER_IN",
    "productId": 0,
    "productType": "",
    "amount": "12.345000",
    "currency": "USDT",
    "status": "SUCCESS",
    "createTime": NOW + 500,
    "completeTime": NOW + 900,
}


def on_xts_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answers below speak of a fixed moment, so the clock is not measured."""
    monkeypatch.setattr(module.XT, "_measure_clock", lambda self: None)


def with_bills(*rows: Any) -> Connector:
    return answering(futures({"hasPrev": False, "hasNext": False, "items": list(rows)}))


def with_orders(*rows: Any) -> Connector:
    return answering(said({"hasPrev": False, "hasNext": False, "items": list(rows)}))


def one_look(monkeypatch: pytest.MonkeyPatch, venue: Connector, **changed: Any) -> Any:
    on_xts_clock(monkeypatch)
    return look_up(venue, instruction(**{"amount": Decimal("12.345"), **changed}), sent_at=SENT_AT)


def test_a_row_is_compared_by_value_not_by_spelling(monkeypatch: pytest.MonkeyPatch) -> None:
    found = one_look(monkeypatch, with_bills(BILL))
    assert (found.state, found.record) == (State.DONE, "FUTURES_U:207260567109387520")
    for change in ({"amount": Decimal("12.345")}, {"coin": "USDT"}, {"id": "207260567109387520"}):
        row = json.loads(json.dumps({**BILL, **change}, default=float))
        assert one_look(monkeypatch, with_bills(row)).record == found.record
    out = {**BILL, "side": "SUB", "amount": "-12.345"}
    assert one_look(monkeypatch, with_bills(out), source="FUTURES_U", destination="SPOT").state is State.DONE
    found = one_look(monkeypatch, with_orders(ORDER), destination="FINANCE")
    assert (found.state, found.record) == (State.DONE, "FINANCE:88001")


@pytest.mark.parametrize(
    "changed",
    [
        {"coin": "usdc"},
        {"amount": "12.346"},
        {"side": "SUB"},
        {"type": "FEE"},
        {"type": "FUND"},
        {"type": "CLOSE_POSITION"},
        {"createdTime": NOW - 1},
        {"createdTime": NOW + 15 * 60 * 1000 + 1},
    ],
)
def test_a_row_with_other_words_is_not_ours(monkeypatch: pytest.MonkeyPatch, changed: dict[str, Any]) -> None:
    standing = one_look(monkeypatch, with_bills({**BILL, **changed}))
    assert (standing.state, standing.searched, standing.found) == (State.UNCLEAR, True, False)


@pytest.mark.parametrize(
    "changed",
    [
        {"currency": "BTC"},
        {"amount": "12.346"},
        {"type": "TRANSFER_OUT"},
        {"type": "SUBSCRIBE"},
        {"type": "INTEREST"},
        {"createTime": NOW - 1},
    ],
)
def test_an_order_with_other_words_is_not_ours(monkeypatch: pytest.MonkeyPatch, changed: dict[str, Any]) -> None:
    standing = one_look(monkeypatch, with_orders({**ORDER, **changed}), destination="FINANCE")
    assert (standing.state, standing.searched, standing.found) == (State.UNCLEAR, True, False)


@pytest.mark.parametrize(
    ("ledger", "changed"),
    [
        ("FUTURES_U", {"type": "TRANSFER"}),
        ("FINANCE", {"status": "PROCESSING"}),
        ("FINANCE", {"status": "FAILED"}),
        ("FINANCE", {"status": "NEW_WORD"}),
        ("FINANCE", {"status": None}),
        ("FINANCE", {"type": "MOVED"}),
    ],
)
def test_a_fitting_row_in_words_that_prove_nothing_is_unclear_and_loud(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, ledger: str, changed: dict[str, Any]
) -> None:
    venue = with_orders({**ORDER, **changed}) if ledger == "FINANCE" else with_bills({**BILL, **changed})
    standing = one_look(monkeypatch, venue, destination=ledger)
    assert (standing.state, standing.searched, standing.found) == (State.UNCLEAR, True, True)
    assert any(record.levelno == logging.ERROR for record in caplog.records)
    json.dumps(standing.evidence)


@pytest.mark.parametrize(
    "changed",
    [
        {"id": None},
        {"amount": None},
        {"amount": "x"},
        {"amount": "NaN"},
        {"amount": True},
        {"amount": "-12.345"},
        {"side": "IN"},
        {"side": None},
        {"type": None},
        {"coin": None},
        {"createdTime": None},
        {"createdTime": NOW // 1000},
    ],
)
def test_a_row_that_cannot_be_read_ends_the_search(monkeypatch: pytest.MonkeyPatch, changed: dict[str, Any]) -> None:
    with pytest.raises(TryLater, match="cannot be read"):
        one_look(monkeypatch, with_bills({**BILL, **changed}))


@pytest.mark.parametrize(
    "result",
    [
        None,
        [],
        {},
        {"items": []},
        {"items": None, "hasNext": False},
        {"items": ["x"], "hasNext": False},
        {"items": [], "hasNext": "no"},
        {"items": [], "hasNext": True},
        {"items": [BILL], "hasNext": True},
    ],
)
def test_a_search_that_did_not_end_says_nothing_about_the_money(monkeypatch: pytest.MonkeyPatch, result: Any) -> None:
    with pytest.raises(TryLater):
        one_look(monkeypatch, answering(futures(result)))


def test_an_earn_ledger_without_end_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    endless = answering(said({"hasPrev": False, "hasNext": True, "items": []}))
    with pytest.raises(TryLater, match="did not come to an end"):
        one_look(monkeypatch, endless, destination="FINANCE")


@pytest.mark.parametrize("destination", ["FUTURES_U", "FINANCE"])
def test_the_search_goes_on_to_the_last_page(
    sim: Simulator, xt: Connector, monkeypatch: pytest.MonkeyPatch, destination: str
) -> None:
    monkeypatch.setattr(module, "ROWS_PER_PAGE", 2)
    wanted = instruction(destination=destination)
    sent_at = lost(sim, xt, wanted)
    for _ in range(6):
        xt.send(instruction(destination=destination))
    standing = look_up(xt, wanted, sent_at=sent_at)
    assert standing.state is State.DONE
    path = EARN_BILLS if destination == "FINANCE" else BILLS
    assert len(sim.requests(path)) >= 4
    again = look_up(xt, wanted, sent_at=sent_at, claimed=[standing.record])
    assert (again.state, again.found) == (State.UNCLEAR, False)


@pytest.mark.parametrize("kind", ["request_lost", "rate_limited", "error_before", "garbage", "banned"])
@pytest.mark.parametrize("path", [BILLS, "public/time"])
def test_a_look_up_that_failed_says_nothing_about_the_money(
    sim: Simulator, xt: Connector, kind: str, path: str
) -> None:
    sim.fault(kind, match=path)
    with pytest.raises((TryLater, Barred)):
        look_up(xt, instruction(), sent_at=datetime.now(UTC) - timedelta(hours=2))


# The futures hosts

FUTURES_BY_CODE = {"403": Barred, "429": TryLater, "invalid_coin": TryLater, "invalid_symbol": TryLater}
FUTURES_BY_CODE |= {"insufficient_balance": TryLater}


def test_every_futures_code_and_status_is_spoken_for() -> None:
    assert set(FUTURES_BY_CODE) == set(FUTURES_CODES)
    assert set(FUTURES_STATUSES) == {400, 403, 405, 429}


@pytest.mark.parametrize("code", sorted(FUTURES_BY_CODE))
def test_each_futures_code_on_a_question(sim: Simulator, xt: Connector, code: str) -> None:
    sim.fault("refuse", match=BILLS, text=f"futures:{code} as they say")
    with pytest.raises((Barred, TryLater)) as raised:
        look_up(xt, instruction())
    assert type(raised.value) is FUTURES_BY_CODE[code]
    assert f"{code}: as they say" in raised.value.words


@pytest.mark.parametrize(
    ("status", "text", "means"),
    [
        (400, "", TryLater),
        (403, "invalid signature", Barred),
        (403, "ip not in whitelist", Barred),
        (403, "", Barred),
        (403, "time window expired", TryLater),
        (405, "", TryLater),
        (429, "", TryLater),
        *((status, "", TryLater) for status in (404, 500, 502, 503)),
    ],
)
def test_each_futures_status_on_a_question(
    sim: Simulator, xt: Connector, status: int, text: str, means: type[VenueError]
) -> None:
    sim.fault("refuse", match=BILLS, times=2, code=status, text=f"futures:{status} {text}")
    with pytest.raises((Barred, TryLater)) as raised:
        look_up(xt, instruction())
    assert type(raised.value) is means


def test_a_futures_lock_lasts_ten_minutes(sim: Simulator, xt: Connector) -> None:
    sim.fault("rate_limited", match=BILLS)
    with pytest.raises(TryLater) as raised:
        look_up(xt, instruction())
    assert raised.value.retry_at is not None
    assert timedelta(minutes=9, seconds=58) < raised.value.retry_at - datetime.now(UTC) < timedelta(minutes=10)


@pytest.mark.parametrize("body", [{}, {"returnCode": 1}, {"returnCode": 1, "error": {}}, {"result": []}, {"rc": 0}])
def test_an_envelope_that_is_not_theirs_is_no_answer(monkeypatch: pytest.MonkeyPatch, body: dict[str, Any]) -> None:
    with pytest.raises(TryLater):
        one_look(monkeypatch, answering(body))


# Balances


def rows(venue: Connector) -> dict[tuple[str, str], Any]:
    return {(row.address, row.asset): row for row in venue.balances()}


def test_every_account_type_is_read(sim: Simulator, xt: Connector) -> None:
    addresses = {account.address for account in xt.accounts()}
    assert {address for address, _ in rows(xt)} == addresses
    assert {"SPOT", "FUTURES_U", "FUTURES_C", "FINANCE", "LEVER:btc_usdt", "LEVER:eth_usdt"} == addresses


def test_what_is_frozen_or_bound_does_not_move(sim: Simulator, xt: Connector) -> None:
    sim.set_balance("SPOT/frozen", "usdc", "1000.5")
    sim.set_balance("FUTURES_U/bonus", "usdt", "20")
    found = rows(xt)
    spot, contracts = found["SPOT", "usdc"], found["FUTURES_U", "usdt"]
    assert spot.total - spot.movable == Decimal("1000.5")
    assert contracts.total - contracts.movable == Decimal("12520"), "margin, and what XT gave away"
    sim.set_balance("SPOT/frozen", "usdc", "0")
    sim.set_balance("FUTURES_U/bonus", "usdt", "0")


def test_own_funds_of_a_margin_pair_leave_out_what_is_borrowed(sim: Simulator, xt: Connector) -> None:
    sim.set_balance("LEVER:eth_usdt/borrowed", "usdt", "9000")
    sim.set_balance("LEVER:eth_usdt/interest", "usdt", "0.5")
    found = rows(xt)
    owing, other = found["LEVER:eth_usdt", "usdt"], found["LEVER:eth_usdt", "eth"]
    assert owing.total == Decimal(sim.balance("LEVER:eth_usdt", "usdt")) - Decimal("9000.5")
    assert (owing.movable, other.movable) == (None, None)
    assert owing.problem
    assert found["LEVER:btc_usdt", "usdt"].problem is None
    sim.set_balance("LEVER:eth_usdt/borrowed", "usdt", "0")
    sim.set_balance("LEVER:eth_usdt/interest", "usdt", "0")


def test_earn_is_unreadable_until_somebody_has_looked(
    sim: Simulator, xt: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A number without what lies idle would look like room for more, again and again."""
    found = rows(xt)
    assert (found["FINANCE", "usdt"].total, found["FINANCE", "usdt"].movable) == (None, None)
    assert "150000 usdt" in found["FINANCE", "usdt"].problem
    assert ("FINANCE", "eth") not in found, "what is not listed may still be there"
    sim.set_balance("FINANCE/subscribed", "usdt", "0")
    sim.set_balance("FINANCE/subscribed", "btc", "0")
    assert rows(xt)["FINANCE", EVERY_ASSET].problem
    sim.set_balance("FINANCE/subscribed", "usdt", "150000")
    sim.set_balance("FINANCE/subscribed", "btc", "1")
    assert module.VENUE.unreadable_kinds == {"FINANCE"}
    monkeypatch.setattr(module, "EARN_SHOWS_ALL", True)
    assert (rows(xt)["FINANCE", "usdt"].total, rows(xt)["FINANCE", "usdt"].movable) == (Decimal(150000), Decimal(0))


def test_a_coin_missing_from_a_complete_answer_is_zero(sim: Simulator, xt: Connector) -> None:
    found = rows(xt)
    assert (found["FUTURES_U", "btc"].total, found["FUTURES_U", "btc"].movable) == (0, 0)
    assert (found["FUTURES_C", "usdt"].total, found["FUTURES_C", "usdt"].problem) == (0, None)
    assert ("LEVER:btc_usdt", "eth") not in found, "a pair holds two currencies"


def test_an_empty_login_shows_empty_accounts() -> None:
    def reply(request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path == "/v4/balances":
            return httpx.Response(200, json=said({"assets": []}))
        if path == "/v4/lever/balance":
            side = {"totalAmount": 0, "availableAmount": "0", "loanAmount": 0, "interestAmount": "0"}
            pair = {"symbol": "BTC_USDT", "base": {"currency": "btc", **side}, "quote": {"currency": "usdt", **side}}
            return httpx.Response(200, json=said(pair))
        return httpx.Response(200, json=futures([]) if path.startswith("/future") else said([]))

    found = rows(answering(reply))
    assert [found[address, "usdt"].total for address in ("SPOT", "FUTURES_U", "FUTURES_C", "LEVER:btc_usdt")] == [0] * 4


@pytest.mark.parametrize(
    ("path", "address"),
    [
        ("/v4/balances", "SPOT"),
        ("/v4/finance/position-currency", "FINANCE"),
        ("symbol=btc_usdt", "LEVER:btc_usdt"),
    ],
)
@pytest.mark.parametrize("kind", ["error_before", "rate_limited", "request_lost", "garbage"])
def test_an_unreadable_account_is_a_problem_and_never_a_zero(
    sim: Simulator, xt: Connector, path: str, address: str, kind: str
) -> None:
    xt.accounts()
    sim.fault(kind, match=path)
    found = [row for row in xt.balances() if row.address == address]
    assert [(row.asset, row.total, row.movable) for row in found] == [(EVERY_ASSET, None, None)]
    assert "Could not read" in found[0].problem
    assert rows(xt)["SPOT", "usdt"].problem is None


def test_the_two_futures_accounts_fail_one_by_one(sim: Simulator, xt: Connector) -> None:
    sim.fault("error_before", match="balance/list")
    found = rows(xt)
    assert found["FUTURES_U", EVERY_ASSET].problem
    assert found["FUTURES_C", "btc"].total == Decimal(sim.balance("FUTURES_C", "btc"))


def test_once_shut_out_the_remaining_pairs_are_not_asked(sim: Simulator, xt: Connector) -> None:
    sim.fault("rate_limited", match="lever/balance", times=None)
    found = rows(xt)
    assert len(sim.requests("lever/balance")) == 1
    assert found["LEVER:btc_usdt", EVERY_ASSET].problem
    assert found["LEVER:eth_usdt", EVERY_ASSET].problem


def test_without_the_pairs_all_margin_is_one_problem(sim: Simulator, xt: Connector) -> None:
    sim.fault("error_before", match="lever/symbol")
    found = rows(xt)
    assert found["LEVER", EVERY_ASSET].total is None
    assert found["SPOT", "usdt"].problem is None


def test_pairs_are_asked_at_a_measured_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = [{"symbol": f"c{number}_usdt", "buyCurrency": f"c{number}", "sellCurrency": "usdt"} for number in range(9)]
    monkeypatch.setitem(PUBLIC_SAID, "/v4/public/lever/symbol", said(pairs))
    monkeypatch.setattr(module, "PAIRS_PER_SECOND", 4)
    started = time.monotonic()
    answering(said(None)).balances()
    assert 1.9 < time.monotonic() - started < 4


def test_one_barred_account_is_a_problem_and_all_bar_the_login(sim: Simulator, xt: Connector) -> None:
    sim.fault("refuse", match="/v4/finance", text="PERMISSION_DENIED")
    assert "Earn" in rows(xt)["FINANCE", EVERY_ASSET].problem
    sim.fault("refuse", match="/v4/", text="AUTH_106", times=None)
    sim.fault("refuse", match="/future/", text="futures:403 no right", times=None)
    with pytest.raises(Barred):
        xt.balances()


@pytest.mark.parametrize("wallet", ["", "n/a", None, True, "NaN", "Infinity", []])
def test_a_balance_that_is_not_a_number_is_a_problem(wallet: Any) -> None:
    def reply(request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path == "/v4/balances":
            bad = {"currency": "usdt", "totalAmount": wallet, "availableAmount": "1"}
            good = {"currency": "btc", "totalAmount": 1.5, "availableAmount": "1"}
            return httpx.Response(200, json=said({"assets": [bad, good]}))
        if path.startswith("/future"):
            row = {"coin": "usdt", "walletBalance": "5", "availableBalance": wallet}
            return httpx.Response(200, json=futures([row]))
        if path == "/v4/lever/balance":
            side = {"availableAmount": "1", "loanAmount": "0", "interestAmount": "0"}
            pair = {
                "symbol": "btc_usdt",
                "base": {"currency": "btc", "totalAmount": "1", **side},
                "quote": {"currency": "usdt", "totalAmount": wallet, **side},
            }
            return httpx.Response(200, json=said(pair))
        return httpx.Response(200, json=said([{"currency": "usdt", "amount": wallet, "positionList": []}]))

    found = rows(answering(reply))
    for address in ("SPOT", "FUTURES_U", "FUTURES_C", "FINANCE"):
        assert (found[address, "usdt"].total, found[address, "usdt"].movable) == (None, None)
        assert found[address, "usdt"].problem
    assert found["LEVER:btc_usdt", EVERY_ASSET].problem
    assert (found["SPOT", "btc"].total, found["SPOT", "btc"].movable) == (Decimal("1.5"), Decimal(1))


@pytest.mark.parametrize(
    "pair",
    [
        None,
        {"symbol": "eth_usdt"},
        {"symbol": "btc_usdt", "base": {"currency": "btc"}, "quote": {"currency": "btc"}},
        {"symbol": "btc_usdt", "base": {"currency": "eth"}, "quote": {"currency": "usdt"}},
        {"symbol": "btc_usdt", "base": None, "quote": {"currency": "usdt"}},
    ],
)
def test_an_answer_about_another_pair_is_a_problem(pair: Any) -> None:
    assert rows(answering(said(pair)))["LEVER:btc_usdt", EVERY_ASSET].problem


def test_amounts_are_exact(sim: Simulator, xt: Connector) -> None:
    amount = "123456789012345678901234567890.123456789012345678"
    sim.set_balance("SPOT", "eth", amount)
    assert format(rows(xt)["SPOT", "eth"].total, "f") == amount
    sim.set_balance("SPOT", "eth", "31.2")


# Who, and the clock


def test_check_says_who_and_what(sim: Simulator, xt: Connector) -> None:
    check = xt.check()
    words = " ".join(check.words)
    assert check.login == sim.login_of(sim.credentials)
    assert check.may_transfer
    assert "Spot can be read." in words
    assert "Earn can be read." in words
    assert "does not tell whether the key may transfer" in words
    assert check.clock_offset is not None
    assert abs(check.clock_offset) < timedelta(seconds=1)


def test_check_never_asks_for_the_list_of_keys(sim: Simulator, xt: Connector) -> None:
    """It would hand out the secrets of every key of the user."""
    xt.check()
    assert sim.requests("api-key") == []
    assert not any(sim.is_send(one) for one in sim.requests())


@pytest.mark.parametrize(
    ("path", "text", "word"),
    [
        ("/v4/finance/balance", "PERMISSION_DENIED", "Earn cannot be read"),
        ("/v4/balances", "AUTH_106", "Spot cannot be read"),
        ("account/info", "futures:403 no right", "futures accounts cannot be read"),
    ],
)
def test_check_names_what_stands_in_the_way(sim: Simulator, xt: Connector, path: str, text: str, word: str) -> None:
    sim.fault("refuse", match=path, text=text)
    assert word in " ".join(xt.check().words)


@pytest.mark.parametrize(
    ("code", "word"),
    [
        ("AUTH_101", "one environment"),
        ("AUTH_103", "signature is wrong"),
        ("AUTH_104", "XT sees this computer at 127.0.0.1"),
        ("AUTH_106", "lacks a permission"),
    ],
)
def test_check_says_why_a_key_is_turned_away(sim: Simulator, xt: Connector, code: str, word: str) -> None:
    sim.fault("refuse", match="/v4/user/account", text=code)
    with pytest.raises(Barred) as raised:
        xt.check()
    assert word in raised.value.words


def test_check_of_a_key_bound_elsewhere_survives_a_lost_address(sim: Simulator, xt: Connector) -> None:
    sim.fault("refuse", match="/v4/user/account", text="AUTH_104")
    sim.fault("request_lost", match="public/client")
    with pytest.raises(Barred, match="bound to other addresses"):
        xt.check()


ACCOUNTS = [{"id": "1352123154436", "level": 1}, {"id": 1352123154437, "level": 2}]


@pytest.mark.parametrize(
    ("accounts", "own", "login"),
    [
        (ACCOUNTS[:1], 7, "1352123154436"),
        (ACCOUNTS, 1352123154437, "1352123154437"),
        (ACCOUNTS, "1352123154436", "1352123154436"),
        (ACCOUNTS, 7, None),
        (ACCOUNTS, None, None),
        ([], 7, None),
        (None, 7, None),
        ([{"id": None}], 7, None),
        ([{"id": "x"}], 7, None),
    ],
)
def test_the_login_is_the_keys_own_account_or_nobody(accounts: Any, own: Any, login: str | None) -> None:
    def reply(request: httpx.Request) -> httpx.Response:
        if request.url.path.startswith("/future"):
            return httpx.Response(200, json=futures({"accountId": own, "allowTransfer": False}))
        return httpx.Response(200, json=said(accounts))

    if login is None:
        with pytest.raises(TryLater, match="who the login is"):
            answering(reply).check()
        return
    check = answering(reply).check()
    assert check.login == login
    assert "does not allow transfers now" in " ".join(check.words)


@pytest.mark.parametrize("seconds", [30, -30, 3600])
def test_a_skewed_clock_stops_one_send_and_not_the_next(sim: Simulator, xt: Connector, seconds: float) -> None:
    sim.fault("clock", seconds=seconds)
    wanted = instruction(destination="LEVER:btc_usdt")
    with pytest.raises(TryLater, match=r"^Nothing moved"):
        xt.send(wanted)
    xt.send(wanted)
    assert len(sim.effects(wanted.key)) == 1
    sim.clear()
    assert rows(xt)["FUTURES_U", "usdt"].problem is None, "a question measures the clock by itself"


def test_a_skewed_clock_does_not_stop_a_futures_question(sim: Simulator, xt: Connector) -> None:
    sim.fault("clock", seconds=30)
    found = rows(xt)
    assert found["FUTURES_U", "usdt"].problem is None
    assert found["SPOT", "usdt"].problem is None


def test_a_clock_that_cannot_be_measured_stops_the_send(sim: Simulator, xt: Connector) -> None:
    sim.fault("clock", seconds=30)
    with pytest.raises(TryLater):
        xt.send(instruction())
    sim.fault("error_before", match="public/time")
    with pytest.raises(TryLater, match=r"^Not sent. Nothing moved"):
        xt.send(instruction())
    assert len(sim.requests(TRANSFER)) == 1


@pytest.mark.parametrize("result", [None, {}, {"serverTime": "soon"}, {"serverTime": 1700000000}, []])
def test_a_time_that_makes_no_sense_is_not_believed(monkeypatch: pytest.MonkeyPatch, result: Any) -> None:
    monkeypatch.setitem(PUBLIC_SAID, "/v4/public/time", said(result))
    with pytest.raises(TryLater, match="clock"):
        answering(said([])).check()


def test_a_request_signed_long_ago_is_refused_by_xt_itself(sim: Simulator, xt: Connector) -> None:
    wanted = instruction()
    with pytest.raises(TryLater, match="AUTH_105"):
        xt.send(wanted, signed_at=datetime.now(UTC) - timedelta(seconds=5))
    assert sim.effects(wanted.key) == []


def test_one_connector_serves_several_threads(sim: Simulator, xt: Connector) -> None:
    wanted = [instruction() for _ in range(8)]
    threads = [threading.Thread(target=xt.send, args=(one,)) for one in wanted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(sim.effects(one.key)) for one in wanted] == [1] * 8


# Secrets


def test_secrets_appear_nowhere(sim: Simulator, xt: Connector, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secrets = list(sim.credentials.values())
    seen = [repr(Credentials(*secrets)), repr(xt), repr(vars(xt))]
    for text in (*secrets, "FUND_001"):
        sim.fault("refuse", match="send", text=text)
        with pytest.raises(VenueError) as raised:
            xt.send(instruction())
        seen += [str(raised.value), repr(raised.value), repr(vars(raised.value))]
    sim.fault("refuse", match="lever/balance", times=2, text=secrets[1])
    sim.fault("refuse", match="/future/", times=2, text=f"futures:403 {secrets[1]}")
    seen += [repr(row) for row in xt.balances()]
    sim.fault("refuse", match="account/info", text=f"futures:403 {secrets[0]}")
    seen += [repr(xt.check()), repr(xt.send(instruction()))]
    sim.fault("refuse", match=BILLS, text=f"futures:{secrets[0]} {secrets[1]}")
    with pytest.raises(TryLater) as later:
        look_up(xt, instruction())
    seen += [str(later.value), repr(vars(later.value))]
    assert "[redacted]" in later.value.words
    wrong = connectors.open("xt", credentials={**sim.credentials, "api_secret": "wrong-secret"}, base_url=sim.url)
    with pytest.raises(Barred) as barred:
        wrong.send(instruction())
    seen += [repr(vars(barred.value)), caplog.text, *(repr(vars(record)) for record in caplog.records)]
    for secret in (*secrets, "wrong-secret"):
        assert all(secret not in text for text in seen)


@pytest.mark.parametrize("value", ["", "has space", "tab\t", "line\nbreak", "ключ"])
def test_credentials_that_no_header_can_carry_are_named_without_their_value(value: str) -> None:
    with pytest.raises(ValueError, match="api_secret") as raised:
        connectors.open("xt", credentials={"api_key": "abcdef", "api_secret": value})
    assert not value or value not in str(raised.value)
