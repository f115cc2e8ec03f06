"""Bybit: signatures, the meaning of every code, look-ups, balances, the clock, and secrets."""

import json
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

import connectors
from connectors import bybit as module
from connectors.bybit import RET_CODES, Credentials, Signature
from connectors.core.errors import Barred, Refused, TryLater, Uncertain, VenueError
from connectors.core.protocol import EVERY_ASSET, Challenge, Connector, Instruction, Receipt, State
from connectors.simulators.core import Simulator

KEY, SECRET = "bybitTestKey000001", "bybitTestSecretAAAABBBBCCCCDDDD"
TRANSFER = "/v5/asset/transfer/inter-transfer"
RECORDS = "/v5/asset/transfer/query-inter-transfer-list"


def instruction(**changed: Any) -> Instruction:
    words: dict[str, Any] = {
        "key": uuid4(),
        "source": "UNIFIED",
        "destination": "FUND",
        "asset": "USDT",
        "amount": Decimal("12.345"),
        "reference": "T-1",
    }
    return Instruction(**{**words, **changed})


def answering(reply: Callable[[httpx.Request], httpx.Response] | dict[str, Any]) -> Connector:
    """A connector whose wire gives one and the same answer."""
    if isinstance(reply, dict):
        said = reply
        reply = lambda request: httpx.Response(200, json=said)  # noqa: E731
    transport = httpx.MockTransport(reply)
    return connectors.open("bybit", credentials={"api_key": KEY, "api_secret": SECRET}, transport=transport)


def envelope(result: Any, code: int = 0) -> dict[str, Any]:
    return {"retCode": code, "retMsg": "", "result": result, "retExtInfo": {}, "time": 1760000000455}


# Signatures: worked out by hand with HMAC, and confirmed with openssl, ccxt and pybit.

RECORDS_QUERY = "endTime=1760000000000&limit=50&startTime=1759996400000&transferId=5b1c9f0e-3a52-4d7b-9c3e-0f6a7d2e4b18"
BODY = (
    b'{"amount":"12.345","coin":"USDT","fromAccountType":"UNIFIED","toAccountType":"FUND",'
    b'"transferId":"5b1c9f0e-3a52-4d7b-9c3e-0f6a7d2e4b18"}'
)


@pytest.mark.parametrize(
    ("request_", "sign"),
    [
        (
            httpx.Request("GET", f"https://api.bybit.com{RECORDS}?{RECORDS_QUERY}"),
            "df89b01b3a0cd067919b97c62748eb2c289a132f5023cea152d59065daafa9d9",
        ),
        (
            httpx.Request("POST", f"https://api.bybit.com{TRANSFER}", content=BODY),
            "c6fb7ced62712fd146f2315ca708795d0c46f25aa5c65403408d013a15c3dfba",
        ),
        (
            httpx.Request(
                "POST",
                f"https://api.bybit.com{TRANSFER}",
                content=BODY.replace(b":", b": ").replace(b",", b", "),
            ),
            "2f8344f2d9d9333f9534080a03060b2f1d48a961afab582669f9f6f45799c4e3",
        ),
    ],
    ids=["A", "B", "C"],
)
def test_signatures_equal_the_worked_vectors(request_: httpx.Request, sign: str) -> None:
    signed = next(Signature(Credentials(KEY, SECRET), 1760000000123).auth_flow(request_))
    assert signed.headers["X-BAPI-SIGN"] == sign
    assert signed.headers["X-BAPI-API-KEY"] == KEY
    assert signed.headers["X-BAPI-TIMESTAMP"] == "1760000000123"
    assert signed.headers["X-BAPI-RECV-WINDOW"] == "5000"


