"""The site: who may look through the windows, and that nobody reaches through one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django.contrib.admin import AdminSite, ModelAdmin
from django.contrib.admin.exceptions import DisallowedModelAdminLookup
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from treasury.admin.window import Window
from treasury.audit.record import record
from treasury.controls.roles import SEE_RECORDS, groups_of
from treasury.models import User

View = Callable[..., HttpResponse]
NAMES = {"Match": ("match", "matches"), "LookUp": ("look-up", "look-ups")}


def guessed(request: HttpRequest) -> None:
    """Write into the log that somebody asked for what a window does not show."""
    if isinstance(request.user, User):
        facts = {"reason": "A column that is not shown was asked for.", "path": request.path_info}
        with transaction.atomic():
            at, by = timezone.now(), request.user
            record(at=at, by=by, action="request.refuse", subject=by.subject, facts=facts, result="refused")


class AuditorsSite(AdminSite):
    """Django's admin with nothing in it that writes. Auditors, operators and user administrators see all of it;
    Django's permissions, its groups, the staff and superuser flags open nothing and change nothing."""

    site_header = "Treasury: windows for auditors"
    site_title = "Treasury"
    index_title = "What is on record"
    enable_nav_sidebar = False  # the list of windows is the first page
    empty_value_display = "–"

    def has_permission(self, request: HttpRequest) -> bool:
        user = request.user
        return isinstance(user, User) and not groups_of(user).isdisjoint(SEE_RECORDS)

    def register(
        self,
        model_or_iterable: type[Model] | Iterable[type[Model]],
        admin_class: type[ModelAdmin[Any]] | None = None,
        **options: Any,
    ) -> None:
        """Windows only: an app that brings its own, editable pages (Django's groups) is passed over."""
        if admin_class is not None and issubclass(admin_class, Window):
            self.name_many(model_or_iterable)
            super().register(model_or_iterable, admin_class, **options)

    def name_many(self, models: type[Model] | Iterable[type[Model]]) -> None:
        """Django makes a plural by an s; what is otherwise in English is said here, and is no matter of a migration."""
        for model in models if isinstance(models, Iterable) else [models]:
            if names := NAMES.get(model.__name__):
                model._meta.verbose_name, model._meta.verbose_name_plural = names

    def admin_view(self, view: View, cacheable: bool = False) -> View:  # type: ignore[override]
        """Every page of the site but sign-in goes through here, and none of them takes anything but a question."""

        def look(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if request.method not in ("GET", "HEAD"):
                raise PermissionDenied("Nothing was changed. These windows are for looking only.")
            try:
                return view(request, *args, **kwargs)
            except DisallowedModelAdminLookup:
                guessed(request)
                raise

        return super().admin_view(look, cacheable)

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        raise PermissionDenied("Nothing was changed. Passwords are not changed here.")

    def password_change_done(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        raise PermissionDenied("Nothing was changed. Passwords are not changed here.")
