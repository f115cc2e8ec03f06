"""Qonto: internal transfers between the bank accounts of one organisation, through the Business API v2.

Documentation: https://docs.qonto.com (the paths below are paths of that site; `internal-transfers` stands for
api-reference/business-api/.../create-an-internal-transfer and the OpenAPI document on that page).
Peculiar:

* Nothing is signed or time-stamped. `Authorization` is `{login}:{secret-key}` as it stands, or `Bearer` and an
  OAuth access token of one hour (get-started/business-api/authentication). This module takes an access token that
  is valid now; getting and refreshing one is its caller's business.
* The sandbox wants `X-Qonto-Staging-Token` too, and answers a page for people, with status 200 or 302, when it is
  missing. Only the sandbox is ever given that token.
* A transfer answers with status `pending` always (internal-transfers), and there is no question for a transfer
  afterwards: what became of it is read from the transactions of both accounts. Transactions do not name the
  transfer, so a token made of our key stands in `reference`, which both sides show.
* `X-Qonto-Idempotency-Key` replays the first *successful* answer, whatever the body, for 30 minutes; after that the
  same request is a new transfer (get-started/general/idempotent-requests). A failed answer is not kept, so money that
  moved before a 500 would move again by a repeat: there is no re-send, except the one that a person confirmed.
* Strong customer authentication: 428 with a `sca_session_token`. Nothing was executed. A person confirms on their
  device within 15 minutes, and the same request is repeated under the same key with the token
  (api-reference/business-api/authentication/sca/sca-flows).
* `amount` is a string, `reference` at most 99 characters, `currency` only EUR (internal-transfers). A document checker
  does not notice a breach of the last two, so they are checked here, before anything is sent.
* Field and word additions come without notice (versioning): unknown fields are ignored, unknown words are doubt.

UNVERIFIED, said by no document, and isolated in a constant or named here:

* REFERENCE_LETTERS: the characters that a reference may hold. We keep to those of SEPA.
* That `reference` survives unchanged into both transactions. Letters' case and everything between letters and
  digits may change without harm (`_holds`); if it is lost, the look-up stays UNCLEAR for ever.
* What too small a balance is answered with: a 422 and a transaction that is later `declined` are both understood.
* Whether a login may transfer: no question tells. `check` says so, and answers for the number of accounts only.
* LOOK_UP_EARLY: how far our clock may be off. No answer of Qonto's measures it.
* TRANSFER_STATUSES: `processing` was met live; the document knows `pending` only.
* A 4xx is never an executed transfer, whatever its code (the codes are an open list). What speaks of an earlier
  request (EARLIER_REQUEST), and an `error` of 429 that is not about a rate limit, is doubt.
* When the 30 minutes begin. We count from the first send (KEY_LIFE, less KEY_MARGIN).
* Whether 428 is asked of API keys at all, and for which amounts.
"""

import json
import logging
import re
import threading
from collections.abc import Collection, Generator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Any
from urllib.parse import quote
from uuid import UUID

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
    Standing,
    State,
    Venue,
    VenueAccount,
    VenueBalance,
    insist_printable,
    plain,
)
from connectors.core.redact import Redactor

logger = logging.getLogger(__name__)

PRODUCTION = "thirdparty.qonto.com"
SANDBOX = "thirdparty-sandbox.staging.qonto.co"
TRANSFERS = "/v2/internal_transfers"

CURRENCY = "EUR"
DECIMALS = 2
LONGEST_REFERENCE = 99
REFERENCE_LETTERS = re.compile(r"[A-Za-z0-9/?:().,'+ -]*")
# A masked one (FRXXXX…) has no check digits; it is refused by Qonto, and by us.
IBAN = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}")

KEY_LIFE = timedelta(minutes=30)
KEY_MARGIN = timedelta(minutes=5)
CHALLENGE_LIFE = timedelta(minutes=15)
KEYS_REMEMBERED = 10_000

LOOK_UP_EARLY = timedelta(hours=1)
LOOK_UP_PAGES = 50
PER_PAGE = 100
LONGEST_WAIT = timedelta(hours=1)

KIND = "account"
ROUTES = ((KIND, KIND),)
EXACT = Context(prec=100)


