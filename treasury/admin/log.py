"""Windows on the log and on the batches that its sealer made."""

from __future__ import annotations

from typing import Any

from django.contrib import admin

from treasury.admin.window import Window, digest
from treasury.models import AuditBatch, AuditEntry, AuditLink


@admin.register(AuditEntry)
class AuditEntries(Window):
    list_display = ("id", "at", "actor", "action", "subject", "result")
    list_display_links = ("id",)
    list_filter = ("result", "action")
    search_fields = ("subject", "actor", "action", "canonical")
    search_help_text = "Any text of the entry: transfer:TR-000123, a name, a digest"
    date_hierarchy = "at"
    fields = ("id", "at", "actor", "who", "action", "subject", "result", "facts", "xid", "canonical", "sealed")
    readonly_fields = ("sealed",)

    @admin.display(description="sealed")
    def sealed(self, entry: AuditEntry) -> str:
        link = AuditLink.objects.filter(entry_id=entry.pk).first()
        if link is None:
            return "not yet"
        return f"link {link.seq}, {bytes(link.hash).hex()}"

    def subject(self, row: Any) -> str:
        return str(row.subject)


ROOT, HASH = digest("root", "root"), digest("hash", "hash")


@admin.register(AuditBatch)
class AuditBatches(Window):
    list_display = ("number", "sealed_at", "first_seq", "last_seq", HASH)
    list_display_links = ("number",)
    list_filter = ("cluster",)
    search_fields = ("=number",)
    date_hierarchy = "sealed_at"
    ordering = ("-number",)
    fields = ("number", "sealed_at", "first_seq", "last_seq", ROOT, HASH, "upto", "cluster")
    readonly_fields = (ROOT, HASH)
