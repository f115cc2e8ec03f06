"""Reconciliation is the machine's, and its sign-off is recorded, by nobody who made or approved any of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from django.test import Client
from django.utils import timezone

from tests.house import amend, give, person
from tests.statements.proves import proves
from treasury.controls.roles import AUDITORS, OPERATORS
from treasury.models import AuditEntry, Match, State, Transfer, User
from treasury.transfers import access, dispatch, match, sign_off

pytestmark = pytest.mark.django_db(transaction=True)

Make = Callable[..., Transfer]


def settled(approved: Make) -> Transfer:
    transfer = approved()
    dispatch.dispatch(reference=transfer.reference, now=timezone.now)
    transfer.refresh_from_db()
    assert transfer.state == State.SETTLED
    return transfer


def matched(transfer: Transfer) -> Match:
    """As the clock does, a little later."""
    later = timezone.now() + timedelta(minutes=20)
    found = match.match(reference=transfer.reference, now=lambda: later)
    assert found is not None
    return found


def signed(by: User, *, said: str = "", digest: str = "") -> AuditEntry:
    at = timezone.now()
    shown = sign_off.found(sign_off.signed_until(), at)
    return sign_off.sign_off(until=at, digest=digest or shown.digest, said=said, by=by, at=at)


def browser(who: User) -> Client:
    client = Client()
    client.force_login(who, backend="django.contrib.auth.backends.ModelBackend")
    return client


@proves(
    "S15",
    "treasury/transfers/match.py:match",
    "treasury/transfers/sign_off.py:why_not",
    "treasury/transfers/sign_off.py:sign_off",
)
def test_s15_the_machine_reconciles_and_whoever_made_or_approved_none_of_it_signs_off(
    approved: Make, maker: User, checker: User, operator: User, auditor: User
) -> None:
    one, other = settled(approved), settled(approved)
    for transfer in (one, other):
        assert matched(transfer).agrees
        assert AuditEntry.objects.get(action="transfer.match", subject=transfer.subject).who == "machine:match"

    # Neither its maker nor its checker, whatever roles they are given, and no second sign-in of theirs.
    twin = person("second", OPERATORS)
    amend(twin, person=checker.person)
    for involved in (maker, checker):
        give(involved, OPERATORS, AUDITORS)
    for involved in (maker, checker, twin):
        with pytest.raises(access.NotAllowed):
            signed(involved)
    assert not AuditEntry.objects.filter(action=sign_off.SIGN_OFF).exists()

    # Somebody else does, and the entry says who, when, of what, with the digest of every comparison.
    entry = signed(auditor)
    rows = [[row.reference, "record", True, ""] for row in (one, other)]
    text = json.dumps({"transfers": rows}, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert entry.actor == "auditor"
    assert entry.facts["digest"] == hashlib.sha256(text.encode()).hexdigest()
    assert [entry.facts[name] for name in ("transfers", "record", "differing", "waiting")] == [2, 2, 0, 0]
    page = browser(operator).get("/reconciliation/").content.decode()
    assert "auditor" in page
    assert entry.facts["digest"][:4] in page

    # The next period begins where it ended: those who had no part in that one may sign it.
    assert sign_off.signed_until() == datetime.fromisoformat(entry.facts["until"])
    assert signed(operator).facts["transfers"] == 0


def test_what_does_not_match_is_signed_off_with_a_word_about_it(approved: Make, auditor: User) -> None:
    transfer = settled(approved)
    with pytest.raises(sign_off.NoRemark):
        signed(auditor)
    matched(transfer)
    Match.objects.filter(transfer=transfer).update(agrees=False, difference="Spot: expected 1, changed by 2")
    with pytest.raises(sign_off.NoRemark):
        signed(auditor)
    entry = signed(auditor, said="The desk asked the venue; ticket 12")
    assert (entry.facts["differing"], entry.facts["said"]) == (1, "The desk asked the venue; ticket 12")


def test_what_is_signed_is_what_the_page_showed(approved: Make, auditor: User) -> None:
    shown = sign_off.found(sign_off.signed_until(), timezone.now())
    settled(approved)
    with pytest.raises(sign_off.OtherFindings):
        signed(auditor, said="ok", digest=shown.digest)


def test_a_period_is_signed_off_once_and_not_ahead(auditor: User) -> None:
    entry = signed(auditor)
    until = datetime.fromisoformat(entry.facts["until"])
    for moment in (until, until - timedelta(hours=1), timezone.now() + timedelta(hours=1)):
        with pytest.raises(access.NotNow):
            sign_off.sign_off(until=moment, digest="0" * 64, said="", by=auditor, at=timezone.now())


def test_on_the_page_it_takes_one_form_and_a_refusal_is_logged(approved: Make, auditor: User, checker: User) -> None:
    matched(settled(approved))
    client = browser(auditor)
    shown = client.get("/reconciliation/")
    at, found = shown.context["at"], shown.context["found"]
    form = {"until": at.isoformat(), "digest": found.digest, "said": ""}
    assert browser(checker).post("/reconciliation/sign-off/", form).status_code == 403
    assert AuditEntry.objects.get(action=sign_off.SIGN_OFF).result == "refused"
    assert client.post("/reconciliation/sign-off/", {**form, "until": "yesterday"}).status_code == 409
    assert client.post("/reconciliation/sign-off/", form).status_code == 303
    entry = AuditEntry.objects.get(action=sign_off.SIGN_OFF, result="done")
    assert (entry.actor, entry.facts["transfers"]) == ("auditor", 1)
