"""One login at one venue."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Lower


class Connection(models.Model):
    """A login at a venue, with its credentials encrypted at rest; they are never shown again.

    ``venue`` is text without choices on purpose: venues are found by walking the connectors folder, so a new one
    costs no migration. ``login`` is the venue's own id of the login, learnt by asking the venue; it is part of
    every instruction, so that credentials swapped for another login's are noticed before a send.
    """

    name = models.CharField(max_length=60, unique=True)
    venue = models.CharField(max_length=40)
    environment = models.CharField(max_length=40, help_text="The venue's word for it: mainnet, testnet, staging.")
    login = models.CharField(max_length=120)
    credentials = models.TextField(help_text="Fernet token of a JSON object; see treasury.venues.")
    by_hand = models.BooleanField(
        default=False, help_text="People move its money at the venues' own screens; as its venue's module declares."
    )
    fingerprint = models.CharField(
        max_length=40, default="", help_text="Tells one set of credentials from another, and nothing else of them."
    )
    credentials_at = models.DateTimeField(null=True, help_text="Since when these credentials are in use.")
    created_at = models.DateTimeField()
    change = models.ForeignKey(
        "treasury.Change", on_delete=models.PROTECT, related_name="+", help_text="What agreed on it as it stands."
    )

    class Meta:
        ordering = [Lower("name")]
        constraints = [  # limits, stops and the venue's records are counted over a connection: one for each login
            models.UniqueConstraint(fields=["venue", "environment", "login"], name="connection_once_per_login")
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def subject(self) -> str:
        """The log's word for this connection."""
        return f"connection:{self.name}"


class ConnectionHealth(models.Model):
    """What we last heard of a connection: operational, so apart from the governed row above."""

    connection = models.OneToOneField(Connection, on_delete=models.CASCADE, related_name="health")
    read_at = models.DateTimeField(null=True, help_text="When its balances were last read to the end.")
    problem = models.TextField(default="", blank=True, help_text="Why the last reading failed; empty when it did not.")
    read_again_at = models.DateTimeField(null=True, help_text="After a failed reading: not before then.")
    asked_at = models.DateTimeField(null=True, help_text="When somebody last asked for a reading.")
    limited_until = models.DateTimeField(null=True, help_text="The venue asked us to wait until then.")
    checked = models.JSONField(
        default=dict,
        blank=True,
        help_text="Who the login is and what it may do, as the venue said at read_at; see treasury.balances.refresh.",
    )

    reported = models.JSONField(
        default=list, blank=True, help_text="[{address, kind, title}]: the accounts that the venue itself reports."
    )
    reported_at = models.DateTimeField(null=True, help_text="When it reported them.")

    def __str__(self) -> str:
        return f"health of {self.connection_id}"
