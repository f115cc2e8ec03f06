"""Letters to the person themself about their own sign-in: the link to a password, and that something was changed."""

from __future__ import annotations

from datetime import datetime

from treasury.models import Change, User
from treasury.notices.links import KIND
from treasury.notices.outbox import MOVED, send_link, tell, tell_address

PATH = "/account/"
CHANGED = (
    "Two colleagues changed your name, your e-mail address, how you sign in to the treasury, or that you may. If you "
    "did not expect it, say so at once."
)


def once(change: Change) -> str:
    """One link for one change."""
    return f"{KIND}:{change.pk}"


def first_password(user: User, change: Change, *, at: datetime) -> None:
    """To whoever was just enrolled."""
    send_link(
        to=user,
        title="You may sign in to the treasury",
        text=f"You are known as {user.username} there. Choose a password by this link; nobody else gets to see it.",
        once=once(change),
        at=at,
    )


def link_anew(user: User, change: Change, *, at: datetime) -> None:
    """To whoever has no password yet, once anything about them was changed: that made earlier links void."""
    send_link(
        to=user,
        title="A new link to a password for the treasury",
        text=(
            f"You may sign in to the treasury as {user.username} once you have chosen a password. Earlier links no "
            "longer work. Choose a password by this link; nobody else gets to see it."
        ),
        once=once(change),
        at=at,
    )


def after_reset(user: User, change: Change, *, at: datetime) -> None:
    """To whoever lost what they sign in with. If they did not, they must say so at once."""
    send_link(
        to=user,
        title="Your sign-in to the treasury was reset",
        text=(
            "Two colleagues took away your password and what else you signed in with, and you are signed out "
            "everywhere. If you did not ask for it, say so at once. Choose a new password by this link; you will be "
            "asked for a new second factor."
        ),
        once=once(change),
        at=at,
    )


def changed(user: User, change: Change, *, before: str, at: datetime) -> None:
    """To where they read mail now, and to where they read it before, if that was elsewhere."""
    said = {"subject": user.subject, "title": "What is known of you was changed", "text": CHANGED}
    tell(kind="user.change", path=PATH, to=[user], once=f"user.change:{change.pk}", at=at, **said)
    if before and before.lower() != user.email.lower():
        tell_address(address=before, kind=MOVED, once=f"user.moved:{change.pk}", at=at, **said)
