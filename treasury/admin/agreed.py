"""Windows on what the house has agreed on: versions of the policy, what they answered, settings."""

from __future__ import annotations

from typing import Any

from django.contrib import admin

from treasury.admin.window import Window
from treasury.models import Assessment, HouseSetting, Policy


@admin.register(Policy)
class Policies(Window):
    list_display = ("number", "at", "digest", "change")
    list_display_links = ("number",)
    list_select_related = ("change",)
    search_fields = ("=number", "=digest", "text")
    date_hierarchy = "at"
    fields = ("number", "text", "digest", "change", "at")

    def subject(self, row: Any) -> str:
        return "policy:"


@admin.register(Assessment)
class Assessments(Window):
    list_display = ("transfer", "round", "policy", "at")
    list_display_links = ("transfer",)
    list_select_related = ("transfer", "policy")
    list_filter = ("policy", "transfer__connection")
    search_fields = ("transfer__reference", "answer")
    date_hierarchy = "at"
    fields = ("transfer", "round", "policy", "at", "circumstances", "answer")

    def subject(self, row: Any) -> str:
        return str(row.transfer.subject)


@admin.register(HouseSetting)
class HouseSettings(Window):
    list_display = ("name", "value", "at", "change")
    list_display_links = ("name",)
    list_select_related = ("change",)
    list_filter = ("name",)
    search_fields = ("name",)
    date_hierarchy = "at"
    fields = ("name", "value", "change", "at")

    def subject(self, row: Any) -> str:
        return f"setting:{row.name}"
