"""Every host that this house calls, and who said that it may: there is no other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.conf import settings

from treasury import outbound, venues
from treasury.models import Connection
from treasury.outbound import Purpose

SAID_BY = {
    Purpose.MAIL: ("E-mail", "the setting TREASURY_EMAIL_URL"),
    Purpose.WEBHOOK: ("The webhook", "two people, or the setting TREASURY_WEBHOOK_URL"),
    Purpose.IDENTITY: ("The identity provider", "its setting"),
}


@dataclass(frozen=True)
class Target:
    """What is called, at which hosts, and who declared them."""

    what: str
    hosts: list[str]
    said_by: str


def every(connections: Iterable[Connection]) -> list[Target]:
    """Venues first, then what is no venue's; what has no host is left out."""
    said_by = "practice mode: its simulator" if settings.PRACTICE else "its venue's module"
    found = [Target(str(one), venues.hosts_called(one), said_by) for one in connections]
    for purpose, (what, said_by) in SAID_BY.items():
        found.append(Target(what, outbound.hosts(purpose), said_by))
    return [one for one in found if one.hosts]
