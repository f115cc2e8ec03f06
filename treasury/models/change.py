"""A change under four eyes: one person proposes, another decides, and it is applied with the decision or never."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

BOOTSTRAP, ADOPT = "house.bootstrap", "house.adopt"  # what nobody proposed, each of them once at most
NOBODYS = [BOOTSTRAP, ADOPT]


class Ruling(models.TextChoices):
    APPLIED = "applied", "Applied"
    DECLINED = "declined", "Declined"
    WITHDRAWN = "withdrawn", "Withdrawn"


class Change(models.Model):
    """``words`` is what would change, frozen with its digest; the decider confirms exactly these.

    ``kind`` is ``noun.verb`` and names who applies it: ``stop.release``, ``transfer.resolve``, ``contradiction.close``,
    ``connection.connect``, ``credentials.replace``, ``account.set_up``, ``bands.set``, ``transfer.confirm``,
    ``balance.state``, ``policy.set``, ``user.enrol``, ``user.change``, ``user.reset``, ``membership.set``,
    ``house.set``. ``house.bootstrap`` and ``house.adopt`` are nobody's: the first set-up, and what an upgrade found.
    ``subject`` is the log's word for the thing that changes.
    """

    kind = models.CharField(max_length=40)
    subject = models.CharField(max_length=200)
    words = models.JSONField()
    digest = models.CharField(max_length=64, help_text="SHA-256 of kind, subject, words and reason, lower-case hex.")
    sealed = models.TextField(default="", blank=True, help_text="Secrets that belong to it, encrypted; never shown.")
    reason = models.CharField(max_length=500)
    proposed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.PROTECT,
        related_name="proposed",
        help_text="Null only where nobody was there yet: the first set-up, and what an upgrade found.",
    )
    proposed_at = models.DateTimeField()
    proposed_factor = models.CharField(max_length=40, default="", blank=True, help_text="As Decision.factor.")

    ruling = models.CharField(max_length=9, choices=Ruling, null=True, help_text="Null while it waits.")
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="ruled_on"
    )
    decided_at = models.DateTimeField(null=True)
    decided_factor = models.CharField(max_length=40, default="", blank=True, help_text="As Decision.factor.")
    said = models.CharField(max_length=500, default="", blank=True, help_text="What the decider said.")
    applied_in = models.BigIntegerField(
        null=True, help_text="The database transaction that applied it, written by a trigger: it governs in no other."
    )

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["kind"], condition=Q(ruling=None), name="change_waiting"),
            models.Index(fields=["subject", "-id"], name="change_by_subject"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(ruling=None, decided_by=None, decided_at=None)
                | Q(ruling__isnull=False, decided_by__isnull=False, decided_at__isnull=False)
                | Q(ruling="applied", kind__startswith="house.", proposed_by=None, decided_by=None),
                name="change_decided_by_somebody",
            ),
            models.CheckConstraint(
                condition=~Q(ruling="applied") | ~Q(decided_by=models.F("proposed_by")),
                name="change_applied_by_another",
            ),
            models.CheckConstraint(
                condition=Q(proposed_by__isnull=False) | Q(kind__in=NOBODYS),
                name="change_proposed_by_somebody",
            ),
            models.UniqueConstraint(fields=["kind"], condition=Q(kind__in=NOBODYS), name="change_first_only_once"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.subject}"

    @property
    def is_open(self) -> bool:
        return self.ruling is None


class Attachment(models.Model):
    """A file that somebody put beside a change as evidence, kept in the database with the rest. Append-only."""

    change = models.ForeignKey(Change, on_delete=models.PROTECT, related_name="attachments")
    name = models.CharField(max_length=120)
    media_type = models.CharField(max_length=60)
    size = models.PositiveIntegerField(help_text="Bytes.")
    sha256 = models.CharField(max_length=64)
    content = models.BinaryField()

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return self.name


class FirstLook(models.Model):
    """What a venue said of credentials that are proposed and not yet in use. Append-only; the newest one counts."""

    change = models.ForeignKey(Change, on_delete=models.PROTECT, related_name="first_looks")
    at = models.DateTimeField()
    login = models.CharField(max_length=120, default="", blank=True, help_text="The venue's own id of the login.")
    may_transfer = models.BooleanField(null=True)
    words = models.JSONField(default=list, help_text="What the key may do, in the connector's words.")
    accounts = models.JSONField(default=list, help_text="[{address, kind, title}] as the venue reports them.")
    problem = models.TextField(default="", blank=True, help_text="Why the venue did not say; empty when it did.")
    answered = models.BooleanField(default=True, help_text="False: somebody asked for another look, nothing more.")

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"first look for {self.change_id}"
