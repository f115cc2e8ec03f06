"""YouHodler Business as its documentation (https://business-api-docs.youhodler.com/docs) describes it.

Written from the documentation alone, access tokens included. A transfer is answered with 202 and an operation
whose status is `requested`, whatever became of it meanwhile; the operation is read by its id. The same key with
the same body is answered with the first answer again. Where the documents say nothing, the stricter reading is
served: only a transfer that was taken keeps its key, too little money is `not_admissible`, a key is required.

The fault `pending` with the text `pending_approval` holds a transfer until a person of the venue approves it.
The fault `refuse` takes an HTTP status as its code (422 without one); its text is a `code` of the venue, or
else a message.
"""

import base64
import binascii
import hashlib
import hmac
import json
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from connectors.simulators.core import Practice, Reply, Request, Simulator
from connectors.simulators.faults import Fault
from connectors.simulators.ledger import EXACT, KeyTakenError, Ledger, NotEnoughMoneyError

SECOND = 1000
HOUR = 3600
DECIMALS = 18
LARGEST_PAGE, PAGE = 100, 20

MASTER, CLIENT = "master-accounts", "client-accounts"
RESOURCES = {MASTER: "master_account", CLIENT: "client_account"}
UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
REF = re.compile(rf"({MASTER}|{CLIENT})/({UUID})")
BALANCES = re.compile(rf"/({MASTER}|{CLIENT})/({UUID})/balances")
OPERATION = re.compile(r"/internal-transfers/([^/]+)")

# ref: the name a person gave it, and the client it belongs to (none: the enterprise itself)
TITLES: Mapping[str, tuple[str, str]] = {
    "master-accounts/7b1f6a52-0d3e-4c1a-9a55-5e0f1d2c3b41": ("Group treasury", ""),
    "master-accounts/0c9e4d18-77aa-4f60-8b21-3f1a9d5e6c72": ("Reserve", ""),
    "client-accounts/2d4a8c60-1b7f-4e93-a6d5-90e1f2a3b4c5": ("Operations Europe", "Europe"),
    "client-accounts/91c5e7d3-48b2-4a6f-bc10-7d8e9f0a1b2c": ("Operations United Kingdom", "United Kingdom"),
    "client-accounts/e6f70819-2a3b-4c4d-8e5f-607182930a4b": ("Payroll", "Europe"),
}

# concepts/errors and api/reference/internal-transfers/internal-transfers-create
CODES: Mapping[int, str] = {
    400: "invalid_request",
    401: "unauthorized",
    403: "forbidden_capability_scope",
    404: "resource_not_found",
    409: "idempotency_conflict",
    422: "not_admissible",
    429: "rate_limited",
    502: "upstream_error",
    503: "temporarily_unavailable",
}


