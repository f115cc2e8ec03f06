"""The one Django app."""

import decimal

from django.apps import AppConfig

from treasury.web import checks

# Amounts are numeric(48,18). Python's default of 28 significant digits silently rounds 10^24 + 10^-18, and each
# thread copies DefaultContext when it first computes, so both it and the main thread's own context are widened
# before any other thread starts (product code imports this module first, workers and web alike).
DIGITS = 64


class TreasuryConfig(AppConfig):
    name = "treasury"
    verbose_name = "Treasury"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        widen_decimal()
        checks.begin()


def widen_decimal() -> None:
    """Compute with 64 significant digits in this thread and in every thread started from now on."""
    decimal.DefaultContext.prec = DIGITS
    decimal.getcontext().prec = DIGITS
