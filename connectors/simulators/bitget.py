"""Bitget's classic v2 interface as its documentation (https://www.bitget.com/api-doc) describes it.

Written from the documentation alone, signatures included. Errors come with HTTP 400, as seen of the venue. Where the
documents say nothing, the stricter reading is served: `fromType` is required in a search of records, a search without
a window sees one day, a coin has to be spelt exactly. One thing is not stricter: `amount` is documented as a string,
but a client in wide use sends a number and is served, so a number is taken too. A used clientOid is answered with
the existing transfer, whatever the other words are; it is used only by a transfer that was taken.
"""

import base64
import hashlib
import hmac
import json
import re
import time
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from connectors.simulators.core import Practice, Reply, Request, Simulator
from connectors.simulators.faults import Fault
from connectors.simulators.ledger import EXACT, KeyTakenError, Ledger, NotEnoughMoneyError

SECOND = 1000
DAY = 24 * 60 * 60 * SECOND
LONGEST_WINDOW = 90 * DAY
TIMESTAMP_WINDOW = 30 * SECOND
DECIMALS = 8
FIRST_TRANSFER_ID = 1_100_000_000_000_000_000

ISOLATED = "isolated_margin"
COINS = ("BTC", "ETH", "EUR", "USDC", "USDT", "preSPAX")
# pair: base and quote
PAIRS = {"BTCUSDT": ("BTC", "USDT"), "ETHUSDT": ("ETH", "USDT")}
# What each account type may hold.
HOLDS: Mapping[str, tuple[str, ...]] = {
    "spot": COINS,
    "p2p": COINS,
    "usdt_futures": ("USDT",),
    "coin_futures": ("BTC", "ETH"),
    "usdc_futures": ("USDC",),
    "crossed_margin": ("BTC", "ETH", "USDC", "USDT"),
    ISOLATED: ("BTC", "ETH", "USDT"),
}
PRODUCTS = {
    "USDT-FUTURES": "usdt_futures",
    "COIN-FUTURES": "coin_futures",
    "USDC-FUTURES": "usdc_futures",
}

# Below an address, for set_balance: what of it is frozen, and what of it is borrowed.
FROZEN, BORROWED = "/frozen", "/borrow"

# spot/account/Get-Account-Info, authorities
RIGHTS = ("coow", "cpow", "stow", "smow", "wtow", "p2pr")
SPOT, FUNDING = frozenset({"stor", "stow"}), frozenset({"p2pr", "p2pw", "p2p"})
FUTURES, MARGIN = frozenset({"coor", "coow", "cpor", "cpow"}), frozenset({"smor", "smow"})
TRANSFER, TRANSFERS = frozenset({"wtow"}), frozenset({"wtow", "wtor"})

STATUSES = {"SUCCESS": "Successful", "PENDING": "Processing", "FAILED": "Failed"}

Handler = Callable[["BitgetSimulator", str, Mapping[str, str]], Reply]


