"""The simulated Qonto and our requests to it, judged by a description of the API and by the rules of the documents.

A second description, Qonto's own document of the transfer, is asked where it lies at hand: where the environment
variable TREASURY_QONTO_OPENAPI says, or in a folder `shared` beside this one.
"""

import json
import os
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import yaml

import connectors
from connectors.core.errors import VenueError
from connectors.core.protocol import Challenge, Connector, Instruction
from connectors.simulators.core import serve
from connectors.simulators.qonto import ACCESS_TOKEN, MAIN, PAYROLL, STAGING_TOKEN, TAXES, QontoSimulator

from .qonto_openapi import DESCRIPTION, Document, breaches, breaches_of_answer, breaches_of_request

ROOT = Path(connectors.__file__).parents[1]
TRANSFERS, TRANSACTIONS = "/v2/internal_transfers", "/v2/transactions"
SANDBOX = "thirdparty-sandbox.staging.qonto.co"


@pytest.fixture(scope="module")
def server() -> Iterator[QontoSimulator]:
    with serve("qonto") as simulator:
        assert isinstance(simulator, QontoSimulator)
        yield simulator


@pytest.fixture
def sim(server: QontoSimulator) -> Iterator[QontoSimulator]:
    server.clear()
    yield server
    server.clear()


def ask(
    sim: QontoSimulator,
    path: str,
    params: dict[str, Any] | None = None,
    *,
    body: Any = None,
    method: str | None = None,
    **headers: str,
) -> httpx.Response:
    """A request with the practice login, so that the tests below can ask what the connector would not."""
    login = {"authorization": f"{sim.credentials['login']}:{sim.credentials['secret_key']}"}
    named = {name.replace("_", "-"): value for name, value in {**login, **headers}.items() if value}
    content = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
    with httpx.Client(trust_env=False) as client:
        verb = method or ("GET" if body is None else "POST")
        return client.request(verb, sim.url + path, params=params, content=content, headers=named)


def order(**changed: Any) -> dict[str, Any]:
    words = {"debit_iban": MAIN, "credit_iban": PAYROLL, "reference": "R", "amount": "1.00", "currency": "EUR"}
    return {"internal_transfer": {name: value for name, value in {**words, **changed}.items() if value is not ...}}


def transfer(sim: QontoSimulator, body: Any, key: str | None = None, **headers: str) -> httpx.Response:
    return ask(sim, TRANSFERS, body=body, x_qonto_idempotency_key=key or str(uuid4()), **headers)


