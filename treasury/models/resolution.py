"""What people say of a transfer that no look-up could settle, and what speaks against an ending afterwards."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from treasury.models.attempt import Attempt, LookUp
from treasury.models.change import Change
from treasury.models.transfer import Transfer


class Resolution(models.Model):
    """Two people looked at the venue's own screen and said whether it moved. Append-only."""

    transfer = models.OneToOneField(Transfer, on_delete=models.PROTECT, related_name="resolution")
    moved = models.BooleanField()
    record = models.CharField(max_length=200, null=True, help_text="The venue's record that they name, if any.")
    change = models.OneToOneField(Change, on_delete=models.PROTECT, related_name="resolution")
    at = models.DateTimeField()

    def __str__(self) -> str:
        return f"resolution of {self.transfer_id}: {'it moved' if self.moved else 'it did not'}"


class Contradiction(models.Model):
    """Evidence that does not fit how a transfer ended, or that it has not been sent. Money at risk until closed.

    Closing takes two people and says what is true (``moved``); the transfer's state itself stays as it is.
    """

    transfer = models.ForeignKey(Transfer, on_delete=models.PROTECT, related_name="contradictions")
    at = models.DateTimeField()
    words = models.TextField()
    look_up = models.ForeignKey(LookUp, null=True, on_delete=models.PROTECT, related_name="contradictions")
    attempt = models.ForeignKey(Attempt, null=True, on_delete=models.PROTECT, related_name="contradictions")
    closed_at = models.DateTimeField(null=True)
    moved = models.BooleanField(null=True, help_text="What the two people found to be true; null while it is open.")
    change = models.OneToOneField(Change, null=True, on_delete=models.PROTECT, related_name="closed_contradiction")

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["transfer"], condition=Q(closed_at=None), name="contradiction_open_once"),
            models.CheckConstraint(
                condition=Q(closed_at=None, moved=None, change=None)
                | Q(closed_at__isnull=False, moved__isnull=False, change__isnull=False),
                name="contradiction_closed_by_a_change",
            ),
        ]

    def __str__(self) -> str:
        return f"contradiction of {self.transfer_id}"
