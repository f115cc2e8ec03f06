"""What browsers report: that a page tried what its policy forbids. A few lines of the service log, none of the acts'.

Anybody may post here, signed in or not, so that a broken sign-in page is heard of too; what they say is read as far as
it is short, cleaned, and written as often as a minute allows.
"""

from __future__ import annotations

import json
import logging
from threading import Lock
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

SIZE_MOST = 16 * 1024  # bytes of one report
A_MINUTE = 20  # lines, in each process of the web server
LETTERS_MOST = 200
TYPES = frozenset({"application/csp-report", "application/json"})
SAID = ("effective-directive", "violated-directive", "blocked-uri", "document-uri", "source-file", "line-number")

log = logging.getLogger("treasury.reports")


class Allowance:
    """So many in each minute, counted in this process; what came beside them is told when the next minute begins."""

    def __init__(self, most: int) -> None:
        self.most, self.began, self.taken, self.left_out = most, 0.0, 0, 0
        self.lock = Lock()

    def take(self, now: float) -> bool:
        """Whether one more is allowed. ``now`` is in seconds, of a clock that only goes forward."""
        with self.lock:
            if not self.began <= now < self.began + 60:
                if self.left_out:
                    log.warning("%d more reports of browsers were left out within a minute.", self.left_out)
                self.began, self.taken, self.left_out = now, 0, 0
            self.taken += 1
            allowed = self.taken <= self.most
            self.left_out += not allowed
            return allowed


allowance = Allowance(A_MINUTE)


@csrf_exempt
@require_POST
def csp(request: HttpRequest) -> HttpResponse:
    """The browser's report about a page of ours: 204, or a status that no browser reads."""
    if request.content_type not in TYPES:
        return HttpResponse(status=415)
    length = request.META.get("CONTENT_LENGTH") or ""
    if not length.isdecimal() or int(length) > SIZE_MOST:
        return HttpResponse(status=413)
    if not allowance.take(monotonic()):
        return HttpResponse(status=429)
    if (told := told_in(request.body)) is None:
        return HttpResponse(status=400)
    log.warning("A page tried what its policy forbids: %s", told)
    return HttpResponse(status=204)


def told_in(body: bytes) -> str | None:
    """The report in one short line; None where it is none. Addresses lose their queries: these may name accounts."""
    try:
        report = json.loads(body)["csp-report"]
        words = {name: shortened(report[name]) for name in SAID if report.get(name)}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return json.dumps(words) if words else None


def shortened(value: Any) -> str:
    text = str(value)[: 10 * LETTERS_MOST]
    try:
        parts = urlsplit(text)
        text = parts._replace(query="", fragment="").geturl() if parts.scheme else text
    except ValueError:
        text = "an address that nobody can read"
    return "".join(letter for letter in text if letter.isprintable())[:LETTERS_MOST]