def test_the_transfer_on_the_wire_is_the_instruction() -> None:
    seen: list[httpx.Request] = []

    def reply(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json=envelope({"transferId": key, "status": "SUCCESS"}))

    key = "5b1c9f0e-3a52-4d7b-9c3e-0f6a7d2e4b18"
    amount = Decimal("1234567890123456789012345678901234.120000000000000000")
    signed_at = datetime(2025, 10, 9, 8, 53, 20, 623000, tzinfo=UTC)
    answering(reply).send(instruction(key=UUID(key), amount=amount), signed_at=signed_at)
    (request,) = seen
    assert (request.method, str(request.url)) == ("POST", f"https://api.bybit.com{TRANSFER}")
    assert request.headers["content-type"] == "application/json"
    assert request.headers["x-bapi-timestamp"] == "1760000000123", "half a second behind signed_at"
    assert json.loads(request.content) == {
        "transferId": key,
        "coin": "USDT",
        "amount": "1234567890123456789012345678901234.12",
        "fromAccountType": "UNIFIED",
        "toAccountType": "FUND",
    }


@pytest.mark.parametrize(
    ("amount", "written"), [("1E+3", "1000"), ("1E-8", "0.00000001"), ("0.10", "0.1"), ("100", "100")]
)
def test_amounts_are_plain_decimal_strings(sim: Simulator, bybit: Connector, amount: str, written: str) -> None:
    bybit.send(instruction(amount=Decimal(amount)))
    assert json.loads(sim.requests(TRANSFER)[-1].body)["amount"] == written


# What every documented answer to a transfer means, in our own words.

NOTHING_MOVED_AND_NEVER_WILL = {
    *(10001, 10017, 10024, 10027, 10028, 100028, 131002, 131084, 131202, 131203, 131206, 131207, 131208),
    *(131209, 131210, 131211, 131212, 131213, 131215, 131217, 131226, 131228, 131229, 131231, 131232),
    *(131233, 131239, 140003, 140004, 182200, 500011, 3100197),
}
A_PERSON_HAS_TO_ACT = {10003, 10004, 10005, 10007, 10008, 10009, 10010, 33004, -2015, 131004, 131227}
NOTHING_MOVED_YET = {-1, 10002, 10006, 10018}
PERHAPS_IT_MOVED = {
    *(429, 5004, 10000, 10014, 10016, 131001, 131003, 131200, 131201, 131204, 131205, 131214, 131216, 131230),
}
BY_CODE = {
    **dict.fromkeys(NOTHING_MOVED_AND_NEVER_WILL, Refused),
    **dict.fromkeys(A_PERSON_HAS_TO_ACT, Barred),
    **dict.fromkeys(NOTHING_MOVED_YET, TryLater),
    **dict.fromkeys(PERHAPS_IT_MOVED, Uncertain),
}


def test_every_documented_code_is_spoken_for() -> None:
    assert set(BY_CODE) | {0} == set(RET_CODES)


@pytest.mark.parametrize("code", sorted(BY_CODE))
def test_each_code_on_a_transfer(sim: Simulator, bybit: Connector, code: int) -> None:
    sim.fault("refuse", match="send", code=code, text="as they say")
    wanted = instruction()
    with pytest.raises(VenueError) as raised:
        bybit.send(wanted)
    assert type(raised.value) is BY_CODE[code]
    moved = "It may have moved." if BY_CODE[code] is Uncertain else "Nothing moved."
    assert raised.value.words.startswith(moved)
    assert str(code) in raised.value.words
    assert "as they say" in raised.value.words
    assert raised.value.evidence["code"] == code
    assert raised.value.evidence["http_status"] == 200
    assert len(raised.value.evidence["body_sha256"]) == 64
    assert raised.value.evidence["request"]["transferId"] == str(wanted.key)
    json.dumps(raised.value.evidence)


