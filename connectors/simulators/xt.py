"""XT as its documentation (https://doc.xt.com/docs) describes it, all four hosts told apart by the Host header.

Written from the documentation alone, signatures included. Where the documents say nothing, the stricter reading is
served: names of currencies and pairs in lower case, header names as the working clients send them, the earn list
without what lies idle. A client that was pointed here and names no host of XT's is given the host whose paths it asks
for. A bizId is burned only by a transfer that was taken.

Pseudo addresses for set_balance: FINANCE/subscribed, SPOT/frozen, FUTURES_U/margin, FUTURES_U/bonus,
LEVER:btc_usdt/borrowed and LEVER:btc_usdt/interest, for other accounts alike.
"""

import hashlib
import hmac
import json
import re
import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import unquote_plus

from connectors.simulators.core import Practice, Reply, Request, Simulator
from connectors.simulators.faults import Fault
from connectors.simulators.ledger import KeyTakenError, NotEnoughMoneyError

SECOND = 1000
HOSTS = {"sapi.xt.com": "sapi", "api.xt.com": "api", "fapi.xt.com": "fapi", "dapi.xt.com": "dapi"}
FUTURES = {"fapi": "FUTURES_U", "dapi": "FUTURES_C"}
# PublicModule, bizType
BIZ_TYPES = ("SPOT", "LEVER", "FINANCE", "FUTURES_U", "FUTURES_C")
# name: id and maxPrecision of GetCurrencies; luna cannot be transferred
CURRENCIES = {"btc": (2, 10), "eth": (3, 8), "luna": (90, 6), "usdc": (12, 8), "usdt": (11, 8)}
FROZEN = frozenset({"luna"})
PAIRS = ("btc_usdt", "eth_usdt")
# SignatureInstructions
ALGORITHMS = {
    "HmacMD5": hashlib.md5,
    "HmacSHA1": hashlib.sha1,
    "HmacSHA224": hashlib.sha224,
    "HmacSHA256": hashlib.sha256,
    "HmacSHA384": hashlib.sha384,
    "HmacSHA512": hashlib.sha512,
}
SHORTEST_WINDOW, LONGEST_WINDOW, FUTURES_WINDOW = 2000, 60000, 5000
# Real ids are of this size, beyond 2^53.
FIRST_TRANSFER_ID = 226972662307830111
FIRST_BILL_ID = 207260567109387520
FIRST_ORDER_ID = 88001
ZERO = Decimal(0)

Handler = Callable[["XTSimulator", str, str, Mapping[str, str]], Reply]


