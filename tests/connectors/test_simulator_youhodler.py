"""The simulated YouHodler, judged by the rules of the documentation and a table of its fields."""

import json
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

import connectors
from connectors.core.protocol import Connector, Instruction
from connectors.simulators import youhodler as simulated
from connectors.simulators.core import serve
from connectors.simulators.youhodler import TITLES, YouHodlerSimulator

from .youhodler_fields import problems

MASTER, RESERVE, EUROPE, KINGDOM, PAYROLL = TITLES
TRANSFERS = "/internal-transfers"


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
    yield server
    server.clear()


@pytest.fixture
def venue(sim: YouHodlerSimulator) -> Connector:
    return connectors.open("youhodler", credentials=sim.credentials, base_url=sim.url, loopback_only=True)


def token_of(sim: YouHodlerSimulator, **changed: Any) -> httpx.Response:
    words = {"grant_type": "client_credentials", **sim.credentials, **changed}
    return httpx.post(sim.url + "/oauth/token", json=words, trust_env=False)


def ask(
    sim: YouHodlerSimulator,
    path: str,
    params: dict[str, Any] | None = None,
    *,
    body: Any = None,
    key: str | None = None,
    token: str | None = None,
    method: str | None = None,
) -> httpx.Response:
    """A request with a good token, so that the tests below can ask what the connector would not."""
    if token is None:
        token = token_of(sim).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"} | ({"Idempotency-Key": key} if key else {})
    return httpx.request(
        method or ("GET" if body is None else "POST"),
        sim.url + path,
        params=params,
        json=body,
        headers=headers,
        trust_env=False,
    )


def order(**changed: Any) -> dict[str, Any]:
    amount = {"currency": "USDC", "value": "1.50"} | changed.pop("amount", {})
    return {"amount": amount, "source_ref": EUROPE, "target_ref": MASTER, **changed}


def move(sim: YouHodlerSimulator, key: str | None = None, **changed: Any) -> httpx.Response:
    return ask(sim, TRANSFERS, body=order(**changed), key=key or str(uuid4()))


