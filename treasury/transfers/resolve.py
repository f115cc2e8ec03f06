"""Resolve: what no look-up can settle, two people do, with evidence from the venue's own screen."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from django.db import transaction

from treasury import venues
from treasury.controls import changes
from treasury.models import Change, Resolution, State, Transfer, User
from treasury.transfers import access, lifecycle
from treasury.transfers.attempts import LOOK_UP_AFTER
from treasury.transfers.contradictions import insist_not_maker, insist_on_typed
from treasury.transfers.evidence import storable_record

RESOLVE = "transfer.resolve"


def propose(
    *,
    reference: str,
    moved: bool,
    reason: str,
    typed: str,
    by: User,
    at: datetime,
    record: str = "",
    files: Sequence[changes.File] = (),
) -> Change:
    """Say whether it moved, and by what one can see it. ``typed`` is the reference, typed by hand; ``record`` the
    venue's own id of the move, if there is one.

    Raises access.NotNow, changes.MayNotChange, changes.NotSaid, changes.NotWaiting.
    """
    with transaction.atomic():
        transfer = lifecycle.locked(reference)
        if changes.why_not_propose(RESOLVE, by) is None:
            access.insist(why_not_yet(transfer, at))
            insist_on_typed(typed, transfer)
            if proposed(transfer) is not None:
                raise changes.NotWaiting("Nothing was proposed. Somebody has proposed how to resolve it already.")
        words = {"moved": moved, "record": storable_record(record.strip()), **basis(transfer)}
        return changes.propose(
            kind=RESOLVE, subject=transfer.subject, words=words, reason=reason, by=by, at=at, files=files
        )


def proposed(transfer: Transfer) -> Change | None:
    """The proposal to resolve it that waits for a checker."""
    return changes.waiting().filter(kind=RESOLVE, subject=transfer.subject).first()


def confirm(*, change_id: int, by: User, digest: str, typed: str, at: datetime) -> Transfer:
    """A checker's word, who is neither the proposer nor the maker: the transfer ends as the two say.

    Raises access.NotNow, changes.MayNotChange, changes.NotWaiting, changes.OtherChange, changes.NotSaid.
    """
    with transaction.atomic():
        change = changes.confirm(change_id=change_id, kind=RESOLVE, by=by, digest=digest, at=at)
        transfer = lifecycle.locked(change.subject.removeprefix("transfer:"))
        insist_not_maker(transfer, by)
        insist_on_typed(typed, transfer)
        access.insist(why_not_yet(transfer, at))
        if any(change.words.get(name) != now for name, now in basis(transfer).items()):
            raise access.NotNow(
                f"Nothing was changed. {transfer.reference} has moved on since this was proposed; look at the venue "
                "again and propose anew."
            )
        moved = change.words["moved"]
        Resolution.objects.create(transfer=transfer, moved=moved, record=change.words["record"], change=change, at=at)
        people = f"{change.proposed_by} and {by}"
        return lifecycle.advance(
            transfer,
            State.SETTLED if moved else State.FAILED,
            by=by,
            at=at,
            action=RESOLVE,
            facts={
                "change": change.pk,
                "proposed_by": str(change.proposed_by),
                **change.words,
                "reason": change.reason,
            },
            outcome=f"{'It moved' if moved else 'Nothing moved'}. {people} say so, by what the venue itself shows.",
            due_at=at + LOOK_UP_AFTER,  # the venue is asked on, for what speaks against it
        )


def basis(transfer: Transfer) -> dict[str, str | int]:
    """What a proposal rests on: a later call, or another state, asks for another look at the venue."""
    return {"state": str(transfer.state), "attempts": transfer.attempts.count()}


def why_not_yet(transfer: Transfer, at: datetime) -> str | None:
    """Why nobody may resolve it now: only what the product itself cannot settle is for people to say."""
    if transfer.state == State.DISPATCHED:
        limit = venues.declared(transfer.connection.venue).settle_limit
        if at - transfer.changed_at <= limit:
            return access.TooLate(f"{transfer.reference} is on its way; the venue still has time to settle it.")
        return None
    if transfer.state != State.DISPATCHING:
        return access.TooLate(f"{transfer.reference} is {access.label(transfer)}; nothing is to be resolved.")
    last = transfer.attempts.order_by("number").last()
    window = venues.declared(transfer.connection.venue).signed_window or timedelta(0)
    if last is None:
        return access.TooLate(f"{transfer.reference} is not in doubt: the venue was not called yet.")
    over = max(last.call_ends_at, last.send_before + window)
    if at < last.call_ends_at or at <= last.send_before + window:
        return access.TooLate(
            f"{transfer.reference} may still be under way: the call, our one request to the venue to move it, may "
            f"still arrive or be answered until {over.astimezone(UTC):%H:%M:%S} UTC. Wait until then."
        )
    if not transfer.attempts.in_doubt(at).exists():
        return access.TooLate(f"{transfer.reference} is not in doubt.")
    if not transfer.look_ups.filter(at__gt=last.send_before).exclude(state="ERROR").exists():
        return access.TooLate(f"The venue has not been asked about {transfer.reference} yet; wait for its answer.")
    return None
