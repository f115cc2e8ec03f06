"""Text from outside, in a form that PostgreSQL always takes: losing an outcome to a letter would be losing money."""

from __future__ import annotations


def clean(text: str) -> str:
    """The text with U+FFFD in place of NUL, and without lone surrogates."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")
