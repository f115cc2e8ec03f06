"""The outbox: a message is written in the transaction of the act it is about, and leaves a moment later.

Whatever is rolled back was never told. A mailbox is read by many a machine, so a message holds the reference, what is
asked, and a link: no amounts, assets, addresses, names of people, accounts or venues, and nothing that anybody typed.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from urllib.parse import urlsplit

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection, transaction

from treasury.models import Channel, Notice, User
from treasury.notices import links, webhook

log = logging.getLogger(__name__)

NOTHING_DECIDED = "Nothing is decided by this message; the page asks you to sign in."
MOVED = "user.moved"  # to the address that somebody gave up: nobody who is active has it, and it is sent all the same
UNREACHABLE = ".invalid"  # a domain that never exists (RFC 2606): practice people's


class OutsideTransaction(RuntimeError):
    """A message was to be written without the transaction of what it tells."""


def tell(
    *, kind: str, subject: str, title: str, text: str, path: str, to: Iterable[User], at: datetime, once: str
) -> None:
    """Write one message for each of these people that is active and has an e-mail address, and one for the webhook.

    ``text`` is a sentence; the link to ``path`` and what the message does not do follow it. ``once`` names the
    happening: told again to the same address, it is not written again. Raises OutsideTransaction.
    """
    if not connection.in_atomic_block:
        raise OutsideTransaction(f"{kind}: a message belongs to the transaction of what it tells.")
    ways = [(Channel.MAIL, address) for address in _addresses(to)]
    if hook := webhook.address():
        ways.append((Channel.WEBHOOK, _origin(hook)))
    whole = f"{text}\n\n{settings.ADDRESS}{path}\n\n{NOTHING_DECIDED}\n"
    Notice.objects.bulk_create(
        [
            Notice(
                channel=channel,
                to=address,
                kind=kind,
                subject=subject,
                title=title,
                text=whole,
                once=_once(once, channel, address),
                written_at=at,
                due_at=at,
            )
            for channel, address in ways
        ],
        ignore_conflicts=True,
    )


def send_link(*, to: User, title: str, text: str, once: str, at: datetime) -> None:
    """Write a letter with a link by which this person chooses a password; ``links`` makes it when the letter leaves.

    Nobody else is told, and no webhook. Raises OutsideTransaction.
    """
    whole = f"{text}\n\n{links.PLACE}\n\nThe link works once and for a day. Nobody else needs it: never pass it on.\n"
    write_letters(_addresses([to]), kind=links.KIND, subject=to.subject, title=title, text=whole, once=once, at=at)


def tell_address(*, address: str, kind: str, subject: str, title: str, text: str, once: str, at: datetime) -> None:
    """Write to an address that somebody has just given up, which nobody active has. Raises OutsideTransaction."""
    write_letters([address], kind=kind, subject=subject, title=title, text=f"{text}\n", once=once, at=at)


def write_letters(
    addresses: Iterable[str], *, kind: str, subject: str, title: str, text: str, once: str, at: datetime
) -> None:
    """Put a letter to each address into the outbox. Raises OutsideTransaction."""
    if not connection.in_atomic_block:
        raise OutsideTransaction(f"{kind}: a message belongs to the transaction of what it tells.")
    said = {"kind": kind, "subject": subject, "title": title, "text": text, "written_at": at, "due_at": at}
    letters = [
        Notice(channel=Channel.MAIL, to=address, once=_once(once, Channel.MAIL, address), **said)
        for address in addresses
    ]
    Notice.objects.bulk_create(letters, ignore_conflicts=True)


@contextmanager
def beside(what: str) -> Iterator[None]:
    """Tell beside an act: a defect in telling is logged and undoes its messages, never the act.

    A lost database is no defect: then the act is lost too, and its caller must hear of it.
    """
    try:
        with transaction.atomic():
            yield
    except (OperationalError, InterfaceError):
        raise
    except Exception:  # whatever it is: money's outcome, or a stop, must not hang on a message about it
        log.critical("ALARM %s: nobody was told of it", what, exc_info=True)


def _addresses(people: Iterable[User]) -> list[str]:
    """Of those who are active now, each once; in one order, so that two transactions never wait for each other."""
    active = User.objects.filter(pk__in=[person.pk for person in people], is_active=True)
    found = {email.lower(): email for email in active.values_list("email", flat=True) if email}
    return [email for plain, email in sorted(found.items()) if settings.PRACTICE or not plain.endswith(UNREACHABLE)]


def _once(happening: str, channel: Channel, address: str) -> str:
    """Short enough for its column, whatever the address. The webhook is one, wherever it listens."""
    if channel == Channel.WEBHOOK:
        return f"{happening} webhook"
    return f"{happening} {hashlib.sha256(address.lower().encode()).hexdigest()[:32]}"


def _origin(url: str) -> str:
    """Without its path and query: they may hold a secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"[:254]
