"""Secrets at rest: sealed under the newest of the house's keys, and opened by any key that this process still has."""

from __future__ import annotations

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings


class CannotUnseal(Exception):
    """None of the keys that this process has opens it. The text never holds the secret."""


def seal(text: str) -> str:
    """Encrypt under the newest key."""
    return keys().encrypt(text.encode()).decode()


def unseal(sealed: str) -> str:
    """Raises CannotUnseal."""
    try:
        return keys().decrypt(sealed.encode()).decode()
    except InvalidToken:
        raise CannotUnseal("It cannot be decrypted with the keys this process has.") from None


def reseal(sealed: str) -> str:
    """The same secret under the newest key, with its time of sealing kept. Raises CannotUnseal."""
    try:
        return keys().rotate(sealed.encode()).decode()
    except InvalidToken:
        raise CannotUnseal("It cannot be decrypted with the keys this process has.") from None


def is_newest(sealed: str) -> bool:
    """Whether the newest key is what opens it."""
    try:
        Fernet(settings.CREDENTIALS_KEYS[0]).decrypt(sealed.encode())
    except InvalidToken:
        return False
    return True


def keys() -> MultiFernet:
    return MultiFernet([Fernet(key) for key in settings.CREDENTIALS_KEYS])
