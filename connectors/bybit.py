"""Bybit: transfers between the Unified Trading account and the Funding account of one login.

Documentation: https://bybit-exchange.github.io/docs/v5/guide (the paths below are paths of that site).
Peculiar:

* Success is `retCode` 0 in a body; errors normally come with HTTP 200. After `retCode` 0 of a transfer,
  `result.status` still has to be read: it may say FAILED (asset/create-inter-transfer).
* `transferId` is ours. A used one is answered with 131214, never with the old result: the money of the
  earlier request may have moved, or not. The transfer has to be looked up (error).
* The server takes a request while `server_time - recv_window <= timestamp < server_time + 1000 ms`, so a
  clock that is a second fast fails whatever the window is (guide). We sign a little behind the server's
  clock.
* Look-ups see at most 7 days, by default the last 7 (asset/inter-transfer-list).
* UNIFIED balances hold borrowed money: own funds = walletBalance - spotBorrow (account/wallet-balance).
* A breach of the IP limit is HTTP 403 for at least 10 minutes (rate-limit).
* The demo environment has no transfers, so it is not offered (demo).

UNVERIFIED, said by no document, and isolated in a constant or named here:

* ABSENT_AFTER: after so long, an empty search means that the venue never took the transfer. None would mean
  never.
* ABSENT_UNTIL: records are kept for at least so long. An empty search of an older transfer proves nothing.
* AMOUNT_DECIMALS: the decimals of an amount. Smallest amounts are not published at all.
* How long a new record takes to show up, and whether the 7-day default also binds a search by transferId: we
  always name a window, and never conclude anything from one early empty search.
* Whether a refused transferId stays taken: a new attempt after a refusal needs a new key.
* Whether HTTP 429 can follow acceptance. The documents call it protection in front of the system.
"""

import hashlib
import hmac
import json
import logging
import re
import threading
import time
from collections.abc import Collection, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal, InvalidOperation
from enum import Enum
from typing import Any

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

RECV_WINDOW = timedelta(milliseconds=5000)
SIGN_BEHIND = timedelta(milliseconds=500)
# The receive window, and a margin for a server clock that we believe to be up to 25 s ahead of what it is.
SIGNED_WINDOW = RECV_WINDOW + timedelta(seconds=25)
LOOK_UP_WINDOW = timedelta(days=7)
LOOK_UP_EARLY = timedelta(seconds=60)
LOOK_UP_PAGES = 10
COINS_PER_QUESTION = 20
AFTER_IP_BAN = timedelta(minutes=10)
LONGEST_WAIT = timedelta(hours=1)

KINDS = {"UNIFIED": "Unified Trading", "FUND": "Funding"}
ROUTES = (("UNIFIED", "FUND"), ("FUND", "UNIFIED"))
LEGACY_KINDS = ("CONTRACT", "SPOT", "OPTION", "INVESTMENT", "COPYTRADING")
EXACT = Context(prec=100)


@dataclass(frozen=True)
class Credentials:
    """An API key of the kind that Bybit generates (HMAC), with the Wallet permission AccountTransfer."""

    api_key: str = field(repr=False, metadata={"title": "API key"})
    api_secret: str = field(repr=False, metadata={"title": "API secret"})

    def __post_init__(self) -> None:
        insist_printable([("api_key", self.api_key), ("api_secret", self.api_secret)])


class Signature(httpx.Auth):
    """Signs the string on the wire: timestamp, key, window, query or body; HMAC-SHA256 in hex (guide)."""

    requires_request_body = True

    def __init__(self, credentials: Credentials, timestamp: int) -> None:
        """`timestamp` is in milliseconds, on the server's clock."""
        self._credentials = credentials
        self._timestamp = str(timestamp)

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        window = str(milliseconds(RECV_WINDOW))
        payload = request.url.query if request.method == "GET" else request.content
        message = (self._timestamp + self._credentials.api_key + window).encode("ascii") + payload
        sign = hmac.new(self._credentials.api_secret.encode("ascii"), message, hashlib.sha256).hexdigest()
        request.headers["X-BAPI-API-KEY"] = self._credentials.api_key
        request.headers["X-BAPI-TIMESTAMP"] = self._timestamp
        request.headers["X-BAPI-RECV-WINDOW"] = window
        request.headers["X-BAPI-SIGN"] = sign
        yield request


