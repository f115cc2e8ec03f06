"""XT.com: transfers between the account types ("bizType") of one login: spot, margin, earn and futures.

Documentation: https://doc.xt.com/docs/spot/Transfer/TransferBetweenUserSystems and the pages around it (the
paths below are paths below https://doc.xt.com/docs). Peculiar:

* Four hosts and two signatures. sapi (spot, margin, earn, transfers) and api (user centre) sign four headers,
  method, path, query and body; fapi and dapi (futures) sign two headers, path and query
  (spot/Access Description/SignatureGeneration, futures/Access Description/SignatureStatement).
* Errors come with HTTP 200; `rc` and `mc` have to be read, `returnCode` and `error` from the futures hosts.
* `bizId` is ours. A used one is answered with FUND_001 or TRANSFER_001 and never with the first answer: the
  money of the earlier request may have moved, or not (spot/Access Description/ResponseCode).
* There is no question about a transfer. What exists is a ledger of the futures accounts
  (futures/User/Get User's Account Flow Information) and one of the earn account (earn/Query/Bills), and their
  rows name neither bizId nor transfer id. A row is taken for a transfer only if asset, amount, direction and
  time fit and no other transfer has claimed it. Spot and margin have no ledger: between these two a look-up has
  nothing to search and says so (`searched` is False).
* For the same reason `rc` 0 settles a transfer at once only between spot and margin. Elsewhere the receipt
  says "taken", and the look-up that follows claims its row; a transfer that ended without a claim would leave
  its row to be counted for another one with the same words.
* A stamp is taken while it is less than the window old and at most 1 s ahead of the server
  (spot/Access Description/SignatureInstructions).
* Margin is isolated: the address is LEVER:btc_usdt, and each pair is a question of its own
  (margin-spot/Balance/GetBalanceBySymbol).
* Transfer ids exceed 2^53; they are kept as text.
* The list of API keys (user-center/ApiKey/QueryUserApiKey) tells what a key may do, and hands out the secrets of
  all keys with it. It is never asked. So nobody can tell beforehand whether the key may transfer.
* There is no sandbox.

UNVERIFIED, said by no document or contradicted by one, and isolated in a constant or named here:

* PREFIX: the documents print the header names as `validate-*`, every working client sends `xt-validate-*`.
* EARN_SHOWS_ALL: earn/Query/Extended/PositionByCurrency lists what is subscribed. Whether money lying idle in
  the earn account is part of `amount` is not said, so earn balances are unreadable until somebody has looked.
* CREDITS: bonus and coupon of a futures account are taken for not movable; `walletBalance` may contain them.
* Margin: own funds = totalAmount - loanAmount - interestAmount. While anything is borrowed, what may move is not
  known (TRANSFER_011 forbids some or all of it).
* FUTURES_U_TAKES: the assets that the USDT-M account takes; COIN-M is offered all others. ROUTES: no document
  lists which pairs of account types XT supports. XT refuses the rest itself.
* Whether rc 0 with an id always means that the money has moved; on routes with a ledger its row has to agree.
* LEDGER_LATE, and how long a new row takes to show up. An early empty search proves nothing, and nothing is
  ever taken for absent. That the futures ledger may be asked without `symbol`, and goes on after the `id` of the
  last row, as clients assume.
* RESEND_UNTIL: how long a bizId is remembered, whether a changed body matters, whether a refused one stays
  taken: the same words go out under the same bizId, and a new attempt after a refusal needs a new key.
* GATEWAY_*, HTTP 404 and HTTP 429 are taken for answers of the gateway, before anything was done.
* Smallest amounts.
"""

import hashlib
import hmac
import itertools
import json
import logging
import re
import threading
import time
from collections.abc import Callable, Collection, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal, InvalidOperation
from enum import Enum
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import httpx

from connectors.core.errors import Barred, Refused, TryLater, Uncertain, VenueError
from connectors.core.http import Answer, Wire
from connectors.core.protocol import (
    EVERY_ASSET,
    Challenge,
    ChallengeState,
    Check,
    Instruction,
    Limit,
    Receipt,
    Resend,
    Standing,
    State,
    Venue,
    VenueAccount,
    VenueBalance,
    insist_printable,
    plain,
)

logger = logging.getLogger(__name__)

PREFIX = "xt-validate-"
EARN_SHOWS_ALL = False
CREDITS = ("bonus", "coupon")
FUTURES_U_TAKES = frozenset({"usdt"})
LEDGER_LATE = timedelta(minutes=15)
RESEND_UNTIL = timedelta(minutes=10)

RECV_WINDOW = timedelta(milliseconds=5000)
SIGN_BEHIND = timedelta(milliseconds=500)
# The receive window, and a margin for a server clock that we believe to be up to 25 s ahead of what it is.
SIGNED_WINDOW = RECV_WINDOW + timedelta(seconds=25)
LEDGER_PAGES = 20
ROWS_PER_PAGE = 50
PAIRS_PER_SECOND = 8
LISTS_KEPT = timedelta(hours=1)
AFTER_FUTURES_LOCK = timedelta(minutes=10)
LONGEST_AMOUNT = 113
LONGEST_BIZ_ID = 128

# spot/Access Description/PublicModule, bizType
KINDS = {
    "SPOT": "Spot",
    "FUTURES_U": "USDT-M futures",
    "FUTURES_C": "COIN-M futures",
    "LEVER": "Margin",
    "FINANCE": "Earn",
}
# The kind of account -> the host of its ledger. SPOT and LEVER have none.
LEDGERS = {"FUTURES_U": "fapi", "FUTURES_C": "dapi", "FINANCE": "sapi"}
ROUTES = tuple(itertools.permutations(KINDS, 2))
UNSEARCHABLE = frozenset(route for route in ROUTES if not set(route) & set(LEDGERS))
EXACT = Context(prec=200)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Credentials:
    """An API key with the rights to read and to transfer, and to futures and earn where these are used."""

    api_key: str = field(repr=False, metadata={"title": "API key"})
    api_secret: str = field(repr=False, metadata={"title": "API secret"})

    def __post_init__(self) -> None:
        insist_printable([("api_key", self.api_key), ("api_secret", self.api_secret)])


class SpotSignature(httpx.Auth):
    """For sapi and api: four headers, "#" method, path, query and body; HMAC-SHA256 in hex.

    The query is signed with its names ascending and its values as they were before percent-encoding, the body
    byte for byte (spot/Access Description/SignatureGeneration). Empty parts are left out with their "#".
    """

    requires_request_body = True

    def __init__(self, credentials: Credentials, timestamp: int) -> None:
        """`timestamp` is in milliseconds, on the server's clock."""
        self._credentials = credentials
        self._timestamp = str(timestamp)

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        headers = {
            f"{PREFIX}algorithms": "HmacSHA256",
            f"{PREFIX}appkey": self._credentials.api_key,
            f"{PREFIX}recvwindow": str(milliseconds(RECV_WINDOW)),
            f"{PREFIX}timestamp": self._timestamp,
        }
        stamp = "&".join(f"{name}={headers[name]}" for name in sorted(headers))
        parts = [request.method, request.url.path, _unencoded(request.url.query)]
        message = (stamp + "".join(f"#{part}" for part in parts if part)).encode()
        if request.content:
            message += b"#" + request.content
        request.headers.update(headers)
        request.headers[f"{PREFIX}signature"] = _hmac(self._credentials, message)
        yield request


