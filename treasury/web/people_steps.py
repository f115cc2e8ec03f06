"""What user administrators do about people: five things they propose, two that one of them does alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django import forms
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from treasury.controls import changes, conflicts, details, memberships, people, resets, sessions
from treasury.controls.memberships import Wish
from treasury.controls.people import NotEnrolled
from treasury.controls.roles import ROLES, USER_ADMINISTRATORS, holds
from treasury.models import Change, User
from treasury.transfers import dependents
from treasury.web import people_proposals, refusals
from treasury.web.factor import decides
from treasury.web.htmx import Request, answer, go
from treasury.web.people import groups_of_anybody
from treasury.web.people_forms import DetailsForm, EnrolForm, HeldForm, ResetForm, WhyForm, known

ANOTHER_CONFIRMS = "Nothing changes by this form: another user administrator confirms it."


@dataclass(frozen=True)
class Step:
    """A page with one form. ``sentences`` say what it does, ``listed`` what follows from it; ``back`` leaves it."""

    heading: str
    button: str
    back: str
    sentences: list[str]
    listed: list[str] = field(default_factory=list)
    danger: bool = False
    sure: bool = False  # what was filled in is shown once more, with what would follow, before it is proposed


def shown(request: Request, step: Step, form: forms.Form, status: int = 200) -> HttpResponse:
    context = {"step": step, "form": form, "wrong": status == 422, "address": request.path}
    return answer(request, "people/step.html", "people/_step.html", context, status=status)


def taken(
    request: Request, step: Step, form: forms.Form, act: Callable[[], object], *, action: str, subject: str
) -> HttpResponse:
    """Do what a filled-in form says, or show what is wrong with it; then on to what was proposed, or back."""
    if request.method != "POST":
        return shown(request, step, form)
    if not form.is_valid():
        return shown(request, step, form, status=422)
    try:
        done = act()
    except NotEnrolled as wrong:
        for name, sentence in wrong.problems.items():
            form.add_error(name or None, sentence)
        return shown(request, step, form, status=422)
    except refusals.REFUSALS as refusal:
        return refusals.refuse(request, refusal, action=action, subject=subject)
    return go(request, f"{reverse('changes')}#change-{done.pk}" if isinstance(done, Change) else step.back)


def refused(request: Request, kind: str) -> HttpResponse | None:
    """None for whoever may propose it: nobody else sees the form."""
    try:
        changes.insist_on_right(kind, request.user)
    except changes.MayNotChange as refusal:
        return refusals.refuse(request, refusal, action=kind, subject=f"page:{request.path_info}")
    return None


def page_of(user: User) -> str:
    return reverse("person", args=[user.pk])


@require_http_methods(["GET", "HEAD", "POST"])
@decides
def enrol(request: Request) -> HttpResponse:
    if refusal := refused(request, people.ENROL):
        return refusal
    form = EnrolForm(request.POST or None)
    step = Step(
        heading="Enrol a person",
        button="Propose",
        back=reverse("people"),
        sentences=[ANOTHER_CONFIRMS, "They are sent a link then and choose a password themselves."],
    )

    def act() -> Change:
        said = {"reason": form.cleaned_data["reason"], "by": request.user, "at": timezone.now()}
        return people.propose_enrol(who=form.who(), groups=form.wanted(), **said)

    return taken(request, step, form, act, action=people.ENROL, subject="page:/people/new/")


@require_http_methods(["GET", "HEAD", "POST"])
@decides
def roles(request: Request, user_id: int) -> HttpResponse:
    """First what is wanted, then what would follow from it, and only then the proposal."""
    user = get_object_or_404(User, pk=user_id)
    if refusal := refused(request, people.MEMBERSHIPS):
        return refusal
    held = groups_of_anybody(user)
    begun = {"roles": sorted(held & set(ROLES)), "groups": ", ".join(sorted(held - set(ROLES)))}
    form = HeldForm(request.POST or None, initial=begun)
    step = Step(
        heading=f"Roles and groups of {user}",
        button="See what would follow",
        back=page_of(user),
        sentences=[ANOTHER_CONFIRMS, "Whoever loses a role or group is signed out everywhere once it is confirmed."],
    )
    if request.method == "POST" and form.is_valid() and request.POST.get("sure") != "yes":
        return looked_at(request, step, form, user)

    def act() -> Change:
        said = {"reason": form.cleaned_data["reason"], "by": request.user, "at": timezone.now()}
        return memberships.propose_memberships(wishes=wishes(form, user), **said)

    return taken(request, step, form, act, action=people.MEMBERSHIPS, subject=user.subject)


def wishes(form: HeldForm, user: User) -> list[Wish]:
    """What differs between what is wanted and what is so now."""
    held, wanted = groups_of_anybody(user), set(form.wanted())
    return [Wish(user.username, group, group in wanted) for group in sorted(held ^ wanted)]


def looked_at(request: Request, step: Step, form: HeldForm, user: User) -> HttpResponse:
    """The same page with the difference and all that follows from it."""
    try:
        wanted = memberships.insisted_on(wishes(form, user))
    except NotEnrolled as wrong:
        for name, sentence in wrong.problems.items():
            form.add_error(name or None, sentence)
        return shown(request, step, form, status=422)
    supposed = Change(kind=people.MEMBERSHIPS, words={"memberships": memberships.told(wanted)})
    now = conflicts.sign_ins()
    listed = people_proposals.membership_words(supposed, now)
    listed += people_proposals.beyond(supposed, now, timezone.now())
    sure = Step(f"{step.heading}: what would follow", "Propose", step.back, [ANOTHER_CONFIRMS], listed, sure=True)
    return shown(request, sure, form)


@require_http_methods(["GET", "HEAD", "POST"])
@decides
def change_details(request: Request, user_id: int) -> HttpResponse:
    user = get_object_or_404(User, pk=user_id)
    if refusal := refused(request, people.CHANGE):
        return refusal
    form = DetailsForm(request.POST or None, initial=known(user))
    told = "They are told where they read mail now, and where they did before."
    step = Step(f"What is known of {user}", "Propose", page_of(user), [ANOTHER_CONFIRMS, told])

    def act() -> Change:
        said = {"reason": form.cleaned_data["reason"], "by": request.user, "at": timezone.now()}
        return details.propose_change(user=user, details=form.details(), **said)

    return taken(request, step, form, act, action=people.CHANGE, subject=user.subject)


@require_http_methods(["GET", "HEAD", "POST"])
@decides
def reopen(request: Request, user_id: int) -> HttpResponse:
    user = get_object_or_404(User, pk=user_id)
    if refusal := refused(request, people.CHANGE):
        return refusal
    form = WhyForm(request.POST or None)
    held = " and ".join(sorted(groups_of_anybody(user))) or "no role"
    then = f"{user} may sign in again then, with the password and factors of before, and holds {held}."
    step = Step(f"Let {user} sign in again", "Propose", page_of(user), [ANOTHER_CONFIRMS, then])

    def act() -> Change:
        wanted = details.Details(**known(user), reopen=True)
        said = {"reason": form.cleaned_data["reason"], "by": request.user, "at": timezone.now()}
        return details.propose_change(user=user, details=wanted, **said)

    return taken(request, step, form, act, action=people.CHANGE, subject=user.subject)


@require_http_methods(["GET", "HEAD", "POST"])
@decides
def reset(request: Request, user_id: int) -> HttpResponse:
    user = get_object_or_404(User, pk=user_id)
    if refusal := refused(request, people.RESET):
        return refusal
    form = ResetForm(request.POST or None)
    then = (
        f"Password and factors of {user} are taken away then, they are signed out everywhere, and a link to a new "
        f"password is sent to {user.email}. Afterwards they need a factor again."
    )
    step = Step(f"Reset the sign-in of {user}", "Propose", page_of(user), [ANOTHER_CONFIRMS, then])

    def act() -> Change:
        said: dict[str, Any] = {name: form.cleaned_data[name] for name in ("proof", "reason")}
        return resets.propose_reset(user=user, by=request.user, at=timezone.now(), **said)

    return taken(request, step, form, act, action=people.RESET, subject=user.subject)


@require_http_methods(["GET", "HEAD", "POST"])
@decides
def deactivate(request: Request, user_id: int) -> HttpResponse:
    """One person is enough: the page says what follows, and asks why."""
    user = get_object_or_404(User, pk=user_id)
    if not holds(request.user, USER_ADMINISTRATORS):
        refusal = changes.MayNotChange("Only user administrators may end a sign-in.")
        return refusals.refuse(request, refusal, action="user.deactivate", subject=user.subject)
    form = WhyForm(request.POST or None)
    form.fields["reason"].help_text = "It stays in the log."
    step = Step(
        heading=f"End the sign-in of {user}",
        button=f"End the sign-in of {user.username} now",
        back=page_of(user),
        sentences=["It takes effect at once, on open pages too. Opening it again takes two user administrators."],
        listed=following(user) if user.is_active else [],
        danger=True,
    )

    def act() -> User:
        return people.deactivate(user=user, reason=form.cleaned_data["reason"], by=request.user, at=timezone.now())

    return taken(request, step, form, act, action="user.deactivate", subject=user.subject)


def following(user: User) -> list[str]:
    """What becomes of pending transfers, and of the conflict report, once this sign-in is ended."""
    now = conflicts.sign_ins()
    after = [one for one in now if one.pk != user.pk]
    return [*dependents.of_leaving(user, timezone.now()), *conflicts.arising(now, after)]


@require_POST
@decides
def sign_out(request: Request, user_id: int) -> HttpResponse:
    """End every session of somebody's; they may sign in again."""
    user = get_object_or_404(User, pk=user_id)
    try:
        sessions.sign_out(user=user, by=request.user, at=timezone.now())
    except refusals.REFUSALS as refusal:
        return refusals.refuse(request, refusal, action="user.sign_out", subject=user.subject)
    return go(request, page_of(user))
