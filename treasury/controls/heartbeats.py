"""Signs of life: each queue's worker and the clock say when they last worked, and pages say when one fell silent.

A worker's sign is written by a task that went through its queue, so it proves the whole way: the clock put a message
in, the broker kept it, a worker took it and reached the database. The clock writes its own, when it has put the
message in. Without the clock nobody asks the workers, so their silence since then says nothing about them.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from datetime import UTC, datetime

from django.conf import settings

from treasury.models import Heartbeat

BEAT = "beat"
CHORES = "chores"
SENDS = "sends"
READS = "reads"
PLANS = "plans"
ANCHORS = "anchors"

QUEUES = (SENDS, READS, CHORES, PLANS)


@dataclass(frozen=True)
class Part:
    """What stands still without it, what it is called, what that means meanwhile, and what an operator does."""

    still: str
    name: str
    meanwhile: str
    remedy: str


PARTS = {
    SENDS: Part(
        "Nothing is being sent",
        "sender",
        "Approved transfers wait, and none is lost.",
        "Start the worker of the queue “sends” again.",
    ),
    READS: Part(
        "Balances and look-ups are not being read",
        "reader",
        "Numbers keep their age, and what is in flight stays as it is.",
        "Start the worker of the queue “reads” again.",
    ),
    CHORES: Part(
        "Nothing is dispatched, settled or expired",
        "worker of the ticks",
        "What is due waits, and nothing is lost.",
        "Start the worker of the queue “chores” again.",
    ),
    PLANS: Part(
        "Plans are not being computed",
        "planner",
        "Whoever asked for one waits; no money hangs on it.",
        "Start the worker of the queue “plans” again.",
    ),
    BEAT: Part(
        "Nothing is dispatched, settled or expired",
        "clock",
        "What is due waits, and nothing is lost.",
        "Start the clock (celery beat) again; whether the workers live is seen only then.",
    ),
}


@dataclass(frozen=True)
class Silence:
    """A part that does not work. ``since`` is its last sign of life, None when it never gave one.

    ``meanwhile`` is for everyone, ``remedy`` for operators: nobody else can follow it.
    """

    part: str
    since: datetime | None
    words: str
    meanwhile: str
    remedy: str


def beat(name: str, at: datetime) -> None:
    """The part works. One statement, no entry in the log."""
    _write(Heartbeat(name=name, at=at, host=_host(), problem=""), ["at", "host", "problem"])


def trouble(name: str, problem: str) -> None:
    """The part lives and does not work, for this reason. Its last sign of life stays what it was."""
    _write(Heartbeat(name=name, at=None, host=_host(), problem=problem), ["host", "problem"])


def _write(sign: Heartbeat, columns: list[str]) -> None:
    Heartbeat.objects.bulk_create([sign], update_conflicts=True, unique_fields=["name"], update_fields=columns)


def _host() -> str:
    return socket.gethostname()[:120]


def silent_since(at: datetime) -> list[Silence]:
    """The parts that have been silent for longer than settings.SENDER_SILENT_AFTER, and why; one query."""
    signs = {sign.name: sign for sign in Heartbeat.objects.all()}
    if signs.keys().isdisjoint(PARTS):
        return [_silence(SENDS, None, at)]  # nothing has ever run: one sentence says it
    clock = signs.get(BEAT)
    ticking = _alive(clock, at, asked=at)
    # Since the clock stopped nobody has asked the workers, so they are not to blame for having been silent since.
    asked = at if ticking or clock is None else min(at, clock.at or at)
    found = [_silence(name, signs.get(name), at) for name in QUEUES if not _alive(signs.get(name), at, asked=asked)]
    if not ticking:
        found.append(_silence(BEAT, clock, at))
    if (anchors := signs.get(ANCHORS)) and anchors.problem:
        found.append(_unanchored(anchors))
    return found


def _alive(sign: Heartbeat | None, at: datetime, *, asked: datetime) -> bool:
    """A sign not long before it was last asked; one from long after now is none, a clock has been set back since."""
    if sign is None or sign.at is None:
        return False
    alive: bool = asked - settings.SENDER_SILENT_AFTER <= sign.at <= at + settings.SENDER_SILENT_AFTER
    return alive


def _silence(name: str, sign: Heartbeat | None, at: datetime) -> Silence:
    part, since = PARTS[name], sign.at if sign else None
    if sign is not None and sign.problem:
        when = f" since {_clock(since, at)}" if since else ""
        return _of(name, since, f"{part.still}{when}: the {part.name} {sign.problem}.")
    if since is None:
        return _of(name, None, f"{part.still}: no {part.name} has run yet.")
    if since > at:
        words = f"the {part.name}'s last sign of life is dated {_clock(since, at)}, which is still to come"
        return _of(name, since, f"{part.still}: {words}.")
    return _of(name, since, f"{part.still}: the {part.name} stopped at {_clock(since, at)}.")


def _of(name: str, since: datetime | None, words: str) -> Silence:
    return Silence(name, since, words, PARTS[name].meanwhile, PARTS[name].remedy)


def _unanchored(sign: Heartbeat) -> Silence:
    words = f"The log is not being anchored outside the database: {sign.problem}."
    return Silence(ANCHORS, sign.at, words, "Without anchors a restored copy may go unseen.", "Mend the anchors' file.")


def _clock(then: datetime, at: datetime) -> str:
    """ "14:02:11 UTC", with the day when it is another one."""
    then = then.astimezone(UTC)
    today = then.date() == at.astimezone(UTC).date()
    return f"{then:%H:%M:%S} UTC" if today else f"{then:%H:%M:%S} UTC on {then.day} {then:%b %Y}"
