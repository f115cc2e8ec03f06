"""Bitget: transfers between the account types of one classic account (v2 interface).

Documentation: https://www.bitget.com/api-doc (the paths below are paths of that site), and its table of REST
errors, https://www.bitget.com/legacy-docs/classic/contract/error-code/restapi. Peculiar:

* A unified account (UTA) gets 40085 for every signed call of this interface. Such a login is Barred, in words.
* Success is `code` "00000" in the body. Errors come with HTTP 200 or 400, and no document ties codes to HTTP
  statuses: the body is read at any status and its code decides, except that a 5xx is always a doubt.
* The answer to a transfer has no status. "00000" says that it was taken; only its record says that money moved
  (spot/account/Wallet-Transfer, spot/account/Get-Account-TransferRecords). So no Receipt is ever settled.
* A repeated `clientOid` is answered with the result of the existing transfer (spot/account/Wallet-Transfer). The
  tables hold codes for a duplicate all the same: each is a doubt. Ours is the key as 32 hexadecimal digits, which
  every documented format of a clientOid allows.
* `symbol` is sent when one side is an isolated-margin account, and only then. There is one, so money never goes
  straight from one pair to another.
* `amount` is a quoted string.
* Values in a query are letters, digits, `-` and `_` only: the documents do not agree on whether the encoded or the
  decoded query is signed, and for these there is no difference.
* Coin ids are case-sensitive (`preSPAX`) and kept exactly. Records may write them in lower case, so records alone
  are compared without case. A token may have another id on futures than on spot: assets() tells what may move.
* Demo trading is the same host with another header and its own keys, and much of it is closed (40081, 40105, 40110).
  It is not offered; a demo key is answered with 40099.

UNVERIFIED, said by no document, and isolated in a constant or named here:

* ABSENT_AFTER: after so long, empty searches mean that the venue never took the transfer. None would mean never.
* ABSENT_UNTIL: records are kept for at least so long. An empty search of an older transfer proves nothing.
* Whether a search by clientOid ages out (one for spot orders does, after two hours), and what is searched when no
  window is named: we always name one, and ABSENT needs a second empty search by time alone.
* How long clientOids are remembered, and what a used one does with other words: Resend below, and records are
  compared word for word.
* AMOUNT_DECIMALS: at most 8 is documented (43125, 50063), each coin's own precision is not; neither are the smallest
  amounts.
* Which pairs of account types are legal: routes() names all; assets() asks, and has no coin where there is no way.
* SPOT_PARTS: that these add up to what is held, and that `limitAvailable` (copy trading) is no further part.
* Whether `accountEquity` of futures contains trading bonuses. Unrealised profit and loss is in it.
* TRANSFER_RIGHT and the other words of `authorities`: the page lists them, but its sample has others.
* Whether the `transferId` of the answer is that of the record: it is never compared.
* How long a new record takes to show up, and whether one that is Processing may still fail: both are allowed for.
* How to ask for the next page of records (copies of the page disagree): a page that comes twice ends the search in
  TryLater.
* What is done about HTTP 429: AFTER_LIMIT and AFTER_REPEATED_LIMITS, longer if a Retry-After says so.
"""

import base64
import functools
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
from typing import Any, NamedTuple

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

ABSENT_AFTER: timedelta | None = timedelta(hours=1)
ABSENT_UNTIL = timedelta(days=7)
AMOUNT_DECIMALS = 8
SPOT_PARTS = ("available", "frozen", "locked")
TRANSFER_RIGHT = "wtow"

# A request is served while its timestamp is less than 30 s from the server's clock; and a margin for an offset of that
# clock that we measured wrongly.
SIGNED_WINDOW = timedelta(seconds=30) + timedelta(seconds=30)
LOOK_UP_EARLY = timedelta(seconds=60)
# A record is made when the transfer is; the venue allows up to 90 days.
LOOK_UP_WINDOW = timedelta(days=1)
RECORDS_PER_PAGE = 500
LOOK_UP_PAGES = 10
ASSETS_KEPT = timedelta(minutes=10)
AFTER_LIMIT = timedelta(seconds=1)
AFTER_REPEATED_LIMITS = timedelta(minutes=5)
REPEATED = 3
LONGEST_WAIT = timedelta(hours=1)

TRANSFER = "/api/v2/spot/wallet/transfer"
RECORDS = "/api/v2/spot/account/transferRecords"

# spot/account/Wallet-Transfer, fromType and toType.
ISOLATED = "isolated_margin"
KINDS = {
    "spot": "Spot",
    "p2p": "Funding (P2P)",
    "usdt_futures": "USDT-M futures",
    "coin_futures": "Coin-M futures",
    "usdc_futures": "USDC-M futures",
    "crossed_margin": "Cross margin",
    ISOLATED: "Isolated margin",
}
ROUTES = tuple(itertools.permutations(KINDS, 2))
# Older pages and other programs write these for the same accounts.
FORMER_KINDS = {
    "funding": "p2p",
    "usdt_m_futures": "usdt_futures",
    "coin_m_futures": "coin_futures",
    "usdc_m_futures": "usdc_futures",
    "cross_margin": "crossed_margin",
}
# contract/account/Get-Account-List, productType.
PRODUCT_TYPES = {
    "usdt_futures": "USDT-FUTURES",
    "coin_futures": "COIN-FUTURES",
    "usdc_futures": "USDC-FUTURES",
}
# spot/account/Get-Account-Info, authorities: the rights of which any one lets these balances be read.
READING_RIGHTS = {
    "spot": {"stor", "stow"},
    "funding (P2P)": {"p2pr", "p2pw", "p2p"},
    "futures": {"coor", "coow", "cpor", "cpow"},
    "margin": {"smor", "smow"},
}
OTHER_RIGHTS = {TRANSFER_RIGHT, "wtor", "wwow", "ttor", "ttow", "taxr", "taxw", "chor", "chow", "pllr", "pllw"}
WITHDRAWAL_RIGHT = "wwow"

