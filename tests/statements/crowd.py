"""The people of a house, every address that a browser may post to, and what somebody at a shell may try."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any

from django.contrib import admin
from django.db import connection as database
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone

from tests.house import agree, amend, deactivate, person
from treasury.controls import memberships, people
from treasury.controls.roles import AUDITORS, CHECKERS, MAKERS, OPERATORS, POLICY_EDITORS, USER_ADMINISTRATORS
from treasury.models import Attempt, Decision, Demand, Membership, State, Transfer, User, Verdict
from treasury.transfers import attempts, lifecycle

LEADS = "finance leads"  # a group of approvers that some policies demand

# Whom the house begins each example with. "twin" is the maker's other sign-in, "flagged" has the superuser flag alone.
ROLES: Mapping[str, tuple[str, ...]] = {
    "maker": (MAKERS,),
    "maker2": (MAKERS,),
    "both": (MAKERS, CHECKERS),
    "twin": (CHECKERS, LEADS),
    "checker": (CHECKERS,),
    "checker2": (CHECKERS, LEADS),
    "checker3": (CHECKERS, LEADS),
    "lead": (LEADS,),
    "flagged": (),
    "gone": (CHECKERS, LEADS),
    "admin": (OPERATORS,),
    "admin2": (OPERATORS, CHECKERS),
    "policy": (POLICY_EDITORS,),
    "policy2": (POLICY_EDITORS,),
    "useradmin": (USER_ADMINISTRATORS,),
    "useradmin2": (USER_ADMINISTRATORS,),
    "auditor": (AUDITORS,),
}
NAMES = sorted(ROLES)


def policies() -> Iterator[dict[str, Any]]:
    """Rules that tests.statements.from_rows can read."""
    rest = {"name": "the rest", "when": {}, "demands": {CHECKERS: 1}}
    small = {"name": "small", "when": {"up_to": "100", "in": "asset"}, "demands": {CHECKERS: 1}}
    yield {"rules": [rest]}
    yield {"rules": [small, {"name": "large", "when": {}, "demands": {CHECKERS: 2, LEADS: 1}}]}
    yield {"rules": [{"name": "USDC only", "when": {"assets": ["USDC"]}, "demands": {CHECKERS: 1}}]}
    yield {"rules": [{"name": "not she", "when": {"makers": ["maker2"]}, "forbids": True}, rest]}
    much = {"of": "maker", "hours": 24, "over": "500", "in": "asset"}
    yield {"rules": [{"name": "much", "when": {"volume": much}, "demands": {LEADS: 2}}, rest]}
    busy = {"of": "connection", "hours": 24, "over": "300", "in": "asset"}
    yield {"rules": [{"name": "busy", "when": {"volume": busy, "over": "1"}, "demands": {CHECKERS: 3}}, small]}


POLICIES = list(policies())


def gather() -> None:
    """Everybody, in the roles that they begin with."""
    for name, roles in ROLES.items():
        if not User.objects.filter(username=name).exists():
            email = "maker@treasury.invalid" if name == "twin" else ""
            person(name, *roles, is_superuser=name in ("flagged", "admin"), email=email)
    put_back()


def put_back() -> None:
    """As it was in the beginning, whatever the example before has made of it."""
    wrong = [one for name in NAMES for one in differing(user(name))]
    if wrong:
        memberships.regrouped(agree(people.MEMBERSHIPS, "memberships:", {"memberships": wrong}), timezone.now())
    for name in NAMES:
        one, whose = user(name), "maker" if name == "twin" else name
        if one.person != f"{whose}@treasury.invalid":
            part(one, f"{whose}@treasury.invalid")
        if not one.is_active:
            amend(one, active=True)
    deactivate(user("gone"))


def part(one: User, person: str) -> None:
    """That natural person again: nothing but a test ever does that, so the guards sleep meanwhile."""
    with database.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("UPDATE treasury_user SET person = %s WHERE id = %s", [person, one.pk])
        cursor.execute("SET LOCAL session_replication_role = origin")


def differing(one: User) -> list[dict[str, Any]]:
    holds = set(Membership.objects.filter(user=one, ended_at=None).values_list("group", flat=True))
    right = set(ROLES[one.username])
    return [{"username": one.username, "group": group, "member": group in right} for group in holds ^ right]


def user(name: str) -> User:
    return User.objects.get(username=name)


# -- a browser ----------------------------------------------------------------------------------------------------


def addresses() -> list[tuple[str, dict[str, str]]]:
    """(name, its arguments' converters) of every address of the product that has a name, the admin's windows too."""
    found = list(named(get_resolver().url_patterns))
    windows = [f"admin:treasury_{model._meta.model_name}_{page}" for model in admin.site._registry for page in PAGES]
    return found + [(name, {} if name.endswith(("list", "add")) else {"object_id": "int"}) for name in windows]


def raised_by(*packages: ModuleType) -> tuple[type[Exception], ...]:
    """Every exception that the modules of these packages define: how their verbs refuse."""
    found = set()
    for package in packages:
        for one in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            for what in vars(importlib.import_module(one.name)).values():
                if isinstance(what, type) and issubclass(what, Exception) and what.__module__ == one.name:
                    found.add(what)
    return tuple(sorted(found, key=str))


PAGES = ("changelist", "add", "change", "delete", "history")


def named(patterns: list[Any]) -> Iterator[tuple[str, dict[str, str]]]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver) and not pattern.namespace:
            yield from named(pattern.url_patterns)
        elif isinstance(pattern, URLPattern) and pattern.name and not pattern.name.endswith("sign_out"):
            words = pattern.pattern.regex.groupindex  # of a pattern that is written as an expression
            known = {name: type(one).__name__ for name, one in pattern.pattern.converters.items()}
            yield pattern.name, {**dict.fromkeys(words, "text"), **known}


def post(who: User, address: str, fields: Mapping[str, Any], *, htmx: bool, get: bool = False) -> int:
    """As their browser would, with a session of their own; the status, or 500 where the view fell over."""
    browser = Client(raise_request_exception=False)
    browser.force_login(who, backend="django.contrib.auth.backends.ModelBackend")
    headers = {"HX-Request": "true"} if htmx else {}
    if get:
        return browser.get(address, fields, headers=headers).status_code
    return browser.post(address, fields, headers=headers).status_code


def address_of(name: str, converters: Mapping[str, str], transfer: Transfer | None, number: int) -> str:
    """The address with a transfer's reference, or a row's number, wherever it takes one."""
    given: dict[str, Any] = {}
    for argument, converter in converters.items():
        if converter == "Reference":
            given[argument] = transfer.reference if transfer else "TR-000001"
        elif converter == "PlanReference":
            given[argument] = f"PL-{number:06d}"
        else:
            given[argument] = number
    return reverse(name, kwargs=given)


# -- a shell ------------------------------------------------------------------------------------------------------

SHELL: Mapping[str, Callable[[Transfer, User], object]] = {}
Trick = Callable[[Transfer, User], object]


def at_the_shell(trick: Trick) -> Trick:
    SHELL[trick.__name__] = trick  # type: ignore[index]
    return trick


@at_the_shell
def writes_the_state(transfer: Transfer, who: User) -> None:
    with database.cursor() as cursor:
        cursor.execute("UPDATE treasury_transfer SET state = 'DISPATCHING' WHERE id = %s", [transfer.pk])


@at_the_shell
def says_that_it_is_approved(transfer: Transfer, who: User) -> None:
    lifecycle.advance(transfer, State.APPROVED, by=who, at=timezone.now(), action="transfer.approve")


@at_the_shell
def enters_an_attempt(transfer: Transfer, who: User) -> None:
    """Past every guard: only the database is left to ask."""
    attempts.enter(transfer, kind="send", at=timezone.now(), action="transfer.dispatch")  # type: ignore[arg-type]


@at_the_shell
def writes_an_attempt(transfer: Transfer, who: User) -> None:
    at = timezone.now()
    Attempt.objects.create(
        transfer=transfer, number=99, kind="send", claimed_at=at, send_before=at, call_ends_at=at, worker="shell"
    )


@at_the_shell
def lets_the_maker_decide(transfer: Transfer, who: User) -> None:
    decided_by(transfer, transfer.maker)


@at_the_shell
def lets_the_makers_other_sign_in_decide(transfer: Transfer, who: User) -> None:
    others = User.objects.filter(person=transfer.maker.person).exclude(pk=transfer.maker_id)
    for other in others:
        decided_by(transfer, other)


@at_the_shell
def lets_somebody_decide_who_is_in_no_group(transfer: Transfer, who: User) -> None:
    decided_by(transfer, user("auditor"))


def decided_by(transfer: Transfer, who: User) -> None:
    groups = list(transfer.demands.filter(round=transfer.round).values_list("group", flat=True))
    Decision.objects.create(
        transfer=transfer,
        round=transfer.round,
        verdict=Verdict.APPROVE,
        by=who,
        at=timezone.now(),
        digest=transfer.digest or "",
        instruction=transfer.instruction or "",
        counts_for=groups or [CHECKERS],
        factor="none",
    )


@at_the_shell
def lowers_the_demand(transfer: Transfer, who: User) -> None:
    Demand.objects.filter(transfer=transfer).update(count=1)


@at_the_shell
def takes_the_demands_away(transfer: Transfer, who: User) -> None:
    Demand.objects.filter(transfer=transfer)._raw_delete("default")


@at_the_shell
def makes_themselves_a_checker(transfer: Transfer, who: User) -> None:
    change = who.change
    Membership.objects.create(user=who, group=CHECKERS, at=timezone.now(), change=change)


@at_the_shell
def makes_themselves_somebody_else(transfer: Transfer, who: User) -> None:
    User.objects.filter(pk=who.pk).update(person=f"{who.username}-again@treasury.invalid")


@at_the_shell
def changes_the_amount(transfer: Transfer, who: User) -> None:
    Transfer.objects.filter(pk=transfer.pk).exclude(state=State.DRAFT).update(amount=transfer.amount + 1)
