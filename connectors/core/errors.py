"""The four ways a call to a venue can end badly. They differ in one thing only: what happened to the money.

| error     | did money move?                        | may the same call be made again?                  |
|-----------|----------------------------------------|---------------------------------------------------|
| Refused   | no, and this request never will        | not as it stands                                  |
| TryLater  | no                                     | yes, not before `retry_at`                        |
| Barred    | no; the key, permission or region      | after a person has put it right                   |
| Uncertain | perhaps                                | only after a look-up, as the venue declares       |

The table speaks of the call that raised. It says nothing about an earlier call with the same key.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any


class VenueError(Exception):
    """A call to a venue that did not end well.

    `words` is a sentence for a person and says first what happened to the money. `evidence` is what was seen:
    redacted, JSON-safe, with the HTTP status, the venue's code and the SHA-256 of the raw body where there
    are any. Neither ever holds a secret.
    """

    def __init__(self, words: str, *, evidence: Mapping[str, Any] | None = None) -> None:
        super().__init__(words)
        self.words = words
        self.evidence: dict[str, Any] = dict(evidence or {})


class Refused(VenueError):
    """Nothing moved by this request, and it will be refused again as it stands."""


class TryLater(VenueError):
    """Nothing moved by this request. `retry_at` is aware UTC, or None when nobody named a time."""

    def __init__(
        self, words: str, *, retry_at: datetime | None = None, evidence: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(words, evidence=evidence)
        self.retry_at = retry_at


class Barred(VenueError):
    """Nothing moved: the key, its permissions or the region stand in the way. A person has to act."""


class Uncertain(VenueError):
    """It may have moved. Only a look-up, or people with the venue's own screen, can tell."""