class FuturesSignature(httpx.Auth):
    """For fapi and dapi: two headers, "#" path and query; no method, no window (futures/Access Description)."""

    def __init__(self, credentials: Credentials, timestamp: int) -> None:
        """`timestamp` is in milliseconds, on the server's clock."""
        self._credentials = credentials
        self._timestamp = str(timestamp)

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        headers = {f"{PREFIX}appkey": self._credentials.api_key, f"{PREFIX}timestamp": self._timestamp}
        stamp = "&".join(f"{name}={headers[name]}" for name in sorted(headers))
        parts = [request.url.path, _unencoded(request.url.query)]
        message = (stamp + "".join(f"#{part}" for part in parts if part)).encode()
        request.headers.update(headers)
        request.headers[f"{PREFIX}signature"] = _hmac(self._credentials, message)
        yield request


def _unencoded(query: bytes) -> str:
    pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True)
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


def _hmac(credentials: Credentials, message: bytes) -> str:
    return hmac.new(credentials.api_secret.encode("ascii"), message, hashlib.sha256).hexdigest()


class Meaning(Enum):
    """What an answer says about the money of this request."""

    TAKEN = "taken"  # read result
    REFUSED = "refused"  # nothing moved
    UNCERTAIN = "uncertain"  # look it up, or ask people
    LIMITED = "limited"  # nothing moved, too many calls
    BARRED = "barred"  # nothing moved; key, permission or address
    SKEWED = "skewed"  # nothing moved; our timestamp was outside the window


# spot/Access Description/ResponseCode, "HTTP Status Codes"; whatever is not here is UNCERTAIN.
HTTP_STATUSES: Mapping[int, tuple[Meaning, str]] = {
    404: (Meaning.REFUSED, "there is no such path"),
    429: (Meaning.LIMITED, "too many requests; the address or the key is shut out for a while"),
}

# spot/Access Description/ResponseCode and earn/Access Description/ErrorCode, what a transfer or a question of ours
# may be answered with; whatever is not here is UNCERTAIN.
MESSAGES: Mapping[str, tuple[Meaning, str]] = {
    "SUCCESS": (Meaning.TAKEN, "taken"),
    "FAILURE": (Meaning.UNCERTAIN, "it failed, without a reason"),
    "AUTH_001": (Meaning.BARRED, "the header with the key is missing"),
    "AUTH_002": (Meaning.BARRED, "the header with the time is missing"),
    "AUTH_003": (Meaning.BARRED, "the header with the window is missing"),
    "AUTH_004": (Meaning.BARRED, "the header with the window is wrong"),
    "AUTH_005": (Meaning.BARRED, "the header with the algorithm is missing"),
    "AUTH_006": (Meaning.BARRED, "the header with the algorithm is wrong"),
    "AUTH_007": (Meaning.BARRED, "the header with the signature is missing"),
    "AUTH_101": (Meaning.BARRED, "there is no such key; XT has one environment, keys of another system are unknown"),
    "AUTH_102": (Meaning.BARRED, "the key is not active"),
    "AUTH_103": (Meaning.BARRED, "the signature is wrong; the secret may belong to another key"),
    "AUTH_104": (Meaning.BARRED, "the key is bound to other addresses than this computer's"),
    "AUTH_105": (Meaning.SKEWED, "the timestamp was outside the window"),
    "AUTH_106": (Meaning.BARRED, "the key lacks a permission, for a transfer the one called Transfer"),
    "FUND_001": (Meaning.UNCERTAIN, "the bizId is taken: an earlier request arrived"),
    "TRANSFER_001": (Meaning.UNCERTAIN, "the bizId is taken: an earlier request arrived"),
    "FUND_002": (Meaning.REFUSED, "the balance is too small"),
    "TRANSFER_002": (Meaning.REFUSED, "the balance is too small"),
    "FUND_003": (Meaning.REFUSED, "XT does not support this transfer"),
    "FUND_004": (Meaning.UNCERTAIN, "the amount could not be released inside XT"),
    "FUND_005": (Meaning.REFUSED, "the transfer is prohibited"),
    "FUND_014": (Meaning.REFUSED, "source and destination are the same account"),
    "FUND_015": (Meaning.REFUSED, "source and destination are of the same kind"),
    "FUND_016": (Meaning.REFUSED, "the margin pair is missing"),
    "FUND_017": (Meaning.REFUSED, "a parameter is wrong"),
    "FUND_018": (Meaning.UNCERTAIN, "the record of the frozen amount is invalid inside XT"),
    "FUND_019": (Meaning.UNCERTAIN, "the record of the frozen amount is another user's inside XT"),
    "FUND_020": (Meaning.UNCERTAIN, "the record of the frozen amount is of another currency inside XT"),
    "FUND_021": (Meaning.REFUSED, "XT does not support this operation"),
    "FUND_022": (Meaning.UNCERTAIN, "the record of the frozen amount is missing inside XT"),
    "FUND_044": (Meaning.REFUSED, "the amount is too long"),
    "TRANSFER_003": (Meaning.REFUSED, "the user is not registered"),
    "TRANSFER_004": (Meaning.REFUSED, "this currency cannot be transferred"),
    "TRANSFER_005": (Meaning.REFUSED, "this user cannot transfer this currency"),
    "TRANSFER_006": (Meaning.REFUSED, "the transfer is prohibited"),
    "TRANSFER_007": (Meaning.UNCERTAIN, "the request timed out inside XT"),
    "TRANSFER_008": (Meaning.UNCERTAIN, "the transfer into the margin account was abnormal"),
    "TRANSFER_009": (Meaning.UNCERTAIN, "the transfer out of the margin account was abnormal"),
    "TRANSFER_010": (Meaning.REFUSED, "the margin account is being cleared"),
    "TRANSFER_011": (Meaning.REFUSED, "the margin account has borrowed"),
    "TRANSFER_012": (Meaning.REFUSED, "transfers of this currency are prohibited"),
    "CURRENCY_001": (Meaning.REFUSED, "the currency is not accepted"),
    "SYMBOL_001": (Meaning.REFUSED, "there is no such pair"),
    "SYMBOL_002": (Meaning.REFUSED, "the pair is offline"),
    "SYMBOL_003": (Meaning.REFUSED, "the pair is suspended"),
    "SYMBOL_004": (Meaning.REFUSED, "the pair is barred in this country"),
    "SYMBOL_005": (Meaning.REFUSED, "the pair is closed to programs"),
    "SYMBOL_010": (Meaning.REFUSED, "the market is closed to this user"),
    "SYMBOL_011": (Meaning.REFUSED, "the pair is restricted because of its risk"),
    "COMMON_001": (Meaning.REFUSED, "the user does not exist"),
    "COMMON_002": (Meaning.UNCERTAIN, "the system is busy"),
    "COMMON_003": (Meaning.UNCERTAIN, "the operation failed"),
    "GATEWAY_0001": (Meaning.REFUSED, "risk control stopped it; a person has to act"),
    "GATEWAY_0002": (Meaning.REFUSED, "risk control stopped it; a person has to act"),
    "GATEWAY_0003": (Meaning.REFUSED, "risk control stopped it; a person has to act"),
    "GATEWAY_0004": (Meaning.REFUSED, "risk control stopped it; a person has to act"),
    "LEVER_1004": (Meaning.REFUSED, "the sub-account lacks the right"),
    "PERMISSION_DENIED": (Meaning.BARRED, "the key lacks the permission Earn"),
}

