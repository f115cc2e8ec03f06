"""What of a plan waits for one checker, as their page shows it: each transfer by itself, with what they chose."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import QuerySet
from django.db.models.functions import Upper

from treasury.controls import policy, stops
from treasury.models import Account, Balance, Decision, Plan, StopOrder, Transfer, User, Verdict
from treasury.models.amount import grouped
from treasury.rebalancing.propose import IN_ORDER
from treasury.transfers import draft, guards, queries, restored
from treasury.transfers.approvals import Groups, Person, groups_now, may_decide, progress_of
from treasury.web import why
from treasury.web.card import Neighbour, neighbours
from treasury.web.holding import listed
from treasury.web.why import Why

SHOWN = 50  # transfers that one form offers; the rest are offered once these are decided

CHANGED = "It is not what your page showed. Read it again, and choose."

Key = tuple[int, str]  # an account and an asset, as the account's venue writes it


@dataclass(frozen=True)
class Choice:
    """What somebody chose for one transfer, and of which words: the digest and round that their page showed."""

    verdict: str
    digest: str
    round: int
    reason: str


@dataclass(frozen=True)
class Said:
    """What was chosen, by the transfers' references; what is left alone is not in it. ``problems``: what is wrong with
    a choice, by reference."""

    choices: Mapping[str, Choice] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)

    def chose(self, verdict: Verdict) -> list[str]:
        return [reference for reference, one in self.choices.items() if one.verdict == verdict]


@dataclass(frozen=True)
class Side:
    """What this transfer alone would do to one account, by the stored balance. Unknown stays unknown."""

    name: str
    balance: Balance | None
    after: Decimal | None


@dataclass(frozen=True)
class Item:
    """One transfer that waits for this person. ``have`` of ``need`` approvals are there already."""

    transfer: Transfer
    have: int
    need: int
    sides: list[Side]
    firsts: list[Neighbour]
    stop: StopOrder | None
    warning: str
    choice: Choice | None
    problem: str
    why: Why | None = None


@dataclass(frozen=True)
class Taken:
    """What the chosen approvals take out of one account together, in units of the asset; ``left`` is None where it is
    not known what can be moved."""

    account: Account
    asset: str
    count: int
    amount: Decimal
    left: Decimal | None
    coming: Decimal

    @property
    def warning(self) -> str:
        """Empty where it fits. A transfer that is too large by itself says so where it is listed."""
        if self.count < 2 or self.left is None or self.amount <= self.left + self.coming:
            return ""
        more = f", and {grouped(self.coming)} are to come first" if self.coming else ""
        return (
            f"Together they take {grouped(self.amount)} {self.asset} out of {self.account}, of which "
            f"{grouped(self.left)} can be moved now{more}. What no longer fits is not sent unless more arrives."
        )


def waiting_in(plan: Plan, person: User, at: datetime) -> QuerySet[Transfer]:
    """What of the plan this person may decide on now, in the order in which it is sent."""
    return queries.waiting_for(person, at).filter(planned__group__plan=plan).order_by(*IN_ORDER)


def context_of(plan: Plan, person: User, at: datetime, said: Said) -> dict[str, Any]:
    """The form: everything that waits for them, and nothing chosen but what they chose before."""
    waiting = waiting_in(plan, person, at)
    items = items_of(waiting[:SHOWN], person, said)
    others = list(
        queries.waiting_for_others(person, at).filter(planned__group__plan=plan).values_list("maker", flat=True)
    )
    own = others.count(person.pk)
    return {
        "at": at,
        "plan": plan,
        "looking": False,
        "items": items,
        "more": waiting.count() - len(items) if len(items) == SHOWN else 0,
        "own": own,
        "others": len(others) - own,
        "decided": decided_by(plan, person, at),
    }


def look_of(plan: Plan, person: User, at: datetime, said: Said) -> dict[str, Any]:
    """The second look: only what they chose, and what that comes to."""
    items = items_of(waiting_in(plan, person, at).filter(reference__in=list(said.choices)), person, said)
    approving = [one for one in items if one.choice and one.choice.verdict == Verdict.APPROVE]
    rejecting = [one for one in items if one.choice and one.choice.verdict == Verdict.REJECT]
    taken = taken_by(approving, rejecting)
    return {
        "at": at,
        "plan": plan,
        "looking": True,
        "items": [*approving, *rejecting],
        "summary": in_words(approving, len(rejecting)),
        "button": tally(len(approving), len(rejecting), "approve", "reject").capitalize(),
        "taken": taken,
        "warnings": [*(one.warning for one in taken if one.warning), *cancelled_by(approving, rejecting)],
        "decided": [],
    }


def items_of(waiting: QuerySet[Transfer], person: User, said: Said) -> list[Item]:
    transfers = list(
        waiting.prefetch_related("demands", "decisions__by", "decisions__withdrawal", "predecessors__first")
    )
    balances = balances_of(transfers)
    left = usable_in(transfers, balances)
    stopped = stopped_of(transfers)
    order, able, asked = stops.last_restore(), may_decide(), why.of_each(transfers)
    groups = groups_now(decision.by_id for one in transfers for decision in one.decisions.all())
    return [
        Item(
            transfer=one,
            **approvals_of(one, groups, able),
            sides=[
                side_of(one, one.source, -one.amount, balances),
                side_of(one, one.destination, one.amount, balances),
            ],
            firsts=neighbours(firsts_of(one), person),
            stop=stopped.get(one.pk),
            warning=warning_of(one, order, balances, left),
            choice=None if is_changed(one, said) else said.choices.get(one.reference),
            problem=CHANGED if is_changed(one, said) else said.problems.get(one.reference, ""),
            why=asked.get(one.pk),
        )
        for one in transfers
    ]


def is_changed(transfer: Transfer, said: Said) -> bool:
    """Whether it was chosen by a page that showed other words than it has: then it is to be read and chosen anew."""
    choice = said.choices.get(transfer.reference)
    return choice is not None and (choice.digest, choice.round) != (transfer.digest, transfer.round)


def approvals_of(transfer: Transfer, groups: Groups, able: Sequence[Person]) -> dict[str, int]:
    """How many people's approvals this round demands, and how many count now; from what was fetched with it."""
    demands = [one for one in transfer.demands.all() if one.round == transfer.round]
    approvals = [
        one
        for one in transfer.decisions.all()
        if (one.round, one.verdict, one.digest) == (transfer.round, Verdict.APPROVE, transfer.digest)
        and not hasattr(one, "withdrawal")
    ]
    found = progress_of(transfer, demands, approvals, groups, able)
    return {"have": found.have, "need": found.need}