@pytest.mark.parametrize("code", sorted(BY_CODE))
def test_each_code_on_a_question(sim: Simulator, bybit: Connector, code: int) -> None:
    sim.fault("refuse", match="query-inter-transfer-list", times=2, code=code)
    if code in (-1, 10002):
        sim.fault("error_before", match="market/time")
    with pytest.raises(Barred if code in A_PERSON_HAS_TO_ACT else TryLater) as raised:
        bybit.look_up(instruction(), sent_at=datetime.now(UTC))
    assert raised.value.words.startswith("Could not read")


def test_a_code_that_nobody_knows_is_a_doubt_and_loud(
    sim: Simulator, bybit: Connector, caplog: pytest.LogCaptureFixture
) -> None:
    sim.fault("refuse", match="send", code=999999)
    with pytest.raises(Uncertain):
        bybit.send(instruction())
    assert any(record.levelno == logging.ERROR and "not know" in record.message for record in caplog.records)


SAYS_ZERO = json.dumps(envelope({"transferId": "x", "status": "SUCCESS"})).encode()


@pytest.mark.parametrize(
    ("status", "body", "means"),
    [
        (400, b"", Refused),
        (401, b"", Barred),
        (403, b"The Amazon CloudFront distribution is configured to block access", Barred),
        (403, b"403, access too frequent", TryLater),
        (404, b"", Refused),
        (429, b"", TryLater),
        (429, b'{"retCode":429,"retMsg":"high load"}', TryLater),
        (400, b'{"retCode":10001,"retMsg":"params error"}', Refused),
        (401, b'{"retCode":10003,"retMsg":"API key is invalid."}', Barred),
        # A body in doubt outweighs the status.
        (400, b'{"retCode":10016,"retMsg":"server error"}', Uncertain),
        (400, SAYS_ZERO, Uncertain),
        (404, b'{"retCode":777,"retMsg":"?"}', Uncertain),
        *((status, b"", Uncertain) for status in (201, 204, 301, 302, 307, 408, 418, 500, 502, 503, 504, 520)),
        (500, b'{"retCode":131212,"retMsg":"Insufficient balance"}', Uncertain),
        (200, b"", Uncertain),
        (200, b"[]", Uncertain),
        (200, b'"ok"', Uncertain),
        (200, b"{", Uncertain),
        (200, b'{"retCode":"0","result":{}}', Uncertain),
        (200, b'{"retCode":false,"result":{}}', Uncertain),
        (200, b'{"retMsg":"OK"}', Uncertain),
        (200, b"[" * 100_000, Uncertain),
    ],
)
def test_each_http_status(status: int, body: bytes, means: type[VenueError]) -> None:
    venue = answering(lambda request: httpx.Response(status, content=body))
    with pytest.raises(VenueError) as raised:
        venue.send(instruction())
    assert type(raised.value) is means


@pytest.mark.parametrize(
    ("result", "means"),
    [
        ({"status": "FAILED"}, Refused),
        ({"status": "STATUS_UNKNOWN"}, Uncertain),
        ({"status": "success"}, Uncertain),
        ({"status": None}, Uncertain),
        ({}, Uncertain),
        ({"status": "SUCCESS", "transferId": "5b1c9f0e-3a52-4d7b-9c3e-0f6a7d2e4b18"}, Uncertain),
        ({"status": "SUCCESS", "transferId": None}, Uncertain),
        (None, Uncertain),
        ([], Uncertain),
    ],
)
def test_a_taken_transfer_still_has_to_say_what_became_of_it(result: Any, means: type[VenueError]) -> None:
    wanted = instruction()
    told = {"transferId": str(wanted.key), **result} if isinstance(result, dict) else result
    with pytest.raises(means):
        answering(envelope(told)).send(wanted)


@pytest.mark.parametrize(("status", "settled"), [("SUCCESS", True), ("PENDING", False)])
def test_a_receipt_says_whether_the_money_has_moved(status: str, settled: bool) -> None:
    wanted = instruction()
    receipt = answering(envelope({"transferId": str(wanted.key), "status": status})).send(wanted)
    assert isinstance(receipt, Receipt)
    assert (receipt.settled, receipt.record) == (settled, str(wanted.key))


