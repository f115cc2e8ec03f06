"""What we held, as it was read: one row for each complete reading of a connection, thinned by age."""

from __future__ import annotations

from django.db import models

from treasury.models.connection import Connection


class Snapshot(models.Model):
    """Append-only; the database lets no row go that is younger than a day.

    ``holdings``: {address: {asset: {"total": "12.5" or null, "movable": "12.5" or null, "problem": "…"}}}, amounts as
    plain decimal strings. An asset that is not named was 0 at that moment, as the venue said; an address that is not
    named was not set up. ``"problem"`` is left out where there was none. An entry "" in place of an asset: the answer
    was not whole, so whatever the account's other entries do not name is not known. ``"as_of"`` (ISO 8601) says of when
    a number is that people stated by hand; of by-hand accounts zeros are named, and what is not named nobody ever
    stated.
    """

    connection = models.ForeignKey(Connection, on_delete=models.PROTECT, related_name="snapshots")
    at = models.DateTimeField(help_text="When the venue was asked.")
    holdings = models.JSONField()

    class Meta:
        ordering = ["-at", "-id"]
        indexes = [models.Index(fields=["connection", "-at"], name="snapshot_by_time")]

    def __str__(self) -> str:
        return f"snapshot of {self.connection_id} at {self.at:%Y-%m-%d %H:%M:%S}"
