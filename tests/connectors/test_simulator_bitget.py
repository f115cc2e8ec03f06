"""The simulated Bitget, judged by a client that others wrote, and by the rules of the documentation."""

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import ccxt
import httpx
import pytest

import connectors
from connectors.core.protocol import Connector, Instruction
from connectors.simulators.bitget import BitgetSimulator
from connectors.simulators.core import serve

TRANSFER = "/api/v2/spot/wallet/transfer"
RECORDS = "/api/v2/spot/account/transferRecords"
SPOT = "/api/v2/spot/account/assets"


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
    return connectors.open("bitget", credentials=sim.credentials, base_url=sim.url, loopback_only=True)


@pytest.fixture
def by_ccxt(sim: BitgetSimulator) -> Iterator[Any]:
    given = sim.credentials
    client = ccxt.bitget(
        {
            "apiKey": given["api_key"],
            "secret": given["api_secret"],
            "password": given["passphrase"],
            "enableRateLimit": False,
            "options": {"uta": False},
        }
    )
    client.urls["api"] = dict.fromkeys(client.urls["api"], sim.url)
    pair = {"id": "BTCUSDT", "symbol": "BTC/USDT", "base": "BTC", "quote": "USDT", "spot": True, "type": "spot"}
    coins = {coin: {"id": coin, "code": coin, "precision": 1e-8} for coin in ("BTC", "ETH", "USDC", "USDT")}
    client.set_markets([pair], coins)
    yield client
    client.session.close()


def ask(
    sim: BitgetSimulator,
    path: str,
    params: dict[str, Any] | None = None,
    *,
    body: Any = None,
    at: float = 0,
    secret: str | None = None,
    headers: dict[str, str] | None = None,
) -> httpx.Response:
    """A signed request that owes nothing to our connector, so that the tests below can ask what no client would."""
    method, content = ("GET", b"") if body is None else ("POST", json.dumps(body).encode())
    target = f"{path}?{urlencode(params)}" if params else path
    stamp = str(int((time.time() + at) * 1000))
    signed = (secret or sim.credentials["api_secret"]).encode()
    digest = hmac.new(signed, (stamp + method + target).encode() + content, hashlib.sha256).digest()
    own = {
        "ACCESS-KEY": sim.credentials["api_key"],
        "ACCESS-SIGN": base64.b64encode(digest).decode(),
        "ACCESS-TIMESTAMP": stamp,
        "ACCESS-PASSPHRASE": sim.credentials["passphrase"],
        "Content-Type": "application/json",
    }
    given = {name: text for name, text in {**own, **(headers or {})}.items() if text}
    with httpx.Client(trust_env=False) as client:
        return client.request(method, sim.url + target, content=content or None, headers=given)


def code(reply: httpx.Response) -> str:
    return str(reply.json()["code"])


def order(**changed: Any) -> dict[str, Any]:
    words = {"fromType": "spot", "toType": "p2p", "amount": "1", "coin": "USDT", "clientOid": uuid4().hex, **changed}
    return {name: word for name, word in words.items() if word is not None}


# A judge from outside


def test_ccxt_moves_money_finds_it_again_and_reads_balances(sim: BitgetSimulator, by_ccxt: Any) -> None:
    before, named = Decimal(sim.balance("usdt_futures", "USDT")), uuid4().hex
    moved = by_ccxt.transfer("USDT", 12.5, "spot", "swap", {"clientOid": named})
    assert len(sim.effects(named)) == 1
    assert Decimal(sim.balance("usdt_futures", "USDT")) == before + Decimal("12.5")
    (found,) = [one for one in by_ccxt.fetch_transfers("USDT") if one["id"] == moved["id"]]
    assert (found["status"], found["amount"], found["currency"]) == ("ok", 12.5, "USDT")
    assert (found["fromAccount"], found["toAccount"]) == ("spot", "swap")
    assert found["info"]["clientOid"] == named


