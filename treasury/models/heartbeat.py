"""Signs of life, and which database this is: operational rows that change without an entry in the log."""

from __future__ import annotations

from django.db import models


class Heartbeat(models.Model):
    """When a part of the product last did its work: a queue's worker (sends, reads, chores, plans), the clock (beat),
    or whoever writes the anchors of the log (anchors)."""

    name = models.CharField(max_length=20, primary_key=True)
    at = models.DateTimeField(null=True, help_text="Null: it lives, and has not been able to work yet.")
    host = models.CharField(max_length=120)
    problem = models.TextField(default="", blank=True, help_text="Why it lives and does not work; empty when it does.")

    def __str__(self) -> str:
        return f"{self.name} at {self.at:%H:%M:%S}" if self.at else f"{self.name}, not yet"


class Home(models.Model):
    """The database cluster and timeline that this database lived in when it was last looked at: another one now means
    that it was restored, or copied."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    cluster = models.CharField(max_length=40, help_text="PostgreSQL's system identifier.")
    timeline = models.BigIntegerField()
    database = models.BigIntegerField(help_text="The database's own number in its cluster (pg_database.oid).")
    seen_at = models.DateTimeField()
    anchor = models.CharField(
        max_length=100, default="", blank=True, help_text="The last anchor that did not fit, once that was noticed."
    )

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(id=1), name="home_is_one")]

    def __str__(self) -> str:
        return f"cluster {self.cluster}, timeline {self.timeline}"
