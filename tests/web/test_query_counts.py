"""A page asks the database as often for twelve waiting proposals as for two."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from django.db import connection as database
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tests.house import administrators, bare_connection, person, set_up
from tests.web.swap import by_id, htmx, page_of
from treasury.audit.record import Machine
from treasury.controls import connections, credentials, details, memberships, people, resets, stops, uploads
from treasury.controls.roles import CHECKERS, MAKERS
from treasury.models import Connection, Contradiction, Transfer, User
from treasury.transfers import contradictions
from treasury.web import proposals

pytestmark = pytest.mark.django_db

Make = Callable[..., Transfer]
SignIn = Callable[..., Client]
FILE = uploads.accepted("screen.txt", b"as the venue shows it")
PAGES = ("/changes/", "/stops/", "/approvals/", "/connections/", "/house/")


def asked(client: Client, pages: Iterable[str] = PAGES) -> dict[str, list[str]]:
    """The queries of each page, and of the header alone."""
    found = {}
    for page in pages:
        client.get(page)  # once before, so that nothing is read for the first time
        with CaptureQueriesContext(database) as captured:
            answer = htmx(client, "get", page, page="/approvals/") if page == "/house/" else client.get(page)
        assert answer.status_code == 200
        found[page] = [query["sql"] for query in captured.captured_queries]
    return found


def counts(client: Client, pages: Iterable[str] = PAGES) -> dict[str, int]:
    return {page: len(queries) for page, queries in asked(client, pages).items()}


def test_releases_cost_the_same_however_many_wait(
    sign_in: SignIn, approved: Make, connection: Connection, operator: User, operator2: User
) -> None:
    approved()

    def release(number: int) -> None:
        at = timezone.now()
        order = stops.stop(connection=connection, reason=f"Drill {number}", by=operator, at=at)
        stops.propose_release(stop_order_id=order.pk, by=operator, reason=f"Over {number}", at=at)

    for number in range(2):
        release(number)
    client = sign_in(operator2)
    two = counts(client)
    for number in range(2, 12):
        release(number)
        approved()
    assert counts(client) == two


def test_proposals_about_transfers_cost_the_same_however_many_wait(
    sign_in: SignIn, approved: Make, operator: User, checker2: User
) -> None:
    """Eight contradictions; two of them are proposed to be closed, and then the other six."""
    at, settle = timezone.now(), Machine("settle")
    made = [approved(amount="1") for _ in range(8)]
    against = [contradictions.raise_(one, words="a record was found", by=settle, at=at) for one in made]

    def propose(one: Contradiction) -> None:
        said = {"moved": True, "reason": "Seen", "typed": one.transfer.reference, "files": [FILE]}
        contradictions.propose_close(contradiction_id=one.pk, by=operator, at=timezone.now(), **said)

    client = sign_in(checker2)
    for one in against[:2]:
        propose(one)
    two = counts(client)
    for one in against[2:]:
        propose(one)
    assert counts(client) == two


def test_proposals_of_accounts_cost_the_same_however_many_wait(
    sign_in: SignIn, connection: Connection, operator: User, operator2: User
) -> None:
    def made(name: str) -> Connection:
        other = bare_connection(
            name=name, venue="bybit", environment="mainnet", login=name, credentials="-", created_at=timezone.now()
        )
        for address in ("FUND", "UNIFIED"):
            set_up(other, address, kind=address)
        return other

    def propose(other: Connection) -> None:
        wanted = [connections.SetUp(address, "Ours", True) for address in ("FUND", "UNIFIED")]
        said = {"connection": other, "accounts": wanted, "reason": "Ours alone"}
        connections.propose_set_up(by=operator, at=timezone.now(), **said)

    others = [made(f"Bybit {number}") for number in range(8)]
    for other in others[:2]:
        propose(other)
    client = sign_in(operator2)
    two = counts(client)
    for other in others[2:]:
        propose(other)
    assert counts(client) == two


@pytest.mark.parametrize("kind", [people.ENROL, people.CHANGE, people.RESET, people.MEMBERSHIPS])
def test_proposals_about_people_cost_the_same_however_many_wait(sign_in: SignIn, approved: Make, kind: str) -> None:
    approved()
    first, second = administrators()
    everybody = [person(f"person{number}", CHECKERS) for number in range(8)]

    def propose(one: User) -> None:
        said: dict[str, Any] = {"reason": "Agreed", "by": first, "at": timezone.now()}
        if kind == people.ENROL:
            who = people.Who(f"{one.username}.too", "Two", "Sign-ins", one.email, same_as=one.username)
            people.propose_enrol(who=who, groups=[MAKERS], **said)
        elif kind == people.CHANGE:
            becomes = details.Details("Other", "Name", one.email, same_as="useradmin")
            details.propose_change(user=one, details=becomes, **said)
        elif kind == people.RESET:
            resets.propose_reset(user=one, proof="Seen in person", **said)
        else:
            wishes = [memberships.Wish(one.username, CHECKERS, False), memberships.Wish(one.username, MAKERS, True)]
            memberships.propose_memberships(wishes=wishes, **said)

    client = sign_in(second)
    for one in everybody[:2]:
        propose(one)
    two = counts(client, (*PAGES, "/people/"))
    for one in everybody[2:]:
        propose(one)
    assert counts(client, (*PAGES, "/people/")) == two


@pytest.mark.parametrize("kind", [connections.CONNECT, credentials.REPLACE])
def test_proposals_of_logins_cost_the_same_however_many_wait(
    sign_in: SignIn, operator: User, operator2: User, kind: str
) -> None:
    others = [bare_connection(f"Bybit {number}", login=f"{number}") for number in range(8)]
    keys = {"api_key": "k", "api_secret": "s"}

    def propose(one: Connection) -> None:
        said: dict[str, Any] = {"credentials": keys, "reason": "New", "by": operator, "at": timezone.now()}
        if kind == connections.CONNECT:
            connections.propose_connect(name=f"{one.name} too", venue="bybit", environment="mainnet", **said)
        else:
            credentials.propose(connection=one, **said)

    client = sign_in(operator2)
    for one in others[:2]:
        propose(one)
    two = counts(client)
    for one in others[2:]:
        propose(one)
    assert counts(client) == two


@pytest.mark.parametrize("page", ["/changes/", "/stops/", "/connections/"])
def test_a_list_of_what_waits_has_an_end_and_says_how_much_more_there_is(
    sign_in: SignIn, connection: Connection, operator: User, operator2: User, page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proposals, "SHOWN", 2)
    for number in range(3):
        at = timezone.now()
        order = stops.stop(connection=connection, reason=f"Drill {number}", by=operator, at=at)
        stops.propose_release(stop_order_id=order.pk, by=operator, reason=f"Over {number}", at=at)
        said = {"venue": "bybit", "environment": "mainnet", "credentials": {"api_key": "k", "api_secret": "s"}}
        connections.propose_connect(name=f"Two {number}", reason="More", by=operator, at=at, **said)
    for reader, more in ((operator, "and 1 more"), (operator2, "and 1 more")):
        shown = by_id(page_of(sign_in(reader).get(page)), "main")
        waiting = ".//article[starts-with(@id, 'change-')][not(.//*[contains(@class, 'ruling')])]"
        assert len(shown.xpath(waiting)) == 2
        assert (more if page != "/changes/" else "and 4 more") in shown.text_content()
