"""Which control statement a test proves, and where the code enforces it: docs/controls.md is written from this."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Test = TypeVar("Test", bound=Callable[..., object])


def proves(number: str, *where: str) -> Callable[[Test], Test]:
    """Mark a test as the proof of statement ``number`` ("S7"). ``where`` names the code that enforces it, as
    ``treasury/transfers/dispatch.py:claim``; a test checks that each of these exists."""

    def marked(test: Test) -> Test:
        test.proves = (number, where)  # type: ignore[attr-defined]
        return test

    return marked
