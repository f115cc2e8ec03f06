"""What a venue says may move between two accounts."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models

from treasury.models.account import Account


class Route(models.Model):
    """The venue's answer to "which coins may move from here to there", kept for a while: it is asked by a worker."""

    source = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="routes_out")
    destination = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="routes_in")
    assets = ArrayField(models.CharField(max_length=40), null=True, help_text="Null: not known yet.")
    read_at = models.DateTimeField(null=True, help_text="When the venue named them.")
    asked_at = models.DateTimeField(null=True, help_text="When somebody last wanted to know.")
    problem = models.TextField(default="", blank=True, help_text="Why the last question failed; empty when it did not.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["source", "destination"], name="route_once")]

    def __str__(self) -> str:
        return f"route {self.source_id} to {self.destination_id}"