@dataclass(frozen=True)
class Credentials:
    """Either login and secret key, or an OAuth access token; and a staging token for the sandbox.

    An empty string stands for a field that is not there.
    """

    login: str = field(default="", repr=False, metadata={"title": "Login (organisation)", "secret": False})
    secret_key: str = field(default="", repr=False, metadata={"title": "Secret key"})
    access_token: str = field(default="", repr=False, metadata={"title": "OAuth access token, in place of the two"})
    staging_token: str = field(default="", repr=False, metadata={"title": "Staging token, for the sandbox only"})

    def __post_init__(self) -> None:
        by_key, by_oauth = bool(self.login or self.secret_key), bool(self.access_token)
        if by_key == by_oauth or bool(self.login) != bool(self.secret_key):
            raise ValueError("Credentials for qonto are either login and secret_key, or access_token.")
        named = [(name, str(value)) for name, value in vars(self).items() if value]
        insist_printable(named)


class Authorization(httpx.Auth):
    """Names the login (authentication/api-key, authentication/oauth); notes whether it was to the sandbox.

    One object for one request.
    """

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self.to_sandbox = False

    @property
    def lacks_staging_token(self) -> bool:
        return self.to_sandbox and not self._credentials.staging_token

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        login = self._credentials
        self.to_sandbox = request.headers["Host"] == SANDBOX
        request.headers["Authorization"] = (
            f"Bearer {login.access_token}" if login.access_token else f"{login.login}:{login.secret_key}"
        )
        if self.to_sandbox and login.staging_token:
            request.headers["X-Qonto-Staging-Token"] = login.staging_token
        yield request


class Meaning(Enum):
    """What an answer to a transfer says about the money of this request."""

    TAKEN = "taken"  # read the transfer in it
    ASKED = "asked"  # nothing moved; a person has to confirm
    REFUSED = "refused"  # nothing moved
    UNCERTAIN = "uncertain"  # look it up
    LIMITED = "limited"  # nothing moved, too many calls
    BARRED = "barred"  # nothing moved; key, role or scope


# internal-transfers knows 200, 400, 401, 403, 422 and 500; sca-flows 412 and 428; rate-limits 429; 409 comes from the
# library behind the idempotency keys. Whatever is not here, and no 2xx, is UNCERTAIN.
HTTP_STATUSES: Mapping[int, tuple[Meaning, str]] = {
    400: (Meaning.REFUSED, "the request was malformed"),
    401: (Meaning.BARRED, "the login is wrong, has expired, or belongs to the other environment"),
    403: (Meaning.BARRED, "the role or the scope of the login does not allow it"),
    404: (Meaning.REFUSED, "there is no such path, or the organisation lacks the feature"),
    409: (Meaning.UNCERTAIN, "a request under the same key is under way"),
    412: (Meaning.REFUSED, "a precondition failed: the confirmation does not hold"),
    422: (Meaning.REFUSED, "a value is not accepted"),
    428: (Meaning.ASKED, "a person has to confirm it"),
    429: (Meaning.LIMITED, "too many calls"),
    500: (Meaning.UNCERTAIN, "the server had an error"),
    502: (Meaning.UNCERTAIN, "the server behind the gateway had an error"),
    503: (Meaning.UNCERTAIN, "the service was not available"),
    504: (Meaning.UNCERTAIN, "the server behind the gateway did not answer in time"),
}

# The status decides; these say what it is about. Any other code is loud.
CODES: Mapping[str, str] = {
    "bad_request": "the request was malformed",
    "authorization_header_missing": "no login arrived",
    "authorization_token_invalid": "the access token is invalid or has expired",
    "unauthorized": "the login is wrong",
    "forbidden": "the role or the scope of the login does not allow it",
    "missing_key": "a field is missing",
    "not_in_list": "a value is not one of those allowed",
    "not_found": "an account is not known, or not active",
    "sca_not_enrolled": "the user has to pair a device or enrol a passkey first",
}

# A code or an `error` like these says that another request under our key arrived: it may have moved the money. The
# library behind the keys says "Concurrent requests detected", with 429 or as it is set up.
EARLIER_REQUEST = re.compile(r"duplicat|idempoten|conflict|concurren|already", re.IGNORECASE)
RATE_LIMIT = re.compile(r"rate.?limit|too many|quota", re.IGNORECASE)

# The status of a transfer that was taken; whatever is not here is Uncertain.
TRANSFER_STATUSES: Mapping[str, str] = {"pending": "it is on its way", "processing": "it is being worked on"}

# list-transactions, `status`; asked for one at a time and in this order, so that one on its way from pending to its
# end while we ask is seen at least once. Whatever is not here is UNCLEAR.
TRANSACTION_STATUSES: Mapping[str, State] = {
    "pending": State.PENDING,
    "completed": State.DONE,
    "declined": State.FAILED,
}

