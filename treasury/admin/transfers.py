"""Windows on transfers, and on what people and venues said of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from treasury.admin.window import Part, Person, Window, amount
from treasury.models import Attempt, Decision, Demand, LookUp, Transfer, User, Withdrawal
from treasury.transfers import queries

AMOUNT = amount("amount", "amount")


def withdrawn_at(decision: Decision) -> datetime | None:
    """When it was taken back, since when it counts no longer; None of what stands."""
    taken_back = getattr(decision, "withdrawal", None)
    return taken_back.at if taken_back is not None else None


class IsWithdrawn(admin.SimpleListFilter):
    title = "withdrawn"
    parameter_name = "withdrawn"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "Withdrawn"), ("no", "Not withdrawn")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Decision]) -> QuerySet[Decision]:
        asked = {"yes": False, "no": True}.get(self.value() or "")
        return queryset if asked is None else queryset.filter(withdrawal__isnull=asked)


class Demands(Part):
    model = Demand
    fields = ("round", "group", "count")


class Decisions(Part):
    model = Decision
    fields = ("round", "verdict", "withdrawn", "by", "at", "factor", "counts_for", "reason")
    readonly_fields = ("withdrawn",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Decision]:
        return super().get_queryset(request).select_related("withdrawal")

    @admin.display(description="withdrawn")
    def withdrawn(self, decision: Decision) -> datetime | None:
        return withdrawn_at(decision)


class Withdrawals(Part):
    model = Withdrawal
    fields = ("at", "reason")
    show_change_link = False


class Attempts(Part):
    model = Attempt
    fields = ("number", "kind", "claimed_at", "send_before", "outcome", "concluded_at", "words", "record")


class LookUps(Part):
    model = LookUp
    fields = ("at", "state", "searched", "found", "words")


@admin.register(Transfer)
class Transfers(Window):
    list_display = (
        "reference",
        "state",
        AMOUNT,
        "asset",
        "source",
        "destination",
        "maker",
        "created_at",
        "changed_at",
    )
    list_display_links = ("reference",)
    list_select_related = ("connection", "source__connection", "destination__connection", "maker")
    list_filter = ("state", "connection", "asset", ("maker", admin.RelatedOnlyFieldListFilter))
    search_fields = ("reference", "reason", "=digest", "=key", "maker__username", "attempts__record")
    search_help_text = "Reference, reason, maker, digest, key, or the venue's own record"
    date_hierarchy = "created_at"
    fields = (
        "reference",
        "state",
        "maker",
        "connection",
        "source",
        "destination",
        "asset",
        AMOUNT,
        "reason",
        "copied_from",
        "round",
        "key",
        "digest",
        "instruction",
        "submitted_at",
        "expires_at",
        "held",
        "outcome",
        "due_at",
        "created_at",
        "changed_at",
    )
    readonly_fields = (AMOUNT,)
    inlines = (Demands, Decisions, Attempts, LookUps)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Transfer]:
        """As on the pages: a draft is its maker's own, and the auditor's."""
        shown = queries.visible_to(request.user) if isinstance(request.user, User) else Transfer.objects.none()
        return shown.order_by("-id")

    def subject(self, row: Any) -> str:
        return str(row.subject)


@admin.register(Decision)
class AllDecisions(Window):
    list_display = ("transfer", "round", "verdict", "withdrawn", "by", "at", "factor", "digest", "reason")
    list_display_links = ("transfer",)
    list_select_related = ("transfer", "by", "withdrawal")
    list_filter = ("verdict", IsWithdrawn, "factor", ("by", Person))
    search_fields = ("transfer__reference", "by__username", "=digest", "reason")
    date_hierarchy = "at"
    fields = (
        "transfer",
        "round",
        "verdict",
        "by",
        "at",
        "digest",
        "instruction",
        "counts_for",
        "factor",
        "reason",
    )
    inlines = (Withdrawals,)

    @admin.display(description="withdrawn", ordering="withdrawal__at")
    def withdrawn(self, decision: Decision) -> datetime | None:
        return withdrawn_at(decision)

    def subject(self, row: Any) -> str:
        return str(row.transfer.subject)


@admin.register(Demand)
class AllDemands(Window):
    list_display = ("transfer", "round", "group", "count")
    list_display_links = ("transfer",)
    list_select_related = ("transfer",)
    list_filter = ("group", "count")
    search_fields = ("transfer__reference", "group")
    date_hierarchy = "transfer__submitted_at"
    fields = ("transfer", "round", "group", "count")

    def subject(self, row: Any) -> str:
        return str(row.transfer.subject)


@admin.register(Attempt)
class AllAttempts(Window):
    """Without ``challenge``: whoever holds its token can answer for the person who confirms at the venue."""

    list_display = ("transfer", "number", "kind", "claimed_at", "outcome", "concluded_at", "record", "worker")
    list_display_links = ("transfer",)
    list_select_related = ("transfer",)
    list_filter = ("outcome", "kind", "transfer__connection")
    search_fields = ("transfer__reference", "=record", "words")
    date_hierarchy = "claimed_at"
    fields = (
        "transfer",
        "number",
        "kind",
        "claimed_at",
        "send_before",
        "call_ends_at",
        "worker",
        "outcome",
        "concluded_at",
        "words",
        "record",
        "evidence",
    )

    def subject(self, row: Any) -> str:
        return str(row.transfer.subject)


@admin.register(LookUp)
class AllLookUps(Window):
    list_display = ("transfer", "at", "state", "searched", "found", "words")
    list_display_links = ("transfer",)
    list_select_related = ("transfer",)
    list_filter = ("state", "searched", "found", "transfer__connection")
    search_fields = ("transfer__reference", "words")
    date_hierarchy = "at"
    fields = ("transfer", "at", "state", "searched", "found", "words", "evidence")

    def subject(self, row: Any) -> str:
        return str(row.transfer.subject)
