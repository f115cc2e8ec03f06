"""The one door: sign in and out. What follows the password, and what the log says, is treasury.web.adapter's."""

from __future__ import annotations

from allauth.account.adapter import get_adapter
from allauth.account.internal.flows.login import perform_password_login
from allauth.account.models import Login
from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render, resolve_url
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from treasury.audit.record import record
from treasury.models import User
from treasury.transfers.access import NotAllowed
from treasury.web import refusals
from treasury.web.adapter import begun


class SignInForm(forms.Form):
    username = forms.CharField(
        label="User name",
        max_length=150,
        widget=forms.TextInput(attrs={"autocomplete": "username", "autocapitalize": "none", "autofocus": True}),
        error_messages={"required": "Enter your user name."},
    )
    password = forms.CharField(
        strip=False,
        max_length=4096,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
        error_messages={"required": "Enter your password."},
    )


@never_cache
@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
def sign_in(request: HttpRequest) -> HttpResponse:
    onward = safe_next(request)
    if request.method != "POST":
        if request.user.is_authenticated:
            return HttpResponseRedirect(onward)
        return shown(request, SignInForm(), onward)
    form = SignInForm(request.POST)
    if not form.is_valid():
        return shown(request, form, onward, status=422)
    name = form.cleaned_data["username"]
    try:
        person = get_adapter(request).authenticate(request, username=name, password=form.cleaned_data["password"])
    except ValidationError as too_often:
        note_refusal(name, "too many wrong tries")
        form.add_error(None, too_often)
        return shown(request, form, onward, status=429)
    if not isinstance(person, User):
        note_refusal(name)
        form.add_error(None, "This user name and password do not belong together.")
        return shown(request, form, onward, status=422)
    request.session.flush()  # whoever was signed in here, and whatever they had proved
    begun(request, person)
    answer: HttpResponse = perform_password_login(request, {"username": name}, Login(user=person, redirect_url=onward))
    return answer


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    get_adapter(request).logout(request)
    return redirect("sign_in")


def no_side_door(request: HttpRequest) -> HttpResponse:
    """Where the admin site sends those who are signed in and may not enter it."""
    refusal = NotAllowed("These windows are for auditors; your account does not open them.")
    return refusals.refuse(request, refusal, action="admin.open", subject="page:/admin/")


def note_refusal(name: str, reason: str = "wrong password or deactivated") -> None:
    """A name that nobody has is not written down: people type their password into the wrong field."""
    known = User.objects.filter(username=name).exists()
    with transaction.atomic():
        record(
            at=timezone.now(),
            by=None,
            action="session.refuse",
            subject=f"user:{name}" if known else "user:unknown",
            facts={"reason": reason if known else "no such user name"},
            result="refused",
        )


def shown(request: HttpRequest, form: SignInForm, onward: str, status: int = 200) -> HttpResponse:
    context = {
        "form": form,
        "next": onward,
        "undone": "undone" in request.GET,
        "provider": settings.OIDC_NAME if settings.OIDC_ISSUER else "",
    }
    return render(request, "session/sign_in.html", context, status=status)


def safe_next(request: HttpRequest) -> str:
    address = request.POST.get("next") or request.GET.get("next") or ""
    if url_has_allowed_host_and_scheme(address, {request.get_host()}, require_https=request.is_secure()):
        return address
    return resolve_url("overview")
