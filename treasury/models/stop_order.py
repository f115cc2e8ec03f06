"""The emergency act: nothing is sent where a stop order stands."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from treasury.models.account import Account
from treasury.models.change import Change
from treasury.models.connection import Connection


class Scope(models.TextChoices):
    EVERYTHING = "everything", "Everything"
    VENUE = "venue", "Venue"
    CONNECTION = "connection", "Connection"
    ASSET = "asset", "Asset"
    ACCOUNT = "account", "Account"


class StopOrder(models.Model):
    """One person, or the product itself, can stop; two people release it, by a change."""

    scope = models.CharField(max_length=10, choices=Scope, default=Scope.CONNECTION)
    venue = models.CharField(max_length=40, default="", blank=True)
    connection = models.ForeignKey(Connection, null=True, on_delete=models.PROTECT, related_name="stop_orders")
    asset = models.CharField(
        max_length=40, default="", blank=True, help_text="In capitals: venues write usdt and USDT."
    )
    account = models.ForeignKey(Account, null=True, on_delete=models.PROTECT, related_name="stop_orders")
    reason = models.TextField()
    by = models.CharField(max_length=150, help_text="Who stopped it: a user name, or the product's own part.")
    automatic = models.BooleanField(default=False, help_text="By a part of the product, whatever a person is called.")
    since = models.DateTimeField()
    released_at = models.DateTimeField(null=True)
    release = models.OneToOneField(
        Change, null=True, on_delete=models.PROTECT, related_name="released_stop", help_text="The change that ended it."
    )

    class Meta:
        ordering = ["-since"]
        indexes = [
            models.Index(fields=["since"], condition=Q(released_at=None), name="stop_order_stands"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(scope="everything", venue="", connection=None, asset="", account=None)
                | (Q(scope="venue", connection=None, asset="", account=None) & ~Q(venue=""))
                | Q(scope="connection", venue="", connection__isnull=False, asset="", account=None)
                | (Q(scope="asset", venue="", connection=None, account=None) & ~Q(asset=""))
                | Q(scope="account", venue="", connection=None, asset="", account__isnull=False),
                name="stop_order_covers_one_thing",
            ),
        ]

    def __str__(self) -> str:
        return f"stop of {self.subject} since {self.since:%Y-%m-%d %H:%M}"

    @property
    def who(self) -> str:
        """Who stopped it, by their own name where ``stops.named`` asked for it."""
        return str(vars(self).get("person") or self.by)

    @property
    def subject(self) -> str:
        """The log's word for what is stopped."""
        if self.connection is not None:
            return self.connection.subject
        if self.account is not None:
            return f"account:{self.account}"
        return {
            Scope.EVERYTHING: "everything:",
            Scope.VENUE: f"venue:{self.venue}",
            Scope.ASSET: f"asset:{self.asset}",
        }[Scope(self.scope)]
