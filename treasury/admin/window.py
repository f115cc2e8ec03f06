"""A window: a model's pages without a single way to change it."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.http import urlencode

from treasury.models.amount import plain


class LookOnly:
    """Nobody adds, changes or deletes. Whoever the site lets in may view, without any permission of Django's own:
    ``AuditorsSite.admin_view`` stands before every page and has asked already."""

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True

    def has_module_permission(self, request: HttpRequest) -> bool:
        return True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class Window(LookOnly, admin.ModelAdmin):  # type: ignore[type-arg]
    """Every window names its ``fields``, so that a new column is hidden until somebody decides to show it."""

    actions = None
    list_per_page = 50
    show_full_result_count = False  # a second count(*) over all of a table that only grows
    show_facets = admin.ShowFacets.NEVER

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Django answers lookups on any column of the model itself, which would tell a hidden one letter by letter."""
        filters: list[Any] = [*self.get_list_filter(request), self.date_hierarchy or "id"]
        columns = [one if isinstance(one, (str, tuple)) else one.parameter_name for one in filters]
        shown = {str(one if isinstance(one, str) else one[0]).split("__")[0] for one in columns}
        if "regex" in lookup:  # a pattern of a stranger's, run by the database
            return False
        return lookup.split("__")[0] in {"id", *shown} and super().lookup_allowed(lookup, value, request)

    def subject(self, row: Any) -> str | None:
        """The log's word for a row; None when the log has none for it."""
        return None

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Its history is in the log, not in Django's own list of changes, which is empty for ever."""
        row: Model | None = self.get_object(request, object_id)
        entries = reverse("admin:treasury_auditentry_changelist")
        subject = row and self.subject(row)
        return HttpResponseRedirect(f"{entries}?{urlencode({'q': subject})}" if subject else entries)


class Person(admin.RelatedOnlyFieldListFilter):
    """ "By person" of a column that is called "by"."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.title = "person"


class Part(LookOnly, admin.TabularInline):  # type: ignore[type-arg]
    """Rows that belong to the one that is shown."""

    extra = 0
    max_num = 0
    can_delete = False
    show_change_link = True


def amount(column: str, title: str) -> Any:
    """An amount as people and venues write it: 12.5 and not 12.500000000000000000; unknown is never 0."""

    @admin.display(description=title, ordering=column, empty_value="unknown")
    def shown(row: Any) -> str | None:
        value = getattr(row, column)
        return None if value is None else plain(value)

    return shown


def digest(column: str, title: str) -> Any:
    """Bytes in hex."""

    @admin.display(description=title)
    def shown(row: Any) -> str:
        return bytes(getattr(row, column)).hex()

    return shown
