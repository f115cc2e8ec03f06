"""The simulated XT, judged by two clients that others wrote, and by the rules of the documentation."""

import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import ccxt
import httpx
import pytest
import pyxt.perp
import pyxt.spot

import connectors
from connectors.core.protocol import Connector, Instruction
from connectors.simulators.core import Simulator, serve
from connectors.xt import Credentials, FuturesSignature, SpotSignature

TRANSFER = "/v4/balance/transfer"
BILLS = "/future/user/v1/balance/bills"
EARN_BILLS = "/v4/finance/bills"
FUTURES_LIST = "/future/user/v1/balance/list"


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


@pytest.fixture
def by_ccxt(sim: Simulator) -> Iterator[Any]:
    key, secret = sim.credentials.values()
    client = ccxt.xt({"apiKey": key, "secret": secret, "enableRateLimit": False})
    client.urls["api"] = dict.fromkeys(client.urls["api"], sim.url)
    coins = {code: {"id": code.lower(), "code": code, "precision": 1e-8} for code in ("BTC", "ETH", "USDC", "USDT")}
    client.set_markets([], coins)
    yield client
    client.session.close()


@pytest.fixture
def by_pyxt(sim: Simulator) -> Any:
    key, secret = sim.credentials.values()
    return pyxt.spot.Spot(sim.url, access_key=key, secret_key=secret)


@pytest.fixture
def by_pyxt_futures(sim: Simulator) -> Any:
    key, secret = sim.credentials.values()
    return pyxt.perp.Perp(sim.url, key, secret)


def ask(
    sim: Simulator,
    path: str,
    params: dict[str, Any] | None = None,
    *,
    body: Any = None,
    at: float = 0,
    key: str | None = None,
    secret: str | None = None,
    method: str | None = None,
    host: str = "sapi",
    changed: dict[str, str | None] | None = None,
) -> httpx.Response:
    """A signed request, so that the tests below can ask what no client would. `changed` alters headers afterwards."""
    login = Credentials(key or sim.credentials["api_key"], secret or sim.credentials["api_secret"])
    signature = FuturesSignature if host in ("fapi", "dapi") else SpotSignature
    request = httpx.Request(
        method or ("GET" if body is None else "POST"),
        sim.url + path,
        params=params,
        headers={"Host": f"{host}.xt.com"},
        content=None if body is None else json.dumps(body).encode(),
    )
    request = next(signature(login, int((time.time() + at) * 1000)).auth_flow(request))
    for name, text in (changed or {}).items():
        request.headers.pop(name, None)
        if text is not None:
            request.headers[name] = text
    with httpx.Client(trust_env=False) as client:
        return client.send(request)


def code(reply: httpx.Response) -> str:
    return str(reply.json()["mc"])


def order(**changed: Any) -> dict[str, Any]:
    words = {"currency": "usdt", "amount": "1", "from": "SPOT", "to": "FUTURES_U"}
    return {name: word for name, word in {"bizId": str(uuid4()), **words, **changed}.items() if word is not None}


def wanted(**changed: Any) -> Instruction:
    words: dict[str, Any] = {
        "key": uuid4(),
        "source": "SPOT",
        "destination": "FUTURES_U",
        "asset": "usdt",
        "amount": Decimal("12.345"),
        "reference": "T-1",
    }
    return Instruction(**{**words, **changed})


# Judges from outside


