"""Windows on what explains a change: marks, movements that are not ours, and matches of what is."""

from __future__ import annotations

from typing import Any

from django.contrib import admin

from treasury.admin.window import Window, amount
from treasury.models import Mark, Match, Movement

BEFORE, AFTER = amount("before", "before"), amount("after", "after")
OURS, FEES, REST = amount("ours", "ours"), amount("fees", "fees"), amount("rest", "rest")
TOTAL = amount("total", "total")


@admin.register(Movement)
class Movements(Window):
    list_display = ("account", "asset", BEFORE, AFTER, OURS, FEES, REST, "since", "at", "tripped")
    list_display_links = ("account",)
    list_select_related = ("account__connection",)
    list_filter = ("tripped", "account__connection", "asset")
    search_fields = ("account__title", "account__address", "account__connection__name", "=asset")
    date_hierarchy = "at"
    fields = ("account", "asset", "since", "at", BEFORE, AFTER, OURS, FEES, REST, "tripped")
    readonly_fields = (BEFORE, AFTER, OURS, FEES, REST)

    def subject(self, row: Any) -> str:
        return f"account:{row.account}"


@admin.register(Match)
class Matches(Window):
    list_display = ("transfer", "basis", "agrees", "difference", "at")
    list_display_links = ("transfer",)
    list_select_related = ("transfer",)
    list_filter = ("agrees", "basis", "transfer__connection")
    search_fields = ("transfer__reference", "difference")
    date_hierarchy = "at"
    fields = ("transfer", "basis", "agrees", "difference", "facts", "at")

    def subject(self, row: Any) -> str:
        return str(row.transfer.subject)


@admin.register(Mark)
class Marks(Window):
    list_display = ("account", "asset", TOTAL, "at")
    list_display_links = ("account",)
    list_select_related = ("account__connection",)
    list_filter = ("account__connection", "asset")
    search_fields = ("account__title", "account__address", "account__connection__name", "=asset")
    date_hierarchy = "at"
    fields = ("account", "asset", TOTAL, "at")
    readonly_fields = (TOTAL,)

    def subject(self, row: Any) -> str:
        return f"account:{row.account}"
