"""Reference prices: what an asset is worth in the reporting currency, who said so, and of when."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from treasury.models.amount import AmountField


class Price(models.Model):
    """Append-only; the newest ``as_of`` of an asset and currency counts, then the newest row."""

    asset = models.CharField(max_length=40, help_text="In capitals: venues write usdt and USDT.")
    currency = models.CharField(max_length=10, help_text="The currency it is told in, in capitals.")
    price = AmountField(help_text="What one unit of the asset is worth.")
    as_of = models.DateTimeField(help_text="When the price was true.")
    source = models.CharField(max_length=120, help_text="Where it was read.")
    entered_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="prices")
    entered_at = models.DateTimeField()

    class Meta:
        ordering = ["asset", "currency", "-as_of", "-id"]
        indexes = [models.Index(fields=["asset", "currency", "-as_of", "-id"], name="price_newest")]
        constraints = [models.CheckConstraint(condition=Q(price__gt=0), name="price_positive")]

    def __str__(self) -> str:
        return f"{self.asset} in {self.currency}"