MISSING_RIGHT = "40014"
NO_SUCH_TRANSFER = "40781"
PARAMETER_DOUBT = "40808"

EXACT = Context(prec=100)


@dataclass(frozen=True)
class Credentials:
    """An API key of the kind that Bitget generates (HMAC), with the right to transfer, and its passphrase."""

    api_key: str = field(repr=False, metadata={"title": "API key"})
    api_secret: str = field(repr=False, metadata={"title": "API secret"})
    passphrase: str = field(repr=False, metadata={"title": "Passphrase"})

    def __post_init__(self) -> None:
        insist_printable([("api_key", self.api_key), ("api_secret", self.api_secret), ("passphrase", self.passphrase)])


class Signature(httpx.Auth):
    """Signs timestamp, method, path with query, and body as they are on the wire; HMAC-SHA256 in Base64
    (common/signature)."""

    requires_request_body = True

    def __init__(self, credentials: Credentials, timestamp: int) -> None:
        """`timestamp` is in milliseconds, on the server's clock."""
        self._credentials = credentials
        self._timestamp = str(timestamp)

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        message = (self._timestamp + request.method).encode("ascii") + request.url.raw_path + request.content
        digest = hmac.new(self._credentials.api_secret.encode("ascii"), message, hashlib.sha256).digest()
        request.headers["ACCESS-KEY"] = self._credentials.api_key
        request.headers["ACCESS-SIGN"] = base64.b64encode(digest).decode("ascii")
        request.headers["ACCESS-TIMESTAMP"] = self._timestamp
        request.headers["ACCESS-PASSPHRASE"] = self._credentials.passphrase
        yield request


class Meaning(Enum):
    """What an answer to a transfer says about the money of this request."""

    TAKEN = "taken"  # only the record says whether it moved
    REFUSED = "refused"  # nothing moved
    UNCERTAIN = "uncertain"  # look it up
    LIMITED = "limited"  # nothing moved, too many calls
    BARRED = "barred"  # nothing moved; key, permission or region
    SKEWED = "skewed"  # nothing moved; our timestamp was outside the window


Row = tuple[Meaning, str]


def _each(meaning: Meaning, words: str, codes: str) -> dict[str, Row]:
    return dict.fromkeys(codes.split(), (meaning, words))


# The table of REST errors, plus the codes that only clients in wide use have on record (40004, 40099, 40604, 40708,
# 40786, 40911, 43152, 50008, 50009). Bitget's words are vague in places; what may be half done is UNCERTAIN. Whatever
# is not here is UNCERTAIN too.
CODES: Mapping[str, Row] = {
    **_each(Meaning.TAKEN, "taken", "00000"),
    **_each(Meaning.SKEWED, "the timestamp is not that of Bitget's clock", "40004 40005 40008 40078 40079 40911"),
    **_each(Meaning.LIMITED, "too many calls", "429 1001 30014 30026 25004 50009 59044 70228"),
    **_each(
        Meaning.BARRED,
        "the key, its signature or its passphrase is missing or wrong",
        "40001 40002 40003 40006 40007 40009 40011 40012 40036 40037 40041",
    ),
    **_each(Meaning.BARRED, "the key lacks a permission", MISSING_RIGHT),
    **_each(Meaning.BARRED, "the key's permissions are not set up right", "40040"),
    **_each(Meaning.BARRED, "this address is not among those that the key is bound to", "40018 40038"),
    **_each(Meaning.BARRED, "the key has to be bound to an address first", "22010"),
    **_each(Meaning.BARRED, "the identity has to be verified first", "40035 40101"),
    **_each(
        Meaning.BARRED,
        "the account is restricted, frozen or closed, or its security is not set up",
        "40013 40016 40022 40023 40024 40025 40026 40031 40199 40710 40760",
    ),
    **_each(Meaning.BARRED, "this region is not served", "40000 40100 40103 40104 40111"),
    **_each(
        Meaning.BARRED,
        "the key belongs to the other environment: a demo key on live trading, or the other way round",
        "40099",
    ),
    **_each(
        Meaning.BARRED,
        "this is a unified account (UTA), and Bitget closes the classic interface, which this program speaks, to such "
        "accounts; only a login whose account is a classic one can be used",
        "40085",
    ),
    **_each(Meaning.BARRED, "this login may not use Bitget's VIP host", "40086"),
    **_each(Meaning.REFUSED, "demo trading cannot do this", "40081 40105 40110"),
    **_each(Meaning.REFUSED, "this account may not do that", "40128 40301 40805 40847 40919"),
    **_each(Meaning.REFUSED, "there is no such path", "40404"),
    **_each(
        Meaning.REFUSED,
        "a parameter is missing or wrong",
        "40017 40019 40020 40034 40053 40057 40058 40059 40064 40304 40305 40402 40408 40409 40724 40811 40812 40813 "
        "41002 41100 41101 41103 43011 43058 43111 43123 48001 48002 50011 50061 80001 400171 400172 01001 01002",
    ),
    **_each(Meaning.REFUSED, "the window of time is not accepted", "00001 40704 40705 40707 42072 43130"),
    **_each(Meaning.REFUSED, "the amount has more than 8 decimals", "43125 50063"),
    **_each(Meaning.REFUSED, "the amount is below the smallest that may be transferred", "40799"),
    **_each(Meaning.REFUSED, "the amount is more than may be transferred out now", "40801 43117 43152 70226"),
    **_each(
        Meaning.REFUSED,
        "the balance or the margin is too small",
        "40754 40756 40798 40800 43012 43132 45002 45004 50020 50052",
    ),
    **_each(Meaning.REFUSED, "this coin cannot be transferred there", "40806 41104 43129 50059 25110 50032"),
    **_each(Meaning.REFUSED, "the account does not exist", "40807 45019 50021 70020"),
    **_each(
        Meaning.REFUSED,
        "the coin or the pair does not fit this margin account",
        "50001 50002 50003 50004 50024 50039",
    ),
    **_each(Meaning.REFUSED, "accounts of this kind may not transfer that way", "40077 43127 43134"),
    **_each(Meaning.REFUSED, "this margin may not be moved now", "40714 40802"),
    **_each(Meaning.REFUSED, "copy trading is in progress", "40850"),
    **_each(
        Meaning.REFUSED,
        "a liquidation, a risk check or a freeze stands in the way; a person has to act",
        "40879 25011 50022 50023 50064 43136 45009 50012 50013 70209",
    ),
    **_each(Meaning.REFUSED, "these funds are held back for now", "40907 40936"),
    **_each(
        Meaning.UNCERTAIN,
        "the client id is taken: an earlier request arrived",
        "43118 45034 50060 25212 40786 40708",
    ),
    **_each(Meaning.UNCERTAIN, "a transfer is in progress", "40909 43137"),
    **_each(Meaning.UNCERTAIN, "the server timed out", "40010 40910 25001 50008"),
    **_each(
        Meaning.UNCERTAIN,
        "the system had an error, or is being upgraded",
        "40015 40200 40604 40725 45001 49040 50031 80002 25000 43059 40846 40856",
    ),
    **_each(Meaning.UNCERTAIN, "another operation came in between", "40908 25003"),
    **_each(Meaning.UNCERTAIN, "the transfer failed, perhaps half way", "40782 40788 40904 40905 40906 42013"),
    **_each(Meaning.UNCERTAIN, "a check of the parameters failed, or a release is under way", PARAMETER_DOUBT),
    **_each(Meaning.UNCERTAIN, "there is no such transfer", NO_SUCH_TRANSFER),
}

