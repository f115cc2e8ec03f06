"""Every address of the product, found where Django itself looks, with something real behind each."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from tests.house import person
from tests.transfers import hands
from tests.web.banded import set_bands
from treasury.balances import typed
from treasury.controls import bands, stops, uploads
from treasury.controls.roles import MAKERS, OPERATORS, ROLES
from treasury.models import Account, Change, Transfer, User
from treasury.rebalancing import plan as planning
from treasury.transfers import submit as submitting

PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")


def routes() -> list[str]:
    """The route of every pattern, as it is written: "transfers/<reference:reference>/"."""
    return sorted(found_in(get_resolver()))


def found_in(resolver: URLResolver, before: str = "") -> Iterator[str]:
    for one in resolver.url_patterns:
        route = before + str(one.pattern)
        if isinstance(one, URLPattern):
            yield route
        else:
            yield from found_in(one, route)


def address_of(route: str, things: Mapping[str, object]) -> str:
    """The route with real things in it: by "<route> <name>" where they must be of that route, else by name."""
    plain = route.removesuffix("$").removesuffix("\\Z").replace("(?P<url>.*)", "no-such-page/")
    plain = re.sub(r"\(\?P<(\w+)>[^)]*\)", r"<\1>", plain).replace("^", "").replace("\\", "")
    return "/" + PARAMETER.sub(lambda name: str(things.get(f"{route} {name[1]}", things.get(name[1], 1))), plain)


NOBODY, STRANGER = "nobody", "no role"
WHO = (NOBODY, *ROLES, STRANGER)  # nobody is not signed in; the last is, and holds no role


@dataclass(frozen=True)
class World:
    """Somebody of each role, and something real behind each address."""

    people: Mapping[str, User]
    things: Mapping[str, object]

    def browser(self, who: str, **options: Any) -> Client:
        client = Client(enforce_csrf_checks=True, **options)
        if who in self.people:
            client.force_login(self.people[who])
        return client

    def address(self, route: str) -> str:
        return address_of(route, self.things)


def a_world(drafted: Callable[..., Transfer], account: Account, other: Account) -> World:
    """A house in which something of everything has happened: drafts, a plan, a stop, proposals that wait."""
    at = timezone.now()
    people = {role: person(role.replace(" ", "."), role) for role in ROLES} | {STRANGER: person("stranger")}
    second = person("operator2", OPERATORS)
    operator, connection = people[OPERATORS], account.connection
    set_bands({account: ("100", "300", "500"), other: ("1200", "1500", "2000")}, operator, second)
    draft, submitted = drafted(by=people[MAKERS]), drafted(by=people[MAKERS])
    submitting.submit(reference=submitted.reference, maker=people[MAKERS], at=at)
    plan = planning.ask(by=people[MAKERS], at=at)
    planning.compute(plan_id=plan.pk, at=at)
    order = stops.stop(connection=connection, reason="Maintenance", by=operator, at=at)
    release = stops.propose_release(stop_order_id=order.pk, by=second, reason="Over", at=at)
    paper = uploads.accepted("statement.txt", b"It says so.")
    desk = hands.desk()
    wallet = hands.account_of(desk, operator, second)
    stated = typed.Stated(wallet, "USDT", "5", at)
    said = typed.propose(stated=stated, reason="Seen", files=[paper], by=people[MAKERS], at=at)
    banded = Change.objects.filter(kind=bands.SET).latest("pk")
    things: dict[str, object] = {
        "reference": submitted.reference,
        "connection_id": connection.pk,
        "stop_id": order.pk,
        "change_id": release.pk,
        "file_id": said.attachments.get().pk,
        "user_id": people[STRANGER].pk,
        "number": 1,
        "group_id": plan.groups.order_by("pk").values_list("pk", flat=True)[0],
        "app_label": "treasury",
        "uidb36": "1",
        "key": "set-password",
        "provider_id": "house",
        "name": "retention",
        "bands/changes/<int:change_id>/ change_id": banded.pk,
        "connections/<int:connection_id>/balances/ connection_id": desk.pk,
        "changes/<int:change_id>/files/<int:file_id>/ change_id": said.pk,
        "transfers/<reference:reference>/edit/ reference": draft.reference,
        "transfers/<reference:reference>/submit/ reference": draft.reference,
    }
    for route in routes():
        if "<plan:reference>" in route:
            things[f"{route} reference"] = plan.reference
        if match := re.fullmatch(r"admin/treasury/(\w+)/<path:object_id>/.*", route):
            model = apps.get_model("treasury", match[1])
            row = model._default_manager.order_by("pk").first()
            things[f"{route} object_id"] = row.pk if row is not None else 1
    return World(people, things)