# `status` of a bank account: whether its money can be moved. Whatever is not here cannot, loudly.
ACCOUNT_STATUSES: Mapping[str, bool] = {
    "active": True,
    "closed": False,
    "pending": False,
    "waiting_for_funds": False,
}

# retrieve-session, `result`; whatever is not here is no answer.
SESSION_RESULTS: Mapping[str, ChallengeState] = {
    "waiting": ChallengeState.WAITING,
    "allow": ChallengeState.ALLOWED,
    "deny": ChallengeState.DENIED,
}


def judge(status: int, body: Mapping[str, Any] | None) -> tuple[Meaning, str]:
    """What an answer to a transfer means, from HTTP status and body (None: no JSON object).

    A doubt in the body outweighs a status that says that nothing moved.
    """
    said = body or {}
    if 200 <= status < 300:
        return (Meaning.TAKEN, "taken") if _transfer(said) else _NOT_QONTOS
    if "internal_transfer" in said:
        return Meaning.UNCERTAIN, f"HTTP status {status} and a transfer in the body contradict each other"
    codes, alone = [code for code, _ in _errors(said)], str(said.get("error") or "")
    if any(EARLIER_REQUEST.search(word) for word in (*codes, alone)):
        return Meaning.UNCERTAIN, "another request under the same key arrived"
    if status == 429 and alone and not RATE_LIMIT.search(alone):
        return Meaning.UNCERTAIN, "too many requests of a kind that this program does not know"
    meaning, words = HTTP_STATUSES.get(status, (Meaning.UNCERTAIN, f"HTTP status {status}"))
    words = next((CODES[code] for code in codes if code in CODES), words)
    if meaning is Meaning.ASKED and _session(said) is None:
        return Meaning.REFUSED, words if codes else "a person has to confirm it, and there is no way to do so"
    return meaning, words


_NOT_QONTOS = (Meaning.UNCERTAIN, "an answer that is not Qonto's")
_NO_STAGING_TOKEN = (Meaning.BARRED, "the sandbox answered with a page for people: it needs a staging token")


class Keys:
    """The keys that this process sent. Keeps one from being sent again that may have moved money, or is too old.

    A second net: the caller's own book of its sends is the first. A restart forgets.
    """

    def __init__(self) -> None:
        self._first_at: dict[UUID, datetime] = {}
        self._in_doubt: set[UUID] = set()
        self._lock = threading.Lock()

    def enter(self, key: UUID, at: datetime) -> datetime:
        """Begin a send; returns the first one's moment. Raises Refused."""
        with self._lock:
            first_at = self._first_at.setdefault(key, at)
            if key in self._in_doubt:
                raise Refused(
                    "Not sent. Nothing moved by this call: an earlier one under the same key may have moved money, "
                    "and Qonto takes no re-send. It has to be looked up."
                )
            if at - first_at >= KEY_LIFE - KEY_MARGIN:
                raise Refused(
                    "Not sent. Nothing moved: its key was first sent too long ago, and Qonto forgets a key after 30 "
                    "minutes. Draft it again."
                )
            self._in_doubt.add(key)
            while len(self._first_at) > KEYS_REMEMBERED:
                oldest = next(iter(self._first_at))
                del self._first_at[oldest]
                self._in_doubt.discard(oldest)
            return first_at

    def nothing_moved(self, key: UUID, *, unsent: bool = False) -> None:
        """End a send that moved nothing. `unsent`: Qonto never saw it, so if it was the first it was none."""
        with self._lock:
            self._in_doubt.discard(key)
            if unsent:
                self._first_at.pop(key, None)


_keys = Keys()