def code(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["errors"][0]["code"]


# Judges from outside: two descriptions of the API


class Recorder(httpx.BaseTransport):
    """The network, and everything that went through it."""

    def __init__(self) -> None:
        self._network = httpx.HTTPTransport()
        self.exchanges: list[httpx.Response] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = self._network.handle_request(request)
        seen = httpx.Response(response.status_code, headers=response.headers, content=response.read(), request=request)
        self.exchanges.append(seen)
        return seen

    def close(self) -> None:
        self._network.close()


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    recorder = Recorder()
    yield recorder
    recorder.close()


def opened(sim: QontoSimulator, recorder: Recorder, **changed: Any) -> Connector:
    return connectors.open(
        "qonto",
        **{"credentials": sim.credentials, "base_url": sim.url, "transport": recorder, **changed},
    )


def wanted(**changed: Any) -> Instruction:
    words: dict[str, Any] = {
        "key": uuid4(),
        "source": MAIN,
        "destination": TAXES,
        "asset": "EUR",
        "amount": Decimal("12.33"),
        "reference": "TR-000001",
    }
    return Instruction(**{**words, **changed})


def everything(sim: QontoSimulator, recorder: Recorder) -> list[httpx.Response]:
    """All that the connector ever asks, and all that Qonto is documented to answer."""
    production = opened(sim, recorder)
    in_sandbox = {"access_token": ACCESS_TOKEN, "staging_token": STAGING_TOKEN}
    sandbox = opened(sim, recorder, credentials=in_sandbox, environment="sandbox")
    for venue in (production, sandbox):
        sent_at, done = datetime.now(UTC), wanted()
        venue.check()
        venue.balances()
        venue.look_up(done, sent_at=sent_at, receipt=venue.send(done))
        confirmed = wanted()
        sim.fault("challenge", match="send")
        challenge = venue.send(confirmed)
        assert isinstance(challenge, Challenge)
        venue.challenge(challenge)
        sim.decide(challenge.token, "allow")
        venue.send(confirmed, answer=challenge.token)
        for amount in ("0.01", "1E+3", "100.10", "99999999999.99"):
            refuse(venue, wanted(amount=Decimal(amount), reference="x" * 66))
        refuse(venue, wanted(destination="FR7616798000010000000050561"))
        for status, word in ((400, "bad_request"), (401, "unauthorized"), (403, "forbidden"), (422, "missing_key")):
            sim.fault("refuse", match="send", code=status, text=word)
            refuse(venue, wanted())
        sim.fault("error_before", match="send")
        refuse(venue, wanted())
    for login in ({"access_token": "expired"}, {"login": "nobody", "secret_key": "nothing"}):
        refuse(opened(sim, recorder, credentials=login), wanted())
    return recorder.exchanges


def refuse(venue: Connector, instruction: Instruction) -> None:
    try:
        venue.send(instruction)
    except VenueError:
        return


def test_every_request_and_every_answer_fits_our_description(sim: QontoSimulator, recorder: Recorder) -> None:
    exchanges = everything(sim, recorder)
    assert {(one.request.method, one.request.url.path.split("/")[2]) for one in exchanges} == {
        ("GET", "organization"),
        ("POST", "internal_transfers"),
        ("GET", "transactions"),
        ("GET", "sca_sessions"),
    }
    for one in exchanges:
        assert list(breaches_of_request(DESCRIPTION, one.request)) == []
        assert list(breaches_of_answer(DESCRIPTION, one)) == []
    statuses = {one.status_code for one in exchanges if one.request.url.path == TRANSFERS}
    assert statuses == {200, 400, 401, 403, 422, 428, 500}


def post(body: Any, **headers: str) -> httpx.Request:
    given = {"Authorization": "a:b", "X-Qonto-Idempotency-Key": "k", "Content-Type": "application/json", **headers}
    content = json.dumps(body).encode()
    kept = {name: value for name, value in given.items() if value}
    return httpx.Request("POST", f"https://thirdparty.qonto.com{TRANSFERS}", headers=kept, content=content)


@pytest.mark.parametrize(
    ("request_", "breach"),
    [
        (post(order(), **{"X-Qonto-Idempotency-Key": ""}), "X-Qonto-Idempotency-Key: missing"),
        (post(order(), Authorization=""), "Authorization: missing"),
        (post(order(), **{"Content-Type": "text/plain"}), "Content-Type"),
        (post(order()["internal_transfer"]), "body/internal_transfer: missing"),
        (post(order(currency=...)), "currency: missing"),
        (post(order(currency="USD")), "currency"),
        (post(order(amount=12.33)), "12.33 is no string"),
        (post(order(amount="1e3")), "does not look like"),
        (post(order(amount="-1")), "does not look like"),
        (post(order(amount="1.234")), "does not look like"),
        (post(order(reference="x" * 100)), "longer than 99"),
        (post(order(debit_iban="FRXXXX112")), "debit_iban"),
        (httpx.Request("GET", "https://thirdparty.qonto.com/v2/nothing"), "not described"),
        (
            httpx.Request(
                "GET",
                f"https://thirdparty.qonto.com{TRANSACTIONS}?status[]=done&page=0&current_page=1",
                headers={"Authorization": "a:b"},
            ),
            "status[]",
        ),
    ],
)
def test_our_description_notices_a_wrong_request(request_: httpx.Request, breach: str) -> None:
    assert breach in "; ".join(breaches_of_request(DESCRIPTION, request_))


def test_our_description_notices_a_wrong_answer(sim: QontoSimulator) -> None:
    right = transfer(sim, order())
    told = right.json()["internal_transfer"]
    assert list(breaches_of_answer(DESCRIPTION, right)) == []
    for changed in ({"amount": "1.00"}, {"status": "completed"}, {"id": 7}, {"amount_cents": 1.5}, {"created_at": ""}):
        wrong = httpx.Response(200, json={"internal_transfer": {**told, **changed}}, request=right.request)
        assert list(breaches_of_answer(DESCRIPTION, wrong))
    assert list(breaches_of_answer(DESCRIPTION, httpx.Response(418, request=right.request)))
    with pytest.raises(ValueError, match="oneOf"):
        list(breaches(DESCRIPTION, {"oneOf": []}, 1))


@pytest.fixture(scope="module")
def original() -> Document:
    named = os.environ.get("TREASURY_QONTO_OPENAPI")
    file = Path(named) if named else ROOT.parent / "shared" / "venues" / "qonto-openapi.yaml"
    if not file.is_file():
        pytest.skip("Qonto's own document is not at hand; TREASURY_QONTO_OPENAPI may name it.")
    found: Document = yaml.safe_load(file.read_text(encoding="utf-8"))
    return found


def test_every_transfer_and_its_answer_fits_qontos_own_document(
    sim: QontoSimulator, recorder: Recorder, original: Document
) -> None:
    documented = original["paths"][TRANSFERS]["post"]["responses"]
    met = set()
    for one in everything(sim, recorder):
        if one.request.url.path == TRANSFERS:
            assert list(breaches_of_request(original, one.request)) == []
            if str(one.status_code) in documented:
                assert list(breaches_of_answer(original, one)) == []
                met.add(str(one.status_code))
    assert met == set(documented)


def test_our_description_says_what_qontos_own_document_says(original: Document) -> None:
    mine, theirs = (document["paths"][TRANSFERS]["post"] for document in (DESCRIPTION, original))
    assert [one["url"] for one in DESCRIPTION["servers"]] == [one["url"] for one in original["servers"]]
    assert {hosts["api"] for hosts in connectors.venues()["qonto"].hosts.values()} == {
        one["url"] for one in original["servers"]
    }
    assert set(theirs["responses"]) <= set(mine["responses"])
    (outer, own), (their_outer, their_own) = (
        (schema, schema["properties"]["internal_transfer"])
        for schema in (one["requestBody"]["content"]["application/json"]["schema"] for one in (mine, theirs))
    )
    assert (outer["required"], set(own["required"])) == (their_outer["required"], set(their_own["required"]))
    assert {name: one["type"] for name, one in own["properties"].items()} == {
        name: one["type"] for name, one in their_own["properties"].items()
    }
    told = mine["responses"]["200"]["content"]["application/json"]["schema"]["properties"]["internal_transfer"]
    their_told = original["components"]["schemas"]["InternalTransfer"]
    assert {name: one["type"] for name, one in told["properties"].items()} == {
        name: one["type"] for name, one in their_told["properties"].items()
    }
    parameters = {one["name"]: one for one in original["components"]["parameters"].values()}
    named = {one["name"]: one for one in mine["parameters"]}
    for name, parameter in parameters.items():
        assert named[name].get("required", False) == parameter.get("required", False)


def test_the_examples_of_qontos_own_document_fit_our_description(original: Document) -> None:
    theirs = original["paths"][TRANSFERS]["post"]
    for example in theirs["requestBody"]["content"]["application/json"]["examples"].values():
        assert list(breaches_of_request(DESCRIPTION, post(example["value"]))) == []
    for status, described in theirs["responses"].items():
        named = described.get("$ref", "").rpartition("/")[2]
        content = (original["components"]["responses"][named] if named else described).get("content", {})
        for example in content.get("application/json", {}).get("examples", {}).values():
            told = httpx.Response(int(status), json=example["value"], request=post({}))
            assert list(breaches_of_answer(DESCRIPTION, told)) == []


# The rules of the documentation: who


def test_logins_are_checked(sim: QontoSimulator) -> None:
    organisation = "/v2/organization"
    assert code(ask(sim, organisation, authorization="")) == (401, "authorization_header_missing")
    assert code(ask(sim, organisation, authorization="someone:else")) == (401, "unauthorized")
    login, secret = sim.credentials.values()
    for wrong in (
        f"Basic {login}:{secret}",
        f"Bearer {login}:{secret}",
        login,
        f"{login}:{secret}x",
        f"{secret}:{login}",
    ):
        assert ask(sim, organisation, authorization=wrong).status_code == 401
    assert code(ask(sim, organisation, authorization="Bearer expired")) == (401, "authorization_token_invalid")
    assert ask(sim, organisation, authorization=f"Bearer {ACCESS_TOKEN}").status_code == 200
    assert code(ask(sim, "/v2/no/such/path")) == (404, "not_found")
    assert code(ask(sim, TRANSFERS)) == (404, "not_found"), "there is no question for a transfer"


def test_the_sandbox_wants_its_token_and_production_turns_it_away(sim: QontoSimulator) -> None:
    organisation = "/v2/organization"
    for token in ("", "wrong"):
        page = ask(sim, organisation, host=SANDBOX, x_qonto_staging_token=token)
        assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert ask(sim, organisation, host=SANDBOX, x_qonto_staging_token=STAGING_TOKEN).json()["organization"]
    assert code(ask(sim, organisation, x_qonto_staging_token=STAGING_TOKEN)) == (401, "unauthorized")


# The rules of the documentation: transfers and keys


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", (400, "bad_request")),
        (b"[]", (400, "bad_request")),
        ({}, (422, "missing_key")),
        (order()["internal_transfer"], (422, "missing_key")),
        *((order(**{field: ...}), (422, "missing_key")) for field in order()["internal_transfer"]),
        *((order(**{field: 1}), (422, "invalid_type")) for field in order()["internal_transfer"]),
        (order(currency="USD"), (422, "not_in_list")),
        (order(currency="eur"), (422, "not_in_list")),
        (order(debit_iban="FRXXXXXXXXXXXXXXXXXXXXXX112"), (422, "not_found")),
        (order(credit_iban="FR7616798000010000000040473"), (422, "not_found")),
        (order(credit_iban="FR7630006000011234567890189"), (422, "not_found")),
        (order(credit_iban=MAIN), (422, "invalid")),
        (order(reference=""), (422, "invalid")),
        (order(reference="x" * 100), (422, "invalid")),
        (order(amount="0"), (422, "invalid")),
        (order(amount="0.00"), (422, "invalid")),
        (order(amount="-1"), (422, "invalid")),
        (order(amount="1.234"), (422, "invalid")),
        (order(amount="1,5"), (422, "invalid")),
        (order(amount="1e3"), (422, "invalid")),
        (order(amount="999999999"), (422, "insufficient_funds")),
    ],
)
def test_a_wrong_order_is_refused_and_moves_nothing(sim: QontoSimulator, body: Any, said: tuple[int, str]) -> None:
    before = sim.ledger.balances()
    assert code(transfer(sim, body)) == said
    assert sim.ledger.balances() == before


