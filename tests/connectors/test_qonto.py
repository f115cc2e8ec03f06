"""Qonto: what is on the wire, the meaning of every answer, confirmations, look-ups on both accounts, and secrets."""

import json
import logging
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID, uuid4

import httpx
import pytest

import connectors
from connectors import qonto as module
from connectors.core.errors import Barred, Refused, TryLater, Uncertain, VenueError
from connectors.core.protocol import (
    EVERY_ASSET,
    Challenge,
    ChallengeState,
    Connector,
    Instruction,
    Receipt,
    Standing,
    State,
)
from connectors.qonto import ACCOUNT_STATUSES, CODES, HTTP_STATUSES, Authorization, Credentials
from connectors.simulators.core import Simulator, serve
from connectors.simulators.qonto import ACCESS_TOKEN, MAIN, PAYROLL, STAGING_TOKEN, TAXES, QontoSimulator

from .listener import Listener, answer

LOGIN, SECRET = "acme-1234", "qontoTestSecretAAAABBBBCCCC"
KEY = "5b1c9f0e-3a52-4d7b-9c3e-0f6a7d2e4b18"
TOKEN = "5b1c9f0e3a524d7b9c3e0f6a7d2e4b18"
TRANSFERS = "/v2/internal_transfers"
SANDBOX = "thirdparty-sandbox.staging.qonto.co"


@pytest.fixture(scope="module")
def server() -> Iterator[Simulator]:
    with serve("qonto") as simulator:
        yield simulator


@pytest.fixture
def sim(server: Simulator) -> Iterator[QontoSimulator]:
    server.clear()
    assert isinstance(server, QontoSimulator)
    yield server
    server.clear()


@pytest.fixture
def qonto(sim: QontoSimulator) -> Connector:
    return connectors.open("qonto", credentials=sim.credentials, base_url=sim.url, loopback_only=True)


@pytest.fixture(autouse=True)
def _no_key_was_ever_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_keys", module.Keys())


def instruction(**changed: Any) -> Instruction:
    words: dict[str, Any] = {
        "key": uuid4(),
        "source": MAIN,
        "destination": PAYROLL,
        "asset": "EUR",
        "amount": Decimal("12.33"),
        "reference": "TR-000001",
    }
    return Instruction(**{**words, **changed})


def answering(
    reply: Callable[[httpx.Request], httpx.Response] | httpx.Response,
    *,
    environment: str = "production",
    credentials: dict[str, str] | None = None,
) -> Connector:
    """A connector whose wire gives one and the same answer."""
    act = (
        (lambda request: httpx.Response(reply.status_code, headers=reply.headers, content=reply.content))
        if (isinstance(reply, httpx.Response))
        else reply
    )
    return connectors.open(
        "qonto",
        credentials=credentials or {"login": LOGIN, "secret_key": SECRET},
        transport=httpx.MockTransport(act),
        environment=environment,
    )


def taken(wanted: Instruction, **changed: Any) -> dict[str, Any]:
    """The answer to a transfer as the documentation has it."""
    transfer = {
        "id": "0d9a1f0e-6a41-4a1c-9a77-6f2f1f0b6c11",
        "slug": "acme-1234-1-transfer-77",
        "status": "pending",
        "amount": 12.33,
        "amount_cents": 1233,
        "currency": "EUR",
        "reference": f"{wanted.key.hex} {wanted.reference}",
        "created_at": "2026-07-01T09:10:11.123Z",
        **changed,
    }
    return {"internal_transfer": {name: value for name, value in transfer.items() if value is not ...}}


def refused(*codes: str) -> bytes:
    return json.dumps({"errors": [{"code": code, "detail": f"{code} is why"} for code in codes]}).encode()


# On the wire. Nothing is signed here: the vectors are the headers and the body as the documents write them.


@pytest.mark.parametrize(
    ("credentials", "host", "headers"),
    [
        (
            {"login": LOGIN, "secret_key": SECRET},
            "thirdparty.qonto.com",
            {"Authorization": "acme-1234:qontoTestSecretAAAABBBBCCCC"},
        ),
        ({"access_token": "ory_at_x"}, "thirdparty.qonto.com", {"Authorization": "Bearer ory_at_x"}),
        (
            {"login": LOGIN, "secret_key": SECRET, "staging_token": "staging-x"},
            SANDBOX,
            {"Authorization": "acme-1234:qontoTestSecretAAAABBBBCCCC", "X-Qonto-Staging-Token": "staging-x"},
        ),
        (
            {"access_token": "ory_at_x", "staging_token": "staging-x"},
            "thirdparty.qonto.com",
            {"Authorization": "Bearer ory_at_x"},
        ),
    ],
    ids=["key", "bearer", "sandbox", "no staging token for production"],
)
def test_the_login_is_named_as_documented(credentials: dict[str, str], host: str, headers: dict[str, str]) -> None:
    request = httpx.Request("GET", f"https://{host}/v2/organization")
    before = set(request.headers)
    named = next(Authorization(Credentials(**credentials)).auth_flow(request))
    assert {name: named.headers[name] for name in headers} == headers
    assert set(named.headers) - before == {name.lower() for name in headers}


def test_the_bytes_on_the_wire_are_the_instruction_with_the_capitals_of_the_documents() -> None:
    wanted = instruction(key=UUID(KEY), amount=Decimal("12.3300"), reference="TR-000001")

    def behave(connection: Any, _stopping: Any) -> None:
        listener.take_request(connection)
        connection.sendall(answer(json.dumps(taken(wanted)).encode(), "200 OK", "Content-Type: application/json"))

    with Listener(behave) as listener:
        venue = connectors.open(
            "qonto",
            credentials={"login": LOGIN, "secret_key": SECRET, "staging_token": "staging-x"},
            environment="sandbox",
            base_url=listener.url,
        )
        venue.send(wanted, answer="sca_01HXYZ")
    head, _, body = bytes(listener.received).partition(b"\r\n\r\n")
    assert body == (
        b'{"internal_transfer":{"debit_iban":"FR7616798000010000000010112","credit_iban":'
        b'"FR7616798000010000000020297","reference":"5b1c9f0e3a524d7b9c3e0f6a7d2e4b18 TR-000001",'
        b'"amount":"12.33","currency":"EUR"}}'
    )
    lines = head.decode().split("\r\n")
    assert lines[0] == f"POST {TRANSFERS} HTTP/1.1"
    assert {
        f"Host: {SANDBOX}",
        "Content-Type: application/json",
        f"Authorization: {LOGIN}:{SECRET}",
        "X-Qonto-Staging-Token: staging-x",
        f"X-Qonto-Idempotency-Key: {KEY}",
        "X-Qonto-Sca-Session-Token: sca_01HXYZ",
    } <= set(lines)


@pytest.mark.parametrize(
    ("amount", "written"),
    [("1E+3", "1000"), ("0.10", "0.1"), ("0.01", "0.01"), ("100", "100"), ("12.340000000000000000", "12.34")],
)
def test_amounts_are_plain_decimal_strings(sim: QontoSimulator, qonto: Connector, amount: str, written: str) -> None:
    qonto.send(instruction(amount=Decimal(amount)))
    assert json.loads(sim.requests(TRANSFERS)[-1].body)["internal_transfer"]["amount"] == written