class Qonto:
    """One login at Qonto; see `connectors.core.protocol.Connector` for what the methods promise."""

    def __init__(self, credentials: Credentials, wire: Wire) -> None:
        self._credentials = credentials
        self._wire = wire

    # Who and what

    def check(self) -> Check:
        """Ask for the organisation. Whether the login may transfer is told by no question, only by a transfer."""
        organisation, to_sandbox = self._organisation()
        login = organisation.get("id")
        if not isinstance(login, str) or not login:
            raise TryLater("Could not read who the login is: Qonto did not name the organisation.")
        usable = [account for account in _bank_accounts(organisation) if _is_usable(account)]
        name = self._wire.redact.text(str(organisation.get("legal_name") or organisation.get("name") or login))
        words = [
            f"The login belongs to {name}.",
            "It is an OAuth access token, which lasts one hour." if self._credentials.access_token else _BY_KEY,
            f"It sees {len(usable)} active accounts.",
            "Whether it may transfer is not told in advance: the first transfer will show it.",
        ]
        if len(usable) < 2:
            words.append("A transfer needs two active accounts.")
        if self._credentials.staging_token and not to_sandbox:
            words.append("A staging token was given, but this is not the sandbox; it is not sent.")
        return Check(login=login, may_transfer=len(usable) >= 2, words=words)

    def accounts(self) -> list[VenueAccount]:
        """The organisation's own active accounts by IBAN; those at other banks are left out."""
        return [
            VenueAccount(address=account["iban"], kind=KIND, title=str(account.get("name") or account["iban"]))
            for account in self._usable_accounts()
        ]

    def routes(self) -> list[tuple[str, str]]:
        return list(ROUTES)

    def assets(self, source: str, destination: str) -> list[str]:
        """EUR between any two accounts (internal-transfers). Asks nobody."""
        _insist_on_route(source, destination)
        return [CURRENCY]

    def balances(self) -> list[VenueBalance]:
        """Every active account: `balance` is booked, `authorized_balance` leaves out what is on its way."""
        accounts = self._usable_accounts()
        now = datetime.now(UTC)
        return [_balance(account, now) for account in accounts]

    # One transfer

    def send(
        self,
        instruction: Instruction,
        signed_at: datetime | None = None,
        send_before: datetime | None = None,
        answer: str | None = None,
    ) -> Receipt | Challenge:
        """Post the transfer once under `instruction.key`. Nothing is signed, so `signed_at` changes nothing."""
        body = _body(instruction)
        headers = {"Content-Type": "application/json", "X-Qonto-Idempotency-Key": str(instruction.key)}
        if answer is not None:
            if not _is_token(answer):
                raise Refused("Not sent. Nothing moved: the answer to the challenge is not a token of Qonto's.")
            headers["X-Qonto-Sca-Session-Token"] = answer
        began = datetime.now(UTC)
        first_at = _keys.enter(instruction.key, began)
        auth = Authorization(self._credentials)
        try:
            reply = self._wire.send(
                TRANSFERS,
                content=json.dumps(body, separators=(",", ":")).encode("ascii"),
                headers=headers,
                auth=auth,
                send_before=send_before,
            )
        except TryLater:
            _keys.nothing_moved(instruction.key, unsent=first_at == began)
            raise
        said = reply.json_object() or {}
        evidence = self._evidence(reply, _session(said), answer)
        evidence["request"] = {**body["internal_transfer"], "key": str(instruction.key)}
        meaning, words = self._judge(reply, auth, evidence)
        if meaning is Meaning.ASKED and answer is not None:
            meaning, words = Meaning.REFUSED, "the confirmation was not accepted"
        if meaning is Meaning.TAKEN:
            return self._receipt(instruction, _transfer(said), evidence)
        words = _with_errors(words, evidence)
        if meaning is Meaning.UNCERTAIN:
            logger.error("A transfer is in doubt: %s (evidence %s)", words, evidence)
            raise Uncertain(f"It may have moved. Qonto answered: {words}.", evidence=evidence)
        _keys.nothing_moved(instruction.key)
        if meaning is Meaning.ASKED:
            deadline = min(began + CHALLENGE_LIFE, first_at + KEY_LIFE - KEY_MARGIN)
            return Challenge(token=str(_session(said)), deadline=deadline, evidence=evidence)
        words = f"Nothing moved. Qonto refused the request: {words}."
        if meaning is Meaning.REFUSED:
            raise Refused(words, evidence=evidence)
        raise self._turned_away(meaning, words, reply, evidence)

    def _receipt(self, instruction: Instruction, transfer: Mapping[str, Any], evidence: Mapping[str, Any]) -> Receipt:
        """The transfer of the answer, if it is ours: a key used before is answered with what it was used for."""
        currency = transfer.get("currency", transfer.get("amount_currency", CURRENCY))
        same = (
            _holds(transfer.get("reference"), instruction.key)
            and _whole(transfer.get("amount_cents")) == _cents(instruction.amount)
            and currency == CURRENCY
        )
        if not same:
            logger.error("Qonto answered about another transfer (evidence %s)", evidence)
            raise Uncertain("It may have moved. Qonto answered about another transfer.", evidence=evidence)
        if transfer.get("status") not in TRANSFER_STATUSES:
            logger.error("Qonto answered a transfer with a status that is not known (evidence %s)", evidence)
            raise Uncertain("It may have moved. Qonto did not say what became of it.", evidence=evidence)
        return Receipt(settled=False, record=str(transfer["id"]), evidence=evidence)

    def look_up(
        self,
        instruction: Instruction,
        *,
        sent_at: datetime,
        receipt: Receipt | None = None,
        claimed: Collection[str] = (),
    ) -> Standing:
        """Search the transactions of both accounts, one status at a time, for the token in the reference.

        DONE needs the completed transactions of both sides. Never ABSENT.
        """
        ids = self._ids_of(instruction.source, instruction.destination)
        since = (sent_at - LOOK_UP_EARLY).astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        asked: list[dict[str, Any]] = []
        found: dict[str, Mapping[str, Any]] = {}
        for status in TRANSACTION_STATUSES:
            for account in ids:
                for record in self._transactions(account, status, since, asked):
                    if _holds(record.get("reference"), instruction.key):
                        # The later answer knows better: it may have ended since the earlier one.
                        found[str(record["id"])] = record
        seen = {"updated_at_from": since, "asked": asked, "records": list(found.values())}
        evidence = self._wire.redact.evidence(seen)
        if not found:
            return Standing(state=State.UNCLEAR, searched=True, found=False, evidence=evidence)
        state, rests_on = _standing(instruction, ids, list(found.values()))
        if any(one in claimed for one in found):
            state = State.UNCLEAR
        if state is State.UNCLEAR:
            logger.error("The records of transfer %s do not say what we expect: %s", instruction.key, evidence)
        return Standing(state=state, searched=True, found=True, evidence=evidence, record=rests_on)

    def challenge(self, challenge: Challenge) -> ChallengeState:
        """Ask for the session of strong customer authentication; at most once a second (sca-flows)."""
        hide = Redactor([challenge.token])
        try:
            said = self._ask(f"/v2/sca_sessions/{quote(challenge.token, safe='')}")[0]
        except TryLater as error:
            words, evidence = hide.text(error.words), hide.evidence(error.evidence)
            raise TryLater(words, retry_at=error.retry_at, evidence=evidence) from None
        except Barred as error:
            raise Barred(hide.text(error.words), evidence=hide.evidence(error.evidence)) from None
        state = SESSION_RESULTS.get(str(said.get("result")))
        if state is None:
            logger.error("Qonto states a confirmation in a word that is not known: %s", said.get("result"))
            raise TryLater("Could not read whether it was confirmed: Qonto's word for it is not known.")
        return state

    # Accounts and transactions

    def _organisation(self) -> tuple[Mapping[str, Any], bool]:
        """retrieve-the-authenticated-organization, which is not paged; and whether the sandbox told it."""
        said, to_sandbox = self._ask("/v2/organization")
        organisation = said.get("organization")
        if not isinstance(organisation, Mapping):
            raise TryLater("Could not read the accounts: the answer has no organisation.")
        return organisation, to_sandbox

    def _usable_accounts(self) -> list[Mapping[str, Any]]:
        """Raises Barred for an IBAN that is masked: money that cannot be addressed must not go unnoticed."""
        usable = [account for account in _bank_accounts(self._organisation()[0]) if _is_usable(account)]
        if not all(IBAN.fullmatch(str(account.get("iban"))) for account in usable):
            raise Barred("Could not read the accounts: an IBAN is masked, so the login's role does not see it whole.")
        if len({account["iban"] for account in usable}) != len(usable):
            raise TryLater("Could not read the accounts: the answer is not a list of different ones.")
        return usable

    def _ids_of(self, source: str, destination: str) -> tuple[str, str]:
        """Qonto's ids of two accounts. Raises TryLater when the login does not see one of them."""
        listed = _bank_accounts(self._organisation()[0])
        ids = [account.get("id") for iban in (source, destination) for account in listed if account.get("iban") == iban]
        if len(ids) != 2 or not all(isinstance(one, str) and one for one in ids) or ids[0] == ids[1]:
            raise TryLater("Could not look it up: Qonto does not show this login both accounts.")
        return str(ids[0]), str(ids[1])

    def _transactions(
        self, account: str, status: str, since: str, asked: list[dict[str, Any]]
    ) -> list[Mapping[str, Any]]:
        """All transactions of an account in one status that changed since. Raises TryLater unless complete.

        `status[]` takes several, and then has answered for one only; so it is given one. `page` is what the page
        about paging names, and its example uses another word: an answer for another page than asked is no answer.
        """
        found: dict[str, Mapping[str, Any]] = {}
        params = {"bank_account_id": account, "status[]": status, "updated_at_from": since}
        for page in range(1, LOOK_UP_PAGES + 1):
            paging = {"sort_by": "updated_at:asc", "page": str(page), "per_page": str(PER_PAGE)}
            said, _ = self._ask("/v2/transactions", {**params, **paging})
            rows, meta = said.get("transactions"), said.get("meta")
            if not isinstance(rows, list) or not all(isinstance(row, Mapping) and row.get("id") for row in rows):
                raise TryLater("Could not look it up: the answer has no list of transactions.")
            if not isinstance(meta, Mapping) or meta.get("current_page") != page or "next_page" not in meta:
                raise TryLater("Could not look it up: the answer is not the page that was asked for.")
            found |= {str(row["id"]): row for row in rows}
            asked.append({"account": account, "status": status, "page": page, "transactions": len(rows)})
            if meta["next_page"] is None:
                if (_whole(meta.get("total_count")) or 0) > len(found):
                    raise TryLater("Could not look it up: the list changed while it was read.")
                return list(found.values())
        raise TryLater("Could not look it up: the search did not come to an end.")

    # Questions and answers

    def _ask(self, path: str, params: Mapping[str, str] | None = None) -> tuple[Mapping[str, Any], bool]:
        """The JSON object that a question is answered with, and whether the sandbox did. TryLater or Barred."""
        auth = Authorization(self._credentials)
        reply = self._wire.read(path, params=params, auth=auth)
        said = reply.json_object()
        if 200 <= reply.status < 300 and said is not None:
            return said, auth.to_sandbox
        evidence = {**self._evidence(reply), "request": f"GET {path}"}
        meaning, words = self._judge(reply, auth, evidence)
        if auth.to_sandbox and meaning is not Meaning.BARRED and _is_page(reply):
            meaning, words = Meaning.BARRED, "the sandbox answered with a page for people: the staging token is wrong"
        raise self._turned_away(meaning, f"Could not read: {_with_errors(words, evidence)}.", reply, evidence)

    def _judge(self, reply: Answer, auth: Authorization, evidence: Mapping[str, Any]) -> tuple[Meaning, str]:
        """As `judge`; and loud about what this program does not know."""
        if auth.lacks_staging_token and _is_page(reply):
            return _NO_STAGING_TOKEN
        said = reply.json_object()
        known = reply.status in HTTP_STATUSES or (200 <= reply.status < 300 and said is not None)
        if not known or any(code not in CODES for code, _ in _errors(said or {})):
            logger.error("Qonto answered in a way that this program does not know: %s", evidence)
        return judge(reply.status, said)

    def _evidence(self, reply: Answer, *tokens: str | None) -> dict[str, Any]:
        """Status, digest and text of an answer, without credentials and without tokens of a confirmation."""
        said = reply.json_object() or {}
        facts = {
            **reply.evidence(),
            "codes": [code for code, _ in _errors(said)],
            "text": "; ".join(text for _, text in _errors(said)) or str(said.get("error") or ""),
            "trace_id": said.get("trace_id") or reply.headers.get("x-tyk-trace-id"),
        }
        hide = Redactor([token for token in tokens if token])
        return hide.evidence(self._wire.redact.evidence(facts))

    def _turned_away(self, meaning: Meaning, words: str, reply: Answer, evidence: Mapping[str, Any]) -> VenueError:
        """The error for a question without an answer, and for a transfer turned away at the door."""
        if meaning is Meaning.BARRED:
            return Barred(words, evidence=evidence)
        retry_at = _retry_at(reply) if meaning is Meaning.LIMITED else None
        return TryLater(words, retry_at=retry_at, evidence=evidence)