# futures/Access Description/ErrorCode; only ever for questions. 403 is one status for several things.
FUTURES_STATUSES: Mapping[int, tuple[Meaning, str]] = {
    400: (Meaning.REFUSED, "a header is missing, or a word is not allowed"),
    403: (Meaning.BARRED, "the key, its permissions, the signature or this address is not accepted"),
    405: (Meaning.REFUSED, "the header Host is missing"),
    429: (Meaning.LIMITED, "too many requests; the account is locked for ten minutes"),
}
FUTURES_CODES: Mapping[str, tuple[Meaning, str]] = {
    "403": FUTURES_STATUSES[403],
    "429": FUTURES_STATUSES[429],
    "invalid_coin": (Meaning.REFUSED, "the coin is not known"),
    "invalid_symbol": (Meaning.REFUSED, "the pair is not known"),
    "insufficient_balance": (Meaning.REFUSED, "the balance is too small"),
}

# futures/User/Get User's Account Flow Information: whether a row of that type is a transfer. A word that is not
# here may be one: UNCLEAR.
FUTURES_TYPES: Mapping[str, bool] = {
    "EXCHANGE": True,
    "CLOSE_POSITION": False,
    "TAKE_OVER": False,
    "QIANG_PING_MANAGER": False,
    "FUND": False,
    "FEE": False,
    "ADL": False,
    "MERGE": False,
}
FUTURES_SIDES: Mapping[str, bool] = {"ADD": True, "SUB": False}

# earn/Access Description/ErrorCode, "Bill Types": whether a row is a transfer, and whether into the account.
EARN_TYPES: Mapping[str, bool] = {
    "TRANSFER_IN": True,
    "TRANSFER_OUT": True,
    "SUBSCRIBE": False,
    "REDEEM": False,
    "INTEREST": False,
}
EARN_SIDES: Mapping[str, bool] = {"TRANSFER_IN": True, "TRANSFER_OUT": False}
# earn/Query/OrderQuery; only this status says that the money has moved.
EARN_DONE = "SUCCESS"


_UNKNOWN = (Meaning.UNCERTAIN, "a code that this program does not know")
_NO_ENVELOPE = (Meaning.UNCERTAIN, "an answer that is not XT's")


def judge(status: int, rc: str | None, mc: str | None) -> tuple[Meaning, str]:
    """What an answer of sapi or api means, from HTTP status, `rc` and `mc` (None: no such word in the body).

    A doubt in the body outweighs a status that says that nothing moved: somebody between may have set it.
    """
    inside = _inside(rc, mc)
    if status == 200:
        return inside
    if inside is not _NO_ENVELOPE and inside[0] in (Meaning.UNCERTAIN, Meaning.TAKEN):
        return Meaning.UNCERTAIN, f"HTTP status {status} and the code {mc} contradict each other"
    return HTTP_STATUSES.get(status, (Meaning.UNCERTAIN, f"HTTP status {status}"))


def _inside(rc: str | None, mc: str | None) -> tuple[Meaning, str]:
    if rc is None or mc is None:
        return _NO_ENVELOPE
    meaning, words = MESSAGES.get(mc, _UNKNOWN)
    if rc not in ("0", "1") or (rc == "0") != (meaning is Meaning.TAKEN):
        return Meaning.UNCERTAIN, f"{words}, and the return code {rc[:20]!r} contradicts it"
    return meaning, words


def judge_futures(status: int, code: str | None, text: str) -> tuple[Meaning, str]:
    """What an answer of fapi or dapi means: HTTP status, `error.code` ("" is success, None: not theirs), text."""
    if status == 200:
        if code == "":
            return Meaning.TAKEN, "taken"
        meaning, words = FUTURES_CODES.get(code, _UNKNOWN) if code is not None else _NO_ENVELOPE
    else:
        meaning, words = FUTURES_STATUSES.get(status, (Meaning.UNCERTAIN, f"HTTP status {status}"))
    if meaning is Meaning.BARRED and re.search("window|expire|timestamp", text.lower()):
        return Meaning.SKEWED, "the timestamp was outside the window"
    return meaning, words


class ServerClock:
    """How far XT's clock is ahead of ours, in milliseconds, and how wrong that may be; shared by all logins."""

    def __init__(self) -> None:
        self.ahead = 0
        self.doubt = 0
        self.stale = False
        self.lock = threading.Lock()

    def to_server(self, moment: datetime) -> int:
        """The moment on the server's clock, in milliseconds since 1970."""
        return milliseconds(moment - EPOCH) + self.ahead


@dataclass(frozen=True, kw_only=True)
class Currency:
    """A row of spot/Balance/GetCurrencies."""

    decimals: int
    movable: bool


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of a ledger. `name` is what a transfer claims. `at` in milliseconds of XT's clock."""

    name: str
    at: int
    asset: str
    amount: Decimal
    inward: bool
    certain: bool  # a transfer that has moved, in words that we know
    seen: Mapping[str, Any] = field(repr=False)


_Listed = TypeVar("_Listed")

_clocks: dict[str, ServerClock] = {}
# What XT tells everybody: (origin, path) -> (when it was read, rows by name).
_lists: dict[tuple[str, str], tuple[float, Mapping[str, Any]]] = {}


