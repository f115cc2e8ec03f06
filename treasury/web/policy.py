"""The policy: the version in force, those before it, and the way to a next one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.http import content_disposition_header
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from treasury.balances import holdings
from treasury.controls import changes, policy, rulebook, rules_compared, rules_in_words
from treasury.controls.roles import MAKERS, people
from treasury.models import Change, Membership, Policy
from treasury.models.change import BOOTSTRAP
from treasury.transfers.policy_effects import of_policy
from treasury.web import policy_form, proposals, refusals
from treasury.web.factor import decides
from treasury.web.htmx import Request, answer, go, typed, whole
from treasury.web.policy_form import Typed
from treasury.web.transfers import refused_without_role

HERE, EDIT = "/policy/", "/policy/edit/"
DEMANDS = ("1 of checkers", "2 of checkers")


@dataclass(frozen=True)
class Shown:
    """One version as people read it; ``difference`` is to the one before, None of the first."""

    version: Policy
    rules: list[rules_compared.Side]
    limits: list[str]
    floors: list[str]
    difference: rules_compared.Difference | None
    shadowed: list[str]

    @property
    def who(self) -> str:
        """Who agreed on it."""
        change = self.version.change
        if change.proposed_by is None or change.decided_by is None:
            return "the first set-up" if change.kind == BOOTSTRAP else "the upgrade that found it in the settings"
        return f"{change.proposed_by} and {change.decided_by}"


def shown_of(version: Policy) -> Shown:
    book = rulebook.read(version.text)
    before = Policy.objects.filter(number=version.number - 1).first()
    return Shown(
        version=version,
        rules=[rules_compared.side_of(book, n) for n in range(len(book.rules))],
        limits=[rules_in_words.limit(one, book.currency) for one in book.limits],
        floors=rules_in_words.floors(book),
        difference=rules_compared.between(rulebook.read(before.text), book) if before else None,
        shadowed=rules_compared.warnings(book),
    )


@require_safe
def show(request: Request) -> HttpResponse:
    """The version in force, what is proposed, and those before."""
    if without_role := refused_without_role(request, "policy"):
        return without_role
    at = timezone.now()
    versions = list(every())
    rows, more = proposals.first(changes.waiting().filter(kind=policy.SET).order_by("pk"))
    context = {
        "at": at,
        "shown": shown_of(versions[0]) if versions else None,
        "older": versions[1:],
        "waiting": proposals.all_of(rows, request.user, at, steps="", target=""),
        "more": more,
        "may_propose": changes.why_not_propose(policy.SET, request.user) is None,
    }
    return answer(request, "policy/show.html", "policy/_policy.html", context)


@require_safe
def version(request: Request, number: int) -> HttpResponse:
    """One version, with what it changed."""
    if without_role := refused_without_role(request, "policy"):
        return without_role
    found = get_object_or_404(every(), number=number)
    newest = every().first()
    context = {
        "at": timezone.now(),
        "shown": shown_of(found),
        "in_force": newest is not None and newest.pk == found.pk,
        "transfers": found.assessments.values("transfer").distinct().count(),
    }
    return answer(request, "policy/version.html", "policy/_version.html", context)


@require_safe
def download(request: Request, number: int) -> HttpResponse:
    """Its canonical text, byte by byte as its digest says."""
    if without_role := refused_without_role(request, "policy"):
        return without_role
    found = get_object_or_404(Policy, number=number)
    response = HttpResponse(found.text, content_type="application/json")
    response["Content-Disposition"] = content_disposition_header(True, f"policy-{number}.json") or "attachment"
    return response


@require_safe
def proposed(request: Request, change_id: int) -> HttpResponse:
    """One proposal or decision about the policy: what changes, and what else that touches."""
    if without_role := refused_without_role(request, "policy"):
        return without_role
    change = get_object_or_404(
        Change.objects.select_related("proposed_by", "decided_by"), pk=change_id, kind=policy.SET
    )
    at = timezone.now()
    before = Policy.objects.filter(number=change.words.get("before", 0)).first()
    book = rulebook.read(change.words["policy"])
    context = {
        "at": at,
        "one": proposals.of(change, request.user, at, steps="", target=""),
        "before": before,
        "difference": rules_compared.between(rulebook.read(before.text), book) if before else None,
        "rules": [rules_compared.side_of(book, n) for n in range(len(book.rules))],
        "limits": [rules_in_words.limit(one, book.currency) for one in book.limits],
        "floors": rules_in_words.floors(book),
    }
    return answer(request, "policy/change.html", "policy/_change.html", context)


def every() -> Any:
    """All versions, the newest first, with who agreed on them."""
    return Policy.objects.select_related("change__proposed_by", "change__decided_by")


# -- a next version -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Preview:
    """What a policy would change, directly and beside; ``text`` is what would be proposed, letter for letter."""

    text: str
    before: int
    difference: rules_compared.Difference
    touches: list[str]

    @property
    def fingerprint(self) -> str:
        return changes.digest_of(policy.SET, policy.SUBJECT, {"policy": self.text}, "")


def preview_of(text: str, at: datetime) -> Preview:
    before = policy.in_force()
    difference = rules_compared.between(rulebook.read(before.text), rulebook.read(text))
    return Preview(text, before.number, difference, of_policy(text, at))


@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: Request) -> HttpResponse:
    """The form of the whole policy. Whatever is posted to it changes nothing: rows come, go and move, and what it would
    change is shown."""
    try:
        changes.insist_on_right(policy.SET, request.user)
        now = policy.in_force()
    except refusals.REFUSALS as refusal:
        return refusals.refuse(request, refusal, action=policy.SET, subject=f"page:{EDIT}")
    if request.method != "POST":
        start = Policy.objects.filter(number=whole(request.GET.get("from", ""))).first() or now
        return form_shown(request, policy_form.of_words(policy.words_of(start)))
    form = policy_form.of_post(request.POST)
    if form.step(request.POST.get("step", "")):
        return form_shown(request, form)
    return checked(request, form)


def checked(request: Request, form: Typed) -> HttpResponse:
    """The form with what it would change, or with what is wrong with it."""
    words = form.words()
    try:
        text = rulebook.written(words)
    except rulebook.NotRules as wrong:
        return form_shown(request, form, problems={**wrong.problems, **form.problems}, status=422)
    if form.problems:
        return form_shown(request, form, problems=form.problems, status=422)
    return form_shown(request, form, preview=preview_of(text, timezone.now()))


@require_POST
@decides
def propose(request: Request) -> HttpResponse:
    """Propose exactly the text that was looked at, in place of the version that it was compared with."""
    text, at = request.POST.get("policy", ""), timezone.now()
    try:
        changes.insist_on_right(policy.SET, request.user)
        words = read(text)
        insist_on_version(whole(request.POST.get("before", "")))
        insist_on_difference(text, at)
        change = policy.propose(words=words, reason=typed(request, "reason"), by=request.user, at=at)
    except changes.NotSaid as unsaid:
        shown = policy_form.of_words(words)
        return form_shown(request, shown, preview=preview_of(text, at), refused=str(unsaid), status=422)
    except refusals.REFUSALS as refusal:
        return refusals.refuse(request, refusal, action=policy.SET, subject=policy.SUBJECT)
    return go(request, f"{HERE}changes/{change.pk}/")


def read(text: str) -> dict[str, Any]:
    """Raises rulebook.NotRules for what is no policy."""
    try:
        words = json.loads(text)
        rulebook.written(words)
    except (ValueError, RecursionError) as wrong:
        if isinstance(wrong, rulebook.NotRules):
            raise
        raise rulebook.NotRules({"": "Nothing was proposed. What was sent is no policy; look at it again."}) from None
    found: dict[str, Any] = words
    return found


def insist_on_version(number: int) -> None:
    """Raises policy.OtherPolicy where another version came into force since the page was shown."""
    if policy.in_force().number != number:
        raise policy.OtherPolicy("Nothing was proposed. Another version came into force since; look at it again.")


def insist_on_difference(text: str, at: datetime) -> None:
    if preview_of(text, at).difference.is_nothing:
        raise rulebook.NotRules({"": "Nothing was proposed: the policy says so already."})


def form_shown(
    request: Request,
    form: Typed,
    *,
    problems: Mapping[str, str] | None = None,
    preview: Preview | None = None,
    refused: str = "",
    status: int = 200,
) -> HttpResponse:
    wrong, known = problems or {}, known_now()
    context = {
        "at": timezone.now(),
        "rules": form.forms("rules", wrong, known),
        "limits": form.forms("limits", wrong, known),
        "floors": form.forms("floors", wrong, known),
        "currency": form.currency,
        "problems": [told(place, sentence) for place, sentence in wrong.items()],
        "known": known,
        "demands": [*DEMANDS, *(f"1 of {group}" for group in known.groups)],
        "preview": preview,
        "refused": refused,
        "reason": typed(request, "reason"),
    }
    return answer(request, "policy/edit.html", "policy/_edit.html", context, status=status)


def told(place: str, sentence: str) -> str:
    """ "Rule 2: Give the rule a name." """
    section, _, rest = place.partition(".")
    number, _, field = rest.partition(".")
    if section == "floors" and field != "asset":
        number = rest  # its asset, which may hold a full stop
    noun = {"rules": "Rule", "limits": "Limit", "floors": "Floor"}.get(section)
    if noun is None or not rest:
        return sentence
    return f"{noun} {int(number) + 1 if number.isdecimal() else number}: {sentence}"


def known_now() -> policy_form.Known:
    return policy_form.known(
        assets=set(holdings.assets_held()),
        makers=people(MAKERS).values_list("username", flat=True),
        groups=approvers(Membership.objects.filter(ended_at=None).values_list("group", flat=True).distinct()),
    )


def approvers(groups: Iterable[str]) -> list[str]:
    """Groups that a rule may ask, checkers first of all."""
    return [one for one in groups if one not in policy_form.NEVER_ASKED]