class BitgetSimulator(Simulator):
    """Serves Bitget's paths for balances, transfers between own accounts, and their records.

    A test may make the login a unified account, a demo login, or change its key's rights and addresses.
    """

    name = "bitget"

    def __init__(self, practice: tuple[Practice, ...], ledger: Ledger) -> None:
        super().__init__(practice, ledger)
        self.clear()

    def clear(self) -> None:
        super().clear()
        self.unified = False
        self.demo = False
        self.rights: tuple[str, ...] = RIGHTS
        self.ips = ""

    def login_of(self, credentials: Mapping[str, str]) -> str:
        """A user id made of the key, of the length that Bitget's have."""
        digest = hashlib.sha256(credentials["api_key"].encode()).digest()
        return str(1_000_000_000 + int.from_bytes(digest[:4], "big") % 9_000_000_000)

    def effects(self, key: object = None) -> list[dict[str, Any]]:
        """A UUID is also known by its 32 digits without hyphens: a clientOid is short."""
        found = super().effects(key)
        return found if found or key is None else super().effects(str(key).replace("-", ""))

    def is_send(self, request: Request) -> bool:
        return request.method == "POST"

    def answer(self, request: Request, faults: Mapping[str, Fault]) -> Reply:
        now = _after(faults["clock"].seconds if "clock" in faults else 0)
        if request.target.partition("?")[0] == "GET /api/v2/public/time":
            return _said({"serverTime": str(now)})
        if request.method == "POST" and request.path == "/api/v2/spot/wallet/transfer":
            return self._signed(request, now, TRANSFER, lambda login: self._transfer(login, request.body, now, faults))
        read = _READS.get(request.path) if request.method == "GET" else None
        if read is None:
            return _refused("40404", "Request URL NOT FOUND", status=404)
        handler, rights = read
        return self._signed(request, now, rights, lambda login: handler(self, login, request.params()))

    def refusal(self, fault: Fault) -> Reply:
        return _refused(_SHORT_CODES.get(fault.code, f"{fault.code:05d}"), fault.text or "refused on request")

    def rate_limited(self) -> Reply:
        return _refused("429", "Too Many Requests", status=429)

    # common/signature

    def _signed(self, request: Request, now: int, rights: frozenset[str], then: Callable[[str], Reply]) -> Reply:
        """Go on with the login's user id if key, timestamp, signature, environment and rights are right."""
        if self.unified:
            text = "You are in Unified Account mode, and the Classic Account API is not supported at this time"
            return _refused("40085", text)
        given = {word: request.headers.get(f"access-{word}", "") for word in _HEADERS}
        for word, (code, text) in _HEADERS.items():
            if not given[word]:
                return _refused(code, text)
        if request.method == "POST" and request.headers.get("content-type") != "application/json":
            return _refused("40007", "Invalid Content_Type")
        login = next((one for one in self.practice if one.credentials["api_key"] == given["key"]), None)
        if login is None:
            return _refused("40006", "Invalid ACCESS_KEY")
        if not re.fullmatch(r"[0-9]{13}", given["timestamp"]):
            return _refused("40005", "Invalid ACCESS_TIMESTAMP")
        if abs(now - int(given["timestamp"])) >= TIMESTAMP_WINDOW:
            return _refused("40008", "Request timestamp expired")
        target = request.path + (f"?{request.query}" if request.query else "")
        origin = f"{given['timestamp']}{request.method}{target}".encode() + request.body
        digest = hmac.new(login.credentials["api_secret"].encode(), origin, hashlib.sha256).digest()
        if not hmac.compare_digest(base64.b64encode(digest), given["sign"].encode()):
            return _refused("40009", "sign signature error")
        if given["passphrase"] != login.credentials["passphrase"]:
            return _refused("40012", "apikey/password is incorrect")
        if (request.headers.get("paptrading") == "1") is not self.demo:
            return _refused("40099", "exchange environment is incorrect")
        if not rights & set(self.rights):
            return _refused("40014", f"Incorrect permissions, need {sorted(rights)[0]} permissions")
        return then(self.login_of(login.credentials))

    # spot/account/Wallet-Transfer

    def _transfer(self, login: str, body: bytes, now: int, faults: Mapping[str, Fault]) -> Reply:
        asked = _object(body)
        problem = _problem(asked)
        if problem is not None:
            return _refused(*problem)
        source, destination = (_address(asked[f"{end}Type"], asked.get("symbol")) for end in ("from", "to"))
        coin, amount, named = asked["coin"], Decimal(asked["amount"]), asked.get("clientOid")
        # Without an id of the client's, the record shows one that Bitget made.
        key = named or str(time.time_ns())
        if self.ledger.has(login, key):
            return self._taken(login, key, named)
        if amount > self._movable(login, source, coin):
            return _refused("43117", "Exceeded Max. transferable quantity")
        late = faults["record_late"].seconds if "record_late" in faults else 0
        delayed = faults.get("pending") or faults.get("fails_later")
        try:
            self.ledger.transfer(
                login=login,
                key=key,
                source=source,
                destination=destination,
                asset=coin,
                amount=amount,
                at=now,
                visible_at=_after(late),
                due_at=None if delayed is None else _after(delayed.seconds),
                ends="FAILED" if delayed is not None and delayed.kind == "fails_later" else "SUCCESS",
            )
        except KeyTakenError:
            return self._taken(login, key, named)
        except NotEnoughMoneyError:
            return _refused("43117", "Exceeded Max. transferable quantity")
        return self._taken(login, key, named)

    def _taken(self, login: str, key: str, named: str | None) -> Reply:
        number = next(n for n, record in enumerate(self.ledger.transfers(login)) if record["key"] == key)
        if named is None:
            return _said({"transferId": str(FIRST_TRANSFER_ID + number), "clientOrderId": None})
        return _said({"transferId": str(FIRST_TRANSFER_ID + number), "clientOid": named})

    # spot/account/Get-Account-TransferRecords

    def _records(self, login: str, params: Mapping[str, str]) -> Reply:
        for word in ("coin", "fromType"):
            if not params.get(word):
                return _refused("40019", f"Parameter {word} cannot be empty")
        try:
            start, end = _window(params, _after(0))
            limit, page = int(params.get("limit") or 100), int(params.get("pageNum") or 1)
            before = int(params.get("idLessThan") or FIRST_TRANSFER_ID * 2)
        except ValueError:
            return _refused("40017", "Parameter verification failed startTime, endTime, limit, pageNum or idLessThan")
        if end < start:
            return _refused("40707", "Start time is greater than end time")
        if end - start > LONGEST_WINDOW:
            return _refused("00001", "startTime and endTime interval cannot be greater than 90 days")
        if not 1 <= limit <= 500 or not 1 <= page <= 1000:
            return _refused("40020", "Parameter limit or pageNum error")
        found = [
            _record(FIRST_TRANSFER_ID + number, record)
            for number, record in enumerate(self.ledger.transfers(login))
            if start <= record["at"] <= end
            and record["visible_at"] <= _after(0)
            and record["asset"] == params["coin"]
            and record["source"].partition(":")[0] == params["fromType"]
            and params.get("clientOid", record["key"]) == record["key"]
            and FIRST_TRANSFER_ID + number < before
        ]
        return _said(found[::-1][(page - 1) * limit : page * limit])

    # spot/account/Get-Transfer-Coins

    def _transferable(self, _login: str, params: Mapping[str, str]) -> Reply:
        for word in ("fromType", "toType"):
            if params.get(word) not in HOLDS:
                return _refused("40020", f"Parameter {word} error")
        source, destination = HOLDS[params["fromType"]], HOLDS[params["toType"]]
        return _said([coin for coin in source if coin in destination])

    # Balances

    def _movable(self, login: str, address: str, coin: str) -> Decimal:
        held, frozen, owed = self._parts(login, address, coin)
        return max(_less(held, frozen, owed), Decimal(0))

    def _parts(self, login: str, address: str, coin: str) -> tuple[Decimal, Decimal, Decimal]:
        held, frozen, owed = (self.ledger.balance(login, address + part, coin) for part in ("", FROZEN, BORROWED))
        return held, frozen, owed

    def _spot(self, login: str, params: Mapping[str, str]) -> Reply:
        if params.get("assetType", "hold_only") not in ("hold_only", "all"):
            return _refused("40020", "Parameter assetType error")
        every = COINS if params.get("assetType") == "all" else ()
        rows = []
        for coin in self._asked(login, "spot", params, every):
            held, frozen, _ = self._parts(login, "spot", coin)
            rows.append(
                {
                    "coin": coin,
                    "available": _plain(_less(held, frozen)),
                    "frozen": _plain(frozen),
                    "locked": "0",
                    "limitAvailable": "0",
                    "uTime": "1759999990000",
                }
            )
        return _said(rows)

    def _funding(self, login: str, params: Mapping[str, str]) -> Reply:
        rows = []
        for coin in self._asked(login, "p2p", params):
            held, frozen, _ = self._parts(login, "p2p", coin)
            written = _plain(frozen) if frozen else ""
            rows.append({"coin": coin, "available": _plain(_less(held, frozen)), "frozen": written, "usdtValue": "0"})
        return _said(rows)

    def _futures(self, login: str, params: Mapping[str, str]) -> Reply:
        kind = PRODUCTS.get(params.get("productType", ""))
        if kind is None:
            return _refused("40020", "Parameter productType error")
        rows = []
        for coin in self._asked(login, kind, {}):
            held, frozen, _ = self._parts(login, kind, coin)
            available = _plain(_less(held, frozen))
            rows.append(
                dict.fromkeys(_FUTURES_ZEROS, "0")
                | dict.fromkeys(_FUTURES_BLANKS, "")
                | dict.fromkeys(_FUTURES_NULLS)
                | dict.fromkeys(("available", "crossedMaxAvailable", "isolatedMaxAvailable"), available)
                | {
                    "marginCoin": coin,
                    "locked": _plain(frozen),
                    "maxTransferOut": _plain(self._movable(login, kind, coin)),
                    "accountEquity": _plain(held),
                    "assetList": [{"coin": coin, "balance": _plain(held), "available": available}],
                    "assetMode": "single",
                }
            )
        return _said(rows)

    def _crossed(self, login: str, params: Mapping[str, str]) -> Reply:
        held = self._asked(login, "crossed_margin", params)
        return _said([self._margin_row(login, "crossed_margin", coin) for coin in held])

    def _isolated(self, login: str, params: Mapping[str, str]) -> Reply:
        rows = []
        for pair, coins in PAIRS.items():
            address = f"{ISOLATED}:{pair}"
            if params.get("symbol", pair) == pair and self.ledger.holdings(login, address):
                rows += [{"symbol": pair} | self._margin_row(login, address, coin) for coin in coins]
        return _said(rows, at=str(_after(0)))

    def _margin_row(self, login: str, address: str, coin: str) -> dict[str, str]:
        held, frozen, owed = self._parts(login, address, coin)
        return {
            "coin": coin,
            "totalAmount": _plain(held),
            "available": _plain(_less(held, frozen)),
            "frozen": _plain(frozen),
            "borrow": _plain(owed),
            "interest": "0",
            "net": _plain(_less(held, owed)),
            "coupon": "0",
            "cTime": "1759990000000",
            "uTime": "1759990000001",
        }

    def _crossed_out(self, login: str, params: Mapping[str, str]) -> Reply:
        coin = params.get("coin", "")
        if coin not in HOLDS["crossed_margin"]:
            return _refused("50001", f"coin {coin} does not support cross")
        return _said({"coin": coin, "maxTransferOutAmount": _plain(self._movable(login, "crossed_margin", coin))})

    def _isolated_out(self, login: str, params: Mapping[str, str]) -> Reply:
        pair = params.get("symbol", "")
        if pair not in PAIRS:
            return _refused("50002", f"symbol {pair} does not support isolated")
        out = {"symbol": pair}
        for side, coin in zip(("base", "quote"), PAIRS[pair], strict=True):
            out[f"{side}Coin"] = coin
            out[f"{side}CoinMaxTransferOutAmount"] = _plain(self._movable(login, f"{ISOLATED}:{pair}", coin))
        return _said(out)

    def _asked(self, login: str, address: str, params: Mapping[str, str], every: tuple[str, ...] = ()) -> list[str]:
        """The coin that is asked for, or the coins held, or all."""
        if params.get("coin"):
            return [params["coin"]]
        held = self.ledger.holdings(login, address)
        return sorted({*every, *(coin for coin in held if held[coin])})

    # spot/account/Get-Account-Info

    def _info(self, login: str, _params: Mapping[str, str]) -> Reply:
        info = {
            "userId": login,
            "inviterId": "",
            "ips": self.ips,
            "authorities": list(self.rights),
            "parentId": int(login),
            "traderType": "not_trader",
            "channelCode": "",
            "channel": "",
            "regisTime": "1600000000000",
        }
        return _said(info)