# spot/account/Get-Account-TransferRecords, status, in lower case; whatever is not here is UNCLEAR.
RECORD_STATUSES: Mapping[str, State] = {
    "successful": State.DONE,
    "processing": State.PENDING,
    "failed": State.FAILED,
}

_UNKNOWN: Row = (Meaning.UNCERTAIN, "a code that this program does not know")
_NAMES_A_PARAMETER = re.compile(r"\b(?:fromType|toType|amount|coin|symbol|clientOid|checkBDScale)\b")


def judge(status: int, code: str | None, text: str) -> Row:
    """What an answer to a transfer means, from HTTP status, code (None: no such body) and text."""
    if code is None:
        if status == 429:
            return Meaning.LIMITED, "too many calls from this address"
        return Meaning.UNCERTAIN, f"HTTP status {status} and an answer that is not Bitget's"
    meaning, words = CODES.get(code, _UNKNOWN)
    if status >= 500 and meaning is not Meaning.UNCERTAIN:
        return Meaning.UNCERTAIN, f"HTTP status {status}, whatever its code says: {words}"
    if meaning is Meaning.TAKEN and status != 200:
        return Meaning.UNCERTAIN, f"HTTP status {status} and the code of success contradict each other"
    if code == PARAMETER_DOUBT and _NAMES_A_PARAMETER.search(text):
        return Meaning.REFUSED, "a parameter is wrong"
    return meaning, words


class Shared:
    """What all logins at one origin share: how far its clock is ahead of ours, in milliseconds, and how often in a row
    it said that we ask too often."""

    def __init__(self) -> None:
        self.ahead = 0
        self.stale = False
        self.lock = threading.Lock()
        self.limited = 0

    def to_server(self, moment: datetime) -> int:
        """The moment on the server's clock, in milliseconds since 1970."""
        return milliseconds(moment - EPOCH) + self.ahead


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_shared: dict[str, Shared] = {}

# The isolated-margin pairs that a login was last seen to have, by origin and a digest of its key. A connector lives for
# one call or two, and an account that cannot be read now must still be named.
_pairs_seen: dict[tuple[str, str], list[str]] = {}


class Side(NamedTuple):
    """One end of a transfer, as the venue names it: the account type, and for isolated margin its pair."""

    kind: str
    pair: str | None


