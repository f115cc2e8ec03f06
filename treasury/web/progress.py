"""How far a reading of all balances is: which venues have answered, which are waited for, and which cannot be asked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from treasury.balances.refresh import AWAITED, is_awaited, limited_until
from treasury.models import Connection, ConnectionHealth


@dataclass(frozen=True)
class Progress:
    """``read`` of ``asked`` have answered; ``limited`` with until when their venue wants no question, ``failed`` with
    why they could not be read."""

    asked: int
    read: int
    awaited: list[Connection]
    limited: list[tuple[Connection, datetime]]
    failed: list[tuple[Connection, str]]

    @property
    def done(self) -> bool:
        return not self.awaited


def progress_of(connections: Iterable[Connection], at: datetime) -> Progress | None:
    """None while nobody has asked for anything of late. People move the money of those by hand: they are not asked."""
    told = {one: getattr(one, "health", None) for one in connections if not one.by_hand}
    awaited = [one for one, health in told.items() if is_awaited(health, at)]
    read = [one for one, health in told.items() if one not in awaited and answered(health, at)]
    limited = [(one, until) for one, health in told.items() if (until := limited_until(health, at)) is not None]
    aside = {one for one, _ in limited} | {*awaited, *read}
    failed = [
        (one, health.problem.rstrip("."))
        for one, health in told.items()
        if one not in aside and health is not None and health.problem and health.read_again_at is not None
    ]
    limited = [(one, until) for one, until in limited if one not in awaited and one not in read]
    if not awaited and not read:
        return None
    answering = len(awaited) + len(read)
    everyone = answering + len(limited) + len(failed)
    return Progress(
        # Where all were asked, those that did not or cannot answer count too; where one was asked, it alone does.
        asked=everyone if everyone == len(told) else answering,
        read=len(read),
        awaited=awaited,
        limited=limited,
        failed=failed,
    )


def answered(health: ConnectionHealth | None, at: datetime) -> bool:
    """Whether a reading came that somebody had asked for a moment ago."""
    if health is None or health.asked_at is None or health.read_at is None:
        return False
    return at - health.asked_at <= AWAITED and health.read_at >= health.asked_at
