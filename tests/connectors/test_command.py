"""The command over real HTTP, for every venue found: it prints what was read, never a secret, and cannot send."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import connectors
from connectors.__main__ import main
from connectors.core import discovery
from connectors.core.protocol import plain
from connectors.simulators.core import Simulator, names, serve

ROOT = Path(connectors.__file__).resolve().parents[1]
QUESTIONS = ("balances", "accounts", "check")


@pytest.fixture(scope="module", params=names())
def server(request: pytest.FixtureRequest) -> Iterator[Simulator]:
    with serve(request.param) as simulator:
        yield simulator


@pytest.fixture
def simulated(server: Simulator, monkeypatch: pytest.MonkeyPatch) -> Simulator:
    """A simulated venue, whose credentials and address are in the environment, and no other variable of its."""
    server.clear()
    for name in [name for name in os.environ if name.startswith(f"{server.name.upper()}_")]:
        monkeypatch.delenv(name)
    for field, value in server.credentials.items():
        monkeypatch.setenv(variable(server, field), value)
    monkeypatch.setenv(variable(server, "base_url"), server.url)
    return server


def variable(simulated: Simulator, field: str) -> str:
    return f"{simulated.name}_{field}".upper()


def a_sentence(text: str, simulated: Simulator) -> str:
    """One line that ends with a full stop and holds no secret."""
    assert text.count("\n") == 1, text
    assert text.endswith(".\n")
    assert "Traceback" not in text
    assert not any(value in text for value in simulated.credentials.values())
    return text


def test_a_process_of_its_own_prints_every_balance_in_an_aligned_table(simulated: Simulator) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "connectors", "balances", simulated.name],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    heads, *rows = done.stdout.splitlines()
    assert heads.split() == ["address", "asset", "total", "movable", "problem"]
    venue = connectors.open(simulated.name, credentials=simulated.credentials, base_url=simulated.url)
    expected = venue.balances()
    assert len(rows) == len(expected) > 1
    ends = heads.index("total") + len("total")
    for row, balance in zip(rows, expected, strict=True):
        assert row.startswith(balance.address)
        assert row[:ends].rsplit(maxsplit=1)[1] == ("?" if balance.total is None else plain(balance.total))
        assert row.endswith(balance.problem or "")
    assert not any(value in done.stdout for value in simulated.credentials.values())


@pytest.mark.parametrize("question", QUESTIONS)
def test_no_question_sends_or_shows_a_secret(
    simulated: Simulator, question: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([question, simulated.name]) == 0
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) > 1
    assert printed.err == ""
    assert not [one for one in simulated.requests() if simulated.is_send(one)]
    assert not any(value in printed.out for value in simulated.credentials.values())


@pytest.mark.parametrize("word", ["send", "transfer", "look_up", "confirm"])
def test_there_is_no_word_that_sends(simulated: Simulator, word: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([word, simulated.name])
    assert ended.value.code == 1
    a_sentence(capsys.readouterr().err, simulated)
    assert simulated.requests() == []


def test_an_address_and_an_environment_may_be_named_on_the_line(
    simulated: Simulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(variable(simulated, "base_url"), "http://127.0.0.1:9")
    environment = next(iter(discovery.venue(simulated.name).hosts))
    assert main(["accounts", simulated.name, "--base-url", simulated.url, "--environment", environment]) == 0
    assert main(["accounts", simulated.name, "--base-url", simulated.url, "--environment", "nowhere"]) == 1
    assert "nowhere" in a_sentence(capsys.readouterr().err, simulated)


def test_every_field_that_is_missing_is_named_as_its_variable(
    simulated: Simulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    declared = discovery.venue(simulated.name)
    for field in simulated.credentials:
        monkeypatch.setenv(variable(simulated, field), "")
    assert main(["balances", simulated.name]) == 1
    said = a_sentence(capsys.readouterr().err, simulated)
    for field in declared.required_credential_names() or declared.credential_names():
        assert variable(simulated, field) in said
    assert simulated.requests() == []


def test_half_a_login_is_refused_before_anything_is_asked(
    simulated: Simulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for field in simulated.credentials:
        with monkeypatch.context() as without:
            without.delenv(variable(simulated, field))
            assert main(["balances", simulated.name]) == 1
        a_sentence(capsys.readouterr().err, simulated)
    assert simulated.requests() == []


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("kind", ["banned", "rate_limited", "garbage", "request_lost", "error_before"])
def test_what_goes_wrong_ends_with_a_sentence(
    simulated: Simulator, question: str, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    simulated.fault(kind, times=None)
    status = main([question, simulated.name])
    printed = capsys.readouterr()
    assert status == (1 if simulated.requests() else 0), "only what asks nobody can go well"
    if status:
        a_sentence(printed.err, simulated)
        assert "100" not in printed.out, "no number was read"
    assert not any(value in printed.out for value in simulated.credentials.values())


def test_a_wrong_credential_is_a_sentence_without_it(
    simulated: Simulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for field in simulated.credentials:
        monkeypatch.setenv(variable(simulated, field), "another-canary-that-opens-nothing")
    assert main(["balances", simulated.name]) == 1
    printed = capsys.readouterr()
    assert "canary" not in printed.out + a_sentence(printed.err, simulated)


def test_a_secret_that_no_header_can_carry_is_not_shown_either(
    simulated: Simulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for field in simulated.credentials:
        monkeypatch.setenv(variable(simulated, field), "a canary\twith spaces")
    assert main(["balances", simulated.name]) == 1
    printed = capsys.readouterr()
    assert "canary" not in printed.out + a_sentence(printed.err, simulated)
    assert simulated.requests() == []


def test_what_a_venue_echoes_is_shown_without_the_secret(
    simulated: Simulator, capsys: pytest.CaptureFixture[str]
) -> None:
    for secret in simulated.credentials.values():
        simulated.fault("refuse", text=f"\x1b[2J{secret}\nand more", times=None)
        main(["balances", simulated.name])
        simulated.clear()
    printed = capsys.readouterr()
    for secret in simulated.credentials.values():
        assert secret not in printed.out + printed.err
    assert "\x1b" not in printed.out + printed.err


def test_credentials_go_in_the_clear_to_this_computer_only(
    simulated: Simulator, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["balances", simulated.name, "--base-url", "http://192.0.2.1"]) == 1
    assert "outside this computer" in a_sentence(capsys.readouterr().err, simulated)


def test_a_defect_of_a_connector_is_a_sentence_without_its_text(
    simulated: Simulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def breaks(*_: object, **__: object) -> None:
        raise RuntimeError(json.dumps(simulated.credentials))

    monkeypatch.setattr("connectors.open", breaks)
    assert main(["balances", simulated.name]) == 1
    assert "RuntimeError" in a_sentence(capsys.readouterr().err, simulated)


def test_an_unknown_venue_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["balances", "nobody"]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert all(name in said for name in discovery.names())


def test_the_venues_are_listed_with_the_variables_that_they_need(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["venues"]) == 0
    rows = capsys.readouterr().out.splitlines()[1:]
    assert [row.split()[0] for row in rows] == discovery.names()
    for row, name in zip(rows, discovery.names(), strict=True):
        declared = discovery.venue(name)
        for field in declared.credential_names():
            optional = field not in declared.required_credential_names()
            assert (f"[{name}_{field}]" if optional else f"{name}_{field}").upper() in row
