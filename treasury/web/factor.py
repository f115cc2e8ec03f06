"""What proved that it was them, and how long ago: asked before each decision and each change under four eyes.

allauth keeps in the session what a person has proved since they signed in; this file reads it, and nothing else does.
With TREASURY_STRONG_SIGN_IN everybody has a second factor, and those who decide or govern have a passkey.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Any, Concatenate, ParamSpec, cast
from urllib.parse import urlencode

from allauth.account.internal.flows.login import get_authentication_records
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render, resolve_url
from django.template.loader import render_to_string
from django.utils import timezone
from django_htmx.http import reswap, retarget

from treasury.controls.changes import FACTOR
from treasury.controls.roles import CHECKERS, OPERATORS, POLICY_EDITORS, USER_ADMINISTRATORS, groups_of
from treasury.models import User
from treasury.web import refusals, sign_in_limits
from treasury.web.htmx import Request, wants_part
from treasury.web.middleware import page_of

P = ParamSpec("P")
View = Callable[Concatenate[Request, P], HttpResponse]

PASSWORD = "password"  # noqa: S105  (the word for it, and no password)
PASSKEY, TOTP, RECOVERY, PROVIDER = "passkey", "totp", "recovery code", "provider"
KINDS = {"webauthn": PASSKEY, "totp": TOTP, "recovery_codes": RECOVERY}
SECOND = frozenset({PASSKEY, TOTP, RECOVERY, PROVIDER})  # whatever proves more than a password
NEED_PASSKEY = frozenset({CHECKERS, POLICY_EDITORS, USER_ADMINISTRATORS, OPERATORS})
# What an identity provider says (RFC 8176), where it is believed: a key that cannot be phished; more than one factor.
AMR_PASSKEY = frozenset({"hwk", "swk", "fido", "phr", "phrh"})
AMR_SECOND = frozenset({"mfa", "otp"})
LONGEST = 40  # characters of Decision.factor


@dataclass(frozen=True)
class Proof:
    """What somebody proved in this session. ``number`` is the authenticator's row, None for what has none."""

    kind: str
    at: datetime
    number: int | None = None


# -- what was proved, and what is needed --------------------------------------------------------------------------


def proofs(request: HttpRequest) -> list[Proof]:
    """Of this session, the newest last. What was taken away since proves nothing."""
    told = [one for one in map(proof_of, get_authentication_records(request, person_of(request))) if one]
    numbers = {one.number for one in told if one.number is not None}
    if not numbers:
        return told
    there = set(Authenticator.objects.filter(user=person_of(request), pk__in=numbers).values_list("pk", flat=True))
    return [one for one in told if one.number is None or one.number in there]


def proof_of(told: dict[str, Any]) -> Proof | None:
    at = moment(told["at"])
    if told["method"] == "password":
        return Proof(PASSWORD, at)
    if told["method"] == "mfa" and told.get("type") in KINDS:
        return Proof(KINDS[told["type"]], at, told.get("id"))
    if told["method"] == PROVIDER and settings.OIDC_TRUST_AMR and told.get("proved_at"):
        said, at = set(told.get("amr", ())), moment(told["proved_at"])
        if said & AMR_PASSKEY:
            return Proof(PASSKEY, at)
        return Proof(PROVIDER, at) if said & AMR_SECOND else None
    return None


def moment(seconds: object) -> datetime:
    """Unix seconds as a session holds them, with their fractions."""
    return datetime.fromtimestamp(float(str(seconds)), UTC)


def person_of(request: HttpRequest) -> User | None:
    return request.user if isinstance(request.user, User) else None


def needed(user: User) -> frozenset[str]:
    """The kinds of which one must be fresh; empty where nothing is asked."""
    if not settings.STRONG_SIGN_IN:
        return frozenset()
    return frozenset({PASSKEY}) if groups_of(user) & NEED_PASSKEY else SECOND


def has(user: User) -> frozenset[str]:
    """The kinds that they have set up."""
    kinds = Authenticator.objects.filter(user=user).values_list("type", flat=True)
    return frozenset(KINDS[kind] for kind in kinds if kind in KINDS)


