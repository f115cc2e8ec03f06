"""Windows on what people proposed and decided together: changes, resolutions, contradictions."""

from __future__ import annotations

from typing import Any

from django.contrib import admin

from treasury.admin.window import Part, Window
from treasury.models import Attachment, Change, Contradiction, FirstLook, Resolution


class Attachments(Part):
    """Without ``content``: a file is read on the page of proposals, and who read it is in the log."""

    model = Attachment
    fields = ("name", "media_type", "size", "sha256")
    show_change_link = False


class FirstLooks(Part):
    model = FirstLook
    fields = ("at", "login", "may_transfer", "words", "accounts", "problem")
    show_change_link = False


@admin.register(Change)
class Changes(Window):
    """Without ``sealed``, encrypted as it is: what a proposal carries in secret is never shown."""

    list_display = ("id", "kind", "subject", "reason", "proposed_by", "proposed_at", "ruling", "decided_by")
    list_display_links = ("id",)
    list_select_related = ("proposed_by", "decided_by")
    list_filter = ("kind", "ruling", ("proposed_by", admin.RelatedOnlyFieldListFilter))
    search_fields = ("subject", "reason", "said", "=digest", "proposed_by__username", "decided_by__username")
    search_help_text = "What it is about: transfer:TR-000123, connection:Main desk; a reason, a person, a digest"
    date_hierarchy = "proposed_at"
    fields = (
        "kind",
        "subject",
        "words",
        "digest",
        "reason",
        "proposed_by",
        "proposed_at",
        "proposed_factor",
        "ruling",
        "decided_by",
        "decided_at",
        "decided_factor",
        "said",
    )
    inlines = (Attachments, FirstLooks)

    def subject(self, row: Any) -> str:
        return str(row.subject)


@admin.register(Resolution)
class Resolutions(Window):
    list_display = ("transfer", "moved", "record", "at", "change")
    list_display_links = ("transfer",)
    list_select_related = ("transfer", "change")
    list_filter = ("moved", "transfer__connection")
    search_fields = ("transfer__reference", "=record", "change__reason")
    date_hierarchy = "at"
    fields = ("transfer", "moved", "record", "change", "at")

    def subject(self, row: Any) -> str:
        return str(row.transfer.subject)


@admin.register(Contradiction)
class Contradictions(Window):
    list_display = ("transfer", "at", "words", "closed_at", "moved")
    list_display_links = ("transfer",)
    list_select_related = ("transfer",)
    list_filter = (("closed_at", admin.EmptyFieldListFilter), "moved", "transfer__connection")
    search_fields = ("transfer__reference", "words")
    date_hierarchy = "at"
    fields = ("transfer", "at", "words", "look_up", "attempt", "closed_at", "moved", "change")

    def subject(self, row: Any) -> str:
        return str(row.transfer.subject)