def test_a_key_is_required(sim: QontoSimulator) -> None:
    assert code(ask(sim, TRANSFERS, body=order())) == (422, "missing_key")


def test_a_key_replays_the_first_answer_even_for_another_body(sim: QontoSimulator) -> None:
    key = str(uuid4())
    first = transfer(sim, order(amount="1.25"), key)
    again = transfer(sim, order(amount="77.00", credit_iban=TAXES), key)
    shouted = transfer(sim, order(), key.upper())
    assert first.status_code == again.status_code == shouted.status_code == 200
    assert first.content == again.content == shouted.content
    assert [one["amount"] for one in sim.effects(key)] == ["1.25"]


def test_a_refused_request_is_not_remembered(sim: QontoSimulator) -> None:
    key = str(uuid4())
    assert transfer(sim, order(amount="0"), key).status_code == 422
    assert transfer(sim, order(), key).status_code == 200
    assert len(sim.effects(key)) == 1


def test_after_thirty_minutes_a_key_is_a_new_transfer(sim: QontoSimulator) -> None:
    key = str(uuid4())
    first = transfer(sim, order(), key).json()
    sim.fault("clock", seconds=29 * 60 + 55)
    assert transfer(sim, order(), key).json() == first
    sim.clear()
    sim.fault("clock", seconds=30 * 60 + 1)
    assert transfer(sim, order(), key).json()["internal_transfer"]["id"] != first["internal_transfer"]["id"]
    assert len(sim.effects(key)) == 2


