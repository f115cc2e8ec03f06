"""What django-allauth asks of us: nobody signs up, tries are limited, secrets are sealed, and the log has all of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core import context
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from allauth.usersessions.adapter import DefaultUserSessionsAdapter
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.http import HttpRequest
from django.shortcuts import resolve_url
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from qrcode import QRCode
from qrcode.image.svg import SvgPathImage

from treasury import sealing
from treasury.audit.record import record
from treasury.models import User
from treasury.web import factor, refusals, sign_in_limits, witness
from treasury.web.proxies import asker_of

PRODUCT = "Treasury"

# What is said on the next page; what is not here says itself.
SAID: Mapping[str, str] = {
    "account/messages/password_changed.txt": "Your password is changed. Your other sessions have ended.",
    "account/messages/password_set.txt": "Your password is set.",
    "mfa/messages/totp_activated.txt": "Your authenticator app is set up.",
    "mfa/messages/totp_deactivated.txt": "Your authenticator app is removed.",
    "mfa/messages/webauthn_added.txt": "Your passkey is added.",
    "mfa/messages/webauthn_removed.txt": "The passkey is removed.",
    "mfa/messages/recovery_codes_generated.txt": "Recovery codes are made for you. Any earlier ones no longer work.",
    "usersessions/messages/sessions_logged_out.txt": "Your other sessions have ended.",
}


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]  # allauth ships no types
    error_messages = {
        **DefaultAccountAdapter.error_messages,
        "enter_current_password": "This is not your password.",
        "incorrect_password": "This is not your password.",
        "incorrect_code": "This code is not right, or was used before.",
        "invalid_password_reset": "This link is used up or too old.",
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def get_client_ip(self, request: HttpRequest) -> str:
        """A header that anybody can send counts for nothing here."""
        address = asker_of(request)
        if not address:
            raise PermissionDenied("Nothing was done. It is not known where this came from.")
        return str(address)

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """Count this try; as many again as may be wrong are refused untried."""
        try:
            self.attempt = sign_in_limits.attempt(request, "password", str(credentials.get("username", "")))
        except sign_in_limits.TooOften as too_often:
            raise ValidationError(str(too_often), code="too_often") from None

    def _rollback_login_failed_rl_usage(self) -> None:
        """It was right."""
        self.attempt.succeeded()

    def authentication_failed(self, request: HttpRequest, **credentials: Any) -> None:
        if isinstance(request.user, User):  # a sign-in that failed is told by the page that it failed on
            witness.refused(request.user, "wrong password")

    def login(self, request: HttpRequest, user: User) -> None:
        """The end of a sign-in, minutes after the password perhaps. Raises ImmediateHttpResponse if it is overtaken."""
        with transaction.atomic():
            why = why_overtaken(request, user)
            if not why:
                super().login(request, user)
                self.note_sign_in(request, user)
        if why:
            turned_away(request, user, why)
        request.signed_in_as = user  # type: ignore[attr-defined]  # treasury.web.gates has the browser remember it

    def note_sign_in(self, request: HttpRequest, user: User) -> None:
        known = sign_in_limits.is_known(request, user)
        proved = sorted({one.kind for one in factor.proofs(request)})
        facts = {"proved": proved, "known_browser": known}
        record(at=timezone.now(), by=user, action="session.sign_in", subject=user.subject, facts=facts)
        if not known:
            witness.told(user, "session.sign_in", "A sign-in from a browser that was not known")

    def logout(self, request: HttpRequest) -> None:
        if isinstance(request.user, User):
            user = request.user
            with transaction.atomic():
                record(at=timezone.now(), by=user, action="session.sign_out", subject=user.subject)
        super().logout(request)

    def add_message(
        self, request: HttpRequest, level: int, message_template: str | None = None, *_: Any, **more: Any
    ) -> None:
        if sentence := more.get("message") or SAID.get(message_template or ""):
            messages.add_message(request, level, sentence)

    def is_reauthentication_required(self, *, app: str, **_: Any) -> bool:
        """Before what somebody signs in with is changed, unless they have just proved that it is them."""
        request = self.request
        return factor.fresh(request, kinds_that_prove(request, request.user)) is None

    def get_reauthentication_methods(self, user: User) -> list[dict[str, Any]]:
        """The strongest first, and none that could not prove what is asked of this person."""
        if not isinstance(user, User):
            return []
        kinds = kinds_that_prove(self.request, user)
        able = kinds & (factor.has(user) | {factor.PASSWORD})
        found = [one for one in super().get_reauthentication_methods(user) if METHODS[one["id"]] & able]
        found = [{**one, "description": NAMES[one["id"]]} for one in found]
        found.sort(key=lambda one: ORDER.index(one["id"]))
        if factor.by_provider(self.request, user, kinds):
            address = resolve_url("openid_connect_login", "oidc")
            found.append({"id": "provider", "description": f"Use {settings.OIDC_NAME}", "url": address})
        return found


METHODS: Mapping[str, frozenset[str]] = {
    "mfa_reauthenticate:webauthn": frozenset({factor.PASSKEY}),
    "mfa_reauthenticate": frozenset({factor.TOTP, factor.RECOVERY}),
    "reauthenticate": frozenset({factor.PASSWORD}),
}
ORDER = list(METHODS)
NAMES: Mapping[str, str] = {
    "mfa_reauthenticate:webauthn": "Use a passkey",
    "mfa_reauthenticate": "Use a code",
    "reauthenticate": "Use your password",
}


def kinds_that_prove(request: HttpRequest, user: User) -> frozenset[str]:
    """What proves that it is this person, to whatever they sign in with: a password only as long as nothing better is
    asked for and set up, and a recovery code never of whoever has a factor."""
    own, kinds = factor.has(user), factor.needed(user)
    if not kinds:
        return factor.SECOND | {factor.PASSWORD}
    if kinds == {factor.PASSKEY} and (factor.PASSKEY in own or factor.by_provider(request, user, kinds)):
        return kinds
    if own - {factor.RECOVERY}:
        return factor.SECOND - {factor.RECOVERY}
    return factor.SECOND if own else factor.SECOND | {factor.PASSWORD}


# -- a sign-in takes minutes, and what it began with may be gone by its end ---------------------------------------

PASSED = "passed"  # in the session: the mark of the password as it was when the sign-in began


def begun(request: HttpRequest, user: User) -> None:
    """The password was right, or the provider named them: until the second factor this is kept."""
    request.session[PASSED] = user.get_session_auth_hash()


def why_overtaken(request: HttpRequest, user: User) -> str:
    """Why a sign-in that has passed every step must not end well; empty where it may. Locks the person's row."""
    now = User.objects.select_for_update(no_key=True).get(pk=user.pk)
    if not now.is_active:
        return "deactivated"
    passed = str(request.session.pop(PASSED, ""))
    return "" if constant_time_compare(passed, now.get_session_auth_hash()) else "the password was changed meanwhile"


