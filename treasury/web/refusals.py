"""Refusals: one table from what was raised to a status, one way to show the sentence, one way to log the attempt.

A verb that refuses has rolled back. Whoever tried what they may not do is in the log all the same: the entry is
written here, in a transaction of its own. A mere mistake in a form (422) is not an attempt and is not logged.
"""

from __future__ import annotations

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils import timezone
from django_htmx.http import reswap, retarget

from treasury.audit.record import record
from treasury.balances.price_sheets import BadSheet, OtherSheet
from treasury.balances.prices import MayNotPrice, NotEntered
from treasury.balances.typed import NewerKnown, NotStated
from treasury.controls.bands import NotBands, Outdated
from treasury.controls.changes import MayNotChange, NotSaid, NotWaiting, OtherChange
from treasury.controls.first_looks import NoLongerFits, NotProposed
from treasury.controls.house import NotSet, OtherValue
from treasury.controls.people import NoLongerSo, NotEnrolled
from treasury.controls.policy import Denied, NoPolicy, OtherPolicy
from treasury.controls.rulebook import NotRules
from treasury.controls.stops import MayNotStop, NotStanding
from treasury.models import User
from treasury.rebalancing.plan import NotPlanned
from treasury.rebalancing.propose import NotDrafted
from treasury.transfers.access import NotAllowed, NotNow
from treasury.transfers.approve import NoReason, OtherWords
from treasury.transfers.draft import Invalid
from treasury.transfers.lifecycle import NoSuchTransfer, NotALegalStep, Overtaken
from treasury.transfers.sign_off import NoRemark, OtherFindings
from treasury.web.htmx import wants_part

STATUS: dict[type[Exception], int] = {
    NotAllowed: 403,
    MayNotStop: 403,
    MayNotChange: 403,
    MayNotPrice: 403,
    NoSuchTransfer: 404,
    NotNow: 409,
    NotALegalStep: 409,
    Denied: 409,
    NoPolicy: 409,
    Overtaken: 409,
    OtherWords: 409,
    NotStanding: 409,
    NotWaiting: 409,
    OtherChange: 409,
    OtherFindings: 409,
    NoLongerFits: 409,
    NewerKnown: 409,
    NoLongerSo: 409,
    OtherSheet: 409,
    Outdated: 409,
    OtherPolicy: 409,
    OtherValue: 409,
    NoReason: 422,
    NoRemark: 422,
    NotSaid: 422,
    NotProposed: 422,
    NotEnrolled: 422,
    NotStated: 422,
    NotEntered: 422,
    BadSheet: 422,
    NotBands: 422,
    NotRules: 422,
    NotSet: 422,
    Invalid: 422,
    NotPlanned: 422,
    NotDrafted: 422,
}
REFUSALS = tuple(STATUS)
HEADINGS = {
    400: "Not understood",
    403: "Not allowed",
    404: "Not found",
    409: "Not done",
    413: "Not done",
    422: "Not done",
    429: "Too often",
    503: "Not done",
}


def status_of(refusal: Exception) -> int:
    return STATUS[type(refusal)]


def note(request: HttpRequest, refusal: Exception, *, action: str, subject: str) -> None:
    """Write the attempt into the log, unless it was only a mistake in a form."""
    status = status_of(refusal)
    if status == 422:
        return
    by = request.user if isinstance(request.user, User) else None
    with transaction.atomic():
        record(
            at=timezone.now(),
            by=by,
            action=action,
            subject=subject,
            facts={"reason": str(refusal), "status": status},
            result="refused",
        )


def noted(request: HttpRequest, sentence: str) -> None:
    """Write into the log that a step of somebody who is signed in was refused before any verb was asked."""
    assert isinstance(request.user, User), "only who is signed in takes steps"
    with transaction.atomic():
        record(
            at=timezone.now(),
            by=request.user,
            action="request.refuse",
            subject=request.user.subject,
            facts={"reason": sentence, "method": request.method, "path": request.path_info},
            result="refused",
        )


def refuse(request: HttpRequest, refusal: Exception, *, action: str, subject: str) -> HttpResponse:
    """Log the attempt and answer with nothing but the sentence."""
    note(request, refusal, action=action, subject=subject)
    return page(request, str(refusal), status_of(refusal))


def page(request: HttpRequest, sentence: str, status: int) -> HttpResponse:
    """The sentence as a page of its own; for htmx, in place of what the page showed."""
    context = {"sentence": sentence, "heading": HEADINGS[status]}
    if not wants_part(request):
        return render(request, "refusals/show.html", context, status=status)
    html = render_to_string("refusals/_refusal.html", context, request)
    header = render_to_string("house/_header.html", {"beside": True}, request)
    return reswap(retarget(HttpResponse(html + header, status=status), "#main"), "innerHTML")


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Django calls it when a form's token does not fit: a page left open too long, or a foreign site's form."""
    if isinstance(request.user, User):
        with transaction.atomic():
            record(
                at=timezone.now(),
                by=request.user,
                action="request.refuse",
                subject=f"user:{request.user.get_username()}",
                facts={"reason": reason, "method": request.method, "path": request.path_info},
                result="refused",
            )
    sentence = "Nothing was done. This page is too old to be trusted: reload it and do it again."
    return beside(request, sentence, 403)


def beside(request: HttpRequest, sentence: str, status: int) -> HttpResponse:
    """The sentence beside the form, not in its place: what was typed stays on the screen."""
    if not wants_part(request):
        return page(request, sentence, status)
    html = render_to_string("house/_alert.html", {"sentence": sentence}, request)
    return reswap(retarget(HttpResponse(html, status=status), "#alerts"), "innerHTML")


def unreadable(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django calls it for a request that it will not read, such as a form with more text than any form has."""
    return beside(request, "Nothing was done. What was sent could not be read, or was too large.", 400)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    return page(request, str(exception) or "You may not see this page.", 403)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return page(request, "There is no such page.", 404)


def broken(request: HttpRequest) -> HttpResponse:
    """Something unforeseen. No query and no context: whatever broke must not break this page too."""
    return HttpResponse(render_to_string("refusals/broken.html"), status=500)
