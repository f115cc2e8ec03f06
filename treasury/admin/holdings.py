"""Windows on what we hold, where, and where sending is stopped."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from treasury.admin.window import Part, Window, amount
from treasury.models import Account, Balance, Connection, ConnectionHealth, Route, Snapshot, StopOrder


class Health(Part):
    model = ConnectionHealth
    fields = ("read_at", "problem", "limited_until", "reported_at")
    show_change_link = False


@admin.register(Connection)
class Connections(Window):
    """Without ``credentials``, encrypted as they are: no page of the product ever shows them again."""

    list_display = ("name", "venue", "environment", "login", "created_at", "fingerprint", "credentials_at")
    list_display_links = ("name",)
    list_filter = ("venue", "environment")
    search_fields = ("name", "venue", "login")
    date_hierarchy = "created_at"
    fields = ("name", "venue", "environment", "login", "created_at", "fingerprint", "credentials_at", "change")
    inlines = (Health,)

    def subject(self, row: Any) -> str:
        return f"connection:{row.name}"


TOTAL, MOVABLE = amount("total", "total"), amount("movable", "movable")


class Balances(Part):
    model = Balance
    fields = ("asset", TOTAL, MOVABLE, "observed_at", "problem")
    readonly_fields = (TOTAL, MOVABLE)


@admin.register(Account)
class Accounts(Window):
    list_display = ("title", "connection", "address", "kind", "quiet")
    list_display_links = ("title",)
    list_select_related = ("connection",)
    list_filter = ("connection", "kind", "quiet")
    search_fields = ("title", "address", "connection__name")
    fields = ("connection", "address", "kind", "title", "quiet", "change")
    inlines = (Balances,)

    def subject(self, row: Any) -> str:
        return f"connection:{row.connection.name}"


@admin.register(Balance)
class AllBalances(Window):
    list_display = ("account", "asset", TOTAL, MOVABLE, "observed_at", "problem")
    list_display_links = ("account",)
    list_select_related = ("account__connection",)
    list_filter = ("account__connection", "asset", ("problem", admin.EmptyFieldListFilter))
    search_fields = ("account__title", "account__address", "account__connection__name", "=asset")
    date_hierarchy = "observed_at"
    fields = ("account", "asset", TOTAL, MOVABLE, "observed_at", "problem")
    readonly_fields = (TOTAL, MOVABLE)

    def subject(self, row: Any) -> str:
        return f"connection:{row.account.connection.name}"


@admin.register(Snapshot)
class Snapshots(Window):
    """What each complete reading said, as it is kept."""

    list_display = ("connection", "at")
    list_display_links = ("connection",)
    list_select_related = ("connection",)
    list_filter = ("connection",)
    search_fields = ("connection__name",)
    date_hierarchy = "at"
    fields = ("connection", "at", "holdings")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Snapshot]:
        """A list of many needs none of their documents."""
        return super().get_queryset(request).defer("holdings")

    def subject(self, row: Any) -> str:
        return f"connection:{row.connection.name}"


@admin.register(Route)
class Routes(Window):
    """What the venues said may move between two accounts."""

    list_display = ("source", "destination", "read_at", "asked_at", "problem")
    list_display_links = ("source",)
    list_select_related = ("source__connection", "destination__connection")
    list_filter = ("source__connection", ("problem", admin.EmptyFieldListFilter))
    search_fields = ("source__title", "source__address", "destination__title", "destination__address")
    date_hierarchy = "read_at"
    fields = ("source", "destination", "assets", "read_at", "asked_at", "problem")

    def subject(self, row: Any) -> str:
        return f"connection:{row.source.connection.name}"


@admin.register(StopOrder)
class StopOrders(Window):
    list_display = ("scope", "connection", "account", "venue", "asset", "reason", "by", "since", "released_at")
    list_display_links = ("scope",)
    list_select_related = ("connection", "account__connection")
    list_filter = (("released_at", admin.EmptyFieldListFilter), "scope", "connection")
    search_fields = ("reason", "by", "connection__name", "account__title", "venue", "=asset")
    date_hierarchy = "since"
    fields = ("scope", "connection", "account", "venue", "asset", "reason", "by", "since", "released_at", "release")

    def subject(self, row: Any) -> str:
        subject: str = row.subject
        return subject
