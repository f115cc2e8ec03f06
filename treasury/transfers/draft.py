"""Draft: a maker writes down what should move. Nothing is asked of anybody yet."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID, uuid4

from django.db import connection as database
from django.db import transaction

from treasury import venues
from treasury.balances import routes
from treasury.balances.holdings import balance_of
from treasury.models import Account, Balance, Connection, PlanLine, State, Transfer, User
from treasury.models.amount import NotPlain, grouped, parsed, plain
from treasury.models.turns import one_at_a_time
from treasury.transfers import access, by_hand, guards, instruction, lifecycle, order

NOBODY_BY_HAND = (
    "Both accounts must belong to the same connection; no venue moves money to another. People can move it by hand "
    "once two operators have connected a desk for that: Connections, Connect a venue, {}."
)
OTHERS = {"source": "other accounts", "destination": "other accounts", "asset": "another asset"}


class Invalid(Exception):
    """The words do not make a transfer. ``problems`` is {field: sentence}; nothing was saved."""

    def __init__(self, problems: dict[str, str]) -> None:
        super().__init__(" ".join(problems.values()))
        self.problems = problems


@dataclass(frozen=True)
class Words:
    """What a maker writes. ``amount`` is the text as typed."""

    source: Account
    destination: Account
    asset: str
    amount: str
    reason: str


def draft(
    *,
    words: Words,
    maker: User,
    at: datetime,
    draft_key: UUID | None = None,
    copied_from: Transfer | None = None,
    planned: PlanLine | None = None,
) -> Transfer:
    """Save a new draft. The same ``draft_key`` by the same maker, of the same line of a plan or of none, gives back the
    draft that it made before.

    Raises access.NotAllowed for anyone but a maker, Invalid for words that make no transfer.
    """
    with transaction.atomic():
        access.insist(access.why_not_draft(maker))
        key = draft_key or uuid4()
        one_at_a_time(f"draft:{key}")  # two clicks at once: the second waits here, then finds the first's draft
        if taken := Transfer.objects.filter(draft_key=key).first():
            if taken.maker_id == maker.pk and taken.planned_id == (planned.pk if planned else None):
                return taken
            key = uuid4()  # of somebody else's form, or of another line's: this draft gets a key of its own
        amount = checked(words, at)
        with database.cursor() as cursor:
            cursor.execute("SELECT nextval('treasury_transfer_number')")
            (number,) = cursor.fetchone()
        transfer = Transfer(
            reference=f"TR-{number:06d}",
            draft_key=key,
            maker=maker,
            connection=carrier(words),
            source=words.source,
            destination=words.destination,
            asset=words.asset,
            amount=amount,
            reason=words.reason.strip(),
            copied_from=copied_from,
            planned=planned,
        )
        facts = told(transfer) | ({"plan": planned.group.plan.reference, "line": planned.number} if planned else {})
        return lifecycle.begin(transfer, by=maker, at=at, facts=facts)


def redraft(*, reference: str, words: Words, maker: User, at: datetime) -> Transfer:
    """Change a draft's words; of one that is a line of a plan, its amount and its reason.

    Raises as ``draft`` does, and access.NotNow once it has been submitted.
    """
    with transaction.atomic():
        transfer = lifecycle.locked(reference)
        access.insist(access.why_not_edit(transfer, maker))
        insist_on_line(transfer, words)
        before = told(transfer)
        transfer.amount = checked(words, at)
        transfer.connection = carrier(words)
        transfer.source, transfer.destination = words.source, words.destination
        transfer.asset, transfer.reason = words.asset, words.reason.strip()
        transfer.save(update_fields=["connection", "source", "destination", "asset", "amount", "reason"])
        lifecycle.entry(
            transfer, by=maker, at=at, action="transfer.redraft", facts={"was": before, "is": told(transfer)}
        )
        return transfer


def insist_on_line(transfer: Transfer, words: Words) -> None:
    """Raise Invalid for words that are no longer those of the line of a plan that the draft says it is."""
    if (line := transfer.planned) is None:
        return
    for name, others in OTHERS.items():
        if getattr(words, name) != getattr(line, name):
            whose = f"line {line.number} of {line.group.plan}"
            raise Invalid({name: f"Not changed. This draft is {whose}; draft a new transfer for {others}."})


def draft_again(*, reference: str, maker: User, at: datetime) -> Transfer:
    """Copy the words of a transfer that ended without moving into a fresh draft, which will have a fresh key.

    While a copy of this maker's is still a draft, that one is given back: a double click makes one. What had to settle
    before the old one must settle before the fresh one.
    """
    with transaction.atomic():
        old = lifecycle.locked(reference)
        access.insist(access.why_not_draft_again(old, maker))
        if open_copy := old.copies.filter(maker=maker, state=State.DRAFT).first():
            return open_copy
        words = Words(old.source, old.destination, old.asset, plain(old.amount), old.reason)
        fresh = draft(words=words, maker=maker, at=at, copied_from=old)
        order.put_behind(fresh, old)
        return fresh


def parse_amount(text: str) -> Decimal:
    """A plain decimal as typed. Raises Invalid({"amount": …}) with the sentence that says what is wrong with it."""
    typed = text.strip()
    if not typed:
        raise Invalid({"amount": "Enter an amount."})
    if typed.startswith("-"):
        raise Invalid({"amount": "The amount must be more than zero; choose From and To the other way round."})
    try:
        amount = parsed(typed, what="the amount")
    except NotPlain as wrong:
        raise Invalid({"amount": str(wrong)}) from None
    if amount == 0:
        raise Invalid({"amount": "The amount must be more than zero."})
    return amount


def checked(words: Words, at: datetime) -> Decimal:
    """The amount, when the words make a transfer that the venue has a route for. Raises Invalid.

    What the venue has not said yet forbids nothing: it would refuse, and nothing would move.
    """
    problems: dict[str, str] = {}
    amount = Decimal(0)
    try:
        amount = parse_amount(words.amount)
    except Invalid as wrong:
        problems |= wrong.problems
    if not words.reason.strip():
        problems["reason"] = "Say why the money should move; the checker reads it."
    source, destination = words.source, words.destination
    declared = venues.declared(source.connection.venue)
    if source == destination:
        problems["destination"] = "From and To are the same account; choose another one."
    elif by_hand.connection_for(source, destination) is None:
        problems["destination"] = NOBODY_BY_HAND.format(" or ".join(venues.by_hand().values()))
    elif source.connection_id == destination.connection_id and not venues.has_route(source, destination):
        problems["destination"] = f"{declared.title} has no route from {source.title} to {destination.title}."
    if "destination" not in problems and (refusal := why_not_asset(source, destination, words.asset, at)):
        problems["asset"] = refusal
    if balance_of(source, words.asset) is None:
        problems["asset"] = why_not_held(source, words.asset)
    if declared.amount_decimals is not None and -_exponent(amount) > declared.amount_decimals:
        problems["amount"] = f"{declared.title} takes at most {declared.amount_decimals} decimals."
    if problems:
        raise Invalid(problems)
    return amount


def carrier(words: Words) -> Connection:
    """The connection over which it goes; ``checked`` has found that there is one."""
    connection = by_hand.connection_for(words.source, words.destination)
    assert connection is not None, "asked after checked"
    return connection


def why_not_asset(source: Account, destination: Account, asset: str, at: datetime) -> str | None:
    """Why the asset would not move from here to there; None also where the venue has not said.

    Between two venues it must be known at the other one too, which may write usdt for USDT.
    """
    if source.connection_id != destination.connection_id:
        there = routes.listed(destination.connection, at)
        if not there or asset.upper() in {one.upper() for one in there}:
            return None
        return f"{venues.declared(destination.connection.venue).title} lists no asset called {asset}."
    assets = routes.known(source, destination, at)
    if assets is None or asset in assets:
        return None
    title = venues.declared(source.connection.venue).title
    return f"{title} moves no {asset} from {source.title} to {destination.title}."


def why_not_held(source: Account, asset: str) -> str:
    """What to say of an asset of which the account has no balance: how the venue writes it, if that is all."""
    return spelled(source, asset) or f"{source} holds no asset called {asset}."


def spelled(source: Account, asset: str) -> str | None:
    """Venues tell "usdt" from "USDT", and so must we; people need not know. None unless only the spelling differs."""
    meant = source.balances.filter(asset__iexact=asset).first()
    if meant is None or source.balances.filter(asset=asset).exists():
        return None
    return f"{venues.declared(source.connection.venue).title} writes it {meant.asset}."


def more_than_movable(transfer: Transfer) -> str | None:
    """A warning, not a refusal: money may arrive before it is sent, and the dispatcher checks again."""
    held = balance_of(transfer.source, transfer.asset)
    if transfer.state not in (State.DRAFT, State.SUBMITTED) or held is None:
        return None
    return short_of(transfer, held, guards.usable(held, by=transfer))  # as the dispatcher will reckon


def short_of(transfer: Transfer, held: Balance, left: Decimal | None) -> str | None:
    """The warning where only ``left`` of what its source holds is usable, in units of the asset; None: not known."""
    if left is None or transfer.amount <= left:
        return None
    spoken_for = "" if left == held.movable else ": the rest is spoken for, or must stay"
    return (
        f"Only {grouped(left)} {transfer.asset} of {transfer.source.title} can be moved now{spoken_for}. "
        "It will not be sent unless more arrives."
    )


def told(transfer: Transfer) -> dict[str, str]:
    """The words of a transfer, for the log."""
    return {
        "connection": transfer.connection.name,
        "source": instruction.address_of(transfer.source, transfer.connection),
        "destination": instruction.address_of(transfer.destination, transfer.connection),
        "asset": transfer.asset,
        "amount": plain(transfer.amount),
        "reason": transfer.reason,
    }


def _exponent(amount: Decimal) -> int:
    exponent = amount.normalize().as_tuple().exponent
    assert isinstance(exponent, int), "a parsed amount is finite"
    return exponent
