"""The product's declared waits, divided by TIME_SCALE: a rehearsal of a day then takes minutes.

The scale is 1 except in practice and tests (``treasury.settings`` refuses it in real mode). It shortens what the
product waits for, also where it waits for something that a venue counts by its own clock, which nobody shortens: the
window in which it takes a signed request, or how long it remembers a key. A hurried rehearsal is therefore less patient
than the product with real money; it proves the steps and not the waits. Waits that a venue names stay as it names them,
and so do those that are not about a transfer's life (how long a page awaits an answer, how long a route is remembered).
"""

from __future__ import annotations

import dataclasses
from datetime import timedelta

from django.conf import settings

from connectors.core.protocol import Limit, Venue


def paced(wait: timedelta) -> timedelta:
    """The wait at the pace of this process."""
    return wait / settings.TIME_SCALE if settings.TIME_SCALE != 1 else wait


def paced_venue(declared: Venue) -> Venue:
    """What a venue's module declares, every duration in it at the pace of this process."""
    if settings.TIME_SCALE == 1:
        return declared
    resend = declared.resend
    return dataclasses.replace(
        declared,
        call_limit=paced(declared.call_limit),
        settle_limit=paced(declared.settle_limit),
        signed_window=None if declared.signed_window is None else paced(declared.signed_window),
        stale_after=None if declared.stale_after is None else paced(declared.stale_after),
        absent_after=None if declared.absent_after is None else paced(declared.absent_after),
        resend=None if resend is None else dataclasses.replace(resend, until=paced(resend.until)),
        limits={errand: Limit(calls=one.calls, per=paced(one.per)) for errand, one in declared.limits.items()},
    )