class XT:
    """One login at XT; see `connectors.core.protocol.Connector` for what the methods promise."""

    def __init__(self, credentials: Credentials, wire: Wire) -> None:
        self._credentials = credentials
        self._wire = wire
        self._clock = _clocks.setdefault(wire.origin("sapi"), ServerClock())

    # Who and what

    def check(self) -> Check:
        """Ask for the time, user-center/Account/QueryAccountList, futures/User/GetAccountInfo, spot and earn.

        XT does not tell what a key may do; `may_transfer` means that nothing speaks against it.
        """
        self._measure_clock()
        try:
            accounts = self._ask("api", "/v4/user/account")
        except Barred as error:
            raise self._with_our_address(error) from None
        futures, words = self._futures_state()
        login = _login(accounts, futures)
        words = [f"The login is the account {login}.", *self._what_it_reads(), *words]
        words.append(
            "XT does not tell whether the key may transfer. If it lacks the permission, "
            "the first transfer is refused with AUTH_106 and nothing moves."
        )
        if abs(self._clock.ahead) >= 1000:
            words.append(f"XT's clock is {self._clock.ahead / 1000:+.1f} s from ours; signatures allow for it.")
        return Check(
            login=login,
            may_transfer=True,
            words=words,
            clock_offset=timedelta(milliseconds=self._clock.ahead),
        )

    def _with_our_address(self, error: Barred) -> Barred:
        """The same, and for a key bound to other addresses the one that XT sees us at (public/client)."""
        if error.evidence.get("code") != "AUTH_104":
            return error
        try:
            seen = self._wire.read("/v4/public/client", host="sapi").json_object() or {}
        except TryLater:
            return error
        result = seen.get("result")
        address = str(result.get("ip", ""))[:60] if isinstance(result, Mapping) else ""
        words = f"{error.words} XT sees this computer at {self._wire.redact.text(address) or 'an unknown address'}."
        return Barred(words, evidence=error.evidence)

    def _futures_state(self) -> tuple[str | None, list[str]]:
        """The account id that the futures host knows the key by (None: it may not ask), and words."""
        try:
            state = self._ask_futures("fapi", "/future/user/v1/account/info")
        except Barred as error:
            return None, [f"The futures accounts cannot be read. {error.words}"]
        if not isinstance(state, Mapping):
            return None, ["Nothing is known about the futures account."]
        allowed = state.get("allowTransfer")
        words = [] if allowed is True else ["The USDT-M futures account does not allow transfers now."]
        return _id(state.get("accountId")), words

    def _what_it_reads(self) -> list[str]:
        words = []
        for title, path in (("Spot", "/v4/balances"), ("Earn", "/v4/finance/balance")):
            try:
                self._ask("sapi", path)
            except Barred as error:
                words.append(f"{title} cannot be read. {error.words}")
            else:
                words.append(f"{title} can be read.")
        return words

    def accounts(self) -> list[VenueAccount]:
        """One account of each type, and one for every margin pair of margin-spot/Market/GetSymbolList."""
        whole = [VenueAccount(address=kind, kind=kind, title=KINDS[kind]) for kind in KINDS if kind != "LEVER"]
        return whole + [
            VenueAccount(address=f"LEVER:{pair}", kind="LEVER", title=f"{KINDS['LEVER']} {pair}")
            for pair in sorted(self._pairs())
        ]

    def routes(self) -> list[tuple[str, str]]:
        return list(ROUTES)

    def assets(self, source: str, destination: str) -> list[str]:
        """The currencies of spot/Balance/GetCurrencies whose transfers are switched on and that both sides take."""
        _insist_on_route(source, destination)
        taken = {name for name, currency in self._currencies().items() if currency.movable}
        for address in (source, destination):
            kind, _, pair = address.partition(":")
            if kind == "LEVER":
                pairs = self._pairs()
                if pair not in pairs:
                    raise Refused(f"Nothing moved: XT has no margin pair {pair!r}.")
                taken &= set(pairs[pair])
            elif kind == "FUTURES_U":
                taken &= FUTURES_U_TAKES
            elif kind == "FUTURES_C":
                taken -= FUTURES_U_TAKES
        return sorted(taken)

    def _currencies(self, *, anew: bool = False) -> Mapping[str, Currency]:
        """spot/Balance/GetCurrencies; it shows a list, XT serves that list inside an object."""

        def read(result: object) -> Mapping[str, Currency]:
            listed = result.get("currencies") if isinstance(result, Mapping) else result
            return {_word(row, "currency"): _currency(row) for row in _objects(listed)}

        return self._listed("/v4/public/currencies", read, anew=anew)

    def _pairs(self) -> Mapping[str, tuple[str, str]]:
        """margin-spot/Market/GetSymbolList: the margin pairs with their two currencies."""

        def read(result: object) -> Mapping[str, tuple[str, str]]:
            rows = _objects(result)
            return {_word(row, "symbol"): (_word(row, "buyCurrency"), _word(row, "sellCurrency")) for row in rows}

        return self._listed("/v4/public/lever/symbol", read)

    def _listed(
        self, path: str, read: Callable[[object], Mapping[str, _Listed]], *, anew: bool = False
    ) -> Mapping[str, _Listed]:
        """What XT tells everybody, at most an hour old; older when it cannot be read again, unless `anew`."""
        place = self._wire.origin("sapi"), path
        known = _lists.get(place)
        if known is not None and not anew and time.monotonic() - known[0] < LISTS_KEPT.total_seconds():
            return known[1]
        try:
            rows = read(self._ask("sapi", path, signed=False))
        except (VenueError, ValueError) as error:
            if known is not None and not anew:
                logger.warning("A list of XT's is old and could not be read again: GET %s: %s", path, error)
                return known[1]
            if isinstance(error, VenueError):
                raise
            raise TryLater(f"Could not read XT's list GET {path}: {error}") from None
        _lists[place] = time.monotonic(), rows
        return rows

    # Balances

    def balances(self) -> list[VenueBalance]:
        """Every account, the margin pairs one by one. Earn is unreadable unless EARN_SHOWS_ALL.

        An account that cannot be read is a single row for EVERY_ASSET, with the address LEVER when not even the
        pairs are known. Raises Barred only when every account is barred.
        """
        found: dict[str, list[VenueBalance]] = {}
        failed: dict[str, VenueError] = {}
        readers: dict[str, Callable[[], list[VenueBalance]]] = {
            "SPOT": self._spot,
            "FUTURES_U": lambda: self._futures("FUTURES_U"),
            "FUTURES_C": lambda: self._futures("FUTURES_C"),
            "FINANCE": self._earn,
        }
        for address, read in readers.items():
            try:
                found[address] = read()
            except VenueError as error:
                failed[address] = error
        self._margins(found, failed)
        if not found and all(isinstance(error, Barred) for error in failed.values()):
            raise failed["SPOT"]
        return _complete(found, failed)

    def _spot(self) -> list[VenueBalance]:
        """spot/Balance/GetBalances; without `currencies` it lists all."""
        result = self._ask("sapi", "/v4/balances")
        listed = result.get("assets") if isinstance(result, Mapping) else None
        now = datetime.now(UTC)
        rows = []
        for asset, row in _by_asset(listed, "currency", "SPOT").items():
            try:
                total, movable = _amount(row.get("totalAmount")), _amount(row.get("availableAmount"))
            except ValueError:
                rows.append(_unreadable("SPOT", asset, now, f"The balance of {asset} is not a number."))
                continue
            rows.append(VenueBalance(address="SPOT", asset=asset, total=total, movable=movable, observed_at=now))
        return rows

    def _futures(self, kind: str) -> list[VenueBalance]:
        """futures/User/GetUserFunds; what is available, less the credits that XT gave away."""
        listed = self._ask_futures(LEDGERS[kind], "/future/user/v1/balance/list")
        now = datetime.now(UTC)
        rows = []
        for asset, row in _by_asset(listed, "coin", kind).items():
            try:
                total, free = _amount(row.get("walletBalance")), _amount(row.get("availableBalance"))
                for credit in CREDITS:
                    free = EXACT.subtract(free, _amount(row.get(credit) or 0))
            except ValueError:
                rows.append(_unreadable(kind, asset, now, f"The balance of {asset} is not a number."))
                continue
            movable = max(free, Decimal(0))
            rows.append(VenueBalance(address=kind, asset=asset, total=total, movable=movable, observed_at=now))
        return rows

    def _earn(self) -> list[VenueBalance]:
        """earn/Query/Extended/PositionByCurrency, which may leave out what lies idle."""
        positions = self._ask("sapi", "/v4/finance/position-currency")
        now = datetime.now(UTC)
        rows = []
        for asset, row in _by_asset(positions, "currency", "FINANCE").items():
            asset = asset.lower()
            try:
                total = _amount(row.get("amount"))
                subscribed = Decimal(0)
                for position in _objects(row.get("positionList") or []):
                    subscribed = EXACT.add(subscribed, _amount(position.get("amount")))
            except ValueError:
                rows.append(_unreadable("FINANCE", asset, now, f"The balance of {asset} is not a number."))
                continue
            if EARN_SHOWS_ALL:
                movable = max(EXACT.subtract(total, subscribed), Decimal(0))
                rows.append(VenueBalance(address="FINANCE", asset=asset, total=total, movable=movable, observed_at=now))
            else:
                problem = f"XT shows {plain(total)} {asset} as subscribed, and not what lies idle in the earn account."
                rows.append(_unreadable("FINANCE", asset, now, problem))
        if not rows and not EARN_SHOWS_ALL:
            problem = "XT shows nothing as subscribed, and not what lies idle in the earn account."
            rows.append(_unreadable("FINANCE", EVERY_ASSET, now, problem))
        return rows

    def _margins(self, found: dict[str, list[VenueBalance]], failed: dict[str, VenueError]) -> None:
        """Every pair, at most PAIRS_PER_SECOND. Once the key is shut out or barred, the rest is not asked."""
        try:
            pairs = self._pairs()
        except VenueError as error:
            failed["LEVER"] = error
            return
        stopped: VenueError | None = None
        started = time.monotonic()
        for number, (pair, currencies) in enumerate(sorted(pairs.items())):
            address = f"LEVER:{pair}"
            if stopped is not None:
                failed[address] = stopped
                continue
            if number and number % PAIRS_PER_SECOND == 0:
                time.sleep(max(0.0, started + number / PAIRS_PER_SECOND - time.monotonic()))
            try:
                found[address] = self._margin(address, pair, currencies)
            except VenueError as error:
                failed[address] = error
                shut_out = isinstance(error, Barred) or error.evidence.get("http_status") == 429
                stopped = error if shut_out else None

    def _margin(self, address: str, pair: str, currencies: tuple[str, str]) -> list[VenueBalance]:
        """margin-spot/Balance/GetBalanceBySymbol: what is held, less what is borrowed and owed for it."""
        result = self._ask("sapi", "/v4/lever/balance", {"symbol": pair})
        if not isinstance(result, Mapping) or str(result.get("symbol", "")).lower() != pair:
            raise TryLater(f"Could not read {address}: the answer is about another pair.")
        now = datetime.now(UTC)
        rows = []
        sides = _by_asset([result.get("base"), result.get("quote")], "currency", address)
        if {asset.lower() for asset in sides} != set(currencies):
            raise TryLater(f"Could not read {address}: the answer is about other currencies.")
        try:
            owed = {
                asset: EXACT.add(_amount(row.get("loanAmount")), _amount(row.get("interestAmount")))
                for asset, row in sides.items()
            }
            borrows = any(owed.values())
            for asset, row in sides.items():
                rows.append(
                    VenueBalance(
                        address=address,
                        asset=asset.lower(),
                        total=EXACT.subtract(_amount(row.get("totalAmount")), owed[asset]),
                        movable=None if borrows else _amount(row.get("availableAmount")),
                        observed_at=now,
                        problem="While this pair borrows, XT does not say how much may move." if borrows else None,
                    )
                )
        except ValueError:
            raise TryLater(f"Could not read {address}: a balance is not a number.") from None
        return rows

    # One transfer

    def send(
        self,
        instruction: Instruction,
        signed_at: datetime | None = None,
        send_before: datetime | None = None,
        answer: str | None = None,
    ) -> Receipt:
        """Post spot/Transfer/TransferBetweenUserSystems once, with `instruction.key` as its bizId.

        Asks beforehand how many decimals the currency has: whether XT would cut the rest off is not known.
        """
        _insist_sendable(instruction, answer)
        try:
            self._insist_on_decimals(instruction)
            signature = self._sign(SpotSignature, signed_at or datetime.now(UTC))
        except (TryLater, Barred) as error:
            raise TryLater(
                f"Not sent. Nothing moved: what has to be known beforehand could not be read. {error.words}",
                retry_at=getattr(error, "retry_at", None),
                evidence=error.evidence,
            ) from None
        body = _body(instruction)
        reply = self._wire.send(
            "/v4/balance/transfer",
            host="sapi",
            content=json.dumps(body, separators=(",", ":")).encode("ascii"),
            headers=JSON,
            auth=signature,
            send_before=send_before,
        )
        meaning, words, evidence = self._judge("sapi", reply)
        evidence["request"] = body
        if meaning is Meaning.TAKEN:
            return self._receipt(instruction, reply, evidence)
        if meaning is Meaning.UNCERTAIN:
            logger.error("A transfer is in doubt: %s (evidence %s)", words, evidence)
            raise Uncertain(f"It may have moved. XT answered: {words}.", evidence=evidence)
        words = f"Nothing moved. XT refused the request: {words}."
        if meaning is Meaning.REFUSED:
            raise Refused(words, evidence=evidence)
        raise self._turned_away("sapi", meaning, words, evidence)

    def _insist_on_decimals(self, instruction: Instruction) -> None:
        """Raises Refused for an asset or an amount that XT's list of currencies does not allow."""
        asset = instruction.asset
        currency = self._currencies().get(asset)
        if currency is None or not currency.movable:
            # The list may be an hour old; a refusal is for good.
            currency = self._currencies(anew=True).get(asset)
        if currency is None:
            raise Refused(f"Not sent. Nothing moved: XT has no currency {asset!r}.")
        if not currency.movable:
            raise Refused(f"Not sent. Nothing moved: XT has switched off transfers of {asset}.")
        if len(plain(instruction.amount).partition(".")[2]) > currency.decimals:
            raise Refused(f"Not sent. Nothing moved: XT takes at most {currency.decimals} decimals of {asset}.")

    def _receipt(self, instruction: Instruction, reply: Answer, evidence: Mapping[str, Any]) -> Receipt:
        record = _id((reply.json_object() or {}).get("result"))
        if record is None:
            logger.error("XT took a transfer and named no id (evidence %s)", evidence)
            raise Uncertain("It may have moved. XT said so, and named no transfer id.", evidence=evidence)
        settled = (_kind(instruction.source), _kind(instruction.destination)) in UNSEARCHABLE
        return Receipt(settled=settled, record=record, evidence=evidence)

    def look_up(
        self,
        instruction: Instruction,
        *,
        sent_at: datetime,
        receipt: Receipt | None = None,
        claimed: Collection[str] = (),
    ) -> Standing:
        """Search the ledger of each account that has one for the row that this transfer must have left.

        DONE only if each of these ledgers has exactly one fitting row that is not in `claimed` (with a receipt:
        at least one, the earliest counts) and none that takes it back. `record` names what was claimed. Nothing is
        ever ABSENT; on a route without a ledger the answer is UNCLEAR with `searched` False.
        """
        sides = [(instruction.source, False), (instruction.destination, True)]
        searched = [(address, inward) for address, inward in sides if address in LEDGERS]
        if not searched:
            why = "XT has no ledger of this route: only people can compare the balances before and after."
            return Standing(state=State.UNCLEAR, searched=False, found=False, evidence={"why": why})
        # Another transfer with the same words may have ended just before this one began, so the window opens as
        # sharply as XT's clock is known.
        self._measure_clock()
        start = self._clock.to_server(sent_at) - self._clock.doubt
        end = self._clock.to_server(sent_at + LEDGER_LATE)
        taken = {name for record in claimed for name in record.split("+")}
        evidence: dict[str, Any] = {"searched": {"from": start, "to": end}, "ledgers": {}}
        picked, doubtful = [], False
        for address, inward in searched:
            rows, seen = self._rows(address, start, end)
            fitting = [
                row
                for row in sorted(rows, key=lambda row: (row.at, row.name))
                if (row.asset, row.amount) == (instruction.asset, instruction.amount) and row.name not in taken
            ]
            ours = [row for row in fitting if row.inward is inward]
            evidence["ledgers"][address] = {**seen, "fitting": [row.seen for row in fitting]}
            if ours:
                single = len(ours) == 1 or receipt is not None
                undone = any(row.inward is not inward and row.at >= ours[0].at for row in fitting)
                if single and not undone and all(row.certain for row in ours):
                    picked.append(ours[0])
                else:
                    doubtful = True
        evidence = self._wire.redact.evidence(evidence)
        if len(picked) == len(searched):
            record = "+".join(row.name for row in picked)
            return Standing(state=State.DONE, searched=True, found=True, evidence=evidence, record=record)
        found = bool(picked) or doubtful
        if found:
            logger.error("The ledgers do not settle what became of %s: %s", instruction.key, evidence)
        return Standing(state=State.UNCLEAR, searched=True, found=found, evidence=evidence)

    def challenge(self, challenge: Challenge) -> ChallengeState:
        """Raise NotImplementedError: no call to this venue ever ends in a Challenge."""
        raise NotImplementedError("XT never asks a person to confirm a transfer.")

    # Ledgers

    def _rows(self, kind: str, start: int, end: int) -> tuple[list[Row], dict[str, Any]]:
        """The rows between two moments that are transfers or may be, and what was seen. Raises TryLater, Barred."""
        pages = self._earn_pages(start, end) if kind == "FINANCE" else self._futures_pages(kind, start, end)
        read = _earn_row if kind == "FINANCE" else _futures_row
        rows: dict[str, Row] = {}
        count = 0
        for number, page in enumerate(pages, start=1):
            if number > LEDGER_PAGES:
                raise TryLater(f"Could not look it up: the ledger of {kind} did not come to an end.")
            for item in page:
                count += 1
                try:
                    row = read(kind, item)
                except ValueError as error:
                    raise TryLater(
                        f"Could not look it up: a row of the ledger of {kind} cannot be read: {error}",
                        evidence=self._wire.redact.evidence({"row": item}),
                    ) from None
                if row is not None and start <= row.at <= end:
                    rows[row.name] = row
        return list(rows.values()), {"rows": count}

    def _futures_pages(self, kind: str, start: int, end: int) -> Iterable[list[Mapping[str, Any]]]:
        """futures/User/Get User's Account Flow Information; the next page begins after the last row's id."""
        last: str | None = None
        while True:
            params = {"direction": "NEXT", "endTime": str(end)}
            if last is not None:
                params["id"] = last
            params |= {"limit": str(ROWS_PER_PAGE), "startTime": str(start)}
            items, more = _page(self._ask_futures(LEDGERS[kind], "/future/user/v1/balance/bills", params), kind)
            yield items
            if not more:
                return
            reached = _id(items[-1].get("id")) if items else None
            if reached is None or reached == last:
                raise TryLater(f"Could not look it up: the ledger of {kind} does not go on.")
            last = reached

    def _earn_pages(self, start: int, end: int) -> Iterable[list[Mapping[str, Any]]]:
        """earn/Query/Bills"""
        for number in itertools.count(1):
            params = {"endTime": str(end), "page": str(number), "size": str(ROWS_PER_PAGE), "startTime": str(start)}
            items, more = _page(self._ask("sapi", "/v4/finance/bills", params), "FINANCE")
            yield items
            if not more:
                return

    # Questions, answers and the clock

    def _ask(self, host: str, path: str, params: Mapping[str, str] | None = None, *, signed: bool = True) -> Any:
        """The `result` of a question to sapi or api. Raises TryLater and Barred only."""
        return self._converse(host, path, params, SpotSignature if signed else None)

    def _ask_futures(self, host: str, path: str, params: Mapping[str, str] | None = None) -> Any:
        """The `result` of a question to fapi or dapi. Raises TryLater and Barred only."""
        return self._converse(host, path, params, FuturesSignature)

    def _converse(
        self,
        host: str,
        path: str,
        params: Mapping[str, str] | None,
        signature: "type[SpotSignature | FuturesSignature] | None",
    ) -> Any:
        def put() -> Answer:
            auth = None if signature is None else self._sign(signature, datetime.now(UTC))
            return self._wire.read(path, params=params, host=host, auth=auth, headers=JSON)

        reply = put()
        meaning, words, evidence = self._judge(host, reply)
        if meaning is Meaning.SKEWED:
            # A question may be asked twice; the second signature measures the clock first.
            reply = put()
            meaning, words, evidence = self._judge(host, reply)
        if meaning is Meaning.TAKEN:
            return (reply.json_object() or {}).get("result")
        evidence["request"] = f"GET {path}"
        raise self._turned_away(host, meaning, f"Could not read: {words}.", evidence)

    def _judge(self, host: str, reply: Answer) -> tuple[Meaning, str, dict[str, Any]]:
        """The meaning, the words with XT's own code, and redacted evidence. Notes a skewed clock."""
        envelope = reply.json_object() or {}
        if host in ("fapi", "dapi"):
            code, text = _futures_error(envelope)
            meaning, words = judge_futures(reply.status, code, text)
            known = code in ("", None) or code in FUTURES_CODES or str(reply.status) == code
            known = known and reply.status in (200, *FUTURES_STATUSES)
        else:
            # Redacted before the words are made of them: a gateway may echo a key back.
            rc, code = (self._wire.redact.text(word) if word else word for word in _codes(envelope))
            text = ""
            meaning, words = judge(reply.status, rc, code)
            known = (code is None or code in MESSAGES) and reply.status in (200, *HTTP_STATUSES)
        if meaning is Meaning.SKEWED:
            self._clock.stale = True
        evidence = self._wire.redact.evidence({**reply.evidence(), "code": code, "text": text})
        if not known:
            logger.error("XT answered in a way that this program does not know: %s", evidence)
        if code and meaning is not Meaning.TAKEN:
            named = evidence["code"] if not text else f"{evidence['code']}: {evidence['text']}"
            words = f"{words} (code {named[:200]})"
        return meaning, words, evidence

    def _turned_away(self, host: str, meaning: Meaning, words: str, evidence: Mapping[str, Any]) -> VenueError:
        """The error for a question without an answer, and for a transfer turned away at the door."""
        if meaning is Meaning.BARRED:
            return Barred(words, evidence=evidence)
        locked = meaning is Meaning.LIMITED and host in ("fapi", "dapi")
        return TryLater(words, retry_at=datetime.now(UTC) + AFTER_FUTURES_LOCK if locked else None, evidence=evidence)

    def _sign(
        self, signature: "type[SpotSignature | FuturesSignature]", at: datetime
    ) -> "SpotSignature | FuturesSignature":
        """A signature for that moment. Raises TryLater when a stale clock cannot be measured again."""
        if self._clock.stale:
            self._measure_clock()
        return signature(self._credentials, self._clock.to_server(at - SIGN_BEHIND))

    def _measure_clock(self) -> None:
        """Ask spot/Market/GetServerTime; the answer is taken for the middle of the round trip."""
        before = time.time_ns()
        result = self._ask("sapi", "/v4/public/time", signed=False)
        after = time.time_ns()
        now = str(result.get("serverTime")) if isinstance(result, Mapping) else ""
        if not re.fullmatch(r"[0-9]{13}", now):
            raise TryLater("Could not read XT's clock: the answer names no time.")
        with self._clock.lock:
            self._clock.ahead = int(now) - (before + after) // 2_000_000
            self._clock.doubt = (after - before) // 2_000_000 + 2
            self._clock.stale = False


