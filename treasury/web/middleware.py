"""What holds for every request: who it came from, who may make it, and that nobody keeps a copy of the answer."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlencode, urlsplit

from django.contrib.auth import SESSION_KEY
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import resolve_url
from django.urls import Resolver404, resolve
from django.utils import timezone
from django.utils.cache import patch_vary_headers
from django.utils.http import url_has_allowed_host_and_scheme
from django_htmx.http import HttpResponseClientRedirect

from treasury.audit.record import ORIGIN, Origin, record
from treasury.controls.uploads import BODY_MOST, FILES_MOST, SIZE_MOST
from treasury.models import User
from treasury.web import refusals
from treasury.web.htmx import wants_part

Next = Callable[[HttpRequest], HttpResponse]

OPEN_TO_ALL = frozenset({"sign_in", "healthz"})


class PrivatePages:
    """Signed-in pages stay out of every cache, and entries of the log know where their request came from."""

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        peer = request.META.get("REMOTE_ADDR") or None
        token = ORIGIN.set(Origin(peer=peer))
        try:
            response = self.get_response(request)
        finally:
            ORIGIN.reset(token)
        patch_vary_headers(response, ["HX-Request"])
        if request.user.is_authenticated or "Cache-Control" not in response:
            response["Cache-Control"] = "no-store"
        return response


class BoundedBodies:
    """A form that is larger than any that the product takes is refused before a byte of it is read."""

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        length = request.META.get("CONTENT_LENGTH") or "0"
        if length.isdecimal() and int(length) > BODY_MOST:
            most = f"{FILES_MOST} files of {SIZE_MOST // (1024 * 1024)} MB"
            return refusals.beside(request, f"Nothing was done. What was sent is too large: at most {most}.", 413)
        return self.get_response(request)


class NoNul:
    """No word of ours holds NUL, and the database takes none: whatever sends one is refused, whichever page it asks."""

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.refused(request) if has_nul(request.path_info, request.GET) else self.get_response(request)

    def process_view(self, request: HttpRequest, *_: object) -> HttpResponse | None:
        """A form is read once its size and its token have been found right."""
        return self.refused(request) if has_nul("", request.POST) else None

    def refused(self, request: HttpRequest) -> HttpResponse:
        return refusals.beside(request, "Nothing was done. What was sent holds a character that no text may have.", 400)


def has_nul(path: str, words: QueryDict) -> bool:
    return "\0" in path or any("\0" in text for name, said in words.lists() for text in (name, *said))


class SignedInOnly:
    """Everything needs a session, but the sign-in page and the health check."""

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.user.is_authenticated or is_open(request.path_info):
            return self.get_response(request)
        if SESSION_KEY in request.session:  # a session, and no person that Django lets in: deactivated
            return signed_out_at_once(request)
        return to_sign_in(request)


def is_open(path: str) -> bool:
    try:
        return resolve(path).view_name in OPEN_TO_ALL
    except Resolver404:
        return False


def to_sign_in(request: HttpRequest) -> HttpResponse:
    """To the sign-in page, and from there back to the page the person was on."""
    words = {"next": page_of(request)}
    if request.method not in ("GET", "HEAD"):
        words["undone"] = "1"
    address = f"{resolve_url('sign_in')}?{urlencode(words)}"
    return HttpResponseClientRedirect(address) if wants_part(request) else HttpResponseRedirect(address)


def page_of(request: HttpRequest) -> str:
    """The page that a request was made from. Only a page can be gone back to: a step cannot be opened again."""
    address = request.headers.get("HX-Current-URL") if wants_part(request) else None
    if address is None and request.method in ("GET", "HEAD"):
        return request.get_full_path()
    address = address or request.headers.get("Referer", "")
    if not url_has_allowed_host_and_scheme(address, {request.get_host()}):
        return resolve_url("overview")
    parts = urlsplit(address)
    return parts.path + (f"?{parts.query}" if parts.query else "")


def signed_out_at_once(request: HttpRequest) -> HttpResponse:
    person = User.objects.filter(pk=request.session[SESSION_KEY]).first()
    request.session.flush()
    if person is None:
        return to_sign_in(request)
    reason = "Your account is deactivated; you have been signed out. Nothing was done."
    with transaction.atomic():
        record(
            at=timezone.now(),
            by=person,
            action="session.refuse",
            subject=f"user:{person.get_username()}",
            facts={"reason": "deactivated", "method": request.method, "path": request.path_info},
            result="refused",
        )
    return refusals.page(request, reason, 403)