class Bitget:
    """One login at Bitget; see `connectors.core.protocol.Connector` for what the methods promise."""

    def __init__(self, credentials: Credentials, wire: Wire) -> None:
        self._credentials = credentials
        self._wire = wire
        self._shared = _shared.setdefault(wire.origin("api"), Shared())
        self._me = wire.origin("api"), hashlib.sha256(credentials.api_key.encode("ascii")).hexdigest()
        self._coins_kept: dict[tuple[str, str], tuple[float, list[str]]] = {}

    # Who and what

    def check(self) -> Check:
        """Ask common/public/Get-Server-Time and spot/account/Get-Account-Info."""
        self._measure_clock()
        info = self._ask("/api/v2/spot/account/info")
        login = info.get("userId") if isinstance(info, Mapping) else None
        if isinstance(login, bool) or not isinstance(login, int | str) or not str(login):
            raise TryLater("Could not read who the login is: Bitget did not name a user.")
        listed = info.get("authorities")
        rights = {str(right) for right in listed} if isinstance(listed, list) else set()
        words = ["A classic account.", *_in_words(rights), _addresses_in_words(info.get("ips"))]
        if abs(self._shared.ahead) >= 1000:
            words.append(f"Bitget's clock is {self._shared.ahead / 1000:+.1f} s from ours; signatures allow for it.")
        return Check(
            login=str(login),
            may_transfer=TRANSFER_RIGHT in rights,
            words=[self._wire.redact.text(sentence) for sentence in words],
            clock_offset=timedelta(milliseconds=self._shared.ahead),
        )

    def accounts(self) -> list[VenueAccount]:
        """Six accounts that every login has, and the isolated-margin pairs for which the venue has a row.

        A key without the right to read margin sees no pairs.
        """
        try:
            pairs = list(self._isolated_rows())
        except Barred as error:
            if error.evidence.get("code") != MISSING_RIGHT:
                raise
            logger.warning("Bitget did not tell which isolated-margin accounts there are: %s", error.words)
            pairs = []
        single = [
            VenueAccount(address=kind, kind=kind, title=title) for kind, title in KINDS.items() if kind != ISOLATED
        ]
        return single + [
            VenueAccount(address=_address(pair), kind=ISOLATED, title=f"{KINDS[ISOLATED]} {pair}") for pair in pairs
        ]

    def routes(self) -> list[tuple[str, str]]:
        return list(ROUTES)

    def assets(self, source: str, destination: str) -> list[str]:
        """Ask spot/account/Get-Transfer-Coins, at most once in ten minutes for the same two kinds.

        An isolated-margin account takes the two coins of its pair only.
        """
        sides = _insist_on_route(source, destination)
        coins = list(self._transferable(sides[0].kind, sides[1].kind))
        for side in sides:
            if side.pair is not None:
                coins = _coins_of(side.pair, coins)
        return coins

    def _transferable(self, source: str, destination: str) -> list[str]:
        kept = self._coins_kept.get((source, destination))
        if kept is not None and time.monotonic() - kept[0] < ASSETS_KEPT.total_seconds():
            return kept[1]
        coins = self._ask("/api/v2/spot/wallet/transfer-coin-info", {"fromType": source, "toType": destination})
        if not isinstance(coins, list) or not all(isinstance(coin, str) and coin for coin in coins):
            raise TryLater("Could not read which coins may move: the answer is not a list of coins.")
        coins = sorted(set(coins))
        self._coins_kept[source, destination] = time.monotonic(), coins
        return coins

    # Balances

    def balances(self) -> list[VenueBalance]:
        """Every account, each with a row for every coin that any has; an isolated pair for its own coins only.

        One that cannot be read is a single row for EVERY_ASSET. Raises Barred only when all are barred.
        """
        reads: dict[str, Callable[[], Mapping[str, list[VenueBalance]]]] = {
            "spot": functools.partial(self._wallet, "spot", "/api/v2/spot/account/assets", SPOT_PARTS),
            "p2p": functools.partial(self._wallet, "p2p", "/api/v2/account/funding-assets", ("available", "frozen")),
            **{kind: functools.partial(self._futures, kind) for kind in PRODUCT_TYPES},
            "crossed_margin": self._crossed,
            ISOLATED: self._isolated,
        }
        found: dict[str, dict[str, VenueBalance]] = {}
        failed: dict[str, VenueError] = {}
        for kind, read in reads.items():
            try:
                answer = read()
            except VenueError as error:
                failed[kind] = error
            else:
                found |= {address: {row.asset: row for row in rows} for address, rows in answer.items()}
        if len(failed) == len(reads) and all(isinstance(error, Barred) for error in failed.values()):
            raise failed["spot"]
        return self._complete(found, failed)

    def _complete(
        self, found: Mapping[str, Mapping[str, VenueBalance]], failed: Mapping[str, VenueError]
    ) -> list[VenueBalance]:
        now = datetime.now(UTC)
        # At least one, so that an emptied account is seen to be empty.
        assets = sorted({asset for rows in found.values() for asset in rows}) or ["USDT"]
        zero = Decimal(0)
        complete = []
        for address, rows in found.items():
            _, _, pair = address.partition(":")
            for asset in assets:
                if asset in rows or not pair or _may_be_of(pair, asset):
                    absent = VenueBalance(address=address, asset=asset, total=zero, movable=zero, observed_at=now)
                    complete.append(rows.get(asset, absent))
        for kind, error in failed.items():
            known = [_address(pair) for pair in _pairs_seen.get(self._me, [])] if kind == ISOLATED else []
            complete += [_unreadable(address, EVERY_ASSET, now, error.words) for address in known or [kind]]
        return complete

    def _wallet(self, kind: str, path: str, parts: tuple[str, ...]) -> dict[str, list[VenueBalance]]:
        """spot/account/Get-Account-Assets (by default the coins held) and common/account/Funding-Assets."""
        rows = _rows(self._ask(path), "coin", kind)
        now = datetime.now(UTC)
        listed = []
        for coin, row in rows.items():
            try:
                amounts = {part: _amount(row.get(part)) for part in parts if not _is_blank(kind, part, row)}
                movable = _amount(row.get("available"))
            except ValueError:
                listed.append(_unreadable(kind, coin, now, f"The balance of {coin} is not a number."))
                continue
            listed.append(
                VenueBalance(
                    address=kind,
                    asset=coin,
                    total=functools.reduce(EXACT.add, amounts.values()),
                    movable=movable,
                    observed_at=now,
                )
            )
        return {kind: listed}

    def _futures(self, kind: str) -> dict[str, list[VenueBalance]]:
        """contract/account/Get-Account-List, where `maxTransferOut` is what may move."""
        rows = _rows(
            self._ask("/api/v2/mix/account/accounts", {"productType": PRODUCT_TYPES[kind]}), "marginCoin", kind
        )
        now = datetime.now(UTC)
        listed = [
            _stated(kind, coin, now, row.get("accountEquity"), row.get("maxTransferOut")) for coin, row in rows.items()
        ]
        for coin, balance in _further_margin(rows, kind).items():
            listed.append(_stated(kind, coin, now, balance, None))
        return {kind: listed}

    def _crossed(self) -> dict[str, list[VenueBalance]]:
        """margin/cross/account/Get-Cross-Assets; what may move is asked for coin by coin."""
        kind = "crossed_margin"
        rows = _rows(self._ask("/api/v2/margin/crossed/account/assets"), "coin", kind)
        now = datetime.now(UTC)
        free: dict[str, object] = {coin: "0" for coin, row in rows.items() if _has_nothing(row)}
        problem = None
        for coin in (coin for coin in rows if coin not in free and _SAFE.fullmatch(coin)):
            try:
                out = self._ask("/api/v2/margin/crossed/account/max-transfer-out-amount", {"coin": coin})
            except VenueError as error:
                problem = f"How much may move is not known. {error.words}"
                break
            if isinstance(out, Mapping) and str(out.get("coin")).upper() == coin.upper():
                free[coin] = out.get("maxTransferOutAmount")
        return {kind: [_stated(kind, coin, now, rows[coin].get("net"), free.get(coin), problem) for coin in rows]}

    def _isolated(self) -> dict[str, list[VenueBalance]]:
        """margin/isolated/account/Get-Isolated-Assets; what may move is asked for pair by pair."""
        listed: dict[str, list[VenueBalance]] = {}
        problem = None
        for pair, rows in self._isolated_rows().items():
            now = datetime.now(UTC)
            free: dict[str, object] = {coin.upper(): "0" for coin, row in rows.items() if _has_nothing(row)}
            if len(free) < len(rows) and problem is None:
                try:
                    free |= self._out_of(pair)
                except VenueError as error:
                    problem = f"How much may move is not known. {error.words}"
            address = _address(pair)
            listed[address] = [
                _stated(address, coin, now, row.get("net"), free.get(coin.upper()), problem)
                for coin, row in rows.items()
            ]
        return listed

    def _isolated_rows(self) -> dict[str, dict[str, Mapping[str, Any]]]:
        """Pair, coin, row. Remembers the pairs."""
        answer = self._ask("/api/v2/margin/isolated/account/assets")
        by_pair: dict[str, list[Any]] = {}
        for row in answer if isinstance(answer, list) else [None]:
            pair = row.get("symbol") if isinstance(row, Mapping) else None
            if not isinstance(pair, str) or not _PAIR.fullmatch(pair):
                raise TryLater(f"Could not read {ISOLATED}: the answer is not a list of pairs and coins.")
            by_pair.setdefault(pair, []).append(row)
        found = {pair: _rows(rows, "coin", _address(pair)) for pair, rows in by_pair.items()}
        _pairs_seen[self._me] = list(found)
        return found

    def _out_of(self, pair: str) -> dict[str, object]:
        out = self._ask("/api/v2/margin/isolated/account/max-transfer-out-amount", {"symbol": pair})
        if not isinstance(out, Mapping) or out.get("symbol") != pair:
            raise TryLater(f"Could not read what may leave {pair}: the answer is about something else.")
        return {str(out.get(f"{side}Coin")).upper(): out.get(f"{side}CoinMaxTransferOutAmount") for side in _OF_A_PAIR}

    # One transfer

    def send(
        self,
        instruction: Instruction,
        signed_at: datetime | None = None,
        send_before: datetime | None = None,
        answer: str | None = None,
    ) -> Receipt:
        """Post spot/account/Wallet-Transfer once, under `instruction.key` as 32 hexadecimal digits."""
        sides = _insist_sendable(instruction, answer)
        body = _body(instruction, *sides)
        try:
            signature = self._sign(signed_at or datetime.now(UTC))
        except TryLater as error:
            raise TryLater(
                f"Not sent. Nothing moved: Bitget's clock could not be read. {error.words}",
                evidence=error.evidence,
            ) from None
        reply = self._wire.send(
            TRANSFER,
            content=json.dumps(body, separators=(",", ":")).encode("ascii"),
            headers={"Content-Type": "application/json", "locale": "en-US"},
            auth=signature,
            send_before=send_before,
        )
        meaning, words, evidence = self._judge(reply)
        evidence["request"] = body
        if meaning is Meaning.TAKEN:
            return _receipt(instruction, reply, evidence)
        if meaning is Meaning.UNCERTAIN:
            logger.error("A transfer is in doubt: %s (evidence %s)", words, evidence)
            raise Uncertain(f"It may have moved. Bitget answered: {words}.", evidence=evidence)
        words = f"Nothing moved. Bitget refused the request: {words}."
        if meaning is Meaning.REFUSED:
            raise Refused(words, evidence=evidence)
        raise self._turned_away(meaning, words, reply, evidence)

    def look_up(
        self,
        instruction: Instruction,
        *,
        sent_at: datetime,
        receipt: Receipt | None = None,
        claimed: Collection[str] = (),
    ) -> Standing:
        """Search spot/account/Get-Account-TransferRecords for the key, in a day that begins a minute early.

        `claimed` is not needed here: a record carries our own key.
        """
        absent = _could_be_absent(sent_at, receipt)
        try:
            ours, seen = self._search(instruction, sent_at, by_key=True)
            if not ours and absent:
                # A search by clientOid may age out, so the same day is searched by time alone as well.
                ours, seen = self._search(instruction, sent_at, by_key=False)
        except TryLater as error:
            if error.evidence.get("code") != NO_SUCH_TRANSFER:
                raise
            return Standing(state=State.UNCLEAR, searched=False, found=False, evidence=error.evidence)
        if ours:
            return self._standing(instruction, ours, seen)
        return Standing(
            state=State.ABSENT if absent else State.UNCLEAR,
            searched=True,
            found=False,
            evidence=self._wire.redact.evidence(seen),
        )

    def challenge(self, challenge: Challenge) -> ChallengeState:
        """Raise NotImplementedError: no call to this venue ever ends in a Challenge."""
        raise NotImplementedError("Bitget never asks a person to confirm a transfer.")

    def _search(
        self, instruction: Instruction, sent_at: datetime, *, by_key: bool
    ) -> tuple[list[Mapping[str, Any]], dict[str, Any]]:
        """The records under our key, and what was seen. Raises TryLater when the search did not come to an end."""
        start = self._shared.to_server(sent_at - LOOK_UP_EARLY)
        newest = self._shared.to_server(datetime.now(UTC) + LOOK_UP_EARLY)
        window = {
            "coin": instruction.asset,
            "endTime": str(min(start + milliseconds(LOOK_UP_WINDOW), max(newest, start))),
            "fromType": _side(instruction.source).kind,
            "limit": str(RECORDS_PER_PAGE),
            "startTime": str(start),
        }
        if by_key:
            window["clientOid"] = instruction.key.hex
        seen: dict[str, Any] = {}
        known: set[str] = set()
        for number in range(1, LOOK_UP_PAGES + 1):
            params = window if number == 1 else {**window, "pageNum": str(number)}
            reply, records = self._converse(RECORDS, params)
            seen = {**reply.evidence(), "searched": dict(window)}
            if not isinstance(records, list) or not all(isinstance(record, Mapping) for record in records):
                raise TryLater(
                    "Could not look it up: the answer has no list of records.",
                    evidence=self._wire.redact.evidence(seen),
                )
            # Whether the venue did search by the id is not taken for granted.
            ours = [record for record in records if record.get("clientOid") == instruction.key.hex]
            if ours or len(records) < RECORDS_PER_PAGE:
                return ours, seen
            ids = {str(record.get("transferId")) for record in records}
            if ids & known:
                # The documents disagree on how to ask for a page; this venue gave the same one again.
                break
            known |= ids
        raise TryLater(
            "Could not look it up: the search did not come to an end.",
            evidence=self._wire.redact.evidence(seen),
        )

    def _standing(
        self, instruction: Instruction, records: list[Mapping[str, Any]], seen: Mapping[str, Any]
    ) -> Standing:
        evidence = self._wire.redact.evidence({**seen, "record": records[0]})
        state = State.UNCLEAR
        if len(records) == 1 and _same_words(instruction, records[0]):
            state = RECORD_STATUSES.get(str(records[0].get("status")).lower(), State.UNCLEAR)
        if state is State.UNCLEAR:
            logger.error("The record of transfer %s does not say what we expect: %s", instruction.key, evidence)
        return Standing(state=state, searched=True, found=True, evidence=evidence)

    # Questions, answers and the clock

    def _ask(self, path: str, params: Mapping[str, str] | None = None) -> Any:
        """The `data` of a signed question. Raises TryLater and Barred only."""
        return self._converse(path, params)[1]

    def _converse(self, path: str, params: Mapping[str, str] | None) -> tuple[Answer, Any]:
        for value in (params or {}).values():
            if not _SAFE.fullmatch(value):
                raise TryLater(f"Could not read: {value!r} cannot be signed in a question.")
        reply, (meaning, words, evidence) = self._question(path, params)
        if meaning is Meaning.SKEWED:
            # A question may be asked twice; the second signature measures the clock first.
            reply, (meaning, words, evidence) = self._question(path, params)
        if meaning is Meaning.TAKEN:
            return reply, (reply.json_object() or {}).get("data")
        evidence["request"] = f"GET {path}"
        raise self._turned_away(meaning, f"Could not read: {words}.", reply, evidence)

    def _question(
        self, path: str, params: Mapping[str, str] | None
    ) -> tuple[Answer, tuple[Meaning, str, dict[str, Any]]]:
        reply = self._wire.read(
            path,
            params=dict(sorted(params.items())) if params else None,
            headers={"locale": "en-US"},
            auth=self._sign(datetime.now(UTC)),
        )
        return reply, self._judge(reply)

    def _judge(self, reply: Answer) -> tuple[Meaning, str, dict[str, Any]]:
        """The meaning, the words with Bitget's own text, and redacted evidence. Notes a skewed clock and limits."""
        envelope = reply.json_object() or {}
        code = envelope.get("code")
        if not isinstance(code, str):
            code = None
        text = str(envelope.get("msg") or envelope.get("message") or "")
        if not envelope:
            text = reply.body.decode("utf-8", "replace")
        meaning, words = judge(reply.status, code, text)
        if meaning is Meaning.SKEWED:
            self._shared.stale = True
        self._shared.limited = self._shared.limited + 1 if meaning is Meaning.LIMITED else 0
        evidence = self._wire.redact.evidence({**reply.evidence(), "code": code, "text": text})
        if code not in CODES and meaning is not Meaning.LIMITED:
            logger.error("Bitget answered in a way that this program does not know: %s", evidence)
        if code is not None and code != "00000":
            words = f"{words} (code {evidence['code'][:20]}: {evidence['text'][:200]})"
        return meaning, words, evidence

    def _turned_away(self, meaning: Meaning, words: str, reply: Answer, evidence: Mapping[str, Any]) -> VenueError:
        """The error for a question without an answer, and for a transfer turned away at the door."""
        if meaning is Meaning.BARRED:
            return Barred(words, evidence=evidence)
        retry_at = self._retry_at(reply) if meaning is Meaning.LIMITED else None
        return TryLater(words, retry_at=retry_at, evidence=evidence)

    def _retry_at(self, reply: Answer) -> datetime:
        """A limit of one call's kind lasts a second; that of an address takes five minutes to recover from."""
        wait = AFTER_LIMIT if self._shared.limited < REPEATED else AFTER_REPEATED_LIMITS
        named = reply.headers.get("retry-after", "")
        if re.fullmatch(r"[0-9]{1,6}", named):
            wait = max(wait, min(timedelta(seconds=int(named)), LONGEST_WAIT))
        return datetime.now(UTC) + wait

    def _sign(self, at: datetime) -> Signature:
        """A signature for that moment. Raises TryLater when a stale clock cannot be measured again."""
        if self._shared.stale:
            self._measure_clock()
        return Signature(self._credentials, self._shared.to_server(at))

    def _measure_clock(self) -> None:
        """Ask common/public/Get-Server-Time; the answer is taken for the middle of the round trip."""
        before = time.time_ns()
        reply = self._wire.read("/api/v2/public/time")
        after = time.time_ns()
        envelope = reply.json_object() or {}
        told = envelope.get("data")
        server = told.get("serverTime") if isinstance(told, Mapping) else None
        if reply.status != 200 or envelope.get("code") != "00000" or not re.fullmatch(r"[0-9]{13}", str(server)):
            raise TryLater("Could not read Bitget's clock.", evidence=self._wire.redact.evidence(reply.evidence()))
        with self._shared.lock:
            self._shared.ahead = int(str(server)) - (before + after) // 2_000_000
            self._shared.stale = False