def test_large_amounts_are_exact() -> None:
    amount = Decimal("9876543210987654321098765432.19")
    wanted = instruction(amount=amount)
    told = taken(wanted, amount=..., amount_cents=987654321098765432109876543219)
    assert isinstance(answering(httpx.Response(200, json=told)).send(wanted), Receipt)
    one_cent_less = taken(wanted, amount=..., amount_cents=987654321098765432109876543218)
    with pytest.raises(Uncertain):
        answering(httpx.Response(200, json=one_cent_less)).send(instruction(amount=amount))


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"destination": MAIN}, "same account"),
        ({"source": "UNIFIED"}, "not an IBAN"),
        ({"source": "FRXXXXXXXXXXXXXXXXXXXXXX112"}, "not an IBAN"),
        ({"destination": PAYROLL.lower()}, "not an IBAN"),
        ({"destination": f"{PAYROLL}\n"}, "not an IBAN"),
        ({"destination": ""}, "not an IBAN"),
        ({"amount": Decimal(0)}, "not more than zero"),
        ({"amount": Decimal("-1")}, "not more than zero"),
        ({"amount": Decimal("NaN")}, "not more than zero"),
        ({"amount": Decimal("Infinity")}, "not more than zero"),
        ({"amount": Decimal("0.001")}, "decimals"),
        ({"amount": Decimal("12.345")}, "decimals"),
        ({"amount": Decimal("1E+5000")}, "no bank account"),
        ({"asset": "USD"}, "EUR only"),
        ({"asset": "eur"}, "EUR only"),
        ({"reference": "x" * 67}, "too long"),
        ({"reference": "Überweisung"}, "characters"),
        ({"reference": "a\nb"}, "characters"),
        ({"reference": "a_b"}, "characters"),
    ],
)
def test_what_cannot_be_right_is_refused_before_the_wire(
    sim: QontoSimulator, qonto: Connector, changed: dict[str, Any], why: str
) -> None:
    with pytest.raises(Refused, match=r"^Not sent. Nothing moved") as raised:
        qonto.send(instruction(**changed))
    assert why in raised.value.words
    assert sim.requests() == []


def test_a_reference_of_99_characters_with_its_token_is_sent(sim: QontoSimulator, qonto: Connector) -> None:
    qonto.send(instruction(reference="x" * 66))
    qonto.send(instruction(reference=""))
    longest, shortest = (json.loads(one.body)["internal_transfer"]["reference"] for one in sim.requests(TRANSFERS))
    assert (len(longest), len(shortest)) == (99, 32)


# What every answer to a transfer means, in our own words.

NOTHING_MOVED_AND_NEVER_WILL = {400, 404, 412, 422}
A_PERSON_HAS_TO_ACT = {401, 403}
PERHAPS_IT_MOVED = {409, 500, 502, 503, 504}
BY_STATUS = {
    **dict.fromkeys(NOTHING_MOVED_AND_NEVER_WILL, Refused),
    **dict.fromkeys(A_PERSON_HAS_TO_ACT, Barred),
    **dict.fromkeys(PERHAPS_IT_MOVED, Uncertain),
    428: Refused,  # without a token there is no way to confirm
    429: TryLater,
}
BY_CODE = {
    "bad_request": (400, Refused),
    "authorization_header_missing": (401, Barred),
    "authorization_token_invalid": (401, Barred),
    "unauthorized": (401, Barred),
    "forbidden": (403, Barred),
    "missing_key": (422, Refused),
    "not_in_list": (422, Refused),
    "not_found": (422, Refused),
    "sca_not_enrolled": (428, Refused),
}


def test_every_documented_status_and_code_is_spoken_for() -> None:
    assert set(BY_STATUS) == set(HTTP_STATUSES)
    assert set(BY_CODE) == set(CODES)


@pytest.mark.parametrize("status", sorted(BY_STATUS))
def test_each_status_without_a_word(status: int) -> None:
    with pytest.raises(VenueError) as raised:
        answering(httpx.Response(status)).send(instruction())
    assert type(raised.value) is BY_STATUS[status]


