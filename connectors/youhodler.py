"""YouHodler Business: internal transfers between the master and client accounts of one tenant.

Documentation: https://business-api-docs.youhodler.com/docs (the pages below are pages of that site).
Peculiar:

* Nothing is signed. A client id and secret buy an access token for an hour (api/reference/auth/oauth-token),
  and every other call carries it. Tokens are kept in this process only, and are secrets like the credentials.
* A transfer is answered with 202 and an operation id: work was accepted, no money has to have moved yet. The
  operation is then asked for by that id, and by nothing else: there is no search by our key.
* So an operation whose id never reached us is found again by sending the same body under the same
  Idempotency-Key, which returns the original result (concepts/idempotency-and-concurrency). Such a re-send is
  a send, made by whoever may claim one; `look_up` without an id only says UNCLEAR.
* Approval rules of the tenant may hold an operation until a person at YouHodler approves it.
* Errors branch on HTTP status first, then on `code` (concepts/errors).
* An account is named by a path-like ref, `client-accounts/{uuid}`; that ref is our address.

UNVERIFIED, said by no document that could be read, and isolated in a constant or named here:

* OPERATION: the path of the look-up. Its page is named by the documents, its text could not be read.
* PAGE_TOKEN: the name of the parameter for the next page. If the venue ignores it, an account turns up twice
  and the list counts as unreadable.
* RESEND_UNTIL: keys are kept for a finite time that is not published. Our own bound.
* ROUTES: client to client and client to master are shown in examples, the two from a master account are not.
* Whether the balance of an account with an overdraft contains borrowed money: `_own_money` calls it unreadable.
* Whether `executed` is final. It counts as settled only together with `settled_at` (`_state`).
* Whether a fee comes on top of the amount. It is recorded, and nothing is reckoned with it.
* Decimals and smallest amounts of an asset: the venue refuses what it does not like.
* `check` cannot tell whether the service account may transfer: no call that says so is published. The login is
  the tenant, since no call tells a service account its own name.
* LIMITS: figures are not published. Ours are cautious.
* Any `code` beside those in ANSWERS: errors.json of the documents lists them all and could not be read.
"""

import copy
import hashlib
import json
import logging
import os
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Collection, Generator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal, InvalidOperation
from enum import Enum
from typing import Any
from urllib.parse import quote
from uuid import uuid4

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
from connectors.core.redact import Redactor

logger = logging.getLogger(__name__)

TRANSFERS = "/internal-transfers"
OPERATION = "/internal-transfers/{id}"
PAGE_TOKEN = "page_token"  # noqa: S105
PAGE_SIZE = 20
MOST_PAGES = 500
RESEND_UNTIL = timedelta(hours=1)
LONGEST_WAIT = timedelta(hours=1)

TOKEN = "/oauth/token"  # noqa: S105
# A token is renewed so long before it runs out, so that none runs out on the way.
RENEW_EARLY = timedelta(seconds=60)
LONGEST_LIFE = timedelta(hours=24)
# How long a call waits for another one that is fetching the token of the same login.
TOKEN_WAIT = timedelta(seconds=10)
LOGINS_REMEMBERED = 100
TOKENS_REMEMBERED = 4

MASTER, CLIENT = "master-accounts", "client-accounts"
KINDS = {MASTER: "Master account", CLIENT: "Client account"}
ROUTES = ((CLIENT, CLIENT), (CLIENT, MASTER), (MASTER, CLIENT), (MASTER, MASTER))
UUID_PATTERN = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
ADDRESS = re.compile(rf"({MASTER}|{CLIENT})/({UUID_PATTERN})")
EXACT = Context(prec=100)


@dataclass(frozen=True)
class Credentials:
    """A service account's client credentials. They are shown once, when the service account is created."""

    client_id: str = field(repr=False, metadata={"title": "Client ID"})
    client_secret: str = field(repr=False, metadata={"title": "Client secret"})

    def __post_init__(self) -> None:
        insist_printable([("client_id", self.client_id), ("client_secret", self.client_secret)])


class Bearer(httpx.Auth):
    """Puts the access token on a request; nothing is signed (workflows/live-operations-and-controls)."""

    def __init__(self, token: str) -> None:
        self._token = token

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = f"Bearer {self._token}"
        yield request


class Meaning(Enum):
    """What an answer to a transfer says about the money of this request."""

    TAKEN = "taken"  # read the operation
    REFUSED = "refused"  # nothing moved
    UNCERTAIN = "uncertain"  # send it again under the same key, or ask a person
    LIMITED = "limited"  # nothing moved, too many calls
    BARRED = "barred"  # nothing moved; capability or scope
    UNAUTHENTICATED = "unauthenticated"  # nothing moved; the token


