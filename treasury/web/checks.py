"""What ``manage.py check`` finds out about the web's own settings, before a request does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from csp.constants import NONCE, NONE, SELF
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register

FIRST = ["treasury.web.proxies.Forwarded", "treasury.web.browsers.Promises"]
MAY_LOAD = {NONCE, NONE, SELF}  # nobody else's address, and no unsafe source
NEVER = ("base-uri", "frame-ancestors", "object-src")
ADDRESSES = ("form-action", "report-uri")  # of which a house may have more, and which load nothing


def strangers_are_not_believed(**_: Any) -> Sequence[CheckMessage]:
    if settings.MIDDLEWARE[: len(FIRST)] == FIRST:
        return []
    return [Error(f"MIDDLEWARE must begin with {', '.join(FIRST)}: nothing may see a forwarded header before them.")]


def pages_load_only_our_own(**_: Any) -> Sequence[CheckMessage]:
    said: Mapping[str, Any] = settings.CONTENT_SECURITY_POLICY["DIRECTIVES"]
    found = [
        f"{name} {one}"
        for name, sources in said.items()
        for one in sources
        if name not in ADDRESSES and one not in MAY_LOAD
    ]
    found += [name for name in ("default-src", *NEVER) if said.get(name) != [NONE]]
    found += ["script-src"] if said.get("script-src") != [NONCE] else []
    return [Error(f"The content security policy is weaker than it must be: {one}.") for one in found]


def begin() -> None:
    register(Tags.security)(strangers_are_not_believed)
    register(Tags.security)(pages_load_only_our_own)
