"""A window on what people were told, and what is still on its way to them."""

from __future__ import annotations

from typing import Any

from django.contrib import admin

from treasury.admin.window import Window
from treasury.models import Notice


@admin.register(Notice)
class Notices(Window):
    list_display = ("id", "written_at", "kind", "subject", "channel", "to", "tries", "problem", "ending", "sent_at")
    list_display_links = ("id",)
    list_filter = (
        "channel",
        "kind",
        "ending",
        ("sent_at", admin.EmptyFieldListFilter),
        ("problem", admin.EmptyFieldListFilter),
    )
    search_fields = ("subject", "to")
    search_help_text = "What it is about: transfer:TR-000123, stop:4; or an address"
    date_hierarchy = "written_at"
    fields = (
        "channel",
        "to",
        "kind",
        "subject",
        "title",
        "text",
        "written_at",
        "due_at",
        "tries",
        "sent_at",
        "problem",
        "refused",
        "ending",
        "ended_at",
    )

    def subject(self, row: Any) -> str:
        return str(row.subject)