@pytest.mark.parametrize(
    "changed",
    [
        {"destination": "UNIFIED"},
        {"destination": "CONTRACT"},
        {"source": "SPOT"},
        {"source": "OPTION"},
        {"source": "INVESTMENT"},
        {"destination": "COPYTRADING"},
        {"source": "unified"},
        {"amount": Decimal(0)},
        {"amount": Decimal(-1)},
        {"amount": Decimal("NaN")},
        {"amount": Decimal("Infinity")},
        {"asset": "usdt"},
        {"asset": ""},
    ],
)
def test_what_cannot_be_right_is_refused_before_the_wire(
    sim: Simulator, bybit: Connector, changed: dict[str, Any]
) -> None:
    with pytest.raises(Refused, match=r"^Not sent. Nothing moved"):
        bybit.send(instruction(**changed))
    assert sim.requests() == []


def test_an_answer_to_a_challenge_is_refused_because_there_are_none(bybit: Connector) -> None:
    with pytest.raises(Refused):
        bybit.send(instruction(), answer="token")
    with pytest.raises(NotImplementedError):
        bybit.challenge(Challenge(token="t", deadline=datetime.now(UTC)))


# Limits


def test_too_many_calls_name_the_time_of_the_reset(sim: Simulator, bybit: Connector) -> None:
    sim.fault("refuse", match="send", code=10006)
    with pytest.raises(TryLater) as raised:
        bybit.send(instruction())
    assert raised.value.retry_at is not None
    assert timedelta(0) < raised.value.retry_at - datetime.now(UTC) <= timedelta(seconds=2)


def test_a_shut_out_address_waits_ten_minutes(sim: Simulator, bybit: Connector) -> None:
    sim.fault("banned", match="send")
    with pytest.raises(TryLater) as raised:
        bybit.send(instruction())
    assert raised.value.retry_at is not None
    assert timedelta(minutes=9, seconds=58) < raised.value.retry_at - datetime.now(UTC) < timedelta(minutes=10)


@pytest.mark.parametrize("header", ["", "soon", "1760000000123", "99999999999999999"])
def test_a_reset_that_makes_no_sense_names_no_time(header: str) -> None:
    def reply(request: httpx.Request) -> httpx.Response:
        return httpx.Response(429, headers={"X-Bapi-Limit-Reset-Timestamp": header})

    with pytest.raises(TryLater) as raised:
        answering(reply).send(instruction())
    assert raised.value.retry_at is None


# Looking up


def look_up(bybit: Connector, wanted: Instruction, **at: Any) -> Any:
    return bybit.look_up(wanted, **{"sent_at": datetime.now(UTC), **at})


def test_a_lost_answer_is_found_again(sim: Simulator, bybit: Connector) -> None:
    sim.fault("answer_lost", match="send")
    wanted = instruction()
    with pytest.raises(Uncertain):
        bybit.send(wanted)
    standing = look_up(bybit, wanted)
    assert (standing.state, standing.searched, standing.found) == (State.DONE, True, True)
    assert standing.evidence["record"]["transferId"] == str(wanted.key)


def test_a_repeat_of_a_taken_key_is_a_doubt_and_moves_nothing_more(sim: Simulator, bybit: Connector) -> None:
    wanted = instruction()
    bybit.send(wanted)
    with pytest.raises(Uncertain, match="131214"):
        bybit.send(wanted)
    assert len(sim.effects(wanted.key)) == 1


def test_pending_then_done(sim: Simulator, bybit: Connector) -> None:
    sim.fault("pending", match="send", seconds=0.3)
    wanted = instruction()
    receipt = bybit.send(wanted)
    assert isinstance(receipt, Receipt)
    assert not receipt.settled
    assert look_up(bybit, wanted, receipt=receipt).state is State.PENDING
    time.sleep(0.35)
    assert look_up(bybit, wanted, receipt=receipt).state is State.DONE