class Meaning(Enum):
    """What an answer to a transfer says about the money of this request."""

    TAKEN = "taken"  # read result.status
    REFUSED = "refused"  # nothing moved
    UNCERTAIN = "uncertain"  # look it up
    LIMITED = "limited"  # nothing moved, too many calls
    BARRED = "barred"  # nothing moved; key, permission or region
    SKEWED = "skewed"  # nothing moved; our timestamp was outside the window


# error, section "Common HTTP Error Codes"; whatever is not here is UNCERTAIN.
HTTP_STATUSES: Mapping[int, tuple[Meaning, str]] = {
    400: (Meaning.REFUSED, "the request was malformed, or the account is a classic one"),
    401: (Meaning.BARRED, "the key is wrong, or the signature headers are missing"),
    403: (Meaning.BARRED, "this address or region is not served"),
    404: (Meaning.REFUSED, "there is no such path for this account"),
    429: (Meaning.LIMITED, "too many requests for the system"),
}

# error, sections "UTA & Classic Account", "Asset" and "User"; whatever is not here is UNCERTAIN.
RET_CODES: Mapping[int, tuple[Meaning, str]] = {
    0: (Meaning.TAKEN, "taken"),
    -1: (Meaning.SKEWED, "the request had expired"),
    10002: (Meaning.SKEWED, "the timestamp was outside the window"),
    10000: (Meaning.UNCERTAIN, "the server timed out"),
    5004: (Meaning.UNCERTAIN, "the server timed out"),
    10016: (Meaning.UNCERTAIN, "the server had an error"),
    429: (Meaning.UNCERTAIN, "the service is under high load"),
    10001: (Meaning.REFUSED, "a parameter is wrong"),
    10003: (Meaning.BARRED, "the key is invalid, or belongs to another environment"),
    10004: (Meaning.BARRED, "the signature is wrong"),
    10005: (Meaning.BARRED, "the key lacks a permission"),
    10007: (Meaning.BARRED, "the user could not be authenticated"),
    10008: (Meaning.BARRED, "the user is banned, or the account mode does not fit"),
    10009: (Meaning.BARRED, "this address or region is not served"),
    10010: (Meaning.BARRED, "the key is bound to another address"),
    33004: (Meaning.BARRED, "the key has expired"),
    -2015: (Meaning.BARRED, "the key has expired"),
    10006: (Meaning.LIMITED, "too many calls"),
    10018: (Meaning.LIMITED, "too many calls from this address"),
    10014: (Meaning.UNCERTAIN, "a duplicate of an earlier request"),
    10017: (Meaning.REFUSED, "there is no such path"),
    10024: (Meaning.REFUSED, "compliance rules forbid it"),
    10027: (Meaning.REFUSED, "transactions are banned for this account"),
    10028: (Meaning.REFUSED, "only unified accounts may do this"),
    100028: (Meaning.REFUSED, "unified accounts may not do this"),
    131001: (Meaning.UNCERTAIN, "the transfer service had an error"),
    131002: (Meaning.REFUSED, "a parameter is wrong"),
    131203: (Meaning.REFUSED, "a parameter is wrong"),
    131003: (Meaning.UNCERTAIN, "the transfer service had an internal error"),
    131201: (Meaning.UNCERTAIN, "the transfer service had an internal error"),
    131004: (Meaning.BARRED, "identity verification is needed"),
    131084: (Meaning.REFUSED, "the account is being upgraded; draft again later"),
    131200: (Meaning.UNCERTAIN, "the transfer service had an error"),
    131202: (Meaning.REFUSED, "the member id is invalid"),
    131204: (Meaning.UNCERTAIN, "the account's information could not be had"),
    131205: (Meaning.UNCERTAIN, "the transfer could not be queried"),
    131206: (Meaning.REFUSED, "this cannot be transferred"),
    131208: (Meaning.REFUSED, "the transfer is forbidden"),
    131207: (Meaning.REFUSED, "the account does not exist"),
    131209: (Meaning.REFUSED, "the sub-member does not belong to this login"),
    131210: (Meaning.REFUSED, "the amount has too many decimals"),
    131211: (Meaning.REFUSED, "source and destination are the same account"),
    131212: (Meaning.REFUSED, "the balance is too small"),
    131213: (Meaning.REFUSED, "it would break the loan-to-value limit"),
    131214: (Meaning.UNCERTAIN, "the transfer id is taken: an earlier request arrived"),
    131215: (Meaning.REFUSED, "the amount is not accepted"),
    131216: (Meaning.UNCERTAIN, "the balance could not be queried"),
    131217: (Meaning.REFUSED, "the risk check stopped it; a person has to act"),
    131226: (Meaning.REFUSED, "stopped for security reasons; a person has to act"),
    131227: (Meaning.BARRED, "the sub-account lacks the universal transfer permission"),
    131228: (Meaning.REFUSED, "more than the amount that is safe to transfer"),
    131229: (Meaning.REFUSED, "compliance rules forbid transferring this coin"),
    131230: (Meaning.UNCERTAIN, "the system is busy"),
    131231: (Meaning.REFUSED, "transfers into this account are not supported"),
    131232: (Meaning.REFUSED, "transfers out of this account are not supported"),
    131233: (Meaning.REFUSED, "an Islamic account may not hold this coin"),
    131239: (Meaning.REFUSED, "the platform's collateral limit is reached"),
    140003: (Meaning.REFUSED, "a liquidation is in progress"),
    140004: (Meaning.REFUSED, "an institutional loan's loan-to-value limit stands in the way"),
    182200: (Meaning.REFUSED, "the account has to be upgraded to unified first"),
    3100197: (Meaning.REFUSED, "the account is being upgraded; draft again later"),
    500011: (Meaning.REFUSED, "this user has no unified account"),
}

