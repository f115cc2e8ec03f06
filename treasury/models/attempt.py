"""Calls that may have reached a venue, and the look-ups that pursue them."""

from __future__ import annotations

from datetime import datetime

from django.db import models

from treasury.models.amount import AmountField
from treasury.models.transfer import Transfer


class Outcome(models.TextChoices):
    """What the connector said of one call (the map's table in docs/architecture.md)."""

    SETTLED = "settled", "It moved"
    ACCEPTED = "accepted", "The venue took it"
    CHALLENGE = "challenge", "A person must confirm at the venue"
    REFUSED = "refused", "Refused; nothing moved"
    TRY_LATER = "try_later", "Not sent; try later"
    BARRED = "barred", "Not allowed to send"
    UNCERTAIN = "uncertain", "Outcome unknown"


# The only outcomes that prove that a call moved nothing and, by itself, never will.
NOTHING_MOVED = frozenset({Outcome.REFUSED, Outcome.TRY_LATER, Outcome.BARRED, Outcome.CHALLENGE})
# The venue said that it took it: it moved, or will.
TAKEN = frozenset({Outcome.SETTLED, Outcome.ACCEPTED})


class Kind(models.TextChoices):
    SEND = "send", "Send"
    RESEND = "resend", "Re-send"
    REPEAT = "repeat", "Repeat"


class AttemptQuerySet(models.QuerySet["Attempt"]):
    """The questions that verbs and pages ask of attempts; *in doubt* has its one meaning here."""

    def taken(self) -> AttemptQuerySet:
        return self.filter(outcome__in=TAKEN)

    def under_way(self, at: datetime) -> AttemptQuerySet:
        """Calls that may still be made or answered."""
        return self.filter(outcome=None, call_ends_at__gt=at)

    def may_have_moved(self) -> AttemptQuerySet:
        """All but those that are proven to have moved nothing."""
        return self.exclude(outcome__in=NOTHING_MOVED)

    def asked_of_people(self) -> AttemptQuerySet:
        """Those after which somebody could move it by hand; what was to be repeated only records it."""
        return self.filter(outcome=Outcome.CHALLENGE, transfer__connection__by_hand=True)

    def in_doubt(self, at: datetime) -> AttemptQuerySet:
        """Ended uncertain, or without an outcome although the call must be over."""
        return self.filter(models.Q(outcome=Outcome.UNCERTAIN) | models.Q(outcome=None, call_ends_at__lte=at))


class Attempt(models.Model):
    """Written before the call is made; its outcome is written once. No outcome after ``call_ends_at`` is doubt."""

    transfer = models.ForeignKey(Transfer, on_delete=models.PROTECT, related_name="attempts")
    number = models.PositiveSmallIntegerField()
    kind = models.CharField(max_length=8, choices=Kind)
    claimed_at = models.DateTimeField(help_text="Also the time that a signing venue's request carries.")
    send_before = models.DateTimeField(help_text="Nothing is written to the venue after this.")
    call_ends_at = models.DateTimeField(help_text="send_before plus the call's time limit: by then it has an outcome.")
    worker = models.CharField(max_length=120)
    before = models.JSONField(default=dict, help_text="What both accounts held when it was claimed, as last read.")

    outcome = models.CharField(max_length=10, choices=Outcome, null=True)
    concluded_at = models.DateTimeField(null=True)
    words = models.TextField(default="", blank=True, help_text="The venue's words and ours.")
    record = models.CharField(max_length=200, null=True, help_text="The venue's own id of the move.")
    fee = AmountField(null=True, help_text="What the venue takes for it, in the same asset; null: it did not say.")
    evidence = models.JSONField(default=dict, help_text="Redacted; holds the SHA-256 of the raw answer.")
    challenge = models.JSONField(null=True, help_text="Token and deadline that a person must confirm at the venue.")

    objects = AttemptQuerySet.as_manager()

    class Meta:
        ordering = ["number"]
        indexes = [models.Index(fields=["claimed_at"], name="attempt_by_time")]
        constraints = [
            models.UniqueConstraint(fields=["transfer", "number"], name="attempt_numbered_once"),
            models.CheckConstraint(
                condition=models.Q(outcome__isnull=True, concluded_at__isnull=True)
                | models.Q(outcome__isnull=False, concluded_at__isnull=False),
                name="attempt_outcome_has_a_time",
            ),
        ]

    def __str__(self) -> str:
        return f"attempt {self.number} of {self.transfer_id}"


class LookUp(models.Model):
    """One question to the venue about a transfer in flight, with its answer. Append-only."""

    transfer = models.ForeignKey(Transfer, on_delete=models.PROTECT, related_name="look_ups")
    at = models.DateTimeField()
    state = models.CharField(max_length=8, help_text="DONE, PENDING, FAILED, ABSENT, UNCLEAR, or ERROR: not answered.")
    searched = models.BooleanField(help_text="The venue's records were really searched to the end.")
    found = models.BooleanField()
    words = models.TextField(default="", blank=True)
    record = models.CharField(max_length=200, null=True, help_text="The venue's record that the answer rests on.")
    evidence = models.JSONField(default=dict)
    balances = models.JSONField(default=dict, help_text="What both accounts held by our last reading.")

    class Meta:
        ordering = ["at", "id"]
        indexes = [models.Index(fields=["at"], name="look_up_by_time")]

    def __str__(self) -> str:
        return f"look-up of {self.transfer_id}: {self.state}"
