"""The header by itself: what is stopped, silent or waiting is on every open page within seconds."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from treasury.web.htmx import Request, wants_part


@require_safe
def show(request: Request) -> HttpResponse:
    return render(request, "house/_header.html") if wants_part(request) else redirect("overview")
