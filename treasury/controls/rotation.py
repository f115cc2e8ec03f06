"""Rotating the keys that secrets are encrypted under: everything that is sealed is sealed anew under the newest one.

One transaction: whoever interrupts it has changed nothing, and a second run finds nothing left to do. Until it is done
the older keys stay readable; afterwards they can be dropped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import transaction

from treasury import sealing, venues
from treasury.audit.record import Machine, record
from treasury.models import Change, Connection

ROTATE = "secrets.rotate"
ROTATOR = Machine("rotate secrets")
AUTHENTICATORS = "mfa.Authenticator"
CREDENTIALS, PROPOSED, FACTORS = "connections", "proposals", "second factors"


@dataclass(frozen=True)
class Sealed:
    """One row that holds sealed texts: of which kind, how a person names it, the texts, and how to put others there.
    ``put`` returns whether the row was still as it was read."""

    kind: str
    name: str
    texts: tuple[str, ...]
    put: Callable[[Callable[[str], str]], bool]


@dataclass
class Rotation:
    """How many rows of each kind were sealed anew, and how many stood under the newest key already. ``named``: how many
    fingerprints were written down. ``lost``: what no key of this process opens."""

    moved: dict[str, int] = field(default_factory=dict)
    stayed: dict[str, int] = field(default_factory=dict)
    named: int = 0
    lost: list[str] = field(default_factory=list)


def rotate(*, at: datetime) -> Rotation:
    """Seal everything anew that is not under the newest key. One entry in the log, with counts and no key."""
    done = Rotation()
    with transaction.atomic():
        for row in every():
            if all(sealing.is_newest(text) for text in row.texts):
                count(done.stayed, row.kind)
                continue
            try:
                row.put(sealing.reseal)
            except sealing.CannotUnseal:
                done.lost.append(row.name)
            else:
                count(done.moved, row.kind)
        done.named = name_fingerprints()
        if done.moved or done.named:
            record(at=at, by=ROTATOR, action=ROTATE, subject="secrets:", facts=told(done))
    return done


def behind() -> Rotation:
    """What is still under older keys, as ``moved``; changes nothing."""
    found = Rotation()
    for row in every():
        newest = [sealing.is_newest(text) for text in row.texts]
        count(found.stayed if all(newest) else found.moved, row.kind)
        if not all(newest) and not all(opens(text) for text in row.texts):
            found.lost.append(row.name)
    return found


def key_fingerprints() -> list[str]:
    """The keys that this process has, the newest first, told apart and never told."""
    return [hashlib.sha256(key.encode()).hexdigest()[:12] for key in settings.CREDENTIALS_KEYS]


def told(done: Rotation) -> dict[str, Any]:
    newest, *older = key_fingerprints()
    return {"moved": done.moved, "fingerprints": done.named, "lost": done.lost, "key": newest, "older_keys": older}


def every() -> Iterator[Sealed]:
    """Every row that holds something sealed, locked until the transaction ends where there is one."""
    locked = transaction.get_connection().in_atomic_block
    yield from of_connections(locked)
    yield from of_proposals(locked)
    yield from of_factors(locked)


def of_connections(locked: bool) -> Iterator[Sealed]:
    rows = Connection.objects.exclude(credentials="").order_by("pk")
    for row in rows.select_for_update() if locked else rows:
        yield Sealed(CREDENTIALS, str(row), (row.credentials,), partial(put, row, "credentials"))


def of_proposals(locked: bool) -> Iterator[Sealed]:
    rows = Change.objects.exclude(sealed="").filter(ruling=None).order_by("pk")
    for row in rows.select_for_update() if locked else rows:
        yield Sealed(PROPOSED, f"proposal {row.pk}", (row.sealed,), partial(put, row, "sealed"))


def of_factors(locked: bool) -> Iterator[Sealed]:
    """What the sign-in library keeps for codes. A passkey has nothing secret here."""
    if not apps.is_installed("allauth.mfa"):
        return
    rows = (
        apps.get_model(AUTHENTICATORS)._default_manager.exclude(type="webauthn").select_related("user").order_by("pk")
    )
    for row in rows.select_for_update(of=("self",)) if locked else rows:
        if texts := tuple(sealed_in(row.data)):
            name = f"{row.get_type_display()} of {row.user.get_username()}"
            yield Sealed(FACTORS, name, texts, partial(put_data, row))


def put(row: Connection | Change, column: str, seal: Callable[[str], str]) -> bool:
    was = getattr(row, column)
    return bool(type(row)._default_manager.filter(pk=row.pk, **{column: was}).update(**{column: seal(was)}))


def put_data(row: Any, seal: Callable[[str], str]) -> bool:
    becomes = resealed(row.data, seal)
    return bool(type(row)._default_manager.filter(pk=row.pk, data=row.data).update(data=becomes))


def sealed_in(value: Any) -> Iterator[str]:
    """The texts within a JSON value that are sealed."""
    if isinstance(value, str):
        if is_sealed(value):
            yield value
        return
    parts: Iterable[Any] = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for part in parts:
        yield from sealed_in(part)


def resealed(value: Any, seal: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {name: resealed(part, seal) for name, part in value.items()}
    if isinstance(value, list):
        return [resealed(part, seal) for part in value]
    return seal(value) if isinstance(value, str) and is_sealed(value) else value


def is_sealed(text: str) -> bool:
    """A Fernet token begins with its version and a time of this century."""
    return text.startswith("gAAAAA") and len(text) >= 100


def opens(text: str) -> bool:
    try:
        sealing.unseal(text)
    except sealing.CannotUnseal:
        return False
    return True


def name_fingerprints() -> int:
    """Write down which credentials are in use where an upgrade found a connection without; how many."""
    named = 0
    for row in Connection.objects.filter(fingerprint="").exclude(credentials="").select_for_update():
        try:
            fingerprint = venues.fingerprint_of(row)
        except venues.CannotOpen:  # it is among the lost, or was sealed for another login, which its page says
            continue
        named += Connection.objects.filter(pk=row.pk, fingerprint="").update(fingerprint=fingerprint)
    return named


def count(counts: dict[str, int], kind: str) -> None:
    counts[kind] = counts.get(kind, 0) + 1