def firsts_of(transfer: Transfer) -> list[Transfer]:
    """What must settle before it; from what was fetched with it."""
    return sorted((one.first for one in transfer.predecessors.all()), key=lambda one: one.pk)


def balances_of(transfers: Iterable[Transfer]) -> dict[Key, Balance]:
    """The stored balances of both sides of all of them, in one query."""
    transfers = list(transfers)
    accounts = {side for one in transfers for side in (one.source_id, one.destination_id)}
    codes = {one.asset.upper() for one in transfers}
    found = Balance.objects.filter(account__in=accounts).annotate(code=Upper("asset")).filter(code__in=codes)
    return {(one.account_id, one.asset): one for one in found.select_related("account__connection")}


def side_of(transfer: Transfer, account: Account, change: Decimal, balances: Mapping[Key, Balance]) -> Side:
    held = balance_at(account, transfer.asset, balances)
    after = None if held is None or held.total is None else held.total + change
    return Side(name=str(account) if transfer.connection.by_hand else account.title, balance=held, after=after)


def balance_at(account: Account, asset: str, balances: Mapping[Key, Balance]) -> Balance | None:
    """The asset's balance as this account writes it: what one venue calls USDT, another may call usdt."""
    if exact := balances.get((account.pk, asset)):
        return exact
    alike = [one for (pk, code), one in balances.items() if pk == account.pk and code.upper() == asset.upper()]
    return alike[0] if len(alike) == 1 else None


def usable_in(transfers: Iterable[Transfer], balances: Mapping[Key, Balance]) -> dict[Key, Decimal | None]:
    """What each source may still give, as the dispatcher will reckon; each is asked about once."""
    sources = {(one.source_id, one.asset) for one in transfers}
    floors = policy.floors()
    return {key: guards.usable(balances[key], floors=floors) for key in sources if key in balances}