_PAIR = re.compile(r"[0-9A-Za-z]{2,40}")
_SAFE = re.compile(r"[0-9A-Za-z_-]+")
_OF_A_PAIR = ("base", "quote")


def milliseconds(length: timedelta) -> int:
    """A length of time in whole milliseconds, rounded down."""
    return length // timedelta(milliseconds=1)


def _address(pair: str) -> str:
    return f"{ISOLATED}:{pair}"


def _side(address: str) -> Side:
    """The account type and the pair of an address. Raises Refused."""
    kind, colon, pair = address.partition(":")
    if kind in FORMER_KINDS:
        raise Refused(f"Not sent. Nothing moved: Bitget calls {kind} {FORMER_KINDS[kind]} now.")
    if kind not in KINDS or (colon and kind != ISOLATED):
        raise Refused(f"Not sent. Nothing moved: Bitget has no account {address!r}.")
    if kind != ISOLATED:
        return Side(kind, None)
    if not _PAIR.fullmatch(pair) or pair == pair.lower():
        raise Refused(f"Not sent. Nothing moved: an isolated-margin account is named like {ISOLATED}:BTCUSDT.")
    return Side(kind, pair)


def _insist_on_route(source: str, destination: str) -> tuple[Side, Side]:
    sides = _side(source), _side(destination)
    if source == destination:
        raise Refused("Not sent. Nothing moved: source and destination are the same account.")
    if sides[0].pair and sides[1].pair:
        raise Refused("Not sent. Nothing moved: Bitget moves nothing from one pair to another; go through spot.")
    return sides