@pytest.mark.parametrize("code", sorted(BY_CODE))
def test_each_code_on_a_transfer(
    sim: QontoSimulator, qonto: Connector, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    status, means = BY_CODE[code]
    sim.fault("refuse", match="send", code=status, text=code)
    wanted = instruction()
    with pytest.raises(VenueError) as raised:
        qonto.send(wanted)
    assert type(raised.value) is means
    assert raised.value.words.startswith("Nothing moved. Qonto refused the request: ")
    assert f"({code}: refused on request" in raised.value.words
    assert raised.value.evidence["codes"] == [code]
    assert raised.value.evidence["http_status"] == status
    assert len(raised.value.evidence["body_sha256"]) == 64
    assert raised.value.evidence["request"]["key"] == str(wanted.key)
    assert raised.value.evidence["request"]["reference"] == f"{wanted.key.hex} TR-000001"
    json.dumps(raised.value.evidence)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize("code", sorted(BY_CODE))
def test_each_code_on_a_question(sim: QontoSimulator, qonto: Connector, code: str) -> None:
    status, means = BY_CODE[code]
    sim.fault("refuse", match="/v2/transactions", code=status, text=code)
    with pytest.raises(Barred if means is Barred else TryLater, match=r"^Could not read"):
        qonto.look_up(instruction(), sent_at=datetime.now(UTC))


@pytest.mark.parametrize("code", ["insufficient_funds", "never_heard_of"])
def test_a_code_that_nobody_knows_is_judged_by_its_status_and_loud(
    sim: QontoSimulator, qonto: Connector, caplog: pytest.LogCaptureFixture, code: str
) -> None:
    sim.fault("refuse", match="send", code=422, text=code)
    with pytest.raises(Refused, match=code):
        qonto.send(instruction())
    assert any(record.levelno == logging.ERROR and "not know" in record.message for record in caplog.records)


TRANSFER_INSIDE = json.dumps(taken(instruction())).encode()


@pytest.mark.parametrize(
    ("status", "body", "means"),
    [
        # Whatever speaks of an earlier request under our key is doubt, whatever the status.
        (429, b'{"error":"Concurrent requests detected"}', Uncertain),
        (409, b'{"error":"Concurrent requests detected"}', Uncertain),
        (422, b'{"error":"Concurrent requests detected"}', Uncertain),
        (409, refused("conflict"), Uncertain),
        (409, b"", Uncertain),
        (429, b'{"error":"Try again"}', Uncertain),
        (429, b'{"error":"API rate limit exceeded"}', TryLater),
        (429, b"Too Many Requests", TryLater),
        (429, refused("too_many_requests"), TryLater),
        (422, refused("duplicate_transfer"), Uncertain),
        (422, refused("missing_key", "idempotency_key_already_used"), Uncertain),
        (400, refused("idempotency_conflict"), Uncertain),
        # A body in doubt outweighs the status.
        (422, TRANSFER_INSIDE, Uncertain),
        (400, b'{"internal_transfer":null}', Uncertain),
        (428, TRANSFER_INSIDE, Uncertain),
        (500, refused("not_found"), Uncertain),
        (422, b"<html>", Refused),
        (403, b"<html>blocked</html>", Barred),
        (428, b'{"code":"sca_not_enrolled","message":"pair a device"}', Refused),
        (428, refused("sca_not_enrolled"), Refused),
        (428, b'{"message":"enter the code"}', Refused),
        (428, b'{"sca_session_token":""}', Refused),
        (428, b'{"sca_session_token":7}', Refused),
        (428, b'{"sca_session_token":"with space"}', Refused),
        *((status, b"", Uncertain) for status in (301, 302, 307, 402, 405, 408, 413, 418, 451, 501, 520)),
        # 2xx without a transfer that is ours.
        (200, b"", Uncertain),
        (204, b"", Uncertain),
        (200, b"[]", Uncertain),
        (200, b"{}", Uncertain),
        (200, b"{", Uncertain),
        (200, b'{"internal_transfer":{}}', Uncertain),
        (200, b'{"internal_transfer":{"id":""}}', Uncertain),
        (200, b'{"internal_transfer":{"id":7}}', Uncertain),
        (200, b'{"internal_transfer":[]}', Uncertain),
        (200, b"<!doctype html><html>Sign in</html>", Uncertain),
        (200, TRANSFER_INSIDE, Uncertain),
        (200, b'{"internal_transfer":{"id":"x","amount_cents":' + b"9" * 5000 + b"}}", Uncertain),
        (200, b"[" * 100_000, Uncertain),
    ],
)
def test_each_answer_that_is_more_than_a_status(status: int, body: bytes, means: type[VenueError]) -> None:
    with pytest.raises(VenueError) as raised:
        answering(httpx.Response(status, content=body)).send(instruction())
    assert type(raised.value) is means
    moved = "It may have moved." if means is Uncertain else "Nothing moved."
    assert raised.value.words.startswith(moved)
    json.dumps(raised.value.evidence)


@pytest.mark.parametrize(
    ("status", "changed"),
    [
        (200, {}),
        (201, {}),
        (202, {}),
        (200, {"status": "processing", "currency": ..., "amount_currency": "EUR"}),
        (200, {"amount": "12.33", "amount_cents": "1233"}),
        (200, {"a_new_field": {"of": "tomorrow"}}),
        (200, {"reference": TOKEN.upper() + "  TR 000001"}),
    ],
    ids=["documented", "201", "202", "as seen live", "amounts as strings", "unknown field", "reference rewritten"],
)
def test_a_transfer_that_was_taken_is_never_settled_yet(status: int, changed: dict[str, Any]) -> None:
    wanted = instruction(key=UUID(KEY))
    receipt = answering(httpx.Response(status, json=taken(wanted, **changed))).send(wanted)
    assert isinstance(receipt, Receipt)
    assert (receipt.settled, receipt.record) == (False, "0d9a1f0e-6a41-4a1c-9a77-6f2f1f0b6c11")
    json.dumps(dict(receipt.evidence))


@pytest.mark.parametrize(
    "changed",
    [
        {"status": "completed"},
        {"status": "declined"},
        {"status": "Pending"},
        {"status": ...},
        {"reference": "Another transfer"},
        {"reference": ...},
        {"reference": None},
        {"amount_cents": 1234},
        {"amount_cents": 12.33},
        {"amount_cents": "12.33"},
        {"amount_cents": True},
        {"amount_cents": ...},
        {"currency": "USD"},
        {"currency": None},
        {"currency": ..., "amount_currency": "USD"},
    ],
)
def test_an_answer_about_another_transfer_or_in_unknown_words_is_a_loud_doubt(
    changed: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    wanted = instruction()
    with pytest.raises(Uncertain, match=r"^It may have moved\."):
        answering(httpx.Response(200, json=taken(wanted, **changed))).send(wanted)
    assert any(record.levelno == logging.ERROR for record in caplog.records)


# The sandbox and its page for people

PAGE = httpx.Response(200, headers={"Content-Type": "text/html"}, content=b"<html>Sign in</html>")
REDIRECT = httpx.Response(302, headers={"Location": "https://login.example.com"})


@pytest.mark.parametrize("page", [PAGE, REDIRECT], ids=["page", "redirect"])
@pytest.mark.parametrize(
    ("environment", "staging", "sending", "asking"),
    [
        ("sandbox", "", Barred, Barred),
        # With the token a page may hide a transfer that was taken.
        ("sandbox", "staging-x", Uncertain, Barred),
        ("production", "", Uncertain, TryLater),
    ],
)
def test_a_page_for_people_means_a_missing_staging_token_on_the_sandbox_only(
    page: httpx.Response, environment: str, staging: str, sending: type[VenueError], asking: type[VenueError]
) -> None:
    login = {"login": LOGIN, "secret_key": SECRET, "staging_token": staging}
    venue = answering(page, environment=environment, credentials=login)
    with pytest.raises(VenueError) as raised:
        venue.send(instruction())
    assert type(raised.value) is sending
    with pytest.raises(VenueError) as raised:
        venue.check()
    assert type(raised.value) is asking
    if asking is Barred:
        assert "staging token" in raised.value.words


def test_the_sandbox_and_a_bearer_work_whole(sim: QontoSimulator) -> None:
    sandbox = connectors.open(
        "qonto",
        credentials={"access_token": ACCESS_TOKEN, "staging_token": STAGING_TOKEN},
        environment="sandbox",
        base_url=sim.url,
    )
    wanted, sent_at = instruction(), datetime.now(UTC)
    sandbox.send(wanted)
    assert sandbox.look_up(wanted, sent_at=sent_at).state is State.DONE
    assert {one.headers["host"] for one in sim.requests()} == {SANDBOX}
    assert "OAuth" in " ".join(sandbox.check().words)


def test_the_wrong_environment_is_said_in_words(sim: QontoSimulator) -> None:
    login = {**sim.credentials, "staging_token": STAGING_TOKEN}
    production = connectors.open("qonto", credentials=login, base_url=sim.url)
    assert "this is not the sandbox" in " ".join(production.check().words)
    wrong = connectors.open("qonto", credentials={**login, "secret_key": "of-production"}, base_url=sim.url)
    with pytest.raises(Barred, match=r"other environment|login is wrong"):
        wrong.check()
    missing = connectors.open("qonto", credentials=sim.credentials, environment="sandbox", base_url=sim.url)
    with pytest.raises(Barred, match="staging token"):
        missing.check()


# Credentials


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"login": LOGIN},
        {"secret_key": SECRET},
        {"staging_token": "staging-x"},
        {"login": LOGIN, "secret_key": SECRET, "access_token": "ory_at_x"},
        {"login": LOGIN, "access_token": "ory_at_x"},
        {"login": "", "secret_key": "", "access_token": ""},
    ],
)
def test_credentials_are_a_key_or_a_token_and_never_half_of_one(given: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="Credentials for qonto are either") as raised:
        connectors.open("qonto", credentials=given)
    assert not any(value and value in str(raised.value) for value in given.values())


