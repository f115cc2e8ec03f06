"""What lies in the outbox leaves over real sockets: at least once, never lost, and usually once."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import signal
import socket
import threading
import time
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.conf import settings
from django.core import mail as django_mail
from django.db import transaction
from django.utils import timezone

from tests.audit.log import Beside
from tests.connectors.listener import Listener
from tests.house import amend, deactivate
from tests.journeys.conftest import start
from tests.notices.conftest import SECRET, only, point_at, told
from tests.notices.hook import Call, Hook
from tests.notices.mail_server import MailServer
from treasury import tasks
from treasury.models import Channel, Ending, Notice, User
from treasury.notices import post

pytestmark = pytest.mark.django_db(transaction=True)


def posted(after: timedelta = timedelta(0)) -> int:
    return post.post(now=lambda: timezone.now() + after)


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


# -- e-mail ------------------------------------------------------------------------------------------------------


def test_a_letter_arrives_as_it_was_written(checker: User, mail: MailServer) -> None:
    told(checker)
    assert posted() == 1
    (letter,) = mail.letters
    notice = only()
    assert letter["To"] == checker.email
    assert letter["From"] == "treasury@localhost"
    assert letter["Subject"] == notice.title
    assert letter.get_content().replace("\r\n", "\n") == notice.text
    assert letter["Auto-Submitted"] == "auto-generated"
    assert (notice.tries, notice.problem) == (1, "")
    assert notice.sent_at is not None


def test_what_was_sent_is_not_sent_again(checker: User, mail: MailServer) -> None:
    told(checker)
    assert [posted(), posted(), posted(timedelta(days=1))] == [1, 0, 0]
    assert len(mail.letters) == 1


def test_nothing_leaves_before_its_act_is_committed(checker: User, mail: MailServer) -> None:
    with transaction.atomic():
        told(checker)
        assert Beside(posted).join() == 0
        transaction.set_rollback(True)
    assert posted() == 0
    assert mail.letters == []


@pytest.mark.parametrize(
    ("word", "answer", "problem"),
    [
        ("RCPT", "550 no such person", "refused the recipient: 550 no such person"),
        ("TAKEN", "451 try later", "answered: 451 try later"),
        ("HELLO", "421 closing", "answered: 421"),
        ("DATA", "554 spam", "answered: 554 spam"),
    ],
)
def test_what_the_server_refuses_waits_and_says_why(
    checker: User, mail: MailServer, word: str, answer: str, problem: str
) -> None:
    told(checker)
    mail.answers[word] = answer
    assert posted() == 0
    assert problem in only().problem
    assert only().sent_at is None
    assert posted() == 0, "not before the wait is over"
    mail.answers.clear()
    assert posted(timedelta(seconds=31)) == 1
    assert only().problem == ""


def test_a_dead_mail_server_costs_one_try_and_not_the_webhook(
    checker: User, checker2: User, mail: MailServer, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "EMAIL_PORT", closed_port())
    told(checker, checker2)
    assert posted() == 1
    assert len(hook.calls) == 1
    tried = Notice.objects.filter(channel=Channel.MAIL, tries=1)
    assert "could not be used (ConnectionRefusedError)" in tried.get().problem
    assert posted() == 0  # the other one's turn
    assert tried.count() == 2


def test_a_failed_sign_in_does_not_write_down_what_was_said(
    checker: User, mail: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "EMAIL_HOST_USER", "treasury")
    monkeypatch.setattr(settings, "EMAIL_HOST_PASSWORD", "mail-password-canary")
    mail.answers["EHLO"] = "250-mail.test\r\n250 AUTH PLAIN"
    mail.answers["AUTH"] = "535 wrong: mail-password-canary"
    told(checker)
    assert posted() == 0
    assert only().problem == "The mail server did not accept our sign-in (535)."
    mail.answers["AUTH"] = "235 welcome"
    mail.answers["RCPT"] = "550 mail-password-canary is not welcome"
    assert posted(timedelta(minutes=1)) == 0
    assert "canary" not in only().problem


def test_a_refused_recipient_does_not_rest_the_channel(checker: User, checker2: User, mail: MailServer) -> None:
    mail.refused = {checker.email: "550 no such person"}
    told(checker, once="test:1")
    told(checker2, once="test:2")
    assert posted() == 1
    assert mail.recipients() == [checker2.email]
    dead = Notice.objects.get(to=checker.email)
    assert (dead.tries, dead.refused, dead.ending) == (1, True, "")


def test_a_server_that_closes_at_a_recipient_rests_the_channel(checker: User, checker2: User, mail: MailServer) -> None:
    mail.answers["RCPT"] = "421 closing"
    told(checker, checker2)
    assert posted() == 0
    assert sorted(Notice.objects.values_list("tries", flat=True)) == [0, 1]


@pytest.mark.parametrize(("answer", "tried"), [("554 spam", 2), ("451 later", 1)])
def test_a_text_refused_for_good_does_not_rest_the_channel(
    checker: User, checker2: User, mail: MailServer, answer: str, tried: int
) -> None:
    mail.answers["TAKEN"] = answer
    told(checker, checker2)
    assert posted() == 0
    assert mail.sessions == tried


def test_twenty_dead_letters_delay_a_living_one_by_no_try(checker: User, checker2: User, mail: MailServer) -> None:
    mail.refused = {checker.email: "550 no such person"}
    for number in range(20):
        told(checker, once=f"dead:{number}")
    assert posted() == 0
    assert Notice.objects.filter(tries=1).count() == 20
    later = timezone.now() + timedelta(hours=2)
    told(checker2, once="living", at=later)
    mail.asked.clear()
    assert post.post(now=lambda: later) == 1
    assert mail.asked[0] == checker2.email
    assert len(mail.asked) == 21


def test_a_living_letter_that_failed_often_goes_before_dead_ones_that_failed_once(
    checker: User, checker2: User, mail: MailServer
) -> None:
    told(checker2, once="living")
    Notice.objects.update(tries=9)  # the server was away
    told(checker, once="dead")
    Notice.objects.filter(to=checker.email).update(tries=1, refused=True)
    Notice.objects.filter(to=checker2.email).update(due_at=timezone.now())
    posted()
    assert mail.asked == [checker2.email, checker.email]


def test_letters_to_people_who_have_left_are_dropped_without_a_try(
    checker: User, checker2: User, mail: MailServer
) -> None:
    for number in range(20):
        told(checker, once=f"test:{number}")
    deactivate(checker)
    amend(checker2, email=checker2.email.upper())
    told(checker2, once="living")
    Notice.objects.filter(once__startswith="living").update(to=checker2.email.lower())
    assert posted() == 1
    assert mail.asked == [checker2.email.lower()]
    dropped = Notice.objects.filter(ending=Ending.DROPPED)
    assert dropped.count() == 20
    assert {(one.problem, one.tries, one.sent_at) for one in dropped} == {(post.GONE, 0, None)}
    assert all(one.ended_at for one in dropped)
    assert post.troubled(timezone.now() + timedelta(hours=2)) == post.Trouble(given_up=0, waiting=0)
    assert not post.is_due(at=timezone.now() + timedelta(days=1))
    amend(checker, active=True)
    assert posted(timedelta(days=1)) == 0, "what has ended stays so"


def test_who_shares_the_address_of_one_who_left_still_gets_it(checker: User, checker2: User, mail: MailServer) -> None:
    told(checker)
    amend(checker2, email=checker.email)
    deactivate(checker)
    assert posted() == 1


@pytest.mark.parametrize("word", ["RCPT", "HELLO"])
def test_a_week_old_letter_is_given_up_with_one_alarm(
    checker: User, mail: MailServer, word: str, caplog: pytest.LogCaptureFixture
) -> None:
    mail.answers[word] = "450 later"
    told(checker)
    written = only().written_at
    just_before = written + post.GIVEN_UP_AFTER - timedelta(seconds=1)
    assert post.post(now=lambda: just_before) == 0
    assert "ALARM" not in caplog.text
    assert only().ended_at is None
    over = just_before + timedelta(hours=1)
    for _ in range(3):
        assert post.post(now=lambda: over) == 0
    assert [record.levelname for record in caplog.records].count("CRITICAL") == 1
    assert "is given up after 2 tries" in caplog.text
    notice = only()
    assert (notice.ending, notice.ended_at, notice.sent_at, notice.tries) == (Ending.GIVEN_UP, over, None, 2)
    assert "450 later" in notice.problem
    mail.answers.clear()
    assert post.post(now=lambda: over + timedelta(days=1)) == 0


def test_a_week_old_letter_that_is_taken_at_last_is_sent(checker: User, mail: MailServer) -> None:
    told(checker)
    assert posted(timedelta(days=30)) == 1


def test_operators_learn_how_many_were_given_up_and_how_many_are_late(
    checker: User, checker2: User, mail: MailServer
) -> None:
    at = timezone.now()
    told(checker, once="late", at=at)
    assert post.troubled(at + timedelta(minutes=59)) == post.Trouble(given_up=0, waiting=0)
    assert post.troubled(at + timedelta(hours=1)) == post.Trouble(given_up=0, waiting=1)
    mail.refused = {checker.email: "550 no such person"}
    assert post.post(now=lambda: at + timedelta(days=7)) == 0
    assert post.troubled(at + timedelta(days=7)) == post.Trouble(given_up=1, waiting=0)
    assert post.troubled(at + timedelta(days=14)) == post.Trouble(given_up=0, waiting=0), "a week later it is history"
    told(checker2, once="fine", at=at)
    assert posted() == 1
    assert post.troubled(at + timedelta(hours=1)).waiting == 0


def test_waits_double_from_half_a_minute_to_an_hour(checker: User, mail: MailServer) -> None:
    mail.answers["RCPT"] = "450 later"
    told(checker)
    clock, waits = timezone.now(), []
    for _ in range(10):
        assert post.post(now=lambda: clock) == 0  # noqa: B023
        waits.append(round((only().due_at - clock).total_seconds()))
        clock = only().due_at
    assert waits == [30, 60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]
    assert post.wait(10_000) == timedelta(hours=1)


def test_two_posters_at_once_send_each_letter_once(checker: User, mail: MailServer) -> None:
    for number in range(30):
        told(checker, once=f"test:{number}", title=f"letter {number}")
    at_work = [Beside(posted) for _ in range(3)]
    assert sum(one.join() for one in at_work) == 30
    assert len({letter["Subject"] for letter in mail.letters}) == len(mail.letters) == 30


def test_who_dies_between_send_and_mark_leaves_a_letter_that_comes_again(checker: User, mail: MailServer) -> None:
    told(checker)
    lines = "import django; django.setup()\nfrom treasury.notices import post\nfrom django.utils import timezone\n"
    process = start("-c", f"{lines}post.post(now=timezone.now)", TREASURY_EMAIL_URL=f"smtp://127.0.0.1:{mail.port}")
    mail.on_taken = lambda: process.send_signal(signal.SIGKILL)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, output
    assert len(mail.letters) == 1
    assert only().sent_at is None

    mail.on_taken = lambda: None
    assert posted() == 0, "the dead one's claim still stands"
    assert posted(post.CLAIMED_FOR) == 1
    first, again = mail.letters
    assert first["Message-ID"] == again["Message-ID"]


def test_in_practice_without_a_mail_server_each_letter_is_a_file(
    checker: User, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "EMAIL_BACKEND", "django.core.mail.backends.filebased.EmailBackend")
    monkeypatch.setattr(settings, "EMAIL_FILE_PATH", tmp_path / "mail")
    told(checker)
    assert posted() == 1
    (letter,) = (tmp_path / "mail").iterdir()
    assert "waits for your decision" in letter.read_text()


def test_the_tick_posts_and_a_second_one_beside_it_does_not_wait(checker: User) -> None:
    told(checker)
    with tasks.one_at_a_time(None, "post") as mine:
        assert mine
        tasks.tick_post()
        assert django_mail.outbox == []
    until = time.monotonic() + 10
    while not django_mail.outbox and time.monotonic() < until:  # the lock ends with its session, a moment later
        tasks.tick_post()
    assert [letter.to for letter in django_mail.outbox] == [[checker.email]]


# -- the webhook -------------------------------------------------------------------------------------------------


def is_genuine(call: Call, secret: str = SECRET) -> bool:
    """As a receiver would check it, from the words of docs/settings.md alone."""
    given = re.fullmatch(r"t=(\d+),v1=([0-9a-f]{64})", call.headers["x-treasury-signature"])
    assert given is not None
    assert abs(int(given[1]) - time.time()) < 60
    expected = hmac.new(secret.encode(), given[1].encode() + b"." + call.body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected, given[2])


def test_the_webhook_gets_a_signed_message(hook: Hook) -> None:
    told()
    assert posted() == 1
    (call,) = hook.calls
    assert is_genuine(call)
    assert not is_genuine(call, "another secret")
    assert not is_genuine(Call(call.path, call.headers, call.body.replace(b"waits", b"wants")))
    said, notice = json.loads(call.body), only()
    assert said == {
        "id": notice.pk,
        "kind": "test.tell",
        "subject": "transfer:TR-000001",
        "title": notice.title,
        "text": notice.text,
        "at": said["at"],
    }
    assert datetime.fromisoformat(said["at"]) == notice.written_at
    assert call.headers["content-type"] == "application/json"
    assert call.path == "/told?token=hook-address-canary"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(hook: Hook, status: int) -> None:
    told()
    hook.answers = [(status, {"Location": hook.url})]
    assert posted() == 0
    assert len(hook.calls) == 1
    assert only().problem == f"The webhook answered {status}."


@pytest.mark.parametrize(
    ("status", "calls"), [(400, 2), (404, 2), (410, 2), (408, 1), (425, 1), (429, 1), (500, 1), (503, 1), (302, 1)]
)
def test_a_refused_message_does_not_rest_the_webhook_and_a_failing_webhook_rests(
    hook: Hook, status: int, calls: int
) -> None:
    told(once="test:1")
    told(once="test:2")
    hook.answers = [(status, {})]
    assert posted() == calls - 1
    assert len(hook.calls) == calls


@pytest.mark.parametrize("status", [400, 404, 500, 503])
def test_an_error_is_tried_again(hook: Hook, status: int) -> None:
    told()
    hook.answers = [(status, {})]
    assert posted() == 0
    assert only().problem == f"The webhook answered {status}."
    assert posted(timedelta(seconds=31)) == 1
    assert json.loads(hook.calls[0].body)["id"] == json.loads(hook.calls[1].body)["id"]


def test_a_dead_webhook_is_tried_again_and_its_address_not_written_down(
    hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    told()
    monkeypatch.setattr(settings, "WEBHOOK_URL", f"http://127.0.0.1:{closed_port()}/told?token=canary")
    assert posted() == 0
    assert only().problem == "The webhook did not answer (ConnectError)."
    monkeypatch.setattr(settings, "WEBHOOK_URL", hook.url)
    assert posted(timedelta(seconds=31)) == 1


def drip_head(connection: socket.socket, stopping: threading.Event) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while not stopping.wait(0.05):
        connection.sendall(b"X-More: x\r\n")


def test_a_dripping_answer_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(post, "CALL_LIMIT", timedelta(seconds=0.4))
    with Listener(drip_head) as listener:
        point_at(f"{listener.url}/told", monkeypatch)
        told()
        began = time.monotonic()
        assert posted() == 0
        assert time.monotonic() - began < 2
    assert only().problem == "The webhook did not answer (no answer within 0.4 s)."


def test_proxies_of_the_environment_are_not_used(hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port()}")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    told()
    assert posted() == 1


def test_without_a_webhook_what_waits_for_one_keeps_waiting(hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    told()
    monkeypatch.setattr(settings, "WEBHOOK_URL", "")
    assert posted() == 0
    monkeypatch.setattr(settings, "WEBHOOK_URL", hook.url)
    assert posted() == 1


def test_what_has_had_no_webhook_for_a_week_is_dropped(hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    told()
    monkeypatch.setattr(settings, "WEBHOOK_URL", "")
    assert posted(post.GIVEN_UP_AFTER) == 0
    assert (only().ending, only().problem) == (Ending.DROPPED, post.NO_HOOK)


def test_a_long_queue_gives_its_slot_back(checker: User, mail: MailServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(post, "RUN_FOR", timedelta(0))
    told(checker)
    assert posted() == 0
