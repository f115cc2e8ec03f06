"""By hand: money that people move at the venues' own screens, and what they say of it afterwards.

Such a transfer is drafted, approved and claimed like any other, and may join accounts of two connections. Its send ends
in a Challenge at once: from then on it waits for somebody to do it. One person says with evidence what was done, a
checker who is neither that person nor the maker confirms it, and only then is the call repeated, which settles it.

No deadline ends it: somebody may have done it and told nobody. Past its deadline it is money at risk until two people
say whether it was done. See docs/decisions/0020-by-hand.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction
from django.db.models import Q

from connectors.core.protocol import State as Found
from treasury.controls import changes
from treasury.models import (
    Account,
    Attempt,
    Change,
    Connection,
    LookUp,
    Resolution,
    Ruling,
    State,
    Transfer,
    User,
)
from treasury.transfers import access, lifecycle
from treasury.transfers.contradictions import insist_not_maker, insist_on_typed
from treasury.transfers.evidence import storable_record

DONE = "transfer.confirm"
RESTS_ON_IT = [Found.DONE.value, Found.PENDING.value, Found.FAILED.value]  # answers that rest on the record they name


def connection_for(source: Account, destination: Account) -> Connection | None:
    """Over which connection money goes from the one account to the other: their own, else one by hand. None: nobody
    has connected one."""
    if source.connection_id == destination.connection_id:
        return source.connection
    for account in (source, destination):
        if account.connection.by_hand:
            return account.connection
    return Connection.objects.filter(by_hand=True).order_by("created_at", "pk").first()


def propose_done(
    *,
    reference: str,
    done: bool,
    reason: str,
    typed: str,
    by: User,
    at: datetime,
    record: str = "",
    files: Sequence[changes.File] = (),
) -> Change:
    """Say what was done, and by what it can be seen: a file, or ``record``, a venue's own id of the move. ``typed`` is
    the reference, typed by hand.

    Raises access.NotNow, changes.MayNotChange, changes.NotSaid, changes.NotWaiting.
    """
    with transaction.atomic():
        transfer = lifecycle.locked(reference)
        shown = storable_record(record.strip())
        if changes.why_not_propose(DONE, by) is None:
            access.insist(why_not_say(transfer))
            insist_on_typed(typed, transfer)
            if done and not files and shown is None:
                raise changes.NotSaid(
                    "Nothing was proposed. Say by what it can be seen that it was done: a file, or a venue's own id."
                )
            if done and (other := proof_of(transfer, shown)):
                raise changes.NotSaid(f"Nothing was proposed. {claimed(shown, other)}")
            if proposed(transfer) is not None:
                raise changes.NotWaiting("Nothing was proposed. Somebody has said already what was done.")
        words = {"done": done, "record": shown, "attempts": transfer.attempts.count()}
        return changes.propose(
            kind=DONE, subject=transfer.subject, words=words, reason=reason, by=by, at=at, files=files
        )


def confirm_done(*, change_id: int, by: User, digest: str, typed: str, at: datetime) -> Transfer:
    """A checker's word, who is neither the proposer nor the maker. Not done: it ends as failed. Done: the clock repeats
    the call at once, which settles it.

    Raises access.NotNow, changes.MayNotChange, changes.NotWaiting, changes.OtherChange, changes.NotSaid.
    """
    with transaction.atomic():
        change = changes.confirm(change_id=change_id, kind=DONE, by=by, digest=digest, at=at)
        transfer = lifecycle.locked(change.subject.removeprefix("transfer:"))
        insist_not_maker(transfer, by)
        insist_on_typed(typed, transfer)
        access.insist(why_not_say(transfer, besides=change))
        facts = {**change.words, "reason": change.reason}
        if change.words["done"]:
            # Two that name one record are confirmed one after the other, like the answers of look-ups.
            Connection.objects.select_for_update().get(pk=transfer.connection_id)
            if other := proof_of(transfer, change.words["record"]):
                raise access.NotNow(f"Nothing was changed. {claimed(change.words['record'], other)}")
            changes.entry(change, by=by, at=at, action=DONE, facts=facts)
            Transfer.objects.filter(pk=transfer.pk).update(due_at=at)
            return transfer
        return lifecycle.advance(
            transfer,
            State.FAILED,
            by=by,
            at=at,
            action=DONE,
            facts={"change": change.pk, "proposed_by": str(change.proposed_by), **facts},
            outcome=f"Nothing moved. {change.proposed_by} and {by} say that it was not done.",
        )


def why_not_say(transfer: Transfer, besides: Change | None = None) -> str | None:
    """Why nobody may say now what was done; ``besides``: a change that is being confirmed at this moment."""
    if not transfer.connection.by_hand:
        return access.TooLate(f"{transfer.reference} is not moved by hand; its venue says what became of it.")
    if transfer.state != State.CONFIRMING:
        return access.TooLate(f"{transfer.reference} is {access.label(transfer)}; nobody is to do it by hand now.")
    if (said := said_done(transfer)) is not None and said != besides:
        return access.TooLate(f"Two people have said already that {transfer.reference} was done.")
    return None


def proof_of(transfer: Transfer, record: str | None) -> Transfer | None:
    """The other transfer within the same one or two connections that this record of a venue proves already: by two
    people's word, by the answer to a call, or by a look-up. In any spelling: hashes are written in both cases."""
    if record is None:
        return None
    pair = {transfer.source.connection_id, transfer.destination.connection_id}
    within = Q(source__connection__in=pair, destination__connection__in=pair)
    others = Transfer.objects.filter(within).exclude(pk=transfer.pk)
    said = Change.objects.filter(kind=DONE, ruling=Ruling.APPLIED, words__done=True, words__record__iexact=record)
    looked = LookUp.objects.filter(state__in=RESTS_ON_IT, record__iexact=record)
    taken = Attempt.objects.taken().filter(record__iexact=record)
    resolved = Resolution.objects.filter(moved=True, record__iexact=record)
    by_word = Q(reference__in=[one.subject.removeprefix("transfer:") for one in said])
    by_venue = Q(look_ups__in=looked) | Q(attempts__in=taken) | Q(resolution__in=resolved)
    return others.filter(by_word | by_venue).first()


