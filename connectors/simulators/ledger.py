"""A simulated venue's money: balances that add up, and transfers by their key.

Kept in one JSON file that is replaced as a whole, so that a crash leaves the state before or after a change
and nothing between; in memory when there is no path. Amounts are decimal strings, moments whole milliseconds.
"""

import copy
import json
import os
import threading
from collections.abc import Callable, Mapping
from decimal import Context, Decimal
from pathlib import Path
from typing import Any

EXACT = Context(prec=100)

Holdings = Mapping[str, Mapping[str, str]]


class NotEnoughMoneyError(Exception):
    """The source holds less than the amount."""


class KeyTakenError(Exception):
    """A transfer of this login has that key already."""


class Ledger:
    """Logins, their addresses, what lies there, and every transfer between them."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._state: dict[str, Any] = {"format": 1, "balances": {}, "transfers": [], "effects": []}
        if path is not None and path.exists():
            self._state = json.loads(path.read_text(encoding="utf-8"))

    def open_with(self, login: str, holdings: Holdings) -> None:
        """Give a login its opening money, if it has never had any."""
        if login not in self._state["balances"]:
            opening = {address: dict(assets) for address, assets in holdings.items()}
            self._change(lambda state: state["balances"].update({login: opening}))

    def balance(self, login: str, address: str, asset: str) -> Decimal:
        """What lies there; 0 for what was never heard of."""
        with self._lock:
            held = self._state["balances"].get(login, {}).get(address, {})
            return Decimal(held.get(asset, "0"))

    def holdings(self, login: str, address: str) -> dict[str, Decimal]:
        """Everything at an address, zeros included."""
        with self._lock:
            held = self._state["balances"].get(login, {}).get(address, {})
            return {asset: Decimal(amount) for asset, amount in held.items()}

    def set_balance(self, login: str, address: str, asset: str, amount: str) -> None:
        """Make it hold that amount, as if it had always been there."""
        text = format(Decimal(amount), "f")
        self._change(lambda state: _assets(state, login, address).update({asset: text}))

    def transfer(
        self,
        *,
        login: str,
        key: str,
        source: str,
        destination: str,
        asset: str,
        amount: Decimal,
        at: int,
        visible_at: int = 0,
        due_at: int | None = None,
        ends: str = "SUCCESS",
        notes: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Take the amount from the source, and give it to the destination now or, with `due_at`, later.

        `ends` is SUCCESS or FAILED (the money goes back). `notes`, JSON-safe, is kept with the transfer. Raises
        KeyTakenError and NotEnoughMoneyError.
        """
        transfer = {
            "login": login,
            "key": key,
            "source": source,
            "destination": destination,
            "asset": asset,
            "amount": format(amount, "f"),
            "at": at,
            "visible_at": visible_at,
            "status": "PENDING",
            "due_at": due_at,
            "ends": ends,
            **({"notes": dict(notes)} if notes else {}),
        }

        def take(state: dict[str, Any]) -> None:
            if any(known["login"] == login and known["key"] == key for known in state["transfers"]):
                raise KeyTakenError
            if Decimal(_assets(state, login, source).get(asset, "0")) < amount:
                raise NotEnoughMoneyError
            _add(state, login, source, asset, -amount)
            state["transfers"].append(transfer)
            if due_at is None:
                _end(state, transfer)

        self._change(take)
        return dict(transfer)

    def ripen(self, now: int) -> None:
        """End the transfers that are due. `now` in milliseconds."""
        with self._lock:
            if not any(_is_due(transfer, now) for transfer in self._state["transfers"]):
                return

            def end_due(state: dict[str, Any]) -> None:
                for transfer in state["transfers"]:
                    if _is_due(transfer, now):
                        _end(state, transfer)

            self._change(end_due)

    def has(self, login: str, key: str) -> bool:
        """Whether this key is taken."""
        return any(known["key"] == key for known in self.transfers(login))

    def transfers(self, login: str | None = None) -> list[dict[str, Any]]:
        """Every transfer, oldest first, whatever became of it."""
        with self._lock:
            return [dict(one) for one in self._state["transfers"] if login in (None, one["login"])]

    def effects(self, key: str | None = None) -> list[dict[str, Any]]:
        """Every arrival of money, oldest first: the truth that a test compares a connector's word with."""
        with self._lock:
            return [dict(one) for one in self._state["effects"] if key in (None, one["key"])]

    def balances(self) -> dict[str, dict[str, dict[str, str]]]:
        """Login, address, asset, amount."""
        with self._lock:
            found: dict[str, dict[str, dict[str, str]]] = copy.deepcopy(self._state["balances"])
            return found

    def _change(self, make: Callable[[dict[str, Any]], None]) -> None:
        with self._lock:
            changed = copy.deepcopy(self._state)
            make(changed)
            if self._path is not None:
                replace(self._path, json.dumps(changed, indent=1))
            self._state = changed


def replace(path: Path, text: str) -> None:
    """Give a file new content at once: a reader, and a crash, find the old or the new and nothing between."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    with draft.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _is_due(transfer: Mapping[str, Any], now: int) -> bool:
    return transfer["status"] == "PENDING" and transfer["due_at"] is not None and transfer["due_at"] <= now


def _assets(state: dict[str, Any], login: str, address: str) -> dict[str, str]:
    found: dict[str, str] = state["balances"].setdefault(login, {}).setdefault(address, {})
    return found


def _add(state: dict[str, Any], login: str, address: str, asset: str, amount: Decimal) -> None:
    held = _assets(state, login, address)
    held[asset] = format(EXACT.add(Decimal(held.get(asset, "0")), amount), "f")


def _end(state: dict[str, Any], transfer: dict[str, Any]) -> None:
    arrives = transfer["ends"] == "SUCCESS"
    address = transfer["destination"] if arrives else transfer["source"]
    _add(state, transfer["login"], address, transfer["asset"], Decimal(transfer["amount"]))
    transfer["status"] = transfer["ends"]
    if arrives:
        words = ("login", "key", "source", "destination", "asset", "amount", "at")
        state["effects"].append({word: transfer[word] for word in words})
