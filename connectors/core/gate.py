"""The gate: whatever leaves this process for another host names it here first, or no connection is made.

A gate knows the hosts that are declared for one purpose, each with its port. It is asked twice: with the name, before
anything is looked up or connected, and with the address that a socket really reached, before a byte is written on it.
A name that leads somewhere else a moment later is caught by the second question.
"""

import ipaddress
import socket
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

PORTS = {"https": 443, "http": 80}
IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

# Where a cloud tells a machine its secrets. Most lie in private networks, where mail and the provider may stand.
METADATA = frozenset(
    ipaddress.ip_address(one)
    for one in (
        "169.254.169.254",  # most clouds
        "fd00:ec2::254",  # Amazon
        "fd20:ce::254",  # Google
        "100.100.100.200",  # Alibaba
        "192.0.0.192",  # Oracle
        "168.63.129.16",  # Azure
    )
)
# An IPv6 address of these leads to the IPv4 address in its last four bytes, wherever somebody translates.
ENDS_IN_IPV4 = tuple(
    ipaddress.IPv6Network(one) for one in ("64:ff9b::/96", "64:ff9b:1::/48", "::ffff:0:0:0/96", "::/96")
)


class Closed(Exception):
    """The gate is closed to this target: nothing left for it. The text names the host, and never a path or a query."""


@dataclass(frozen=True)
class Gate:
    """``declared``: the (host, port) pairs that it opens to. ``loopback_only``: of these, only what lies on this
    computer. ``own_network``: addresses of the own network are meant as well; else they are refused, as a public name
    that leads to one was tampered with."""

    declared: frozenset[tuple[str, int]]
    loopback_only: bool = False
    own_network: bool = False

    def insist(self, host: str, port: int) -> None:
        """Raise Closed unless the host is declared, and every address that its name has may be reached."""
        self.insist_on_name(host, port)
        for address in addresses_of(host, port):
            self.insist_on_address(address, host)

    def insist_on_name(self, host: str, port: int) -> None:
        """Raise Closed unless the host is declared. Looks nothing up."""
        if (plain_name(host), port) not in self.declared:
            raise Closed(f"{host}:{port} is declared nowhere; the gate is closed to it")

    def insist_on_address(self, address: str, host: str) -> None:
        """Raise Closed unless a socket may be open to this address."""
        if refusal := self._why_not(address):
            raise Closed(f"{host} leads to an address {refusal}")

    def _why_not(self, text: str) -> str | None:
        address = _plain(text)
        if self.loopback_only:
            return None if address.is_loopback else "outside this computer"
        return next(filter(None, map(self._why_not_this, meant_by(address))), None)

    def _why_not_this(self, address: IPAddress) -> str | None:
        if address in METADATA:
            return "where a cloud tells a machine its secrets"
        if address.is_loopback and self.own_network:
            return None
        if address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified:
            return "that no other host has"
        if isinstance(address, ipaddress.IPv6Address) and address.is_site_local:  # of old, and global to Python
            return "that no other host has"
        return None if address.is_global or self.own_network else "of a private network"

    def traced(self, event: str, info: Mapping[str, Any]) -> None:
        """Hear httpcore's trace events: raises Closed before it connects, and before it writes on what it reached."""
        if event == "connection.connect_tcp.started":
            self.insist(info["host"], info["port"])
        elif event == "connection.connect_tcp.complete":
            try:
                self.insist_on_socket(info["return_value"].get_extra_info("socket"))
            except BaseException:  # getpeername fails too, where the other end is gone already
                info["return_value"].close()  # nobody else knows of it yet
                raise

    def insist_on_socket(self, connected: socket.socket) -> None:
        """Raise Closed unless the other end of this socket may be reached."""
        peer = connected.getpeername()[0]
        self.insist_on_address(peer, peer)


def gate_to(urls: Iterable[str], *, loopback_only: bool = False, own_network: bool = False) -> Gate:
    """A gate that opens to the hosts of these URLs, each at its own port."""
    return Gate(frozenset(place_of(url) for url in urls), loopback_only=loopback_only, own_network=own_network)


def place_of(url: str) -> tuple[str, int]:
    """(host, port) of a URL; an empty host where it names none. Raises ValueError for a port that is none."""
    parts = urlsplit(url)
    return plain_name(parts.hostname or ""), parts.port or PORTS.get(parts.scheme, 0)


def plain_name(host: str) -> str:
    """A host's name in one spelling: lower case, without brackets and without the full stop of the root."""
    return host.strip("[]").rstrip(".").lower()


def is_loopback(host: str) -> bool:
    """Whether a name or an address is this computer's own, by its word alone."""
    try:
        return plain_name(host) == "localhost" or _plain(plain_name(host)).is_loopback
    except ValueError:
        return False


def addresses_of(host: str, port: int) -> Collection[str]:
    """Every address that the name has; none where it cannot be looked up: whoever connects then hears it themselves."""
    try:
        found = socket.getaddrinfo(plain_name(host), port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return ()
    return {str(one[4][0]) for one in found}


def meant_by(address: IPAddress) -> list[IPAddress]:
    """The address, and the IPv4 ones that a translator or a tunnel on the way would make of it."""
    if isinstance(address, ipaddress.IPv4Address) or address.is_loopback or address.is_unspecified:
        return [address]
    within = [address.sixtofour, *(address.teredo or ())]
    if any(address in network for network in ENDS_IN_IPV4):
        within.append(ipaddress.IPv4Address(address.packed[-4:]))
    return [address, *(one for one in within if one is not None)]


def _plain(text: str) -> IPAddress:
    """The address itself: an IPv4 address may come in IPv6's clothes, and a link's with the link's name behind it."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