def claimed(record: str | None, other: Transfer) -> str:
    return f"{record} shows {other.reference} already, and one record proves one transfer."


def proposed(transfer: Transfer) -> Change | None:
    """What somebody says was done, and waits for a checker."""
    return changes.waiting().filter(kind=DONE, subject=transfer.subject).first()


def latest(transfer: Transfer) -> Change | None:
    """What two people said last, done or not; None where they have not."""
    applied = Change.objects.filter(kind=DONE, subject=transfer.subject, ruling=Ruling.APPLIED)
    return applied.select_related("proposed_by", "decided_by").order_by("-pk").first()


def said_done(transfer: Transfer) -> Change | None:
    """Two people's word that it was done: the repeat rests on it, and the database insists on it too."""
    applied = Change.objects.filter(kind=DONE, subject=transfer.subject, ruling=Ruling.APPLIED, words__done=True)
    return applied.exclude(decided_by__person=transfer.maker.person).select_related("proposed_by", "decided_by").first()


def in_words(transfer: Transfer) -> str | None:
    """What happened to the money, by the word of two people; None where they have not said so."""
    said = said_done(transfer) if transfer.connection.by_hand else None
    return f"It moved, by hand. {said.proposed_by} and {said.decided_by} say so." if said else None


def done_by(transfer: Transfer) -> datetime | None:
    """Until when it was to be done; None where nobody has been asked to."""
    asked = transfer.attempts.exclude(challenge=None).order_by("number").last()
    return None if asked is None or asked.challenge is None else datetime.fromisoformat(asked.challenge["deadline"])


def late_since(transfer: Transfer, at: datetime) -> datetime | None:
    """Since when nobody can be sure any more that it was not done; None while there is time, and of any other."""
    if transfer.state != State.CONFIRMING or not transfer.connection.by_hand:
        return None
    deadline = done_by(transfer)
    return deadline if deadline is not None and at > deadline else None
