"""Resolve a transfer and close a contradiction, on the transfer's own page: propose, confirm, decline, withdraw."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.views.decorators.http import require_POST

from treasury.controls import changes as proposing
from treasury.controls import uploads
from treasury.models import Change, Contradiction
from treasury.transfers import contradictions, resolve
from treasury.web import card, refusals, steps
from treasury.web.changes import NOTED, action_of, take
from treasury.web.doubt import Said
from treasury.web.factor import decides
from treasury.web.htmx import Request, answer, noted, typed
from treasury.web.reading import read_first
from treasury.web.transfers import seen


@require_POST
@decides
def propose(request: Request, reference: str) -> HttpResponse:
    def say() -> object:
        return resolve.propose(
            reference=reference,
            moved=moved(request, resolve.RESOLVE),
            reason=typed(request, "reason"),
            record=typed(request, "record"),
            typed=typed(request, "typed"),
            files=files(request, resolve.RESOLVE),
            by=request.user,
            at=timezone.now(),
        )

    return proposed(request, reference, resolve.RESOLVE, say, 0)


@require_POST
@decides
def propose_close(request: Request, reference: str, contradiction_id: int) -> HttpResponse:
    get_object_or_404(Contradiction, pk=contradiction_id, transfer__reference=reference)

    def say() -> object:
        return contradictions.propose_close(
            contradiction_id=contradiction_id,
            moved=moved(request, contradictions.CLOSE),
            reason=typed(request, "reason"),
            typed=typed(request, "typed"),
            files=files(request, contradictions.CLOSE),
            by=request.user,
            at=timezone.now(),
        )

    return proposed(request, reference, contradictions.CLOSE, say, contradiction_id)


@require_POST
@decides
@read_first
def step(request: Request, reference: str, change_id: int, step: str) -> HttpResponse:
    """Confirm, decline or withdraw a proposal about this transfer."""
    change = get_object_or_404(Change, pk=change_id, subject=f"transfer:{reference}")

    def say() -> None:
        take(request, change, step, timezone.now())

    response = steps.step(request, reference, action_of(change, step), say)
    return noted(response, NOTED.get(step) if response.status_code == 200 else None)


def proposed(
    request: Request, reference: str, action: str, say: Callable[[], object], contradiction: int
) -> HttpResponse:
    """The card with the proposal on it. What was typed into a form with a mistake stays in it."""
    try:
        seen(request, reference)
        say()
    except proposing.NotSaid as mistake:
        context = card.context_of(seen(request, reference), request.user, timezone.now())
        context["refused"] = str(mistake)
        context["said"] = Said(
            moved=request.POST.get("moved", ""),
            reason=typed(request, "reason"),
            record=typed(request, "record"),
            contradiction=contradiction,
        )
        return answer(request, "transfers/show.html", "transfers/_card.html", context, status=422)
    except refusals.REFUSALS as refusal:
        return steps.refused(request, reference, action, refusal)
    return steps.done(request, reference)


def moved(request: Request, kind: str) -> bool:
    """Which of the two was chosen. None is chosen beforehand, so nobody says by omission that nothing moved."""
    said = request.POST.get("moved", "")
    if said not in ("yes", "no") and proposing.why_not_propose(kind, request.user) is None:
        raise proposing.NotSaid("Nothing was proposed. Say whether it moved or did not.")
    return said == "yes"  # of somebody who may not propose, the verb refuses either


def files(request: Request, kind: str) -> list[proposing.File]:
    """Read only for those who may propose."""
    if proposing.why_not_propose(kind, request.user) is not None:
        return []
    return uploads.all_accepted(request.FILES.getlist("files"))
