"""The site: who may look through the windows, and that nobody reaches through one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django.contrib.admin import AdminSite, ModelAdmin
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import HttpRequest, HttpResponse

from treasury.admin.window import Window
from treasury.controls.roles import AUDITORS, OPERATORS, groups_of
from treasury.models import User

View = Callable[..., HttpResponse]


class AuditorsSite(AdminSite):
    """Django's admin with nothing in it that writes. Auditors and operators see all of it, whatever permissions
    or flags they hold; the superuser flag opens nothing and changes nothing."""

    site_header = "Treasury: windows for auditors"
    site_title = "Treasury"
    index_title = "What is on record"
    enable_nav_sidebar = True
    empty_value_display = "–"

    def has_permission(self, request: HttpRequest) -> bool:
        user = request.user
        if not isinstance(user, User) or not user.is_staff:
            return False
        return not groups_of(user).isdisjoint({AUDITORS, OPERATORS})

    def register(
        self,
        model_or_iterable: type[Model] | Iterable[type[Model]],
        admin_class: type[ModelAdmin[Any]] | None = None,
        **options: Any,
    ) -> None:
        """Windows only: an app that brings its own, editable pages (Django's groups) is passed over."""
        if admin_class is not None and issubclass(admin_class, Window):
            super().register(model_or_iterable, admin_class, **options)

    def admin_view(self, view: View, cacheable: bool = False) -> View:  # type: ignore[override]
        """Every page of the site but sign-in goes through here, and none of them takes anything but a question."""

        def look(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if request.method not in ("GET", "HEAD"):
                raise PermissionDenied("Nothing was changed. These windows are for looking only.")
            return view(request, *args, **kwargs)

        return super().admin_view(look, cacheable)

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        raise PermissionDenied("Nothing was changed. Passwords are not changed here.")

    def password_change_done(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        raise PermissionDenied("Nothing was changed. Passwords are not changed here.")