def test_fields_that_are_not_needed_may_be_left_out_or_empty() -> None:
    left_out = connectors.open("qonto", credentials={"access_token": "ory_at_x"})
    empty = {"login": "", "secret_key": "", "access_token": "ory_at_x", "staging_token": ""}
    assert type(left_out) is type(connectors.open("qonto", credentials=empty))
    with pytest.raises(ValueError, match="not understood: 1"):
        connectors.open("qonto", credentials={"access_token": "ory_at_x", "another": "x"})


@pytest.mark.parametrize("value", ["has space", "tab\t", "line\r\nX-Other: 1", "ключ"])
@pytest.mark.parametrize("name", ["secret_key", "staging_token"])
def test_credentials_that_no_header_can_carry_are_named_without_their_value(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=name) as raised:
        connectors.open("qonto", credentials={"login": LOGIN, "secret_key": SECRET, name: value})
    assert value not in str(raised.value)


# A key is never sent again once it may have moved money, nor when it is too old.


@pytest.mark.parametrize("kind", ["answer_lost", "error_after", "error_before", "garbage", "request_lost"])
def test_a_key_in_doubt_is_never_sent_again(sim: QontoSimulator, qonto: Connector, kind: str) -> None:
    sim.fault(kind, match="send")
    wanted = instruction()
    with pytest.raises(Uncertain):
        qonto.send(wanted)
    for again in (None, "sca_01HXYZ"):
        with pytest.raises(Refused, match=r"^Not sent\. Nothing moved by this call"):
            qonto.send(wanted, answer=again)
    assert len(sim.requests(TRANSFERS)) == 1
    assert len(sim.effects(wanted.key)) <= 1


def test_a_key_that_was_taken_is_never_sent_again(sim: QontoSimulator, qonto: Connector) -> None:
    wanted = instruction()
    qonto.send(wanted)
    with pytest.raises(Refused, match="looked up"):
        qonto.send(wanted)
    assert len(sim.requests(TRANSFERS)) == 1


@pytest.mark.parametrize("kind", ["rate_limited", "banned", "refuse"])
def test_a_key_that_moved_nothing_may_be_sent_again(sim: QontoSimulator, qonto: Connector, kind: str) -> None:
    sim.fault(kind, match="send")
    wanted = instruction()
    with pytest.raises((TryLater, Barred, Refused)):
        qonto.send(wanted)
    qonto.send(wanted)
    assert len(sim.effects(wanted.key)) == 1