def test_ccxt_moves_money_into_a_pair_and_without_a_name_of_its_own(sim: BitgetSimulator, by_ccxt: Any) -> None:
    before = Decimal(sim.balance("isolated_margin:BTCUSDT", "USDT"))
    moved = by_ccxt.transfer("USDT", 2, "spot", "isolated", {"symbol": "BTC/USDT"})
    assert moved["info"]["clientOrderId"] is None
    assert Decimal(sim.balance("isolated_margin:BTCUSDT", "USDT")) == before + 2
    (found,) = [one for one in by_ccxt.fetch_transfers("USDT") if one["id"] == moved["id"]]
    assert found["info"]["toSymbol"] == "BTCUSDT"
    assert found["info"]["clientOid"]


@pytest.mark.parametrize(
    ("asked", "address", "coin"),
    [
        ({}, "spot", "USDT"),
        ({"type": "swap", "productType": "USDT-FUTURES"}, "usdt_futures", "USDT"),
        ({"type": "swap", "productType": "COIN-FUTURES"}, "coin_futures", "BTC"),
        ({"type": "swap", "productType": "USDC-FUTURES"}, "usdc_futures", "USDC"),
        ({"marginMode": "cross"}, "crossed_margin", "USDT"),
    ],
)
def test_ccxt_reads_the_same_balances(
    sim: BitgetSimulator, by_ccxt: Any, asked: dict[str, str], address: str, coin: str
) -> None:
    assert Decimal(str(by_ccxt.fetch_balance(asked)[coin]["total"])) == Decimal(sim.balance(address, coin))


def test_ccxt_reads_what_lies_in_pairs(sim: BitgetSimulator, by_ccxt: Any) -> None:
    read = by_ccxt.fetch_balance({"marginMode": "isolated", "symbol": "BTCUSDT"})
    assert Decimal(str(read["BTC"]["total"])) == Decimal(sim.balance("isolated_margin:BTCUSDT", "BTC"))


def test_ccxt_is_told_of_errors_in_the_venues_way(sim: BitgetSimulator, by_ccxt: Any) -> None:
    with pytest.raises(ccxt.ExchangeError, match="43117"):
        by_ccxt.transfer("USDT", 999999999, "spot", "swap")
    sim.unified = True
    with pytest.raises(ccxt.PermissionDenied, match="40085"):
        by_ccxt.fetch_balance()
    sim.unified = False
    by_ccxt.secret = "another-secret"
    with pytest.raises(ccxt.AuthenticationError):
        by_ccxt.fetch_balance()


# What differs from client to client by design: what their HTTP libraries say of themselves, and the host, which is the
# simulator's for them and the venue's for us. ccxt names its broker; we name a language, as the documents do.
THEIRS = {"host", "user-agent", "accept", "accept-encoding", "connection", "content-length"}
THEIRS |= {"access-timestamp", "access-sign", "x-channel-api-code"}
OURS = {"locale"}


@pytest.mark.parametrize(
    ("destination", "asked"),
    [("usdt_futures", ("swap", {})), ("isolated_margin:BTCUSDT", ("isolated", {"symbol": "BTC/USDT"}))],
)
def test_our_request_equals_theirs_field_by_field(
    sim: BitgetSimulator, bitget: Connector, by_ccxt: Any, destination: str, asked: tuple[str, dict[str, str]]
) -> None:
    ours, theirs = uuid4(), uuid4().hex
    bitget.send(
        Instruction(
            key=ours,
            source="spot",
            destination=destination,
            asset="USDT",
            amount=Decimal("12.345"),
            reference="T-1",
        )
    )
    by_ccxt.transfer("USDT", 12.345, "spot", asked[0], {"clientOid": theirs, **asked[1]})
    mine, other = sim.requests(TRANSFER)
    assert mine.target == other.target
    sent, theirs_sent = json.loads(mine.body), json.loads(other.body)
    assert list(sent) == list(theirs_sent), "in the same order"
    # ccxt passes the number on as it was given; the documents ask for a string.
    assert (sent.pop("amount"), theirs_sent.pop("amount")) == ("12.345", 12.345)
    assert (sent.pop("clientOid"), theirs_sent.pop("clientOid")) == (ours.hex, theirs)
    assert sent == theirs_sent
    assert {name: text for name, text in mine.headers.items() if name not in THEIRS | OURS} == {
        name: text for name, text in other.headers.items() if name not in THEIRS
    }
    assert {"access-timestamp", "access-sign"} <= set(mine.headers) & set(other.headers)
    assert set(mine.headers) - OURS <= set(other.headers)
    assert mine.headers["host"] == "api.bitget.com"
    assert mine.headers["locale"] == "en-US"
    assert Decimal(sim.effects(ours)[0]["amount"]) == Decimal(sim.effects(theirs)[0]["amount"])