def test_money_that_moved_before_an_error_moves_again_by_a_repeat(sim: QontoSimulator) -> None:
    key = str(uuid4())
    sim.fault("error_after", match="send")
    assert transfer(sim, order(), key).status_code == 500
    assert transfer(sim, order(), key).status_code == 200
    assert len(sim.effects(key)) == 2, "this is why the connector never sends a key again"


def test_one_key_moves_once_however_many_ask_at_a_time(sim: QontoSimulator) -> None:
    key, said = str(uuid4()), []
    threads = [threading.Thread(target=lambda: said.append(transfer(sim, order(), key))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {one.status_code for one in said} <= {200, 429}
    assert {one.text for one in said if one.status_code == 429} <= {'{"error":"Concurrent requests detected"}'}
    assert len(sim.effects(key)) == 1


def test_a_request_under_way_turns_a_second_one_away(sim: QontoSimulator) -> None:
    key = str(uuid4())
    sim._in_flight.add(key)
    assert (transfer(sim, order(), key).status_code, sim.effects(key)) == (429, [])
    sim._in_flight.discard(key)
    assert transfer(sim, order(), key).status_code == 200


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 412, 422, 428, 429, 500, 503])
def test_a_refusal_on_request_looks_like_qontos(sim: QontoSimulator, status: int) -> None:
    sim.fault("refuse", match="send", code=status)
    before = sim.ledger.balances()
    assert transfer(sim, order()).status_code == status
    assert sim.ledger.balances() == before