class XTSimulator(Simulator):
    """Serves XT's paths for balances, transfers between own account types, and the ledgers of futures and earn."""

    name = "xt"

    def login_of(self, credentials: Mapping[str, str]) -> str:
        """An account id made of the key, of the length that XT's have."""
        digest = hashlib.sha256(credentials["api_key"].encode()).digest()
        return str(1_000_000_000_000 + int.from_bytes(digest[:5], "big") % 9_000_000_000_000)

    def is_send(self, request: Request) -> bool:
        return request.method == "POST"

    def answer(self, request: Request, faults: Mapping[str, Fault]) -> Reply:
        now = _after(faults["clock"].seconds if "clock" in faults else 0)
        host = _host(request)
        if host in FUTURES:
            return self._futures(request, host, now)
        public = _PUBLIC.get(request.path) if (request.method, host) == ("GET", "sapi") else None
        if public is not None:
            return public(now)
        if (request.method, host, request.path) == ("POST", "sapi", "/v4/balance/transfer"):
            return self._signed(request, now, lambda login: self._transfer(login, request.body, faults))
        read = _READS.get((host, request.path)) if request.method == "GET" else None
        if read is None:
            return Reply.of_json({"timestamp": now, "status": 404, "error": "Not Found"}, status=404)
        return self._signed(request, now, lambda login: read(self, login, host, _plain_params(request.query)))

    def refusal(self, fault: Fault) -> Reply:
        """`text` is the message code, or "futures:" and the code of a futures host; `code` the HTTP status."""
        status = fault.code or 200
        if fault.text.startswith("futures:"):
            code, _, text = fault.text.removeprefix("futures:").partition(" ")
            return _futures_error(code, text or code, status=status)
        return _said(fault.text or "FAILURE", status=status)

    # Signature, "SignatureGeneration" and "SignatureStatement"

    def _signed(self, request: Request, now: int, then: Callable[[str], Reply]) -> Reply:
        """Go on with the login's account id if the five headers are right."""
        given = {word: request.headers.get(f"xt-validate-{word}", "") for word in _HEADERS}
        for word, code in _MISSING.items():
            if not given[word]:
                return _said(code)
        if not re.fullmatch("[0-9]{1,6}", given["recvwindow"]):
            return _said("AUTH_004")
        if not SHORTEST_WINDOW <= int(given["recvwindow"]) <= LONGEST_WINDOW:
            return _said("AUTH_004")
        if given["algorithms"] not in ALGORITHMS:
            return _said("AUTH_006")
        login = self._login(given["appkey"])
        if login is None:
            return _said("AUTH_101")
        if not _in_time(given["timestamp"], now, int(given["recvwindow"])):
            return _said("AUTH_105")
        signed = "&".join(f"xt-validate-{word}={given[word]}" for word in _HEADERS[:4])
        signed += f"#{request.method}#{request.path}"
        if request.query:
            signed += "#" + _plain_query(request.query)
        message = signed.encode() + (b"#" + request.body if request.body else b"")
        if not _matches(login, message, given["signature"], given["algorithms"]):
            return _said("AUTH_103")
        return then(self.login_of(login.credentials))

    def _login(self, key: str) -> Practice | None:
        return next((one for one in self.practice if one.credentials["api_key"] == key), None)

    def _futures(self, request: Request, host: str, now: int) -> Reply:
        """futures/Access Description/ErrorCode: refusals of the door carry an HTTP status of their own."""
        read = _FUTURES_READS.get(request.path) if request.method == "GET" else None
        if read is None:
            return Reply.of_json({"timestamp": now, "status": 404, "error": "Not Found"}, status=404)
        key, stamp = (request.headers.get(f"xt-validate-{word}", "") for word in ("appkey", "timestamp"))
        if not key or not stamp:
            return _futures_error("400", "missing header", status=400)
        login = self._login(key)
        if login is None:
            return _futures_error("403", "invalid appkey", status=403)
        window = request.headers.get("xt-validate-recvwindow", str(FUTURES_WINDOW))
        if not window.isdecimal() or not _in_time(stamp, now, min(int(window), LONGEST_WINDOW)):
            return _futures_error("403", "time window expired", status=403)
        message = f"xt-validate-appkey={key}&xt-validate-timestamp={stamp}#{request.path}"
        if request.query:
            message += "#" + _plain_query(request.query)
        if not _matches(login, message.encode(), request.headers.get("xt-validate-signature", ""), "HmacSHA256"):
            return _futures_error("403", "invalid signature", status=403)
        return read(self, self.login_of(login.credentials), host, _plain_params(request.query))

    # spot/Transfer/TransferBetweenUserSystems

    def _transfer(self, login: str, body: bytes, faults: Mapping[str, Fault]) -> Reply:
        order = _order(body)
        if isinstance(order, str):
            return _said(order)
        key, source, destination, currency, amount = order
        owed = self.ledger.holdings(login, f"{source}/borrowed")
        if source.startswith("LEVER") and any(owed.values()):
            return _said("TRANSFER_011")
        bound = [self.ledger.balance(login, f"{source}/{part}", currency) for part in ("frozen", "margin", "bonus")]
        if self.ledger.balance(login, source, currency) - sum(bound) < amount:
            return _said("TRANSFER_002")
        delayed = faults.get("pending") or faults.get("fails_later")
        late = faults["record_late"].seconds if "record_late" in faults else 0
        try:
            self.ledger.transfer(
                login=login,
                key=key,
                source=source,
                destination=destination,
                asset=currency,
                amount=amount,
                at=_after(0),
                visible_at=_after(late),
                due_at=None if delayed is None else _after(delayed.seconds),
                ends="FAILED" if delayed is not None and delayed.kind == "fails_later" else "SUCCESS",
            )
        except KeyTakenError:
            return _said("FUND_001")
        except NotEnoughMoneyError:
            return _said("TRANSFER_002")
        made = next(
            number
            for number, known in enumerate(self.ledger.transfers())
            if (known["login"], known["key"]) == (login, key)
        )
        return _said("SUCCESS", FIRST_TRANSFER_ID + made)

    # spot/Balance, margin-spot/Balance, earn/Query

    def _balances(self, login: str, _host: str, params: Mapping[str, str]) -> Reply:
        asked = [name for name in params.get("currencies", "").split(",") if name]
        held = self.ledger.holdings(login, "SPOT")
        assets = [self._spot_asset(login, name) for name in asked or sorted(held) if name in CURRENCIES]
        return _said("SUCCESS", {"totalUsdtAmount": "0", "totalBtcAmount": "0", "assets": assets})

    def _balance(self, login: str, _host: str, params: Mapping[str, str]) -> Reply:
        if params.get("currency") not in CURRENCIES:
            return _said("CURRENCY_001")
        return _said("SUCCESS", self._spot_asset(login, params["currency"]))

    def _spot_asset(self, login: str, name: str) -> dict[str, Any]:
        total, frozen = self.ledger.balance(login, "SPOT", name), self.ledger.balance(login, "SPOT/frozen", name)
        return {
            "currency": name,
            "currencyId": CURRENCIES[name][0],
            "frozenAmount": _plain(frozen),
            "availableAmount": _plain(total - frozen),
            "totalAmount": _plain(total),
            "convertBtcAmount": "0",
            "convertUsdtAmount": "0",
        }

    def _lever(self, login: str, _host: str, params: Mapping[str, str]) -> Reply:
        pair = params.get("symbol", "").lower()
        if pair not in PAIRS:
            return _said("SYMBOL_001")
        base, quote = pair.split("_")
        result = {
            "symbol": pair,
            "symbolId": PAIRS.index(pair) + 1,
            "btcLoanAmount": 0,
            "btcNetAmount": 0,
            "usdtLoanAmount": 0,
            "usdtNetAmount": 0,
            "base": self._lever_side(login, f"LEVER:{pair}", base),
            "quote": self._lever_side(login, f"LEVER:{pair}", quote),
        }
        return _said("SUCCESS", result)

    def _lever_side(self, login: str, address: str, name: str) -> dict[str, Any]:
        total = _plain(self.ledger.balance(login, address, name))
        return {
            "currency": name,
            "currencyId": CURRENCIES[name][0],
            "availableAmount": total,
            "frozenAmount": "0",
            "capitalAmount": total,
            "loanAmount": _plain(self.ledger.balance(login, f"{address}/borrowed", name)),
            "interestAmount": _plain(self.ledger.balance(login, f"{address}/interest", name)),
            "totalAmount": total,
            "updatedTime": _after(0),
        }

    def _positions(self, login: str, _host: str, params: Mapping[str, str]) -> Reply:
        asked = params.get("currency", "").lower()
        held = self.ledger.holdings(login, "FINANCE/subscribed")
        rows = [
            {
                "currency": name,
                "amount": _plain(amount),
                "positionList": [
                    {
                        "category": "SAVING",
                        "productType": "DEMAND_SAVING",
                        "amount": _plain(amount),
                        "apyList": [{"apy": "0.05"}],
                        "accInterest": "0",
                    }
                ],
            }
            for name, amount in sorted(held.items())
            if amount and asked in ("", name)
        ]
        return _said("SUCCESS", rows)

    def _earn_total(self, _login: str, _host: str, _params: Mapping[str, str]) -> Reply:
        names = ("totalAssets", "totalAssetsBtc", "lastInterestAmount", "totalInterestAmount")
        return _said("SUCCESS", dict.fromkeys(names, "0"))

    def _earn_bills(self, login: str, _host: str, params: Mapping[str, str]) -> Reply:
        """earn/Query/Bills: newest first, in numbered pages."""
        try:
            start, end = int(params.get("startTime") or 0), int(params.get("endTime") or _after(0))
            page, size = int(params.get("page") or 1), int(params.get("size") or 10)
        except ValueError:
            return _said("PARAM_ERROR")
        if page < 1 or not 1 <= size <= 100:
            return _said("PARAM_ERROR")
        found = [
            row
            for row in self._earn_rows(login)
            if start <= row["createTime"] <= end
            and params.get("type", row["type"]) == row["type"]
            and params.get("currency", row["currency"]).upper() == row["currency"]
        ]
        first = (page - 1) * size
        answer = {"hasPrev": page > 1, "hasNext": len(found) > first + size, "items": found[first : first + size]}
        return _said("SUCCESS", answer)

    def _earn_rows(self, login: str) -> list[dict[str, Any]]:
        words = {"SUCCESS": "SUCCESS", "PENDING": "PROCESSING", "FAILED": "FAILED"}
        return [
            {
                "orderId": str(FIRST_ORDER_ID + number),
                "type": "TRANSFER_IN" if move["destination"] == "FINANCE" else "TRANSFER_OUT",
                "productId": 0,
                "productType": "",
                "amount": move["amount"],
                "currency": move["asset"].upper(),
                "status": words[move["status"]],
                "createTime": move["at"],
                "completeTime": move["due_at"] or move["at"],
            }
            for number, move in reversed(self._visible(login))
            if "FINANCE" in (move["source"], move["destination"])
        ]

    def _visible(self, login: str) -> list[tuple[int, dict[str, Any]]]:
        return [
            (number, move)
            for number, move in enumerate(self.ledger.transfers())
            if move["login"] == login and move["visible_at"] <= _after(0)
        ]

    # user-center/Account/QueryAccountList

    def _accounts(self, login: str, _host: str, params: Mapping[str, str]) -> Reply:
        row = {
            "id": login,
            "accountName": "treasury",
            "userId": int(login) - 1,
            "level": 1,
            "createTime": "2024-01-02 03:04:05",
            "updateTime": "2024-01-02 03:04:05",
        }
        return _said("SUCCESS", [row] if params.get("accountId", login) == login else [])

    # futures/User

    def _futures_state(self, login: str, _host: str, _params: Mapping[str, str]) -> Reply:
        state = {
            "accountId": int(login),
            "userId": int(login) - 1,
            "allowOpenPosition": True,
            "allowTrade": True,
            "allowTransfer": True,
            "openTime": "2024-01-02 03:04:05",
            "state": 0,
        }
        return _futures_said(state)

    def _futures_balances(self, login: str, host: str, _params: Mapping[str, str]) -> Reply:
        held = self.ledger.holdings(login, FUTURES[host])
        return _futures_said([self._futures_row(login, FUTURES[host], name) for name in sorted(held)])

    def _futures_balance(self, login: str, host: str, params: Mapping[str, str]) -> Reply:
        name = params.get("coin", "")
        if name not in CURRENCIES:
            return _futures_error("invalid_coin", "invalid coin")
        return _futures_said(self._futures_row(login, FUTURES[host], name))

    def _futures_row(self, login: str, kind: str, name: str) -> dict[str, str]:
        wallet = self.ledger.balance(login, kind, name)
        margin = self.ledger.balance(login, f"{kind}/margin", name)
        return {
            "coin": name,
            "walletBalance": _plain(wallet),
            "availableBalance": _plain(wallet - margin),
            "isolatedMargin": _plain(margin),
            "crossedMargin": "0",
            "openOrderMarginFrozen": "0",
            "bonus": _plain(self.ledger.balance(login, f"{kind}/bonus", name)),
            "coupon": "0",
        }

    def _bills(self, login: str, host: str, params: Mapping[str, str]) -> Reply:
        """futures/User/Get User's Account Flow Information: newest first, onward from an id."""
        try:
            start, end = int(params.get("startTime") or 0), int(params.get("endTime") or _after(0))
            limit, last = int(params.get("limit") or 10), int(params.get("id") or 0)
        except ValueError:
            return _futures_error("invalid_params", "invalid params")
        direction = params.get("direction", "NEXT")
        if direction not in ("NEXT", "PREV") or not 1 <= limit <= 100:
            return _futures_error("invalid_params", "invalid params")
        rows = [row for row in self._bill_rows(login, FUTURES[host]) if start <= row["createdTime"] <= end]
        older = [row for row in rows if not last or row["id"] < last]
        newer = [row for row in rows if last and row["id"] > last]
        page = older[:limit] if direction == "NEXT" else newer[-limit:]
        has_next = bool(page) and page[-1]["id"] != rows[-1]["id"]
        has_prev = bool(page) and page[0]["id"] != rows[0]["id"]
        return _futures_said({"hasPrev": has_prev, "hasNext": has_next, "items": page})

    def _bill_rows(self, login: str, kind: str) -> list[dict[str, Any]]:
        rows = []
        for number, move in self._visible(login):
            first = FIRST_BILL_ID + 4 * number
            came = move["due_at"] or move["at"]
            if move["source"] == kind:
                rows.append(_bill(first, move, "SUB", move["at"]))
                if move["status"] == "FAILED":
                    rows.append(_bill(first + 1, move, "ADD", came))
            if move["destination"] == kind and move["status"] == "SUCCESS":
                rows.append(_bill(first + 2, move, "ADD", came))
        return sorted(rows, key=lambda row: int(row["id"]), reverse=True)