_READS: Mapping[str, tuple[Handler, frozenset[str]]] = {
    "/api/v2/spot/account/info": (BitgetSimulator._info, SPOT),
    "/api/v2/spot/account/assets": (BitgetSimulator._spot, SPOT),
    "/api/v2/account/funding-assets": (BitgetSimulator._funding, FUNDING | SPOT),
    "/api/v2/mix/account/accounts": (BitgetSimulator._futures, FUTURES),
    "/api/v2/margin/crossed/account/assets": (BitgetSimulator._crossed, MARGIN),
    "/api/v2/margin/crossed/account/max-transfer-out-amount": (BitgetSimulator._crossed_out, MARGIN),
    "/api/v2/margin/isolated/account/assets": (BitgetSimulator._isolated, MARGIN),
    "/api/v2/margin/isolated/account/max-transfer-out-amount": (BitgetSimulator._isolated_out, MARGIN),
    "/api/v2/spot/account/transferRecords": (BitgetSimulator._records, TRANSFERS | SPOT),
    "/api/v2/spot/wallet/transfer-coin-info": (BitgetSimulator._transferable, TRANSFERS | SPOT),
}

# header without "access-": what is said when it is missing
_HEADERS = {
    "key": ("40001", "ACCESS_KEY cannot be empty"),
    "sign": ("40002", "ACCESS_SIGN cannot be empty"),
    "timestamp": ("40005", "Invalid ACCESS_TIMESTAMP"),
    "passphrase": ("40011", "ACCESS_PASSPHRASE cannot be empty"),
}

