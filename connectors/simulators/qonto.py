"""Qonto's Business API v2 as its documentation (https://docs.qonto.com) describes it.

Written from the documentation alone, authorisation included. Where the documents say nothing, the stricter reading is
served: of several `status[]` only the last one counts and without any only completed transactions are listed; the
credit of a transfer shows up when it is completed; production turns a staging token away. An idempotency key is
remembered for 30 minutes and only with a successful answer, so a transfer that was answered with an error is paid
again by a repeat. The `clock` fault makes the venue older, keys and confirmations included.
"""

import functools
import hmac
import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, unquote
from uuid import NAMESPACE_URL, uuid5

from connectors.simulators.core import Practice, Reply, Request, Simulator, now_ms
from connectors.simulators.faults import Fault
from connectors.simulators.ledger import EXACT, KeyTakenError, Ledger, NotEnoughMoneyError

SECOND = 1000
MINUTE = 60 * SECOND
KEY_LIFE = 30 * MINUTE
SESSION_LIFE = 15 * MINUTE
LONGEST_REFERENCE = 99

SANDBOX_HOST = "thirdparty-sandbox.staging.qonto.co"
# Both open the first practice login, too.
STAGING_TOKEN = "practice-qonto-staging-token"  # noqa: S105  (opens this simulator only)
ACCESS_TOKEN = "practice-qonto-access-token"  # noqa: S105  (opens this simulator only)

MAIN, PAYROLL, TAXES = "FR7616798000010000000010112", "FR7616798000010000000020297", "FR7616798000010000000030385"
NAMES = {MAIN: "Main account", PAYROLL: "Payroll", TAXES: "Taxes and reserves"}

# In the organisation's list, and no part of any internal transfer.
OTHERS = (
    {"iban": "FR7616798000010000000040473", "name": "Old project", "status": "closed", "is_external_account": False},
    {"iban": "FR7630006000011234567890189", "name": "Other bank", "status": "active", "is_external_account": True},
)

STATUSES = {"PENDING": "pending", "SUCCESS": "completed", "FAILED": "declined"}
FIELDS = ("debit_iban", "credit_iban", "reference", "amount", "currency")

Handler = Callable[["QontoSimulator", str, Request, int], Reply]


