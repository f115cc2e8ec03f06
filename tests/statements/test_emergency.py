"""The one emergency act is a stop: made by one person at once, ended by two, and looked at by a second one in time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone

from tests.house import amend, person
from tests.statements.proves import proves
from treasury.controls import changes, stops
from treasury.controls.roles import AUDITORS, OPERATORS
from treasury.models import AuditEntry, Connection, Notice, State, StopOrder, Transfer, User
from treasury.transfers import dispatch, reminders

pytestmark = pytest.mark.django_db(transaction=True)

MINUTE = timedelta(minutes=1)


def stopped(connection: Connection, by: User) -> StopOrder:
    return stops.stop(connection=connection, reason="The screens look wrong", by=by, at=timezone.now())


def ask(order: StopOrder, by: User) -> changes.Change:
    return stops.propose_release(stop_order_id=order.pk, by=by, reason="They look right", at=timezone.now())


def told() -> set[str]:
    return set(Notice.objects.filter(kind="stop.review").values_list("to", flat=True))


def page(reader: User) -> str:
    client = Client()
    client.force_login(reader, backend="django.contrib.auth.backends.ModelBackend")
    return " ".join(client.get("/stops/").content.decode().split())


def sent(transfer: Transfer) -> bool:
    """Whether the dispatcher takes it."""
    at = timezone.now()
    Transfer.objects.filter(pk=transfer.pk).update(due_at=at)
    return dispatch.claim(reference=transfer.reference, at=at) is not None


@proves(
    "S14",
    "treasury/controls/stops.py:stop",
    "treasury/controls/stops.py:confirm_release",
    "treasury/controls/stops.py:reviews",
    "treasury/transfers/reminders.py:unreviewed_stops",
    "treasury/transfers/guards.py:not_stopped",
)
def test_s14_a_stop_is_the_one_emergency_act_and_a_second_person_looks_at_it(
    approved: Callable[..., Transfer], connection: Connection, operator: User, operator2: User
) -> None:
    auditor = person("reader", AUDITORS)
    transfer = approved()
    order = stopped(connection, operator)
    entry = AuditEntry.objects.get(action="stop.order")
    assert (entry.actor, entry.facts["reason"], entry.facts["stop"]) == ("admin", order.reason, order.pk)

    # Nobody sends past it: neither flag nor role helps, and whoever stopped it cannot end it alone.
    assert operator.is_superuser
    assert not sent(transfer)
    asked = ask(order, operator)
    with pytest.raises(changes.MayNotChange):
        stops.confirm_release(change_id=asked.pk, by=operator, digest=asked.digest, at=timezone.now())
    assert not sent(transfer)

    # Within the hours nobody is told; after them operators and auditors are, and the auditor's page says it.
    within = settings.STOP_REVIEW_WITHIN
    reminders.unreviewed_stops(order.since + within - MINUTE)
    assert told() == set()
    assert "A second person looks at it by" in page(auditor)
    reminders.unreviewed_stops(order.since + within + MINUTE)
    assert told() == {"admin@treasury.invalid", "admin2@treasury.invalid", "reader@treasury.invalid"}
    late = StopOrder.objects.get(pk=order.pk)
    assert "The screens look wrong" in page(auditor)
    assert stops.review_due(late, None) == order.since + within

    # A second person says that it stays, and why: that is a review, and the hours begin anew.
    declined_at = order.since + within + 2 * MINUTE
    changes.decline(change_id=asked.pk, by=operator2, reason="Not yet: one screen is still wrong", at=declined_at)
    Notice.objects.all().delete()
    reminders.unreviewed_stops(declined_at + within - MINUTE)
    assert told() == set()
    reminders.unreviewed_stops(declined_at + within + MINUTE)
    reminders.unreviewed_stops(declined_at + within + 2 * MINUTE)
    assert Notice.objects.filter(kind="stop.review", to="reader@treasury.invalid").count() == 1
    reminders.unreviewed_stops(declined_at + 2 * within + MINUTE)
    assert Notice.objects.filter(kind="stop.review", to="reader@treasury.invalid").count() == 2

    # Two release it, both named where the auditor reads it, and only then does it go out.
    again = ask(order, operator)
    stops.confirm_release(change_id=again.pk, by=operator2, digest=again.digest, at=timezone.now())
    assert "They look right" in page(auditor)
    assert sent(transfer)
    transfer.refresh_from_db()
    assert transfer.state == State.DISPATCHING


def test_one_person_with_two_sign_ins_does_not_release_alone(connection: Connection, operator: User) -> None:
    twin = person("second", OPERATORS)
    amend(twin, person=operator.person)
    order = stopped(connection, operator)
    asked = ask(order, operator)
    with pytest.raises(changes.MayNotChange):
        stops.confirm_release(change_id=asked.pk, by=twin, digest=asked.digest, at=timezone.now())
    order.refresh_from_db()
    assert order.released_at is None


def test_a_stop_that_stands_late_says_so_on_its_page(
    connection: Connection, operator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped(connection, operator)
    monkeypatch.setattr(settings, "STOP_REVIEW_WITHIN", timedelta(0))
    assert "No second person has looked at it; one was to by" in page(operator)
