"""The log's rows. No foreign keys: an entry outlives, and speaks without, what it is about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.models.fields.json import KeyTextTransform, KeyTransform
from django.db.models.functions import Cast

if TYPE_CHECKING:  # generic for the type checker alone
    Field = models.Field[Any, Any]
else:
    Field = models.Field


class Xid8Field(Field):
    """A transaction id that never wraps (PostgreSQL's xid8), handled as text."""

    def db_type(self, connection: Any) -> str:
        return "xid8"

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> str | None:
        return None if value is None else str(value)


def said(key: str, within: str | None = None) -> models.GeneratedField:
    """A column that repeats one text of the canonical JSON, so that it can be searched and never disagrees."""
    whole: Any = Cast("canonical", models.JSONField())
    return models.GeneratedField(
        expression=KeyTextTransform(key, KeyTransform(within, whole) if within else whole),
        output_field=models.TextField(),
        db_persist=True,
    )


class AuditEntry(models.Model):
    """One act. ``canonical`` is what is hashed; every other column repeats it, for search only.

    Append-only: triggers refuse UPDATE, DELETE and TRUNCATE. Written by ``treasury.audit.record`` alone.
    """

    id = models.BigAutoField(primary_key=True)
    xid = Xid8Field(help_text="The database transaction that did it; a trigger checks it.")
    at = models.DateTimeField()
    canonical = models.TextField(help_text="Canonical JSON, format version in 'v'; docs/audit-format.md.")

    who = said("id", within="who")
    actor = said("name", within="who")
    action = said("action")
    subject = said("subject")
    result = said("result")
    facts = models.GeneratedField(
        expression=KeyTransform("facts", Cast("canonical", models.JSONField())),
        output_field=models.JSONField(),
        db_persist=True,
    )

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "audit entries"
        indexes = [
            models.Index(fields=["xid"], name="audit_by_transaction"),
            models.Index(fields=["subject", "id"], name="audit_by_subject"),
            models.Index(fields=["who", "id"], name="audit_by_person"),
            models.Index(fields=["action", "id"], name="audit_by_action"),
            models.Index(fields=["at"], name="audit_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.id} {self.action} {self.subject}"


class AuditLink(models.Model):
    """An entry's place in the chain: SHA-256 over the link before it and the entry's canonical text."""

    seq = models.BigIntegerField(primary_key=True)
    entry_id = models.BigIntegerField(unique=True)
    hash = models.BinaryField()

    def __str__(self) -> str:
        return f"link {self.seq}"


class AuditBatch(models.Model):
    """What one run of the sealer linked: a Merkle root over its entries, chained to the batch before."""

    number = models.BigIntegerField(primary_key=True)
    sealed_at = models.DateTimeField()
    first_seq = models.BigIntegerField()
    last_seq = models.BigIntegerField()
    root = models.BinaryField()
    hash = models.BinaryField()
    upto = Xid8Field(help_text="Every transaction below this one had ended, and its entries are sealed.")
    cluster = models.TextField(help_text="The database cluster's own identifier; another one means a restore.")

    class Meta:
        verbose_name_plural = "audit batches"

    def __str__(self) -> str:
        return f"batch {self.number}"