# spot/Access Description/BasicInformationOfTheInterface
JSON = {"Content-Type": "application/json"}


def milliseconds(length: timedelta) -> int:
    """A length of time in whole milliseconds, rounded down."""
    return length // timedelta(milliseconds=1)


def _kind(address: str) -> str:
    return address.partition(":")[0]


def _insist_on_route(source: str, destination: str) -> None:
    for address in (source, destination):
        kind, colon, pair = address.partition(":")
        if kind not in KINDS or (kind == "LEVER") != bool(colon):
            raise Refused(f"Not sent. Nothing moved: XT has no account {address!r}.")
        if colon and not re.fullmatch(r"[a-z0-9.-]+_[a-z0-9.-]+", pair):
            raise Refused(f"Not sent. Nothing moved: {pair!r} is not a pair as XT writes it, like btc_usdt.")
    if source == destination:
        raise Refused("Not sent. Nothing moved: source and destination are the same account.")
    if _kind(source) == _kind(destination):
        raise Refused("Not sent. Nothing moved: XT moves nothing from one margin pair to another.")


def _insist_sendable(instruction: Instruction, answer: str | None) -> None:
    _insist_on_route(instruction.source, instruction.destination)
    if not instruction.amount.is_finite() or instruction.amount <= 0:
        raise Refused("Not sent. Nothing moved: the amount is not more than zero.")
    if len(plain(instruction.amount)) > LONGEST_AMOUNT:
        raise Refused(f"Not sent. Nothing moved: the amount is longer than {LONGEST_AMOUNT} characters.")
    if not re.fullmatch(r"[a-z0-9._-]+", instruction.asset):
        raise Refused(f"Not sent. Nothing moved: {instruction.asset!r} is not a currency as XT writes it.")
    for address in (instruction.source, instruction.destination):
        pair = address.partition(":")[2]
        if pair and instruction.asset not in pair.split("_"):
            raise Refused(f"Not sent. Nothing moved: {address} holds the two currencies of its pair only.")
    if answer is not None:
        raise Refused("Not sent. Nothing moved: XT asks for no confirmation, so there is nothing to answer.")


