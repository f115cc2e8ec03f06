"""A transfer between two accounts of one connection, and the table of its life."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models

from treasury.models.account import Account
from treasury.models.amount import AmountField
from treasury.models.connection import Connection
from treasury.models.plan import PlanLine


class State(models.TextChoices):
    DRAFT = "DRAFT", "Draft"
    SUBMITTED = "SUBMITTED", "Waiting for approval"
    APPROVED = "APPROVED", "Approved"
    DISPATCHING = "DISPATCHING", "Sending"
    CONFIRMING = "CONFIRMING", "Confirm at the venue"
    DISPATCHED = "DISPATCHED", "Sent"
    SETTLED = "SETTLED", "Settled"
    FAILED = "FAILED", "Failed"
    REJECTED = "REJECTED", "Rejected"
    CANCELLED = "CANCELLED", "Cancelled"
    EXPIRED = "EXPIRED", "Expired"


# The table of a transfer's life: transfers.lifecycle.advance obeys it, and a trigger in the database says it again on
# its own; tests/models/test_lifecycle_agrees.py tries every pair of states on both.
NEXT: dict[State, frozenset[State]] = {
    State.DRAFT: frozenset({State.SUBMITTED, State.CANCELLED}),
    State.SUBMITTED: frozenset({State.APPROVED, State.REJECTED, State.CANCELLED, State.EXPIRED}),
    State.APPROVED: frozenset({State.DISPATCHING, State.SUBMITTED, State.CANCELLED, State.EXPIRED}),
    State.DISPATCHING: frozenset({State.DISPATCHED, State.CONFIRMING, State.SETTLED, State.FAILED, State.APPROVED}),
    State.CONFIRMING: frozenset({State.DISPATCHING, State.CANCELLED, State.FAILED, State.EXPIRED}),
    State.DISPATCHED: frozenset({State.SETTLED, State.FAILED}),
    State.SETTLED: frozenset(),
    State.FAILED: frozenset(),
    State.REJECTED: frozenset(),
    State.CANCELLED: frozenset(),
    State.EXPIRED: frozenset(),
}
ENDED = frozenset(state for state, following in NEXT.items() if not following)
IN_FLIGHT = frozenset({State.DISPATCHING, State.CONFIRMING, State.DISPATCHED})


class Transfer(models.Model):
    """Words (who, from, to, asset, amount, reason) freeze when it leaves DRAFT; the database insists.

    ``state`` is assigned by ``treasury.transfers.lifecycle.advance`` alone.
    """

    reference = models.CharField(max_length=20, unique=True, help_text="Ours, for people: TR-000123.")
    draft_key = models.UUIDField(
        unique=True, default=uuid.uuid4, help_text="Minted with the form: a double click saves one draft."
    )
    state = models.CharField(max_length=12, choices=State, default=State.DRAFT)

    maker = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="drafted")
    connection = models.ForeignKey(Connection, on_delete=models.PROTECT, related_name="transfers")
    source = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="outgoing")
    destination = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="incoming")
    asset = models.CharField(max_length=40)
    amount = AmountField()
    reason = models.CharField(max_length=500)
    copied_from = models.ForeignKey("self", null=True, on_delete=models.PROTECT, related_name="copies")
    planned = models.OneToOneField(
        PlanLine,
        null=True,
        on_delete=models.PROTECT,
        related_name="transfer",
        help_text="The line of a plan that it was drafted from.",
    )

    # What is approved and sent: minted at submit, never changed after.
    key = models.UUIDField(null=True, unique=True, help_text="The idempotency key at the venue; one per instruction.")
    instruction = models.TextField(null=True, help_text="Canonical JSON: the very words that are approved and sent.")
    digest = models.CharField(null=True, max_length=64, help_text="SHA-256 of the instruction, lower-case hex.")
    round = models.PositiveSmallIntegerField(default=0, help_text="Decisions count in their own round only.")
    seen_total = AmountField(null=True, help_text="The source's total that this round was asked for with.")
    seen_at = models.DateTimeField(null=True, help_text="When that total was read.")
    submitted_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True, help_text="Covers deciding, sending and re-sending.")

    held = models.TextField(default="", blank=True, help_text="Why an approved transfer is not being sent.")
    due_at = models.DateTimeField(null=True, help_text="When dispatch or settle acts next; null where neither does.")
    outcome = models.TextField(default="", blank=True, help_text="What happened to the money, then why.")
    compared = models.BooleanField(
        default=False, help_text="A Match says how it fits; kept so that a tick finds the rest."
    )
    created_at = models.DateTimeField()
    changed_at = models.DateTimeField(help_text="When it reached its state.")

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["state", "due_at"], name="transfer_due"),
            models.Index(fields=["state", "changed_at"], name="transfer_by_state"),
            models.Index(
                fields=["connection", "-changed_at"],
                condition=models.Q(state="SETTLED", compared=False),
                name="transfer_not_compared",
            ),
            models.Index(fields=["maker", "-id"], name="transfer_by_maker"),
            models.Index(fields=["source", "asset", "state", "changed_at"], name="transfer_by_source"),
            models.Index(fields=["destination", "asset", "state", "changed_at"], name="transfer_by_destination"),
        ]
        constraints = [
            models.CheckConstraint(condition=models.Q(amount__gt=0), name="transfer_amount_positive"),
            models.CheckConstraint(
                condition=~models.Q(source=models.F("destination")), name="transfer_between_two_accounts"
            ),
            models.CheckConstraint(
                condition=models.Q(state__in=["DRAFT", "CANCELLED"])
                | models.Q(
                    key__isnull=False,
                    instruction__isnull=False,
                    digest__isnull=False,
                    submitted_at__isnull=False,
                    expires_at__isnull=False,
                    round__gte=1,
                ),
                name="transfer_submitted_has_instruction",
            ),
            models.CheckConstraint(
                condition=models.Q(state="APPROVED") | models.Q(held=""),
                name="transfer_held_only_when_approved",
            ),
            models.CheckConstraint(
                condition=~models.Q(state__in=["APPROVED", "DISPATCHING", "CONFIRMING", "DISPATCHED"])
                | models.Q(due_at__isnull=False),
                name="transfer_under_way_is_due_some_time",
            ),
            models.CheckConstraint(
                condition=~models.Q(state__in=["SETTLED", "FAILED", "REJECTED", "CANCELLED", "EXPIRED"])
                | ~models.Q(outcome=""),
                name="transfer_ended_says_what_happened",
            ),
        ]

    def __str__(self) -> str:
        return self.reference

    @property
    def subject(self) -> str:
        """The log's word for this transfer."""
        return f"transfer:{self.reference}"

    @property
    def has_ended(self) -> bool:
        return State(self.state) in ENDED


class Predecessor(models.Model):
    """``first`` must settle before ``transfer`` is sent; if it ends otherwise, that is cancelled. Append-only."""

    transfer = models.ForeignKey(Transfer, on_delete=models.PROTECT, related_name="predecessors")
    first = models.ForeignKey(Transfer, on_delete=models.PROTECT, related_name="successors")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["transfer", "first"], name="predecessor_once"),
            models.CheckConstraint(condition=~models.Q(transfer=models.F("first")), name="predecessor_is_another"),
        ]

    def __str__(self) -> str:
        return f"{self.transfer_id} after {self.first_id}"