# The rules of the documentation: confirmations


def test_a_confirmation_belongs_to_one_request(sim: QontoSimulator) -> None:
    key, body = str(uuid4()), order(reference="confirmed")
    sim.fault("challenge", match="send", times=2)
    asked = transfer(sim, body, key)
    assert (asked.status_code, asked.json()["message"]) == (428, "SCA required")
    token, other = asked.json()["sca_session_token"], transfer(sim, body, key).json()["sca_session_token"]
    assert token != other
    assert transfer(sim, body, key, x_qonto_sca_session_token=token).status_code == 412, "nobody has confirmed"
    sandbox = {"host": SANDBOX, "x_qonto_staging_token": STAGING_TOKEN}
    decided = ask(sim, f"/v2/mocked_sca_sessions/{token}/allow", method="POST", **sandbox)
    assert decided.json() == {"message": "Success"}
    for path in ("sca_sessions", "mocked_sca_sessions"):
        assert ask(sim, f"/v2/{path}/{token}", **sandbox).json() == {"result": "allow", "canceled_at": ""}
        assert ask(sim, f"/v2/{path}/{other}", **sandbox).json()["result"] == "waiting"
    for wrong in (
        transfer(sim, body, str(uuid4()), x_qonto_sca_session_token=token),
        transfer(sim, order(amount="2.00"), key, x_qonto_sca_session_token=token),
        transfer(sim, body, key, x_qonto_sca_session_token="sca_unknown"),
        transfer(sim, body, key, x_qonto_sca_session_token=other),
    ):
        assert wrong.status_code == 412
    assert sim.effects(key) == []
    assert transfer(sim, body, key, x_qonto_sca_session_token=token).status_code == 200
    assert transfer(sim, body, key, x_qonto_sca_session_token=token).status_code == 200
    assert len(sim.effects(key)) == 1