def _body(instruction: Instruction) -> dict[str, str]:
    """The words of spot/Transfer/TransferBetweenUserSystems. A UUID is well below LONGEST_BIZ_ID."""
    body = {
        "bizId": str(instruction.key),
        "currency": instruction.asset,
        "amount": plain(instruction.amount),
        "from": _kind(instruction.source),
        "to": _kind(instruction.destination),
    }
    pair = (instruction.source.partition(":")[2]) or (instruction.destination.partition(":")[2])
    return {**body, "symbol": pair} if pair else body


def _login(accounts: object, futures: str | None) -> str:
    """The id of the account that the key belongs to. Raises TryLater when the answers leave it open."""
    try:
        known = [_id(row.get("id")) for row in _objects(accounts)]
    except ValueError:
        known = []
    if not known or None in known:
        raise TryLater("Could not read who the login is: XT did not name its accounts.")
    if len(known) == 1:
        return str(known[0])
    if futures not in known:
        raise TryLater(f"Could not read who the login is: XT names {len(known)} accounts and not which is this key's.")
    return str(futures)


def _currency(row: Mapping[str, Any]) -> Currency:
    decimals = _word(row, "maxPrecision")
    if not re.fullmatch(r"[0-9]{1,2}", decimals):
        raise ValueError("a currency has no precision.")
    return Currency(decimals=int(decimals), movable=_word(row, "transferEnabled") == "1")


