"""Where somebody is signed in, and ending it: in the transaction of whatever takes away what they could do there."""

from __future__ import annotations

from datetime import datetime

from django.apps import apps
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.models import Session
from django.db import transaction
from django.utils import timezone

from treasury.audit.record import record
from treasury.controls import changes
from treasury.controls.roles import USER_ADMINISTRATORS, groups_of
from treasury.models import User

LISTED = "usersessions"  # the app that lists sessions for people; what signs somebody in is Django's own row


def sessions_of(user: User) -> list[str]:
    """The keys of the sessions that stand and are theirs. A session says whose it is inside, so each one is read."""
    standing = Session.objects.filter(expire_date__gt=timezone.now())
    return [one.session_key for one in standing.iterator() if one.get_decoded().get(SESSION_KEY) == str(user.pk)]


def end_sessions(user: User) -> int:
    """Sign them out everywhere, from their next request on; returns how many sessions that were."""
    with transaction.atomic():
        # A session that is given a new id has this lock meanwhile.
        User.objects.select_for_update(no_key=True).get(pk=user.pk)
        ended = Session.objects.filter(session_key__in=sessions_of(user)).delete()[0]
        if apps.is_installed(f"allauth.{LISTED}"):
            apps.get_model(LISTED, "UserSession")._default_manager.filter(user=user.pk).delete()
        return ended


def sign_out(*, user: User, by: User, at: datetime) -> int:
    """End every session of somebody else's; they may sign in again. Raises changes.MayNotChange."""
    with transaction.atomic():
        if USER_ADMINISTRATORS not in groups_of(by):
            raise changes.MayNotChange("Only user administrators may end somebody's sessions.")
        ended = end_sessions(user)
        record(at=at, by=by, action="user.sign_out", subject=user.subject, facts={"sessions": ended})
        return ended
