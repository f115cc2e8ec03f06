"""Keeps secrets out of what is written down: logs, exception texts, evidence."""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any
from urllib.parse import quote

REDACTED = "[redacted]"

# A shorter value is no secret, and replacing it would eat ordinary words.
SHORTEST_SECRET = 5

DEEPEST = 20  # levels of what a venue nests
LONGEST = 4000  # characters of a text; cut after redaction, so that no secret leaves its head behind
LARGEST = 60  # digits of a number that are written out


class Redactor:
    """Replaces the given secrets wherever they turn up, also inside what a venue echoes back to us."""

    def __init__(self, secrets: Iterable[str]) -> None:
        forms: set[str] = set()
        for secret in secrets:
            if len(secret) >= SHORTEST_SECRET:
                forms |= {secret, quote(secret, safe=""), json.dumps(secret)[1:-1]}
        # Longest first: a secret that contains another must not leave its tail behind.
        self._forms = sorted(forms, key=len, reverse=True)

    def __repr__(self) -> str:
        return f"<Redactor of {len(self._forms)} forms>"

    def text(self, value: str) -> str:
        """The same text without any of the secrets."""
        for form in self._forms:
            value = value.replace(form, REDACTED)
        return value

    def evidence(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """The same facts without secrets, in JSON types only: an amount becomes a plain decimal string."""
        return {self.text(str(name)): self._plain(value, DEEPEST) for name, value in facts.items()}

    def _plain(self, value: Any, depth: int) -> Any:
        if value is None or isinstance(value, bool | int):
            return value
        if isinstance(value, Decimal):
            # 1e300000000 is a number, and hundreds of megabytes when written out.
            small = not value.is_finite() or abs(value.adjusted()) <= LARGEST
            return format(value, "f") if small and value.is_finite() else str(value)
        if isinstance(value, datetime):
            return value.isoformat()
        if isinstance(value, Mapping) and depth:
            return {self.text(str(name)): self._plain(item, depth - 1) for name, item in value.items()}
        if isinstance(value, list | tuple) and depth:
            return [self._plain(item, depth - 1) for item in value]
        return self.text(str(value))[:LONGEST]