def _futures_error(envelope: Mapping[str, Any]) -> tuple[str | None, str]:
    """The code ("" is success, None: not an answer of theirs) and the text, from returnCode and error."""
    if _word_or_none(envelope.get("returnCode")) not in ("0", "1"):
        return None, ""
    error = envelope.get("error")
    error = error if isinstance(error, Mapping) else {}
    code = _word_or_none(error.get("code")) or ""
    if not code and envelope["returnCode"] not in (0, "0"):
        code = "failure"
    return code, str(error.get("msg") or "")


def _codes(envelope: Mapping[str, Any]) -> tuple[str | None, str | None]:
    return _word_or_none(envelope.get("rc")), _word_or_none(envelope.get("mc"))


def _page(result: object, kind: str) -> tuple[list[Mapping[str, Any]], bool]:
    """The rows of a page and whether another follows. Raises TryLater for anything that is not a page."""
    page = result if isinstance(result, Mapping) else {}
    try:
        items = _objects(page.get("items"))
    except ValueError:
        items = None
    if items is None or page.get("hasNext") not in (True, False):
        raise TryLater(f"Could not look it up: the answer is not a page of the ledger of {kind}.")
    return items, bool(page["hasNext"])


def _futures_row(kind: str, item: Mapping[str, Any]) -> Row | None:
    """A row that is a transfer or may be one. Raises ValueError for a row that cannot be read."""
    word, side = _word(item, "type"), _word(item, "side")
    if FUTURES_TYPES.get(word) is False:
        return None
    amount = _amount(item.get("amount"))
    if side not in FUTURES_SIDES or (amount < 0 and FUTURES_SIDES[side]):
        raise ValueError("its side is not known.")
    return Row(
        name=f"{kind}:{_word(item, 'id')}",
        at=_moment(item.get("createdTime")),
        asset=_word(item, "coin").lower(),
        amount=EXACT.abs(amount),
        inward=FUTURES_SIDES[side],
        certain=word in FUTURES_TYPES,
        seen=item,
    )