def ripen(sim: YouHodlerSimulator) -> None:
    """End what is pending, as an hour from now."""
    sim.ledger.ripen(time.time_ns() // 1_000_000 + 3_600_000)


def said(reply: httpx.Response) -> tuple[int, str]:
    assert not problems("error", reply.json())
    return reply.status_code, reply.json()["code"]


# The table of fields judges the answers of the simulator and the requests of the connector


def test_the_table_of_fields_notices_what_is_wrong() -> None:
    right = order()
    assert problems("transfer", right) == []
    assert problems("transfer", {**right, "note": "x"})
    assert problems("transfer", {**right, "source_ref": EUROPE.upper()})
    assert problems("transfer", {**right, "amount": {"currency": "USDC", "value": "1e3"}})
    assert problems("transfer", {**right, "amount": {"currency": "USDC", "value": 1}})
    assert problems("transfer", {**right, "amount": {"currency": "USDC", "amount": "1"}})
    del right["target_ref"]
    assert problems("transfer", right)
    assert problems("transfer", [])
    assert problems("balances", {"items": [{}]})


def test_every_answer_is_as_documented(sim: YouHodlerSimulator) -> None:
    assert problems("token", token_of(sim).json()) == []
    for kind in ("master", "client"):
        listed = ask(sim, f"/{kind}-accounts", {"page_size": 2}).json()
        assert problems(f"{kind} accounts", listed) == []
        number = listed["items"][0]["id"]
        assert problems("balances", ask(sim, f"/{kind}-accounts/{number}/balances").json()) == []
    taken = move(sim)
    assert taken.status_code == 202
    assert problems("operation", taken.json()) == []
    for kind, text in (("pending", ""), ("pending", "pending_approval"), ("fails_later", "")):
        sim.fault(kind, match="send", seconds=60, text=text)
        number = move(sim).json()["id"]
        for status in (text or "executing", "failed" if kind == "fails_later" else "settled"):
            operation = ask(sim, f"{TRANSFERS}/{number}").json()
            assert problems("operation", operation) == []
            assert operation["status"] == status
            assert (operation["approval_ref"] is not None) == (status == "pending_approval")
            ripen(sim)


def test_every_request_of_ours_is_as_documented(sim: YouHodlerSimulator, venue: Connector) -> None:
    key = uuid4()
    wanted = Instruction(
        key=key, source=EUROPE, destination=MASTER, asset="USDC", amount=Decimal("12.50"), reference="T-1"
    )
    sent: list[bytes] = []
    remember = sim.remember
    try:
        sim.remember = lambda request: (sent.append(request.body), remember(request), None)[-1]  # type: ignore[method-assign]
        sim.revoke_tokens()
        venue.balances()
        venue.send(wanted)
    finally:
        sim.remember = remember  # type: ignore[method-assign]
    assert problems("token request", json.loads(next(body for body in sent if b"grant_type" in body))) == []
    (transfer,) = [one for one in sim.requests(TRANSFERS) if one.method == "POST"]
    assert problems("transfer", json.loads(transfer.body)) == []
    named = {name: text for name, text in transfer.headers.items() if name not in HTTP_ITSELF}
    assert problems("transfer headers", named) == []
    assert named["idempotency-key"] == str(key)
    for request in sim.requests():
        assert request.headers["host"] == "business-api.youhodler.com"
        assert (request.headers.get("idempotency-key") is not None) == (request.method == "POST")
        assert set(request.params()) <= {"page_size", "page_token"}


HTTP_ITSELF = {"host", "accept", "connection", "content-length"}


# Tokens


def test_a_token_is_given_for_the_right_credentials_only(sim: YouHodlerSimulator) -> None:
    assert token_of(sim).status_code == 200
    assert said(token_of(sim, client_secret="wrong")) == (401, "unauthorized")
    assert said(token_of(sim, client_id="nobody")) == (401, "unauthorized")
    assert said(token_of(sim, grant_type="password")) == (400, "invalid_request")
    assert said(token_of(sim, client_secret=None)) == (400, "invalid_request")
    form = httpx.post(sim.url + "/oauth/token", data=sim.credentials, trust_env=False)
    assert said(form) == (400, "invalid_request")


def test_no_other_call_is_answered_without_a_good_token(sim: YouHodlerSimulator) -> None:
    good = token_of(sim).json()["access_token"]
    head, payload, seal = good.split(".")
    forged = [f"{head}.{payload}.{'0' * len(seal)}", f"{head}.{payload}x.{seal}", "x", "a.b.c", f"{head}.!.{seal}"]
    for token in forged:
        for path in ("/master-accounts", f"/{EUROPE}/balances", f"{TRANSFERS}/1"):
            assert said(ask(sim, path, token=token)) == (401, "unauthorized")
        assert said(ask(sim, TRANSFERS, body=order(), key="k", token=token)) == (401, "unauthorized")
    assert httpx.get(sim.url + "/master-accounts", trust_env=False).status_code == 401
    assert ask(sim, "/master-accounts", token=good).status_code == 200


def test_tokens_run_out_and_can_be_revoked(sim: YouHodlerSimulator) -> None:
    old = token_of(sim).json()["access_token"]
    sim.revoke_tokens()
    assert said(ask(sim, "/master-accounts", token=old)) == (401, "unauthorized")
    young = token_of(sim).json()["access_token"]
    assert ask(sim, "/master-accounts", token=young).status_code == 200
    sim.fault("clock", seconds=3601)
    assert said(ask(sim, "/master-accounts", token=young)) == (401, "unauthorized")
    assert ask(sim, "/master-accounts").status_code == 200


def test_what_it_shows_of_itself_holds_no_secret(sim: YouHodlerSimulator) -> None:
    token = token_of(sim).json()["access_token"]
    ask(sim, "/master-accounts", token=token)
    state = httpx.get(sim.url + "/_simulator/state", trust_env=False).text
    assert sim.credentials["client_secret"] not in state
    assert token not in state


# Transfers


@pytest.mark.parametrize(
    ("changed", "said_"),
    [
        ({"amount": {"value": "999999999"}}, (422, "not_admissible")),
        ({"amount": {"value": "0"}}, (400, "invalid_request")),
        ({"amount": {"value": "-1"}}, (400, "invalid_request")),
        ({"amount": {"value": "1e3"}}, (400, "invalid_request")),
        ({"amount": {"value": "0." + "1" * 19}}, (400, "invalid_request")),
        ({"amount": {"value": 1}}, (400, "invalid_request")),
        ({"amount": {"currency": ""}}, (400, "invalid_request")),
        ({"amount": {"currency": "DOGE"}}, (422, "not_admissible")),
        ({"source_ref": "EUROPE"}, (400, "invalid_request")),
        ({"source_ref": f"client-accounts/{uuid4()}"}, (404, "resource_not_found")),
        ({"target_ref": f"master-accounts/{uuid4()}"}, (404, "resource_not_found")),
        ({"target_ref": EUROPE}, (422, "not_admissible")),
    ],
)
def test_a_wrong_order_is_refused_and_moves_nothing(
    sim: YouHodlerSimulator, changed: dict[str, Any], said_: tuple[int, str]
) -> None:
    before = sim.ledger.balances()
    assert said(move(sim, **changed)) == said_
    assert sim.ledger.balances() == before


def test_a_transfer_needs_one_key(sim: YouHodlerSimulator) -> None:
    assert said(ask(sim, TRANSFERS, body=order())) == (400, "invalid_request")
    both = order(client_idempotency_key="a")
    assert said(ask(sim, TRANSFERS, body=both, key="b")) == (400, "invalid_request")
    assert ask(sim, TRANSFERS, body=both, key="a").status_code == 202
    assert ask(sim, TRANSFERS, body=order(client_idempotency_key="c")).status_code == 202


def test_accounts_that_are_not_active_move_nothing(sim: YouHodlerSimulator) -> None:
    sim.suspended.add(MASTER)
    assert said(move(sim)) == (422, "not_admissible")
    listed = ask(sim, "/master-accounts").json()["items"]
    assert {one["status"] for one in listed} == {"active", "suspended"}


def test_the_same_request_again_has_the_first_answer_again(sim: YouHodlerSimulator) -> None:
    key = str(uuid4())
    first = move(sim, key)
    assert move(sim, key).json() == first.json()
    assert ask(sim, f"{TRANSFERS}/{first.json()['id']}").json()["status"] == "settled"
    assert first.json()["status"] == "requested"
    assert len(sim.effects(key)) == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"amount": {"value": "1.5"}},
        {"amount": {"currency": "EUR"}},
        {"source_ref": KINGDOM},
        {"target_ref": RESERVE},
    ],
)
def test_another_request_under_a_used_key_is_a_conflict(sim: YouHodlerSimulator, changed: dict[str, Any]) -> None:
    key = str(uuid4())
    assert move(sim, key).status_code == 202
    assert said(move(sim, key, **changed)) == (409, "idempotency_conflict")
    assert len(sim.effects(key)) == 1