# The codes of the table that have fewer than five digits.
_SHORT_CODES = {429: "429", 1001: "1001"}

_FUTURES_ZEROS = (
    "usdtEquity",
    "btcEquity",
    "crossedRiskRate",
    "coupon",
    "unionTotalMargin",
    "unionAvailable",
    "unionMm",
    "crossedUnrealizedPL",
    "grant",
)
_FUTURES_BLANKS = ("unrealizedPL", "isolatedUnrealizedPL")
_FUTURES_NULLS = ("isolatedMargin", "crossedMargin")


def _said(data: object, *, at: object = None) -> Reply:
    """The envelope of every answer."""
    envelope = {"code": "00000", "msg": "success", "requestTime": at or _after(0), "data": data}
    return Reply.of_json(envelope, headers={"x-mbx-used-remain-limit": "9"})


def _refused(code: str, text: str, *, status: int = 400) -> Reply:
    envelope = {"code": code, "msg": text, "requestTime": _after(0), "data": None}
    return Reply.of_json(envelope, status=status, headers={"x-mbx-used-remain-limit": "0" if status == 429 else "9"})


def _after(seconds: float) -> int:
    return time.time_ns() // 1_000_000 + int(seconds * SECOND)


def _object(body: bytes) -> dict[str, Any]:
    """The body's words; a number as it is written, so that no digit is lost."""
    try:
        found = json.loads(body, parse_float=Decimal)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _problem(asked: dict[str, Any]) -> tuple[str, str] | None:
    for word in ("fromType", "toType", "coin", "amount"):
        if asked.get(word) in (None, ""):
            return "40019", f"Parameter {word} cannot be empty"
    for word in ("fromType", "toType"):
        if asked[word] not in HOLDS:
            return "40020", f"Parameter {word} error"
    return _ways_problem(asked) or _amount_problem(asked["amount"]) or _id_problem(asked.get("clientOid"))


