"""The control of a simulator, on its own port below `/_simulator/`: one page of plain forms, and JSON.

GET  /_simulator/        the page
GET  /_simulator/state   balances, effects, transfers, waiting faults, requests
POST /_simulator/faults  add a fault: kind, match, times, seconds, code, text (JSON object or form)
POST /_simulator/balance set a balance: login (without it the first), address, asset, amount
POST /_simulator/clear   forget faults and requests

A form is answered with the way back to the page, JSON with JSON; what makes no sense with 422.
"""

import json
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from html import escape
from typing import Any, Protocol
from urllib.parse import parse_qsl

from connectors.simulators.faults import KINDS

Response = tuple[int, dict[str, str], bytes]


class Controlled(Protocol):
    """What the control needs of a simulator."""

    name: str

    def fault(self, kind: str, *, match: str, times: int | None, seconds: float, code: int, text: str) -> None: ...

    def set_balance(self, address: str, asset: str, amount: str, *, login: str) -> None: ...

    def spare(self) -> list[tuple[str, Mapping[str, str]]]: ...

    def clear(self) -> None: ...

    def state(self) -> dict[str, Any]: ...


class Asked(Protocol):
    """What the control needs of a request."""

    @property
    def method(self) -> str: ...

    @property
    def path(self) -> str: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    @property
    def body(self) -> bytes: ...


def control(simulator: Controlled, request: Asked) -> Response:
    """Answer a request below `/_simulator/`."""
    task = request.path.removeprefix("/_simulator/")
    if request.method == "GET" and task == "":
        return 200, {"Content-Type": "text/html; charset=utf-8"}, _page(simulator).encode()
    if request.method == "GET" and task == "state":
        return _json(200, simulator.state())
    act = _TASKS.get(task) if request.method == "POST" else None
    if act is None:
        return _json(404, {"error": "There is no such control."})
    speaks_json = "json" in request.headers.get("content-type", "")
    try:
        act(simulator, _words(request.body, speaks_json=speaks_json))
    except (ValueError, TypeError, InvalidOperation, KeyError) as error:
        sentence = str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}"
        return _json(422, {"error": f"Nothing was changed. {sentence}"})
    if speaks_json:
        return _json(200, {"done": task})
    return 303, {"Location": "/_simulator/"}, b""


def _words(body: bytes, *, speaks_json: bool) -> dict[str, str | None]:
    if not speaks_json:
        return dict(parse_qsl(body.decode(), keep_blank_values=True))
    found = dict(json.loads(body or b"{}"))
    return {name: None if value is None else str(value) for name, value in found.items()}


def _add_fault(simulator: Controlled, words: Mapping[str, str | None]) -> None:
    times = words.get("times", "1")
    simulator.fault(
        words["kind"] or "",
        match=words.get("match") or "",
        times=int(times) if times else None,
        seconds=float(words.get("seconds") or 0),
        code=int(words.get("code") or 0),
        text=words.get("text") or "",
    )


def _set_balance(simulator: Controlled, words: Mapping[str, str | None]) -> None:
    amount = Decimal(words["amount"] or "")
    if not amount.is_finite():
        raise ValueError("An amount must be a finite number.")
    address, asset = words["address"] or "", words["asset"] or ""
    if not asset:
        raise ValueError("Say which asset.")
    balances = simulator.state()["balances"]
    login = words.get("login") or next(iter(balances))
    if login not in balances:
        raise ValueError(f"There is no login {login!r}. There are: {', '.join(balances)}.")
    known = balances[login]
    # Below an address a venue keeps pockets of it: SPOT/frozen.
    if not any(address == one or address.startswith(f"{one}/") for one in known):
        raise ValueError(f"{login} has no account {address!r}. It has: {', '.join(known)}.")
    simulator.set_balance(address, asset, format(amount, "f"), login=login)


def _clear(simulator: Controlled, _words: Mapping[str, str | None]) -> None:
    simulator.clear()


_TASKS: Mapping[str, Callable[[Controlled, Mapping[str, str | None]], None]] = {
    "faults": _add_fault,
    "balance": _set_balance,
    "clear": _clear,
}


def _json(status: int, content: object) -> Response:
    return status, {"Content-Type": "application/json"}, json.dumps(content, indent=1).encode()


def _page(simulator: Controlled) -> str:
    state = simulator.state()
    name = escape(simulator.name)
    kinds = "".join(f'<option value="{kind}">{kind}: {escape(does)}</option>' for kind, does in KINDS.items())
    money = [
        [login, address, asset, amount]
        for login, addresses in state["balances"].items()
        for address, assets in addresses.items()
        for asset, amount in assets.items()
    ]
    words = ("kind", "match", "times", "seconds", "code", "text")
    logins = "".join(f'<option value="{escape(login)}">{escape(login)}</option>' for login in state["balances"])
    known = sorted({address for addresses in state["balances"].values() for address in addresses})
    accounts = "".join(f'<option value="{escape(address)}"></option>' for address in known)
    faults = [[fault[word] for word in words] for fault in state["faults"]]
    moves = ("key", "source", "destination", "asset", "amount", "status")
    transfers = [[move[word] for word in moves] for move in reversed(state["transfers"][-50:])]
    spare = [[title, field, value] for title, login in simulator.spare() for field, value in login.items()]
    requests = [[ask["method"], ask["path"], ask["query"]] for ask in reversed(state["requests"][-50:])]
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{name} simulator</title></head><body>
<h1>{name} simulator</h1>
<p>No money is here. This is what the program sees in place of the venue.</p>
<h2>Let something go wrong</h2>
<form method="post" action="/_simulator/faults">
<p><label>What <select name="kind">{kinds}</select></label></p>
<p><label>For which requests (send, read, part of a path, empty for all)
<input name="match" value="send"></label></p>
<p><label>How many times (empty: until cleared) <input name="times" value="1"></label></p>
<p><label>Seconds <input name="seconds" value="0"></label></p>
<p><label>Code (for refuse) <input name="code" value="0"></label> <label>Text <input name="text"></label></p>
<p><button>Add</button></p></form>
<form method="post" action="/_simulator/clear"><p><button>Forget faults and requests</button></p></form>
<h2>Set a balance</h2>
<form method="post" action="/_simulator/balance"><p><label>Login <select name="login">{logins}</select></label>
<label>Account <input name="address" list="accounts" required></label>
<datalist id="accounts">{accounts}</datalist>
<label>Asset <input name="asset" required></label>
<label>Amount <input name="amount" required></label> <button>Set</button></p></form>
<h2>Spare logins</h2>
<p>Practice does not connect these by itself; connect one to see how that is done. They open nothing else.</p>
{_table(("login", "field", "value"), spare)}
<h2>Waiting faults</h2>{_table(words, faults)}
<h2>Balances</h2>{_table(("login", "account", "asset", "amount"), money)}
<h2>Transfers, newest first</h2>{_table(moves, transfers)}
<h2>Requests, newest first</h2>{_table(("method", "path", "query"), requests)}
</body></html>
"""


def _table(heads: tuple[str, ...], rows: list[list[Any]]) -> str:
    if not rows:
        return "<p>None.</p>"
    head = "".join(f"<th>{escape(word)}</th>" for word in heads)
    body = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"