class YouHodlerSimulator(Simulator):
    """Serves tokens, both lists of accounts, balances, internal transfers and their operations."""

    name = "youhodler"

    def __init__(self, practice: tuple[Practice, ...], ledger: Ledger) -> None:
        self.token_seconds = HOUR
        self.suspended: set[str] = set()
        self._issued = 0
        self._revoked_until = 0
        self._holds: dict[tuple[str, str], str] = {}
        self._lock = threading.Lock()
        super().__init__(practice, ledger)

    def login_of(self, credentials: Mapping[str, str]) -> str:
        """The ref of the enterprise that the service account belongs to."""
        return f"enterprises/{uuid5(NAMESPACE_URL, credentials['client_id'])}"

    def is_send(self, request: Request) -> bool:
        return request.target == "POST /internal-transfers"

    def remember(self, request: Request) -> None:
        """A request for a token is remembered without its body: it holds the secret."""
        super().remember(replace(request, body=b"") if request.path == "/oauth/token" else request)

    def revoke_tokens(self) -> None:
        """Accept no token any more that was issued until now."""
        self._revoked_until = time.time_ns()

    def answer(self, request: Request, faults: Mapping[str, Fault]) -> Reply:
        now = _server_time(faults)
        if request.target == "POST /oauth/token":
            return self._token(request, now)
        login = self._authorized(request.headers.get("authorization", ""), now)
        if login is None:
            return _error(401, "Authentication required.")
        if request.method == "POST":
            if request.path != "/internal-transfers":
                return _error(404, "Resource not found.")
            return self._transfer(login, request, now, faults)
        if request.method != "GET":
            return _error(404, "Resource not found.")
        return self._read(login, request)

    def refusal(self, fault: Fault) -> Reply:
        status = fault.code if 300 <= fault.code <= 599 else 422
        word = fault.text if re.fullmatch(r"[a-z]+(_[a-z]+)+", fault.text) else ""
        details = {"retry_after_ms": 5000} if status == 429 else {"reason": "on_request"}
        code = word or CODES.get(status, "on_request")
        return _error(status, fault.text or "Refused on request.", code=code, details=details)

    def rate_limited(self) -> Reply:
        return _error(429, "Too many requests.", details={"retry_after_ms": 5000})

    # api/reference/auth/oauth-token

    def _token(self, request: Request, now: int) -> Reply:
        asked = _object(request)
        if asked is None or asked.get("grant_type") != "client_credentials":
            return _error(400, "Request is invalid.", details={"reason": "missing_required_field"})
        words = {name: asked.get(name) for name in ("client_id", "client_secret")}
        if not all(isinstance(word, str) and word for word in words.values()):
            return _error(400, "Request is invalid.", details={"reason": "missing_required_field"})
        login = next((one for one in self.practice if one.credentials["client_id"] == words["client_id"]), None)
        if login is None or not _equal(login.credentials["client_secret"], str(words["client_secret"])):
            return _error(401, "Authentication required.")
        with self._lock:
            self._issued += 1
            number = self._issued
        claims = {
            "sub": login.credentials["client_id"],
            "iat": time.time_ns(),
            "exp": now + self.token_seconds * SECOND,
            "jti": number,
        }
        payload = _encoded(json.dumps(claims).encode())
        text = f"eyJhbGciOiJIUzI1NiJ9.{payload}.{_seal(login, payload)}"
        return Reply.of_json(
            {
                "access_token": text,
                "expires_in": self.token_seconds,
                "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
                "token_type": "Bearer",
            }
        )

    def _authorized(self, header: str, now: int) -> str | None:
        """The tenant of the service account that a token was issued to, if the token is good."""
        scheme, _, token = header.partition(" ")
        parts = token.split(".")
        if scheme != "Bearer" or len(parts) != 3:
            return None
        try:
            claims = json.loads(_decoded(parts[1]))
        except (ValueError, binascii.Error):
            return None
        login = next((one for one in self.practice if one.credentials["client_id"] == claims.get("sub")), None)
        if login is None or not _equal(_seal(login, parts[1]), parts[2]):
            return None
        if claims["exp"] <= now or claims["iat"] <= self._revoked_until:
            return None
        return self.login_of(login.credentials)

    # api/reference/internal-transfers/internal-transfers-create

    def _transfer(self, login: str, request: Request, now: int, faults: Mapping[str, Fault]) -> Reply:
        asked = _object(request)
        words = None if asked is None else _words(asked)
        if asked is None or words is None:
            return _error(400, "The request has missing or invalid fields.", details={"reason": "invalid_field"})
        header, field = request.headers.get("idempotency-key", ""), asked.get("client_idempotency_key", "")
        key = header or field
        if not isinstance(key, str) or not key or (header and field and header != field):
            return _error(400, "The request has missing or invalid fields.", details={"reason": "idempotency_key"})
        first = self._first(login, key)
        if first is not None:
            return self._again(login, first, words)
        problem = self._problem(login, words)
        if problem is not None:
            return problem
        late = faults["record_late"].seconds if "record_late" in faults else 0
        delayed = faults.get("pending") or faults.get("fails_later")
        if delayed is not None and delayed.text:
            self._holds[login, key] = delayed.text
        try:
            made = self.ledger.transfer(
                login=login,
                key=key,
                source=words["source"],
                destination=words["destination"],
                asset=words["asset"],
                amount=Decimal(words["amount"]),
                at=now,
                visible_at=_after(late),
                due_at=None if delayed is None else _after(delayed.seconds),
                ends="FAILED" if delayed is not None and delayed.kind == "fails_later" else "SUCCESS",
            )
        except KeyTakenError:
            first = self._first(login, key)
            assert first is not None, "a taken key has a transfer"
            return self._again(login, first, words)
        except NotEnoughMoneyError:
            return _not_admissible("insufficient_balance")
        return Reply.of_json(self._first_view(login, made), status=202)

    def _first(self, login: str, key: str) -> dict[str, Any] | None:
        return next((one for one in self.ledger.transfers(login) if one["key"] == key), None)

    def _again(self, login: str, first: Mapping[str, Any], words: Mapping[str, str]) -> Reply:
        """concepts/idempotency-and-concurrency: the original result, or a conflict."""
        if {name: first[name] for name in words} != dict(words):
            text = "A different request was already submitted with this idempotency key."
            return _error(409, text, details={"reason": "key_payload_mismatch"})
        return Reply.of_json(self._first_view(login, first), status=202)

    def _problem(self, login: str, words: Mapping[str, str]) -> Reply | None:
        refs = self._refs(login)
        if words["source"] not in refs or words["destination"] not in refs:
            return _error(404, "Resource not found.", details={"reason": "account_not_found"})
        if words["source"] == words["destination"]:
            return _not_admissible("same_account")
        if {words["source"], words["destination"]} & self.suspended:
            return _not_admissible("account_not_active")
        if not any(words["asset"] in self.ledger.holdings(login, ref) for ref in refs):
            return _not_admissible("asset_not_supported")
        return None

    # Reads

    def _read(self, login: str, request: Request) -> Reply:
        listed = request.path.removeprefix("/")
        if listed in RESOURCES:
            return self._accounts(login, listed, request.params())
        balances, operation = BALANCES.fullmatch(request.path), OPERATION.fullmatch(request.path)
        if balances is not None:
            return self._balances(login, f"{balances[1]}/{balances[2]}", request.params())
        if operation is not None:
            return self._operation(login, operation[1])
        return _error(404, "Resource not found.")

    def _refs(self, login: str) -> list[str]:
        return sorted(ref for ref in self.ledger.balances().get(login, {}) if REF.fullmatch(ref))

    def _accounts(self, login: str, kind: str, params: Mapping[str, str]) -> Reply:
        """api/reference/master-accounts/master-accounts-list, and its like for client accounts."""
        try:
            size = int(params.get("page_size") or PAGE)
            start = int(_decoded(params["page_token"])) if params.get("page_token") else 0
        except (ValueError, binascii.Error):
            return _error(400, "The request is invalid.")
        if not 1 <= size <= LARGEST_PAGE or start < 0:
            return _error(400, "The request is invalid.")
        refs = [ref for ref in self._refs(login) if ref.startswith(kind)]
        items = [self._account(login, ref) for ref in refs[start : start + size]]
        more = _encoded(str(start + size).encode()) if start + size < len(refs) else None
        return Reply.of_json({"items": items, "next_page_token": more})

    def _account(self, login: str, ref: str) -> dict[str, Any]:
        kind, _, number = ref.partition("/")
        title, client = TITLES.get(ref, (f"Account {number[:8]}", "Others"))
        of_master = {"scope_ref": login, "tenant_type": "enterprise"}
        of_client = {"scope_ref": f"clients/{uuid5(NAMESPACE_URL, login + client)}"}
        return {
            "id": number,
            "resource": RESOURCES[kind],
            **(of_master if kind == MASTER else of_client),
            "display_name": title,
            "status": "suspended" if ref in self.suspended else "active",
            "etag": 'W/"1"',
            "created_at": "2026-05-04T08:00:00Z",
            "updated_at": "2026-05-04T08:00:00Z",
        }

    def _balances(self, login: str, ref: str, params: Mapping[str, str]) -> Reply:
        """api/reference/balances/master-accounts-balances: every asset on the account, or the one asked for."""
        if ref not in self._refs(login):
            return _error(404, "Resource not found.")
        held: dict[str, Decimal] = {}
        for one in self.ledger.transfers(login):
            if one["status"] == "PENDING" and one["source"] == ref:
                held[one["asset"]] = EXACT.add(held.get(one["asset"], Decimal(0)), Decimal(one["amount"]))
        lies = self.ledger.holdings(login, ref)
        assets = [asset for asset in sorted(lies) if params.get("asset", asset) == asset]
        return Reply.of_json({"items": [_balance(ref, a, lies[a], held.get(a, Decimal(0))) for a in assets]})

    def _operation(self, login: str, number: str) -> Reply:
        for one in self.ledger.transfers(login):
            if _number(one) == number and one["visible_at"] <= _after(0):
                return Reply.of_json(self._view(login, one, self._status(login, one)))
        return _error(404, "Resource not found.")

    # concepts/operations, OperationView

    def _status(self, login: str, one: Mapping[str, Any]) -> str:
        if one["status"] == "PENDING":
            return self._holds.get((login, one["key"]), "executing")
        return "settled" if one["status"] == "SUCCESS" else "failed"

    def _first_view(self, login: str, one: Mapping[str, Any]) -> dict[str, Any]:
        """What the first answer said, and every answer to the same request says again."""
        return self._view(login, {**one, "status": "PENDING"}, self._holds.get((login, one["key"]), "requested"))

    def _view(self, login: str, one: Mapping[str, Any], status: str) -> dict[str, Any]:
        created, ended = _moment(one["at"]), _moment(one["due_at"] or one["at"])
        actor = {"id": str(uuid5(NAMESPACE_URL, login)), "kind": "service_account", "tenant_ref": login}
        return {
            "id": _number(one),
            "family": "internal_transfer",
            "status": status,
            "account_ref": one["source"],
            "principal_amount": {"currency": one["asset"], "value": one["amount"]},
            "fee_summary": {"components": [], "total": {"currency": one["asset"], "value": "0.00"}},
            "family_params": {"source_ref": one["source"], "target_ref": one["destination"]},
            "fill_rate": None,
            "approval_ref": f"approvals/{_number(one)}" if status == "pending_approval" else None,
            "failure_reason": "failed_on_request" if status == "failed" else None,
            "settled_at": ended if status == "settled" else None,
            "subject_attribution": {
                "actor": None,
                "approved_by": None,
                "authenticated_principal": actor,
                "enterprise_binding": {"tenant_type": "enterprise", "topology_ref": login},
                "federation": None,
                "identity_source": "platform-managed",
                "initiated_by": None,
                "subject": actor,
            },
            "created_at": created,
            "updated_at": created if one["status"] == "PENDING" else ended,
        }