_BY_KEY = "It is an API key. Depending on the plan, keys may only read."


def _body(instruction: Instruction) -> dict[str, dict[str, str]]:
    """The five fields of internal-transfers. Raises Refused for what Qonto would not take, or not notice."""
    _insist_on_route(instruction.source, instruction.destination)
    if instruction.asset != CURRENCY:
        raise Refused(f"Not sent. Nothing moved: Qonto moves {CURRENCY} only, and not {instruction.asset!r}.")
    _insist_on_amount(instruction.amount)
    reference = f"{token_of(instruction.key)} {instruction.reference}".rstrip()
    if not REFERENCE_LETTERS.fullmatch(reference):
        raise Refused("Not sent. Nothing moved: the reference has characters that bank transfers do not carry.")
    if len(reference) > LONGEST_REFERENCE:
        raise Refused(
            f"Not sent. Nothing moved: the reference is too long. With our token it has {len(reference)} characters, "
            f"and Qonto takes {LONGEST_REFERENCE}."
        )
    transfer = {
        "debit_iban": instruction.source,
        "credit_iban": instruction.destination,
        "reference": reference,
        "amount": plain(instruction.amount),
        "currency": CURRENCY,
    }
    return {"internal_transfer": transfer}


def _insist_on_route(source: str, destination: str) -> None:
    for address in (source, destination):
        if not IBAN.fullmatch(address):
            raise Refused(f"Not sent. Nothing moved: {address!r} is not an IBAN.")
    if source == destination:
        raise Refused("Not sent. Nothing moved: source and destination are the same account.")


