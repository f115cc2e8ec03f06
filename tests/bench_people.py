"""What the benches need of the product: people, a connection, transfers. Imported after django.setup()."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import httpx
from django.core.management import call_command
from django.utils import timezone

from tests.house import connect, person
from treasury.balances.refresh import refresh
from treasury.celery import app
from treasury.controls.roles import CHECKERS, MAKERS
from treasury.models import Connection, Transfer, User
from treasury.transfers import approve, bell, draft, submit

NAME = "Bench"
RUN = uuid.uuid4().hex[:8]  # of this run: a database that was filled before is used again


def prepare(venue: Any) -> None:
    call_command("migrate", verbosity=0)
    for role in (MAKERS, CHECKERS):
        person(f"{role}-{RUN}", role)
    for address in ("UNIFIED", "FUND"):
        venue.set_balance(address, "USDT", "1000000")
    if not Connection.objects.filter(name=NAME).exists():
        connect(
            name=NAME,
            venue=venue.name,
            environment="mainnet",
            credentials=venue.credentials,
            at=timezone.now(),
        )
    refresh(connection=connection(), at=timezone.now())


def connection() -> Connection:
    return Connection.objects.get(name=NAME)


def sign_in(browser: httpx.Client) -> None:
    browser.get("/sign-in/")
    answer = browser.post(
        "/sign-in/",
        data={
            "username": f"{CHECKERS}-{RUN}",
            "password": "practice",
            "csrfmiddlewaretoken": browser.cookies["csrftoken"],
        },
        headers={"Referer": str(browser.base_url)},
    )
    answer.raise_for_status()


def submitted() -> Transfer:
    maker = User.objects.get(username=f"{MAKERS}-{RUN}")
    source, destination = (connection().accounts.get(address=address) for address in ("UNIFIED", "FUND"))
    made = draft.draft(words=draft.Words(source, destination, "USDT", "0.01", "Bench"), maker=maker, at=timezone.now())
    return submit.submit(reference=made.reference, maker=maker, at=timezone.now())


def approved(count: int) -> list[str]:
    """Approved transfers that wait for the bell: not due before the benches ring."""
    checker = User.objects.get(username=f"{CHECKERS}-{RUN}")
    keys = []
    really, bell.ring_on_commit = bell.ring_on_commit, lambda transfer: None
    try:
        for _ in range(count):
            made = submitted()
            Transfer.objects.filter(pk=made.pk).update(due_at=None)
            approve.approve(
                reference=made.reference,
                checker=checker,
                digest=made.digest or "",
                round=made.round,
                factor="password",
                at=timezone.now() + timedelta(hours=1),
            )
            keys.append(str(made.key))
    finally:
        bell.ring_on_commit = really
    return keys


def ring() -> None:
    Transfer.objects.filter(connection=connection(), state="APPROVED").update(due_at=timezone.now())
    app.send_task(bell.DISPATCH, [connection().pk], queue="sends", retry=False)