_HEADERS = ("algorithms", "appkey", "recvwindow", "timestamp", "signature")

_MISSING = {
    "appkey": "AUTH_001",
    "timestamp": "AUTH_002",
    "recvwindow": "AUTH_003",
    "algorithms": "AUTH_005",
    "signature": "AUTH_007",
}

_READS: Mapping[tuple[str, str], Handler] = {
    ("sapi", "/v4/balances"): XTSimulator._balances,
    ("sapi", "/v4/balance"): XTSimulator._balance,
    ("sapi", "/v4/lever/balance"): XTSimulator._lever,
    ("sapi", "/v4/finance/position-currency"): XTSimulator._positions,
    ("sapi", "/v4/finance/balance"): XTSimulator._earn_total,
    ("sapi", "/v4/finance/bills"): XTSimulator._earn_bills,
    ("api", "/v4/user/account"): XTSimulator._accounts,
}

_FUTURES_READS: Mapping[str, Handler] = {
    "/future/user/v1/account/info": XTSimulator._futures_state,
    "/future/user/v1/balance/list": XTSimulator._futures_balances,
    "/future/user/v1/balance/detail": XTSimulator._futures_balance,
    "/future/user/v1/balance/bills": XTSimulator._bills,
}


def _said(code: str, result: object = None, *, status: int = 200) -> Reply:
    """The envelope of sapi and api (spot/Access Description/ResponseFormat)."""
    return Reply.of_json({"rc": int(code != "SUCCESS"), "mc": code, "ma": [], "result": result}, status=status)


