"""Windows on people and on what they hold, and held."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest

from treasury.admin.window import Part, Window
from treasury.models import Membership, User


class Memberships(Part):
    model = Membership
    fk_name = "user"
    fields = ("group", "at", "change", "ended_at", "ended_by")


class Flags(forms.ModelForm):  # type: ignore[type-arg]
    """What Django's own flags mean in this house."""

    class Meta:
        help_texts: ClassVar = {
            "is_active": "Whether they may sign in. What they hold counts only while they may.",
            "is_superuser": "Django's own flag: it confers nothing here.",
        }


@admin.register(User)
class People(Window):
    """Without ``password``, hashed as it is. Staff and superuser flags confer nothing, and the latter is shown so that
    nobody need wonder."""

    list_display = ("username", "first_name", "last_name", "roles", "is_active", "last_login", "change")
    list_display_links = ("username",)
    list_select_related = ("change",)
    list_filter = ("is_active", "is_superuser")
    search_fields = ("username", "first_name", "last_name", "email", "person", "memberships__group")
    search_help_text = "A name, an address, a role or group"
    date_hierarchy = "date_joined"
    ordering = ("username",)
    fields = (
        "username",
        "first_name",
        "last_name",
        "email",
        "person",
        "provider_subject",
        "roles",
        "is_active",
        "is_superuser",
        "last_login",
        "date_joined",
        "change",
    )
    form = Flags
    readonly_fields = ("roles",)
    inlines = (Memberships,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        standing = Membership.objects.filter(ended_at=None).order_by("group")
        return super().get_queryset(request).prefetch_related(Prefetch("memberships", standing, to_attr="standing"))

    @admin.display(description="roles and groups")
    def roles(self, user: User) -> str:
        held: list[Membership] = user.standing  # type: ignore[attr-defined]  # prefetched above
        return ", ".join(one.group for one in held)

    def subject(self, row: Any) -> str:
        return str(row.subject)


@admin.register(Membership)
class AllMemberships(Window):
    list_display = ("user", "group", "at", "change", "ended_at", "ended_by")
    list_display_links = ("user",)
    list_select_related = ("user", "change", "ended_by")
    list_filter = ("group", ("ended_at", admin.EmptyFieldListFilter))
    search_fields = ("user__username", "group")
    date_hierarchy = "at"
    fields = ("user", "group", "at", "change", "ended_at", "ended_by")

    def subject(self, row: Any) -> str:
        return str(row.user.subject)