def _ways_problem(asked: Mapping[str, Any]) -> tuple[str, str] | None:
    source, destination, coin, pair = asked["fromType"], asked["toType"], asked["coin"], asked.get("symbol")
    if source == destination:
        return "40020", "Parameter toType error"
    if not isinstance(coin, str) or coin not in HOLDS[source] or coin not in HOLDS[destination]:
        return "43129", "Transfer coin not support or invalid coin"
    if ISOLATED not in (source, destination):
        return None
    if pair in (None, ""):
        return "40019", "Parameter symbol cannot be empty"
    if pair not in PAIRS:
        return "50024", "The trading pair does not exist"
    return None if coin in PAIRS[pair] else ("50039", "The currency and the trading pair do not match")


def _amount_problem(amount: object) -> tuple[str, str] | None:
    """A plain decimal string is what is documented; a number is served as well."""
    if isinstance(amount, str) and not re.fullmatch(r"[0-9]+(\.[0-9]+)?", amount):
        return "40020", "Parameter amount error"
    try:
        number = Decimal(amount if isinstance(amount, str | int | Decimal) and amount is not True else "none")
    except InvalidOperation:
        return "40020", "Parameter amount error"
    if not number.is_finite() or number <= 0:
        return "01001", "amount must be greater than 0"
    if len(format(EXACT.normalize(number), "f").partition(".")[2]) > DECIMALS:
        return "43125", "No more than 8 decimal places"
    return None