def _futures_said(result: object) -> Reply:
    return Reply.of_json({"returnCode": 0, "msgInfo": "success", "error": None, "result": result})


def _futures_error(code: str, text: str, *, status: int = 200) -> Reply:
    error = {"code": code, "msg": text}
    return Reply.of_json({"returnCode": 1, "msgInfo": "failure", "error": error, "result": None}, status=status)


def _server_time(now: int) -> Reply:
    return _said("SUCCESS", {"serverTime": now})


def _client(_now: int) -> Reply:
    return _said("SUCCESS", {"ip": "127.0.0.1"})


def _currencies(now: int) -> Reply:
    """spot/Balance/GetCurrencies, inside an object as XT really serves it."""
    listed = [
        {
            "id": number,
            "currency": name,
            "fullName": name,
            "maxPrecision": decimals,
            "depositStatus": 1,
            "withdrawStatus": 1,
            "convertEnabled": 1,
            "transferEnabled": int(name not in FROZEN),
        }
        for name, (number, decimals) in CURRENCIES.items()
    ]
    return _said("SUCCESS", {"time": str(now), "version": "practice", "currencies": listed})


def _pairs(_now: int) -> Reply:
    """margin-spot/Market/GetSymbolList"""
    listed = []
    for number, pair in enumerate(PAIRS):
        base, quote = pair.split("_")
        row = {"symbolId": number + 1, "symbol": pair, "buyCurrency": base, "sellCurrency": quote}
        listed.append({**row, "buyCurrencyId": CURRENCIES[base][0], "sellCurrencyId": CURRENCIES[quote][0]})
    return _said("SUCCESS", listed)


