"""Forwarded headers: believed from the proxies that the settings name, taken away from everybody else's requests."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

FORWARDED_FOR, FORWARDED_PROTO = "HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO"
OTHERS = frozenset({"HTTP_FORWARDED", "HTTP_X_REAL_IP", "HTTP_X_CLIENT_IP"})
HOPS_MOST = 20  # that are looked at, from the nearest


class Forwarded:
    """The first to touch a request: behind it, no request holds a stranger's word on who asks, or over what.

    From a trusted proxy, ``X-Forwarded-For`` then holds the one client that it names, and the scheme is what it says;
    from anybody else there is no such header, whatever was sent. ``REMOTE_ADDR`` stays the socket's peer. No host, port
    or path is ever taken from such a header.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        said = taken_away(request.META)
        peer = address_of(peer_of(request) or "")
        if peer is not None and is_trusted(peer, settings.TRUSTED_PROXIES):
            if client := client_in(said.get(FORWARDED_FOR, ""), settings.TRUSTED_PROXIES):
                request.META[FORWARDED_FOR] = str(client)
            # One word, of the proxy itself: a list would hold what somebody told it.
            if (scheme := said.get(FORWARDED_PROTO, "").strip().lower()) in ("http", "https"):
                request.META["wsgi.url_scheme"] = scheme
        return self.get_response(request)


def peer_of(request: HttpRequest) -> str | None:
    """The other end of the socket; None where that has no address."""
    return request.META.get("REMOTE_ADDR") or None


def client_of(request: HttpRequest) -> str | None:
    """Whom a trusted proxy asks for; None without one."""
    return request.META.get(FORWARDED_FOR)


def asker_of(request: HttpRequest) -> str | None:
    """Whose tries are counted together: the client of a trusted proxy, else the socket's peer."""
    return client_of(request) or peer_of(request)


def taken_away(meta: dict[str, Any]) -> dict[str, str]:
    """Every forwarded header, which the request no longer has."""
    names = [name for name in meta if name.startswith("HTTP_X_FORWARDED") or name in OTHERS]
    return {name: meta.pop(name) for name in names}


def client_in(said: str, trusted: Sequence[Network]) -> Address | None:
    """The nearest hop that is no proxy of ours; None where that is no address, or where all are ours."""
    for hop in reversed(said.split(",")[-HOPS_MOST:]):
        found = address_of(hop)
        if found is None or not is_trusted(found, trusted):
            return found
    return None


def address_of(text: str) -> Address | None:
    """An address without port or zone; one of IPv4 in the clothes of IPv6 is that of IPv4."""
    try:
        found = ipaddress.ip_address(text.strip())
    except ValueError:
        return None
    if isinstance(found, IPv6Address):
        return None if found.scope_id else found.ipv4_mapped or found
    return found


def is_trusted(address: Address, trusted: Sequence[Network]) -> bool:
    return any(address in network for network in trusted)
