"""Who it is: factors, passwords, limits and sessions. One test for each control statement."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.test import Client
from django.urls import get_resolver
from django.utils import timezone

from tests.house import administrators, person
from tests.statements.proves import proves
from tests.web.proving import Key, code, give_app, password, prove, with_app, with_passkey
from tests.web.swap import htmx, page_of
from treasury import sealing
from treasury.controls import changes, resets, stops
from treasury.controls.roles import AUDITORS, CHECKERS, MAKERS, OPERATORS, POLICY_EDITORS, USER_ADMINISTRATORS
from treasury.models import AuditEntry, Change, Decision, State, Transfer, User
from treasury.web import gates, sign_in_limits

pytestmark = pytest.mark.django_db

Made = Callable[..., Transfer]
SET_UP, SECOND = "/account/", "/account/factors/sign-in/"


@pytest.fixture
def strong(settings: Any) -> None:
    """As every real installation is."""
    settings.STRONG_SIGN_IN = True


def approve(client: Client, transfer: Transfer, **said: Any) -> Any:
    words = {"digest": transfer.digest, "round": transfer.round, **said}
    return client.post(f"/transfers/{transfer.reference}/approve/", words)


def state_of(transfer: Transfer) -> str:
    transfer.refresh_from_db()
    return transfer.state


@proves("S28", "treasury/web/factor.py:decides", "treasury/transfers/approve.py:approve")
def test_s28_a_decision_names_the_person_their_factor_and_the_very_words(
    strong: None, submitted: Made, checker: User, operator: User
) -> None:
    transfer = submitted()
    client, key = with_passkey(checker)
    approve(client, transfer)
    decision = Decision.objects.get()
    mark = hashlib.sha256(json_id(key).encode()).hexdigest()[:8]
    assert (decision.by, decision.factor) == (checker, f"passkey {mark} Blue key")
    assert (decision.digest, decision.instruction) == (transfer.digest, transfer.instruction)
    entry = AuditEntry.objects.get(action="transfer.approve", result="done")
    assert entry.actor == checker.username and (transfer.digest or "") in entry.canonical
    order = stops.stop(everything=True, reason="look", by=operator, at=timezone.now())
    client, _ = with_passkey(operator)
    client.post(f"/stops/{order.pk}/release/", {"reason": "over"})
    assert Change.objects.get(kind=stops.RELEASE).proposed_factor.startswith("passkey ")


def json_id(key: Key) -> str:
    from fido2.utils import websafe_encode

    return str(websafe_encode(key.id))


@proves("S31", "treasury/web/gates.py:FactorsFirst", "treasury/web/factor.py:missing")
@pytest.mark.parametrize("role", [MAKERS, AUDITORS, CHECKERS, POLICY_EDITORS, USER_ADMINISTRATORS, OPERATORS])
def test_s31_nobody_gets_in_without_a_second_factor_and_nobody_decides_or_governs_without_a_passkey(
    strong: None, role: str
) -> None:
    someone = person("someone", role)
    client = Client()
    password(client, someone)
    for page in ("/", "/transfers/", "/house/", "/admin/", "/audit/"):
        assert client.get(page).url == SET_UP, page
    assert client.post("/refresh/").status_code == 403
    assert client.get("/house/", headers={"HX-Request": "true"})["HX-Redirect"] == SET_UP
    assert "Set up a " in client.get(SET_UP).content.decode()
    client = with_app(someone)  # a code can be phished
    opened = role in (MAKERS, AUDITORS)
    assert client.get("/transfers/").status_code == (200 if opened else 302)
    Authenticator.objects.all().delete()
    client, _ = with_passkey(someone)
    assert client.get("/transfers/").status_code == 200


@proves(
    "S32", "treasury/urls.py:urlpatterns", "treasury/web/session.py:no_side_door", "treasury/web/gates.py:FactorsFirst"
)
def test_s32_there_is_one_door_and_the_admins_pages_are_behind_it(strong: None, auditor: User) -> None:
    client = Client()
    password(client, auditor)
    assert client.get("/admin/").url == SET_UP
    assert client.get("/admin/treasury/auditentry/").url == SET_UP
    assert Client().post("/admin/login/", {"username": "auditor", "password": "practice"}).url.startswith("/sign-in/")
    assert client.post("/admin/login/", {"username": "auditor", "password": "practice"}).status_code == 403
    # Every address that signs somebody in, or makes them known, by name: a new one must be thought of here.
    names = {str(name) for name in get_resolver().reverse_dict if isinstance(name, str)}
    assert {name for name in names if re.search(r"log_?in|log_?out|^sign_(in|up)|signup|token|api", name)} == {
        *("sign_in", "account_login", "account_logout", "openid_connect_login")
    }
    assert {name for name in names if name.startswith("account_")} == {
        "account_login",
        "account_logout",
        "account_inactive",
        "account_reauthenticate",
        "account_change_password",
        "account_set_password",
        "account_reset_password_from_key",
        "account_reset_password_from_key_done",
    }


@proves("S33", "treasury/controls/passwords.py:is_listed", "treasury/settings.py:PASSWORD_VALIDATORS")
def test_s33_passwords_are_long_unlisted_and_otherwise_anything(settings: Any, tmp_path: Path, maker: User) -> None:
    settings.AUTH_PASSWORD_VALIDATORS = settings.PASSWORD_VALIDATORS
    breached = "four plain words together"
    hashes = sorted(hashlib.sha1(f"listed {number}".encode()).hexdigest().upper() for number in range(5000))
    hashes = sorted([*hashes, hashlib.sha1(breached.encode()).hexdigest().upper()])
    settings.BREACHED_PASSWORDS = tmp_path / "breached"
    settings.BREACHED_PASSWORDS.write_text("\n".join(hashes) + "\n")

    def refused(text: str) -> set[str | None]:
        try:
            validate_password(text, maker)
        except ValidationError as refusal:
            return {one.code for one in refusal.error_list}
        return set()

    assert refused("fourteen chars") == {"password_too_short"}
    assert refused("fifteen letters") == set()  # no digit, no capital, no sign is asked for
    assert refused("ä 漢 " * 32) == set()  # 128 characters, of any kind
    assert refused(breached) == {"password_breached"}
    assert refused("listed 0") == {"password_too_short", "password_breached"}
    assert refused(f"listed {4999}") >= {"password_breached"}
    assert "password_too_common" in refused("qwertyuiop")  # Django's own list
    assert refused("maker-treasury-2026") == {"password_context"}
    client = Client()
    client.force_login(maker)
    shown = client.get("/account/password/change/")
    if shown.status_code == 302:  # it was not them who signed in just now: they prove it
        client.post("/account/prove/", {"password": "practice", "next": "/account/password/change/"})
        shown = client.get("/account/password/change/")
    for box in page_of(shown).xpath("//main//input[@type='password']"):
        assert box.get("onpaste") is None and box.get("maxlength") is None  # it may be pasted, and be long
    said = {"oldpassword": "practice", "password1": breached, "password2": breached}
    assert "breached passwords" in client.post("/account/password/change/", said).content.decode()
    fine = "a rather long one, with spaces"
    said = {"oldpassword": "practice", "password1": fine, "password2": fine}
    assert client.post("/account/password/change/", said).status_code == 302
    maker.refresh_from_db()
    assert maker.check_password(fine)
    entry = AuditEntry.objects.get(action="password.change")
    assert entry.subject == "user:maker" and fine not in entry.canonical


@proves("S34", "treasury/web/sign_in_limits.py:attempt", "treasury/web/sign_in_limits.py:insist_on_pace")
def test_s34_tries_are_limited_and_nobody_locks_a_colleague_out(
    settings: Any, strong: None, submitted: Made, maker: User, checker: User, checker2: User
) -> None:
    known = Client(REMOTE_ADDR="192.0.2.1")
    password(known, maker)  # a browser of theirs
    known.post("/sign-out/")
    thief = Client(REMOTE_ADDR="192.0.2.66")
    wrong = [thief.post("/sign-in/", {"username": "maker", "password": f"guess {n}"}).status_code for n in range(12)]
    assert wrong == [422] * sign_in_limits.NAME_MOST + [429] * (12 - sign_in_limits.NAME_MOST)
    assert thief.post("/sign-in/", {"username": "maker", "password": "practice"}).status_code == 429  # untried
    assert password(known, maker).status_code == 302  # the browser that is known is not shut out
    names = [Client(REMOTE_ADDR="192.0.2.66") for _ in range(60)]
    others = [
        client.post("/sign-in/", {"username": f"nobody{n}", "password": "x"}).status_code
        for n, client in enumerate(names)
    ]
    assert others[-1] == 429 and others.count(422) <= sign_in_limits.ADDRESS_MOST
    assert password(Client(REMOTE_ADDR="192.0.2.2"), checker).status_code == 302  # elsewhere, all is as before
    # Codes: ten wrong ones, then not even the right one is tried.
    give_app(checker2)
    client = Client(REMOTE_ADDR="192.0.2.3")
    password(client, checker2)
    for _ in range(sign_in_limits.DEVICE_MOST):
        assert "This is not right" in client.post(SECOND, {"code": "000000"}).content.decode()
    assert "too many wrong tries" in client.post(SECOND, {"code": code()}).content.decode()
    assert AuditEntry.objects.filter(action="factor.refuse", subject="user:checker2").count() == 11
    # Decisions: so many steps within a minute, and no more.
    settings.STRONG_SIGN_IN, settings.STEPS_A_MINUTE = False, 3
    client, transfer = Client(), submitted()
    client.force_login(checker)
    answers = [approve(client, transfer, digest="other").status_code for _ in range(5)]
    assert answers == [409, 409, 409, 429, 429]


@proves(
    "S35",
    "treasury/web/account_forms.py:LimitedCode",
    "treasury/web/adapter.py:MFAAdapter",
    "treasury/settings.py:MFA_TOTP_TOLERANCE",
)
def test_s35_a_code_works_once_and_for_30_seconds_and_its_secret_is_sealed(
    strong: None, maker: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time() // 30 * 30 + 5
    monkeypatch.setattr("time.time", lambda: now)
    row = give_app(maker)
    assert "JBSWY3DP" not in str(row.data) and sealing.unseal(row.data["secret"]).startswith("JBSWY3DP")

    def second(said: str) -> int:
        client = Client()
        password(client, maker)
        return client.post(SECOND, {"code": said}).status_code

    shown = code()
    assert second(shown) == 302
    assert second(shown) == 200  # the very code again
    assert second(code(-1)) == 200 and second(code(1)) == 200  # of the step before, of the step after
    now += 30
    assert second(shown) == 200 and second(code()) == 302
    # Who lost it: two administrators take it away, and the next sign-in begins with setting another one up.
    (first, second_one), at = administrators(), timezone.now()
    lost = resets.propose_reset(user=maker, proof="Came by, with a passport", reason="Lost", by=first, at=at)
    with pytest.raises(changes.MayNotChange):
        resets.confirm_reset(change_id=lost.pk, by=first, digest=lost.digest, at=at)
    assert Authenticator.objects.filter(user=maker).exists()
    resets.confirm_reset(change_id=lost.pk, by=second_one, digest=lost.digest, at=at)
    assert not Authenticator.objects.filter(user=maker).exists()
    assert password(Client(), maker).status_code == 422  # the password is gone with it; the link leads to another
    maker.refresh_from_db()
    maker.set_password("practice")
    maker.save(update_fields=["password"])
    client = Client()
    assert password(client, maker).status_code == 302
    assert client.get("/transfers/").url == SET_UP
    assert AuditEntry.objects.filter(action="factor.remove", subject="user:maker").count() == 1


@proves("S37", "treasury/web/gates.py:BoundedSessions")
def test_s37_a_session_is_new_at_each_sign_in_and_ends_unused_or_old_on_the_server(
    settings: Any, strong: None, maker: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, key = with_passkey(maker)
    first = client.session.session_key
    prove(client, key)
    proven = client.session.session_key
    client.post("/sign-out/")
    assert password(client, maker).status_code == 302
    assert len({first, proven, client.session.session_key}) == 3
    settings.STRONG_SIGN_IN = False
    start = timezone.now()

    def at(passed: timedelta, address: str = "/transfers/", part: bool = False) -> int:
        monkeypatch.setattr("django.utils.timezone.now", lambda: start + passed)
        return (htmx(client, "get", address) if part else client.get(address)).status_code

    client = Client()
    client.force_login(maker)
    assert at(timedelta(minutes=0)) == 200
    for minute in range(1, 30):
        assert at(timedelta(minutes=minute), "/house/", part=True) == 200  # the page asks by itself: no use of it
    assert at(timedelta(minutes=31)) == 302
    ended = AuditEntry.objects.filter(action="session.end").latest("id")
    assert "30 minutes without use" in ended.canonical
    client.force_login(maker)
    for step in range(25):  # used all the time
        assert at(timedelta(hours=1, minutes=29 * step)) == 200
    assert at(timedelta(hours=13, minutes=10)) == 302
    assert "12 hours after it began" in AuditEntry.objects.filter(action="session.end").latest("id").canonical
    assert gates.SEEN not in client.session


@proves("S39", "treasury/web/factor.py:decides", "treasury/web/factor.py:fresh")
def test_s39_a_decision_takes_a_factor_used_within_minutes(
    settings: Any,
    strong: None,
    submitted: Made,
    checker: User,
    operator: User,
    operator2: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    transfer = submitted()
    client, key = with_passkey(checker)
    stopping, stopping_key = with_passkey(operator)
    releasing, releasing_key = with_passkey(operator2)
    order = stops.stop(everything=True, reason="look", by=operator, at=timezone.now())
    page = f"/transfers/{transfer.reference}/"
    then = time.time()
    later = timezone.now() + timedelta(minutes=6)
    monkeypatch.setattr("django.utils.timezone.now", lambda: later)
    monkeypatch.setattr("time.time", lambda: then + 360)
    refused = approve(client, transfer, digest=transfer.digest)
    assert refused.status_code == 403 and state_of(transfer) == State.SUBMITTED
    part = htmx(client, "post", f"{page}approve/", {"digest": transfer.digest, "round": 1}, page=page)
    assert (part.status_code, part["HX-Retarget"]) == (403, "#alerts")
    (link,) = page_of(part).xpath("//a/@href")
    assert link == f"/account/prove/?next={page.replace('/', '%2F')}"
    assert "Nothing was done. This takes your passkey" in part.content.decode()
    assert client.get(link).url.startswith("/account/factors/passkeys/prove/")
    assert client.post("/account/prove/", {"password": "practice"}).status_code == 302  # a password proves nothing
    assert approve(client, transfer).status_code == 403
    assert prove(client, key, page).url == page  # back where one was
    assert approve(client, transfer).status_code == 303 and state_of(transfer) == State.APPROVED
    # A stop's release, proposed and confirmed, takes it just as much.
    said = {"reason": "over"}
    assert stopping.post(f"/stops/{order.pk}/release/", said).status_code == 403
    assert not Change.objects.filter(kind=stops.RELEASE).exists()
    prove(stopping, stopping_key)
    assert stopping.post(f"/stops/{order.pk}/release/", said).status_code == 303
    change = Change.objects.get(kind=stops.RELEASE)
    said = {"digest": change.digest}
    assert releasing.post(f"/changes/{change.pk}/confirm/", said).status_code == 403
    change.refresh_from_db()
    assert change.decided_by is None
    prove(releasing, releasing_key)
    assert releasing.post(f"/changes/{change.pk}/confirm/", said).status_code == 303
    order.refresh_from_db()
    assert order.released_at is not None
    assert AuditEntry.objects.filter(action="request.refuse", result="refused").count() == 5


@proves("S57", "treasury/web/reading.py:read_first")
def test_s57_nobody_decides_faster_than_anybody_reads(
    settings: Any, submitted: Made, checker: User, maker: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.READ_SECONDS = 1
    transfer, other = submitted(), submitted(amount="3")
    client = Client()
    client.force_login(checker)

    def shown(one: Transfer) -> str:
        page = page_of(client.get(f"/transfers/{one.reference}/"))
        (found,) = page.xpath(f"//form[contains(@action, '{one.reference}/approve')]//input[@name='read']/@value")
        return str(found)

    moment = timezone.now()
    monkeypatch.setattr("django.utils.timezone.now", lambda: moment)
    read, elsewhere = shown(transfer), shown(other)
    at_once = approve(client, transfer, read=read)
    assert at_once.status_code == 409 and "Nothing was decided." in at_once.content.decode()
    moment += timedelta(seconds=2)
    for forged in ({}, {"read": ""}, {"read": read[:-1] + "x"}, {"read": elsewhere}):
        assert approve(client, transfer, **forged).status_code == 409
    mine = Client()
    mine.force_login(maker)
    assert approve(mine, transfer, read=read).status_code == 409  # shown to somebody else
    assert state_of(transfer) == State.SUBMITTED
    assert approve(client, transfer, read=read).status_code == 303 and state_of(transfer) == State.APPROVED
