"""Signed-in browsers without a browser, a clock that stands still, and templates that may not guess."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
from django.conf import settings
from django.template import engines
from django.test import Client
from django.utils import timezone

from treasury.controls import heartbeats
from treasury.models import AuditEntry, User


@pytest.fixture(autouse=True, scope="session")
def _somewhere_for_static_files(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Nothing is collected for tests; whitenoise warns of a folder that is not there."""
    settings.STATIC_ROOT = tmp_path_factory.mktemp("static")


class Undefined(str):
    """Takes the place of a variable that is not there, and says which. Empty only for Django's own look inside."""

    def __contains__(self, piece: object) -> bool:
        return piece == "%s"

    def __mod__(self, name: Any) -> str:
        raise AssertionError(f"a template uses {name!r}, which nobody gave it")


@pytest.fixture(autouse=True)
def _no_guessing_templates() -> Iterator[None]:
    engine = engines["django"].engine  # type: ignore[attr-defined]
    before = engine.string_if_invalid
    engine.string_if_invalid = Undefined("undefined")
    yield
    engine.string_if_invalid = before


@pytest.fixture(autouse=True)
def _everything_runs(request: pytest.FixtureRequest) -> None:
    """Signs of life of now, so that pages show what their tests are about; whoever wants silence takes them away."""
    if request.node.get_closest_marker("django_db") or "db" in request.fixturenames:
        request.getfixturevalue("db")  # in a transaction or not, as the test itself says
        for name in heartbeats.PARTS:
            heartbeats.beat(name, timezone.now())


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> datetime:
    """The clock stands, so that two answers about the same thing may be compared letter by letter."""
    moment = timezone.now()
    monkeypatch.setattr("django.utils.timezone.now", lambda: moment)
    return moment


@pytest.fixture
def sign_in(db: None) -> Callable[[User], Client]:
    def make(person: User, **options: Any) -> Client:
        client = Client(**options)
        client.force_login(person)
        return client

    return make


@pytest.fixture
def refused(db: None) -> Callable[[], list[tuple[str, str, str]]]:
    """What the log says was refused: (who, action, subject)."""

    def read() -> list[tuple[str, str, str]]:
        rows = AuditEntry.objects.filter(result="refused").order_by("id")
        return [(row.actor, row.action, row.subject) for row in rows]

    return read