# enum, status of a transfer; whatever is not here is UNCLEAR.
RECORD_STATUSES: Mapping[str, State] = {
    "SUCCESS": State.DONE,
    "PENDING": State.PENDING,
    "FAILED": State.FAILED,
}

# enum, unifiedMarginStatus.
ACCOUNT_MODES: Mapping[int, str] = {
    1: "A classic account. It has no Unified account, so nothing can be transferred with this product.",
    3: "A Unified account of the first generation (UTA 1.0).",
    4: "A Unified account of the first generation (UTA 1.0 Pro).",
    5: "A Unified account (UTA 2.0).",
    6: "A Unified account (UTA 2.0 Pro).",
}


def judge(status: int, code: int | None, text: str) -> tuple[Meaning, str]:
    """What an answer to a transfer means, from HTTP status, retCode (None: no such body) and text.

    A doubt in the body outweighs a status that says that nothing moved: somebody between may have set it.
    """
    if status == 200:
        return RET_CODES.get(code, _UNKNOWN) if code is not None else _NO_ENVELOPE
    meaning, words = HTTP_STATUSES.get(status, (Meaning.UNCERTAIN, f"HTTP status {status}"))
    if status == 403 and "too frequent" in text.lower():
        return Meaning.LIMITED, "too many calls from this address; it is shut out for ten minutes"
    if code is not None and code != status:
        inside, _ = RET_CODES.get(code, _UNKNOWN)
        if inside in (Meaning.UNCERTAIN, Meaning.TAKEN):
            return Meaning.UNCERTAIN, f"HTTP status {status} and the code {code} contradict each other"
    return meaning, words


_UNKNOWN = (Meaning.UNCERTAIN, "a code that this program does not know")
_NO_ENVELOPE = (Meaning.UNCERTAIN, "an answer that is not Bybit's")


class ServerClock:
    """How far Bybit's clock is ahead of ours, in milliseconds; shared by all logins of one origin."""

    def __init__(self) -> None:
        self.ahead = 0
        self.stale = False
        self.lock = threading.Lock()

    def to_server(self, moment: datetime) -> int:
        """The moment on the server's clock, in milliseconds since 1970."""
        return milliseconds(moment - EPOCH) + self.ahead

    def to_here(self, server: int) -> datetime:
        """The server's milliseconds as a moment on this computer's clock."""
        return EPOCH + timedelta(milliseconds=server - self.ahead)


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_clocks: dict[str, ServerClock] = {}


