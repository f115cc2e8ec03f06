"""The steps of a transfer's life that a person takes on its page: one call inward each."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_POST

from treasury.controls.changes import FACTOR
from treasury.transfers import approve as approving
from treasury.transfers import cancel as cancelling
from treasury.transfers import draft as drafting
from treasury.transfers import submit as submitting
from treasury.transfers import withdraw as withdrawing
from treasury.transfers.approve import OtherWords
from treasury.web import card, refusals
from treasury.web.factor import decides
from treasury.web.htmx import Request, answer, go, typed, wants_part
from treasury.web.reading import read_first
from treasury.web.transfers import seen


@require_POST
@decides
def submit(request: Request, reference: str) -> HttpResponse:
    return step(
        request,
        reference,
        "transfer.submit",
        lambda: submitting.submit(reference=reference, maker=request.user, at=timezone.now()),
    )


@require_POST
@decides
@read_first
def approve(request: Request, reference: str) -> HttpResponse:
    return step(
        request,
        reference,
        "transfer.approve",
        lambda: approving.approve(
            reference=reference,
            checker=request.user,
            digest=request.POST.get("digest", ""),
            round=round_of(request),
            factor=FACTOR.get(),
            at=timezone.now(),
        ),
    )


@require_POST
@decides
@read_first
def reject(request: Request, reference: str) -> HttpResponse:
    return step(
        request,
        reference,
        "transfer.reject",
        lambda: approving.reject(
            reference=reference,
            checker=request.user,
            digest=request.POST.get("digest", ""),
            round=round_of(request),
            factor=FACTOR.get(),
            reason=typed(request, "reason"),
            at=timezone.now(),
        ),
    )


@require_POST
@decides
def withdraw(request: Request, reference: str) -> HttpResponse:
    """Whoever approved takes it back."""
    return step(
        request,
        reference,
        withdrawing.ACTION,
        lambda: withdrawing.withdraw(
            reference=reference, checker=request.user, reason=typed(request, "reason"), at=timezone.now()
        ),
    )


def round_of(request: Request) -> int:
    """The round that the page showed; 0, which no round is, for anything but a number."""
    said = request.POST.get("round", "")
    return int(said) if said.isascii() and said.isdecimal() and len(said) < 6 else 0


@require_POST
@decides
def cancel(request: Request, reference: str) -> HttpResponse:
    return step(
        request,
        reference,
        "transfer.cancel",
        lambda: cancelling.cancel(reference=reference, by=request.user, at=timezone.now()),
    )


@require_POST
def draft_again(request: Request, reference: str) -> HttpResponse:
    """A fresh draft with the old words; the maker lands on it."""
    try:
        seen(request, reference)
        fresh = drafting.draft_again(reference=reference, maker=request.user, at=timezone.now())
    except refusals.REFUSALS as refusal:
        return refused(request, reference, "transfer.draft_again", refusal)
    return go(request, f"/transfers/{fresh.reference}/")


def step(request: Request, reference: str, action: str, take: Callable[[], object]) -> HttpResponse:
    """Take the step and show the card as it then is; refused, show it with the sentence."""
    try:
        seen(request, reference)
        take()
    except refusals.REFUSALS as refusal:
        return refused(request, reference, action, refusal)
    return done(request, reference)


def done(request: Request, reference: str) -> HttpResponse:
    if not wants_part(request):
        return go(request, f"/transfers/{reference}/")
    return shown(request, reference)


def refused(request: Request, reference: str, action: str, refusal: Exception) -> HttpResponse:
    refusals.note(request, refusal, action=action, subject=f"transfer:{reference}")
    try:
        return shown(request, reference, refusal)
    except refusals.REFUSALS:  # not theirs to see, so there is no card to show the sentence on
        return refusals.page(request, str(refusal), refusals.status_of(refusal))


def shown(request: Request, reference: str, refusal: Exception | None = None) -> HttpResponse:
    transfer = seen(request, reference)
    context = card.context_of(transfer, request.user, timezone.now())
    if refusal is None:
        return answer(request, "transfers/show.html", "transfers/_card.html", context)
    context["refused"] = str(refusal)
    if isinstance(refusal, OtherWords):
        context["differences"] = card.differences(
            transfer, instruction=request.POST.get("instruction", ""), digest=request.POST.get("digest", "")
        )
    status = refusals.status_of(refusal)
    return answer(request, "transfers/show.html", "transfers/_card.html", context, status=status)
