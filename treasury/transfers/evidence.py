"""A venue's answer, in a form that the database and the log always take: losing an outcome would be losing money."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def storable(evidence: Mapping[str, Any]) -> dict[str, Any]:
    """The evidence as JSON without floats (their digits as text) and without what PostgreSQL cannot hold."""
    text = json.dumps(dict(evidence), default=str)
    found: dict[str, Any] = json.loads(text, parse_float=str, parse_constant=str)
    cleaned = _clean(found)
    assert isinstance(cleaned, dict)
    return cleaned


def clean(text: str) -> str:
    """The text without NUL and without lone surrogates."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {clean(key): _clean(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_clean(item) for item in value]
    return value