def test_ccxt_moves_money_and_reads_balances_and_the_ledger(sim: Simulator, by_ccxt: Any) -> None:
    spot, contracts = Decimal(sim.balance("SPOT", "usdt")), Decimal(sim.balance("FUTURES_U", "usdt"))
    biz_id = str(uuid4())
    moved = by_ccxt.transfer("USDT", 12.5, "spot", "swap", {"bizId": biz_id})
    assert int(moved["id"]) > 2**53
    assert len(sim.effects(biz_id)) == 1
    assert Decimal(str(by_ccxt.fetch_balance()["USDT"]["total"])) == spot - Decimal("12.5")
    assert Decimal(str(by_ccxt.fetch_balance({"type": "swap"})["USDT"]["total"])) == contracts + Decimal("12.5")
    (entry,) = by_ccxt.fetch_ledger("USDT", limit=1, params={"type": "swap"})
    assert (entry["type"], entry["direction"], entry["amount"]) == ("transfer", "in", 12.5)
    with pytest.raises(ccxt.ExchangeError, match="FUND_001"):
        by_ccxt.transfer("USDT", 12.5, "spot", "swap", {"bizId": biz_id})
    with pytest.raises(ccxt.InsufficientFunds):
        by_ccxt.transfer("USDT", 999999999, "spot", "swap")
    with pytest.raises(ccxt.BadRequest):
        by_ccxt.transfer("USDT", 1, "spot", "leverage")


def test_ccxt_moves_money_to_every_account_type(sim: Simulator, by_ccxt: Any) -> None:
    pair = {"symbol": "btc_usdt"}
    for destination, currency, params in (
        ("leverage", "USDT", pair),
        ("finance", "USDT", {}),
        ("linear", "USDT", {}),
        ("inverse", "BTC", {}),
    ):
        by_ccxt.transfer(currency, 0.5, "spot", destination, params)
        by_ccxt.transfer(currency, 0.25, destination, "spot", params)
    by_ccxt.headers = {"Host": "dapi.xt.com"}
    coins = by_ccxt.fetch_balance({"type": "swap", "subType": "inverse"})
    assert Decimal(str(coins["BTC"]["total"])) == Decimal(sim.balance("FUTURES_C", "btc"))


def test_ccxt_with_a_wrong_secret_is_turned_away(by_ccxt: Any) -> None:
    by_ccxt.secret = "another-secret"
    with pytest.raises(ccxt.AuthenticationError, match="AUTH_103"):
        by_ccxt.fetch_balance()
    with pytest.raises(ccxt.ExchangeError, match="invalid signature"):
        by_ccxt.fetch_balance({"type": "swap"})


def test_pyxt_moves_money_and_reads_balances(sim: Simulator, by_pyxt: Any, by_pyxt_futures: Any) -> None:
    before = Decimal(sim.balance("FUTURES_U", "usdt"))
    by_pyxt.transfer("SPOT", "FUTURES_U", "usdt", "12.345")
    assert Decimal(sim.balance("FUTURES_U", "usdt")) == before + Decimal("12.345")
    assert by_pyxt.balance("usdt")["totalAmount"] == sim.balance("SPOT", "usdt")
    listed = {row["currency"]: row["totalAmount"] for row in by_pyxt.balances(["usdt", "btc"])["assets"]}
    assert listed == {name: sim.balance("SPOT", name) for name in ("btc", "usdt")}
    assert {row["currency"] for row in by_pyxt.get_currencies()} >= {"usdt", "btc"}
    assert abs(by_pyxt.get_time() - time.time() * 1000) < 5000
    status, answered, error = by_pyxt_futures.get_account_capital()
    assert (status, error) == (200, None)
    assert answered["result"][0]["walletBalance"] == sim.balance("FUTURES_U", "usdt")


def test_pyxt_is_refused_what_it_cannot_have(by_pyxt: Any, sim: Simulator) -> None:
    before = sim.ledger.balances()
    with pytest.raises(pyxt.spot.XtBusinessError, match="TRANSFER_002"):
        by_pyxt.transfer("SPOT", "FUTURES_U", "usdt", "999999999")
    assert sim.ledger.balances() == before


# What differs from client to client by design: what their HTTP library says of itself, the moment and with it the
# signature, and the host, which is the simulator's for them while we keep the venue's.
THEIRS = {"host", "user-agent", "accept", "accept-encoding", "connection", "content-length"}
THEIRS |= {"xt-validate-timestamp", "xt-validate-signature"}


