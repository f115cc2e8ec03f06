"""Sign in and out, and leave an entry either way."""

from __future__ import annotations

from django import forms
from django.contrib.auth import authenticate, login, logout
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
    person = authenticate(request, username=name, password=form.cleaned_data["password"])
    if not isinstance(person, User):
        note_refusal(name)
        form.add_error(None, "This user name and password do not belong together.")
        return shown(request, form, onward, status=422)
    login(request, person)
    with transaction.atomic():
        record(at=timezone.now(), by=person, action="session.sign_in", subject=f"user:{person.get_username()}")
    return HttpResponseRedirect(onward)


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    if isinstance(request.user, User):
        with transaction.atomic():
            record(
                at=timezone.now(),
                by=request.user,
                action="session.sign_out",
                subject=f"user:{request.user.get_username()}",
            )
    logout(request)
    return redirect("sign_in")


def no_side_door(request: HttpRequest) -> HttpResponse:
    """Where the admin site sends those who are signed in and may not enter it."""
    refusal = NotAllowed("These windows are for auditors; your account does not open them.")
    return refusals.refuse(request, refusal, action="admin.open", subject="page:/admin/")


def note_refusal(name: str) -> None:
    """A name that nobody has is not written down: people type their password into the wrong field."""
    known = User.objects.filter(username=name).exists()
    with transaction.atomic():
        record(
            at=timezone.now(),
            by=None,
            action="session.refuse",
            subject=f"user:{name}" if known else "user:unknown",
            facts={"reason": "wrong password or deactivated" if known else "no such user name"},
            result="refused",
        )


def shown(request: HttpRequest, form: SignInForm, onward: str, status: int = 200) -> HttpResponse:
    context = {"form": form, "next": onward, "undone": "undone" in request.GET}
    return render(request, "session/sign_in.html", context, status=status)


def safe_next(request: HttpRequest) -> str:
    address = request.POST.get("next") or request.GET.get("next") or ""
    if url_has_allowed_host_and_scheme(address, {request.get_host()}, require_https=request.is_secure()):
        return address
    return resolve_url("overview")