_PUBLIC: Mapping[str, Callable[[int], Reply]] = {
    "/v4/public/time": _server_time,
    "/v4/public/client": _client,
    "/v4/public/currencies": _currencies,
    "/v4/public/lever/symbol": _pairs,
}


def _host(request: Request) -> str:
    """Which of XT's hosts is meant; for a stranger's Host header, the one that has the path."""
    named = HOSTS.get(request.headers.get("host", "").lower())
    if named is not None:
        return named
    if request.path.startswith("/future/"):
        return "fapi"
    return "api" if request.path.startswith("/v4/user/") else "sapi"


def _in_time(stamp: str, now: int, window: int) -> bool:
    """SignatureInstructions: younger than the window, and at most a second ahead."""
    return bool(re.fullmatch("[0-9]{13}", stamp)) and now - int(stamp) < window and int(stamp) <= now + SECOND


def _matches(login: Practice, message: bytes, signature: str, algorithm: str) -> bool:
    """Hex in either case."""
    secret = login.credentials["api_secret"].encode()
    right = hmac.new(secret, message, ALGORITHMS[algorithm]).hexdigest()
    return hmac.compare_digest(right.encode(), signature.lower().encode())


def _plain_params(query: str) -> dict[str, str]:
    pairs = (piece.partition("=") for piece in query.split("&") if piece)
    return {unquote_plus(name): unquote_plus(value) for name, _, value in pairs}


