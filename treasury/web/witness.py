"""What becomes of the ways in which people sign in: each is in the log, and the person is told by mail.

allauth announces some of it by signals and some not at all; of its rows, Django's own signals tell everything, and
within the same transaction. No part of this product announces anything so.
"""

from __future__ import annotations

import secrets
from typing import Any

from allauth.account import signals as account
from allauth.core import context
from allauth.mfa import signals as mfa
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.models import Session
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver
from django.utils import timezone

from treasury.audit.record import Actor, Machine, record
from treasury.models import User
from treasury.notices.outbox import beside, tell

KINDS = {"webauthn": "passkey", "totp": "totp", "recovery_codes": "recovery codes"}
CHANGED = "What you sign in with has changed"


@receiver(post_save, sender=Authenticator)
def added(instance: Authenticator, created: bool, **_: Any) -> None:
    """A new factor, or new codes in place of old ones. A use of it is told by the sign-in that it was used for."""
    if created:
        wrote("factor.add", instance, CHANGED)


@receiver(post_delete, sender=Authenticator)
def removed(instance: Authenticator, **_: Any) -> None:
    wrote("factor.remove", instance, CHANGED)


def wrote(action: str, row: Authenticator, title: str) -> None:
    facts = {"kind": KINDS.get(row.type, row.type), "number": row.pk, "name": str(row.data.get("name", ""))}
    with transaction.atomic():
        record(at=timezone.now(), by=who(), action=action, subject=row.user.subject, facts=facts)
        told(row.user, action, title)


@receiver(account.password_changed)
@receiver(account.password_set)
@receiver(account.password_reset)
def password_changed(request: Any, user: User, signal: Any, **_: Any) -> None:
    how = "by a link" if signal is account.password_reset else "by themselves"
    with transaction.atomic():
        record(at=timezone.now(), by=who() or user, action="password.change", subject=user.subject, facts={"how": how})
        told(user, "password.change", CHANGED)


@receiver(account.authentication_step_completed)
def proved_again(request: Any, reauthenticated: bool = False, **_: Any) -> None:
    """The session gets a new id, as at each sign-in: what knew the one before knows nothing of what was proved now."""
    if not reauthenticated:
        return
    before = request.session.session_key
    with transaction.atomic():
        # Whoever ends the sessions of this person has this lock, and then finds the old row or the new one.
        User.objects.select_for_update(no_key=True).get(pk=request.user.pk)
        if Session.objects.select_for_update().filter(session_key=before).exists():
            request.session.cycle_key()
            UserSession.objects.filter(session_key=before).update(session_key=request.session.session_key)
            return
    request.session.flush()
    request.user = AnonymousUser()
    raise PermissionDenied("Nothing was proved. Your session was ended meanwhile: sign in again.")


@receiver(mfa.authentication_failed)
def code_refused(user: User, authenticator: Authenticator, **_: Any) -> None:
    refused(user, "wrong code")


def refused(user: User, reason: str) -> None:
    """A password or code of somebody who is known was wrong: at sign-in, or when they were to prove it again."""
    with transaction.atomic():
        facts = {"reason": reason}
        record(at=timezone.now(), by=who(), action="factor.refuse", subject=user.subject, facts=facts, result="refused")


def who() -> Actor:
    """Who is signed in where this happens; nobody at a sign-in, and a machine where there is no browser."""
    if context.request is None:
        return Machine("shell")
    user = getattr(context.request, "user", None)
    return user if isinstance(user, User) else None


def told(user: User, kind: str, title: str) -> None:
    """By mail, and without details: a mailbox is read by many a machine."""
    with beside(f"{kind} of a person"):
        tell(
            kind=kind,
            subject="sign-in:",
            title=title,
            text=f"{title}. If it was not you, tell a user administrator at once: they can end your sign-in.",
            path="/account/",
            to=[user],
            at=timezone.now(),
            once=f"{kind} {secrets.token_hex(16)}",
        )