def named(headers: Any) -> dict[str, str]:
    return {name: text for name, text in headers.items() if name not in THEIRS}


@pytest.mark.parametrize("destination", ["FUTURES_U", "LEVER:btc_usdt"])
def test_our_transfer_equals_ccxts_byte_by_byte(sim: Simulator, xt: Connector, by_ccxt: Any, destination: str) -> None:
    ours, theirs = wanted(destination=destination), str(uuid4())
    xt.send(ours)
    pair = {"symbol": "btc_usdt"} if ":" in destination else {}
    by_ccxt.transfer("USDT", 12.345, "spot", "leverage" if pair else "swap", {"bizId": theirs, **pair})
    mine, other = sim.requests(TRANSFER)
    assert mine.target == other.target
    assert mine.body == other.body.replace(theirs.encode(), str(ours.key).encode())
    assert named(mine.headers) == named(other.headers)
    assert set(mine.headers) <= set(other.headers)
    assert mine.headers["host"] == "sapi.xt.com"


def test_our_transfer_equals_pyxts_field_by_field(sim: Simulator, xt: Connector, by_pyxt: Any) -> None:
    """Known differences: pyxt's bizId is a clock's number, its window a minute, its hex upper case, its JSON spaced."""
    ours = wanted()
    xt.send(ours)
    by_pyxt.transfer("SPOT", "FUTURES_U", "usdt", "12.345")
    mine, other = sim.requests(TRANSFER)
    assert mine.target == other.target
    theirs = json.loads(other.body)
    assert isinstance(theirs.pop("bizId"), int)
    assert json.loads(mine.body) == {**theirs, "bizId": str(ours.key)}
    assert named(mine.headers) == {**named(other.headers), "xt-validate-recvwindow": "5000"}
    assert other.headers["xt-validate-recvwindow"] == "60000"
    assert other.headers["xt-validate-signature"] == other.headers["xt-validate-signature"].upper()


def test_our_balance_questions_equal_ccxts(sim: Simulator, xt: Connector, by_ccxt: Any) -> None:
    xt.balances()
    by_ccxt.fetch_balance()
    by_ccxt.fetch_balance({"type": "swap"})
    for path, count in (("/v4/balances", 2), (FUTURES_LIST, 3)):
        asked = sim.requests(path)
        assert len(asked) == count
        assert {(one.target, one.body) for one in asked} == {(f"GET {path}", b"")}
        assert named(asked[0].headers) == named(asked[-1].headers)


def test_our_ledger_question_is_ccxts_with_a_page_and_an_end(sim: Simulator, xt: Connector, by_ccxt: Any) -> None:
    xt.look_up(wanted(), sent_at=datetime.now(UTC))
    (mine,) = sim.requests(BILLS)
    asked = mine.params()
    by_ccxt.fetch_ledger(since=int(asked["startTime"]), limit=int(asked["limit"]), params={"type": "swap"})
    other = sim.requests(BILLS)[-1]
    assert {**other.params(), "direction": "NEXT", "endTime": asked["endTime"]} == asked
    assert named(mine.headers) == named(other.headers)


def test_our_futures_question_equals_pyxts_but_for_unsigned_extras(
    sim: Simulator, xt: Connector, by_pyxt_futures: Any
) -> None:
    """Known differences: pyxt adds two headers that are not signed, and names no type of a body that it has not."""
    xt.balances()
    by_pyxt_futures.get_account_capital()
    mine, *_, other = sim.requests(FUTURES_LIST)
    assert (mine.target, mine.body) == (other.target, other.body)
    extras = {"validate-signversion": "2", "xt-validate-algorithms": "HmacSHA256", "content-type": "application/json"}
    assert {**named(other.headers), "content-type": "application/json"} == {**named(mine.headers), **extras}


# The rules of the documentation


