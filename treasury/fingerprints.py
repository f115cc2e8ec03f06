"""Fingerprints of credentials: they tell one set from another, and say nothing else of them."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping

DIGITS = 12  # hex; enough to tell sets apart, and shown in full
WORK = {"n": 2**14, "r": 8, "p": 1}  # some 16 MB and 50 ms for each guess: a short password is not found by trying
REMEMBERED = 1000

# A fingerprint is asked for with each call to a venue and is reckoned once in a process. What it was reckoned from is
# remembered only as a digest under a key that ends with the process.
_known: dict[bytes, str] = {}
_pepper = secrets.token_bytes(32)


def of(*, venue: str, environment: str, login: str, credentials: Mapping[str, str]) -> str:
    """Lower-case hex. The same secret at another login has another one."""
    salt = _written([venue, environment, login])
    secret = _written(sorted(credentials.items()))
    key = hmac.digest(_pepper, _written([salt.hex(), secret.hex()]), "sha256")
    if key not in _known:
        if len(_known) >= REMEMBERED:
            _known.clear()
        _known[key] = hashlib.scrypt(secret, salt=salt, dklen=32, **WORK).hex()[:DIGITS]
    return _known[key]


def _written(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