def _error(status: int, text: str, *, code: str = "", details: Mapping[str, Any] | None = None) -> Reply:
    """The envelope of every error (concepts/errors)."""
    envelope = {"code": code or CODES[status], "message": text}
    return Reply.of_json({**envelope, "details": dict(details)} if details else envelope, status=status)


def _not_admissible(reason: str) -> Reply:
    return _error(422, "The operation was rejected.", details={"reason": reason, "source": "policy"})


def _object(request: Request) -> dict[str, Any] | None:
    if "json" not in request.headers.get("content-type", ""):
        return None
    try:
        found = json.loads(request.body)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _words(asked: Mapping[str, Any]) -> dict[str, str] | None:
    """The words of a transfer, if they are complete and well formed."""
    amount = asked.get("amount")
    amount = amount if isinstance(amount, Mapping) else {}
    words = {
        "source": asked.get("source_ref"),
        "destination": asked.get("target_ref"),
        "asset": amount.get("currency"),
        "amount": amount.get("value"),
    }
    if not all(isinstance(word, str) and word for word in words.values()):
        return None
    found = {name: str(word) for name, word in words.items()}
    if not REF.fullmatch(found["source"]) or not REF.fullmatch(found["destination"]):
        return None
    if not re.fullmatch(rf"[0-9]{{1,40}}(\.[0-9]{{1,{DECIMALS}}})?", found["amount"]) or not Decimal(found["amount"]):
        return None
    return found


