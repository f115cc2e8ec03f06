"""A venue's answer, in a form that the database and the log always take: losing an outcome would be losing money."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

DEEPEST = 20  # levels that are kept as they are; below, pages and the log could not walk them
LONGEST = 4000  # characters of what lies deeper


def storable(evidence: Mapping[str, Any]) -> dict[str, Any]:
    """The evidence as JSON without floats (their digits as text) and without what PostgreSQL cannot hold."""
    text = json.dumps(dict(evidence), default=str)
    found: dict[str, Any] = json.loads(text, parse_float=str, parse_constant=str)
    cleaned = _clean(found, DEEPEST)
    assert isinstance(cleaned, dict)
    return cleaned


def clean(text: str) -> str:
    """The text without NUL and without lone surrogates."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def _clean(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, (dict, list)) and depth == 0:
        return clean(json.dumps(value)[:LONGEST])
    if isinstance(value, dict):
        return {clean(key): _clean(item, depth - 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_clean(item, depth - 1) for item in value]
    return value