def by_provider(request: HttpRequest, user: User, kinds: frozenset[str]) -> bool:
    """Whether the identity provider has proved one of these kinds in this session, so that it can prove it again."""
    if person_of(request) != user:
        return False
    return any(one.kind in kinds - {PASSWORD} and one.number is None for one in proofs(request))


def missing(request: HttpRequest) -> str | None:
    """What has to be set up before anything else is open; None where nothing has."""
    user = person_of(request)
    if user is None or not (kinds := needed(user)):
        return None
    own = has(user) - {RECOVERY}  # codes stand in for a lost factor; they are none
    if own & kinds or by_provider(request, user, kinds):
        return None
    return "a passkey" if kinds == {PASSKEY} else "a second factor"


def is_proven(request: HttpRequest) -> bool:
    """Whether more than a password was proved in this session, at any time."""
    return not settings.STRONG_SIGN_IN or any(one.kind in SECOND for one in proofs(request))


def fresh(request: HttpRequest, kinds: frozenset[str]) -> Proof | None:
    """The newest proof of one of these kinds, if it is recent enough."""
    after = timezone.now() - timedelta(minutes=settings.FRESH_FACTOR_MINUTES)
    of_kind = [one for one in proofs(request) if one.kind in kinds and one.at > after]
    return max(of_kind, key=lambda one: one.at, default=None)


def told(proof: Proof | None) -> str:
    """As Decision.factor has it: the kind and, of an authenticator, which one, so that it is known when it is gone."""
    if proof is None:
        return PASSWORD
    row = Authenticator.objects.filter(pk=proof.number).first() if proof.number else None
    return " ".join([proof.kind, *(mark_of(row) if row else ())])[:LONGEST]


def mark_of(row: Authenticator) -> Sequence[str]:
    """A passkey: the first 8 hex digits of the SHA-256 of its credential's id, and its name. Others: their number."""
    if row.type != Authenticator.Type.WEBAUTHN:
        return (str(row.pk),)
    credential = str(row.data.get("credential", {}).get("id", ""))
    return hashlib.sha256(credential.encode()).hexdigest()[:8], str(row.data.get("name", ""))


# -- before a step ------------------------------------------------------------------------------------------------


def decides(view: View[P]) -> View[P]:
    """For every view whose POST decides on money or on what governs it: the factor is fresh, or nothing is done."""

    @wraps(view)
    def proven(request: Request, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        if request.method in ("GET", "HEAD", "OPTIONS"):
            return view(request, *args, **kwargs)
        try:
            sign_in_limits.insist_on_pace(request.user)
        except sign_in_limits.TooOften as too_often:
            return refused(request, str(too_often), 429)
        kinds = needed(request.user)
        proof = fresh(request, kinds) if kinds else next(reversed(proofs(request)), None)
        if kinds and proof is None:
            return prove_first(request, kinds)
        token = FACTOR.set(told(proof))
        try:
            return view(request, *args, **kwargs)
        finally:
            FACTOR.reset(token)

    proven.decides = True  # type: ignore[attr-defined]  # read by a test that looks for steps without it
    return cast("View[P]", proven)


# -- refusing -----------------------------------------------------------------------------------------------------


def prove_first(request: Request, kinds: frozenset[str]) -> HttpResponse:
    """403 with the way to prove it, which leads back to this page. What was typed stays where it was."""
    what = "your passkey" if kinds == {PASSKEY} else "a second factor"
    minutes = settings.FRESH_FACTOR_MINUTES
    sentence = f"Nothing was done. This takes {what}, used within the last {minutes} minutes."
    refusals.noted(request, sentence)
    context = {"sentence": sentence, "prove": prove_address(page_of(request)), "heading": "Prove that it is you"}
    if not wants_part(request):
        return render(request, "session/prove.html", context, status=403)
    html = render_to_string("session/_prove.html", context, request)
    return reswap(retarget(HttpResponse(html, status=403), "#alerts"), "innerHTML")


def prove_address(onward: str) -> str:
    return f"{resolve_url('account_reauthenticate')}?{urlencode({'next': onward})}"


def refused(request: Request, sentence: str, status: int) -> HttpResponse:
    refusals.noted(request, sentence)
    return refusals.beside(request, sentence, status)