def _id_problem(named: object) -> tuple[str, str] | None:
    if named is None:
        return None
    if not isinstance(named, str) or not re.fullmatch(r"[0-9A-Za-z_:#+ -]*", named):
        return "40305", "clientOid or clientOrderId length cannot greater than 64, and cannot be Martian characters"
    if len(named) > 50:
        return "40304", "clientOid or clientOrderId length cannot greater than 50"
    return None if named else ("40402", "orderId or clientOId format error")


def _address(kind: str, pair: str | None) -> str:
    return f"{ISOLATED}:{pair}" if kind == ISOLATED else kind


def _window(params: Mapping[str, str], now: int) -> tuple[int, int]:
    """None: the last day; one end: ninety days from or to it. In milliseconds."""
    start, end = params.get("startTime"), params.get("endTime")
    if start and end:
        return int(start), int(end)
    if start:
        return int(start), int(start) + LONGEST_WINDOW
    return (int(end) - LONGEST_WINDOW, int(end)) if end else (now - DAY, now)


def _record(number: int, record: Mapping[str, Any]) -> dict[str, str]:
    source, _, left = record["source"].partition(":")
    destination, _, entered = record["destination"].partition(":")
    return {
        "coin": record["asset"],
        "status": STATUSES[record["status"]],
        "toType": destination,
        "toSymbol": entered,
        "fromType": source,
        "fromSymbol": left,
        "size": format(Decimal(record["amount"]), f".{DECIMALS}f"),
        "ts": str(record["at"]),
        "clientOid": record["key"],
        "transferId": str(number),
    }


def _less(held: Decimal, *parts: Decimal) -> Decimal:
    for part in parts:
        held = EXACT.subtract(held, part)
    return held


def _plain(amount: Decimal) -> str:
    return format(amount, "f")


SIMULATOR = BitgetSimulator

PRACTICE = (
    Practice(
        title="Practice at Bitget",
        credentials={
            "api_key": "practice-bitget-key",
            "api_secret": "practice-bitget-secret-opens-nothing",
            "passphrase": "practice-bitget-passphrase",
        },
        opening={
            "spot": {"USDT": "286400.75", "USDC": "120000", "BTC": "4.8125", "ETH": "61.5", "preSPAX": "140"},
            "p2p": {"USDT": "45250.5", "EUR": "18300.25"},
            "usdt_futures": {"USDT": "152300.4"},
            "coin_futures": {"BTC": "1.75", "ETH": "12"},
            "usdc_futures": {"USDC": "64000"},
            "crossed_margin": {"USDT": "38500", "BTC": "0.5"},
            "isolated_margin:BTCUSDT": {"USDT": "15000", "BTC": "0.2"},
            "isolated_margin:ETHUSDT": {"USDT": "8200.6", "ETH": "0"},
        },
    ),
    Practice(
        title="A second desk at Bitget",
        credentials={
            "api_key": "practice-bitget-spare-key",
            "api_secret": "practice-bitget-spare-secret-opens-nothing",
            "passphrase": "practice-bitget-spare-passphrase",
        },
        opening={"spot": {"USDT": "22400.25", "BTC": "0.75"}, "usdt_futures": {"USDT": "9100"}},
        spare=True,
    ),
)
