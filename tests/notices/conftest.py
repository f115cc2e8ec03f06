"""A mail server and a webhook over real sockets, and letters to send."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from tests.notices.hook import Hook
from tests.notices.mail_server import MailServer
from treasury.models import Notice, User
from treasury.notices import outbox

SECRET = "hook-secret-canary-0123456789-abcdef"


@pytest.fixture
def mail(monkeypatch: pytest.MonkeyPatch) -> Iterator[MailServer]:
    """The SMTP backend of the product, and a server that it talks to."""
    with MailServer() as server:
        monkeypatch.setattr(settings, "EMAIL_BACKEND", "treasury.outbound.EmailBackend")
        monkeypatch.setattr(settings, "EMAIL_HOST", "127.0.0.1")
        monkeypatch.setattr(settings, "EMAIL_PORT", server.port)
        yield server


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hook]:
    with Hook() as server:
        point_at(server.url, monkeypatch)
        yield server


def point_at(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "WEBHOOK_URL", url)
    monkeypatch.setattr(settings, "WEBHOOK_SECRET", SECRET)


def told(*people: User, once: str = "test:1", **more: Any) -> None:
    """One happening, told to these people in a transaction of its own."""
    words = {
        "kind": "test.tell",
        "subject": "transfer:TR-000001",
        "title": "TR-000001 waits for your decision",
        "text": "Nothing moved yet.",
        "path": "/transfers/TR-000001/",
        "at": timezone.now(),
    }
    with transaction.atomic():
        outbox.tell(**{**words, **more}, to=people, once=once)


def only() -> Notice:
    return Notice.objects.get()