@pytest.mark.parametrize(
    ("at", "accepted"), [(0.9, True), (-4.8, True), (0, True), (1.2, False), (60, False), (-5.1, False)]
)
def test_timestamps_are_taken_from_a_window_back_to_a_second_ahead(sim: Simulator, at: float, accepted: bool) -> None:
    assert code(ask(sim, "/v4/balances", at=at)) == ("SUCCESS" if accepted else "AUTH_105")
    reply = ask(sim, FUTURES_LIST, at=at, host="fapi")
    assert reply.status_code == (200 if accepted else 403)


@pytest.mark.parametrize(
    ("header", "text", "said"),
    [
        ("appkey", None, "AUTH_001"),
        ("timestamp", None, "AUTH_002"),
        ("recvwindow", None, "AUTH_003"),
        ("recvwindow", "soon", "AUTH_004"),
        ("recvwindow", "1999", "AUTH_004"),
        ("recvwindow", "60001", "AUTH_004"),
        ("algorithms", None, "AUTH_005"),
        ("algorithms", "ROT13", "AUTH_006"),
        ("signature", None, "AUTH_007"),
        ("appkey", "unknown", "AUTH_101"),
        ("timestamp", "1", "AUTH_105"),
        ("signature", "0" * 64, "AUTH_103"),
        # Headers that are signed cannot be changed afterwards.
        ("recvwindow", "6000", "AUTH_103"),
        ("algorithms", "HmacSHA512", "AUTH_103"),
    ],
)
def test_every_header_is_checked(sim: Simulator, header: str, text: str | None, said: str) -> None:
    assert code(ask(sim, "/v4/balances", changed={f"xt-validate-{header}": text})) == said


def test_bare_header_names_are_not_taken(sim: Simulator) -> None:
    """The documentation prints them; no working client sends them."""
    assert code(ask(sim, "/v4/balances", changed={"xt-validate-appkey": None, "validate-appkey": "x"})) == "AUTH_001"


def test_futures_hosts_refuse_with_a_status(sim: Simulator) -> None:
    def status(**changed: Any) -> int:
        return ask(sim, FUTURES_LIST, host="fapi", **changed).status_code

    assert status() == 200
    assert status(secret="another-secret") == 403
    assert status(key="unknown") == 403
    assert status(changed={"xt-validate-appkey": None}) == 400
    assert status(changed={"xt-validate-timestamp": None}) == 400
    assert status(changed={"xt-validate-signature": None}) == 403


def test_the_query_and_the_path_are_signed(sim: Simulator) -> None:
    login = Credentials(*sim.credentials.values())
    signed = next(
        FuturesSignature(login, int(time.time() * 1000)).auth_flow(httpx.Request("GET", sim.url + f"{BILLS}?limit=1"))
    )
    for target, status in ((f"{BILLS}?limit=1", 200), (f"{BILLS}?limit=2", 403), (FUTURES_LIST, 403)):
        assert httpx.get(sim.url + target, headers=signed.headers, trust_env=False).status_code == status


@pytest.mark.parametrize(
    ("host", "path", "status"),
    [
        ("sapi", "/v4/balances", 200),
        ("fapi", "/v4/balances", 404),
        ("api", "/v4/balances", 404),
        ("api", "/v4/user/account", 200),
        ("sapi", "/v4/user/account", 404),
        ("dapi", FUTURES_LIST, 200),
        ("sapi", FUTURES_LIST, 404),
        ("sapi", "/v4/balance/transfers", 404),
    ],
)
def test_each_host_has_its_own_paths(sim: Simulator, host: str, path: str, status: int) -> None:
    assert ask(sim, path, host=host).status_code == status


def test_a_transfer_goes_to_its_own_host_only(sim: Simulator) -> None:
    before, asked = sim.ledger.balances(), order()
    assert ask(sim, TRANSFER, body=asked, host="api").status_code == 404
    assert ask(sim, TRANSFER, body=asked, host="fapi").status_code == 404
    assert ask(sim, TRANSFER, body=asked, method="GET").status_code == 404
    assert sim.ledger.balances() == before


