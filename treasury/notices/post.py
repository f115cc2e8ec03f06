"""The post: takes what is due out of the outbox and sends it, at least once, never inside a transaction.

A message is claimed by putting its next try off, then sent, then marked. Who dies in between leaves a message that is
due again when the claim is over: it may come twice, under the same id, and it is never lost.

What ends without having been sent stays in the outbox with its reason: a letter whose reader is gone, and a message
that nobody took for a week, which calls people.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import smtplib
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.db import transaction
from django.db.models import Exists, F, OuterRef, QuerySet

from treasury import outbound
from treasury.models import Channel, Ending, Notice, User
from treasury.models.text import clean
from treasury.notices import links, webhook
from treasury.notices.outbox import MOVED
from treasury.notices.ways import Refused, host_of
from treasury.pace import paced

log = logging.getLogger(__name__)

CLAIMED_FOR = timedelta(minutes=2)  # longer than a send can take; whoever died in it, the message is due again
WAIT_FIRST, WAIT_MOST = timedelta(seconds=30), timedelta(hours=1)
RUN_FOR = timedelta(seconds=20)  # one run gives its slot back then; the next one goes on
CALL_LIMIT = timedelta(seconds=10)  # of a webhook's whole answer; of each step of a mail server's
GIVEN_UP_AFTER = timedelta(days=7)  # since it was written, when a try fails again
TROUBLED_AFTER = timedelta(hours=1)
GONE = "Not sent. Nobody who is active has this address any more."
NO_LINK = "Not sent. They have chosen a password already."
NO_HOOK = "Not sent. There has been no webhook for a week."
CLOSING = 421  # what a mail server says that ends the session, whatever it was asked
LATER = frozenset({408, 425, 429})  # of a webhook's 4xx: they mean all messages, not this one
LONGEST_PROBLEM = 300  # characters


class NotSent(Exception):
    """The other side did not take it. The text is kept with the message, and holds no secret."""


class NotTaken(NotSent):
    """The other side refused this very message; it may take the next one."""


@dataclass(frozen=True)
class Trouble:
    """How many messages have not reached their readers: given up within a week, and under way for over an hour."""

    given_up: int
    waiting: int


def post(*, now: Callable[[], datetime]) -> int:
    """Send what is due; returns how many messages left.

    When a channel fails it rests until the next run, so that a dead mail server holds nobody up. A message that is
    refused itself waits alone.
    """
    _drop(now())
    channels = [Channel.MAIL, *([Channel.WEBHOOK] if webhook.address() else [])]
    ends_at, sent = time.monotonic() + RUN_FOR.total_seconds(), 0
    while channels and time.monotonic() < ends_at and (notice := _claim(channels, now())):
        failure = _send(notice, now())
        if failure is None:
            Notice.objects.filter(pk=notice.pk).update(problem="", sent_at=now())
            sent += 1
            continue
        _put_off(notice, failure, now())
        if not isinstance(failure, NotTaken):
            channels.remove(Channel(notice.channel))
    return sent


def is_due(*, at: datetime) -> bool:
    return waiting().filter(due_at__lte=at).exists()


def waiting() -> QuerySet[Notice]:
    """What is still to be sent."""
    return Notice.objects.filter(sent_at=None, ended_at=None)


def troubled(at: datetime) -> Trouble:
    """What operators should know of the post: nothing is wrong where both are 0. What was dropped is no trouble."""
    given_up = Notice.objects.filter(ending=Ending.GIVEN_UP, sent_at=None, ended_at__gt=at - GIVEN_UP_AFTER)
    late = waiting().filter(written_at__lte=at - TROUBLED_AFTER)
    return Trouble(given_up=given_up.count(), waiting=late.count())


def wait(tries: int) -> timedelta:
    """How long to wait after so many failed tries: 30 s, doubling, at most an hour."""
    return paced(min(WAIT_FIRST * (1 << min(max(tries - 1, 0), 20)), WAIT_MOST))


def _drop(at: datetime) -> None:
    """End the letters to people who have left since, before anything is tried; and what has had no webhook for long."""
    reader = User.objects.filter(email__iexact=OuterRef("to"), is_active=True)
    gone = waiting().filter(~Exists(reader), due_at__lte=at, channel=Channel.MAIL).exclude(kind=MOVED)
    if count := gone.update(ending=Ending.DROPPED, ended_at=at, problem=GONE):
        log.warning("%s letters to people who are not active any more are not sent", count)
    links.needless(waiting()).update(ending=Ending.DROPPED, ended_at=at, problem=NO_LINK)
    if not webhook.address():
        old = waiting().filter(channel=Channel.WEBHOOK, written_at__lte=at - paced(GIVEN_UP_AFTER))
        old.update(ending=Ending.DROPPED, ended_at=at, problem=NO_HOOK)


def _put_off(notice: Notice, failure: NotSent, at: datetime) -> None:
    """After a failed try: it is due again later, or, a week old, given up."""
    problem, is_over = str(failure), at - notice.written_at >= paced(GIVEN_UP_AFTER)
    ending = {"ending": Ending.GIVEN_UP, "ended_at": at} if is_over else {}
    later = at + wait(notice.tries)
    mine = waiting().filter(pk=notice.pk)
    if not mine.update(problem=problem, refused=isinstance(failure, NotTaken), due_at=later, **ending):
        return
    said = (notice.pk, notice.kind, notice.tries, problem)
    if is_over:
        log.critical("ALARM notice %s (%s) is given up after %s tries: %s", *said)
    else:
        log.warning("notice %s (%s) not sent, try %s: %s", *said)


def _claim(channels: list[Channel], at: datetime) -> Notice | None:
    """The next message, for this process alone until the claim is over.

    What was refused goes last and what is fresh goes first: a letter that nobody takes delays no other one.
    """
    with transaction.atomic(durable=True):
        due = waiting().filter(due_at__lte=at, channel__in=channels)
        notice = due.select_for_update(skip_locked=True).order_by("refused", "tries", "due_at", "pk").first()
        if notice is None:
            return None
        Notice.objects.filter(pk=notice.pk).update(tries=F("tries") + 1, due_at=at + CLAIMED_FOR)
        notice.tries += 1
        return notice


def _send(notice: Notice, at: datetime) -> NotSent | None:
    """None when the other side took it, or why it did not, in words that can be stored."""
    try:
        if notice.channel == Channel.MAIL:
            _mail(notice)
        else:
            _call(notice, at)
    except NotSent as failure:
        return type(failure)(_storable(str(failure)))
    except Exception as unforeseen:  # a library's own words may hold an address or a password: its name is enough
        return NotSent(f"It could not be sent ({type(unforeseen).__name__}).")
    return None


def _storable(problem: str) -> str:
    """Cut, and without our own secrets, should the other side have repeated one."""
    for secret in (settings.EMAIL_HOST_PASSWORD, settings.WEBHOOK_SECRET, webhook.address()):
        if secret:
            problem = problem.replace(secret, "…")
    return clean(problem)[:LONGEST_PROBLEM]


# -- e-mail ------------------------------------------------------------------------------------------------------


def _mail(notice: Notice) -> None:
    """Of a letter with a link, nothing that the other side said of it is kept: it may repeat the link."""
    try:
        text, link = links.text_of(notice)
    except links.NoLink:
        raise NotTaken(NO_LINK) from None
    try:
        _deliver(notice, text)
    except NotSent as failure:
        if link:
            raise type(failure)("The mail server did not take it. What it said may repeat the link.") from None
        raise


def _deliver(notice: Notice, text: str) -> None:
    """By Django's mail backend. The same Message-ID each time: mail programs show what comes twice once."""
    name = f"<notice-{notice.pk}-{hashlib.sha256(notice.once.encode()).hexdigest()[:16]}@{host_of(settings.ADDRESS)}>"
    headers = {"Message-ID": name, "Auto-Submitted": "auto-generated"}
    mail = EmailMessage(notice.title, text, settings.DEFAULT_FROM_EMAIL, [notice.to], headers=headers)
    backend = get_connection()
    try:
        taken = backend.send_messages([mail])
    except outbound.Closed as closed:
        raise NotSent(f"The mail server was not called: {closed}.") from None
    except smtplib.SMTPRecipientsRefused as refusal:
        code, words = next(iter(refusal.recipients.values()))
        kind = NotSent if code == CLOSING else NotTaken
        raise kind(f"The mail server refused the recipient: {_reply(code, words)}") from None
    except smtplib.SMTPDataError as refusal:  # the text was heard and refused: 5xx means this one, for good
        kind = NotTaken if refusal.smtp_code >= 500 else NotSent
        raise kind(f"The mail server answered: {_reply(refusal.smtp_code, refusal.smtp_error)}") from None
    except smtplib.SMTPAuthenticationError as refusal:  # its words may repeat what we said
        raise NotSent(f"The mail server did not accept our sign-in ({refusal.smtp_code}).") from None
    except smtplib.SMTPResponseException as refusal:
        raise NotSent(f"The mail server answered: {_reply(refusal.smtp_code, refusal.smtp_error)}") from None
    except (OSError, smtplib.SMTPException) as failure:
        raise NotSent(f"The mail server could not be used ({type(failure).__name__}).") from None
    finally:
        with suppress(OSError, smtplib.SMTPException):  # what failed half-way is still open
            backend.close()
    if not taken:
        raise NotSent("The mail backend did not take it.")