def test_a_key_is_sent_again_within_its_life_only(
    sim: QontoSimulator, qonto: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    sim.fault("rate_limited", match="send", times=3)
    wanted = instruction()
    for _ in range(2):
        with pytest.raises(TryLater):
            qonto.send(wanted)
    first_at = module._keys._first_at[wanted.key]
    module._keys._first_at[wanted.key] = first_at - timedelta(minutes=24, seconds=55)
    with pytest.raises(TryLater):
        qonto.send(wanted)
    module._keys._first_at[wanted.key] = first_at - timedelta(minutes=25)
    with pytest.raises(Refused, match="forgets a key after 30"):
        qonto.send(wanted)
    assert len(sim.requests(TRANSFERS)) == 3


def test_a_send_that_never_left_us_is_not_the_first(sim: QontoSimulator, qonto: Connector) -> None:
    wanted = instruction()
    with pytest.raises(TryLater):
        qonto.send(wanted, send_before=datetime.now(UTC) - timedelta(seconds=1))
    assert module._keys._first_at == {}
    qonto.send(wanted)
    assert len(sim.effects(wanted.key)) == 1


def test_a_later_send_that_never_left_us_does_not_make_a_key_young_again(sim: QontoSimulator, qonto: Connector) -> None:
    sim.fault("rate_limited", match="send")
    wanted = instruction()
    with pytest.raises(TryLater):
        qonto.send(wanted)
    first_at = module._keys._first_at[wanted.key]
    with pytest.raises(TryLater, match="too late"):
        qonto.send(wanted, send_before=datetime.now(UTC) - timedelta(seconds=1))
    assert module._keys._first_at[wanted.key] == first_at


def test_the_memory_of_keys_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEYS_REMEMBERED", 2)
    keys, at = module.Keys(), datetime.now(UTC)
    for _ in range(5):
        keys.enter(uuid4(), at)
    assert (len(keys._first_at), len(keys._in_doubt)) == (2, 2)


# A person confirms


def asked(sim: QontoSimulator, qonto: Connector, wanted: Instruction, **how: Any) -> Challenge:
    sim.fault("challenge", match="send", **how)
    challenge = qonto.send(wanted)
    assert isinstance(challenge, Challenge)
    return challenge


def test_a_confirmed_transfer_is_repeated_with_the_token_under_the_same_key(
    sim: QontoSimulator, qonto: Connector
) -> None:
    wanted, began = instruction(), datetime.now(UTC)
    challenge = asked(sim, qonto, wanted)
    assert began + timedelta(minutes=15) <= challenge.deadline <= datetime.now(UTC) + timedelta(minutes=15)
    assert challenge.deadline.utcoffset() == timedelta(0)
    assert sim.effects(wanted.key) == []
    assert qonto.challenge(challenge) is ChallengeState.WAITING
    sim.decide(challenge.token, "allow")
    assert qonto.challenge(challenge) is ChallengeState.ALLOWED
    receipt = qonto.send(wanted, answer=challenge.token)
    assert isinstance(receipt, Receipt)
    first, repeat = sim.requests(TRANSFERS)
    assert repeat.body == first.body
    assert repeat.headers == {**first.headers, "x-qonto-sca-session-token": challenge.token}
    assert len(sim.effects(wanted.key)) == 1
    assert qonto.look_up(wanted, sent_at=began, receipt=receipt).state is State.DONE


def test_a_denied_transfer_is_not_executed(sim: QontoSimulator, qonto: Connector) -> None:
    wanted = instruction()
    challenge = asked(sim, qonto, wanted)
    sim.decide(challenge.token, "deny")
    assert qonto.challenge(challenge) is ChallengeState.DENIED
    with pytest.raises(Refused, match="confirmation does not hold"):
        qonto.send(wanted, answer=challenge.token)
    assert sim.effects(wanted.key) == []


def test_after_fifteen_minutes_a_confirmation_is_denied(sim: QontoSimulator, qonto: Connector) -> None:
    wanted = instruction()
    challenge = asked(sim, qonto, wanted)
    sim.decide(challenge.token, "allow")
    sim.fault("clock", seconds=15 * 60)
    assert qonto.challenge(challenge) is ChallengeState.DENIED
    with pytest.raises(Refused):
        qonto.send(wanted, answer=challenge.token)


@pytest.mark.parametrize("kind", ["answer_lost", "request_lost", "error_after", "error_before", "garbage"])
def test_a_lost_answer_to_the_repeat_is_doubt_like_any_other(sim: QontoSimulator, qonto: Connector, kind: str) -> None:
    wanted, sent_at = instruction(), datetime.now(UTC)
    challenge = asked(sim, qonto, wanted)
    sim.decide(challenge.token, "allow")
    sim.fault(kind, match="send")
    with pytest.raises(Uncertain, match=r"^It may have moved\."):
        qonto.send(wanted, answer=challenge.token)
    with pytest.raises(Refused, match="looked up"):
        qonto.send(wanted, answer=challenge.token)
    moved = bool(sim.effects(wanted.key))
    assert qonto.look_up(wanted, sent_at=sent_at).state is (State.DONE if moved else State.UNCLEAR)
    assert moved == (kind in ("answer_lost", "error_after", "garbage"))


def test_a_second_challenge_for_the_repeat_is_a_refusal() -> None:
    venue = answering(httpx.Response(428, json={"sca_session_token": "sca_02"}))
    wanted = instruction()
    assert isinstance(venue.send(wanted), Challenge)
    with pytest.raises(Refused, match=r"^Nothing moved.*not accepted"):
        venue.send(wanted, answer="sca_02")


def test_the_deadline_also_ends_with_the_life_of_the_key(sim: QontoSimulator, qonto: Connector) -> None:
    sim.fault("rate_limited", match="send")
    wanted = instruction()
    with pytest.raises(TryLater):
        qonto.send(wanted)
    module._keys._first_at[wanted.key] -= timedelta(minutes=20)
    first_at = module._keys._first_at[wanted.key]
    assert asked(sim, qonto, wanted).deadline == first_at + timedelta(minutes=25)


def test_a_repeat_after_the_life_of_the_key_is_not_sent(sim: QontoSimulator, qonto: Connector) -> None:
    wanted = instruction()
    challenge = asked(sim, qonto, wanted)
    module._keys._first_at[wanted.key] -= timedelta(minutes=26)
    with pytest.raises(Refused, match=r"^Not sent\. Nothing moved"):
        qonto.send(wanted, answer=challenge.token)
    assert len(sim.requests(TRANSFERS)) == 1


@pytest.mark.parametrize("token", ["", "a b", "line\r\nbreak", "ключ", "x" * 2001])
def test_an_answer_that_is_no_token_is_refused_before_the_wire(
    sim: QontoSimulator, qonto: Connector, token: str
) -> None:
    with pytest.raises(Refused, match=r"^Not sent\. Nothing moved"):
        qonto.send(instruction(), answer=token)
    assert sim.requests() == []


def test_a_practice_person_may_confirm_or_deny_a_little_later(sim: QontoSimulator, qonto: Connector) -> None:
    allowed, denied = instruction(), instruction()
    first = asked(sim, qonto, allowed, seconds=0.2)
    second = asked(sim, qonto, denied, seconds=0.2, text="deny")
    assert qonto.challenge(first) is ChallengeState.WAITING
    time.sleep(0.25)
    assert qonto.challenge(first) is ChallengeState.ALLOWED
    assert qonto.challenge(second) is ChallengeState.DENIED


@pytest.mark.parametrize("said", [{"result": "perhaps"}, {"result": None}, {}, {"sca_session": {"status": "allow"}}])
def test_a_confirmation_in_unknown_words_is_no_answer(said: Any, caplog: pytest.LogCaptureFixture) -> None:
    challenge = Challenge(token="sca_01", deadline=datetime.now(UTC))
    with pytest.raises(TryLater):
        answering(httpx.Response(200, json=said)).challenge(challenge)
    assert any(record.levelno == logging.ERROR for record in caplog.records)


@pytest.mark.parametrize(
    ("reply", "means"),
    [
        (httpx.Response(404, content=refused("not_found")), TryLater),
        (httpx.Response(500), TryLater),
        (httpx.Response(401, content=refused("sca-canary/1")), Barred),
        (httpx.Response(429, json={"error": "sca-canary/1 was asked too often"}), TryLater),
    ],
)
def test_a_question_about_a_confirmation_never_shows_its_token(
    reply: httpx.Response, means: type[VenueError], caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[str] = []

    def act(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.raw_path.decode())
        return httpx.Response(reply.status_code, content=reply.content)

    challenge = Challenge(token="sca-canary/1", deadline=datetime.now(UTC))
    with pytest.raises(means) as raised:
        answering(act).challenge(challenge)
    assert seen == ["/v2/sca_sessions/sca-canary%2F1"]
    told = repr(raised.value) + repr(vars(raised.value)) + repr(raised.value.__cause__) + repr(challenge)
    assert "sca-canary" not in told
    assert raised.value.__suppress_context__


def test_the_token_of_a_challenge_is_not_in_its_evidence(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    body = {"message": "SCA required", "sca_session_token": "sca-canary-01", "code": "sca-canary-01 unheard of"}
    challenge = answering(httpx.Response(428, json=body)).send(instruction())
    assert isinstance(challenge, Challenge)
    assert challenge.token == "sca-canary-01"
    echo = answering(httpx.Response(500, json={"error": "sca-canary-01"}))
    with pytest.raises(Uncertain) as raised:
        echo.send(instruction(), answer="sca-canary-01")
    told = repr(challenge) + json.dumps(dict(challenge.evidence)) + repr(vars(raised.value)) + str(raised.value)
    assert "sca-canary" not in told + caplog.text
    assert "[redacted]" in told


# Limits


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7), ("0", 0), ("99999", 3600), ("soon", None), ("", None), ("-5", None), ("1.5", None)],
)
def test_too_many_calls_name_the_time_if_qonto_does(header: str, seconds: int | None) -> None:
    with pytest.raises(TryLater) as raised:
        answering(httpx.Response(429, headers={"Retry-After": header})).send(instruction())
    at = raised.value.retry_at
    if seconds is None:
        assert at is None
    else:
        assert at is not None
        assert abs(at - datetime.now(UTC) - timedelta(seconds=seconds)) < timedelta(seconds=2)


def test_too_many_calls_may_name_a_date() -> None:
    at = (datetime.now(UTC) + timedelta(seconds=90)).replace(microsecond=0)
    header = at.strftime("%a, %d %b %Y %H:%M:%S GMT")
    with pytest.raises(TryLater) as raised:
        answering(httpx.Response(429, headers={"Retry-After": header})).send(instruction())
    assert raised.value.retry_at == at


# Looking up


def look_up(qonto: Connector, wanted: Instruction, **at: Any) -> Standing:
    return qonto.look_up(wanted, **{"sent_at": datetime.now(UTC), **at})


def test_both_accounts_are_asked_for_one_status_at_a_time(sim: QontoSimulator, qonto: Connector) -> None:
    sent_at = datetime(2026, 7, 1, 9, 10, 11, 123000, tzinfo=UTC)
    assert not look_up(qonto, instruction(), sent_at=sent_at).found
    accounts = {one["iban"]: one["id"] for one in organisation(sim)["bank_accounts"]}
    asked_for = [dict(parse_qsl(one.query)) for one in sim.requests("/v2/transactions")]
    assert [one.query.count("status%5B%5D=") for one in sim.requests("/v2/transactions")] == [1] * 6
    assert [(one["status[]"], one["bank_account_id"]) for one in asked_for] == [
        (status, accounts[iban]) for status in ("pending", "completed", "declined") for iban in (MAIN, PAYROLL)
    ]
    rest = {"updated_at_from": "2026-07-01T08:10:11.123Z", "sort_by": "updated_at:asc", "page": "1", "per_page": "100"}
    assert all(one.items() >= rest.items() for one in asked_for)