def _insist_on_amount(amount: Decimal) -> None:
    if not amount.is_finite() or amount <= 0:
        raise Refused("Not sent. Nothing moved: the amount is not more than zero.")
    # Far beyond any account, and still short enough to be written out.
    if amount.adjusted() > 30:
        raise Refused("Not sent. Nothing moved: no bank account holds that much.")
    if len(plain(amount).partition(".")[2]) > DECIMALS:
        raise Refused(f"Not sent. Nothing moved: {CURRENCY} has {DECIMALS} decimals, and the amount has more.")


def token_of(key: UUID) -> str:
    """What our key looks like in a reference: 32 digits of hex. It comes first, so that no cut takes it away."""
    return key.hex


def _holds(reference: object, key: UUID) -> bool:
    """Whether a reference holds the token of the key, whatever a bank did to case, blanks and punctuation."""
    return isinstance(reference, str) and token_of(key) in re.sub(r"[^0-9a-z]", "", reference.lower())


def _cents(amount: Decimal) -> int:
    """An amount of at most two decimals, in cents."""
    return int(EXACT.scaleb(amount, DECIMALS))


def _whole(value: object) -> int | None:
    """A whole number, also when older answers write it as a string; None for anything else."""
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,30}", value):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _transfer(said: Mapping[str, Any]) -> Mapping[str, Any]:
    """The transfer of an answer, if it has an id; else nothing."""
    transfer = said.get("internal_transfer")
    named = isinstance(transfer, Mapping) and isinstance(transfer.get("id"), str) and transfer["id"]
    return transfer if named and isinstance(transfer, Mapping) else {}


