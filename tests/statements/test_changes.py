"""The control statements about changes: S10, S13."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.test import Client
from django.utils import timezone

from tests.conftest import say_yes
from tests.house import agree, person, set_policy
from tests.statements.cases import CASES, Scene
from tests.statements.proves import proves
from tests.web.swap import by_id, page_of
from treasury.controls import changes
from treasury.controls.roles import CHECKERS
from treasury.models import AuditEntry, Change, Ruling, Transfer, User

pytestmark = pytest.mark.django_db

Make = Callable[..., Transfer]


def browser(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def card(client: Client, change: Change) -> str:
    shown = by_id(page_of(client.get("/changes/")), f"change-{change.pk}")
    return re.sub(r"\s+", " ", str(shown.text_content()))


@pytest.mark.parametrize("kind", sorted(changes.RIGHTS))
@proves(
    "S10",
    "treasury/controls/changes.py:propose",
    "treasury/controls/changes.py:confirm",
    "treasury/web/proposals.py:all_of",
    "treasury/transfers/dependents.py:of",
)
def test_s10_what_governs_changes_by_a_proposal_with_its_difference_and_reason_that_another_person_confirms(
    kind: str, scene: Scene
) -> None:
    preparing, shown = CASES[kind]
    propose = preparing(scene)
    with pytest.raises(changes.NotSaid):  # no reason, no proposal
        propose({"reason": "  ", "by": scene.first, "at": timezone.now()})
    assert not Change.objects.filter(kind=kind, ruling=None).exists()
    change = propose({"reason": "As we agreed", "by": scene.first, "at": timezone.now()})
    assert change.proposed_by == scene.first
    assert change.reason == "As we agreed"
    about = AuditEntry.objects.filter(facts__change=change.pk).order_by("pk")
    assert [row.action for row in about if row.actor == "one"] == ["change.propose"]

    other, own = browser(scene.second), browser(scene.first)
    for client in (own, other):  # both see what it would change, and why
        assert [piece for piece in shown if piece not in card(client, change)] == []
        assert "As we agreed" in card(client, change)
    confirmed = {"digest": change.digest, "typed": change.subject.removeprefix("transfer:")}
    if (look := change.first_looks.last()) is not None:
        confirmed["login"] = look.login
    address = f"/changes/{change.pk}/confirm/"

    answer = own.post(address, confirmed)  # on one person's word nothing changes
    assert answer.status_code == 403
    assert "You proposed this; someone else must confirm it." in answer.content.decode()
    twin = person("one-again", *changes.RIGHTS[kind].decide, same_as="one")
    assert browser(twin).post(address, confirmed).status_code == 403  # nor under another sign-in of theirs
    assert other.post(address, confirmed | {"digest": "0" * 64}).status_code == 409  # nor what was not shown
    change.refresh_from_db()
    assert change.ruling is None

    assert other.post(address, confirmed).status_code == 303
    change.refresh_from_db()
    assert (change.ruling, change.decided_by) == (Ruling.APPLIED, scene.second)
    confirmed_by = [row.actor for row in about.filter(result="done", action=kind)]
    assert "two" in confirmed_by, "who confirmed it is in the log"
    refused = AuditEntry.objects.filter(result="refused", actor="one", action=kind)
    assert refused.exists(), "and so is who tried alone"


def test_every_kind_that_may_be_proposed_is_among_those_proved() -> None:
    assert set(CASES) == set(changes.RIGHTS)


@proves("S13", "treasury/web/pairs.py:of_transfers", "treasury/web/pairs.py:of_changes")
def test_s13_a_report_says_who_approves_whose_and_how_often(
    submitted: Make, maker2: User, checker: User, checker2: User, auditor: User
) -> None:
    set_policy(rules=[{"name": "All", "when": {}, "demands": {CHECKERS: 1}}])
    other_sign_in = person("checker3", CHECKERS, same_as="checker")
    for by in (checker, checker, other_sign_in):
        say_yes(submitted(amount="1"), by)
    say_yes(submitted(amount="1"), checker2)
    say_yes(submitted(amount="1", by=maker2), checker2)
    agree("user.reset", "user:x", {})
    page = page_of(browser(auditor).get("/people/pairs/"))
    shown = [
        [re.sub(r"\s+", " ", cell.text_content()).strip() for cell in row.xpath("./*")][:4]
        for row in by_id(page, "pairs").xpath(".//section[1]//tbody/tr")
    ]
    assert shown == [
        ["Maker Person", "Checker Person", "3", "75 %"],  # one natural person, whichever sign-in it was
        ["Maker Person", "Checker2 Person", "1", "25 %"],
        ["Maker2 Person", "Checker2 Person", "1", "100 %"],
    ]
    told = re.sub(r"\s+", " ", by_id(page, "pairs").text_content())
    assert "5 approvals of transfers" in told
    assert "run" in told and "by Auditor Person" in told
    second = by_id(page, "pairs").xpath(".//section[2]//tbody/tr[1]/*")
    assert [cell.text_content().strip() for cell in second][:2] == ["Useradmin Person", "Useradmin2 Person"]
    later = page_of(browser(auditor).get("/people/pairs/?days=0"))
    assert by_id(later, "pairs").xpath(".//section[1]//tbody/tr"), "no number of days is the usual one"
