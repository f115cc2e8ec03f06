"""What a campaign compares with the venues' own ledgers, and why what is unknown is unknown.

Imported after django.setup().
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.utils import timezone

from treasury import venues
from treasury.audit import chain
from treasury.models import ENDED, Contradiction, Outcome, State, Transfer
from treasury.transfers import instruction

UNSENT = "not sent yet"
JUST_NOW, A_MOMENT_AGO = timedelta(seconds=10), "a moment before the end"


@dataclass
class Found:
    """What a check against the venues' own ledgers found."""

    transfers: int = 0
    effects: int = 0
    duplicates: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    unasked: list[str] = field(default_factory=list)
    contradicted: int = 0
    unsent: int = 0  # waits at the end: not sent, nothing moved
    unknown: dict[str, int] = field(default_factory=dict)
    unexplained: list[str] = field(default_factory=list)
    log_entries: int = 0
    log_break: str | None = None

    @property
    def clean(self) -> bool:
        return not (self.duplicates or self.lost or self.unasked or self.unexplained or self.log_break)


def check(
    names: list[str], state_of: Callable[[str], dict[str, Any]], resolved: Mapping[str, int], *, final: bool
) -> Found:
    """Compare what the product says with the venues' own ledgers; ``resolved`` is what people had to say themselves."""
    found = Found()
    # The product first: what it calls settled has moved before, and the ledger is read after.
    before = {bare(str(one.key)): one for one in Transfer.objects.exclude(key=None)}
    found.transfers = len(before)
    effects: dict[str, list[dict[str, Any]]] = {}
    coming = set()  # taken by the venue, which lets the money arrive later
    for venue in names:
        state = state_of(venue)
        coming |= {bare(one["key"]) for one in state["transfers"] if one["status"] == "PENDING"}
        for effect in state["effects"]:
            effects.setdefault(bare(effect["key"]), []).append(effect)
    found.effects = sum(map(len, effects.values()))
    found.duplicates = [f"{key}: {len(made)} effects" for key, made in effects.items() if len(made) > 1]
    keys = {key: uuid.UUID(key) for key in effects}
    now = {
        bare(str(one.key)): one
        for one in Transfer.objects.filter(key__in=keys.values()).prefetch_related("decisions", "demands")
    }
    contradicted = set(Contradiction.objects.filter(closed_at=None).values_list("transfer__reference", flat=True))
    found.contradicted = len(contradicted)
    for key, made in effects.items():
        found.unasked += why_unasked(now.get(key), made[0])
    for key, transfer in before.items():
        spoken = transfer.reference in contradicted
        arrives = key in effects or key in coming
        if transfer.state == State.SETTLED and not arrives and not spoken:
            found.lost.append(f"{transfer.reference} stands as settled and nothing arrived ({_told(transfer)})")
        if transfer.state in ENDED - {State.SETTLED} and key in effects and not spoken:
            found.lost.append(f"{transfer.reference} stands as {transfer.state} and it moved ({_told(transfer)})")
    found.unknown = dict(resolved)
    if final:
        _count_unended(found)
        chain.seal(at=timezone.now())
        verified = chain.verify()
        found.log_entries = verified.entries
        found.log_break = None if verified.first_break is None else str(verified.first_break)
    return found


def _count_unended(found: Found) -> None:
    rows = Transfer.objects.exclude(state__in=[*ENDED, State.DRAFT])
    for transfer in rows.select_related("connection", "source", "destination"):
        why = why_unknown(transfer)
        if why.startswith(UNSENT):
            found.unsent += 1
            continue
        found.unknown[f"{why}; still open"] = found.unknown.get(f"{why}; still open", 0) + 1
    found.unexplained = [why for why in found.unknown if why.startswith("UNEXPLAINED")]


def _told(transfer: Transfer) -> str:
    made = [f"{one.kind}:{one.outcome}:{one.words[:80]}" for one in transfer.attempts.all()]
    return f"{transfer.connection.venue} {transfer.source.address}>{transfer.destination.address}; {made}"


def bare(key: str) -> str:
    """A key as every venue spells it: without hyphens, and without Qonto's mark of a second use."""
    return key.partition("/")[0].replace("-", "").lower()


def why_unasked(transfer: Transfer | None, effect: Mapping[str, Any]) -> Iterable[str]:
    """Why an effect is not what people approved; nothing when it is."""
    if transfer is None:
        return [f"an effect under {effect['key']} that no transfer has"]
    assert transfer.instruction is not None
    words = json.loads(transfer.instruction)
    words |= {name: effect[name] for name in ("login", "source", "destination", "asset")}
    words |= {"amount": format(Decimal(effect["amount"]).normalize(), "f")}
    told = json.dumps(words, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    digest = hashlib.sha256(told.encode()).hexdigest()
    if digest != transfer.digest or instruction.digest(instruction.compose(transfer)) != digest:
        return [f"{transfer.reference}: the venue moved other words than the instruction's: {told}"]
    for round_ in range(1, transfer.round + 1):
        said = [one for one in transfer.decisions.all() if one.round == round_ and one.verdict == "approve"]
        wanted = [one for one in transfer.demands.all() if one.round == round_]
        enough = all(sum(one.group in each.counts_for for each in said) >= one.count for one in wanted)
        if wanted and enough and all(one.digest == digest for one in said):
            return []
    return [f"{transfer.reference}: it moved, and nobody approved it"]


def why_unknown(transfer: Transfer) -> str:
    """Why no look-up can settle it, by what its venue declares; "UNEXPLAINED" where one should."""
    declared = venues.declared(transfer.connection.venue)
    kinds = (transfer.source.kind, transfer.destination.kind)
    said = transfer.attempts.exclude(outcome=Outcome.TRY_LATER).last()
    venue = transfer.connection.venue
    if transfer.state in (State.SUBMITTED, State.APPROVED):
        return f"{UNSENT} ({transfer.held or transfer.get_state_display().lower()})"
    if transfer.state == State.CONFIRMING:
        return f"{venue}: nobody confirmed at the venue"
    if transfer.state == State.DISPATCHED and timezone.now() - transfer.changed_at < JUST_NOW:
        return f"{venue}: it was taken {A_MOMENT_AGO}"
    if transfer.state == State.DISPATCHED:
        return f"UNEXPLAINED {venue}: it was taken, and its end is not seen"
    ended = "the worker died in the call" if said is None or said.outcome is None else said.outcome
    if declared.resend is not None and kinds in declared.resend.unsearchable:
        return f"{venue}: this route leaves no record that can be searched (last attempt: {ended})"
    if not declared.records_carry_key:
        return f"{venue}: records carry no key, and an empty search never proves that nothing moved ({ended})"
    if declared.resend is None:
        return f"{venue}: it takes no re-send, and an empty search never proves that nothing moved ({ended})"
    if not declared.resend.after_empty_look_up:
        return f"{venue}: it can only be asked by an operation id, which no answer brought ({ended})"
    made = transfer.attempts.exclude(outcome=Outcome.TRY_LATER).count()
    if transfer.look_ups.filter(found=True).exists():
        return f"UNEXPLAINED {venue}: a record was found ({transfer.state}, {ended})"
    if made >= 3 or timezone.now() - said.claimed_at > declared.resend.until if said else False:
        return (
            f"{venue}: all re-sends are used up, and it is absent only after an hour of the venue's own clock ({ended})"
        )
    return f"UNEXPLAINED {venue}: {made} attempts ({transfer.state}, {ended})"