class Bybit:
    """One login at Bybit; see `connectors.core.protocol.Connector` for what the methods promise."""

    def __init__(self, credentials: Credentials, wire: Wire) -> None:
        self._credentials = credentials
        self._wire = wire
        self._clock = _clocks.setdefault(wire.origin("api"), ServerClock())

    # Who and what

    def check(self) -> Check:
        """Ask user/apikey-info, account/account-info and market/time."""
        self._measure_clock()
        key = self._ask("/v5/user/query-api")
        mode = self._ask("/v5/account/info").get("unifiedMarginStatus")
        permissions = key.get("permissions")
        wallet = permissions.get("Wallet") if isinstance(permissions, Mapping) else None
        reads_only = key.get("readOnly") != 0
        permitted = isinstance(wallet, list) and "AccountTransfer" in wallet
        words = [
            "The key may only read." if reads_only else "The key may read and write.",
            "It may transfer between accounts." if permitted else "It lacks the Wallet permission AccountTransfer.",
            ACCOUNT_MODES.get(mode, f"The account mode is {mode!r}, which this program does not know.")
            if isinstance(mode, int)
            else "The account mode is not stated.",
        ]
        if key.get("expiredAt"):
            words.append(f"The key expires at {self._wire.redact.text(str(key['expiredAt']))}.")
        if abs(self._clock.ahead) >= 1000:
            words.append(f"Bybit's clock is {self._clock.ahead / 1000:+.1f} s from ours; signatures allow for it.")
        login = key.get("userID")
        if not isinstance(login, int | str) or not str(login):
            raise TryLater("Could not read who the login is: Bybit did not name a user.")
        return Check(
            login=str(login),
            may_transfer=permitted and not reads_only and mode in (3, 4, 5, 6),
            words=words,
            clock_offset=timedelta(milliseconds=self._clock.ahead),
        )

    def accounts(self) -> list[VenueAccount]:
        """The two account kinds that the documentation still lists (enum, accountType). Asks nobody."""
        return [VenueAccount(address=kind, kind=kind, title=title) for kind, title in KINDS.items()]

    def routes(self) -> list[tuple[str, str]]:
        return list(ROUTES)

    def assets(self, source: str, destination: str) -> list[str]:
        """Ask asset/transferable-coin."""
        _insist_on_route(source, destination)
        params = {"fromAccountType": source, "toAccountType": destination}
        coins = self._ask("/v5/asset/transfer/query-transfer-coin-list", params).get("list")
        if not isinstance(coins, list):
            raise TryLater("Could not read which coins may move: the answer has no list.")
        return sorted(str(coin) for coin in coins)

    # Balances

    def balances(self) -> list[VenueBalance]:
        """Both accounts, each with a row for every coin that either has.

        One that cannot be read is a single row for EVERY_ASSET. Raises Barred only when both are barred.
        """
        found: dict[str, dict[str, VenueBalance]] = {}
        failed: dict[str, VenueError] = {}
        for address, read in (("UNIFIED", self._unified), ("FUND", self._fund)):
            try:
                found[address] = {row.asset: row for row in read()}
            except VenueError as error:
                failed[address] = error
        if not found and all(isinstance(error, Barred) for error in failed.values()):
            raise failed["UNIFIED"]
        return self._complete(found, failed)

    def _complete(
        self, found: Mapping[str, Mapping[str, VenueBalance]], failed: Mapping[str, VenueError]
    ) -> list[VenueBalance]:
        now = datetime.now(UTC)
        # At least one, so that an emptied account is seen to be empty.
        assets = sorted({asset for rows in found.values() for asset in rows}) or ["USDT"]
        zero = Decimal(0)
        rows = []
        for address in KINDS:
            if address in failed:
                rows.append(_unreadable(address, EVERY_ASSET, now, failed[address].words))
                continue
            for asset in assets:
                absent = VenueBalance(address=address, asset=asset, total=zero, movable=zero, observed_at=now)
                rows.append(found[address].get(asset, absent))
        return rows

    def _unified(self) -> list[VenueBalance]:
        """account/wallet-balance; without `coin` it lists every coin with an asset or a debt."""
        wallets = self._ask("/v5/account/wallet-balance", {"accountType": "UNIFIED"}).get("list")
        if not isinstance(wallets, list) or len(wallets) != 1 or not isinstance(wallets[0], Mapping):
            raise TryLater("Could not read UNIFIED: the answer is not one wallet.")
        coins = _rows(wallets[0].get("coin"), "UNIFIED")
        if wallets[0].get("accountType") != "UNIFIED":
            raise TryLater("Could not read UNIFIED: the answer is about another account.")
        now = datetime.now(UTC)
        movable, problem = self._movable_from_unified(list(coins))
        rows = []
        for coin, row in coins.items():
            try:
                # A coin that cannot be borrowed has "" here; older answers lack the field.
                total = EXACT.subtract(_amount(row.get("walletBalance")), _amount(row.get("spotBorrow") or "0"))
            except ValueError:
                rows.append(_unreadable("UNIFIED", coin, now, f"The balance of {coin} is not a number."))
                continue
            free = movable.get(coin)
            rows.append(
                VenueBalance(
                    address="UNIFIED",
                    asset=coin,
                    total=total,
                    movable=free,
                    observed_at=now,
                    problem=None if free is not None else problem or f"How much {coin} may move was not stated.",
                )
            )
        return rows

    def _movable_from_unified(self, coins: list[str]) -> tuple[dict[str, Decimal], str | None]:
        """account/unified-trans-amnt, at most 20 coins a time. A failure leaves the totals readable."""
        movable: dict[str, Decimal] = {}
        for batch in _batches(coins, COINS_PER_QUESTION):
            try:
                answer = self._ask("/v5/account/withdrawal", {"coinName": ",".join(batch)})
            except VenueError as error:
                return movable, f"How much may move is not known. {error.words}"
            stated = answer.get("availableWithdrawalMap")
            for coin, amount in stated.items() if isinstance(stated, Mapping) else ():
                try:
                    movable[str(coin)] = _amount(amount)
                except ValueError:
                    logger.warning("Bybit stated a transferable amount of %s that is not a number.", coin)
        return movable, None

    def _fund(self) -> list[VenueBalance]:
        """asset/all-balance with accountType FUND, where `coin` is optional."""
        answer = self._ask("/v5/asset/transfer/query-account-coins-balance", {"accountType": "FUND"})
        if answer.get("accountType") != "FUND":
            raise TryLater("Could not read FUND: the answer is about another account.")
        now = datetime.now(UTC)
        rows = []
        for coin, row in _rows(answer.get("balance"), "FUND").items():
            try:
                total, movable = _amount(row.get("walletBalance")), _amount(row.get("transferBalance"))
            except ValueError:
                rows.append(_unreadable("FUND", coin, now, f"The balance of {coin} is not a number."))
                continue
            rows.append(VenueBalance(address="FUND", asset=coin, total=total, movable=movable, observed_at=now))
        return rows

    # One transfer

    def send(
        self,
        instruction: Instruction,
        signed_at: datetime | None = None,
        send_before: datetime | None = None,
        answer: str | None = None,
    ) -> Receipt:
        """Post asset/create-inter-transfer once, under `instruction.key`."""
        _insist_sendable(instruction, answer)
        body = {
            "transferId": str(instruction.key),
            "coin": instruction.asset,
            "amount": plain(instruction.amount),
            "fromAccountType": instruction.source,
            "toAccountType": instruction.destination,
        }
        try:
            signature = self._sign(signed_at or datetime.now(UTC))
        except TryLater as error:
            raise TryLater(
                f"Not sent. Nothing moved: Bybit's clock could not be read. {error.words}",
                evidence=error.evidence,
            ) from None
        reply = self._wire.send(
            "/v5/asset/transfer/inter-transfer",
            content=json.dumps(body, separators=(",", ":")).encode("ascii"),
            headers={"Content-Type": "application/json"},
            auth=signature,
            send_before=send_before,
        )
        meaning, words, evidence = self._judge(reply)
        evidence["request"] = body
        if meaning is Meaning.TAKEN:
            return self._receipt(instruction, reply, evidence)
        if meaning is Meaning.UNCERTAIN:
            logger.error("A transfer is in doubt: %s (evidence %s)", words, evidence)
            raise Uncertain(f"It may have moved. Bybit answered: {words}.", evidence=evidence)
        words = f"Nothing moved. Bybit refused the request: {words}."
        if meaning is Meaning.REFUSED:
            raise Refused(words, evidence=evidence)
        raise self._turned_away(meaning, words, reply, evidence)

    def _receipt(self, instruction: Instruction, reply: Answer, evidence: Mapping[str, Any]) -> Receipt:
        result = (reply.json_object() or {}).get("result")
        result = result if isinstance(result, Mapping) else {}
        if result.get("transferId") != str(instruction.key):
            raise Uncertain("It may have moved. Bybit answered about another transfer.", evidence=evidence)
        status = result.get("status")
        if status in ("SUCCESS", "PENDING"):
            return Receipt(settled=status == "SUCCESS", record=str(instruction.key), evidence=evidence)
        if status == "FAILED":
            raise Refused("Nothing moved. Bybit took the transfer and it failed at once.", evidence=evidence)
        if status != "STATUS_UNKNOWN":
            logger.error("Bybit answered a transfer with a status that is not known (evidence %s)", evidence)
        raise Uncertain("It may have moved. Bybit did not say what became of it.", evidence=evidence)

    def look_up(
        self,
        instruction: Instruction,
        *,
        sent_at: datetime,
        receipt: Receipt | None = None,
        claimed: Collection[str] = (),
    ) -> Standing:
        """Search asset/inter-transfer-list for the key, in seven days that begin a minute early.

        `claimed` is not needed: a record carries our own key.
        """
        start = self._clock.to_server(sent_at - LOOK_UP_EARLY) // 1000 * 1000
        newest = self._clock.to_server(datetime.now(UTC) + LOOK_UP_EARLY)
        window = {
            "transferId": str(instruction.key),
            "startTime": str(start),
            "endTime": str(min(start + milliseconds(LOOK_UP_WINDOW), max(newest, start))),
            "limit": "50",
        }
        cursor = ""
        seen: dict[str, Any] = {}
        for _ in range(LOOK_UP_PAGES):
            params = {**window, "cursor": cursor} if cursor else window
            reply, envelope = self._converse("/v5/asset/transfer/query-inter-transfer-list", params)
            seen = {**reply.evidence(), "searched": dict(window)}
            result = envelope["result"]
            records = result.get("list") if isinstance(result, Mapping) else None
            if not isinstance(records, list) or not all(isinstance(record, Mapping) for record in records):
                raise TryLater(
                    "Could not look it up: the answer has no list of records.",
                    evidence=self._wire.redact.evidence(seen),
                )
            ours = [record for record in records if record.get("transferId") == str(instruction.key)]
            if ours:
                return self._standing(instruction, ours, seen)
            cursor = str(result.get("nextPageCursor") or "")
            if not cursor:
                return self._nothing_found(sent_at, receipt, seen)
        raise TryLater(
            "Could not look it up: the search did not come to an end.",
            evidence=self._wire.redact.evidence(seen),
        )

    def challenge(self, challenge: Challenge) -> ChallengeState:
        """Raise NotImplementedError: no call to this venue ever ends in a Challenge."""
        raise NotImplementedError("Bybit never asks a person to confirm a transfer.")

    def _standing(
        self, instruction: Instruction, records: list[Mapping[str, Any]], seen: Mapping[str, Any]
    ) -> Standing:
        evidence = self._wire.redact.evidence({**seen, "record": records[0]})
        state = State.UNCLEAR
        if len(records) == 1 and _same_words(instruction, records[0]):
            state = RECORD_STATUSES.get(str(records[0].get("status")), State.UNCLEAR)
        if state is State.UNCLEAR:
            logger.error("The record of transfer %s does not say what we expect: %s", instruction.key, evidence)
        return Standing(state=state, searched=True, found=True, evidence=evidence)

    def _nothing_found(self, sent_at: datetime, receipt: Receipt | None, seen: Mapping[str, Any]) -> Standing:
        age = datetime.now(UTC) - sent_at
        absent = ABSENT_AFTER is not None and ABSENT_AFTER < age < ABSENT_UNTIL and receipt is None
        return Standing(
            state=State.ABSENT if absent else State.UNCLEAR,
            searched=True,
            found=False,
            evidence=self._wire.redact.evidence(seen),
        )

    # Questions, answers and the clock

    def _ask(self, path: str, params: Mapping[str, str] | None = None) -> Mapping[str, Any]:
        """The `result` of a signed question. Raises TryLater and Barred only."""
        _, envelope = self._converse(path, params)
        result = envelope["result"]
        if not isinstance(result, Mapping):
            raise TryLater("Could not read: the answer has no result.")
        return result

    def _converse(self, path: str, params: Mapping[str, str] | None) -> tuple[Answer, Mapping[str, Any]]:
        reply = self._wire.read(path, params=params, auth=self._sign(datetime.now(UTC)))
        meaning, words, evidence = self._judge(reply)
        if meaning is Meaning.SKEWED:
            # A question may be asked twice; the second signature measures the clock first.
            reply = self._wire.read(path, params=params, auth=self._sign(datetime.now(UTC)))
            meaning, words, evidence = self._judge(reply)
        if meaning is Meaning.TAKEN:
            envelope = reply.json_object() or {}
            return reply, {**envelope, "result": envelope.get("result")}
        evidence["request"] = f"GET {path}"
        raise self._turned_away(meaning, f"Could not read: {words}.", reply, evidence)

    def _judge(self, reply: Answer) -> tuple[Meaning, str, dict[str, Any]]:
        """The meaning, the words with Bybit's own text, and redacted evidence. Notes a skewed clock."""
        envelope = reply.json_object() or {}
        code = envelope.get("retCode")
        if not isinstance(code, int) or isinstance(code, bool):
            code = None
        text = str(envelope.get("retMsg", "")) if envelope else reply.body.decode("utf-8", "replace")
        meaning, words = judge(reply.status, code, text)
        if meaning is Meaning.SKEWED:
            self._clock.stale = True
        evidence = self._wire.redact.evidence({**reply.evidence(), "code": code, "text": text})
        if (code is not None and code not in RET_CODES) or reply.status not in (200, *HTTP_STATUSES):
            logger.error("Bybit answered in a way that this program does not know: %s", evidence)
        if code:
            words = f"{words} (code {code}: {evidence['text'][:200]})"
        return meaning, words, evidence

    def _turned_away(self, meaning: Meaning, words: str, reply: Answer, evidence: Mapping[str, Any]) -> VenueError:
        """The error for a question without an answer, and for a transfer turned away at the door."""
        if meaning is Meaning.BARRED:
            return Barred(words, evidence=evidence)
        retry_at = self._retry_at(reply) if meaning is Meaning.LIMITED else None
        return TryLater(words, retry_at=retry_at, evidence=evidence)

    def _retry_at(self, reply: Answer) -> datetime | None:
        """rate-limit: a header names the reset in ms of the server's clock; a shut-out lasts ten minutes."""
        now = datetime.now(UTC)
        if reply.status == 403:
            return now + AFTER_IP_BAN
        reset = reply.headers.get("x-bapi-limit-reset-timestamp", "")
        if not re.fullmatch(r"[0-9]{13}", reset):
            return None
        at = self._clock.to_here(int(reset))
        return min(at, now + LONGEST_WAIT) if at > now else None

    def _sign(self, at: datetime) -> Signature:
        """A signature for that moment. Raises TryLater when a stale clock cannot be measured again."""
        if self._clock.stale:
            self._measure_clock()
        return Signature(self._credentials, self._clock.to_server(at - SIGN_BEHIND))

    def _measure_clock(self) -> None:
        """Ask market/time; the answer is taken for the middle of the round trip."""
        before = time.time_ns()
        reply = self._wire.read("/v5/market/time")
        after = time.time_ns()
        result = (reply.json_object() or {}).get("result")
        nanoseconds = result.get("timeNano") if isinstance(result, Mapping) else None
        if reply.status != 200 or not re.fullmatch(r"[0-9]{19}", str(nanoseconds)):
            raise TryLater("Could not read Bybit's clock.", evidence=self._wire.redact.evidence(reply.evidence()))
        with self._clock.lock:
            self._clock.ahead = (int(str(nanoseconds)) - (before + after) // 2) // 1_000_000
            self._clock.stale = False


def milliseconds(length: timedelta) -> int:
    """A length of time in whole milliseconds, rounded down."""
    return length // timedelta(milliseconds=1)


def _insist_on_route(source: str, destination: str) -> None:
    for address in (source, destination):
        if address in LEGACY_KINDS:
            raise Refused(f"Not sent. Nothing moved: {address} is a legacy account; today there are UNIFIED and FUND.")
        if address not in KINDS:
            raise Refused(f"Not sent. Nothing moved: Bybit has no account {address!r}.")
    if source == destination:
        raise Refused("Not sent. Nothing moved: source and destination are the same account.")


def _insist_sendable(instruction: Instruction, answer: str | None) -> None:
    _insist_on_route(instruction.source, instruction.destination)
    if not instruction.amount.is_finite() or instruction.amount <= 0:
        raise Refused("Not sent. Nothing moved: the amount is not more than zero.")
    if not re.fullmatch(r"[A-Z0-9]+", instruction.asset):
        raise Refused(f"Not sent. Nothing moved: {instruction.asset!r} is not a coin as Bybit writes it.")
    if answer is not None:
        raise Refused("Not sent. Nothing moved: Bybit asks for no confirmation, so there is nothing to answer.")


def _same_words(instruction: Instruction, record: Mapping[str, Any]) -> bool:
    try:
        amount = _amount(record.get("amount"))
    except ValueError:
        return False
    return (
        amount == instruction.amount
        and record.get("coin") == instruction.asset
        and record.get("fromAccountType") == instruction.source
        and record.get("toAccountType") == instruction.destination
    )


def _amount(written: object) -> Decimal:
    """A decimal string of the venue's. Raises ValueError for anything that is not a finite number."""
    try:
        amount = Decimal(written if isinstance(written, str) else "")
    except InvalidOperation:
        raise ValueError("That is not a number.") from None
    if not amount.is_finite():
        raise ValueError("That is not a finite number.")
    return amount


def _rows(listed: object, address: str) -> dict[str, Mapping[str, Any]]:
    """The rows by coin. Raises TryLater when the list cannot be taken for a complete one."""
    rows: dict[str, Mapping[str, Any]] = {}
    for row in listed if isinstance(listed, list) else [None]:
        if not isinstance(row, Mapping):
            raise TryLater(f"Could not read {address}: the answer is not a list of coins.")
        coin = row.get("coin")
        if not isinstance(coin, str) or not coin or coin in rows:
            raise TryLater(f"Could not read {address}: the answer is not a list of different coins.")
        rows[coin] = row
    return rows


def _unreadable(address: str, asset: str, at: datetime, problem: str) -> VenueBalance:
    return VenueBalance(address=address, asset=asset, total=None, movable=None, observed_at=at, problem=problem)


def _batches(items: list[str], size: int) -> Iterable[list[str]]:
    return (items[start : start + size] for start in range(0, len(items), size))


VENUE = Venue(
    title="Bybit",
    credentials=Credentials,
    # guide, "Base URL"; the user's registration decides on the region.
    hosts={
        "mainnet": {"api": "https://api.bybit.com"},
        "testnet": {"api": "https://api-testnet.bybit.com"},
        "netherlands": {"api": "https://api.bybit.nl"},
        "turkey": {"api": "https://api.bybit.tr"},
        "kazakhstan": {"api": "https://api.bybit.kz"},
        "georgia": {"api": "https://api.bybitgeorgia.ge"},
        "emirates": {"api": "https://api.bybit.ae"},
        "europe": {"api": "https://api.bybit.eu"},
        "indonesia": {"api": "https://api.bybit.id"},
        "japan": {"api": "https://api.manepa.jp"},
    },
    build=Bybit,
    account_kinds=KINDS,
    routes=ROUTES,
    # rate-limit; per user, and the address as a whole may make 600 requests in 5 s.
    limits={
        "send": Limit(calls=60, per=timedelta(minutes=1)),
        "look_up": Limit(calls=60, per=timedelta(minutes=1)),
        "assets": Limit(calls=60, per=timedelta(minutes=1)),
        "balances": Limit(calls=5, per=timedelta(seconds=1)),
    },
    resend=Resend(until=timedelta(hours=24), after_empty_look_up=True),
    absent_after=ABSENT_AFTER,
    settle_limit=timedelta(minutes=30),
    signed_window=SIGNED_WINDOW,
    accounts_read_per_asset=False,
    amount_decimals=AMOUNT_DECIMALS,
)