# api/reference/internal-transfers/internal-transfers-create and concepts/errors; whatever is not here and not
# in AT_THE_DOOR is UNCERTAIN.
ANSWERS: Mapping[tuple[int, str], tuple[Meaning, str]] = {
    (400, "invalid_request"): (Meaning.REFUSED, "the request is not valid"),
    (401, "unauthorized"): (Meaning.UNAUTHENTICATED, "the access token was not accepted"),
    (403, "forbidden_capability_scope"): (Meaning.BARRED, "the service account lacks the capability or the scope"),
    (404, "resource_not_found"): (Meaning.REFUSED, "it does not know one of the accounts"),
    (409, "idempotency_conflict"): (Meaning.UNCERTAIN, "the key belongs to another request, which arrived earlier"),
    (422, "not_admissible"): (Meaning.REFUSED, "a rule or a policy does not admit it"),
    (429, "rate_limited"): (Meaning.LIMITED, "too many calls"),
    (502, "upstream_error"): (Meaning.UNCERTAIN, "a service behind it had an error"),
    (503, "temporarily_unavailable"): (Meaning.UNCERTAIN, "it is temporarily unavailable"),
}

# Statuses that turn a request away before its business is looked at, whatever word comes with them: concepts/errors
# calls the meaning of a status fixed. A word that belongs to another status is a contradiction all the same.
AT_THE_DOOR: Mapping[int, tuple[Meaning, str]] = {
    401: (Meaning.UNAUTHENTICATED, "the access token was not accepted"),
    403: (Meaning.BARRED, "the service account is not allowed to do this"),
    412: (Meaning.REFUSED, "a precondition was not met"),
    429: (Meaning.LIMITED, "too many calls"),
}

# Statuses that say nothing about the money by themselves.
IN_DOUBT: Mapping[int, str] = {
    409: "it conflicts with the present state, perhaps with an earlier request of ours",
    500: "the server had an error",
    502: "a service behind it had an error",
    503: "it is temporarily unavailable",
    504: "a service behind it did not answer in time",
}

# api/reference/auth/oauth-token; whatever is not here is worth another try. A token moves no money.
TOKEN_ANSWERS: Mapping[int, tuple[Meaning, str]] = {
    400: (Meaning.BARRED, "the client credentials, or the scope of the service account, are not accepted"),
    401: (Meaning.BARRED, "the client id or the client secret is wrong, or the secret has expired"),
    403: (Meaning.BARRED, "the service account is not allowed to have a token"),
    422: (Meaning.BARRED, "the service account is in no state to be given a token"),
    429: (Meaning.LIMITED, "too many calls"),
}

# concepts/operations, OperationStatus, and the two words of its older examples; whatever is not here is UNCLEAR.
STATUSES: Mapping[str, State] = {
    "requested": State.PENDING,
    "admissible": State.PENDING,
    "pending_approval": State.PENDING,
    "executing": State.PENDING,
    "processing": State.PENDING,
    "executed": State.PENDING,  # DONE once settled_at is set
    "partially_settled": State.PENDING,
    "settled": State.DONE,
    "ledger_visible": State.DONE,
    "completed": State.DONE,
    "failed": State.FAILED,
    "cancelled": State.FAILED,
}

STATUS_WORDS: Mapping[str, str] = {
    "pending_approval": "YouHodler took it and holds it: a person has to approve it at YouHodler.",
    "partially_settled": "YouHodler has settled a part of it and works on the rest.",
}


def judge(status: int, code: str | None) -> tuple[Meaning, str]:
    """What an answer to a transfer means, from HTTP status and the body's `code` (None: there is none)."""
    if status in (200, 201, 202) and code is None:
        return Meaning.TAKEN, "taken"
    if (status, code or "") in ANSWERS:
        return ANSWERS[status, code or ""]
    elsewhere = code is not None and _is_known(code)
    if status in AT_THE_DOOR and not elsewhere:
        return AT_THE_DOOR[status]
    if elsewhere:
        return Meaning.UNCERTAIN, f"HTTP status {status} and the code {code} contradict each other"
    return Meaning.UNCERTAIN, IN_DOUBT.get(status, f"HTTP status {status}, in a way that this program does not know")


def _is_known(code: str) -> bool:
    return any(code == known for _, known in ANSWERS)


class TokenSlot:
    """The access token of one login, and the last ones before it, which an answer may still echo."""

    def __init__(self) -> None:
        self.fetching = threading.Lock()
        self._lock = threading.Lock()
        self._token: str | None = None
        self._good_until = 0.0  # by time.monotonic()
        self.known: tuple[str, ...] = ()

    def current(self) -> str | None:
        """The token, while it is worth sending."""
        with self._lock:
            return self._token if time.monotonic() < self._good_until else None

    def keep(self, token: str, *, good_until: float) -> None:
        with self._lock:
            self._token, self._good_until = token, good_until
            self.known = (*self.known, token)[-TOKENS_REMEMBERED:]

    def drop(self, token: str) -> None:
        """Forget it, unless another thread has replaced it already."""
        with self._lock:
            if self._token == token:
                self._token = None
                self._good_until = 0.0


