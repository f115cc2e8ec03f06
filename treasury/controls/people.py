"""Enrol: make a person known, with the roles they hold."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.contrib.auth.models import Group
from django.db import transaction

from treasury.audit.record import Machine, record
from treasury.models import AuditEntry, User

PRACTICE = Machine("practice")


class PracticeData(RuntimeError):
    """A real installation was to start on a database that holds practice people, whose passwords everyone knows."""


def insist_on_no_practice_data() -> None:
    """Raise PracticeData when practice has ever filled this database: the log cannot forget it."""
    if AuditEntry.objects.filter(who=f"machine:{PRACTICE.name}").exists():
        raise PracticeData(
            "Not started: this database was filled with practice data, and TREASURY_MODE is 'real'. "
            "Name an empty database in DATABASE_URL."
        )


def enrol(
    *,
    username: str,
    name: str,
    password: str,
    roles: Sequence[str],
    by: User | Machine,
    at: datetime,
    sees_admin: bool = False,
    is_superuser: bool = False,
) -> User:
    """Create a user. ``name`` is first and last; ``sees_admin`` opens the read-only admin site to them."""
    first, _, last = name.partition(" ")
    with transaction.atomic():
        user = User.objects.create_user(
            username,
            f"{username}@treasury.invalid",
            password,
            first_name=first,
            last_name=last,
            is_staff=sees_admin,
            is_superuser=is_superuser,
        )
        user.groups.set([Group.objects.get_or_create(name=role)[0] for role in roles])
        record(
            at=at,
            by=by,
            action="user.enrol",
            subject=user.subject,
            facts={"name": name, "roles": list(roles), "sees_admin": sees_admin, "superuser": is_superuser},
        )
        return user
