"""The pages about people: who sees them, who proposes, what a proposal shows, and what is done alone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import pytest
from django.test import Client

from tests.house import administrators, deactivate, person
from tests.web.swap import by_id, page_of, swapped, text_of
from treasury.controls import memberships
from treasury.controls.memberships import Wish
from treasury.controls.roles import AUDITORS, CHECKERS, MAKERS, groups_of
from treasury.models import AuditEntry, Change, User

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}
SignIn = Callable[..., Client]
ENROL = {
    "username": "vera",
    "first_name": "Vera",
    "last_name": "Viewer",
    "email": "vera@example.org",
    "roles": [AUDITORS],
    "groups": "Finance-Leads, ",
    "reason": "Joined",
}


@pytest.fixture
def first(sign_in: SignIn) -> Client:
    return sign_in(administrators()[0])


@pytest.fixture
def second(sign_in: SignIn) -> Client:
    return sign_in(administrators()[1])


def html(client: Client, address: str) -> str:
    response = client.get(address)
    assert response.status_code == 200, (address, response.status_code)
    return response.content.decode()


def newest() -> Change:
    return Change.objects.filter(ruling=None).latest("pk")


def confirm(client: Client, change: Change, **words: str) -> int:
    return client.post(f"/changes/{change.pk}/confirm/", {"digest": change.digest, **words}).status_code


@pytest.mark.parametrize("name", ["auditor", "operator", "useradmin"])
def test_auditors_operators_and_administrators_see_everybody(
    sign_in: SignIn, request: pytest.FixtureRequest, first: Client, maker: User, name: str
) -> None:
    reader = first if name == "useradmin" else sign_in(request.getfixturevalue(name))
    listed = html(reader, "/people/")
    assert "Maker Person" in listed
    assert "/people/new/" not in listed or name == "useradmin"
    assert 'aria-current="page"' in listed
    shown = html(reader, f"/people/{maker.pk}/")
    assert "makers" in shown
    assert "Change roles" not in shown or name == "useradmin"
    assert html(reader, "/people/conflicts/")


@pytest.mark.parametrize("address", ["/people/", "/people/conflicts/", "/people/{}/"])
def test_nobody_else_sees_who_holds_what(
    sign_in: SignIn, checker: User, refused: Callable[[], list[tuple[str, str, str]]], address: str
) -> None:
    address = address.format(checker.pk)
    assert sign_in(checker).get(address).status_code == 403
    assert refused() == [("checker", "people.see", f"page:{address}")]


@pytest.mark.parametrize("step", ["roles", "details", "reopen", "reset", "deactivate"])
def test_only_administrators_are_shown_a_form(sign_in: SignIn, auditor: User, maker: User, step: str) -> None:
    reader = sign_in(auditor)
    assert reader.get(f"/people/{maker.pk}/{step}/").status_code == 403
    assert reader.post(f"/people/{maker.pk}/{step}/", {"reason": "x", "proof": "x"}).status_code == 403
    assert reader.get("/people/new/").status_code == 403
    assert reader.post(f"/people/{maker.pk}/sign-out/").status_code == 403
    maker.refresh_from_db()
    assert maker.is_active
    assert not Change.objects.filter(ruling=None).exists()


@pytest.mark.parametrize("headers", [{}, HTMX])
def test_somebody_is_enrolled_by_two(first: Client, second: Client, headers: dict[str, str]) -> None:
    answer = first.post("/people/new/", ENROL, headers=headers)
    change = newest()
    assert (answer.headers.get("HX-Redirect") or answer.headers["Location"]) == f"/changes/#change-{change.pk}"
    assert "Vera Viewer may sign in as vera. Roles and groups: auditor, finance-leads." in html(second, "/changes/")
    assert confirm(first, change) == 403
    assert confirm(second, change) == 303
    vera = User.objects.get(username="vera")
    assert groups_of(vera) == {AUDITORS, "finance-leads"}
    assert "vera" in html(first, "/people/")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ({"username": "Vera!"}, "small letters, digits"),
        ({"email": "nowhere"}, "valid email"),
        ({"reason": " "}, "Say why"),
        ({"groups": "one!"}, "small letters, digits"),
        ({"same_as": "nobody"}, "There is no other sign-in called nobody"),
        ({"roles": ["kings"]}, "kings"),
    ],
)
def test_a_form_that_makes_no_proposal_says_so_and_keeps_what_was_typed(
    first: Client, words: dict[str, str], sentence: str
) -> None:
    page = page_of(first.get("/people/new/"))
    answer = first.post("/people/new/", {**ENROL, **words}, headers=HTMX)
    assert answer.status_code == 422
    shown = text_of(by_id(swapped(page, answer, "step"), "step"))
    assert sentence in shown
    assert "Viewer" in shown
    assert not Change.objects.filter(ruling=None).exists()


def test_roles_are_looked_at_with_all_that_follows_before_they_are_proposed(
    first: Client, second: Client, maker: User, submitted: Callable[..., object], checker: User
) -> None:
    submitted()
    words = {"roles": [], "groups": "", "reason": "Moves on"}
    shown = first.post(f"/people/{checker.pk}/roles/", words, headers=HTMX).content.decode()
    assert "Checker Person (checker) no longer holds checkers, and is signed out everywhere." in shown
    assert "Only one person would be left" in shown or "Nobody would be left in checkers." in shown
    assert "could no longer get all approvals" in shown
    assert not Change.objects.filter(ruling=None).exists()
    first.post(f"/people/{checker.pk}/roles/", {**words, "sure": "yes"})
    assert "could no longer get all approvals" in html(second, "/changes/")
    assert confirm(second, newest()) == 303
    assert groups_of(checker) == frozenset()


def test_a_form_of_roles_begins_with_what_is_held(first: Client) -> None:
    user = person("several", MAKERS, "finance-leads")
    page = page_of(first.get(f"/people/{user.pk}/roles/"))
    assert page.xpath("//input[@name='roles'][@checked]/@value") == [MAKERS]
    assert page.xpath("//input[@name='groups']/@value") == ["finance-leads"]


def test_details_are_shown_as_a_difference(first: Client, second: Client, maker: User, checker: User) -> None:
    words = {"first_name": "Maker", "last_name": "Married", "email": checker.email.upper(), "reason": "Wedding"}
    first.post(f"/people/{maker.pk}/details/", words)
    shown = html(second, "/changes/")
    assert "Last name: Person; becomes Married." in shown
    assert "Counts from then on as the same natural person as Checker Person (checker)." in shown
    assert "would hold what should not meet: makers and checkers." in shown
    assert confirm(second, newest()) == 303
    assert "checker</a>" in html(first, f"/people/{maker.pk}/")


def test_a_reset_says_how_it_was_made_sure_and_is_not_offered_for_oneself(
    first: Client, second: Client, maker: User
) -> None:
    own = administrators()[0]
    assert "Reset lost factors" not in html(first, f"/people/{own.pk}/")
    assert first.post(f"/people/{maker.pk}/reset/", {"reason": "Lost", "proof": ""}).status_code == 422
    first.post(f"/people/{maker.pk}/reset/", {"reason": "Lost", "proof": "Seen, with a passport"})
    assert "How it was made sure who they are: Seen, with a passport" in html(second, "/changes/")
    assert confirm(second, newest()) == 303
    maker.refresh_from_db()
    assert not maker.has_usable_password()


def test_a_sign_in_is_ended_on_a_page_that_says_what_follows_and_opened_by_two(
    first: Client, second: Client, maker: User
) -> None:
    address = f"/people/{maker.pk}/deactivate/"
    assert "Nobody would be left in makers." in html(first, address)
    assert first.post(address, {"reason": ""}).status_code == 422
    assert first.post(address, {"reason": "Left"}).status_code == 303
    maker.refresh_from_db()
    assert not maker.is_active
    assert "ended" in html(first, f"/people/{maker.pk}/")
    first.post(f"/people/{maker.pk}/reopen/", {"reason": "Is back"})
    assert "May sign in again, and holds makers." in html(second, "/changes/")
    assert confirm(second, newest()) == 303
    maker.refresh_from_db()
    assert maker.is_active


def test_the_last_two_administrators_are_kept_with_a_sentence(first: Client) -> None:
    other = administrators()[1]
    answer = first.post(f"/people/{other.pk}/deactivate/", {"reason": "Left"})
    assert answer.status_code == 409
    assert "Fewer than two people would be left" in answer.content.decode()
    refusal = AuditEntry.objects.filter(result="refused").latest("id")
    assert (refusal.action, refusal.subject) == ("user.deactivate", "user:useradmin2")


def test_a_persons_page_has_their_memberships_over_time_and_what_waits(
    first: Client, second: Client, maker: User, at: datetime
) -> None:
    one, other = administrators()
    for group, member in ((CHECKERS, True), (CHECKERS, False)):
        wish = Wish("maker", group, member)
        asked = memberships.propose_memberships(wishes=[wish], reason="Turns", by=one, at=at)
        memberships.confirm_memberships(change_id=asked.pk, by=other, digest=asked.digest, at=at)
    memberships.propose_memberships(wishes=[Wish("maker", AUDITORS, True)], reason="Looks", by=one, at=at)
    shown = html(second, f"/people/{maker.pk}/")
    assert shown.count("Useradmin Person and Useradmin2 Person") >= 3
    assert "Maker Person (maker) gets auditors." in shown
    assert f"/changes/#change-{newest().pk}" in shown


def test_the_header_leads_there_whoever_may_see_it(first: Client, sign_in: SignIn, maker: User) -> None:
    assert 'href="/people/"' in html(first, "/transfers/")
    assert 'href="/people/"' not in html(sign_in(maker), "/transfers/")


def test_a_deactivated_persons_roles_are_shown_as_not_counting(first: Client, maker: User) -> None:
    deactivate(maker)
    assert "none of it counts while the sign-in is ended" in html(first, f"/people/{maker.pk}/")


def test_thin_roles_and_one_address_of_two_people_are_listed(first: Client, maker: User) -> None:
    shown = html(first, "/people/conflicts/")
    assert "Makers: 1" in shown
    assert "Checkers: nobody" in shown
    assert "User administrators: " not in shown


def test_ones_own_security_is_one_click_away_and_no_section_is_current_there(first: Client) -> None:
    bar = page_of(first.get("/people/")).xpath("//a[@title='Your security']")
    assert [one.get("href") for one in bar] == ["/account/"]
    page = page_of(first.get("/account/"))
    assert page.xpath("//nav[@aria-label='Main']//a[@aria-current]") == []
    assert len(page.xpath("//a[@title='Your security'][@aria-current]")) == 1


def test_a_change_about_people_leads_only_those_there_who_may_see_it(
    sign_in: SignIn, first: Client, maker: User, checker: User
) -> None:
    address = f"/people/{checker.pk}/"
    assert f'href="{address}"' in first.get("/changes/").content.decode()
    page = sign_in(maker).get("/changes/").content.decode()
    assert f"Enrol a person: {checker.username}" in page
    assert 'href="/people/' not in page


def test_people_and_conflicts_lead_to_who_approves_whose(first: Client) -> None:
    for address in ("/people/", "/people/conflicts/"):
        assert 'href="/people/pairs/"' in first.get(address).content.decode()