class Tokens:
    """The tokens of this process, in memory only, for a bounded number of logins. A child begins with none."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        # After a fork, a lock that another thread of the parent held would never be released.
        self._lock = threading.Lock()
        self._slots: OrderedDict[bytes, TokenSlot] = OrderedDict()

    def slot(self, login: bytes) -> TokenSlot:
        with self._lock:
            if login not in self._slots:
                self._slots[login] = TokenSlot()
            self._slots.move_to_end(login)
            found = self._slots[login]
            while len(self._slots) > LOGINS_REMEMBERED:
                self._slots.popitem(last=False)
            return found


_tokens = Tokens()
os.register_at_fork(after_in_child=_tokens.forget)


class YouHodler:
    """One service account; see `connectors.core.protocol.Connector` for what the methods promise."""

    def __init__(self, credentials: Credentials, wire: Wire) -> None:
        self._credentials = credentials
        self._wire = wire
        # The secret is part of it: whoever has another secret must not be served with this one's token.
        words = (wire.origin("api"), credentials.client_id, credentials.client_secret)
        self._token_key = hashlib.sha256("\0".join(words).encode()).digest()

    # Who and what

    def check(self) -> Check:
        """Fetch a token if there is none, and list both kinds of accounts."""
        listed, barred = self._listed()
        seen = {kind: len(rows) for kind, rows in listed.items()}
        accounts = [_account(kind, row) for kind, rows in listed.items() for row in rows]
        if not accounts:
            raise Barred("Could not read who the login is: the service account sees no account at all.")
        # A master account lies in the tenant itself, a client account in a client of it.
        scopes = sorted({str(row.get("scope_ref") or "") for row in listed[MASTER] or listed[CLIENT]})
        if "" in scopes:
            raise TryLater("Could not read who the login is: an account does not name its tenant.")
        idle = [one.title for one, row in zip(accounts, _flat(listed), strict=True) if row.get("status") != "active"]
        words = [
            "The client credentials are accepted.",
            f"It sees {seen[MASTER]} master and {seen[CLIENT]} client accounts.",
            *(f"It may not list the kind {kind}. {error.words}" for kind, error in barred.items()),
            *(f"Not active: {self._redact(title)}." for title in idle),
            "No published call says whether it may make internal transfers: the first one will show it.",
        ]
        enough = len(accounts) - len(idle) >= 2
        if not enough:
            words.append("There are not two active accounts to move money between.")
        return Check(login=self._redact(" + ".join(scopes)), may_transfer=enough, words=words)

    def accounts(self) -> list[VenueAccount]:
        """Every master and client account, inactive ones too, since money may lie there.

        A kind that the service account may not list is left out; Barred if both are.
        """
        listed, _ = self._listed()
        return [_account(kind, row) for kind, rows in listed.items() for row in rows]

    def routes(self) -> list[tuple[str, str]]:
        return list(ROUTES)

    def assets(self, source: str, destination: str) -> list[str]:
        """What the source's balances name: no list of currencies is published."""
        _insist_on_route(source, destination)
        return sorted(self._balance_rows(source))

    def _listed(self) -> tuple[dict[str, list[Mapping[str, Any]]], dict[str, Barred]]:
        """The rows of both lists of accounts by kind, and the kinds that may not be listed."""
        self._token()  # without one nobody is told about capabilities
        listed: dict[str, list[Mapping[str, Any]]] = {}
        barred: dict[str, Barred] = {}
        for kind in KINDS:
            listed[kind] = []
            try:
                listed[kind] = self._items(f"/{kind}", {"page_size": str(PAGE_SIZE)})
            except Barred as error:
                barred[kind] = error
                logger.warning("YouHodler does not let this login list %s: %s", kind, error.words)
        if len(barred) == len(KINDS):
            raise barred[MASTER]
        addresses = [_account(kind, row).address.lower() for kind, rows in listed.items() for row in rows]
        if len(set(addresses)) < len(addresses):
            raise TryLater("Could not read the accounts: one is listed twice.")
        return listed, barred

    # Balances

    def balances(self) -> list[VenueBalance]:
        """Every account, each with a row for every asset that any has.

        One that cannot be read is a single row for EVERY_ASSET, with the kind as its address when not even the
        accounts of a kind may be listed. Raises Barred only when all are barred.
        """
        found: dict[str, dict[str, VenueBalance]] = {}
        failed: dict[str, VenueError] = {}
        listed, hidden = self._listed()
        addresses = [_account(kind, row).address for kind, rows in listed.items() for row in rows]
        for address in addresses:
            try:
                found[address] = self._read_balances(address)
            except VenueError as error:
                failed[address] = error
        if failed and not found and all(isinstance(error, Barred) for error in failed.values()):
            raise failed[addresses[0]]
        now = datetime.now(UTC)
        # At least one, so that an emptied account is seen to be empty.
        assets = sorted({asset for rows in found.values() for asset in rows}) or ["USDC"]
        zero = Decimal(0)
        rows = [_unreadable(kind, EVERY_ASSET, now, error.words) for kind, error in hidden.items()]
        for address in addresses:
            if address in failed:
                rows.append(_unreadable(address, EVERY_ASSET, now, failed[address].words))
                continue
            for asset in assets:
                absent = VenueBalance(address=address, asset=asset, total=zero, movable=zero, observed_at=now)
                rows.append(found[address].get(asset, absent))
        return rows

    def _read_balances(self, address: str) -> dict[str, VenueBalance]:
        rows = self._balance_rows(address)
        now = datetime.now(UTC)
        found = {}
        for asset, row in rows.items():
            try:
                total, movable = _own_money(row)
            except ValueError as error:
                found[asset] = _unreadable(address, asset, now, f"The balance of {asset} is not usable: {error}")
                continue
            found[asset] = VenueBalance(address=address, asset=asset, total=total, movable=movable, observed_at=now)
        return found

    def _balance_rows(self, address: str) -> dict[str, Mapping[str, Any]]:
        """The rows by asset; without `asset` it is every asset on the account (balances/master-accounts-balances)."""
        rows: dict[str, Mapping[str, Any]] = {}
        for row in self._items(f"/{address}/balances", {}):
            asset, owner = row.get("asset"), row.get("owner_ref")
            if not isinstance(asset, str) or not asset or asset in rows:
                raise TryLater(f"Could not read {address}: the answer is not a list of different assets.")
            # The reference page shows a bare id, other refs come with the kind.
            if owner is not None and str(owner).lower() not in (address.lower(), address.partition("/")[2].lower()):
                raise TryLater(f"Could not read {address}: the answer is about another account.")
            rows[asset] = row
        return rows

    # One transfer

    def send(
        self,
        instruction: Instruction,
        signed_at: datetime | None = None,
        send_before: datetime | None = None,
        answer: str | None = None,
    ) -> Receipt:
        """Post internal-transfers once, under `instruction.key`. `signed_at` is ignored: nothing is signed."""
        _insist_sendable(instruction, answer)
        body = {
            "amount": {"currency": instruction.asset, "value": plain(instruction.amount)},
            "source_ref": instruction.source,
            "target_ref": instruction.destination,
        }
        try:
            token, fresh = self._token()
        except VenueError as error:
            raise _not_sent(error) from None
        wire = self._knowing(token)
        reply = wire.send(
            TRANSFERS,
            # The same words always make the same bytes: a re-send has to be the same body.
            content=json.dumps(body, separators=(",", ":")).encode("ascii"),
            headers={"Content-Type": "application/json", "Idempotency-Key": str(instruction.key)},
            auth=Bearer(token),
            send_before=send_before,
        )
        meaning, words, evidence = self._judge(reply, token, wire.redact)
        evidence["request"] = {**body, "idempotency_key": str(instruction.key)}
        if meaning is Meaning.TAKEN:
            return self._receipt(instruction, reply, evidence, wire.redact)
        if meaning is Meaning.UNCERTAIN:
            logger.error("A transfer is in doubt: %s (evidence %s)", words, evidence)
            raise Uncertain(f"It may have moved. YouHodler answered: {words}.", evidence=evidence)
        words = f"Nothing moved. YouHodler turned the request away: {words}."
        if meaning is Meaning.REFUSED:
            raise Refused(words, evidence=evidence)
        raise self._turned_away(meaning, words, reply, evidence, fresh=fresh)

    def _receipt(
        self, instruction: Instruction, reply: Answer, evidence: Mapping[str, Any], redact: Redactor
    ) -> Receipt:
        """What a 202 says. A replay of the key is answered with the operation of the first request."""
        operation = reply.json_object() or {}
        record, status = operation.get("id"), operation.get("status")
        if not isinstance(record, str) or not record:
            logger.error("YouHodler took a transfer and named no operation (evidence %s)", evidence)
            raise Uncertain("It may have moved. YouHodler's answer names no operation.", evidence=evidence)
        wrong, unsaid = _differences(instruction, operation)
        if wrong:
            logger.error("YouHodler answered about another transfer: %s (evidence %s)", wrong, evidence)
            words = (
                f"It may have moved. YouHodler answered about another transfer; not as approved: {', '.join(wrong)}."
            )
            raise Uncertain(words, evidence=evidence)
        if not isinstance(status, str) or status not in STATUSES:
            logger.error("YouHodler answered a transfer with a status that is not known (evidence %s)", evidence)
            raise Uncertain("It may have moved. YouHodler's answer has a status that is not known.", evidence=evidence)
        # One that failed already is taken too: the look-up by its id reads what became of it, and whether a part
        # was filled.
        settled = _state(operation) is State.DONE and not unsaid
        said = {**evidence, **redact.evidence(_told(operation))}
        return Receipt(settled=settled, record=record, fee=_fee(operation, instruction.asset), evidence=said)

    def look_up(
        self,
        instruction: Instruction,
        *,
        sent_at: datetime,
        receipt: Receipt | None = None,
        claimed: Collection[str] = (),
    ) -> Standing:
        """Ask for the operation by the id on the receipt. Without one only the two balances can be noted."""
        record = receipt.record if receipt is not None else None
        if not record:
            return self._without_id(instruction)
        path = OPERATION.format(id=quote(record, safe=""))
        reply, meaning, words, evidence, fresh, redact = self._converse(path, {})
        evidence["searched"] = path
        if reply.status == 404:
            # The path is UNVERIFIED, and a record may lag: this never means that nothing was executed.
            logger.error("YouHodler does not know an operation that it named itself: %s", evidence)
            return Standing(state=State.UNCLEAR, searched=False, found=False, evidence=evidence, record=record)
        if meaning is not Meaning.TAKEN:
            raise self._turned_away(meaning, f"Could not look it up: {words}.", reply, evidence, fresh=fresh)
        operation = reply.json_object()
        if operation is None or not operation.get("id"):
            raise TryLater("Could not look it up: the answer is not an operation.", evidence=evidence)
        evidence |= redact.evidence({**_told(operation), "record": operation})
        return self._standing(instruction, record, operation, evidence, claimed)

    def challenge(self, challenge: Challenge) -> ChallengeState:
        """Raise NotImplementedError: no call to this venue ever ends in a Challenge."""
        raise NotImplementedError("YouHodler never asks us to repeat a call that a person has confirmed.")

    def _standing(
        self,
        instruction: Instruction,
        record: str,
        operation: Mapping[str, Any],
        evidence: dict[str, Any],
        claimed: Collection[str],
    ) -> Standing:
        wrong, unsaid = _differences(instruction, operation)
        problems = [f"{name} is not as approved" for name in wrong] + [f"{name} is not stated" for name in unsaid]
        if operation.get("id") != record:
            problems.append("it has another id")
        if record in claimed:
            problems.append("another transfer rests on it already")
        state = State.UNCLEAR if problems else _state(operation)
        if state is State.UNCLEAR:
            evidence["problems"] = problems or ["its status is not known, or does not fit its other words"]
            logger.error("The operation of transfer %s does not say what we expect: %s", instruction.key, evidence)
        return Standing(state=state, searched=True, found=True, evidence=evidence, record=record)

    def _without_id(self, instruction: Instruction) -> Standing:
        """No search is published; what the two accounts hold now is noted for whoever has to decide."""
        held = {
            name: dict(self._balance_rows(address).get(instruction.asset, {}))
            for name, address in (("source", instruction.source), ("destination", instruction.destination))
        }
        evidence = {
            "words": "YouHodler finds an operation by its id only, and none reached us. Sending the same words under "
            "the same key finds it again.",
            "balances": held,
        }
        redact = self._knowing("").redact
        return Standing(state=State.UNCLEAR, searched=False, found=False, evidence=redact.evidence(evidence))

    # Questions and answers

    def _items(self, path: str, params: Mapping[str, str]) -> list[Mapping[str, Any]]:
        """All pages of a list. Raises TryLater and Barred only."""
        items: list[Mapping[str, Any]] = []
        turn: Mapping[str, str] = {}
        for _ in range(MOST_PAGES):
            reply, meaning, words, evidence, fresh, _ = self._converse(path, {**params, **turn})
            if meaning is not Meaning.TAKEN:
                raise self._turned_away(meaning, f"Could not read {path}: {words}.", reply, evidence, fresh=fresh)
            page = reply.json_object() or {}
            rows, following = page.get("items"), page.get("next_page_token")
            if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
                raise TryLater(f"Could not read {path}: the answer has no list of items.", evidence=evidence)
            items += rows
            if following is None or following == "":
                return items
            if not isinstance(following, str) or following == turn.get(PAGE_TOKEN):
                break
            turn = {PAGE_TOKEN: following}
        raise TryLater(f"Could not read {path}: the list does not come to an end.")

    def _converse(
        self, path: str, params: Mapping[str, str]
    ) -> tuple[Answer, Meaning, str, dict[str, Any], bool, Redactor]:
        """A question and what the answer means. One whose cached token was not accepted is asked once more."""
        token, fresh = self._token()
        reply = self._knowing(token).read(path, params=params, auth=Bearer(token))
        if reply.status == 401 and not fresh:
            self._slot().drop(token)
            token, fresh = self._token()
            reply = self._knowing(token).read(path, params=params, auth=Bearer(token))
        redact = self._knowing(token).redact
        meaning, words, evidence = self._judge(reply, token, redact)
        if meaning is Meaning.TAKEN and reply.status != 200:
            meaning, words = Meaning.UNCERTAIN, f"HTTP status {reply.status}"
        evidence["request"] = f"GET {path}"
        return reply, meaning, words, evidence, fresh, redact

    def _judge(self, reply: Answer, token: str, redact: Redactor) -> tuple[Meaning, str, dict[str, Any]]:
        """The meaning, the words with YouHodler's own text, and redacted evidence. A 401 drops the token."""
        code, reason, text = _envelope(reply)
        meaning, words = judge(reply.status, code)
        if reply.status == 401:
            self._slot().drop(token)
        # Cut only after redacting: half a token would not be recognised.
        evidence = redact.evidence({**reply.evidence(), "code": code, "reason": reason, "text": text})
        if code is not None and (reply.status, code) not in ANSWERS:
            logger.error("YouHodler answered in a way that this program does not know: %s", evidence)
        return meaning, _with_their_words(words, evidence), evidence

    def _turned_away(
        self, meaning: Meaning, words: str, reply: Answer, evidence: Mapping[str, Any], *, fresh: bool
    ) -> VenueError:
        """The error for a question without an answer, and for a transfer turned away at the door."""
        if meaning is Meaning.BARRED or (meaning is Meaning.UNAUTHENTICATED and fresh):
            return Barred(words, evidence=evidence)
        # A cached token may have been revoked or have run out early; it is dropped, and the next call fetches one.
        return TryLater(words, retry_at=_retry_at(reply), evidence=evidence)

    # Access tokens

    def _slot(self) -> TokenSlot:
        return _tokens.slot(self._token_key)

    def _knowing(self, token: str) -> Wire:
        """The same wire, redacting this login's tokens as well: an answer may echo one."""
        wire = copy.copy(self._wire)
        secrets = (self._credentials.client_id, self._credentials.client_secret)
        wire.redact = Redactor([*secrets, *self._slot().known, token])
        return wire

    def _redact(self, text: str) -> str:
        return self._knowing("").redact.text(text)

    def _token(self) -> tuple[str, bool]:
        """An access token, and whether it was fetched for this very call. Raises TryLater, Barred."""
        slot = self._slot()
        token = slot.current()
        if token is not None:
            return token, False
        if not slot.fetching.acquire(timeout=TOKEN_WAIT.total_seconds()):
            raise TryLater("Could not get an access token: another call is still waiting for one.")
        try:
            token = slot.current()
            if token is not None:
                return token, False
            token, good_until = self._fetch_token()
            slot.keep(token, good_until=good_until)
            return token, True
        finally:
            slot.fetching.release()

    def _fetch_token(self) -> tuple[str, float]:
        """Ask auth/oauth-token; the token, and until when it is good by time.monotonic()."""
        words = {
            "client_id": self._credentials.client_id,
            "client_secret": self._credentials.client_secret,
            "grant_type": "client_credentials",
        }
        asked_at = time.monotonic()
        reply = self._knowing("").read(
            TOKEN,
            method="POST",
            content=json.dumps(words, separators=(",", ":")).encode("ascii"),
            # A new key each time: the old result is what we do not want.
            headers={"Content-Type": "application/json", "Idempotency-Key": str(uuid4())},
        )
        answer = reply.json_object() or {}
        token, lifetime = answer.get("access_token"), answer.get("expires_in")
        redact = self._knowing(token if isinstance(token, str) else "").redact
        code, reason, text = _envelope(reply)
        # The body stays out: it may hold a token that no redactor could recognise.
        evidence = redact.evidence(
            {"request": f"POST {TOKEN}", "http_status": reply.status, "code": code, "reason": reason, "text": text}
        )
        if reply.status not in (200, 201):
            meaning, said = TOKEN_ANSWERS.get(reply.status, (Meaning.UNCERTAIN, f"HTTP status {reply.status}"))
            said = f"Could not get an access token: {_with_their_words(said, evidence)}."
            raise self._turned_away(meaning, said, reply, evidence, fresh=True)
        kind = str(answer.get("token_type", "bearer")).lower()
        if not isinstance(token, str) or not re.fullmatch(r"[!-~]{1,8192}", token) or kind != "bearer":
            raise TryLater("Could not get an access token: the answer holds none that can be used.", evidence=evidence)
        if not isinstance(lifetime, int) or lifetime <= 0:
            logger.warning("YouHodler did not say how long its access token is good; it is used once.")
            lifetime = 0
        seconds = min(lifetime, int(LONGEST_LIFE.total_seconds())) - RENEW_EARLY.total_seconds()
        return token, asked_at + max(0.0, seconds)