def test_the_two_futures_hosts_tell_of_two_accounts(sim: Simulator) -> None:
    coins = {
        host: {row["coin"] for row in ask(sim, FUTURES_LIST, host=host).json()["result"]} for host in ("fapi", "dapi")
    }
    assert coins == {"fapi": {"usdt"}, "dapi": {"btc", "eth"}}
    assert (
        ask(sim, "/future/user/v1/balance/detail", {"coin": "x"}, host="fapi").json()["error"]["code"] == "invalid_coin"
    )
    one = ask(sim, "/future/user/v1/balance/detail", {"coin": "usdt"}, host="fapi").json()["result"]
    assert one["walletBalance"] == sim.balance("FUTURES_U", "usdt")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"bizId": None}, "FUND_017"),
        ({"bizId": "x" * 129}, "FUND_017"),
        ({"from": "FUND"}, "FUND_017"),
        ({"to": None}, "FUND_017"),
        ({"to": "SPOT"}, "FUND_015"),
        ({"to": "LEVER"}, "FUND_016"),
        ({"to": "LEVER", "symbol": "BTC_USDT"}, "SYMBOL_001"),
        ({"to": "LEVER", "symbol": "doge_usdt"}, "SYMBOL_001"),
        ({"to": "LEVER", "symbol": "btc_usdt", "currency": "eth"}, "FUND_003"),
        ({"currency": "USDT"}, "CURRENCY_001"),
        ({"currency": None}, "CURRENCY_001"),
        ({"currency": "luna"}, "TRANSFER_012"),
        ({"currency": "btc"}, "TRANSFER_004"),
        ({"to": "FUTURES_C"}, "TRANSFER_004"),
        ({"amount": "999999999"}, "TRANSFER_002"),
        ({"amount": "0.123456789"}, "FUND_017"),
        ({"amount": "0"}, "FUND_017"),
        ({"amount": "-1"}, "FUND_017"),
        ({"amount": "1e3"}, "FUND_017"),
        ({"amount": ""}, "FUND_017"),
        ({"amount": True}, "FUND_017"),
        ({"amount": "1" * 114}, "FUND_044"),
    ],
)
def test_a_wrong_order_is_refused_and_moves_nothing(sim: Simulator, changed: dict[str, Any], said: str) -> None:
    before = sim.ledger.balances()
    assert code(ask(sim, TRANSFER, body=order(**changed))) == said
    assert sim.ledger.balances() == before


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'"x"'])
def test_a_body_that_is_no_order_is_refused(sim: Simulator, body: bytes) -> None:
    request = httpx.Request("POST", sim.url + TRANSFER, content=body)
    login = Credentials(*sim.credentials.values())
    request = next(SpotSignature(login, int(time.time() * 1000)).auth_flow(request))
    with httpx.Client(trust_env=False) as client:
        assert code(client.send(request)) == "FUND_017"


def test_borrowed_or_bound_money_does_not_leave(sim: Simulator) -> None:
    back = order(**{"from": "LEVER", "to": "SPOT", "symbol": "eth_usdt"})
    sim.set_balance("LEVER:eth_usdt/borrowed", "eth", "1")
    assert code(ask(sim, TRANSFER, body=back)) == "TRANSFER_011"
    sim.set_balance("LEVER:eth_usdt/borrowed", "eth", "0")
    assert code(ask(sim, TRANSFER, body=back)) == "SUCCESS"
    all_of_it = order(**{"from": "FUTURES_U", "to": "SPOT", "amount": sim.balance("FUTURES_U", "usdt")})
    assert code(ask(sim, TRANSFER, body=all_of_it)) == "TRANSFER_002", "some is margin"


