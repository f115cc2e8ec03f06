"""People who sign in. A role is a Membership, given by a change; the superuser flag confers none."""

from __future__ import annotations

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models import Q


class User(AbstractUser):
    """A sign-in. Who it is, and whether it may be used, is governed: ``change`` is the change that said so last.

    Ending a sign-in takes one person and no change; making one, changing it and opening it again takes two.
    """

    person = models.CharField(
        max_length=254, help_text="Equal texts are one natural person, who counts once; see treasury.controls.people."
    )
    provider_subject = models.CharField(
        max_length=254, default="", blank=True, help_text="The identity provider's own id of them; empty: none."
    )
    change = models.ForeignKey("treasury.Change", on_delete=models.PROTECT, related_name="+")

    class Meta:
        db_table = "treasury_user"
        verbose_name = "user"
        constraints = [
            models.UniqueConstraint(
                fields=["provider_subject"], condition=~Q(provider_subject=""), name="user_once_per_provider_subject"
            ),
        ]

    def __str__(self) -> str:
        return self.get_full_name() or self.username

    @property
    def subject(self) -> str:
        """The log's word for this person."""
        return f"user:{self.username}"


class Membership(models.Model):
    """Since when, and until when, someone holds a role or is in a group of approvers. Never changed but to end it."""

    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="memberships")
    group = models.CharField(max_length=150, help_text="A role (treasury.controls.roles) or a group of approvers.")
    at = models.DateTimeField()
    change = models.ForeignKey("treasury.Change", on_delete=models.PROTECT, related_name="+")
    ended_at = models.DateTimeField(null=True)
    ended_by = models.ForeignKey("treasury.Change", null=True, on_delete=models.PROTECT, related_name="+")

    class Meta:
        ordering = ["user", "group", "-id"]
        indexes = [models.Index(fields=["group"], condition=Q(ended_at=None), name="membership_stands")]
        constraints = [
            models.UniqueConstraint(fields=["user", "group"], condition=Q(ended_at=None), name="membership_once"),
            models.CheckConstraint(
                condition=Q(ended_at=None, ended_by=None) | Q(ended_at__isnull=False, ended_by__isnull=False),
                name="membership_ended_by_a_change",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user_id} in {self.group}"