def test_our_questions_are_signed_and_written_as_theirs(sim: BitgetSimulator, bitget: Connector, by_ccxt: Any) -> None:
    wanted = Instruction(
        key=uuid4(), source="spot", destination="p2p", asset="USDT", amount=Decimal(1), reference="T-1"
    )
    bitget.look_up(wanted, sent_at=datetime.now(UTC))
    bitget.balances()
    mine = {request.path: request for request in sim.requests("GET")}
    theirs = {
        RECORDS: by_ccxt.privateSpotGetV2SpotAccountTransferRecords,
        SPOT: by_ccxt.privateSpotGetV2SpotAccountAssets,
        "/api/v2/mix/account/accounts": by_ccxt.privateMixGetV2MixAccountAccounts,
        "/api/v2/margin/crossed/account/assets": by_ccxt.privateMarginGetV2MarginCrossedAccountAssets,
        "/api/v2/margin/isolated/account/assets": by_ccxt.privateMarginGetV2MarginIsolatedAccountAssets,
        "/api/v2/margin/crossed/account/max-transfer-out-amount": (
            by_ccxt.privateMarginGetV2MarginCrossedAccountMaxTransferOutAmount
        ),
        "/api/v2/margin/isolated/account/max-transfer-out-amount": (
            by_ccxt.privateMarginGetV2MarginIsolatedAccountMaxTransferOutAmount
        ),
    }
    assert set(theirs) == set(mine) - {"/api/v2/account/funding-assets"}, "ccxt does not read the P2P account here"
    for path, call in theirs.items():
        assert call(mine[path].params())["code"] == "00000"
        assert sim.requests(path)[-1].target == mine[path].target


# The rules of the documentation


@pytest.mark.parametrize(
    ("at", "accepted"), [(0, True), (29, True), (-29, True), (31, False), (-31, False), (3600, False)]
)
def test_timestamps_are_taken_within_thirty_seconds(sim: BitgetSimulator, at: float, accepted: bool) -> None:
    assert code(ask(sim, SPOT, at=at)) == ("00000" if accepted else "40008")


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({"ACCESS-KEY": ""}, "40001"),
        ({"ACCESS-SIGN": ""}, "40002"),
        ({"ACCESS-TIMESTAMP": ""}, "40005"),
        ({"ACCESS-TIMESTAMP": "soon"}, "40005"),
        ({"ACCESS-PASSPHRASE": ""}, "40011"),
        ({"ACCESS-KEY": "unknown"}, "40006"),
        ({"ACCESS-SIGN": "wrong"}, "40009"),
        ({"ACCESS-PASSPHRASE": "wrong"}, "40012"),
        ({"Content-Type": "text/plain"}, "40007"),
        ({"Content-Type": ""}, "40007"),
        ({"paptrading": "1"}, "40099"),
    ],
)
def test_headers_are_checked(sim: BitgetSimulator, headers: dict[str, str], said: str) -> None:
    before = sim.ledger.balances()
    reply = ask(sim, TRANSFER, body=order(), headers=headers)
    assert (reply.status_code, code(reply)) == (400, said)
    assert sim.ledger.balances() == before


