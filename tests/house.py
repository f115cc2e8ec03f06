"""A house that is set up: two user administrators and a first policy; and changes that two people agreed on.

What is governed is made by a change that is applied in the same transaction, as the database insists. Tests that are
not about who may propose and decide write the change themselves, in one step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from treasury import venues
from treasury.audit.record import Machine
from treasury.controls import changes, connections, first_two, memberships, people, policy, rulebook
from treasury.controls.people import Who
from treasury.models import Account, Change, Connection, FirstLook, Membership, Notice, Policy, Ruling, User
from treasury.notices import links

SETUP = Machine("tests")
FIRST, SECOND = "useradmin", "useradmin2"


def administrators() -> tuple[User, User]:
    """The two people of the first set-up; it is done now where it has not been."""
    found = {user.username: user for user in User.objects.filter(username__in=(FIRST, SECOND))}
    if not found:
        made = [Who(name, name.capitalize(), "Person", f"{name}@treasury.invalid") for name in (FIRST, SECOND)]
        with transaction.atomic():
            both = first_two.bootstrap(
                first=made[0], second=made[1], policy=first_policy(), by=SETUP, at=timezone.now()
            )
            Notice.objects.filter(kind=links.KIND).delete()  # they have chosen a password, as the next lines say
            for user in both:
                user.set_password("practice")
                user.save(update_fields=["password"])
        return both
    return found[FIRST], found[SECOND]


def first_policy() -> str:
    return policy.first()


def agree(kind: str, subject: str, words: Mapping[str, Any], at: datetime | None = None) -> Change:
    """A change that the two administrators agreed on, whoever may: to be applied in the transaction that is open."""
    first, second = administrators()
    at = at or timezone.now()
    said = changes.digest_of(kind, subject, words, "agreed")
    change = Change.objects.create(
        kind=kind,
        subject=subject,
        words=dict(words),
        digest=said,
        reason="agreed",
        proposed_by=first,
        proposed_at=at,
    )
    change.ruling, change.decided_by, change.decided_at = Ruling.APPLIED, second, at
    change.save()
    changes.entry(change, by=second, at=at, action=kind, facts={"was": {}} if kind == connections.SET_UP else {})
    return change


def put_forward() -> QuerySet[Change]:
    """The changes that the test itself is about: those by which the house was set up are left out."""
    return Change.objects.exclude(reason__in=("agreed", "First set-up"))


def person(username: str, *roles: str, is_superuser: bool = False, email: str = "", **more: str) -> User:
    """Someone who holds these roles, with the practice password."""
    who = Who(username, username.capitalize(), "Person", email or f"{username}@treasury.invalid", **more)
    with transaction.atomic():
        administrators()
        words = {**people.told(who), "groups": sorted(set(roles)), "superuser": is_superuser}
        user = people.stored(words, roles, agree(people.ENROL, f"user:{username}", words), timezone.now())
        user.set_password("practice")
        user.save(update_fields=["password"])
        return user


def give(user: User, *groups: str) -> None:
    regroup(user, groups, member=True)


def take(user: User, *groups: str) -> None:
    """Take these groups from them, or every one where none is named."""
    standing = Membership.objects.filter(user=user, ended_at=None).values_list("group", flat=True)
    regroup(user, groups or list(standing), member=False)


def regroup(user: User, groups: Sequence[str], *, member: bool) -> None:
    with transaction.atomic():
        said = [{"username": user.username, "group": group, "member": member} for group in groups]
        memberships.regrouped(agree(people.MEMBERSHIPS, "memberships:", {"memberships": said}), timezone.now())


def deactivate(user: User) -> None:
    people.deactivate(user=user, reason="left", by=administrators()[0], at=timezone.now())
    user.refresh_from_db()


def amend(user: User, *, active: bool | None = None, **columns: str) -> User:
    """Change what is known of someone, or let them sign in again."""
    with transaction.atomic():
        user.refresh_from_db()
        user.is_active = user.is_active if active is None else active
        for name, value in columns.items():
            setattr(user, name, value)
        names = ("first_name", "last_name", "email", "person", "provider_subject")
        becomes = {**{name: getattr(user, name) for name in names}, "active": user.is_active}
        user.change = agree(people.CHANGE, user.subject, {"username": user.username, "becomes": becomes})
        user.save()
        return user


def connect(*, name: str, venue: str, environment: str, credentials: Mapping[str, str], at: datetime) -> Connection:
    """A login as the venue itself describes it. Raises venues.CannotOpen and what the connector raises for a read."""
    answer = venues.answer_of(venues.first_look(venue, environment, credentials))
    with transaction.atomic():
        words = {"name": name, "venue": venue, "environment": environment}
        change = agree(connections.CONNECT, f"connection:{name}", words, at)
        look(change, answer.login, answer.accounts, at)
        made = Connection(**words, login=answer.login)
        sealed = venues.seal_credentials(
            venue=venue, environment=environment, login=answer.login, credentials=credentials
        )
        connections.stored(made, sealed, answer.accounts, change=change, at=at, reported_at=at)
        return made


def look(change: Change, login: str, accounts: Sequence[Mapping[str, str]], at: datetime) -> FirstLook:
    return FirstLook.objects.create(change=change, at=at, login=login, accounts=list(accounts))


def bare_connection(name: str, login: str = "1", **columns: Any) -> Connection:
    """A login that nobody asked a venue about, without health, accounts or usable credentials."""
    at = timezone.now()
    words = {"name": name, "venue": columns.pop("venue", "bybit"), "environment": columns.pop("environment", "mainnet")}
    with transaction.atomic():
        change = agree(connections.CONNECT, f"connection:{name}", words, at)
        look(change, login, [], at)
        columns = {"credentials": "", "created_at": at, "credentials_at": at, **columns}
        return Connection.objects.create(**words, login=login, change=change, **columns)


def set_up(connection: Connection, address: str, kind: str = "FUND", title: str = "", quiet: bool = False) -> Account:
    """An account that two people set up."""
    title = title or address
    with transaction.atomic():
        said = {"address": address, "kind": kind, "title": title, "quiet": quiet}
        change = agree(connections.SET_UP, connection.subject, {"accounts": [said]})
        return Account.objects.create(connection=connection, change=change, **said)


def treat(account: Account, **columns: Any) -> Account:
    """Give an account another title, or make it quiet."""
    with transaction.atomic():
        for name, value in columns.items():
            setattr(account, name, value)
        said = {name: getattr(account, name) for name in ("address", "kind", "title", "quiet")}
        account.change = agree(connections.SET_UP, account.connection.subject, {"accounts": [said]})
        account.save()
        return account


def set_policy(**parts: Any) -> Policy:
    """Put a next version in force: the one before with these parts (rules, limits, floors, currency) in its place."""
    with transaction.atomic():
        administrators()
        text = rulebook.written({**policy.words_of(policy.in_force()), **parts})
        if text == policy.in_force().text:
            return policy.in_force()
        return policy.stored(text, agree(policy.SET, policy.SUBJECT, {"policy": text}), timezone.now())
