"""A plan: the fewest transfers that bring accounts inside their bands, with what it was reckoned from and its proof."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from treasury.models.account import Account
from treasury.models.amount import AmountField
from treasury.models.connection import Connection


class Origin(models.TextChoices):
    HAND = "hand", "By hand"
    SCHEDULE = "schedule", "By the schedule"
    WHAT_IF = "what if", "What if"


class PlanState(models.TextChoices):
    WAITING = "waiting", "Waiting for the planner"
    COMPUTING = "computing", "Computing"
    READY = "ready", "Ready"
    FAILED = "failed", "Failed"


class Plan(models.Model):
    """Asked for by somebody or by the schedule, computed by a worker. It moves nothing: people draft from it.

    ``overrides``: what a what-if supposes, {"bands": [...], "balances": [...]}; empty for a plan of the real numbers.
    """

    reference = models.CharField(max_length=20, unique=True, help_text="Ours, for people: PL-000012.")
    origin = models.CharField(max_length=8, choices=Origin)
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.PROTECT,
        related_name="plans",
        help_text="Null: the clock.",
    )
    asked_at = models.DateTimeField()
    connection = models.ForeignKey(
        Connection, null=True, on_delete=models.PROTECT, related_name="plans", help_text="Null: every connection."
    )
    asset = models.CharField(max_length=40, default="", blank=True, help_text="Empty: every asset.")
    overrides = models.JSONField(default=dict, blank=True)

    state = models.CharField(max_length=9, choices=PlanState, default=PlanState.WAITING)
    began_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    groups_done = models.PositiveIntegerField(default=0)
    groups_all = models.PositiveIntegerField(null=True, help_text="Null until the planner has counted them.")
    problem = models.TextField(default="", blank=True, help_text="Why it failed; empty when it did not.")

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["state"], condition=Q(state__in=["waiting", "computing"]), name="plan_to_do")]

    def __str__(self) -> str:
        return self.reference

    @property
    def subject(self) -> str:
        """The log's word for this plan."""
        return f"plan:{self.reference}"


class Status(models.TextChoices):
    NOTHING = "nothing", "Nothing to do"
    PROVEN = "proven", "Proven fewest"
    BEST = "best", "Best found"
    NO_HELP = "no help", "Nothing can be done"
    REFUSED = "refused", "Refresh first"


class PlanGroup(models.Model):
    """One connection and asset of a plan. Append-only: written once, when it was computed.

    ``inputs`` is canonical JSON: every number that it was reckoned from, see ``treasury.rebalancing.problem``; with it
    anybody can check the plan's feasibility, count and bound again. ``digest`` is its SHA-256.
    """

    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="groups")
    connection = models.ForeignKey(
        Connection, on_delete=models.PROTECT, related_name="plan_groups", help_text="Over which its transfers go."
    )
    asset = models.CharField(max_length=40)
    status = models.CharField(max_length=7, choices=Status)
    inputs = models.TextField()
    digest = models.CharField(max_length=64)
    certificate = models.JSONField(help_text="See treasury.rebalancing.certificate.")
    non_moves = models.JSONField(
        default=list, blank=True, help_text='[{"account": 12, "why": "…"}]: out of band, and no transfer mends it.'
    )
    second_step = models.BooleanField(
        default=False, help_text="Between connections, to be done by hand; a further step after all others."
    )

    class Meta:
        ordering = ["plan", "second_step", "connection__name", "asset"]
        constraints = [
            models.UniqueConstraint(fields=["plan", "connection", "asset", "second_step"], name="plan_group_once")
        ]

    def __str__(self) -> str:
        return f"{self.plan_id}: {self.connection_id} {self.asset}"


class PlanLine(models.Model):
    """One proposed transfer. Append-only; the draft that was made of it is ``transfer``."""

    group = models.ForeignKey(PlanGroup, on_delete=models.PROTECT, related_name="lines")
    number = models.PositiveSmallIntegerField(help_text="The order in which they are sent, from 1.")
    source = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="planned_out")
    destination = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="planned_in")
    asset = models.CharField(max_length=40, help_text="As the source's venue writes it.")
    amount = AmountField()
    after = ArrayField(
        models.PositiveSmallIntegerField(), default=list, blank=True, help_text="Numbers of what must settle first."
    )

    class Meta:
        ordering = ["group", "number"]
        constraints = [
            models.UniqueConstraint(fields=["group", "number"], name="plan_line_once"),
            models.CheckConstraint(condition=Q(amount__gt=0), name="plan_line_positive"),
        ]

    def __str__(self) -> str:
        return f"line {self.number} of {self.group_id}"