def test_a_used_key_is_taken_and_a_refused_one_is_not(sim: Simulator) -> None:
    asked = order(amount="999999999")
    assert code(ask(sim, TRANSFER, body=asked)) == "TRANSFER_002"
    assert code(ask(sim, TRANSFER, body={**asked, "amount": "1"})) == "SUCCESS"
    assert code(ask(sim, TRANSFER, body={**asked, "amount": "1"})) == "FUND_001"
    assert code(ask(sim, TRANSFER, body={**asked, "amount": "2"})) == "FUND_001"
    assert len(sim.effects(asked["bizId"])) == 1


def test_one_key_moves_once_however_many_ask_at_a_time(sim: Simulator) -> None:
    asked, said = order(), []
    threads = [threading.Thread(target=lambda: said.append(code(ask(sim, TRANSFER, body=asked)))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(said) == ["FUND_001"] * 7 + ["SUCCESS"]
    assert len(sim.effects(asked["bizId"])) == 1


def test_every_transfer_has_an_id_of_its_own_beyond_the_doubles(sim: Simulator) -> None:
    ids = [ask(sim, TRANSFER, body=order()).json()["result"] for _ in range(3)]
    assert len(set(ids)) == 3
    assert all(int(float(one)) != one for one in ids), "a parser that uses doubles would show"


def test_money_adds_up_over_all_accounts(sim: Simulator) -> None:
    def held() -> Decimal:
        accounts = sim.ledger.balances()[sim.login_of(sim.credentials)]
        whole = (assets for address, assets in accounts.items() if "/" not in address)
        return sum((Decimal(assets.get("usdt", "0")) for assets in whole), Decimal(0))

    before = held()
    for changed in (
        {"to": "FINANCE"},
        {"to": "LEVER", "symbol": "btc_usdt"},
        {"from": "FUTURES_U", "to": "FINANCE"},
        {"from": "LEVER", "to": "FUTURES_U", "symbol": "btc_usdt"},
    ):
        assert code(ask(sim, TRANSFER, body=order(**changed))) == "SUCCESS"
    assert held() == before


def test_the_futures_ledger_goes_on_from_an_id_in_both_directions(sim: Simulator) -> None:
    start = int(time.time() * 1000)
    for _ in range(5):
        ask(sim, TRANSFER, body=order())

    def page(**params: Any) -> dict[str, Any]:
        result = ask(sim, BILLS, {"startTime": start, **params}, host="fapi").json()["result"]
        assert isinstance(result, dict)
        return result

    everything = [row["id"] for row in page()["items"]]
    assert len(everything) == 5
    assert everything == sorted(everything, reverse=True)
    first = page(limit=2)
    assert ([row["id"] for row in first["items"]], first["hasNext"], first["hasPrev"]) == (everything[:2], True, False)
    second = page(limit=2, id=everything[1])
    assert ([row["id"] for row in second["items"]], second["hasNext"]) == (everything[2:4], True)
    last = page(limit=2, id=everything[3])
    assert ([row["id"] for row in last["items"]], last["hasNext"], last["hasPrev"]) == (everything[4:], False, True)
    back = page(limit=2, id=everything[3], direction="PREV")
    assert [row["id"] for row in back["items"]] == everything[1:3]
    assert page(endTime=start - 1)["items"] == []
    assert len(page(limit=100)["items"]) == 5
    for wrong in ({"limit": 0}, {"limit": 101}, {"limit": "x"}, {"direction": "UP"}, {"id": "x"}):
        assert ask(sim, BILLS, wrong, host="fapi").json()["returnCode"] == 1


def test_the_earn_ledger_has_numbered_pages(sim: Simulator) -> None:
    start = int(time.time() * 1000)
    for number in range(5):
        ask(sim, TRANSFER, body=order(to="FINANCE", amount=str(number + 1)))

    def page(**params: Any) -> dict[str, Any]:
        result = ask(sim, EARN_BILLS, {"startTime": start, **params}).json()["result"]
        assert isinstance(result, dict)
        return result

    assert [row["amount"] for row in page()["items"]] == ["5", "4", "3", "2", "1"]
    third = page(page=3, size=2)
    assert ([row["amount"] for row in third["items"]], third["hasNext"], third["hasPrev"]) == (["1"], False, True)
    assert page(size=2)["hasNext"]
    assert page(type="TRANSFER_OUT")["items"] == []
    assert len(page(currency="usdt")["items"]) == 5
    for wrong in ({"page": 0}, {"size": 0}, {"size": 101}, {"page": "x"}):
        assert code(ask(sim, EARN_BILLS, wrong)) == "PARAM_ERROR"


def test_margin_is_asked_pair_by_pair(sim: Simulator) -> None:
    assert code(ask(sim, "/v4/lever/balance")) == "SYMBOL_001"
    pair = ask(sim, "/v4/lever/balance", {"symbol": "BTC_USDT"}).json()["result"]
    assert (pair["base"]["currency"], pair["quote"]["currency"]) == ("btc", "usdt")
    assert pair["base"]["totalAmount"] == sim.balance("LEVER:btc_usdt", "btc")


def test_public_paths_need_no_signature(sim: Simulator) -> None:
    for path in ("time", "client", "currencies", "lever/symbol"):
        assert code(httpx.get(f"{sim.url}/v4/public/{path}", trust_env=False)) == "SUCCESS"


# The ledger, and faults in XT's own words


def test_a_second_start_keeps_the_ledger_and_the_ids(tmp_path: Path) -> None:
    file, asked = tmp_path / "home" / "xt.json", order(to="FINANCE")
    with serve("xt", path=file) as sim:
        first = ask(sim, TRANSFER, body=asked).json()["result"]
        before, bills = sim.ledger.balances(), ask(sim, EARN_BILLS).json()["result"]
    with serve("xt", path=file) as sim:
        assert sim.ledger.balances() == before
        assert ask(sim, EARN_BILLS).json()["result"] == bills
        assert code(ask(sim, TRANSFER, body=asked)) == "FUND_001"
        assert ask(sim, TRANSFER, body=order()).json()["result"] == first + 1
        assert len(sim.effects(asked["bizId"])) == 1


def test_a_person_can_make_the_next_transfer_fail_in_xts_words(sim: Simulator) -> None:
    form = {"kind": "refuse", "match": "send", "times": "1", "seconds": "0", "code": "0", "text": "TRANSFER_007"}
    added = httpx.post(sim.url + "/_simulator/faults", data=form, trust_env=False)
    assert added.status_code == 303
    assert code(ask(sim, TRANSFER, body=order())) == "TRANSFER_007"
    assert code(ask(sim, TRANSFER, body=order())) == "SUCCESS"
    sim.fault("refuse", match="read", code=403, text="futures:403 invalid signature")
    reply = ask(sim, FUTURES_LIST, host="fapi")
    assert (reply.status_code, reply.json()["error"]) == (403, {"code": "403", "msg": "invalid signature"})
    state = httpx.get(sim.url + "/_simulator/state", trust_env=False).text
    assert sim.credentials["api_secret"] not in state
    assert sim.credentials["api_key"] not in state


def test_what_fails_later_leaves_both_rows_in_the_ledger(sim: Simulator) -> None:
    start = int(time.time() * 1000)
    sim.fault("fails_later", match="send", seconds=0.1)
    before = sim.balance("FUTURES_U", "usdt")
    assert code(ask(sim, TRANSFER, body=order(**{"from": "FUTURES_U", "to": "SPOT"}))) == "SUCCESS"
    assert Decimal(sim.balance("FUTURES_U", "usdt")) == Decimal(before) - 1
    time.sleep(0.15)
    rows = ask(sim, BILLS, {"startTime": start}, host="fapi").json()["result"]["items"]
    assert [row["side"] for row in rows] == ["ADD", "SUB"]
    assert Decimal(sim.balance("FUTURES_U", "usdt")) == Decimal(before)
