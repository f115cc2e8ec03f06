"""Messages to people outside the pages: written with the act they are about, sent a moment later."""

from __future__ import annotations

from django.db import models
from django.db.models import Q


class Channel(models.TextChoices):
    MAIL = "mail", "E-mail"
    WEBHOOK = "webhook", "Webhook"


class Ending(models.TextChoices):
    """Why a message is not sent any more."""

    DROPPED = "dropped", "Its reader is gone"
    GIVEN_UP = "given up", "Given up"


class Notice(models.Model):
    """The outbox: at least once. Nothing in it that should not be in a mailbox: no amounts, addresses or names."""

    channel = models.CharField(max_length=7, choices=Channel)
    to = models.CharField(max_length=254, help_text="An e-mail address, or the webhook's.")
    kind = models.CharField(max_length=40, help_text="noun.verb, as in the log: transfer.submit, stop.order, …")
    subject = models.CharField(max_length=200, help_text="What it is about, in the log's word.")
    title = models.CharField(max_length=200)
    text = models.TextField()
    once = models.CharField(
        max_length=300, unique=True, help_text="The same happening told to the same address is one notice."
    )
    written_at = models.DateTimeField()
    due_at = models.DateTimeField()
    tries = models.PositiveIntegerField(default=0)
    sent_at = models.DateTimeField(null=True)
    problem = models.TextField(default="", blank=True, help_text="Why the last try failed; empty when it did not.")
    refused = models.BooleanField(
        default=False, help_text="The other side refused this very message; others go before it."
    )
    ending = models.CharField(
        max_length=8, choices=Ending, default="", blank=True, help_text="Why it is not sent any more, if so."
    )
    ended_at = models.DateTimeField(null=True, help_text="From then on it is not sent any more.")

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["due_at"], condition=Q(sent_at=None, ended_at=None), name="notice_waiting"),
            models.Index(fields=["ended_at"], condition=Q(ending="given up"), name="notice_given_up"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} to {self.to}"