def _insist_on_route(source: str, destination: str) -> None:
    for address in (source, destination):
        if not ADDRESS.fullmatch(address):
            raise Refused(
                f"Not sent. Nothing moved: {address!r} is not an account as YouHodler writes it; that would be "
                f"{MASTER}/ or {CLIENT}/ and a UUID."
            )
    if source.lower() == destination.lower():
        raise Refused("Not sent. Nothing moved: source and destination are the same account.")


def _insist_sendable(instruction: Instruction, answer: str | None) -> None:
    _insist_on_route(instruction.source, instruction.destination)
    if not instruction.amount.is_finite() or instruction.amount <= 0:
        raise Refused("Not sent. Nothing moved: the amount is not more than zero.")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", instruction.asset):
        raise Refused(f"Not sent. Nothing moved: {instruction.asset!r} is not an asset as YouHodler writes it.")
    if answer is not None:
        raise Refused("Not sent. Nothing moved: YouHodler asks for no confirmation, so there is nothing to answer.")


def _not_sent(error: VenueError) -> VenueError:
    """The same error, in the words of a transfer that was never written."""
    words = f"Not sent. Nothing moved: there is no access token. {error.words}"
    if isinstance(error, TryLater):
        return TryLater(words, retry_at=error.retry_at, evidence=error.evidence)
    return Barred(words, evidence=error.evidence)