class QontoSimulator(Simulator):
    """Serves Qonto's paths for the organisation, its internal transfers, its transactions, and confirmations."""

    name = "qonto"

    def __init__(self, practice: tuple[Practice, ...], ledger: Ledger) -> None:
        super().__init__(practice, ledger)
        self._lock = threading.Lock()
        self._in_flight: set[str] = set()
        # Confirmations by token; they live for minutes, and a restart forgets them.
        self._sessions: dict[str, dict[str, Any]] = {}

    def login_of(self, credentials: Mapping[str, str]) -> str:
        """An organisation's id made of the login."""
        return _id("organisation", credentials["login"])

    def is_send(self, request: Request) -> bool:
        return request.method == "POST" and request.path == "/v2/internal_transfers"

    def effects(self, key: object = None) -> list[dict[str, Any]]:
        """Every arrival of money under an idempotency key, also when the key was used anew after 30 minutes."""
        arrivals = [{**one, "key": one["key"].partition("/")[0]} for one in super().effects()]
        return [one for one in arrivals if key is None or one["key"] == str(key)]

    def sessions(self) -> list[str]:
        """The tokens of all confirmations that were asked for, oldest first."""
        return list(self._sessions)

    def decide(self, token: str, decision: str) -> None:
        """Be the person with the paired device: `allow` or `deny`."""
        self._sessions[token]["decision"] = decision

    def answer(self, request: Request, faults: Mapping[str, Fault]) -> Reply:
        now = now_ms() + int(faults["clock"].seconds * SECOND if "clock" in faults else 0)
        staging = request.headers.get("x-qonto-staging-token")
        in_sandbox = request.headers.get("host") == SANDBOX_HOST
        if in_sandbox and staging != STAGING_TOKEN:
            return _sign_in_page()
        if not in_sandbox and staging is not None:
            return _refused(401, "unauthorized", "Invalid credentials")
        login = self._login(request.headers.get("authorization", ""))
        if isinstance(login, Reply):
            return login
        if self.is_send(request):
            return self._transfer_once(login, request, now, faults)
        for method, pattern, handler in _PATHS:
            found = re.fullmatch(pattern, request.path)
            if found and request.method == method and ("mocked" not in pattern or in_sandbox):
                return handler(self, login, request, now)
        return _refused(404, "not_found", "not found")

    def refusal(self, fault: Fault) -> Reply:
        """`fault.code` is the HTTP status, `fault.text` the code word, or the `error` of 409 and 429."""
        status, word = fault.code or 422, fault.text
        if status >= 500:
            return Reply(status=status)
        if status == 409 or (status == 429 and word):
            return _json({"error": word or "Concurrent requests detected"}, status)
        if status == 428:
            return _json({"code": word or "sca_not_enrolled", "message": "refused on request"}, status)
        return _refused(status, word or _USUAL_CODES.get(status, "bad_request"), f"refused on request {word}".strip())

    # authentication/api-key, authentication/oauth

    def _login(self, header: str) -> str | Reply:
        """The organisation of an Authorization header, or why there is none."""
        if not header:
            return _refused(401, "authorization_header_missing", "authorization header missing")
        for known in self.practice:
            if _same(header, f"{known.credentials['login']}:{known.credentials['secret_key']}"):
                return self.login_of(known.credentials)
        if header.startswith("Bearer "):
            if _same(header, f"Bearer {ACCESS_TOKEN}"):
                return self.login_of(self.credentials)
            return _refused(401, "authorization_token_invalid", "authorization token invalid")
        return _refused(401, "unauthorized", "Invalid credentials")

    # internal-transfers, idempotent-requests

    def _transfer_once(self, login: str, request: Request, now: int, faults: Mapping[str, Fault]) -> Reply:
        """Answer from memory, or transfer; one request of a key at a time."""
        key = request.headers.get("x-qonto-idempotency-key", "").strip().lower()
        if not key:
            return _refused(422, "missing_key", "X-Qonto-Idempotency-Key is missing")
        with self._lock:
            if key in self._in_flight:
                return _json({"error": "Concurrent requests detected"}, 429)
            self._in_flight.add(key)
        try:
            kept = [one for one in self._under(login, key) if one["notes"]["kept"] and one["at"] > now - KEY_LIFE]
            return _taken(kept[-1]) if kept else self._transfer(login, key, request, now, faults)
        finally:
            with self._lock:
                self._in_flight.discard(key)

    def _transfer(self, login: str, key: str, request: Request, now: int, faults: Mapping[str, Fault]) -> Reply:
        asked = _object(request.body)
        if asked is None:
            return _refused(400, "bad_request", "the body is not a JSON object")
        words = asked.get("internal_transfer")
        problem = self._problem(login, words)
        if problem is not None:
            return problem
        assert isinstance(words, dict)
        not_confirmed = self._confirmation(key, request, now, faults.get("challenge"))
        if not_confirmed is not None:
            return not_confirmed
        delayed = faults.get("pending") or faults.get("fails_later")
        late = faults["record_late"].seconds if "record_late" in faults else 0
        earlier = len(self._under(login, key))
        try:
            made = self.ledger.transfer(
                login=login,
                key=f"{key}/{earlier + 1}" if earlier else key,
                source=words["debit_iban"],
                destination=words["credit_iban"],
                asset="EUR",
                amount=Decimal(words["amount"]),
                at=now,
                visible_at=now_ms() + int(late * SECOND),
                due_at=None if delayed is None else now_ms() + int(delayed.seconds * SECOND),
                ends="FAILED" if delayed is not None and delayed.kind == "fails_later" else "SUCCESS",
                notes={"request": key, "reference": words["reference"], "kept": "error_after" not in faults},
            )
        except KeyTakenError:
            return _json({"error": "Concurrent requests detected"}, 429)
        except NotEnoughMoneyError:
            return _refused(422, "insufficient_funds", "the balance is too small", "/internal_transfer/amount")
        return _taken(made)

    def _under(self, login: str, key: str) -> list[dict[str, Any]]:
        return [one for one in self.ledger.transfers(login) if one.get("notes", {}).get("request") == key]

    def _problem(self, login: str, words: object) -> Reply | None:
        """Why these words are no internal transfer of this organisation."""
        if not isinstance(words, dict):
            return _refused(422, "missing_key", "internal_transfer is missing")
        for field in FIELDS:
            if field not in words:
                return _refused(422, "missing_key", f"{field} is missing", f"/internal_transfer/{field}")
            if not isinstance(words[field], str):
                return _refused(422, "invalid_type", f"{field} is not a string", f"/internal_transfer/{field}")
        known = self.ledger.balances().get(login, {})
        for field in ("debit_iban", "credit_iban"):
            if words[field] not in known:
                text = f"{field} is not found or not active"
                return _refused(422, "not_found", text, f"/internal_transfer/{field}")
        wrong = {
            "credit_iban": words["credit_iban"] == words["debit_iban"],
            "reference": not 1 <= len(words["reference"]) <= LONGEST_REFERENCE,
            "amount": not re.fullmatch(r"[0-9]+(\.[0-9]{1,2})?", words["amount"]) or not Decimal(words["amount"]),
        }
        for field in (field for field, is_wrong in wrong.items() if is_wrong):
            return _refused(422, "invalid", f"{field} is invalid", f"/internal_transfer/{field}")
        if words["currency"] != "EUR":
            return _refused(422, "not_in_list", "currency is not in the list", "/internal_transfer/currency")
        return None

    # authentication/sca

    def _confirmation(self, key: str, request: Request, now: int, asks: Fault | None) -> Reply | None:
        """428 where a person has to confirm first, 412 for a confirmation that does not hold; None: go on."""
        token = request.headers.get("x-qonto-sca-session-token")
        if token is not None:
            session = self._sessions.get(token)
            same = session is not None and (session["key"], session["body"]) == (key, request.body)
            if session is None or not same or _result(session, now) != "allow":
                return _json({"message": "The SCA session does not allow this action"}, 412)
            return None
        if asks is None:
            return None
        token = f"sca_{_id('session', f'{key} {now} {len(self._sessions)}')}"
        decides_at = now_ms() + int(asks.seconds * SECOND) if asks.seconds else None
        self._sessions[token] = {
            "key": key,
            "body": request.body,
            "at": now,
            "decision": None,
            "then": "deny" if asks.text == "deny" else "allow",
            "decides_at": decides_at,
        }
        return _json({"message": "SCA required", "sca_session_token": token}, 428)

    def _session(self, _login: str, request: Request, now: int) -> Reply:
        session = self._sessions.get(unquote(request.path.split("/")[3]))
        if session is None:
            return _refused(404, "not_found", "there is no such session")
        return _json({"result": _result(session, now), "canceled_at": ""})

    def _decide(self, _login: str, request: Request, _now: int) -> Reply:
        token, decision = (unquote(part) for part in request.path.split("/")[3:5])
        if token not in self._sessions:
            return _refused(404, "not_found", "there is no such session")
        self.decide(token, decision)
        return _json({"message": "Success"})

    # retrieve-the-authenticated-organization

    def _organisation(self, login: str, _request: Request, now: int) -> Reply:
        own = [
            {"iban": iban, "name": NAMES.get(iban, "Account"), "status": "active", "is_external_account": False}
            for iban in self.ledger.balances().get(login, {})
        ]
        accounts = [self._account(login, facts, now) for facts in (*own, *OTHERS)]
        organisation = {
            "id": login,
            "name": "Practice",
            "slug": "practice",
            "legal_name": "Practice SAS",
            "bank_accounts": [{**account, "main": account["iban"] == MAIN} for account in accounts],
        }
        return _json({"organization": organisation})

    def _account(self, login: str, facts: Mapping[str, Any], now: int) -> dict[str, Any]:
        """A pending transfer has left the authorised balance, and not yet the balance (list-transactions)."""
        iban = facts["iban"]
        free = self.ledger.balance(login, iban, "EUR")
        leaving = (
            Decimal(one["amount"])
            for one in self.ledger.transfers(login)
            if one["source"] == iban and one["status"] == "PENDING"
        )
        booked = functools.reduce(EXACT.add, leaving, free)
        return {
            **facts,
            "id": _id("account", iban),
            "slug": f"practice-bank-account-{iban[-4:]}",
            "bic": "QNTOFRP1XXX",
            "currency": "EUR",
            "balance": booked,
            "balance_cents": _cents(booked),
            "authorized_balance": free,
            "authorized_balance_cents": _cents(free),
            "updated_at": _time(now),
            "account_number": None,
        }

    # list-transactions, retrieve-a-transaction

    def _transactions(self, login: str, request: Request, _now: int) -> Reply:
        params = dict(parse_qsl(request.query, keep_blank_values=True))
        account = params.get("bank_account_id") or _id("account", params.get("iban", ""))
        if account not in {_id("account", iban) for iban in self.ledger.balances().get(login, {})}:
            return _refused(404, "not_found", "the bank account is not found")
        try:
            wanted = _filter(params)
            page, size = int(params.get("page", "1")), int(params.get("per_page", "100"))
            word, _, order = params.get("sort_by", "updated_at:desc").partition(":")
        except ValueError:
            return _refused(400, "bad_request", "a query parameter is malformed")
        if page < 1 or not 1 <= size <= 100 or word not in _SORTED_BY or order not in ("asc", "desc"):
            return _refused(400, "bad_request", "page, per_page or sort_by is not accepted")
        rows = [one for one in self._all_transactions(login) if one["bank_account_id"] == account and wanted(one)]
        rows.sort(key=lambda one: one[word] or "", reverse=order == "desc")
        pages = max(1, -(-len(rows) // size))
        meta = {
            "current_page": page,
            "next_page": page + 1 if page < pages else None,
            "prev_page": page - 1 if page > 1 else None,
            "total_pages": pages,
            "total_count": len(rows),
            "per_page": size,
        }
        return _json({"transactions": rows[(page - 1) * size : page * size], "meta": meta})

    def _transaction(self, login: str, request: Request, _now: int) -> Reply:
        wanted = unquote(request.path.rpartition("/")[2])
        found = [one for one in self._all_transactions(login) if one["id"] == wanted]
        if not found:
            return _refused(404, "not_found", "the transaction is not found")
        return _json({"transaction": found[0]})

    def _all_transactions(self, login: str) -> list[dict[str, Any]]:
        """A debit for every transfer, and a credit for every one that arrived."""
        found = []
        for transfer in self.ledger.transfers(login):
            if transfer["visible_at"] <= now_ms():
                found.append(_leg(transfer, "debit", transfer["source"]))
                if transfer["status"] == "SUCCESS":
                    found.append(_leg(transfer, "credit", transfer["destination"]))
        return found


_PATHS: tuple[tuple[str, str, Handler], ...] = (
    ("GET", r"/v2/organization", QontoSimulator._organisation),
    ("GET", r"/v2/transactions", QontoSimulator._transactions),
    ("GET", r"/v2/transactions/[^/]+", QontoSimulator._transaction),
    ("GET", r"/v2/sca_sessions/[^/]+", QontoSimulator._session),
    ("GET", r"/v2/mocked_sca_sessions/[^/]+", QontoSimulator._session),
    ("POST", r"/v2/mocked_sca_sessions/[^/]+/(allow|deny)", QontoSimulator._decide),
)

_SORTED_BY = ("updated_at", "created_at", "settled_at", "emitted_at")

_USUAL_CODES = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    422: "missing_key",
}


def _same(given: str, known: str) -> bool:
    return hmac.compare_digest(given.encode(), known.encode())


def _id(kind: str, name: str) -> str:
    return str(uuid5(NAMESPACE_URL, f"simulated qonto {kind} {name}"))


def _json(content: object, status: int = 200) -> Reply:
    """JSON in which a Decimal is a number with all its digits."""
    text = json.dumps(content, separators=(",", ":"), default=lambda amount: f"\ue000{amount:f}\ue000")
    numbers = re.sub(r'"\\ue000(-?[0-9.]+)\\ue000"', r"\1", text)
    return Reply(status=status, headers={"Content-Type": "application/json"}, body=numbers.encode())


def _refused(status: int, code: str, detail: str, pointer: str | None = None) -> Reply:
    """The body of every documented error."""
    error = {"code": code, "detail": detail, **({"source": {"pointer": pointer}} if pointer else {})}
    return _json({"errors": [error], "trace_id": f"{time.time_ns():x}"}, status)


def _sign_in_page() -> Reply:
    page = b"<!doctype html><html><body>Sign in to the sandbox</body></html>"
    return Reply(headers={"Content-Type": "text/html; charset=utf-8"}, body=page)


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(body)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _result(session: Mapping[str, Any], now: int) -> str:
    """retrieve-session: a person's word, or `deny` once 15 minutes have passed."""
    if now >= session["at"] + SESSION_LIFE:
        return "deny"
    if session["decision"] is None and session["decides_at"] is not None and now_ms() >= session["decides_at"]:
        return str(session["then"])
    return session["decision"] or "waiting"


def _cents(amount: Decimal) -> int:
    return int(EXACT.scaleb(amount, 2))


def _time(at: int) -> str:
    """Milliseconds since 1970 as Qonto writes a moment."""
    moment = datetime.fromtimestamp(at // SECOND, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{at % SECOND:03d}Z"


def _taken(transfer: Mapping[str, Any]) -> Reply:
    """The answer to a transfer: always pending, whatever has become of it (internal-transfers)."""
    amount = Decimal(transfer["amount"])
    told = {
        "id": _id("transfer", transfer["key"]),
        "slug": f"practice-transfer-{transfer['at']}",
        "status": "pending",
        "amount": amount,
        "amount_cents": _cents(amount),
        "currency": "EUR",
        "reference": transfer["notes"]["reference"],
        "created_at": _time(transfer["at"]),
    }
    return _json({"internal_transfer": told})


def _leg(transfer: Mapping[str, Any], side: str, iban: str) -> dict[str, Any]:
    amount = Decimal(transfer["amount"])
    ended_at = None if transfer["status"] == "PENDING" else _time(transfer["due_at"] or transfer["at"])
    made_at = _time(transfer["at"])
    return {
        "id": _id("transaction", f"{transfer['key']} {side}"),
        "transaction_id": f"practice-transaction-{transfer['at']}-{side}",
        "amount": amount,
        "amount_cents": _cents(amount),
        "local_amount": amount,
        "local_amount_cents": _cents(amount),
        "side": side,
        "operation_type": "transfer",
        "currency": "EUR",
        "local_currency": "EUR",
        "label": NAMES.get(transfer["destination" if side == "debit" else "source"], "Account"),
        "settled_at": ended_at if transfer["status"] == "SUCCESS" else None,
        "emitted_at": made_at,
        "created_at": made_at,
        "updated_at": ended_at or made_at,
        "status": STATUSES[transfer["status"]],
        "note": None,
        "reference": transfer["notes"]["reference"],
        "initiator_id": _id("person", transfer["login"]),
        "category": "treasury_and_interco",
        "subject_type": "WalletToWallet",
        "bank_account_id": _id("account", iban),
        "is_external_transaction": False,
    }


def _filter(params: Mapping[str, str]) -> Callable[[Mapping[str, Any]], bool]:
    """What the query asks for. Raises ValueError for a time that is none."""
    between = [
        (word, _moment(params.get(f"{word}_from")), _moment(params.get(f"{word}_to")))
        for word in _SORTED_BY
        if f"{word}_from" in params or f"{word}_to" in params
    ]
    status, side = params.get("status[]", "completed"), params.get("side")

    def wanted(row: Mapping[str, Any]) -> bool:
        if row["status"] != status or side not in (None, row["side"]):
            return False
        return all(row[word] and (start or "") <= row[word] <= (end or "9") for word, start, end in between)

    return wanted


def _moment(written: str | None) -> str | None:
    """A moment of ISO 8601 as Qonto writes it, so that texts compare as times do."""
    if written is None:
        return None
    moment = datetime.fromisoformat(written)
    return _time(int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * SECOND))


SIMULATOR = QontoSimulator

PRACTICE = (
    Practice(
        title="Practice at Qonto",
        credentials={"login": "practice-qonto-login", "secret_key": "practice-qonto-secret-opens-nothing"},
        opening={
            MAIN: {"EUR": "486250.40"},
            PAYROLL: {"EUR": "92340.15"},
            TAXES: {"EUR": "138900.00"},
        },
    ),
)