def _balance(ref: str, asset: str, available: Decimal, held: Decimal) -> dict[str, Any]:
    return {
        "asset": asset,
        "available": format(available, "f"),
        "held": format(held, "f"),
        "total": format(EXACT.add(available, held), "f"),
        "overdraft_limit": None,
        "overdraft_used": None,
        "overdraft_headroom": None,
        "owner_ref": ref,
        "owner_subtype": RESOURCES[ref.partition("/")[0]],
        "updated_at": _moment(_after(0)),
    }


def _number(one: Mapping[str, Any]) -> str:
    """The operation's id; another name than the key, as the venue chooses it."""
    return str(uuid5(NAMESPACE_URL, f"{one['login']}/internal-transfers/{one['key']}"))


def _seal(login: Practice, payload: str) -> str:
    secret = f"token of {login.credentials['client_secret']}".encode()
    return hmac.new(secret, payload.encode(), hashlib.sha256).hexdigest()


def _equal(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _decoded(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def _server_time(faults: Mapping[str, Fault]) -> int:
    return _after(faults["clock"].seconds if "clock" in faults else 0)


def _after(seconds: float) -> int:
    return time.time_ns() // 1_000_000 + int(seconds * SECOND)


def _moment(milliseconds: int) -> str:
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


SIMULATOR = YouHodlerSimulator

PRACTICE = (
    Practice(
        title="Practice at YouHodler",
        credentials={
            "client_id": "practice-youhodler-client",
            "client_secret": "practice-youhodler-secret-opens-nothing",
        },
        opening={
            "master-accounts/7b1f6a52-0d3e-4c1a-9a55-5e0f1d2c3b41": {
                "USDC": "1250400.00",
                "EUR": "830000.00",
                "BTC": "12.50000000",
            },
            "master-accounts/0c9e4d18-77aa-4f60-8b21-3f1a9d5e6c72": {"USDC": "500000.00", "USDT": "250000.00"},
            "client-accounts/2d4a8c60-1b7f-4e93-a6d5-90e1f2a3b4c5": {"USDC": "84210.55", "EUR": "120350.10"},
            "client-accounts/91c5e7d3-48b2-4a6f-bc10-7d8e9f0a1b2c": {"USDC": "40125.00", "GBP": "65000.00"},
            "client-accounts/e6f70819-2a3b-4c4d-8e5f-607182930a4b": {"EUR": "48000.00"},
        },
    ),
)
