"""What browsers are told with every answer: what a page may load and run, and who may look at it from outside."""

from __future__ import annotations

from csp.constants import NONE, SELF
from csp.middleware import CSPMiddleware, PolicyParts
from django.conf import settings
from django.http import HttpRequest, HttpResponseBase

PERMISSIONS = ", ".join(f"{feature}={who}" for feature, who in sorted(settings.PERMISSIONS_POLICY.items()))


class Promises(CSPMiddleware):
    """A nonce for each answer, and the headers that no view has to think of; static files get them too."""

    def get_policy_parts(
        self, request: HttpRequest, response: HttpResponseBase, report_only: bool = False
    ) -> PolicyParts:
        parts = super().get_policy_parts(request, response, report_only)
        parts.replace = {**(parts.replace or {}), "script-src": scripts_of(request, parts.nonce)}
        return parts

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        response.headers.setdefault("Permissions-Policy", PERMISSIONS)
        response.headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        answered: HttpResponseBase = super().process_response(request, response)
        return answered


def scripts_of(request: HttpRequest, nonce: str | None) -> list[str]:
    """Scripts that the page names by its nonce; without one, none. The admin's windows name files of this site, which
    Django's own templates give no nonce."""
    if nonce:
        return [f"'nonce-{nonce}'"]
    match = request.resolver_match
    return [SELF] if match is not None and "admin" in match.app_names else [NONE]
