"""allauth's forms in this product's words; codes with our limits on wrong ones, and no secret in the clear."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from allauth.account import forms as account
from allauth.core import context
from allauth.mfa.base import forms
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.forms import ActivateTOTPForm
from allauth.mfa.totp.internal.auth import SECRET_SESSION_KEY, TOTP
from allauth.mfa.webauthn.forms import EditWebAuthnForm
from django.core.exceptions import ValidationError
from django.forms import Field

from treasury import sealing
from treasury.models import User
from treasury.web import factor, sign_in_limits, witness
from treasury.web.adapter import kinds_that_prove

TOTP_DIGITS = 6
NO_RECOVERY = "A recovery code does not do here: it signs you in once. Enter the six digits of your app."


class OwnWords:
    """Labels as everywhere here, and no label a second time within the box."""

    labels: Mapping[str, str] = {
        "oldpassword": "Your password now",
        "password1": "New password",
        "password2": "New password, once more",
        "password": "Your password",
        "code": "Code",
        "name": "What you call it",
    }
    fields: dict[str, Field]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for name, field in self.fields.items():
            field.label = self.labels.get(name, field.label)
            field.widget.attrs.pop("placeholder", None)
        if "code" in self.fields:
            self.fields["code"].widget.attrs |= {"inputmode": "numeric", "autofocus": True}


class ChangePasswordForm(OwnWords, account.ChangePasswordForm):  # type: ignore[misc]  # allauth ships no types
    pass


class SetPasswordForm(OwnWords, account.SetPasswordForm):  # type: ignore[misc]
    pass


class ResetPasswordKeyForm(OwnWords, account.ResetPasswordKeyForm):  # type: ignore[misc]
    pass


class PasswordForm(OwnWords, account.ReauthenticateForm):  # type: ignore[misc]
    pass


class RenameForm(OwnWords, EditWebAuthnForm):  # type: ignore[misc]
    pass


class LimitedCode(OwnWords):
    """A code is six or eight digits, so few may be tried. A right one is not counted."""

    user: User

    def clean_code(self) -> str:
        try:
            attempt = sign_in_limits.attempt(context.request, "code", self.user.get_username())
        except sign_in_limits.TooOften as too_often:
            witness.refused(self.user, "too many wrong codes")
            raise ValidationError(str(too_often), code="too_often") from None
        code: str = super().clean_code()  # type: ignore[misc]  # of the form that this is mixed into
        attempt.succeeded()
        return code


class AuthenticateForm(LimitedCode, forms.AuthenticateForm):  # type: ignore[misc]
    pass


class ReauthenticateForm(LimitedCode, forms.ReauthenticateForm):  # type: ignore[misc]
    def clean_code(self) -> str:
        """A recovery code signs in; of whoever has a factor it proves nothing after that, and is not used up."""
        code = str(self.cleaned_data["code"]).strip()
        if len(code) != TOTP_DIGITS and factor.RECOVERY not in kinds_that_prove(context.request, self.user):
            raise ValidationError(NO_RECOVERY, code="incorrect_code")
        return super().clean_code()


class ActivateForm(LimitedCode, ActivateTOTPForm):  # type: ignore[misc]
    """The secret waits in the session for its first code; the session is a row of the database, so it is sealed."""

    secret: str

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if self.is_bound and self.secret == context.request.session.get(SECRET_SESSION_KEY):
            self.secret = self.opened(self.secret)
        context.request.session[SECRET_SESSION_KEY] = sealing.seal(self.secret)

    def clean_code(self) -> str:
        """It was used now: the same code signs nobody in besides."""
        code = super().clean_code()
        TOTP(Authenticator(user=self.user, data={}))._mark_code_used(code)
        return code

    @staticmethod
    def opened(kept: str) -> str:
        try:
            return sealing.unseal(kept)
        except sealing.CannotUnseal:  # made just now, by a form that was sent without having been shown
            return kept
