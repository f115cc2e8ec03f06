"""What the policy demands of a transfer, and what checkers said."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models

from treasury.models.transfer import Transfer


class Demand(models.Model):
    """``count`` different people of ``group`` must approve in this round. Written at submit, never changed."""

    transfer = models.ForeignKey(Transfer, on_delete=models.PROTECT, related_name="demands")
    round = models.PositiveSmallIntegerField()
    group = models.CharField(max_length=150)
    count = models.PositiveSmallIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["transfer", "round", "group"], name="demand_once_per_group"),
            models.CheckConstraint(condition=models.Q(count__gte=1), name="demand_of_at_least_one"),
        ]

    def __str__(self) -> str:
        return f"{self.count} of {self.group}"


class Verdict(models.TextChoices):
    APPROVE = "approve", "Approved"
    REJECT = "reject", "Rejected"


class Decision(models.Model):
    """One person's word on the exact instruction they saw: its text and digest are kept with it. Append-only."""

    transfer = models.ForeignKey(Transfer, on_delete=models.PROTECT, related_name="decisions")
    round = models.PositiveSmallIntegerField()
    verdict = models.CharField(max_length=8, choices=Verdict)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="decisions")
    at = models.DateTimeField()
    digest = models.CharField(max_length=64)
    instruction = models.TextField()
    counts_for = ArrayField(models.CharField(max_length=150), help_text="The demanded groups this decision counts for.")
    factor = models.CharField(max_length=40, help_text="What proved it was them: password, passkey, …")
    reason = models.CharField(max_length=500, default="", blank=True)

    class Meta:
        ordering = ["at", "id"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(verdict="approve") | ~models.Q(reason=""),
                name="decision_rejection_has_a_reason",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.verdict} of {self.transfer_id} by {self.by_id}"


class Withdrawal(models.Model):
    """An approval taken back by whoever gave it, before dispatch began: it no longer counts. Append-only."""

    decision = models.OneToOneField(Decision, on_delete=models.PROTECT, related_name="withdrawal")
    at = models.DateTimeField()
    reason = models.CharField(max_length=500, default="", blank=True)

    def __str__(self) -> str:
        return f"withdrawal of decision {self.decision_id}"
