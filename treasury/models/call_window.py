"""When calls were made: a venue's rate limits hold across every process, because this table is the only count."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models

from treasury.models.connection import Connection


class CallWindow(models.Model):
    """The calls of one kind over one connection that still count towards the venue's limit."""

    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, related_name="call_windows")
    errand = models.CharField(max_length=20, help_text="The venue's own word in its declared limits: send, look_up, …")
    taken = ArrayField(models.DateTimeField(), default=list)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["connection", "errand"], name="call_window_once_per_errand")]

    def __str__(self) -> str:
        return f"{self.errand} calls of {self.connection_id}"
