"""Windows on the parts' signs of life, and on where this database lives."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db import connection

from treasury.admin.window import Window
from treasury.models import Heartbeat, Home


@admin.register(Heartbeat)
class Heartbeats(Window):
    """The log has nothing of them: they are written every few seconds."""

    list_display = ("name", "at", "host", "problem")
    list_display_links = ("name",)
    list_filter = (("problem", admin.EmptyFieldListFilter),)
    search_fields = ("name", "host", "problem")
    fields = ("name", "at", "host", "problem")


@admin.register(Home)
class Homes(Window):
    list_display = ("cluster", "timeline", "database", "seen_at")
    list_display_links = ("cluster",)
    search_fields = ("cluster",)
    date_hierarchy = "seen_at"
    fields = ("cluster", "timeline", "database", "seen_at", "anchor")

    def subject(self, row: Any) -> str:
        return f"database:{connection.settings_dict['NAME']}"