def organisation(sim: QontoSimulator) -> dict[str, Any]:
    header = f"{sim.credentials['login']}:{sim.credentials['secret_key']}"
    told = httpx.get(f"{sim.url}/v2/organization", headers={"Authorization": header}, trust_env=False)
    found: dict[str, Any] = told.json()["organization"]
    return found


def test_a_lost_answer_is_found_again(sim: QontoSimulator, qonto: Connector) -> None:
    sim.fault("answer_lost", match="send")
    wanted = instruction()
    with pytest.raises(Uncertain):
        qonto.send(wanted)
    standing = look_up(qonto, wanted)
    assert (standing.state, standing.searched, standing.found) == (State.DONE, True, True)
    debit, credit = standing.evidence["records"]
    assert (debit["side"], credit["side"]) == ("debit", "credit")
    assert standing.record == debit["id"]


def test_one_leg_is_pending_and_both_are_done(sim: QontoSimulator, qonto: Connector) -> None:
    sim.fault("pending", match="send", seconds=0.4)
    wanted = instruction()
    receipt = qonto.send(wanted)
    assert isinstance(receipt, Receipt)
    standing = look_up(qonto, wanted, receipt=receipt)
    assert (standing.state, len(standing.evidence["records"])) == (State.PENDING, 1)
    time.sleep(0.45)
    assert look_up(qonto, wanted, receipt=receipt).state is State.DONE


def test_a_declined_transfer_failed(sim: QontoSimulator, qonto: Connector) -> None:
    sim.fault("fails_later", match="send", seconds=0.2)
    wanted, before = instruction(), sim.balance(MAIN, "EUR")
    qonto.send(wanted)
    time.sleep(0.25)
    assert look_up(qonto, wanted).state is State.FAILED
    assert sim.effects(wanted.key) == []
    assert Decimal(sim.balance(MAIN, "EUR")) == Decimal(before)


@pytest.mark.parametrize("age", [timedelta(0), timedelta(hours=2), timedelta(days=40)])
def test_an_empty_search_never_means_absent(qonto: Connector, age: timedelta) -> None:
    for receipt in (None, Receipt(settled=False, record="x")):
        standing = look_up(qonto, instruction(), sent_at=datetime.now(UTC) - age, receipt=receipt)
        assert (standing.state, standing.searched, standing.found) == (State.UNCLEAR, True, False)
        assert standing.record is None


def test_records_that_show_up_late_are_found_when_they_do(sim: QontoSimulator, qonto: Connector) -> None:
    sim.fault("record_late", match="send", seconds=0.3)
    wanted = instruction()
    qonto.send(wanted)
    assert look_up(qonto, wanted).state is State.UNCLEAR
    time.sleep(0.35)
    assert look_up(qonto, wanted).state is State.DONE


LOOKED_FOR = instruction(key=UUID(KEY))
SOURCE, DESTINATION = "018f71db-source", "018f71db-destination"


def transaction(side: str, status: str, /, **changed: Any) -> dict[str, Any]:
    row = {
        "id": f"{side}-1",
        "side": side,
        "status": status,
        "amount": 12.33,
        "amount_cents": 1233,
        "currency": "EUR",
        "reference": f"{TOKEN} TR-000001",
        "bank_account_id": SOURCE if side == "debit" else DESTINATION,
        **changed,
    }
    return {name: value for name, value in row.items() if value is not ...}