def test_pending_then_failed(sim: Simulator, bybit: Connector) -> None:
    sim.fault("fails_later", match="send", seconds=0.2)
    wanted, before = instruction(), sim.balance("UNIFIED", "USDT")
    bybit.send(wanted)
    time.sleep(0.25)
    assert look_up(bybit, wanted).state is State.FAILED
    assert sim.effects(wanted.key) == []
    assert Decimal(sim.balance("UNIFIED", "USDT")) == Decimal(before)


def test_a_record_that_shows_up_late_is_never_taken_for_absent(sim: Simulator, bybit: Connector) -> None:
    sim.fault("record_late", match="send", seconds=0.3)
    sim.fault("answer_lost", match="send")
    wanted = instruction()
    with pytest.raises(Uncertain):
        bybit.send(wanted)
    standing = look_up(bybit, wanted)
    assert (standing.state, standing.searched, standing.found) == (State.UNCLEAR, True, False)
    time.sleep(0.35)
    assert look_up(bybit, wanted).state is State.DONE


@pytest.mark.parametrize(
    ("age", "receipt", "state"),
    [
        (timedelta(minutes=59), None, State.UNCLEAR),
        (timedelta(minutes=61), None, State.ABSENT),
        (timedelta(minutes=61), Receipt(settled=False, record="x"), State.UNCLEAR),
        (timedelta(days=8), None, State.UNCLEAR),
    ],
)
def test_an_empty_search_means_absent_after_an_hour_and_without_a_receipt(
    bybit: Connector, age: timedelta, receipt: Receipt | None, state: State
) -> None:
    standing = look_up(bybit, instruction(), sent_at=datetime.now(UTC) - age, receipt=receipt)
    assert (standing.state, standing.searched, standing.found) == (state, True, False)