def test_the_signature_covers_query_and_body(sim: BitgetSimulator) -> None:
    assert code(ask(sim, SPOT, secret="another-secret")) == "40009"
    signed = ask(sim, SPOT, {"coin": "BTC"}).request
    with httpx.Client(trust_env=False) as client:
        assert code(client.get(str(signed.url).replace("BTC", "ETH"), headers=signed.headers)) == "40009"
        signed = ask(sim, TRANSFER, body=order()).request
        changed = signed.content.replace(b'"1"', b'"2"')
        assert code(client.post(signed.url, content=changed, headers=signed.headers)) == "40009"
    assert ask(sim, "/api/v2/no/such/path").status_code == 404
    assert code(ask(sim, "/api/v2/no/such/path")) == "40404"
    sim.demo = True
    assert code(ask(sim, SPOT)) == "40099"
    assert code(ask(sim, SPOT, headers={"paptrading": "1"})) == "00000"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"amount": "999999999"}, "43117"),
        ({"amount": "0.123456789"}, "43125"),
        ({"amount": "0"}, "01001"),
        ({"amount": 0}, "01001"),
        ({"amount": -1}, "01001"),
        ({"amount": "-1"}, "40020"),
        ({"amount": "1e3"}, "40020"),
        ({"amount": ""}, "40019"),
        ({"amount": None}, "40019"),
        ({"amount": True}, "40020"),
        ({"amount": ["1"]}, "40020"),
        ({"coin": None}, "40019"),
        ({"coin": "usdt"}, "43129"),
        ({"coin": "PRESPAX"}, "43129"),
        ({"coin": "EUR", "toType": "usdt_futures"}, "43129"),
        ({"coin": 5}, "43129"),
        ({"fromType": None}, "40019"),
        ({"fromType": "funding"}, "40020"),
        ({"toType": "cross_margin"}, "40020"),
        ({"toType": "spot"}, "40020"),
        ({"toType": "isolated_margin"}, "40019"),
        ({"toType": "isolated_margin", "symbol": ""}, "40019"),
        ({"toType": "isolated_margin", "symbol": "btcusdt"}, "50024"),
        ({"toType": "isolated_margin", "symbol": "ETHUSDT", "coin": "BTC"}, "50039"),
        ({"clientOid": "x" * 51}, "40304"),
        ({"clientOid": "ключ"}, "40305"),
        ({"clientOid": 5}, "40305"),
        ({"clientOid": ""}, "40402"),
    ],
)
def test_a_wrong_order_is_refused_and_moves_nothing(sim: BitgetSimulator, changed: dict[str, Any], said: str) -> None:
    before = sim.ledger.balances()
    assert code(ask(sim, TRANSFER, body=order(**changed))) == said
    assert sim.ledger.balances() == before


@pytest.mark.parametrize("amount", ["1", "1.0", 1, 1.5, "0.00000001", 1e-07])
def test_an_amount_is_a_string_and_a_number_is_taken_too(sim: BitgetSimulator, amount: Any) -> None:
    wanted, before = order(amount=amount), Decimal(sim.balance("p2p", "USDT"))
    assert code(ask(sim, TRANSFER, body=wanted)) == "00000"
    assert Decimal(sim.balance("p2p", "USDT")) == before + Decimal(str(amount))


def test_a_symbol_that_is_not_needed_is_overlooked(sim: BitgetSimulator) -> None:
    assert code(ask(sim, TRANSFER, body=order(symbol="BTCUSDT"))) == "00000"


def test_a_used_name_is_answered_with_the_existing_transfer(sim: BitgetSimulator) -> None:
    wanted = order(amount="999999999")
    assert code(ask(sim, TRANSFER, body=wanted)) == "43117"
    first = ask(sim, TRANSFER, body={**wanted, "amount": "1"}).json()["data"]
    assert first["clientOid"] == wanted["clientOid"]
    for again in ({"amount": "1"}, {"amount": "2"}, {"amount": "1", "coin": "BTC", "toType": "crossed_margin"}):
        assert ask(sim, TRANSFER, body={**wanted, **again}).json()["data"] == first
    assert len(sim.effects(wanted["clientOid"])) == 1


def test_a_used_name_is_answered_even_when_the_money_is_gone() -> None:
    with serve("bitget") as sim:
        assert isinstance(sim, BitgetSimulator)
        wanted = order(amount=sim.balance("spot", "USDT"))
        first = ask(sim, TRANSFER, body=wanted).json()["data"]
        assert Decimal(sim.balance("spot", "USDT")) == 0
        assert ask(sim, TRANSFER, body=wanted).json()["data"] == first