def bank(
    rows: list[dict[str, Any]],
    *,
    ignores: tuple[str, ...] = (),
    page: Callable[[dict[str, str], list[dict[str, Any]]], Any] | None = None,
) -> Connector:
    """A Qonto with these transactions, which does not understand the filters that it `ignores`."""

    def act(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v2/organization":
            accounts = [{"id": SOURCE, "iban": MAIN}, {"id": DESTINATION, "iban": PAYROLL}]
            return httpx.Response(200, json={"organization": {"id": "o", "bank_accounts": accounts}})
        asked_for = dict(request.url.params)
        fits = [
            row
            for row in rows
            if ("status" in ignores or row["status"] == asked_for["status[]"])
            and ("account" in ignores or row.get("bank_account_id", SOURCE) == asked_for["bank_account_id"])
        ]
        if page is not None:
            return httpx.Response(200, json=page(asked_for, fits))
        meta = {"current_page": 1, "next_page": None, "total_count": len(fits)}
        return httpx.Response(200, json={"transactions": fits, "meta": meta})

    return answering(act)


LEGS = [None, "pending", "completed", "declined"]
TOGETHER = {
    ("completed", "completed"): State.DONE,
    ("declined", None): State.FAILED,
    ("declined", "declined"): State.FAILED,
    # One side lives and the other was declined: for people.
    ("declined", "pending"): State.UNCLEAR,
    ("declined", "completed"): State.UNCLEAR,
    (None, "declined"): State.UNCLEAR,
    ("pending", "declined"): State.UNCLEAR,
    ("completed", "declined"): State.UNCLEAR,
}


@pytest.mark.parametrize("ignores", [(), ("status",), ("account",), ("status", "account")])
@pytest.mark.parametrize("credit", LEGS)
@pytest.mark.parametrize("debit", LEGS)
def test_what_both_sides_say_together(debit: str | None, credit: str | None, ignores: tuple[str, ...]) -> None:
    rows = [transaction(side, status) for side, status in (("debit", debit), ("credit", credit)) if status]
    strangers = [transaction("debit", "completed", id="s", reference=f"{TOKEN[:-1]}9 TR-000001")]
    standing = look_up(bank([*strangers, *rows], ignores=ignores), LOOKED_FOR)
    if not rows:
        assert (standing.state, standing.found, standing.record) == (State.UNCLEAR, False, None)
        return
    assert standing.state is TOGETHER.get((debit, credit), State.PENDING)
    assert (standing.searched, standing.found) == (True, True)
    assert standing.record == ("debit-1" if debit else "credit-1")
    json.dumps(dict(standing.evidence))


@pytest.mark.parametrize(
    "reference", [TOKEN, TOKEN.upper(), f"{KEY} TR", f"Virement: {TOKEN[:16]} {TOKEN[16:]}", f"X/{KEY.upper()}/TR"]
)
def test_a_reference_may_be_rewritten_as_banks_do(reference: str) -> None:
    rows = [transaction(side, "completed", reference=reference) for side in ("debit", "credit")]
    assert look_up(bank(rows), LOOKED_FOR).state is State.DONE


@pytest.mark.parametrize("reference", [None, ..., "", "TR-000001", TOKEN[:-1], 7])
def test_a_transaction_without_our_token_is_a_strangers(reference: Any) -> None:
    rows = [transaction(side, "completed", reference=reference) for side in ("debit", "credit")]
    assert not look_up(bank(rows), LOOKED_FOR).found


@pytest.mark.parametrize(
    "changed",
    [
        {"amount_cents": 1234},
        {"amount_cents": "1234"},
        {"amount_cents": None},
        {"amount_cents": 12.33},
        {"currency": "USD"},
        {"currency": ...},
        {"status": "reversed"},
        {"side": "credit"},
        {"side": None},
        {"bank_account_id": "another"},
        {"bank_account_id": ...},
    ],
)
def test_a_record_with_other_words_is_unclear_and_loud(
    changed: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    rows = [transaction("debit", "completed", **changed), transaction("credit", "completed")]
    standing = look_up(bank(rows, ignores=("status", "account")), LOOKED_FOR)
    assert (standing.state, standing.searched, standing.found) == (State.UNCLEAR, True, True)
    assert any(record.levelno == logging.ERROR for record in caplog.records)


@pytest.mark.parametrize("status", ["completed", "pending", "declined"])
def test_a_second_payment_under_one_token_is_unclear(status: str) -> None:
    rows = [transaction(side, "completed") for side in ("debit", "credit")]
    standing = look_up(bank([*rows, transaction("debit", status, id="debit-2")]), LOOKED_FOR)
    assert (standing.state, standing.found) == (State.UNCLEAR, True)


def test_money_that_came_back_is_unclear() -> None:
    rows = [transaction(side, "completed") for side in ("debit", "credit")]
    returned = transaction("credit", "completed", id="credit-2", bank_account_id=SOURCE)
    assert look_up(bank([*rows, returned]), LOOKED_FOR).state is State.UNCLEAR


@pytest.mark.parametrize("claimed", ["debit-1", "credit-1"])
def test_a_record_that_another_transfer_rests_on_never_counts_twice(claimed: str) -> None:
    rows = [transaction(side, "completed") for side in ("debit", "credit")]
    standing = look_up(bank(rows), LOOKED_FOR, claimed={claimed})
    assert (standing.state, standing.found) == (State.UNCLEAR, True)
    assert look_up(bank(rows), LOOKED_FOR, claimed={"another"}).state is State.DONE


def test_a_record_that_ends_while_we_ask_counts_as_it_ended() -> None:
    pending = [transaction("debit", "pending")]
    ended = [transaction(side, "completed") for side in ("debit", "credit")]

    def page(asked_for: dict[str, str], _fits: Any) -> Any:
        rows = pending if asked_for["status[]"] == "pending" else ended if asked_for["status[]"] == "completed" else []
        fits = [row for row in rows if row["bank_account_id"] == asked_for["bank_account_id"]]
        return {"transactions": fits, "meta": {"current_page": 1, "next_page": None}}

    assert look_up(bank([], page=page), LOOKED_FOR).state is State.DONE


def test_the_search_goes_on_to_the_last_page() -> None:
    ours = [transaction(side, "completed") for side in ("debit", "credit")]

    def page(asked_for: dict[str, str], fits: list[dict[str, Any]]) -> Any:
        number = int(asked_for["page"])
        rows = fits if number == 3 else [transaction("debit", "completed", id=f"s{number}", reference="another")]
        meta = {"current_page": number, "next_page": number + 1 if number < 3 else None, "total_count": 2 + len(fits)}
        return {"transactions": rows, "meta": meta}

    assert look_up(bank(ours, page=page), LOOKED_FOR).state is State.DONE


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"transactions": None, "meta": {"current_page": 1, "next_page": None}},
        {"transactions": ["x"], "meta": {"current_page": 1, "next_page": None}},
        {"transactions": [{"status": "pending"}], "meta": {"current_page": 1, "next_page": None}},
        {"transactions": []},
        {"transactions": [], "meta": {"current_page": 2, "next_page": None}},
        {"transactions": [], "meta": {"current_page": 1}},
        {"transactions": [], "meta": {"current_page": 1, "next_page": None, "total_count": 1}},
        {"transactions": [{"id": "s"}], "meta": {"current_page": 1, "next_page": 2}},
    ],
)
def test_a_search_that_was_not_complete_says_nothing_about_the_money(said: Any) -> None:
    with pytest.raises(TryLater, match=r"^Could not look it up"):
        look_up(bank([], page=lambda asked_for, fits: said), LOOKED_FOR, sent_at=datetime.now(UTC))


