"""The transfers of one plan, decided together: each is chosen by itself, looked at twice, and decided by itself.

The first answer shows what was chosen and decides nothing. The second takes one decision after another, each a
transaction of its own with the digest that the page showed, and says of each what became of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.http import HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from treasury.controls.changes import FACTOR
from treasury.models import Plan, Verdict
from treasury.rebalancing.propose import IN_ORDER
from treasury.transfers import access, queries
from treasury.transfers import approve as approving
from treasury.web import batched, refusals
from treasury.web.batched import Choice, Said
from treasury.web.factor import decides
from treasury.web.htmx import Request, answer, go, typed, wants_part, whole
from treasury.web.plans import found
from treasury.web.reading import read_first
from treasury.web.transfers import refused_without_role

NOTHING_CHOSEN = "Nothing was decided. Choose Approve or Reject for at least one transfer."
NO_REASON = "Say why you reject it; its maker reads the reason."


@dataclass
class Outcome:
    """What became of the choices. ``refused``: the sentence of each that was not decided, by reference."""

    approved: int = 0
    rejected: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    status: int = 200

    @property
    def sentence(self) -> str:
        if not self.approved and not self.rejected:
            return "Nothing was decided."
        told = batched.tally(self.approved, self.rejected, "approved", "rejected")
        return f"You {told}; each decision is in the log by itself."


@require_http_methods(["GET", "HEAD", "POST"])
@decides
@read_first
def decide(request: Request, reference: str) -> HttpResponse:
    if without_role := refused_without_role(request, "approvals"):
        return without_role
    plan = found(reference)
    if reason := access.why_not_check(request.user):
        return refusals.refuse(request, access.NotAllowed(reason), action="plan.decide", subject=plan.subject)
    if request.method != "POST":
        return shown(request, plan)
    said = said_in(request, plan)
    step = request.POST.get("step")
    if step == "choose":  # back from the second look, with everything as it was chosen
        return shown(request, plan, said)
    if problem := mistake_in(said):
        return shown(request, plan, Said(said.choices, without_reason(said)), refused=problem, status=422)
    return take(request, plan, said) if step == "decide" else look(request, plan, said)


def said_in(request: Request, plan: Plan) -> Said:
    """What was chosen for the transfers of this plan; what is not of this plan is not looked at."""
    of_plan = queries.visible_to(request.user).filter(planned__group__plan=plan).order_by(*IN_ORDER)
    choices = {one: choice_of(request, one) for one in of_plan.values_list("reference", flat=True)}
    return Said({reference: one for reference, one in choices.items() if one.verdict in Verdict.values})


def choice_of(request: Request, reference: str) -> Choice:
    return Choice(
        verdict=request.POST.get(f"choice-{reference}", ""),
        digest=request.POST.get(f"digest-{reference}", "")[:64],
        round=whole(request.POST.get(f"round-{reference}", "")),
        reason=typed(request, f"reason-{reference}"),
    )


def mistake_in(said: Said) -> str:
    """What is wrong with the form, before anything is decided; empty where nothing is."""
    if not said.choices:
        return NOTHING_CHOSEN
    return "Nothing was decided. A rejection needs its reason; see below." if without_reason(said) else ""


def without_reason(said: Said) -> dict[str, str]:
    return {one: NO_REASON for one in said.chose(Verdict.REJECT) if not said.choices[one].reason}


def look(request: Request, plan: Plan, said: Said) -> HttpResponse:
    """Show once more what was chosen; if it is no longer as the page showed it, the form as it is now."""
    at = timezone.now()
    waiting = {
        one.reference: one
        for one in batched.waiting_in(plan, request.user, at).filter(reference__in=list(said.choices))
    }
    gone = [reference for reference in said.choices if reference not in waiting]
    others = [reference for reference, transfer in waiting.items() if batched.is_changed(transfer, said)]
    if not gone and not others:
        return rendered(request, batched.look_of(plan, request.user, at, said) | NOTHING_TOLD)
    told = [f"{one} no longer waits for you." for one in gone]
    told += [f"{one} is not what your page showed; read it again below." for one in others]
    return shown(request, plan, said, refused=f"Nothing was decided. {' '.join(told)}", status=409)


def take(request: Request, plan: Plan, said: Said) -> HttpResponse:
    """Decide on one after the other; one that is refused is in the log and does not stop the rest."""
    outcome = Outcome()
    for reference, choice in said.choices.items():
        try:
            decide_on(request, reference, choice)
        except refusals.REFUSALS as refusal:
            refusals.note(request, refusal, action=f"transfer.{choice.verdict}", subject=f"transfer:{reference}")
            outcome.refused[reference] = str(refusal)
            outcome.status = max(outcome.status, refusals.status_of(refusal))
        else:
            outcome.approved += choice.verdict == Verdict.APPROVE
            outcome.rejected += choice.verdict == Verdict.REJECT
    if not outcome.refused and not wants_part(request):
        return go(request, request.path_info)
    return shown(request, plan, outcome=outcome, status=outcome.status)


def decide_on(request: Request, reference: str, choice: Choice) -> None:
    """One decision by the verb that a single one is made by. Raises what the verb raises."""
    words: dict[str, Any] = {
        "reference": reference,
        "checker": request.user,
        "digest": choice.digest,
        "round": choice.round,
        "factor": FACTOR.get(),
        "at": timezone.now(),
    }
    if choice.verdict == Verdict.APPROVE:
        approving.approve(**words)
    else:
        approving.reject(**words, reason=choice.reason)


NOTHING_TOLD = {"refused": "", "outcome": None}


def shown(
    request: Request,
    plan: Plan,
    said: Said | None = None,
    *,
    refused: str = "",
    outcome: Outcome | None = None,
    status: int = 200,
) -> HttpResponse:
    context = batched.context_of(plan, request.user, timezone.now(), said or Said())
    return rendered(request, context | {"refused": refused, "outcome": outcome}, status)


def rendered(request: Request, context: Mapping[str, Any], status: int = 200) -> HttpResponse:
    return answer(request, "approvals/plan.html", "approvals/_plan.html", context, status=status)