def _reply(code: int, words: bytes | str) -> str:
    return f"{code} {words.decode('utf-8', 'replace') if isinstance(words, bytes) else words}"


# -- the webhook -------------------------------------------------------------------------------------------------


def _call(notice: Notice, at: datetime) -> None:
    """One signed POST on a connection of its own; only an answer of 200 to 299 means that it was taken."""
    url, body = _allowed(webhook.address()), _body(notice)
    headers = {"Content-Type": "application/json", "X-Treasury-Signature": signature(body, at)}
    try:
        status = outbound.post(url, purpose=outbound.Purpose.WEBHOOK, content=body, headers=headers, limit=CALL_LIMIT)
    except outbound.NoAnswer as failure:
        raise NotSent(f"The webhook did not answer ({failure}).") from None
    except outbound.Closed as closed:
        raise NotSent(f"The webhook was not called: {closed}.") from None
    if not 200 <= status < 300:
        kind = NotTaken if 400 <= status < 500 and status not in LATER else NotSent
        raise kind(f"The webhook answered {status}.")


def _allowed(url: str) -> str:
    """The address, as it may be used by this process: what was agreed on elsewhere is refused here all the same."""
    try:
        webhook.insist(url)
    except Refused as refusal:
        raise NotSent(str(refusal)) from None
    return url


def _body(notice: Notice) -> bytes:
    said: dict[str, Any] = {
        "id": notice.pk,
        "kind": notice.kind,
        "subject": notice.subject,
        "title": notice.title,
        "text": notice.text,
        "at": notice.written_at.astimezone(UTC).isoformat(),
    }
    return json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()


def signature(body: bytes, at: datetime) -> str:
    """ "t=1763650800,v1=<hex>": HMAC-SHA256 over the time in Unix seconds, a full stop and the body."""
    seconds = int(at.timestamp())
    key = settings.WEBHOOK_SECRET.encode()
    return f"t={seconds},v1={hmac.new(key, f'{seconds}.'.encode() + body, hashlib.sha256).hexdigest()}"
