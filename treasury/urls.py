"""Every address of the product."""

from __future__ import annotations

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

from treasury.web import session

handler400 = "treasury.web.refusals.unreadable"
handler403 = "treasury.web.refusals.forbidden"
handler404 = "treasury.web.refusals.not_found"
handler500 = "treasury.web.refusals.broken"

urlpatterns: list[URLPattern | URLResolver] = [
    path("", include("treasury.web.urls")),
    path("account/", include("treasury.web.account_urls")),
    # The admin site has a sign-in of its own, which would leave no entry in the log: there is one door only.
    path("admin/login/", session.no_side_door),
    path("admin/logout/", session.sign_out),
    path("admin/", admin.site.urls),
]
