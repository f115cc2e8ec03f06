"""The emergency act: nothing is sent where a stop order stands."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from treasury.models.connection import Connection


class StopOrder(models.Model):
    """One person, or the product itself, can stop a connection; two people release it."""

    connection = models.ForeignKey(Connection, on_delete=models.PROTECT, related_name="stop_orders")
    reason = models.TextField()
    by = models.CharField(max_length=150, help_text="Who stopped it: a user name, or the product's own part.")
    since = models.DateTimeField()
    released_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-since"]
        indexes = [
            models.Index(fields=["connection"], condition=models.Q(released_at=None), name="stop_order_standing")
        ]

    def __str__(self) -> str:
        return f"stop of {self.connection_id} since {self.since:%Y-%m-%d %H:%M}"


class StopRelease(models.Model):
    """One person's word that a stop may end; the second one's ends it."""

    stop_order = models.ForeignKey(StopOrder, on_delete=models.PROTECT, related_name="releases")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT)
    at = models.DateTimeField()
    reason = models.CharField(max_length=500)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["stop_order", "by"], name="stop_release_once_per_person")]

    def __str__(self) -> str:
        return f"release of {self.stop_order_id} by {self.by_id}"
