"""Secrets at rest: sealed under the newest key, opened by any, sealed anew without being shown."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.fernet import Fernet

from treasury import sealing
from treasury.sealing import CannotUnseal


def test_an_older_key_opens_and_a_new_seal_needs_it_no_longer(settings: Any) -> None:
    older, newer = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    settings.CREDENTIALS_KEYS = [older]
    sealed = sealing.seal("the secret")
    assert "the secret" not in sealed
    settings.CREDENTIALS_KEYS = [newer, older]
    assert sealing.unseal(sealed) == "the secret" and not sealing.is_newest(sealed)
    anew = sealing.reseal(sealed)
    settings.CREDENTIALS_KEYS = [newer]
    assert sealing.unseal(anew) == "the secret" and sealing.is_newest(anew)
    with pytest.raises(CannotUnseal):
        sealing.unseal(sealed)
    with pytest.raises(CannotUnseal):
        sealing.reseal(sealed)
