"""The link by which somebody chooses a password: made when its letter is sent, and kept nowhere.

It works once, and for a day (``PASSWORD_RESET_TIMEOUT``). A letter has a place for it; the outbox never holds it.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX
from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.db.models import Exists, F, OuterRef, QuerySet, Value
from django.db.models.functions import Concat
from django.utils.http import int_to_base36

from treasury.models import Notice, User

KIND = "user.link"
PLACE = "[Here stands a link in the letter itself. It was made when the letter was sent, and is kept nowhere.]"
PATH = "/account/password/reset/key/"


class NoLink(Exception):
    """Whoever it was for cannot use one: they have left, have another address, or chose a password meanwhile."""


class Tokens(PasswordResetTokenGenerator):
    """Django's own, signed over the password, the last sign-in and the address; void once the sign-in is ended, and
    still void when it was opened again: that was another change."""

    def _make_hash_value(self, user: User, timestamp: int) -> str:
        return f"{super()._make_hash_value(user, timestamp)}{user.is_active}:{user.change_id}"


TOKENS = Tokens()


def link_for(user: User) -> str:
    """A fresh link. Whoever has it can choose this person's password: it is shown to nobody else."""
    return f"{settings.ADDRESS}{PATH}{int_to_base36(user.pk)}-{TOKENS.make_token(user)}/"


def without_password(**who: Any) -> QuerySet[User]:
    """Those of them who may sign in and have not chosen a password yet."""
    return User.objects.filter(is_active=True, password__startswith=UNUSABLE_PASSWORD_PREFIX, **who)


def needless(letters: QuerySet[Notice]) -> QuerySet[Notice]:
    """Those that hold a place for a link that nobody could use."""
    subject = Concat(Value("user:"), F("username"))
    reader = without_password(email__iexact=OuterRef("to")).annotate(called=subject).filter(called=OuterRef("subject"))
    return letters.filter(~Exists(reader), kind=KIND)


def text_of(notice: Notice) -> tuple[str, str]:
    """The letter's text, and the link that was made for it: empty where it has none. Raises NoLink."""
    if notice.kind != KIND:
        return notice.text, ""
    user = without_password(username=notice.subject.removeprefix("user:"), email__iexact=notice.to).first()
    if user is None:
        raise NoLink
    link = link_for(user)
    return notice.text.replace(PLACE, link), link