def _insist_sendable(instruction: Instruction, answer: str | None) -> tuple[Side, Side]:
    sides = _insist_on_route(instruction.source, instruction.destination)
    if not instruction.amount.is_finite() or instruction.amount <= 0:
        raise Refused("Not sent. Nothing moved: the amount is not more than zero.")
    if len(plain(instruction.amount).partition(".")[2]) > AMOUNT_DECIMALS:
        raise Refused(f"Not sent. Nothing moved: Bitget takes at most {AMOUNT_DECIMALS} decimals.")
    if not _SAFE.fullmatch(instruction.asset):
        raise Refused(
            f"Not sent. Nothing moved: {instruction.asset!r} is not a coin that a transfer could be looked up by."
        )
    if answer is not None:
        raise Refused("Not sent. Nothing moved: Bitget asks for no confirmation, so there is nothing to answer.")
    return sides


def _body(instruction: Instruction, source: Side, destination: Side) -> dict[str, str]:
    body = {
        "fromType": source.kind,
        "toType": destination.kind,
        "amount": plain(instruction.amount),
        "coin": instruction.asset,
    }
    pair = source.pair or destination.pair
    if pair is not None:
        body["symbol"] = pair
    return {**body, "clientOid": instruction.key.hex}


def _receipt(instruction: Instruction, reply: Answer, evidence: Mapping[str, Any]) -> Receipt:
    """The venue took it. Older answers call the id `clientOrderId`, and either may be null."""
    data = (reply.json_object() or {}).get("data")
    if not isinstance(data, Mapping):
        raise Uncertain("It may have moved. Bitget did not say which transfer it took.", evidence=evidence)
    named = data.get("clientOid") or data.get("clientOrderId")
    if named and named != instruction.key.hex:
        raise Uncertain("It may have moved. Bitget answered about another transfer.", evidence=evidence)
    record = data.get("transferId")
    return Receipt(settled=False, record=str(record) if record else None, evidence=evidence)


