"""What may go wrong on request, and when it is used up."""

import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

# kind: what it does
KINDS: Mapping[str, str] = {
    "answer_lost": "does what was asked, then hangs up without an answer",
    "request_lost": "hangs up and does nothing",
    "rate_limited": "answers 429 and does nothing",
    "banned": "shuts the address out and does nothing",
    "error_before": "answers 500 and does nothing",
    "error_after": "does what was asked, then answers 500",
    "garbage": "does what was asked, then answers 200 with a page of HTML",
    "slow": "waits, then does what was asked",
    "slow_after": "does what was asked, then waits before it answers",
    "drip": "does what was asked, then answers byte by byte over so many seconds",
    "refuse": "refuses with the venue's code",
    "pending": "takes a transfer, which succeeds after so many seconds",
    "fails_later": "takes a transfer, which fails after so many seconds",
    "challenge": "moves nothing until a person confirms, who does so after so many seconds (0: who never does)",
    "record_late": "hides the transfer from look-ups for so many seconds",
    "clock": "has a clock that is ahead by so many seconds, until cleared",
}

LASTING = frozenset({"clock"})


@dataclass(kw_only=True)
class Fault:
    """One thing that goes wrong. `match`: send, read, or a part of method and target ("" matches everything).

    `times`: for so many requests; None: until cleared. `seconds`, `code` and `text` as the kind needs them.
    """

    kind: str
    match: str = ""
    times: int | None = 1
    seconds: float = 0
    code: int = 0
    text: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"There is no fault {self.kind!r}; there are {', '.join(KINDS)}.")
        if self.kind in LASTING:
            self.times = None


class Faults:
    """The faults that are waiting. Each request takes at most one of a kind."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._waiting.append(fault)

    def clear(self) -> None:
        with self._lock:
            self._waiting.clear()

    def waiting(self) -> list[dict[str, Any]]:
        """What has not been used up, JSON-safe."""
        with self._lock:
            return [asdict(fault) for fault in self._waiting]

    def take(self, *, is_send: bool, target: str) -> dict[str, Fault]:
        """The faults that strike this request, by kind; they are used up by it."""
        struck: dict[str, Fault] = {}
        with self._lock:
            for fault in self._waiting:
                if fault.kind not in struck and _matches(fault.match, is_send=is_send, target=target):
                    struck[fault.kind] = fault
                    if fault.times is not None:
                        fault.times -= 1
            self._waiting = [fault for fault in self._waiting if fault.times is None or fault.times > 0]
        return struck


def _matches(match: str, *, is_send: bool, target: str) -> bool:
    if match in ("send", "read"):
        return is_send == (match == "send")
    return match in target
