"""What holds for every request: who it came from, who may make it, and that nobody keeps a copy of the answer."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlencode, urlsplit

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import resolve_url
from django.urls import Resolver404, resolve
from django.utils.cache import patch_vary_headers
from django.utils.http import url_has_allowed_host_and_scheme
from django_htmx.http import HttpResponseClientRedirect

from treasury.audit.record import ORIGIN, Origin
from treasury.controls.uploads import BODY_MOST, FILES_MOST, SIZE_MOST
from treasury.web import refusals
from treasury.web.htmx import wants_part
from treasury.web.proxies import client_of, peer_of

Next = Callable[[HttpRequest], HttpResponse]

OPEN_TO_ALL = frozenset(
    {
        "sign_in",
        "healthz",
        "csp_reports",
        # Before somebody is signed in: the second factor, a link to a password, and the way by the identity provider.
        "account_login",
        "account_inactive",
        "mfa_authenticate",
        "account_reset_password_from_key",
        "account_reset_password_from_key_done",
        "openid_connect_login",
        "openid_connect_callback",
    }
)


class PrivatePages:
    """Signed-in pages stay out of every cache, and entries of the log know where their request came from."""

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        token = ORIGIN.set(Origin(peer=peer_of(request), client=client_of(request)))
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
