"""The forms of what is proposed about people. None of them has a password: nobody chooses one for somebody else."""

from __future__ import annotations

from typing import Any

from django import forms

from treasury.controls import people, policy, resets
from treasury.controls.details import Details
from treasury.controls.people import Who
from treasury.controls.roles import ROLES
from treasury.models import Membership, User

BARE = {"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}
WHO_READS_IT = "Whoever confirms it reads this, and it stays in the log."


class WhyForm(forms.Form):
    reason = forms.CharField(
        label="Reason",
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text=WHO_READS_IT,
        error_messages={"required": "Say why; whoever confirms it reads the reason."},
    )


class HeldForm(WhyForm):
    """Which roles and groups somebody holds."""

    roles = forms.MultipleChoiceField(
        required=False,
        choices=[(role, role.capitalize()) for role in ROLES],
        widget=forms.CheckboxSelectMultiple,
        help_text="Holding one confers no other.",
    )
    groups = forms.CharField(
        label="Groups of approvers",
        required=False,
        max_length=500,
        widget=forms.TextInput(attrs=BARE),
    )
    field_order: tuple[str, ...] = ("roles", "groups", "reason")

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        known = ", ".join(groups_in_use()) or "none"
        self.fields[
            "groups"
        ].help_text = f"As a policy names them, with commas between. In use now: {known}. Only checkers decide."

    def wanted(self) -> list[str]:
        """Each once, in small letters, as they are kept."""
        typed = [one.strip().lower() for one in self.cleaned_data["groups"].split(",")]
        return sorted({*self.cleaned_data["roles"], *(one for one in typed if one)})


def groups_in_use() -> list[str]:
    """Groups of approvers that somebody is in, or that the policy asks for."""
    held = set(Membership.objects.filter(ended_at=None).values_list("group", flat=True))
    try:
        asked = {group for rule in policy.book_in_force().rules for group in rule.demands}
    except policy.NoPolicy:
        asked = set()
    return sorted((held | asked) - set(ROLES))


class DetailsForm(WhyForm):
    first_name = forms.CharField(max_length=people.NAME_LENGTH, error_messages={"required": "Give the first name."})
    last_name = forms.CharField(max_length=people.NAME_LENGTH, error_messages={"required": "Give the last name."})
    email = forms.EmailField(
        label="E-mail address",
        max_length=people.ADDRESS_LENGTH,
        help_text="The link to a password is sent to it. Two sign-ins with one address are one natural person.",
        error_messages={"required": "Give an e-mail address."},
    )
    provider_subject = forms.CharField(
        label="Identity provider's id of them",
        required=False,
        max_length=people.ADDRESS_LENGTH,
        widget=forms.TextInput(attrs=BARE),
        help_text="Empty where they do not sign in by a provider.",
    )
    same_as = forms.CharField(
        label="Same person as",
        required=False,
        max_length=150,
        widget=forms.TextInput(attrs=BARE),
        help_text="The user name of another sign-in of theirs; they count once then. It is not undone later.",
    )
    field_order: tuple[str, ...] = ("first_name", "last_name", "email", "provider_subject", "same_as", "reason")

    def details(self) -> Details:
        names = ("first_name", "last_name", "email", "provider_subject", "same_as")
        return Details(**{name: self.cleaned_data[name] for name in names})


class EnrolForm(DetailsForm, HeldForm):
    username = forms.CharField(
        label="User name",
        max_length=60,
        widget=forms.TextInput(attrs=BARE),
        help_text="What they type to sign in: small letters, digits, dots and dashes. It stays.",
        error_messages={"required": "Give a user name."},
    )
    field_order: tuple[str, ...] = ("username", *DetailsForm.field_order[:-1], *HeldForm.field_order)

    def who(self) -> Who:
        names = ("username", "first_name", "last_name", "email", "provider_subject", "same_as")
        return Who(**{name: self.cleaned_data[name] for name in names})


class ResetForm(WhyForm):
    proof = forms.CharField(
        label="How you made sure who they are",
        max_length=resets.PROOF_LENGTH,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="In person, or by a call that you made to a number known before: never by a message from them alone.",
        error_messages={"required": "Say how you made sure who they are."},
    )
    field_order: tuple[str, ...] = ("proof", "reason")


def known(user: User) -> dict[str, str]:
    """What a form about somebody begins with."""
    return {name: getattr(user, name) for name in ("first_name", "last_name", "email", "provider_subject")}
