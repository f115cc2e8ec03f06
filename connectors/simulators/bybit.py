"""Bybit v5 as its documentation (https://bybit-exchange.github.io/docs/v5/guide) describes it.

Written from the documentation alone, signatures included. Where the documents say nothing, the stricter
reading is served: the 7-day default window also binds a search by transferId, an amount has at most 8
decimals. A transferId is burned only by a transfer that was taken.
"""

import base64
import binascii
import hashlib
import hmac
import json
import re
import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from connectors.simulators.core import Practice, Reply, Request, Simulator
from connectors.simulators.faults import Fault
from connectors.simulators.ledger import KeyTakenError, NotEnoughMoneyError

SECOND = 1000
WEEK = 7 * 24 * 60 * 60 * SECOND
RECV_WINDOW = 5000

# account-type values of the enum page, and those that older versions of it listed
TRANSFER_KINDS = ("UNIFIED", "FUND")
COINS = ("BTC", "ETH", "EUR", "SOL", "USDC", "USDT")
DECIMALS = 8
# An address for set_balance: what of the UNIFIED wallet is borrowed.
BORROWED = "UNIFIED/spotBorrow"

Handler = Callable[["BybitSimulator", str, Mapping[str, str]], Reply]


class BybitSimulator(Simulator):
    """Serves Bybit's paths for balances, transfers between own accounts, and their records."""

    name = "bybit"

    def login_of(self, credentials: Mapping[str, str]) -> str:
        """A user id made of the key, of the length that Bybit's have."""
        digest = hashlib.sha256(credentials["api_key"].encode()).digest()
        return str(10_000_000 + int.from_bytes(digest[:4], "big") % 90_000_000)

    def is_send(self, request: Request) -> bool:
        return request.method == "POST"

    def answer(self, request: Request, faults: Mapping[str, Fault]) -> Reply:
        now = _server_time(faults)
        if request.method == "GET" and request.body:
            return _text(403, "GET requests carry no body")
        if request.target.startswith("GET /v5/market/time"):
            nanoseconds = time.time_ns() + (now - time.time_ns() // 1_000_000) * 1_000_000
            times = {"timeSecond": str(nanoseconds // 1_000_000_000), "timeNano": str(nanoseconds)}
            return _said(0, "OK", times, at=now)
        if request.method == "POST" and request.path == "/v5/asset/transfer/inter-transfer":
            return self._signed(request, now, lambda login: self._transfer(login, request.body, now, faults))
        read = _READS.get(request.path) if request.method == "GET" else None
        if read is None:
            return _text(404, "not found")
        return self._signed(request, now, lambda login: read(self, login, request.params()))

    def refusal(self, fault: Fault) -> Reply:
        return _said(fault.code, fault.text or "refused on request")

    def rate_limited(self) -> Reply:
        return Reply(status=429, headers=_limits(exceeded=True), body=b"Too Many Requests")

    def banned(self) -> Reply:
        return _text(403, "403, access too frequent")

    # guide, "Authentication"

    def _signed(self, request: Request, now: int, then: Callable[[str], Reply]) -> Reply:
        """Go on with the login's user id if key, timestamp and signature are right."""
        given = {word: request.headers.get(f"x-bapi-{word}", "") for word in ("api-key", "timestamp", "sign")}
        if not all(given.values()):
            return _text(401, "")
        window = request.headers.get("x-bapi-recv-window", "") or str(RECV_WINDOW)
        login = next((one for one in self.practice if one.credentials["api_key"] == given["api-key"]), None)
        if login is None:
            return _said(10003, "API key is invalid.")
        if not given["timestamp"].isdecimal() or not window.isdecimal():
            return _said(10001, "params error: timestamp or recv_window")
        stamp = int(given["timestamp"])
        if not now - int(window) <= stamp < now + SECOND:
            return _said(
                10002,
                "invalid request, please check your server timestamp or recv_window param. "
                f"req_timestamp[{stamp}],server_timestamp[{now}],recv_window[{window}]",
                at=now,
            )
        payload = request.query.encode() if request.method == "GET" else request.body
        origin = f"{stamp}{given['api-key']}{window}".encode() + payload
        secret = login.credentials["api_secret"].encode()
        if not hmac.compare_digest(hmac.new(secret, origin, hashlib.sha256).hexdigest(), given["sign"]):
            return _said(10004, f"error sign! origin_string[{origin.decode('utf-8', 'replace')}]")
        return then(self.login_of(login.credentials))

    # asset/create-inter-transfer

    def _transfer(self, login: str, body: bytes, now: int, faults: Mapping[str, Fault]) -> Reply:
        asked = _object(body)
        words = [asked.get(word) for word in _TRANSFER_WORDS]
        if not all(isinstance(word, str) and word for word in words):
            return _said(10001, "params error: all parameters are required, as strings")
        key, coin, amount, source, destination = (str(word) for word in words)
        problem = _problem(key, coin, amount, source, destination)
        if problem is not None:
            return _said(*problem)
        late = faults["record_late"].seconds if "record_late" in faults else 0
        delayed = faults.get("pending") or faults.get("fails_later")
        try:
            made = self.ledger.transfer(
                login=login,
                key=key,
                source=source,
                destination=destination,
                asset=coin,
                amount=Decimal(amount),
                at=now,
                visible_at=_after(late),
                due_at=None if delayed is None else _after(delayed.seconds),
                ends="FAILED" if delayed is not None and delayed.kind == "fails_later" else "SUCCESS",
            )
        except KeyTakenError:
            return _said(131214, "TransferId exist")
        except NotEnoughMoneyError:
            return _said(131212, "Insufficient balance")
        return _said(0, "success", {"transferId": key, "status": made["status"]})

    # asset/inter-transfer-list

    def _records(self, login: str, params: Mapping[str, str]) -> Reply:
        try:
            start, end = _window(params, _after(0))
            limit = int(params.get("limit") or 20)
            before = _position(params.get("cursor", ""))
        except (ValueError, binascii.Error):
            return _said(10001, "params error: startTime, endTime, limit or cursor")
        if not 0 <= end - start <= WEEK:
            return _said(10001, "params error: the time range must not exceed 7 days")
        if not 1 <= limit <= 50:
            return _said(10001, "params error: limit")
        found = [
            (number, record)
            for number, record in enumerate(self.ledger.transfers(login))
            if start // SECOND <= record["at"] // SECOND <= end // SECOND
            and record["visible_at"] <= _after(0)
            and params.get("transferId", record["key"]) == record["key"]
            and params.get("coin", record["asset"]) == record["asset"]
            and params.get("status", record["status"]) == record["status"]
            and (before is None or number < before)
        ]
        page = found[::-1][:limit]
        cursor = base64.b64encode(json.dumps({"minID": page[-1][0]}).encode()).decode() if page else ""
        return _said(0, "success", {"list": [_record(record) for _, record in page], "nextPageCursor": cursor})

    # asset/transferable-coin, asset/all-balance, asset/account-coin-balance

    def _transferable(self, _login: str, params: Mapping[str, str]) -> Reply:
        source, destination = params.get("fromAccountType", ""), params.get("toAccountType", "")
        problem = _route_problem(source, destination)
        return _said(*problem) if problem else _said(0, "success", {"list": list(COINS)})

    def _coins(self, login: str, params: Mapping[str, str]) -> Reply:
        kind, asked = params.get("accountType", ""), _listed(params.get("coin"))
        if kind not in TRANSFER_KINDS:
            return _said(10001, "params error: accountType")
        if kind == "UNIFIED" and not 1 <= len(asked) <= 10:
            return _said(10001, "params error: coin is required for UNIFIED, at most 10")
        held = self.ledger.holdings(login, kind)
        balance = [_coin_balance(coin, held.get(coin, Decimal(0))) for coin in asked or sorted(held)]
        return _said(0, "success", {"memberId": login, "accountType": kind, "balance": balance})

    def _coin(self, login: str, params: Mapping[str, str]) -> Reply:
        kind, coin = params.get("accountType", ""), params.get("coin", "")
        if kind not in TRANSFER_KINDS or coin not in COINS:
            return _said(10001, "params error: accountType or coin")
        balance = _coin_balance(coin, self.ledger.balance(login, kind, coin))
        balance |= {"transferSafeAmount": "", "ltvTransferSafeAmount": ""}
        result = {
            "accountType": kind,
            "bizType": 1,
            "accountId": login,
            "memberId": login,
            "balance": balance,
        }
        return _said(0, "success", result)

    # account/wallet-balance, account/unified-trans-amnt

    def _wallet(self, login: str, params: Mapping[str, str]) -> Reply:
        if params.get("accountType") != "UNIFIED":
            return _said(10001, "accountType only support UNIFIED.")
        held, owed = self.ledger.holdings(login, "UNIFIED"), self.ledger.holdings(login, BORROWED)
        asked = _listed(params.get("coin"))
        named = asked or sorted(coin for coin in held if held[coin] or owed.get(coin))
        zero = Decimal(0)
        coins = [_wallet_coin(coin, held.get(coin, zero), owed.get(coin, zero)) for coin in named]
        wallet = dict.fromkeys(_WALLET_TOTALS, "") | {"accountType": "UNIFIED", "coin": coins}
        return _said(0, "OK", {"list": [wallet]})

    def _withdrawable(self, login: str, params: Mapping[str, str]) -> Reply:
        asked = _listed(params.get("coinName"))
        if not 1 <= len(asked) <= 20:
            return _said(10001, "params error: coinName is required, at most 20")
        held, owed = self.ledger.holdings(login, "UNIFIED"), self.ledger.holdings(login, BORROWED)
        free = {coin: _plain(held.get(coin, Decimal(0)) - owed.get(coin, Decimal(0))) for coin in asked}
        return _said(0, "OK", {"availableWithdrawal": free[asked[0]], "availableWithdrawalMap": free})

    # user/apikey-info, account/account-info

    def _key(self, login: str, _params: Mapping[str, str]) -> Reply:
        key = next(one for one in self.practice if self.login_of(one.credentials) == login)
        nothing: list[str] = []
        result = {
            "id": "1",
            "note": key.title,
            "apiKey": key.credentials["api_key"],
            "readOnly": 0,
            "secret": "",
            "permissions": dict.fromkeys(_PERMISSIONS, nothing) | {"Wallet": ["AccountTransfer"]},
            "ips": ["*"],
            "type": 1,
            "unified": 0,
            "uta": 1,
            "userID": int(login),
            "isMaster": True,
        }
        return _said(0, "", result)

    def _mode(self, _login: str, _params: Mapping[str, str]) -> Reply:
        result = {"unifiedMarginStatus": 5, "marginMode": "REGULAR_MARGIN", "updatedTime": "1760000000000"}
        return _said(0, "OK", result)


_READS: Mapping[str, Handler] = {
    "/v5/asset/transfer/query-inter-transfer-list": BybitSimulator._records,
    "/v5/asset/transfer/query-transfer-coin-list": BybitSimulator._transferable,
    "/v5/asset/transfer/query-account-coins-balance": BybitSimulator._coins,
    "/v5/asset/transfer/query-account-coin-balance": BybitSimulator._coin,
    "/v5/account/wallet-balance": BybitSimulator._wallet,
    "/v5/account/withdrawal": BybitSimulator._withdrawable,
    "/v5/account/info": BybitSimulator._mode,
    "/v5/user/query-api": BybitSimulator._key,
}

_TRANSFER_WORDS = ("transferId", "coin", "amount", "fromAccountType", "toAccountType")

_PERMISSIONS = (
    "ContractTrade",
    "Spot",
    "Options",
    "Derivatives",
    "CopyTrading",
    "BlockTrade",
    "Exchange",
    "NFT",
)

_WALLET_ZEROS = (
    "locked",
    "accruedInterest",
    "totalOrderIM",
    "totalPositionIM",
    "totalPositionMM",
    "unrealisedPnl",
)

_WALLET_TOTALS = (
    "totalEquity",
    "totalWalletBalance",
    "totalMarginBalance",
    "totalAvailableBalance",
    "totalPerpUPL",
    "totalInitialMargin",
    "totalMaintenanceMargin",
    "accountIMRate",
    "accountMMRate",
    "accountLTV",
)


def _said(code: int, text: str, result: object = None, *, at: int | None = None) -> Reply:
    """The envelope of every answer (guide, "Common response parameters")."""
    envelope = {
        "retCode": code,
        "retMsg": text,
        "result": result or {},
        "retExtInfo": {},
        "time": at or _after(0),
    }
    return Reply.of_json(envelope, headers=_limits(exceeded=code == 10006))


def _text(status: int, text: str) -> Reply:
    return Reply(status=status, headers={"Content-Type": "text/plain"}, body=text.encode())


def _limits(*, exceeded: bool) -> dict[str, str]:
    """rate-limit: remaining calls, and when the limit resets."""
    return {
        "X-Bapi-Limit": "60",
        "X-Bapi-Limit-Status": "0" if exceeded else "59",
        "X-Bapi-Limit-Reset-Timestamp": str(_after(2 if exceeded else 0)),
    }


def _server_time(faults: Mapping[str, Fault]) -> int:
    return _after(faults["clock"].seconds if "clock" in faults else 0)


def _after(seconds: float) -> int:
    return time.time_ns() // 1_000_000 + int(seconds * SECOND)


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _problem(key: str, coin: str, amount: str, source: str, destination: str) -> tuple[int, str] | None:
    if not re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", key):
        return 10001, "params error: transferId"
    route = _route_problem(source, destination)
    if route is not None:
        return route
    if coin not in COINS:
        return 131206, "cannot be transferred"
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", amount) or not Decimal(amount):
        return 131215, "Amount error"
    if len(amount.partition(".")[2]) > DECIMALS:
        return 131210, "Amount accuracy error"
    return None


def _route_problem(source: str, destination: str) -> tuple[int, str] | None:
    if source not in TRANSFER_KINDS:
        return 131232, "transferring out of this account is not supported"
    if destination not in TRANSFER_KINDS:
        return 131231, "transferring into this account is not supported"
    if source == destination:
        return 131211, "fromAccountType and toAccountType are the same"
    return None


def _window(params: Mapping[str, str], now: int) -> tuple[int, int]:
    """None: the last 7 days; one end: 7 days from or to it. In milliseconds."""
    start, end = params.get("startTime"), params.get("endTime")
    if start and end:
        return int(start), int(end)
    if start:
        return int(start), int(start) + WEEK
    return (int(end) - WEEK, int(end)) if end else (now - WEEK, now)


def _position(cursor: str) -> int | None:
    if not cursor:
        return None
    return int(json.loads(base64.b64decode(cursor, validate=True))["minID"])


def _record(record: Mapping[str, Any]) -> dict[str, str]:
    return {
        "transferId": record["key"],
        "coin": record["asset"],
        "amount": record["amount"],
        "fromAccountType": record["source"],
        "toAccountType": record["destination"],
        "timestamp": str(record["at"] // SECOND * SECOND),
        "status": record["status"],
    }


def _coin_balance(coin: str, amount: Decimal) -> dict[str, str]:
    return {"coin": coin, "transferBalance": _plain(amount), "walletBalance": _plain(amount), "bonus": ""}


def _wallet_coin(coin: str, held: Decimal, owed: Decimal) -> dict[str, Any]:
    return dict.fromkeys(_WALLET_ZEROS, "0") | {
        "coin": coin,
        "equity": _plain(held - owed),
        "usdValue": "",
        "walletBalance": _plain(held),
        "borrowAmount": _plain(owed),
        "spotBorrow": _plain(owed),
        "spotHedgingQty": "0",
        "cumRealisedPnl": "0",
        "bonus": "0",
        "marginCollateral": True,
        "collateralSwitch": True,
        "availableToWithdraw": "",
        "availableToBorrow": "",
    }


def _listed(coins: str | None) -> list[str]:
    return [coin for coin in (coins or "").upper().split(",") if coin]


def _plain(amount: Decimal) -> str:
    return format(amount, "f")


SIMULATOR = BybitSimulator

PRACTICE = (
    Practice(
        title="Practice at Bybit",
        credentials={"api_key": "practice-bybit-key", "api_secret": "practice-bybit-secret-opens-nothing"},
        opening={
            "UNIFIED": {"USDT": "412350.25", "USDC": "85000", "BTC": "6.4125", "ETH": "48.75"},
            "FUND": {"USDT": "96120.4", "USDC": "150250.75", "BTC": "1.25", "EUR": "20000"},
        },
    ),
    Practice(
        title="A second desk at Bybit",
        credentials={"api_key": "practice-bybit-spare-key", "api_secret": "practice-bybit-spare-secret-opens-nothing"},
        opening={"UNIFIED": {"USDT": "18250.5", "ETH": "3.5"}, "FUND": {"USDT": "40100", "BTC": "0.25"}},
        spare=True,
    ),
)
