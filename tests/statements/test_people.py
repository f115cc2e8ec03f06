"""The control statements about people: S2, S4, S36, S38, S40."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from datetime import datetime
from itertools import combinations

import pytest
from django.conf import settings
from django.core import mail
from django.test import Client
from django.utils import timezone

from tests.house import administrators, amend, deactivate, person, set_policy, take
from tests.statements.proves import proves
from tests.web.proving import password
from treasury.controls import changes, conflicts, details, memberships, people, resets
from treasury.controls.memberships import Wish
from treasury.controls.people import NoLongerSo, NotEnrolled, Who
from treasury.controls.roles import (
    AUDITORS,
    CHECKERS,
    MAKERS,
    OPERATORS,
    POLICY_EDITORS,
    USER_ADMINISTRATORS,
)
from treasury.models import AuditEntry, Change, Decision, Notice, State, Transfer, User
from treasury.notices import links, post
from treasury.transfers import approvals, approve
from treasury.transfers.access import NotAllowed, NotNow
from treasury.web import people_forms
from treasury.web.changes import CONFIRM

pytestmark = pytest.mark.django_db

SignIn = Callable[[User], Client]


@pytest.fixture
def opens() -> SignIn:
    def make(user: User) -> Client:
        client = Client()
        client.force_login(user)
        return client

    return make


@proves(
    "S2",
    "treasury/controls/conflicts.py:report",
    "treasury/web/people.py:conflict_report",
    "treasury/web/people_proposals.py:beyond",
)
def test_s02_nobody_holds_two_duties_outside_the_conflict_report(opens: SignIn, auditor: User) -> None:
    administrators()
    person("quiet", MAKERS, "finance-leads")  # one duty, and a group of approvers
    person("operator", OPERATORS, MAKERS)  # two roles that may meet
    holders = {}
    apart = [MAKERS, CHECKERS, POLICY_EDITORS, USER_ADMINISTRATORS, AUDITORS]
    for number, pair in enumerate([*combinations(apart, 2), (OPERATORS, AUDITORS)]):
        holders[f"both{number}"] = set(pair)
        person(f"both{number}", *pair)
    first = person("twin1", MAKERS)
    person("twin2", CHECKERS, email=first.email.upper())  # two duties over two sign-ins of one person
    found = {one.sign_ins[0].username: set(one.duties) for one in conflicts.report().met}
    assert found == {**holders, "twin1": {MAKERS, CHECKERS}}
    page = opens(auditor).get("/people/conflicts/").content.decode()
    assert all(f">{username}<" in page for username in (*holders, "twin1", "twin2"))
    assert ">quiet<" not in page
    took = User.objects.get(username="both0")
    take(took, CHECKERS)
    deactivate(User.objects.get(username="both1"))
    assert not {"both0", "both1"} & {one.sign_ins[0].username for one in conflicts.report().met}


def test_whoever_gives_a_second_duty_is_told_before_it_is_proposed_and_before_it_is_confirmed(
    opens: SignIn, maker: User
) -> None:
    first, second = administrators()
    words = {"roles": [MAKERS, CHECKERS], "groups": "", "reason": "Holidays"}
    would = "Maker Person (maker) would hold what should not meet: makers and checkers."
    assert would in opens(first).post(f"/people/{maker.pk}/roles/", words).content.decode()
    assert not Change.objects.filter(kind=people.MEMBERSHIPS).exists(), "so far it is only looked at"
    opens(first).post(f"/people/{maker.pk}/roles/", {**words, "sure": "yes"})
    assert would in opens(second).get("/changes/").content.decode()


@proves(
    "S4",
    "treasury/controls/people.py:person_of",
    "treasury/controls/people.py:why_another",
    "treasury/controls/people.py:wrong_details",
    "treasury/controls/changes.py:why_not_decide",
    "treasury/migrations/0010_agreed_guards.py:DECISION",
    "treasury/migrations/0012_one_person.py:PERSON",
)
def test_s04_one_natural_person_with_two_sign_ins_counts_once_and_is_in_the_report(
    submitted: Callable[..., Transfer], checker: User, checker2: User, opens: SignIn, at: datetime
) -> None:
    first, second = administrators()
    who = Who("clara2", "Clara", "Again", "Checker+second@TREASURY.invalid")
    asked = people.propose_enrol(who=who, groups=[CHECKERS], reason="A second sign-in", by=first, at=at)
    same = "would be sign-ins of one natural person, who counts once."
    assert same in opens(second).get("/changes/").content.decode(), "whoever confirms it reads so"
    twin = people.confirm_enrol(change_id=asked.pk, by=second, digest=asked.digest, at=at)
    assert twin.person == checker.person
    assert [{each.username for each in one.sign_ins} for one in conflicts.report().twins] == [{"checker", "clara2"}]

    set_policy(rules=[{"name": "All", "demands": {CHECKERS: 2}}])
    transfer = submitted()
    words = {"digest": transfer.digest or "", "round": transfer.round, "factor": "password", "at": timezone.now()}
    makers = person("maker-again", CHECKERS, same_as=transfer.maker.username)
    with pytest.raises(NotAllowed):
        approve.approve(reference=transfer.reference, checker=makers, **words)
    assert not Decision.objects.exists(), "not even by another sign-in of its maker"
    transfer = approve.approve(reference=transfer.reference, checker=checker, **words)
    with pytest.raises(NotNow):
        approve.approve(reference=transfer.reference, checker=twin, **words)
    assert (transfer.state, approvals.still_missing(transfer)) == (State.SUBMITTED, {CHECKERS: 1})
    assert approve.approve(reference=transfer.reference, checker=checker2, **words).state == State.APPROVED

    amend(checker, provider_subject="sub-1")
    other = Who("clara3", "Clara", "Third", "third@example.org", "SUB-1")
    with pytest.raises(NotEnrolled, match="the same natural person"):
        people.propose_enrol(who=other, groups=[CHECKERS], reason="A third", by=first, at=at)


def test_two_who_were_each_said_to_be_the_other_do_not_approve_for_each_other(
    submitted: Callable[..., Transfer], maker: User, checker: User, checker2: User, at: datetime
) -> None:
    """Both proposals are true, and both waited; were both carried out, they would swap and stay two."""
    first, second = administrators()

    def proposed(one: User, other: User) -> Change:
        said = details.Details(one.first_name, one.last_name, one.email, same_as=other.username)
        return details.propose_change(user=one, details=said, reason="The same human", by=first, at=at)

    asked = [proposed(maker, checker), proposed(checker, maker)]
    details.confirm_change(change_id=asked[0].pk, by=second, digest=asked[0].digest, at=at)
    with pytest.raises(NoLongerSo, match="Nothing was changed"):
        details.confirm_change(change_id=asked[1].pk, by=second, digest=asked[1].digest, at=at)
    transfer = submitted(amount="50")
    words = {"digest": transfer.digest or "", "round": transfer.round, "factor": "password", "at": timezone.now()}
    with pytest.raises(NotAllowed):
        approve.approve(reference=transfer.reference, checker=User.objects.get(pk=checker.pk), **words)
    assert not Decision.objects.exists()


@proves(
    "S36",
    "treasury/notices/links.py:text_of",
    "treasury/controls/letters.py:first_password",
    "treasury/controls/resets.py:confirm_reset",
    "treasury/web/witness.py:password_changed",
    "treasury/web/adapter.py:AccountAdapter",
)
def test_s36_administrators_start_a_password_and_never_choose_or_read_it(
    opens: SignIn, at: datetime, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(settings, "EMAIL_BACKEND", "django.core.mail.backends.locmem.EmailBackend")
    caplog.set_level(logging.DEBUG)
    first, second = administrators()
    chosen = "a password that an administrator wants"
    words = {
        "username": "vera",
        "first_name": "Vera",
        "last_name": "Viewer",
        "email": "vera@treasury.invalid",
        "roles": [AUDITORS],
        "groups": "",
        "reason": "Joined",
        "password": chosen,
        "password1": chosen,
    }
    opens(first).post("/people/new/", words)
    change = Change.objects.get(kind=people.ENROL, subject="user:vera")
    assert "password" not in str(change.words)
    opens(second).post(f"/changes/{change.pk}/confirm/", {"digest": change.digest, "password": chosen})
    vera = User.objects.get(username="vera")
    assert not vera.has_usable_password()
    assert not any("password" in name for form in FORMS for name in form.base_fields)
    assert opens(first).post("/admin/password_change/", {"new_password1": chosen}).status_code == 403

    letter = Notice.objects.get(kind=links.KIND, to=vera.email)
    assert links.PATH not in letter.text, "the outbox never holds the link"
    post._drop(at)
    assert post._send(letter, timezone.now()) is None
    sent = mail.outbox[-1].body
    assert sent.count(f"{settings.ADDRESS}{links.PATH}") == 1
    token = sent.partition(links.PATH)[2].partition("-")[2].partition("/")[0]
    assert links.TOKENS.check_token(vera, token)
    letter.refresh_from_db()
    kept = [str(Notice.objects.values_list()), *AuditEntry.objects.values_list("canonical", flat=True), caplog.text]
    assert not any(token in text for text in kept), "neither the outbox, the log nor the server's own log has it"

    vera.set_password("chosen by herself")
    vera.save(update_fields=["password"])
    assert not links.TOKENS.check_token(vera, token), "it works once"

    def told_of(kind: str) -> int:
        return Notice.objects.filter(kind=kind, to=vera.email).count()

    browser = Client()
    browser.post("/sign-in/", {"username": "vera", "password": "chosen by herself"})
    assert told_of("session.sign_in") == 1, "they are told of a browser that was not known"
    browser.post("/account/prove/", {"password": "chosen by herself", "next": "/account/password/change/"})
    new = {"oldpassword": "chosen by herself", "password1": "another of her own", "password2": "another of her own"}
    assert browser.post("/account/password/change/", new).status_code == 302
    assert told_of("password.change") == 1, "and of another password"
    vera.refresh_from_db()
    asked = resets.propose_reset(user=vera, proof="Seen in person", reason="Lost", by=first, at=at)
    resets.confirm_reset(change_id=asked.pk, by=second, digest=asked.digest, at=at)
    told = Notice.objects.filter(subject="user:vera", kind=links.KIND).latest("pk")
    assert "took away your password" in told.text, "they are told that it was reset"


FORMS = [one for one in vars(people_forms).values() if isinstance(one, type) and hasattr(one, "base_fields")]


@proves(
    "S38",
    "treasury/controls/sessions.py:end_sessions",
    "treasury/controls/people.py:deactivate",
    "treasury/controls/sessions.py:sign_out",
    "treasury/web/account.py:end_session",
)
def test_s38_ending_a_sign_in_ends_every_session_at_once_and_so_may_an_administrator(
    opens: SignIn, maker: User
) -> None:
    first, _ = administrators()
    laptop, phone, administrator = opens(maker), opens(maker), opens(first)
    assert all(one.get("/transfers/").status_code == 200 for one in (laptop, phone))
    shown = administrator.get(f"/people/{maker.pk}/").content.decode()
    assert "in 2 places" in shown
    administrator.post(f"/people/{maker.pk}/sign-out/")
    assert all(one.get("/transfers/").status_code == 302 for one in (laptop, phone))
    for one in (laptop, phone):
        password(one, maker)
    own = laptop.get("/account/sessions/").content.decode()
    address = re.search(r'action="(/account/sessions/\d+/end/)"', own)
    assert address is not None
    laptop.post(address[1])
    assert (laptop.get("/transfers/").status_code, phone.get("/transfers/").status_code) == (200, 302), "their own list"
    again, beside = opens(maker), opens(maker)
    answer = administrator.post(f"/people/{maker.pk}/deactivate/", {"reason": "Left"})
    assert answer.status_code == 303
    for one in (again, beside):
        assert one.get("/transfers/").status_code == 302
        assert one.get("/transfers/", headers={"HX-Request": "true"})["HX-Redirect"].startswith("/")
    assert administrator.get("/people/").status_code == 200, "and nobody else's"
    assert AuditEntry.objects.filter(action="user.deactivate", subject="user:maker", result="done").count() == 1


@proves("S40", "treasury/controls/roles.py:groups_of", "treasury/controls/memberships.py:regrouped")
def test_s40_losing_a_role_counts_from_the_next_request_on_a_page_that_is_open(
    submitted: Callable[..., Transfer], checker: User, opens: SignIn, at: datetime
) -> None:
    first, second = administrators()
    transfer, tab = submitted(), opens(checker)
    page = tab.get(f"/transfers/{transfer.reference}/")
    assert page.status_code == 200
    decision = {"digest": transfer.digest, "round": transfer.round}
    wish = Wish("checker", CHECKERS, False)
    asked = memberships.propose_memberships(wishes=[wish], reason="Moves on", by=first, at=at)
    memberships.confirm_memberships(change_id=asked.pk, by=second, digest=asked.digest, at=at)
    answer = tab.post(f"/transfers/{transfer.reference}/approve/", decision, headers={"HX-Request": "true"})
    assert "HX-Redirect" in answer, "signed out"
    tab.force_login(checker)  # signs in again, and posts the page of before
    answer = tab.post(f"/transfers/{transfer.reference}/approve/", decision)
    assert answer.status_code == 403
    transfer.refresh_from_db()
    assert transfer.state == State.SUBMITTED
    assert not Decision.objects.exists()


def test_every_kind_of_change_about_people_can_be_confirmed_on_its_page() -> None:
    assert {people.ENROL, people.CHANGE, people.RESET, people.MEMBERSHIPS} <= CONFIRM.keys() & changes.RIGHTS.keys()
