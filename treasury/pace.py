"""The product's declared waits, divided by TIME_SCALE: a rehearsal of a day then takes minutes.

The scale is 1 except in practice and tests (``treasury.settings`` refuses it in real mode). What a venue itself
counts by its own clock (the window in which it takes a signed request, how long it remembers a key, a wait that it
names) is not ours to shorten and stays as it is.
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
        absent_after=None if declared.absent_after is None else paced(declared.absent_after),
        resend=None if resend is None else dataclasses.replace(resend, until=paced(resend.until)),
        limits={errand: Limit(calls=one.calls, per=paced(one.per)) for errand, one in declared.limits.items()},
    )
