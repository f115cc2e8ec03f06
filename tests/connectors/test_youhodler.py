"""YouHodler: access tokens, the meaning of every answer, replays, look-ups by id, balances, and secrets."""

import json
import logging
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

import connectors
from connectors import youhodler as module
from connectors.core.errors import Barred, Refused, TryLater, Uncertain, VenueError
from connectors.core.protocol import EVERY_ASSET, Challenge, Connector, Instruction, Receipt, Standing, State
from connectors.core.redact import LONGEST
from connectors.simulators import youhodler as simulated
from connectors.simulators.core import serve
from connectors.simulators.youhodler import TITLES, YouHodlerSimulator
from connectors.youhodler import ANSWERS, AT_THE_DOOR, STATUSES, TOKEN_ANSWERS, VENUE, Credentials, Tokens

MASTER, RESERVE, EUROPE, KINGDOM, PAYROLL = TITLES
TRANSFERS, TOKEN = "/internal-transfers", "/oauth/token"
ROOT = Path(connectors.__file__).parents[1]


@pytest.fixture(scope="module")
def server() -> Iterator[YouHodlerSimulator]:
    with serve("youhodler") as simulator:
        assert isinstance(simulator, YouHodlerSimulator)
        yield simulator


@pytest.fixture
def sim(server: YouHodlerSimulator) -> Iterator[YouHodlerSimulator]:
    server.clear()
    server.suspended.clear()
    server.token_seconds = 3600
    module._tokens.forget()
    yield server
    server.clear()


@pytest.fixture
def venue(sim: YouHodlerSimulator) -> Connector:
    return opened(sim)


def opened(sim: YouHodlerSimulator, **changed: str) -> Connector:
    return connectors.open(
        "youhodler", credentials={**sim.credentials, **changed}, base_url=sim.url, loopback_only=True
    )


def instruction(**changed: Any) -> Instruction:
    words: dict[str, Any] = {
        "key": uuid4(),
        "source": EUROPE,
        "destination": MASTER,
        "asset": "USDC",
        "amount": Decimal("12.34"),
        "reference": "T-1",
    }
    return Instruction(**{**words, **changed})


def operation_of(wanted: Instruction, **changed: Any) -> dict[str, Any]:
    """An OperationView that says what the instruction says."""
    amount = format(wanted.amount, "f") if wanted.amount.is_finite() else "1"
    return {
        "id": "op-1",
        "family": "internal_transfer",
        "status": "requested",
        "account_ref": wanted.destination,
        "principal_amount": {"currency": wanted.asset, "value": amount},
        "fee_summary": None,
        "family_params": {"source_ref": wanted.source, "target_ref": wanted.destination},
        "fill_rate": None,
        "approval_ref": None,
        "failure_reason": None,
        "settled_at": None,
        **changed,
    }


def answering(
    reply: Callable[[httpx.Request], httpx.Response] | dict[str, Any] | httpx.Response,
    token: str = "canary-access-token",
) -> Connector:
    """A connector of a login of its own, whose wire gives a token and otherwise one and the same answer."""

    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.path == TOKEN:
            return httpx.Response(200, json={"access_token": token, "expires_in": 3600, "token_type": "Bearer"})
        if isinstance(reply, dict):
            return httpx.Response(202 if request.method == "POST" else 200, json=reply)
        if isinstance(reply, httpx.Response):
            return httpx.Response(reply.status_code, headers=reply.headers, content=reply.content)
        return reply(request)

    return on_wire(handle)


def on_wire(handle: Callable[[httpx.Request], httpx.Response]) -> Connector:
    credentials = {"client_id": f"client-{uuid4()}", "client_secret": f"secret-{uuid4()}"}
    return connectors.open("youhodler", credentials=credentials, transport=httpx.MockTransport(handle))


def look_up(venue: Connector, wanted: Instruction, record: str | None = "op-1", **more: Any) -> Standing:
    receipt = Receipt(settled=False, record=record)
    return venue.look_up(wanted, sent_at=datetime.now(UTC), receipt=receipt, **more)


def ripen(sim: YouHodlerSimulator) -> None:
    """End what is pending, as an hour from now."""
    sim.ledger.ripen(time.time_ns() // 1_000_000 + 3_600_000)


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.levelno >= logging.ERROR]


# The bytes on the wire


def test_the_requests_on_the_wire_are_exactly_these() -> None:
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        if request.url.path == TOKEN:
            return httpx.Response(200, json={"access_token": "abc.def", "expires_in": 3600, "token_type": "Bearer"})
        return httpx.Response(202, json=operation_of(wanted))

    wanted = instruction(
        key=UUID("5b1c9f0e-3a52-4d7b-9c3e-0f6a7d2e4b18"),
        amount=Decimal("1234567890123456789012345678901234.120000000000000000"),
    )
    credentials = {"client_id": "sa-1", "client_secret": 'cs"1'}
    venue = connectors.open("youhodler", credentials=credentials, transport=httpx.MockTransport(handle))
    venue.send(wanted)
    token, transfer = seen
    assert (token.method, str(token.url)) == ("POST", "https://business-api.youhodler.com/oauth/token")
    assert token.content == b'{"client_id":"sa-1","client_secret":"cs\\"1","grant_type":"client_credentials"}'
    assert token.headers["content-type"] == transfer.headers["content-type"] == "application/json"
    assert "authorization" not in token.headers
    assert UUID(token.headers["idempotency-key"]).version == 4
    assert (transfer.method, str(transfer.url)) == ("POST", "https://business-api.youhodler.com/internal-transfers")
    assert transfer.headers["authorization"] == "Bearer abc.def"
    assert transfer.headers["idempotency-key"] == "5b1c9f0e-3a52-4d7b-9c3e-0f6a7d2e4b18"
    assert transfer.content == (
        b'{"amount":{"currency":"USDC","value":"1234567890123456789012345678901234.12"},'
        b'"source_ref":"' + EUROPE.encode() + b'","target_ref":"' + MASTER.encode() + b'"}'
    )


@pytest.mark.parametrize(
    ("amount", "written"), [("1E+3", "1000"), ("1E-8", "0.00000001"), ("0.10", "0.1"), ("100", "100")]
)
def test_amounts_are_plain_decimal_strings(
    sim: YouHodlerSimulator, venue: Connector, amount: str, written: str
) -> None:
    venue.send(instruction(amount=Decimal(amount), asset="EUR"))
    assert json.loads(sim.requests(TRANSFERS)[-1].body)["amount"] == {"currency": "EUR", "value": written}


def test_it_declares_what_the_map_says() -> None:
    assert VENUE.resend is not None
    assert (VENUE.resend.until, VENUE.resend.after_empty_look_up) == (timedelta(hours=1), False)
    assert (VENUE.absent_after, VENUE.signed_window, VENUE.settle_limit) == (None, None, timedelta(minutes=30))
    assert (VENUE.challenges, VENUE.amount_decimals, VENUE.accounts_read_per_asset) == (False, None, False)