def test_confirmations_are_mocked_in_the_sandbox_only_and_die_after_fifteen_minutes(sim: QontoSimulator) -> None:
    sim.fault("challenge", match="send")
    token = transfer(sim, order()).json()["sca_session_token"]
    assert sim.sessions()[-1] == token
    assert ask(sim, f"/v2/mocked_sca_sessions/{token}/allow", method="POST").status_code == 404
    assert ask(sim, "/v2/sca_sessions/sca_unknown").status_code == 404
    sim.decide(token, "allow")
    assert ask(sim, f"/v2/sca_sessions/{token}").json()["result"] == "allow"
    sim.fault("clock", seconds=15 * 60 + 1)
    assert ask(sim, f"/v2/sca_sessions/{token}").json()["result"] == "deny"


# The rules of the documentation: transactions


def listed(sim: QontoSimulator, **params: Any) -> list[dict[str, Any]]:
    answer = ask(sim, TRANSACTIONS, {"iban": MAIN, "sort_by": "created_at:asc", **params})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["transactions"]
    return found


def test_a_transfer_has_a_leg_on_either_side() -> None:
    with serve("qonto") as sim:
        assert isinstance(sim, QontoSimulator)
        transfer(sim, order(reference="both", amount="2.50"))
        (debit,), (credit,) = listed(sim), listed(sim, iban=PAYROLL)
        assert [(one["side"], one["status"], one["amount_cents"]) for one in (debit, credit)] == [
            ("debit", "completed", 250),
            ("credit", "completed", 250),
        ]
        assert debit["reference"] == credit["reference"] == "both"
        assert debit["id"] != credit["id"]
        assert debit["bank_account_id"] != credit["bank_account_id"]
        assert ask(sim, f"{TRANSACTIONS}/{debit['id']}").json() == {"transaction": debit}
        assert ask(sim, f"{TRANSACTIONS}/unknown").status_code == 404
        assert listed(sim, iban=TAXES) == []


def test_transactions_are_listed_in_one_status_at_a_time() -> None:
    with serve("qonto") as sim:
        assert isinstance(sim, QontoSimulator)
        transfer(sim, order(reference="now"))
        sim.fault("pending", match="send", seconds=30)
        transfer(sim, order(reference="soon"))
        sim.fault("fails_later", match="send", seconds=0.05)
        transfer(sim, order(reference="never"))
        time.sleep(0.1)
        by_status = {
            status: [one["reference"] for one in listed(sim, **{"status[]": status})]
            for status in ("completed", "pending", "declined")
        }
        assert by_status == {"completed": ["now"], "pending": ["soon"], "declined": ["never"]}
        assert [one["reference"] for one in listed(sim)] == ["now"]
        assert [one["reference"] for one in listed(sim, **{"status[]": ["completed", "declined"]})] == ["never"]
        assert listed(sim, iban=PAYROLL, **{"status[]": "pending"}) == [], "the credit shows up when it is completed"
        assert listed(sim, **{"status[]": "declined"})[0]["settled_at"] is None


