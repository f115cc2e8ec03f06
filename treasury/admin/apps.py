"""The admin site of this product: read-only windows."""

from importlib import import_module

from django.contrib.admin.apps import AdminConfig

WINDOWS = ("transfers", "changes", "holdings", "log", "movements", "people", "agreed", "health", "notices")


class TreasuryAdminConfig(AdminConfig):
    default_site = "treasury.admin.site.AuditorsSite"

    def ready(self) -> None:
        super().ready()
        for name in WINDOWS:  # only now: the package is imported before there are models
            import_module(f"treasury.admin.{name}")