def test_one_name_moves_once_however_many_ask_at_a_time(sim: BitgetSimulator) -> None:
    wanted, said = order(), []
    threads = [
        threading.Thread(target=lambda: said.append(json.dumps(ask(sim, TRANSFER, body=wanted).json()["data"])))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(said) == 8
    assert len(set(said)) == 1
    assert len(sim.effects(wanted["clientOid"])) == 1


def test_more_than_may_leave_stays() -> None:
    with serve("bitget") as sim:
        assert isinstance(sim, BitgetSimulator)
        sim.set_balance("crossed_margin", "USDT", "100")
        sim.set_balance("crossed_margin/borrow", "USDT", "30")
        sim.set_balance("crossed_margin/frozen", "USDT", "20")
        out = ask(sim, "/api/v2/margin/crossed/account/max-transfer-out-amount", {"coin": "USDT"})
        assert out.json()["data"] == {"coin": "USDT", "maxTransferOutAmount": "50"}
        wanted = {"fromType": "crossed_margin", "toType": "spot"}
        assert code(ask(sim, TRANSFER, body=order(amount="50.00000001", **wanted))) == "43117"
        assert code(ask(sim, TRANSFER, body=order(amount="50", **wanted))) == "00000"


def test_records_follow_the_window_rules() -> None:
    day, now = 24 * 3600 * 1000, int(time.time() * 1000)
    with serve("bitget") as sim:
        assert isinstance(sim, BitgetSimulator)
        for days in (100, 50, 0):
            sim.ledger.transfer(
                login=sim.login_of(sim.credentials),
                key=f"{days}-days-old",
                source="spot",
                destination="p2p",
                asset="USDT",
                amount=Decimal(1),
                at=now - days * day,
            )

        def found(**params: Any) -> list[str]:
            asked = {"coin": "USDT", "fromType": "spot", **params}
            return [one["clientOid"] for one in ask(sim, RECORDS, asked).json()["data"]]

        def said(**params: Any) -> str:
            asked = {"coin": "USDT", "fromType": "spot", **params}
            return code(ask(sim, RECORDS, {name: word for name, word in asked.items() if word is not None}))

        assert found() == ["0-days-old"]
        assert found(clientOid="50-days-old") == []
        assert found(startTime=now - 60 * day) == ["0-days-old", "50-days-old"]
        assert found(endTime=now - 40 * day) == ["50-days-old", "100-days-old"]
        assert found(startTime=now - 60 * day, clientOid="50-days-old") == ["50-days-old"]
        assert found(coin="BTC") == found(fromType="p2p") == []
        window = {"startTime": now - 80 * day, "endTime": now + 1000}
        assert found(**window, limit=1) == ["0-days-old"]
        assert found(**window, limit=1, pageNum=2) == ["50-days-old"]
        assert found(**window, limit=1, pageNum=3) == []
        newest = ask(sim, RECORDS, {"coin": "USDT", "fromType": "spot"}).json()["data"][0]
        assert found(**window, idLessThan=newest["transferId"]) == ["50-days-old"]
        assert (newest["size"], newest["status"], newest["toSymbol"]) == ("1.00000000", "Successful", "")
        assert said(coin=None) == said(fromType=None) == "40019"
        assert said(startTime=now - 91 * day, endTime=now) == "00001"
        assert said(startTime=now, endTime=now - 1) == "40707"
        assert [said(limit=limit) for limit in (1, 500, -1, 501, "x")] == ["00000", "00000", "40020", "40020", "40017"]
        assert [said(pageNum=page) for page in (1000, 1001)] == ["00000", "40020"]


def test_questions_are_asked_as_documented(sim: BitgetSimulator) -> None:
    assert code(ask(sim, "/api/v2/mix/account/accounts")) == "40020"
    assert code(ask(sim, "/api/v2/mix/account/accounts", {"productType": "SUSDT-FUTURES"})) == "40020"
    assert code(ask(sim, "/api/v2/margin/crossed/account/max-transfer-out-amount")) == "50001"
    assert code(ask(sim, "/api/v2/margin/isolated/account/max-transfer-out-amount")) == "50002"
    assert code(ask(sim, "/api/v2/spot/wallet/transfer-coin-info", {"fromType": "spot"})) == "40020"
    coins = ask(sim, "/api/v2/spot/wallet/transfer-coin-info", {"fromType": "spot", "toType": "coin_futures"})
    assert coins.json()["data"] == ["BTC", "ETH"]
    assert [row["coin"] for row in ask(sim, SPOT, {"assetType": "all"}).json()["data"]][-1] == "preSPAX"
    assert [row["coin"] for row in ask(sim, SPOT, {"coin": "EUR", "assetType": "all"}).json()["data"]] == ["EUR"]
    assert code(ask(sim, SPOT, {"assetType": "some"})) == "40020"
    assert ask(sim, "/api/v2/account/funding-assets").json()["data"][0]["frozen"] == ""


@pytest.mark.parametrize(
    ("rights", "path", "params"),
    [
        (("coow", "smow", "wtow"), SPOT, {}),
        (("stow", "smow"), "/api/v2/mix/account/accounts", {"productType": "USDT-FUTURES"}),
        (("stow", "cpow"), "/api/v2/margin/isolated/account/assets", {}),
        (("coow",), RECORDS, {"coin": "USDT", "fromType": "spot"}),
    ],
)
def test_a_key_does_what_its_rights_allow(
    sim: BitgetSimulator, rights: tuple[str, ...], path: str, params: dict[str, str]
) -> None:
    assert code(ask(sim, path, params)) == "00000"
    sim.rights = rights
    assert code(ask(sim, path, params)) == "40014"


@pytest.mark.parametrize("rights", [("stow",), ("stow", "wtor"), ()])
def test_only_the_right_to_transfer_transfers(sim: BitgetSimulator, rights: tuple[str, ...]) -> None:
    sim.rights, before = rights, sim.ledger.balances()
    assert code(ask(sim, TRANSFER, body=order())) == "40014"
    assert sim.ledger.balances() == before


def test_a_unified_account_is_turned_away_before_its_signature_is_looked_at(sim: BitgetSimulator) -> None:
    sim.unified = True
    assert code(ask(sim, SPOT, secret="another-secret")) == "40085"
    assert code(ask(sim, TRANSFER, body=order())) == "40085"
    assert httpx.get(sim.url + "/api/v2/public/time", trust_env=False).json()["code"] == "00000"
    sim.clear()
    assert code(ask(sim, SPOT)) == "00000"


def test_the_balances_of_all_accounts_add_up_whatever_moves(sim: BitgetSimulator) -> None:
    def total() -> Decimal:
        held = sim.ledger.balances()[sim.login_of(sim.credentials)]
        return sum((Decimal(assets.get("USDT", "0")) for assets in held.values()), Decimal(0))

    before = total()
    ways = [("spot", "p2p"), ("p2p", "usdt_futures"), ("usdt_futures", "crossed_margin"), ("crossed_margin", "spot")]
    for source, destination in ways:
        assert code(ask(sim, TRANSFER, body=order(fromType=source, toType=destination, amount="0.1"))) == "00000"
    for source, destination in (("spot", "isolated_margin"), ("isolated_margin", "p2p")):
        wanted = order(fromType=source, toType=destination, amount="0.1", symbol="ETHUSDT")
        assert code(ask(sim, TRANSFER, body=wanted)) == "00000"
    assert total() == before


def test_a_second_start_keeps_the_ledger_and_the_names(tmp_path: Path) -> None:
    file, wanted = tmp_path / "home" / "bitget.json", order(coin="BTC", amount="0.25")
    with serve("bitget", path=file) as sim:
        assert isinstance(sim, BitgetSimulator)
        first = ask(sim, TRANSFER, body=wanted).json()["data"]
        before = sim.ledger.balances()
    with serve("bitget", path=file) as sim:
        assert isinstance(sim, BitgetSimulator)
        assert sim.ledger.balances() == before
        assert ask(sim, TRANSFER, body=wanted).json()["data"] == first
        assert len(sim.effects(wanted["clientOid"])) == 1


def test_practice_opens_nothing_anywhere_else(sim: BitgetSimulator) -> None:
    assert all("practice" in value for value in sim.credentials.values())
    state = json.dumps(httpx.get(sim.url + "/_simulator/state", trust_env=False).json())
    assert sim.credentials["api_secret"] not in state
    assert sim.credentials["passphrase"] not in state