def warning_of(
    transfer: Transfer, order: StopOrder | None, balances: Mapping[Key, Balance], left: Mapping[Key, Decimal | None]
) -> str:
    """What its own page warns of; empty where there is nothing. ``order``: the stop after the last restore."""
    before = order is not None and transfer.submitted_at is not None and transfer.submitted_at < order.since
    if before and (warning := restored.warning(transfer)):
        return warning
    key = (transfer.source_id, transfer.asset)
    return (draft.short_of(transfer, balances[key], left[key]) or "") if key in left else ""


def stopped_of(transfers: Sequence[Transfer]) -> dict[int, StopOrder]:
    """The oldest stop order that stands over each; one query for each order that stands."""
    found: dict[int, StopOrder] = {}
    for order in stops.standing():
        covered = Transfer.objects.filter(stops.covered_by(order), pk__in=[one.pk for one in transfers])
        for pk in covered.values_list("pk", flat=True):
            found.setdefault(pk, order)
    return found


def taken_by(approving: Sequence[Item], rejecting: Sequence[Item]) -> list[Taken]:
    """What the chosen approvals take, by account and asset, beside what can be moved out of it."""
    transfers = [one.transfer for one in approving]
    left = usable_in(transfers, balances_of(transfers))
    refused = {one.transfer.pk for one in rejecting}
    by_source: dict[Key, list[Transfer]] = {}
    for one in transfers:
        by_source.setdefault((one.source_id, one.asset), []).append(one)
    return [
        Taken(
            account=rows[0].source,
            asset=rows[0].asset,
            count=len(rows),
            amount=sum((one.amount for one in rows), Decimal(0)),
            left=left.get(key),
            coming=coming_to(rows, refused),
        )
        for key, rows in by_source.items()
    ]


def coming_to(rows: Sequence[Transfer], refused: set[int]) -> Decimal:
    """What is to settle first and brings their source more of it."""
    source, asset = rows[0].source_id, rows[0].asset
    firsts = {first.pk: first for one in rows for first in firsts_of(one)}
    brings = [
        one.amount
        for one in firsts.values()
        if (one.destination_id, one.asset) == (source, asset) and not one.has_ended and one.pk not in refused
    ]
    return sum(brings, Decimal(0))


def cancelled_by(approving: Sequence[Item], rejecting: Sequence[Item]) -> list[str]:
    """What they approve and at the same time make impossible."""
    refused = {one.transfer.pk: one.transfer.reference for one in rejecting}
    return [
        f"{one.transfer.reference} goes after {refused[first.transfer.pk]}, which you reject: it will be cancelled."
        for one in approving
        for first in one.firsts
        if first.transfer.pk in refused
    ]


def in_words(approving: Sequence[Item], rejections: int) -> str:
    """ "You will approve 2 (700 USDT and 1 BTC) and reject 1."""
    sums: dict[str, Decimal] = {}
    for one in approving:
        code = one.transfer.asset
        sums[code] = sums.get(code, Decimal(0)) + one.transfer.amount
    amounts = listed([f"{grouped(total)} {asset}" for asset, total in sorted(sums.items())])
    first = f"approve {len(approving)} ({amounts})" if approving else ""
    return f"You will {' and '.join(filter(None, [first, f'reject {rejections}' if rejections else '']))}."


def tally(approvals: int, rejections: int, approve: str, reject: str) -> str:
    """Both counts with their verbs, "approve 2 and reject 1"; a count of none is not named."""
    counts = ((approve, approvals), (reject, rejections))
    return " and ".join(f"{verb} {count}" for verb, count in counts if count)


def decided_by(plan: Plan, person: User, at: datetime) -> list[dict[str, Any]]:
    """This person's own decisions on transfers of the plan, the newest first, and how each transfer stands now."""
    decisions = list(
        Decision.objects.filter(by=person, transfer__planned__group__plan=plan).order_by("-at", "-id")[:SHOWN]
    )
    transfers = Transfer.objects.filter(pk__in=[one.transfer_id for one in decisions])
    standing = {one.pk: one for one in queries.with_standing(transfers, at)}
    return [
        {"decision": one, "transfer": standing[one.transfer_id], "approved": one.verdict == Verdict.APPROVE}
        for one in decisions
    ]
