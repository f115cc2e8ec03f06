"""The instruction: the exact words that are approved and sent, and their digest."""

from __future__ import annotations

import hashlib
import json
from decimal import Decimal
from uuid import UUID

from connectors.core.protocol import Instruction
from treasury.models import Account, Connection, Transfer
from treasury.models.amount import plain

FORMAT = 1


def compose(transfer: Transfer) -> str:
    """The canonical text: JSON, keys sorted, no spaces, UTF-8 as it is, the amount a plain decimal string.

    Built from the stored row each time; the dispatcher composes it anew and compares digests before it sends. An
    account is named by its address; one that is not of the transfer's own connection by
    venue/environment/login/address, each of the first three without a slash of its own, so that no two accounts are
    ever named alike.
    """
    assert transfer.key is not None, "an instruction has its key from submit on"
    words = {
        "v": FORMAT,
        "reference": transfer.reference,
        "key": str(transfer.key),
        "venue": transfer.connection.venue,
        "environment": transfer.connection.environment,
        "login": transfer.connection.login,
        "connection": transfer.connection.name,
        "source": address_of(transfer.source, transfer.connection),
        "destination": address_of(transfer.destination, transfer.connection),
        "asset": transfer.asset,
        "amount": plain(transfer.amount),
    }
    return json.dumps(words, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def address_of(account: Account, within: Connection) -> str:
    """An account in an instruction of this connection, as ``compose`` says."""
    if account.connection_id == within.pk:
        return account.address
    login = account.connection
    first = (word.replace("%", "%25").replace("/", "%2F") for word in (login.venue, login.environment, login.login))
    return "/".join((*first, account.address))


def digest(text: str) -> str:
    """SHA-256 of the text's UTF-8 bytes, lower-case hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def fingerprint(digest: str) -> str:
    """The first 16 hex digits in fours, for eyes: "3f9a 02bc 771d e4a0"."""
    return " ".join(digest[i : i + 4] for i in range(0, 16, 4))


def as_sent(text: str) -> Instruction:
    """What the connector is handed, read back from the approved text itself and from nothing else."""
    words = json.loads(text)
    return Instruction(
        key=UUID(words["key"]),
        source=words["source"],
        destination=words["destination"],
        asset=words["asset"],
        amount=Decimal(words["amount"]),
        reference=words["reference"],
    )
