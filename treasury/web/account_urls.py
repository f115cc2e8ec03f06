"""allauth's pages, each by name: what is not here is not offered. Nobody signs up, asks for a password by e-mail, or
changes an address."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from allauth.account import views as allauth
from allauth.account.adapter import get_adapter
from allauth.mfa.base import views as mfa
from allauth.mfa.recovery_codes import views as recovery
from allauth.mfa.totp import views as totp
from allauth.mfa.webauthn import views as webauthn
from allauth.socialaccount.providers.openid_connect import views as provider
from allauth.usersessions import views as usersessions
from django.db import transaction
from django.http import HttpRequest, HttpResponseRedirect
from django.urls import path, re_path
from django.utils.http import urlencode

from treasury.web import account, session
from treasury.web.provider import to_provider

View = Callable[..., Any]


def whole(view: View) -> View:
    """What it does and what the log says of it are one transaction."""
    return transaction.atomic(view)


def proven(view: View) -> View:
    """Only right after a proof. allauth asks for one too, but not of people who have neither password nor factor here:
    theirs is the provider's, which grows old like any other."""

    @wraps(view)
    def asked(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        adapter = get_adapter(request)
        ways = adapter.get_reauthentication_methods(request.user)
        if ways and adapter.is_reauthentication_required(app=""):
            return HttpResponseRedirect(f"{ways[0]['url']}?{urlencode({'next': request.path})}")
        return view(request, *args, **kwargs)

    return asked


KEY = r"^password/reset/key/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>.+)/$"
urlpatterns = [
    path("sign-in/", session.sign_in, name="account_login"),
    path("sign-out/", session.sign_out, name="account_logout"),
    path("inactive/", allauth.account_inactive, name="account_inactive"),
    path("prove/", whole(allauth.reauthenticate), name="account_reauthenticate"),
    path("password/change/", whole(allauth.password_change), name="account_change_password"),
    path("password/set/", whole(proven(allauth.password_set)), name="account_set_password"),
    path("password/reset/done/", allauth.password_reset_from_key_done, name="account_reset_password_from_key_done"),
    re_path(KEY, whole(allauth.password_reset_from_key), name="account_reset_password_from_key"),
    path("", account.index, name="mfa_index"),
    path("factors/sign-in/", account.Authenticate.as_view(), name="mfa_authenticate"),
    path("factors/prove/", whole(mfa.reauthenticate), name="mfa_reauthenticate"),
    path("factors/app/add/", whole(proven(totp.activate_totp)), name="mfa_activate_totp"),
    path("factors/app/remove/", whole(proven(totp.deactivate_totp)), name="mfa_deactivate_totp"),
    path("factors/codes/", proven(recovery.view_recovery_codes), name="mfa_view_recovery_codes"),
    path("factors/codes/new/", whole(proven(recovery.generate_recovery_codes)), name="mfa_generate_recovery_codes"),
    path("factors/codes/download/", proven(recovery.download_recovery_codes), name="mfa_download_recovery_codes"),
    path("factors/passkeys/", webauthn.list_webauthn, name="mfa_list_webauthn"),
    path("factors/passkeys/add/", whole(proven(webauthn.add_webauthn)), name="mfa_add_webauthn"),
    path("factors/passkeys/prove/", whole(account.ProveByPasskey.as_view()), name="mfa_reauthenticate_webauthn"),
    path("factors/passkeys/<int:pk>/remove/", whole(proven(webauthn.remove_webauthn)), name="mfa_remove_webauthn"),
    path("factors/passkeys/<int:pk>/edit/", whole(webauthn.edit_webauthn), name="mfa_edit_webauthn"),
    path("sessions/", usersessions.list_usersessions, name="usersessions_list"),
    path("sessions/<int:session_id>/end/", account.end_session, name="end_session"),
    path("<slug:provider_id>/login/", to_provider, name="openid_connect_login"),
    path("<slug:provider_id>/login/callback/", provider.callback, name="openid_connect_callback"),
]