@pytest.mark.parametrize(
    "changed",
    [
        {"destination": EUROPE},
        {"destination": EUROPE.upper().replace("CLIENT-ACCOUNTS", "client-accounts")},
        {"destination": "clients/2d4a8c60-1b7f-4e93-a6d5-90e1f2a3b4c5"},
        {"source": "client-accounts/1"},
        {"source": "client-accounts/2d4a8c60-1b7f-4e93-a6d5-90e1f2a3b4c5/balances"},
        {"source": "2d4a8c60-1b7f-4e93-a6d5-90e1f2a3b4c5"},
        {"source": EUROPE + "\n"},
        {"amount": Decimal(0)},
        {"amount": Decimal(-1)},
        {"amount": Decimal("NaN")},
        {"amount": Decimal("Infinity")},
        {"asset": ""},
        {"asset": "US DC"},
        {"asset": "U" * 65},
    ],
)
def test_what_cannot_be_right_is_refused_before_the_wire(
    sim: YouHodlerSimulator, venue: Connector, changed: dict[str, Any]
) -> None:
    with pytest.raises(Refused, match=r"^Not sent\. Nothing moved"):
        venue.send(instruction(**changed))
    assert sim.requests() == []


def test_an_answer_to_a_challenge_is_refused_because_there_are_none(venue: Connector) -> None:
    with pytest.raises(Refused):
        venue.send(instruction(), answer="token")
    with pytest.raises(NotImplementedError):
        venue.challenge(Challenge(token="t", deadline=datetime.now(UTC)))


# Access tokens


def test_one_token_serves_many_calls_and_every_connector_of_the_login(
    sim: YouHodlerSimulator, venue: Connector
) -> None:
    venue.check()
    venue.balances()
    venue.send(instruction())
    opened(sim).accounts()
    assert len(sim.requests(TOKEN)) == 1