def test_a_refused_request_does_not_keep_its_key(sim: YouHodlerSimulator) -> None:
    key = str(uuid4())
    assert said(move(sim, key, amount={"value": "999999999"})) == (422, "not_admissible")
    assert move(sim, key).status_code == 202


def test_one_key_moves_once_however_many_ask_at_a_time(sim: YouHodlerSimulator) -> None:
    key, answers = str(uuid4()), []
    threads = [threading.Thread(target=lambda: answers.append(move(sim, key).json())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(answer == answers[0] for answer in answers)
    assert len(answers) == 8
    assert len(sim.effects(key)) == 1


def test_money_of_a_running_operation_is_held_at_its_source(sim: YouHodlerSimulator) -> None:
    def row(ref: str) -> dict[str, str]:
        (found,) = ask(sim, f"/{ref}/balances", {"asset": "USDC"}).json()["items"]
        return {name: found[name] for name in ("available", "held", "total")}

    before, there = row(EUROPE), Decimal(row(MASTER)["total"])
    sim.fault("pending", match="send", seconds=60)
    move(sim)
    during = row(EUROPE)
    assert Decimal(during["available"]) == Decimal(before["available"]) - Decimal("1.5")
    assert Decimal(during["held"]) == Decimal("1.5")
    assert Decimal(during["total"]) == Decimal(before["total"])
    assert Decimal(row(MASTER)["total"]) == there
    ripen(sim)
    after = row(EUROPE)
    assert (Decimal(after["held"]), Decimal(after["total"])) == (0, Decimal(before["total"]) - Decimal("1.5"))
    assert Decimal(row(MASTER)["total"]) == there + Decimal("1.5")


def test_an_operation_is_found_by_its_id_only_and_may_show_up_late(
    sim: YouHodlerSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = str(uuid4())
    sim.fault("record_late", match="send", seconds=60)
    number = move(sim, key).json()["id"]
    assert said(ask(sim, f"{TRANSFERS}/{number}")) == (404, "resource_not_found")
    now = simulated._after
    monkeypatch.setattr(simulated, "_after", lambda seconds: now(seconds) + 61_000)
    assert ask(sim, f"{TRANSFERS}/{number}").json()["id"] == number
    assert said(ask(sim, f"{TRANSFERS}/{key}")) == (404, "resource_not_found")
    assert said(ask(sim, TRANSFERS)) == (404, "resource_not_found")


# Lists


def test_lists_come_in_pages() -> None:
    with serve("youhodler") as sim:
        for number in range(45):
            sim.set_balance(f"client-accounts/{uuid4()}", "EUR", str(number))
        seen, turn, pages = [], {}, 0
        while True:
            page = ask(sim, "/client-accounts", {"page_size": 20, **turn}).json()
            assert problems("client accounts", page) == []
            seen += [one["id"] for one in page["items"]]
            pages += 1
            if page["next_page_token"] is None:
                break
            turn = {"page_token": page["next_page_token"]}
        assert (len(seen), len(set(seen)), pages) == (48, 48, 3)
        for params in ({"page_size": "x"}, {"page_size": 0}, {"page_size": 101}, {"page_token": "!"}):
            assert said(ask(sim, "/client-accounts", params)) == (400, "invalid_request")


def test_unknown_paths_and_accounts_are_not_found(sim: YouHodlerSimulator) -> None:
    for path in ("/", "/withdrawals", f"/client-accounts/{uuid4()}/balances", f"/{EUROPE}"):
        assert said(ask(sim, path)) == (404, "resource_not_found")
    assert said(ask(sim, "/client-accounts", body={}, key="k")) == (404, "resource_not_found")
    assert said(ask(sim, TRANSFERS, method="DELETE")) == (404, "resource_not_found")


# The ledger


def test_a_second_start_keeps_the_ledger_the_keys_and_the_tokens(tmp_path: Path) -> None:
    file, key = tmp_path / "home" / "youhodler.json", str(uuid4())
    with serve("youhodler", path=file) as sim:
        token = token_of(sim).json()["access_token"]
        first = move(sim, key)
        before = sim.ledger.balances()
    with serve("youhodler", path=file) as sim:
        assert sim.ledger.balances() == before
        again = ask(sim, TRANSFERS, body=order(), key=key, token=token)
        assert again.json() == first.json()
        assert len(sim.effects(key)) == 1


def test_what_comes_in_equals_what_goes_out(sim: YouHodlerSimulator) -> None:
    def all_of(asset: str) -> Decimal:
        held = sim.ledger.balances()[sim.login_of(sim.credentials)]
        return sum((Decimal(assets.get(asset, "0")) for assets in held.values()), Decimal(0))

    before = all_of("USDC")
    for source, target in ((EUROPE, MASTER), (MASTER, RESERVE), (MASTER, KINGDOM), (EUROPE, PAYROLL)):
        assert move(sim, source_ref=source, target_ref=target).status_code == 202
    assert all_of("USDC") == before


@pytest.mark.parametrize(
    ("code", "text", "word"),
    [
        (422, "", "not_admissible"),
        (409, "state_conflict", "state_conflict"),
        (400, "Some words.", "invalid_request"),
        (0, "", "not_admissible"),
    ],
)
def test_it_refuses_on_request(sim: YouHodlerSimulator, code: int, text: str, word: str) -> None:
    sim.fault("refuse", match="send", code=code, text=text)
    assert said(move(sim)) == (code or 422, word)
    sim.fault("rate_limited", match="send")
    limited = move(sim)
    assert said(limited) == (429, "rate_limited")
    assert limited.json()["details"]["retry_after_ms"] == 5000
