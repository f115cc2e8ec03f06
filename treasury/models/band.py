"""Where an account should stand: a band for each asset, set by two people."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from treasury.models.account import Account
from treasury.models.amount import AmountField
from treasury.models.change import Change


class Unit(models.TextChoices):
    AMOUNT = "amount", "Amounts"
    SHARE = "share", "% of the group"


class Direction(models.TextChoices):
    BOTH = "both", "Gives and takes"
    GIVES = "gives", "Only gives"
    TAKES = "takes", "Only takes"


class Band(models.Model):
    """One version of a band. Append-only: the newest of an account and asset counts, see ``treasury.controls.bands``.

    Measured on the total own funds. In amounts of the asset, or in percent (0 to 100) of what all accounts of the
    *group* hold together: the accounts of one connection that have a band for the asset.
    """

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="bands")
    asset = models.CharField(max_length=40, help_text="The venue's wire code of the asset.")
    change = models.ForeignKey(Change, on_delete=models.PROTECT, related_name="bands")
    at = models.DateTimeField()
    removed = models.BooleanField(default=False, help_text="From then on there is no band.")
    unit = models.CharField(max_length=6, choices=Unit, default=Unit.AMOUNT)
    minimum = AmountField()
    target = AmountField()
    maximum = AmountField(null=True, help_text="Null: it may hold any amount.")
    floor = AmountField(default=0, help_text="In the asset: no transfer of ours ever leaves less.")
    smallest = AmountField(null=True, help_text="In the asset: no smaller transfer to or from it is proposed.")
    largest = AmountField(null=True, help_text="In the asset: no larger transfer to or from it is proposed.")
    direction = models.CharField(max_length=5, choices=Direction, default=Direction.BOTH)

    class Meta:
        ordering = ["account", "asset", "-id"]
        indexes = [models.Index(fields=["account", "asset", "-id"], name="band_newest")]
        constraints = [
            # What two people agreed on once is written once: an old agreement does not come back into force.
            models.UniqueConstraint(fields=["change", "account", "asset"], name="band_once_per_change"),
            models.CheckConstraint(
                condition=Q(minimum__gte=0, target__gte=F("minimum"), floor__gte=0)
                & (Q(maximum=None) | Q(maximum__gte=F("target"))),
                name="band_in_order",
            ),
            models.CheckConstraint(
                condition=Q(unit="amount") | Q(target__lte=100) & (Q(maximum=None) | Q(maximum__lte=100)),
                name="band_share_of_a_whole",
            ),
            models.CheckConstraint(
                condition=(Q(smallest=None) | Q(smallest__gt=0))
                & (Q(largest=None) | Q(largest__gt=0))
                & (Q(smallest=None) | Q(largest=None) | Q(largest__gte=F("smallest"))),
                name="band_sizes_in_order",
            ),
        ]

    def __str__(self) -> str:
        return f"band of {self.account_id} {self.asset}"


class Drift(models.Model):
    """Since when an account has been outside its band. Gone when it is inside again; operational, and no history."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="drifts")
    asset = models.CharField(max_length=40)
    since = models.DateTimeField()
    told_at = models.DateTimeField(null=True, help_text="When a plan was asked for because of it.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["account", "asset"], name="drift_once_per_asset")]

    def __str__(self) -> str:
        return f"drift of {self.account_id} {self.asset}"
