"""What an account held when the venue was last asked."""

from __future__ import annotations

from django.db import models

from treasury.models.account import Account
from treasury.models.amount import AmountField


class Balance(models.Model):
    """The latest reading. ``total`` and ``movable`` are null when the venue gave no number: unknown is never 0."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="balances")
    asset = models.CharField(max_length=40, help_text="The venue's wire code of the asset.")
    total = AmountField(null=True)
    movable = AmountField(null=True)
    observed_at = models.DateTimeField()
    problem = models.TextField(default="", blank=True, help_text="Why it could not be read; empty when it could.")

    class Meta:
        ordering = ["account", "asset"]
        constraints = [
            models.UniqueConstraint(fields=["account", "asset"], name="balance_once_per_asset"),
            models.CheckConstraint(
                condition=models.Q(total__isnull=False) | ~models.Q(problem=""),
                name="balance_unknown_has_a_problem",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.account_id} {self.asset}"