def _envelope(reply: Answer) -> tuple[str | None, str | None, str]:
    """`code`, `details.reason` and `message` of an error (concepts/errors), as far as they are there."""
    found = reply.json_object() or {}
    details = found.get("details")
    code, reason = found.get("code"), details.get("reason") if isinstance(details, Mapping) else None
    return (
        str(code) if code is not None else None,
        str(reason) if reason is not None else None,
        str(found.get("message", "")),
    )


def _with_their_words(words: str, evidence: Mapping[str, Any]) -> str:
    if evidence["code"] is None:
        return words
    reason = f", reason {evidence['reason'][:100]}" if evidence["reason"] else ""
    return f"{words} (code {evidence['code'][:100]}{reason}: {evidence['text'][:200]})"


def _retry_at(reply: Answer) -> datetime | None:
    """`details.retry_after_ms` is in milliseconds, the header Retry-After in seconds; at most LONGEST_WAIT."""
    details = (reply.json_object() or {}).get("details")
    wait = details.get("retry_after_ms") if isinstance(details, Mapping) else None
    if isinstance(wait, bool) or not isinstance(wait, int) or wait <= 0:
        header = reply.headers.get("retry-after", "")
        wait = int(header) * 1000 if re.fullmatch(r"[0-9]{1,9}", header) else 0
    longest = LONGEST_WAIT // timedelta(milliseconds=1)
    return datetime.now(UTC) + timedelta(milliseconds=min(wait, longest)) if wait > 0 else None


