"""Before any page: the session is not too old, and whoever must have a second factor has one and has used it."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.contrib.auth import logout
from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import resolve_url
from django.urls import Resolver404, resolve
from django.utils import timezone
from django_htmx.http import HttpResponseClientRedirect

from treasury.audit.record import record
from treasury.models import User
from treasury.web import factor, refusals, sign_in_limits
from treasury.web.htmx import wants_part
from treasury.web.middleware import OPEN_TO_ALL, Next, page_of

BEGAN, SEEN = "began", "seen"  # in the session: Unix seconds
SEEN_EVERY = timedelta(minutes=1)  # more often the database need not be told

LEAVING = frozenset({"sign_out", "account_logout"})
SETTING_UP = LEAVING | {
    "account_reauthenticate",
    "mfa_index",
    "mfa_reauthenticate",
    "mfa_reauthenticate_webauthn",
    "mfa_activate_totp",
    "mfa_add_webauthn",
    "mfa_list_webauthn",
    "mfa_view_recovery_codes",
    "mfa_download_recovery_codes",
}


class BoundedSessions:
    """A session ends so long after its last use, and so long after it began, whatever the browser believes."""

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if isinstance(request.user, User):
            if why := why_over(request):
                end(request, request.user, why)
            else:
                note_use(request)
        response = self.get_response(request)
        known: AbstractBaseUser | None = getattr(request, "signed_in_as", None)  # by treasury.web.adapter
        if isinstance(known, User):
            sign_in_limits.remember(request, response, known)
        return response


def why_over(request: HttpRequest) -> str | None:
    now = timezone.now().timestamp()
    if now - request.session.get(BEGAN, now) > settings.SESSION_HOURS * 3600:
        return f"{settings.SESSION_HOURS} hours after it began"
    if now - request.session.get(SEEN, now) > settings.IDLE_MINUTES * 60:
        return f"{settings.IDLE_MINUTES} minutes without use"
    return None


def end(request: HttpRequest, user: User, why: str) -> None:
    with transaction.atomic():
        record(at=timezone.now(), by=user, action="session.end", subject=user.subject, facts={"reason": why})
    logout(request)


def note_use(request: HttpRequest) -> None:
    """What a page asks by itself, as its header does, keeps no session alive."""
    now = timezone.now().timestamp()
    request.session.setdefault(BEGAN, now)
    asked_by_itself = wants_part(request) and request.method == "GET"
    if SEEN not in request.session or (
        not asked_by_itself and now - request.session[SEEN] >= SEEN_EVERY.total_seconds()
    ):
        request.session[SEEN] = now


class FactorsFirst:
    """With strong sign-in nothing but its set-up is open to whoever has no second factor, or has not used it."""

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not settings.STRONG_SIGN_IN or not isinstance(request.user, User):
            return self.get_response(request)
        missing = factor.missing(request)
        if missing is None and factor.is_proven(request):
            return self.get_response(request)
        request.unproven = True  # type: ignore[attr-defined]  # the header shows nothing of the house
        name = name_of(request.path_info)
        if name in SETTING_UP or name in OPEN_TO_ALL:
            return self.get_response(request)
        return set_up_first(request, missing)


def name_of(path: str) -> str:
    try:
        return resolve(path).view_name
    except Resolver404:
        return ""


def set_up_first(request: HttpRequest, missing: str | None) -> HttpResponse:
    """To the page where a factor is set up or, of whoever has one, used; a step is refused in words."""
    address = resolve_url("mfa_index") if missing else factor.prove_address(page_of(request))
    if wants_part(request):
        return HttpResponseClientRedirect(address)
    if request.method in ("GET", "HEAD"):
        return HttpResponseRedirect(address)
    what = f"Set up {missing} first" if missing else "Prove first that it is you"
    return refusals.page(request, f"Nothing was done. {what}, under Security.", 403)