def _could_be_absent(sent_at: datetime, receipt: Receipt | None) -> bool:
    age = datetime.now(UTC) - sent_at
    return ABSENT_AFTER is not None and ABSENT_AFTER < age < ABSENT_UNTIL and receipt is None


def _same_words(instruction: Instruction, record: Mapping[str, Any]) -> bool:
    try:
        amount = _amount(record.get("size"))
    except ValueError:
        return False
    return (
        amount == instruction.amount
        and str(record.get("coin")).upper() == instruction.asset.upper()
        and _is_side(_side(instruction.source), record.get("fromType"), record.get("fromSymbol"))
        and _is_side(_side(instruction.destination), record.get("toType"), record.get("toSymbol"))
    )


def _is_side(side: Side, kind: object, symbol: object) -> bool:
    """Whether a record means this account. Symbols count for isolated margin only, and may be written BTC/USDT."""
    if str(kind).lower() != side.kind:
        return False
    return side.pair is None or re.sub(r"[^0-9A-Z]", "", str(symbol).upper()) == side.pair.upper()


def _may_be_of(pair: str, asset: str) -> bool:
    return pair.upper().startswith(asset.upper()) or pair.upper().endswith(asset.upper())


def _coins_of(pair: str, coins: Iterable[str]) -> list[str]:
    """The coins that make up the pair with another of them."""
    listed = list(coins)
    upper = [coin.upper() for coin in listed]
    return [coin for coin in listed if any(pair.upper() in (coin.upper() + one, one + coin.upper()) for one in upper)]