def _plain_query(query: str) -> str:
    """The query as it is signed: names ascending, nothing percent-encoded."""
    params = _plain_params(query)
    return "&".join(f"{name}={params[name]}" for name in sorted(params))


def _order(body: bytes) -> tuple[str, str, str, str, Decimal] | str:
    """bizId, both addresses, currency and amount of a transfer; or the code that refuses it."""
    try:
        asked = json.loads(body, parse_float=Decimal)
    except ValueError:
        return "FUND_017"
    if not isinstance(asked, dict):
        return "FUND_017"
    # A number is taken for the text that it is written as.
    words = {name: value for name, value in asked.items() if isinstance(value, str)}
    words |= {name: str(value) for name, value in asked.items() if type(value) in (int, Decimal)}
    key, currency, amount = (words.get(name, "") for name in ("bizId", "currency", "amount"))
    ends = [words.get(name, "") for name in ("from", "to")]
    if not 1 <= len(key) <= 128 or not set(ends) <= set(BIZ_TYPES):
        return "FUND_017"
    if ends[0] == ends[1]:
        return "FUND_015"
    pair = words.get("symbol", "")
    if "LEVER" in ends and not pair:
        return "FUND_016"
    problem = _currency_problem(currency, ends, pair) or _amount_problem(amount, currency)
    if problem is not None:
        return problem
    source, destination = (f"LEVER:{pair}" if end == "LEVER" else end for end in ends)
    return key, source, destination, currency, Decimal(amount)


def _currency_problem(currency: str, ends: list[str], pair: str) -> str | None:
    if currency not in CURRENCIES:
        return "CURRENCY_001"
    if currency in FROZEN:
        return "TRANSFER_012"
    if "LEVER" in ends and pair not in PAIRS:
        return "SYMBOL_001"
    if "LEVER" in ends and currency not in pair.split("_"):
        return "FUND_003"
    if ("FUTURES_U" in ends and currency != "usdt") or ("FUTURES_C" in ends and currency == "usdt"):
        return "TRANSFER_004"
    return None


def _amount_problem(amount: str, currency: str) -> str | None:
    if len(amount) > 113:
        return "FUND_044"
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", amount) or not Decimal(amount):
        return "FUND_017"
    return "FUND_017" if len(amount.partition(".")[2]) > CURRENCIES[currency][1] else None


def _bill(number: int, move: Mapping[str, Any], side: str, at: int) -> dict[str, Any]:
    return {
        "id": number,
        "coin": move["asset"],
        "symbol": "",
        "type": "EXCHANGE",
        "amount": move["amount"],
        "side": side,
        "afterAmount": None,
        "createdTime": at,
    }


def _after(seconds: float) -> int:
    return time.time_ns() // 1_000_000 + int(seconds * SECOND)


def _plain(amount: Decimal) -> str:
    return format(amount, "f")


SIMULATOR = XTSimulator

PRACTICE = (
    Practice(
        title="Practice at XT",
        credentials={
            "api_key": "practice0-0000-4000-8000-xt0000000000",
            "api_secret": "practice-xt-secret-that-opens-nothing-00",
        },
        opening={
            "SPOT": {"usdt": "182400.5", "usdc": "41000", "btc": "2.75", "eth": "31.2"},
            "FUTURES_U": {"usdt": "96000.25"},
            "FUTURES_U/margin": {"usdt": "12500"},
            "FUTURES_C": {"btc": "1.25", "eth": "10"},
            "LEVER:btc_usdt": {"btc": "0.5", "usdt": "25000"},
            "LEVER:eth_usdt": {"eth": "12", "usdt": "8000"},
            "FINANCE": {"usdt": "5000"},
            "FINANCE/subscribed": {"usdt": "150000", "btc": "1"},
        },
    ),
)
