"""Who has fallen silent is named, with since when; who was never asked is not blamed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from celery.signals import after_task_publish
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from connectors.simulators.core import Simulator
from treasury import tasks
from treasury.celery import app
from treasury.controls import heartbeats
from treasury.controls.heartbeats import BEAT, CHORES, PARTS, READS, SENDS, beat, silent_since, trouble
from treasury.models import AuditEntry, Connection, Heartbeat
from treasury.transfers import guards

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 11, 20, 14, 2, 11, tzinfo=UTC)
SILENT = settings.SENDER_SILENT_AFTER
A_SECOND = timedelta(seconds=1)


def everybody(at: datetime, *, but: tuple[str, ...] = ()) -> None:
    for name in PARTS:
        if name not in but:
            beat(name, at)


def said(at: datetime) -> list[str]:
    return [silence.words for silence in silent_since(at)]


def test_while_everybody_works_nothing_is_said() -> None:
    everybody(NOON)
    assert said(NOON) == []
    assert said(NOON + SILENT) == []


def test_a_sign_is_one_row_of_one_statement_and_no_entry_in_the_log() -> None:
    for second in range(3):
        with CaptureQueriesContext(connection) as captured:
            beat(SENDS, NOON + second * A_SECOND)
        assert len(captured) == 1
    assert Heartbeat.objects.get().at == NOON + 2 * A_SECOND
    assert not AuditEntry.objects.exists()


def test_silence_is_found_with_one_question() -> None:
    everybody(NOON)
    with CaptureQueriesContext(connection) as captured:
        silent_since(NOON + 2 * SILENT)
    assert len(captured) == 1


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (SENDS, "Nothing is being sent: the sender stopped at 14:02:11 UTC."),
        (READS, "Balances and look-ups are not being read: the reader stopped at 14:02:11 UTC."),
        (CHORES, "Nothing is dispatched, settled or expired: the worker of the ticks stopped at 14:02:11 UTC."),
        (BEAT, "Nothing is dispatched, settled or expired: the clock stopped at 14:02:11 UTC."),
    ],
)
def test_one_that_stopped_is_named_with_its_last_sign_of_life_and_what_to_do(part: str, words: str) -> None:
    everybody(NOON)
    later = NOON + SILENT + A_SECOND
    everybody(later, but=(part,))
    (silence,) = silent_since(later)
    assert silence.words == words
    assert silence.since == NOON
    assert "again" in silence.remedy


def test_another_day_is_named() -> None:
    everybody(NOON)
    tomorrow = NOON + timedelta(days=1)
    everybody(tomorrow, but=(SENDS,))
    assert said(tomorrow) == ["Nothing is being sent: the sender stopped at 14:02:11 UTC on 20 Nov 2026."]


def test_where_nothing_has_ever_run_one_sentence_says_so() -> None:
    assert said(NOON) == ["Nothing is being sent: no sender has run yet."]


def test_a_part_that_never_ran_is_named_beside_those_that_do() -> None:
    everybody(NOON, but=(READS, BEAT))
    assert said(NOON) == [
        "Balances and look-ups are not being read: no reader has run yet.",
        "Nothing is dispatched, settled or expired: no clock has run yet.",
    ]


def test_without_the_clock_nobody_is_asked_so_the_workers_are_not_blamed() -> None:
    everybody(NOON)
    assert said(NOON + timedelta(hours=3)) == [
        "Nothing is dispatched, settled or expired: the clock stopped at 14:02:11 UTC."
    ]
    beat(SENDS, NOON + timedelta(hours=1))  # an approval woke it
    assert len(said(NOON + timedelta(hours=3))) == 1


def test_who_was_silent_before_the_clock_stopped_is_named_too() -> None:
    beat(SENDS, NOON - SILENT - A_SECOND)
    everybody(NOON, but=(SENDS,))
    told = said(NOON + timedelta(hours=3))
    assert told[0].startswith("Nothing is being sent: the sender stopped at 14:01:10 UTC.")
    assert len(told) == 2


def test_a_sign_from_long_after_now_is_no_sign() -> None:
    everybody(NOON + timedelta(hours=1), but=(BEAT,))
    beat(BEAT, NOON)
    assert "is dated 15:02:11 UTC, which is still to come" in said(NOON)[0]
    everybody(NOON)
    assert said(NOON) == []


def test_a_trouble_keeps_the_last_sign_and_gives_the_reason() -> None:
    everybody(NOON)
    trouble(SENDS, "has no disk")
    later = NOON + SILENT + A_SECOND
    everybody(later, but=(SENDS,))
    assert said(later) == ["Nothing is being sent since 14:02:11 UTC: the sender has no disk."]
    beat(SENDS, later)
    assert said(later) == []


def test_a_trouble_before_the_first_sign() -> None:
    everybody(NOON, but=(SENDS,))
    trouble(SENDS, "has no disk")
    assert said(NOON) == ["Nothing is being sent: the sender has no disk."]


def test_an_anchor_that_is_not_written_is_told_at_once() -> None:
    everybody(NOON)
    trouble(heartbeats.ANCHORS, "/anchors.jsonl: No space left on device")
    assert said(NOON) == [
        "The log is not being anchored outside the database: /anchors.jsonl: No space left on device."
    ]
    beat(heartbeats.ANCHORS, NOON)
    assert said(NOON + timedelta(days=1))[-1].startswith("Nothing is dispatched")


# -- who gives signs -----------------------------------------------------------------------------------------


def test_the_clock_asks_each_queue_for_a_sign_often_enough() -> None:
    asked = [entry for entry in app.conf.beat_schedule.values() if entry["task"] == tasks.HEARTBEAT]
    assert {(entry["options"]["queue"], *entry["args"]) for entry in asked} == {(q, q) for q in heartbeats.QUEUES}
    assert all(entry["schedule"] * 3 < SILENT for entry in asked)
    assert all(entry["options"]["expires"] < SILENT.total_seconds() for entry in asked)


def test_a_heartbeat_is_the_queues_own_sign() -> None:
    tasks.heartbeat(READS)
    sign = Heartbeat.objects.get()
    assert sign.name == READS
    assert sign.at is not None
    assert abs(timezone.now() - sign.at) < timedelta(seconds=5)


def test_a_worker_whose_clock_is_off_gives_no_sign_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = timezone.now()
    everybody(now)
    monkeypatch.setattr(guards, "CLOCKS_AGREE", timedelta(seconds=-1))
    assert tasks.alive(SENDS) is False
    assert Heartbeat.objects.get(name=SENDS).at == now
    assert "clock is" in caplog.text
    everybody(now + SILENT + A_SECOND, but=(SENDS,))
    (told,) = said(now + SILENT + A_SECOND)
    assert "the sender lives on a machine whose clock is more than -1 s off the database's" in told


def test_each_long_errand_gives_signs_between_its_transfers(connection: Connection, venue: Simulator) -> None:
    assert set(tasks.PART_OF) == {"send", "settle", "read"}
    tasks.refresh_connection(connection.pk)
    assert set(Heartbeat.objects.values_list("name", flat=True)) == {READS}
    tasks.each(connection.pk, "send", [], lambda transfer: None)
    assert set(Heartbeat.objects.values_list("name", flat=True)) == {READS, SENDS}


@pytest.mark.django_db(transaction=True)  # it closes its connection each time
def test_each_heartbeat_that_the_clock_puts_in_is_its_own_sign() -> None:
    after_task_publish.send(sender=tasks.HEARTBEAT)
    assert not Heartbeat.objects.exists(), "another process may put one in; only the clock's own says that it ticks"
    tasks.watch_the_clock()
    try:
        after_task_publish.send(sender="treasury.tick_settle")
        assert not Heartbeat.objects.exists()
        after_task_publish.send(sender=tasks.HEARTBEAT)
    finally:
        after_task_publish.disconnect(tasks.clock_ticked, sender=tasks.HEARTBEAT)
    assert Heartbeat.objects.get().name == BEAT