def turned_away(request: HttpRequest, user: User, why: str) -> NoReturn:
    request.session.flush()
    with transaction.atomic():
        facts = {"reason": why}
        record(at=timezone.now(), by=None, action="session.refuse", subject=user.subject, facts=facts, result="refused")
    sentence = "You are not signed in. Your password or your account changed while you signed in; begin again."
    raise ImmediateHttpResponse(refusals.page(request, sentence, 403))


class MFAAdapter(DefaultMFAAdapter):  # type: ignore[misc]
    """Secrets of authenticators are sealed as the venues' credentials are."""

    error_messages = {**DefaultMFAAdapter.error_messages, "incorrect_code": "This is not right, or was used before."}

    def encrypt(self, text: str) -> str:
        return sealing.seal(text)

    def decrypt(self, encrypted_text: str) -> str:
        return sealing.unseal(encrypted_text)

    def get_totp_label(self, user: User) -> str:
        return str(user.get_username())

    def get_totp_issuer(self) -> str:
        return PRODUCT

    def build_totp_svg(self, url: str) -> str:
        """The QR code as an element of the page: the content security policy takes no images from data: addresses."""
        code = QRCode(border=2)
        code.add_data(url)
        drawn = code.make_image(image_factory=SvgPathImage).to_string(encoding="unicode")
        return str(drawn)

    def _get_user_identifier(self, user: User) -> str:
        return str(user.get_username())

    def _get_site_name(self) -> str:
        return PRODUCT

    def generate_authenticator_name(self, user: User, type: Any) -> str:  # noqa: A002  (allauth's own name for it)
        return f"Passkey {Authenticator.objects.filter(user=user, type=type).count() + 1}"


class SessionsAdapter(DefaultUserSessionsAdapter):  # type: ignore[misc]
    def end_sessions(self, sessions: Iterable[UserSession]) -> None:
        """Each is in the log, with whose it was and who ended it."""
        by = context.request.user if context.request else None
        with transaction.atomic():
            for session in sessions:
                facts = {"peer": session.ip, "reason": "ended from the list"}
                actor = by if isinstance(by, User) else None
                record(at=timezone.now(), by=actor, action="session.end", subject=session.user.subject, facts=facts)
                session.end()
