"""The limits of the policy in force: how much may leave in one transfer, or within hours, of one maker, connection,
venue, or of the house.

Of a connection or venue, what it carries counts, and what leaves its accounts by hand.

Asked at submit and again at the claim, always of the version that is in force then. What may have left counts, whether
it has settled or is unknown; at submit what is approved and waits to leave counts as well. A maker is a person, with
all their sign-ins. Of a limit in value, what has no known value is more than any limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.db.models import Max, Q

from treasury.controls import policy, rulebook, rules
from treasury.controls.rulebook import Limit, Rulebook
from treasury.models import NOTHING_MOVED, Attempt, Outcome, State, Transfer
from treasury.models.amount import grouped
from treasury.transfers.assess import Known, Scope, scopes_of, summed


@dataclass(frozen=True)
class Reached:
    """Why it does not fit, with the numbers; ``frees_at``: when the first of what counts is old enough not to."""

    words: str
    frees_at: datetime | None = None


@dataclass(frozen=True)
class Counted:
    """A transfer that counts; ``left_at`` is when it last may have left, None while it waits."""

    pk: int
    asset: str
    amount: Decimal
    left_at: datetime | None


def insist(transfer: Transfer, at: datetime) -> None:
    """At submit. Raises policy.Denied with the limit that it would pass, policy.NoPolicy."""
    policy.lock()
    if found := reached(transfer, policy.book_in_force(), at, waiting=True):
        raise policy.Denied(f"{found.words[0].upper()}{found.words[1:]}.")


def reached_at_claim(transfer: Transfer, at: datetime) -> Reached | None:
    """The limit that sending it now would pass. Raises policy.NoPolicy.

    Limits count over more than one connection, so from here on one claim or submit waits for the other.
    """
    if not policy.book_in_force().limits:
        return None
    policy.lock()
    return reached(transfer, policy.book_in_force(), at, waiting=False)


def reached(transfer: Transfer, book: Rulebook, at: datetime, *, waiting: bool) -> Reached | None:
    """The first limit of the book that it would pass; ``waiting``: what is approved and waits counts too."""
    known = Known(book, at)
    for limit in book.limits:
        if covers(limit, transfer.asset, book) and (found := passed(limit, transfer, known, waiting=waiting)):
            return found
    return None


def covers(limit: Limit, asset: str, book: Rulebook) -> bool:
    """Whether it says something about the asset. One in the asset that names none leaves to others what they name."""
    if limit.assets:
        return rules.named(asset, among=limit.assets)
    if limit.unit == rulebook.VALUE:
        return True
    alike = [one for one in book.limits if (one.of, one.hours, one.unit) == (limit.of, limit.hours, limit.unit)]
    return not any(rules.named(asset, among=one.assets) for one in alike)


def passed(limit: Limit, transfer: Transfer, known: Known, *, waiting: bool) -> Reached | None:
    own, unit = measured(limit, known, transfer.asset, transfer.amount), unit_of(limit, transfer, known)
    if own is None:
        return Reached(
            f"the value of {grouped(transfer.amount)} {transfer.asset} in {unit} is not known, which counts as more "
            f"than the limit of {grouped(limit.most)} {title_of(limit, transfer)}"
        )
    if limit.of == "transfer":
        if own <= limit.most:
            return None
        return Reached(f"{grouped(own)} {unit} would pass the limit of {grouped(limit.most)} for one transfer")
    for scope in scopes_of(transfer, limit.of):
        others = counted(limit, transfer, scope, known.at, waiting=waiting)
        amounts = [measured(limit, known, one.asset, one.amount) for one in others]
        before = summed([one for one in amounts if one is not None])
        if None in amounts or summed([before, own]) > limit.most:
            words = told(limit, transfer, scope, before, unit, waiting=waiting, whole=None not in amounts)
            return Reached(words, frees_at(limit, others, known.at))
    return None


def told(
    limit: Limit, transfer: Transfer, scope: Scope, before: Decimal, unit: str, *, waiting: bool, whole: bool
) -> str:
    """ "with 70 USDT sent over Main desk in 24 hours, it would pass the limit of 100"."""
    sent = f"{grouped(before)} {unit} {'sent or approved' if waiting else 'sent'} {scope.title}"
    hours = f"in {limit.hours} hour{'' if limit.hours == 1 else 's'}"
    if not whole:
        return (
            f"with {sent} {hours}, and more whose value in {unit} is not known, the limit of {grouped(limit.most)} "
            "counts as reached"
        )
    own = f"{grouped(transfer.amount)} {transfer.asset}"
    return f"with {sent} {hours}, these {own} would pass the limit of {grouped(limit.most)}"


def title_of(limit: Limit, transfer: Transfer) -> str:
    return "for one transfer" if limit.of == "transfer" else scopes_of(transfer, limit.of)[0].title


def unit_of(limit: Limit, transfer: Transfer, known: Known) -> str:
    return transfer.asset if limit.unit == rulebook.ASSET else known.book.currency


def measured(limit: Limit, known: Known, asset: str, amount: Decimal) -> Decimal | None:
    """The amount as the limit counts; None: its value is not known."""
    return amount if limit.unit == rulebook.ASSET else known.value_of(asset, amount)


def counted(limit: Limit, transfer: Transfer, scope: Scope, at: datetime, *, waiting: bool) -> Sequence[Counted]:
    """What counts towards the limit besides the transfer, what left first on top."""
    names = (transfer.asset,) if limit.unit == rulebook.ASSET else limit.assets
    found = [*left(limit, transfer, scope, at), *(approved(transfer, scope) if waiting else ())]
    return [one for one in found if not names or rules.named(one.asset, among=names)]


def left(limit: Limit, transfer: Transfer, scope: Scope, at: datetime) -> list[Counted]:
    """Whatever may have left within the hours; and what a person may do at any moment now, however long ago they were
    asked to."""
    asked = Q(outcome=Outcome.CHALLENGE, transfer__state=State.CONFIRMING)
    may_have_left = Q(outcome=None) | ~Q(outcome__in=NOTHING_MOVED)
    rows = (
        Attempt.objects.filter(scope.within("transfer__"))
        .filter(Q(may_have_left, claimed_at__gt=at - timedelta(hours=limit.hours)) | asked)
        .exclude(transfer=transfer)
        .values("transfer", "transfer__asset", "transfer__amount")
        .annotate(last=Max("claimed_at"))
        .order_by("last")
    )
    return [Counted(one["transfer"], one["transfer__asset"], one["transfer__amount"], one["last"]) for one in rows]


def approved(transfer: Transfer, scope: Scope) -> list[Counted]:
    """What waits to leave. It has no call that may have left, or it would not be approved."""
    waiting = Transfer.objects.filter(scope.within(), state=State.APPROVED).exclude(pk=transfer.pk)
    return [Counted(*row, None) for row in waiting.values_list("pk", "asset", "amount")]


def frees_at(limit: Limit, others: Sequence[Counted], at: datetime) -> datetime | None:
    """None where nobody knows: what people were asked to do long ago counts until they say what became of it."""
    hours = timedelta(hours=limit.hours)
    ends = [one.left_at + hours for one in others if one.left_at is not None and one.left_at + hours > at]
    return min(ends, default=None)