def _in_words(rights: set[str]) -> list[str]:
    """What the key may do, from spot/account/Get-Account-Info, authorities."""
    if not rights & (OTHER_RIGHTS | set().union(*READING_RIGHTS.values())):
        known = ", ".join(sorted(rights)) or "none"
        return [
            f"The key's rights are in words that this program does not know ({known}): it may be unable to transfer."
        ]
    words = [
        "It may transfer between accounts."
        if TRANSFER_RIGHT in rights
        else f"It lacks the right to transfer ({TRANSFER_RIGHT}, read and write).",
    ]
    unread = [what for what, any_of in READING_RIGHTS.items() if not rights & any_of]
    words.append(
        f"It may not read {', '.join(unread)}: those balances stay unreadable."
        if unread
        else "It may read every account."
    )
    if WITHDRAWAL_RIGHT in rights:
        words.append("It may also withdraw, which this program never does; a key without that right is safer.")
    return words


def _addresses_in_words(ips: object) -> str:
    bound = ", ".join(str(one) for one in ips) if isinstance(ips, list) else str(ips or "")
    return f"It works from these addresses only: {bound}." if bound else "It is bound to no address; better bind it."


def _amount(written: object) -> Decimal:
    """A decimal string of the venue's. Raises ValueError for anything that is not a finite number."""
    try:
        amount = Decimal(written if isinstance(written, str) else "")
    except InvalidOperation:
        raise ValueError("That is not a number.") from None
    if not amount.is_finite():
        raise ValueError("That is not a finite number.")
    return amount


def _is_blank(kind: str, part: str, row: Mapping[str, Any]) -> bool:
    """Only of this one is it documented that an empty text stands for nothing."""
    return (kind, part) == ("p2p", "frozen") and row.get(part) == ""


def _has_nothing(row: Mapping[str, Any]) -> bool:
    try:
        return _amount(row.get("available")) <= 0
    except ValueError:
        return False


def _further_margin(rows: Mapping[str, Mapping[str, Any]], kind: str) -> dict[str, object]:
    """Coins that serve as margin too (multi-assets mode) and have no row of their own: coin, balance as written."""
    further: dict[str, object] = {}
    for row in rows.values():
        listed = row.get("assetList")
        for one in listed if isinstance(listed, list) else []:
            coin = one.get("coin") if isinstance(one, Mapping) else None
            if not isinstance(coin, str) or not coin:
                raise TryLater(f"Could not read {kind}: its list of margin coins makes no sense.")
            if coin not in rows:
                # Told twice with different numbers, it is told not at all.
                further[coin] = (
                    one.get("balance") if further.get(coin, one.get("balance")) == one.get("balance") else None
                )
    return further


def _rows(listed: object, name: str, address: str) -> dict[str, Mapping[str, Any]]:
    """The rows by coin. Raises TryLater when the list cannot be taken for a complete one."""
    rows: dict[str, Mapping[str, Any]] = {}
    for row in listed if isinstance(listed, list) else [None]:
        if not isinstance(row, Mapping):
            raise TryLater(f"Could not read {address}: the answer is not a list of coins.")
        coin = row.get(name)
        if not isinstance(coin, str) or not coin or coin in rows:
            raise TryLater(f"Could not read {address}: the answer is not a list of different coins.")
        rows[coin] = row
    return rows


def _stated(
    address: str, asset: str, at: datetime, total: object, movable: object, problem: str | None = None
) -> VenueBalance:
    """A row of two amounts as written. Without a readable `movable` the total still stands."""
    try:
        held = _amount(total)
    except ValueError:
        return _unreadable(address, asset, at, f"The balance of {asset} is not a number.")
    try:
        free = _amount(movable)
    except ValueError:
        words = problem or f"How much {asset} may move was not stated."
        return VenueBalance(address=address, asset=asset, total=held, movable=None, observed_at=at, problem=words)
    return VenueBalance(address=address, asset=asset, total=held, movable=free, observed_at=at)


def _unreadable(address: str, asset: str, at: datetime, problem: str) -> VenueBalance:
    return VenueBalance(address=address, asset=asset, total=None, movable=None, observed_at=at, problem=problem)


VENUE = Venue(
    title="Bitget",
    credentials=Credentials,
    hosts={
        "mainnet": {"api": "https://api.bitget.com"},
        "vip": {"api": "https://vip-api.bitget.com"},
    },
    build=Bitget,
    account_kinds=KINDS,
    routes=ROUTES,
    # The page of each call, per user; and an address as a whole may make 6000 requests a minute.
    limits={
        "send": Limit(calls=10, per=timedelta(seconds=1)),
        "look_up": Limit(calls=20, per=timedelta(seconds=1)),
        "assets": Limit(calls=10, per=timedelta(seconds=1)),
        "balances": Limit(calls=1, per=timedelta(seconds=1)),
        "check": Limit(calls=1, per=timedelta(seconds=1)),
    },
    resend=Resend(until=timedelta(minutes=10), after_empty_look_up=True),
    absent_after=ABSENT_AFTER,
    settle_limit=timedelta(minutes=30),
    signed_window=SIGNED_WINDOW,
    accounts_read_per_asset=False,
    amount_decimals=AMOUNT_DECIMALS,
)