def test_absent_may_be_switched_off(bybit: Connector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ABSENT_AFTER", None)
    assert look_up(bybit, instruction(), sent_at=datetime.now(UTC) - timedelta(hours=2)).state is State.UNCLEAR


@pytest.mark.parametrize("age", [timedelta(0), timedelta(hours=23), timedelta(days=6), timedelta(days=40)])
def test_the_window_begins_early_spans_seven_days_at_most_and_reaches_now_if_it_can(
    sim: Simulator, bybit: Connector, age: timedelta
) -> None:
    sent_at = datetime.now(UTC) - age
    look_up(bybit, instruction(), sent_at=sent_at)
    params = sim.requests(RECORDS)[-1].params()
    start, end = int(params["startTime"]), int(params["endTime"])
    sent, now = int(sent_at.timestamp() * 1000), int(time.time() * 1000)
    assert start % 1000 == 0
    assert sent - 120_000 < start <= sent - 1000
    assert end - start <= 7 * 24 * 3600 * 1000
    assert end >= now or end - start == 7 * 24 * 3600 * 1000


RECORD = {
    "transferId": "5b1c9f0e-3a52-4d7b-9c3e-0f6a7d2e4b18",
    "coin": "USDT",
    "amount": "12.3450",
    "fromAccountType": "UNIFIED",
    "toAccountType": "FUND",
    "timestamp": "1760000000000",
    "status": "SUCCESS",
}
LOOKED_FOR = instruction(key=UUID(RECORD["transferId"]))


def test_a_record_is_compared_by_value_not_by_spelling() -> None:
    found = answering(envelope({"list": [RECORD], "nextPageCursor": "x"}))
    assert look_up(found, LOOKED_FOR).state is State.DONE


@pytest.mark.parametrize(
    "changed",
    [
        {"coin": "USDC"},
        {"amount": "12.346"},
        {"amount": ""},
        {"amount": 12.345},
        {"fromAccountType": "SPOT"},
        {"toAccountType": "UNIFIED"},
        {"status": "REVERSED"},
        {"status": None},
    ],
)
def test_a_record_with_other_words_is_unclear_and_loud(
    changed: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    standing = look_up(answering(envelope({"list": [{**RECORD, **changed}]})), LOOKED_FOR)
    assert (standing.state, standing.searched, standing.found) == (State.UNCLEAR, True, True)
    assert any(record.levelno == logging.ERROR for record in caplog.records)
    json.dumps(standing.evidence)


def test_two_records_under_one_key_are_unclear() -> None:
    assert look_up(answering(envelope({"list": [RECORD, RECORD]})), LOOKED_FOR).state is State.UNCLEAR


def test_a_strangers_record_is_not_ours() -> None:
    stranger = {**RECORD, "transferId": f"selfTransfer_{RECORD['transferId']}"}
    standing = look_up(answering(envelope({"list": [stranger], "nextPageCursor": ""})), LOOKED_FOR)
    assert not standing.found


def test_the_search_goes_on_to_the_last_page() -> None:
    def reply(request: httpx.Request) -> httpx.Response:
        last = request.url.params.get("cursor") == "a+b/c="
        stranger = {**RECORD, "transferId": "another"}
        page = {"list": [RECORD if last else stranger], "nextPageCursor": "" if last else "a+b/c="}
        return httpx.Response(200, json=envelope(page))

    assert look_up(answering(reply), LOOKED_FOR).state is State.DONE


@pytest.mark.parametrize(
    "result", [None, {}, {"list": None}, {"list": ["x"]}, {"list": [{"transferId": "y"}], "nextPageCursor": "n"}]
)
def test_a_search_that_did_not_end_says_nothing_about_the_money(result: Any) -> None:
    with pytest.raises(TryLater):
        look_up(answering(envelope(result)), LOOKED_FOR, sent_at=datetime.now(UTC) - timedelta(hours=2))


@pytest.mark.parametrize("kind", ["request_lost", "rate_limited", "error_before", "garbage", "banned"])
def test_a_look_up_that_failed_says_nothing_about_the_money(sim: Simulator, bybit: Connector, kind: str) -> None:
    sim.fault(kind, match="read")
    with pytest.raises(TryLater):
        look_up(bybit, instruction(), sent_at=datetime.now(UTC) - timedelta(hours=2))


# Balances


def rows(bybit: Connector) -> dict[tuple[str, str], Any]:
    return {(row.address, row.asset): row for row in bybit.balances()}


def test_own_funds_leave_out_what_is_borrowed(sim: Simulator, bybit: Connector) -> None:
    sim.set_balance("UNIFIED", "SOL", "100")
    sim.set_balance("UNIFIED/spotBorrow", "SOL", "130.5")
    assert rows(bybit)["UNIFIED", "SOL"].total == Decimal("-30.5")
    sim.set_balance("UNIFIED", "SOL", "0")
    sim.set_balance("UNIFIED/spotBorrow", "SOL", "0")


def test_a_coin_missing_from_a_complete_answer_is_zero(sim: Simulator, bybit: Connector) -> None:
    found = rows(bybit)
    assert (found["UNIFIED", "EUR"].total, found["UNIFIED", "EUR"].movable) == (0, 0)
    assert found["FUND", "EUR"].total == Decimal(20000)
    assert (found["FUND", "ETH"].total, found["FUND", "ETH"].problem) == (0, None)


def test_an_unreadable_account_is_a_problem_and_never_a_zero(sim: Simulator, bybit: Connector) -> None:
    sim.fault("error_before", match="query-account-coins-balance")
    unreadable = [row for row in bybit.balances() if row.address == "FUND"]
    assert [(row.asset, row.total, row.movable) for row in unreadable] == [(EVERY_ASSET, None, None)]
    assert "Could not read" in unreadable[0].problem
    assert rows(bybit)["FUND", "USDT"].problem is None


def test_one_barred_account_is_a_problem_and_two_bar_the_login(sim: Simulator, bybit: Connector) -> None:
    sim.fault("refuse", match="query-account-coins-balance", code=10005)
    assert rows(bybit)["FUND", EVERY_ASSET].problem
    sim.fault("refuse", match="read", code=10003, times=2)
    with pytest.raises(Barred):
        bybit.balances()


def test_unknown_movable_amounts_leave_the_totals_readable(sim: Simulator, bybit: Connector) -> None:
    sim.fault("error_before", match="account/withdrawal")
    row = rows(bybit)["UNIFIED", "BTC"]
    assert (row.total, row.movable) == (Decimal("6.4125"), None)
    assert row.problem


@pytest.mark.parametrize("wallet", ["", "n/a", None, 5, "NaN"])
def test_a_balance_that_is_not_a_number_is_a_problem(wallet: Any) -> None:
    def reply(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("wallet-balance"):
            coins = [{"coin": "USDT", "walletBalance": wallet}, {"coin": "BTC", "walletBalance": "1"}]
            return httpx.Response(200, json=envelope({"list": [{"accountType": "UNIFIED", "coin": coins}]}))
        if request.url.path.endswith("withdrawal"):
            return httpx.Response(200, json=envelope({"availableWithdrawalMap": {"BTC": "0.5"}}))
        return httpx.Response(200, json=envelope({"accountType": "FUND", "balance": []}))

    found = rows(answering(reply))
    assert found["UNIFIED", "USDT"].total is None
    assert found["UNIFIED", "USDT"].problem
    assert (found["UNIFIED", "BTC"].total, found["UNIFIED", "BTC"].movable) == (Decimal(1), Decimal("0.5"))
    assert found["FUND", "USDT"].total == 0


def test_movable_amounts_are_asked_for_twenty_coins_at_a_time() -> None:
    asked: list[list[str]] = []
    coins = [f"C{number}" for number in range(45)]

    def reply(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("wallet-balance"):
            listed = [{"coin": coin, "walletBalance": "1", "spotBorrow": ""} for coin in coins]
            return httpx.Response(200, json=envelope({"list": [{"accountType": "UNIFIED", "coin": listed}]}))
        if request.url.path.endswith("withdrawal"):
            asked.append(request.url.params["coinName"].split(","))
            return httpx.Response(200, json=envelope({"availableWithdrawalMap": dict.fromkeys(asked[-1], "1")}))
        return httpx.Response(200, json=envelope({"accountType": "FUND", "balance": []}))

    found = rows(answering(reply))
    assert [len(batch) for batch in asked] == [20, 20, 5]
    assert all(found["UNIFIED", coin].movable == 1 for coin in coins)


def test_amounts_are_exact(sim: Simulator, bybit: Connector) -> None:
    amount = "123456789012345678901234567890.123456789012345678"
    sim.set_balance("UNIFIED", "SOL", amount)
    assert format(rows(bybit)["UNIFIED", "SOL"].total, "f") == amount
    sim.set_balance("UNIFIED", "SOL", "0")


# Who, and the clock


def test_check_says_who_and_what(sim: Simulator, bybit: Connector) -> None:
    check = bybit.check()
    assert check.login == sim.login_of(sim.credentials)
    assert check.may_transfer
    assert "The key may read and write." in check.words
    assert check.clock_offset is not None
    assert abs(check.clock_offset) < timedelta(seconds=1)


@pytest.mark.parametrize(
    ("key", "mode", "word"),
    [
        ({"readOnly": 1, "permissions": {"Wallet": ["AccountTransfer"]}}, 5, "may only read"),
        ({"readOnly": 0, "permissions": {"Wallet": []}}, 5, "lacks"),
        ({"readOnly": 0, "permissions": {"Wallet": ["AccountTransfer"]}}, 1, "classic"),
        ({"readOnly": 0, "permissions": {"Wallet": ["AccountTransfer"]}}, 9, "does not know"),
        ({"readOnly": 0}, 5, "lacks"),
        ({"permissions": {"Wallet": ["AccountTransfer"]}}, 5, "may only read"),
    ],
)
def test_check_names_what_stands_in_the_way(key: dict[str, Any], mode: int, word: str) -> None:
    def reply(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("time"):
            return httpx.Response(200, json=envelope({"timeNano": str(time.time_ns())}))
        result = {"unifiedMarginStatus": mode} if request.url.path.endswith("info") else {"userID": 7, **key}
        return httpx.Response(200, json=envelope(result))

    check = answering(reply).check()
    assert not check.may_transfer
    assert word in " ".join(check.words)


@pytest.mark.parametrize("seconds", [30, -30, 3600])
def test_a_skewed_clock_stops_one_send_and_not_the_next(sim: Simulator, bybit: Connector, seconds: float) -> None:
    sim.fault("clock", seconds=seconds)
    wanted = instruction()
    with pytest.raises(TryLater, match=r"^Nothing moved"):
        bybit.send(wanted)
    bybit.send(wanted)
    assert len(sim.effects(wanted.key)) == 1
    assert look_up(bybit, wanted).state is State.DONE
    sim.clear()
    assert rows(bybit)["FUND", "USDT"].problem is None, "a question measures the clock by itself"


def test_a_clock_that_cannot_be_measured_stops_the_send(sim: Simulator, bybit: Connector) -> None:
    sim.fault("clock", seconds=30)
    with pytest.raises(TryLater):
        bybit.send(instruction())
    sim.fault("error_before", match="market/time")
    with pytest.raises(TryLater, match=r"^Not sent. Nothing moved"):
        bybit.send(instruction())
    assert len(sim.requests(TRANSFER)) == 1
    sim.clear()
    bybit.balances()


def test_a_request_signed_long_ago_is_refused_by_the_venue_itself(sim: Simulator, bybit: Connector) -> None:
    wanted = instruction()
    with pytest.raises(TryLater, match="10002"):
        bybit.send(wanted, signed_at=datetime.now(UTC) - timedelta(seconds=5))
    assert sim.effects(wanted.key) == []


# Secrets


def test_secrets_appear_nowhere(sim: Simulator, bybit: Connector, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secrets = list(sim.credentials.values())
    seen = [repr(Credentials(*secrets)), repr(bybit), repr(vars(bybit))]
    for code, text in ((10004, f"error sign! origin_string[{secrets}]"), (999, secrets[0]), (131214, secrets[1])):
        sim.fault("refuse", match="send", code=code, text=text)
        with pytest.raises(VenueError) as raised:
            bybit.send(instruction())
        seen += [str(raised.value), repr(raised.value), repr(vars(raised.value))]
        assert "[redacted]" in repr(raised.value.evidence)
    sim.fault("refuse", match="read", times=2, code=10001, text=secrets[1])
    seen += [repr(row) for row in bybit.balances()]
    seen += [repr(bybit.check()), repr(bybit.send(instruction()))]
    wrong = connectors.open("bybit", credentials={**sim.credentials, "api_secret": "wrong-secret"}, base_url=sim.url)
    with pytest.raises(Barred) as barred:
        wrong.send(instruction())
    seen += [repr(vars(barred.value)), caplog.text, *(repr(vars(record)) for record in caplog.records)]
    for secret in (*secrets, "wrong-secret"):
        assert all(secret not in text for text in seen)


@pytest.mark.parametrize("value", ["", "has space", "tab\t", "line\nbreak", "ключ"])
def test_credentials_that_no_header_can_carry_are_named_without_their_value(value: str) -> None:
    with pytest.raises(ValueError, match="api_secret") as raised:
        connectors.open("bybit", credentials={"api_key": "abcdef", "api_secret": value})
    assert not value or value not in str(raised.value)
