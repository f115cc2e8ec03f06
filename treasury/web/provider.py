"""Sign-in through the house's identity provider (OpenID Connect): only people whose ``provider_subject`` it names.

Nobody is made, and nobody is found by their e-mail address. The provider's word about factors (``amr``) counts only
with TREASURY_OIDC_TRUST_AMR, and from when it says that the person was asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

import requests
from allauth.account.internal.flows.login import record_authentication
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialApp, SocialLogin
from allauth.socialaccount.providers.base import AuthProcess
from allauth.socialaccount.providers.base.utils import respond_to_login_on_get
from allauth.socialaccount.providers.oauth2.views import OAuth2LoginView
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from django.conf import settings
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone

from treasury import outbound
from treasury.audit.record import record
from treasury.models import User
from treasury.web import refusals
from treasury.web.adapter import begun
from treasury.web.factor import PROVIDER

MOST_AMR = 10
CLOCKS_APART = 60  # seconds that the provider's clock may be ahead of ours


class ProviderAdapter(DefaultSocialAccountAdapter):  # type: ignore[misc]  # allauth ships no types
    def is_open_for_signup(self, request: HttpRequest, sociallogin: SocialLogin) -> bool:
        return False

    def list_apps(self, request: HttpRequest, provider: Any = None, client_id: Any = None) -> list[SocialApp]:
        """Of the environment alone: a row in the database makes no identity provider."""
        return [app for app in super().list_apps(request, provider, client_id) if app.pk is None]

    def get_requests_session(self) -> requests.Session:
        return outbound.Session()

    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        """Whoever the provider names is signed in, or nobody."""
        claims = sociallogin.account.extra_data.get("id_token") or {}
        subject = str(claims.get("sub") or "")
        if not subject or claims.get("iss") != settings.OIDC_ISSUER:
            turn_away(request, None, "the provider's answer has no signed name in it")
        user = User.objects.filter(provider_subject=subject).first()
        if user is None or not user.is_active:
            turn_away(request, user, "deactivated" if user else "nobody here has this provider's id")
        sociallogin.user = user
        if isinstance(request.user, User):
            if request.user != user:
                turn_away(request, user, "the provider named somebody else than who is signed in")
            sociallogin.state["process"] = AuthProcess.REDIRECT  # back to where they were, in the session they have
        else:
            begun(request, user)
            sociallogin.state["process"] = AuthProcess.LOGIN
        keep(request, user, claims)

    def on_authentication_error(self, request: HttpRequest, *_: Any, **__: Any) -> None:
        turn_away(request, None, "the provider did not complete the sign-in")


def turn_away(request: HttpRequest, user: User | None, why: str) -> NoReturn:
    subject = user.subject if user else "user:unknown"
    facts = {"reason": f"identity provider: {why}"}
    with transaction.atomic():
        at = timezone.now()
        record(at=at, by=None, action="session.refuse", subject=subject, facts=facts, result="refused")
    sentence = "You are not signed in. The identity provider knows you, but nobody here is known by its name for you."
    if isinstance(request.user, User):
        sentence = "Nothing was proved. The identity provider did not say that it is you; try it again."
    elif user is None and "nobody here" not in why:
        sentence = "You are not signed in. The sign-in at the identity provider was not completed; try it again."
    raise ImmediateHttpResponse(refusals.page(request, sentence, 403))


# -- what it says -------------------------------------------------------------------------------------------------


def keep(request: HttpRequest, user: User, claims: Mapping[str, Any]) -> None:
    """What the provider says it asked for, and when; whether it counts is treasury.web.factor's.

    Without a believable ``auth_time`` it proves nothing: a single sign-on may be of yesterday.
    """
    said = claims.get("amr")
    amr = [str(one)[:40] for one in said[:MOST_AMR]] if isinstance(said, list) else []
    again = True if isinstance(request.user, User) else None
    record_authentication(request, user, PROVIDER, amr=amr, proved_at=proved_at(claims), reauthenticated=again)


def proved_at(claims: Mapping[str, Any]) -> float | None:
    """When the person proved it there, in Unix seconds and never later than now."""
    told, now = claims.get("auth_time"), timezone.now().timestamp()
    if isinstance(told, bool) or not isinstance(told, int | float):
        return None
    believable = now - settings.SESSION_HOURS * 3600 <= told <= now + CLOCKS_APART
    return min(float(told), now) if believable else None


# -- to the provider ----------------------------------------------------------------------------------------------


class ToProvider(OAuth2LoginView):  # type: ignore[misc]
    """To sign in or, of whoever is signed in, to prove anew that it is them."""

    def dispatch(self, request: HttpRequest, *_: Any, **__: Any) -> HttpResponse:
        provider = self.get_provider()
        if shown := respond_to_login_on_get(request, provider):
            return shown  # type: ignore[no-any-return]
        words = provider.get_redirect_from_request_kwargs(request) | {"auth_params": asked(request)}
        return provider.redirect(request, **words)  # type: ignore[no-any-return]


def asked(request: HttpRequest) -> dict[str, str]:
    """What is asked of the provider. With ``max_age`` it must say when the person proved who they are."""
    if isinstance(request.user, User):
        return {"prompt": "login", "max_age": "0"}
    return {"max_age": str(int(settings.SESSION_HOURS * 3600))} if settings.OIDC_TRUST_AMR else {}


def to_provider(request: HttpRequest, provider_id: str) -> HttpResponse:
    try:
        answer: HttpResponse = ToProvider.adapter_view(OpenIDConnectOAuth2Adapter(request, provider_id))(request)
    except SocialApp.DoesNotExist:
        raise Http404 from None
    return answer
