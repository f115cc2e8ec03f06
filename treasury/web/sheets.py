"""A sheet that somebody takes away: the log has who took which, with its digest."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction
from django.http import HttpResponse
from django.utils.http import content_disposition_header

from treasury.audit.record import record
from treasury.web.htmx import Request


def taken(
    request: Request, content: bytes, *, name: str, action: str, subject: str, at: datetime, facts: Mapping[str, Any]
) -> HttpResponse:
    """The CSV as a download called ``name``; ``action``, ``subject`` and ``facts`` are what the log says of it."""
    with transaction.atomic():
        told = {**facts, "sha256": hashlib.sha256(content).hexdigest()}
        record(at=at, by=request.user, action=action, subject=subject, facts=told)
    response = HttpResponse(content, content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = content_disposition_header(True, name) or "attachment"
    return response
