"""An account: an address at a venue, in the venue's own words."""

from __future__ import annotations

from django.db import models

from treasury.models.connection import Connection


class Account(models.Model):
    connection = models.ForeignKey(Connection, on_delete=models.PROTECT, related_name="accounts")
    address = models.CharField(max_length=120, help_text="The venue's own word: UNIFIED, client-accounts/…, an IBAN.")
    kind = models.CharField(max_length=60)
    title = models.CharField(max_length=120)
    quiet = models.BooleanField(
        default=False, help_text="Only we move it: any other movement sends an approved transfer back."
    )
    change = models.ForeignKey(
        "treasury.Change", on_delete=models.PROTECT, related_name="+", help_text="What agreed on it as it stands."
    )

    class Meta:
        ordering = ["connection__name", "address"]
        constraints = [models.UniqueConstraint(fields=["connection", "address"], name="account_once_per_connection")]

    def __str__(self) -> str:
        return f"{self.connection.name} · {self.title}"