def test_transactions_are_filtered_sorted_and_paged() -> None:
    with serve("qonto") as sim:
        assert isinstance(sim, QontoSimulator)
        for number in range(5):
            transfer(sim, order(reference=str(number)))
            time.sleep(0.01)
        transfer(sim, order(reference="back", debit_iban=PAYROLL, credit_iban=MAIN))
        assert [one["reference"] for one in listed(sim, side="debit")] == list("01234")
        assert [one["reference"] for one in listed(sim, side="credit")] == ["back"]
        newest = [one["reference"] for one in listed(sim, sort_by="updated_at:desc")]
        assert newest == ["back", *"43210"]
        third = listed(sim)[2]["created_at"]
        assert [one["reference"] for one in listed(sim, created_at_from=third)] == ["2", "3", "4", "back"]
        assert [one["reference"] for one in listed(sim, updated_at_to=third)] == list("012")
        shifted = (datetime.fromisoformat(third) + timedelta(hours=2)).replace(tzinfo=None).isoformat() + "+02:00"
        assert [one["reference"] for one in listed(sim, created_at_from=shifted)] == ["2", "3", "4", "back"]
        pages = [ask(sim, TRANSACTIONS, {"iban": MAIN, "per_page": 4, "page": page}).json() for page in (1, 2, 3)]
        assert [len(page["transactions"]) for page in pages] == [4, 2, 0]
        assert [page["meta"]["next_page"] for page in pages] == [2, None, None]
        assert pages[1]["meta"] == {
            "current_page": 2,
            "next_page": None,
            "prev_page": 1,
            "total_pages": 2,
            "total_count": 6,
            "per_page": 4,
        }


@pytest.mark.parametrize(
    "params",
    [
        {"page": 0},
        {"page": "x"},
        {"per_page": 0},
        {"per_page": 101},
        {"sort_by": "id:asc"},
        {"sort_by": "updated_at"},
        {"updated_at_from": "yesterday"},
    ],
)
def test_a_wrong_question_is_refused(sim: QontoSimulator, params: dict[str, Any]) -> None:
    assert code(ask(sim, TRANSACTIONS, {"iban": MAIN, **params})) == (400, "bad_request")


def test_transactions_belong_to_a_known_account(sim: QontoSimulator) -> None:
    assert ask(sim, TRANSACTIONS).status_code == 404
    assert ask(sim, TRANSACTIONS, {"iban": "FR7630006000011234567890189"}).status_code == 404
    assert ask(sim, TRANSACTIONS, {"bank_account_id": "unknown", "iban": MAIN}).status_code == 404


# The ledger, and the control


def test_a_second_start_keeps_money_transactions_and_keys(tmp_path: Path) -> None:
    file, key = tmp_path / "home" / "qonto.json", str(uuid4())
    with serve("qonto", path=file) as sim:
        assert isinstance(sim, QontoSimulator)
        first, before = transfer(sim, order(amount="0.25"), key), sim.ledger.balances()
        rows = listed(sim)
    with serve("qonto", path=file) as sim:
        assert isinstance(sim, QontoSimulator)
        assert sim.ledger.balances() == before
        assert transfer(sim, order(amount="9.00"), key).content == first.content
        assert listed(sim) == rows
        assert len(sim.effects(key)) == 1


def test_balances_add_up_whatever_happens(sim: QontoSimulator) -> None:
    def total() -> Decimal:
        return sum((Decimal(sim.balance(iban, "EUR")) for iban in (MAIN, PAYROLL, TAXES)), start=Decimal(0))

    before = total()
    for kind in ("answer_lost", "error_after", "garbage", "rate_limited", "refuse"):
        sim.fault(kind, match="send")
        try:
            transfer(sim, order(amount="3.33"))
        except httpx.HTTPError:
            continue
    assert total() == before


def test_the_control_shows_no_login(sim: QontoSimulator) -> None:
    transfer(sim, order())
    sim.fault("challenge", match="send")
    token = transfer(sim, order()).json()["sca_session_token"]
    state = httpx.get(sim.url + "/_simulator/state", trust_env=False).text
    page = httpx.get(sim.url + "/_simulator/", trust_env=False).text
    for secret in (sim.credentials["secret_key"], token):
        assert secret not in state + page
    added = httpx.post(sim.url + "/_simulator/faults", json={"kind": "challenge", "match": "send"}, trust_env=False)
    assert added.status_code == 200
    assert transfer(sim, order()).status_code == 428