def _session(said: Mapping[str, Any]) -> str | None:
    """The token of a confirmation that an answer asks for."""
    token = said.get("sca_session_token")
    return token if isinstance(token, str) and _is_token(token) else None


def _is_token(token: str) -> bool:
    return bool(re.fullmatch(r"[!-~]{1,2000}", token))


def _errors(said: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(code, text) of each error: in the list `errors`, or flat."""
    listed = said.get("errors")
    rows = [row for row in listed if isinstance(row, Mapping)] if isinstance(listed, list) else [said]
    return [(str(row["code"]), str(row.get("detail") or row.get("message") or "")) for row in rows if "code" in row]


def _with_errors(words: str, evidence: Mapping[str, Any]) -> str:
    """Our words, with Qonto's own behind them as the redacted evidence has them."""
    own = ": ".join(text for text in (", ".join(evidence["codes"]), evidence["text"]) if text)
    return f"{words} ({own[:200]})" if own else words


def _is_page(reply: Answer) -> bool:
    """Whether an answer is a redirect, or a page for people."""
    return 300 <= reply.status < 400 or "html" in reply.headers.get("content-type", "") or reply.body[:1] == b"<"


def _retry_at(reply: Answer) -> datetime | None:
    """`Retry-After` in seconds or as a date; no document promises it."""
    header, now = reply.headers.get("retry-after", ""), datetime.now(UTC)
    if re.fullmatch(r"[0-9]{1,6}", header):
        return now + min(timedelta(seconds=int(header)), LONGEST_WAIT)
    try:
        at = parsedate_to_datetime(header)
    except ValueError:
        return None
    return min(at, now + LONGEST_WAIT) if at.tzinfo is not None and at > now else None


def _bank_accounts(organisation: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Every account of the organisation. Raises TryLater when the list cannot be taken for a complete one."""
    listed = organisation.get("bank_accounts")
    if not isinstance(listed, list) or not all(isinstance(account, Mapping) for account in listed):
        raise TryLater("Could not read the accounts: the answer has no list of them.")
    return listed


def _is_usable(account: Mapping[str, Any]) -> bool:
    """Whether it is the organisation's own and active: no other can be part of an internal transfer."""
    status = str(account.get("status"))
    if status not in ACCOUNT_STATUSES:
        logger.error("Qonto lists an account with a status that is not known, which is left out: %s", status)
    return ACCOUNT_STATUSES.get(status, False) and not account.get("is_external_account")


def _balance(account: Mapping[str, Any], at: datetime) -> VenueBalance:
    """Cents are exact; `balance` beside them must say the same."""
    address, currency = str(account["iban"]), account.get("currency")
    booked, free = _whole(account.get("balance_cents")), _whole(account.get("authorized_balance_cents"))
    if not isinstance(currency, str) or not currency:
        return _unreadable(address, EVERY_ASSET, at, "Qonto did not name the currency.")
    if currency != CURRENCY:
        return _unreadable(address, currency, at, f"Qonto's cents are understood for {CURRENCY} only.")
    if booked is None:
        return _unreadable(address, currency, at, "Qonto did not state the balance; the login's role may not see it.")
    total, stated = EXACT.scaleb(Decimal(booked), -DECIMALS), account.get("balance")
    if isinstance(stated, int | Decimal) and not isinstance(stated, bool) and Decimal(stated) != total:
        return _unreadable(address, currency, at, "Qonto states two different balances.")
    return VenueBalance(
        address=address,
        asset=currency,
        total=total,
        movable=None if free is None else EXACT.scaleb(Decimal(free), -DECIMALS),
        observed_at=at,
        problem=None if free is not None else "How much may move was not stated.",
    )


def _unreadable(address: str, asset: str, at: datetime, problem: str) -> VenueBalance:
    return VenueBalance(address=address, asset=asset, total=None, movable=None, observed_at=at, problem=problem)


def _standing(
    instruction: Instruction, accounts: tuple[str, str], records: list[Mapping[str, Any]]
) -> tuple[State, str]:
    """What the transactions under our token say together, and the id of the one it rests on."""
    sides: dict[str, Mapping[str, Any]] = {}
    odd = False
    for record in records:
        side = str(record.get("side"))
        # More than one on a side is a second payment, or a decline beside one; either is for people.
        odd = odd or side in sides or not _same_words(instruction, accounts, record)
        sides[side] = record
    rests_on = str((sides.get("debit") or records[0])["id"])
    if odd:
        return State.UNCLEAR, rests_on
    debit, credit = (
        TRANSACTION_STATUSES[str(sides[side]["status"])] if side in sides else None for side in ("debit", "credit")
    )
    if debit is State.DONE and credit is State.DONE:
        return State.DONE, rests_on
    if debit is State.FAILED and credit in (None, State.FAILED):
        return State.FAILED, rests_on
    # One side declined while the other lives: money has left one account and not reached the other, or will.
    contradictory = State.FAILED in (debit, credit)
    return State.UNCLEAR if contradictory else State.PENDING, rests_on


def _same_words(instruction: Instruction, accounts: tuple[str, str], record: Mapping[str, Any]) -> bool:
    sides = {"debit": accounts[0], "credit": accounts[1]}
    return (
        record.get("status") in TRANSACTION_STATUSES
        and record.get("side") in sides
        and record.get("bank_account_id") == sides[record["side"]]
        and _whole(record.get("amount_cents")) == _cents(instruction.amount)
        and record.get("currency") == CURRENCY
    )


VENUE = Venue(
    title="Qonto",
    credentials=Credentials,
    hosts={
        "production": {"api": f"https://{PRODUCTION}"},
        "sandbox": {"api": f"https://{SANDBOX}"},
    },
    build=Qonto,
    account_kinds={KIND: "Bank account"},
    routes=ROUTES,
    # rate-limits: an address may make 1000 calls in 10 s and 10 000 in 10 min, whatever they are. Each kind has a part
    # of the longer window; a look-up asks seven questions and more. A confirmation is asked for once a second at most.
    limits={
        "send": Limit(calls=1000, per=timedelta(minutes=10)),
        "look_up": Limit(calls=500, per=timedelta(minutes=10)),
        "balances": Limit(calls=1000, per=timedelta(minutes=10)),
        "challenge": Limit(calls=1, per=timedelta(seconds=1)),
    },
    resend=None,
    absent_after=None,
    settle_limit=timedelta(minutes=30),
    signed_window=None,
    accounts_read_per_asset=False,
    amount_decimals=DECIMALS,
    challenges=True,
    confirmed_by="the member whose API key is used, on the device paired with Qonto",
)
