"""Windows on people and the roles they hold."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.http import HttpRequest

from treasury.admin.window import Window
from treasury.models import User


@admin.register(User)
class People(Window):
    """Without ``password``, hashed as it is."""

    list_display = ("username", "first_name", "last_name", "roles", "is_active", "is_staff", "last_login")
    list_display_links = ("username",)
    list_filter = ("groups", "is_active", "is_staff", "is_superuser")
    search_fields = ("username", "first_name", "last_name", "email")
    date_hierarchy = "date_joined"
    ordering = ("username",)
    fields = (
        "username",
        "first_name",
        "last_name",
        "email",
        "groups",
        "is_active",
        "is_staff",
        "is_superuser",
        "last_login",
        "date_joined",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return super().get_queryset(request).prefetch_related("groups")

    @admin.display(description="roles")
    def roles(self, user: User) -> str:
        return ", ".join(sorted(group.name for group in user.groups.all()))

    def subject(self, row: Any) -> str:
        return f"user:{row.username}"


@admin.register(Group)
class Roles(Window):
    list_display = ("name", "members")
    list_display_links = ("name",)
    search_fields = ("name",)
    fields = ("name", "members")
    readonly_fields = ("members",)

    @admin.display(description="members")
    def members(self, group: Group) -> str:
        return ", ".join(User.objects.filter(groups=group).order_by("username").values_list("username", flat=True))