def _earn_row(kind: str, item: Mapping[str, Any]) -> Row | None:
    """A row that is a transfer or may be one. Raises ValueError for a row that cannot be read."""
    word = _word(item, "type")
    if EARN_TYPES.get(word) is False:
        return None
    amount = _amount(item.get("amount"))
    inward = EARN_SIDES.get(word, amount > 0)
    if amount < 0 and EARN_SIDES.get(word):
        raise ValueError("its amount is negative.")
    return Row(
        name=f"{kind}:{_word(item, 'orderId')}",
        at=_moment(item.get("createTime")),
        asset=_word(item, "currency").lower(),
        amount=EXACT.abs(amount),
        inward=inward,
        certain=word in EARN_TYPES and item.get("status") == EARN_DONE,
        seen=item,
    )


def _complete(found: Mapping[str, list[VenueBalance]], failed: Mapping[str, VenueError]) -> list[VenueBalance]:
    """Every account's rows; spot and futures get a zero for what they lack and another account holds."""
    now = datetime.now(UTC)
    held = {row.asset for rows in found.values() for row in rows if row.total is None or row.total}
    # At least one, so that an emptied account is seen to be empty.
    shown = sorted(held - {EVERY_ASSET}) or ["usdt"]
    rows = [_unreadable(address, EVERY_ASSET, now, error.words) for address, error in failed.items()]
    for address, read in found.items():
        if address == "FINANCE" or address not in KINDS:
            rows += read
            continue
        known = {row.asset: row for row in read}
        zero = Decimal(0)
        for asset in shown:
            absent = VenueBalance(address=address, asset=asset, total=zero, movable=zero, observed_at=now)
            rows.append(known.get(asset, absent))
    return rows


def _by_asset(listed: object, word: str, address: str) -> dict[str, Mapping[str, Any]]:
    """The rows by asset. Raises TryLater when the list cannot be taken for a complete one."""
    rows: dict[str, Mapping[str, Any]] = {}
    try:
        for row in _objects(listed):
            asset = _word(row, word)
            if asset in rows:
                raise ValueError("an asset is listed twice")
            rows[asset] = row
    except ValueError:
        raise TryLater(f"Could not read {address}: the answer is not a list of different assets.") from None
    return rows


def _objects(listed: object) -> list[Mapping[str, Any]]:
    """The list, if it is one of JSON objects. Raises ValueError."""
    if not isinstance(listed, list) or not all(isinstance(row, Mapping) for row in listed):
        raise ValueError("the answer is not a list of objects.")
    return listed


def _word(row: Mapping[str, Any], name: str) -> str:
    """A text or whole number as text. Raises ValueError."""
    found = _word_or_none(row.get(name))
    if not found:
        raise ValueError(f"{name} is missing.")
    return found


def _word_or_none(value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return str(value)


def _id(value: object) -> str | None:
    """An id as text, whatever its size; None for anything that is not a whole number in digits."""
    found = _word_or_none(value)
    return found if found is not None and re.fullmatch(r"[0-9]{1,40}", found) else None


def _moment(value: object) -> int:
    """Milliseconds since 1970. Raises ValueError."""
    found = _word_or_none(value) or ""
    if not re.fullmatch(r"[0-9]{13}", found):
        raise ValueError("its time is not in milliseconds.")
    return int(found)


def _amount(written: object) -> Decimal:
    """An amount, written as text or as a number. Raises ValueError for anything that is not a finite number."""
    told = written if isinstance(written, str | int | Decimal) and not isinstance(written, bool) else ""
    try:
        amount = Decimal(told)
    except InvalidOperation:
        raise ValueError("an amount is not a number.") from None
    if not amount.is_finite():
        raise ValueError("an amount is not a finite number.")
    return amount


def _unreadable(address: str, asset: str, at: datetime, problem: str) -> VenueBalance:
    return VenueBalance(address=address, asset=asset, total=None, movable=None, observed_at=at, problem=problem)


VENUE = Venue(
    title="XT",
    credentials=Credentials,
    hosts={
        "production": {
            "sapi": "https://sapi.xt.com",
            "fapi": "https://fapi.xt.com",
            "dapi": "https://dapi.xt.com",
            "api": "https://api.xt.com",
        },
    },
    build=XT,
    account_kinds=KINDS,
    routes=ROUTES,
    records_carry_key=False,
    # spot/Balance/GetBalances: 10 a second and key. futures/Access Description/FrequencyLimitingRules: 3 a second
    # for assets, a breach locks the account; a look-up and a reading of all balances ask several times.
    limits={
        "send": Limit(calls=10, per=timedelta(seconds=1)),
        "look_up": Limit(calls=1, per=timedelta(seconds=1)),
        "assets": Limit(calls=5, per=timedelta(seconds=1)),
        "balances": Limit(calls=1, per=timedelta(seconds=1)),
    },
    resend=Resend(until=RESEND_UNTIL, after_empty_look_up=True, unsearchable=UNSEARCHABLE),
    absent_after=None,
    settle_limit=timedelta(minutes=30),
    signed_window=SIGNED_WINDOW,
    accounts_read_per_asset=False,
    amount_decimals=None,
    unreadable_kinds=frozenset() if EARN_SHOWS_ALL else frozenset({"FINANCE"}),
)
