"""What a proposal to set an account up would make of it, in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from treasury import venues
from treasury.models import Account, Connection


@dataclass(frozen=True)
class AccountChange:
    """One account of a proposal: what it is now, empty for a new one, and what it would be."""

    address: str
    kind: str
    was: str
    becomes: str


def account_change(connection: Connection, said: Mapping[str, Any]) -> AccountChange:
    account = Account.objects.filter(connection=connection, address=said["address"]).first()
    return AccountChange(
        address=said["address"],
        kind=venues.declared(connection.venue).account_kinds.get(said["kind"], said["kind"]),
        was=in_words(account.title, quiet=account.quiet) if account else "",
        becomes=in_words(said["title"], quiet=said["quiet"]),
    )


def in_words(title: str, *, quiet: bool) -> str:
    return f"{title}, only we move it" if quiet else f"{title}, others may move it"
