"""A checker in a real browser, with the virtual authenticator that Chromium brings: set up, sign in, prove, approve."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.utils import timezone
from playwright.sync_api import expect

from treasury.models import Decision, State, Transfer, User

pytestmark = pytest.mark.django_db(transaction=True)

PHONE = {"width": 390, "height": 800}
WIDE = "() => document.documentElement.scrollWidth <= window.innerWidth"


def give_authenticator(page: Any) -> None:
    """A passkey of the device itself, which finds that its owner is there whenever it is asked."""
    devtools = page.context.new_cdp_session(page)
    devtools.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    devtools.send("WebAuthn.addVirtualAuthenticator", {"options": options})


def sound(page: Any) -> None:
    """Nothing is cut, and nothing is out of reach for whoever does not see it or uses no mouse."""
    assert page.evaluate(WIDE), page.url
    violations = Axe().run(page).response["violations"]
    assert [(one["id"], page.url) for one in violations] == []


@pytest.mark.parametrize("viewport", [None, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_checker_sets_a_passkey_up_and_approves_after_proving_again(
    quiet_page: Any,
    live_server: Any,
    settings: Any,
    submitted: Callable[..., Transfer],
    checker: User,
    monkeypatch: pytest.MonkeyPatch,
    viewport: Any,
    scheme: Any,
) -> None:
    settings.STRONG_SIGN_IN, settings.READ_SECONDS = True, 1
    transfer, page = submitted(), quiet_page
    page.emulate_media(color_scheme=scheme)
    if viewport:
        page.set_viewport_size(viewport)
    give_authenticator(page)
    page.goto(f"{live_server.url}/sign-in/")
    sound(page)
    page.get_by_label("User name").fill("checker")
    page.get_by_label("Password").fill("practice")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("Set up a passkey.")).to_be_visible()
    sound(page)
    page.get_by_role("link", name="Add a passkey").click()
    sound(page)
    page.get_by_label("What you call it").fill("My phone")
    page.get_by_role("button", name="Add it").click()
    # It is used once before anything opens: now it is known that it works.
    expect(page.get_by_role("heading", name="Prove that it is you")).to_be_visible()
    sound(page)
    page.get_by_role("button", name="Use your passkey").click()
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()
    sound(page)
    page.goto(f"{live_server.url}/transfers/{transfer.reference}/")
    # Six minutes later it is too long ago; what is asked for leads back here.
    later = timezone.now
    monkeypatch.setattr("django.utils.timezone.now", lambda: later() + timedelta(minutes=6))
    page.wait_for_timeout(1100)
    page.get_by_role("button", name=re.compile("^Approve")).click()
    expect(page.get_by_text("Nothing was done. This takes your passkey")).to_be_visible()
    transfer.refresh_from_db()
    assert transfer.state == State.SUBMITTED
    monkeypatch.setattr("django.utils.timezone.now", later)
    page.get_by_role("link", name="Prove that it is you").click()
    page.wait_for_url(f"{live_server.url}/account/factors/passkeys/prove/**")
    page.get_by_role("button", name="Use your passkey").click()
    page.wait_for_url(f"{live_server.url}/transfers/{transfer.reference}/")
    page.wait_for_timeout(1100)
    page.get_by_role("button", name=re.compile("^Approve")).click()
    expect(page.get_by_role("button", name=re.compile("^Approve "))).to_have_count(0)
    transfer.refresh_from_db()
    assert transfer.state == State.APPROVED
    assert re.fullmatch(r"passkey [0-9a-f]{8} My phone", Decision.objects.get().factor)
    page.goto(f"{live_server.url}/account/")
    sound(page)
    page.get_by_role("link", name="Sessions").click()
    expect(page.get_by_text("this one")).to_be_visible()
    sound(page)
    # The next sign-in asks for it after the password.
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("User name").fill("checker")
    page.get_by_label("Password").fill("practice")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Your second factor")).to_be_visible()
    sound(page)
    page.get_by_role("button", name="Use your passkey").click()
    page.wait_for_url(f"{live_server.url}/")


def test_by_its_address_one_is_told_that_passkeys_work_on_localhost(
    quiet_page: Any, live_server: Any, settings: Any, checker: User
) -> None:
    settings.STRONG_SIGN_IN, page = True, quiet_page
    page.goto(live_server.url.replace("localhost", "127.0.0.1") + "/sign-in/")
    page.get_by_label("User name").fill("checker")
    page.get_by_label("Password").fill("practice")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("link", name="Add a passkey").click()
    told = page.get_by_role("alert")
    expect(told).to_have_text(re.compile("^Passkeys work on localhost: open http://localhost:"))
    sound(page)
    page.get_by_role("button", name="Add it").click()
    expect(told).to_be_visible()
    page.get_by_role("link", name="http://localhost:").click()
    page.wait_for_url(f"{live_server.url}/**")
    expect(page.get_by_text("Passkeys work on localhost")).to_have_count(0)
