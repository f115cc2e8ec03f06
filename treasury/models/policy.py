"""What the house has agreed on: who must approve what, limits, floors; and what was found when it was asked."""

from __future__ import annotations

from django.db import models

from treasury.models.change import Change
from treasury.models.transfer import Transfer


class Policy(models.Model):
    """One version of the policy. Append-only: the newest is in force, and a transfer keeps the one it was submitted
    under. ``text`` is canonical JSON; ``treasury.controls.rulebook`` says what it may hold."""

    number = models.PositiveIntegerField(unique=True, help_text="1, 2, 3 …")
    text = models.TextField()
    digest = models.CharField(max_length=64, help_text="SHA-256 of the text, lower-case hex.")
    change = models.OneToOneField(Change, on_delete=models.PROTECT, related_name="policy")
    at = models.DateTimeField()

    class Meta:
        ordering = ["-number"]
        verbose_name_plural = "policies"

    def __str__(self) -> str:
        return f"policy version {self.number}"


class Assessment(models.Model):
    """What a version of the policy answered for one round of a transfer, with all that it was asked. Append-only.

    Reckoned again from ``circumstances`` under ``policy`` it gives ``answer``, letter for letter.
    """

    transfer = models.ForeignKey(Transfer, on_delete=models.PROTECT, related_name="assessments")
    round = models.PositiveSmallIntegerField()
    policy = models.ForeignKey(Policy, on_delete=models.PROTECT, related_name="assessments")
    at = models.DateTimeField()
    circumstances = models.TextField(help_text="Canonical JSON: everything that the rules were asked about.")
    answer = models.TextField(help_text="Canonical JSON: the rule that matched, why the others did not, the demands.")

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["transfer", "round"], name="assessment_once_per_round")]

    def __str__(self) -> str:
        return f"assessment of {self.transfer_id} in round {self.round}"


class HouseSetting(models.Model):
    """One version of a setting that two people set while the house runs. Append-only: the newest of a name counts.

    Names and values: ``treasury.controls.house``.
    """

    name = models.CharField(max_length=40)
    value = models.JSONField()
    change = models.OneToOneField(Change, on_delete=models.PROTECT, related_name="house_setting")
    at = models.DateTimeField()

    class Meta:
        ordering = ["name", "-id"]
        indexes = [models.Index(fields=["name", "-id"], name="house_setting_newest")]

    def __str__(self) -> str:
        return f"{self.name} since {self.at:%Y-%m-%d %H:%M}"
