"""Nothing in a message that should not be in a mailbox, in any message that the product can write."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest
from django.urls import resolve
from django.utils import timezone

from connectors.simulators.core import Simulator
from tests.notices import happenings as h
from tests.notices.hook import Hook
from treasury.models import Notice, Transfer, User
from treasury.notices import post
from treasury.transfers import reminders, submit, telling

pytestmark = pytest.mark.django_db(transaction=True)

AMOUNT, REASON = "12.625", "Zebra payroll"
KINDS = {
    *(words.kind for words in (*telling.ASKS.values(), *telling.TELLS.values())),
    *("contradiction.open", "transfer.expiring", "transfer.doubt", "stop.order", "stop.release", "change.propose"),
    *("log.broken", "stop.review"),
}


@pytest.fixture
def everything(
    drafted: Callable[..., Transfer],
    checker: User,
    checker2: User,
    operator: User,
    operator2: User,
    auditor: User,
    hook: Hook,
    monkeypatch: pytest.MonkeyPatch,
) -> list[Notice]:
    """A whole journey in which all happens that anybody is told of."""

    def submitted() -> Transfer:
        draft = drafted(amount=AMOUNT, reason=REASON)
        return submit.submit(reference=draft.reference, maker=draft.maker, at=timezone.now())

    def approved() -> Transfer:
        return h.decide(submitted(), checker)

    h.settled(approved())
    h.contradicted(h.refused(approved()))
    h.doubtful(approved())
    h.reject(submitted(), checker2)
    h.expired(submitted())
    h.cancelled(submitted(), operator)
    h.nearly_expired(h.sent_back(approved(), timezone.now()))
    overdue = h.taken(approved())
    reminders.doubts(timezone.now() + 12 * h.HOUR)
    order = h.stopped(overdue, operator)
    h.decide(submitted(), checker)  # approved, and held by the stop
    reminders.unreviewed_stops(timezone.now() + 25 * h.HOUR)
    h.released(order, operator, operator2)
    h.log_broken()
    return list(Notice.objects.all())


def test_the_journey_has_every_kind_of_message(everything: list[Notice]) -> None:
    assert {notice.kind for notice in everything} == KINDS
    assert len({notice.title for notice in everything}) >= len(KINDS)


def test_no_message_says_what_moves_where_or_who_does(everything: list[Notice], hook: Hook, venue: Simulator) -> None:
    post.post(now=timezone.now)
    said = [json.loads(call.body) for call in hook.calls]
    texts = [f"{n.kind}\n{n.subject}\n{n.title}\n{n.text}" for n in everything]
    texts += ["\n".join([each["kind"], each["subject"], each["title"], each["text"]]) for each in said]
    assert len(said) > len(KINDS)
    transfer = Transfer.objects.select_related("connection", "source", "destination").latest("pk")
    secret = {
        *(AMOUNT, REASON, "12,625", "usdt", "payroll", "wrong month", "fire drill", "the drill is over"),
        *(transfer.connection.name, transfer.connection.login, venue.name, transfer.connection.environment),
        *(transfer.source.address, transfer.destination.address, transfer.source.title, transfer.destination.title),
        *(str(transfer.key), str(transfer.digest)),
        *User.objects.values_list("username", flat=True),
        *(str(user) for user in User.objects.all()),
        *User.objects.values_list("email", flat=True),
    }
    for text in texts:
        words = text.lower()
        found = {one for one in secret if re.search(rf"(?<!\w){re.escape(one.lower())}(?!\w)", words)}
        assert not found, (found, text)


def test_every_number_in_a_message_is_part_of_its_reference(everything: list[Notice]) -> None:
    for notice in everything:
        known = re.sub(r"TR-\d{6,12}|http://localhost:8000|(stop|change):\d+", "", f"{notice.subject} {notice.text}")
        assert not re.search(r"\d", known), known


def test_every_link_opens_a_page(everything: list[Notice]) -> None:
    for notice in everything:
        (link,) = re.findall(r"^http://localhost:8000(/\S*)$", notice.text, re.MULTILINE)
        assert resolve(link)
        assert notice.text.endswith("Nothing is decided by this message; the page asks you to sign in.\n")
