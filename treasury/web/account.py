"""One's own sign-in: what one has set up, what is still missing, and the few steps that allauth shows otherwise."""

from __future__ import annotations

from typing import Any

from allauth.mfa.base.views import AuthenticateView
from allauth.mfa.models import Authenticator
from allauth.mfa.webauthn.views import ReauthenticateWebAuthnView
from allauth.usersessions.internal.flows import sessions
from allauth.usersessions.models import UserSession
from django.contrib import messages
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from treasury.web import factor
from treasury.web.htmx import Request


@require_safe
def index(request: Request) -> HttpResponse:
    """Everything that one signs in with."""
    rows = list(Authenticator.objects.filter(user=request.user).order_by("pk"))
    kinds = {row.type for row in rows}
    context = {
        "missing": factor.missing(request),
        "passkeys": [row.wrap() for row in rows if row.type == Authenticator.Type.WEBAUTHN],
        "has_totp": Authenticator.Type.TOTP in kinds,
        "has_codes": Authenticator.Type.RECOVERY_CODES in kinds,
    }
    return render(request, "mfa/index.html", context)


class Authenticate(AuthenticateView):  # type: ignore[misc]  # allauth ships no types
    """The second factor after a password: the passkey first, of whoever has one."""

    def get_context_data(self, **given: Any) -> dict[str, Any]:
        context: dict[str, Any] = super().get_context_data(**given)
        return {**context, "has_passkey": factor.PASSKEY in factor.has(self.stage.login.user)}


class ProveByPasskey(ReauthenticateWebAuthnView):  # type: ignore[misc]
    def form_invalid(self, form: Any) -> HttpResponse:
        """Say so on this page, and not on that of the sign-in."""
        for sentence in form.errors.get("credential", []):
            messages.error(self.request, sentence)
        return HttpResponseRedirect(self.request.get_full_path())


@require_POST
def end_session(request: Request, session_id: int) -> HttpResponse:
    """End one session of one's own; one's present one as by signing out."""
    one = get_object_or_404(UserSession, pk=session_id, user=request.user)
    sessions.end_sessions(request, [one])
    return redirect("usersessions_list")
