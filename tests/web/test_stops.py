"""Stop orders on their page: one operator stops after a page that says what it does, two release."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from tests.house import person, put_forward
from tests.web.swap import by_id, htmx, page_of, swapped, text_of
from treasury.controls import stops
from treasury.models import Account, Connection, Scope, StopOrder, Transfer, User

pytestmark = pytest.mark.django_db

Make = Callable[..., Transfer]
SignIn = Callable[..., Client]


def standing(connection: Connection, by: User, reason: str = "Maintenance") -> StopOrder:
    return stops.stop(connection=connection, reason=reason, by=by, at=timezone.now())


def html(client: Client, address: str = "/stops/") -> str:
    return str(client.get(address).content.decode())


# -- stopping ------------------------------------------------------------------------------------------------


def test_a_stop_takes_one_operator_and_a_page_that_says_what_it_does(
    sign_in: SignIn, approved: Make, operator: User
) -> None:
    transfer, client = approved(), sign_in(operator)
    said = {"what": f"connection:{transfer.connection_id}", "reason": "Key rotation"}
    asked = client.post("/stops/new/", said)
    assert asked.status_code == 200
    assert not StopOrder.objects.exists()
    words = by_id(page_of(asked), "stops").text_content()
    for sentence in ("Stop Bybit main?", "Nothing more of it is sent", "1 approved transfer", "look-ups go on"):
        assert sentence in words
    assert client.post("/stops/new/", {**said, "sure": "yes"}).status_code == 303
    order = StopOrder.objects.get()
    assert (order.connection, order.reason, order.by) == (transfer.connection, "Key rotation", "admin")


@pytest.mark.parametrize("scope", list(Scope))
def test_every_scope_is_stopped_shown_in_words_and_on_every_page(
    sign_in: SignIn, approved: Make, operator: User, checker: User, scope: Scope
) -> None:
    transfer, client = approved(), sign_in(operator)
    what, words = {
        Scope.EVERYTHING: ("everything:", "Everything is stopped"),
        Scope.VENUE: ("venue:bybit", "Everything at Bybit is stopped"),
        Scope.CONNECTION: (f"connection:{transfer.connection_id}", "Bybit main is stopped"),
        Scope.ASSET: ("asset:USDT", "Every transfer of USDT is stopped"),
        Scope.ACCOUNT: (f"account:{transfer.destination_id}", f"{transfer.destination} is stopped"),
    }[scope]
    client.post("/stops/new/", {"what": what, "reason": "Drill", "sure": "yes"})
    order = StopOrder.objects.get()
    assert order.scope == scope
    shown = by_id(page_of(client.get("/stops/")), f"stop-{order.pk}").text_content()
    assert words in shown
    assert "It holds 1 approved transfer." in shown
    other = sign_in(checker)
    for page in ("/", "/approvals/", "/audit/"):
        banner = by_id(page_of(other.get(page)), "house")
        assert words in banner.text_content()
        assert banner.xpath(".//*[@class='stopped']//a/@href") == [f"/stops/#stop-{order.pk}"]
    card = by_id(page_of(other.get(f"/transfers/{transfer.reference}/")), f"transfer-{transfer.reference}")
    assert words in card.text_content()


@pytest.mark.parametrize("what", ["", "asset:XYZ", "connection:999999", "venue:nowhere", "nonsense", "everything"])
def test_what_is_not_offered_is_not_stopped(sign_in: SignIn, connection: Connection, operator: User, what: str) -> None:
    answer = sign_in(operator).post("/stops/new/", {"what": what, "reason": "Drill", "sure": "yes"})
    assert answer.status_code == 422
    assert not StopOrder.objects.exists()


def test_a_stop_says_why(sign_in: SignIn, connection: Connection, operator: User) -> None:
    answer = sign_in(operator).post("/stops/new/", {"what": "everything:", "reason": " ", "sure": "yes"})
    assert answer.status_code == 422
    assert not StopOrder.objects.exists()


def test_nobody_but_an_operator_is_offered_a_stop_or_makes_one(
    sign_in: SignIn, connection: Connection, checker: User, refused: Any
) -> None:
    client = sign_in(checker)
    assert "What must stop" not in html(client)
    for said in ({}, {"what": "everything:", "reason": "x", "sure": "yes"}):
        assert client.post("/stops/new/", said).status_code == 403
    assert not StopOrder.objects.exists()
    assert refused() == [("checker", "stop.order", "page:/stops/")] * 2


def test_without_a_role_no_stop_is_shown(sign_in: SignIn, connection: Connection, operator: User) -> None:
    standing(connection, operator)
    client = sign_in(person("nobody"))
    for answer in (client.get("/stops/"), client.post("/stops/new/", {})):
        assert answer.status_code == 403
        assert "Maintenance" not in answer.content.decode()


# -- releasing -----------------------------------------------------------------------------------------------


def test_one_operator_proposes_the_release_and_another_confirms_it(
    sign_in: SignIn, connection: Connection, operator: User, operator2: User
) -> None:
    order = standing(connection, operator)
    assert sign_in(operator).post(f"/stops/{order.pk}/release/", {"reason": "Rotated"}).status_code == 303
    change = put_forward().get()
    assert "You proposed this; someone else must confirm it." in html(sign_in(operator))
    shown = html(sign_in(operator2))
    assert "Rotated" in shown
    assert "Confirm: release the stop" in shown
    answer = sign_in(operator2).post(f"/stops/changes/{change.pk}/confirm/", {"digest": change.digest})
    assert answer.status_code == 303
    order.refresh_from_db()
    assert order.released_at is not None
    history = by_id(page_of(sign_in(operator2).get("/stops/")), f"stop-{order.pk}").text_content()
    assert "Admin Person and Admin2 Person" in history


def test_who_asks_again_for_a_release_confirms_none(
    sign_in: SignIn, connection: Connection, operator: User, operator2: User
) -> None:
    order = standing(connection, operator)
    release = f"/stops/{order.pk}/release/"
    sign_in(operator).post(release, {"reason": "Rotated"})
    change = put_forward().get()
    said = {"change": change.pk, "digest": change.digest, "reason": "Rotated"}
    assert sign_in(operator2).post(release, said).status_code == 409
    order.refresh_from_db()
    assert order.released_at is None


def test_a_declined_release_leaves_the_stop_standing(
    sign_in: SignIn, connection: Connection, operator: User, operator2: User
) -> None:
    order = standing(connection, operator)
    sign_in(operator).post(f"/stops/{order.pk}/release/", {"reason": "Rotated"})
    change = put_forward().get()
    sign_in(operator2).post(f"/stops/changes/{change.pk}/decline/", {"reason": "Not yet"})
    assert "Propose release" in html(sign_in(operator))
    order.refresh_from_db()
    assert order.released_at is None


def test_a_stop_after_a_restore_says_how_many_are_left_to_look_up(
    sign_in: SignIn, submitted: Make, operator: User, operator2: User
) -> None:
    submitted()
    order = stops.stop(everything=True, reason="restored", by=stops.RESTORE, at=timezone.now())
    assert "1 unended transfer must be looked up" in html(sign_in(operator))
    sign_in(operator).post(f"/stops/{order.pk}/release/", {"reason": "Looked"})
    change = put_forward().get()
    assert "Confirm: release the stop" not in html(sign_in(operator2))
    answer = sign_in(operator2).post(f"/stops/changes/{change.pk}/confirm/", {"digest": change.digest})
    assert answer.status_code == 409
    order.refresh_from_db()
    assert order.released_at is None


def test_a_proposal_of_another_kind_is_not_decided_here(
    sign_in: SignIn, connection: Connection, operator: User
) -> None:
    assert sign_in(operator).post("/stops/changes/999/confirm/").status_code == 404
    assert sign_in(operator).post("/stops/999/release/", {"reason": "x"}).status_code == 404


def test_released_stops_are_paged(sign_in: SignIn, connection: Connection, operator: User, operator2: User) -> None:
    for number in range(21):
        order = standing(connection, operator, f"Drill {number}")
        at = timezone.now()
        change = stops.propose_release(stop_order_id=order.pk, by=operator, reason="Over", at=at)
        stops.confirm_release(change_id=change.pk, by=operator2, digest=change.digest, at=at)
    client = sign_in(operator)
    first = page_of(client.get("/stops/"))
    assert "Drill 20" in first.text_content()
    assert "Drill 0" not in first.text_content()
    (older,) = first.xpath("//nav[@class='pages']/a/@href")
    assert "Drill 0" in html(client, older)


# -- swaps ---------------------------------------------------------------------------------------------------


def same(client: Client, address: str, data: Any) -> Any:
    page = page_of(client.get("/stops/"))
    answer = htmx(client, "post", address, data, page="/stops/")
    anew = client.get("/stops/") if answer.status_code == 200 else client.post(address, data)
    assert text_of(swapped(page, answer, "stops")) == text_of(page_of(anew))
    return answer


@pytest.mark.usefixtures("still")
def test_every_swap_equals_a_reload(sign_in: SignIn, connection: Connection, operator: User, operator2: User) -> None:
    one, two = sign_in(operator), sign_in(operator2)
    said = {"what": f"connection:{connection.pk}", "reason": "Drill"}
    asked = htmx(one, "post", "/stops/new/", said, page="/stops/")
    plain = one.post("/stops/new/", said)
    assert text_of(swapped(page_of(one.get("/stops/")), asked, "stops")) == text_of(page_of(plain))
    assert same(one, "/stops/new/", {**said, "sure": "yes"}).status_code == 200
    assert same(one, "/stops/new/", {"what": "", "reason": ""}).status_code == 422
    order = StopOrder.objects.get()
    release = f"/stops/{order.pk}/release/"
    assert same(one, release, {"reason": ""}).status_code == 422
    assert same(one, release, {"reason": "Over"}).status_code == 200
    assert same(one, release, {"reason": "Over"}).status_code == 409
    first = put_forward().get()
    assert same(one, f"/stops/changes/{first.pk}/withdraw/", {}).status_code == 200
    same(one, release, {"reason": "Over, really"})
    second = put_forward().get(ruling=None)
    assert same(two, f"/stops/changes/{second.pk}/confirm/", {"digest": "x"}).status_code == 409
    assert same(two, f"/stops/changes/{second.pk}/confirm/", {"digest": second.digest}).status_code == 200
    order.refresh_from_db()
    assert order.released_at is not None


def test_the_overview_leads_to_the_stop_and_releases_nothing_itself(
    sign_in: SignIn, connection: Connection, operator: User
) -> None:
    order = standing(connection, operator)
    overview = by_id(page_of(sign_in(operator).get("/")), "overview")
    assert f"/stops/#stop-{order.pk}" in overview.xpath(".//a/@href")
    assert not [form for form in overview.xpath(".//form/@action") if "release" in form]


def test_the_stop_orders_are_one_click_away_for_whoever_has_a_role_and_for_nobody_else(
    sign_in: SignIn, connection: Connection, checker: User
) -> None:
    def leads_there(client: Client) -> bool:
        return "/stops/" in page_of(client.get("/")).xpath("//a/@href")

    assert not StopOrder.objects.exists()
    assert leads_there(sign_in(checker))
    assert not leads_there(sign_in(person("nobody")))
    assert "/stops/" not in page_of(Client().get("/sign-in/")).xpath("//a/@href")


def test_an_account_with_two_stops_counts_what_each_holds(
    sign_in: SignIn, approved: Make, unified: Account, fund: Account, operator: User
) -> None:
    approved()
    approved()
    stops.stop(account=fund, reason="Drill", by=operator, at=timezone.now())
    stops.stop(asset="btc", reason="Drill", by=operator, at=timezone.now())
    shown = by_id(page_of(sign_in(operator).get("/stops/")), "stops").text_content()
    assert "It holds 2 approved transfers." in shown
    assert "It holds 0 approved transfers." in shown
