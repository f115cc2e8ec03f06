"""Written with the act or not at all; once for each address; to nobody who has left."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.conf import settings
from django.db import OperationalError, transaction
from django.utils import timezone

from tests.house import amend, deactivate
from tests.notices.conftest import told
from tests.notices.hook import Hook
from treasury.controls import stops, telling
from treasury.models import Channel, Connection, Notice, State, StopOrder, Transfer, User
from treasury.notices import outbox
from treasury.transfers import lifecycle, submit

pytestmark = pytest.mark.django_db


@pytest.mark.django_db(transaction=True)
def test_a_message_outside_the_transaction_of_its_act_is_refused(checker: User) -> None:
    with pytest.raises(outbox.OutsideTransaction):
        outbox.tell(kind="a.b", subject="a:1", title="t", text="t", path="/", to=[checker], at=timezone.now(), once="1")
    assert not Notice.objects.exists()


def test_a_step_that_is_rolled_back_was_told_to_nobody(drafted: Callable[..., Transfer], checker: User) -> None:
    draft = drafted()
    with transaction.atomic():
        submit.submit(reference=draft.reference, maker=draft.maker, at=timezone.now())
        assert Notice.objects.count() == 1
        transaction.set_rollback(True)
    assert not Notice.objects.exists()


def test_the_same_happening_is_told_to_an_address_once(checker: User, checker2: User) -> None:
    told(checker)
    told(checker, checker2)
    told(checker, once="test:2")
    assert Notice.objects.filter(to=checker.email).count() == 2
    assert Notice.objects.filter(to=checker2.email).count() == 1


def test_people_who_share_an_address_get_one_message(checker: User, checker2: User) -> None:
    amend(checker2, email=checker.email.upper())
    told(checker, checker2)
    assert Notice.objects.count() == 1


def test_the_longest_address_fits(checker: User) -> None:
    amend(checker, email=f"{'a' * 64}@{'b' * 185}.org")
    told(checker, once="transfer.expiring:TR-000000000001:20261120T090000:1000000")
    assert Notice.objects.count() == 1


def test_the_deactivated_and_those_without_an_address_get_nothing(checker: User, checker2: User) -> None:
    deactivate(checker)
    amend(checker2, email="")
    told(checker, checker2)
    assert not Notice.objects.exists()


def test_an_address_that_cannot_exist_is_written_to_in_practice_only(
    checker: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert checker.email.endswith(".invalid")
    monkeypatch.setattr(settings, "PRACTICE", False)
    told(checker)
    assert not Notice.objects.exists()
    monkeypatch.setattr(settings, "PRACTICE", True)
    told(checker)
    assert Notice.objects.get().to == checker.email


def test_the_webhook_is_told_once_whoever_else_is_and_its_own_secret_is_not_written_down(
    checker: User, hook: Hook
) -> None:
    told(checker)
    told(checker)
    notice = Notice.objects.get(channel=Channel.WEBHOOK)
    assert hook.url.startswith(notice.to)
    assert "canary" not in notice.to


def test_without_a_webhook_nothing_is_written_for_one(checker: User) -> None:
    told(checker)
    assert not Notice.objects.filter(channel=Channel.WEBHOOK).exists()


def test_a_message_ends_with_its_link_and_with_what_it_does_not_do(checker: User) -> None:
    told(checker)
    assert Notice.objects.get().text == (
        "Nothing moved yet.\n\nhttp://localhost:8000/transfers/TR-000001/\n\n"
        "Nothing is decided by this message; the page asks you to sign in.\n"
    )


def test_a_defect_in_telling_does_not_hold_up_money(
    drafted: Callable[..., Transfer], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither an error of Python's nor one that PostgreSQL itself finds."""
    draft = drafted()
    for broken in (lambda happening, channel, address: "x" * 1000, lambda: None):
        monkeypatch.setattr(outbox, "_once", broken)
        with transaction.atomic():
            lifecycle.advance(
                lifecycle.locked(draft.reference),
                State.CANCELLED,
                by=None,
                at=timezone.now(),
                action="t.t",
                outcome="x",
            )
            assert Transfer.objects.get().state == State.CANCELLED
            transaction.set_rollback(True)
        assert "nobody was told" in caplog.text
        caplog.clear()


def test_a_defect_in_telling_does_not_undo_a_stop(
    connection: Connection, operator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "tell", None)
    stops.stop(connection=connection, reason="drill", by=operator, at=timezone.now())
    assert StopOrder.objects.count() == 1


def test_a_lost_database_is_heard_of() -> None:
    with pytest.raises(OperationalError), outbox.beside("it"):
        raise OperationalError
