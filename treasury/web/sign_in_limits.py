"""How often one may be wrong before one must wait, counted in the database, so that every process counts together.

Nobody can lock a colleague out. A browser that has signed in as somebody before has a counter of its own, known by a
signed cookie; only browsers that nobody knows are counted by their address, and by the name that they try.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv6Address, IPv6Network

from django.conf import settings
from django.core import signing
from django.core.cache import cache
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from treasury.models import User
from treasury.models.turns import one_at_a_time
from treasury.web.proxies import address_of, asker_of

WINDOW = timedelta(minutes=15)
NAME_MOST, DEVICE_MOST = 10, 10  # wrong passwords or codes within the window, each kind by itself
ADDRESS_MOST = 50  # an office shares one
STEPS_WITHIN = timedelta(minutes=1)
COOKIE = "treasury_device" if settings.PRACTICE else "__Host-device"
COOKIE_AGE = timedelta(days=365)
COOKIE_MOST = 10  # people that one browser is remembered for
SALT = "treasury.device"


class TooOften(Exception):
    """Nothing was done: one more try is one too many for now. The text says how long to wait."""


@dataclass(frozen=True)
class Counter:
    key: str
    most: int
    within: timedelta = WINDOW


@dataclass(frozen=True)
class Attempt:
    """A try that is counted as wrong until it proves to be right."""

    counters: list[Counter]
    at: datetime

    def succeeded(self) -> None:
        for counter in self.counters:
            with held(counter, timezone.now()) as stamps, suppress(ValueError):
                stamps.remove(self.at.timestamp())


def attempt(request: HttpRequest, what: str, name: str) -> Attempt:
    """Count one try of a password or code (``what``) for this user name. Raises TooOften; then nothing is tried."""
    at, counters = timezone.now(), counters_of(request, what, name)
    for number, counter in enumerate(counters):
        if not taken(counter, at):
            Attempt(counters[:number], at).succeeded()  # what is not tried is not counted against the others
            minutes = int(WINDOW.total_seconds() // 60)
            raise TooOften(f"Nothing was tried. There were too many wrong tries; wait {minutes} minutes.")
    return Attempt(counters, at)


def insist_on_pace(user: User) -> None:
    """One more step of somebody who is signed in. Raises TooOften."""
    if not taken(Counter(f"step:{user.pk}", settings.STEPS_A_MINUTE, STEPS_WITHIN), timezone.now()):
        raise TooOften("Nothing was done. You took too many steps within a minute; wait a little, then do it again.")


def counters_of(request: HttpRequest, what: str, name: str) -> list[Counter]:
    if device := devices(request).get(short(name)):
        return [Counter(f"{what}:device:{short(device)}", DEVICE_MOST)]
    return [
        Counter(f"{what}:address:{short(neighbourhood(asker_of(request) or ''))}", ADDRESS_MOST),
        Counter(f"{what}:name:{short(name)}", NAME_MOST),
    ]


def neighbourhood(address: str) -> str:
    """What one network hands to one customer, who may change addresses within it at will: of IPv6 the first 64 bits."""
    found = address_of(address)
    return str(IPv6Network((found, 64), strict=False)) if isinstance(found, IPv6Address) else str(found or address)


def taken(counter: Counter, at: datetime) -> bool:
    """Count one, unless there are as many as there may be."""
    with held(counter, at) as stamps:
        if len(stamps) >= counter.most:
            return False
        stamps.append(at.timestamp())
        return True


@contextmanager
def held(counter: Counter, at: datetime) -> Iterator[list[float]]:
    """The counter's stamps within its window, for this process alone until they are written back."""
    key, since = f"limit:{counter.key}", at.timestamp() - counter.within.total_seconds()
    with transaction.atomic():
        one_at_a_time(key)
        # A stamp from later is of a clock that was set; it must not count for its whole distance.
        stamps = [one for one in cache.get(key, []) if since < one <= at.timestamp() + 5]
        before = list(stamps)
        yield stamps
        if stamps != before:
            cache.set(key, stamps, counter.within.total_seconds())


def short(text: str) -> str:
    """Neither names nor addresses stand in the counters' keys."""
    return hashlib.sha256(f"{SALT}:{text.strip().lower()}".encode("utf-8", "replace")).hexdigest()[:32]


# -- browsers that are known --------------------------------------------------------------------------------------


def devices(request: HttpRequest) -> dict[str, str]:
    """{who, as ``short`` writes it: this browser's own id for them}, from its signed cookie."""
    try:
        found = signing.loads(request.COOKIES.get(COOKIE, ""), salt=SALT, max_age=COOKIE_AGE)
    except signing.BadSignature:
        return {}
    return {str(who): str(device) for who, device in found.items()} if isinstance(found, dict) else {}


def is_known(request: HttpRequest, user: User) -> bool:
    return short(user.get_username()) in devices(request)


def remember(request: HttpRequest, response: HttpResponse, user: User) -> None:
    """Have the browser known from now on as one that has signed in as this person."""
    who, known = short(user.get_username()), devices(request)
    device = known.pop(who, None) or secrets.token_urlsafe(16)
    kept = dict([*known.items()][1 - COOKIE_MOST :]) | {who: device}
    response.set_cookie(
        COOKIE,
        signing.dumps(kept, salt=SALT),
        max_age=int(COOKIE_AGE.total_seconds()),
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )
