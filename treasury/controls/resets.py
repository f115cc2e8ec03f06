"""Lost factors: two administrators, one of whom made sure who it is, take them away; the person begins with a link."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any

from django.apps import apps
from django.db import transaction
from django.db.models import QuerySet

from treasury.controls import changes, letters, people
from treasury.controls.people import RESET, NoLongerSo, NotEnrolled
from treasury.controls.roles import same_person
from treasury.controls.sessions import end_sessions
from treasury.models import Change, User

FACTORS = "mfa"
CALLED = {"webauthn": "passkey", "totp": "authenticator app", "recovery_codes": "recovery codes"}
PROOF_LENGTH = 500
NOT_ONES_OWN = "Nobody resets their own sign-in: two other administrators do."


def factors() -> QuerySet[Any] | None:
    """What people prove themselves by besides a password; None where the product keeps none."""
    if not apps.is_installed(f"allauth.{FACTORS}"):
        return None
    found: QuerySet[Any] = apps.get_model(FACTORS, "Authenticator")._default_manager.all()
    return found


def factors_of_all() -> dict[int, list[str]]:
    """By the number of each sign-in, in words: "passkey", "2 passkeys", "authenticator app"."""
    kept = factors()
    found: dict[int, Counter[str]] = {}
    for user, kind in kept.order_by("type").values_list("user", "type") if kept is not None else ():
        found.setdefault(user, Counter())[CALLED.get(kind, kind)] += 1
    return {
        user: [name if count == 1 else f"{count} {name}s" for name, count in counts.items()]
        for user, counts in found.items()
    }


def propose_reset(*, user: User, proof: str, reason: str, by: User, at: datetime) -> Change:
    """Propose to take somebody's password and factors away. ``proof``: how it was made sure who they are.

    Raises changes.MayNotChange, changes.NotSaid, NotEnrolled.
    """
    with transaction.atomic():
        changes.insist_on_right(RESET, by)
        if same_person(user, by):
            raise changes.MayNotChange(NOT_ONES_OWN)
        if not proof.strip() or len(proof) > PROOF_LENGTH:
            raise NotEnrolled({"proof": "Say how you made sure who they are: it takes more than a message from them."})
        if not user.is_active:
            raise NotEnrolled({"": f"Nothing was proposed. The sign-in of {user.username} is ended."})
        if changes.waiting().filter(kind=RESET, subject=user.subject).exclude(proposed_by=by).exists():
            raise NotEnrolled({"": f"Nothing was proposed. A reset of {user.username} waits for a decision already."})
        words = {"username": user.username, "email": user.email, "proof": proof.strip()}
        return changes.propose(kind=RESET, subject=user.subject, words=words, reason=reason, by=by, at=at)


def confirm_reset(*, change_id: int, by: User, digest: str, at: datetime) -> User:
    """Take them away, end the sessions, and send the person a link. Afterwards they need a factor anew.

    Raises changes.MayNotChange, changes.NotWaiting, changes.OtherChange, NoLongerSo.
    """
    with transaction.atomic():
        people.lock()  # before any row: two at once would otherwise wait for each other's
        change = changes.confirm(change_id=change_id, kind=RESET, by=by, digest=digest, at=at)
        user = User.objects.select_for_update(no_key=True).get(username=change.words["username"])
        if same_person(user, by):
            raise changes.MayNotChange(NOT_ONES_OWN)
        if refusal := why_not_reset(change, user):
            raise NoLongerSo(f"Nothing was changed. {refusal}")
        facts = {"proof": change.words["proof"], "factors": taken_from(user), "sessions": end_sessions(user)}
        changes.entry(change, by=by, at=at, action=RESET, facts=facts)
        letters.after_reset(user, change, at=at)
        return user


def why_not_reset(change: Change, user: User) -> str:
    """Why nobody can confirm it as things are; empty when somebody can."""
    if not user.is_active:
        return f"The sign-in of {user.username} is ended."
    if user.email != change.words["email"]:
        return f"The address of {user.username} has changed since: propose it anew."
    return ""


def taken_from(user: User) -> list[str]:
    """Take the password and every factor; returns what these were, in words."""
    had, kept = factors_of_all().get(user.pk, []), factors()
    if kept is not None:
        kept.filter(user=user.pk).delete()
    user.set_unusable_password()
    user.save(update_fields=["password"])
    return ["password", *had]
