"""What changed in an account beside our own transfers, and whether each transfer fits the venue's own books."""

from __future__ import annotations

from django.db import models

from treasury.models.account import Account
from treasury.models.amount import AmountField
from treasury.models.transfer import Transfer


class Mark(models.Model):
    """The last total of an account that was accounted for, from which the next change is reckoned."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="marks")
    asset = models.CharField(max_length=40)
    total = AmountField()
    at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["account", "asset"], name="mark_once_per_asset")]

    def __str__(self) -> str:
        return f"{self.account_id} {self.asset}"


class Movement(models.Model):
    """A change of a total that our transfers do not explain, exactly: after − before = ours + fees + rest.

    Append-only."""

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="movements")
    asset = models.CharField(max_length=40)
    since = models.DateTimeField(help_text="When ``before`` was read.")
    at = models.DateTimeField(help_text="When ``after`` was read.")
    before = AmountField()
    after = AmountField()
    ours = AmountField(help_text="What our own transfers brought (positive) or took.")
    fees = AmountField(default=0, help_text="What venues named as fees of these transfers; 0 or less.")
    rest = AmountField(help_text="What somebody or something else did; never 0.")
    tripped = models.BooleanField(help_text="The account was quiet and the rest beyond tolerance: it was stopped.")

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["account", "asset", "-at"], name="movement_by_account")]

    def __str__(self) -> str:
        return f"movement of {self.account_id} {self.asset} at {self.at:%Y-%m-%d %H:%M}"


class Basis(models.TextChoices):
    RECORD = "record", "The venue's own record"
    BALANCES = "balances", "Both balance changes"
    NOTHING = "nothing", "Nothing yet"


class Match(models.Model):
    """A settled transfer beside what the venue says: its record, or both balance changes where it keeps none."""

    transfer = models.OneToOneField(Transfer, on_delete=models.PROTECT, related_name="match")
    basis = models.CharField(max_length=8, choices=Basis)
    agrees = models.BooleanField()
    difference = models.TextField(default="", blank=True, help_text="What does not fit, in words; empty when it does.")
    facts = models.JSONField(default=dict)
    at = models.DateTimeField()

    class Meta:
        ordering = ["-at"]
        indexes = [
            models.Index(fields=["-at"], condition=models.Q(agrees=False), name="match_not_agreeing"),
            models.Index(fields=["agrees", "basis"], name="match_counts"),
        ]

    def __str__(self) -> str:
        return f"match of {self.transfer_id}"