def _differences(instruction: Instruction, operation: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """The words of an operation that contradict the instruction, and those that it does not say.

    `account_ref` is not looked at: it is the source on one page and the target on another.
    """
    params = operation.get("family_params")
    params = params if isinstance(params, Mapping) else {}
    currency, value = _money(operation.get("principal_amount"))
    said = {
        "family": operation.get("family"),
        "source": params.get("source_ref"),
        "destination": params.get("target_ref"),
        "asset": currency,
        "amount": value,
    }
    meant: dict[str, str | Decimal] = {
        "family": "internal_transfer",
        "source": instruction.source,
        "destination": instruction.destination,
        "asset": instruction.asset,
        "amount": instruction.amount,
    }
    wrong = [name for name, word in said.items() if word is not None and not _same(word, meant[name])]
    return wrong, [name for name, word in said.items() if word is None]


def _same(said: object, meant: str | Decimal) -> bool:
    if isinstance(meant, Decimal):
        try:
            return _amount(said) == meant
        except ValueError:
            return False
    if ADDRESS.fullmatch(meant):
        return str(said).lower() == meant.lower()
    return said == meant


def _money(amount: object) -> tuple[object, object]:
    """Currency and value of an amount: {currency, value}, in older examples {currency, amount}."""
    if not isinstance(amount, Mapping):
        return None, None
    return amount.get("currency"), amount.get("value", amount.get("amount"))


def _state(operation: Mapping[str, Any]) -> State:
    """What became of an operation, from its status and the words that have to fit it."""
    status, settled_at = operation.get("status"), operation.get("settled_at")
    state = STATUSES.get(status, State.UNCLEAR) if isinstance(status, str) else State.UNCLEAR
    if status == "executed" and _is_moment(settled_at):
        state = State.DONE
    rate = operation.get("fill_rate")
    if state is State.FAILED and (settled_at is not None or not _is_rate(rate, 0)):
        return State.UNCLEAR
    # A ratio or a percentage: no document says which, and nothing else is a whole.
    if state is State.DONE and not _is_rate(rate, 1, 100):
        return State.UNCLEAR
    return state


def _is_rate(rate: object, *fitting: int) -> bool:
    """Whether a fill rate is not stated, or is one of those."""
    try:
        return rate is None or _amount(str(rate)) in fitting
    except ValueError:
        return False


def _is_moment(written: object) -> bool:
    try:
        datetime.fromisoformat(written if isinstance(written, str) else "")
    except ValueError:
        return False
    return True


def _told(operation: Mapping[str, Any]) -> dict[str, Any]:
    """What a person may want to know of an operation, beside its record."""
    names = ("status", "approval_ref", "failure_reason", "fee_summary", "settled_at")
    told = {name: operation.get(name) for name in names if operation.get(name) is not None}
    words = STATUS_WORDS.get(str(operation.get("status")))
    return {"operation": operation.get("id"), **told, **({"words": words} if words else {})}


def _fee(operation: Mapping[str, Any], asset: str) -> Decimal | None:
    """The fee in the transfer's own asset; None when it is not stated or is in another one."""
    summary = operation.get("fee_summary")
    currency, value = _money(summary.get("total") if isinstance(summary, Mapping) else None)
    try:
        return _amount(value) if currency == asset else None
    except ValueError:
        return None


def _account(kind: str, row: Mapping[str, Any]) -> VenueAccount:
    """An account of a list. Raises TryLater when it has no usable id."""
    address = f"{kind}/{row.get('id')}"
    if not ADDRESS.fullmatch(address):
        raise TryLater("Could not read the accounts: one has an id that is not a UUID.")
    status = row.get("status")
    title = str(row.get("display_name") or f"{KINDS[kind]} {address.partition('/')[2][:8]}")
    return VenueAccount(
        address=address, kind=kind, title=title if status == "active" else f"{title} ({status or 'status not stated'})"
    )


def _flat(listed: Mapping[str, list[Mapping[str, Any]]]) -> list[Mapping[str, Any]]:
    return [row for rows in listed.values() for row in rows]


def _own_money(row: Mapping[str, Any]) -> tuple[Decimal, Decimal]:
    """Total and movable of a balance row (concepts/accounts: total is available and held together).

    Raises ValueError, with words, for a row that does not add up or has an overdraft.
    """
    available, held, total = (_amount(row.get(name)) for name in ("available", "held", "total"))
    if total != EXACT.add(available, held):
        raise ValueError("available and held do not make its total.")
    for name in ("overdraft_limit", "overdraft_used"):
        if row.get(name) is not None and _amount(row[name]) != 0:
            raise ValueError("it has an overdraft, and whether its total contains borrowed money is not known.")
    return total, available


def _amount(written: object) -> Decimal:
    """A decimal string of the venue's. Raises ValueError for anything that is not a finite number."""
    try:
        amount = Decimal(written if isinstance(written, str) else "")
    except InvalidOperation:
        raise ValueError("an amount is not a number.") from None
    if not amount.is_finite():
        raise ValueError("an amount is not a finite number.")
    return amount


def _unreadable(address: str, asset: str, at: datetime, problem: str) -> VenueBalance:
    return VenueBalance(address=address, asset=asset, total=None, movable=None, observed_at=at, problem=problem)


# Per acting principal; figures are not published. A page of accounts or a balance is one call.
LIMITS = {
    "send": Limit(calls=30, per=timedelta(minutes=1)),
    "look_up": Limit(calls=60, per=timedelta(minutes=1)),
    "assets": Limit(calls=60, per=timedelta(minutes=1)),
    "balances": Limit(calls=2, per=timedelta(seconds=1)),
}

VENUE = Venue(
    title="YouHodler Business",
    credentials=Credentials,
    # reference/clients-and-accounts; no sandbox is named anywhere.
    hosts={"production": {"api": "https://business-api.youhodler.com"}},
    build=YouHodler,
    account_kinds=KINDS,
    routes=ROUTES,
    limits=LIMITS,
    resend=Resend(until=RESEND_UNTIL, after_empty_look_up=False),
    absent_after=None,
    settle_limit=timedelta(minutes=30),
    signed_window=None,
    accounts_read_per_asset=False,
    amount_decimals=None,
)