def test_a_token_is_renewed_before_it_runs_out(
    sim: YouHodlerSimulator, venue: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    venue.accounts()
    here = time.monotonic
    monkeypatch.setattr(module.time, "monotonic", lambda: here() + 3600 - 61)
    venue.send(instruction())
    assert len(sim.requests(TOKEN)) == 1
    monkeypatch.setattr(module.time, "monotonic", lambda: here() + 3600 - 59)
    venue.send(instruction())
    assert len(sim.requests(TOKEN)) == 2


@pytest.mark.parametrize("lifetime", [60, 1, 0, -5, None, "3600", True, 3600.5])
def test_a_token_of_no_use_later_is_used_once(lifetime: Any) -> None:
    fetched = []

    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.path == TOKEN:
            fetched.append(request)
            return httpx.Response(200, json={"access_token": "abc", "expires_in": lifetime, "token_type": "bearer"})
        return httpx.Response(422, json={"code": "not_admissible", "message": ""})

    venue = on_wire(handle)
    for _ in range(2):
        with pytest.raises(Refused):
            venue.send(instruction())
    assert len(fetched) == 2
    assert len({request.headers["idempotency-key"] for request in fetched}) == 2, "never the old result again"


def test_a_401_on_a_cached_token_drops_it_and_nothing_moved(sim: YouHodlerSimulator, venue: Connector) -> None:
    venue.accounts()
    sim.revoke_tokens()
    wanted = instruction()
    with pytest.raises(TryLater, match=r"^Nothing moved\."):
        venue.send(wanted)
    assert len(sim.requests(TOKEN)) == 1, "a send is never repeated by itself"
    venue.send(wanted)
    assert (len(sim.requests(TOKEN)), len(sim.effects(wanted.key))) == (2, 1)


def test_a_401_on_a_fresh_token_bars_and_is_not_kept_either(sim: YouHodlerSimulator, venue: Connector) -> None:
    sim.fault("refuse", match="send", code=401)
    with pytest.raises(Barred, match=r"^Nothing moved\."):
        venue.send(instruction())
    venue.send(instruction())
    assert len(sim.requests(TOKEN)) == 2


@pytest.mark.parametrize("body", ["", "<html>", '{"code":"invalid_token"}', '{"code":"idempotency_conflict"}'])
def test_every_401_drops_the_token_whatever_it_says(body: str) -> None:
    fetched = []

    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.path == TOKEN:
            fetched.append(request)
            return httpx.Response(200, json={"access_token": "abc", "expires_in": 3600})
        if request.method == "GET":
            return httpx.Response(200, json={"items": []})
        return httpx.Response(401, text=body)

    venue = on_wire(handle)
    venue.accounts()
    for expected in (TryLater, Barred):
        with pytest.raises(Uncertain if "conflict" in body else expected):
            venue.send(instruction())
    assert len(fetched) == 2


def test_a_question_with_a_stale_token_is_asked_once_more(sim: YouHodlerSimulator, venue: Connector) -> None:
    venue.accounts()
    sim.revoke_tokens()
    assert all(row.problem is None for row in venue.balances())
    assert len(sim.requests(TOKEN)) == 2
    sim.fault("refuse", match="master-accounts", code=401, times=2)
    sim.fault("refuse", match="client-accounts", code=401, times=None)
    with pytest.raises(Barred):
        venue.accounts()


def test_a_dropped_token_is_not_the_one_that_replaced_it() -> None:
    slot = module.TokenSlot()
    slot.keep("old", good_until=time.monotonic() + 9)
    slot.keep("new", good_until=time.monotonic() + 9)
    slot.drop("old")
    assert slot.current() == "new"
    slot.drop("new")
    assert slot.current() is None
    assert slot.known == ("old", "new"), "an answer may still echo them"
    for number in range(20):
        slot.keep(f"token {number}", good_until=0)
    assert len(slot.known) == module.TOKENS_REMEMBERED


def test_many_threads_fetch_one_token(sim: YouHodlerSimulator) -> None:
    sim.fault("slow", match=TOKEN, seconds=0.2)
    rows: list[int] = []
    connected = [opened(sim) for _ in range(4)] * 3
    threads = [threading.Thread(target=lambda one=one: rows.append(len(one.accounts()))) for one in connected]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert rows == [5] * 12
    assert len(sim.requests(TOKEN)) == 1


def test_many_threads_with_a_revoked_token_all_find_their_way(sim: YouHodlerSimulator, venue: Connector) -> None:
    outcomes: list[str] = []

    def send() -> None:
        wanted = instruction(amount=Decimal("0.01"))
        for _ in range(4):
            try:
                venue.send(wanted)
            except TryLater:
                continue
            outcomes.append(str(wanted.key))
            return

    venue.accounts()
    sim.revoke_tokens()
    threads = [threading.Thread(target=send) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 10
    assert all(len(sim.effects(key)) == 1 for key in outcomes)
    assert len(sim.requests(TOKEN)) <= 4


def test_a_call_does_not_wait_long_for_anothers_token(
    sim: YouHodlerSimulator, venue: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TOKEN_WAIT", timedelta(seconds=0.05))
    slot = module._tokens.slot(vars(venue)["_token_key"])
    with slot.fetching, pytest.raises(TryLater, match=r"^Not sent\. Nothing moved"):
        venue.send(instruction())
    assert sim.requests() == []
    venue.send(instruction())


def test_tokens_belong_to_one_login_at_one_host(sim: YouHodlerSimulator, venue: Connector) -> None:
    venue.accounts()
    with pytest.raises(Barred, match="client secret"):
        opened(sim, client_secret="another-secret").accounts()
    with serve("youhodler") as other:
        connectors.open("youhodler", credentials=other.credentials, base_url=other.url).accounts()
        assert len(other.requests(TOKEN)) == 1


def test_tokens_are_kept_for_a_bounded_number_of_logins() -> None:
    tokens = Tokens()
    kept = [tokens.slot(str(number).encode()) for number in range(module.LOGINS_REMEMBERED)]
    assert tokens.slot(b"0") is kept[0]
    tokens.slot(b"one more")
    assert tokens.slot(b"0") is kept[0], "used lately"
    assert tokens.slot(b"1") is not kept[1], "the one not used for longest gave way"
    assert len(tokens._slots) == module.LOGINS_REMEMBERED


def test_a_forked_process_begins_without_tokens_and_without_locks() -> None:
    program = textwrap.dedent("""
        import os, time
        from connectors import youhodler as module
        slot = module._tokens.slot(b"login")
        slot.keep("parent", good_until=time.monotonic() + 60)
        slot.fetching.acquire()
        module._tokens._lock.acquire()
        child = os.fork()
        if child == 0:
            found = module._tokens.slot(b"login")
            os._exit(0 if found.current() is None and found.fetching.acquire(timeout=1) else 1)
        assert os.waitpid(child, 0)[1] == 0
        module._tokens._lock.release()
        assert module._tokens.slot(b"login").current() == "parent"
    """)
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, timeout=30)


BY_TOKEN_STATUS = {400: Barred, 401: Barred, 403: Barred, 422: Barred, 429: TryLater}


def test_every_documented_token_answer_is_spoken_for() -> None:
    assert set(BY_TOKEN_STATUS) == set(TOKEN_ANSWERS)


@pytest.mark.parametrize("status", [*BY_TOKEN_STATUS, 302, 404, 409, 500, 502, 503])
def test_each_answer_to_the_question_for_a_token(sim: YouHodlerSimulator, venue: Connector, status: int) -> None:
    means = BY_TOKEN_STATUS.get(status, TryLater)
    sim.fault("refuse", match=TOKEN, code=status, times=2, text="capability_scope_mismatch")
    with pytest.raises(VenueError) as sent:
        venue.send(instruction())
    with pytest.raises(VenueError) as asked:
        venue.balances()
    assert type(sent.value) is type(asked.value) is means
    assert sent.value.words.startswith("Not sent. Nothing moved")
    assert "capability_scope_mismatch" in asked.value.words
    assert sent.value.evidence["http_status"] == status
    assert sim.requests("internal-transfers") == []
    if status == 429:
        assert isinstance(sent.value, TryLater)
        assert sent.value.retry_at is not None
        assert timedelta(0) < sent.value.retry_at - datetime.now(UTC) <= timedelta(seconds=5)


@pytest.mark.parametrize("kind", ["answer_lost", "request_lost", "error_before", "error_after", "garbage", "banned"])
def test_without_a_token_nothing_is_sent(sim: YouHodlerSimulator, venue: Connector, kind: str) -> None:
    sim.fault(kind, match=TOKEN)
    with pytest.raises(Barred if kind == "banned" else TryLater, match=r"^Not sent\. Nothing moved"):
        venue.send(instruction())
    assert sim.requests("internal-transfers") == []


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"access_token": None},
        {"access_token": ""},
        {"access_token": 5},
        {"access_token": "canary token with spaces"},
        {"access_token": "canary\ntoken"},
        {"access_token": "canaryключ"},
        {"access_token": "canary", "token_type": "mac"},
        {"token": "canary"},
        [],
    ],
)
def test_a_token_that_cannot_be_used_shows_up_nowhere(answer: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(TryLater) as raised:
        on_wire(lambda request: httpx.Response(200, json=answer)).send(instruction())
    assert "canary" not in repr(vars(raised.value)) + caplog.text


# What every documented answer to a transfer means, in our own words

REJECTED = {(400, "invalid_request"), (404, "resource_not_found"), (422, "not_admissible")}
A_PERSON_HAS_TO_ACT = {(403, "forbidden_capability_scope"), (401, "unauthorized")}  # the token is fresh
TOO_MANY = {(429, "rate_limited")}
PERHAPS_IT_MOVED = {(409, "idempotency_conflict"), (502, "upstream_error"), (503, "temporarily_unavailable")}
BY_ANSWER = {
    **dict.fromkeys(REJECTED, Refused),
    **dict.fromkeys(A_PERSON_HAS_TO_ACT, Barred),
    **dict.fromkeys(TOO_MANY, TryLater),
    **dict.fromkeys(PERHAPS_IT_MOVED, Uncertain),
}


def test_every_documented_answer_is_spoken_for() -> None:
    assert set(BY_ANSWER) == set(ANSWERS)
    assert set(AT_THE_DOOR) == {401, 403, 412, 429}


@pytest.mark.parametrize("answer", sorted(BY_ANSWER))
def test_each_answer_to_a_transfer(sim: YouHodlerSimulator, venue: Connector, answer: tuple[int, str]) -> None:
    sim.fault("refuse", match="send", code=answer[0], text=answer[1])
    wanted = instruction()
    with pytest.raises(VenueError) as raised:
        venue.send(wanted)
    assert type(raised.value) is BY_ANSWER[answer]
    doubt = BY_ANSWER[answer] is Uncertain
    assert raised.value.words.startswith("It may have moved." if doubt else "Nothing moved.")
    assert answer[1] in raised.value.words
    assert (raised.value.evidence["http_status"], raised.value.evidence["code"]) == answer
    assert len(raised.value.evidence["body_sha256"]) == 64
    assert raised.value.evidence["request"]["idempotency_key"] == str(wanted.key)
    json.dumps(raised.value.evidence)


@pytest.mark.parametrize("answer", sorted(BY_ANSWER))
def test_each_answer_to_a_question(sim: YouHodlerSimulator, venue: Connector, answer: tuple[int, str]) -> None:
    if answer[0] == 404:
        return  # of an operation that was named to us; it has a test of its own
    sim.fault("refuse", match="GET /internal-transfers", code=answer[0], text=answer[1])
    with pytest.raises(Barred if answer in A_PERSON_HAS_TO_ACT else TryLater) as raised:
        look_up(venue, instruction())
    assert raised.value.words.startswith("Could not look it up")
    assert raised.value.evidence["request"] == "GET /internal-transfers/op-1"


@pytest.mark.parametrize(
    "answer",
    [(400, "strange"), (404, "strange"), (409, "state_conflict"), (409, "on_request"), (422, "insufficient_funds")],
)
def test_a_code_that_nobody_knows_is_a_doubt_and_loud(
    sim: YouHodlerSimulator, venue: Connector, caplog: pytest.LogCaptureFixture, answer: tuple[int, str]
) -> None:
    sim.fault("refuse", match="send", code=answer[0], text=answer[1] if "_" in answer[1] else "")
    reply = httpx.Response(answer[0], json={"code": answer[1], "message": "?"})
    with pytest.raises(Uncertain):
        answering(reply).send(instruction())
    assert any("does not know" in text for text in errors(caplog))


@pytest.mark.parametrize(
    ("status", "body", "means"),
    [
        # Turned away at the door, whoever says so and in whatever words.
        (401, "", Barred),
        (401, '{"code":"token_expired","message":""}', Barred),
        (403, "<html>blocked</html>", Barred),
        (403, '{"code":"address_not_allowed","message":""}', Barred),
        (412, '{"code":"etag_mismatch","message":""}', Refused),
        (412, "", Refused),
        (429, "", TryLater),
        # A word of another status contradicts even those.
        (403, '{"code":"upstream_error","message":""}', Uncertain),
        (429, '{"code":"idempotency_conflict","message":""}', Uncertain),
        (401, '{"code":"temporarily_unavailable","message":""}', Uncertain),
        (400, '{"code":"not_admissible","message":""}', Uncertain),
        (422, '{"code":"idempotency_conflict","message":""}', Uncertain),
        (500, '{"code":"not_admissible","message":""}', Uncertain),
        # Without the venue's own words, a refusal may be somebody else's.
        (400, "", Uncertain),
        (404, "<html>", Uncertain),
        (409, "", Uncertain),
        (422, '{"message":"no"}', Uncertain),
        *((status, "", Uncertain) for status in (204, 206, 301, 302, 307, 405, 408, 418, 500, 501, 502, 503, 504)),
        (520, "", Uncertain),
        # Taken, but by what?
        *((status, "", Uncertain) for status in (200, 201, 202)),
        (202, "[]", Uncertain),
        (202, '"ok"', Uncertain),
        (202, "{", Uncertain),
        (202, "{}", Uncertain),
        (202, '{"id":"","status":"requested"}', Uncertain),
        (202, '{"id":7,"status":"requested"}', Uncertain),
        (202, '{"code":"not_admissible","message":""}', Uncertain),
        (202, '{"code":"strange","id":"op-1","status":"settled"}', Uncertain),
        (202, "[" * 100_000, Uncertain),
    ],
)
def test_each_http_status(status: int, body: str, means: type[VenueError]) -> None:
    with pytest.raises(VenueError) as raised:
        answering(httpx.Response(status, text=body)).send(instruction())
    assert type(raised.value) is means


@pytest.mark.parametrize(
    ("said", "headers", "seconds"),
    [
        ({"retry_after_ms": 5000}, {}, 5),
        ({"retry_after_ms": 250}, {"Retry-After": "9"}, 0.25),
        ({}, {"Retry-After": "7"}, 7),
        ({"retry_after_ms": "5000"}, {"Retry-After": "7"}, 7),
        ({"retry_after_ms": 10**30}, {}, 3600),
        ({}, {"Retry-After": "999999999"}, 3600),
        ({"retry_after_ms": 0}, {}, None),
        ({"retry_after_ms": -1}, {}, None),
        ({"retry_after_ms": True}, {}, None),
        ({"retry_after_ms": 1.5}, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        (None, {}, None),
    ],
)
def test_too_many_calls_name_the_time(said: Any, headers: dict[str, str], seconds: float | None) -> None:
    body = {"code": "rate_limited", "message": "", "details": said}
    before = datetime.now(UTC)
    with pytest.raises(TryLater) as raised:
        answering(httpx.Response(429, json=body, headers=headers)).send(instruction())
    if seconds is None:
        assert raised.value.retry_at is None
    else:
        assert raised.value.retry_at is not None
        waited = (raised.value.retry_at - before).total_seconds()
        assert seconds <= waited < seconds + 2


# What an operation says

SETTLED_AT = "2026-07-01T10:00:00Z"
# status, settled_at -> whether the money has moved
BY_STATUS = {
    ("requested", None): State.PENDING,
    ("admissible", None): State.PENDING,
    ("pending_approval", None): State.PENDING,
    ("executing", None): State.PENDING,
    ("processing", None): State.PENDING,
    ("executed", None): State.PENDING,
    ("executed", ""): State.PENDING,
    ("executed", "soon"): State.PENDING,
    ("executed", SETTLED_AT): State.DONE,
    ("partially_settled", None): State.PENDING,
    ("settled", SETTLED_AT): State.DONE,
    ("settled", None): State.DONE,
    ("ledger_visible", SETTLED_AT): State.DONE,
    ("completed", None): State.DONE,
    ("failed", None): State.FAILED,
    ("cancelled", None): State.FAILED,
}


def test_every_documented_status_is_spoken_for() -> None:
    assert {status for status, _ in BY_STATUS} == set(STATUSES)


@pytest.mark.parametrize(("said", "state"), BY_STATUS.items())
def test_each_status_on_a_receipt_and_in_a_look_up(said: tuple[str, str | None], state: State) -> None:
    wanted = instruction()
    venue = answering(operation_of(wanted, status=said[0], settled_at=said[1]))
    receipt = venue.send(wanted)
    assert isinstance(receipt, Receipt)
    assert (receipt.settled, receipt.record) == (state is State.DONE, "op-1")
    standing = look_up(venue, wanted)
    assert (standing.state, standing.searched, standing.found, standing.record) == (state, True, True, "op-1")
    assert standing.evidence["record"]["status"] == said[0]


@pytest.mark.parametrize("status", ["reversed", "SETTLED", "", None, 5, ["settled"], {"a": 1}])
def test_a_status_that_nobody_knows_is_a_doubt_and_loud(status: Any, caplog: pytest.LogCaptureFixture) -> None:
    wanted = instruction()
    venue = answering(operation_of(wanted, status=status))
    with pytest.raises(Uncertain) as raised:
        venue.send(wanted)
    assert "op-1" in raised.value.evidence["body"], "a person can still find it"
    standing = look_up(venue, wanted)
    assert (standing.state, standing.searched, standing.found) == (State.UNCLEAR, True, True)
    assert len(errors(caplog)) >= 2


@pytest.mark.parametrize(
    "changed",
    [
        {"status": "failed", "fill_rate": "0.4"},
        {"status": "failed", "fill_rate": 1},
        {"status": "cancelled", "fill_rate": "a part"},
        {"status": "failed", "settled_at": SETTLED_AT},
        {"status": "settled", "fill_rate": "0.4"},
        {"status": "settled", "fill_rate": "0"},
        {"status": "executed", "settled_at": SETTLED_AT, "fill_rate": "99.9"},
    ],
)
def test_an_end_that_does_not_fit_its_fill_is_unclear_and_loud(
    changed: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    wanted = instruction()
    venue = answering(operation_of(wanted, **changed))
    receipt = venue.send(wanted)
    assert isinstance(receipt, Receipt)
    assert not receipt.settled
    standing = look_up(venue, wanted)
    assert (standing.state, standing.found) == (State.UNCLEAR, True)
    assert errors(caplog)


@pytest.mark.parametrize(
    ("rate", "status"), [("0", "failed"), ("0.00", "cancelled"), ("1", "settled"), (100, "settled")]
)
def test_a_fill_that_fits_the_end_changes_nothing(rate: Any, status: str) -> None:
    wanted = instruction()
    standing = look_up(answering(operation_of(wanted, status=status, fill_rate=rate)), wanted)
    assert standing.state is STATUSES[status]


OTHER_WORDS: list[dict[str, Any]] = [
    {"family": "withdrawal"},
    {"principal_amount": {"currency": "USDT", "value": "12.34"}},
    {"principal_amount": {"currency": "USDC", "value": "12.35"}},
    {"principal_amount": {"currency": "USDC", "value": 12.34}},
    {"principal_amount": {"currency": "USDC", "value": "about 12"}},
    {"principal_amount": {"currency": "USDC", "amount": "1"}},
    {"family_params": {"source_ref": MASTER, "target_ref": EUROPE}},
    {"family_params": {"source_ref": EUROPE, "target_ref": RESERVE}},
]
MISSING_WORDS: list[dict[str, Any]] = [
    {"family": None},
    {"principal_amount": None},
    {"principal_amount": {"currency": "USDC"}},
    {"family_params": None},
    {"family_params": {"source_ref": EUROPE}},
]


@pytest.mark.parametrize("changed", [*OTHER_WORDS, *MISSING_WORDS])
def test_an_operation_that_does_not_say_our_words_is_unclear_and_loud(
    changed: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    wanted = instruction()
    standing = look_up(answering(operation_of(wanted, **{"status": "settled", **changed})), wanted)
    assert (standing.state, standing.searched, standing.found) == (State.UNCLEAR, True, True)
    assert standing.evidence["problems"]
    assert errors(caplog)
    json.dumps(standing.evidence)


@pytest.mark.parametrize("changed", OTHER_WORDS)
def test_a_receipt_for_another_transfer_is_a_doubt(changed: dict[str, Any]) -> None:
    wanted = instruction()
    with pytest.raises(Uncertain, match="another transfer"):
        answering(operation_of(wanted, **{"status": "settled", **changed})).send(wanted)


@pytest.mark.parametrize("changed", MISSING_WORDS)
def test_a_receipt_that_leaves_words_out_is_taken_but_never_settled(changed: dict[str, Any]) -> None:
    wanted = instruction()
    receipt = answering(operation_of(wanted, **{"status": "settled", **changed})).send(wanted)
    assert isinstance(receipt, Receipt)
    assert (receipt.settled, receipt.record) == (False, "op-1")


@pytest.mark.parametrize(
    "changed",
    [
        {"principal_amount": {"currency": "USDC", "value": "12.3400"}},
        {"principal_amount": {"currency": "USDC", "amount": "12.34"}},
        {"account_ref": PAYROLL},
        {"family_params": {"source_ref": EUROPE.replace("d5-", "D5-"), "target_ref": MASTER}},
    ],
)
def test_words_are_compared_by_value_not_by_spelling(changed: dict[str, Any]) -> None:
    wanted = instruction()
    assert look_up(answering(operation_of(wanted, status="settled", **changed)), wanted).state is State.DONE


def test_an_answer_about_another_id_and_a_record_counted_before_are_unclear() -> None:
    wanted = instruction()
    venue = answering(operation_of(wanted, status="settled"))
    assert look_up(venue, wanted, "op-2").state is State.UNCLEAR
    taken = look_up(venue, wanted, claimed={"op-1"})
    assert (taken.state, taken.found) == (State.UNCLEAR, True)
    assert look_up(venue, wanted, claimed=["op-0"]).state is State.DONE


def test_the_path_of_a_look_up_cannot_be_led_astray() -> None:
    seen: list[str] = []

    def reply(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.raw_path.decode())
        return httpx.Response(404)

    look_up(answering(reply), instruction(), "../x?y=1#z")
    assert seen == ["/internal-transfers/..%2Fx%3Fy%3D1%23z"]


@pytest.mark.parametrize("body", ["[]", "{}", "", '{"id":""}'])
def test_an_answer_that_is_no_operation_says_nothing_about_the_money(body: str) -> None:
    with pytest.raises(TryLater):
        look_up(answering(httpx.Response(200, text=body)), instruction())
    with pytest.raises(TryLater):
        look_up(answering(httpx.Response(202, json=operation_of(instruction()))), instruction())


# Fees and approvals


def fees(value: str, currency: str = "USDC") -> dict[str, Any]:
    total = {"currency": currency, "value": value}
    return {"components": [{"amount": total, "kind": "network_fee"}], "total": total}


@pytest.mark.parametrize(
    ("summary", "fee"),
    [
        (fees("1.00"), Decimal("1.00")),
        (fees("0.00"), Decimal(0)),
        (fees("1.00", "EUR"), None),
        ({"total": {"currency": "USDC", "amount": "0.5"}}, Decimal("0.5")),
        ({"total": {"currency": "USDC", "value": "?"}}, None),
        ({"total": None}, None),
        ({}, None),
        (None, None),
        ("1.00", None),
    ],
)
def test_the_fee_summary_is_recorded(summary: Any, fee: Decimal | None) -> None:
    wanted = instruction()
    venue = answering(operation_of(wanted, fee_summary=summary))
    receipt = venue.send(wanted)
    assert isinstance(receipt, Receipt)
    assert receipt.fee == fee
    assert receipt.evidence.get("fee_summary") == summary
    assert look_up(venue, wanted).evidence.get("fee_summary") == summary


def test_what_waits_for_an_approval_was_taken_and_says_so(sim: YouHodlerSimulator, venue: Connector) -> None:
    sim.fault("pending", match="send", seconds=60, text="pending_approval")
    wanted = instruction()
    receipt = venue.send(wanted)
    assert isinstance(receipt, Receipt)
    assert not receipt.settled
    assert "approve it at YouHodler" in receipt.evidence["words"]
    assert receipt.evidence["approval_ref"].startswith("approvals/")
    standing = look_up(venue, wanted, receipt.record)
    assert standing.state is State.PENDING
    assert "approve it at YouHodler" in standing.evidence["words"]
    assert sim.effects(wanted.key) == []
    ripen(sim)
    settled = look_up(venue, wanted, receipt.record)
    assert settled.state is State.DONE
    assert "words" not in settled.evidence


# Looking up, and finding again


def test_a_taken_transfer_is_followed_by_its_id(sim: YouHodlerSimulator, venue: Connector) -> None:
    sim.fault("pending", match="send", seconds=60)
    wanted = instruction()
    receipt = venue.send(wanted)
    assert isinstance(receipt, Receipt)
    assert receipt.record
    assert receipt.record != str(wanted.key)
    assert look_up(venue, wanted, receipt.record).state is State.PENDING
    ripen(sim)
    assert look_up(venue, wanted, receipt.record).state is State.DONE


def test_a_transfer_that_fails_later_gives_the_money_back(sim: YouHodlerSimulator, venue: Connector) -> None:
    sim.fault("fails_later", match="send", seconds=60)
    wanted, before = instruction(), Decimal(sim.balance(EUROPE, "USDC"))
    receipt = venue.send(wanted)
    assert isinstance(receipt, Receipt)
    ripen(sim)
    standing = look_up(venue, wanted, receipt.record)
    assert standing.state is State.FAILED
    assert standing.evidence["failure_reason"]
    assert sim.effects(wanted.key) == []
    assert Decimal(sim.balance(EUROPE, "USDC")) == before


@pytest.mark.parametrize("receipt", [None, Receipt(settled=False, record=None)])
@pytest.mark.parametrize("age", [timedelta(0), timedelta(days=40)])
def test_without_an_id_it_is_unclear_and_never_absent(
    sim: YouHodlerSimulator, venue: Connector, receipt: Receipt | None, age: timedelta
) -> None:
    standing = venue.look_up(instruction(), sent_at=datetime.now(UTC) - age, receipt=receipt)
    assert (standing.state, standing.searched, standing.found) == (State.UNCLEAR, False, False)
    assert "same key" in standing.evidence["words"]
    assert standing.evidence["balances"]["source"]["available"] == sim.balance(EUROPE, "USDC")
    assert standing.evidence["balances"]["destination"]["asset"] == "USDC"
    assert [one.path for one in sim.requests("internal-transfers")] == [], "a look-up never sends"


@pytest.mark.parametrize("kind", ["answer_lost", "error_after", "garbage", "request_lost", "error_before"])
def test_sending_the_same_again_finds_it_again_and_moves_once(
    sim: YouHodlerSimulator, venue: Connector, kind: str
) -> None:
    sim.fault(kind, match="send")
    wanted, sent_at = instruction(), datetime.now(UTC)
    with pytest.raises(Uncertain):
        venue.send(wanted, signed_at=sent_at)
    assert venue.look_up(wanted, sent_at=sent_at).state is State.UNCLEAR
    time.sleep(0.01)
    receipt = opened(sim).send(wanted, signed_at=datetime.now(UTC))
    assert isinstance(receipt, Receipt)
    assert look_up(venue, wanted, receipt.record).state is State.DONE
    assert len(sim.effects(wanted.key)) == 1
    first, second = sim.requests("POST /internal-transfers")
    assert first.body == second.body
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"] == str(wanted.key)


def test_the_receipt_of_a_repeat_names_the_same_operation(sim: YouHodlerSimulator, venue: Connector) -> None:
    wanted = instruction()
    receipts = [venue.send(wanted) for _ in range(3)]
    assert len({receipt.record for receipt in receipts if isinstance(receipt, Receipt)}) == 1
    assert len(sim.effects(wanted.key)) == 1


def test_a_repeat_that_finds_a_failed_operation_leaves_the_end_to_the_look_up(
    sim: YouHodlerSimulator, venue: Connector
) -> None:
    wanted = instruction()
    failed = operation_of(wanted, status="failed", failure_reason="policy")
    receipt = answering(failed).send(wanted)
    assert isinstance(receipt, Receipt)
    assert (receipt.settled, receipt.record) == (False, "op-1")
    assert receipt.evidence["failure_reason"] == "policy"


def test_other_words_under_a_used_key_are_a_doubt(sim: YouHodlerSimulator, venue: Connector) -> None:
    wanted = instruction()
    venue.send(wanted)
    with pytest.raises(Uncertain, match="idempotency_conflict"):
        venue.send(instruction(key=wanted.key, amount=Decimal("12.35")))
    assert len(sim.effects(wanted.key)) == 1


def test_an_operation_that_is_not_found_is_unclear_and_never_absent(
    sim: YouHodlerSimulator, venue: Connector, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    sim.fault("record_late", match="send", seconds=60)
    wanted = instruction()
    receipt = venue.send(wanted)
    assert isinstance(receipt, Receipt)
    standing = venue.look_up(wanted, sent_at=datetime.now(UTC) - timedelta(days=9), receipt=receipt)
    assert (standing.state, standing.searched, standing.found) == (State.UNCLEAR, False, False)
    assert errors(caplog)
    now = simulated._after
    monkeypatch.setattr(simulated, "_after", lambda seconds: now(seconds) + 61_000)
    assert look_up(venue, wanted, receipt.record).state is State.DONE


# Accounts and balances


def rows(venue: Connector) -> dict[tuple[str, str], Any]:
    return {(row.address, row.asset): row for row in venue.balances()}


def test_both_kinds_of_accounts_are_listed_with_their_names(sim: YouHodlerSimulator, venue: Connector) -> None:
    sim.suspended.add(PAYROLL)
    found = {account.address: (account.kind, account.title) for account in venue.accounts()}
    assert found == {
        MASTER: ("master-accounts", "Group treasury"),
        RESERVE: ("master-accounts", "Reserve"),
        EUROPE: ("client-accounts", "Operations Europe"),
        KINGDOM: ("client-accounts", "Operations United Kingdom"),
        PAYROLL: ("client-accounts", "Payroll (suspended)"),
    }


def test_every_page_is_read() -> None:
    with serve("youhodler") as sim:
        venue = connectors.open("youhodler", credentials=sim.credentials, base_url=sim.url)
        more = [f"client-accounts/{uuid4()}" for _ in range(45)]
        for address in more:
            sim.set_balance(address, "EUR", "1")
        assert {account.address for account in venue.accounts()} == {*TITLES, *more}
        assert len(sim.requests("/client-accounts?")) == 3


def account(number: str = "2d4a8c60-1b7f-4e93-a6d5-90e1f2a3b4c5", **changed: Any) -> dict[str, Any]:
    return {"id": number, "display_name": "A", "status": "active", "scope_ref": "enterprises/e", **changed}


@pytest.mark.parametrize(
    "page",
    [
        {"items": [account()], "next_page_token": "the same for ever"},
        {"items": [account(), account()], "next_page_token": None},
        {"items": [account(), account(account()["id"].upper())], "next_page_token": None},
        {"items": [account("1")]},
        {"items": [account("../x")]},
        {"items": [account(None)]},  # type: ignore[arg-type]
        {"items": ["x"]},
        {"items": None},
        {"items": [account()], "next_page_token": 2},
        {},
    ],
)
def test_a_list_that_makes_no_sense_is_not_a_list_of_accounts(page: Any) -> None:
    with pytest.raises(TryLater, match=r"^Could not read"):
        answering(httpx.Response(200, json=page)).accounts()


def test_a_list_that_turns_to_the_same_page_is_given_up_at_once() -> None:
    asked: list[str] = []

    def reply(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(200, json={"items": [account()], "next_page_token": "again"})

    with pytest.raises(TryLater, match="does not come to an end"):
        answering(reply).accounts()
    assert len(asked) == 2


def test_a_list_whose_pages_repeat_counts_as_unreadable() -> None:
    turns = iter("abcdefghij")

    def reply(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"items": [account()], "next_page_token": next(turns, None)})

    with pytest.raises(TryLater, match="listed twice"):
        answering(reply).balances()


def test_a_kind_that_may_not_be_listed_is_left_out_and_two_bar_the_login(
    sim: YouHodlerSimulator, venue: Connector
) -> None:
    sim.fault("refuse", match="/master-accounts?", code=403)
    assert {one.kind for one in venue.accounts()} == {"client-accounts"}
    sim.fault("refuse", match="/master-accounts?", code=403)
    assert any("may not list the kind master-accounts" in words for words in venue.check().words)
    sim.fault("refuse", match="GET", code=403, times=2)
    with pytest.raises(Barred):
        venue.accounts()
    sim.fault("error_before", match="/client-accounts?")
    with pytest.raises(TryLater):
        venue.balances()


def test_a_coin_missing_from_a_complete_answer_is_zero(sim: YouHodlerSimulator, venue: Connector) -> None:
    found = rows(venue)
    assert found[RESERVE, "USDC"].total == Decimal("500000")
    for address, asset in ((KINGDOM, "BTC"), (PAYROLL, "USDC"), (RESERVE, "GBP")):
        assert (found[address, asset].total, found[address, asset].movable, found[address, asset].problem) == (
            0,
            0,
            None,
        )
    assert len(found) == 5 * 5


def test_money_on_its_way_counts_and_cannot_be_moved(sim: YouHodlerSimulator, venue: Connector) -> None:
    before = rows(venue)[KINGDOM, "GBP"]
    sim.fault("pending", match="send", seconds=60)
    venue.send(instruction(source=KINGDOM, asset="GBP", amount=Decimal(100)))
    during = rows(venue)[KINGDOM, "GBP"]
    assert (during.total, during.movable) == (before.total, before.movable - 100)
    ripen(sim)
    assert rows(venue)[KINGDOM, "GBP"].total == before.total - 100


def test_an_unreadable_account_is_a_problem_and_never_a_zero(sim: YouHodlerSimulator, venue: Connector) -> None:
    sim.fault("error_before", match=f"{EUROPE}/balances")
    unreadable = [row for row in venue.balances() if row.address == EUROPE]
    assert [(row.asset, row.total, row.movable) for row in unreadable] == [(EVERY_ASSET, None, None)]
    assert "Could not read" in unreadable[0].problem
    assert rows(venue)[EUROPE, "USDC"].problem is None


def test_one_barred_account_is_a_problem_and_all_bar_the_login(sim: YouHodlerSimulator, venue: Connector) -> None:
    sim.fault("refuse", match=f"{EUROPE}/balances", code=403)
    assert rows(venue)[EUROPE, EVERY_ASSET].problem
    sim.fault("refuse", match="/balances", code=403, times=5)
    with pytest.raises(Barred):
        venue.balances()


def balance_row(**changed: Any) -> dict[str, Any]:
    return {
        "asset": "USDC",
        "available": "950.00",
        "held": "50.00",
        "total": "1000.00",
        "overdraft_limit": None,
        "overdraft_used": None,
        "overdraft_headroom": None,
        "owner_ref": EUROPE,
        **changed,
    }


def holding(*listed: Any, more: Any = None) -> Connector:
    """One client account whose balances are these."""

    def reply(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("balances"):
            return httpx.Response(200, json={"items": list(listed), "next_page_token": more})
        items = [account(EUROPE.partition("/")[2])] if "client" in request.url.path else []
        return httpx.Response(200, json={"items": items, "next_page_token": None})

    return answering(reply)


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"owner_ref": EUROPE.partition("/")[2]},
        {"owner_ref": None},
        {"overdraft_limit": "0.00", "overdraft_used": "0"},
        {"pending_in": "3"},
    ],
)
def test_a_balance_is_what_is_available_and_held_together(changed: dict[str, Any]) -> None:
    (row,) = holding(balance_row(**changed)).balances()
    assert (row.address, row.asset, row.total, row.movable, row.problem) == (EUROPE, "USDC", 1000, 950, None)


@pytest.mark.parametrize(
    "changed",
    [
        {"available": ""},
        {"available": None},
        {"available": 950},
        {"held": "NaN"},
        {"total": "n/a"},
        {"total": "999.99"},
        {"overdraft_limit": "500.00"},
        {"overdraft_used": "1"},
        {"overdraft_used": "?"},
    ],
)
def test_a_balance_that_cannot_be_trusted_is_a_problem(changed: dict[str, Any]) -> None:
    good = balance_row(asset="EUR", available="1", held="0", total="1")
    found = rows(holding(balance_row(**changed), good))
    assert (found[EUROPE, "USDC"].total, found[EUROPE, "USDC"].movable) == (None, None)
    assert found[EUROPE, "USDC"].problem
    assert (found[EUROPE, "EUR"].total, found[EUROPE, "EUR"].problem) == (1, None)


@pytest.mark.parametrize(
    "listed",
    [
        [balance_row(), balance_row()],
        [balance_row(asset="")],
        [balance_row(asset=None)],
        [balance_row(owner_ref=MASTER)],
        ["x"],
    ],
)
def test_an_answer_about_something_else_is_no_balance(listed: list[Any]) -> None:
    (row,) = holding(*listed).balances()
    assert (row.asset, row.total) == (EVERY_ASSET, None)
    assert row.problem
    (row,) = holding(balance_row(), more="next").balances()
    assert row.total is None, "a second page that is the first again"


def test_amounts_are_exact(sim: YouHodlerSimulator, venue: Connector) -> None:
    amount = "123456789012345678901234567890.123456789012345678"
    sim.set_balance(RESERVE, "SOL", amount)
    row = rows(venue)[RESERVE, "SOL"]
    assert format(row.total, "f") == format(row.movable, "f") == amount
    sim.set_balance(RESERVE, "SOL", "0")


def test_assets_are_what_the_source_shows(sim: YouHodlerSimulator, venue: Connector) -> None:
    assert venue.assets(KINGDOM, MASTER) == ["GBP", "USDC"]
    with pytest.raises(Refused):
        venue.assets(KINGDOM, KINGDOM)
    with pytest.raises(Refused):
        venue.assets("FUND", KINGDOM)
    assert set(venue.routes()) == {(a, b) for a in VENUE.account_kinds for b in VENUE.account_kinds}


# Who


def test_check_says_who_and_what(sim: YouHodlerSimulator, venue: Connector) -> None:
    check = venue.check()
    assert check.login == sim.login_of(sim.credentials)
    assert check.login.startswith("enterprises/")
    assert check.may_transfer
    assert check.clock_offset is None
    assert "It sees 2 master and 3 client accounts." in check.words
    assert "the first one will show it" in check.words[-1]


def test_check_names_what_stands_in_the_way(sim: YouHodlerSimulator, venue: Connector) -> None:
    sim.suspended |= set(TITLES) - {MASTER}
    check = venue.check()
    assert not check.may_transfer
    assert "Not active: Payroll (suspended)." in check.words
    assert "There are not two active accounts to move money between." in check.words
    with pytest.raises(Barred, match="the client id or the client secret is wrong"):
        opened(sim, client_secret="wrong").check()
    assert len(sim.requests(TOKEN)) == 2, "one question for a token is enough"


@pytest.mark.parametrize(
    ("masters", "clients", "login"),
    [
        (["enterprises/a"], ["clients/x"], "enterprises/a"),
        (["enterprises/b", "enterprises/a", "enterprises/b"], [], "enterprises/a + enterprises/b"),
        ([], ["clients/x", "clients/x"], "clients/x"),
    ],
)
def test_the_login_is_the_tenant(masters: list[str], clients: list[str], login: str) -> None:
    def reply(request: httpx.Request) -> httpx.Response:
        scopes = masters if "master" in request.url.path else clients
        return httpx.Response(200, json={"items": [account(str(uuid4()), scope_ref=scope) for scope in scopes]})

    assert answering(reply).check().login == login


def test_a_login_that_nobody_names_is_not_made_up() -> None:
    with pytest.raises(Barred, match="sees no account at all"):
        answering({"items": []}).check()

    def reply(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"items": [account(str(uuid4()), scope_ref=None)]})

    with pytest.raises(TryLater, match="does not name its tenant"):
        answering(reply).check()


# Secrets


def parts(secret: str) -> list[str]:
    """The secret and its halves: half a token must not be left behind either."""
    return [secret, secret[: len(secret) // 2], secret[len(secret) // 2 :]]


def test_secrets_and_tokens_appear_nowhere(
    sim: YouHodlerSimulator, venue: Connector, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secrets = list(sim.credentials.values())
    seen = [repr(Credentials(*secrets)), repr(venue), repr(vars(venue)), repr(vars(vars(venue)["_wire"]))]
    seen += [repr(venue.check()), repr(venue.send(instruction())), repr(venue.balances())]
    slot = module._tokens.slot(vars(venue)["_token_key"])
    (token,) = slot.known
    seen += [repr(slot), repr(module._tokens), repr(module.Bearer(token))]
    for code, text in ((403, token), (418, secrets[1]), (502, f"{secrets} {token}"), (401, token)):
        sim.fault("refuse", match="send", code=code, text=f"Echo: {text}")
        with pytest.raises(VenueError) as raised:
            venue.send(instruction())
        seen += [str(raised.value), repr(raised.value), repr(vars(raised.value))]
        assert "[redacted]" in repr(raised.value.evidence)
    venue.accounts()
    for match in ("/balances", "GET /internal-transfers", TOKEN):
        sim.fault("refuse", match=match, code=403, text=f"Echo: {token} {secrets[1]}", times=None)
    seen += [repr(row) for row in barred(venue)]
    sim.revoke_tokens()
    with pytest.raises(Barred) as refused:
        look_up(venue, instruction())
    seen += [repr(vars(refused.value)), caplog.text, *(repr(vars(record)) for record in caplog.records)]
    assert len(token) > 40
    for secret in (*secrets, token):
        assert all(secret not in text for text in seen)


def barred(venue: Connector) -> list[Any]:
    try:
        return list(venue.balances())
    except Barred as error:
        return [vars(error)]


@pytest.mark.parametrize("status", [200, 202, 400, 401, 403, 404, 409, 422, 429, 500, 503])
def test_a_venue_that_echoes_the_token_gives_nothing_away(status: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    token = "eyJ-canary-" + "q7" * 30

    def reply(request: httpx.Request) -> httpx.Response:
        bearer = request.headers["authorization"]
        # So placed that the excerpt would end in the middle of it.
        body = {"message": bearer, "code": f"c {bearer}", "id": bearer, "status": bearer, "pad": ""}
        body["details"] = {"reason": bearer}
        if status in (200, 202):
            del body["code"]
        body["pad"] = "x" * (LONGEST - len(json.dumps(body)) - 65)
        return httpx.Response(status, content=json.dumps({**body, "last": bearer}))

    venue, seen = answering(reply, token), []
    for call in (
        lambda: venue.send(instruction()),
        lambda: look_up(venue, instruction()),
        lambda: venue.look_up(instruction(), sent_at=datetime.now(UTC)),
        venue.check,
        venue.balances,
    ):
        try:
            seen.append(repr(call()))
        except VenueError as error:
            seen += [str(error), repr(vars(error)), repr(error.__context__), repr(error.__cause__)]
    seen += [caplog.text, *(repr(vars(record)) for record in caplog.records)]
    for part in parts(token):
        assert all(part not in text for text in seen)


def test_an_earlier_token_is_still_a_secret() -> None:
    given = iter(["first-canary-token", "second-canary-token"])

    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.path == TOKEN:
            return httpx.Response(200, json={"access_token": next(given), "expires_in": 3600})
        status = 401 if "first" in request.headers["authorization"] else 422
        return httpx.Response(status, json={"code": "not_admissible", "message": "instead of first-canary-token"})

    venue = on_wire(handle)
    for means in (Uncertain, Refused):
        with pytest.raises(means) as raised:
            venue.send(instruction())
        assert "canary" not in repr(vars(raised.value)).replace("[redacted]", "")


def test_a_transport_that_names_the_token_gives_nothing_away(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    def reply(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadError(f"with {request.headers['authorization']}")

    venue = answering(reply)
    for call, means in ((lambda: venue.send(instruction()), Uncertain), (venue.accounts, TryLater)):
        with pytest.raises(means) as raised:
            call()
        assert "canary" not in repr(vars(raised.value)) + repr(raised.value.__context__)
    assert "canary" not in caplog.text


@pytest.mark.parametrize("value", ["", "has space", "tab\t", "line\nbreak", "ключ"])
@pytest.mark.parametrize("name", ["client_id", "client_secret"])
def test_credentials_that_cannot_be_right_are_named_without_their_value(name: str, value: str) -> None:
    given = {"client_id": "abcdef", "client_secret": "ghijkl", name: value}
    with pytest.raises(ValueError, match=name) as raised:
        connectors.open("youhodler", credentials=given)
    assert not value or value not in str(raised.value)
