"""What the clock tells: a decision nearly too late, once; doubt that lasts, again and again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from django.conf import settings
from django.utils import timezone

from connectors.core.protocol import Receipt
from tests.house import amend, deactivate
from tests.notices import happenings as h
from treasury import tasks, venues
from treasury.models import Kind, Notice, Transfer, User
from treasury.transfers import attempts, dispatch, reminders

pytestmark = pytest.mark.django_db

Made = Callable[..., Transfer]
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def told(kind: str) -> int:
    return Notice.objects.filter(kind=kind).count()


def expires_at(transfer: Transfer) -> datetime:
    assert transfer.expires_at is not None
    return transfer.expires_at


def test_one_hour_before_it_expires_whoever_can_decide_is_told_once(submitted: Made, checker: User) -> None:
    end = expires_at(submitted())
    for left, count in ((61 * MINUTE, 0), (60 * MINUTE, 1), (59 * MINUTE, 1), (MINUTE, 1), (timedelta(0), 1)):
        reminders.expiring(end - left)
        assert told("transfer.expiring") == count, left


def test_what_no_longer_waits_is_not_about_to_expire(approved: Made) -> None:
    h.nearly_expired(approved())
    assert told("transfer.expiring") == 0


def test_a_fresh_doubt_calls_nobody(approved: Made, operator: User) -> None:
    h.doubtful(approved())
    reminders.doubts(timezone.now() + 9 * MINUTE)
    assert told("transfer.doubt") == 0


def test_doubt_is_told_once_and_again_every_four_hours_while_it_lasts(approved: Made, operator: User) -> None:
    transfer = h.doubtful(approved())
    since = transfer.attempts.get().concluded_at
    assert since is not None
    first = since + settings.DOUBT_TOLD_AFTER
    for later, count in ((0, 1), (1, 1), (239, 1), (240, 2), (250, 2), (479, 2), (480, 3)):
        reminders.doubts(first + later * MINUTE)
        assert told("transfer.doubt") == count, later


def test_doubt_that_was_settled_calls_nobody(approved: Made, operator: User) -> None:
    transfer = h.doubtful(approved())
    again = attempts.enter(transfer, kind=Kind.RESEND, at=timezone.now(), action="transfer.resend")
    attempts.conclude(attempt_id=again.pk, answer=Receipt(settled=True, record="V1"), now=timezone.now)
    reminders.doubts(timezone.now() + HOUR)
    assert told("transfer.doubt") == 0


def test_an_attempt_whose_worker_died_is_doubt_as_well(approved: Made, operator: User) -> None:
    attempt = dispatch.claim(reference=approved().reference, at=timezone.now())
    assert attempt is not None
    reminders.doubts(attempt.call_ends_at + settings.DOUBT_TOLD_AFTER)
    assert told("transfer.doubt") == 1


def test_what_is_overdue_at_the_venue_is_told(approved: Made, operator: User) -> None:
    transfer = h.taken(approved())
    limit = venues.declared(transfer.connection.venue).settle_limit
    reminders.doubts(transfer.changed_at + limit - MINUTE)
    assert told("transfer.doubt") == 0
    reminders.doubts(transfer.changed_at + limit + MINUTE)
    assert "has not settled" in Notice.objects.get(kind="transfer.doubt").text


def test_an_open_contradiction_is_told_while_it_is_open(approved: Made, operator: User) -> None:
    found = h.contradicted(h.refused(approved()))
    reminders.doubts(found.at + 9 * MINUTE)
    assert told("transfer.doubt") == 0
    reminders.doubts(found.at + 10 * MINUTE)
    assert "contradicts" in Notice.objects.get(kind="transfer.doubt").text


def test_how_old_a_told_doubt_is_can_be_set(approved: Made, operator: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "DOUBT_TOLD_AFTER", timedelta(0))
    h.doubtful(approved())
    tasks.tick_tell()
    assert told("transfer.doubt") == 1


def test_operators_who_come_later_are_told_of_what_still_lasts(
    approved: Made, checker: User, operator: User, operator2: User
) -> None:
    deactivate(operator2)
    h.doubtful(approved())
    h.long_in_doubt()
    assert told("transfer.doubt") == 1
    amend(operator2, active=True)
    h.long_in_doubt()
    assert told("transfer.doubt") == 2