def test_a_search_without_end_says_nothing_about_the_money(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_UP_PAGES", 3)

    def page(asked_for: dict[str, str], _fits: Any) -> Any:
        number = int(asked_for["page"])
        return {"transactions": [], "meta": {"current_page": number, "next_page": number + 1}}

    with pytest.raises(TryLater, match="did not come to an end"):
        look_up(bank([], page=page), LOOKED_FOR)


def test_an_account_that_the_login_does_not_see_cannot_be_searched(qonto: Connector) -> None:
    with pytest.raises(TryLater, match=r"^Could not look it up"):
        look_up(qonto, instruction(source="FR7616798000010000000050561"))


@pytest.mark.parametrize("kind", ["request_lost", "rate_limited", "error_before", "garbage", "banned"])
@pytest.mark.parametrize("match", ["/v2/organization", "status%5B%5D=declined"])
def test_a_look_up_that_failed_says_nothing_about_the_money(
    sim: QontoSimulator, qonto: Connector, kind: str, match: str
) -> None:
    sim.fault(kind, match=match)
    with pytest.raises(Barred if kind == "banned" else TryLater):
        look_up(qonto, instruction())


# Accounts and balances

ACCOUNT = {
    "id": "a",
    "iban": MAIN,
    "name": "Main",
    "currency": "EUR",
    "balance": 1500.25,
    "balance_cents": 150025,
    "authorized_balance": 1480.25,
    "authorized_balance_cents": 148025,
    "status": "active",
    "is_external_account": False,
}


def holding(*accounts: Any, **more: Any) -> Connector:
    """A Qonto whose organisation has these accounts."""
    told = {"id": "organisation-1", "legal_name": "Acme SAS", "bank_accounts": list(accounts), **more}
    return answering(httpx.Response(200, json={"organization": told}))


def test_accounts_and_balances_are_those_of_the_organisation(sim: QontoSimulator, qonto: Connector) -> None:
    assert {one.address for one in qonto.accounts()} == {MAIN, PAYROLL, TAXES}
    assert len(organisation(sim)["bank_accounts"]) == 5, "a closed one and one at another bank are left out"
    rows = {row.address: row for row in qonto.balances()}
    assert {address: format(row.total, "f") for address, row in rows.items()} == {
        iban: sim.balance(iban, "EUR") for iban in (MAIN, PAYROLL, TAXES)
    }
    assert qonto.routes() == [("account", "account")]
    assert qonto.assets(MAIN, PAYROLL) == ["EUR"]
    for source, destination in ((MAIN, MAIN), ("x", MAIN)):
        with pytest.raises(Refused):
            qonto.assets(source, destination)


def test_money_on_its_way_is_booked_and_not_movable(sim: QontoSimulator, qonto: Connector) -> None:
    before = {row.address: row for row in qonto.balances()}
    sim.fault("pending", match="send", seconds=0.4)
    qonto.send(instruction(amount=Decimal("100.01")))
    during = {row.address: row for row in qonto.balances()}
    assert during[MAIN].total == before[MAIN].total
    assert during[MAIN].movable == before[MAIN].movable - Decimal("100.01")
    time.sleep(0.45)
    after = {row.address: row for row in qonto.balances()}
    assert after[MAIN].total == after[MAIN].movable == before[MAIN].total - Decimal("100.01")


def test_a_balance_is_read_from_cents() -> None:
    (row,) = holding(ACCOUNT).balances()
    assert (row.address, row.asset, row.total, row.movable, row.problem) == (
        MAIN,
        "EUR",
        Decimal("1500.25"),
        Decimal("1480.25"),
        None,
    )
    (row,) = holding({**ACCOUNT, "balance_cents": -5, "balance": -0.05, "authorized_balance_cents": -5}).balances()
    assert (row.total, row.movable) == (Decimal("-0.05"), Decimal("-0.05"))


def test_amounts_are_exact(sim: QontoSimulator, qonto: Connector) -> None:
    sim.set_balance(TAXES, "EUR", "123456789012345678901234567890.12")
    row = next(row for row in qonto.balances() if row.address == TAXES)
    assert format(row.total, "f") == "123456789012345678901234567890.12"
    sim.set_balance(TAXES, "EUR", "138900.00")


@pytest.mark.parametrize(
    ("changed", "asset"),
    [
        ({"balance_cents": None}, "EUR"),
        ({"balance_cents": "n/a"}, "EUR"),
        ({"balance_cents": 150025.5}, "EUR"),
        ({"balance_cents": True}, "EUR"),
        ({"balance": 1500.26}, "EUR"),
        ({"balance": 0}, "EUR"),
        ({"currency": None}, EVERY_ASSET),
        ({"currency": "USD"}, "USD"),
    ],
)
def test_an_unreadable_balance_is_a_problem_and_never_a_zero(changed: dict[str, Any], asset: str) -> None:
    other = {**ACCOUNT, "iban": PAYROLL}
    broken, good = holding({**ACCOUNT, **changed}, other).balances()
    assert (broken.asset, broken.total, broken.movable) == (asset, None, None)
    assert broken.problem
    assert good.total == Decimal("1500.25")


@pytest.mark.parametrize("stated", ["1.500,25", "1500.25", None])
def test_cents_alone_are_enough(stated: Any) -> None:
    (row,) = holding({**ACCOUNT, "balance": stated}).balances()
    assert (row.total, row.problem) == (Decimal("1500.25"), None)


def test_an_unknown_movable_amount_leaves_the_total_readable() -> None:
    (row,) = holding({**ACCOUNT, "authorized_balance_cents": None}).balances()
    assert (row.total, row.movable) == (Decimal("1500.25"), None)
    assert row.problem


@pytest.mark.parametrize("status", [*sorted(set(ACCOUNT_STATUSES) - {"active"}), "frozen", None])
def test_accounts_that_cannot_move_money_are_left_out(status: Any, caplog: pytest.LogCaptureFixture) -> None:
    venue = holding(ACCOUNT, {**ACCOUNT, "iban": PAYROLL, "status": status})
    assert [one.address for one in venue.accounts()] == [MAIN]
    loud = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert bool(loud) == (status not in ACCOUNT_STATUSES)


@pytest.mark.parametrize("iban", ["FRXXXXXXXXXXXXXXXXXXXXXX112", "", None, "FR76 1679"])
def test_a_masked_iban_bars_the_login_instead_of_hiding_money(iban: Any) -> None:
    venue = holding({**ACCOUNT, "iban": iban})
    for read in (venue.accounts, venue.balances):
        with pytest.raises(Barred, match="masked"):
            read()


@pytest.mark.parametrize("accounts", [None, {}, ["x"], [ACCOUNT, ACCOUNT]])
def test_a_list_of_accounts_that_is_none_is_not_read(accounts: Any) -> None:
    others = {**ACCOUNT, "iban": None, "is_external_account": True}
    assert len(holding(ACCOUNT, others, others).accounts()) == 1, "what others keep there may lack an IBAN"
    venue = holding(bank_accounts=accounts)
    for read in (venue.accounts, venue.balances):
        with pytest.raises(TryLater):
            read()
    with pytest.raises(TryLater):
        answering(httpx.Response(200, json={"organization": None})).accounts()


# Who


def test_check_says_who_and_what(sim: QontoSimulator, qonto: Connector) -> None:
    check = qonto.check()
    assert check.login == sim.login_of(sim.credentials) == organisation(sim)["id"]
    assert check.may_transfer
    said = " ".join(check.words)
    assert "The login belongs to Practice SAS." in said
    assert "API key" in said
    assert "3 active accounts" in said
    assert "the first transfer will show it" in said


def test_check_names_what_stands_in_the_way() -> None:
    check = holding(ACCOUNT).check()
    assert not check.may_transfer
    assert "A transfer needs two active accounts." in check.words
    with pytest.raises(TryLater):
        holding(ACCOUNT, id=None).check()


@pytest.mark.parametrize(("status", "code"), [(401, "unauthorized"), (403, "forbidden")])
def test_check_says_what_is_wrong_with_the_login(sim: QontoSimulator, qonto: Connector, status: int, code: str) -> None:
    sim.fault("refuse", match="/v2/organization", code=status, text=code)
    with pytest.raises(Barred, match=f"^Could not read: {CODES[code]}"):
        qonto.check()


# Secrets


def test_secrets_appear_nowhere(sim: QontoSimulator, qonto: Connector, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secrets = list(sim.credentials.values())
    seen = [repr(Credentials(*secrets)), repr(qonto), repr(vars(qonto))]
    for status, text in ((401, f"{secrets}"), (422, secrets[0]), (429, secrets[1]), (418, secrets[1])):
        sim.fault("refuse", match="send", code=status, text=text)
        with pytest.raises(VenueError) as raised:
            qonto.send(instruction())
        seen += [str(raised.value), repr(raised.value), repr(vars(raised.value))]
        assert "[redacted]" in repr(raised.value.evidence)
    sim.fault("refuse", match="read", code=422, text=secrets[1])
    with pytest.raises(TryLater) as later:
        qonto.balances()
    seen += [repr(vars(later.value)), repr(qonto.check()), repr(qonto.send(instruction()))]
    wrong = connectors.open(
        "qonto",
        credentials={"access_token": "wrong-access-canary", "staging_token": "wrong-staging-canary"},
        environment="sandbox",
        base_url=sim.url,
    )
    with pytest.raises(VenueError) as barred:
        wrong.send(instruction())
    seen += [repr(wrong), repr(vars(wrong)), repr(vars(barred.value)), caplog.text]
    seen += [repr(vars(record)) for record in caplog.records]
    for secret in (*secrets, "wrong-access-canary", "wrong-staging-canary"):
        assert all(secret not in text for text in seen)
