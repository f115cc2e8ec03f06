"""What no password may be: one that was breached, or one made of what anybody knows of the person and of this product.

Length is asked for in the settings. Nothing is asked of the characters, and nobody must change a good password.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any, BinaryIO

from django.conf import settings
from django.core.exceptions import ValidationError

LONGEST_LINE = 256  # bytes; a line is 40 hex digits, in some downloads with a count behind them
SHORTEST_WORD = 4
CONTEXT = ("treasury", "rebalancing", "rebalance", "approve", "password")


class UnusableList(Exception):
    """The file of breached passwords cannot be searched. The text says why."""


class BreachedPasswordValidator:
    """Refuses what is in the file of breached passwords, if the installation has one. The file is searched where it
    lies, by halves: it holds sorted upper-case SHA-1 hashes, one a line, and is never loaded."""

    def validate(self, password: str, user: Any = None) -> None:
        if settings.BREACHED_PASSWORDS is not None and is_listed(settings.BREACHED_PASSWORDS, password):
            raise ValidationError(
                "This password is in a public list of breached passwords. Choose another.", code="password_breached"
            )

    def get_help_text(self) -> str:
        return "It must not be in a list of breached passwords."


class ContextWordsValidator:
    """Refuses a password that little is left of without the person's names and this product's words."""

    def validate(self, password: str, user: Any = None) -> None:
        left = password.lower()
        for word in words_of(user):
            left = left.replace(word, "")
        if left != password.lower() and len(re.sub(r"[\W\d_]", "", left)) < settings.PASSWORD_LEAST // 2:
            raise ValidationError(
                "This password is mostly your name or a word of this product. Choose another.", code="password_context"
            )

    def get_help_text(self) -> str:
        return "It must not be made of your name or of this product's words."


def words_of(user: Any) -> list[str]:
    """What anybody knows, the longest first."""
    names = [str(getattr(user, name, "") or "") for name in ("username", "first_name", "last_name", "email")]
    pieces = {piece for name in names for piece in (name.lower(), *re.split(r"\W+", name.lower()))}
    return sorted({one for one in pieces if len(one) >= SHORTEST_WORD} | set(CONTEXT), key=len, reverse=True)


def is_listed(file: Path, password: str) -> bool:
    """Whether the file has the password's hash. Raises UnusableList: nobody chooses an unchecked password."""
    wanted = hashlib.sha1(password.encode("utf-8", "replace"), usedforsecurity=False).hexdigest().upper().encode()
    try:
        with file.open("rb") as lines:
            low, high = 0, lines.seek(0, 2)
            while low < high:  # the line that holds byte ``middle`` is before, at or after what is wanted
                middle = (low + high) // 2
                begin = start_of_line(lines, middle)
                lines.seek(begin)
                line = lines.readline(LONGEST_LINE)
                found = line[:40].upper()
                if found == wanted:
                    return True
                low, high = (begin + len(line), high) if found < wanted else (low, begin)
    except OSError as problem:
        raise UnusableList(f"TREASURY_BREACHED_PASSWORDS cannot be read ({type(problem).__name__}).") from None
    return False


def start_of_line(lines: BinaryIO, at: int) -> int:
    """Where the line begins that holds the byte at ``at``."""
    back = max(at - LONGEST_LINE, 0)
    lines.seek(back)
    before = lines.read(at - back)
    begin = before.rfind(b"\n")
    if begin < 0 and back > 0:
        raise UnusableList("TREASURY_BREACHED_PASSWORDS holds a line that is no hash.")
    return back + begin + 1
